// Reads a recording back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/stream_info.hpp"
#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/sink.hpp"
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
// unfinished ones. Every function may block, allocate and throw Error, reading also if bytes are
// not what was written: it names the channel, the rows and the place in the file. One thread at
// a time for each Recording; several Recordings take turns.
class Recording {
 public:
  // Tells the format by content. Throws Error if `path` is no recording.
  //
  // An unfinished one ("run.h5.part") whose journal is there is read by the journal if its recorder
  // does not live any more: what was acknowledged, and nothing else. While the recorder
  // lives, and without a journal, HDF5 is read as live readers do.
  static Recording open(const std::string& path, FileCalls& calls = system_file_calls());
  Recording(Recording&&) noexcept;
  Recording& operator=(Recording&&) noexcept;
  ~Recording();

  [[nodiscard]] const std::string& path() const noexcept;
  [[nodiscard]] const std::string& title() const noexcept;
  [[nodiscard]] const std::string& start_time() const noexcept;
  // Empty: not sealed, or recovered, and nobody knows.
  [[nodiscard]] const std::string& end_time() const noexcept;
  // "recording" for a growing or unfinished one, else as to_string(Ending) says.
  [[nodiscard]] const std::string& status() const noexcept;
  [[nodiscard]] const std::string& configuration() const noexcept;
  [[nodiscard]] const std::string& provenance() const noexcept;

  [[nodiscard]] const std::string& state() const noexcept;
  [[nodiscard]] const std::vector<RecordedEvent>& events() const noexcept;
  [[nodiscard]] const std::vector<std::string>& log() const noexcept;  // lines of JSON

  enum class Guard : std::uint8_t {
    seal,     // sealed: every byte that is read is checked against the checksums in the file
    journal,  // unfinished: every byte that is read is checked against the journal
    none,     // growing, or made otherwise: nothing to check with but what HDF5 itself checks
  };
  [[nodiscard]] Guard guard() const noexcept;

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
