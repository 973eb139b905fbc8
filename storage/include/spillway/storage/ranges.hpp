// Parts of a recording: by sample number, by time, by row, and cut into pieces.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "spillway/channels/units.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway {

// Samples [begin, end) by number.
struct SampleRange {
  SampleNumber begin{0};
  SampleNumber end{std::numeric_limits<std::uint64_t>::max()};
  friend bool operator==(const SampleRange&, const SampleRange&) = default;
};

// Samples from `begin` on and before `end`, from the origin of the stream.
struct TimeRange {
  Time begin = Time::min();
  Time end = Time::max();
  friend bool operator==(const TimeRange&, const TimeRange&) = default;
};

// Rows [begin, end).
struct RowRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  [[nodiscard]] std::uint64_t count() const noexcept { return end - begin; }
  friend bool operator==(const RowRange&, const RowRange&) = default;
};

// The rows of the samples in a range that are there; empty if none is. O(log segments).
[[nodiscard]] RowRange rows(const RecordedStream& stream, const SampleRange& range);
// By time; where a clock was set back, all rows from the first in the range to the last. Regular
// streams O(segments) and nothing is read; irregular ones read O(log rows) times of each segment.
[[nodiscard]] RowRange rows(const Recording& recording, std::size_t stream, const TimeRange& range);

// The row of the last sample that is not later than `time`; `stream.rows` if there is none.
// As rows() in cost.
[[nodiscard]] std::uint64_t row_at(const Recording& recording, std::size_t stream, Time time);

// Cuts rows into pieces of `length` rows, of which each begins `length - overlap` rows behind
// the one before. The last one is partial if the rows do not divide: no row is left out, and no
// piece holds nothing but rows of the one before. Throws Error unless overlap < length. O(pieces).
[[nodiscard]] std::vector<RowRange> pieces(const RowRange& rows, std::uint64_t length,
                                           std::uint64_t overlap = 0);

}  // namespace spillway
