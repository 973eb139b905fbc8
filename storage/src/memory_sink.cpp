#include "spillway/storage/memory_sink.hpp"

#include <fmt/format.h>

#include "recorded_time.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

void MemorySink::begin(const RecordingInfo& info) {
  info_ = info;
  info_.start_time = start_time_to_write(info_.start_time);
  streams_.clear();
  for (const StreamInfo& stream : info.streams) {
    Recorded& recorded = streams_.emplace_back();
    for (const ChannelInfo& channel : stream.channels)
      recorded.lanes.push_back({channel.type, {}, {}});
  }
}

void MemorySink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                        const CalibrationSet& calibrations) {
  Recorded& to = streams_.at(stream);
  failure_.guard([&] { to.log.check(chunk, name(), info_.streams[stream].name); });
  to.log.add(chunk, calibrations);
  const std::uint64_t count = chunk.count.value;
  for (std::size_t c = 0; c < to.lanes.size(); ++c) {
    Lane& lane = to.lanes[c];
    const std::uint64_t bytes = count * sample_size(lane.type);
    lane.values.insert(lane.values.end(), block.bytes(c), block.bytes(c) + bytes);
    const std::span<const Quality> quality = block.quality(c).first(count);
    lane.quality.insert(lane.quality.end(), quality.begin(), quality.end());
    bytes_ += bytes + count;
  }
  if (block.has_times()) {
    const std::span<const Time> times = block.times().first(count);
    to.times.insert(to.times.end(), times.begin(), times.end());
    bytes_ += times.size_bytes();
  }
}

void MemorySink::close(const Ending& ending) {
  ending_ = failure_.ending(ending);
  ending_->end_time = end_time_to_write(ending);
}

void MemorySink::append_gap(std::size_t stream, const Gap& gap) {
  Recorded& to = streams_.at(stream);
  failure_.guard([&] { to.log.check(gap, name(), info_.streams[stream].name); });
  to.log.add(gap);
}

SampleNumber MemorySink::end(std::size_t stream) const { return recorded(stream).log.end(); }

void MemorySink::append(std::size_t stream, std::span<const Anchor> anchors) {
  std::vector<Anchor>& to = streams_.at(stream).anchors;
  to.insert(to.end(), anchors.begin(), anchors.end());
}

const MemorySink::Recorded& MemorySink::recorded(std::size_t stream) const {
  if (stream >= streams_.size())
    throw Error(fmt::format("memory: there is no stream {}; the recording has {}", stream,
                            streams_.size()));
  return streams_[stream];
}

const MemorySink::Lane& MemorySink::lane(std::size_t stream, std::size_t channel,
                                         std::optional<SampleType> type) const {
  const std::vector<Lane>& lanes = recorded(stream).lanes;
  const std::string& stream_name = info_.streams[stream].name;
  if (channel >= lanes.size())
    throw Error(fmt::format("memory: stream '{}' has no channel {}; it has {}", stream_name,
                            channel, lanes.size()));
  if (type && *type != lanes[channel].type)
    throw Error(fmt::format("memory: channel '{}' of stream '{}' holds {}, not {}",
                            info_.streams[stream].channels[channel].name, stream_name,
                            sample_type_name(lanes[channel].type), sample_type_name(*type)));
  return lanes[channel];
}

std::vector<Time> MemorySink::times(std::size_t stream) const {
  const Recorded& from = recorded(stream);
  const std::optional<Rate>& rate = info_.streams[stream].rate;
  if (!rate) return from.times;
  std::vector<Time> times;
  for (const Segment& segment : segments(stream))
    for (std::uint64_t i = 0; i < segment.count; ++i)
      times.push_back(Time(segment.clock_ns) +
                      rate->duration(segment.first_sample + i - segment.clock_sample));
  return times;
}

std::span<const Time> MemorySink::recorded_times(std::size_t stream) const {
  return recorded(stream).times;
}

std::vector<SampleNumber> MemorySink::sample_numbers(std::size_t stream) const {
  std::vector<SampleNumber> numbers;
  for (const Segment& segment : segments(stream))
    for (std::uint64_t i = 0; i < segment.count; ++i) numbers.push_back({segment.first_sample + i});
  return numbers;
}

std::vector<Segment> MemorySink::segments(std::size_t stream) const {
  StreamLog log = recorded(stream).log;
  std::vector<Segment> segments = log.take_finished_segments();
  if (log.has_segment()) segments.push_back(log.open_segment());
  return segments;
}

std::vector<Gap> MemorySink::gaps(std::size_t stream) const {
  return StreamLog(recorded(stream).log).take_gaps();
}

std::vector<CalibrationChange> MemorySink::calibrations(std::size_t stream) const {
  return StreamLog(recorded(stream).log).take_calibrations();
}

std::span<const Anchor> MemorySink::anchors(std::size_t stream) const {
  return recorded(stream).anchors;
}

const RecordedCounts& MemorySink::counts(std::size_t stream) const {
  return recorded(stream).log.counts();
}

}  // namespace spillway
