#include "bars.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "table.hpp"

namespace spillway::bench {

namespace {

const Metric* find(const Workload& w, const std::string& row, const std::string& metric) {
  const auto it = std::ranges::find(w.rows, row, &Row::name);
  return it == w.rows.end() ? nullptr : it->metric(metric);
}

std::string judged(const Workload& w, const Bar& bar) {
  const std::string limit =
      std::isfinite(bar.most) ? "at most " + figure(bar.most) : "at least " + figure(bar.least);
  const Metric* const a = find(w, bar.row, bar.metric);
  const Metric* const b = find(w, bar.other, bar.metric);
  Metric ratios;
  for (std::size_t i = 0; a && b && i < std::min(a->rounds.size(), b->rounds.size()); ++i)
    if (b->rounds[i] > 0) ratios.rounds.push_back(a->rounds[i] / b->rounds[i]);
  const std::string what = fmt::format("{}: {}", bar.row, bar.metric);
  if (ratios.rounds.empty())
    return fmt::format("{} beside {} not measured ({})", what, bar.other, limit);
  const double ratio = ratios.median();
  return fmt::format("{} {} times {} ({}: {})", what, figure(ratio), bar.other, limit,
                     ratio >= bar.least && ratio <= bar.most ? "met" : "MISSED");
}

}  // namespace

std::string judged(const Workload& w, const std::vector<Bar>& bars) {
  std::string text;
  for (const Bar& bar : bars) text += (text.empty() ? "Bars: " : "; ") + judged(w, bar);
  return text + ".";
}

}  // namespace spillway::bench
