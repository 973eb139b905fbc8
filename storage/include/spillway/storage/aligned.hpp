// Values of a recording at any times, and channels of several streams at common ones.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "spillway/channels/quality.hpp"
#include "spillway/channels/rate.hpp"
#include "spillway/storage/ranges.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway {

// How a value comes about where there is no sample. Values are calibrated. As the nodes
// `interpolate` and `align` of a graph have it:
//
// At the time of a sample it is its value, with its quality. Between two samples
//   linear:  x0 + (x1 - x0) (t - t0) / (t1 - t0), and the merge of both qualities and Interpolated.
//            NaN from a neighbour that is NaN or infinite, between samples more than max_gap
//            apart, and where x1 - x0 overflows; NaN behind the last sample.
//   last:    the value and quality of the sample before, merged with Interpolated, also behind the
//            last one. NaN where that is more than max_age old.
// NaN before the first sample. NaN is Bad, missing; one by overflow Bad, out of range.
//
// Besides, what a graph can't know: where samples are missing or lost between the two, and behind
// the last one, the quality says missing. Samples whose time is not later than all before, as where
// a clock was set back, are left out until one is.
struct AlignedOptions {
  enum class Method : std::uint8_t { linear, last };
  Method method = Method::linear;
  std::chrono::nanoseconds max_gap{0};  // linear; 0: no limit
  std::chrono::nanoseconds max_age{0};  // last; 0: no limit
};

struct ValueAt {
  double value = 0.0;
  Quality quality;
};

// Every channel of a stream at a time from its origin. O(segments + log rows); of an irregular
// stream one time of each segment is read. Throws Error as Recording, and for negative limits.
[[nodiscard]] std::vector<ValueAt> values_at(const Recording& recording, std::size_t stream,
                                             Time time, const AlignedOptions& options = {});

// A channel of a recording, by index.
struct AlignedChannel {
  std::size_t stream = 0;
  std::size_t channel = 0;
  friend bool operator==(const AlignedChannel&, const AlignedChannel&) = default;
};

// Point k is at k / rate from time 0, for whole k, also negative; those of the range. A range
// without begin or end goes from the first of all samples to the last.
struct AlignedGrid {
  Rate rate{1, 1};
  TimeRange range = {};
};

// The times of a stream's samples; those of the range.
struct AlignedTimes {
  std::size_t stream = 0;
  TimeRange range = {};
};

struct AlignedBlock {
  std::vector<Time> times;
  std::vector<std::vector<double>> values;  // of each channel, one a time
  std::vector<std::vector<Quality>> quality;
  [[nodiscard]] std::size_t size() const noexcept { return times.size(); }
};

// Channels of several streams at common times, block by block. Times are from the origin of the
// stream that gives them, or, on a grid, of the first channel's stream; the other streams
// are brought there. Used by one thread at a time; the recording must outlive it, and not be
// refreshed meanwhile.
class AlignedReader {
 public:
  // Throws Error if there is no channel, or not that one, a limit is negative or of the other
  // method, a grid has more than 1e9 Hz, or an origin can't be compared with the first: two that
  // are UTC or local and tell their time can, and any two that are the same.
  AlignedReader(const Recording& recording, std::vector<AlignedChannel> channels,
                const AlignedGrid& grid, const AlignedOptions& options = {});
  // Lanes of `times.stream` itself are its samples as they are. Where a sample's time is not later
  // than all before, the other lanes are NaN, and Bad, missing, time uncertain.
  AlignedReader(const Recording& recording, std::vector<AlignedChannel> channels,
                const AlignedTimes& times, const AlignedOptions& options = {});
  AlignedReader(AlignedReader&&) noexcept;
  AlignedReader& operator=(AlignedReader&&) noexcept;
  ~AlignedReader();

  // The next times, at most `most`; none: the end. What results does not depend on the cut.
  // Reads rows in runs of some thousand, each once but for the last of a run, and none that lie
  // farther from all times: O(points * (channels + log rows) + rows read). Memory: the block, and
  // 4096 rows of each stream. Throws Error as Recording; then it is of no use any more.
  [[nodiscard]] AlignedBlock read(std::size_t most);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
