// Records one stream into a CSV file, with everything that is known about it beside it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spillway/channels/units.hpp"
#include "spillway/storage/output_file.hpp"
#include "spillway/storage/sink.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

// Wide CSV: a header row, then one row a sample, see docs/csv.md. RFC 4180 (CRLF, names quoted
// where needed), UTF-8 without byte order mark. Columns:
//
//   sample             sample number; it jumps where samples are missing or lost
//   time_ns            nanoseconds from the origin of the stream, an integer, never blank
//   <channel>          raw value in its own type: integers as integers, floats as the
//                      shortest decimal that reads back as the same bits, of float for float
//   <channel>_quality  the quality byte, decimal: verdict in bits 0 and 1, reasons above
//
// Not-a-number is spelled NaN and infinity INF and -INF, as XML Schema and with it CSV on the
// Web want it and as pandas, R, MATLAB, Python and strtod read it. Everything reads back bit for
// bit, but for the sign and payload of a NaN.
//
// What is known about the samples (units, range, calibrations, quality flags, origin, rate,
// segments, gaps with their causes, stamps, counts, configuration, how it ended) goes to
// "<path>-metadata.json", where CSV on the Web looks for it. Both files grow as ".part" and get
// their final names in close(), the metadata first: a CSV with a final name has its metadata.
//
// Memory grows with the gaps, segments, calibration changes and stamps of the recording, which
// are kept for the metadata, not with its samples. One thread at a time.
class CsvSink : public Sink {
 public:
  // Touches no file; paths are claimed by begin().
  CsvSink(std::string path, Existing existing);
  // Without close(), both files stay under their temporary names if anything was flushed.
  ~CsvSink() override;

  // Throws Error unless there is exactly one stream that passes check(), all texts are UTF-8, and
  // both paths can be claimed (see OutputFile); then no file was made.
  void begin(const RecordingInfo& info) override;

  // Formats rows, O(count * channels), and writes to the file whenever 256 KiB have come
  // together. Throws Error if a write fails or the disk is about to be full.
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;

  // Writes and syncs (fdatasync) what was appended. The metadata file is written by the first
  // flush and after each change of calibration: should this process be killed, its list of gaps
  // is that of then, and the jumps of `sample` tell the rest. Throws Error as append, or if syncing
  // fails.
  void flush() override;

  // After a failed write the file is cut to the last whole row, its metadata counts the
  // rows that are not in it as lost ("not_written"), and both are sealed. The ending is
  // then recorded as not complete, whatever `ending` says. Throws Error if rows could not be
  // written by this call (after sealing what was), or if a file can't be sealed, or if syncing
  // failed before, when nobody can tell what is on the disk; the data is then in the ".part" files.
  void close(const Ending& ending) override;
  void abandon() noexcept override;

  // To the CSV file; what waits in the buffer not counted.
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override { return bytes_; }
  [[nodiscard]] std::string name() const override { return path_; }

 private:
  void write_rows(const Chunk& chunk, const Block& block);
  // Throws Error; what could not be written is gone then, and failure_ says why.
  void write_buffer();
  void sync();
  void write_metadata(const Ending& ending);
  [[nodiscard]] std::string metadata(const Ending& ending) const;
  [[nodiscard]] std::uint64_t rows_in_file() const noexcept { return lines_ > 0 ? lines_ - 1 : 0; }
  [[noreturn]] void fail(const std::string& message);

  std::string path_;
  RecordingInfo info_;
  std::optional<OutputFile> rows_file_;
  std::optional<OutputFile> metadata_file_;
  int fd_ = -1;

  std::vector<char> buffer_;
  std::size_t used_ = 0;
  std::size_t longest_row_ = 0;  // at most so many bytes
  std::uint64_t buffered_lines_ = 0;
  std::uint64_t bytes_ = 0;  // in the file, all of whole lines unless torn_
  std::uint64_t lines_ = 0;  // in the file, with the header

  StreamLog log_;
  std::vector<CalibrationChange> calibrations_;
  std::vector<Anchor> anchors_;
  bool metadata_due_ = true;

  std::string failure_;       // what went wrong first; empty: nothing
  bool torn_ = false;         // a write failed: the file may end in a part of a row
  bool sync_failed_ = false;  // must not be retried: the kernel has dropped the error
};

}  // namespace spillway
