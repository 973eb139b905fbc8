#include "spillway/filters/calculus.hpp"

#include <algorithm>
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

using Gaps = std::vector<std::size_t>;
const Rate kilohertz(1000, 1);
constexpr std::size_t lane_counts[] = {1, 3, 8, 16, 17};

// In seconds, in long double.
std::vector<long double> seconds(const std::vector<Time>& times) {
  std::vector<long double> s;
  for (const Time t : times) s.push_back(static_cast<long double>(t.count()) / 1e9L);
  return s;
}

bool is_gap(const Gaps& gaps, std::size_t k) { return std::ranges::count(gaps, k) > 0; }

// Rounding errors of the results relative to their size: the steps go down to nanoseconds.
void check_close(const Signal& actual, const Signal& expected) {
  for (std::size_t k = 0; k < expected.values.size(); ++k) {
    const double a = actual.values[k];
    const double e = expected.values[k];
    if (std::abs(a - e) <= 1e-9 + 1e-6 * std::abs(e) || (std::isnan(a) && std::isnan(e))) continue;
    FAIL_CHECK("index " << k << ": actual " << a << ", expected " << e);
    break;
  }
  CHECK(actual.quality == expected.quality);
}

// The derivative, at the middle sample for the central scheme, by the formula of Lagrange.
Signal derivative_by_definition(const Derivative& p, const Signal& in,
                                const std::vector<long double>& t, const Gaps& gaps) {
  const std::size_t needed = p.scheme == Difference::central ? 2 : 1;
  Signal out = in;
  std::size_t start = 0;
  std::size_t last_gap = 0;
  for (std::size_t k = 0; k < in.values.size(); ++k) {
    if (is_gap(gaps, k)) {
      if (p.gap == GapPolicy::reset) start = k;
      last_gap = k;
    }
    Quality q = in.quality[k];
    const std::size_t back = std::min(needed, k - start);
    bool finite = true;
    for (std::size_t i = 0; i <= back; ++i) {
      q = merge(q, in.quality[k - i]);
      finite = finite && std::isfinite(in.values[k - i]);
    }
    if (back < needed || (last_gap > start && k - last_gap < needed)) q = merge(q, unsettled);
    out.quality[k] = back < needed || finite ? q : merge(q, bad_missing);
    out.values[k] = nan;
    if (back < needed || !finite) continue;
    const auto x = [&](std::size_t i) { return static_cast<long double>(in.values[k - i]); };
    long double d = 0.0L;
    if (needed == 1) {
      d = (x(0) - x(1)) / (t[k] - t[k - 1]);
    } else {
      const long double a = t[k - 2], b = t[k - 1], c = t[k];
      d = x(2) * (b - c) / ((a - b) * (a - c)) + x(1) * (2 * b - a - c) / ((b - a) * (b - c)) +
          x(0) * (b - a) / ((c - a) * (c - b));
    }
    out.values[k] = static_cast<double>(d);
  }
  return out;
}

Derivative any_derivative(Random& random) {
  return {.scheme = random.below(2) == 0 ? Difference::backward : Difference::central,
          .gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold};
}

Integral any_integral(Random& random) {
  return {.initial = random.below(2) == 0 ? 0.0 : random.uniform(),
          .nan = random.below(2) == 0 ? NanPolicy::hold : NanPolicy::reset,
          .gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold};
}

TEST_CASE("derivative is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 200; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Derivative p = any_derivative(random);
    const std::size_t frames = 1 + random.below(500);
    const Signal in = random.noise(frames, 1, random.below(3) == 0 ? 0 : 40);
    const Gaps gaps = test::any_gaps(random, frames);
    if (round % 2 == 0) {
      const std::vector<Time> times = test::uneven_times(random, frames);
      Timed filter(DerivativeFilter(p, std::nullopt, 1), times);
      check_close(run_over_gaps(filter, in, gaps),
                  derivative_by_definition(p, in, seconds(times), gaps));
    } else {
      DerivativeFilter filter(p, kilohertz, 1);
      check_close(run_over_gaps(filter, in, gaps),
                  derivative_by_definition(p, in, seconds(test::even_times(frames, 1ms)), gaps));
    }
  }
}

TEST_CASE("derivative and integral keep the laws: blocks, saved state, lanes, reset") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    INFO("seed " << seed << ", round " << round);
    const std::size_t lanes = lane_counts[round % 5];
    Signal in = random.noise(1 + random.below(400), lanes, round % 3 == 0 ? 0 : 60);
    for (int n = 0; n < 4; ++n) {
      const double odd[] = {test::infinity, -1.7e308, 1.7e308, 1.7e308};
      if (round % 4 != 0) in.values[random.below(in.values.size())] = odd[n];
    }
    const std::vector<Time> times = test::uneven_times(random, in.frames());
    const Derivative d = any_derivative(random);
    using D = Timed<DerivativeFilter>;
    test::check_laws(D(DerivativeFilter(d, std::nullopt, lanes), times), in, random,
                     std::vector<D>(lanes, D(DerivativeFilter(d, std::nullopt, 1), times)));
    test::check_laws(DerivativeFilter(d, kilohertz, lanes), in, random,
                     std::vector(lanes, DerivativeFilter(d, kilohertz, 1)));
    const Integral i = any_integral(random);
    using I = Timed<IntegralFilter>;
    test::check_laws(I(IntegralFilter(i, std::nullopt, lanes), times), in, random,
                     std::vector<I>(lanes, I(IntegralFilter(i, std::nullopt, 1), times)));
    test::check_laws(IntegralFilter(i, kilohertz, lanes), in, random,
                     std::vector(lanes, IntegralFilter(i, kilohertz, 1)));
    test::check_state_at_gap(D(DerivativeFilter(d, std::nullopt, lanes), times), in,
                             random.below(in.frames()));
    test::check_state_at_gap(I(IntegralFilter(i, std::nullopt, lanes), times), in,
                             random.below(in.frames()));
  }
}

TEST_CASE("derivative and integral: even times give the bits of a regular stream") {
  Random random(5);
  const Signal in = random.noise(300, 2, 30);
  const std::vector<Time> times = test::even_times(300, 1ms);
  for (const Difference scheme : {Difference::backward, Difference::central}) {
    DerivativeFilter regular({.scheme = scheme}, kilohertz, 2);
    Timed irregular(DerivativeFilter({.scheme = scheme}, std::nullopt, 2), times);
    CHECK(run(regular, in) == run(irregular, in));
  }
  IntegralFilter regular({}, kilohertz, 2);
  Timed irregular(IntegralFilter({}, std::nullopt, 2), times);
  CHECK(run(regular, in) == run(irregular, in));
}

TEST_CASE("the central scheme is exact for a parabola, at uneven times, one sample late") {
  Random random(17);
  std::vector<Time> times{0ms};
  while (times.size() < 200)
    times.push_back(times.back() + (1 + static_cast<std::int64_t>(random.below(50))) * 1ms);
  std::vector<double> values;
  const std::vector<long double> t = seconds(times);
  for (const long double s : t) values.push_back(static_cast<double>(3.0L * s * s - 2.0L * s + 1));
  Timed filter(DerivativeFilter({.scheme = Difference::central}, std::nullopt, 1), times);
  const Signal out = run(filter, signal(values));
  for (std::size_t k = 2; k < values.size(); ++k)
    REQUIRE(out.values[k] == Approx(static_cast<double>(6.0L * t[k - 1] - 2.0L)).epsilon(1e-10));

  // Offline the same bits, at the sample they belong to.
  const std::vector<double> offline = derivative_central(values, times);
  REQUIRE(offline.size() == values.size());
  for (std::size_t k = 2; k < values.size(); ++k) REQUIRE(offline[k - 1] == out.values[k]);
  CHECK(offline[0] == (values[1] - values[0]) / static_cast<double>(t[1]));
  CHECK(derivative_central(std::vector<double>{1, 4}, Rate(2, 1)) == std::vector<double>{6, 6});
}

TEST_CASE("derivative: a step that is not forward in time is Bad, time uncertain") {
  constexpr Quality bad_time(Verdict::bad, Quality::time_uncertain);
  const std::vector<Time> times{0s, 1s, 1s, 2s, 0s, 4s};
  Timed backward(DerivativeFilter({}, std::nullopt, 1), times);
  const Signal b = run(backward, signal({0, 1, 2, 3, 4, 8}));
  CHECK(test::same_bits(b.values, {nan, 1, nan, 1, nan, 1}));
  CHECK(b.quality[2] == bad_time);
  CHECK(b.quality[4] == bad_time);
  Timed central(DerivativeFilter({.scheme = Difference::central}, std::nullopt, 1), times);
  const Signal c = run(central, signal({0, 1, 2, 3, 4, 8}));
  for (std::size_t k = 2; k < 6; ++k) CHECK(c.quality[k] == bad_time);
}

TEST_CASE("derivative: an overflow is Bad, out of range, and forgotten") {
  DerivativeFilter filter({}, kilohertz, 1);
  const Signal out = run(filter, signal({1.7e308, -1.7e308, 1, 2, test::infinity, 2, 3}));
  CHECK(out.quality[1] == Quality(Verdict::bad, Quality::out_of_range));
  CHECK(out.quality[2] == Quality(Verdict::bad, Quality::out_of_range));
  CHECK(out.quality[3].is_good());
  CHECK(out.quality[4] == bad_missing);
  CHECK(out.quality[5] == bad_missing);
  CHECK(out.quality[6].is_good());
  CHECK(test::same_bits(out.values, {nan, nan, nan, 1.0 / 0.001, nan, nan, 1.0 / 0.001}));
}

Signal integral_by_definition(const Integral& p, const Signal& in,
                              const std::vector<long double>& t, const Gaps& gaps) {
  Signal out = in;
  long double sum = p.initial;
  double held = 0.0;
  bool running = false;  // there is a value before
  Quality past;
  for (std::size_t k = 0; k < in.values.size(); ++k) {
    bool joined = k > 0;
    const auto start = [&] {
      sum = p.initial;
      held = 0.0;
      running = false;
      past = Quality::good();
    };
    if (is_gap(gaps, k)) {
      joined = false;
      if (p.gap == GapPolicy::reset) start();
      if (running) past = merge(past, Quality(Verdict::suspect, Quality::missing));
    }
    const double x = in.values[k];
    const Quality q = std::isnan(x) ? merge(in.quality[k], bad_missing) : in.quality[k];
    if (std::isnan(x) && p.nan == NanPolicy::reset) {
      start();
      out.values[k] = nan;
      out.quality[k] = q;
      continue;
    }
    const double value = std::isnan(x) ? held : x;
    if (joined && running)
      sum += (t[k] - t[k - 1]) * (static_cast<long double>(held) + value) / 2.0L;
    held = value;
    running = true;
    out.values[k] = static_cast<double>(sum);
    out.quality[k] = merge(past, q);
    const Verdict verdict = q.verdict() == Verdict::bad ? Verdict::suspect : q.verdict();
    past = merge(past, Quality(verdict, q.reasons()));
  }
  return out;
}

TEST_CASE("integral is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 200; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Integral p = any_integral(random);
    const std::size_t frames = 1 + random.below(500);
    const Signal in = random.noise(frames, 1, random.below(3) == 0 ? 0 : 100);
    const Gaps gaps = random.below(2) == 0 ? Gaps{} : test::any_gaps(random, frames);
    if (round % 2 == 0) {
      const std::vector<Time> times = test::uneven_times(random, frames);
      Timed filter(IntegralFilter(p, std::nullopt, 1), times);
      check_close(run_over_gaps(filter, in, gaps),
                  integral_by_definition(p, in, seconds(times), gaps));
    } else {
      IntegralFilter filter(p, kilohertz, 1);
      check_close(run_over_gaps(filter, in, gaps),
                  integral_by_definition(p, in, seconds(test::even_times(frames, 1ms)), gaps));
    }
  }
}

TEST_CASE("an integral of ten million samples is as precise as one of ten") {
  const Rate rate(1024, 1);  // an exact period
  IntegralFilter filter({}, rate, 1);
  const double x = 0.1;
  Signal block = signal(std::vector<double>(10000, x));
  Signal out = block;
  double plain = 0.0;
  for (int n = 0; n < 1000; ++n) {
    filter.process({block.values, block.quality, 1}, {out.values, out.quality, 1});
    for (int k = 0; k < 10000; ++k) plain += x / 1024.0;
  }
  plain -= x / 1024.0;
  const double exact = x * (1e7 - 1.0) / 1024.0;
  CHECK(std::abs(out.values.back() - exact) <= 4e-16 * exact);
  CHECK(std::abs(plain - exact) > 1e-12 * exact);  // what it is about
}

TEST_CASE("integral: small areas beside a large sum are not lost") {
  IntegralFilter filter({.initial = 1e16}, Rate(1, 1), 1);
  std::vector<double> values(1001, 0.5);
  CHECK(run(filter, signal(values)).values.back() == 1e16 + 500.0);
}

TEST_CASE("integral: an overflow is Bad, out of range, and the lane starts anew") {
  IntegralFilter filter({.initial = 2.0}, Rate(1, 1000), 1);
  const Signal out = run(filter, signal({1e308, 1e308, 1, 2}));
  CHECK(test::same_bits(out.values, {2, nan, 2, 1502}));
  CHECK(out.quality[1] == Quality(Verdict::bad, Quality::out_of_range));
  CHECK(out.quality[2].is_good());
}

TEST_CASE("integral: a gap before a lane's first sample took nothing from it") {
  IntegralFilter filter({.nan = NanPolicy::reset}, Rate(1, 1), 2);
  filter.gap();
  (void)run(filter, signal({1, 1, 1, nan}, 2));
  filter.gap();
  const Signal out = run(filter, signal({1, 1}, 2));
  CHECK(out.quality[0] == Quality(Verdict::suspect, Quality::missing));
  CHECK(out.quality[1].is_good());
}

TEST_CASE("integral: no step, no area") {
  Timed filter(IntegralFilter({}, std::nullopt, 1), {0s, 1s, 1s, 0s, 2s});
  CHECK(run(filter, signal({1, 1, 5, 5, 5})).values == std::vector<double>{0, 1, 1, 1, 11});
}

TEST_CASE("derivative and integral refuse what makes no sense") {
  using Catch::Matchers::Contains;
  using test::message_of;
  CHECK_THAT(message_of([] { DerivativeFilter({}, kilohertz, 0); }), Contains("lane"));
  CHECK_THAT(message_of([] { IntegralFilter({}, kilohertz, 0); }), Contains("lane"));
  for (const double initial : {nan, test::infinity})
    CHECK_THAT(message_of([&] { IntegralFilter({.initial = initial}, kilohertz, 1); }),
               Contains("must be finite"));
  for (const NanPolicy policy : {NanPolicy::ignore, NanPolicy::propagate})
    CHECK_THAT(message_of([&] { IntegralFilter({.nan = policy}, kilohertz, 1); }),
               Contains("hold or reset"));
  const std::vector<double> x{1, 2, 3};
  CHECK_THAT(message_of([&] { (void)derivative_central(std::span(x).first(1), kilohertz); }),
             Contains("at least 2"));
  CHECK_THAT(message_of([&] {
               (void)derivative_central(x, std::vector<Time>{0s, 1s});
             }),
             Contains("2 times for 3 values"));
  CHECK_THAT(message_of([&] {
               (void)derivative_central(x, std::vector<Time>{0s, 1s, 1s});
             }),
             Contains("time 2"));
  CHECK(DerivativeFilter({}, kilohertz, 1).delay() == 0.5);
  CHECK(DerivativeFilter({.scheme = Difference::central}, kilohertz, 1).delay() == 1.0);

  StateWriter writer;
  DerivativeFilter({}, kilohertz, 2).save_state(writer);
  StateReader reader(writer.bytes());
  DerivativeFilter other({.scheme = Difference::central}, kilohertz, 2);
  CHECK_THAT(message_of([&] { other.load_state(reader); }), Contains("2 lanes"));
  StateWriter sum_writer;
  IntegralFilter({}, kilohertz, 2).save_state(sum_writer);
  StateReader sum_reader(sum_writer.bytes());
  IntegralFilter sum({}, kilohertz, 3);
  CHECK_THAT(message_of([&] { sum.load_state(sum_reader); }), Contains("2 lanes"));
}

}  // namespace
}  // namespace spillway
