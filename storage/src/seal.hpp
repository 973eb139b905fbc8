// The checksums of a sealed HDF5 file: of every byte of it, in the file. Private; the format
// is in docs/file-format.md.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "file.hpp"

namespace spillway {

// A range of bytes with a checksum: a chunk of a column, or whatever lies between chunks.
struct SealRange {
  static constexpr std::uint32_t no_column = 0xFFFFFFFF;
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  std::uint64_t first_row = 0;       // of a chunk
  std::uint32_t column = no_column;  // index in Seal::columns; no_column: no chunk
  std::uint32_t rows = 0;            // of the chunk that count
  std::uint32_t filter_mask = 0;
  std::uint32_t crc32c = 0;
};
static_assert(sizeof(SealRange) == 40);

// One-dimensional datasets whose chunks the ranges name.
struct SealColumn {
  std::string path;  // "/entry/pump/x"
  std::uint32_t chunk_rows = 0;
  std::uint32_t row_bytes = 0;
  bool deflated = false;  // has the filters shuffle and deflate
};

struct Seal {
  std::uint64_t address = 0;  // of the seal itself, in the file
  std::uint64_t length = 0;
  std::vector<SealColumn> columns;
  std::vector<SealRange> ranges;  // by address; together all bytes of the file but the seal's own
};

// How long the seal of a file of at most `file_bytes` with these columns and so many chunks gets at
// most: what the dataset "integrity" must have room for. Bytes in chunks need not be counted in
// `file_bytes`, and make the room larger if they are.
[[nodiscard]] std::uint64_t seal_room(const std::vector<SealColumn>& columns, std::size_t chunks,
                                      std::uint64_t file_bytes);

// Into the `room` bytes at `address` of a file that is closed otherwise and will not be written
// any more: checks nothing of the chunks (their checksums are from when they were written), reads
// everything else. Throws Error.
void write_seal(File& file, std::uint64_t address, std::uint64_t room,
                const std::vector<SealColumn>& columns, std::vector<SealRange> chunks);

// The seal of a file, found without HDF5 in its last 64 MiB; none: it has no seal there. Throws
// Error naming the position if there is one but it is damaged or not of this file.
[[nodiscard]] std::optional<Seal> read_seal(const File& file);

// Reads everything but the seal, which read_seal has checked; calls `damaged` for every range that
// can't be read or whose checksum is wrong, in the order of addresses. Memory: 1 MiB.
void check_seal(const File& file, const Seal& seal,
                const std::function<void(const SealRange&, const std::string& what)>& damaged);

}  // namespace spillway
