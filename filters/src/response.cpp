#include "spillway/filters/response.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "fir_design.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Taps = std::vector<double>;
using Real = long double;

void check(const Taps& taps) {
  if (taps.empty()) throw Error("response: no taps; at least 1 is needed");
  for (std::size_t i = 0; i < taps.size(); ++i)
    if (!std::isfinite(taps[i]))
      throw Error(fmt::format("response: tap {} is {}; all must be finite", i, taps[i]));
}

void check_system(const LinearSystem& system) {
  std::visit([](const auto& s) { check(s); }, system);
}

void check_frequency(const char* what, Hertz at, Hertz rate) {
  if (!std::isfinite(rate.value) || rate.value <= 0.0)
    throw Error(fmt::format("{}: a rate of {} Hz; it must be above 0", what, rate.value));
  if (!(at.value >= 0.0 && at.value <= rate.value / 2.0))
    throw Error(fmt::format("{}: a frequency of {} Hz; it must be 0 to half the rate, {} Hz", what,
                            at.value, rate.value / 2.0));
}

// sum taps[k] exp(-i w k) and sum k taps[k] exp(-i w k). Each angle of a run's first tap for
// itself, so that none drifts; within a run by rotation.
struct Sums {
  std::complex<Real> plain;
  std::complex<Real> weighted;
};

Sums sums(const Taps& taps, Hertz at, Hertz rate) {
  constexpr std::size_t run = 64;
  const Real turns = Real{at.value} / Real{rate.value};
  const Real turn_angle = -2 * std::numbers::pi_v<Real>;
  const Real step_cos = std::cos(turn_angle * turns);
  const Real step_sin = std::sin(turn_angle * turns);
  Real sum[4] = {};
  for (std::size_t begin = 0; begin < taps.size(); begin += run) {
    const Real angle = turn_angle * std::fmod(turns * static_cast<Real>(begin), 1.0L);
    Real re = std::cos(angle);
    Real im = std::sin(angle);
    for (std::size_t k = begin; k < std::min(begin + run, taps.size()); ++k) {
      const auto tap = static_cast<Real>(taps[k]);
      const auto weight = static_cast<Real>(k);
      sum[0] += tap * re;
      sum[1] += tap * im;
      sum[2] += weight * (tap * re);
      sum[3] += weight * (tap * im);
      const Real turned = re * step_cos - im * step_sin;
      im = re * step_sin + im * step_cos;
      re = turned;
    }
  }
  return {{sum[0], sum[1]}, {sum[2], sum[3]}};
}

// c0 + c1/z + c2/z^2 = (p0 + p1 s + p2 s^2) / (1 + s)^2 with s = (1 - 1/z) / (1 + 1/z) = i tan(w /
// 2) on the unit circle: the phase that p0 + p1 s + p2 s^2 gains there per radian of w. For s to 1
// / s, near half the rate, the same with p0 and p2 exchanged. What (1 + s)^2 does cancels in a
// section.
double phase_slope(double c0, double c1, double c2, double angle) {
  const double size = std::abs(c0) + std::abs(c1) + std::abs(c2);
  const double rounding = 4.0 * std::numeric_limits<double>::epsilon() * size;
  const auto sum = [&](double middle) {
    const double s = (c0 + middle) + c2;
    return std::abs(s) > rounding ? s : 0.0;
  };
  double p0 = sum(c1);
  double p2 = sum(-c1);
  const double p1 = 2.0 * (c0 - c2);
  if (p1 == 0.0) return 0.0;  // zeros on the unit circle: the phase only jumps
  if (angle > std::numbers::pi / 2.0) {
    std::swap(p0, p2);
    angle = std::numbers::pi - angle;
  }
  const double w = std::tan(angle / 2.0);
  const double scale = (1.0 + w * w) / 2.0 * p1;
  if (p0 == 0.0) return scale * p2 / (p2 * p2 * w * w + p1 * p1);
  const double real = p0 - p2 * w * w;
  return scale * (p0 + p2 * w * w) / (real * real + p1 * p1 * w * w);
}

double delay(const Sos& sos, Hertz at, Hertz rate) {
  const double angle = 2.0 * std::numbers::pi * (at.value / rate.value);
  double sum = 0.0;
  for (const Sos::Section& s : sos.sections)
    sum += phase_slope(1.0, s.a1, s.a2, angle) - phase_slope(s.b0, s.b1, s.b2, angle);
  return sum;
}

double delay(const Taps& taps, Hertz at, Hertz rate) {
  const auto mirrored = [&](double sign) {
    return std::equal(taps.begin(), taps.end(), taps.rbegin(),
                      [&](double a, double b) { return a == sign * b; });
  };
  if (mirrored(1.0) || mirrored(-1.0)) return static_cast<double>(taps.size() - 1) / 2.0;
  if (at.value == 0.0) return group_delay(taps);
  const Sums s = sums(taps, at, rate);
  if (std::abs(s.plain) == 0.0L) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(std::real(s.weighted / s.plain));
}

std::vector<double> output(const Sos& sos, std::vector<double> values) {
  SosBank<double>(sos, Form::df2t, 1).process(values.data(), values.data(), values.size());
  return values;
}

}  // namespace

std::complex<double> frequency_response(const LinearSystem& system, Hertz at, Hertz rate) {
  check_system(system);
  if (const Sos* sos = std::get_if<Sos>(&system)) return frequency_response(*sos, at, rate);
  check_frequency("frequency response", at, rate);
  return std::complex<double>(sums(std::get<Taps>(system), at, rate).plain);
}

double group_delay(const LinearSystem& system, Hertz at, Hertz rate) {
  check_system(system);
  check_frequency("group delay", at, rate);
  return std::visit([&](const auto& s) { return delay(s, at, rate); }, system);
}

std::vector<double> impulse_response(const LinearSystem& system, std::size_t count) {
  check_system(system);
  std::vector<double> values(count);
  if (const Taps* taps = std::get_if<Taps>(&system)) {
    std::copy_n(taps->begin(), std::min(count, taps->size()), values.begin());
    return values;
  }
  if (count > 0) values[0] = 1.0;
  return output(std::get<Sos>(system), std::move(values));
}

std::vector<double> step_response(const LinearSystem& system, std::size_t count) {
  check_system(system);
  if (const Sos* sos = std::get_if<Sos>(&system))
    return output(*sos, std::vector<double>(count, 1.0));
  std::vector<double> values = impulse_response(system, count);
  Real sum = 0.0L;
  for (double& v : values) v = static_cast<double>(sum += Real{v});
  return values;
}

std::uint64_t settling_samples(const LinearSystem& system, double level) {
  check_system(system);
  if (const Sos* sos = std::get_if<Sos>(&system)) return settling_samples(*sos, level);
  if (!(level > 0.0 && level < 1.0))
    throw Error(fmt::format("settling: a level of {}; it must be above 0 and below 1", level));
  const Taps& taps = std::get<Taps>(system);
  Real sum = 0.0L;
  for (const double t : taps) sum += std::abs(t);
  Real tail = 0.0L;
  std::size_t n = taps.size();
  while (n > 0 && (tail += std::abs(taps[n - 1])) <= Real{level} * sum) --n;
  return n;
}

}  // namespace spillway
