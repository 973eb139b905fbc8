#include "spillway/storage/aligned.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>

#include "spillway/channels/error.hpp"
#include "stream_at.hpp"

namespace spillway {

namespace {

using Method = AlignedOptions::Method;

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr Quality interpolated{Verdict::interpolated};
constexpr Quality missing{Verdict::interpolated, Quality::missing};
constexpr Quality bad_missing{Verdict::bad, Quality::missing};
constexpr Quality bad_out_of_range{Verdict::bad, Quality::out_of_range};
constexpr Quality no_place{Verdict::bad, Quality::missing | Quality::time_uncertain};
constexpr std::uint64_t window_rows = 4096;

void check(const AlignedOptions& options) {
  if (options.max_gap.count() < 0 || options.max_age.count() < 0)
    throw Error(fmt::format("aligned: max_gap {} ns, max_age {} ns; neither may be negative",
                            options.max_gap.count(), options.max_age.count()));
  if (options.method == Method::linear && options.max_age.count() != 0)
    throw Error("aligned: max_age is for 'last'; linear has max_gap");
  if (options.method == Method::last && options.max_gap.count() != 0)
    throw Error("aligned: max_gap is for 'linear'; last has max_age");
}

// From `a` to a later `b`, which may be farther away than a Time can tell.
std::uint64_t between(Time a, Time b) {
  return static_cast<std::uint64_t>(b.count()) - static_cast<std::uint64_t>(a.count());
}

bool exceeds(Time a, Time b, std::chrono::nanoseconds limit) {
  return limit.count() > 0 && between(a, b) > static_cast<std::uint64_t>(limit.count());
}

// The samples of a stream whose time is later than all before: runs of rows in which, and from one
// to the next, times only rise.
class Timeline {
 public:
  Timeline(const Recording& recording, std::size_t stream)
      : recording_(&recording), stream_(stream) {
    std::optional<Time> latest;
    for (const Segment& segment : of().segments) {
      Run run{segment.row, segment.row + segment.count, {}, {}};
      run.last_time = time(run.end - 1);
      if (latest && run.last_time <= *latest) continue;
      if (latest && time(run.begin) <= *latest) run.begin = first_later(run, *latest);
      run.first_time = time(run.begin);
      latest = run.last_time;
      runs_.push_back(run);
    }
  }

  struct Run {
    std::uint64_t begin, end;  // rows
    Time first_time, last_time;
  };
  [[nodiscard]] const RecordedStream& of() const { return recording_->streams()[stream_]; }
  [[nodiscard]] const std::vector<Run>& runs() const { return runs_; }

  // The run and the row of the last sample that is not later than `at`; none: all are.
  struct Place {
    std::size_t run = 0;
    std::uint64_t row = 0;
  };
  [[nodiscard]] std::optional<Place> find(Time at) const {
    const auto next = std::ranges::upper_bound(runs_, at, {}, &Run::first_time);
    if (next == runs_.begin()) return std::nullopt;
    const Run& run = *(next - 1);
    const std::uint64_t row = at >= run.last_time ? run.end : first_later(run, at);
    return Place{static_cast<std::size_t>(next - 1 - runs_.begin()), row - 1};
  }

  [[nodiscard]] Time time(std::uint64_t row) const {
    Time at;
    recording_->read_times(stream_, row, {&at, 1});
    return at;
  }

 private:
  // The first row of a run that is later than `at`; its end if there is none.
  [[nodiscard]] std::uint64_t first_later(const Run& run, Time at) const {
    std::uint64_t low = run.begin, high = run.end;
    while (low < high) {
      const std::uint64_t middle = low + (high - low) / 2;
      if (time(middle) <= at)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  const Recording* recording_;
  std::size_t stream_;
  std::vector<Run> runs_;
};

// Some consecutive samples of a timeline, of some channels.
class Window {
 public:
  Window(const Recording& recording, std::size_t stream, std::vector<std::size_t> channels,
         std::uint64_t most_rows)
      : recording_(&recording),
        stream_(stream),
        most_rows_(most_rows),
        timeline_(recording, stream),
        channels_(std::move(channels)),
        values_(channels_.size()),
        quality_(channels_.size()) {}

  [[nodiscard]] const Timeline& timeline() const { return timeline_; }

  // What stands for all channels at a time: one sample, two, or none.
  void put(Time at, const AlignedOptions& options, ValueAt* to) {
    const std::optional<std::size_t> found = seek(at);
    if (!found) {
      std::fill_n(to, channels_.size(), ValueAt{nan_value, bad_missing});
      return;
    }
    const std::size_t before = *found;
    for (std::size_t c = 0; c < channels_.size(); ++c) {
      if (times_[before] == at)
        to[c] = sample(c, before);
      else if (options.method == Method::last)
        to[c] = last(c, before, at, options);
      else
        to[c] = linear(c, before, at, options);
    }
  }

 private:
  // The index of the last sample not later than `at`, with the one behind it, if there is one.
  std::optional<std::size_t> seek(Time at) {
    const bool inside = !times_.empty() && at >= times_.front() &&
                        (at < times_.back() || (at_end_ && at >= times_.back()));
    if (!inside) {
      const auto place = timeline_.find(at);
      if (!place) return std::nullopt;
      load(*place);
    }
    const auto after = std::ranges::upper_bound(times_, at);
    return static_cast<std::size_t>(after - times_.begin()) - 1;
  }

  // Samples from there on.
  void load(Timeline::Place place) {
    times_.clear();
    gap_behind_.clear();
    for (std::size_t c = 0; c < channels_.size(); ++c) values_[c].clear(), quality_[c].clear();
    const auto& runs = timeline_.runs();
    const RecordedStream& of = timeline_.of();
    std::uint64_t row = place.row;
    for (std::size_t r = place.run; r < runs.size() && times_.size() < most_rows_; ++r) {
      if (r > place.run) row = runs[r].begin;
      const std::size_t at = times_.size();
      const std::size_t n = std::min<std::uint64_t>(runs[r].end - row, most_rows_ - at);
      times_.resize(at + n);
      recording_->read_times(stream_, row, std::span(times_).subspan(at));
      for (std::size_t c = 0; c < channels_.size(); ++c) {
        values_[c].resize(at + n);
        quality_[c].resize(at + n);
        recording_->read_calibrated(stream_, channels_[c], row, std::span(values_[c]).subspan(at),
                                    std::span(quality_[c]).subspan(at));
      }
      gap_behind_.resize(at + n, false);
      row += n;
      // Numbers that no row has, however many rows are left out.
      if (row == runs[r].end)
        gap_behind_.back() =
            r + 1 == runs.size() || of.number(runs[r + 1].begin).value - of.number(row - 1).value !=
                                        runs[r + 1].begin - (row - 1);
    }
    at_end_ = row == runs.back().end;
  }

  [[nodiscard]] ValueAt sample(std::size_t c, std::size_t i) const {
    const double x = values_[c][i];
    return {x, std::isnan(x) ? merge(quality_[c][i], bad_missing) : quality_[c][i]};
  }
  [[nodiscard]] Quality between_quality(std::size_t i) const {
    return gap_behind_[i] ? missing : interpolated;
  }
  [[nodiscard]] ValueAt last(std::size_t c, std::size_t i, Time at,
                             const AlignedOptions& options) const {
    if (exceeds(times_[i], at, options.max_age)) return {nan_value, bad_missing};
    const ValueAt before = sample(c, i);
    return {before.value, merge(before.quality, between_quality(i))};
  }
  [[nodiscard]] ValueAt linear(std::size_t c, std::size_t i, Time at,
                               const AlignedOptions& options) const {
    if (i + 1 == times_.size() || exceeds(times_[i], times_[i + 1], options.max_gap))
      return {nan_value, bad_missing};
    const double share = static_cast<double>(between(times_[i], at)) /
                         static_cast<double>(between(times_[i], times_[i + 1]));
    const double x0 = values_[c][i], x1 = values_[c][i + 1];
    const double value = x0 + (x1 - x0) * share;
    const Quality both = merge(merge(quality_[c][i], quality_[c][i + 1]), between_quality(i));
    if (std::isfinite(value)) return {value, both};
    const bool known = std::isfinite(x0) && std::isfinite(x1);
    return {nan_value, merge(both, known ? bad_out_of_range : bad_missing)};
  }

  const Recording* recording_;
  std::size_t stream_;
  std::uint64_t most_rows_;
  Timeline timeline_;
  std::vector<std::size_t> channels_;
  std::vector<Time> times_;
  std::vector<bool> gap_behind_;
  std::vector<std::vector<double>> values_;  // of each channel
  std::vector<std::vector<Quality>> quality_;
  bool at_end_ = false;  // the last of them is the last of all
};

Time point(const Rate& rate, std::int64_t k) {
  return k < 0 ? -rate.duration(0 - static_cast<std::uint64_t>(k))
               : rate.duration(static_cast<std::uint64_t>(k));
}

// The first k whose point is not before `at`, and not so early that it can't be told.
std::int64_t first_point(const Rate& rate, Time at) {
  at = std::max(at, -Time::max() + Time(1));
  std::int64_t low = std::numeric_limits<std::int64_t>::min();
  std::int64_t high = std::numeric_limits<std::int64_t>::max();
  while (low < high) {
    const std::int64_t middle = std::midpoint(low, high);  // never high
    if (point(rate, middle) < at)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

}  // namespace

std::vector<ValueAt> values_at(const Recording& recording, std::size_t stream, Time time,
                               const AlignedOptions& options) {
  check(options);
  std::vector<std::size_t> channels(stream_at(recording, stream).info.channels.size());
  for (std::size_t c = 0; c < channels.size(); ++c) channels[c] = c;
  std::vector<ValueAt> values(channels.size());
  Window(recording, stream, std::move(channels), 2).put(time, options, values.data());
  return values;
}

struct AlignedReader::Impl {
  // Channels of one stream, and where they go.
  struct Source {
    std::size_t stream;
    Time offset;  // added to its times puts them on the common origin
    std::vector<std::size_t> channels;
    std::vector<std::size_t> lanes;
    std::optional<Window> window;
  };

  Impl(const Recording& recording_, std::vector<AlignedChannel> channels_,
       const AlignedOptions& options_, std::optional<std::size_t> common_stream)
      : recording(&recording_), channels(std::move(channels_)), options(options_) {
    check(options);
    if (channels.empty()) throw Error("aligned: no channel");
    const std::size_t first = common_stream.value_or(channels.front().stream);
    static_cast<void>(stream_at(*recording, first));
    for (std::size_t lane = 0; lane < channels.size(); ++lane) {
      const auto [stream, channel] = channels[lane];
      static_cast<void>(channel_at(*recording, stream, channel));
      auto source = std::ranges::find(sources, stream, &Source::stream);
      if (source == sources.end()) {
        sources.push_back({stream, offset_of(stream, first), {}, {}, {}});
        source = sources.end() - 1;
      }
      source->channels.push_back(channel);
      source->lanes.push_back(lane);
    }
    for (Source& source : sources)
      source.window.emplace(*recording, source.stream, source.channels, window_rows);
  }

  [[nodiscard]] Time offset_of(std::size_t stream, std::size_t first) const {
    const StreamInfo& of = recording->streams()[stream].info;
    const StreamInfo& origin = recording->streams()[first].info;
    const std::optional<Time> offset = time_between(origin.origin, of.origin);
    if (!offset)
      throw Error(fmt::format(
          "{}: the times of streams '{}' and '{}' have origins that can't be compared: '{}', '{}'",
          recording->path(), origin.name, of.name, origin.origin.text, of.origin.text));
    return *offset;
  }

  // Of all samples.
  [[nodiscard]] TimeRange extent() const {
    std::optional<TimeRange> all;
    for (const Source& source : sources) {
      const auto& runs = source.window->timeline().runs();
      if (runs.empty()) continue;
      const Time begin = saturating_add(runs.front().first_time, source.offset);
      const Time end =
          saturating_add(saturating_add(runs.back().last_time, source.offset), Time(1));
      if (!all) all = TimeRange{begin, end};
      all->begin = std::min(all->begin, begin);
      all->end = std::max(all->end, end);
    }
    return all.value_or(TimeRange{Time(0), Time(0)});
  }

  AlignedBlock read(std::size_t most) {
    AlignedBlock block;
    if (rate) {
      for (; block.size() < most && next_point < points_end; ++next_point)
        block.times.push_back(point(*rate, next_point));
    } else {
      block.times.resize(std::min<std::uint64_t>(most, rows.count()));
      recording->read_times(common, rows.begin, block.times);
    }
    block.values.resize(channels.size());
    block.quality.resize(channels.size());
    for (std::size_t lane = 0; lane < channels.size(); ++lane) {
      block.values[lane].resize(block.size());
      block.quality[lane].resize(block.size());
      if (!rate && channels[lane].stream == common)
        recording->read_calibrated(common, channels[lane].channel, rows.begin, block.values[lane],
                                   block.quality[lane]);
    }
    for (Source& source : sources)
      if (rate || source.stream != common) put(source, block);
    for (const Time time : block.times) latest = std::max(latest.value_or(time), time);
    rows.begin += rate ? 0 : block.size();
    return block;
  }

  void put(Source& source, AlignedBlock& block) {
    std::vector<ValueAt> values(source.lanes.size());
    std::optional<Time> before = latest;
    for (std::size_t i = 0; i < block.size(); ++i) {
      const Time at = block.times[i];
      if (!rate && before && at <= *before) {
        std::ranges::fill(values, ValueAt{nan_value, no_place});
      } else {
        source.window->put(saturating_add(at, -source.offset), options, values.data());
        before = at;
      }
      for (std::size_t l = 0; l < values.size(); ++l) {
        block.values[source.lanes[l]][i] = values[l].value;
        block.quality[source.lanes[l]][i] = values[l].quality;
      }
    }
  }

  const Recording* recording;
  std::vector<AlignedChannel> channels;
  AlignedOptions options;
  std::vector<Source> sources;
  std::optional<Rate> rate;  // none: the times of stream `common`
  std::int64_t next_point = 0, points_end = 0;
  std::size_t common = 0;
  RowRange rows;
  std::optional<Time> latest;  // of all times before
};

AlignedReader::AlignedReader(const Recording& recording, std::vector<AlignedChannel> channels,
                             const AlignedGrid& grid, const AlignedOptions& options)
    : impl_(std::make_unique<Impl>(recording, std::move(channels), options, std::nullopt)) {
  if (grid.rate.hertz().value > 1e9)
    throw Error(
        fmt::format("aligned: a rate of {} Hz; allowed are up to 1e9 Hz", grid.rate.hertz().value));
  const TimeRange all = impl_->extent();
  impl_->rate = grid.rate;
  impl_->next_point =
      first_point(grid.rate, grid.range.begin == Time::min() ? all.begin : grid.range.begin);
  impl_->points_end =
      first_point(grid.rate, grid.range.end == Time::max() ? all.end : grid.range.end);
}

AlignedReader::AlignedReader(const Recording& recording, std::vector<AlignedChannel> channels,
                             const AlignedTimes& times, const AlignedOptions& options)
    : impl_(std::make_unique<Impl>(recording, std::move(channels), options, times.stream)) {
  impl_->common = times.stream;
  impl_->rows = spillway::rows(recording, times.stream, times.range);
  // Which samples have a place does not depend on where the range begins.
  const Timeline line(recording, times.stream);
  for (const Timeline::Run& run : line.runs())
    if (run.begin < impl_->rows.begin)
      impl_->latest =
          run.end <= impl_->rows.begin ? run.last_time : line.time(impl_->rows.begin - 1);
}

AlignedReader::AlignedReader(AlignedReader&&) noexcept = default;
AlignedReader& AlignedReader::operator=(AlignedReader&&) noexcept = default;
AlignedReader::~AlignedReader() = default;

AlignedBlock AlignedReader::read(std::size_t most) { return impl_->read(most); }

}  // namespace spillway
