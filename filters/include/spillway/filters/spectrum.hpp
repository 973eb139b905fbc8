// Power spectra by Welch's method, and the envelope of a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/channels/units.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/fir.hpp"
#include "spillway/filters/window_function.hpp"

namespace spillway {

enum class Scaling : std::uint8_t {
  density,  // unit^2 / Hz
  power,    // unit^2
};
enum class Detrend : std::uint8_t { none, constant };

// One-sided. A frame of segment / 2 + 1 lanes for every `average` segments.
struct Welch {
  std::size_t segment = 256;                   // samples, 2 to 2^24
  std::size_t overlap = 128;                   // samples, below segment
  std::size_t average = 8;                     // segments, 1 to 2^32
  WindowFunction window = {WindowKind::hann};  // periodic
  Detrend detrend = Detrend::constant;
  Scaling scaling = Scaling::density;
  friend bool operator==(const Welch&, const Welch&) = default;
};

// |x + i H(x)|, the Hilbert transform H by a FIR filter; (taps - 1) / 2 samples late.
struct Envelope {
  std::size_t taps = 65;  // odd, 3 to 1023
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const Envelope&, const Envelope&) = default;
};

// Bin i is at i * rate / segment; both vectors have segment / 2 + 1 values.
struct Spectrum {
  std::vector<double> frequencies;  // Hz
  std::vector<double> power;        // unit^2 / Hz, or unit^2
};

// The frequencies of a spectrum. Throws Error if the parameters are not in their ranges, or
// the rate is not finite and above 0.
[[nodiscard]] std::vector<double> frequencies(const Welch& parameters, Hertz rate);

// P. Welch, The Use of Fast Fourier Transform for the Estimation of Power Spectra, 1967, with
// the conventions of scipy.signal.welch. Segment s is the samples from s * (segment - overlap)
// on. Of each its mean is subtracted (Detrend::constant), it is multiplied by the periodic window
// w and transformed to X; the power is the mean over the segments of
//   |X[i]|^2 / (rate sum w^2)      Scaling::density
//   |X[i]|^2 / (sum w)^2           Scaling::power
// and, but at 0 Hz and, for an even segment, half the rate, twice that: the other half of the
// spectrum.
//
// A segment with a NaN or infinity in it is left out. Values below 1e-150 count as 0: their
// power would be subnormal. Error of an FFT: some 1e-16 of the largest |X|. The FFT is
// Eigen's (kissfft): O(segment * sum of the prime factors of segment).

// Over a whole signal: `average` has no meaning here. NaN if no segment is left. Throws Error
// if the parameters are not in their ranges, the rate is not finite and above 0, the scale
// overflows, or there are fewer than `segment` values.
[[nodiscard]] Spectrum welch(std::span<const double> values, const Welch& parameters, Hertz rate);

class Periodogram;

// As a stream: one lane in, segment / 2 + 1 lanes out. Output m is the mean of the segments
// m * average to (m + 1) * average - 1, which are counted in sample numbers and not from the
// start; it is made with the last sample of the last one. If that was lost in a gap, output m
// is lost too.
//
// Segments that a gap, or the start of the stream, has cut are left out, as those with NaN
// are: the mean is that of those that remain, NaN if there are none.
//
// Quality, the same in all lanes: the merge of the qualities of all samples used. In addition
//   - Suspect, transient if a segment was cut;
//   - Suspect, missing and the reasons of its samples if one was left out for its NaN;
//   - Bad, missing if none remains.
// A lane that overflows is NaN and Bad, out of range.
//
// Memory: up to 80 bytes a sample of a segment. The work is done with the last sample of each
// segment.
class WelchFilter {
 public:
  // Throws Error as welch() does.
  WelchFilter(const Welch& parameters, Hertz rate);
  WelchFilter(const WelchFilter& other);
  WelchFilter(WelchFilter&& other) noexcept;
  WelchFilter& operator=(const WelchFilter& other);
  WelchFilter& operator=(WelchFilter&& other) noexcept;
  ~WelchFilter();

  // The most that `frames` frames make in one call.
  [[nodiscard]] std::size_t most_frames(std::size_t frames) const noexcept;
  // Wait-free. Sample numbers that do not follow those of the call before are a gap; a call
  // without frames has none.
  Made process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept;
  // From the middle of an output's samples to the last one, in samples of the input.
  [[nodiscard]] double delay() const noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Welch& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t bins() const noexcept { return parameters_.segment / 2 + 1; }
  // From one output to the next, in samples of the input.
  [[nodiscard]] std::uint64_t stride() const noexcept;

 private:
  void take(const double* x, const Quality* q, std::size_t frames) noexcept;
  void add_segment(std::uint64_t average) noexcept;
  void start_average(std::uint64_t average) noexcept;
  void put_average(double* y, Quality* q) noexcept;

  Welch parameters_;
  std::uint64_t hop_ = 1;
  std::uint64_t next_ = 0;   // the number of the next sample
  std::uint64_t run_ = 0;    // samples since the start or a gap, up to a segment
  std::uint64_t valid_ = 0;  // since the last NaN, too
  // The last samples: number n at n % segment.
  std::vector<double> values_;
  std::vector<Quality> quality_;

  // Of the current average.
  std::uint64_t average_ = 0;
  std::uint64_t used_ = 0;  // segments
  std::uint64_t left_ = 0;  // segments left out for a NaN
  Quality merged_;
  std::vector<double> power_;

  std::unique_ptr<Periodogram> periodogram_;
};

// sqrt(x[k]^2 + H(x)[k]^2) of the analytic signal (F. King, Hilbert Transforms, 2009), H by
// FFT over the whole signal as if it were periodic: as scipy.signal.hilbert has it. NaN
// everywhere if a value is NaN or infinite. Any length; O(n * sum of the prime factors of n):
// slow for large primes. Allocates.
[[nodiscard]] std::vector<double> hilbert_envelope(std::span<const double> values);

// Output k is sqrt(x[k-h]^2 + H[k]^2), h = (taps - 1) / 2, with the Hilbert transformer
// H[k] = sum_n 2 / (pi n) w[n] x[k-h-n] over the odd n from -h to h and the Hamming window w.
// Right within 1 % for signals between 2 / taps and 1/2 - 2 / taps of the rate; below and above
// H fades away. A constant is no oscillation: H is 0 and the output |x|.
//
// A NaN or infinity in the window of `taps` inputs, quality, start and gap are as a FirFilter has
// them, the window's other samples being used or not. An output that overflows is NaN and
// Bad, out of range; |x| from 1e-150 to 1e150 are safe.
class EnvelopeFilter {
 public:
  // Throws Error unless taps is odd and 3 to 1023, and lanes above 0.
  EnvelopeFilter(const Envelope& parameters, std::size_t lanes);

  // Wait-free, O(frames * lanes * taps). One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours.
  void gap() noexcept;
  [[nodiscard]] double delay() const noexcept;  // (taps - 1) / 2
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Envelope& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  Envelope parameters_;
  std::size_t lanes_ = 1;
  FirFilter transformer_;
  std::vector<double> late_;     // the last h frames, in a circle, the oldest at oldest_
  std::size_t oldest_ = 0;       // frame
  std::vector<double> delayed_;  // scratch
};

}  // namespace spillway
