#include "view.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <span>

#include "foreign_arguments.hpp"
#include "output.hpp"
#include "range.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "text.hpp"

namespace spillway::apps {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

// A name that is chosen, and whether anything is called so.
struct Name {
  std::string text;
  bool found = false;
};

bool chosen(std::vector<Name>& names, const std::string& stream, const std::string& channel) {
  bool any = names.empty();
  for (Name& name : names)
    if (name.text == stream || name.text == channel || name.text == stream + "/" + channel)
      any = name.found = true;
  return any;
}

[[noreturn]] void fail_not_there(const Recording& recording, const std::string& name) {
  std::string known;
  std::size_t told = 0;
  for (const RecordedStream& s : recording.streams())
    for (const ChannelInfo& channel : s.info.channels) {
      constexpr std::size_t most = 20;
      if (++told <= most)
        known += fmt::format("{}'{}/{}'", known.empty() ? "" : ", ", s.info.name, channel.name);
    }
  throw Error(fmt::format("{}: no stream and no channel '{}'; it has {}{}", recording.path(), name,
                          known, told > 20 ? fmt::format(" and {} more", told - 20) : ""));
}

// Of a sample that may not be there; `before`: a row that comes before it.
Time time_of(const RecordedStream& s, std::uint64_t number, const Segment& before) {
  if (!s.info.rate || number < before.clock_sample) return Time(before.t0_ns);
  return saturating_add(Time(before.clock_ns), s.info.rate->duration(number - before.clock_sample));
}

Time time_of_row(const Recording& recording, std::size_t stream, std::uint64_t row) {
  Time time{};
  recording.read_times(stream, row, {&time, 1});
  return time;
}

// How long a sample lasts.
Time period_of(const StreamInfo& info) { return info.rate ? info.rate->duration(1) : Time(1); }

// Those that reach into the numbers and into the times; of these the part that does.
void place_gaps(const Recording& recording, ShownStream& shown, const SampleRange& numbers,
                const TimeRange& times) {
  const RecordedStream& s = recording.streams()[shown.index];
  for (const Gap& gap : s.gaps) {
    const std::uint64_t gap_end = gap.first_sample + gap.count;
    if (gap_end <= numbers.begin.value || gap.first_sample >= numbers.end.value) continue;
    ShownGap placed{gap, {}, {}};
    const auto after =
        std::ranges::upper_bound(s.segments, gap.first_sample, {}, &Segment::first_sample);
    if (after != s.segments.begin()) {
      const Segment& before = *(after - 1);
      placed.begin = s.info.rate
                         ? time_of(s, gap.first_sample, before)
                         : time_of_row(recording, shown.index, before.row + before.count - 1);
      placed.end = placed.begin;
      if (s.info.rate) placed.end = time_of(s, gap_end, before);
      // Two gaps in a row end at different samples.
      if (after != s.segments.end() && after->first_sample == gap_end)
        placed.end = std::max(placed.begin, Time(after->t0_ns));
    } else if (after != s.segments.end()) {
      placed.end = Time(after->t0_ns);
      placed.begin = placed.end;
      if (s.info.rate)
        placed.begin -= s.info.rate->duration(after->first_sample - gap.first_sample);
    }
    if (!s.segments.empty()) {
      const bool instant = placed.begin == placed.end && placed.begin >= times.begin;
      if (placed.begin >= times.end || (placed.end <= times.begin && !instant)) continue;
      placed.begin = std::max(placed.begin, times.begin);
      placed.end = std::max(placed.begin, std::min(placed.end, times.end));
    }
    shown.gaps.push_back(placed);
  }
}

// Times of the first and the last moment that is shown.
void find_extent(const Recording& recording, ShownStream& shown) {
  const RecordedStream& s = recording.streams()[shown.index];
  bool any = false;
  const auto include = [&](Time begin, Time end) {
    shown.begin = any ? std::min(shown.begin, begin) : begin;
    shown.end = any ? std::max(shown.end, end) : end;
    any = true;
  };
  for (std::uint64_t row = shown.rows.begin; row < shown.rows.end;) {
    const Segment& segment = s.segment(row);
    const std::uint64_t end = std::min(segment.row + segment.count, shown.rows.end);
    include(time_of_row(recording, shown.index, row),
            saturating_add(time_of_row(recording, shown.index, end - 1), period_of(s.info)));
    row = end;
  }
  for (const ShownGap& gap : shown.gaps) include(gap.begin, gap.end);
}

// Throws Error, with where there is something, if the range holds neither samples nor gaps.
void require_something(const View& view, const std::string& range) {
  const Recording& recording = *view.recording;
  for (const ShownStream& shown : view.streams)
    if (shown.rows.count() > 0 || !shown.gaps.empty()) return;
  for (const ShownStream& shown : view.streams) {
    const RecordedStream& s = recorded(view, shown);
    if (s.rows == 0) continue;
    ShownStream whole{shown.index, {0, s.rows}, {}, {}, {}, {}};
    find_extent(recording, whole);
    throw Error(fmt::format(
        "{}: range '{}' holds nothing; '{}' goes from {:.9g} s to {:.9g} s, #{} to #{}",
        recording.path(), range, s.info.name, static_cast<double>(whole.begin.count()) / 1e9,
        static_cast<double>(whole.end.count()) / 1e9, s.number(0).value,
        s.number(s.rows - 1).value));
  }
}

}  // namespace

const char* cause_of(const Gap& gap) {
  switch (gap.cause) {
    case Absence::missing: return "missing at the source";
    case Absence::lost_upstream: return "lost before the graph";
    case Absence::lost: return "lost before the recorder";
    case Absence::not_written: return "read, but could not be written";
    case Absence::damaged: return "recorded, and damaged since";
    case Absence::mixed: break;
  }
  return "lost and missing, mixed";
}

std::string unit_of(const View& view, const ShownStream& shown, std::size_t channel) {
  const ChannelInfo& info = recorded(view, shown).info.channels[channel];
  return view.values == EnvelopeOf::raw ? info.raw_unit() : info.unit;
}

namespace {
std::string file_name_of(const Recording& recording) {
  return std::filesystem::path(recording.path()).filename().string();
}
}  // namespace

std::string heading_of(const Recording& recording) {
  return recording.title().empty() ? file_name_of(recording) : recording.title();
}

std::string without_directory(const std::string& remark, const Recording& recording) {
  const std::string directory = recording.path().substr(0, recording.path().rfind('/') + 1);
  std::string text = remark;
  if (directory.empty()) return text;
  for (std::size_t at = 0; (at = text.find(directory, at)) != std::string::npos;)
    text.erase(at, directory.size());
  return text;
}

std::string named_if_titled(const Recording& recording) {
  return recording.title().empty() ? "" : " · " + file_name_of(recording);
}

ShownStream all_of(const Recording& recording, std::size_t stream) {
  ShownStream shown;
  shown.index = stream;
  shown.rows = {0, recording.streams()[stream].rows};
  place_gaps(recording, shown, {}, {});
  find_extent(recording, shown);
  return shown;
}

std::string duration_of(const ShownStream& shown) {
  return seconds(static_cast<double>((shown.end - shown.begin).count()) / 1e9);
}

View choose(const Recording& recording, const ViewArguments& arguments) {
  View view{&recording, arguments.raw ? EnvelopeOf::raw : EnvelopeOf::calibrated, {}, false};
  view.chosen = !arguments.channels.empty();
  std::vector<Name> names;
  for (const std::string& name : arguments.channels) names.push_back({name});
  std::optional<RangeArgument> range;
  if (!arguments.range.empty()) range = range_argument(arguments.range);
  for (std::size_t i = 0; i < recording.streams().size(); ++i) {
    const RecordedStream& s = recording.streams()[i];
    ShownStream shown;
    shown.index = i;
    for (std::size_t c = 0; c < s.info.channels.size(); ++c)
      if (chosen(names, s.info.name, s.info.channels[c].name)) shown.channels.push_back(c);
    if (shown.channels.empty()) continue;
    shown.rows = {0, s.rows};
    SampleRange numbers;
    TimeRange in;
    if (range) {
      shown.rows = rows(recording, i, *range);
      if (const auto* samples = std::get_if<SampleRange>(&range->value))
        numbers = *samples;
      else
        in = times(recording, i, *range);
    }
    place_gaps(recording, shown, numbers, in);
    find_extent(recording, shown);
    view.streams.push_back(std::move(shown));
  }
  for (const Name& name : names)
    if (!name.found) fail_not_there(recording, name.text);
  if (range) require_something(view, range->text);
  return view;
}

SharedTime shared_time(const View& view) {
  SharedTime time;
  if (view.streams.empty()) return time;
  time.origin = recorded(view, view.streams.front()).info.origin;
  bool any = false;
  for (const ShownStream& shown : view.streams) {
    const std::optional<Time> shift = time_between(time.origin, recorded(view, shown).info.origin);
    time.comparable.push_back(shift.has_value());
    time.shifts.push_back(shift.value_or(Time(0)));
    if (shown.begin == shown.end) continue;
    const Time begin = saturating_add(shown.begin, time.shifts.back());
    const Time end = saturating_add(shown.end, time.shifts.back());
    time.begin = any ? std::min(time.begin, begin) : begin;
    time.end = any ? std::max(time.end, end) : end;
    any = true;
  }
  time.end = std::max(time.end, saturating_add(time.begin, Time(1)));
  return time;
}

std::string length_of(const SharedTime& time) {
  const Time length = time.end - time.begin;
  if (length <= Time(1)) return "no samples";
  return seconds(static_cast<double>(length.count()) / 1e9) + " long";
}

std::vector<Time> times_of(const Recording& recording, std::size_t stream,
                           const std::vector<std::uint64_t>& rows) {
  std::vector<Time> times(rows.size());
  if (recording.streams()[stream].info.rate) {
    for (std::size_t i = 0; i < rows.size(); ++i)
      times[i] = time_of_row(recording, stream, rows[i]);
    return times;
  }
  std::vector<Time> block(std::size_t{1} << 15);
  for (std::size_t i = 0; i < rows.size();) {
    const std::uint64_t begin = rows[i];
    const std::uint64_t count = std::min<std::uint64_t>(block.size(), rows.back() + 1 - begin);
    recording.read_times(stream, begin, std::span(block).first(count));
    for (; i < rows.size() && rows[i] - begin < count; ++i) times[i] = block[rows[i] - begin];
  }
  return times;
}

ViewChannel columns_of(const View& view, const ShownStream& shown, std::size_t channel, Time begin,
                       Time end, std::size_t count, UnreadableRows* unreadable) {
  const RecordedStream& s = recorded(view, shown);
  // Several bins a column, so that hardly any lies across the edge of one.
  constexpr std::size_t bins_per_column = 8;
  const EnvelopeLevel level = envelope(*view.recording, shown.index, channel, shown.rows,
                                       count * bins_per_column, view.values, unreadable);
  std::vector<std::uint64_t> edges;  // first and last row of each bin
  for (std::size_t i = 0; i < level.bins.size(); ++i) {
    const Segment& segment = s.segment(level.first_rows[i]);
    edges.push_back(level.first_rows[i]);
    edges.push_back(std::min({level.first_rows[i] + level.rows_per_bin, segment.row + segment.count,
                              shown.rows.end}) -
                    1);
  }
  const std::vector<Time> times = times_of(*view.recording, shown.index, edges);

  ViewChannel result;
  result.columns.assign(count, {nan_value, nan_value, {}, false, false});
  result.low = result.high = nan_value;
  const double span = std::max(static_cast<double>((end - begin).count()), 1.0);
  const auto place_of = [&](Time time) {
    return static_cast<double>((time - begin).count()) / span * static_cast<double>(count);
  };
  const auto column_of = [&](Time time) {
    const double place = place_of(time);
    return static_cast<std::size_t>(std::clamp(place, 0.0, static_cast<double>(count - 1)));
  };
  const auto least = [](double a, double b) { return std::isnan(a) || b < a ? b : a; };
  const auto most = [](double a, double b) { return std::isnan(a) || b > a ? b : a; };
  const bool sparse = level.rows_per_bin == 1 && level.bins.size() <= 4 * count;
  double sum = 0.0;
  std::size_t segment = 0;
  for (std::size_t i = 0; i < level.bins.size(); ++i) {
    const EnvelopeBin& bin = level.bins[i];
    const bool begins = segment < level.segments.size() && level.segments[segment] == i;
    if (begins) ++segment;
    const std::size_t first = column_of(times[2 * i]);
    const std::size_t last = std::max(first, column_of(times[2 * i + 1]));
    for (std::size_t c = first; c <= last; ++c) {
      ViewColumn& column = result.columns[c];
      column.begins = column.begins || (begins && c == first);
      column.any = true;
      column.quality = merge(column.quality, bin.quality);
      if (bin.count == 0) continue;
      column.low = least(column.low, bin.low);
      column.high = most(column.high, bin.high);
    }
    result.quality = merge(result.quality, bin.quality);
    if (sparse) {
      // Between two samples the quality is that of the nearer one.
      if (!begins && i > 0) {
        const std::size_t before = column_of(times[2 * i - 2]);
        const std::size_t middle = (before + first) / 2;
        for (std::size_t c = before + 1; c < first; ++c)
          result.columns[c].quality = c <= middle ? level.bins[i - 1].quality : bin.quality;
      }
      result.points.push_back(
          {place_of(times[2 * i]), bin.count > 0 ? bin.low : nan_value, begins});
    }
    if (bin.count == 0) continue;
    result.values += bin.count;
    sum += bin.mean * static_cast<double>(bin.count);
    for (const double v : {bin.low, bin.high}) {
      if (!std::isfinite(v)) {
        result.infinite = true;
        continue;
      }
      result.low = least(result.low, v);
      result.high = most(result.high, v);
    }
  }
  if (result.values > 0 && !result.infinite) result.mean = sum / static_cast<double>(result.values);
  return result;
}

ColumnRange columns_of(const ShownGap& gap, Time begin, Time end, std::size_t count) {
  const double span = std::max(static_cast<double>((end - begin).count()), 1.0);
  const double last_column = static_cast<double>(count - 1);
  const auto place_of = [&](Time time) {
    return static_cast<double>((time - begin).count()) / span * static_cast<double>(count);
  };
  const double first = std::clamp(std::floor(place_of(gap.begin)), 0.0, last_column);
  const double last = std::clamp(std::ceil(place_of(gap.end)) - 1.0, first, last_column);
  return {static_cast<std::size_t>(first), static_cast<std::size_t>(last)};
}

ValueRange drawn_range(double low, double high) {
  const double size = std::max(std::abs(low), std::abs(high));
  if (high - low > size * 1e-14) return {low, high};
  const double margin = size > 0.0 ? size * 0.05 : 1.0;
  return {low - margin, high + margin};
}

std::string unreadable_text(const View& view, const ShownStream& shown, std::size_t channel,
                            const UnreadableRows& unreadable) {
  std::uint64_t rows = 0;
  for (const RowRange& range : unreadable) rows += range.count();
  const StreamInfo& info = recorded(view, shown).info;
  return fmt::format("{}/{}: {} can't be read", readable(info.name),
                     readable(info.channels[channel].name), human_count(rows, "sample"));
}

void fail_not_all_read(const Recording& recording) {
  throw Error(fmt::format("{}: not all of it can be read; 'spillway verify' tells what is damaged",
                          recording.path()));
}

int view(const ViewArguments& arguments) {
  const Recording recording =
      Recording::open(arguments.path, OpenOptions{.foreign = foreign(arguments.foreign)});
  refuse_input(arguments.svg.empty() ? arguments.html : arguments.svg, recording);
  if (!arguments.svg.empty()) require_ending(arguments.svg, "--svg", {".svg"});
  if (!arguments.html.empty()) require_ending(arguments.html, "--html", {".html", ".htm"});
  const View shown = choose(recording, arguments);
  if (!arguments.svg.empty())
    view_as_svg(shown, arguments);
  else if (!arguments.html.empty())
    view_as_html(shown, arguments);
  else
    view_in_terminal(shown, arguments);
  return 0;
}

}  // namespace spillway::apps
