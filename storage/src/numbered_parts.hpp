// The numbered files of a master, whose rows are read from them. Private.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "recording_backend.hpp"

namespace spillway {

// Where the rows of a stream of the master lie: all rows of that stream in one file.
struct PartRows {
  std::uint64_t first_row = 0;  // in the master
  std::uint64_t rows = 0;
  std::size_t part = 0;
};

// The library would read through a master without looking at any checksum, so it reads nothing but
// the tables of one: values come by way of the files' own readers, which check what they read. A
// file is opened when its rows are first read. Const functions: any number of threads.
class NumberedParts {
 public:
  // A row of a column in a file that is not there; `calls` must outlive it.
  using Fill = std::array<std::byte, 8>;
  NumberedParts(std::string master, FileCalls& calls);

  // A file beside the master; its index, the same for the same name. Throws Error for what is no
  // name of a file there.
  std::size_t add(const std::string& name);
  // The next stream: its rows without a hole, the fill of each of its columns. Throws Error.
  void add_stream(const RecordedStream& stream, std::vector<PartRows> rows,
                  std::vector<Fill> fills);

  [[nodiscard]] std::vector<std::string> paths() const;
  // A line for whoever opens the master; empty: all files are there.
  [[nodiscard]] std::string missing() const;

  // As RecordingBackend::read. Rows of a file that was not there when it was added are the fill.
  void read(std::size_t stream, std::size_t column, std::uint64_t row, std::uint64_t count,
            std::span<std::byte> to) const;

 private:
  struct Part {
    std::string name;
    bool there = true;
    std::string failure = {};  // why it can't be opened, once that was tried
  };
  struct Of {
    StreamInfo info;
    std::vector<CalibrationChange> calibrations;  // as recorded, without what was appended
    std::vector<PartRows> rows;
    std::vector<std::uint64_t> first_samples;  // of each of these
    std::vector<Fill> fills;
  };
  struct Opened {
    std::size_t part = 0;
    std::unique_ptr<RecordingBackend> reader;
    // Of each stream of the master: its index there, and those of its columns; none: not there.
    std::vector<std::size_t> streams;
    std::vector<std::vector<std::optional<std::size_t>>> columns;
  };

  [[nodiscard]] std::string path_of(const Part& part) const { return directory_ + part.name; }
  [[nodiscard]] std::shared_ptr<const Opened> opened(std::size_t part) const;
  [[nodiscard]] std::shared_ptr<const Opened> open(std::size_t part) const;
  void place(const Of& of, const PartRows& rows, std::uint64_t first_sample, Opened& in) const;
  void read(std::size_t stream, std::size_t column, const PartRows& from, std::uint64_t row,
            std::uint64_t count, std::span<std::byte> to) const;

  std::string master_;
  std::string directory_;
  FileCalls& calls_;
  std::vector<Of> streams_;
  mutable std::mutex mutex_;                                 // of these:
  mutable std::vector<Part> parts_;                          // but not of names
  mutable std::vector<std::shared_ptr<const Opened>> kept_;  // the newest in front
};

}  // namespace spillway
