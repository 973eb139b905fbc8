#include "spillway/filters/butterworth.hpp"

#include <cmath>
#include <numbers>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using namespace literals;
using Catch::Matchers::Contains;

const std::vector<double> cutoffs{1e-4, 1e-3, 0.01, 0.1, 0.2, 0.25, 0.3, 0.4, 0.45, 0.49};

Sos low(int order, double cutoff) { return design(lowpass({order}, {cutoff}), 1_Hz); }

double decibels(const Sos& sos, double at) {
  return 20.0 * std::log10(std::abs(frequency_response(sos, {at}, 1_Hz)));
}

TEST_CASE("Butterworth: 0 dB at 0, -3.0103 dB at the cut-off, for every order") {
  for (int order = 1; order <= 12; ++order)
    for (double cutoff : cutoffs) {
      INFO("order " << order << ", cut-off " << cutoff);
      const Sos sos = low(order, cutoff);
      CHECK(frequency_response(sos, 0_Hz, 1_Hz) == std::complex<double>(1.0, 0.0));
      CHECK(decibels(sos, cutoff) == Approx(-10.0 * std::log10(2.0)).margin(1e-6));
    }
}

TEST_CASE("Butterworth: |H|^2 = 1 / (1 + (tan(pi f) / tan(pi fc))^2n) everywhere") {
  for (int order = 1; order <= 12; ++order)
    for (double cutoff : cutoffs)
      for (double f : {0.3 * cutoff, 0.9 * cutoff, 1.1 * cutoff, 0.1, 0.24, 0.37, 0.499}) {
        if (f >= 0.5) continue;
        INFO("order " << order << ", cut-off " << cutoff << ", at " << f);
        const double ratio = std::tan(std::numbers::pi * f) / std::tan(std::numbers::pi * cutoff);
        const double expected = 1.0 / std::sqrt(1.0 + std::pow(ratio, 2 * order));
        CHECK(std::abs(frequency_response(low(order, cutoff), {f}, 1_Hz)) ==
              Approx(expected).epsilon(1e-6).margin(1e-250));
      }
}

TEST_CASE("Butterworth: every section is stable, the nearest to the unit circle last") {
  for (int order = 1; order <= 12; ++order)
    for (double cutoff : {1e-6, 1e-5, 1e-4, 0.01, 0.25, 0.4, 0.4999, 0.499999}) {
      INFO("order " << order << ", cut-off " << cutoff);
      const Sos sos = low(order, cutoff);
      REQUIRE_NOTHROW(check(sos));
      CHECK(sos.sections.size() == static_cast<std::size_t>((order + 1) / 2));
      for (std::size_t i = static_cast<std::size_t>(order % 2) + 1; i < sos.sections.size(); ++i)
        CHECK(sos.sections[i].a2 > sos.sections[i - 1].a2);
      if (order % 2 == 1) CHECK(sos.sections[0].a2 == 0.0);
      for (const Sos::Section& s : sos.sections) CHECK(s.b0 + s.b1 + s.b2 == 1.0 + s.a1 + s.a2);
    }
}

TEST_CASE("Butterworth: coefficients are those of the formula in extended precision") {
  for (int order = 1; order <= 12; ++order)
    for (double cutoff : {1e-6, 1e-4, 0.03, 0.25, 0.3, 0.49, 0.49999}) {
      INFO("order " << order << ", cut-off " << cutoff);
      const Sos sos = low(order, cutoff);
      const long double pi = std::numbers::pi_v<long double>;
      const long double t = std::tan(pi * static_cast<long double>(cutoff));
      // Half a unit in the last place where the poles crowd at z = 1.
      const double tolerance = cutoff < 1e-3 ? 1.2e-16 : 4e-16;
      std::size_t i = 0;
      if (order % 2 == 1) {
        CHECK(std::abs(static_cast<double>(sos.sections[i].a1 - (t - 1) / (t + 1))) < tolerance);
        ++i;
      }
      for (int k = order / 2; k-- > 0; ++i) {
        const long double s = std::sin(pi * (2 * k + 1) / (2 * order));
        const long double d = 1 + 2 * t * s + t * t;
        CHECK(std::abs(static_cast<double>(sos.sections[i].a1 - 2 * (t * t - 1) / d)) <
              2 * tolerance);
        CHECK(std::abs(static_cast<double>(sos.sections[i].a2 - (1 - 2 * t * s + t * t) / d)) <
              tolerance);
      }
    }
}

TEST_CASE("Butterworth: a constant comes out as itself") {
  for (int order : {1, 4, 7, 12}) {
    SosFilter filter(low(order, 0.02), {}, 1);
    const test::Signal out = run(filter, test::signal(std::vector<double>(20000, 3.5)));
    CHECK(out.values.back() == Approx(3.5).epsilon(1e-12));
    CHECK(out.quality.back().is_good());
  }
}

TEST_CASE("Butterworth: settling is near what a step needs") {
  for (int order : {1, 2, 4, 8}) {
    INFO("order " << order);
    SosFilter filter(low(order, 0.05), {}, 1);
    const test::Signal out = run(filter, test::signal(std::vector<double>(5000, 1.0)));
    std::size_t last_off = 0;
    for (std::size_t k = 0; k < out.values.size(); ++k)
      if (std::abs(out.values[k] - 1.0) > 1e-3) last_off = k;
    CHECK(filter.settling() > last_off);
    CHECK(filter.settling() < 3 * last_off + 10);
  }
}

TEST_CASE("Butterworth: the rate is the one given, the options are kept") {
  CHECK(design(lowpass(Butterworth{.order = 4}, 1_kHz), 100_kHz) == low(4, 0.01));
  const LowPass spec = lowpass({.order = 2}, 5_Hz, {.nan = NanPolicy::reset});
  CHECK(spec.options.nan == NanPolicy::reset);
  CHECK(lowpass({}, 5_Hz).family.order == 4);
}

TEST_CASE("Butterworth refuses what can't be designed, and says what can") {
  const auto message = [](int order, Hertz cutoff, Hertz rate) {
    return test::message_of([&] { (void)design(lowpass({order}, cutoff), rate); });
  };
  CHECK_THAT(message(0, 1_Hz, 10_Hz), Contains("order is 0") && Contains("1 to 12"));
  CHECK_THAT(message(13, 1_Hz, 10_Hz), Contains("order is 13"));
  CHECK_THAT(message(4, 5_Hz, 10_Hz), Contains("5 Hz") && Contains("Nyquist"));
  CHECK_THAT(message(4, 600_Hz, 1_kHz), Contains("600 Hz") && Contains("Nyquist frequency 500 Hz"));
  CHECK_THAT(message(4, 0_Hz, 10_Hz), Contains("above 0"));
  CHECK_THAT(message(4, {-1.0}, 10_Hz), Contains("-1 Hz"));
  CHECK_THAT(message(4, {test::nan}, 10_Hz), Contains("nan Hz"));
  CHECK_THAT(message(4, {test::infinity}, 10_Hz), Contains("inf Hz"));
  CHECK_THAT(message(4, 1_Hz, 0_Hz), Contains("rate is 0 Hz"));
  CHECK_THAT(message(4, 1_Hz, {test::infinity}), Contains("rate is inf"));
  CHECK_THAT(message(4, {0.9}, 1_MHz), Contains("only 1 to 499999 Hz"));
  CHECK_THAT(message(4, {499999.5}, 1_MHz), Contains("only 1 to 499999 Hz"));
  CHECK(message(4, 1_Hz, 1_MHz).empty());
  CHECK(message(1, 1_Hz, 10_Hz).empty());
  CHECK(message(12, 1_Hz, 10_Hz).empty());
}

}  // namespace
}  // namespace spillway
