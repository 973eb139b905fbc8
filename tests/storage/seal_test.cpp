#include "seal.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <random>

#include "calls_of_a_test.hpp"
#include "chunk_codec.hpp"
#include "h5.hpp"
#include "h5_driver.hpp"
#include "spillway/storage/journal.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {

using h5::Id;
using test::CallsOfATest;
using test::contains;
using test::contents;
using test::message_of;
using test::TemporaryDirectory;
using test::write_text;

namespace {

int times(int count) { return std::getenv("SPILLWAY_TEST_FULL") ? 20 * count : count; }

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

void poke(const std::string& path, std::uint64_t at, const std::string& bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// A file of noise with chunks and room for a seal somewhere in it, not sealed yet.
struct Unsealed {
  std::string path;
  std::uint64_t address = 0;
  std::uint64_t room = 0;
  std::vector<SealColumn> columns;
  std::vector<SealRange> chunks;
};

Unsealed random_file(const std::string& path, std::mt19937_64& random, std::size_t most_chunks,
                     std::size_t most_gap) {
  Unsealed made;
  made.path = path;
  for (std::size_t c = 0; c <= random() % 4; ++c)
    made.columns.push_back({"/entry/pump/x" + std::to_string(c),
                            static_cast<std::uint32_t>(1 + random() % 100),
                            static_cast<std::uint32_t>(1 + random() % 8), random() % 2 == 0});
  const std::size_t chunks = random() % (most_chunks + 1);
  const std::size_t seal_before = random() % (chunks + 1);
  std::string bytes;
  const auto noise = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) bytes.push_back(static_cast<char>(random()));
  };
  std::uint64_t room_at = 0;
  for (std::size_t i = 0;; ++i) {
    if (random() % 3 != 0) noise(random() % (most_gap + 1));
    if (i == seal_before) {
      room_at = bytes.size();
      if (random() % 3 != 0) noise(random() % (most_gap + 1));
    }
    if (i == chunks) break;
    SealRange chunk;
    chunk.address = bytes.size();
    noise(chunk.length = 1 + random() % 3000);
    chunk.column = static_cast<std::uint32_t>(random() % made.columns.size());
    chunk.rows = static_cast<std::uint32_t>(random() % (made.columns[chunk.column].chunk_rows + 1));
    chunk.first_row = random();
    chunk.filter_mask = static_cast<std::uint32_t>(random() % 4);
    chunk.crc32c = crc32c(bytes_of(bytes).subspan(chunk.address, chunk.length));
    made.chunks.push_back(chunk);
  }
  made.address = room_at;
  made.room = seal_room(made.columns, chunks, bytes.size()) + random() % 100;
  bytes.insert(room_at, made.room, 'r');
  for (SealRange& chunk : made.chunks)
    if (chunk.address >= room_at) chunk.address += made.room;
  write_text(path, bytes);
  return made;
}

void seal(const Unsealed& made) {
  File file(system_file_calls(), made.path, File::Mode::write);
  write_seal(file, made.address, made.room, made.columns, made.chunks);
}

std::optional<Seal> seal_of(const std::string& path) {
  return read_seal(File(system_file_calls(), path, File::Mode::read));
}

std::vector<SealRange> damages(const std::string& path, const Seal& seal,
                               std::vector<std::string>* words = nullptr) {
  std::vector<SealRange> found;
  check_seal(File(system_file_calls(), path, File::Mode::read), seal,
             [&](const SealRange& range, const std::string& what) {
               found.push_back(range);
               if (words) words->push_back(what);
             });
  return found;
}

}  // namespace

TEST_CASE("Seal: covers every byte once, and names the chunks as they were given") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  for (int i = 0; i < times(40); ++i) {
    Unsealed made = random_file(directory / "x", random, 40, i % 20 == 0 ? 300'000 : 2000);
    const std::string before = contents(made.path);
    // In any order.
    std::shuffle(made.chunks.begin(), made.chunks.end(), random);
    seal(made);
    const auto found = seal_of(made.path);
    REQUIRE(found);
    CHECK(found->address == made.address);
    CHECK(found->length == made.room);
    CHECK(found->columns.size() == made.columns.size());
    for (std::size_t c = 0; c < made.columns.size(); ++c) {
      CHECK(found->columns[c].path == made.columns[c].path);
      CHECK(found->columns[c].chunk_rows == made.columns[c].chunk_rows);
      CHECK(found->columns[c].row_bytes == made.columns[c].row_bytes);
      CHECK(found->columns[c].deflated == made.columns[c].deflated);
    }
    std::uint64_t position = 0;
    std::size_t chunks = 0;
    for (const SealRange& range : found->ranges) {
      if (position == found->address) position += found->length;
      REQUIRE(range.address == position);
      position += range.length;
      if (range.column == SealRange::no_column) {
        REQUIRE(range.length <= 65536);
        continue;
      }
      ++chunks;
      REQUIRE(std::count_if(made.chunks.begin(), made.chunks.end(), [&](const SealRange& chunk) {
                return std::memcmp(&chunk, &range, sizeof chunk) == 0;
              }) == 1);
    }
    if (position == found->address) position += found->length;
    CHECK(position == before.size());
    CHECK(chunks == made.chunks.size());
    // Nothing else was touched.
    std::string after = contents(made.path);
    CHECK((after.substr(0, made.address) == before.substr(0, made.address)));
    CHECK((after.substr(made.address + made.room) == before.substr(made.address + made.room)));
    CHECK(damages(made.path, *found).empty());
  }
}

TEST_CASE("Seal: every changed byte is found, where it is") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  for (int i = 0; i < 2; ++i) {
    const Unsealed made = random_file(directory / "x", random, 6, 500);
    seal(made);
    const std::string good = contents(made.path);
    const auto sealed = seal_of(made.path);
    REQUIRE(sealed);
    for (std::uint64_t at = 0; at < good.size(); ++at) {
      const auto changed = static_cast<char>(good[at] ^ (1 << random() % 8));
      poke(made.path, at, std::string(1, changed));
      CAPTURE(at, made.address, made.room);
      if (at >= made.address && at < made.address + made.room) {
        const std::string message = message_of([&] { (void)seal_of(made.path); });
        REQUIRE(contains(message, made.path + ": bytes " + std::to_string(made.address) + " to "));
        REQUIRE(contains(message, "the seal"));
      } else {
        const auto found = seal_of(made.path);
        REQUIRE(found);
        std::vector<std::string> words;
        const auto wrong = damages(made.path, *found, &words);
        REQUIRE(wrong.size() == 1);
        REQUIRE(wrong[0].address <= at);
        REQUIRE(at < wrong[0].address + wrong[0].length);
        REQUIRE(words[0] == "bytes " + std::to_string(wrong[0].address) + " to " +
                                std::to_string(wrong[0].address + wrong[0].length - 1) +
                                ": wrong checksum");
      }
      poke(made.path, at, std::string(1, good[at]));
    }
  }
}

TEST_CASE("Seal: a file that is shorter or longer than it was is not taken for sealed") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  for (int i = 0; i < 3; ++i) {
    const Unsealed made = random_file(directory / "x", random, 10, 500);
    seal(made);
    const std::string good = contents(made.path);
    for (std::uint64_t size = good.size() - 1;; --size) {
      std::filesystem::resize_file(made.path, size);
      CAPTURE(size, made.address, made.room);
      bool sealed = false;
      const std::string message = message_of([&] { sealed = seal_of(made.path).has_value(); });
      REQUIRE_FALSE(sealed);
      // Nothing is told only where nothing of it is left.
      if (size >= made.address + 48) REQUIRE(contains(message, "the seal"));
      if (size < made.address) REQUIRE(message.empty());
      if (size == 0) break;
      // Every size near an end of the seal.
      const std::uint64_t room_end = made.address + made.room;
      if (size > room_end + 100) size = std::max(room_end + 100, size - random() % 50);
      if (size < room_end - 100 && size > made.address + 200)
        size = std::max(made.address + 200, size - random() % 50);
      if (size < made.address) size -= std::min(size - 1, random() % 200);
    }
    write_text(directory / "long", good + "x");
    CHECK(contains(message_of([&] { (void)seal_of(directory / "long"); }), "is of a file of"));
    write_text(directory / "late", good + std::string(3'000'000, 'x'));
    CHECK(contains(message_of([&] { (void)seal_of(directory / "late"); }), "is of a file of"));
  }
}

TEST_CASE("Seal: a file without one has none") {
  const TemporaryDirectory directory;
  std::mt19937_64 random(1);
  write_text(directory / "empty", "");
  CHECK_FALSE(seal_of(directory / "empty"));
  write_text(directory / "short", "x");
  CHECK_FALSE(seal_of(directory / "short"));
  std::string noise;
  for (int i = 0; i < 3'000'000; ++i) noise.push_back(static_cast<char>(random()));
  write_text(directory / "noise", noise);
  CHECK_FALSE(seal_of(directory / "noise"));
  // The seal of another file, as data.
  const Unsealed other = random_file(directory / "other", random, 4, 100);
  seal(other);
  write_text(directory / "noise", "x" + contents(other.path));
  CHECK_FALSE(seal_of(directory / "noise"));
}

TEST_CASE("Seal: marks across the borders of what is read at once are found") {
  const TemporaryDirectory directory;
  const std::vector<SealColumn> columns;
  const std::uint64_t room = seal_room(columns, 0, 2 << 20);
  for (std::uint64_t size = (1 << 20) - 20; size < (1 << 20) + 20; ++size) {
    write_text(directory / "x", std::string(size, 'x'));
    File file(system_file_calls(), directory / "x", File::Mode::write);
    write_seal(file, 0, room, columns, {});
    CHECK(read_seal(file));
    // By the other mark alone.
    poke(directory / "x", room - 1, "x");
    CHECK(contains(message_of([&] { (void)read_seal(file); }), "the seal is damaged"));
  }
}

TEST_CASE("Seal: chunks that can't be where they are said to be are refused, and nothing written") {
  const TemporaryDirectory directory;
  const std::vector<SealColumn> columns{{"/entry/x", 10, 4, false}};
  const std::uint64_t room = seal_room(columns, 2, 10'000);
  const std::string before(10'000, 'x');
  write_text(directory / "x", before);
  const auto chunk = [](std::uint64_t address, std::uint64_t length, std::uint32_t column = 0) {
    SealRange range;
    range.address = address;
    range.length = length;
    range.column = column;
    return range;
  };
  const auto refused = [&](std::uint64_t address, std::uint64_t bytes,
                           const std::vector<SealRange>& chunks) {
    File file(system_file_calls(), directory / "x", File::Mode::write);
    const std::string message =
        message_of([&] { write_seal(file, address, bytes, columns, chunks); });
    CAPTURE(message);
    CHECK(contains(message, "can't be sealed"));
    CHECK((contents(directory / "x") == before));
  };
  constexpr auto huge = ~std::uint64_t{0};
  refused(5000, room, {chunk(100, 50), chunk(149, 50)});  // overlap
  refused(5000, room, {chunk(4990, 11)});                 // into the seal
  refused(5000, room, {chunk(5010, 11)});                 // in it
  refused(5000, room, {chunk(5000 + room - 1, 11)});      // out of it
  refused(5000, room, {chunk(9990, 11)});                 // over the end
  refused(5000, room, {chunk(10'001, 1)});                // behind it
  refused(5000, room, {chunk(huge, huge)});
  refused(5000, room, {chunk(100, huge)});
  refused(5000, room, {chunk(100, 0)});
  refused(5000, room, {chunk(100, 10, 1)});  // no such column
  refused(5000, 100, {});                    // no room
  refused(5000, 5001, {});
  refused(huge, room, {});
  refused(5000, huge, {});
}

TEST_CASE("Seal: hostile values in a seal whose own checksum is right do no harm") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  int refused = 0;
  int taken = 0;
  for (int i = 0; i < times(300); ++i) {
    const Unsealed made = random_file(directory / "x", random, 5, 200);
    seal(made);
    std::string bytes = contents(made.path);
    std::string own = bytes.substr(made.address, made.room);
    // Anything but what makes it a seal at all.
    for (int k = 0; k <= static_cast<int>(random() % 3); ++k) {
      const std::uint64_t at = 8 + random() % (made.room - 8 - 40);
      const std::uint64_t values[] = {
          0, 1, random(), ~std::uint64_t{0}, 1U << 31, made.room - 1, bytes.size()};
      const std::uint64_t value = values[random() % 7];
      const std::size_t width = std::size_t{1} << random() % 4;
      if (at < 32 && at + width > 16) continue;
      std::memcpy(&own[at], &value, std::min<std::size_t>(width, made.room - 40 - at));
    }
    XXH128_canonical_t root;
    XXH128_canonicalFromHash(&root, XXH3_128bits(own.data(), own.size() - 40));
    std::memcpy(&own[own.size() - 40], root.digest, 16);
    poke(made.path, made.address, own);
    std::optional<Seal> found;
    const std::string message = message_of([&] { found = seal_of(made.path); });
    if (found) {
      ++taken;
      damages(made.path, *found);
    } else {
      REQUIRE_FALSE(message.empty());
      ++refused;
    }
  }
  CHECK(refused > 20);
  CHECK(taken > 20);
}

TEST_CASE("Seal: what can't be read is named, and the rest is checked") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory directory;
  for (int i = 0; i < 50; ++i) {
    const Unsealed made = random_file(directory / "x", random, 20, 2000);
    seal(made);
    const auto sealed = seal_of(made.path);
    REQUIRE(sealed);
    if (sealed->ranges.size() < 2) continue;
    const SealRange& bad = sealed->ranges[random() % sealed->ranges.size()];
    const SealRange& wrong = sealed->ranges[random() % sealed->ranges.size()];
    const char byte = contents(made.path)[wrong.address];
    poke(made.path, wrong.address, std::string(1, static_cast<char>(~byte)));
    CallsOfATest calls;
    calls.bad_byte = static_cast<off_t>(bad.address + bad.length - 1);
    std::vector<std::uint64_t> found;
    check_seal(File(calls, made.path, File::Mode::read), *sealed,
               [&](const SealRange& range, const std::string& what) {
                 found.push_back(range.address);
                 CHECK(contains(what, range.address == bad.address ? "can't be read" : "wrong"));
               });
    std::vector<std::uint64_t> wanted{bad.address};
    if (wrong.address != bad.address) wanted.push_back(wrong.address);
    std::sort(wanted.begin(), wanted.end());
    CHECK(found == wanted);
  }
}

TEST_CASE("Seal: a sealed HDF5 file stays one") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  const std::vector<SealColumn> columns{{"/x", 256, 4, true}};
  std::vector<SealRange> chunks;
  haddr_t address = 0;
  hsize_t room = 0;
  {
    const Id access(H5Pcreate(H5P_FILE_ACCESS), "test", "access");
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    h5::set_driver(access, system_file_calls());
    const Id file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), path, "");
    const Id properties(H5Pcreate(H5P_DATASET_CREATE), "test", "properties");
    const hsize_t chunk_rows = 256;
    H5Pset_chunk(properties, 1, &chunk_rows);
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 1);
    hsize_t rows = 50 * 256;
    const hsize_t most = H5S_UNLIMITED;
    const Id space(H5Screate_simple(1, &rows, &most), "test", "space");
    const Id dataset(
        H5Dcreate2(file, "x", H5T_NATIVE_INT32, space, H5P_DEFAULT, properties, H5P_DEFAULT), "x",
        "");
    ChunkCodec codec(1);
    std::vector<std::int32_t> values(256);
    for (hsize_t at = 0; at < rows; at += 256) {
      for (std::size_t k = 0; k < 256; ++k) values[k] = static_cast<std::int32_t>(at + k);
      const auto stored = codec.encode(std::as_bytes(std::span(values)), 4);
      REQUIRE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, stored.size(), stored.data()) >= 0);
      SealRange chunk;
      chunk.address = static_cast<std::uint64_t>(h5::address_of_last_write(file, stored.data()));
      chunk.length = stored.size();
      chunk.first_row = at;
      chunk.column = 0;
      chunk.rows = 256;
      chunk.crc32c = crc32c(stored);
      chunks.push_back(chunk);
    }
    const Id early(H5Pcreate(H5P_DATASET_CREATE), "test", "properties");
    H5Pset_alloc_time(early, H5D_ALLOC_TIME_EARLY);
    room = seal_room(columns, chunks.size(), 100'000);
    const Id room_space(H5Screate_simple(1, &room, nullptr), "test", "space");
    const Id integrity(H5Dcreate2(file, "integrity", H5T_NATIVE_UINT8, room_space, H5P_DEFAULT,
                                  early, H5P_DEFAULT),
                       "integrity", "");
    address = H5Dget_offset(integrity);
  }
  {
    File file(system_file_calls(), path, File::Mode::write);
    write_seal(file, address, room, columns, chunks);
  }
  const auto sealed = seal_of(path);
  REQUIRE(sealed);
  CHECK(damages(path, *sealed).empty());
  {
    const Id file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), path, "");
    const Id dataset(H5Dopen2(file, "x", H5P_DEFAULT), path, "");
    std::vector<std::int32_t> values(50 * 256);
    REQUIRE(H5Dread(dataset, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0);
    for (std::size_t i = 0; i < values.size(); ++i)
      REQUIRE(values[i] == static_cast<std::int32_t>(i));
  }
  CHECK(std::system(("h5dump -H '" + path + "' > /dev/null").c_str()) == 0);  // NOLINT
  CHECK(damages(path, *sealed).empty());  // reading changed nothing
}

}  // namespace spillway
