// Reads a recording back.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/block.hpp"
#include "spillway/channels/stream_info.hpp"
#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/foreign.hpp"
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
  std::vector<CalibrationChange> calibrations;  // in force
  std::vector<Anchor> anchors;

  // The number and the time of a row; row < rows. O(log segments).
  [[nodiscard]] SampleNumber number(std::uint64_t row) const;
  [[nodiscard]] const Segment& segment(std::uint64_t row) const;
};

class MemorySink;

struct OpenOptions {
  Foreign foreign = {};
  // Calibrations that were appended later count, see calibration_sidecar.hpp. False: those that
  // were recorded.
  bool appended_calibrations = true;
};

// An open recording. Finished ones, and, as far as they were flushed, growing and
// unfinished ones; files of others, see foreign.hpp. Every function may block, allocate and throw
// Error, reading also if bytes are not what was written: it names the channel, the rows and the
// place in the file, and for rows that are not there. Const functions: any number of threads at the
// same time.
class Recording {
 public:
  // Tells the format by content. Throws Error if `path` is no recording.
  //
  // An unfinished one ("run.h5.part") whose journal is there is read by the journal if its recorder
  // does not live any more: what was acknowledged, and nothing else. While the recorder
  // lives, and without a journal, HDF5 is read as live readers do.
  static Recording open(const std::string& path, FileCalls& calls = system_file_calls());
  static Recording open(const std::string& path, const OpenOptions& options,
                        FileCalls& calls = system_file_calls());
  // What a MemorySink holds, which takes no more samples from here on.
  static Recording of(std::shared_ptr<const MemorySink> memory);
  Recording(Recording&&) noexcept;
  Recording& operator=(Recording&&) noexcept;
  ~Recording();

  [[nodiscard]] const std::string& path() const noexcept;
  // Others that have its samples, spelled as path() is: the raw data that a sidecar names, the
  // arrays beside that of a NumPy sink.
  [[nodiscard]] const std::vector<std::string>& other_files() const noexcept;
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
  // What could not be taken over as it is, or was decided for want of better: a line each.
  [[nodiscard]] const std::vector<std::string>& remarks() const noexcept;

  // Takes in what came to a growing recording since it was opened, or refreshed: rows, books,
  // events, status. True if anything did. What was sealed meanwhile is read on under its final
  // name; if its recorder died, what was acknowledged, which may be less than was seen before. Not
  // beside any other function; references and views from before are void. After a throw only
  // refresh may be called again. O(what open reads): all books, no sample.
  bool refresh();

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
  // With the quality of what results, as a graph has it: a value outside of a calibration's table
  // is Suspect, calibration, besides what it was, and NaN Bad, missing.
  void read_calibrated(std::size_t stream, std::size_t channel, std::uint64_t row,
                       std::span<double> out, std::span<Quality> quality) const;
  void read_quality(std::size_t stream, std::size_t channel, std::uint64_t row,
                    std::span<Quality> out) const;
  // The first `count` rows of the block, from `row` on: raw values, quality and, of an irregular
  // stream, times. The block is made for the stream.
  void read(std::size_t stream, std::uint64_t row, std::size_t count, Block& block) const;
  // Rows from `row` on that lie in memory as they are, without a copy: as many as lie together,
  // none where there are none: compressed, interleaved, in another byte order, of a file that grows
  // or has no checksums. Memory and sealed HDF5 files have such rows, these chunk by chunk, if a
  // chunk lies where its type may, as large ones do; each is checked when it is looked at first.
  // They live as long as the Recording; if somebody cuts the file meanwhile, looking at them ends
  // the process. T must be the channel's type.
  template <Sample T>
  [[nodiscard]] std::span<const T> view_raw(std::size_t stream, std::size_t channel,
                                            std::uint64_t row) const {
    const std::span<const std::byte> bytes =
        view(stream, channel, row, static_cast<int>(sample_type_of<T>()));
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  // Exact times from the stream's origin.
  void read_times(std::size_t stream, std::uint64_t row, std::span<Time> out) const;

 private:
  struct Impl;
  explicit Recording(std::unique_ptr<Impl> impl);
  void check_type(const ChannelInfo& channel, int type) const;
  void check_rows(std::size_t stream, std::uint64_t row, std::uint64_t count) const;
  void read_values(std::size_t stream, std::size_t channel, std::uint64_t row, std::size_t count,
                   int type, void* out) const;
  [[nodiscard]] std::span<const std::byte> view(std::size_t stream, std::size_t channel,
                                                std::uint64_t row, int type) const;

  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
