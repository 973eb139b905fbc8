// What `spillway view` shows, whether in a terminal, a drawing or a page.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "commands.hpp"
#include "spillway/storage/envelope.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway::apps {

// Samples that are not there, and when they would have been.
struct ShownGap {
  Gap gap;
  Time begin{};
  Time end{};
};

// A stream, the part of it that is shown, and which of its channels.
struct ShownStream {
  std::size_t index = 0;
  RowRange rows;
  std::vector<std::size_t> channels;
  Time begin{};  // from the stream's origin: of the first sample or gap that is shown
  Time end{};    // behind the last; begin if there is nothing to show
  std::vector<ShownGap> gaps;
};

struct View {
  const Recording* recording;
  EnvelopeOf values = EnvelopeOf::calibrated;
  std::vector<ShownStream> streams;  // those that were chosen
  bool chosen = false;               // by name
};

// Its title; of one without, the name of the file.
[[nodiscard]] std::string heading_of(const Recording& recording);
// " · run.h5": to follow the facts, if it is not the heading. Where the file lies is nobody's
// business who gets the drawing by mail.
[[nodiscard]] std::string named_if_titled(const Recording& recording);
// A remark, in which files of that directory have their names alone.
[[nodiscard]] std::string without_directory(const std::string& remark, const Recording& recording);

// All of a stream.
[[nodiscard]] ShownStream all_of(const Recording& recording, std::size_t stream);
// How long that is, gaps and the last sample's period included: "8 s", "2.5 h".
[[nodiscard]] std::string duration_of(const ShownStream& shown);

// Throws Error if a name or the range is wrong.
[[nodiscard]] View choose(const Recording& recording, const ViewArguments& arguments);

[[nodiscard]] inline const RecordedStream& recorded(const View& view, const ShownStream& shown) {
  return view.recording->streams()[shown.index];
}
// "V", or what raw values are counted in.
[[nodiscard]] std::string unit_of(const View& view, const ShownStream& shown, std::size_t channel);

// All streams on the time of the first that is shown: exactly, where their origins can be
// compared; else as if they were the same.
struct SharedTime {
  Origin origin;
  Time begin{};  // of everything that is shown, from `origin`
  Time end{};
  std::vector<Time> shifts;      // of each stream: to be added to its own times
  std::vector<bool> comparable;  // each with the first
};
[[nodiscard]] SharedTime shared_time(const View& view);
// "6.5 s long", "no samples".
[[nodiscard]] std::string length_of(const SharedTime& time);

// Exact times of rows in ascending order. Irregular streams: reads the times between them.
[[nodiscard]] std::vector<Time> times_of(const Recording& recording, std::size_t stream,
                                         const std::vector<std::uint64_t>& rows);

// A stretch of equal time on a drawing.
struct ViewColumn {
  double low;  // NaN: no value
  double high;
  Quality quality;      // of all samples in it, else of the nearest in its segment
  bool any = false;     // samples, even if they have no value
  bool begins = false;  // a segment: not connected with what is before
};

// A sample, for a line from each to the next.
struct ViewPoint {
  double at;  // columns from the left
  double value;
  bool begins;  // a run: not connected with the point before
};

struct ViewChannel {
  std::vector<ViewColumn> columns;
  // Every sample, if there are at most four a column; else empty.
  std::vector<ViewPoint> points;
  // Of all samples.
  double low;  // finite values only; NaN: none
  double high;
  std::optional<double> mean;
  bool infinite = false;
  std::uint64_t values = 0;
  Quality quality;
};

// The channel over [begin, end) from the stream's origin, in `count` columns. Each column has the
// extremes of all samples in it: nothing is left out however many they are. Reads each row once.
// Throws Error if it can't; with `unreadable` as envelope() does.
[[nodiscard]] ViewChannel columns_of(const View& view, const ShownStream& shown,
                                     std::size_t channel, Time begin, Time end, std::size_t count,
                                     UnreadableRows* unreadable = nullptr);
// "g/x: 4,096 samples can't be read".
[[nodiscard]] std::string unreadable_text(const View& view, const ShownStream& shown,
                                          std::size_t channel, const UnreadableRows& unreadable);
[[noreturn]] void fail_not_all_read(const Recording& recording);

// Columns [first, last] that a gap covers, of `count` over [begin, end); at least one.
struct ColumnRange {
  std::size_t first;
  std::size_t last;
};
[[nodiscard]] ColumnRange columns_of(const ShownGap& gap, Time begin, Time end, std::size_t count);

// A range of values to draw in, of finite extremes: widened where they are equal.
struct ValueRange {
  double low;
  double high;
};
[[nodiscard]] ValueRange drawn_range(double low, double high);

// "missing at the source", ...
[[nodiscard]] const char* cause_of(const Gap& gap);

// Each writes, or prints, the whole of it.
void view_in_terminal(const View& view, const ViewArguments& arguments);
void view_as_svg(const View& view, const ViewArguments& arguments);
void view_as_html(const View& view, const ViewArguments& arguments);

}  // namespace spillway::apps
