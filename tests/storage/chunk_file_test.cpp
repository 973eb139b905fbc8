#include "chunk_file.hpp"

#include <algorithm>
#include <cstring>
#include <random>

#include "calls_of_a_test.hpp"
#include "chunk_codec.hpp"
#include "spillway/storage/journal.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {

using test::CallsOfATest;
using test::contains;
using test::message_of;
using test::TemporaryDirectory;
using test::write_text;

namespace {

using Bytes = std::vector<std::byte>;

int times(int count) { return std::getenv("SPILLWAY_TEST_FULL") ? 20 * count : count; }

// Columns as recordings have them, and what they should read as.
struct Made {
  std::string file;
  std::vector<ChunkColumn> columns;
  std::vector<Bytes> rows;
};

Made random_columns(std::mt19937_64& random) {
  Made made;
  ChunkCodec codec(1);
  std::vector<std::size_t> row_bytes{1, 2, 4, 8};
  for (std::size_t c = 0; c < 4; ++c) {
    ChunkColumn column;
    column.name = "channel 'pump/x" + std::to_string(c) + "'";
    column.row_bytes = static_cast<std::uint32_t>(row_bytes[random() % 4]);
    column.chunk_rows = static_cast<std::uint32_t>(1 + random() % 300);
    column.deflated = random() % 2 == 0;
    Bytes rows;
    const auto add = [&](std::size_t count) {
      const bool noise = random() % 2 == 0;
      const auto base = static_cast<std::byte>(random());
      for (std::size_t i = 0; i < count * column.row_bytes; ++i)
        rows.push_back(noise ? static_cast<std::byte>(random()) : base);
    };
    const std::size_t chunks = random() % 8;
    for (std::size_t k = 0; k < chunks; ++k) {
      made.file.append(random() % 50, 'x');
      ChunkPlace place;
      place.first_row = rows.size() / column.row_bytes;
      const bool last = k + 1 == chunks;
      place.rows =
          last ? static_cast<std::uint32_t>(1 + random() % column.chunk_rows) : column.chunk_rows;
      const std::size_t before = rows.size();
      add(place.rows);
      Bytes whole(rows.begin() + static_cast<std::ptrdiff_t>(before), rows.end());
      whole.resize(std::size_t{column.chunk_rows} * column.row_bytes, std::byte{0xEE});
      std::span<const std::byte> stored = whole;
      if (column.deflated) {
        place.filter_mask = not_filtered;
        const auto encoded = codec.encode(whole, column.row_bytes);
        if (!encoded.empty() && random() % 3 != 0) {
          stored = encoded;
          place.filter_mask = filtered;
        }
      }
      place.address = made.file.size();
      place.length = static_cast<std::uint32_t>(stored.size());
      place.crc32c = crc32c(stored);
      made.file.append(reinterpret_cast<const char*>(stored.data()), stored.size());
      column.chunks.push_back(place);
    }
    if (chunks == 0 || random() % 2 == 0) {
      // May begin within the last chunk: then those rows come from there.
      column.tail_row = rows.size() / column.row_bytes;
      if (chunks > 0) column.tail_row -= random() % (column.chunks.back().rows + 1);
      rows.resize(column.tail_row * column.row_bytes);
      const std::size_t before = rows.size();
      add(random() % 500);
      column.tail.assign(rows.begin() + static_cast<std::ptrdiff_t>(before), rows.end());
      if (column.tail.empty() && chunks > 0) {
        column.tail_row = column.chunks.back().first_row;  // of no rows: it does not matter
        column.chunks.pop_back();
        rows.resize(column.tail_row * column.row_bytes);
      }
    }
    made.columns.push_back(std::move(column));
    made.rows.push_back(std::move(rows));
  }
  return made;
}

Bytes rows_of(const ChunkFile& file, std::size_t column, std::uint64_t row, std::uint64_t count) {
  Bytes to(count * file.column(column).row_bytes);
  file.read(column, row, count, to);
  return to;
}

}  // namespace

TEST_CASE("ChunkFile: reads any rows of any column as they were written") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  for (int i = 0; i < times(60); ++i) {
    const Made made = random_columns(random);
    write_text(directory / "x", made.file);
    const ChunkFile file(system_file_calls(), directory / "x", made.columns);
    for (std::size_t c = 0; c < 4; ++c) {
      const std::size_t size = made.columns[c].row_bytes;
      const std::uint64_t rows = made.rows[c].size() / size;
      CAPTURE(i, c, rows, size);
      REQUIRE(file.rows(c) == rows);
      REQUIRE((rows_of(file, c, 0, rows) == made.rows[c]));
      for (int k = 0; k < 20; ++k) {
        const std::uint64_t row = random() % (rows + 1);
        const std::uint64_t count = random() % (rows - row + 1);
        const Bytes wanted(
            made.rows[c].begin() + static_cast<std::ptrdiff_t>(row * size),
            made.rows[c].begin() + static_cast<std::ptrdiff_t>((row + count) * size));
        REQUIRE((rows_of(file, c, row, count) == wanted));
      }
      CHECK(contains(message_of([&] { rows_of(file, c, rows, 1); }), "there are"));
      std::byte none{};
      CHECK(contains(message_of([&] {
                       file.read(c, ~std::uint64_t{0}, 1, {&none, 1});
                     }),
                     made.columns[c].name));
    }
  }
}

TEST_CASE("ChunkFile: a changed byte fails the rows of its chunk, by name, and no others") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  std::uint64_t failed = 0;
  for (int i = 0; i < times(60); ++i) {
    Made made = random_columns(random);
    if (made.file.empty()) continue;
    const std::size_t at = random() % made.file.size();
    made.file[at] = static_cast<char>(made.file[at] ^ (1 << random() % 8));
    write_text(directory / "x", made.file);
    const ChunkFile file(system_file_calls(), directory / "x", made.columns);
    for (std::size_t c = 0; c < 4; ++c) {
      const ChunkColumn& column = made.columns[c];
      for (std::uint64_t row = 0; row < file.rows(c); ++row) {
        Bytes got;
        const std::string message = message_of([&] { got = rows_of(file, c, row, 1); });
        const bool in_memory = !column.tail.empty() && row >= column.tail_row;
        const auto chunk =
            std::find_if(column.chunks.begin(), column.chunks.end(), [&](const ChunkPlace& p) {
              return !in_memory && p.first_row <= row && row < p.first_row + p.rows;
            });
        const bool hit = chunk != column.chunks.end() && chunk->address <= at &&
                         at < chunk->address + chunk->length;
        CAPTURE(i, c, row, at, message);
        if (hit) {
          ++failed;
          REQUIRE(contains(message, directory / "x"));
          REQUIRE(contains(message, column.name + ", rows " + std::to_string(chunk->first_row) +
                                        " to " +
                                        std::to_string(chunk->first_row + chunk->rows - 1)));
          REQUIRE(contains(message, "bytes " + std::to_string(chunk->address) + " to " +
                                        std::to_string(chunk->address + chunk->length - 1)));
          REQUIRE(contains(message, "wrong checksum"));
        } else {
          REQUIRE(message.empty());
          REQUIRE(std::equal(
              got.begin(), got.end(),
              made.rows[c].begin() + static_cast<std::ptrdiff_t>(row * column.row_bytes)));
        }
      }
    }
  }
  CHECK(failed > 200);
}

TEST_CASE("ChunkFile: places and sizes that can't be are refused when they are read") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  int refused = 0;
  for (int i = 0; i < times(300); ++i) {
    Made made = random_columns(random);
    write_text(directory / "x", made.file);
    ChunkColumn& column = made.columns[0];
    if (column.chunks.empty()) continue;
    ChunkPlace& place = column.chunks[random() % column.chunks.size()];
    const std::uint64_t values[] = {
        0, 1, random(), ~std::uint64_t{0}, made.file.size(), std::uint64_t{1} << 31};
    const std::uint64_t value = values[random() % 6];
    switch (random() % 8) {
      case 0: place.address = value; break;
      case 1: place.length = static_cast<std::uint32_t>(value); break;
      case 2: place.rows = static_cast<std::uint32_t>(value); break;
      case 3: place.first_row = value; break;
      case 4: place.filter_mask = static_cast<std::uint32_t>(value); break;
      case 5: column.chunk_rows = static_cast<std::uint32_t>(value); break;
      case 6: column.row_bytes = static_cast<std::uint32_t>(value); break;
      default: column.tail_row = value;
    }
    std::string message;
    message = message_of([&] {
      const ChunkFile file(system_file_calls(), directory / "x", made.columns);
      if (column.row_bytes > 1'000'000) return;
      Bytes to(column.row_bytes);
      for (std::uint64_t row = 0; row < std::min<std::uint64_t>(file.rows(0), 3000); ++row)
        file.read(0, row, 1, to);
    });
    if (!message.empty()) ++refused;
  }
  CHECK(refused > 50);
}

TEST_CASE("ChunkFile: a chunk that can't be read is named") {
  const TemporaryDirectory directory;
  write_text(directory / "x", std::string(1000, 'x'));
  ChunkColumn column{"channel 'pump/x'", 4, 25, false, {}, 0, {}};
  const Bytes stored(100, std::byte{'x'});
  for (std::uint32_t k = 0; k < 10; ++k)
    column.chunks.push_back({k * 25, 25, 0, k * 100, 100, crc32c(stored)});
  CallsOfATest calls;
  calls.bad_byte = 250;
  const ChunkFile file(calls, directory / "x", {column});
  CHECK(rows_of(file, 0, 0, 50) == Bytes(200, std::byte{'x'}));
  for (int i = 0; i < 2; ++i)
    CHECK(message_of([&] { rows_of(file, 0, 0, 60); }) ==
          directory / "x" + ": channel 'pump/x', rows 50 to 74: bytes 200 to 299: " +
              (directory / "x") + ": can't be read at byte 240: Input/output error");
  calls.bad_byte = -1;
  CHECK(rows_of(file, 0, 0, 250) == Bytes(1000, std::byte{'x'}));
  CHECK(contains(message_of([&] { ChunkFile(calls, directory / "none", {}); }), "none"));
  column.row_bytes = 0;
  CHECK(contains(message_of([&] { ChunkFile(calls, directory / "x", {column}); }), "no bytes"));
  column.row_bytes = 4;
  for (const std::uint64_t address : {std::uint64_t{901}, std::uint64_t{1001}, ~std::uint64_t{0}}) {
    column.chunks[0].address = address;
    const ChunkFile outside(calls, directory / "x", {column});
    CHECK(
        contains(message_of([&] { rows_of(outside, 0, 0, 1); }), "not in the file of 1000 bytes"));
  }
}

}  // namespace spillway
