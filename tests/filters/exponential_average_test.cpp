#include "spillway/filters/exponential_average.hpp"

#include <chrono>
#include <cmath>
#include <optional>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"
#include "timed.hpp"

namespace spillway {
namespace {

using namespace std::chrono_literals;
using test::bad_missing;
using test::nan;
using test::Random;
using test::run;
using test::run_over_gaps;
using test::Signal;
using test::signal;
using test::Timed;
using test::unsettled;

using Averages = std::vector<ExponentialAverageFilter>;
const Rate kilohertz(1000, 1);

ExponentialAverage any_parameters(Random& random, bool by_time) {
  ExponentialAverage p;
  if (by_time)
    p.time_constant = std::chrono::nanoseconds(1 + random.below(50'000'000));
  else
    p.alpha = random.below(10) == 0 ? 1.0 : 0.5 * (random.uniform() + 1.0) + 1e-9;
  p.initial = random.below(2) == 0 ? Initial::zero : Initial::steady;
  p.nan = random.below(2) == 0 ? NanPolicy::hold : NanPolicy::reset;
  p.gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
  return p;
}

// One lane by definition, in long double. `clock` is what the settling is counted in; gaps
// are before the frames in `gaps`.
Signal by_definition(const ExponentialAverage& p, const Signal& in,
                     const std::vector<long double>& alphas,
                     const std::vector<std::uint64_t>& clock, std::uint64_t settling,
                     const std::vector<std::size_t>& gaps) {
  struct Cause {
    std::uint64_t until;  // exclusive
    Quality leaves;
  };
  Signal out = in;
  std::vector<Cause> causes;
  long double y = 0.0L;
  double held = 0.0;
  bool primed = p.initial == Initial::zero;
  if (primed) causes.push_back({clock[0] + settling, unsettled});
  for (std::size_t k = 0; k < in.values.size(); ++k) {
    bool restarted = k == 0;
    for (const std::size_t gap : gaps) {
      if (gap != k) continue;
      if (p.gap == GapPolicy::reset) {
        restarted = true;
        causes.clear();
        y = 0.0L;
        held = 0.0;
        primed = p.initial == Initial::zero;
      }
      causes.push_back({clock[k] + settling, unsettled});
    }
    const double x = in.values[k];
    const bool valid = std::isfinite(x);
    const Quality input = valid ? in.quality[k] : merge(in.quality[k], bad_missing);
    Quality q = input;
    for (const Cause& c : causes)
      if (clock[k] < c.until) q = merge(q, c.leaves);
    const bool is_doubtful = input.verdict() > Verdict::interpolated;
    causes.push_back(
        {clock[k] + settling + 1,
         is_doubtful ? merge(unsettled, Quality(Verdict::suspect, input.reasons())) : input});
    const long double alpha = p.alpha > 0.0 || !restarted ? alphas[k] : 0.0L;
    if (valid) held = x;
    if (valid && !primed) {
      primed = true;
      y = x;
    }
    if (!valid && p.nan == NanPolicy::reset) {
      y = 0.0L;
      out.values[k] = nan;
    } else {
      y += alpha * (held - y);
      out.values[k] = static_cast<double>(y);
    }
    out.quality[k] = q;
  }
  return out;
}

void check_close(const Signal& actual, const Signal& expected) {
  for (std::size_t k = 0; k < expected.values.size(); ++k) {
    const double a = actual.values[k];
    const double e = expected.values[k];
    if (std::abs(a - e) <= 1e-13 || (std::isnan(a) && std::isnan(e))) continue;
    FAIL_CHECK("index " << k << ": actual " << a << ", expected " << e);
    break;
  }
  CHECK(actual.quality == expected.quality);
}

TEST_CASE("exponential average is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 200; ++round) {
    INFO("seed " << seed << ", round " << round);
    const bool by_time = round % 2 == 0;
    const ExponentialAverage p = any_parameters(random, by_time);
    const std::size_t frames = 200 + random.below(400);
    const Signal in = random.noise(frames, 1, random.below(3) == 0 ? 0 : 40);
    const std::vector<Time> times = test::uneven_times(random, frames);
    const std::vector<std::size_t> gaps = test::any_gaps(random, frames);
    std::vector<long double> alphas;
    std::vector<std::uint64_t> clock;
    for (std::size_t k = 0; k < frames; ++k) {
      clock.push_back(by_time ? static_cast<std::uint64_t>((times[k] - times[0]).count()) : k);
      const long double step = k == 0 ? 0.0L : static_cast<long double>(clock[k] - clock[k - 1]);
      alphas.push_back(by_time
                           ? -std::expm1(-step / static_cast<long double>(p.time_constant.count()))
                           : static_cast<long double>(p.alpha));
    }
    const ExponentialAverageFilter filter(p, std::nullopt, 1);
    Timed timed(filter, times);
    check_close(run_over_gaps(timed, in, gaps),
                by_definition(p, in, alphas, clock, filter.settling(), gaps));
  }
}

TEST_CASE("exponential average keeps the laws: blocks, saved state, lanes, reset") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  const std::size_t lane_counts[] = {1, 3, 8, 16, 17};
  for (int round = 0; round < 60; ++round) {
    INFO("seed " << seed << ", round " << round);
    const ExponentialAverage p = any_parameters(random, round % 2 == 0);
    const std::size_t lanes = lane_counts[round % 5];
    Signal in = random.noise(1 + random.below(500), lanes, round % 3 == 0 ? 0 : 200);
    if (round % 4 == 0) in.values[random.below(in.values.size())] = test::infinity;
    if (round % 4 == 1) in.values[random.below(in.values.size())] = -1.7e308;
    if (round % 4 == 1) in.values[random.below(in.values.size())] = 1.7e308;
    const std::vector<Time> times = test::uneven_times(random, in.frames());
    using Filter = Timed<ExponentialAverageFilter>;
    test::check_laws(
        Filter(ExponentialAverageFilter(p, std::nullopt, lanes), times), in, random,
        std::vector<Filter>(lanes, Filter(ExponentialAverageFilter(p, std::nullopt, 1), times)));
    test::check_state_at_gap(Filter(ExponentialAverageFilter(p, std::nullopt, lanes), times), in,
                             random.below(in.frames()));
  }
}

TEST_CASE("a regular stream has the bits of an irregular one with even times") {
  Random random(11);
  for (const auto tau : {1ns, 300000ns, 20000000ns, 7777777777ns}) {
    const ExponentialAverage p{.time_constant = tau};
    const Signal in = random.noise(500, 2, 0);
    ExponentialAverageFilter regular(p, kilohertz, 2);
    Timed irregular(ExponentialAverageFilter(p, std::nullopt, 2), test::even_times(500, 1ms));
    CHECK(run(regular, in) == run(irregular, in));
  }
}

TEST_CASE("alpha follows the time within 2 ulp, from one nanosecond to a thousand years") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  double worst = 0.0;
  for (int round = 0; round < 20000; ++round) {
    const auto tau = static_cast<std::int64_t>(std::exp2(30.0 + 10.0 * random.uniform()));
    const auto step = static_cast<std::int64_t>(static_cast<double>(tau) *
                                                std::exp2(-12.0 + 17.5 * random.uniform()));
    if (step < 1) continue;
    ExponentialAverageFilter filter({.time_constant = Time(tau), .initial = Initial::zero},
                                    std::nullopt, 1);
    Timed timed(filter, {Time(0), Time(step)});
    const double alpha = run(timed, signal({0.0, 1.0})).values[1];
    const double u = static_cast<double>(step) / static_cast<double>(tau);
    const long double exact = -std::expm1(-static_cast<long double>(u));
    const double ulp = std::nextafter(alpha, 2.0) - alpha;
    worst = std::max(worst, static_cast<double>(std::abs(alpha - exact)) / ulp);
  }
  INFO("seed " << seed << ", worst " << worst << " ulp");
  CHECK(worst < 2.0);
}

TEST_CASE("exponential average: a long pause forgets everything, a step that is none nothing") {
  ExponentialAverageFilter filter({.time_constant = 1s}, std::nullopt, 1);
  const Time far(std::int64_t{9'000'000'000'000'000'000});
  Timed timed(filter, {-far, -far, -far - 1s, far, far + 1s});
  const Signal out = run(timed, signal({1.0, 5.0, 5.0, 7.0, 7.0}));
  CHECK(out.values == std::vector<double>{1.0, 1.0, 1.0, 7.0, 7.0});
}

TEST_CASE("exponential average: hold repeats the last valid value, reset starts from zero") {
  ExponentialAverageFilter hold({.alpha = 0.5, .initial = Initial::zero}, std::nullopt, 1);
  CHECK(run(hold, signal({nan, 8, nan, 8, test::infinity})).values ==
        std::vector<double>{0, 4, 6, 7, 7.5});
  ExponentialAverageFilter reset({.alpha = 0.5, .nan = NanPolicy::reset}, std::nullopt, 1);
  const Signal out = run(reset, signal({nan, 8, 8, nan, 8}));
  CHECK(test::same_bits(out.values, {nan, 8, 8, nan, 4}));
  CHECK(out.quality[3] == merge(bad_missing, unsettled));
}

TEST_CASE("exponential average: an overflow is one Bad value, and forgotten") {
  std::vector<double> values(60, 1.0);
  values[20] = 1.7e308;
  values[21] = -1.7e308;
  ExponentialAverageFilter filter({.alpha = 0.9}, std::nullopt, 1);
  const Signal out = run(filter, signal(values));
  for (std::size_t k = 0; k < values.size(); ++k) CHECK(std::isnan(out.values[k]) == (k == 21));
  CHECK(out.quality[21] == Quality(Verdict::bad, Quality::out_of_range));
  CHECK(out.quality[22] == Quality(Verdict::suspect, Quality::transient | Quality::out_of_range));
  CHECK(out.values.back() == Approx(1.0));
  CHECK(out.quality.back().is_good());
}

TEST_CASE("exponential average: settling is the smallest count that leaves a thousandth") {
  for (const double alpha : {1.0, 0.999, 0.5, 0.01, 1e-5}) {
    const ExponentialAverageFilter filter({.alpha = alpha}, std::nullopt, 1);
    const auto n = static_cast<double>(filter.settling());
    CHECK(std::pow(1.0 - alpha, n) <= 1.001e-3);
    CHECK(std::pow(1.0 - alpha, n - 1.0) > 0.999e-3);
    CHECK(filter.delay() == (1.0 - alpha) / alpha);
  }
  CHECK(ExponentialAverageFilter({.alpha = 1e-300}, std::nullopt, 1).settling() ==
        max_settling_samples);
  const ExponentialAverageFilter timed({.time_constant = 1s}, std::nullopt, 1);
  CHECK(timed.settling() == 6'907'755'279);
  CHECK(timed.delay() == 0.0);
  CHECK(timed.alpha() == 0.0);
  CHECK(ExponentialAverageFilter({.time_constant = 1s}, kilohertz, 1).alpha() ==
        Approx(1.0 - std::exp(-1e-3)).epsilon(1e-12));
}

TEST_CASE("exponential average leaves no denormal numbers") {
  ExponentialAverageFilter filter({.alpha = 0.1, .initial = Initial::zero}, std::nullopt, 1);
  std::vector<double> values(10000, 0.0);
  values[0] = 1.0;
  for (const double y : run(filter, signal(values)).values) REQUIRE((y == 0.0 || y > 1e-291));
}

TEST_CASE("exponential average refuses what makes no sense") {
  using Catch::Matchers::Contains;
  const auto message = [](const ExponentialAverage& p, std::size_t lanes = 1) {
    return test::message_of([&] { ExponentialAverageFilter(p, kilohertz, lanes); });
  };
  CHECK(message({.alpha = 0.5}).empty());
  CHECK(message({.time_constant = 1ns}).empty());
  CHECK_THAT(message({}), Contains("one of alpha and the time constant"));
  CHECK_THAT(message({.alpha = 0.5, .time_constant = 1s}), Contains("one of alpha"));
  for (const double alpha : {-0.1, 1.01, nan, test::infinity})
    CHECK_THAT(message({.alpha = alpha}), Contains("an alpha of"));
  CHECK_THAT(message({.time_constant = -1s}), Contains("a time constant of -1000000000 ns"));
  CHECK_THAT(message({.alpha = 0.5, .nan = NanPolicy::ignore}), Contains("hold or reset"));
  CHECK_THAT(message({.alpha = 0.5, .nan = NanPolicy::propagate}), Contains("hold or reset"));
  CHECK_THAT(message({.alpha = 0.5}, 0), Contains("lane"));

  StateWriter writer;
  ExponentialAverageFilter({.alpha = 0.5}, std::nullopt, 2).save_state(writer);
  StateReader reader(writer.bytes());
  ExponentialAverageFilter other({.alpha = 0.25}, std::nullopt, 2);
  CHECK_THAT(test::message_of([&] { other.load_state(reader); }),
             Contains("alpha 0.5 and 2 lanes"));
}

}  // namespace
}  // namespace spillway
