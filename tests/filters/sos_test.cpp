#include "spillway/filters/sos.hpp"

#include <chrono>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "spillway/filters/iir.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using namespace literals;
using test::bad_missing;
using test::nan;
using test::Random;
using test::run;
using test::Signal;
using test::signal;
using test::unsettled;

Sos low(int order, double cutoff) { return design(lowpass(Butterworth{order}, {cutoff}), 1_Hz); }

// 1 - low pass: a zero at frequency 0.
Sos high() { return {{{0.9, -1.8, 0.9, -1.79, 0.81}}}; }

Sos any_sos(Random& random) {
  Sos sos;
  for (std::uint64_t s = 0, n = 1 + random.below(4); s < n; ++s) {
    const double r = 0.5 * (random.uniform() + 1.0) * 0.99;
    sos.sections.push_back(
        {random.uniform(), random.uniform(), random.uniform(), -2.0 * r * random.uniform(), r * r});
  }
  return sos;
}

SosOptions any_options(Random& random) {
  return {.initial = random.below(2) == 0 ? Initial::zero : Initial::steady,
          .nan = random.below(2) == 0 ? NanPolicy::hold : NanPolicy::reset,
          .gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold};
}

TEST_CASE("sections follow the difference equation, each with its own coefficients") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (int round = 0; round < 50; ++round) {
    const Sos sos = any_sos(random);
    const Signal in = random.noise(200, 1, 0);
    SosFilter filter(sos, {}, 1);
    const Signal out = run(filter, in);
    std::vector<long double> v(in.values.begin(), in.values.end());
    for (const Sos::Section& c : sos.sections) {  // direct form I, in long double
      std::vector<long double> y(v.size());
      for (std::size_t k = 0; k < v.size(); ++k) {
        const auto past = [&](const std::vector<long double>& s, std::size_t back) {
          return k >= back ? s[k - back] : 0.0L;
        };
        y[k] = c.b0 * v[k] + c.b1 * past(v, 1) + c.b2 * past(v, 2) - c.a1 * past(y, 1) -
               c.a2 * past(y, 2);
      }
      v = y;
    }
    double peak = 1.0;
    for (long double e : v) peak = std::max(peak, std::abs(static_cast<double>(e)));
    for (std::size_t k = 0; k < v.size(); ++k)
      REQUIRE(std::abs(out.values[k] - static_cast<double>(v[k])) < 1e-10 * peak);
  }
}

TEST_CASE("sections keep the laws: blocks, saved state, lanes, reset") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Sos sos = any_sos(random);
    const SosOptions options = any_options(random);
    const std::size_t lanes = 1 + random.below(9);
    Signal in = random.noise(1 + random.below(1000), lanes, 40);
    if (round % 4 == 0) in.values[random.below(in.values.size())] = test::infinity;
    if (round % 4 == 1) in.values[random.below(in.values.size())] = 1.7e308;
    test::check_laws(SosFilter(sos, options, lanes), in, random,
                     std::vector<SosFilter>(lanes, SosFilter(sos, options, 1)));
  }
}

TEST_CASE("sections are linear") {
  Random random(7);
  const Sos sos = low(5, 0.1);
  const Signal a = random.noise(500, 1, 0);
  const Signal b = random.noise(500, 1, 0);
  Signal sum = a;
  for (std::size_t k = 0; k < 500; ++k) sum.values[k] = 3.0 * a.values[k] - 2.0 * b.values[k];
  SosFilter fa(sos, {}, 1), fb(sos, {}, 1), fsum(sos, {}, 1);
  const Signal ya = run(fa, a), yb = run(fb, b), ysum = run(fsum, sum);
  for (std::size_t k = 0; k < 500; ++k)
    REQUIRE(std::abs(ysum.values[k] - (3.0 * ya.values[k] - 2.0 * yb.values[k])) < 1e-13);
}

TEST_CASE("a steady start has no transient, from the first valid value on") {
  std::vector<double> values(300, 1e6);
  values[0] = values[1] = nan;
  for (const Sos& sos : {low(4, 0.05), low(5, 0.01)}) {
    SosFilter filter(sos, {.initial = Initial::steady}, 1);
    const Signal out = run(filter, signal(values));
    CHECK(out.values[1] == 0.0);
    for (std::size_t k = 2; k < values.size(); ++k) REQUIRE(std::abs(out.values[k] - 1e6) < 1e-5);
  }
  SosFilter filter(high(), {.initial = Initial::steady}, 1);
  for (double y : run(filter, signal(std::vector<double>(100, 1e6))).values)
    REQUIRE(std::abs(y) < 1e-5);
}

TEST_CASE("each lane has its own steady start") {
  SosFilter filter(low(4, 0.05), {.initial = Initial::steady}, 2);
  const Signal out = run(filter, signal({5, nan, 5, 7, 5, 7, 5, 7}, 2));
  CHECK(out.lane(0).values[3] == Approx(5));
  CHECK(out.lane(1).values[0] == 0.0);
  CHECK(out.lane(1).values[1] == Approx(7));
}

TEST_CASE("hold puts the last valid value in the place of NaN and infinity") {
  const std::vector<double> values{nan, 1, 2, nan, test::infinity, 5, -test::infinity, 7};
  const std::vector<double> held{0, 1, 2, 2, 2, 5, 5, 7};
  SosFilter a(low(3, 0.2), {}, 1), b(low(3, 0.2), {}, 1);
  const Signal out = run(a, signal(values));
  CHECK(out.values == run(b, signal(held)).values);
  for (std::size_t k = 0; k < values.size(); ++k)
    CHECK((out.quality[k].verdict() == Verdict::bad) == !std::isfinite(values[k]));
}

TEST_CASE("reset gives NaN and a state of zero, in that lane only") {
  Random random(3);
  Signal in = random.noise(100, 2, 0);
  in.values[2 * 50] = nan;
  SosFilter filter(low(4, 0.1), {.nan = NanPolicy::reset}, 2);
  SosFilter fresh(low(4, 0.1), {}, 1), other(low(4, 0.1), {}, 1);
  const Signal out = run(filter, in);
  CHECK(std::isnan(out.values[2 * 50]));
  CHECK(out.quality[2 * 50].verdict() == Verdict::bad);
  CHECK(out.lane(0).part(51, 100).values == run(fresh, in.lane(0).part(51, 100)).values);
  CHECK(out.lane(1).values == run(other, in.lane(1)).values);
}

TEST_CASE("a recursive filter never stays NaN, not even after an overflow") {
  for (NanPolicy policy : {NanPolicy::hold, NanPolicy::reset}) {
    std::vector<double> values(200, 1.0);
    for (std::size_t k = 50; k < 55; ++k) values[k] = k % 2 == 0 ? 1.7e308 : -1.7e308;
    SosFilter filter({{{3.0, -5.0, 3.0, -1.0, 0.5}}}, {.nan = policy}, 1);
    const Signal out = run(filter, signal(values));
    std::size_t nans = 0;
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (!std::isfinite(out.values[k])) {
        ++nans;
        CHECK(std::isnan(out.values[k]));
        CHECK(out.quality[k].verdict() == Verdict::bad);
      }
    }
    CHECK(nans > 0);
    CHECK(nans < 10);
    CHECK(out.values.back() == Approx(2.0));
  }
}

TEST_CASE("the outputs that remember a bad input say so, exactly as many as settling") {
  const Sos sos = low(2, 0.1);
  SosFilter filter(sos, {.initial = Initial::steady}, 2);
  const std::size_t n = filter.settling();
  REQUIRE(n > 5);
  Signal in{std::vector<double>(2 * 10 * n, 1.0), std::vector<Quality>(2 * 10 * n), 2};
  in.quality[2 * 3] = Quality(Verdict::bad, Quality::out_of_range);
  in.quality[2 * 6] = Quality(Verdict::suspect, Quality::time_uncertain);
  const std::size_t point = 4 * n;
  in.quality[2 * point] = Quality(Verdict::interpolated, Quality::implausible);
  const Signal out = run(filter, in);
  for (std::size_t k = 0; k < 10 * n; ++k) {
    std::uint8_t reasons = 0;
    if (k > 3 && k <= 3 + n) reasons |= Quality::transient | Quality::out_of_range;
    if (k > 6 && k <= 6 + n) reasons |= Quality::transient | Quality::time_uncertain;
    Quality expected = in.quality[2 * k];
    if (reasons != 0) expected = merge(expected, Quality(Verdict::suspect, reasons));
    if (k > point && k <= point + n) expected = in.quality[2 * point];  // no doubt
    REQUIRE(out.quality[2 * k] == expected);
    REQUIRE(out.quality[2 * k + 1].is_good());
  }
}

TEST_CASE("start and gap are flagged for as long as the filter settles") {
  for (Initial initial : {Initial::zero, Initial::steady})
    for (GapPolicy policy : {GapPolicy::reset, GapPolicy::hold}) {
      SosFilter filter(low(4, 0.1), {.initial = initial, .gap = policy}, 1);
      const std::size_t n = filter.settling();
      const Signal ones = signal(std::vector<double>(3 * n, 1.0));
      const Signal first = run(filter, ones);
      filter.gap();
      const Signal second = run(filter, ones);
      for (std::size_t k = 0; k < 3 * n; ++k) {
        REQUIRE(first.quality[k] ==
                (k < n && initial == Initial::zero ? unsettled : Quality::good()));
        REQUIRE(second.quality[k] == (k < n ? unsettled : Quality::good()));
      }
      if (policy == GapPolicy::reset)
        CHECK(test::same_bits(second.values, first.values));
      else
        CHECK(second.values[0] == Approx(1.0).margin(1e-4));
    }
}

TEST_CASE("settling is what its definition says, for short and long responses") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    // Of a wide peak both poles are real, and zeros at 0 Hz and at half the rate.
    const Sos wide = design(peak({0.05 + 0.4 * std::abs(random.uniform())}, 1.0), 1_Hz);
    const Sos sos = round < 12    ? low(round + 1, 0.03)
                    : round == 12 ? high()
                    : round < 20  ? wide
                                  : any_sos(random);
    const double level = std::pow(10.0, -1.0 - static_cast<double>(random.below(6)));
    INFO("seed " << seed << ", round " << round << ", level " << level);
    const std::uint64_t n = settling_samples(sos, level);
    SosFilter filter(sos, {}, 1);
    std::vector<double> impulse(200000, 0.0);
    impulse[0] = 1.0;
    const Signal h = run(filter, signal(impulse));
    double total = 0.0, tail = 0.0, before = 0.0;
    for (std::size_t k = h.values.size(); k-- > 0;) {
      total += std::abs(h.values[k]);
      if (k >= n) tail = total;
      if (k + 1 >= n) before = total;
    }
    CHECK(tail <= level * total);
    if (n != 0) CHECK(before > 0.98 * level * total);
  }
}

TEST_CASE("the bound for long responses is above the truth, and not far above") {
  // The same analog filter at ten times the rate: ten times the samples.
  for (int order : {1, 2, 4, 8, 12}) {
    INFO("order " << order);
    const double exact = 1000.0 * static_cast<double>(settling_samples(low(order, 1e-2), 1e-3));
    const auto bound = static_cast<double>(settling_samples(low(order, 1e-5), 1e-3));
    CHECK(bound > 0.99 * exact);
    CHECK(bound < 4.0 * exact);
  }
}

TEST_CASE("settling ends quickly however near the poles are to the unit circle") {
  const auto start = std::chrono::steady_clock::now();
  const auto real = [](double d) {  // two poles at 1 - d
    return Sos{{{d * d, 0.0, 0.0, -2.0 * (1.0 - d), (1.0 - d) * (1.0 - d)}}};
  };
  const std::uint64_t n = settling_samples(real(0x1p-20), 1e-3);  // exact in double
  CHECK(n > 9u << 20);                                            // (1 + k) e^-k = 0.001 at k = 9.2
  CHECK(n < 20u << 20);
  Sos one{{{1e-9, 0.0, 0.0, -(1.0 - 1e-9), 0.0}}};
  CHECK(settling_samples(one, 1e-3) > 6'900'000'000);
  CHECK(settling_samples(one, 1e-3) < 14'000'000'000);
  one.sections[0].a1 = -std::nextafter(1.0, 0.0);
  CHECK(settling_samples(one, 1e-3) == std::uint64_t{1} << 40);
  CHECK(settling_samples({{{0.0, 0.0, 0.0, -0.5, 0.0}}}, 1e-3) == 0);
  CHECK(settling_samples({{{0.25, 0.5, 0.25, 0.0, 0.0}}}, 1e-3) == 3);  // no poles
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
}

TEST_CASE("frequency response and group delay agree with the filter") {
  const Sos sos = low(4, 0.05);
  const double delay = dc_group_delay(sos);
  // A slow ramp comes out late by the group delay.
  SosFilter filter(sos, {}, 1);
  std::vector<double> ramp(1000);
  for (std::size_t k = 0; k < ramp.size(); ++k) ramp[k] = static_cast<double>(k);
  CHECK(999.0 - run(filter, signal(ramp)).values.back() == Approx(delay).epsilon(1e-9));
  CHECK(SosFilter(sos, {}, 1).delay() == delay);

  const double small = 1e-6;  // the phase there, too, where the gain is not zero
  CHECK(-std::arg(frequency_response(sos, {small}, 1_Hz)) / (2.0 * std::numbers::pi * small) ==
        Approx(delay).epsilon(1e-6));
  // Zeros at frequency 0: the phase begins at a multiple of a quarter turn.
  const auto slope = [](const Sos& s) {
    const auto a = frequency_response(s, {1e-6}, 1_Hz), b = frequency_response(s, {2e-6}, 1_Hz);
    return -std::arg(b / a) / (2.0 * std::numbers::pi * 1e-6);
  };
  for (const Sos& s :
       {high(), Sos{{{0.5, -0.5, 0.0, -0.2, 0.0}}}, Sos{{{0.3, 0.0, -0.3, -1.0, 0.4}}},
        Sos{{{1.0, 2.0, 0.5, -1.0, 0.4}}}, Sos{{{0.0, 0.5, -0.5, -0.2, 0.0}}}})
    CHECK(dc_group_delay(s) == Approx(slope(s)).epsilon(1e-4).margin(1e-4));

  CHECK_THROWS_AS(frequency_response(sos, 1_Hz, 0_Hz), Error);
  CHECK_THROWS_AS(frequency_response(sos, {0.6}, 1_Hz), Error);
  CHECK_THROWS_AS(frequency_response(sos, {-0.1}, 1_Hz), Error);
  CHECK_THROWS_AS(frequency_response(sos, {nan}, 1_Hz), Error);
}

TEST_CASE("a silent input does not leave denormal numbers") {
  SosFilter filter(low(4, 0.05), {}, 1);
  std::vector<double> values(20000, 0.0);
  values[0] = 1.0;
  const Signal out = run(filter, signal(values));
  CHECK(out.values.back() == 0.0);
}

TEST_CASE("sections refuse what is not a stable filter") {
  using Catch::Matchers::Contains;
  const auto message = [](const Sos& sos, const SosOptions& options = {}, std::size_t lanes = 1) {
    return test::message_of([&] { SosFilter(sos, options, lanes); });
  };
  const Sos fine = low(2, 0.1);
  CHECK(message(fine).empty());
  CHECK_THAT(message({}), Contains("at least 1 is needed"));
  CHECK_THAT(message({{fine.sections[0], {1, 0, 0, nan, 0}}}),
             Contains("section 1") && Contains("must be finite"));
  CHECK_THAT(message({{{test::infinity, 0, 0, 0, 0}}}), Contains("must be finite"));
  CHECK_THAT(message({{{1, 0, 0, 0, 1}}}), Contains("not stable"));
  CHECK_THAT(message({{{1, 0, 0, 0, -1}}}), Contains("not stable"));
  CHECK_THAT(message({{{1, 0, 0, -2, 1}}}), Contains("not stable"));
  CHECK_THAT(message({{{1, 0, 0, 1.5, 0.5}}}), Contains("not stable"));
  CHECK_THAT(message({{{1, 0, 0, -1, 0}}}), Contains("|a2| < 1"));
  CHECK(message({{{1, 0, 0, -1.4999, 0.5}}}).empty());
  CHECK_THAT(message(fine, {.nan = NanPolicy::ignore}), Contains("hold or reset"));
  CHECK_THAT(message(fine, {.nan = NanPolicy::propagate}), Contains("hold or reset"));
  for (double level : {0.0, 1.0, -1.0, nan})
    CHECK_THAT(message(fine, {.settling_level = level}), Contains("level of"));
  CHECK_THAT(message(fine, {}, 0), Contains("lane"));
}

TEST_CASE("sections refuse the state of others") {
  StateWriter writer;
  SosFilter(low(4, 0.1), {}, 1).save_state(writer);
  StateReader reader(writer.bytes());
  SosFilter filter(low(2, 0.1), {}, 2);
  CHECK_THAT(test::message_of([&] { filter.load_state(reader); }),
             Catch::Matchers::Contains("2 sections and 1 lanes"));
}

}  // namespace
}  // namespace spillway
