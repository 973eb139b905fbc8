#include "spillway/filters/butterworth.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr int largest_order = 12;
constexpr double smallest_distance = 1e-6;  // of the cut-off from 0 and from Nyquist, in rates

void check(const LowPass& filter, Hertz rate) {
  const int order = filter.family.order;
  const double cutoff = filter.cutoff.value;
  if (order < 1 || order > largest_order)
    throw Error(
        fmt::format("Butterworth low-pass: order is {}, must be 1 to {}", order, largest_order));
  if (!std::isfinite(rate.value) || rate.value <= 0.0)
    throw Error(fmt::format("Butterworth low-pass: rate is {} Hz, must be above 0", rate.value));
  if (!(cutoff > 0.0 && cutoff < rate.value / 2.0))
    throw Error(
        fmt::format("Butterworth low-pass: cut-off is {} Hz, must be above 0 and below "
                    "the Nyquist frequency {} Hz (half the rate)",
                    cutoff, rate.value / 2.0));
  const double low = smallest_distance * rate.value;
  const double high = rate.value / 2.0 - low;
  if (cutoff < low || cutoff > high)
    throw Error(
        fmt::format("Butterworth low-pass: cut-off is {} Hz, at a rate of {} Hz only {} "
                    "to {} Hz can be met exactly enough; decimate first",
                    cutoff, rate.value, low, high));
}

// tan(pi c). Near the Nyquist frequency from the other end: 0.5 - c is exact, pi / 2 is not.
double warp(double c) {
  if (c <= 0.25) return std::tan(std::numbers::pi * c);
  return 1.0 / std::tan(std::numbers::pi * (0.5 - c));
}

// In what follows t is the warped cut-off. Each coefficient is computed as its distance
// from the nearer of its limits at t = 0 and t = infinity, a sum of positive terms: nothing
// cancels, and the one rounding that counts is the last.

Sos::Section first_order(double t) {
  const double a1 = t <= 1.0 ? 2.0 * t / (1.0 + t) - 1.0 : 1.0 - 2.0 / (1.0 + t);
  const double b = (1.0 + a1) / 2.0;
  return {b, b, 0.0, a1, 0.0};
}

// Poles of the prototype at -sine +- i sqrt(1 - sine^2).
Sos::Section second_order(double t, double sine) {
  const double d = 1.0 + 2.0 * t * sine + t * t;
  const double a1 = t <= 1.0 ? 4.0 * t * (sine + t) / d - 2.0 : 2.0 - 4.0 * (t * sine + 1.0) / d;
  const double a2 = 1.0 - 4.0 * t * sine / d;
  // From the rounded a1 and a2, and free of rounding itself: the gain at 0 is 1.
  const double b = (1.0 + a1 + a2) / 4.0;
  return {b, 2.0 * b, b, a1, a2};
}

}  // namespace

Sos design(const LowPass& filter, Hertz rate) {
  check(filter, rate);
  const int order = filter.family.order;
  const double t = warp(filter.cutoff.value / rate.value);
  Sos sos;
  if (order % 2 == 1) sos.sections.push_back(first_order(t));
  for (int k = order / 2; k-- > 0;)
    sos.sections.push_back(second_order(t, std::sin(std::numbers::pi * (2 * k + 1) / (2 * order))));
  return sos;
}

}  // namespace spillway
