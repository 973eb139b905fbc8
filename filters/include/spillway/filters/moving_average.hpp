// The mean of the last `window` samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "spillway/filters/filter.hpp"

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
// none; the qualities of the NaN stay in the merge. Inf is a value like any
// other. Sums must stay within the range of double: |x| * window < 1e308.
//
// Two-stack window aggregation (van Herk, Gil and Werman): partitions of `window`
// frames from the start or reset, the aggregate of the current one's beginning,
// and the aggregates of the previous one's ends. Nothing is ever subtracted, so
// the sum never drifts, and a NaN or Inf is forgotten when it leaves the window.
//
// Memory: window * lanes * 9 bytes (13 for ignore). Cost: three additions and a
// division a value, whatever the window, in the mean; every window-th frame pays
// for the whole partition, O(window * lanes).
class MovingAverageFilter {
 public:
  // Throws Error if the window is not 1 to 2^28, the NaN policy not propagate or
  // ignore, or lanes 0.
  MovingAverageFilter(const MovingAverage& parameters, std::size_t lanes);

  // Wait-free. One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  [[nodiscard]] double delay() const noexcept;  // (window - 1) / 2
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const MovingAverage& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  void add_values(const double* x) noexcept;
  void put_means(double* y) const noexcept;
  void add_quality(const Quality* q) noexcept;
  void put_quality(const double* y, Quality* q) const noexcept;
  void close_partition() noexcept;

  MovingAverage parameters_;
  std::size_t lanes_ = 1;
  std::size_t position_ = 0;     // in the current partition
  std::uint64_t filled_ = 0;     // samples in the window, up to `window`
  std::uint64_t after_gap_ = 0;  // outputs still to be marked

  // Of the current partition up to now, one a lane.
  std::vector<double> prefix_sum_;
  std::vector<Quality> prefix_quality_;
  std::vector<std::uint32_t> prefix_valid_;

  // [position * lanes + lane]: below position_ the samples of the current
  // partition, above it the aggregates from there to the end of the previous one.
  std::vector<double> sum_;
  std::vector<Quality> quality_;
  std::vector<std::uint32_t> valid_;  // empty unless NaN are ignored
};

}  // namespace spillway
