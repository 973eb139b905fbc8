// Rates divided by whole numbers, and changed by rational ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/filters/filter.hpp"
#include "spillway/filters/window_function.hpp"

namespace spillway {

class Polyphase;

// A FIR low-pass against aliases, of which every `factor`-th output is computed: those at the
// input numbers that are `phase` modulo `factor`.
struct Decimate {
  std::uint64_t factor = 2;
  std::uint64_t phase = 0;  // below factor
  std::size_t taps = 0;     // 0: 20 * factor + 1; 1: none, samples are picked
  double cutoff = 0.0;      // as a share of half the rate of the input; 0: 1 / factor
  WindowFunction window = {};
  std::vector<double> coefficients = {};  // instead of a design
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const Decimate&, const Decimate&) = default;
};

// `up` / `down` times the rate, in one polyphase filter, causal: output k belongs to input
// time k down / up, less delay().
struct Resample {
  std::uint64_t up = 1;
  std::uint64_t down = 1;
  std::size_t taps = 0;  // 0: 20 max(up, down) + 1
  WindowFunction window = {WindowKind::kaiser, 5.0};
  std::vector<double> coefficients = {};  // instead of a design
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const Resample&, const Resample&) = default;
};

// up, down and factor, the first two after reduction.
inline constexpr std::uint64_t max_rate_factor = std::uint64_t{1} << 20;

// The taps: `coefficients`, or
//   Decimate  a low-pass of `taps` taps by the window method (as FirLowPass) at `cutoff`, gain 1
//             at 0 Hz; 1 alone for one tap, or where factor is 1 and `taps` 0;
//   Resample  one at 1 / max(up, down) of half the rate between, which is up times that of the
//             input, gain `up` at 0 Hz; the default of scipy.signal.resample_poly. 1 alone where
//             up = down, reduced, and `taps` is 0.
// Throws Error if factor, up or down is 0 or above max_rate_factor, phase not below factor, the
// cut-off not 0 to 1 (1 excluded), the taps more than max_fir_taps (the default is too, from a
// factor of 52 429 on), a coefficient not finite, the window not one check() accepts, or
// `coefficients` stand beside a number of taps that is not theirs or a cut-off.
[[nodiscard]] std::vector<double> design(const Decimate& parameters);
[[nodiscard]] std::vector<double> design(const Resample& parameters);

// Output m is sum taps[i] x[m factor + phase - i], made with input m factor + phase; no other is
// computed. Sample numbers are those of ConstFrames::first, wherever the stream began.
//
// The value of an output whose window of taps has an input that is NaN or infinite is NaN, and
// only of those. Its quality is the merge of exactly the qualities in that window, in which such
// an input counts as Bad, missing as well. In addition
//   - outputs whose window begins before the start or a gap are Suspect, transient: inputs
//     before it count as 0, or (GapPolicy::hold) as neighbours of those behind it. Input numbers
//     jump over a gap, and output numbers with them;
//   - should the sum overflow, the output is NaN and Bad, out of range.
// Inputs whose modulus is below least_input<double> count as 0.
//
// Memory: (2 taps + 256) * lanes * 8 bytes. Cost: taps / factor multiplications and additions an
// input value, all of them at one in `factor`.
class DecimateFilter {
 public:
  // Throws Error if design() does, or lanes is 0.
  DecimateFilter(const Decimate& parameters, std::size_t lanes);
  DecimateFilter(const DecimateFilter& other);
  DecimateFilter(DecimateFilter&& other) noexcept;
  DecimateFilter& operator=(const DecimateFilter& other);
  DecimateFilter& operator=(DecimateFilter&& other) noexcept;
  ~DecimateFilter();

  // Wait-free. `out` has room for most_frames() and is other memory.
  Made process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  // Goes on with the inputs in the window of `before`. With as many taps or fewer outputs are to
  // the bit those of a filter that always had these, and flagged likewise. With more, inputs are
  // missing and count as the oldest that is there (as 0 if `before` had 1 tap); outputs whose
  // window has one of them are Suspect, transient. O(lanes * taps).
  void take_over(DecimateFilter& before) noexcept;
  // Group delay at 0 Hz, in samples of the input: (taps - 1) / 2 for symmetric taps.
  [[nodiscard]] double delay() const noexcept;
  // The number of the first output that is made with `input_number` or a later one.
  [[nodiscard]] std::uint64_t outputs_before(std::uint64_t input_number) const noexcept;
  // The most that are made of that many inputs in a row.
  [[nodiscard]] std::size_t most_frames(std::size_t frames) const noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Decimate& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept;

 private:
  Decimate parameters_;
  std::unique_ptr<Polyphase> polyphase_;
};

// Output k is sum taps[i] z[k down - i], z the input with up - 1 zeros behind each sample, and is
// made with input floor(k down / up); up and down are reduced. The sum skips the zeros: each output
// takes one of `up` branches of every up-th tap, and has a window of ceil(taps / up) inputs or
// one less. Numbers, NaN, qualities, gaps and start as in DecimateFilter. Output numbers
// beyond 64 bits wrap around.
//
// Memory: (2 taps / up + 256) * lanes * 8 bytes. Cost: taps / up multiplications and additions an
// output.
class ResampleFilter {
 public:
  // Throws Error if design() does, or lanes is 0.
  ResampleFilter(const Resample& parameters, std::size_t lanes);
  ResampleFilter(const ResampleFilter& other);
  ResampleFilter(ResampleFilter&& other) noexcept;
  ResampleFilter& operator=(const ResampleFilter& other);
  ResampleFilter& operator=(ResampleFilter&& other) noexcept;
  ~ResampleFilter();

  // Wait-free. `out` has room for most_frames() and is other memory.
  Made process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  // As that of DecimateFilter, with windows of taps / up inputs, rounded up.
  void take_over(ResampleFilter& before) noexcept;
  // Group delay at 0 Hz, in samples of the input: (taps - 1) / (2 up) for symmetric taps.
  [[nodiscard]] double delay() const noexcept;
  // The number of the first output that is made with `input_number` or a later one.
  [[nodiscard]] std::uint64_t outputs_before(std::uint64_t input_number) const noexcept;
  // The most that are made of that many inputs in a row.
  [[nodiscard]] std::size_t most_frames(std::size_t frames) const noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Resample& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept;

 private:
  Resample parameters_;
  std::unique_ptr<Polyphase> polyphase_;
};

// The same without delay, for a signal that is there as a whole: value k is that of input time
// k down / up, for all times up to the end; inputs outside count as 0. NaN where the window has
// a value that is NaN or infinite. Allocates. `gap` is not looked at.
// Throws Error if design() does, or the number of taps is even: the delay would be no whole number.
[[nodiscard]] std::vector<double> resample(std::span<const double> values,
                                           const Resample& parameters);

}  // namespace spillway
