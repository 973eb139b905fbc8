#include "spillway/filters/iir.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <string>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using namespace literals;
using Catch::Matchers::Contains;

const std::vector<double> cutoffs{1e-4, 1e-3, 0.01, 0.1, 0.2, 0.25, 0.3, 0.4, 0.45, 0.49};

Sos low(int order, double cutoff) { return design(lowpass(Butterworth{order}, {cutoff}), 1_Hz); }

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
  const LowPass spec = lowpass(Butterworth{.order = 2}, 5_Hz, {.nan = NanPolicy::reset});
  CHECK(spec.options.nan == NanPolicy::reset);
  CHECK(std::get<Butterworth>(lowpass({}, 5_Hz).family).order == 4);
}

TEST_CASE("Butterworth refuses what can't be designed, and says what can") {
  const auto message = [](int order, Hertz cutoff, Hertz rate) {
    return test::message_of([&] { (void)design(lowpass(Butterworth{order}, cutoff), rate); });
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

// All families in all bands from here on.
using Real = long double;
using Complex = std::complex<Real>;

constexpr Real pi = std::numbers::pi_v<Real>;

enum class Shape { low, high, pass, stop };

struct Case {
  IirFamily family;
  Shape shape = Shape::low;
  double low = 0.1;  // the cut-off of Shape::low and high
  double high = 0.2;
};

Sos design(const Case& c) {
  switch (c.shape) {
    case Shape::low: return design(lowpass(c.family, {c.low}), 1_Hz);
    case Shape::high: return design(highpass(c.family, {c.low}), 1_Hz);
    case Shape::pass: return design(bandpass(c.family, {c.low}, {c.high}), 1_Hz);
    default: return design(bandstop(c.family, {c.low}, {c.high}), 1_Hz);
  }
}

Real warp(Real f) { return f < 0.25L ? std::tan(pi * f) : 1 / std::tan(pi * (0.5L - f)); }

// The frequency of the analog low-pass that `f` stands for.
Real prototype_frequency(const Case& c, Real f) {
  const Real w = warp(f), low = warp(c.low), high = warp(c.high);
  const Real width = std::sin(pi * (Real{c.high} - c.low)) /
                     (std::cos(pi * c.low) * std::sin(pi * (0.5L - c.high)));
  switch (c.shape) {
    case Shape::low: return w / low;
    case Shape::high: return low / w;
    case Shape::pass: return (w * w - low * high) / (width * w);
    default: return width * w / (w * w - low * high);
  }
}

int order_of(const IirFamily& family) {
  return std::visit([](const auto& f) { return f.order; }, family);
}

Real power_ratio(double db) { return std::pow(10.0L, Real{db} / 10); }

Real chebyshev_polynomial(int n, Real x) {
  Real before = 1, value = x;
  for (int k = 1; k < n; ++k) {
    const Real next = 2 * x * value - before;
    before = value;
    value = next;
  }
  return value;
}

Complex reverse_bessel(int n, Complex s) {  // the recurrence, not the coefficients
  Complex before = 1, value = s + Real{1};
  if (n == 0) return before;
  for (int k = 2; k <= n; ++k) {
    const Complex next = static_cast<Real>(2 * k - 1) * value + s * s * before;
    before = value;
    value = next;
  }
  return value;
}

Real bessel_gain(const Bessel& f, Real w) {
  const auto plain = [&](Real at) {
    return std::abs(reverse_bessel(f.order, 0) / reverse_bessel(f.order, Complex(0, at)));
  };
  const Real at_zero = std::real(reverse_bessel(f.order, 0));
  if (f.norm == BesselNorm::phase) return plain(w * std::pow(at_zero, 1 / Real(f.order)));
  if (f.norm == BesselNorm::delay) return plain(w);
  Real low = 0, high = 100;
  for (int step = 0; step < 100; ++step) {
    const Real middle = (low + high) / 2;
    (plain(middle) > std::sqrt(0.5L) ? low : high) = middle;
  }
  return plain(w * low);
}

// |H| of the analog low-pass by the family's definition; that of the elliptic one is not an
// elementary function.
Real definition(const IirFamily& family, Real w) {
  if (const auto* f = std::get_if<Butterworth>(&family))
    return 1 / std::sqrt(1 + std::pow(w * w, static_cast<Real>(f->order)));
  if (const auto* f = std::get_if<Chebyshev1>(&family)) {
    const Real t = chebyshev_polynomial(f->order, w);
    return 1 / std::sqrt(1 + (power_ratio(f->ripple_db) - 1) * t * t);
  }
  if (const auto* f = std::get_if<Chebyshev2>(&family)) {
    if (w == 0) return 1;
    const Real t = chebyshev_polynomial(f->order, 1 / w);
    return 1 / std::sqrt(1 + (power_ratio(f->attenuation_db) - 1) / (t * t));
  }
  return bessel_gain(std::get<Bessel>(family), w);
}

struct Polynomial2 {  // c0 + c1/z + c2/z^2 at tan(pi f) = w
  Real c0, c1, c2;
  [[nodiscard]] Complex at(Real w) const {
    const Complex s(0, w);
    return ((c0 + c1 + c2) + 2 * (c0 - c2) * s + (c0 - c1 + c2) * s * s) /
           ((s + Real{1}) * (s + Real{1}));
  }
};

struct Response {
  Complex h = 1;
  Real rounding = 0;  // what half a unit in the last place of every coefficient can do
};

Real half_ulp(double x) { return x == 0 ? 0 : std::ldexp(1.0L, std::ilogb(x) - 53); }

Response response(const Sos& sos, const Case& c, Real f) {
  const Real w = warp(f);
  // Where sections have a gain of 1.
  const Real reference = c.shape == Shape::high   ? 1e18L
                         : c.shape == Shape::pass ? std::sqrt(warp(c.low) * warp(c.high))
                                                  : 0;
  Response made;
  std::vector<Complex> gains;
  std::vector<Real> errors;
  for (const Sos::Section& s : sos.sections) {
    const Complex d = Polynomial2{1, s.a1, s.a2}.at(w);
    const Real d_error = half_ulp(s.a1) + half_ulp(s.a2);
    const bool structural = s.b2 == 0.0 || s.b1 == 0.0 || std::abs(s.b1) == 2.0 * s.b0;
    Real n_error = 0;
    if (!structural) {  // made from the gains at both ends of the rounded poles
      const double low = (1 + s.a1) + s.a2;
      const double high = (1 - s.a1) + s.a2;
      const Real low_error = (d_error + 2 * half_ulp(low)) * ((s.b0 + s.b1) + s.b2) / low;
      const Real high_error = (d_error + 2 * half_ulp(high)) * ((s.b0 - s.b1) + s.b2) / high;
      const Real b0_error = 4 * half_ulp(s.b0) * (c.shape == Shape::high ? 1 : w * w);
      n_error = half_ulp(s.b1) + (low_error + high_error * w * w + b0_error) / (1 + w * w);
    }
    gains.push_back(Polynomial2{s.b0, s.b1, s.b2}.at(w) / d);
    errors.push_back((n_error + std::abs(gains.back()) * d_error) / std::abs(d) +
                     std::abs(gains.back()) *
                         (d_error / std::abs(Polynomial2{1, s.a1, s.a2}.at(reference)) + 0x1p-53L));
    made.h *= gains.back();
  }
  for (std::size_t i = 0; i < gains.size(); ++i) {
    Real term = errors[i];
    for (std::size_t j = 0; j < gains.size(); ++j)
      if (j != i) term *= std::abs(gains[j]);
    made.rounding += term;
  }
  return made;
}

Real uniform(test::Random& random, Real from, Real to) {
  return from + (to - from) * (Real{random.uniform()} + 1) / 2;
}

// Any edge from 1e-4 to 0.49, as often near 0 as in the middle and near half the rate.
double any_edge(test::Random& random) {
  const Real f = std::exp(uniform(random, std::log(1e-4L), std::log(0.25L)));
  return static_cast<double>(random.below(3) == 0 ? std::max(0.25L, 0.5L - 10 * f) - 0.01L : f);
}

IirFamily any_family(test::Random& random, std::uint64_t which, int order) {
  const auto db = [&](double from, double to) {
    return static_cast<double>(uniform(random, from, to));
  };
  switch (which) {
    case 0: return Butterworth{order};
    case 1: return Chebyshev1{order, db(0.01, 3)};
    case 2: return Chebyshev2{order, db(10, 120)};
    case 3: return Elliptic{order, db(0.01, 3), db(30, 120)};
    default: return Bessel{order, static_cast<BesselNorm>(random.below(3))};
  }
}

Case any_case(test::Random& random, std::uint64_t which, int order) {
  Case c{any_family(random, which, order), static_cast<Shape>(random.below(4))};
  c.low = any_edge(random);
  if (c.shape == Shape::pass || c.shape == Shape::stop) {
    c.high = any_edge(random);
    if (random.below(3) == 0) c.high = c.low * static_cast<double>(uniform(random, 1.01L, 1.5L));
    if (c.low > c.high) std::swap(c.low, c.high);
    if (c.high > 0.49) c.high = 0.49;
    if (c.low == c.high) c.low = c.high / 2;
  }
  return c;
}

std::string text(const Case& c) {
  static constexpr std::array shapes{"low", "high", "pass", "stop"};
  std::string made = std::string(shapes[static_cast<std::size_t>(c.shape)]) + " family " +
                     std::to_string(c.family.index()) + " order " +
                     std::to_string(order_of(c.family)) + " edges " + std::to_string(c.low) + " " +
                     std::to_string(c.high);
  if (const auto* f = std::get_if<Elliptic>(&c.family))
    made += " ripple " + std::to_string(f->ripple_db) + " attenuation " +
            std::to_string(f->attenuation_db);
  return made;
}

// Frequencies all over, and close to the edges.
std::vector<Real> places(test::Random& random, const Case& c) {
  std::vector<Real> made{c.low};
  if (c.shape == Shape::pass || c.shape == Shape::stop) made.push_back(c.high);
  for (int i = 0; i < 12; ++i) {
    made.push_back(std::exp(uniform(random, std::log(1e-5L), std::log(0.499L))));
    made.push_back(std::min(0.499L, c.low * uniform(random, 0.5L, 1.5L)));
    made.push_back(uniform(random, c.low, c.high > c.low ? c.high : 0.499));
  }
  return made;
}

// `which` of all cases, twenty rounds of each order; designs out of reach are told apart.
template <class F>
void for_each_case(std::uint64_t which, F&& f) {
  const std::uint64_t seed = test::new_seed();
  test::Random random(seed);
  int made = 0;
  int refused = 0;
  for (int order = 1; order <= 12; ++order)
    for (int round = 0; round < 20; ++round) {
      const Case c = any_case(random, which, order);
      INFO("seed " << seed << ", " << text(c));
      Sos sos;
      try {
        sos = design(c);
      } catch (const Error& error) {
        CHECK_THAT(error.what(), Contains("met exactly enough"));
        ++refused;
        continue;
      }
      ++made;
      f(random, c, sos);
    }
  INFO("seed " << seed << ", " << made << " made, " << refused << " refused");
  CHECK(refused <= (which == 3 ? made / 4 : 2));
}

TEST_CASE("every family in every band has the response of its definition") {
  for (const std::uint64_t which : {0U, 1U, 2U, 4U})
    for_each_case(which, [](test::Random& random, const Case& c, const Sos& sos) {
      for (const Real f : places(random, c)) {
        const Response r = response(sos, c, f);
        const Real wanted = definition(c.family, prototype_frequency(c, f));
        INFO("at " << f << ": " << std::abs(r.h) << ", wanted " << wanted << ", off "
                   << std::abs(r.h) - wanted << ", rounding " << r.rounding);
        CHECK(static_cast<double>(std::abs(std::abs(r.h) - wanted)) <=
              static_cast<double>(2 * r.rounding + 1e-15L * wanted));
      }
    });
}

TEST_CASE("elliptic: every band has the ripple of the low-pass, the least at the edge") {
  for_each_case(3, [](test::Random& random, const Case& c, const Sos& sos) {
    const auto& family = std::get<Elliptic>(c.family);
    const Real floor = 1 / std::sqrt(power_ratio(family.ripple_db));
    const Case low{family, Shape::low, 0.1};
    const Sos low_pass = design(low);
    for (const Real f : places(random, c)) {
      CAPTURE(static_cast<double>(f));
      const Response r = response(sos, c, f);
      const Real error = 2 * r.rounding + 1e-15L;
      const Real w = std::abs(prototype_frequency(c, f));
      CHECK(std::abs(r.h) <= 1 + error);
      const Response same = response(low_pass, low, std::atan(w * warp(0.1L)) / pi);
      CHECK(std::abs(std::abs(r.h) - std::abs(same.h)) <= error + 2 * same.rounding);
      if (f == c.low || (f == c.high && c.high > c.low))
        CHECK(std::abs(std::abs(r.h) - floor) <= error);
      else if (w < 1)
        CHECK(std::abs(r.h) >= floor - error);
      else
        CHECK(std::abs(r.h) < floor + error);
    }
  });
}

TEST_CASE("elliptic: as many extremes as poles, each at one of the two levels of its band") {
  for (const int order : {2, 3, 4, 7, 12}) {
    const double ripple = 0.3;
    const double attenuation = 50;
    INFO("order " << order);
    const Case c{Elliptic{order, ripple, attenuation}, Shape::low, 0.05};
    const Sos sos = design(c);
    const Real floor = 1 / std::sqrt(power_ratio(ripple));
    const Real ceiling = 1 / std::sqrt(power_ratio(attenuation));
    std::vector<Real> gains;
    const int points = 20000;
    for (int i = 0; i <= points; ++i) {  // dense at the edge
      const Real u = 1.96L * static_cast<Real>(i) / points - 0.98L;
      const Real w = u < 0 ? 1 - u * u * u * u : 1 / (1 - u * u * u * u);
      gains.push_back(std::abs(response(sos, c, std::atan(w * warp(c.low)) / pi).h));
    }
    int extremes = 0;
    for (std::size_t i = 1; i + 1 < gains.size(); ++i) {
      const Real g = gains[i];
      if ((g > gains[i - 1]) != (g >= gains[i + 1])) continue;
      ++extremes;
      if (g > 0.5L)
        CHECK(std::min(std::abs(g - 1), std::abs(g - floor)) < 1e-4L);
      else
        CHECK(std::min(g, std::abs(g - ceiling)) < 0.02L * ceiling);
    }
    CHECK(extremes >= 2 * (order - 1) - 2);
  }
}

TEST_CASE("sections: as many as the order asks for, stable, zeros on the unit circle, gain 1") {
  for (std::uint64_t which = 0; which < 5; ++which)
    for_each_case(which, [&](test::Random&, const Case& c, const Sos& sos) {
      check(sos);
      const bool band = c.shape == Shape::pass || c.shape == Shape::stop;
      const int order = order_of(c.family);
      CHECK(sos.sections.size() == static_cast<std::size_t>(band ? order : (order + 1) / 2));
      Real ripple = 1;  // of the first section
      if (order % 2 == 0) {
        if (const auto* f = std::get_if<Chebyshev1>(&c.family))
          ripple = 1 / std::sqrt(power_ratio(f->ripple_db));
        if (const auto* f = std::get_if<Elliptic>(&c.family))
          ripple = 1 / std::sqrt(power_ratio(f->ripple_db));
      }
      for (const Sos::Section& s : sos.sections) {
        CHECK((std::abs(s.b2) == s.b0 || (s.b2 == 0.0 && std::abs(s.b1) == s.b0)));
        CHECK(s.b0 > 0.0);
        const Real w = c.shape == Shape::high   ? 1e18L
                       : c.shape == Shape::pass ? std::sqrt(warp(c.low) * warp(c.high))
                                                : 0;
        const Real gain =
            std::abs(Polynomial2{s.b0, s.b1, s.b2}.at(w) / Polynomial2{1, s.a1, s.a2}.at(w));
        const Real cancelled =
            (half_ulp(s.b1) + 0x1p-53L) / std::abs(Polynomial2{1, s.a1, s.a2}.at(w));
        CHECK(std::abs(gain / ripple - 1) < 1e-15L + 4 * cancelled);
        ripple = 1;
      }
    });
}

TEST_CASE("sections of one edge: the most damped poles come first") {
  for (std::uint64_t which = 0; which < 5; ++which)
    for (int order = 1; order <= 12; ++order) {
      test::Random random(which);
      const Sos sos = design({any_family(random, which, order), Shape::low, 0.05});
      for (std::size_t i = static_cast<std::size_t>(order % 2) + 1; i < sos.sections.size(); ++i)
        CHECK(sos.sections[i].a2 > sos.sections[i - 1].a2);
      CHECK((sos.sections[0].a2 == 0.0) == (order % 2 == 1));
    }
}

TEST_CASE("in a wide band-pass no part of the cascade amplifies or swallows the pass band") {
  const Case c{Butterworth{12}, Shape::pass, 1e-3, 0.45};
  const Sos sos = design(c);
  for (const Real f : {2e-3L, 0.01L, 0.1L, 0.3L, 0.4L}) {
    Sos part;
    for (const Sos::Section& s : sos.sections) {
      part.sections.push_back(s);
      CAPTURE(part.sections.size(), static_cast<double>(f));
      CHECK(std::abs(response(part, c, f).h) < 2);
      CHECK(std::abs(response(part, c, f).h) > 0.2L);
    }
  }
}

TEST_CASE("a constant passes low-pass and band-stop and no other filter") {
  const auto settled = [](const Sos& sos) {
    SosFilter filter(sos, {}, 1);
    return run(filter, test::signal(std::vector<double>(20000, 3.5))).values.back();
  };
  for (const IirFamily& family :
       {IirFamily(Butterworth{5}), IirFamily(Chebyshev1{5, 1}), IirFamily(Chebyshev2{4, 40}),
        IirFamily(Elliptic{5, 1, 40}), IirFamily(Bessel{6})}) {
    CHECK(settled(design({family, Shape::low, 0.02})) == Approx(3.5).epsilon(1e-10));
    CHECK(settled(design({family, Shape::stop, 0.02, 0.1})) == Approx(3.5).epsilon(1e-10));
    CHECK(std::abs(settled(design({family, Shape::high, 0.02}))) < 0.04);
    CHECK(std::abs(settled(design({family, Shape::pass, 0.02, 0.1}))) < 0.04);
  }
}

TEST_CASE("a high-pass is the low-pass with its frequencies turned round") {
  for (std::uint64_t which = 0; which < 5; ++which)
    for (int order = 1; order <= 12; ++order) {
      test::Random random(which);
      const IirFamily family = any_family(random, which, order);
      const Case low{family, Shape::low, 0.0625};
      const Case high{family, Shape::high, 0.4375};  // half the rate less that of the low-pass
      const Sos a = design(low);
      const Sos b = design(high);
      for (std::size_t i = 0; i < a.sections.size(); ++i) {
        CHECK(b.sections[i].a1 == Approx(-a.sections[i].a1).epsilon(1e-15).margin(1e-15));
        CHECK(b.sections[i].a2 == Approx(a.sections[i].a2).epsilon(1e-15));
        CHECK(b.sections[i].b0 == Approx(a.sections[i].b0).epsilon(1e-12));
        CHECK(b.sections[i].b1 == Approx(-a.sections[i].b1).epsilon(1e-12));
      }
    }
}

TEST_CASE("Bessel: poles of the prototype as computed with 50 digits") {
  // Those of a low-pass at a quarter of the rate, where tan(pi f / rate) = 1, brought back to
  // the analog filter. From the roots of the polynomial for order 12, and of 5.
  const auto poles = [](const Bessel& family) {
    std::vector<Complex> made;
    for (const Sos::Section& s : design({family, Shape::low, 0.25}).sections) {
      const Real p0 = 1 + Real{s.a1} + s.a2, p1 = 2 - 2 * Real{s.a2}, p2 = 1 - Real{s.a1} + s.a2;
      if (s.a2 == 0.0)
        made.emplace_back(-(1 + Real{s.a1}) / (1 - Real{s.a1}), 0);
      else
        made.emplace_back(-p1 / (2 * p2), std::sqrt(p0 / p2 - p1 * p1 / (4 * p2 * p2)));
    }
    return made;
  };
  const std::vector<Complex> twelve{{-8.25342201141208096388L, 0.867693572009768815999L},
                                    {-7.99727059960143416396L, 2.60906653694579815898L},
                                    {-7.46557124035177041635L, 4.37016959335456516329L},
                                    {-6.6110042499563518637L, 6.17153499303722969678L},
                                    {-5.32970859087582917462L, 8.05290686425703263931L},
                                    {-3.34302330780253341749L, 10.1242968072408198877L}};
  const std::vector<Complex> five{{-3.64673859532964325974L, 0L},
                                  {-3.35195639915353314302L, 1.74266141618319772273L},
                                  {-2.32467430318164522712L, 3.57102292033797640039L}};
  const auto same = [&](const Bessel& family, const std::vector<Complex>& wanted) {
    const std::vector<Complex> made = poles(family);
    REQUIRE(made.size() == wanted.size());
    for (std::size_t i = 0; i < made.size(); ++i) {
      CAPTURE(i);
      CHECK(std::abs(made[i] - wanted[i]) < 4e-15L * std::norm(wanted[i]) + 4e-16L);
    }
  };
  same({12, BesselNorm::delay}, twelve);
  same({5, BesselNorm::delay}, five);
}

TEST_CASE("notch and peak: 0 and 1 at the frequency, -3 dB at a distance of frequency / quality") {
  const std::uint64_t seed = test::new_seed();
  test::Random random(seed);
  for (int round = 0; round < 300; ++round) {
    const double f = any_edge(random);
    const auto quality =
        static_cast<double>(2 * f * std::exp(uniform(random, 0.1L, 5.0L)) + uniform(random, 0, 30));
    INFO("seed " << seed << ", at " << f << ", quality " << quality);
    const Sos n = design(notch({f}, quality), 1_Hz);
    const Sos p = design(peak({f}, quality), 1_Hz);
    REQUIRE(n.sections.size() == 1);
    REQUIRE(p.sections.size() == 1);
    const double from_end = std::min(f, 0.5 - f);
    const double error = 1e-14 + 1e-16 * std::max(1.0, quality) / (from_end * from_end);
    CHECK(std::abs(frequency_response(n, {f}, 1_Hz)) < error);
    CHECK(std::abs(frequency_response(p, {f}, 1_Hz)) == Approx(1).epsilon(error));
    CHECK(std::abs(frequency_response(n, 0_Hz, 1_Hz)) == Approx(1).epsilon(error));
    CHECK(std::abs(frequency_response(n, {0.5}, 1_Hz)) == Approx(1).epsilon(error));
    CHECK(std::abs(frequency_response(p, 0_Hz, 1_Hz)) == 0.0);
    CHECK(std::abs(frequency_response(p, {0.5}, 1_Hz)) == 0.0);
    // beta = tan(width / 2), gain = 1 / (1 + beta), as scipy.signal.iirnotch and iirpeak have it.
    const Real gain = 1 / (1 + std::tan(pi * f / Real{quality}));
    const Real cosine = std::cos(2 * pi * f);
    const auto close = [](double a, Real b) { return std::abs(Real{a} - b) < 5e-16L; };
    CHECK(close(n.sections[0].a1, -2 * gain * cosine));
    CHECK(close(n.sections[0].a2, 2 * gain - 1));
    CHECK(close(n.sections[0].b0, gain));
    CHECK(close(n.sections[0].b1, -2 * gain * cosine));
    CHECK(close(p.sections[0].b0, 1 - gain));
    CHECK(close(p.sections[0].b2, gain - 1));
    CHECK(p.sections[0].a1 == n.sections[0].a1);
    CHECK(p.sections[0].a2 == n.sections[0].a2);
  }
}

TEST_CASE("designs refuse parameters out of range, and say the range") {
  const auto message = [](const auto& filter, Hertz rate = 1_Hz) {
    return test::message_of([&] { (void)design(filter, rate); });
  };
  const Hertz fine{0.1};
  for (const double bad : {0.0, 0.0009, -1.0, 10.1, test::nan, test::infinity}) {
    CHECK_THAT(message(lowpass(Chebyshev1{4, bad}, fine)),
               Contains("Chebyshev I low-pass: ripple is") && Contains("must be 0.001 to 10 dB"));
    CHECK_THAT(message(highpass(Elliptic{4, bad, 40}, fine)),
               Contains("elliptic high-pass: ripple is") && Contains("must be 0.001 to 10 dB"));
  }
  for (const double bad : {0.0, 2.9, -1.0, 201.0, test::nan, test::infinity}) {
    CHECK_THAT(
        message(bandpass(Chebyshev2{4, bad}, fine, {0.2})),
        Contains("Chebyshev II band-pass: attenuation is") && Contains("must be 3 to 200 dB"));
    CHECK_THAT(message(bandstop(Elliptic{4, 1, bad}, fine, {0.2})),
               Contains("attenuation is") && Contains("must be 3 to 200 dB"));
  }
  CHECK_THAT(message(lowpass(Elliptic{4, 5, 5}, fine)),
             Contains("attenuation is 5 dB, must be above the ripple, 5 dB"));
  CHECK_THAT(message(lowpass(Bessel{4, static_cast<BesselNorm>(3)}, fine)), Contains("norm"));
  for (const int order : {-1, 0, 13}) {
    for (const IirFamily& family :
         {IirFamily(Butterworth{order}), IirFamily(Chebyshev1{order}), IirFamily(Chebyshev2{order}),
          IirFamily(Elliptic{order}), IirFamily(Bessel{order})}) {
      CHECK_THAT(message(highpass(family, fine)), Contains("must be 1 to 12"));
      CHECK_THAT(message(bandpass(family, fine, {0.2})), Contains("must be 1 to 12"));
    }
  }
  const IirFamily family = Butterworth{4};
  for (const double bad : {0.0, -0.1, 0.5, 0.6, test::nan, test::infinity}) {
    CHECK_THAT(message(highpass(family, {bad})), Contains("cut-off is") && Contains("Nyquist"));
    CHECK_THAT(message(bandpass(family, {bad}, {0.3})), Contains("lower edge is"));
    CHECK_THAT(message(bandstop(family, {0.3}, {bad})), Contains("upper edge is"));
    CHECK_THAT(message(notch({bad})), Contains("notch: frequency is"));
    CHECK_THAT(message(peak({bad})), Contains("peak: frequency is"));
  }
  CHECK_THAT(message(bandpass(family, {0.2}, {0.1})),
             Contains("lower edge is 0.2 Hz, must be below the upper edge 0.1 Hz"));
  CHECK_THAT(message(bandstop(family, {0.2}, {0.2})), Contains("must be below"));
  CHECK_THAT(message(bandpass(family, {0.9}, {1e5}), 1_MHz), Contains("only 1 to 499999 Hz"));
  CHECK_THAT(message(notch({499999.5}), 1_MHz), Contains("only 1 to 499999 Hz"));
  CHECK_THAT(message(notch({0.1}, 0.2)), Contains("above 0.2"));
  for (const double bad : {0.0, -3.0, test::nan, test::infinity})
    CHECK_THAT(message(peak({0.1}, bad)), Contains("quality is"));
  for (const double bad : {0.0, -3.0, test::nan, test::infinity}) {
    CHECK_THAT(message(bandpass(family, {0.1}, {0.2}), {bad}), Contains("rate is"));
    CHECK_THAT(message(notch({0.1}), {bad}), Contains("rate is"));
  }
}

TEST_CASE("what doubles can't hold is refused, and the limit named can be had") {
  const auto message = [](const auto& filter, Hertz rate = 1_Hz) {
    return test::message_of([&] { (void)design(filter, rate); });
  };
  const auto number_after = [](const std::string& text, const std::string& word) {
    const std::size_t at = text.find(word);
    REQUIRE(at != std::string::npos);
    return std::stod(text.substr(at + word.size()));
  };
  const Elliptic steep{12, 3, 20};
  for (const Hertz rate : {1_Hz, 44100_Hz}) {
    const std::string text = message(lowpass(steep, {1e-5 * rate.value}), rate);
    CAPTURE(text);
    const double lowest = number_after(text, "only ");
    const double highest = number_after(text, " to ");
    CHECK(lowest > 1e-5 * rate.value);
    CHECK(message(lowpass(steep, {lowest}), rate).empty());
    CHECK(message(lowpass(steep, {highest}), rate).empty());
    CHECK_FALSE(message(lowpass(steep, {0.99 * lowest}), rate).empty());
    CHECK_FALSE(message(highpass(steep, {0.99 * lowest}), rate).empty());
  }
  const auto band = [](double width, bool pass) {
    const Hertz low{100 - width / 2}, high{100 + width / 2};
    return test::message_of([&] {
      pass ? (void)design(bandpass(Butterworth{6}, low, high), 1_kHz)
           : (void)design(bandstop(Butterworth{6}, low, high), 1_kHz);
    });
  };
  for (const bool pass : {false, true}) {
    const std::string text = band(1e-9, pass);
    CHECK_THAT(text, Contains("around 100 Hz"));
    CAPTURE(text);
    const double width = number_after(text, " Hz only ");
    CHECK(width < 1e-6);
    CHECK(band(1.001 * width, pass).empty());
    CHECK_FALSE(band(0.98 * width, pass).empty());
  }
  const std::string text = message(notch({50}, 1e13), 1_kHz);
  const double quality = number_after(text, "only up to ");
  CHECK(message(notch({50}, quality), 1_kHz).empty());
  CHECK_FALSE(message(notch({50}, 1.02 * quality), 1_kHz).empty());

  const std::string order = message(lowpass(Elliptic{12, 10, 12}, {0.1}));
  const int possible = static_cast<int>(number_after(order, "at most "));
  CHECK(possible >= 5);
  CHECK(message(lowpass(Elliptic{possible, 10, 12}, {0.25})).empty());
}

TEST_CASE("every order of every family can be had from 1e-4 to 0.49 of the rate, but steep ones") {
  for (int order = 1; order <= 12; ++order)
    for (const double edge : {1e-4, 1e-3, 0.25, 0.49})
      for (const IirFamily& family :
           {IirFamily(Butterworth{order}), IirFamily(Chebyshev1{order, 3}),
            IirFamily(Chebyshev2{order, 40}), IirFamily(Elliptic{order, 0.5, 40}),
            IirFamily(Bessel{order})})
        for (const Shape shape : {Shape::low, Shape::high})
          CHECK_NOTHROW(design({family, shape, edge}));
}

TEST_CASE("makers keep what they are given") {
  const SosOptions options{.initial = Initial::steady};
  CHECK(lowpass(Bessel{3}, 5_Hz, options) == LowPass{Bessel{3}, 5_Hz, options});
  CHECK(highpass(Bessel{3}, 5_Hz, options) == HighPass{Bessel{3}, 5_Hz, options});
  CHECK(bandpass(Bessel{3}, 5_Hz, 6_Hz, options) == BandPass{Bessel{3}, 5_Hz, 6_Hz, options});
  CHECK(bandstop(Bessel{3}, 5_Hz, 6_Hz, options) == BandStop{Bessel{3}, 5_Hz, 6_Hz, options});
  CHECK(notch(5_Hz, 7, options) == Notch{5_Hz, 7, options});
  CHECK(peak(5_Hz, 7, options) == Peak{5_Hz, 7, options});
}
}  // namespace
}  // namespace spillway
