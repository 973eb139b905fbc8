// Records into one HDF5 file that NeXus, CF and netCDF readers understand.
#pragma once

#include <memory>
#include <string>

#include "spillway/storage/durability.hpp"
#include "spillway/storage/file_calls.hpp"
#include "spillway/storage/output_file.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

struct Hdf5Options {
  Durability durability = Durability::full;
  // Shuffle and deflate of this level, 1 (fastest) to 12, by libdeflate; 0: values are stored as
  // they are. Any HDF5 reads it without a plugin. A chunk that does not get full within 10 s
  // is stored as it is. Live readers see compressed columns chunk by chunk, then.
  int compression = 0;
  // Threads that compress; with 0 the thread that calls append does. At most 64.
  std::size_t compression_threads = 1;
  // A file that HDF5 1.8 reads; it cannot be read while it grows.
  bool compatible = false;
};

// Writes the layout of docs/file-format.md. While it grows the file is called
// "<path>.part" and may be read live (SWMR); "<path>.journal" stands beside it unless the
// durability is none. close() seals it under `path`.
//
// Each flush acknowledges everything appended before, see Durability. Memory is one chunk a
// dataset, at most 64 MiB for a stream, two for each thread that compresses, and 40 bytes for each
// chunk written. Several sinks may be used by several threads; they take turns inside the HDF5
// library, but not while they compress or sync.
//
// Switches HDF5's tidying at exit off (H5dont_atexit): a program that uses HDF5 itself
// closes its own files.
//
// When the disk is about to be full, append() and flush() throw DiskFull while there
// is still room to close the file properly. Where a sync of the file failed, close() throws and
// leaves it beside its journal, as it does when it can't write: for recover().
class Hdf5Sink : public Sink {
 public:
  Hdf5Sink(std::string path, Existing existing, Hdf5Options options = {},
           FileCalls& calls = system_file_calls());
  ~Hdf5Sink() override;

  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  // Of an uncompressed recording: its chunks.
  [[nodiscard]] std::size_t best_frames(const StreamInfo& info) const override;
  [[nodiscard]] static std::size_t chunk_frames(const StreamInfo& info);
  void append_gap(std::size_t stream, const Gap& gap) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  void append_event(const RecordedEvent& event) override;
  void append_log(std::string_view line) override;
  void flush() override;
  void close(const Ending& ending) override;
  [[nodiscard]] SampleNumber end(std::size_t stream) const override;
  void abandon() noexcept override;
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override;
  [[nodiscard]] std::string name() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
