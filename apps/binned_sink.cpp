#include "binned_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway::apps {

namespace {

constexpr std::size_t room = 4096;  // results that are collected
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr Quality fewer(Verdict::suspect, Quality::missing);
constexpr Quality none(Verdict::bad, Quality::missing);

// At most so many samples of all channels are converted at once.
constexpr std::size_t most_values = 65536;

std::int64_t product(std::uint64_t a, std::int64_t b, const std::string& stream) {
  std::int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result))
    throw Error(fmt::format("stream '{}': bins of {} samples are too many at its rate", stream, a));
  return result;
}

StreamInfo info_of_results(StreamInfo info, std::uint64_t samples, std::uint64_t results) {
  if (info.rate)
    info.rate = Rate(product(results, info.rate->samples(), info.name),
                     product(samples, info.rate->seconds(), info.name));
  for (ChannelInfo& channel : info.channels) {
    channel.type = SampleType::float64;
    channel.range.reset();
    channel.calibration = {};
  }
  return info;
}

Gap gap_of(const Chunk& chunk) {
  const std::uint64_t lost = chunk.lost.value;
  const std::uint64_t missing = chunk.missing.value;
  const bool upstream = chunk.cause == GapCause::upstream;
  return {chunk.from.value, lost + missing, upstream ? lost + missing : lost,
          upstream ? 0 : missing,
          chunk.mixed || (lost > 0 && missing > 0) ? Absence::mixed
          : lost > 0                               ? Absence::lost
          : upstream                               ? Absence::lost_upstream
                                                   : Absence::missing};
}

// One channel of a bin.
struct Lane {
  double low = nan;
  double high = nan;
  double sum = 0.0;
  std::uint64_t values = 0;
  std::uint64_t low_at = 0;  // sample numbers
  std::uint64_t high_at = 0;
  Time low_time{};
  Time high_time{};
  Quality quality;
};

}  // namespace

class BinnedSink::Bins {
 public:
  Bins(const StreamInfo& info, std::uint64_t samples, BinBy by, std::size_t stream, Sink& to)
      : by_(by),
        results_(by == BinBy::minmax ? 2 : 1),
        samples_(samples),
        rate_(info.rate),
        info_(info_of_results(info, samples, results_)),
        stream_(stream),
        to_(to),
        identity_(info.channels.size()),
        lanes_(info.channels.size()),
        block_(info_, room) {
    const std::size_t frames =
        std::clamp<std::size_t>(most_values / info.channels.size(), 16, 16384);
    values_.resize(frames);
    quality_.resize(frames);
  }

  [[nodiscard]] const StreamInfo& info() const noexcept { return info_; }

  void add_gap(const Gap& gap) {
    begin_at(gap.first_sample);
    const bool differs = absence_ && absence_->cause != gap.cause;
    absence_ = gap;
    if (differs) absence_->cause = Absence::mixed;
    end_ = gap.first_sample + gap.count;
  }

  void add(const Chunk& chunk, const Block& block, const CalibrationSet& calibrations) {
    if (chunk.first != chunk.from) add_gap(gap_of(chunk));
    begin_at(chunk.first.value);
    for (std::size_t done = 0; done < chunk.count.value;) {
      const std::uint64_t number = chunk.first.value + done;
      const std::uint64_t bin = number / samples_;
      if (bin_ && *bin_ != bin) finish();
      if (!bin_) start(bin, chunk);
      const std::uint64_t left = bin > std::numeric_limits<std::uint64_t>::max() / samples_ - 1
                                     ? std::numeric_limits<std::uint64_t>::max() - number
                                     : (bin + 1) * samples_ - number;
      const std::size_t count = static_cast<std::size_t>(
          std::min<std::uint64_t>({chunk.count.value - done, left, values_.size()}));
      for (std::size_t c = 0; c < lanes_.size(); ++c)
        scan(lanes_[c], block, calibrations, c, done, count, number);
      if (block.has_times()) {
        if (in_bin_ == 0) first_time_ = block.times()[done];
        last_time_ = block.times()[done + count - 1];
      }
      in_bin_ += count;
      done += count;
      end_ = number + count;
    }
  }

  // What was finished so far.
  void flush() {
    if (filled_ == 0) return;
    Chunk chunk;
    chunk.from = chunk.first = {first_};
    chunk.count = {filled_};
    chunk.new_segment = new_segment_;
    chunk.row = row_;
    chunk.clock_sample = {clock_sample_};
    chunk.clock_time = clock_time_;
    chunk.time =
        info_.rate ? clock_time_ + info_.rate->duration(first_ - clock_sample_) : block_.times()[0];
    chunk.stop = Stop::full;
    to_.append(stream_, chunk, block_, identity_);
    row_ += filled_;
    filled_ = 0;
    new_segment_ = false;
  }

  // And the bin that is not complete; then a gap at the end.
  void end() {
    if (!begun_) return;
    if (bin_) finish();
    flush();
    tell_gap(results_ * (end_ / samples_ + (end_ % samples_ > 0 ? 1 : 0)));
  }

 private:
  void begin_at(std::uint64_t number) {
    if (begun_) return;
    begun_ = true;
    next_ = results_ * (number / samples_);
    end_ = number;
  }

  void start(std::uint64_t bin, const Chunk& chunk) {
    bin_ = bin;
    in_bin_ = 0;
    std::fill(lanes_.begin(), lanes_.end(), Lane{});
    if (!rate_) return;
    // The same clock, at the bin it was set in: rounded once, however many bins follow.
    const std::uint64_t set_in = chunk.clock_sample.value / samples_;
    Time time = chunk.clock_time - rate_->duration(chunk.clock_sample.value - set_in * samples_);
    if (by_ == BinBy::mean) time += half_of(rate_->duration(samples_ - 1));
    bin_clock_sample_ = results_ * set_in;
    bin_clock_time_ = time;
  }

  static Time half_of(Time time) { return Time(time.count() / 2); }

  void scan(Lane& lane, const Block& block, const CalibrationSet& calibrations, std::size_t channel,
            std::size_t from, std::size_t count, std::uint64_t number) {
    const std::span<double> values = std::span(values_).first(count);
    const std::span<Quality> quality = std::span(quality_).first(count);
    std::ranges::copy(block.quality(channel).subspan(from, count), quality.begin());
    visit_sample_type(block.type(channel), [&]<class T>(std::type_identity<T>) {
      std::ranges::transform(block.values<T>(channel).subspan(from, count), values.begin(),
                             [](T value) { return static_cast<double>(value); });
    });
    for (std::size_t i = 0; i < count; ++i)
      if (quality[i].verdict() == Verdict::bad && quality[i].has(Quality::missing)) values[i] = nan;
    if (channel < calibrations.size()) calibrations[channel].apply(values, quality);
    for (std::size_t i = 0; i < count; ++i) {
      const double value = values[i];
      if (std::isnan(value)) {
        lane.quality = merge(lane.quality, Quality(Verdict::suspect, quality[i].reasons()));
        lane.quality = merge(lane.quality, fewer);
        continue;
      }
      lane.quality = merge(lane.quality, quality[i]);
      // Of equal values the first low and the last high: two samples where there are two.
      if (lane.values == 0 || value < lane.low) {
        lane.low = value;
        lane.low_at = number + i;
        if (block.has_times()) lane.low_time = block.times()[from + i];
      }
      if (lane.values == 0 || value >= lane.high) {
        lane.high = value;
        lane.high_at = number + i;
        if (block.has_times()) lane.high_time = block.times()[from + i];
      }
      lane.sum += value;
      ++lane.values;
    }
  }

  // The open bin becomes results.
  void finish() {
    const std::uint64_t bin = *bin_;
    bin_.reset();
    const std::uint64_t first = results_ * bin;
    const bool another_clock =
        rate_ && (bin_clock_sample_ != clock_sample_ || bin_clock_time_ != clock_time_);
    if (first != next_ || another_clock || filled_ + results_ > room) flush();
    if (first != next_) tell_gap(first);
    if (another_clock) {
      new_segment_ = true;
      clock_sample_ = bin_clock_sample_;
      clock_time_ = bin_clock_time_;
    }
    if (filled_ == 0) first_ = first;
    for (std::size_t c = 0; c < lanes_.size(); ++c) put(lanes_[c], c);
    if (by_ == BinBy::mean) {
      if (!rate_) block_.times()[filled_] = first_time_ + half_of(last_time_ - first_time_);
    } else if (!rate_) {
      const Lane& lane = lanes_.front();
      const bool own = lanes_.size() == 1 && lane.values > 0;
      block_.times()[filled_] = own ? std::min(lane.low_time, lane.high_time) : first_time_;
      block_.times()[filled_ + 1] = own ? std::max(lane.low_time, lane.high_time) : last_time_;
    }
    filled_ += results_;
    next_ = first + results_;
    absence_.reset();
  }

  void put(const Lane& lane, std::size_t channel) {
    const std::span<double> values = block_.values<double>(channel).subspan(filled_, results_);
    Quality quality = lane.quality;
    if (in_bin_ < samples_) quality = merge(quality, fewer);
    if (lane.values == 0) {
      std::ranges::fill(values, nan);
      quality = merge(quality, none);
    } else if (by_ == BinBy::mean) {
      values[0] = lane.sum / static_cast<double>(lane.values);
    } else {
      const bool low_first = lane.low_at <= lane.high_at;
      values[0] = low_first ? lane.low : lane.high;
      values[1] = low_first ? lane.high : lane.low;
    }
    std::ranges::fill(block_.quality(channel).subspan(filled_, results_), quality);
  }

  // No results from `next_` up to this number.
  void tell_gap(std::uint64_t number) {
    if (number <= next_) return;
    Gap gap{next_, number - next_, 0, 0, absence_ ? absence_->cause : Absence::missing};
    (gap.cause == Absence::missing ? gap.missing : gap.lost) = gap.count;
    to_.append_gap(stream_, gap);
    next_ = number;
    new_segment_ = true;
  }

  BinBy by_;
  std::size_t results_;
  std::uint64_t samples_;
  std::optional<Rate> rate_;  // of the samples
  StreamInfo info_;           // of the results
  std::size_t stream_;
  Sink& to_;
  CalibrationSet identity_;

  // The open bin.
  std::optional<std::uint64_t> bin_;
  std::uint64_t in_bin_ = 0;
  std::vector<Lane> lanes_;
  Time first_time_{};
  Time last_time_{};
  std::uint64_t bin_clock_sample_ = 0;
  Time bin_clock_time_{};

  // Results that the sink did not get yet.
  Block block_;
  std::size_t filled_ = 0;
  std::uint64_t first_ = 0;
  std::uint64_t clock_sample_ = 0;
  Time clock_time_{};
  bool new_segment_ = true;
  std::uint64_t row_ = 0;

  bool begun_ = false;
  std::uint64_t next_ = 0;      // the result that follows
  std::uint64_t end_ = 0;       // the sample that follows
  std::optional<Gap> absence_;  // why samples are absent since the last result

  std::vector<double> values_;
  std::vector<Quality> quality_;
};

BinnedSink::BinnedSink(Sink& to, BinOptions options) : to_(&to), options_(std::move(options)) {}

BinnedSink::~BinnedSink() = default;

void BinnedSink::begin(const RecordingInfo& info) {
  RecordingInfo results = info;
  results.provenance = options_.provenance;
  results.state.clear();
  for (std::size_t i = 0; i < info.streams.size(); ++i) {
    const std::uint64_t samples = options_.samples_per_bin.at(i);
    std::unique_ptr<Bins> bins;
    if (samples > 0) {
      bins = std::make_unique<Bins>(info.streams[i], samples, options_.by, i, *to_);
      results.streams[i] = bins->info();
    }
    streams_.push_back(std::move(bins));
  }
  to_->begin(results);
}

void BinnedSink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                        const CalibrationSet& calibrations) {
  if (streams_[stream])
    streams_[stream]->add(chunk, block, calibrations);
  else
    to_->append(stream, chunk, block, calibrations);
}

void BinnedSink::append_gap(std::size_t stream, const Gap& gap) {
  if (streams_[stream])
    streams_[stream]->add_gap(gap);
  else
    to_->append_gap(stream, gap);
}

void BinnedSink::append(std::size_t stream, std::span<const Anchor> anchors) {
  if (!streams_[stream]) to_->append(stream, anchors);
}

void BinnedSink::flush() {
  for (const auto& stream : streams_)
    if (stream) stream->flush();
  to_->flush();
}

void BinnedSink::close(const Ending& ending) {
  for (const auto& stream : streams_)
    if (stream) stream->end();
  to_->close(ending);
}

}  // namespace spillway::apps
