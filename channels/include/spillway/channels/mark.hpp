// Marks: everything about a stream that is not a sample but happens at one.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "spillway/channels/ring.hpp"
#include "spillway/channels/units.hpp"

namespace spillway {

enum class MarkKind : std::uint8_t {
  start,        // the first mark of every stream
  gap,          // samples are missing: their numbers are skipped
  time_step,    // the clock was set, or drifted by more than half a period
  calibration,  // other calibrations from here on
  anchor,       // a time stamp the source gave; changes nothing
};

// Why samples are missing in a stream. They were never pushed into it, so no
// reader can have them.
enum class GapCause : std::uint8_t {
  source,    // the hardware or the driver reports that it lost them
  upstream,  // a derived stream: the graph's reader lost its input to an overwrite
};

// One mark. Every mark carries the whole state of the stream from its position
// on, so that a reader that lost some needs only the next one.
struct Mark {
  MarkKind kind = MarkKind::start;
  GapCause cause = GapCause::source;
  std::uint32_t calibrations = 0;  // which set of calibrations applies, see Stream::calibrations
  std::uint64_t position = 0;      // of the first sample it applies to
  std::uint64_t gaps = 0;          // missing so far: sample number = position + gaps
  // Regular streams: sample `clock_sample` is at `clock_time` ns from the origin, the rate
  // gives the rest. A gap does not touch them, so that rounding never adds up.
  std::uint64_t clock_sample = 0;
  std::int64_t clock_time = 0;
  std::int64_t stamp = 0;   // anchor: the stamp, ns from the origin
  std::uint64_t ticks = 0;  // anchor: the hardware's own counter, as given
};

inline constexpr std::size_t mark_words = 8;

struct MarkIndices {
  alignas(apart) AtomicWord intent{0};
  AtomicWord count{0};
};

// A ring of marks by the protocol of ring.hpp, one announcement a mark.
class MarkWriter {
 public:
  // `slots`: a power of two; `words`: slots * mark_words.
  MarkWriter(MarkIndices& indices, AtomicWord* words, std::uint64_t slots) noexcept
      : indices_(&indices), words_(words), mask_(slots - 1) {}

  // Wait-free. To be called before the samples the mark announces are published.
  void push(const Mark& mark) noexcept {
    indices_->intent.store(count_ + 1, std::memory_order_relaxed);
    // Orders the intent before the words, as W1.
    atomic_fence(std::memory_order_release);
    AtomicWord* entry = words_ + (count_ & mask_) * mark_words;
    const std::array<std::uint64_t, mark_words> words{
        static_cast<std::uint64_t>(mark.kind) | static_cast<std::uint64_t>(mark.cause) << 8 |
            static_cast<std::uint64_t>(mark.calibrations) << 32,
        mark.position,
        mark.gaps,
        mark.clock_sample,
        static_cast<std::uint64_t>(mark.clock_time),
        static_cast<std::uint64_t>(mark.stamp),
        mark.ticks,
        0};
    for (std::size_t i = 0; i < mark_words; ++i)
      entry[i].store(words[i], std::memory_order_relaxed);
    // Orders the words before the count that covers them, as W3.
    indices_->count.store(++count_, std::memory_order_release);
  }

 private:
  MarkIndices* indices_;
  AtomicWord* words_;
  std::uint64_t mask_;
  std::uint64_t count_ = 0;
};

class MarkReader {
 public:
  MarkReader(const MarkIndices& indices, const AtomicWord* words, std::uint64_t slots) noexcept
      : indices_(&indices), words_(words), slots_(slots) {}

  [[nodiscard]] std::uint64_t count() const noexcept {
    return indices_->count.load(std::memory_order_acquire);
  }

  // The oldest mark that may still be intact.
  [[nodiscard]] std::uint64_t oldest() const noexcept {
    const std::uint64_t intent = indices_->intent.load(std::memory_order_relaxed);
    return intent > slots_ ? intent - slots_ : 0;
  }
  // The oldest of `count` marks that there can be: a bound even where memory is damaged.
  [[nodiscard]] std::uint64_t oldest_of(std::uint64_t count) const noexcept {
    return std::max(oldest(), count > slots_ ? count - slots_ : 0);
  }

  // Copies mark `index` < count(); false if it was overwritten. Wait-free.
  [[nodiscard]] bool load(std::uint64_t index, Mark& mark) const noexcept {
    const AtomicWord* entry = words_ + (index & (slots_ - 1)) * mark_words;
    std::array<std::uint64_t, mark_words> words;
    for (std::size_t i = 0; i < mark_words; ++i)
      words[i] = entry[i].load(std::memory_order_relaxed);
    // Orders the words before the intent, as R3.
    atomic_fence(std::memory_order_acquire);
    if (index < oldest()) return false;
    // Memory that others may have damaged yields some mark, but never an unknown one.
    mark.kind = static_cast<MarkKind>(
        std::min(words[0] & 0xFF, static_cast<std::uint64_t>(MarkKind::anchor)));
    mark.cause = (words[0] >> 8 & 0xFF) == 0 ? GapCause::source : GapCause::upstream;
    mark.calibrations = static_cast<std::uint32_t>(words[0] >> 32);
    mark.position = words[1];
    mark.gaps = words[2];
    mark.clock_sample = words[3];
    mark.clock_time = static_cast<std::int64_t>(words[4]);
    mark.stamp = static_cast<std::int64_t>(words[5]);
    mark.ticks = words[6];
    return true;
  }

 private:
  const MarkIndices* indices_;
  const AtomicWord* words_;
  std::uint64_t slots_;
};

}  // namespace spillway
