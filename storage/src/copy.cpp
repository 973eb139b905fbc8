#include "spillway/storage/copy.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "columns.hpp"
#include "recorded_time.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/recording_reader.hpp"

namespace spillway {

namespace {

constexpr std::size_t most_block_bytes = std::size_t{4} << 20;

std::vector<std::size_t> streams_of(const Recording& from, const Selection& selection) {
  std::vector<std::size_t> streams;
  if (selection.streams.empty())
    for (std::size_t i = 0; i < from.streams().size(); ++i) streams.push_back(i);
  for (const std::string& name : selection.streams) {
    streams.push_back(from.find(name));
    if (std::count(streams.begin(), streams.end(), streams.back()) > 1)
      throw Error(fmt::format("{}: stream '{}' is selected twice", from.path(), name));
  }
  for (const auto& [name, chosen] : selection.channels) (void)from.find(name);
  for (const auto& [name, chosen] : selection.samples) (void)from.find(name);
  return streams;
}

std::size_t frames_for(const StreamInfo& info) {
  std::size_t row_bytes = 0;
  for (const ColumnInfo& column : columns_of(info)) row_bytes += column.row_bytes;
  return std::clamp<std::size_t>(most_block_bytes / row_bytes, 16, 16384);
}

// From the first row in the range to the last; where the range does not cut the stream,
// with what is behind or before its rows.
SampleRange numbers_of(const Recording& from, std::size_t stream, const Selection& selection) {
  const RecordedStream& s = from.streams()[stream];
  const auto samples = selection.samples.find(s.info.name);
  RowRange part{0, s.rows};
  if (selection.times != TimeRange{}) part = rows(from, stream, selection.times);
  if (samples != selection.samples.end()) {
    const RowRange chosen = rows(s, samples->second);
    part = {std::max(part.begin, chosen.begin), std::min(part.end, chosen.end)};
  } else if (selection.times == TimeRange{}) {
    return {};
  }
  if (part.begin >= part.end) return {{0}, {0}};
  SampleRange range;
  if (part.begin > 0) range.begin = s.number(part.begin);
  if (part.end < s.rows) range.end = {s.number(part.end - 1).value + 1};
  return range;
}

// Their indices; none: all.
std::vector<std::size_t> channels_of(const Recording& from, std::size_t stream,
                                     const Selection& selection) {
  const StreamInfo& info = from.streams()[stream].info;
  std::vector<std::size_t> channels;
  const auto chosen = selection.channels.find(info.name);
  if (chosen == selection.channels.end()) return channels;
  for (const std::string& name : chosen->second) {
    const auto found = std::ranges::find(info.channels, name, &ChannelInfo::name);
    if (found == info.channels.end()) {
      std::vector<std::string> known;
      for (const ChannelInfo& channel : info.channels) known.push_back("'" + channel.name + "'");
      throw Error(fmt::format("{}: stream '{}' has no channel '{}'; it has {}", from.path(),
                              info.name, name, fmt::join(known, ", ")));
    }
    channels.push_back(static_cast<std::size_t>(found - info.channels.begin()));
  }
  return channels;
}

// One stream on its way.
class Part {
 public:
  Part(const Recording& from, std::size_t stream, const SampleRange& range,
       const std::vector<std::size_t>& channels)
      : from_(&from.streams()[stream]),
        range_(range),
        rows_(rows(*from_, range).count()),
        reader_(from, stream, range, channels),
        block_(reader_.info(), frames_for(reader_.info())) {
    while (anchor_ < from_->anchors.size() && from_->anchors[anchor_].sample < range.begin)
      ++anchor_;
  }

  [[nodiscard]] std::uint64_t rows_in_all() const { return rows_; }
  [[nodiscard]] std::uint64_t rows_done() const { return done_; }
  [[nodiscard]] bool at_end() const { return at_end_; }
  [[nodiscard]] double fraction() const {
    return rows_ == 0 ? 0.0 : static_cast<double>(done_) / static_cast<double>(rows_);
  }

  // What comes next, as stream `index` of the sink.
  void advance(std::size_t index, Sink& to) {
    Chunk chunk = reader_.read(block_);
    at_end_ = chunk.count.value + chunk.lost.value + chunk.missing.value == 0;
    if (chunk.from < chunk.first) to.append_gap(index, gap_of(chunk));
    chunk.from = chunk.first;
    chunk.lost = chunk.missing = {};
    chunk.mixed = false;
    if (chunk.count.value > 0)
      to.append(index, chunk, block_, reader_.calibrations(chunk.calibrations));
    done_ += chunk.count.value;
    // Stamps of a sample that never came are at the end.
    const SampleNumber until = at_end_ ? range_.end : reader_.next();
    const std::size_t first = anchor_;
    while (anchor_ < from_->anchors.size() && from_->anchors[anchor_].sample < until) ++anchor_;
    if (anchor_ > first)
      to.append(index, std::span(from_->anchors).subspan(first, anchor_ - first));
  }

 private:
  // As the recording names it, which a chunk can't. Never a part of one: ranges end at rows.
  [[nodiscard]] Gap gap_of(const Chunk& chunk) const {
    const auto named =
        std::ranges::lower_bound(from_->gaps, chunk.from.value, {}, &Gap::first_sample);
    if (named != from_->gaps.end() && named->first_sample == chunk.from.value) return *named;
    return {chunk.from.value, chunk.lost.value, chunk.lost.value, 0, Absence::damaged};
  }

  const RecordedStream* from_;
  SampleRange range_;
  std::uint64_t rows_;
  RecordingReader reader_;
  Block block_;
  std::uint64_t done_ = 0;
  std::size_t anchor_ = 0;
  bool at_end_ = false;
};

// A filter's state holds for the beginning.
bool is_from_the_beginning(const Selection& selection) {
  return selection.times.begin == Time::min() &&
         std::ranges::all_of(selection.samples,
                             [](const auto& s) { return s.second.begin == SampleNumber{0}; });
}

}  // namespace

RecordingInfo info_of(const Recording& from, const Selection& selection) {
  RecordingInfo info;
  info.title = from.title();
  info.start_time = copied_time(from.start_time());
  info.configuration = from.configuration();
  info.provenance = from.provenance();
  if (is_from_the_beginning(selection)) info.state = from.state();
  for (const std::size_t stream : streams_of(from, selection))
    info.streams.push_back(RecordingReader(from, stream, numbers_of(from, stream, selection),
                                           channels_of(from, stream, selection))
                               .info());
  return info;
}

Ending ending_of(const Recording& from) {
  Ending ending;
  ending.end_time = from.end_time();
  constexpr std::string_view incomplete = "incomplete: ", recovered = "recovered: ";
  const std::string_view status = from.status();
  if (status.starts_with(recovered)) {
    ending.recovered = true;
    ending.reason = status.substr(recovered.size());
  } else if (status.starts_with(incomplete)) {
    ending.complete = false;
    ending.reason = status.substr(incomplete.size());
  } else if (status != "complete") {
    ending.complete = false;
    ending.reason = fmt::format("copied from one whose status is '{}'", status);
  }
  if (!ending.recovered) ending.end_time = copied_time(ending.end_time);
  return ending;
}

bool copy(const Recording& from, Sink& to, const Selection& selection,
          const std::function<bool(double)>& go_on) {
  const std::vector<std::size_t> streams = streams_of(from, selection);
  std::vector<Part> parts;
  std::uint64_t rows_in_all = 0, rows_done = 0;
  for (const std::size_t stream : streams) {
    const Part& part = parts.emplace_back(from, stream, numbers_of(from, stream, selection),
                                          channels_of(from, stream, selection));
    rows_in_all += part.rows_in_all();
  }
  to.begin(info_of(from, selection));
  for (;;) {
    // The one that is furthest behind, so that a sink that splits finds all about equally far.
    Part* next = nullptr;
    for (Part& part : parts)
      if (!part.at_end() && (!next || part.fraction() < next->fraction())) next = &part;
    if (!next) break;
    const std::uint64_t before = next->rows_done();
    next->advance(static_cast<std::size_t>(next - parts.data()), to);
    rows_done += next->rows_done() - before;
    if (go_on && !go_on(rows_in_all == 0
                            ? 1.0
                            : static_cast<double>(rows_done) / static_cast<double>(rows_in_all)))
      return false;
  }
  if (selection.times == TimeRange{} && selection.samples.empty()) {
    for (const RecordedEvent& event : from.events()) to.append_event(event);
    for (const std::string& line : from.log()) to.append_log(line);
  }
  return true;
}

}  // namespace spillway
