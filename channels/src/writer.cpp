#include "spillway/channels/writer.hpp"

#include <fmt/format.h>

#include <bit>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

StreamWriter::Lane StreamWriter::make_lane(Stream& stream, std::size_t channel) {
  const Stream::Layout& layout = stream.layout_;
  return {LaneWriter(&stream.words_[layout.values_at[channel]], layout.slots),
          QualityLaneWriter(&stream.words_[layout.quality_at[channel]], layout.slots),
          stream.info_.channels[channel].type};
}

StreamWriter::StreamWriter(Stream& stream)
    : ring_(stream.shared_->ring, stream.layout_.stride),
      first_lane_(make_lane(stream, 0)),
      stream_(&stream),
      marks_(stream.shared_->marks, &stream.words_[stream.layout_.marks_at],
             stream.layout_.mark_slots),
      anchors_(stream.shared_->anchors, &stream.words_[stream.layout_.anchors_at],
               stream.layout_.mark_slots),
      times_(&stream.words_[stream.layout_.times_at], stream.layout_.slots),
      irregular_(!stream.info_.rate),
      largest_block_(stream.info_.largest_block.value) {
  if (stream.has_writer_.exchange(true))
    throw Error(fmt::format("stream '{}' has a writer already; a stream has one", info().name));
  for (std::size_t c = 1; c < stream.channel_count(); ++c)
    other_lanes_.push_back(make_lane(stream, c));
  mark(MarkKind::start);
}

void StreamWriter::batch(SampleCount samples) {
  if (!std::has_single_bit(samples.value) || samples.value > largest_block_)
    throw Error(fmt::format("stream '{}': batch of {} samples; allowed are powers of two up to {}",
                            info().name, samples.value, std::bit_floor(largest_block_)));
  flush();
  ring_.batch(samples.value);
}

void StreamWriter::renew_fast_path() noexcept {
  const bool clean = first_lane_.quality.clean_from() <= ring_.head();
  fast_until_ = other_lanes_.empty() && !irregular_ && clean ? ring_.limit() : 0;
}

void StreamWriter::mark(MarkKind kind, GapCause cause) noexcept {
  flush();
  state_.kind = kind;
  state_.cause = cause;
  state_.position = ring_.head();
  marks_.push(state_);
}

std::int64_t StreamWriter::expected_time(std::uint64_t number) const noexcept {
  return saturating_add(Time(state_.clock_time),
                        info().rate->duration(number - state_.clock_sample))
      .count();
}

void StreamWriter::gap(SampleCount count, GapCause cause) noexcept {
  // Numbers end at 2^63: no clock gets there, only a driver gone wild.
  constexpr std::uint64_t most = std::uint64_t{1} << 63;
  const std::uint64_t room = most - std::min(most, next().value);
  const std::uint64_t missing = std::min(count.value, room);
  if (missing == 0) return;
  state_.gaps += missing;
  mark(MarkKind::gap, cause);
}

void StreamWriter::stamp(Stamp stamp) noexcept {
  const std::uint64_t number = next().value;
  if (!irregular_) {
    bool step = !has_time_;
    if (has_time_ && info().follow_stamps) {
      const std::int64_t half_period = info().rate->duration(1).count() / 2;
      const std::int64_t deviation = stamp.time.count() - expected_time(number);
      step = deviation > half_period || deviation < -half_period;
    }
    if (step) {
      state_.clock_sample = number;
      state_.clock_time = stamp.time.count();
      mark(number == 0 ? MarkKind::start : MarkKind::time_step);
    }
    has_time_ = true;
  }
  flush();
  Mark anchor = state_;
  anchor.kind = MarkKind::anchor;
  anchor.position = ring_.head();
  anchor.stamp = stamp.time.count();
  anchor.ticks = stamp.ticks;
  anchors_.push(anchor);
}

void StreamWriter::set_clock(SampleNumber sample, Time time) noexcept {
  has_time_ = true;
  if (state_.clock_sample == sample.value && state_.clock_time == time.count()) return;
  state_.clock_sample = sample.value;
  state_.clock_time = time.count();
  mark(next().value == 0 ? MarkKind::start : MarkKind::time_step);
}

void StreamWriter::calibrate(CalibrationSetId set) noexcept {
  if (set.value == state_.calibrations) return;
  state_.calibrations = set.value;
  mark(MarkKind::calibration);
}

void StreamWriter::calibrate(std::size_t channel, Calibration calibration) {
  if (channel >= channel_count())
    throw Error(fmt::format("stream '{}' has no channel {}; it has {}", info().name, channel,
                            channel_count()));
  CalibrationSet set = stream_->calibrations({state_.calibrations});
  set[channel] = std::move(calibration);
  calibrate(stream_->add_calibrations(std::move(set)));
}

StreamWriter::Run StreamWriter::begin_run(const Time* times, std::uint64_t count) noexcept {
  Run run{std::min(count, largest_block_), false};
  if (irregular_) {
    const std::int64_t first = times ? times[0].count() : last_time_;
    run.late = !times || (has_time_ && first <= last_time_);
    if (run.late) {
      run.count = 1;
      if (times) mark(MarkKind::time_step);
    } else {
      std::uint64_t increasing = 1;
      while (increasing < run.count && times[increasing] > times[increasing - 1]) ++increasing;
      run.count = increasing;
    }
    last_time_ = times ? times[run.count - 1].count() : last_time_;
    has_time_ = true;
    ring_.announce(ring_.head() + run.count);
    if (times) {
      for (std::uint64_t i = 0; i < run.count; ++i)
        times_.put(ring_.head() + i, static_cast<std::uint64_t>(times[i].count()));
    } else {
      times_.put(ring_.head(), static_cast<std::uint64_t>(last_time_));
    }
  } else {
    ring_.announce(ring_.head() + run.count);
  }
  return run;
}

void StreamWriter::put_quality(std::size_t channel, const Quality* quality, Quality common,
                               std::uint64_t step, Run run) noexcept {
  QualityLaneWriter& to = lane(channel).quality;
  if (run.late) {
    const Quality late(Verdict::suspect, Quality::time_uncertain);
    to.put(ring_.head(), merge(quality ? *quality : common, late));
  } else if (quality) {
    to.put(ring_.head(), quality, run.count, step);
  } else {
    to.fill(ring_.head(), common, run.count);
  }
}

void StreamWriter::push_lanes(std::span<const void* const> lanes, SampleCount count,
                              std::span<const Quality* const> quality,
                              std::span<const Time> times) noexcept {
  assert(lanes.size() == channel_count());
  assert(quality.empty() || quality.size() == channel_count());
  assert(times.empty() || times.size() == count.value);
  for (std::uint64_t done = 0; done < count.value;) {
    const Run run = begin_run(times.empty() ? nullptr : times.data() + done, count.value - done);
    for (std::size_t c = 0; c < channel_count(); ++c) {
      visit_sample_type(lane(c).type, [&]<class T>(std::type_identity<T>) {
        lane(c).values.put(ring_.head(), static_cast<const T*>(lanes[c]) + done, run.count, 1);
      });
      const Quality* const given = quality.empty() ? nullptr : quality[c];
      put_quality(c, given ? given + done : nullptr, {}, 1, run);
    }
    end_run(run);
    done += run.count;
  }
  renew_fast_path();
}

template <Sample T>
Writer<T>::Writer(Stream& stream)
    : StreamWriter((
          [&] {
            for (const ChannelInfo& channel : stream.info().channels)
              if (channel.type != sample_type_of<T>())
                throw Error(fmt::format("channel '{}' of stream '{}' holds {}, not {}",
                                        channel.name, stream.info().name,
                                        sample_type_name(channel.type),
                                        sample_type_name(sample_type_of<T>())));
          }(),
          stream)) {
  claimed_.resize(stream.info().largest_block.value * stream.channel_count());
}

template <Sample T>
void Writer<T>::push_slowly(T value, Quality quality) noexcept {
  if (!info().rate) return push_frames({&value, 1}, nullptr, quality, nullptr);
  const std::uint64_t position = ring_.head();
  ring_.announce(position + 1);
  first_lane_.values.put(position, value);
  first_lane_.quality.put(position, quality);
  ring_.advance(position + 1);
  renew_fast_path();
}

template <Sample T>
void Writer<T>::push_frames(std::span<const T> frames, const Quality* quality, Quality common,
                            const Time* times) noexcept {
  const std::size_t channels = channel_count();
  assert(frames.size() % channels == 0);
  const std::uint64_t count = frames.size() / channels;
  for (std::uint64_t done = 0; done < count;) {
    const Run run = begin_run(times ? times + done : nullptr, count - done);
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t at = done * channels + c;
      lane(c).values.put(ring_.head(), frames.data() + at, run.count, channels);
      put_quality(c, quality ? quality + at : nullptr, common, channels, run);
    }
    end_run(run);
    done += run.count;
  }
  renew_fast_path();
}

template class Writer<std::int8_t>;
template class Writer<std::int16_t>;
template class Writer<std::int32_t>;
template class Writer<std::int64_t>;
template class Writer<std::uint8_t>;
template class Writer<std::uint16_t>;
template class Writer<std::uint32_t>;
template class Writer<std::uint64_t>;
template class Writer<float>;
template class Writer<double>;

}  // namespace spillway
