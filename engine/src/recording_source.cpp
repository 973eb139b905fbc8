#include "spillway/engine/recording_source.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <span>

#include "spillway/storage/recording.hpp"
#include "spillway/storage/recording_reader.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t block_frames = 1024;

// Room for two seconds in real time, and for whole blocks at full speed.
StreamInfo stream_to_play(const RecordedStream& recorded) {
  StreamInfo info = recorded.info;
  std::uint64_t capacity = 16384;
  if (info.rate)
    capacity =
        std::max<std::uint64_t>(capacity, info.rate->samples_within(std::chrono::seconds(2)));
  // Many channels: no more than is useful, and no more than there is.
  const std::uint64_t few = (std::uint64_t{64} << 20) / (info.channels.size() * 9);
  capacity = std::max<std::uint64_t>(std::min(capacity, few), 4 * block_frames);
  info.capacity = SampleCount{capacity};
  // Who waits for room for samples must not overwrite gaps either.
  const std::uint64_t marks = std::max<std::uint64_t>(
      2 * recorded.segments.size() + recorded.gaps.size() + recorded.calibrations.size(),
      recorded.anchors.size());
  info.mark_capacity = {std::clamp<std::uint64_t>(marks, 1024, 4 * capacity)};
  // The recording says already where its clock was set.
  info.follow_stamps = false;
  return info;
}

// One stream of a recording on its way into the engine.
class Player {
 public:
  Player(std::shared_ptr<const Recording> recording, std::size_t index, Stream& stream)
      : recording_(std::move(recording)),
        recorded_(&recording_->streams()[index]),
        reader_(*recording_, index),
        writer_(stream),
        block_(recorded_->info, std::min<std::uint64_t>({block_frames, stream.capacity().value,
                                                         stream.info().largest_block.value})),
        lanes_(recorded_->info.channels.size()),
        qualities_(lanes_.size()) {
    for (const CalibrationChange& change : recorded_->calibrations)
      sets_.push_back(stream.add_calibrations(change.calibrations));
  }

  void play(bool real_time, SourceContext& context) {
    const auto begin = std::chrono::steady_clock::now();
    const SampleNumber first = reader_.next();
    std::optional<Time> first_time;
    for (;;) {
      const Chunk chunk = reader_.read(block_);
      const std::uint64_t count = chunk.count.value;
      if (count + chunk.lost.value + chunk.missing.value == 0) return stamp_next();
      Time due{};
      if (recorded_->info.rate) {
        due = recorded_->info.rate->duration(reader_.next().value - first.value);
      } else if (count > 0) {
        if (!first_time) first_time = chunk.time;
        due = block_.times()[count - 1] - *first_time;
      }
      if (real_time ? !context.sleep_until(begin + due)
                    : !context.wait_for_room(writer_, chunk.count))
        return;
      leave_out(chunk.first, chunk.cause);
      if (count > 0) push(chunk);
    }
  }

 private:
  // Stamps belong to the exact sample.
  void stamp_next() {
    const std::vector<Anchor>& anchors = recorded_->anchors;
    for (; anchor_ < anchors.size() && anchors[anchor_].sample <= writer_.next(); ++anchor_)
      writer_.stamp({anchors[anchor_].time, anchors[anchor_].ticks});
  }
  // The next sample that has a stamp, or `end`.
  [[nodiscard]] SampleNumber next_stamp_before(SampleNumber end) const {
    return anchor_ < recorded_->anchors.size() ? std::min(recorded_->anchors[anchor_].sample, end)
                                               : end;
  }

  // Whatever there is none of in the recording, also before its first sample, is missing here.
  void leave_out(SampleNumber end, GapCause cause) {
    while (writer_.next() < end) {
      stamp_next();
      writer_.gap(next_stamp_before(end) - writer_.next(), cause);
    }
  }

  void push(const Chunk& chunk) {
    if (recorded_->info.rate) writer_.set_clock(chunk.clock_sample, chunk.clock_time);
    if (chunk.calibrations.value > 0) writer_.calibrate(sets_[chunk.calibrations.value - 1]);
    for (const SampleNumber end = chunk.first + chunk.count; writer_.next() < end;) {
      stamp_next();
      push_part((writer_.next() - chunk.first).value,
                (next_stamp_before(end) - writer_.next()).value);
    }
  }

  void push_part(std::uint64_t from, std::uint64_t count) {
    for (std::size_t c = 0; c < lanes_.size(); ++c) {
      lanes_[c] = block_.bytes(c) + from * sample_size(block_.type(c));
      qualities_[c] = block_.quality(c).data() + from;
    }
    writer_.push_lanes(
        lanes_, {count}, qualities_,
        block_.has_times() ? block_.times().subspan(from, count) : std::span<const Time>());
  }

  std::shared_ptr<const Recording> recording_;
  const RecordedStream* recorded_;
  RecordingReader reader_;
  StreamWriter writer_;
  Block block_;
  std::vector<const void*> lanes_;
  std::vector<const Quality*> qualities_;
  std::vector<CalibrationSetId> sets_;
  std::size_t anchor_ = 0;
};

}  // namespace

std::vector<std::string> add_source(Engine& engine, const RecordingSource& source) {
  OpenOptions options;
  options.foreign.rate = source.rate;
  const auto recording = std::make_shared<const Recording>(Recording::open(source.path, options));
  for (const std::string& wanted : source.streams) static_cast<void>(recording->find(wanted));
  for (std::size_t i = 0; i < recording->streams().size(); ++i) {
    const RecordedStream& recorded = recording->streams()[i];
    const std::string& name = recorded.info.name;
    if (!source.streams.empty() && std::ranges::find(source.streams, name) == source.streams.end())
      continue;
    Stream& stream = engine.add_stream(stream_to_play(recorded));
    const auto player = std::make_shared<Player>(recording, i, stream);
    engine.add_source({name, {name}, !source.real_time},
                      [player, real_time = source.real_time](SourceContext& context) {
                        player->play(real_time, context);
                      });
  }
  return recording->remarks();
}

}  // namespace spillway
