#include "chunk_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "chunk_codec.hpp"
#include "mapped_file.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway {

namespace {

constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

// HDF5 has no larger chunks, and deflate makes nothing more than 1032 times smaller.
constexpr std::uint64_t most_chunk_bytes = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t most_ratio = 1032;

// The chunk of a column that was read last, from some byte on.
struct Decoded {
  std::size_t chunk = none;
  std::size_t from = 0;
  std::vector<std::byte> bytes;  // may be more than there are

  std::span<std::byte> room(std::size_t count) {
    if (bytes.size() < count) bytes.resize(count);
    return std::span(bytes).first(count);
  }
};

// What decoding takes.
struct Workshop {
  ChunkCodec codec{1};
  std::vector<std::byte> stored;
};

constexpr bool is_deflated(const ChunkColumn& column, const ChunkPlace& place) {
  return column.deflated && (place.filter_mask & 2U) == 0;
}

// Its bytes are the rows.
constexpr bool is_as_it_is(const ChunkColumn& column, const ChunkPlace& place) {
  return !column.deflated || place.filter_mask == not_filtered;
}

std::size_t chunk_of(const ChunkColumn& column, std::uint64_t row) {
  const auto next =
      std::upper_bound(column.chunks.begin(), column.chunks.end(), row,
                       [](std::uint64_t at, const ChunkPlace& p) { return at < p.first_row; });
  if (next == column.chunks.begin() || row - std::prev(next)->first_row >= std::prev(next)->rows)
    return none;
  return static_cast<std::size_t>(std::prev(next) - column.chunks.begin());
}

std::string where(const ChunkPlace& place) {
  return fmt::format("bytes {} to {}", place.address, place.address + place.length - 1);
}

}  // namespace

// Who reads takes what it works with out of here, and puts it back: nobody waits while others
// read, check and decode.
struct ChunkFile::Impl {
  Impl(FileCalls& calls, const std::string& path, std::vector<ChunkColumn> all)
      : file(calls, path, File::Mode::read),
        file_bytes(file.size()),
        columns(std::move(all)),
        decoded(columns.size()) {}

  [[nodiscard]] Decoded take_decoded(std::size_t column) {
    const std::scoped_lock lock(mutex);
    return std::exchange(decoded[column], {});
  }
  void put(std::size_t column, Decoded&& of) {
    const std::scoped_lock lock(mutex);
    decoded[column] = std::move(of);
  }
  [[nodiscard]] std::unique_ptr<Workshop> take_workshop() {
    {
      const std::scoped_lock lock(mutex);
      if (!workshops.empty()) {
        auto taken = std::move(workshops.back());
        workshops.pop_back();
        return taken;
      }
    }
    return std::make_unique<Workshop>();
  }
  void put(std::unique_ptr<Workshop> workshop) {
    const std::scoped_lock lock(mutex);
    workshops.push_back(std::move(workshop));
  }

  [[noreturn]] void fail(const ChunkColumn& column, const ChunkPlace& place,
                         const std::string& what) const;
  // Throws Error unless it can be a chunk of the column in this file.
  void check(const ChunkColumn& column, const ChunkPlace& place) const;
  // Its bytes, as stored, into two places.
  void read_checked(const ChunkColumn& column, const ChunkPlace& place, std::span<std::byte> first,
                    std::span<std::byte> rest) const;
  // All its rows, decoded.
  void load(const ChunkColumn& column, const ChunkPlace& place, std::span<std::byte> to);
  // The file as memory; empty: it is none.
  [[nodiscard]] std::span<const std::byte> mapped();
  // A chunk there; empty: it is not.
  [[nodiscard]] std::span<const std::byte> view(std::size_t column, std::size_t chunk);
  // Rows of one chunk.
  void read(std::size_t column, std::size_t chunk, std::uint64_t row, std::span<std::byte> to);

  File file;
  std::uint64_t file_bytes;
  std::vector<ChunkColumn> columns;

  std::mutex mutex;  // of these:
  std::vector<Decoded> decoded;
  std::vector<std::unique_ptr<Workshop>> workshops;
  bool was_mapped = false;  // it was tried
  std::optional<MappedFile> map;
  std::vector<std::vector<bool>> looked_at;  // of each column, each chunk
};

void ChunkFile::Impl::fail(const ChunkColumn& column, const ChunkPlace& place,
                           const std::string& what) const {
  throw Error(fmt::format("{}: {}, rows {} to {}: {}", file.path(), column.name, place.first_row,
                          place.first_row + place.rows - 1, what));
}

void ChunkFile::Impl::check(const ChunkColumn& column, const ChunkPlace& place) const {
  const std::uint64_t bytes = std::uint64_t{column.chunk_rows} * column.row_bytes;
  if (place.length == 0 || place.address > file_bytes || place.length > file_bytes - place.address)
    fail(column, place,
         fmt::format("{} bytes at byte {} are not in the file of {} bytes", place.length,
                     place.address, file_bytes));
  if (place.rows > column.chunk_rows || bytes > most_chunk_bytes ||
      (is_deflated(column, place) ? bytes > most_ratio * place.length : bytes != place.length))
    fail(column, place,
         fmt::format("{} are no chunk of {} rows of {} bytes", where(place), column.chunk_rows,
                     column.row_bytes));
}

void ChunkFile::Impl::read_checked(const ChunkColumn& column, const ChunkPlace& place,
                                   std::span<std::byte> first, std::span<std::byte> rest) const {
  try {
    file.read_at(place.address, first);
    file.read_at(place.address + first.size(), rest);
  } catch (const Error& error) {
    fail(column, place, fmt::format("{}: {}", where(place), error.what()));
  }
  if (crc32c(rest, crc32c(first)) != place.crc32c)
    fail(column, place, where(place) + ": wrong checksum");
}

void ChunkFile::Impl::load(const ChunkColumn& column, const ChunkPlace& place,
                           std::span<std::byte> to) {
  auto workshop = take_workshop();
  workshop->stored.resize(std::max<std::size_t>(workshop->stored.size(), place.length));
  const auto stored = std::span(workshop->stored).first(place.length);
  read_checked(column, place, stored, {});
  if (!workshop->codec.decode(stored, place.filter_mask, column.row_bytes, to))
    fail(column, place, where(place) + ": can't be decompressed");
  put(std::move(workshop));
}

void ChunkFile::Impl::read(std::size_t column, std::size_t chunk, std::uint64_t row,
                           std::span<std::byte> to) {
  const ChunkColumn& of = columns[column];
  const ChunkPlace& place = of.chunks[chunk];
  check(of, place);
  const std::size_t bytes = std::size_t{of.chunk_rows} * of.row_bytes;
  const std::size_t from = (row - place.first_row) * of.row_bytes;
  const bool as_it_is = is_as_it_is(of, place);
  // A whole chunk needs no stop on its way.
  if (to.size() == bytes) return as_it_is ? read_checked(of, place, to, {}) : load(of, place, to);
  Decoded kept = take_decoded(column);
  if (kept.chunk != chunk || kept.from > from) {
    kept.chunk = none;
    // Nor does its beginning; what comes next is read by whoever reads on.
    kept.from = as_it_is && from == 0 ? to.size() : 0;
    const auto room = kept.room(bytes - kept.from);
    if (as_it_is)
      read_checked(of, place, to.first(kept.from), room);
    else
      load(of, place, room);
    kept.chunk = chunk;
  }
  if (from >= kept.from) std::copy_n(&kept.bytes[from - kept.from], to.size(), to.begin());
  put(column, std::move(kept));
}

std::span<const std::byte> ChunkFile::Impl::mapped() {
  const std::scoped_lock lock(mutex);
  if (!std::exchange(was_mapped, true)) map = MappedFile::of(file);
  return map ? map->bytes() : std::span<const std::byte>();
}

std::span<const std::byte> ChunkFile::Impl::view(std::size_t column, std::size_t chunk) {
  const ChunkColumn& of = columns[column];
  const ChunkPlace& place = of.chunks[chunk];
  if (!is_as_it_is(of, place)) return {};
  check(of, place);
  const std::span<const std::byte> all = mapped();
  if (place.address > all.size() || place.length > all.size() - place.address) return {};
  const auto bytes = all.subspan(place.address, place.length);
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % of.row_bytes != 0) return {};
  {
    const std::scoped_lock lock(mutex);
    looked_at.resize(columns.size());
    looked_at[column].resize(of.chunks.size());
    if (looked_at[column][chunk]) return bytes;
  }
  if (crc32c(bytes) != place.crc32c) fail(of, place, where(place) + ": wrong checksum");
  const std::scoped_lock lock(mutex);
  looked_at[column][chunk] = true;
  return bytes;
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
    std::uint64_t n = count;
    if (!of.tail.empty() && row >= of.tail_row) {
      const auto from = std::span(of.tail).subspan((row - of.tail_row) * of.row_bytes);
      std::copy_n(from.begin(), n * of.row_bytes, to.begin());
    } else {
      const std::size_t chunk = chunk_of(of, row);
      if (chunk == none) fail(row, row + count - 1, fmt::format("row {} is in no chunk", row));
      n = std::min(n, of.chunks[chunk].first_row + of.chunks[chunk].rows - row);
      // Rows that are in memory come from there.
      if (!of.tail.empty()) n = std::min(n, of.tail_row - row);
      impl_->read(column, chunk, row, to.first(n * of.row_bytes));
    }
    to = to.subspan(n * of.row_bytes);
    row += n;
    count -= n;
  }
}

std::span<const std::byte> ChunkFile::view(std::size_t column, std::uint64_t row) const {
  const ChunkColumn& of = impl_->columns[column];
  if (!of.tail.empty() && row >= of.tail_row) {
    const std::uint64_t before = row - of.tail_row;
    return std::span(of.tail).subspan(
        std::min<std::uint64_t>(before * of.row_bytes, of.tail.size()));
  }
  const std::size_t chunk = chunk_of(of, row);
  if (chunk == none) return {};
  const std::span<const std::byte> bytes = impl_->view(column, chunk);
  if (bytes.empty()) return {};
  const ChunkPlace& place = of.chunks[chunk];
  std::uint64_t end = place.rows;
  if (!of.tail.empty()) end = std::min(end, of.tail_row - place.first_row);
  const std::uint64_t begin = row - place.first_row;
  return bytes.subspan(begin * of.row_bytes, (end - begin) * of.row_bytes);
}

}  // namespace spillway
