#include "spillway/filters/savitzky_golay.hpp"

#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "spillway/filters/fir.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::nan;
using test::Random;
using test::run;
using test::Signal;
using test::signal;
using test::unsettled;

constexpr Hertz unit_rate{1.0};

void check_ratio(const std::vector<double>& actual, const std::vector<int>& numerators,
                 int denominator) {
  REQUIRE(actual.size() == numerators.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double expected = static_cast<double>(numerators[i]) / denominator;
    CHECK(std::abs(actual[i] - expected) <= 2e-16 * std::abs(expected) + 1e-18);
  }
}

TEST_CASE("Savitzky-Golay has the coefficients of the published tables") {
  using enum Alignment;
  check_ratio(design(SavitzkyGolay{5, 2, 0, centred}, unit_rate), {-3, 12, 17, 12, -3}, 35);
  check_ratio(design(SavitzkyGolay{7, 3, 0, centred}, unit_rate), {-2, 3, 6, 7, 6, 3, -2}, 21);
  check_ratio(design(SavitzkyGolay{9, 4, 0, centred}, unit_rate),
              {15, -55, 30, 135, 179, 135, 30, -55, 15}, 429);
  // Newest first: the signs are those of time reversed.
  check_ratio(design(SavitzkyGolay{5, 2, 1, centred}, unit_rate), {2, 1, 0, -1, -2}, 10);
  check_ratio(design(SavitzkyGolay{5, 3, 1, centred}, unit_rate), {-1, 8, 0, -8, 1}, 12);
  check_ratio(design(SavitzkyGolay{5, 2, 2, centred}, unit_rate), {2, -1, -2, -1, 2}, 7);
  // By hand: the straight line through four and through three points, at the newest.
  check_ratio(design(SavitzkyGolay{4, 1, 0, causal}, unit_rate), {7, 4, 1, -2}, 10);
  check_ratio(design(SavitzkyGolay{3, 1, 0, causal}, unit_rate), {5, 2, -1}, 6);
  check_ratio(design(SavitzkyGolay{3, 2, 1, causal}, unit_rate), {3, -4, 1}, 2);
  check_ratio(design(SavitzkyGolay{1, 0, 0, causal}, unit_rate), {1}, 1);
}

TEST_CASE("Savitzky-Golay coefficients are exact to 1e-13 up to window 101, order 9") {
  // Exact arithmetic, as far as 53 bits show it: the polynomials by products of whole numbers.
  // The weights for the derivative at t are the only ones in the span of the polynomials that
  // give the derivatives of all powers up to the order: both properties are checked, the
  // second against a basis of its own.
  for (const std::size_t window : {10U, 11U, 25U, 60U, 101U})
    for (int order = 0; order <= 9; ++order)
      for (int derivative = 0; derivative <= order; ++derivative)
        for (const Alignment align : {Alignment::causal, Alignment::centred}) {
          if (align == Alignment::centred && window % 2 == 0) continue;
          INFO("window " << window << ", order " << order << ", derivative " << derivative);
          const auto taps = design(SavitzkyGolay{window, order, derivative, align}, unit_rate);
          double size = 0.0;
          for (const double tap : taps) size += std::abs(tap);
          // In (age - middle) / middle, the newest at -1, and time running the other way.
          const long double middle = static_cast<long double>(window - 1) / 2.0L;
          const long double at = align == Alignment::centred ? 0.0L : 1.0L;
          for (int power = 0; power <= order; ++power) {
            long double sum = 0.0L;
            for (std::size_t i = 0; i < window; ++i)
              sum += taps[i] * std::pow((middle - static_cast<long double>(i)) / middle,
                                        static_cast<long double>(power));
            long double expected = 0.0L;
            if (power >= derivative) {
              expected = std::pow(at, static_cast<long double>(power - derivative));
              for (int d = 0; d < derivative; ++d) expected *= (power - d) / middle;
            }
            CHECK(std::abs(static_cast<double>(sum - expected)) <= 1e-15 * size);
          }
          // No part outside the span: differences of order + 1 of a polynomial vanish. What is
          // left of rounding grows by 2 for each difference.
          std::vector<long double> rest(taps.begin(), taps.end());
          for (int d = 0; d <= order; ++d) {
            std::adjacent_difference(rest.begin(), rest.end(), rest.begin());
            rest.erase(rest.begin());
          }
          double largest = 0.0;
          for (const double tap : taps) largest = std::max(largest, std::abs(tap));
          for (const long double r : rest)
            CHECK(std::abs(static_cast<double>(r)) <= 1.2e-16 * std::pow(2.0, order + 1) * largest);
        }
}

TEST_CASE("Savitzky-Golay follows polynomials exactly, and their derivatives in units a second") {
  const Hertz rate{250.0};
  const std::array<double, 4> c{0.75, -2.0, 3.0, -1.0};
  const auto value = [&](double t, int derivative) {
    double sum = 0.0;
    for (int power = 3; power >= derivative; --power) {
      double factor = c[static_cast<std::size_t>(power)];
      for (int d = 0; d < derivative; ++d) factor *= power - d;
      sum = sum * t + factor;
    }
    return sum;
  };
  std::vector<double> values(200);
  for (std::size_t k = 0; k < values.size(); ++k)
    values[k] = value(static_cast<double>(k) / rate.value, 0);
  for (const Alignment align : {Alignment::causal, Alignment::centred})
    for (int derivative = 0; derivative <= 3; ++derivative)
      for (const std::size_t window : {5U, 9U, 21U}) {
        const SavitzkyGolay p{window, 3, derivative, align};
        SavitzkyGolayFilter filter(p, rate, 1);
        const Signal out = run(filter, signal(values));
        const double tolerance = 1e-13 * std::pow(rate.value, derivative);
        for (std::size_t k = 0; k < values.size(); ++k) {
          if (k + 1 < window) {
            REQUIRE(std::isnan(out.values[k]));
            REQUIRE(out.quality[k] == unsettled);
            continue;
          }
          const double t = (static_cast<double>(k) - filter.delay()) / rate.value;
          REQUIRE(std::abs(out.values[k] - value(t, derivative)) < tolerance);
          REQUIRE(out.quality[k].is_good());
        }
        const auto offline = savitzky_golay_centred(values, p, rate);
        for (std::size_t k = 0; k < values.size(); ++k)
          REQUIRE(std::abs(offline[k] - value(static_cast<double>(k) / rate.value, derivative)) <
                  20.0 * tolerance);
      }
}

TEST_CASE("a Savitzky-Golay filter is its taps run by a FIR filter, but for the beginning") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 100; ++round) {
    SavitzkyGolay p{.window = 1 + 2 * random.below(40)};
    p.order = static_cast<int>(random.below(std::min<std::size_t>(p.window, 6)));
    p.derivative = static_cast<int>(random.below(static_cast<std::size_t>(p.order) + 1));
    p.align = random.below(2) == 0 ? Alignment::causal : Alignment::centred;
    p.gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
    INFO("seed " << seed << ", round " << round << ", window " << p.window);
    const Signal in = random.noise(500, 1, random.below(2) == 0 ? 0 : 40);
    SavitzkyGolayFilter filter(p, {100.0}, 1);
    FirFilter fir({design(p, {100.0}), p.gap}, 1);
    const std::size_t gap = random.below(500);
    Signal out = run(filter, in.part(0, gap));
    Signal expected = run(fir, in.part(0, gap));
    filter.gap();
    fir.gap();
    out.append(run(filter, in.part(gap, 500)));
    expected.append(run(fir, in.part(gap, 500)));
    for (std::size_t k = 0; k < 500; ++k)
      if (k + 1 < p.window || (p.gap == GapPolicy::reset && k >= gap && k + 1 < gap + p.window))
        expected.values[k] = nan;
    CHECK(out == expected);
  }
}

TEST_CASE("Savitzky-Golay filters keep the laws: blocks, saved state, lanes, reset") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (const std::size_t lanes : {1U, 3U, 8U, 16U, 17U})
    for (const std::size_t window : {5U, 33U, 701U}) {
      INFO("seed " << seed << ", lanes " << lanes << ", window " << window);
      const SavitzkyGolayFilter one({.window = window}, {10.0}, 1);
      test::check_laws(SavitzkyGolayFilter({.window = window}, {10.0}, lanes),
                       random.noise(random.below(1000), lanes, 300), random,
                       std::vector<SavitzkyGolayFilter>(lanes, one));
    }
}

TEST_CASE("Savitzky-Golay forgets NaN the moment it leaves the window") {
  SavitzkyGolayFilter filter({.window = 5, .order = 1}, unit_rate, 1);
  std::vector<double> values(30, 2.0);
  values[2] = values[15] = nan;
  const Signal out = run(filter, signal(values));
  for (std::size_t k = 0; k < values.size(); ++k) {
    const bool beginning = k < 4;
    const bool inside = (k >= 2 && k < 7) || (k >= 15 && k < 20);
    CHECK(std::isnan(out.values[k]) == (beginning || inside));
    Quality expected = beginning ? unsettled : Quality::good();
    if (inside) expected = merge(expected, test::bad_missing);
    CHECK(out.quality[k] == expected);
  }
  const auto offline = savitzky_golay_centred(values, {.window = 5, .order = 1}, unit_rate);
  for (std::size_t k = 0; k < values.size(); ++k)
    CHECK(std::isnan(offline[k]) == (k < 5 || (k >= 13 && k < 18)));
}

TEST_CASE("Savitzky-Golay says its delay") {
  const auto delay = [](const SavitzkyGolay& p) {
    return SavitzkyGolayFilter(p, unit_rate, 1).delay();
  };
  CHECK(delay({.window = 11, .order = 3}) == 0.0);
  CHECK(delay({.window = 11, .order = 3, .derivative = 1}) == 0.0);
  CHECK(delay({.window = 10, .order = 0}) == 4.5);  // a mean
  CHECK(delay({.window = 11, .order = 2, .derivative = 2}) == 5.0);
  CHECK(delay({.window = 11, .order = 3, .align = Alignment::centred}) == 5.0);
}

TEST_CASE("Savitzky-Golay refuses what it can't do") {
  using Catch::Matchers::Contains;
  const auto message = [](const SavitzkyGolay& p, Hertz rate = unit_rate, std::size_t lanes = 1) {
    return test::message_of([&] { SavitzkyGolayFilter(p, rate, lanes); });
  };
  CHECK_THAT(message({.window = 0}), Contains("window of 0"));
  CHECK_THAT(message({.window = 4097}), Contains("4097") && Contains("1 to 4096"));
  CHECK_THAT(message({.window = 10, .align = Alignment::centred}), Contains("odd"));
  CHECK_THAT(message({.window = 5, .order = 5}), Contains("below the window, 5"));
  CHECK_THAT(message({.window = 50, .order = 21}), Contains("order of 21"));
  CHECK_THAT(message({.order = -1}), Contains("order of -1"));
  CHECK_THAT(message({.derivative = 4}), Contains("derivative 4"));
  CHECK_THAT(message({.derivative = -1}), Contains("derivative -1"));
  for (const double rate : {0.0, -1.0, nan, test::infinity})
    CHECK_THAT(message({}, {rate}), Contains("rate"));
  CHECK_THAT(message({.window = 30, .order = 9, .derivative = 9}, {1e100}), Contains("beyond"));
  CHECK_THAT(message({}, unit_rate, 0), Contains("lane"));
  CHECK_THAT(test::message_of([] {
               (void)savitzky_golay_centred(std::vector<double>(10), {.window = 11}, unit_rate);
             }),
             Contains("10 values"));
  CHECK_THAT(test::message_of([] {
               (void)savitzky_golay_centred(std::vector<double>(20), {.window = 10}, unit_rate);
             }),
             Contains("odd"));
}

}  // namespace
}  // namespace spillway
