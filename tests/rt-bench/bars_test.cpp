#include "bars.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace spillway::bench;

namespace {

Workload example(const std::vector<double>& ours, const std::vector<double>& theirs) {
  Workload w{"w", "w", "", "", "ns", "", {}};
  w.rows = {{.name = "ours"}, {.name = "theirs"}};
  for (const double x : ours) w.rows[0].record("rate", "MB/s", Better::more, x);
  for (const double x : theirs) w.rows[1].record("rate", "MB/s", Better::more, x);
  return w;
}

const Bar at_least{.row = "ours", .metric = "rate", .other = "theirs", .least = 1.5};
const Bar at_most{.row = "ours", .metric = "rate", .other = "theirs", .most = 1.5};

}  // namespace

TEST_CASE("a bar is judged by the median of the ratios of each round") {
  // The ratios are 1, 2 and 0.1; the medians of the figures themselves would give 2.
  const Workload w = example({100, 20, 1}, {100, 10, 10});
  CHECK(judged(w, {at_least}) == "Bars: ours: rate 1.00 times theirs (at least 1.50: MISSED).");
  CHECK(judged(w, {at_most}) == "Bars: ours: rate 1.00 times theirs (at most 1.50: met).");
}

TEST_CASE("a bar is met at its very limit, and missed beyond") {
  CHECK(judged(example({3.0}, {2.0}), {at_least}).find(": met)") != std::string::npos);
  CHECK(judged(example({3.0}, {2.0}), {at_most}).find(": met)") != std::string::npos);
  CHECK(judged(example({2.9}, {2.0}), {at_least}).find(": MISSED)") != std::string::npos);
  CHECK(judged(example({3.1}, {2.0}), {at_most}).find(": MISSED)") != std::string::npos);
}

TEST_CASE("a bar without figures is neither met nor missed") {
  Workload w = example({1.0}, {});
  CHECK(judged(w, {at_least}) == "Bars: ours: rate beside theirs not measured (at least 1.50).");
  w.rows.pop_back();
  CHECK(judged(w, {at_least, at_most}) ==
        "Bars: ours: rate beside theirs not measured (at least 1.50); "
        "ours: rate beside theirs not measured (at most 1.50).");
}
