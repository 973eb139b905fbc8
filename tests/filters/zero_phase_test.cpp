#include "spillway/filters/zero_phase.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "spillway/filters/iir.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using namespace literals;
using Catch::Matchers::Contains;

// Direct form II transposed in long double; the steady state from the equations of a constant.
std::vector<long double> naive_pass(const Sos& sos, std::vector<long double> x) {
  long double constant = x.front();
  for (const Sos::Section& s : sos.sections) {
    const long double gain = (1.0L * s.b0 + s.b1 + s.b2) / (1.0L + s.a1 + s.a2);
    long double z2 = (s.b2 - s.a2 * gain) * constant;
    long double z1 = (s.b1 - s.a1 * gain) * constant + z2;
    constant *= gain;
    for (long double& v : x) {
      const long double y = s.b0 * v + z1;
      z1 = s.b1 * v - s.a1 * y + z2;
      z2 = s.b2 * v - s.a2 * y;
      v = y;
    }
  }
  return x;
}

std::vector<double> naive(const Sos& sos, const std::vector<double>& x) {
  const std::size_t n = zero_phase_padding(sos);
  std::vector<long double> extended;
  for (std::size_t k = n; k >= 1; --k) extended.push_back(2.0L * x[0] - x[k]);
  extended.insert(extended.end(), x.begin(), x.end());
  for (std::size_t k = 1; k <= n; ++k) extended.push_back(2.0L * x.back() - x[x.size() - 1 - k]);
  for (int pass = 0; pass < 2; ++pass) {
    extended = naive_pass(sos, extended);
    std::ranges::reverse(extended);
  }
  std::vector<double> made;
  for (std::size_t k = 0; k < x.size(); ++k) made.push_back(static_cast<double>(extended[k + n]));
  return made;
}

TEST_CASE("zero phase is a pass forward and one backward over the signal extended at both ends") {
  test::Random random(11);
  for (const Sos& sos : {design(lowpass(Butterworth{5}, {0.1}), 1_Hz),
                         design(bandpass(Elliptic{3, 1, 40}, {0.1}, {0.2}), 1_Hz),
                         design(highpass(Chebyshev2{4, 40}, {0.02}), 1_Hz)}) {
    const std::vector<double> x = random.noise(300, 1, 0).values;
    const std::vector<double> y = zero_phase(sos, x);
    const std::vector<double> wanted = naive(sos, x);
    REQUIRE(y.size() == x.size());
    for (std::size_t k = 0; k < x.size(); ++k) CHECK(std::abs(y[k] - wanted[k]) < 1e-11);
  }
}

TEST_CASE("zero phase: no delay, a gain of |H|^2, straight lines stay") {
  const Sos sos = design(lowpass(Butterworth{3}, {0.1}), 1_Hz);
  std::vector<double> tone(2000), line(2000);
  for (std::size_t k = 0; k < tone.size(); ++k) {
    tone[k] = std::sin(2 * std::numbers::pi * 0.1 * static_cast<double>(k));
    line[k] = 5.0 - 0.25 * static_cast<double>(k);
  }
  const std::vector<double> y = zero_phase(sos, tone);
  for (std::size_t k = 200; k < 1800; ++k) CHECK(y[k] == Approx(tone[k] / 2).margin(1e-10));
  const std::vector<double> same = zero_phase(sos, line);
  for (std::size_t k = 200; k < 1800; ++k) CHECK(same[k] == Approx(line[k]).margin(1e-9));
  const std::vector<double> constant = zero_phase(sos, std::vector<double>(30, 1e6));
  for (const double v : constant) CHECK(v == Approx(1e6));
}

TEST_CASE("zero phase of the signal backwards is the result backwards, but for the start") {
  test::Random random(12);
  const Sos sos = design(lowpass(Butterworth{2}, {0.2}), 1_Hz);
  std::vector<double> x = random.noise(1000, 1, 0).values;
  const std::vector<double> y = zero_phase(sos, x);
  std::ranges::reverse(x);
  std::vector<double> z = zero_phase(sos, x);
  std::ranges::reverse(z);
  for (std::size_t k = 100; k < 900; ++k) CHECK(std::abs(y[k] - z[k]) < 1e-12);
}

TEST_CASE("zero phase: the padding, and what is refused") {
  const Sos third = design(lowpass(Butterworth{3}, {0.1}), 1_Hz);
  CHECK(zero_phase_padding(design(lowpass(Butterworth{4}, {0.1}), 1_Hz)) == 15);
  CHECK(zero_phase_padding(third) == 12);
  CHECK(zero_phase_padding(design(bandpass(Butterworth{3}, {0.1}, {0.2}), 1_Hz)) == 21);
  const auto message = [&](const std::vector<double>& x) {
    return test::message_of([&] { (void)zero_phase(third, x); });
  };
  CHECK(message(std::vector<double>(13, 1.0)).empty());
  CHECK_THAT(message(std::vector<double>(12, 1.0)),
             Contains("12 values") && Contains("more than 12"));
  CHECK_THAT(message({}), Contains("0 values"));
  for (const double bad : {test::nan, test::infinity}) {
    std::vector<double> x(20, 1.0);
    x[7] = bad;
    CHECK_THAT(message(x), Contains("value 7"));
  }
  std::vector<double> large(40, 1.7e308);
  for (std::size_t k = 0; k < large.size(); k += 2) large[k] *= -1;
  CHECK_THAT(message(large), Contains("overflows"));
  CHECK_THROWS_AS(zero_phase(Sos{}, std::vector<double>(20, 1.0)), Error);
}

}  // namespace
}  // namespace spillway
