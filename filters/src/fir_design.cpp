#include "fir_design.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "spillway/channels/error.hpp"
#include "spillway/filters/fir.hpp"

namespace spillway {

namespace {

using Long = long double;
constexpr Long pi = std::numbers::pi_v<Long>;

// The part of the spectrum that passes, in shares of half the rate: [from, to], or all but
// that; and where the gain is to be 1.
struct Band {
  Long from;
  Long to;
  bool stop;
  Long scaled_at;
};

// The ideal low-pass's impulse response at `m` samples from its middle.
Long ideal(Long cutoff, Long m) {
  return m == 0.0L ? cutoff : std::sin(pi * std::fmod(cutoff * m, 2.0L)) / (pi * m);
}

std::vector<double> design(std::size_t taps, const Band& band, const WindowFunction& function,
                           std::string_view what) {
  if (taps == 0 || taps > max_fir_taps)
    throw Error(fmt::format("{}: {} taps; allowed are 1 to {}", what, taps, max_fir_taps));
  const std::vector<double> weights = window(function, taps, false);
  std::vector<Long> h(taps);
  Long gain = 0.0L;
  Long size = 0.0L;
  for (std::size_t i = 0; i < taps; ++i) {
    const Long m = static_cast<Long>(i) - static_cast<Long>(taps - 1) / 2.0L;
    Long value = ideal(band.to, m) - ideal(band.from, m);
    if (band.stop) value = ideal(1.0L, m) - value;
    h[i] = value * static_cast<Long>(weights[i]);
    gain += h[i] * std::cos(pi * std::fmod(band.scaled_at * m, 2.0L));
    size += std::abs(h[i]);
  }
  if (!(gain > 1e-12L * size))
    throw Error(fmt::format(
        "{}: with {} taps its gain would be 0; more are needed, or another window", what, taps));
  std::vector<double> scaled(taps);
  for (std::size_t i = 0; i < taps; ++i) scaled[i] = static_cast<double>(h[i] / gain);
  return scaled;
}

// The frequency as a share of half the rate.
Long share(Hertz frequency, Hertz rate, std::string_view what) {
  if (!(rate.value > 0.0 && std::isfinite(rate.value)))
    throw Error(fmt::format("{}: a rate of {} Hz; it must be above 0", what, rate.value));
  if (!(frequency.value > 0.0 && frequency.value < rate.value / 2.0))
    throw Error(
        fmt::format("{}: a cut-off of {} Hz; it must be above 0 and below half the rate, {} Hz",
                    what, frequency.value, rate.value / 2.0));
  return 2.0L * static_cast<Long>(frequency.value) / static_cast<Long>(rate.value);
}

void check_order(Hertz low, Hertz high, std::string_view what) {
  if (!(low.value < high.value))
    throw Error(fmt::format("{}: a band from {} Hz to {} Hz; the first must be below the second",
                            what, low.value, high.value));
}

// With an even number the response at half the rate is 0, whatever the taps.
void check_odd(std::size_t taps, std::string_view what) {
  if (taps % 2 == 0) throw Error(fmt::format("{}: {} taps; it must be an odd number", what, taps));
}

}  // namespace

std::vector<double> design_low_pass(std::size_t taps, double cutoff, const WindowFunction& window,
                                    std::string_view what) {
  if (!(cutoff > 0.0 && cutoff < 1.0))
    throw Error(fmt::format("{}: a cut-off of {} of half the rate; it must be above 0 and below 1",
                            what, cutoff));
  return design(taps, {0.0L, static_cast<Long>(cutoff), false, 0.0L}, window, what);
}

std::vector<double> design(const FirLowPass& p, Hertz rate) {
  constexpr std::string_view what = "FIR low-pass";
  return design(p.taps, {0.0L, share(p.cutoff, rate, what), false, 0.0L}, p.window, what);
}

std::vector<double> design(const FirHighPass& p, Hertz rate) {
  constexpr std::string_view what = "FIR high-pass";
  check_odd(p.taps, what);
  return design(p.taps, {0.0L, share(p.cutoff, rate, what), true, 1.0L}, p.window, what);
}

std::vector<double> design(const FirBandPass& p, Hertz rate) {
  constexpr std::string_view what = "FIR band-pass";
  const Long low = share(p.low, rate, what);
  const Long high = share(p.high, rate, what);
  check_order(p.low, p.high, what);
  return design(p.taps, {low, high, false, (low + high) / 2.0L}, p.window, what);
}

std::vector<double> design(const FirBandStop& p, Hertz rate) {
  constexpr std::string_view what = "FIR band-stop";
  check_odd(p.taps, what);
  const Long low = share(p.low, rate, what);
  const Long high = share(p.high, rate, what);
  check_order(p.low, p.high, what);
  return design(p.taps, {low, high, true, 0.0L}, p.window, what);
}

double group_delay(const std::vector<double>& taps) {
  const std::size_t n = taps.size();
  const Long middle = static_cast<Long>(n - 1) / 2.0L;
  Long size = 0.0L;
  Long even = 0.0L;  // what is not symmetric, and not antisymmetric
  Long odd = 0.0L;
  for (std::size_t i = 0; i < n; ++i) {
    size += std::abs(static_cast<Long>(taps[i]));
    even += std::abs(static_cast<Long>(taps[i]) - static_cast<Long>(taps[n - 1 - i]));
    odd += std::abs(static_cast<Long>(taps[i]) + static_cast<Long>(taps[n - 1 - i]));
  }
  const Long rounding = static_cast<Long>(n) * std::numeric_limits<double>::epsilon() * size;
  if (even <= rounding || odd <= rounding) return static_cast<double>(middle);

  // With the moments m[r] = sum (i - middle)^r taps[i] / middle^r, H(w) is close to 0 Hz
  // proportional to (-jw)^r (m[r] - jw m[r + 1] / (r + 1)), r the first that is not 0.
  std::vector<Long> powers(taps.begin(), taps.end());
  for (int r = 0; r < 8; ++r) {
    Long moment = 0.0L;
    Long next = 0.0L;
    for (std::size_t i = 0; i < n; ++i) {
      const Long distance = (static_cast<Long>(i) - middle) / middle;
      moment += powers[i];
      powers[i] *= distance;
      next += powers[i];
    }
    if (std::abs(moment) > rounding)
      return static_cast<double>(middle * (1.0L + next / (moment * static_cast<Long>(r + 1))));
  }
  return static_cast<double>(middle);
}

}  // namespace spillway
