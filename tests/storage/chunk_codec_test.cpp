#include "chunk_codec.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "h5.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {

using h5::Id;
using test::contains;
using test::TemporaryDirectory;
using test::write_text;

namespace {

using Bytes = std::vector<std::byte>;

// What recorders meet: noise, slopes, values that repeat, one value, any length.
Bytes random_chunk(std::mt19937_64& random, std::size_t element_bytes) {
  Bytes chunk(1 + random() % 20'000);
  const std::uint64_t kind = random() % 5;
  std::uint64_t value = random();
  for (std::size_t i = 0; i + element_bytes <= chunk.size(); i += element_bytes) {
    if (kind == 0 || (kind == 1 && random() % 1000 == 0)) value = random();
    if (kind == 2) value += random() % 100;
    if (kind == 3 && random() % 50 == 0) value ^= 1;
    std::memcpy(&chunk[i], &value, std::min(element_bytes, sizeof value));
  }
  return chunk;
}

Bytes copy_of(std::span<const std::byte> bytes) {
  Bytes copy(bytes.size());
  std::copy(bytes.begin(), bytes.end(), copy.begin());
  return copy;
}

template <class T>
std::vector<T> sine_and_noise(std::size_t count, double scale) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> noise(0.0, 2.0);
  std::vector<T> values(count);
  for (std::size_t i = 0; i < count; ++i)
    // Steps of a 16-bit converter.
    values[i] = static_cast<T>(std::round(8000.0 * std::sin(0.001 * static_cast<double>(i)) +
                                          3000.0 * std::sin(0.0137 * static_cast<double>(i)) +
                                          noise(random)) *
                               scale);
  return values;
}

Id latest() {
  Id access(H5Pcreate(H5P_FILE_ACCESS), "access", "properties");
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  return access;
}

Id chunked(hid_t file, const char* name, hid_t type, hsize_t chunk, hsize_t rows, bool deflated) {
  const Id properties(H5Pcreate(H5P_DATASET_CREATE), name, "properties");
  H5Pset_chunk(properties, 1, &chunk);
  if (deflated) {
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 1);
  }
  const hsize_t most = H5S_UNLIMITED;
  const Id space(H5Screate_simple(1, &rows, &most), name, "space");
  return {H5Dcreate2(file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT), name,
          "can't be made"};
}

}  // namespace

TEST_CASE("ChunkCodec: what is decoded is what was encoded, at all levels and sizes of elements") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int level = 1; level <= 12; ++level) {
    ChunkCodec codec(level);
    for (const std::size_t element_bytes : {1U, 2U, 3U, 4U, 8U, 16U})
      for (int i = 0; i < 6; ++i) {
        const Bytes chunk = random_chunk(random, element_bytes);
        const Bytes stored = copy_of(codec.encode(chunk, element_bytes));
        Bytes decoded(chunk.size(), std::byte{0xAA});
        CAPTURE(level, element_bytes, chunk.size(), stored.size());
        if (stored.empty()) {
          REQUIRE(codec.decode(chunk, not_filtered, element_bytes, decoded));
        } else {
          REQUIRE(stored.size() < chunk.size());
          REQUIRE(codec.decode(stored, filtered, element_bytes, decoded));
        }
        REQUIRE(decoded == chunk);
      }
  }
}

TEST_CASE("ChunkCodec: HDF5 reads what it encoded, and it decodes what HDF5 stored") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Id file(H5Fcreate((directory / "x.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, latest()),
                "file", "");
  ChunkCodec codec(1);
  int number = 0;
  for (const auto& [type, size] : std::vector<std::pair<hid_t, std::size_t>>{{H5T_NATIVE_INT8, 1},
                                                                             {H5T_NATIVE_INT16, 2},
                                                                             {H5T_NATIVE_FLOAT, 4},
                                                                             {H5T_NATIVE_INT64, 8}})
    for (int i = 0; i < 20; ++i) {
      Bytes chunk = random_chunk(random, size);
      chunk.resize((chunk.size() + size - 1) / size * size);
      const hsize_t rows = chunk.size() / size;
      const std::string name = "d" + std::to_string(number++);
      CAPTURE(name, size, rows);
      const hsize_t zero = 0;

      Id ours = chunked(file, name.c_str(), type, rows, rows, true);
      const auto encoded = codec.encode(chunk, size);
      const auto stored = encoded.empty() ? std::span<const std::byte>(chunk) : encoded;
      REQUIRE(H5Dwrite_chunk(ours, H5P_DEFAULT, encoded.empty() ? not_filtered : filtered, &zero,
                             stored.size(), stored.data()) >= 0);
      Bytes read(chunk.size());
      // Opened anew: HDF5 1.10.8 forgets the mask of the chunk it was given last.
      ours.close();
      ours = Id(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "can't be opened");
      REQUIRE(H5Dread(ours, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, read.data()) >= 0);
      REQUIRE(read == chunk);

      const Id theirs = chunked(file, (name + "t").c_str(), type, rows, rows, true);
      REQUIRE(H5Dwrite(theirs, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, chunk.data()) >= 0);
      H5Dflush(theirs);
      hsize_t bytes = 0;
      std::uint32_t mask = 0;
      REQUIRE(H5Dget_chunk_storage_size(theirs, &zero, &bytes) >= 0);
      Bytes raw(bytes);
      REQUIRE(H5Dread_chunk(theirs, H5P_DEFAULT, &zero, &mask, raw.data()) >= 0);
      std::fill(read.begin(), read.end(), std::byte{0});
      REQUIRE(codec.decode(raw, mask, size, read));
      REQUIRE(read == chunk);
    }
}

TEST_CASE("ChunkCodec: h5py reads compressed and raw chunks of one dataset") {
  if (std::system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") != 0) {  // NOLINT
    WARN("no h5py at /usr/bin/python3: not tested");
    return;
  }
  const h5::Library library;
  const TemporaryDirectory directory;
  const std::string path = directory / "x.h5";
  {
    const Id file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, latest()), "file", "");
    const Id dataset = chunked(file, "x", H5T_NATIVE_INT32, 4096, 16 * 4096, true);
    ChunkCodec codec(6);
    std::vector<std::int32_t> rows(4096);
    for (hsize_t at = 0; at < 16 * 4096; at += 4096) {
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(at + i);
      const auto raw = std::as_bytes(std::span(rows));
      const bool compress = at % 8192 == 0;
      const auto stored = compress ? codec.encode(raw, 4) : raw;
      REQUIRE(H5Dwrite_chunk(dataset, H5P_DEFAULT, compress ? filtered : not_filtered, &at,
                             stored.size(), stored.data()) >= 0);
    }
  }
  write_text(directory / "read.py", R"(import sys, h5py, numpy
with h5py.File(sys.argv[1]) as f:
    assert (f["x"][:] == numpy.arange(16 * 4096)).all()
)");
  CHECK(std::system(("/usr/bin/python3 '" + (directory / "read.py") + "' '" + path + "'")  // NOLINT
                        .c_str()) == 0);
}

TEST_CASE("ChunkCodec: gets as small as HDF5's own filters at level 1") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const Id file(H5Fcreate((directory / "x.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, latest()),
                "file", "");
  ChunkCodec codec(1);
  const auto compare = [&](const char* name, hid_t type, std::size_t size,
                           std::span<const std::byte> chunk) {
    const hsize_t rows = chunk.size() / size;
    const Id dataset = chunked(file, name, type, rows, rows, true);
    REQUIRE(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, chunk.data()) >= 0);
    H5Dflush(dataset);
    const double theirs = static_cast<double>(H5Dget_storage_size(dataset));
    const double ours = static_cast<double>(codec.encode(chunk, size).size());
    CAPTURE(name, ours, theirs, chunk.size());
    CHECK(ours > 0.0);
    CHECK(ours <= theirs / 0.97);
  };
  const auto floats = sine_and_noise<float>(65'536, 1.0 / 3276.8);
  const auto doubles = sine_and_noise<double>(65'536, 1.0 / 3276.8);
  const auto shorts = sine_and_noise<std::int16_t>(65'536, 1.0);
  compare("floats", H5T_NATIVE_FLOAT, 4, std::as_bytes(std::span(floats)));
  compare("doubles", H5T_NATIVE_DOUBLE, 8, std::as_bytes(std::span(doubles)));
  compare("shorts", H5T_NATIVE_INT16, 2, std::as_bytes(std::span(shorts)));
}

TEST_CASE("ChunkCodec: a chunk of one value is encoded once") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  ChunkCodec codec(1);
  // More values, lengths and sizes than are kept; each comes again and again.
  for (int i = 0; i < 2000; ++i) {
    const std::size_t element_bytes = std::array<std::size_t, 5>{1, 2, 4, 8, 12}[random() % 5];
    const auto value = static_cast<std::byte>(random() % 3);
    Bytes chunk(2400 + 24 * (random() % 3));
    for (std::size_t k = 0; k < chunk.size(); k += element_bytes) chunk[k] = value;
    // All but one value.
    const bool odd = random() % 4 == 0;
    if (odd) chunk[random() % chunk.size()] ^= std::byte{0x80};
    const Bytes stored = copy_of(codec.encode(chunk, element_bytes));
    REQUIRE_FALSE(stored.empty());
    REQUIRE(stored.size() < chunk.size() / 4);
    Bytes decoded(chunk.size());
    REQUIRE(codec.decode(stored, filtered, element_bytes, decoded));
    REQUIRE(decoded == chunk);
  }
}

TEST_CASE("ChunkCodec: bytes that are no such chunk are refused, and nothing else is touched") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  ChunkCodec codec(1);
  int refused = 0;
  for (int i = 0; i < 5000; ++i) {
    const std::size_t element_bytes = 1 + random() % 8;
    Bytes chunk = random_chunk(random, element_bytes);
    Bytes stored = copy_of(codec.encode(chunk, element_bytes));
    if (stored.empty()) continue;
    // Of another length.
    Bytes other(chunk.size() + 1);
    REQUIRE_FALSE(codec.decode(stored, filtered, element_bytes, other));
    other.resize(chunk.size() - 1);
    REQUIRE_FALSE(codec.decode(stored, filtered, element_bytes, other));
    REQUIRE_FALSE(
        codec.decode(std::span(stored).first(stored.size() - 1), filtered, element_bytes, chunk));
    Bytes longer(stored.size() + 1);
    std::copy(stored.begin(), stored.end(), longer.begin());
    REQUIRE_FALSE(codec.decode(longer, filtered, element_bytes, chunk));
    REQUIRE_FALSE(codec.decode(stored, 4, element_bytes, chunk));
    REQUIRE_FALSE(codec.decode(stored, filtered, 0, chunk));
    REQUIRE_FALSE(codec.decode(stored, not_filtered, element_bytes, chunk));
    // Changed: decodes to the same length at most, under guards of both sides.
    Bytes guarded(chunk.size() + 64, std::byte{0x5C});
    for (int k = 0; k < 3; ++k)
      stored[random() % stored.size()] ^= static_cast<std::byte>(1U << random() % 8);
    if (!codec.decode(stored, static_cast<std::uint32_t>(random() % 4), element_bytes,
                      std::span(guarded).subspan(32, chunk.size())))
      ++refused;
    for (std::size_t k = 0; k < 32; ++k) {
      REQUIRE(guarded[k] == std::byte{0x5C});
      REQUIRE(guarded[guarded.size() - 1 - k] == std::byte{0x5C});
    }
  }
  CHECK(refused > 1000);
  Bytes none;
  CHECK(codec.encode(none, 4).empty());
}

TEST_CASE("ChunkCodec: a level that there is not is refused") {
  for (const int level : {-1, 0, 13})
    CHECK(contains(test::message_of([&] { ChunkCodec{level}; }), "allowed are 1 to 12"));
}

}  // namespace spillway
