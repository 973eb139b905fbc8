#include "table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

namespace spillway::bench {

namespace {

using Line = std::vector<std::string>;

// The names of all metrics or counts of all rows, in the order they first come.
template <class Items>
std::vector<std::string> names_in(const Workload& w, Items items) {
  std::vector<std::string> names;
  for (const Row& row : w.rows)
    for (const auto& item : items(row))
      if (std::ranges::find(names, item.name) == names.end()) names.push_back(item.name);
  return names;
}

const Row* reference_of(const Workload& w) {
  const auto it = std::ranges::find(w.rows, w.reference, &Row::name);
  return it == w.rows.end() ? nullptr : &*it;
}

constexpr std::array<std::pair<const char*, double>, 5> all_quantiles{
    {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1.0}}};

// The value of a count if all rows that have it agree.
std::optional<std::uint64_t> common_count(const Workload& w, const std::string& name) {
  std::optional<std::uint64_t> common;
  for (const Row& row : w.rows) {
    const Count* const c = row.find_count(name);
    if (c && common && *common != c->value) return {};
    if (c) common = c->value;
  }
  return common;
}

std::vector<std::string> all_counts(const Workload& w) {
  return names_in(w, [](const Row& row) { return std::span(row.counts); });
}

std::vector<std::string> differing_counts(const Workload& w) {
  std::vector<std::string> names = all_counts(w);
  std::erase_if(names, [&](const std::string& name) { return common_count(w, name).has_value(); });
  return names;
}

// Characters, not bytes: names may have others than ASCII.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

std::string grouped(std::uint64_t count) {
  std::string text = std::to_string(count);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string figure(double value) {
  const double size = std::abs(value);
  if (!std::isfinite(value)) return "-";
  if (size >= 999.5) return grouped(static_cast<std::uint64_t>(std::llround(size)));
  return size >= 99.95    ? fmt::format("{:.0f}", value)
         : size >= 9.995  ? fmt::format("{:.1f}", value)
         : size >= 0.9995 ? fmt::format("{:.2f}", value)
                          : fmt::format("{:.3f}", value);
}

std::vector<std::vector<std::string>> cells(const Workload& w) {
  const std::vector<std::string> metrics =
      names_in(w, [](const Row& row) { return std::span(row.metrics); });
  const bool timed = std::ranges::any_of(w.rows, [](const Row& r) { return !r.times.empty(); });
  const Row* const reference = reference_of(w);
  const auto floor_row = std::ranges::find(w.rows, true, &Row::floor);
  const Histogram* const floor = floor_row == w.rows.end() ? nullptr : &floor_row->times;
  const double scale = w.unit == "us" ? 1e-3 : 1.0;

  std::vector<Line> lines(1);
  lines[0].emplace_back("");
  for (const std::string& name : metrics) {
    const auto row = std::ranges::find_if(w.rows, [&](const Row& r) { return r.metric(name); });
    lines[0].push_back(fmt::format("{} {}", name, row->metric(name)->unit));
    lines[0].emplace_back("min..max");
    if (reference && reference->metric(name)) lines[0].emplace_back("ratio");
  }
  // Quantiles that a metric tells already are left out.
  std::vector<std::pair<const char*, double>> quantiles;
  if (timed)
    for (const auto& [name, share] : all_quantiles)
      if (std::ranges::find(metrics, name) == metrics.end()) quantiles.emplace_back(name, share);
  for (const auto& [name, share] : quantiles)
    lines[0].push_back(fmt::format("{} {}", name, w.unit));
  if (floor) {
    lines[0].emplace_back("p50-floor");
    lines[0].emplace_back("p99-floor");
  }
  const std::vector<std::string> shown_counts = differing_counts(w);
  for (const std::string& name : shown_counts) lines[0].push_back(name);

  for (const Row& row : w.rows) {
    Line line{row.name};
    for (const std::string& name : metrics) {
      const Metric* const m = row.metric(name);
      const Metric* const r = reference ? reference->metric(name) : nullptr;
      line.push_back(m ? figure(m->median()) : "");
      line.push_back(m ? figure(m->min()) + ".." + figure(m->max()) : "");
      if (r) line.push_back(m && r->median() > 0 ? figure(m->median() / r->median()) + "x" : "");
    }
    for (const auto& [name, share] : quantiles)
      line.push_back(row.times.empty() ? "" : figure(row.times.quantile(share) * scale));
    if (floor)
      for (const double share : {0.5, 0.99})
        line.push_back(
            row.floor || row.times.empty()
                ? ""
                : fmt::format("{:.1f}",
                              (row.times.quantile(share) - floor->quantile(share)) * scale));
    for (const std::string& name : shown_counts) {
      const Count* const c = row.find_count(name);
      line.push_back(c ? grouped(c->value) : "");
    }
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string common_counts(const Workload& w) {
  std::string text;
  for (const std::string& name : all_counts(w))
    if (const auto count = common_count(w, name))
      text += fmt::format("{}{} {}", text.empty() ? "Each: " : ", ", name, grouped(*count));
  return text;
}

std::string table(const Workload& w) {
  const std::vector<Line> lines = cells(w);
  std::vector<std::size_t> widths(lines[0].size(), 0);
  for (const Line& line : lines)
    for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width(line[i]));
  std::string text = fmt::format("{}\n  {}\n", w.title, w.note);
  if (!w.time_of.empty()) text += fmt::format("  Percentiles are of {}.\n", w.time_of);
  for (const Line& line : lines) {
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
      const std::string pad(widths[i] - width(line[i]), ' ');
      out += i == 0 ? "  " + line[i] + pad : "  " + pad + line[i];
    }
    out.erase(out.find_last_not_of(' ') + 1);
    text += out + '\n';
  }
  if (const std::string common = common_counts(w); !common.empty())
    text += fmt::format("  {}\n", common);
  return text;
}

std::string heading(const Results& r) {
  const Machine& m = r.machine;
  const Build& b = r.build;
  std::string text = fmt::format("{}  ({})\n", r.command, r.date);
  text += fmt::format("  machine   {}, {} core{}, measured on {}\n", m.cpu, m.cores,
                      m.cores == 1 ? "" : "s", fmt::join(m.used, " and "));
  text += fmt::format("  system    {}, virtual: {}\n", m.kernel, m.virtualisation);
  text += fmt::format("  clock     governor {}, turbo {}, TSC {:.0f} MHz{}, load {:.2f}\n",
                      m.governor, m.turbo, m.tsc_mhz, m.tsc_invariant ? " invariant" : "", m.load);
  text += fmt::format("  build     {} {} ({}), commit {}\n", b.compiler, b.flags, b.type, b.commit);
  std::string settings;
  for (const auto& [name, value] : r.settings)
    settings += fmt::format("{}{} {}", settings.empty() ? "" : ", ", name, value);
  text += fmt::format("  settings  {}\n", settings);
  for (const std::string& warning : r.warnings) text += fmt::format("  warning: {}\n", warning);
  return text;
}

}  // namespace spillway::bench
