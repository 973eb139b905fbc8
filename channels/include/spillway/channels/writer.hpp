// The writing end of a stream.
#pragma once

#include <cassert>
#include <cstdint>
#include <span>
#include <vector>

#include "spillway/channels/quality.hpp"
#include "spillway/channels/quality_lane.hpp"
#include "spillway/channels/sample_type.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/units.hpp"

namespace spillway {

// What a hardware driver knows about the time of a sample.
struct Stamp {
  Time time{};              // from the origin of the stream
  std::uint64_t ticks = 0;  // the hardware's own counter, kept as given
};

// What every writer can do, whatever the type of the samples. Move-only: one
// producer by construction, used by one thread at a time; it may pass from thread to
// thread, if the hand-over synchronises as a mutex does.
//
// Unless a function says otherwise it is wait-free, allocates nothing, locks
// nothing, makes no system call and does not depend on any reader.
//
// Apart from everything else in memory: what a push loads, nobody else may touch.
class alignas(apart) StreamWriter {
 public:
  // Throws Error if the stream has, or had, a writer.
  explicit StreamWriter(Stream& stream);
  StreamWriter(StreamWriter&&) noexcept = default;
  StreamWriter& operator=(StreamWriter&&) noexcept = default;

  [[nodiscard]] const StreamInfo& info() const noexcept { return stream_->info(); }

  // The number the next sample will have; before any gap, how many were pushed.
  [[nodiscard]] SampleNumber next() const noexcept { return {ring_.head() + state_.gaps}; }

  // How many samples were pushed: the position of the next one, gaps not counted.
  [[nodiscard]] std::uint64_t pushed() const noexcept { return ring_.head(); }

  // Trades latency for throughput: single pushes become readable in groups of `samples`
  // (a power of two up to StreamInfo::largest_block; 1, the default: each at once). What
  // else a writer does, its end too, makes everything before it readable first. Throws
  // Error if `samples` is none of these.
  void batch(SampleCount samples);
  // Makes readable what was pushed. To be called when no more comes for a while, and before
  // the engine is stopped: what is not readable by then is not recorded, and in no count.
  void flush() noexcept { ring_.publish(ring_.head()); }

  // `count` samples were lost before the next one. O(1). A count of 0 does nothing;
  // numbers end at 2^63, where a gap is cut.
  void gap(SampleCount count, GapCause cause = GapCause::source) noexcept;

  // The next sample was taken at `stamp`. O(1). Recorded as an anchor, never
  // altered. On a regular stream the first stamp sets the clock, which until then has
  // sample 0 at time 0; a later one that
  // deviates by more than half a period from it sets it anew (a time step)
  // unless StreamInfo::follow_stamps is false. Irregular streams take times
  // with the samples instead; there a stamp is only an anchor.
  void stamp(Stamp stamp) noexcept;

  // Regular streams: from the next sample on, sample `sample` is at `time`. O(1). For
  // streams that follow the clock of another; does nothing if it is so already.
  // Needs sample <= next().
  void set_clock(SampleNumber sample, Time time) noexcept;

  // From the next sample on another set of calibrations applies. O(1).
  void calibrate(CalibrationSetId set) noexcept;

  // The same for one channel; blocking: locks, and allocates if the resulting set is
  // new. Throws like Stream::add_calibrations, or Error if there is no such channel.
  void calibrate(std::size_t channel, Calibration calibration);

  // `count` samples of every channel, planar: lanes[c] points at `count` samples
  // of channel c's own type; quality[c], where not null, at as many qualities (else they
  // are Good). The form for streams whose channels differ in type. O(count * channels).
  void push_lanes(std::span<const void* const> lanes, SampleCount count,
                  std::span<const Quality* const> quality = {},
                  std::span<const Time> times = {}) noexcept;

 protected:
  // How many of `count` frames can go out as one block. An irregular stream
  // cuts where time does not increase, and marks the step.
  struct Run {
    std::uint64_t count;
    bool late;  // one frame, its time not later than that of the frame before
  };
  [[nodiscard]] Run begin_run(const Time* times, std::uint64_t count) noexcept;
  void put_quality(std::size_t channel, const Quality* quality, Quality common, std::uint64_t step,
                   Run run) noexcept;
  void end_run(Run run) noexcept { ring_.publish(ring_.head() + run.count); }
  // To be called when what it depends on may have changed.
  void renew_fast_path() noexcept;
  [[nodiscard]] std::size_t channel_count() const noexcept { return 1 + other_lanes_.size(); }

  struct alignas(apart) Lane {
    LaneWriter values;
    QualityLaneWriter quality;
    SampleType type;
  };
  static Lane make_lane(Stream& stream, std::size_t channel);
  [[nodiscard]] Lane& lane(std::size_t channel) noexcept {
    return channel == 0 ? first_lane_ : other_lanes_[channel - 1];
  }

  RingProducer ring_;
  // A Good sample of a single regular channel before this position takes no more than the
  // store of its word: it is announced, and its slot of the quality lane is clean.
  std::uint64_t fast_until_ = 0;
  // Here and not in a vector, so that a push to a single channel follows no pointer to it.
  Lane first_lane_;
  std::vector<Lane> other_lanes_;

 private:
  void mark(MarkKind kind, GapCause cause = GapCause::source) noexcept;
  [[nodiscard]] std::int64_t expected_time(std::uint64_t number) const noexcept;

  Stream* stream_;
  MarkWriter marks_;
  MarkWriter anchors_;
  LaneWriter times_;
  bool irregular_;
  std::uint64_t largest_block_;
  Mark state_;                  // what the next mark carries
  std::int64_t last_time_ = 0;  // irregular: of the last sample
  bool has_time_ = false;       // irregular: there is a last sample; regular: the clock is set
};

// The writer of a stream whose channels all have type T.
template <Sample T>
class Writer : public StreamWriter {
 public:
  // Throws Error if a channel has another type, or the stream a writer.
  explicit Writer(Stream& stream);

  // One sample of a stream of one channel. O(1).
  void push(T value, Quality quality = {}) noexcept {
    assert(channel_count() == 1);
    const std::uint64_t position = ring_.head();
    if (position >= fast_until_ || !quality.is_good()) [[unlikely]]
      return push_slowly(value, quality);
    ring_.renew_announcement();
    first_lane_.values.put(position, value);
    ring_.advance(position + 1);
  }

  // One or more frames, interleaved: frames.size() is a multiple of the number
  // of channels. O(frames.size()).
  void push(std::span<const T> frames, Quality quality = {}) noexcept {
    push_frames(frames, nullptr, quality, nullptr);
  }
  // With a quality for every value; quality.size() == frames.size().
  void push(std::span<const T> frames, std::span<const Quality> quality) noexcept {
    assert(quality.size() == frames.size());
    push_frames(frames, quality.data(), {}, nullptr);
  }

  // Irregular streams: with a time for every frame, each later than the one
  // before; one that is not begins a new segment and is flagged Suspect, time
  // uncertain. A frame pushed without its time has the time of the frame before, so flagged.
  void push(std::span<const T> frames, std::span<const Time> times, Quality quality = {}) noexcept {
    assert(times.size() * channel_count() == frames.size());
    push_frames(frames, nullptr, quality, times.data());
  }
  void push(std::span<const T> frames, std::span<const Time> times,
            std::span<const Quality> quality) noexcept {
    assert(quality.size() == frames.size() && times.size() * channel_count() == frames.size());
    push_frames(frames, quality.data(), {}, times.data());
  }

  // A private buffer of `frames` interleaved frames, to be filled by a driver and
  // sent off by publish(). At most StreamInfo::largest_block frames; the span says
  // how many. Private, because a reader may be reading the ring itself.
  [[nodiscard]] std::span<T> claim(std::uint64_t frames) noexcept {
    const std::uint64_t wanted = frames * channel_count();
    return std::span<T>(claimed_).first(wanted < claimed_.size() ? wanted : claimed_.size());
  }
  // Pushes the first `values` values of the claimed buffer (a multiple of the channels).
  void publish(std::size_t values, Quality quality = {}) noexcept {
    push(std::span<const T>(claimed_).first(values), quality);
  }

 private:
  void push_slowly(T value, Quality quality) noexcept;
  void push_frames(std::span<const T> frames, const Quality* quality, Quality common,
                   const Time* times) noexcept;

  std::vector<T> claimed_;
};

// The types a stream can have, compiled once.
extern template class Writer<std::int8_t>;
extern template class Writer<std::int16_t>;
extern template class Writer<std::int32_t>;
extern template class Writer<std::int64_t>;
extern template class Writer<std::uint8_t>;
extern template class Writer<std::uint16_t>;
extern template class Writer<std::uint32_t>;
extern template class Writer<std::uint64_t>;
extern template class Writer<float>;
extern template class Writer<double>;

}  // namespace spillway
