#include "spillway/filters/moving_average.hpp"

#include <chrono>
#include <cmath>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::ignored;
using test::nan;
using test::Random;
using test::run;
using test::Signal;
using test::signal;
using test::unsettled;

// The definition, sample by sample, in long double; gaps at the frames in `gaps`.
Signal by_definition(const MovingAverage& spec, const Signal& in,
                     const std::vector<std::size_t>& gaps = {}) {
  Signal out = in;
  const std::size_t n = spec.window;
  for (std::size_t k = 0; k < in.frames(); ++k) {
    std::size_t start = 0;  // of what the filter knows
    bool spans_gap = false;
    for (std::size_t gap : gaps) {
      if (gap > k) break;
      if (spec.gap == GapPolicy::reset) start = gap;
      spans_gap = k - gap + 1 < n;
    }
    const std::size_t from = k + 1 >= start + n ? k + 1 - n : start;
    long double sum = 0.0L;
    std::size_t valid = 0;
    Quality quality;
    for (std::size_t i = from; i <= k; ++i) {
      if (spec.nan == NanPolicy::ignore && std::isnan(in.values[i])) {
        quality = merge(quality, ignored(in.quality[i]));
        continue;
      }
      quality = merge(quality, in.quality[i]);
      sum += in.values[i];
      ++valid;
    }
    double y = valid == 0 ? nan : static_cast<double>(sum / static_cast<long double>(valid));
    if (spec.warm_up == WarmUp::nan && k + 1 - from < n) {
      y = nan;
      quality = merge(quality, unsettled);
    } else if (std::isnan(y)) {
      quality = merge(quality, test::bad_missing);
    }
    if (spans_gap) quality = merge(quality, unsettled);
    out.values[k] = y;
    out.quality[k] = quality;
  }
  return out;
}

void check_close(const Signal& actual, const Signal& expected, double tolerance) {
  for (std::size_t k = 0; k < expected.values.size(); ++k) {
    const double a = actual.values[k];
    const double e = expected.values[k];
    if (std::abs(a - e) <= tolerance || (std::isnan(a) && std::isnan(e))) continue;
    FAIL_CHECK("index " << k << ": actual " << a << ", expected " << e);
    break;
  }
  CHECK(actual.quality == expected.quality);
}

MovingAverage any_spec(Random& random) {
  return {.window = 1 + random.below(random.below(2) == 0 ? 6 : 90),
          .warm_up = random.below(2) == 0 ? WarmUp::grow : WarmUp::nan,
          .nan = random.below(2) == 0 ? NanPolicy::propagate : NanPolicy::ignore,
          .gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold};
}

TEST_CASE("moving average is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 300; ++round) {
    const MovingAverage spec = any_spec(random);
    INFO("seed " << seed << ", round " << round << ", window " << spec.window);
    const Signal in = random.noise(1 + random.below(400), 1, random.below(2) == 0 ? 0 : 20);
    std::vector<std::size_t> gaps;
    for (std::size_t at = random.below(200); at < in.frames(); at += 1 + random.below(200))
      gaps.push_back(at);

    MovingAverageFilter filter(spec, 1);
    Signal out{{}, {}, 1};
    std::size_t done = 0;
    for (std::size_t gap : gaps) {
      out.append(run(filter, in.part(done, gap)));
      filter.gap();
      done = gap;
    }
    out.append(run(filter, in.part(done, in.frames())));
    check_close(out, by_definition(spec, in, gaps), 1e-14);
  }
}

TEST_CASE("moving average keeps the laws: blocks, saved state, lanes, reset") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    INFO("seed " << seed << ", round " << round);
    const MovingAverage spec = any_spec(random);
    const std::size_t lanes = 1 + random.below(9);
    test::check_laws(MovingAverageFilter(spec, lanes),
                     random.noise(1 + random.below(300), lanes, 15), random,
                     std::vector<MovingAverageFilter>(lanes, MovingAverageFilter(spec, 1)));
  }
}

TEST_CASE("moving average forgets NaN and infinity the moment they leave the window") {
  for (double odd : {nan, test::infinity, -test::infinity, 1e300}) {
    INFO(odd);
    std::vector<double> values(40, 1.0);
    values[13] = odd;
    MovingAverageFilter filter({.window = 8}, 1);
    const Signal out = run(filter, signal(values));
    for (std::size_t k = 0; k < values.size(); ++k) {
      const bool inside = k >= 13 && k < 21;
      CHECK((out.values[k] == 1.0) == !inside);
      CHECK(out.quality[k] == (inside && std::isnan(odd) ? test::bad_missing : Quality::good()));
    }
  }
}

TEST_CASE("a NaN from infinities of both signs is not called good") {
  MovingAverageFilter filter({.window = 2}, 1);
  const Signal out = run(filter, signal({test::infinity, -test::infinity, 0.0, 0.0}));
  CHECK(std::isnan(out.values[1]));
  CHECK(out.quality == std::vector<Quality>{{}, test::bad_missing, {}, {}});
}

TEST_CASE("a NaN that claims to be good is not averaged into a good NaN") {
  MovingAverageFilter filter({.window = 2}, 1);
  Signal in = signal({1.0, nan, 1.0, 1.0});
  in.quality[1] = Quality::good();
  CHECK(run(filter, in).quality ==
        std::vector<Quality>{{}, test::bad_missing, test::bad_missing, {}});
}

TEST_CASE("a NaN that a moving average ignores leaves a mean of fewer, which is suspect, missing") {
  const Quality suspect_missing(Verdict::suspect, Quality::missing);
  MovingAverageFilter filter({.window = 2, .nan = NanPolicy::ignore}, 1);
  Signal in = signal({1.0, nan, nan, 3.0, 5.0});
  in.quality[2] = Quality::good();  // whatever it claims
  const Signal out = run(filter, in);
  CHECK(test::same_bits(out.values, {1.0, 1.0, nan, 3.0, 4.0}));
  CHECK(out.quality ==
        std::vector<Quality>{{}, suspect_missing, test::bad_missing, suspect_missing, {}});

  // Its own reasons stay, and a value that is bad remains so.
  in = signal({nan, 1.0, 2.0});
  in.quality = {Quality(Verdict::bad, Quality::missing | Quality::calibration), Quality::good(),
                Quality(Verdict::bad, Quality::implausible)};
  filter.reset();
  CHECK(run(filter, in).quality ==
        std::vector<Quality>{Quality(Verdict::bad, Quality::missing | Quality::calibration),
                             Quality(Verdict::suspect, Quality::missing | Quality::calibration),
                             Quality(Verdict::bad, Quality::implausible)});
}

TEST_CASE("moving average does not drift: after 1e9 a small signal is exact again") {
  std::vector<double> values(30000);
  for (std::size_t k = 0; k < values.size(); ++k) values[k] = k < 15000 ? 1e9 / 3.0 : 0.125;
  MovingAverageFilter filter({.window = 100}, 1);
  const Signal out = run(filter, signal(values));
  for (std::size_t k = 15099; k < values.size(); ++k) REQUIRE(out.values[k] == 0.125);
}

TEST_CASE("moving average flags exactly the outputs that span a gap") {
  for (GapPolicy policy : {GapPolicy::reset, GapPolicy::hold}) {
    MovingAverageFilter filter({.window = 4, .gap = policy}, 1);
    CHECK(run(filter, signal({4, 4, 4, 4, 4})).quality == std::vector<Quality>(5));
    filter.gap();
    const Signal out = run(filter, signal({8, 8, 8, 8, 8}));
    CHECK(out.quality == std::vector<Quality>{unsettled, unsettled, unsettled, {}, {}});
    CHECK(out.values == (policy == GapPolicy::reset ? std::vector<double>{8, 8, 8, 8, 8}
                                                    : std::vector<double>{5, 6, 7, 8, 8}));
    filter.reset();
    CHECK(run(filter, signal({1, 1})).quality == std::vector<Quality>(2));
  }
}

TEST_CASE("the cost of a moving average does not depend on its window") {
  const auto seconds = [](std::uint64_t window) {
    MovingAverageFilter filter({.window = window}, 4);
    const Signal in = Random(1).noise(1 << 16, 4, 0);
    (void)run(filter, in);
    const auto start = std::chrono::steady_clock::now();
    (void)run(filter, in);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const double narrow = seconds(4);
  const double wide = seconds(1 << 14);
  INFO("window 4: " << narrow << " s, window 16384: " << wide << " s");
  CHECK(wide < 50 * narrow + 0.01);  // 4096 times were it proportional; generous for busy machines
}

TEST_CASE("moving average says its delay") {
  CHECK(MovingAverageFilter({.window = 1}, 1).delay() == 0.0);
  CHECK(MovingAverageFilter({.window = 32}, 1).delay() == 15.5);
}

TEST_CASE("moving average refuses what it can't do") {
  using Catch::Matchers::Contains;
  const auto message = [](const MovingAverage& spec, std::size_t lanes) {
    return test::message_of([&] { MovingAverageFilter(spec, lanes); });
  };
  CHECK_THAT(message({.window = 0}, 1), Contains("window of 0") && Contains("1 to 268435456"));
  CHECK_THAT(message({.window = (std::uint64_t{1} << 28) + 1}, 1), Contains("268435457"));
  CHECK_THAT(message({.window = 2, .nan = NanPolicy::hold}, 1), Contains("propagate or ignore"));
  CHECK_THAT(message({.window = 2, .nan = NanPolicy::reset}, 1), Contains("propagate or ignore"));
  CHECK_THAT(message({.window = 2}, 0), Contains("lane"));
}

TEST_CASE("moving average refuses the state of another one and stays as it was") {
  MovingAverageFilter other({.window = 6}, 2);
  StateWriter writer;
  other.save_state(writer);
  MovingAverageFilter filter({.window = 4}, 3);
  StateReader reader(writer.bytes());
  CHECK_THAT(test::message_of([&] { filter.load_state(reader); }),
             Catch::Matchers::Contains("window of 6 samples and 2 lanes"));
  MovingAverageFilter ignoring({.window = 6, .nan = NanPolicy::ignore}, 2);
  StateReader again(writer.bytes());
  CHECK_THROWS_AS(ignoring.load_state(again), Error);
}

}  // namespace
}  // namespace spillway
