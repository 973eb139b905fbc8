// Keeps a recording in memory: for tests and small programs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/sample_type.hpp"
#include "spillway/storage/first_failure.hpp"
#include "spillway/storage/sink.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

// A sink without a file. Memory grows with every sample, without limit. One thread at a time.
//
// Streams and channels are named by their index, rows count the recorded samples of
// a stream from 0. Everything that was appended can be looked at immediately, flushed or not. The
// accessors throw Error if there is no such stream or channel, or the type is another.
class MemorySink : public Sink {
 public:
  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t stream, const Gap& gap) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  void append_event(const RecordedEvent& event) override { events_.push_back(event); }
  void append_log(std::string_view line) override { lines_.emplace_back(line); }
  void flush() override { ++flushes_; }
  void close(const Ending& ending) override;
  [[nodiscard]] SampleNumber end(std::size_t stream) const override;
  // Of values, quality and times.
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override { return bytes_; }
  [[nodiscard]] std::string name() const override { return "memory"; }

  [[nodiscard]] const RecordingInfo& info() const noexcept { return info_; }

  // The raw values of a channel, one a row. T must be the channel's type. As all spans here,
  // valid until the next append.
  template <Sample T>
  [[nodiscard]] std::span<const T> values(std::size_t stream, std::size_t channel) const {
    const std::vector<std::byte>& bytes = lane(stream, channel, sample_type_of<T>()).values;
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  // The same as bytes, whatever the type.
  [[nodiscard]] std::span<const std::byte> bytes(std::size_t stream, std::size_t channel) const {
    return lane(stream, channel, std::nullopt).values;
  }
  [[nodiscard]] std::span<const Quality> quality(std::size_t stream, std::size_t channel) const {
    return lane(stream, channel, std::nullopt).quality;
  }
  // One a row, from the origin of the stream: as recorded for an irregular stream, from
  // the segments and the rate for a regular one. O(rows).
  [[nodiscard]] std::vector<Time> times(std::size_t stream) const;
  // The same of an irregular stream without a copy; empty for a regular one.
  [[nodiscard]] std::span<const Time> recorded_times(std::size_t stream) const;
  // One a row. O(rows).
  [[nodiscard]] std::vector<SampleNumber> sample_numbers(std::size_t stream) const;

  // Of what was appended so far; the last segment is the one that grows. O(their number).
  [[nodiscard]] std::vector<Segment> segments(std::size_t stream) const;
  [[nodiscard]] std::vector<Gap> gaps(std::size_t stream) const;
  [[nodiscard]] std::vector<CalibrationChange> calibrations(std::size_t stream) const;
  [[nodiscard]] std::span<const Anchor> anchors(std::size_t stream) const;
  [[nodiscard]] const RecordedCounts& counts(std::size_t stream) const;

  [[nodiscard]] std::span<const RecordedEvent> events() const noexcept { return events_; }
  [[nodiscard]] std::span<const std::string> log() const noexcept { return lines_; }

  // Empty until close().
  [[nodiscard]] const std::optional<Ending>& ending() const noexcept { return ending_; }
  [[nodiscard]] std::size_t flushes() const noexcept { return flushes_; }

 private:
  struct Lane {
    SampleType type;
    std::vector<std::byte> values;  // as operator new returns it: aligned for every sample type
    std::vector<Quality> quality;
  };
  struct Recorded {
    std::vector<Lane> lanes;
    std::vector<Time> times;  // irregular streams
    std::vector<Anchor> anchors;
    StreamLog log;  // nothing is taken from it, so it keeps all its tables
  };
  [[nodiscard]] const Recorded& recorded(std::size_t stream) const;
  [[nodiscard]] const Lane& lane(std::size_t stream, std::size_t channel,
                                 std::optional<SampleType> type) const;

  RecordingInfo info_;
  std::vector<Recorded> streams_;
  std::vector<RecordedEvent> events_;
  std::vector<std::string> lines_;
  std::optional<Ending> ending_;
  FirstFailure failure_;
  std::size_t flushes_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace spillway
