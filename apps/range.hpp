// A part of a recording as people write it on a command line: "BEGIN:END".
#pragma once

#include <string>
#include <variant>

#include "spillway/storage/ranges.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway::apps {

// Times of the calendar, ISO 8601; an empty end is open. With a Z they are UTC, as those that had
// an offset are, without they are what the stream's own origin is, UTC or local.
struct CalendarRange {
  std::string begin;
  std::string end;
  friend bool operator==(const CalendarRange&, const CalendarRange&) = default;
};

// Samples from BEGIN on and before END. Either may be left out.
struct RangeArgument {
  std::variant<TimeRange, SampleRange, CalendarRange> value;  // as it was written
  std::string text;
  friend bool operator==(const RangeArgument&, const RangeArgument&) = default;
};

// "0.5:2", ":2", "0.5:" in seconds from the origin of each stream; "#1000:#2000" by sample number;
// "2026-05-04T10:44:18.5Z:2026-05-04T12:45:00+02:00". Throws Error that says what is allowed; also
// if the end is not behind the begin.
[[nodiscard]] RangeArgument range_argument(const std::string& text);

// What it is in one stream. Throws Error if the calendar time of the stream's origin is not known,
// or is local and the range is in UTC. Numbers of samples become the times of those samples: of
// those that are not there, where the next one that is begins.
[[nodiscard]] TimeRange times(const Recording& recording, std::size_t stream,
                              const RangeArgument& range);
[[nodiscard]] RowRange rows(const Recording& recording, std::size_t stream,
                            const RangeArgument& range);

}  // namespace spillway::apps
