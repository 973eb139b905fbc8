// The books of one recorded stream: which samples are in the file, which are not, and why.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "spillway/channels/reader.hpp"

namespace spillway {

// A run of consecutive sample numbers that are in the recording.
struct Segment {
  std::uint64_t first_sample = 0;
  std::uint64_t row = 0;  // of the first sample: rows are dense, numbers are not
  std::uint64_t count = 0;
  std::int64_t t0_ns = 0;  // of the first sample, from the origin of the stream
  // The clock of a regular stream; sample n is at clock_ns + (n - clock_sample) / rate.
  // Kept apart from t0_ns, because rounding must not add up over many gaps.
  std::uint64_t clock_sample = 0;
  std::int64_t clock_ns = 0;
  friend bool operator==(const Segment&, const Segment&) = default;
};

// Why samples are not in a recording.
enum class Absence : std::uint8_t {
  missing = 0,        // at the source: the hardware or the driver reported it
  lost_upstream = 1,  // a derived stream: the graph came too late for its input
  lost = 2,           // the recorder came too late
  mixed = 3,          // so many gaps at once that lost and missing lie mixed in the range
  not_written = 4,    // they were read, but could not be written: the disk was full or failed
  damaged = 5,        // they were recorded, and their bytes are not what they were
};

// A run of sample numbers that are not in the recording.
struct Gap {
  std::uint64_t first_sample = 0;
  std::uint64_t count = 0;    // lost + missing
  std::uint64_t lost = 0;     // pushed, and overwritten before it was read
  std::uint64_t missing = 0;  // never pushed
  Absence cause = Absence::missing;
  friend bool operator==(const Gap&, const Gap&) = default;
};

// From this sample on, this set of calibrations applies.
struct CalibrationChange {
  std::uint64_t from_sample = 0;
  CalibrationSet calibrations;
};

// recorded + lost + missing == produced, in samples.
struct RecordedCounts {
  std::uint64_t produced = 0;
  std::uint64_t recorded = 0;
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  friend bool operator==(const RecordedCounts&, const RecordedCounts&) = default;
};

// Turns the chunks of one stream, in order, into these tables. Keeps what
// was not taken yet and the segment that still grows; its size does not depend on
// how long a recording is. One thread at a time.
class StreamLog {
 public:
  // Throws Error that names `where` and `stream` unless it begins where the last chunk or gap
  // ended: else numbers would be in neither a segment nor a gap, or in two. Also if it does not add
  // up.
  void check(const Chunk& chunk, const std::string& where, const std::string& stream) const;
  void check(const Gap& gap, const std::string& where, const std::string& stream) const;

  // What check() lets pass. `set`: what chunk.calibrations names.
  void add(const Chunk& chunk, const CalibrationSet& set);

  // Samples that no chunk tells of, from where the last chunk or gap ended; gap.count =
  // gap.lost + gap.missing.
  void add(const Gap& gap);

  // The first sample there is a word on, and the first behind all of them.
  [[nodiscard]] SampleNumber begin() const noexcept { return {begin_}; }
  [[nodiscard]] SampleNumber end() const noexcept { return {begin_ + counts_.produced}; }
  [[nodiscard]] const RecordedCounts& counts() const noexcept { return counts_; }
  [[nodiscard]] std::uint64_t rows() const noexcept { return counts_.recorded; }

  // The segment that grows, and how many were finished before it.
  [[nodiscard]] const Segment& open_segment() const noexcept { return segment_; }
  [[nodiscard]] bool has_segment() const noexcept { return has_segment_; }

  // What has come since the last call.
  std::vector<Segment> take_finished_segments() { return std::exchange(finished_, {}); }
  std::vector<Gap> take_gaps() { return std::exchange(gaps_, {}); }
  std::vector<CalibrationChange> take_calibrations() { return std::exchange(changes_, {}); }

 private:
  void add_gap(Gap gap);
  void check_begin(std::uint64_t sample, const std::string& where, const std::string& stream) const;
  void begin_at(std::uint64_t sample);

  RecordedCounts counts_;
  std::uint64_t begin_ = 0;
  bool begun_ = false;
  Segment segment_;
  bool has_segment_ = false;
  bool step_due_ = false;  // a step was told by a chunk without samples
  bool has_calibrations_ = false;
  CalibrationSet calibrations_;
  CalibrationSetId calibrations_id_;
  std::vector<Segment> finished_;
  std::vector<Gap> gaps_;
  std::vector<CalibrationChange> changes_;
};

}  // namespace spillway
