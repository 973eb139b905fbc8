#include "h5_driver.hpp"

#include <sys/file.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <random>

#include "calls_of_a_test.hpp"
#include "h5.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {

using h5::Id;
using test::CallsOfATest;
using test::contains;
using test::contents;
using test::TemporaryDirectory;
using test::write_text;

namespace {

Id access_by(FileCalls* calls) {
  Id access(H5Pcreate(H5P_FILE_ACCESS), "test", "access");
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  if (calls) h5::set_driver(access, *calls);
  return access;
}

Id created(const std::string& path, hid_t access) {
  const Id properties(H5Pcreate(H5P_FILE_CREATE), path, "properties");
  H5Pset_obj_track_times(properties, false);
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, properties, access), path, "can't be made"};
}

Id opened(const std::string& path, unsigned flags, hid_t access) {
  return {H5Fopen(path.c_str(), flags, access), path, "can't be opened"};
}

Id growing(hid_t group, const std::string& name, std::size_t chunk, bool deflated = false) {
  const Id properties(H5Pcreate(H5P_DATASET_CREATE), name, "properties");
  const hsize_t rows = chunk;
  H5Pset_chunk(properties, 1, &rows);
  H5Pset_obj_track_times(properties, false);
  if (deflated) {
    H5Pset_shuffle(properties);
    H5Pset_deflate(properties, 1);
  }
  const hsize_t none = 0;
  const hsize_t most = H5S_UNLIMITED;
  const Id space(H5Screate_simple(1, &none, &most), name, "space");
  return {H5Dcreate2(group, name.c_str(), H5T_NATIVE_INT32, space, H5P_DEFAULT, properties,
                     H5P_DEFAULT),
          name, "can't be made"};
}

void write_rows(hid_t dataset, hsize_t at, const std::vector<int>& rows) {
  const hsize_t count = rows.size();
  const Id file_space(H5Dget_space(dataset), "test", "space");
  const Id memory_space(H5Screate_simple(1, &count, nullptr), "test", "space");
  REQUIRE(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &at, nullptr, &count, nullptr) >= 0);
  REQUIRE(H5Dwrite(dataset, H5T_NATIVE_INT, memory_space, file_space, H5P_DEFAULT, rows.data()) >=
          0);
}

std::vector<int> read_rows(hid_t dataset) {
  const Id space(H5Dget_space(dataset), "test", "space");
  std::vector<int> rows(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
  REQUIRE(H5Dread(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows.data()) >= 0);
  return rows;
}

int run(const std::string& command) { return std::system(command.c_str()); }  // NOLINT

bool has_h5py() {
  static const bool has = run("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") == 0;
  return has;
}

// Makes, changes and removes objects as the seed says; the same for every driver.
void random_life(const std::string& path, FileCalls* calls, std::uint64_t seed, int operations) {
  std::mt19937_64 random(seed);
  const Id access = access_by(calls);
  Id file = created(path, access);
  std::map<std::string, std::vector<int>> expected;
  int made = 0;
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto any = [&] {
    return std::next(expected.begin(), static_cast<long>(below(expected.size())))->first;
  };
  for (int i = 0; i < operations; ++i) {
    const std::size_t what = below(100);
    if (expected.empty() || what < 5) {
      const std::string name = "d" + std::to_string(made++);
      growing(file, name, 64, made % 2 == 0);
      expected[name];
    } else if (what < 45) {
      const std::string name = any();
      std::vector<int>& rows = expected[name];
      const Id dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "can't be opened");
      const std::size_t at = below(rows.size() + 1);
      std::vector<int> more(1 + below(200));
      for (int& value : more) value = static_cast<int>(below(1000));
      if (at + more.size() > rows.size()) rows.resize(at + more.size());
      std::copy(more.begin(), more.end(), rows.begin() + static_cast<std::ptrdiff_t>(at));
      const hsize_t extent = rows.size();
      REQUIRE(H5Dset_extent(dataset, &extent) >= 0);
      write_rows(dataset, at, more);
    } else if (what < 65) {
      const std::string name = any();
      std::vector<int>& rows = expected[name];
      const Id dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "can't be opened");
      const hsize_t at = (rows.size() + 63) / 64 * 64;
      rows.resize(at);
      for (int k = 0; k < 64; ++k) rows.push_back(static_cast<int>(below(1000)));
      const hsize_t extent = rows.size();
      REQUIRE(H5Dset_extent(dataset, &extent) >= 0);
      REQUIRE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 3, &at, 256, &rows[at]) >= 0);
    } else if (what < 75) {
      const std::string name = any();
      const Id dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "can't be opened");
      REQUIRE(read_rows(dataset) == expected[name]);
    } else if (what < 85) {
      const std::string group = "g" + std::to_string(made++);
      const Id properties(H5Pcreate(H5P_GROUP_CREATE), group, "properties");
      H5Pset_obj_track_times(properties, false);
      const Id id(H5Gcreate2(file, group.c_str(), H5P_DEFAULT, properties, H5P_DEFAULT), group,
                  "can't be made");
      h5::put_attribute(id, "text", std::string(below(300), 'x'));
    } else if (what < 88) {
      const std::string name = any();
      REQUIRE(H5Ldelete(file, name.c_str(), H5P_DEFAULT) >= 0);
      expected.erase(name);
    } else if (what < 96) {
      REQUIRE(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
    } else {
      REQUIRE(file.close() >= 0);
      file = opened(path, H5F_ACC_RDWR, access);
    }
  }
  for (const auto& [name, rows] : expected) {
    const Id dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "can't be opened");
    CHECK(read_rows(dataset) == rows);
  }
  REQUIRE(file.close() >= 0);
}

}  // namespace

TEST_CASE("h5_driver: 10,000 random operations leave the bytes that HDF5's own driver leaves") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  random_life(directory / "own.h5", nullptr, seed, 10'000);
  random_life(directory / "ours.h5", &system_file_calls(), seed, 10'000);
  CHECK((contents(directory / "own.h5") == contents(directory / "ours.h5")));
  CHECK(run("h5diff '" + (directory / "own.h5") + "' '" + (directory / "ours.h5") +
            "' > /dev/null") == 0);
}

TEST_CASE("h5_driver: interrupted and short transfers change nothing") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  random_life(directory / "own.h5", nullptr, seed, 1000);
  CallsOfATest calls;
  std::mt19937_64 random(seed);
  calls.interrupt = [&] { return random() % 3 == 0; };
  calls.shorten = [&](std::size_t bytes) { return random() % 2 == 0 ? bytes : bytes / 2 + 1; };
  random_life(directory / "ours.h5", &calls, seed, 1000);
  CHECK(calls.interruptions > 1000);
  CHECK((contents(directory / "own.h5") == contents(directory / "ours.h5")));
}

TEST_CASE("h5_driver: what is allocated and not written yet reads as zeros") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const Id file = created(directory / "run.h5", access_by(&system_file_calls()));
  const Id properties(H5Pcreate(H5P_DATASET_CREATE), "test", "properties");
  H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
  const hsize_t rows = 100'000;
  const Id space(H5Screate_simple(1, &rows, nullptr), "test", "space");
  const Id dataset(
      H5Dcreate2(file, "x", H5T_NATIVE_INT, space, H5P_DEFAULT, properties, H5P_DEFAULT), "x", "");
  std::vector<int> values(rows, 7);
  REQUIRE(H5Dread(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0);
  CHECK(values == std::vector<int>(rows, 0));
}

TEST_CASE("h5_driver: a growing file is read live by another process, and by h5dump when closed") {
  if (!has_h5py()) {
    WARN("no h5py at /usr/bin/python3: not tested");
    return;
  }
  const h5::Library library;
  const TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  write_text(directory / "read.py", R"(import sys, h5py, numpy
with h5py.File(sys.argv[1], "r", swmr=True) as f:
    x = f["x"][:]
    assert (x == numpy.arange(int(sys.argv[2]))).all() and len(x) == int(sys.argv[2]), x
)");
  Id file = created(path, access_by(&system_file_calls()));
  Id dataset = growing(file, "x", 64);
  REQUIRE(H5Fstart_swmr_write(file) >= 0);
  std::vector<int> chunk(64);
  hsize_t rows = 0;
  for (int step = 0; step < 4; ++step) {
    for (int i = 0; i < 100 * step; ++i) {
      for (int& value : chunk)
        value = static_cast<int>(rows) + static_cast<int>(&value - &chunk[0]);
      const hsize_t at = rows;
      rows += 64;
      REQUIRE(H5Dset_extent(dataset, &rows) >= 0);
      REQUIRE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, 256, chunk.data()) >= 0);
    }
    REQUIRE(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
    CHECK(run("/usr/bin/python3 '" + (directory / "read.py") + "' '" + path + "' " +
              std::to_string(rows)) == 0);
  }
  dataset.close();
  REQUIRE(file.close() >= 0);
  CHECK(run("h5dump -H '" + path + "' > '" + (directory / "dump") + "'") == 0);
  CHECK(contains(contents(directory / "dump"), "DATASET \"x\""));
  // And by the driver itself, as one that grows.
  file = opened(path, H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access_by(&system_file_calls()));
  dataset = Id(H5Dopen2(file, "x", H5P_DEFAULT), "x", "can't be opened");
  CHECK(read_rows(dataset).size() == rows);
}

TEST_CASE("h5_driver: tells the address of a chunk that was written directly") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Id file = created(directory / "run.h5", access_by(&system_file_calls()));
  std::vector<Id> datasets;
  for (int d = 0; d < 8; ++d) datasets.push_back(growing(file, "d" + std::to_string(d), 64, d % 2));
  REQUIRE(H5Fstart_swmr_write(file) >= 0);
  std::vector<std::vector<int>> chunks(4, std::vector<int>(64));
  std::array<hsize_t, 8> rows{};
  for (int i = 0; i < 3000; ++i) {
    const auto d = static_cast<std::size_t>(random() % 8);
    const std::vector<int>& chunk = chunks[random() % 4];
    const bool again = rows[d] > 0 && random() % 4 == 0;
    const hsize_t at = again ? rows[d] - 64 : rows[d];
    if (!again) rows[d] += 64;
    // Deflated ones may have any length.
    const std::size_t bytes = d % 2 == 1 && !again ? 1 + random() % 256 : 256;
    const std::uint32_t mask = d % 2 == 1 ? 3 : 0;
    if (d % 2 == 1 && again) continue;  // moves if it grows; not what the recorder does
    REQUIRE(H5Dset_extent(datasets[d], &rows[d]) >= 0);
    REQUIRE(H5Dwrite_chunk(datasets[d], H5P_DEFAULT, mask, &at, bytes, chunk.data()) >= 0);
    const std::int64_t address = h5::address_of_last_write(file, chunk.data());
    haddr_t wanted = 0;
    hsize_t size = 0;
    unsigned stored_mask = 0;
    REQUIRE(H5Dget_chunk_info_by_coord(datasets[d], &at, &stored_mask, &wanted, &size) >= 0);
    REQUIRE(address == static_cast<std::int64_t>(wanted));
    REQUIRE(size == bytes);
    CHECK(h5::address_of_last_write(file, chunk.data()) == -1);
    if (random() % 50 == 0) REQUIRE(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
  }
  CHECK(h5::address_of_last_write(file, nullptr) == -1);
}

TEST_CASE("h5_driver: a file of 2000 datasets") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const Id access = access_by(&system_file_calls());
  Id file = created(directory / "run.h5", access);
  for (int d = 0; d < 2000; ++d) {
    const Id dataset = growing(file, "d" + std::to_string(d), 64);
    const hsize_t rows = 10;
    REQUIRE(H5Dset_extent(dataset, &rows) >= 0);
    write_rows(dataset, 0, std::vector<int>(10, d));
  }
  REQUIRE(file.close() >= 0);
  file = opened(directory / "run.h5", H5F_ACC_RDONLY, access);
  for (int d = 0; d < 2000; ++d) {
    const std::string name = "d" + std::to_string(d);
    const Id dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "can't be opened");
    REQUIRE(read_rows(dataset) == std::vector<int>(10, d));
  }
}

TEST_CASE("h5_driver: a failed call fails HDF5's, and is told once") {
  const h5::Library library;
  const TemporaryDirectory directory;
  CallsOfATest calls;
  Id file = created(directory / "run.h5", access_by(&calls));
  Id dataset = growing(file, "x", 64);
  std::vector<int> chunk(64, 1);
  const hsize_t rows = 64;
  const hsize_t at = 0;
  REQUIRE(H5Dset_extent(dataset, &rows) >= 0);
  REQUIRE(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
  CHECK(h5::take_error(file) == 0);
  calls.write_error = ENOSPC;
  CHECK(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, 256, chunk.data()) < 0);
  CHECK(contains(test::message_of([] { h5::fail("test", "words"); }), "No space left on device"));
  CHECK(h5::address_of_last_write(file, chunk.data()) == -1);
  CHECK(h5::take_error(file) == ENOSPC);
  CHECK(h5::take_error(file) == 0);
  // The first of several.
  CHECK(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, 256, chunk.data()) < 0);
  calls.write_error = EIO;
  CHECK(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, 256, chunk.data()) < 0);
  CHECK(h5::take_error(file) == ENOSPC);
  // It works again when the disk does.
  calls.write_error = 0;
  REQUIRE(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, &at, 256, chunk.data()) >= 0);
  CHECK(h5::address_of_last_write(file, chunk.data()) > 0);
  calls.read_error = EIO;
  CHECK(H5Dread(dataset, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, chunk.data()) < 0);
  CHECK(h5::take_error(file) == EIO);
  calls.read_error = 0;
  CHECK(read_rows(dataset) == chunk);
  dataset.close();
  CHECK(file.close() >= 0);
}

TEST_CASE("h5_driver: a file that does not exist can't be opened, and says why") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const Id access = access_by(&system_file_calls());
  CHECK(contains(test::message_of([&] { opened(directory / "none.h5", H5F_ACC_RDONLY, access); }),
                 "No such file"));
  write_text(directory / "text.h5", "no HDF5 file");
  CHECK(contains(test::message_of([&] { opened(directory / "text.h5", H5F_ACC_RDONLY, access); }),
                 "text.h5"));
}

TEST_CASE("h5_driver: no two openings are one file: who writes shuts others out, under any name") {
  const h5::Library library;
  const TemporaryDirectory directory;
  const Id access = access_by(&system_file_calls());
  const Id file = created(directory / "run.h5", access);
  std::filesystem::create_symlink("run.h5", directory / "link.h5");
  std::filesystem::create_hard_link(directory / "run.h5", directory / "hard.h5");
  growing(file, "x", 64);
  for (const char* name : {"link.h5", "hard.h5", "../run.h5"}) {
    std::string path = directory / name;
    if (name[0] == '.') {
      std::filesystem::create_directory(directory / "sub");
      path = directory / ("sub/" + std::string(name));
    }
    CAPTURE(path);
    CHECK(contains(test::message_of([&] { opened(path, H5F_ACC_RDWR, access); }), "locked"));
    CHECK(test::message_of([&] { created(path, access); }) != "");
  }
  const Id other = created(directory / "other.h5", access);
  CHECK(H5Lexists(other, "x", H5P_DEFAULT) == 0);
  // Renamed, and another in its place.
  std::filesystem::rename(directory / "run.h5", directory / "renamed.h5");
  const Id next = created(directory / "run.h5", access);
  CHECK(H5Lexists(next, "x", H5P_DEFAULT) == 0);
  CHECK(H5Lexists(file, "x", H5P_DEFAULT) > 0);
}

TEST_CASE("h5_driver: locks files as the library does") {
  const h5::Library library;
  const TemporaryDirectory directory;
  CallsOfATest calls;
  const Id access = access_by(&calls);
  {
    const Id file = created(directory / "run.h5", access);
    CHECK(calls.made(test::FileCall::flock) > 0);
    const int fd = system_file_calls().open((directory / "run.h5").c_str(), 0, 0);
    CHECK(system_file_calls().flock(fd, LOCK_SH | LOCK_NB) == -1);
    system_file_calls().close(fd);
  }
  const std::string path = directory / "other.h5";
  calls.lock_error = ENOSYS;
  H5Pset_file_locking(access, true, false);
  CHECK(contains(test::message_of([&] { created(path, access); }), "can't be locked"));
  H5Pset_file_locking(access, true, true);
  created(directory / "third.h5", access);
  calls.lock_error = EWOULDBLOCK;
  CHECK(contains(test::message_of([&] { created(directory / "fourth.h5", access); }), "locked"));
  const std::uint64_t locks = calls.made(test::FileCall::flock);
  H5Pset_file_locking(access, false, false);
  created(directory / "fifth.h5", access);
  CHECK(calls.made(test::FileCall::flock) == locks);
}

TEST_CASE("h5_driver: a file's access properties open another file in the same way") {
  const h5::Library library;
  const TemporaryDirectory directory;
  CallsOfATest calls;
  const Id file = created(directory / "run.h5", access_by(&calls));
  const Id access(H5Fget_access_plist(file), "test", "access");
  const Id copy(H5Pcopy(access), "test", "access");
  const std::uint64_t before = calls.made(test::FileCall::pwrite);
  Id other = created(directory / "other.h5", copy);
  CHECK(h5::descriptor(other) >= 0);
  CHECK(h5::descriptor(other) != h5::descriptor(file));
  REQUIRE(other.close() >= 0);
  CHECK(calls.made(test::FileCall::pwrite) > before);
}

}  // namespace spillway
