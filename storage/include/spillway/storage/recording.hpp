// Reads a recording back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/stream_info.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

// What a recording holds of one stream. Rows are dense, sample numbers are not:
// `segments` tells which rows have which numbers.
struct RecordedStream {
  StreamInfo info;
  std::uint64_t rows = 0;
  RecordedCounts counts;
  std::vector<Segment> segments;
  std::vector<Gap> gaps;
  std::vector<CalibrationChange> calibrations;
  std::vector<Anchor> anchors;

  // The number and the time of a row; row < rows. O(log segments).
  [[nodiscard]] SampleNumber number(std::uint64_t row) const;
  [[nodiscard]] const Segment& segment(std::uint64_t row) const;
};

// An open recording. Finished ones, and, as far as they were flushed, growing and
// unfinished ones. Every function may block, allocate and throw Error. One thread at
// a time for each Recording; several Recordings take turns.
class Recording {
 public:
  // Tells the format by content. Throws Error if `path` is no recording.
  static Recording open(const std::string& path);
  Recording(Recording&&) noexcept;
  Recording& operator=(Recording&&) noexcept;
  ~Recording();

  [[nodiscard]] const std::string& path() const noexcept;
  [[nodiscard]] const std::string& title() const noexcept;
  [[nodiscard]] const std::string& start_time() const noexcept;
  [[nodiscard]] const std::string& end_time() const noexcept;  // empty: not sealed
  // "complete", "recording" for a growing or unfinished one, or "incomplete: why".
  [[nodiscard]] const std::string& status() const noexcept;
  [[nodiscard]] const std::string& configuration() const noexcept;
  [[nodiscard]] const std::string& provenance() const noexcept;

  [[nodiscard]] const std::vector<RecordedStream>& streams() const noexcept;
  // Index of the stream of that name; throws Error that lists what there is.
  [[nodiscard]] std::size_t find(const std::string& stream) const;

  // Rows [row, row + out.size()) of a channel. T must be the channel's type.
  template <Sample T>
  void read_raw(std::size_t stream, std::size_t channel, std::uint64_t row,
                std::span<T> out) const {
    read_values(stream, channel, row, out.size(), static_cast<int>(sample_type_of<T>()),
                out.data());
  }
  // In engineering units, by the calibrations that applied; NaN where the sample is missing.
  void read_calibrated(std::size_t stream, std::size_t channel, std::uint64_t row,
                       std::span<double> out) const;
  void read_quality(std::size_t stream, std::size_t channel, std::uint64_t row,
                    std::span<Quality> out) const;
  // Exact times from the stream's origin.
  void read_times(std::size_t stream, std::uint64_t row, std::span<Time> out) const;

 private:
  struct Impl;
  explicit Recording(std::unique_ptr<Impl> impl);
  void read_values(std::size_t stream, std::size_t channel, std::uint64_t row, std::size_t count,
                   int type, void* out) const;

  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
