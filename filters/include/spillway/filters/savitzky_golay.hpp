// Savitzky-Golay: a polynomial fitted to a window by least squares, or its derivative.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/channels/units.hpp"
#include "spillway/filters/filter.hpp"

namespace spillway {

class FirCore;

enum class Alignment : std::uint8_t {
  causal,   // the polynomial at the newest sample of the window; no delay
  centred,  // at its middle; (window - 1) / 2 samples late
};

struct SavitzkyGolay {
  std::size_t window = 11;  // samples, odd where centred
  int order = 3;            // of the polynomial, below window
  int derivative = 0;       // up to order; in units a second
  Alignment align = Alignment::causal;
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const SavitzkyGolay&, const SavitzkyGolay&) = default;
};

inline constexpr std::size_t longest_savitzky_golay = 4096;
inline constexpr int highest_savitzky_golay = 20;

// The taps, newest sample first, so that sum taps[i] x[k - i] is the derivative a second (for
// derivative 0 the value) of the polynomial of degree `order` that comes closest to the last
// `window` samples x in the sense of least squares (A. Savitzky, M. Golay 1964).
//
// Computed in polynomials orthogonal on the samples (P. Gorry 1990), in long double: up to a window
// of 101 and order 9 every tap is exact to 1e-13, elsewhere to 1e-13 of the largest. Refused
// should a power of time up to `order` come out wrong by more than 1e-13 of the sum of |taps|
// times its largest value; where long double has 64 bits of mantissa that never is.
//
// Throws Error unless window is 1 to longest_savitzky_golay, odd where centred, order 0 to
// highest_savitzky_golay and below window, derivative 0 to order, and the rate finite and above
// 0; or if the taps would be inexact, as above, or are not finite.
[[nodiscard]] std::vector<double> design(const SavitzkyGolay& parameters, Hertz rate);

// The taps run over lanes: the sum itself, in their order. Output k is that of input k; what it
// belongs to is delay() samples earlier.
//
// The first window - 1 outputs are NaN and Suspect, transient, and so are those behind a gap with
// GapPolicy::reset; with GapPolicy::hold the samples around the gap count as neighbours, and these
// outputs are values, Suspect, transient. Otherwise NaN, quality, overflow and cost are those of
// FirFilter.
class SavitzkyGolayFilter {
 public:
  // Throws Error if design() does, or lanes is 0.
  SavitzkyGolayFilter(const SavitzkyGolay& parameters, Hertz rate, std::size_t lanes);
  SavitzkyGolayFilter(const SavitzkyGolayFilter& other);
  SavitzkyGolayFilter(SavitzkyGolayFilter&& other) noexcept;
  SavitzkyGolayFilter& operator=(const SavitzkyGolayFilter& other);
  SavitzkyGolayFilter& operator=(SavitzkyGolayFilter&& other) noexcept;
  ~SavitzkyGolayFilter();

  // Wait-free. One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  // Goes on with the inputs in the window of `before`. With a window no longer than that outputs
  // are to the bit those of a filter that always had these parameters, and flagged likewise. With
  // a longer one, n frames instead of m, n - m outputs are NaN and Suspect, transient.
  // O(lanes * window).
  void take_over(SavitzkyGolayFilter& before) noexcept;
  // (window - 1) / 2 where centred, and where order is `derivative`, as the polynomial's highest
  // derivative is the same everywhere; otherwise 0.
  [[nodiscard]] double delay() const noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const SavitzkyGolay& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept;

 private:
  SavitzkyGolay parameters_;
  std::unique_ptr<FirCore> core_;
};

// Without delay, for a signal that is there as a whole: centred, and at both ends the polynomial
// of the first and last window. `align` and `gap` are not looked at. NaN where the window has a
// value that is NaN or infinite. Allocates; O(values * window).
// Throws Error if design() of the centred one does, or there are fewer values than window.
[[nodiscard]] std::vector<double> savitzky_golay_centred(std::span<const double> values,
                                                         const SavitzkyGolay& parameters,
                                                         Hertz rate);

}  // namespace spillway
