// Reads columns of a guarded or sealed HDF5 file by the addresses of their chunks, without HDF5.
// Private.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "file.hpp"

namespace spillway {

// Where rows [first_row, first_row + rows) of a column are.
struct ChunkPlace {
  std::uint64_t first_row = 0;
  std::uint32_t rows = 0;
  std::uint32_t filter_mask = 0;
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint32_t crc32c = 0;  // of the stored bytes
};

// A column: its chunks by first_row, and behind them rows that are in memory.
struct ChunkColumn {
  std::string name;  // for messages: "channel 'pump/x'"
  std::uint32_t row_bytes = 1;
  std::uint32_t chunk_rows = 0;  // a chunk has so many rows as stored, also if fewer count
  bool deflated = false;
  std::vector<ChunkPlace> chunks;
  std::uint64_t tail_row = 0;
  std::vector<std::byte> tail;
};

// Keeps the chunk of each column that was read last, decoded. Const functions: any number of
// threads at the same time.
class ChunkFile {
 public:
  // `calls` must outlive it. Throws Error.
  ChunkFile(FileCalls& calls, const std::string& path, std::vector<ChunkColumn> columns);
  ~ChunkFile();
  ChunkFile(ChunkFile&&) noexcept;
  ChunkFile& operator=(ChunkFile&&) noexcept;

  [[nodiscard]] std::uint64_t rows(std::size_t column) const noexcept;
  [[nodiscard]] const ChunkColumn& column(std::size_t column) const noexcept;
  // Rows [row, row + count) as they were written. Throws Error that names the column, the rows and
  // the place in the file if bytes are not what was written.
  void read(std::size_t column, std::uint64_t row, std::uint64_t count,
            std::span<std::byte> to) const;
  // Rows from `row` on that lie in the file as they are, or in the tail: in memory for as long as
  // this lives. Empty: these do not, or not where their type may be. The checksum of a chunk
  // is checked when it is looked at first. Throws Error as read().
  [[nodiscard]] std::span<const std::byte> view(std::size_t column, std::uint64_t row) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
