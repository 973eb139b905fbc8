// Records into one HDF5 file that NeXus, CF and netCDF readers understand.
#pragma once

#include <memory>
#include <string>

#include "spillway/storage/output_file.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

// Writes the layout of docs/file-format.md. While it grows the file is called
// "<path>.part" and may be read live (SWMR); close() seals it under `path`.
//
// Each flush makes everything appended so far readable and safe against the end of
// this process; it does not sync the disk, the seal does. Memory is one chunk a
// dataset, whatever the length of the recording. Several sinks may be used by
// several threads; they take turns inside the HDF5 library.
//
// Switches HDF5's tidying at exit off (H5dont_atexit): a program that uses HDF5 itself
// closes its own files.
//
// When the disk is about to be full, append() and flush() throw while there
// is still room to close the file properly.
class Hdf5Sink : public Sink {
 public:
  Hdf5Sink(std::string path, Existing existing);
  ~Hdf5Sink() override;

  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  void flush() override;
  void close(const Ending& ending) override;
  void abandon() noexcept override;
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override;
  [[nodiscard]] std::string name() const override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
