#include "spillway/filters/iir.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <functional>
#include <numbers>
#include <optional>
#include <string>
#include <vector>

#include "analog_prototype.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Section = Sos::Section;
using Complex = std::complex<Real>;

constexpr int largest_order = 12;
constexpr double smallest_ripple = 0.001;  // dB
constexpr double largest_ripple = 10.0;
constexpr double smallest_attenuation = 3.0;
constexpr double largest_attenuation = 200.0;
constexpr double smallest_distance = 1e-6;  // of an edge from 0 and from Nyquist, in rates
constexpr Real largest_error = 1e-4L;       // of the response, see the header
constexpr Real pi = std::numbers::pi_v<Real>;

// Where the zeros of a section are: s = infinity is half the rate, s = 0 is 0 Hz.
enum class Zeros { at_infinity, at_zero, at_both, on_axis };

// A section in s: poles where s^2 + d1 s + d0 = 0, or s + d0 = 0.
struct AnalogSection {
  bool first_order = false;
  Real d1 = 0.0L;
  Real d0 = 0.0L;
  Zeros zeros = Zeros::at_infinity;
  Real zero = 0.0L;  // Zeros::on_axis: at +- j zero
};

// Where the sections' gain is 1: at s = 0, infinity, or j centre.
enum class Reference { zero, infinity, centre };

struct AnalogFilter {
  std::vector<AnalogSection> sections;
  Reference reference = Reference::zero;
  Real centre = 0.0L;
  Real gain = 1.0L;
  std::vector<Real> edges;
};

// tan(pi c). Near the Nyquist frequency from the other end, where it is steep.
Real warp(Real c) { return c <= 0.25L ? std::tan(pi * c) : 1 / std::tan(pi * (0.5L - c)); }

AnalogFilter low_pass(const AnalogPrototype& prototype, Real c) {
  const Real t = warp(c);
  AnalogFilter made;
  made.gain = prototype.gain;
  made.edges = {t};
  if (prototype.real_pole)
    made.sections.push_back({.first_order = true, .d0 = *prototype.real_pole * t});
  for (const AnalogPair& p : prototype.pairs)
    made.sections.push_back({.d1 = 2 * p.a * t,
                             .d0 = (p.a * p.a + p.b * p.b) * (t * t),
                             .zeros = std::isinf(p.zero) ? Zeros::at_infinity : Zeros::on_axis,
                             .zero = p.zero * t});
  return made;
}

// s to t / s.
AnalogFilter high_pass(const AnalogPrototype& prototype, Real c) {
  const Real t = warp(c);
  AnalogFilter made;
  made.reference = Reference::infinity;
  made.gain = prototype.gain;
  made.edges = {t};
  if (prototype.real_pole)
    made.sections.push_back(
        {.first_order = true, .d0 = t / *prototype.real_pole, .zeros = Zeros::at_zero});
  for (const AnalogPair& p : prototype.pairs) {
    const Real squared = p.a * p.a + p.b * p.b;
    made.sections.push_back({.d1 = 2 * p.a * t / squared,
                             .d0 = t * t / squared,
                             .zeros = std::isinf(p.zero) ? Zeros::at_zero : Zeros::on_axis,
                             .zero = t / p.zero});
  }
  return made;
}

struct Band {
  Real low = 0.0L;
  Real high = 0.0L;
  Real width = 0.0L;  // high - low, without its rounding
};

struct WarpedBand {
  explicit WarpedBand(const Band& band)
      : low(warp(band.low)),
        high(warp(band.high)),
        width(std::sin(pi * band.width) /
              (std::cos(pi * band.low) * std::sin(pi * (0.5L - band.high)))),
        squared(low * high) {}
  Real low = 0.0L;
  Real high = 0.0L;
  Real width = 0.0L;    // high - low, where that cancels
  Real squared = 0.0L;  // of the centre
};

// The poles that s to (s^2 + centre^2) / (width s) makes of a pair at -a +- jb: s1 + s2 =
// width (-a + jb) and s1 s2 = centre^2, so that their distances from the axis are as their
// squared moduli, and add up to width a.
void add_band_sections(std::vector<AnalogSection>& sections, const WarpedBand& band, Real a, Real b,
                       Zeros lower_zeros, Real lower_zero, Zeros upper_zeros, Real upper_zero) {
  const Complex sum = Complex(-a, b) * band.width;
  const Complex root =
      std::sqrt(Complex((a - b) * (a + b) * (band.width * band.width) - 4 * band.squared,
                        -2 * a * b * (band.width * band.width)));
  const Real upper = std::max(std::norm(sum + root), std::norm(sum - root)) / 4;
  const Real lower = band.squared * band.squared / upper;
  const Real damping = 2 * a * band.width / (upper + band.squared);
  sections.push_back(
      {.d1 = damping * band.squared, .d0 = lower, .zeros = lower_zeros, .zero = lower_zero});
  sections.push_back(
      {.d1 = damping * upper, .d0 = upper, .zeros = upper_zeros, .zero = upper_zero});
}

// The upper of the two that the transformation makes of a zero at jw.
Real upper_zero(const WarpedBand& band, Real w) {
  const Real sum = band.width * w;
  return (sum + std::sqrt(sum * sum + 4 * band.squared)) / 2;
}

AnalogFilter band_pass(const AnalogPrototype& prototype, const Band& edges) {
  const WarpedBand band(edges);
  AnalogFilter made;
  made.reference = Reference::centre;
  made.centre = std::sqrt(band.squared);
  made.gain = prototype.gain;
  made.edges = {band.low, band.high};
  if (prototype.real_pole)
    made.sections.push_back(
        {.d1 = band.width * *prototype.real_pole, .d0 = band.squared, .zeros = Zeros::at_both});
  for (const AnalogPair& p : prototype.pairs) {
    if (std::isinf(p.zero)) {
      add_band_sections(made.sections, band, p.a, p.b, Zeros::at_zero, 0, Zeros::at_infinity, 0);
    } else {
      const Real upper = upper_zero(band, p.zero);
      add_band_sections(made.sections, band, p.a, p.b, Zeros::on_axis, band.squared / upper,
                        Zeros::on_axis, upper);
    }
  }
  return made;
}

// s to width s / (s^2 + centre^2): as a band-pass, of the inverse poles and zeros.
AnalogFilter band_stop(const AnalogPrototype& prototype, const Band& edges) {
  const WarpedBand band(edges);
  const Real centre = std::sqrt(band.squared);
  AnalogFilter made;
  made.centre = centre;
  made.gain = prototype.gain;
  made.edges = {band.low, band.high};
  if (prototype.real_pole)
    made.sections.push_back({.d1 = band.width / *prototype.real_pole,
                             .d0 = band.squared,
                             .zeros = Zeros::on_axis,
                             .zero = centre});
  for (const AnalogPair& p : prototype.pairs) {
    const Real squared = p.a * p.a + p.b * p.b;
    const Real upper = std::isinf(p.zero) ? centre : upper_zero(band, 1 / p.zero);
    add_band_sections(made.sections, band, p.a / squared, p.b / squared, Zeros::on_axis,
                      band.squared / upper, Zeros::on_axis, upper);
  }
  return made;
}

// c0 + c1/z + c2/z^2 = (p0 + p1 s + p2 s^2) / (1 + s)^2. The sums are exact where they are small.
struct InS {
  InS(double c0, double c1, double c2)
      : p0((c0 + c1) + c2), p1(2.0 * (c0 - c2)), p2((c0 - c1) + c2) {}
  [[nodiscard]] Real modulus(Real w) const {
    return std::hypot(p0 - p2 * w * w, p1 * w) / (1 + w * w);
  }
  [[nodiscard]] Real modulus(Reference at, Real centre) const {
    if (at == Reference::zero) return p0;
    return at == Reference::infinity ? p2 : modulus(centre);
  }
  Real p0 = 0.0L;
  Real p1 = 0.0L;
  Real p2 = 0.0L;
};

double rounded(Real x) { return static_cast<double>(x); }

// Zeros on the unit circle: b2 = b0.
void set_axis_zeros(Section& s, const AnalogSection& analog, const AnalogFilter& filter,
                    Real gain) {
  const InS poles(1.0, s.a1, s.a2);
  const Real squared = analog.zero * analog.zero;
  if (filter.reference == Reference::centre) {
    const Real zeros = 4 * std::abs(squared - filter.centre * filter.centre) /
                       ((1 + squared) * (1 + filter.centre * filter.centre));
    s.b0 = rounded(gain * poles.modulus(filter.centre) / zeros);
    s.b1 = rounded(2 * Real{s.b0} * (squared - 1) / (squared + 1));
  } else {
    // From the gains at both ends, with the poles as they are rounded: the zeros move as they do.
    const bool at_zero = filter.reference == Reference::zero;
    const Real sum = poles.p0 * gain * (at_zero ? 1 : squared / analog.d0);
    const Real difference = poles.p2 * gain * (at_zero ? analog.d0 / squared : 1);
    s.b0 = rounded((sum + difference) / 4);
    s.b1 = rounded(at_zero ? sum - 2 * Real{s.b0} : 2 * Real{s.b0} - difference);
  }
  s.b2 = s.b0;
}

Section bilinear(const AnalogSection& analog, const AnalogFilter& filter, Real gain) {
  Section s;
  if (analog.first_order) {
    s.a1 = rounded((analog.d0 - 1) / (analog.d0 + 1));
  } else {
    const Real d = 1 + analog.d1 + analog.d0;
    s.a1 = rounded(2 * (analog.d0 - 1) / d);
    s.a2 = rounded((1 - analog.d1 + analog.d0) / d);
  }
  if (analog.zeros == Zeros::on_axis) {
    set_axis_zeros(s, analog, filter, gain);
    return s;
  }
  double b1 = 0.0;
  double b2 = -1.0;
  if (analog.zeros != Zeros::at_both) {
    const double sign = analog.zeros == Zeros::at_infinity ? 1.0 : -1.0;
    b1 = analog.first_order ? sign : 2.0 * sign;
    b2 = analog.first_order ? 0.0 : 1.0;
  }
  const Real poles = InS(1.0, s.a1, s.a2).modulus(filter.reference, filter.centre);
  const Real zeros = InS(1.0, b1, b2).modulus(filter.reference, filter.centre);
  s.b0 = rounded(gain * poles / zeros);
  s.b1 = b1 * s.b0;
  s.b2 = b2 * s.b0;
  return s;
}

// Half a unit in the last place.
Real half_ulp(double x) { return x == 0.0 ? 0.0L : std::ldexp(1.0L, std::ilogb(x) - 53); }

// The bound of the header on what the rounding of coefficients does to the response.
Real rounding_error(const AnalogFilter& filter, const std::vector<Section>& sections) {
  std::vector<Real> places = filter.edges;
  for (const AnalogSection& s : filter.sections) {
    const Real squared = s.d0 - s.d1 * s.d1 / 4;
    places.push_back(s.first_order ? s.d0 : std::sqrt(squared > 0 ? squared : s.d0));
  }
  Real largest = 0.0L;
  for (const Real w : places) {
    std::vector<Real> gains;
    std::vector<Real> errors;
    for (std::size_t i = 0; i < sections.size(); ++i) {
      const Section& s = sections[i];
      const InS poles(1.0, s.a1, s.a2);
      const Real d = poles.modulus(w);
      const InS zeros(s.b0, s.b1, s.b2);
      const Real of_poles = half_ulp(s.a1) + half_ulp(s.a2);
      Real of_zeros = 0.0L;  // exact, but for a common factor
      if (filter.sections[i].zeros == Zeros::on_axis) {
        of_zeros = half_ulp(s.b1);
        if (filter.reference != Reference::centre)  // made from the rounded poles
          of_zeros += of_poles * std::max(zeros.p0 / poles.p0, zeros.p2 / poles.p2);
      }
      gains.push_back(zeros.modulus(w) / d);
      const Real of_scale = of_poles / poles.modulus(filter.reference, filter.centre);
      errors.push_back((of_zeros + gains.back() * of_poles) / d + gains.back() * of_scale);
    }
    Real sum = 0.0L;
    for (std::size_t i = 0; i < sections.size(); ++i) {
      Real term = errors[i];
      for (std::size_t j = 0; j < sections.size(); ++j)
        if (j != i) term *= gains[j];
      sum += term;
    }
    largest = std::max(largest, sum);
  }
  return largest;
}

struct Designed {
  Sos sos;
  Real error = 0.0L;
  [[nodiscard]] bool exact_enough() const { return error <= largest_error; }
};

Designed digital(const AnalogFilter& filter) {
  Designed made;
  Real gain = filter.gain;  // all of it in the first section
  for (const AnalogSection& s : filter.sections) {
    made.sos.sections.push_back(bilinear(s, filter, gain));
    gain = 1.0L;
  }
  made.error = rounding_error(filter, made.sos.sections);
  return made;
}

// The smallest x in [from, to] that is `good`, or little more, if any on the way up is.
template <class Good>
std::optional<Real> smallest(Real from, Real to, Good good) {
  if (good(from)) return from;
  Real bad = from;
  Real x = from;
  do {
    bad = x;
    x *= 1.1L;
    if (x > to) return std::nullopt;
  } while (!good(x));
  for (int step = 0; step < 20; ++step) {
    const Real middle = (bad + x) / 2;
    (good(middle) ? x : bad) = middle;
  }
  return x;
}

// To be read: with four digits, towards what can be had.
double few_digits(double x, bool up) {
  const double unit = std::pow(10.0, std::floor(std::log10(x)) - 3.0);
  const double steps = x / unit;
  const double whole = std::round(steps);
  if (std::abs(steps - whole) < 1e-9 * steps) return whole * unit;
  return (up ? std::ceil(steps) : std::floor(steps)) * unit;
}

struct FamilyName {
  const char* operator()(const Butterworth&) const { return "Butterworth"; }
  const char* operator()(const Chebyshev1&) const { return "Chebyshev I"; }
  const char* operator()(const Chebyshev2&) const { return "Chebyshev II"; }
  const char* operator()(const Elliptic&) const { return "elliptic"; }
  const char* operator()(const Bessel&) const { return "Bessel"; }
};

std::string name(const IirFamily& family, const char* band) {
  return fmt::format("{} {}", std::visit(FamilyName{}, family), band);
}

void check_ripple(const std::string& what, double ripple) {
  if (!(ripple >= smallest_ripple && ripple <= largest_ripple))
    throw Error(fmt::format("{}: ripple is {} dB, must be {} to {} dB", what, ripple,
                            smallest_ripple, largest_ripple));
}
void check_attenuation(const std::string& what, double attenuation) {
  if (!(attenuation >= smallest_attenuation && attenuation <= largest_attenuation))
    throw Error(fmt::format("{}: attenuation is {} dB, must be {} to {} dB", what, attenuation,
                            smallest_attenuation, largest_attenuation));
}

void check_levels(const std::string&, const Butterworth&) {}
void check_levels(const std::string& what, const Chebyshev1& f) { check_ripple(what, f.ripple_db); }
void check_levels(const std::string& what, const Chebyshev2& f) {
  check_attenuation(what, f.attenuation_db);
}
void check_levels(const std::string& what, const Elliptic& f) {
  check_ripple(what, f.ripple_db);
  check_attenuation(what, f.attenuation_db);
  if (f.attenuation_db <= f.ripple_db)
    throw Error(fmt::format("{}: attenuation is {} dB, must be above the ripple, {} dB", what,
                            f.attenuation_db, f.ripple_db));
}
void check_levels(const std::string& what, const Bessel& f) {
  if (f.norm != BesselNorm::phase && f.norm != BesselNorm::magnitude && f.norm != BesselNorm::delay)
    throw Error(fmt::format("{}: norm must be phase, magnitude or delay", what));
}

int order_of(const IirFamily& family) {
  return std::visit([](const auto& f) { return f.order; }, family);
}

void check_rate(const std::string& what, Hertz rate) {
  if (!std::isfinite(rate.value) || rate.value <= 0.0)
    throw Error(fmt::format("{}: rate is {} Hz, must be above 0", what, rate.value));
}

void check_family(const std::string& what, const IirFamily& family) {
  const int order = order_of(family);
  if (order < 1 || order > largest_order)
    throw Error(fmt::format("{}: order is {}, must be 1 to {}", what, order, largest_order));
  std::visit([&](const auto& f) { check_levels(what, f); }, family);
}

void check_frequency(const std::string& what, const char* which, double f, double rate) {
  if (!(f > 0.0 && f < rate / 2.0))
    throw Error(
        fmt::format("{}: {} is {} Hz, must be above 0 and below the Nyquist frequency {} Hz "
                    "(half the rate)",
                    what, which, f, rate / 2.0));
}

bool far_from_ends(double f, double rate) {
  const double distance = smallest_distance * rate;
  return f >= distance && f <= rate / 2.0 - distance;
}

// Only the order can help.
[[noreturn]] void refuse_order(const std::string& what, IirFamily family,
                               const std::function<bool(const AnalogPrototype&)>& exact_enough) {
  const int order = order_of(family);
  int possible = order;
  while (--possible > 0) {
    std::visit([&](auto& f) { f.order = possible; }, family);
    if (exact_enough(analog_prototype(family))) break;
  }
  throw Error(
      fmt::format("{}: order is {}, at most {} can be met exactly enough here with this "
                  "ripple and attenuation",
                  what, order, possible));
}

using OneEdge = AnalogFilter (*)(const AnalogPrototype&, Real);
using TwoEdges = AnalogFilter (*)(const AnalogPrototype&, const Band&);

Sos design_one_edge(const char* band, OneEdge transform, const IirFamily& family, Hertz cutoff,
                    Hertz rate) {
  const std::string what = name(family, band);
  check_family(what, family);
  check_rate(what, rate);
  check_frequency(what, "cut-off", cutoff.value, rate.value);

  const AnalogPrototype prototype = analog_prototype(family);
  const Real c = Real{cutoff.value} / Real{rate.value};
  if (far_from_ends(cutoff.value, rate.value)) {
    Designed made = digital(transform(prototype, c));
    if (made.exact_enough()) return std::move(made.sos);
  }
  const auto good = [&](Real at) { return digital(transform(prototype, at)).exact_enough(); };
  const auto lowest = smallest(smallest_distance, 0.25L, good);
  const auto from_nyquist =
      smallest(smallest_distance, 0.25L, [&](Real distance) { return good(0.5L - distance); });
  if (!lowest || !from_nyquist)
    refuse_order(what, family, [&](const AnalogPrototype& p) {
      return digital(transform(p, 0.25L)).exact_enough();
    });
  throw Error(fmt::format(
      "{}: cut-off is {} Hz, at a rate of {} Hz only {:.12g} to {:.12g} Hz can be met exactly "
      "enough; decimate first",
      what, cutoff.value, rate.value, few_digits(rounded(*lowest * rate.value), true),
      rate.value / 2.0 - few_digits(rounded(*from_nyquist * rate.value), true)));
}

Sos design_two_edges(const char* name_of_band, TwoEdges transform, const IirFamily& family,
                     Hertz low, Hertz high, Hertz rate) {
  const std::string what = name(family, name_of_band);
  check_family(what, family);
  check_rate(what, rate);
  check_frequency(what, "lower edge", low.value, rate.value);
  check_frequency(what, "upper edge", high.value, rate.value);
  if (low.value >= high.value)
    throw Error(fmt::format("{}: lower edge is {} Hz, must be below the upper edge {} Hz", what,
                            low.value, high.value));

  const Band band{Real{low.value} / Real{rate.value}, Real{high.value} / Real{rate.value},
                  (Real{high.value} - Real{low.value}) / Real{rate.value}};
  if (!far_from_ends(low.value, rate.value) || !far_from_ends(high.value, rate.value))
    throw Error(fmt::format(
        "{}: edges are {} and {} Hz, at a rate of {} Hz only {:.12g} to {:.12g} Hz can be "
        "met exactly enough; decimate first",
        what, low.value, high.value, rate.value, smallest_distance * rate.value,
        (0.5 - smallest_distance) * rate.value));

  const AnalogPrototype prototype = analog_prototype(family);
  Designed made = digital(transform(prototype, band));
  if (made.exact_enough()) return std::move(made.sos);

  const Real middle = (band.low + band.high) / 2;
  const Real widest = 2 * (std::min(middle, 0.5L - middle) - smallest_distance);
  const auto around = [&](Real width) {
    return Band{middle - width / 2, middle + width / 2, width};
  };
  const auto width = smallest(band.width, widest, [&](Real w) {
    return digital(transform(prototype, around(w))).exact_enough();
  });
  if (!width)
    refuse_order(what, family, [&](const AnalogPrototype& p) {
      return digital(transform(p, band)).exact_enough();
    });
  throw Error(fmt::format(
      "{}: band of {} to {} Hz is {:.6g} Hz wide, around {:.12g} Hz at a rate of {} Hz only {:.4g} "
      "Hz and more can be met exactly enough; decimate first",
      what, low.value, high.value, rounded(band.width * rate.value), rounded(middle * rate.value),
      rate.value, few_digits(rounded(*width * rate.value), true)));
}

// The edges are the angles w0 -+ bandwidth / 2, in both senses of the middle: tan of half the
// width is width / (1 + centre^2).
AnalogFilter one_resonance(Real c, Real quality, bool pass) {
  const Real centre = warp(c);
  const Real width = std::tan(pi * c / quality) * (1 + centre * centre);
  AnalogFilter made;
  made.centre = centre;
  made.reference = pass ? Reference::centre : Reference::zero;
  made.edges = {centre};
  made.sections.push_back({.d1 = width,
                           .d0 = centre * centre,
                           .zeros = pass ? Zeros::at_both : Zeros::on_axis,
                           .zero = centre});
  return made;
}

Sos design_resonance(const char* what, Hertz frequency, double quality, Hertz rate, bool pass) {
  check_rate(what, rate);
  check_frequency(what, "frequency", frequency.value, rate.value);
  const Real c = Real{frequency.value} / Real{rate.value};
  if (!far_from_ends(frequency.value, rate.value))
    throw Error(fmt::format(
        "{}: frequency is {} Hz, at a rate of {} Hz only {:.12g} to {:.12g} Hz can be met exactly "
        "enough; decimate first",
        what, frequency.value, rate.value, smallest_distance * rate.value,
        (0.5 - smallest_distance) * rate.value));
  const double lowest = rounded(2 * c);
  if (!(quality > lowest && std::isfinite(quality)))
    throw Error(
        fmt::format("{}: quality is {}, must be finite and above {:.6g} (frequency / half "
                    "the rate): the width is frequency / quality",
                    what, quality, lowest));
  Designed made = digital(one_resonance(c, quality, pass));
  if (made.exact_enough()) return std::move(made.sos);

  const auto width = smallest(1 / Real{quality}, 1 / (2 * c), [&](Real w) {
    return digital(one_resonance(c, 1 / w, pass)).exact_enough();
  });
  if (!width)
    throw Error(
        fmt::format("{}: frequency is {} Hz, at a rate of {} Hz it can't be met exactly "
                    "enough; decimate first",
                    what, frequency.value, rate.value));
  throw Error(fmt::format(
      "{}: quality is {}, at {} Hz and a rate of {} Hz only up to {:.4g} can be "
      "met exactly enough; decimate first",
      what, quality, frequency.value, rate.value, few_digits(rounded(1 / *width), false)));
}

}  // namespace

Sos design(const LowPass& filter, Hertz rate) {
  return design_one_edge("low-pass", low_pass, filter.family, filter.cutoff, rate);
}

Sos design(const HighPass& filter, Hertz rate) {
  return design_one_edge("high-pass", high_pass, filter.family, filter.cutoff, rate);
}

Sos design(const BandPass& filter, Hertz rate) {
  return design_two_edges("band-pass", band_pass, filter.family, filter.low, filter.high, rate);
}

Sos design(const BandStop& filter, Hertz rate) {
  return design_two_edges("band-stop", band_stop, filter.family, filter.low, filter.high, rate);
}

Sos design(const Notch& filter, Hertz rate) {
  return design_resonance("notch", filter.frequency, filter.quality, rate, false);
}

Sos design(const Peak& filter, Hertz rate) {
  return design_resonance("peak", filter.frequency, filter.quality, rate, true);
}

}  // namespace spillway
