// Analog low-pass filters with their edge at 1 rad/s, from which recursive filters are designed.
// Private.
#pragma once

#include <limits>
#include <optional>
#include <vector>

#include "spillway/filters/iir.hpp"

namespace spillway {

// Designs are computed in it and rounded to double once, at the end.
using Real = long double;

// Poles at -a +- jb, b > 0, and zeros at +- j zero, infinite if there are none.
struct AnalogPair {
  Real a = 0.0L;
  Real b = 0.0L;
  Real zero = std::numeric_limits<Real>::infinity();
};

struct AnalogPrototype {
  std::optional<Real> real_pole;  // of an odd order: its distance from 0, zero at infinity
  std::vector<AnalogPair> pairs;  // the most damped first
  Real gain = 1.0L;               // at 0; above 0
};

// Each a, b and zero has a relative error of some units in the last place of Real only, however
// close to the imaginary axis a pole is: they are sums and products of positive terms.
// The parameters are taken to be in range.
[[nodiscard]] AnalogPrototype analog_prototype(const IirFamily& family);

}  // namespace spillway
