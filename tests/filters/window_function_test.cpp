#include "spillway/filters/window_function.hpp"

#include <cmath>
#include <numbers>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using Long = long double;
constexpr double pi = std::numbers::pi;

constexpr WindowFunction all_windows[] = {
    {WindowKind::rectangular},    {WindowKind::triangular},   {WindowKind::hann},
    {WindowKind::hamming},        {WindowKind::blackman},     {WindowKind::blackman_harris},
    {WindowKind::nuttall},        {WindowKind::flat_top},     {WindowKind::kaiser, 8.6},
    {WindowKind::gaussian, 7.25}, {WindowKind::tukey, 0.375}, {WindowKind::tukey, 0.0},
    {WindowKind::tukey, 1.0},     {WindowKind::kaiser, 0.0},  {WindowKind::kaiser, 500.0},
};

void check_values(const std::vector<double>& actual, const std::vector<double>& expected,
                  double tolerance) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t n = 0; n < actual.size(); ++n) {
    INFO(n);
    CHECK(std::abs(actual[n] - expected[n]) <= tolerance);
  }
}

TEST_CASE("windows of five points have the values of their definitions") {
  const auto five = [](const WindowFunction& function) { return window(function, 5, false); };
  const double eps = 2e-16;
  check_values(five({WindowKind::rectangular}), {1, 1, 1, 1, 1}, 0.0);
  check_values(five({WindowKind::triangular}), {1 / 3.0, 2 / 3.0, 1, 2 / 3.0, 1 / 3.0}, eps);
  check_values(five({WindowKind::hann}), {0, 0.5, 1, 0.5, 0}, eps);
  check_values(five({WindowKind::hamming}), {0.08, 0.54, 1, 0.54, 0.08}, eps);
  check_values(five({WindowKind::blackman}), {0, 0.34, 1, 0.34, 0}, eps);
  check_values(five({WindowKind::blackman_harris}), {6e-5, 0.21747, 1, 0.21747, 6e-5}, eps);
  check_values(five({WindowKind::nuttall}), {3.628e-4, 0.2269824, 1, 0.2269824, 3.628e-4}, eps);
  check_values(five({WindowKind::flat_top}),
               {-4.21051e-4, -0.05473684, 1.000000003, -0.05473684, -4.21051e-4}, eps);
  check_values(five({WindowKind::gaussian, 2.0}),
               {std::exp(-0.5), std::exp(-0.125), 1, std::exp(-0.125), std::exp(-0.5)}, eps);
  check_values(five({WindowKind::tukey, 0.5}), {0, 1, 1, 1, 0}, eps);
  // I0(0), I0(sqrt(3)) and I0(2).
  check_values(five({WindowKind::kaiser, 2.0}),
               {1 / 2.2795853023360673, 1.9029098945382873 / 2.2795853023360673, 1,
                1.9029098945382873 / 2.2795853023360673, 1 / 2.2795853023360673},
               2e-16);
}

TEST_CASE("an even triangular window has no zero and no peak") {
  check_values(window({WindowKind::triangular}, 4, false), {0.25, 0.75, 0.75, 0.25}, 0.0);
  check_values(window({WindowKind::triangular}, 4, true), {1 / 3.0, 2 / 3.0, 1, 2 / 3.0}, 2e-16);
}

TEST_CASE("cosine windows agree with their sum in another form") {
  // By cos(2a) = 2 cos(a)^2 - 1, cos(3a) = 4 cos(a)^3 - 3 cos(a).
  for (std::size_t length : {2U, 3U, 16U, 33U, 500U}) {
    const std::vector<double> hann = window({WindowKind::hann}, length, false);
    const std::vector<double> nuttall = window({WindowKind::nuttall}, length, false);
    for (std::size_t n = 0; n < length; ++n) {
      const Long a = std::numbers::pi_v<Long> * static_cast<Long>(n) / (length - 1);
      const Long sine = std::sin(a);
      CHECK(std::abs(hann[n] - static_cast<double>(sine * sine)) < 1.2e-16);
      const Long c = std::cos(2.0L * a);
      const Long sum = 0.3635819L - 0.4891775L * c + 0.1365995L * (2 * c * c - 1) -
                       0.0106411L * (4 * c * c * c - 3 * c);
      CHECK(std::abs(nuttall[n] - static_cast<double>(sum)) < 1.2e-16);
    }
  }
}

TEST_CASE("a Kaiser window agrees with the integral of the Bessel function") {
  // I0(x) = mean of exp(x cos t): the trapezoidal rule converges geometrically.
  const auto bessel = [](Long x) {
    Long sum = 0.0L;
    constexpr int steps = 400;
    for (int i = 0; i < steps; ++i) sum += std::exp(x * std::cos(2.0L * pi * i / steps) - x);
    return sum / steps;  // times exp(-x)
  };
  for (const double beta : {0.5, 5.0, 8.6, 40.0}) {
    const std::vector<double> w = window({WindowKind::kaiser, beta}, 64, false);
    for (std::size_t n = 0; n < 64; ++n) {
      const Long d = 2.0L * static_cast<Long>(n) / 63.0L - 1.0L;
      const Long x = beta * std::sqrt(1.0L - d * d);
      const Long expected = bessel(x) / bessel(beta) * std::exp(x - beta);
      INFO("beta " << beta << ", n " << n);
      CHECK(std::abs(w[n] - static_cast<double>(expected)) < 3e-16 + 1e-14 * w[n]);
    }
  }
}

TEST_CASE("every window is symmetric to the bit, and 1 at most but for rounding") {
  for (const WindowFunction& function : all_windows)
    for (const std::size_t length : {1U, 2U, 3U, 4U, 7U, 64U, 1001U}) {
      INFO("kind " << static_cast<int>(function.kind) << ", length " << length);
      const std::vector<double> w = window(function, length, false);
      REQUIRE(w.size() == length);
      for (std::size_t n = 0; n < length; ++n) {
        CHECK(w[n] == w[length - 1 - n]);
        CHECK(w[n] <= 1.0 + 1e-8);
      }
      if (length % 2 == 1) CHECK(std::abs(w[length / 2] - 1.0) < 1e-8);
    }
}

TEST_CASE("a periodic window is the symmetric one of a point more, without its last") {
  for (const WindowFunction& function : all_windows)
    for (const std::size_t length : {1U, 2U, 5U, 8U, 100U}) {
      INFO("kind " << static_cast<int>(function.kind) << ", length " << length);
      std::vector<double> longer = window(function, length + 1, false);
      longer.pop_back();
      if (length == 1) longer = {1.0};
      CHECK(window(function, length, true) == longer);
    }
}

TEST_CASE("a tapered window meets its flat part without a step, and its limits are known ones") {
  CHECK(window({WindowKind::tukey, 0.0}, 20, false) ==
        window({WindowKind::rectangular}, 20, false));
  CHECK(window({WindowKind::tukey, 1.0}, 20, false) == window({WindowKind::hann}, 20, false));
  CHECK(window({WindowKind::kaiser, 0.0}, 20, false) ==
        window({WindowKind::rectangular}, 20, false));
  const std::vector<double> w = window({WindowKind::tukey, 0.375}, 161, false);
  for (std::size_t n = 0; n <= 80; ++n) {
    const double expected = n < 30 ? 0.5 - 0.5 * std::cos(pi * static_cast<double>(n) / 30.0) : 1.0;
    CHECK(std::abs(w[n] - expected) < 3e-16);
  }
}

TEST_CASE("windows refuse what they can't do") {
  using Catch::Matchers::Contains;
  const auto message = [](const WindowFunction& function, std::size_t length = 8) {
    return test::message_of([&] { (void)window(function, length, false); });
  };
  CHECK_THAT(message({}, 0), Contains("length of 0") && Contains("268435456"));
  CHECK_THAT(message({}, (std::size_t{1} << 28) + 1), Contains("268435457"));
  for (const double p : {-1.0, 500.5, test::nan, test::infinity})
    CHECK_THAT(message({WindowKind::kaiser, p}), Contains("beta") && Contains("0 to 500"));
  for (const double p : {-1.0, 0.0, test::nan, test::infinity})
    CHECK_THAT(message({WindowKind::gaussian, p}), Contains("above 0"));
  for (const double p : {-0.1, 1.1, test::nan})
    CHECK_THAT(message({WindowKind::tukey, p}), Contains("0 to 1"));
  CHECK_THAT(message({WindowKind::hann, 3.0}), Contains("has none"));
  CHECK_THAT(message({WindowKind::hann, test::nan}), Contains("has none"));
  CHECK_THAT(message({static_cast<WindowKind>(99)}), Contains("kind 99"));
}

}  // namespace
}  // namespace spillway
