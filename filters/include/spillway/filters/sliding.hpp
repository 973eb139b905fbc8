// Statistics of the last `window` samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/filters/filter.hpp"
#include "spillway/filters/moving_average.hpp"

namespace spillway {

// All: windows of 1 to 2^28 samples, in samples; warm-up and NaN as for MovingAverage.
struct SlidingMedian {  // of an even number: the mean of the two in the middle
  std::uint64_t window = 5;
  WarmUp warm_up = WarmUp::grow;
  NanPolicy nan = NanPolicy::propagate;
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const SlidingMedian&, const SlidingMedian&) = default;
};
struct SlidingMin {
  std::uint64_t window = 5;
  WarmUp warm_up = WarmUp::grow;
  NanPolicy nan = NanPolicy::propagate;
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const SlidingMin&, const SlidingMin&) = default;
};
struct SlidingMax {
  std::uint64_t window = 5;
  WarmUp warm_up = WarmUp::grow;
  NanPolicy nan = NanPolicy::propagate;
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const SlidingMax&, const SlidingMax&) = default;
};
struct SlidingRms {
  std::uint64_t window = 64;
  WarmUp warm_up = WarmUp::grow;
  NanPolicy nan = NanPolicy::propagate;
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const SlidingRms&, const SlidingRms&) = default;
};
struct SlidingStd {
  std::uint64_t window = 64;
  int ddof = 0;  // 0: of the population, divided by n; 1: of a sample, by n - 1
  WarmUp warm_up = WarmUp::grow;
  NanPolicy nan = NanPolicy::propagate;
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const SlidingStd&, const SlidingStd&) = default;
};

// Output k is the statistic of the valid values among the inputs k - window + 1 to k,
// fewer at the start; NaN if there is none:
//   median  the middle one in order, of an even number the mean of the two in the middle;
//           exact, rounded once where it is a mean
//   min, max
//   rms     sqrt(sum of x^2 / n)
//   std     sqrt(sum of (x - mean)^2 / (n - ddof)); NaN if n = ddof
// With NanPolicy::propagate it is NaN while a NaN is in the window; with NanPolicy::ignore n
// counts the values that are not. Recovers as soon as the NaN has left.
//
// Its quality is the merge of exactly the qualities in the window, in which an ignored NaN
// counts as Suspect, missing and its own reasons: the statistic is one of fewer samples. In
// addition
//   - warm_up nan: the first window - 1 outputs are NaN and Suspect, transient;
//   - any other NaN output is Bad, missing;
//   - the window - 1 outputs behind a gap are Suspect, transient: they span it
//     (GapPolicy::hold) or lack the samples lost in it (GapPolicy::reset).
// At the start of a stream, growing outputs are as good as their inputs.
//
// Infinity is a value like any other: it may be the median, min, max and rms; std is NaN
// while one is in the window, and so is the median if it is the mean of both infinities.
// median, min and max take -0.0 for +0.0. rms and std square: the values' moduli (rms), and
// their differences (std), must be below 1e149, so that the sum stays in the range of double
// (beyond, rms is inf, std inf or NaN while they are in the window); below 1e-150 they count
// as zero.
//
// Nothing is ever subtracted from an aggregate, so nothing drifts: min, max, rms and std
// combine the aggregates of up to three stretches of the window, whose borders are counted from
// the start or reset; std with the pairwise update of Chan, Golub and LeVeque (1983), whose error
// is some 1e-16 * |mean| beside an offset.
//
// Cost: O(1) a value for min, max, rms and std, bounded for every single one, not only on
// average; for the median see MedianBank. Memory: window * lanes * 8 bytes for min and max,
// 16 for rms, 24 for std; for the median see MedianBank.
template <class Statistic>
class SlidingFilter {
 public:
  // Throws Error if the window is not 1 to 2^28, the NaN policy not propagate or ignore,
  // ddof not 0 or 1, or lanes 0.
  SlidingFilter(const Statistic& parameters, std::size_t lanes);
  SlidingFilter(const SlidingFilter& other);
  SlidingFilter(SlidingFilter&&) noexcept;
  SlidingFilter& operator=(const SlidingFilter& other);
  SlidingFilter& operator=(SlidingFilter&&) noexcept;
  ~SlidingFilter();

  // Wait-free. One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  [[nodiscard]] double delay() const noexcept;  // (window - 1) / 2
  // Goes on with the inputs in the window of `before`, with the words of MovingAverageFilter. To
  // the bit for median, min and max, and for all with the same window. For rms and std inputs are
  // found from aggregates: rms then differs by rounding, some 1e-16 of itself, std by some
  // 1e-16 * window * |mean| at most, until these inputs have left the window.
  void take_over(SlidingFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Statistic& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  struct State;
  Statistic parameters_;
  std::size_t lanes_;
  std::unique_ptr<State> state_;
};

using SlidingMedianFilter = SlidingFilter<SlidingMedian>;
using SlidingMinFilter = SlidingFilter<SlidingMin>;
using SlidingMaxFilter = SlidingFilter<SlidingMax>;
using SlidingRmsFilter = SlidingFilter<SlidingRms>;
using SlidingStdFilter = SlidingFilter<SlidingStd>;

extern template class SlidingFilter<SlidingMedian>;
extern template class SlidingFilter<SlidingMin>;
extern template class SlidingFilter<SlidingMax>;
extern template class SlidingFilter<SlidingRms>;
extern template class SlidingFilter<SlidingStd>;

// For recorded data: the median of the (window - 1) / 2 values before each value, itself and
// as many behind, with zeros beyond the ends. NaN where one of them is. Throws Error unless
// the window is odd, 1 to 2^28 - 1. Allocates.
[[nodiscard]] std::vector<double> median_centred(std::span<const double> values,
                                                 std::uint64_t window);

}  // namespace spillway
