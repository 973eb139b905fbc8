#include "spillway/channels/reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

// How often a search begins again because the writer lapped all marks meanwhile. A
// writer can't keep that up; only damaged memory lasts longer.
constexpr int most_laps = 100'000;

constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

Stop stop_at(MarkKind kind) noexcept {
  switch (kind) {
    case MarkKind::gap: return Stop::gap;
    case MarkKind::calibration: return Stop::calibration;
    default: return Stop::time_step;
  }
}

// The least n whose time, `clock` + duration(n), is not before `time`.
std::uint64_t periods_until(const Rate& rate, std::int64_t clock, std::int64_t time) noexcept {
  if (time <= clock) return 0;
  std::int64_t since = 0;
  if (__builtin_sub_overflow(time, clock, &since)) return never;
  // duration() rounds by half a nanosecond: look between the neighbours.
  std::uint64_t below = rate.samples_within(Time(since - 1));
  std::uint64_t above = rate.samples_within(Time(since));
  if (above >= never - 1) return never;
  ++above;
  while (above - below > 1) {
    const std::uint64_t middle = below + (above - below) / 2;
    (rate.duration(middle).count() < since ? below : above) = middle;
  }
  return above;
}

void drop_front(Block& block, std::uint64_t dropped, std::uint64_t kept) noexcept {
  for (std::size_t c = 0; c < block.channel_count(); ++c) {
    const std::size_t size = sample_size(block.type(c));
    std::memmove(block.bytes(c), block.bytes(c) + dropped * size, kept * size);
    std::memmove(block.quality(c).data(), block.quality(c).data() + dropped, kept);
  }
  if (block.has_times())
    std::copy_n(block.times().begin() + static_cast<std::ptrdiff_t>(dropped), kept,
                block.times().begin());
}

}  // namespace

StreamReader::StreamReader(const Stream& stream) noexcept
    : stream_(&stream),
      ring_(stream.shared_->ring, stream.layout_.slots),
      marks_(stream.shared_->marks, &stream.words_[stream.layout_.marks_at],
             stream.layout_.mark_slots),
      anchors_(stream.shared_->anchors, &stream.words_[stream.layout_.anchors_at],
               stream.layout_.mark_slots) {
  seek_oldest();
}

SampleCount StreamReader::pending() const noexcept {
  const std::uint64_t head = ring_.head();
  return {head > cursor_ ? head - cursor_ : 0};
}

StreamReader::Peek StreamReader::peek(std::uint64_t end) noexcept {
  if (has_peeked_) return Peek::mark;
  if (next_mark_ >= end) return Peek::none;
  has_peeked_ = marks_.load(next_mark_, peeked_);
  if (has_peeked_) return Peek::mark;
  // Not quite the oldest one, which is overwritten next.
  const std::uint64_t count = marks_.count();
  next_mark_ = std::min(marks_.oldest_of(count) + stream_->layout_.mark_slots / 8, count - 1);
  has_peeked_ = marks_.load(next_mark_, peeked_);
  return has_peeked_ ? Peek::skipped : Peek::lost;
}

void StreamReader::take(Chunk& chunk) noexcept {
  const std::uint64_t missing = peeked_.gaps - mark_.gaps;
  if (missing > 0) {
    chunk.missing.value += missing;
    chunk.cause = peeked_.cause;
  }
  if (missing > 0 || peeked_.clock_sample != mark_.clock_sample ||
      peeked_.clock_time != mark_.clock_time || peeked_.kind == MarkKind::time_step)
    chunk.new_segment = true;
  mark_ = peeked_;
  has_peeked_ = false;
  ++next_mark_;
}

bool StreamReader::take_due(Chunk& chunk, std::uint64_t end) noexcept {
  for (;;) {
    switch (peek(end)) {
      case Peek::none: return true;
      case Peek::lost: return false;
      case Peek::skipped:
        chunk.lost.value += peeked_.position - cursor_;
        chunk.mixed = true;
        chunk.new_segment = true;
        cursor_ = peeked_.position;
        take(chunk);
        return false;
      case Peek::mark: break;
    }
    if (peeked_.position > cursor_) return true;
    const bool other_cause =
        chunk.missing.value > 0 && peeked_.gaps > mark_.gaps && peeked_.cause != chunk.cause;
    if (other_cause) return false;
    take(chunk);
  }
}

std::uint64_t StreamReader::next_mark_position() const noexcept {
  return has_peeked_ ? peeked_.position : never;
}

void StreamReader::finish(Chunk& chunk, std::uint64_t end, Stop stop) noexcept {
  chunk.first = next();
  chunk.count = {end - cursor_};
  chunk.row = cursor_;
  chunk.clock_sample = {mark_.clock_sample};
  chunk.clock_time = Time(mark_.clock_time);
  if (info().rate)
    chunk.time = saturating_add(chunk.clock_time,
                                info().rate->duration(chunk.first.value - mark_.clock_sample));
  chunk.calibrations = {mark_.calibrations};
  chunk.stop = stop;
  cursor_ = end;
  delivered_ += chunk.count.value;
  lost_ += chunk.lost.value;
  missing_ += chunk.missing.value;
}

void StreamReader::read_into(Block& block, Chunk& chunk, std::uint64_t until) noexcept {
  const Stream::Layout& layout = stream_->layout_;
  chunk.from = next();
  const std::uint64_t head = ring_.head();  // R1
  // A mark that is due and was not taken is a gap of another cause.
  const auto broken_off = [&] {
    return next_mark_position() <= cursor_ ? Stop::gap : Stop::overwritten;
  };
  // After the head, so that every mark before it is among them; and no newer ones, so
  // that a writer of marks can't hold this read up.
  const std::uint64_t marks = std::min(marks_.count(), next_mark_ + 2 * layout.mark_slots);
  const bool has_marks = has_peeked_ || next_mark_ < marks;
  if (head <= cursor_ && !has_marks) return finish(chunk, cursor_, Stop::drained);
  const std::uint64_t target = std::max(cursor_, std::min(ring_.oldest(), head));
  if (has_marks && !take_due(chunk, marks)) return finish(chunk, cursor_, broken_off());
  if (target > cursor_) {
    // A chunk tells losses before gaps: a loss behind a gap is the next chunk's.
    if (chunk.missing.value > 0) return finish(chunk, cursor_, Stop::overwritten);
    const std::uint64_t reached = std::min(target, next_mark_position());
    chunk.lost.value = reached - cursor_;
    chunk.new_segment = true;
    cursor_ = reached;
    if (!take_due(chunk, marks) || target > cursor_) return finish(chunk, cursor_, broken_off());
  }
  std::uint64_t end = std::min({head, cursor_ + block.frames(), next_mark_position(), until});
  if (end < cursor_) end = cursor_;               // marks were read that are newer than the head
  copy(block, cursor_, end);                      // R2
  const std::uint64_t intact = ring_.validate();  // R3, R4
  if (intact > cursor_ && end > cursor_) {
    if (chunk.missing.value > 0) return finish(chunk, cursor_, Stop::overwritten);
    const std::uint64_t dropped = std::min(intact, end) - cursor_;
    chunk.lost.value += dropped;
    chunk.new_segment = true;
    cursor_ += dropped;
    drop_front(block, dropped, end - cursor_);
  }
  if (info().rate == std::nullopt && end > cursor_) chunk.time = block.times()[0];
  const Stop stop = end == next_mark_position() ? stop_at(peeked_.kind)
                    : end == head               ? Stop::drained
                                                : Stop::full;
  return finish(chunk, end, stop);
}

void StreamReader::copy(Block& block, std::uint64_t begin, std::uint64_t end) const noexcept {
  const Stream::Layout& layout = stream_->layout_;
  const AtomicWord* words = stream_->words_;
  for (std::size_t c = 0; c < block.channel_count(); ++c) {
    visit_sample_type(block.type(c), [&]<class T>(std::type_identity<T>) {
      copy_lane(words + layout.values_at[c], layout.slots, begin, end, block.values<T>(c).data());
    });
    copy_lane(words + layout.quality_at[c], layout.slots, begin, end, block.quality(c).data());
  }
  if (block.has_times())
    copy_lane(words + layout.times_at, layout.slots, begin, end, block.times().data());
}

Accounting StreamReader::accounting() const noexcept {
  std::uint64_t produced = 0;
  bool found = false;
  for (int laps = 0; !found && laps < most_laps; ++laps) {
    const std::uint64_t head = std::max(ring_.head(), cursor_);
    const std::uint64_t count = marks_.count();
    produced = head + mark_.gaps;
    found = count <= next_mark_;
    // The newest mark at or before the head tells the gaps before it. Where that one is
    // overwritten already, the oldest newer one tells how much was produced when it
    // came. Only if there is none either, that is if the writer laps all marks
    // meanwhile, the search begins again.
    Mark mark;
    const std::uint64_t first = std::max(next_mark_, marks_.oldest_of(count));
    for (std::uint64_t i = count; i-- > first && marks_.load(i, mark);) {
      const bool newer = mark.position > head;
      // Without a mark before the head the one in force holds.
      produced =
          newer && i == next_mark_ ? head + mark_.gaps : std::max(head, mark.position) + mark.gaps;
      found = true;
      if (!newer) break;
    }
  }
  return {{produced - started_}, {delivered_}, {lost_}, {missing_}, {produced - next().value}};
}

std::size_t StreamReader::read_anchors(std::span<Anchor> out) noexcept {
  std::size_t done = 0;
  const std::uint64_t count = anchors_.count();
  while (done < out.size() && next_anchor_ < count) {
    Mark mark;
    if (!anchors_.load(next_anchor_, mark)) {
      const std::uint64_t oldest = std::max(anchors_.oldest(), next_anchor_ + 1);
      anchors_lost_ += oldest - next_anchor_;
      next_anchor_ = oldest;
      continue;
    }
    out[done++] = {{mark.position + mark.gaps}, Time(mark.stamp), mark.ticks};
    ++next_anchor_;
  }
  return done;
}

void StreamReader::place(std::uint64_t position) noexcept {
  mark_ = {};
  next_mark_ = 0;
  has_peeked_ = false;
  // From the newest mark back: one that was overwritten ends the search with the state of
  // a newer one, never with none. Only if even the newest is overwritten while it is
  // copied, that is if the writer laps all marks meanwhile, the search begins again.
  bool placed = false;
  for (int laps = 0; !placed && laps < most_laps; ++laps) {
    const std::uint64_t count = marks_.count();
    if (count == 0) break;
    const std::uint64_t first = marks_.oldest_of(count);
    Mark mark;
    for (std::uint64_t i = count; i-- > first && marks_.load(i, mark);) {
      // All marks where the reader begins are in force, also where that is the oldest mark.
      if (!placed || mark.position < mark_.position) {
        mark_ = mark;
        next_mark_ = i + 1;
        placed = true;
      }
      if (mark.position <= position) break;
    }
  }
  cursor_ = std::max(position, mark_.position);
  started_ = next().value;
  delivered_ = lost_ = missing_ = 0;
}

void StreamReader::seek_oldest() noexcept { place(ring_.oldest()); }

void StreamReader::seek_latest(SampleCount count) noexcept {
  const std::uint64_t head = ring_.head();
  place(std::max(ring_.oldest(), head - std::min(head, count.value)));
}

SampleNumber StreamReader::seek(SampleNumber number) noexcept {
  const std::uint64_t head = ring_.head();
  std::uint64_t position = 0;
  Mark mark;
  for (std::uint64_t count = marks_.count(), i = marks_.oldest_of(count); i < count; ++i) {
    if (!marks_.load(i, mark)) continue;
    // Numbers in the gap before this mark have no sample: the first one after it is next.
    if (number.value < mark.position + mark.gaps) {
      position = std::min(position, mark.position);
      break;
    }
    position = number.value - mark.gaps;
  }
  place(std::clamp(position, std::min(ring_.oldest(), head), head));
  return next();
}

SampleNumber StreamReader::seek(Time time) noexcept {
  const std::uint64_t head = ring_.head();
  const std::uint64_t oldest = std::min(ring_.oldest(), head);
  std::uint64_t position = head;
  if (info().rate) {
    Mark mark;
    for (std::uint64_t count = marks_.count(), i = marks_.oldest_of(count); i < count; ++i) {
      if (!marks_.load(i, mark)) continue;
      Mark following;
      const std::uint64_t end =
          i + 1 < count && marks_.load(i + 1, following) ? following.position : head;
      const std::uint64_t periods = periods_until(*info().rate, mark.clock_time, time.count());
      // The sample the mark applies to first is never earlier than the clock was set.
      const std::uint64_t first = mark.position + mark.gaps - mark.clock_sample;
      const std::uint64_t behind = periods > first ? periods - first : 0;
      if (mark.position >= end || behind >= end - mark.position) continue;
      // Another segment may have been meant, where this one is overwritten up to here.
      const std::uint64_t at = std::max(mark.position + behind, oldest);
      if (at >= end) continue;
      position = at;
      break;
    }
  } else {
    const AtomicWord* times = &stream_->words_[stream_->layout_.times_at];
    // What lies before the oldest mark is not readable, as in place().
    std::uint64_t p = std::max(oldest, head - std::min(head, stream_->layout_.slots));
    Mark mark;
    for (std::uint64_t count = marks_.count(), i = marks_.oldest_of(count); i < count; ++i) {
      if (!marks_.load(i, mark)) continue;
      p = std::max(p, mark.position);
      break;
    }
    for (; p < head; ++p) {
      std::int64_t t = 0;
      copy_lane(times, stream_->layout_.slots, p, p + 1, &t);
      if (t < time.count()) continue;
      position = p;
      break;
    }
  }
  place(std::clamp(position, oldest, head));
  return next();
}

template <Sample T>
const Stream& Reader<T>::checked(const Stream& stream) {
  if (stream.channel_count() != 1 || stream.info().channels[0].type != sample_type_of<T>())
    throw Error(fmt::format("stream '{}' is not a single channel of {}", stream.info().name,
                            sample_type_name(sample_type_of<T>())));
  return stream;
}

template class Reader<std::int8_t>;
template class Reader<std::int16_t>;
template class Reader<std::int32_t>;
template class Reader<std::int64_t>;
template class Reader<std::uint8_t>;
template class Reader<std::uint16_t>;
template class Reader<std::uint32_t>;
template class Reader<std::uint64_t>;
template class Reader<float>;
template class Reader<double>;

}  // namespace spillway
