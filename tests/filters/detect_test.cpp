#include "spillway/filters/detect.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"
#include "timed.hpp"

namespace spillway {
namespace {

using test::bad_missing;
using test::infinity;
using test::message_of;
using test::nan;
using test::Random;
using test::run;
using test::Signal;
using test::signal;

constexpr Quality out_of_range{Verdict::suspect, Quality::out_of_range};
constexpr Quality implausible{Verdict::suspect, Quality::implausible};
constexpr Quality late{Verdict::suspect, Quality::transient};
constexpr Quality out_of_order{Verdict::suspect, Quality::time_uncertain};

// Few different values, so that neighbours are often equal; many NaN, in runs too.
Signal steps(Random& random, std::size_t frames, std::size_t lanes) {
  Signal s = random.noise(frames, lanes, 9);
  for (double& v : s.values)
    if (!std::isnan(v)) v = std::round(v * 2.0);
  for (std::size_t i = lanes; i < s.values.size(); ++i)
    if (random.below(2) == 0) {
      s.values[i] = s.values[i - lanes];
      s.quality[i] = s.quality[i - lanes];
    }
  return s;
}

// The definitions: whether sample k of one lane, which has no sample before `start`, is found.
bool found(const DetectRange& p, const std::vector<double>& x, std::size_t k, std::size_t) {
  return std::isnan(x[k]) || x[k] < p.low || x[k] > p.high;
}
bool found(const DetectSaturation& p, const std::vector<double>& x, std::size_t k, std::size_t) {
  return !std::isnan(x[k]) && (x[k] <= p.low || x[k] >= p.high);
}
bool found(const DetectStuck& p, const std::vector<double>& x, std::size_t k, std::size_t start) {
  if (k + 1 < start + p.samples) return false;
  for (std::size_t i = 1; i < p.samples; ++i)
    if (std::isnan(x[k]) || x[k - i] != x[k]) return false;
  return true;
}
bool found(const DetectJump& p, const std::vector<double>& x, std::size_t k, std::size_t start) {
  return k > start && !std::isnan(x[k]) && !std::isnan(x[k - 1]) &&
         std::abs(x[k] - x[k - 1]) > p.limit;
}

template <class Parameters>
Signal by_definition(const Parameters& p, Quality mark, const Signal& in, std::size_t gap) {
  Signal out = in;
  for (std::size_t l = 0; l < in.lanes; ++l) {
    const std::vector<double> x = in.lane(l).values;
    for (std::size_t k = 0; k < x.size(); ++k) {
      Quality& q = out.quality[k * in.lanes + l];
      if (std::isnan(x[k])) q = merge(q, bad_missing);
      if (found(p, x, k, k >= gap ? gap : 0)) q = merge(q, mark);
    }
  }
  return out;
}

template <class Filter, class Parameters>
void check_detector(const Parameters& p, Quality mark) {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (const std::size_t lanes : {1U, 3U, 8U, 16U, 17U}) {
    Signal in = steps(random, 300, lanes);
    const Filter filter(p, lanes);
    std::vector<Filter> singles(lanes, Filter(p, 1));
    test::check_laws(filter, in, random, singles);

    // A NaN that comes as Good goes out as Bad, missing.
    for (std::size_t i = 0; i < in.values.size(); i += 7)
      if (std::isnan(in.values[i])) in.quality[i] = Quality::good();
    const std::size_t gap = random.below(in.frames() + 1);
    Filter with_gap = filter;
    Signal out = run(with_gap, in.part(0, gap));
    with_gap.gap();
    out.append(run(with_gap, in.part(gap, in.frames())));
    CHECK(out == by_definition(p, mark, in, gap));

    StateWriter writer;
    filter.save_state(writer);
    Filter wider(p, lanes + 1);
    StateReader reader(writer.bytes());
    CHECK_THROWS_AS(wider.load_state(reader), Error);
  }
}

TEST_CASE("detectors mark what their definition says, values pass, laws hold") {
  check_detector<DetectRangeFilter>(DetectRange{-1.0, 1.0}, out_of_range);
  check_detector<DetectRangeFilter>(DetectRange{0.0, infinity}, out_of_range);
  check_detector<DetectSaturationFilter>(DetectSaturation{-2.0, 2.0}, out_of_range);
  for (const std::uint64_t n : {2U, 3U, 5U})
    check_detector<DetectStuckFilter>(DetectStuck{n}, implausible);
  for (const double limit : {0.5, 1.0, 3.5})
    check_detector<DetectJumpFilter>(DetectJump{limit}, implausible);
}

TEST_CASE("the limits of a range belong to it, those of a converter do not") {
  const Signal in = signal({-1.0, -1.5, 1.0, 1.5, 0.0, infinity, -infinity});
  DetectRangeFilter range({-1.0, 1.0}, 1);
  const auto good = Quality::good();
  CHECK(run(range, in).quality == std::vector<Quality>{good, out_of_range, good, out_of_range, good,
                                                       out_of_range, out_of_range});
  DetectSaturationFilter saturation({-1.0, 1.0}, 1);
  CHECK(run(saturation, in).quality == std::vector<Quality>{out_of_range, out_of_range,
                                                            out_of_range, out_of_range, good,
                                                            out_of_range, out_of_range});
}

TEST_CASE("a NaN is out of range but not saturated, and missing in any case") {
  Signal in = signal({nan});
  in.quality[0] = Quality::good();
  DetectRangeFilter range({-1.0, 1.0}, 1);
  CHECK(run(range, in).quality[0] ==
        Quality(Verdict::bad, Quality::missing | Quality::out_of_range));
  DetectSaturationFilter saturation({-1.0, 1.0}, 1);
  CHECK(run(saturation, in).quality[0] == bad_missing);
}

TEST_CASE("what is found is merged: the input's verdict and reasons stay") {
  Signal in = signal({5.0, 5.0});
  in.quality = {Quality(Verdict::bad, Quality::transient), Quality(Verdict::interpolated)};
  DetectStuckFilter stuck({2}, 1);
  CHECK(run(stuck, in).quality ==
        std::vector<Quality>{Quality(Verdict::bad, Quality::transient), implausible});
  DetectRangeFilter range({0.0, 1.0}, 1);
  CHECK(run(range, in).quality ==
        std::vector<Quality>{Quality(Verdict::bad, Quality::transient | Quality::out_of_range),
                             out_of_range});
}

TEST_CASE("stuck and jump begin anew behind a NaN and behind a gap") {
  const auto good = Quality::good();
  DetectStuckFilter stuck({2}, 1);
  CHECK(run(stuck, signal({1.0, nan, 1.0, 1.0, 0.0, -0.0})).quality ==
        std::vector<Quality>{good, bad_missing, good, implausible, good, implausible});
  stuck.gap();
  CHECK(run(stuck, signal({0.0, 0.0})).quality == std::vector<Quality>{good, implausible});

  DetectJumpFilter jump({1.0}, 1);
  CHECK(run(jump, signal({9.0, nan, 0.0, 1.0, 2.5})).quality ==
        std::vector<Quality>{good, bad_missing, good, good, implausible});
  jump.gap();
  CHECK(run(jump, signal({9.0, infinity, infinity, 0.0})).quality ==
        std::vector<Quality>{good, implausible, good, implausible});
}

// Steps of some nanoseconds, of none, of some back, and now and then of hours.
std::vector<Time> times_out_of_order(Random& random, std::size_t frames) {
  std::vector<Time> times;
  Time t(static_cast<std::int64_t>(random.below(100)) - 50);
  for (std::size_t f = 0; f < frames; ++f) {
    times.push_back(t);
    const std::int64_t longest = random.below(20) == 0 ? 10'000'000'000'000 : 20;
    t += Time(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(longest))) - 5);
    if (random.below(40) == 0) t -= Time(60);
  }
  return times;
}

TEST_CASE("the time detector marks what its definition says, values pass, laws hold") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (const std::size_t lanes : {1U, 3U, 8U, 17U})
    for (const int max_step : {0, 1, 10}) {
      const Signal in = steps(random, 300, lanes);
      const std::vector<Time> times = times_out_of_order(random, in.frames());
      const test::Timed<DetectTimeFilter> filter(
          DetectTimeFilter({std::chrono::nanoseconds(max_step)}, lanes), times);
      const std::vector<test::Timed<DetectTimeFilter>> singles(
          lanes, {DetectTimeFilter({std::chrono::nanoseconds(max_step)}, 1), times});
      test::check_laws(filter, in, random, singles);

      Signal expected = in;
      for (std::size_t k = 1; k < in.frames(); ++k) {
        Quality found;
        if (max_step > 0 && times[k] - times[k - 1] > Time(max_step)) found = merge(found, late);
        const auto here = times.begin() + static_cast<std::ptrdiff_t>(k);
        if (*here <= *std::max_element(times.begin(), here)) found = merge(found, out_of_order);
        for (std::size_t l = 0; l < lanes; ++l) {
          Quality& q = expected.quality[k * lanes + l];
          q = merge(q, found);
        }
      }
      // A gap in the numbers changes nothing: the frame before is the previous one of the stream.
      test::Timed<DetectTimeFilter> with_gap = filter;
      const std::size_t gap = random.below(in.frames() + 1);
      CHECK(test::run_over_gaps(with_gap, in, {gap}) == expected);
      test::check_state_at_gap(filter, in, gap);
    }
}

TEST_CASE("a pause marks the frame behind it, a clock set back all until it has caught up") {
  using namespace std::chrono_literals;
  const auto good = Quality::good();
  const auto qualities = [](std::chrono::nanoseconds max_step, const std::vector<Time>& times) {
    test::Timed<DetectTimeFilter> filter(DetectTimeFilter({max_step}, 1), times);
    return run(filter, signal(std::vector<double>(times.size(), 1.0))).quality;
  };
  CHECK(qualities(10ms, {0ms, 10ms, 21ms, 30ms}) == std::vector<Quality>{good, good, late, good});
  CHECK(qualities(0ms, {0ms, 10ms, 1h}) == std::vector<Quality>{good, good, good});
  CHECK(qualities(10ms, {20ms, 5ms, 15ms, 20ms, 25ms}) ==
        std::vector<Quality>{good, out_of_order, out_of_order, out_of_order, good});
  CHECK(qualities(10ms, {20ms, 0ms, 12ms, 22ms}) ==
        std::vector<Quality>{good, out_of_order, merge(late, out_of_order), good});
  // Times farther apart than an int64 of ns.
  CHECK(qualities(1ns, {Time::min(), Time::max(), Time::min()}) ==
        std::vector<Quality>{good, late, out_of_order});
}

TEST_CASE("detectors refuse parameters that find nothing or everything") {
  CHECK(message_of([] {
          DetectRangeFilter({2.0, 1.0}, 1);
        }) == "range detector: from 2 to 1; low must not be above high, nor NaN");
  CHECK_THROWS_AS(DetectRangeFilter({nan, 1.0}, 1), Error);
  CHECK_THROWS_AS(DetectRangeFilter({1.0, nan}, 1), Error);
  CHECK_NOTHROW(DetectRangeFilter({1.0, 1.0}, 1));
  CHECK(message_of([] {
          DetectSaturationFilter({1.0, 1.0}, 1);
        }) == "saturation detector: from 1 to 1; low must be below high");
  CHECK_THROWS_AS(DetectSaturationFilter({1.0, nan}, 1), Error);
  CHECK(message_of([] { DetectStuckFilter({1}, 1); }) ==
        "stuck detector: 1 samples; at least 2 are needed to be equal");
  CHECK(message_of([] { DetectJumpFilter({0.0}, 1); }) ==
        "jump detector: a limit of 0; it must be finite and above 0");
  for (const double limit : {-1.0, nan, infinity})
    CHECK_THROWS_AS(DetectJumpFilter({limit}, 1), Error);
  CHECK(message_of([] {
          DetectRangeFilter({0.0, 1.0}, 0);
        }) == "range detector: 0 lanes; at least 1 is needed");
  CHECK_THROWS_AS(DetectSaturationFilter({0.0, 1.0}, 0), Error);
  CHECK_THROWS_AS(DetectStuckFilter({2}, 0), Error);
  CHECK_THROWS_AS(DetectJumpFilter({1.0}, 0), Error);
  CHECK(message_of([] { DetectTimeFilter({std::chrono::nanoseconds(-1)}, 1); }) ==
        "time detector: a max_step of -1 ns; it must not be negative");
  CHECK_THROWS_AS(DetectTimeFilter({}, 0), Error);
}

}  // namespace
}  // namespace spillway
