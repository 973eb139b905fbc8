// The mean of the last `window` samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "spillway/filters/filter.hpp"
#include "spillway/filters/moving_average_bank.hpp"
#include "spillway/filters/quality_span.hpp"

namespace spillway {

// What comes out while fewer than `window` samples are there.
enum class WarmUp : std::uint8_t {
  grow,  // the mean of the samples there are
  nan,   // NaN
};

struct MovingAverage {
  std::uint64_t window = 1;  // samples, 1 to 2^28
  WarmUp warm_up = WarmUp::grow;
  NanPolicy nan = NanPolicy::propagate;  // propagate or ignore
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const MovingAverage&, const MovingAverage&) = default;
};

// Output k is the mean of the inputs k - window + 1 to k, and its quality the
// merge of exactly their qualities. In addition
//   - warm_up nan: the first window - 1 outputs are NaN and Suspect, transient;
//   - any other NaN output is Bad, missing;
//   - the window - 1 outputs behind a gap are Suspect, transient: they span it
//     (GapPolicy::hold) or lack the samples lost in it (GapPolicy::reset).
// At the start of a stream, growing outputs are as good as their inputs.
//
// With NanPolicy::ignore the mean is that of the valid values, NaN if there is
// none. In the merge a NaN counts as Suspect, missing and its own reasons: the mean
// is one of fewer samples. Inf is a value like any other. Sums must stay within the
// range of double: |x| * window < 1e308.
//
// The sums are a MovingAverageBank's: the same cost for every frame, whatever the window; no
// drift; a NaN or Inf is forgotten when it leaves the window.
//
// Memory: window * lanes * 8 bytes (16 for ignore).
class MovingAverageFilter {
 public:
  // Throws Error if the window is not 1 to 2^28, the NaN policy not propagate or
  // ignore, or lanes 0.
  MovingAverageFilter(const MovingAverage& parameters, std::size_t lanes);

  // Wait-free, O(frames * lanes). One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  [[nodiscard]] double delay() const noexcept;  // (window - 1) / 2
  // Goes on with the inputs in the window of `before`. With the same window outputs are to the bit
  // those of a filter that always had these parameters; with a shorter one as near as
  // MovingAverageBank::take_over() tells. With a longer one, n frames instead of m, it is the same
  // if no more than m - 1 have come since the start, a reset or a gap; otherwise samples are
  // missing, so that outputs are the mean of those that are there (WarmUp::nan: NaN), and
  // Suspect, transient, n - m times. Flags from before last as long as the new window has their
  // cause. With another NaN policy nothing goes on: as behind a gap. O(window * lanes).
  void take_over(MovingAverageFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const MovingAverage& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  void ignore_nan(std::span<const double> x, std::span<const Quality> in, Quality* out) noexcept;
  void put_qualities(std::span<const Quality> in, std::span<const double> y, Quality* out) noexcept;

  MovingAverage parameters_;
  std::size_t lanes_ = 1;
  MovingAverageBank<double> bank_;
  QualitySpan carried_;
  std::uint64_t warming_ = 0;  // outputs still to come that are NaN for want of samples
  bool is_cut_ = false;        // before the samples that the bank has seen some were lost
};

}  // namespace spillway
