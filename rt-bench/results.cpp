#include "results.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "spillway/channels/error.hpp"

namespace spillway::bench {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* format_name = "spillway rt-bench";
constexpr int format_version = 1;

Json json_of(const Histogram& h) {
  Json buckets = Json::array();
  for (const Histogram::Bucket& b : h.buckets()) buckets.push_back(Json::array({b.low, b.count}));
  return {{"unit", "ns"},
          {"buckets_per_octave", Histogram::buckets_per_octave},
          {"count", h.count()},
          {"min", h.min()},
          {"p50", h.quantile(0.5)},
          {"p90", h.quantile(0.9)},
          {"p99", h.quantile(0.99)},
          {"p99.9", h.quantile(0.999)},
          {"max", h.max()},
          {"buckets", std::move(buckets)}};
}

Histogram histogram_of(const Json& json) {
  if (json.at("buckets_per_octave").get<int>() != Histogram::buckets_per_octave)
    throw Error("a histogram has buckets of another width");
  std::vector<Histogram::Bucket> buckets;
  for (const Json& b : json.at("buckets"))
    buckets.push_back({b.at(0).get<double>(), 0.0, b.at(1).get<std::uint64_t>()});
  Histogram result =
      Histogram::from(buckets, json.at("min").get<double>(), json.at("max").get<double>());
  if (result.count() != json.at("count").get<std::uint64_t>())
    throw Error("a histogram has another count than its buckets");
  return result;
}

Json json_of(const Row& row) {
  Json json{{"name", row.name}};
  if (row.floor) json["floor"] = true;
  json["metrics"] = Json::array();
  for (const Metric& m : row.metrics)
    json["metrics"].push_back({{"name", m.name},
                               {"unit", m.unit},
                               {"better", m.better == Better::less ? "less" : "more"},
                               {"median", m.median()},
                               {"rounds", m.rounds}});
  json["counts"] = Json::object();
  for (const Count& c : row.counts) json["counts"][c.name] = c.value;
  if (!row.times.empty()) json["times"] = json_of(row.times);
  return json;
}

Row row_of(const Json& json) {
  Row row;
  row.name = json.at("name").get<std::string>();
  row.floor = json.value("floor", false);
  for (const Json& m : json.at("metrics")) {
    Metric metric{m.at("name").get<std::string>(), m.at("unit").get<std::string>(),
                  m.at("better").get<std::string>() == "more" ? Better::more : Better::less,
                  m.at("rounds").get<std::vector<double>>()};
    if (metric.rounds.empty())
      throw Error(fmt::format("'{}' of '{}' has no rounds", metric.name, row.name));
    row.metrics.push_back(std::move(metric));
  }
  for (const auto& [name, value] : json.at("counts").items())
    row.counts.push_back({name, value.get<std::uint64_t>()});
  if (json.contains("times")) row.times = histogram_of(json["times"]);
  return row;
}

Json json_of(const Workload& w) {
  Json json{{"id", w.id},           {"title", w.title}, {"note", w.note},
            {"time_of", w.time_of}, {"unit", w.unit},   {"reference", w.reference}};
  json["rows"] = Json::array();
  for (const Row& row : w.rows) json["rows"].push_back(json_of(row));
  return json;
}

Workload workload_of(const Json& json) {
  Workload w;
  for (const auto& [key, member] : {std::pair{"id", &Workload::id},
                                    {"title", &Workload::title},
                                    {"note", &Workload::note},
                                    {"time_of", &Workload::time_of},
                                    {"unit", &Workload::unit},
                                    {"reference", &Workload::reference}})
    w.*member = json.at(key).get<std::string>();
  for (const Json& row : json.at("rows")) w.rows.push_back(row_of(row));
  return w;
}

Json json_of(const Machine& m) {
  return {{"cpu", m.cpu},
          {"cores_online", m.cores},
          {"cores_allowed", m.allowed},
          {"cores_used", m.used},
          {"cores_used_share_a_physical_core", m.share_a_core},
          {"cores_isolated", m.isolated},
          {"kernel", m.kernel},
          {"governor", m.governor},
          {"turbo", m.turbo},
          {"virtualisation", m.virtualisation},
          {"tsc_invariant", m.tsc_invariant},
          {"tsc_mhz", m.tsc_mhz},
          {"tsc_step_ns", m.tsc_step_ns},
          {"clocksource", m.clocksource},
          {"load_average", m.load}};
}

Machine machine_of(const Json& json) {
  Machine m;
  json.at("cpu").get_to(m.cpu);
  json.at("cores_online").get_to(m.cores);
  json.at("cores_allowed").get_to(m.allowed);
  json.at("cores_used").get_to(m.used);
  json.at("cores_used_share_a_physical_core").get_to(m.share_a_core);
  json.at("cores_isolated").get_to(m.isolated);
  json.at("kernel").get_to(m.kernel);
  json.at("governor").get_to(m.governor);
  json.at("turbo").get_to(m.turbo);
  json.at("virtualisation").get_to(m.virtualisation);
  json.at("tsc_invariant").get_to(m.tsc_invariant);
  json.at("tsc_mhz").get_to(m.tsc_mhz);
  json.at("tsc_step_ns").get_to(m.tsc_step_ns);
  json.at("clocksource").get_to(m.clocksource);
  json.at("load_average").get_to(m.load);
  return m;
}

Json json_of(const Build& b) {
  return {{"compiler", b.compiler},
          {"flags", b.flags},
          {"type", b.type},
          {"commit", b.commit},
          {"assertions", b.assertions}};
}

Build build_of(const Json& json) {
  Build b;
  json.at("compiler").get_to(b.compiler);
  json.at("flags").get_to(b.flags);
  json.at("type").get_to(b.type);
  json.at("commit").get_to(b.commit);
  json.at("assertions").get_to(b.assertions);
  return b;
}

Results results_of(const Json& json) {
  Results r;
  json.at("command").get_to(r.command);
  json.at("date").get_to(r.date);
  r.machine = machine_of(json.at("machine"));
  r.build = build_of(json.at("build"));
  for (const auto& [name, value] : json.at("settings").items())
    r.settings.emplace_back(name, value.get<std::string>());
  json.at("warnings").get_to(r.warnings);
  for (const Json& w : json.at("workloads")) r.workloads.push_back(workload_of(w));
  return r;
}

}  // namespace

double Metric::median() const {
  if (rounds.empty()) return 0.0;
  std::vector<double> sorted = rounds;
  std::ranges::sort(sorted);
  const std::size_t half = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

double Metric::min() const { return rounds.empty() ? 0.0 : std::ranges::min(rounds); }
double Metric::max() const { return rounds.empty() ? 0.0 : std::ranges::max(rounds); }

void Row::record(std::string_view name_of_metric, std::string_view unit, Better better,
                 double value) {
  auto it = std::ranges::find(metrics, name_of_metric, &Metric::name);
  if (it == metrics.end())
    it =
        metrics.insert(metrics.end(), {std::string(name_of_metric), std::string(unit), better, {}});
  it->rounds.push_back(value);
}

void Row::record_times(const Histogram& round, std::string_view unit) {
  const double scale = unit == "us" ? 1e-3 : 1.0;
  record("p50", unit, Better::less, round.quantile(0.5) * scale);
  record("p99", unit, Better::less, round.quantile(0.99) * scale);
  times.add(round);
}

void Row::count(std::string_view name_of_count, std::uint64_t more) {
  auto it = std::ranges::find(counts, name_of_count, &Count::name);
  if (it == counts.end()) it = counts.insert(counts.end(), {std::string(name_of_count), 0});
  it->value += more;
}

const Metric* Row::metric(std::string_view wanted) const noexcept {
  const auto it = std::ranges::find(metrics, wanted, &Metric::name);
  return it == metrics.end() ? nullptr : &*it;
}

const Count* Row::find_count(std::string_view wanted) const noexcept {
  const auto it = std::ranges::find(counts, wanted, &Count::name);
  return it == counts.end() ? nullptr : &*it;
}

std::string to_json(const Results& r) {
  Json json{{"format", format_name}, {"version", format_version},     {"command", r.command},
            {"date", r.date},        {"machine", json_of(r.machine)}, {"build", json_of(r.build)}};
  json["settings"] = Json::object();
  for (const auto& [name, value] : r.settings) json["settings"][name] = value;
  json["warnings"] = r.warnings;
  json["workloads"] = Json::array();
  for (const Workload& w : r.workloads) json["workloads"].push_back(json_of(w));
  // What is not UTF-8 in a name is replaced: a figure is worth more than its label.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

Results from_json(const std::string& text, const std::string& name) {
  try {
    const Json json = Json::parse(text);
    if (!json.is_object() || json.value("format", "") != format_name)
      throw Error("not a result of rt-bench");
    if (json.value("version", 0) != format_version)
      throw Error(fmt::format("version {} of the format; this program reads {}",
                              json.value("version", 0), format_version));
    return results_of(json);
  } catch (const Json::parse_error& e) {
    throw Error(fmt::format("{}: damaged: no JSON from byte {} on", name, e.byte));
  } catch (const Json::exception& e) {
    throw Error(fmt::format("{}: damaged: {}", name, e.what()));
  } catch (const Error& e) {
    throw Error(fmt::format("{}: {}", name, e.what()));
  }
}

}  // namespace spillway::bench
