// The reading end of a stream.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>

#include "spillway/channels/block.hpp"
#include "spillway/channels/stream.hpp"

namespace spillway {

// Why a read stopped where it did.
enum class Stop : std::uint8_t {
  drained,      // nothing more was there
  full,         // the destination was full
  gap,          // samples are missing next, or more of them for another cause; the next read tells
  time_step,    // the clock changes with the next sample
  calibration,  // other calibrations apply from the next sample on
  overwritten,  // samples were lost behind a gap; the next read tells how many
};

// What one read found, in the order of sample numbers: samples lost in the ring,
// then samples missing at the source, then `count` samples, all of one time
// segment and one set of calibrations. Any of the three may be 0.
struct Chunk {
  SampleNumber from;    // where the reader stood
  SampleCount lost;     // overwritten before this reader came; pushed, but not to be had
  SampleCount missing;  // never pushed: declared by Writer::gap
  GapCause cause = GapCause::source;  // of `missing`
  // More marks were overwritten than the stream keeps: `lost` and `missing` are
  // exact, but lie mixed in [from, first).
  bool mixed = false;
  bool new_segment = false;  // the clock was set, or samples are missing or lost, before `first`

  SampleNumber first;     // of the first sample delivered; from + lost + missing
  SampleCount count;      // samples delivered
  std::uint64_t row = 0;  // its position: samples pushed before it, gaps not counted
  Time time{};            // of `first`; irregular streams: block.times() has them all
  // The clock of a regular stream: sample `clock_sample` is at `clock_time`.
  SampleNumber clock_sample;
  Time clock_time{};
  CalibrationSetId calibrations;
  Stop stop = Stop::drained;
};

// A stamp the source gave, see StreamWriter::stamp.
struct Anchor {
  SampleNumber sample;
  Time time{};
  std::uint64_t ticks = 0;
};

// A reader's books, all in samples; produced == delivered + lost + missing + pending.
struct Accounting {
  SampleCount produced;  // since the reader began: pushed and missing
  SampleCount delivered;
  SampleCount lost;
  SampleCount missing;
  SampleCount pending;  // produced, not read yet
  friend bool operator==(const Accounting&, const Accounting&) = default;
};

// How to wait for samples.
struct Spin {};   // lowest latency, takes a core
struct Yield {};  // gives the core away when others want it
struct Sleep {    // cheapest; late by up to the interval
  std::chrono::nanoseconds interval{1'000'000};
};

// Reads a stream with a cursor of its own. Any number of readers; each is used by
// one thread at a time, writes nothing that others see, and can't delay the
// writer. Unless said otherwise: wait-free, allocates nothing, locks nothing, no
// system call.
//
// Apart from everything else in memory, so that its cursor can't slow the pushes of a writer.
class alignas(apart) StreamReader {
 public:
  // Starts at the oldest sample that is still readable; what was overwritten
  // before then is not counted as this reader's loss. Throws nothing.
  explicit StreamReader(const Stream& stream) noexcept;

  [[nodiscard]] const StreamInfo& info() const noexcept { return stream_->info(); }
  [[nodiscard]] SampleCount capacity() const noexcept { return stream_->capacity(); }

  // Copies up to block.frames() samples of every channel, from the cursor on, and
  // moves the cursor behind them. The block must be made for this stream.
  // One copy, one validation: what the writer overwrote meanwhile is dropped
  // and counted as lost, the intact rest is returned. O(count * channels).
  Chunk read(Block& block) noexcept { return read(block, nowhere); }
  // The same, but no sample from position `until` on; what was lost may reach behind it.
  Chunk read(Block& block, std::uint64_t until) noexcept {
    Chunk chunk;
    read_into(block, chunk, until);
    return chunk;
  }
  static constexpr std::uint64_t nowhere = std::numeric_limits<std::uint64_t>::max();

  // The number of the next sample this reader would deliver.
  [[nodiscard]] SampleNumber next() const noexcept { return {cursor_ + mark_.gaps}; }
  // Its position: the samples pushed before it, gaps not counted.
  [[nodiscard]] std::uint64_t position() const noexcept { return cursor_; }
  // Samples pushed and not read yet, of which some may be overwritten. O(1).
  [[nodiscard]] SampleCount pending() const noexcept;

  // The books at one moment of the writer. O(marks not read); lock-free like a seek.
  [[nodiscard]] Accounting accounting() const noexcept;

  // The calibrations that a chunk names. The reference lives as long as the stream.
  [[nodiscard]] const CalibrationSet& calibrations(CalibrationSetId id) const noexcept {
    return stream_->calibrations(id);
  }

  // Copies stamps not read yet to `out`, oldest first; returns how many.
  std::size_t read_anchors(std::span<Anchor> out) noexcept;
  // Stamps overwritten before they were read.
  [[nodiscard]] std::uint64_t anchors_lost() const noexcept { return anchors_lost_; }

  // Move the cursor; the books start anew. O(marks readable). Lock-free, not wait-free:
  // begin again when the writer overwrote all marks meanwhile.
  void seek_oldest() noexcept;
  // So that the newest `count` samples are next, or as many as are readable.
  void seek_latest(SampleCount count = {0}) noexcept;
  // To sample `number`, or where it is not readable any more, or in a gap, to the
  // first readable one after it; a number not produced yet waits for it at the
  // head. Returns next().
  SampleNumber seek(SampleNumber number) noexcept;
  // To the first readable sample not earlier than `time`. Irregular streams: O(readable).
  SampleNumber seek(Time time) noexcept;

  // Blocks until `count` samples are pending or `timeout` is over; false then.
  // Sleep and Yield enter the kernel.
  template <class Strategy>
  bool wait(SampleCount count, Strategy strategy, std::chrono::nanoseconds timeout) const noexcept {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (pending() < count) {
      if constexpr (std::is_same_v<Strategy, Spin>) {
        // A look at the clock takes longer than many looks at the head.
        for (int looks = 0; looks < 32; ++looks)
          if (pending() >= count) return true;
      }
      if (std::chrono::steady_clock::now() >= deadline) return false;
      if constexpr (std::is_same_v<Strategy, Sleep>)
        std::this_thread::sleep_for(strategy.interval);
      else if constexpr (std::is_same_v<Strategy, Yield>)
        std::this_thread::yield();
    }
    return true;
  }

 private:
  // `chunk`: as made.
  void read_into(Block& block, Chunk& chunk, std::uint64_t until) noexcept;

  enum class Peek { none, mark, skipped, lost };
  // Makes `peeked_` the mark that follows the one in force. `skipped`: marks in
  // between were overwritten; `lost`: so was everything just tried.
  Peek peek(std::uint64_t end) noexcept;
  // Puts the peeked mark in force.
  void take(Chunk& chunk) noexcept;
  // Takes the marks at the cursor. False if the chunk must end here.
  bool take_due(Chunk& chunk, std::uint64_t end) noexcept;
  void finish(Chunk& chunk, std::uint64_t end, Stop stop) noexcept;
  void place(std::uint64_t position) noexcept;
  [[nodiscard]] std::uint64_t next_mark_position() const noexcept;
  void copy(Block& block, std::uint64_t begin, std::uint64_t end) const noexcept;

  const Stream* stream_;
  RingConsumer ring_;
  MarkReader marks_;
  MarkReader anchors_;
  std::uint64_t cursor_ = 0;     // position of the next sample
  Mark mark_;                    // the state in force at the cursor
  std::uint64_t next_mark_ = 0;  // the mark after it
  Mark peeked_;                  // a copy of mark next_mark_, ...
  bool has_peeked_ = false;      // ... once it was loaded
  std::uint64_t next_anchor_ = 0;
  std::uint64_t anchors_lost_ = 0;
  std::uint64_t started_ = 0;  // the number where the books began
  std::uint64_t delivered_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t missing_ = 0;
};

// The reader of a stream of one channel of type T, for those who want a span.
template <Sample T>
class Reader : public StreamReader {
 public:
  // Allocates room for `frames` samples a read. Throws Error if the stream has
  // several channels or another type.
  explicit Reader(const Stream& stream, std::size_t frames = 1024)
      : StreamReader(checked(stream)), block_(stream.info(), frames) {}

  struct Samples : Chunk {
    std::span<const T> values;  // count of them, valid until the next read
    std::span<const Quality> quality;
    std::span<const Time> times;  // irregular streams only
  };
  // As StreamReader::read.
  Samples read() noexcept {
    const Chunk chunk = StreamReader::read(block_);
    const Block& block = block_;
    const std::size_t count = chunk.count.value;
    return {chunk, block.template values<T>(0).first(count), block.quality(0).first(count),
            block.has_times() ? block.times().first(count) : std::span<const Time>()};
  }

 private:
  static const Stream& checked(const Stream& stream);

  Block block_;
};

}  // namespace spillway
