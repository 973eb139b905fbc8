// Recursive filters by their classic analog families, and notch and peak.
#pragma once

#include <cstdint>
#include <variant>

#include "spillway/channels/units.hpp"
#include "spillway/filters/sos.hpp"

namespace spillway {

// As flat as can be in the pass band; -3 dB at the edge.
struct Butterworth {
  int order = 4;  // 1 to 12
  friend bool operator==(const Butterworth&, const Butterworth&) = default;
};
// Equal ripple in the pass band; -ripple at the edge.
struct Chebyshev1 {
  int order = 4;
  double ripple_db = 0.5;
  friend bool operator==(const Chebyshev1&, const Chebyshev1&) = default;
};
// Equal ripple in the stop band, which begins at the edge.
struct Chebyshev2 {
  int order = 4;
  double attenuation_db = 40.0;
  friend bool operator==(const Chebyshev2&, const Chebyshev2&) = default;
};
// Equal ripple in both; -ripple at the edge.
struct Elliptic {
  int order = 4;
  double ripple_db = 0.5;
  double attenuation_db = 40.0;
  friend bool operator==(const Elliptic&, const Elliptic&) = default;
};
// What is normalised to the edge: the phase of a Butterworth filter far away, the gain
// (-3 dB), or the group delay (1 / edge).
enum class BesselNorm : std::uint8_t { phase, magnitude, delay };
// The flattest group delay (of the analog prototype).
struct Bessel {
  int order = 4;
  BesselNorm norm = BesselNorm::phase;
  friend bool operator==(const Bessel&, const Bessel&) = default;
};
using IirFamily = std::variant<Butterworth, Chebyshev1, Chebyshev2, Elliptic, Bessel>;

// To be designed once the rate is known. A band filter of order n has 2n poles.
struct LowPass {
  IirFamily family;
  Hertz cutoff;
  SosOptions options = {};
  friend bool operator==(const LowPass&, const LowPass&) = default;
};
struct HighPass {
  IirFamily family;
  Hertz cutoff;
  SosOptions options = {};
  friend bool operator==(const HighPass&, const HighPass&) = default;
};
struct BandPass {
  IirFamily family;
  Hertz low;
  Hertz high;
  SosOptions options = {};
  friend bool operator==(const BandPass&, const BandPass&) = default;
};
struct BandStop {
  IirFamily family;
  Hertz low;
  Hertz high;
  SosOptions options = {};
  friend bool operator==(const BandStop&, const BandStop&) = default;
};
// Zero, or one, at `frequency`; -3 dB over a width of frequency / quality.
struct Notch {
  Hertz frequency;
  double quality = 30.0;
  SosOptions options = {};
  friend bool operator==(const Notch&, const Notch&) = default;
};
struct Peak {
  Hertz frequency;
  double quality = 30.0;
  SosOptions options = {};
  friend bool operator==(const Peak&, const Peak&) = default;
};
// Coefficients as they are given.
struct Sections {
  Sos sos;
  SosOptions options = {};
  friend bool operator==(const Sections&, const Sections&) = default;
};

[[nodiscard]] constexpr LowPass lowpass(IirFamily family, Hertz cutoff,
                                        const SosOptions& options = {}) noexcept {
  return {family, cutoff, options};
}
[[nodiscard]] constexpr HighPass highpass(IirFamily family, Hertz cutoff,
                                          const SosOptions& options = {}) noexcept {
  return {family, cutoff, options};
}
[[nodiscard]] constexpr BandPass bandpass(IirFamily family, Hertz low, Hertz high,
                                          const SosOptions& options = {}) noexcept {
  return {family, low, high, options};
}
[[nodiscard]] constexpr BandStop bandstop(IirFamily family, Hertz low, Hertz high,
                                          const SosOptions& options = {}) noexcept {
  return {family, low, high, options};
}
[[nodiscard]] constexpr Notch notch(Hertz frequency, double quality = 30.0,
                                    const SosOptions& options = {}) noexcept {
  return {frequency, quality, options};
}
[[nodiscard]] constexpr Peak peak(Hertz frequency, double quality = 30.0,
                                  const SosOptions& options = {}) noexcept {
  return {frequency, quality, options};
}

// Digital filters of a stream sampled at `rate`. The analog low-pass of the family, with its
// edge at 1, is transformed to the band asked for, with the edges where they must be for the
// bilinear transform s = (1 - 1/z) / (1 + 1/z) to bring them to the frequencies given
// (Oppenheim and Schafer, Discrete-Time Signal Processing, ch. 7): the response at a frequency f
// is that of the analog filter at tan(pi f / rate), exactly. A flat delay is therefore one of the
// analog prototype, kept by a low-pass where f is well below the rate. BesselNorm::delay makes
// the delay at 0 Hz rate / (2 tan(pi edge / rate)) samples, near 1 / (2 pi edge).
//
// Notch and peak are the band-stop and band-pass of order 1 around `frequency`; their -3 dB
// points are frequency / quality apart.
//
// Sections: the most damped pole (the real one of an odd order) comes first, the least damped
// last. Each pair of poles has the zeros that belong to it in the prototype, which are the
// nearest ones; a band filter has two sections for each pair of the prototype, next to
// each other: the lower one, which of zeros at 0 Hz and half the rate has those at 0 Hz, and
// the upper one, which has those at half the rate.
//
// Scaling: every section has a gain of modulus 1 at 0 Hz (low-pass, band-stop), at half the rate
// (high-pass) or at the centre, where tan(pi f / rate) is the geometric mean of that at the edges
// (band-pass); except that the first one has the 10^(-ripple_db / 20) that an even order of
// Chebyshev1 and Elliptic has there. Zeros are on the unit circle to the last bit: b2 = +-b0.
//
// Accuracy: everything is computed in long double and rounded once, so that coefficients a1 and
// a2 are correctly rounded, nearly always. What that rounding does is bounded: half a unit in the
// last place of each, u1 and u2, changes D = 1 + a1/z + a2/z^2 on the unit circle by (u1 + u2) /
// |D| of itself at most, and |D| is small near poles close to the circle, as at low cut-offs, in
// narrow bands and with steep edges. The sum over all sections, with the same for zeros and
// scaling, is taken at the edges and at the frequencies of the poles; above 1e-4 of a pass
// band of 1 (0.9 mdB) the design is refused. A Butterworth low-pass of order 12 has 5e-17 / c^2 for
// a cut-off of c times the rate. A low cut-off has its remedy: decimate first.
//
// Design is set-up: it allocates, and takes up to some milliseconds.
//
// Throws Error, with what can be had, unless
//   the order is 1 to 12, the rate finite and positive;
//   ripple_db is 0.001 to 10: less is in the order of the error above, more is no pass band;
//   attenuation_db is 3 to 200 and above ripple_db: less is no stop band, more is hidden by the
//     rounding of a running filter;
//   every edge and frequency is at least 1e-6 of the rate away from 0 and from half the rate;
//   low < high; quality is above 2 frequency / rate;
//   the error above is in its limit.
[[nodiscard]] Sos design(const LowPass& filter, Hertz rate);
[[nodiscard]] Sos design(const HighPass& filter, Hertz rate);
[[nodiscard]] Sos design(const BandPass& filter, Hertz rate);
[[nodiscard]] Sos design(const BandStop& filter, Hertz rate);
[[nodiscard]] Sos design(const Notch& filter, Hertz rate);
[[nodiscard]] Sos design(const Peak& filter, Hertz rate);

}  // namespace spillway
