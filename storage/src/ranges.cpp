#include "spillway/storage/ranges.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "spillway/channels/error.hpp"
#include "stream_at.hpp"

namespace spillway {

namespace {

// The first row of a segment whose time is `time` or later; its end if there is none.
std::uint64_t first_row_from(const Recording& recording, std::size_t stream, const Segment& segment,
                             Time time) {
  std::uint64_t low = segment.row, high = segment.row + segment.count;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    Time at;
    recording.read_times(stream, middle, {&at, 1});
    if (at < time)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

}  // namespace

RowRange rows(const RecordedStream& stream, const SampleRange& range) {
  // The first row of a number that is not before `number`.
  const auto row_from = [&](std::uint64_t number) {
    const auto after =
        std::ranges::upper_bound(stream.segments, number, {}, &Segment::first_sample);
    if (after == stream.segments.begin()) return std::uint64_t{0};
    const Segment& s = *(after - 1);
    return s.row + std::min(number - s.first_sample, s.count);
  };
  const std::uint64_t begin = row_from(range.begin.value);
  return {begin, std::max(begin, row_from(range.end.value))};
}

RowRange rows(const Recording& recording, std::size_t stream, const TimeRange& range) {
  const RecordedStream& s = stream_at(recording, stream);
  RowRange found{s.rows, 0};
  for (const Segment& segment : s.segments) {
    const std::uint64_t begin = first_row_from(recording, stream, segment, range.begin);
    // No end, not even of times that are the latest there is.
    const std::uint64_t end = range.end == Time::max()
                                  ? segment.row + segment.count
                                  : first_row_from(recording, stream, segment, range.end);
    if (begin >= end) continue;
    found = {std::min(found.begin, begin), std::max(found.end, end)};
  }
  return found.begin < found.end ? found : RowRange{};
}

std::uint64_t row_at(const Recording& recording, std::size_t stream, Time time) {
  const RecordedStream& s = stream_at(recording, stream);
  if (time == Time::max()) return s.rows == 0 ? 0 : s.rows - 1;
  std::uint64_t found = s.rows;
  for (const Segment& segment : s.segments) {
    const std::uint64_t behind = first_row_from(recording, stream, segment, time + Time(1));
    if (behind > segment.row) found = behind - 1;
  }
  return found;
}

std::vector<RowRange> pieces(const RowRange& rows, std::uint64_t length, std::uint64_t overlap) {
  if (overlap >= length)
    throw Error(fmt::format("pieces of {} rows that overlap by {}: the overlap must be less",
                            length, overlap));
  std::vector<RowRange> result;
  for (std::uint64_t begin = rows.begin; begin < rows.end; begin += length - overlap) {
    const std::uint64_t end = std::min(rows.end - begin, length) + begin;
    result.push_back({begin, end});
    if (end == rows.end) break;
  }
  return result;
}

}  // namespace spillway
