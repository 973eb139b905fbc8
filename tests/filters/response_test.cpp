#include "spillway/filters/response.hpp"

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "spillway/filters/iir.hpp"
#include "spillway/filters/savitzky_golay.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using namespace literals;
using Catch::Matchers::Contains;
using Complex = std::complex<long double>;

Complex at_angle(const std::vector<double>& c, long double w) {
  Complex sum = 0;
  for (std::size_t k = 0; k < c.size(); ++k)
    sum += std::polar(1.0L, -w * static_cast<long double>(k)) * static_cast<long double>(c[k]);
  return sum;
}

// By the definition; the phase by difference quotients.
Complex naive(const LinearSystem& system, long double w) {
  if (const auto* taps = std::get_if<std::vector<double>>(&system)) return at_angle(*taps, w);
  Complex h = 1;
  for (const Sos::Section& s : std::get<Sos>(system).sections)
    h *= at_angle({s.b0, s.b1, s.b2}, w) / at_angle({1.0, s.a1, s.a2}, w);
  return h;
}

double naive_delay(const LinearSystem& system, long double w) {
  const auto quotient = [&](long double step) {
    const Complex turn = naive(system, w + step) / naive(system, w - step);
    return -std::arg(turn) / (2 * step);
  };
  // Extrapolated: beside a zero close to the unit circle one alone is off by some 1e-6.
  const long double step = 1e-6L;
  return static_cast<double>((4 * quotient(step / 2) - quotient(step)) / 3);
}

std::vector<LinearSystem> systems(test::Random& random) {
  std::vector<LinearSystem> made{
      design(lowpass(Elliptic{5, 0.5, 60}, {0.1}), 1_Hz),
      design(highpass(Chebyshev2{4, 40}, {0.05}), 1_Hz),
      design(bandpass(Bessel{3}, {0.1}, {0.3}), 1_Hz),
      design(bandstop(Butterworth{2}, {0.1}, {0.3}), 1_Hz),
      design(notch({0.05}, 5), 1_Hz),
      std::vector<double>{0.25},
      std::vector<double>{1, 2, 3, 2, 1},
      std::vector<double>{1, 0.5, 0, -0.5, -1},
  };
  for (int i = 0; i < 20; ++i) {
    Sos sos;
    for (std::uint64_t s = 0, n = 1 + random.below(3); s < n; ++s) {
      const double r = 0.45 * (random.uniform() + 1.0);
      sos.sections.push_back({1 + random.uniform() / 4, random.uniform(), random.uniform(),
                              -2.0 * r * random.uniform(), r * r});
    }
    made.emplace_back(sos);
    std::vector<double> taps(1 + random.below(20));
    for (double& t : taps) t = random.uniform();
    taps[0] += 3.0 * static_cast<double>(taps.size());  // no zeros near the unit circle
    made.emplace_back(taps);
  }
  return made;
}

TEST_CASE("frequency response and group delay are those of the definition") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  test::Random random(seed);
  std::size_t number = 0;
  for (const LinearSystem& system : systems(random)) {
    CAPTURE(number++);
    for (const double f : {0.001, 0.02, 0.13, 0.249, 0.251, 0.4, 0.499}) {
      const long double w = 2 * std::numbers::pi_v<long double> * static_cast<long double>(f);
      const std::complex<double> h = frequency_response(system, {f}, 1_Hz);
      CHECK(std::abs(h - std::complex<double>(naive(system, w))) < 1e-12);
      CHECK(group_delay(system, {f}, 1_Hz) ==
            Approx(naive_delay(system, w)).epsilon(1e-7).margin(1e-7));
    }
  }
}

TEST_CASE("the group delay at 0 and at half the rate is that close by, zeros there or not") {
  test::Random random(2);
  for (const LinearSystem& system : systems(random)) {
    CHECK(group_delay(system, {0.0}, 1_Hz) ==
          Approx(group_delay(system, {1e-7}, 1_Hz)).epsilon(1e-6).margin(1e-9));
    CHECK(group_delay(system, {0.5}, 1_Hz) ==
          Approx(group_delay(system, {0.5 - 1e-7}, 1_Hz)).epsilon(1e-6).margin(1e-9));
    if (const Sos* sos = std::get_if<Sos>(&system))
      CHECK(group_delay(system, 0_Hz, 1_Hz) ==
            Approx(dc_group_delay(*sos)).epsilon(1e-9).margin(1e-9));
  }
  CHECK(group_delay(Sos{{{0.5, -0.5, 0.0, -0.2, 0.0}}}, 0_Hz, 1_Hz) ==
        Approx(dc_group_delay({{{0.5, -0.5, 0.0, -0.2, 0.0}}})));
}

TEST_CASE("group delay of zeros on the unit circle is that around them") {
  const LinearSystem filter = design(notch({0.05}, 30), 1_Hz);
  CHECK(group_delay(filter, {0.05}, 1_Hz) ==
        Approx(group_delay(filter, {0.05 + 1e-6}, 1_Hz)).epsilon(1e-4));
  CHECK(group_delay(std::vector<double>{1, 1, 1, 1}, {0.25}, 1_Hz) == 1.5);
  CHECK(std::isnan(group_delay(std::vector<double>{0.0, 1.0, 2.0, 1.0}, {0.5}, 1_Hz)) ==
        (frequency_response(std::vector<double>{0.0, 1.0, 2.0, 1.0}, {0.5}, 1_Hz) == 0.0));
}

TEST_CASE("group delay at 0 Hz of taps whose sum is 0, by rounding or not, is that close by") {
  const std::vector<double> slope = design(SavitzkyGolay{25, 3, 1}, 1_kHz);
  CHECK(group_delay(slope, 0_Hz, 1_kHz) == Approx(0.0).margin(1e-9));
  for (const std::vector<double>& taps :
       {std::vector{1.0, -2.0, 0.5, 0.5}, {0.1, 0.2, -0.3}, slope})
    CHECK(group_delay(taps, 0_Hz, 1_kHz) ==
          Approx(group_delay(taps, {0.01}, 1_kHz)).epsilon(1e-3).margin(1e-4));
}

TEST_CASE(
    "BesselNorm::delay: the delay at 0 Hz is rate / (2 tan(pi edge / rate)) samples, and flat") {
  for (int order = 1; order <= 12; ++order)
    for (const double edge : {0.001, 0.01, 0.1}) {
      const Sos sos = design(lowpass(Bessel{order, BesselNorm::delay}, {edge}), 1_Hz);
      const double delay = 1 / (2 * std::tan(std::numbers::pi * edge));
      INFO("order " << order << ", edge " << edge);
      CHECK(group_delay(sos, 0_Hz, 1_Hz) == Approx(delay).epsilon(1e-8));
      if (order >= 6 && edge < 0.1)
        CHECK(group_delay(sos, {edge}, 1_Hz) == Approx(delay).epsilon(2e-3));
    }
}

TEST_CASE("impulse and step response are the filter's outputs") {
  test::Random random(3);
  for (const LinearSystem& system : systems(random)) {
    const std::vector<double> h = impulse_response(system, 200);
    const std::vector<double> step = step_response(system, 200);
    double sum = 0.0;
    for (std::size_t k = 0; k < 200; ++k) {
      sum += h[k];
      CHECK(step[k] == Approx(sum).epsilon(1e-10).margin(1e-10));
    }
    if (const auto* taps = std::get_if<std::vector<double>>(&system)) {
      for (std::size_t k = 0; k < 200; ++k) CHECK(h[k] == (k < taps->size() ? (*taps)[k] : 0.0));
    } else {
      SosFilter filter(std::get<Sos>(system), {}, 1);
      std::vector<double> impulse(200);
      impulse[0] = 1.0;
      CHECK(h == run(filter, test::signal(impulse)).values);
      CHECK(settling_samples(system, 1e-3) == settling_samples(std::get<Sos>(system), 1e-3));
    }
    CHECK(impulse_response(system, 0).empty());
    CHECK(step_response(system, 0).empty());
    CHECK(impulse_response(system, 1)[0] == h[0]);
  }
}

TEST_CASE("settling of taps is the smallest number that leaves the level") {
  CHECK(settling_samples(std::vector<double>{4, -2, 1, -1}, 0.1) == 4);
  CHECK(settling_samples(std::vector<double>{4, -2, 1, -1}, 0.125) == 3);
  CHECK(settling_samples(std::vector<double>{4, -2, 1, -1}, 0.25) == 2);
  CHECK(settling_samples(std::vector<double>{4, -2, 1, -1}, 0.6) == 1);
  CHECK(settling_samples(std::vector<double>{4, 0, 0}, 0.1) == 1);
  CHECK(settling_samples(std::vector<double>{0, 0}, 0.1) == 0);
}

TEST_CASE("responses refuse what is no linear system, and frequencies out of range") {
  const LinearSystem taps = std::vector<double>{1, 2};
  for (const LinearSystem& bad :
       {LinearSystem(std::vector<double>{}), LinearSystem(std::vector<double>{1, test::nan}),
        LinearSystem(Sos{}), LinearSystem(Sos{{{1, 0, 0, -2, 1}}})}) {
    CHECK_THROWS_AS(frequency_response(bad, 0_Hz, 1_Hz), Error);
    CHECK_THROWS_AS(group_delay(bad, 0_Hz, 1_Hz), Error);
    CHECK_THROWS_AS(impulse_response(bad, 3), Error);
    CHECK_THROWS_AS(step_response(bad, 3), Error);
    CHECK_THROWS_AS(settling_samples(bad, 0.1), Error);
  }
  for (const double f : {-0.1, 0.6, test::nan}) {
    CHECK_THROWS_AS(frequency_response(taps, {f}, 1_Hz), Error);
    CHECK_THROWS_AS(group_delay(taps, {f}, 1_Hz), Error);
  }
  for (const double rate : {0.0, -1.0, test::nan, test::infinity})
    CHECK_THROWS_AS(group_delay(taps, 0_Hz, {rate}), Error);
  for (const double level : {0.0, 1.0, test::nan})
    CHECK_THROWS_AS(settling_samples(taps, level), Error);
  CHECK_THAT(test::message_of([&] { (void)frequency_response(taps, {0.6}, 1_Hz); }),
             Contains("0.6 Hz") && Contains("half the rate, 0.5 Hz"));
}

}  // namespace
}  // namespace spillway
