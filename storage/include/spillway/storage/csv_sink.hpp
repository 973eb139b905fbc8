// Records streams into a CSV file, with everything that is known about them beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "spillway/storage/durability.hpp"
#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/output_file.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

struct CsvOptions {
  enum class Form : std::uint8_t {
    wide,       // a line a sample, a column a channel: one stream
    long_form,  // a line a value, with the name of its channel: any number of streams
  };
  Form form = Form::wide;
  Durability durability = Durability::full;
};

// "wide", "long".
[[nodiscard]] const char* to_string(CsvOptions::Form form) noexcept;
// Throws Error that lists what is allowed.
[[nodiscard]] CsvOptions::Form csv_form_from(const std::string& name);

// A header, then lines, see docs/csv.md. RFC 4180 (CRLF, names quoted where needed), UTF-8 without
// byte order mark. Columns of the wide form:
//
//   sample             sample number; it jumps where samples are missing or lost
//   time_ns            nanoseconds from the origin of the stream, an integer, never blank
//   <channel>          raw value in its own type: integers as integers, floats as the
//                      shortest decimal that reads back as the same bits, of float for float
//   <channel>_quality  the quality byte, decimal: verdict in bits 0 and 1, reasons above
//
// of the long form time_ns,channel,value,quality, where the channel is named "stream/channel" if
// there are several streams; the lines of one sample stand together, in the order of channels.
//
// Not-a-number is spelled NaN and infinity INF and -INF, as XML Schema and with it CSV on the
// Web want it and as pandas, R, MATLAB, Python and strtod read it. Everything reads back bit for
// bit, but for the sign and payload of a NaN.
//
// What is known about the samples (units, range, calibrations, quality flags, origin, rate,
// segments, gaps with their causes, stamps, counts, events, log, configuration, state, how it
// ended) and checksums of every byte go to "<path>-metadata.json", where CSV on the Web looks for
// it. Both files grow as ".part" and get their final names in close(), the metadata first: a CSV
// with a final name has its metadata. "<path>.journal" stands beside them while they grow, unless
// the durability is none.
//
// Memory grows with the gaps, segments, calibration changes, stamps, events and log lines of the
// recording, which are kept for the metadata, and with 40 bytes for each MiB of text; not with
// its samples. One thread at a time.
class CsvSink : public Sink {
 public:
  CsvSink(std::string path, Existing existing, CsvOptions options = {},
          FileCalls& calls = system_file_calls());
  // Without close(), all files stay under their temporary names if anything was flushed.
  ~CsvSink() override;

  // Throws Error unless every stream passes check(), there is exactly one in the wide form and at
  // least one in the long form, no name stands twice, all texts are UTF-8, and all paths can be
  // claimed (see OutputFile); then no file was made.
  void begin(const RecordingInfo& info) override;

  // Formats lines, O(count * channels), and writes to the file whenever 256 KiB have come
  // together. Throws Error if a write fails, DiskFull if the disk is or is about to be full.
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t stream, const Gap& gap) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  // Kept for the metadata; a text in it that is not UTF-8 has U+FFFD there instead.
  void append_event(const RecordedEvent& event) override;
  void append_log(std::string_view line) override;

  // Writes what was appended, then commits the journal; `full` syncs the text before. The metadata
  // file is replaced as a whole by the first flush and after each change of calibration, for people
  // and programs that look at a growing file; it is as old as that. Throws as append, or if syncing
  // fails.
  void flush() override;

  // After a failed write the file is cut to the last whole sample, its metadata counts the
  // rows that are not in it as lost ("not_written"), and both are sealed. The ending is
  // then recorded as not complete, whatever `ending` says. Throws Error if rows could not be
  // written by this call (after sealing what was), or if a file can't be sealed, or if syncing
  // failed before, when nobody can tell what is on the disk; the data is then in the ".part" files
  // and what was acknowledged in them is told by the journal.
  void close(const Ending& ending) override;
  [[nodiscard]] SampleNumber end(std::size_t stream) const override;
  [[nodiscard]] std::uint64_t not_written(std::size_t stream) const override;
  void abandon() noexcept override;

  // To the CSV file; what waits in the buffer not counted.
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override;
  [[nodiscard]] std::string name() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
