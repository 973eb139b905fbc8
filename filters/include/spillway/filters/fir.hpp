// Filters with a finite impulse response.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "spillway/channels/units.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/fir_bank.hpp"
#include "spillway/filters/window_function.hpp"

namespace spillway {

class FirCore;

// y[k] = sum taps[i] x[k - i].
struct Fir {
  std::vector<double> taps;  // 1 to max_fir_taps, all finite
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const Fir&, const Fir&) = default;
};

// Designed by the window method once the rate is known; scaled to a gain of exactly 1 at 0 Hz
// (low-pass, band-stop), half the rate (high-pass), or the middle of the band.
struct FirLowPass {
  std::size_t taps = 101;
  Hertz cutoff;
  WindowFunction window = {};
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const FirLowPass&, const FirLowPass&) = default;
};
struct FirHighPass {
  std::size_t taps = 101;  // odd
  Hertz cutoff;
  WindowFunction window = {};
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const FirHighPass&, const FirHighPass&) = default;
};
struct FirBandPass {
  std::size_t taps = 101;
  Hertz low;
  Hertz high;
  WindowFunction window = {};
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const FirBandPass&, const FirBandPass&) = default;
};
struct FirBandStop {
  std::size_t taps = 101;  // odd
  Hertz low;
  Hertz high;
  WindowFunction window = {};
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const FirBandStop&, const FirBandStop&) = default;
};

// The taps: the ideal response, a sum of sin(pi c m) / (pi m) with c a cut-off as a share of half
// the rate and m the distance from the middle, times the window, scaled as said above (to
// rounding). The same as scipy.signal.firwin. Symmetric, so the delay is (taps - 1) / 2.
//
// Throws Error unless there are 1 to max_fir_taps taps, an odd number for FirHighPass and
// FirBandStop, cut-offs above 0 and below half the rate, low below high, a rate that is finite
// and above 0, a window that check() accepts; or if the gain could not be scaled, as with a
// window that is 0 everywhere.
[[nodiscard]] std::vector<double> design(const FirLowPass& parameters, Hertz rate);
[[nodiscard]] std::vector<double> design(const FirHighPass& parameters, Hertz rate);
[[nodiscard]] std::vector<double> design(const FirBandPass& parameters, Hertz rate);
[[nodiscard]] std::vector<double> design(const FirBandStop& parameters, Hertz rate);

// With more taps than this a FirFilter works by FFT. At this length the sum costs about as much
// for 16 lanes, and less than twice as much for one, but comes without a block's delay.
inline constexpr std::size_t longest_direct_fir = 1024;

// Runs taps over lanes.
//
// Up to longest_direct_fir taps: the sum itself, in the order of the taps (FirBank). Output k is
// that of input k.
//
// With more taps: overlap-save (A. Oppenheim, R. Schafer, Discrete-Time Signal Processing, 8.7),
// in blocks of B = block() frames, taps - 1 to 3 (taps - 1), from the start, reset or
// (GapPolicy::reset) gap. Output k is the value for input k - B; the first B are 0. All the work is
// done in every B-th frame. Rounding errors are relative to the largest input of the last B + taps
// - 1, not to the output itself, and an overflow may spoil B outputs.
//
// The value of an output whose window of `taps` inputs has one that is NaN or infinite is NaN,
// and only of those. Its quality is the merge of exactly the qualities in that window, in which
// such an input counts as Bad, missing as well. In addition
//   - the first B + taps - 1 outputs (B is 0 for the sum) are Suspect, transient: inputs before
//     the start count as 0;
//   - those behind a gap likewise: inputs before it count as 0 (GapPolicy::reset), or as
//     neighbours of those behind it (GapPolicy::hold);
//   - should the sum overflow, the output is NaN and Bad, out of range.
// Inputs whose modulus is below least_input<double> count as 0.
//
// Memory: (2 taps + 256) * lanes * 8 bytes; by FFT about 40 (B + taps) * lanes bytes. Cost a value:
// `taps` multiplications and additions; by FFT O(log taps).
class FirFilter {
 public:
  // Throws Error if there are no taps or more than max_fir_taps, one is not finite, or lanes is 0.
  FirFilter(const Fir& parameters, std::size_t lanes);
  FirFilter(const FirFilter& other);
  FirFilter(FirFilter&& other) noexcept;
  FirFilter& operator=(const FirFilter& other);
  FirFilter& operator=(FirFilter&& other) noexcept;
  ~FirFilter();

  // Wait-free. One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  // Goes on with the inputs in the window of `before`. Up to longest_direct_fir taps, of both:
  // with as many taps or fewer outputs are to the bit those of a filter that always had these
  // taps, and flagged likewise. With more, n - m for n taps and m before, inputs are missing and
  // count as the oldest that is there (as 0 if m is 1), so that a constant goes on without a jump;
  // n - m outputs are Suspect, transient. By FFT, both, with as many taps: the rest of the block on
  // its way out, up to B outputs, is still that of the taps before and is Suspect, transient.
  // Otherwise nothing goes on: as behind a gap. O(lanes * taps).
  void take_over(FirFilter& before) noexcept;
  // B and the group delay at 0 Hz: (taps - 1) / 2 for symmetric or antisymmetric taps.
  [[nodiscard]] double delay() const noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] std::size_t block() const noexcept;  // 0 up to longest_direct_fir taps
  [[nodiscard]] const Fir& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept;

 private:
  Fir parameters_;
  std::unique_ptr<FirCore> core_;
};

}  // namespace spillway
