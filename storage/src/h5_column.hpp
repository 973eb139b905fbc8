// One-dimensional datasets that grow. Private.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "chunk_codec.hpp"
#include "chunk_pool.hpp"
#include "file.hpp"
#include "h5.hpp"

namespace spillway::h5 {

// Where a chunk lies in the file, as it is stored.
struct Place {
  std::uint64_t address = 0;
  std::uint32_t length = 0;
  std::uint32_t filter_mask = 0;
  std::uint32_t crc32c = 0;
};

// The file that columns write to: by the library, and the bytes of chunks by `direct`.
struct Output {
  hid_t file;
  File& direct;
  ChunkCodec& codec;
};

// A dataset that grows chunk by chunk, and the buffer of the chunk that grows.
//
// Every chunk is written into the file by H5Dwrite_chunk, once; whatever is seen of it before it is
// whole grows in the place that it got then. So the library's chunk cache and its filters, two to
// three times as slow, are never used, and where each chunk lies is known.
//
// Held by whoever calls what takes an Output: Library. All throw Error; after a throw the same call
// may be made again.
class Column {
 public:
  // `fill`: what a reader sees where nothing was written; null for zero. `filters`: shuffle and
  // deflate.
  Column(hid_t group, const std::string& name, hid_t type, std::size_t row_bytes,
         std::size_t chunk_rows, const void* fill, bool filters);

  [[nodiscard]] hid_t id() const noexcept { return dataset_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::size_t row_bytes() const noexcept { return row_bytes_; }
  [[nodiscard]] bool filters() const noexcept { return filters_; }
  // A buffer of one chunk, for rows that have not come yet or are in no whole chunk. Made when it
  // is asked for first: where chunks come whole it never is.
  [[nodiscard]] std::vector<std::byte>& buffer() {
    buffer_.resize(row_bytes_ * chunk_rows_);
    return buffer_;
  }
  [[nodiscard]] std::span<const std::byte> rows(std::size_t from, std::size_t to) const noexcept {
    return std::span(buffer_).subspan(from * row_bytes_, (to - from) * row_bytes_);
  }

  // Makes `rows` rows of the chunk that grows readable; not fewer than before.
  void show(Output& to, std::size_t rows);
  // Ends the chunk at `rows` rows; a chunk that is not whole is the last one. False: it has yet to
  // be compressed, then store()d, the buffer padded for that; everything else is in the file, at
  // `place`.
  [[nodiscard]] bool finish(Output& to, std::size_t rows, Place& place);
  // The same of a chunk whose rows all came at once, without a way through the buffer: nothing of
  // it was shown, and the column has no filters.
  void finish_whole(Output& to, const std::byte* rows, Place& place);
  // Takes the next chunk up, in the buffer.
  void next() noexcept;
  // A chunk that finish() left to be compressed, and is now.
  Place store(Output& to, const ChunkJob& job);

  // Rows that a reader may see.
  [[nodiscard]] std::uint64_t extent() const noexcept { return extent_; }

 private:
  enum class State : unsigned char {
    held,      // nothing of the chunk that grows is in the file
    constant,  // it is there compressed as if its first row came over and over
    raw,       // it is there as it is, and grows in place
  };

  void pad(std::size_t rows);
  void grow(std::uint64_t extent);
  [[nodiscard]] bool constant(std::size_t rows) const noexcept;
  Place write(Output& to, std::uint64_t first_row, std::span<const std::byte> bytes,
              std::uint32_t mask);
  void write_raw(Output& to, std::size_t rows);
  void write_raw(Output& to, std::size_t rows, std::span<const std::byte> chunk);
  void write_constant(Output& to, std::size_t rows);
  void write_rest(Output& to, std::size_t rows);

  Id dataset_;
  std::string name_;
  std::size_t row_bytes_;
  std::size_t chunk_rows_;
  bool filters_;
  std::vector<std::byte> fill_;  // one row
  std::vector<std::byte> buffer_;
  std::uint64_t base_ = 0;    // the first row of the chunk that grows
  std::uint64_t extent_ = 0;  // of the dataset
  State state_ = State::held;
  Place place_;            // of the chunk that grows, unless held
  std::size_t shown_ = 0;  // rows of it that are readable
  // A chunk on its way to store() that takes the place of a shorter one, and that one's length.
  std::uint64_t replaced_row_ = 0;
  std::uint32_t replaced_length_ = 0;
};

// A small table of compound rows, written where they belong at each flush.
class Table {
 public:
  // Takes `type` over.
  Table(hid_t group, const std::string& name, Id type, std::size_t chunk_rows);

  [[nodiscard]] hid_t id() const noexcept { return dataset_; }
  // Rows [at, at + count), at <= rows(). Returns the bytes written.
  std::size_t write(std::uint64_t at, const void* rows, std::size_t count);

 private:
  Id type_;
  Id dataset_;
  std::string name_;
  std::uint64_t rows_ = 0;
};

// An empty dataset without limit, in chunks.
Id make_growing(hid_t group, const std::string& name, hid_t type, std::size_t chunk_rows,
                const void* fill, bool filters);

}  // namespace spillway::h5
