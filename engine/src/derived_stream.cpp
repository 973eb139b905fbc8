#include "derived_stream.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "spillway/filters/quality_span.hpp"

namespace spillway {

namespace {

// Interleaved frames into a lane each. In tiles, so that of what is read each line of the cache is
// used up while it is there.
template <class T, class Lane>
void put_lanes(const T* frames, std::size_t lanes, std::size_t count, Lane&& lane) {
  constexpr std::size_t tile = 8;
  std::array<T*, tile> to{};
  for (std::size_t l = 0; l < lanes; l += tile) {
    const std::size_t some = std::min(tile, lanes - l);
    for (std::size_t k = 0; k < some; ++k) to[k] = lane(l + k);
    std::size_t f = 0;
    if (some == tile)
      for (; f + tile <= count; f += tile)
        for (std::size_t k = 0; k < tile; ++k)
          for (std::size_t i = 0; i < tile; ++i) to[k][f + i] = frames[(f + i) * lanes + l + k];
    for (; f < count; ++f)
      for (std::size_t k = 0; k < some; ++k) to[k][f] = frames[f * lanes + l + k];
  }
}

}  // namespace

DerivedStream::DerivedStream(const StreamInfo& info, std::size_t block_frames,
                             std::optional<SampleNumber> begin, Give give)
    : info_(info),
      block_(info, block_frames),
      give_(std::move(give)),
      begun_(begin.has_value()),
      next_(begin.value_or(SampleNumber{0}).value) {
  begin_chunk();
}

void DerivedStream::begin_chunk() noexcept {
  chunk_ = {};
  chunk_.from = {next_};
}

DerivedStream::State DerivedStream::state() const noexcept {
  return {begun_, {next_}, rows_, clock_sample_, clock_time_, last_time_};
}

void DerivedStream::set_state(const State& state) noexcept {
  begun_ = state.begun;
  next_ = state.next.value;
  rows_ = state.rows;
  clock_sample_ = state.clock_sample;
  clock_time_ = state.clock_time;
  last_time_ = state.last_time;
  begin_chunk();
}

void DerivedStream::flush() {
  if (chunk_.count.value + chunk_.missing.value == 0) return;
  chunk_.first = chunk_.from + chunk_.missing;
  chunk_.row = rows_ - chunk_.count.value;
  chunk_.clock_sample = clock_sample_;
  chunk_.clock_time = clock_time_;
  if (info_.rate)
    chunk_.time =
        saturating_add(clock_time_, info_.rate->duration(chunk_.first.value - clock_sample_.value));
  else if (chunk_.count.value > 0)
    chunk_.time = block_.times()[0];
  give_(chunk_, block_);
  begin_chunk();
}

void DerivedStream::gap(std::uint64_t count, GapCause cause) {
  if (count == 0) return;
  const bool other_cause = chunk_.missing.value > 0 && chunk_.cause != cause;
  if (chunk_.count.value > 0 || other_cause) flush();
  chunk_.missing.value += count;
  chunk_.cause = cause;
  chunk_.new_segment = true;
  next_ += count;
}

void DerivedStream::set_clock(SampleNumber sample, Time time) {
  if (clock_sample_ == sample && clock_time_ == time) return;
  if (chunk_.count.value > 0) flush();
  clock_sample_ = sample;
  clock_time_ = time;
  chunk_.new_segment = true;
}

void DerivedStream::push(const double* values, const Quality* quality, const Time* times,
                         std::size_t count) {
  const std::size_t lanes = block_.channel_count();
  while (count > 0) {
    // Blocks end at rows that are divisible by their frames, whatever cut the one before.
    const std::size_t full = rows_ % block_.frames();
    if (full == 0 && chunk_.count.value > 0) flush();
    const auto at = static_cast<std::size_t>(chunk_.count.value);
    const std::size_t n = std::min(count, block_.frames() - full);
    put_lanes(values, lanes, n,
              [&](std::size_t lane) { return block_.values<double>(lane).data() + at; });
    if (all_good({quality, n * lanes}))
      for (std::size_t l = 0; l < lanes; ++l)
        std::ranges::fill(block_.quality(l).subspan(at, n), Quality::good());
    else
      put_lanes(quality, lanes, n,
                [&](std::size_t lane) { return block_.quality(lane).data() + at; });
    if (times) {
      std::copy_n(times, n, block_.times().data() + at);
      times += n;
    }
    values += n * lanes;
    quality += n * lanes;
    chunk_.count.value += n;
    next_ += n;
    rows_ += n;
    count -= n;
  }
}

// A time that is not later than the one before begins a segment, and is flagged.
void DerivedStream::push_irregular(const double* values, const Quality* quality, const Time* times,
                                   std::size_t count) {
  const std::size_t lanes = block_.channel_count();
  for (std::size_t f = 0; f < count;) {
    const bool late = last_time_ && times[f] <= *last_time_;
    std::size_t end = f + 1;
    if (!late)
      while (end < count && times[end] > times[end - 1]) ++end;
    if (late) {
      if (chunk_.count.value > 0) flush();
      chunk_.new_segment = true;
    }
    push(values + f * lanes, quality + f * lanes, times + f, end - f);
    if (late) {
      const auto at = static_cast<std::size_t>(chunk_.count.value) - 1;
      for (std::size_t l = 0; l < lanes; ++l)
        block_.quality(l)[at] =
            merge(block_.quality(l)[at], Quality(Verdict::suspect, Quality::time_uncertain));
    }
    last_time_ = times[end - 1];
    f = end;
  }
}

void DerivedStream::add(const NodeOutput& made) {
  const std::size_t count = made.frames.count();
  if (!begun_) {
    if (count == 0) return;
    begun_ = true;
    next_ = made.first.value;
    begin_chunk();
  }
  // A node that comes back was away for some numbers; to itself it is new, and all before missing.
  // Or it begins with numbers that its stream has already.
  const std::uint64_t again = next_ - std::min(next_, made.first.value);
  if (again > 0 && again >= count) return;
  const auto skipped = static_cast<std::size_t>(again);
  const std::uint64_t hole = made.first.value + again - next_;
  const std::uint64_t lost = std::min(made.lost.value, hole);
  const std::uint64_t missing = std::min(made.missing.value, hole - lost);
  gap(hole - lost - missing, GapCause::source);
  gap(lost, GapCause::upstream);
  gap(missing, GapCause::source);
  if (count == skipped) return;
  const std::size_t lanes = block_.channel_count();
  const double* values = made.frames.values.data() + skipped * lanes;
  const Quality* quality = made.frames.quality.data() + skipped * lanes;
  if (made.times.empty()) {
    set_clock(made.clock_sample, made.clock_time);
    push(values, quality, nullptr, count - skipped);
  } else {
    push_irregular(values, quality, made.times.data() + skipped, count - skipped);
  }
}

}  // namespace spillway
