// One-dimensional datasets that grow. Private.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "h5.hpp"

namespace spillway::h5 {

// Gathers rows in memory until a chunk is whole, then writes it directly into
// the file: whole chunks cost no more than raw writes, hyperslabs two to three
// times as much. flush() writes the unfinished chunk's new rows by hyperslab.
class Column {
 public:
  // `fill`: what a reader sees where nothing was written; null for zero.
  Column(hid_t group, const std::string& name, hid_t type, std::size_t row_bytes,
         std::size_t chunk_rows, const void* fill);

  [[nodiscard]] hid_t id() const noexcept { return dataset_; }

  // Room for up to `rows` more rows of the current chunk; says how many with
  // `room`. Fill it, then call added().
  [[nodiscard]] std::byte* reserve(std::size_t& room) noexcept {
    room = chunk_rows_ - filled_;
    return buffer_.data() + filled_ * row_bytes_;
  }
  // Returns the bytes written to the file.
  std::size_t added(std::size_t rows);

  std::size_t append(const void* rows, std::size_t count);
  std::size_t flush();
  [[nodiscard]] std::uint64_t rows() const noexcept { return base_ + filled_; }

 private:
  Id dataset_;
  Id type_;
  std::string name_;
  std::size_t row_bytes_;
  std::size_t chunk_rows_;
  std::vector<std::byte> buffer_;
  std::uint64_t base_ = 0;   // rows in whole chunks, written
  std::size_t filled_ = 0;   // rows in the buffer
  std::size_t flushed_ = 0;  // of which the file has
};

// A small table of compound rows, written where they belong at each flush.
class Table {
 public:
  // Takes `type` over.
  Table(hid_t group, const std::string& name, Id type, std::size_t chunk_rows);

  // Rows [at, at + count), at <= rows(). Returns the bytes written.
  std::size_t write(std::uint64_t at, const void* rows, std::size_t count);
  [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }

 private:
  Id type_;
  Id dataset_;
  std::string name_;
  std::uint64_t rows_ = 0;
};

// An empty dataset without limit, in chunks.
Id make_growing(hid_t group, const std::string& name, hid_t type, std::size_t chunk_rows,
                const void* fill);
// Writes rows into a dataset that is long enough.
void write_rows(hid_t dataset, hid_t type, std::uint64_t at, const void* rows, std::size_t count,
                const std::string& name);

}  // namespace spillway::h5
