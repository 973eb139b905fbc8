#include "chunk_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "chunk_codec.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway {

namespace {

constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

// HDF5 has no larger chunks, and deflate makes nothing more than 1032 times smaller.
constexpr std::uint64_t most_chunk_bytes = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t most_ratio = 1032;

// The chunk of a column that was read last.
struct Decoded {
  std::size_t chunk = none;
  std::vector<std::byte> bytes;
};

}  // namespace

struct ChunkFile::Impl {
  Impl(FileCalls& calls, const std::string& path, std::vector<ChunkColumn> all)
      : file(calls, path, File::Mode::read),
        file_bytes(file.size()),
        columns(std::move(all)),
        decoded(columns.size()) {}

  // The rows of a chunk that count.
  std::span<const std::byte> rows_of(std::size_t column, std::size_t chunk);
  void load(const ChunkColumn& column, const ChunkPlace& place, std::vector<std::byte>& to);

  File file;
  std::uint64_t file_bytes;
  std::vector<ChunkColumn> columns;
  std::vector<Decoded> decoded;
  ChunkCodec codec{1};
  std::vector<std::byte> stored;
};

void ChunkFile::Impl::load(const ChunkColumn& column, const ChunkPlace& place,
                           std::vector<std::byte>& to) {
  const auto fail = [&](const std::string& what) {
    throw Error(fmt::format("{}: {}, rows {} to {}: {}", file.path(), column.name, place.first_row,
                            place.first_row + place.rows - 1, what));
  };
  const std::uint64_t bytes = std::uint64_t{column.chunk_rows} * column.row_bytes;
  const std::uint32_t mask = column.deflated ? place.filter_mask : not_filtered;
  const bool deflated = (mask & 2U) == 0;
  if (place.length == 0 || place.address > file_bytes || place.length > file_bytes - place.address)
    fail(fmt::format("{} bytes at byte {} are not in the file of {} bytes", place.length,
                     place.address, file_bytes));
  const std::string where =
      fmt::format("bytes {} to {}", place.address, place.address + place.length - 1);
  if (place.rows > column.chunk_rows || bytes > most_chunk_bytes ||
      (deflated ? bytes > most_ratio * place.length : bytes != place.length))
    fail(fmt::format("{} are no chunk of {} rows of {} bytes", where, column.chunk_rows,
                     column.row_bytes));
  stored.resize(place.length);
  try {
    file.read_at(place.address, stored);
  } catch (const Error& error) {
    fail(fmt::format("{}: {}", where, error.what()));
  }
  if (crc32c(stored) != place.crc32c) fail(where + ": wrong checksum");
  to.resize(bytes);
  if (!codec.decode(stored, mask, column.row_bytes, to)) fail(where + ": can't be decompressed");
}

std::span<const std::byte> ChunkFile::Impl::rows_of(std::size_t column, std::size_t chunk) {
  const ChunkColumn& of = columns[column];
  const ChunkPlace& place = of.chunks[chunk];
  Decoded& kept = decoded[column];
  if (kept.chunk != chunk) {
    kept.chunk = none;
    load(of, place, kept.bytes);
    kept.chunk = chunk;
  }
  return std::span(kept.bytes).first(std::size_t{place.rows} * of.row_bytes);
}

ChunkFile::ChunkFile(FileCalls& calls, const std::string& path, std::vector<ChunkColumn> columns)
    : impl_(std::make_unique<Impl>(calls, path, std::move(columns))) {
  for (const ChunkColumn& column : impl_->columns)
    if (column.row_bytes == 0)
      throw Error(fmt::format("{}: {}: rows of no bytes", path, column.name));
}
ChunkFile::~ChunkFile() = default;
ChunkFile::ChunkFile(ChunkFile&&) noexcept = default;
ChunkFile& ChunkFile::operator=(ChunkFile&&) noexcept = default;

const ChunkColumn& ChunkFile::column(std::size_t column) const noexcept {
  return impl_->columns[column];
}

std::uint64_t ChunkFile::rows(std::size_t column) const noexcept {
  const ChunkColumn& of = impl_->columns[column];
  if (!of.tail.empty()) return of.tail_row + of.tail.size() / of.row_bytes;
  return of.chunks.empty() ? 0 : of.chunks.back().first_row + of.chunks.back().rows;
}

void ChunkFile::read(std::size_t column, std::uint64_t row, std::uint64_t count,
                     std::span<std::byte> to) const {
  const ChunkColumn& of = impl_->columns[column];
  const auto fail = [&](std::uint64_t first, std::uint64_t last, const std::string& what) {
    throw Error(
        fmt::format("{}: {}, rows {} to {}: {}", impl_->file.path(), of.name, first, last, what));
  };
  if (count == 0) return;
  const std::uint64_t end = rows(column);
  if (row > end || count > end - row)
    fail(row, row + count - 1, fmt::format("there are {} rows", end));
  while (count > 0) {
    std::span<const std::byte> from;
    if (!of.tail.empty() && row >= of.tail_row) {
      from = std::span(of.tail).subspan((row - of.tail_row) * of.row_bytes);
    } else {
      const auto next = std::upper_bound(
          of.chunks.begin(), of.chunks.end(), row,
          [](std::uint64_t wanted, const ChunkPlace& p) { return wanted < p.first_row; });
      if (next == of.chunks.begin() || row - std::prev(next)->first_row >= std::prev(next)->rows)
        fail(row, row + count - 1, fmt::format("row {} is in no chunk", row));
      const auto chunk = static_cast<std::size_t>(std::prev(next) - of.chunks.begin());
      from =
          impl_->rows_of(column, chunk).subspan((row - of.chunks[chunk].first_row) * of.row_bytes);
      // Rows that are in memory come from there.
      if (!of.tail.empty())
        from = from.first(std::min<std::uint64_t>(from.size(), (of.tail_row - row) * of.row_bytes));
    }
    const std::uint64_t n = std::min<std::uint64_t>(count, from.size() / of.row_bytes);
    std::copy_n(from.begin(), n * of.row_bytes, to.begin());
    to = to.subspan(n * of.row_bytes);
    row += n;
    count -= n;
  }
}

}  // namespace spillway
