// Butterworth filters: as flat as can be in the pass band, -3 dB at the cut-off.
#pragma once

#include "spillway/channels/units.hpp"
#include "spillway/filters/sos.hpp"

namespace spillway {

struct Butterworth {
  int order = 4;  // poles, 1 to 12
  friend bool operator==(const Butterworth&, const Butterworth&) = default;
};

// A low-pass filter to be designed once the rate is known.
struct LowPass {
  Butterworth family;
  Hertz cutoff;  // where the power is halved, |H|^2 = 1/2
  SosOptions options;
  friend bool operator==(const LowPass&, const LowPass&) = default;
};

[[nodiscard]] constexpr LowPass lowpass(Butterworth family, Hertz cutoff,
                                        const SosOptions& options = {}) noexcept {
  return {family, cutoff, options};
}

// Digital low-pass of a stream sampled at `rate`: the analog prototype's poles on the left
// half circle at angles pi (2k + 1) / (2n), warped so that the cut-off is met, through the
// bilinear transform (Oppenheim and Schafer, Discrete-Time Signal Processing, ch. 7).
// Sections come by distance from the unit circle, the farthest (the real pole of an odd
// order) first; each has a gain of 1 at frequency 0, to the last bit of its coefficients.
//
// Coefficients are correctly rounded, nearly always, where the cut-off is far below the rate and
// the last bit counts, and within 4e-16 elsewhere. At a cut-off of c times the rate rounding still
// moves the poles by up to 1e-17 / c^2 of their frequency: hence the limits.
//
// Throws Error unless the order is 1 to 12, the rate is finite and positive, and
//   0 < cutoff < rate / 2, at least 1e-6 of the rate away from both ends.
[[nodiscard]] Sos design(const LowPass& filter, Hertz rate);

}  // namespace spillway
