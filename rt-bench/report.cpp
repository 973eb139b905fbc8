#include "report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <span>
#include <string_view>

#include "svg.hpp"
#include "table.hpp"

namespace spillway::bench {

namespace {

// The colours are Okabe and Ito's, which people with any kind of colour vision tell apart; on
// dark paper the dark ones are lightened. Everything is labelled besides.
constexpr std::string_view style = R"(
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --quiet: #57606a; --rule: #d0d7de;
  --grid: #e6eaef; --panel: #f6f8fa; --warn: #9a4b00; --warnpaper: #fff6e5;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #b0589a; --c4: #a37500; --c5: #3a93c7;
  --c6: #7a4ad0; --c7: #8a6246; --floor: #6b6b6b; }
@media (prefers-color-scheme: dark) { :root { --paper: #0f1317; --ink: #e6edf3; --quiet: #9aa7b4;
  --rule: #3a434d; --grid: #252c34; --panel: #171c22; --warn: #ffc36b; --warnpaper: #2b2213;
  --c0: #4fb0e8; --c1: #ff8a3d; --c2: #2fc79a; --c3: #e08fc8; --c4: #e8b93a; --c5: #8fd0f5;
  --c6: #b294f5; --c7: #cfab90; --floor: #b0b0b0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .25rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 46rem; }
.quiet, figcaption, caption { color: var(--quiet); }
figure { margin: 1rem 0; overflow-x: auto; }
figcaption { font-size: .9rem; margin-bottom: .35rem; }
figcaption b { color: var(--ink); font-weight: 600; }
svg { display: block; width: 100%; height: auto; min-width: 44rem; max-width: 60rem; overflow: visible; }
svg text { fill: var(--ink); font-size: 13px; font-family: inherit; }
svg .name { font-weight: 600; }
svg .stat { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .tick, svg .title { fill: var(--quiet); font-size: 12px; }
svg .grid { stroke: var(--grid); } svg .axis { stroke: var(--quiet); }
svg .p50 { stroke: var(--ink); stroke-width: 1.6; }
svg .p99 { stroke: var(--ink); stroke-width: 1.4; stroke-dasharray: 5 3; }
svg .p999 { stroke: var(--ink); stroke-width: 1.4; stroke-dasharray: 1.5 2.5; }
svg .max { fill: var(--ink); }
)";

constexpr std::string_view more_style = R"(
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { padding: .28rem .6rem; border-bottom: 1px solid var(--rule); text-align: right;
  white-space: nowrap; }
th { font-weight: 600; background: var(--panel); }
th:first-child, td:first-child { text-align: left; }
table.runs td { text-align: left; white-space: normal; vertical-align: top; }
table.runs th { text-align: left; vertical-align: top; }
ul.warnings { margin: .5rem 0 1rem; padding: .6rem .9rem .6rem 2rem; background: var(--warnpaper);
  color: var(--warn); border-radius: 6px; font-size: .9rem; }
ol.contents { columns: 2 18rem; padding-left: 1.4rem; font-size: .95rem; }
a { color: var(--c0); }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .35em; }
)";

constexpr double width = 760.0;
constexpr double left = 8.0;
constexpr double right = width - 8.0;
constexpr std::size_t colours = 8;

std::string human_ns(double ns) {
  if (ns < 999.5) return figure(ns) + " ns";
  if (ns < 999.5e3) return figure(ns / 1e3) + " µs";
  if (ns < 999.5e6) return figure(ns / 1e6) + " ms";
  return figure(ns / 1e9) + " s";
}

// Round values, as axes have them.
std::string round_figure(double v) { return fmt::format("{:g}", v); }
std::string round_ns(double ns) {
  if (ns < 1e3) return fmt::format("{:g} ns", ns);
  if (ns < 1e6) return fmt::format("{:g} µs", ns / 1e3);
  if (ns < 1e9) return fmt::format("{:g} ms", ns / 1e6);
  return fmt::format("{:g} s", ns / 1e9);
}

// Terminals get "us" for the sake of old ones; pages need not.
std::string with_micro(std::string text) {
  if (text == "us" || text.ends_with(" us")) text.replace(text.size() - 2, 2, "µs");
  return text;
}

// For a place of fixed width; cut between characters, not in one.
std::string shortened(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most - 1;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

std::string letter(std::size_t run) {
  return run < 26 ? std::string(1, static_cast<char>('A' + run)) : std::to_string(run + 1);
}

// One row of one run, as the charts show it.
struct Line {
  const Row* row;
  std::size_t run;
  std::string colour;  // of the style sheet: "0" to "7", or "floor"
  std::string label;
};

// A workload in all runs that have it.
struct Section {
  const Workload* workload;  // of the first run that has it: titles and notes
  std::vector<std::pair<std::size_t, const Workload*>> runs;
};

std::vector<Section> sections_of(const std::vector<NamedResults>& all) {
  std::vector<Section> sections;
  for (std::size_t run = 0; run < all.size(); ++run)
    for (const Workload& w : all[run].results.workloads) {
      auto it =
          std::ranges::find_if(sections, [&](const Section& s) { return s.workload->id == w.id; });
      if (it == sections.end()) it = sections.insert(sections.end(), {&w, {}});
      it->runs.emplace_back(run, &w);
    }
  return sections;
}

// All rows but floors, in the order they first come.
std::vector<std::string> names_of(const std::vector<NamedResults>& all) {
  std::vector<std::string> names;
  for (const NamedResults& r : all)
    for (const Workload& w : r.results.workloads)
      for (const Row& row : w.rows)
        if (!row.floor && std::ranges::find(names, row.name) == names.end())
          names.push_back(row.name);
  return names;
}

// Rows of one name stand together, so that runs compare. A colour means a run if there are
// several, else a name, throughout the page.
std::vector<Line> lines_of(const Section& section, const std::vector<std::string>& all_names,
                           bool several) {
  std::vector<std::string> names;
  for (const auto& [run, w] : section.runs)
    for (const Row& row : w->rows)
      if (std::ranges::find(names, row.name) == names.end()) names.push_back(row.name);
  std::vector<Line> lines;
  for (const std::string& name : names)
    for (const auto& [run, w] : section.runs)
      for (const Row& row : w->rows) {
        if (row.name != name) continue;
        const auto number =
            static_cast<std::size_t>(std::ranges::find(all_names, name) - all_names.begin());
        lines.push_back(
            {&row, run,
             !several && row.floor ? "floor" : std::to_string((several ? run : number) % colours),
             several ? fmt::format("{} {}", letter(run), name) : name});
      }
  return lines;
}

// Counts in columns of so many pixels, as an outline; heights by the logarithm, so that one
// sample in a million shows.
std::string outline(const Histogram& times, const Axis& axis, double bottom, double height) {
  constexpr double column = 2.0;
  const auto columns = static_cast<std::size_t>((right - left) / column) + 1;
  std::vector<double> counts(columns, 0.0);
  for (const Histogram::Bucket& b : times.buckets()) {
    const double begin = (axis.at(b.low) - left) / column;
    const double end = std::max((axis.at(b.high) - left) / column, begin + 1e-6);
    for (auto c = static_cast<std::size_t>(begin); c < columns && static_cast<double>(c) < end;
         ++c) {
      const double part =
          std::min(end, static_cast<double>(c) + 1) - std::max(begin, static_cast<double>(c));
      counts[c] += static_cast<double>(b.count) * part / (end - begin);
    }
  }
  const double most = std::max(std::ranges::max(counts), 1.0);
  std::string d = fmt::format("M{:.1f} {:.1f}", left, bottom);
  double last = 0.0;
  for (std::size_t c = 0; c < columns; ++c) {
    const double h = height * std::log1p(counts[c]) / std::log1p(most);
    if (h == last) continue;
    d += fmt::format("H{:.1f}V{:.1f}", left + static_cast<double>(c) * column, bottom - h);
    last = h;
  }
  return d + fmt::format("H{:.1f}V{:.1f}Z", right, bottom);
}

// The distributions, one under the other on one axis.
std::string distributions(const Section& section, const std::vector<Line>& lines) {
  double low = 0.0;
  double high = 0.0;
  for (const Line& l : lines) {
    if (l.row->times.empty()) continue;
    const double min = std::max(l.row->times.min(), 0.01);
    low = low == 0.0 ? min : std::min(low, min);
    high = std::max(high, l.row->times.max());
  }
  if (low == 0.0) return "";
  const Axis axis(low * 0.9, std::max(high, low * 2) * 1.1, left, right, true);
  Svg svg(width, fmt::format("Distribution of {}: {}", section.workload->time_of,
                             section.workload->title));
  constexpr double top = 30.0;
  constexpr double strip = 68.0;
  constexpr double bars = 42.0;
  const auto shown = static_cast<double>(
      std::ranges::count_if(lines, [](const Line& l) { return !l.row->times.empty(); }));
  const double bottom = top + shown * strip;
  axis.draw(svg, top, bottom, round_ns);
  double x = left;
  for (const auto& [name, kind, advance] :
       {std::tuple{"p50", "p50", 52.0}, {"p99", "p99", 52.0}, {"p99.9", "p999", 64.0}}) {
    svg.line(x + 2, 4, x + 2, 18, kind);
    svg.text(x + 9, 15, name, "tick");
    x += advance;
  }
  svg.path(fmt::format("M{:.1f} 7h8l-4 8z", x), "max");
  svg.text(x + 12, 15, "max", "tick");
  svg.text(right, 15, "height: how many, logarithmic", "tick", Anchor::end);
  double y = top;
  for (const Line& l : lines) {
    const Histogram& times = l.row->times;
    if (times.empty()) continue;
    const double base = y + strip;
    svg.path(outline(times, axis, base, bars), "f" + l.colour);
    svg.line(left, base, right, base, "axis");
    for (const auto& [share, kind] : {std::pair{0.5, "p50"}, {0.99, "p99"}, {0.999, "p999"}}) {
      const double at = axis.at(times.quantile(share));
      svg.line(at, base - bars - 3, at, base, kind);
    }
    svg.path(fmt::format("M{:.1f} {:.1f}h8l-4 8z", axis.at(times.max()) - 4, base - 11), "max");
    svg.text(left, y + 16, shortened(l.label, 42), "name");
    svg.text(right, y + 16,
             fmt::format("p50 {} · p99 {} · p99.9 {} · max {}", human_ns(times.quantile(0.5)),
                         human_ns(times.quantile(0.99)), human_ns(times.quantile(0.999)),
                         human_ns(times.max())),
             "stat", Anchor::end);
    y = base;
  }
  return fmt::format(
      "<figure><figcaption><b>Distribution</b> of {}, all rounds</figcaption>\n{}</figure>\n",
      escaped(section.workload->time_of), svg.finish(bottom + 24));
}

// One metric of every row: the median of the rounds, and from the least to the greatest.
std::string comparison(const Section& section, const std::vector<Line>& lines,
                       const std::string& name) {
  double low = 0.0;
  double high = 0.0;
  const Metric* any = nullptr;
  std::vector<const Line*> shown;
  for (const Line& l : lines) {
    const Metric* const m = l.row->metric(name);
    if (!m || !(m->median() > 0.0)) continue;
    any = m;
    shown.push_back(&l);
    const double least = m->min() > 0.0 ? m->min() : m->median();
    low = low == 0.0 ? least : std::min(low, least);
    high = std::max(high, m->max());
  }
  if (!any) return "";
  constexpr double labels = 290.0;
  constexpr double figures = 128.0;
  constexpr double top = 6.0;
  constexpr double pitch = 25.0;
  const bool logarithmic = high / low > 8.0;
  const Axis axis(low * 0.85, high * 1.08, labels, right - figures, logarithmic);
  Svg svg(width, fmt::format("{} of {}", name, section.workload->title));
  const double bottom = top + pitch * static_cast<double>(shown.size());
  axis.draw(svg, top, bottom, round_figure);
  double y = top + pitch / 2;
  for (const Line* const l : shown) {
    const Metric& m = *l->row->metric(name);
    svg.text(labels - 12, y + 4.5, shortened(l->label, 38), "", Anchor::end);
    svg.line(axis.at(m.min()), y, axis.at(m.max()), y, "range s" + l->colour);
    svg.circle(axis.at(m.median()), y, 5, "f" + l->colour,
               fmt::format("{}: {} {}, rounds from {} to {}", l->row->name, figure(m.median()),
                           m.unit, figure(m.min()), figure(m.max())));
    const auto in_run =
        std::ranges::find(section.runs, l->run, &std::pair<std::size_t, const Workload*>::first);
    std::string ratio;
    for (const Row& row : in_run->second->rows)
      if (row.name == in_run->second->reference && row.metric(name))
        ratio = figure(m.median() / row.metric(name)->median()) + "×";
    svg.text(right - figures + 70, y + 4.5, figure(m.median()), "stat", Anchor::end);
    svg.text(right, y + 4.5, ratio, "stat", Anchor::end);
    y += pitch;
  }
  std::string caption = fmt::format(
      "<b>{}</b>, {}; {} is better. Dot: median of the rounds; line: all of them{}.", escaped(name),
      escaped(with_micro(any->unit)), any->better == Better::less ? "less" : "more",
      logarithmic ? "; logarithmic" : "");
  if (!section.workload->reference.empty())
    caption += fmt::format(" ×: relative to {}.", escaped(section.workload->reference));
  return fmt::format("<figure><figcaption>{}</figcaption>\n{}</figure>\n", caption,
                     svg.finish(bottom + 24));
}

std::string html_table(const Workload& w, const std::string& caption) {
  std::string out = "<div class=\"scroll\"><table>";
  if (!caption.empty()) out += fmt::format("<caption>{}</caption>", escaped(caption));
  bool head = true;
  for (const auto& line : cells(w)) {
    out += "<tr>";
    for (const std::string& cell : line)
      out += fmt::format("<{0}>{1}</{0}>", head ? "th" : "td",
                         escaped(head ? with_micro(cell) : cell));
    out += "</tr>\n";
    head = false;
  }
  out += "</table></div>\n";
  if (const std::string common = common_counts(w); !common.empty())
    out += fmt::format("<p class=\"quiet\">{}</p>\n", escaped(common));
  return out;
}

std::string runs_table(const std::vector<NamedResults>& all) {
  std::string out = "<div class=\"scroll\"><table class=\"runs\">\n";
  const auto line = [&](const char* name,
                        const std::function<std::string(const NamedResults&)>& value) {
    out += fmt::format("<tr><th>{}</th>", name);
    for (const NamedResults& r : all) out += fmt::format("<td>{}</td>", escaped(value(r)));
    out += "</tr>\n";
  };
  if (all.size() > 1) {
    out += "<tr><th>run</th>";
    for (std::size_t i = 0; i < all.size(); ++i)
      out +=
          fmt::format("<td><span class=\"key k{}\"></span><b>{}</b></td>", i % colours, letter(i));
    out += "</tr>\n";
  }
  line("file", [](const NamedResults& r) { return r.name; });
  line("machine", [](const NamedResults& r) {
    return fmt::format("{}, {} cores", r.results.machine.cpu, r.results.machine.cores);
  });
  line("measured on cores", [](const NamedResults& r) {
    return fmt::format("{}", fmt::join(r.results.machine.used, ", "));
  });
  line("kernel", [](const NamedResults& r) { return r.results.machine.kernel; });
  line("virtual", [](const NamedResults& r) { return r.results.machine.virtualisation; });
  line("governor", [](const NamedResults& r) { return r.results.machine.governor; });
  line("turbo", [](const NamedResults& r) { return r.results.machine.turbo; });
  line("time-stamp counter", [](const NamedResults& r) {
    const Machine& m = r.results.machine;
    if (m.tsc_mhz == 0.0) return std::string("none; the steady clock");
    return fmt::format("{:.0f} MHz, {}invariant, steps of {} ns", m.tsc_mhz,
                       m.tsc_invariant ? "" : "not ", figure(m.tsc_step_ns));
  });
  line("load before",
       [](const NamedResults& r) { return fmt::format("{:.2f}", r.results.machine.load); });
  line("compiler", [](const NamedResults& r) {
    return fmt::format("{} {}", r.results.build.compiler, r.results.build.flags);
  });
  line("commit", [](const NamedResults& r) { return r.results.build.commit; });
  line("date", [](const NamedResults& r) { return r.results.date; });
  line("command", [](const NamedResults& r) { return r.results.command; });
  line("settings", [](const NamedResults& r) {
    std::string text;
    for (const auto& [name, value] : r.results.settings)
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", name, value);
    return text;
  });
  return out + "</table></div>\n";
}

}  // namespace

std::string report(const std::vector<NamedResults>& all) {
  const bool several = all.size() > 1;
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>rt-bench</title>\n<style>";
  out += style;
  const auto colour = [&](const std::string& name, const std::string& value) {
    out += fmt::format(
        "svg .f{0} {{ fill: var(--{1}); }} svg .s{0} {{ stroke: var(--{1}); }} .k{0} {{ "
        "background: var(--{1}); }}\n",
        name, value);
  };
  for (std::size_t i = 0; i < colours; ++i) colour(std::to_string(i), fmt::format("c{}", i));
  colour("floor", "floor");
  out +=
      "svg path[class^=f] { fill-opacity: .75; } svg .range { stroke-width: 3; stroke-opacity: "
      ".55; "
      "stroke-linecap: round; }\n";
  out += more_style;
  out += "</style></head><body>\n<h1>rt-bench</h1>\n";
  out += several
             ? fmt::format("<p class=\"quiet\">{} runs side by side.</p>\n", all.size())
             : "<p class=\"quiet\">What a push costs, how late a sample comes, how punctually the "
               "machine wakes a thread.</p>\n";
  out += runs_table(all);
  for (std::size_t run = 0; run < all.size(); ++run) {
    const std::vector<std::string>& warnings = all[run].results.warnings;
    if (warnings.empty()) continue;
    out += fmt::format(
        "<h3>What makes the figures{} unfair, or hard to repeat</h3>\n<ul class=\"warnings\">\n",
        several ? " of " + letter(run) : "");
    for (const std::string& warning : warnings)
      out += fmt::format("<li>{}</li>\n", escaped(warning));
    out += "</ul>\n";
  }
  const std::vector<Section> sections = sections_of(all);
  const std::vector<std::string> names = names_of(all);
  out += "<h3>Contents</h3>\n<ol class=\"contents\">\n";
  for (const Section& s : sections)
    out += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", escaped(s.workload->id),
                       escaped(s.workload->title));
  out += "</ol>\n";
  for (const Section& s : sections) {
    const std::vector<Line> lines = lines_of(s, names, several);
    out += fmt::format("<h2 id=\"{}\">{}</h2>\n<p>{}</p>\n", escaped(s.workload->id),
                       escaped(s.workload->title), escaped(s.workload->note));
    // Times have their distribution, and the typical one compared; else every metric.
    std::vector<std::string> metrics;
    for (const Line& l : lines)
      for (const Metric& m : l.row->metrics)
        if (m.name != "p99" && std::ranges::find(metrics, m.name) == metrics.end())
          metrics.push_back(m.name);
    for (const std::string& name : metrics) out += comparison(s, lines, name);
    out += distributions(s, lines);
    for (const auto& [run, w] : s.runs)
      out += html_table(*w, several ? fmt::format("{}: {}", letter(run), all[run].name) : "");
  }
  return out + "</body></html>\n";
}

}  // namespace spillway::bench
