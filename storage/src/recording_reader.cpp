#include "spillway/storage/recording_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

#include "spillway/channels/error.hpp"
#include "spillway/channels/sample_type.hpp"
#include "spillway/storage/first_calibration.hpp"
#include "stream_at.hpp"

namespace spillway {

namespace {

// The last of `ranges` that begins at `number` or before; none: end.
template <class Ranges>
auto last_from(const Ranges& ranges, std::uint64_t number) {
  const auto after = std::upper_bound(
      ranges.begin(), ranges.end(), number,
      [](std::uint64_t wanted, const auto& range) { return wanted < range.first_sample; });
  return after == ranges.begin() ? ranges.end() : after - 1;
}

template <class Range>
std::uint64_t end_of(const Range& range) {
  return range.first_sample + range.count;
}

// Where the next of `ranges` behind `number` begins; `none` if there is none.
template <class Ranges>
std::uint64_t next_begin(const Ranges& ranges, std::uint64_t number, std::uint64_t none) {
  const auto after = std::upper_bound(
      ranges.begin(), ranges.end(), number,
      [](std::uint64_t wanted, const auto& range) { return wanted < range.first_sample; });
  return after == ranges.end() ? none : std::min(none, after->first_sample);
}

// Tells samples [begin, end) of a gap. Where lost and missing ones lie mixed in it, a part counts
// the lost ones first, so that parts add up to the whole.
void tell(const Gap& gap, std::uint64_t begin, std::uint64_t end, Chunk& chunk) {
  const std::uint64_t count = end - begin;
  chunk.mixed = gap.cause == Absence::mixed || (gap.lost > 0 && gap.missing > 0);
  if (gap.cause == Absence::lost_upstream) {
    // The stream itself never had them.
    chunk.cause = GapCause::upstream;
    chunk.missing = {count};
    chunk.mixed = false;
    return;
  }
  const std::uint64_t lost_end = gap.first_sample + gap.lost;
  chunk.lost = {lost_end > begin ? std::min(lost_end - begin, count) : 0};
  chunk.missing = {count - chunk.lost.value};
}

const RecordedStream& checked(const Recording& recording, std::size_t stream,
                              const std::vector<std::size_t>& channels) {
  for (const std::size_t channel : channels)
    static_cast<void>(channel_at(recording, stream, channel));
  return stream_at(recording, stream);
}

}  // namespace

RecordingReader::RecordingReader(const Recording& recording, std::size_t stream,
                                 const SampleRange& range, const std::vector<std::size_t>& channels)
    : recording_(&recording),
      stream_(&checked(recording, stream, channels)),
      info_(stream_->info),
      channels_(channels),
      index_(stream) {
  if (!channels_.empty()) {
    const auto chosen = [&](const auto& all) {
      std::remove_cvref_t<decltype(all)> some;
      for (const std::size_t channel : channels_) some.push_back(all[channel]);
      return some;
    };
    info_.channels = chosen(stream_->info.channels);
    for (const CalibrationChange& change : stream_->calibrations)
      of_channels_.push_back(chosen(change.calibrations));
  }
  const auto& segments = stream_->segments;
  const auto& gaps = stream_->gaps;
  for (const ChannelInfo& channel : info_.channels) initial_.push_back(channel.calibration);
  if (!segments.empty() || !gaps.empty()) {
    begin_ = std::min(segments.empty() ? UINT64_MAX : segments.front().first_sample,
                      gaps.empty() ? UINT64_MAX : gaps.front().first_sample);
    end_ = std::max(segments.empty() ? 0 : end_of(segments.back()),
                    gaps.empty() ? 0 : end_of(gaps.back()));
  }
  const bool cut = range.begin.value > begin_;
  begin_ = std::clamp(range.begin.value, begin_, end_);
  end_ = std::clamp(range.end.value, begin_, end_);
  next_ = begin_;
  const auto& changes = stream_->calibrations;
  const auto behind =
      std::ranges::upper_bound(changes, begin_, {}, &CalibrationChange::from_sample);
  if (cut && behind != changes.begin())
    begin_with(info_, calibrations({static_cast<std::uint32_t>(behind - changes.begin())}));
}

void RecordingReader::seek(SampleNumber number) noexcept {
  next_ = std::clamp(number.value, begin_, end_);
}

const CalibrationSet& RecordingReader::calibrations(CalibrationSetId id) const noexcept {
  if (id.value == 0) return initial_;
  return channels_.empty() ? stream_->calibrations[id.value - 1].calibrations
                           : of_channels_[id.value - 1];
}

void RecordingReader::read_rows(std::uint64_t row, std::size_t count, Block& block) const {
  if (channels_.empty()) {
    recording_->read(index_, row, count, block);
    return;
  }
  for (std::size_t c = 0; c < channels_.size(); ++c) {
    visit_sample_type(info_.channels[c].type, [&]<class T>(std::type_identity<T>) {
      recording_->read_raw<T>(index_, channels_[c], row, block.values<T>(c).first(count));
    });
    recording_->read_quality(index_, channels_[c], row, block.quality(c).first(count));
  }
  if (!info_.rate) recording_->read_times(index_, row, block.times().first(count));
}

Chunk RecordingReader::read(Block& block) {
  // A chunk that tells of nothing would look like the end.
  if (block.frames() == 0)
    throw Error(fmt::format("{}: a block without room for samples of stream '{}'",
                            recording_->path(), info_.name));
  const auto& gaps = stream_->gaps;
  const auto& segments = stream_->segments;
  const auto in = [](const auto& ranges, auto range, std::uint64_t number) {
    return range != ranges.end() && number < end_of(*range);
  };
  Chunk chunk;
  chunk.from = {next_};
  std::uint64_t at = next_;
  if (at < end_) {
    const auto gap = last_from(gaps, at);
    if (in(gaps, gap, at)) {
      const std::uint64_t end = std::min(end_of(*gap), end_);
      tell(*gap, at, end, chunk);
      at = end;
    } else if (!in(segments, last_from(segments, at), at)) {
      // Neither there nor named: lost, whoever left it out of the books.
      const std::uint64_t end = next_begin(gaps, at, next_begin(segments, at, end_));
      chunk.lost = {end - at};
      at = end;
    }
    chunk.new_segment = at != next_;
  }
  chunk.first = {at};
  const auto segment = last_from(segments, at);
  if (at >= end_ || !in(segments, segment, at)) {
    chunk.stop = at < end_ ? Stop::gap : Stop::drained;
    next_ = at;
    return chunk;
  }
  const auto change =
      std::ranges::upper_bound(stream_->calibrations, at, {}, &CalibrationChange::from_sample);
  chunk.calibrations = {static_cast<std::uint32_t>(change - stream_->calibrations.begin())};
  // As far as nothing changes.
  std::uint64_t end = std::min(end_of(*segment), end_);
  chunk.stop = end == end_ ? Stop::drained
               : segment + 1 != segments.end() && (segment + 1)->first_sample == end
                   ? Stop::time_step
                   : Stop::gap;
  // A gap that the books name where samples are is told, too.
  if (const std::uint64_t gap = next_begin(gaps, at, end); gap < end) {
    end = gap;
    chunk.stop = Stop::gap;
  }
  if (change != stream_->calibrations.end() && change->from_sample < end) {
    end = change->from_sample;
    chunk.stop = Stop::calibration;
  }
  if (end - at > block.frames()) {
    end = at + block.frames();
    chunk.stop = Stop::full;
  }
  const bool begins = at == segment->first_sample;
  chunk.new_segment |= begins;
  chunk.count = {end - at};
  chunk.row = segment->row + (at - segment->first_sample);
  read_rows(chunk.row, chunk.count.value, block);
  chunk.clock_sample = {segment->clock_sample};
  chunk.clock_time = Time(segment->clock_ns);
  chunk.time = begins ? Time(segment->t0_ns)
               : stream_->info.rate
                   ? saturating_add(chunk.clock_time,
                                    stream_->info.rate->duration(at - segment->clock_sample))
                   : block.times()[0];
  next_ = end;
  return chunk;
}

}  // namespace spillway
