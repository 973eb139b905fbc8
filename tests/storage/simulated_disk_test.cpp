// That the disk which the other tests stand on loses what a disk may lose, and nothing else.
#include "simulated_disk.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include "faulty_files.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr int create = O_RDWR | O_CREAT | O_EXCL;

int put(SimulatedDisk& disk, const std::string& path, const std::string& text) {
  const int fd = disk.open(path.c_str(), O_RDWR | O_CREAT, 0666);
  REQUIRE(fd >= 0);
  REQUIRE(disk.pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  return fd;
}

}  // namespace

TEST_CASE("SimulatedDisk: is a file system as long as the power is there") {
  SimulatedDisk disk;
  CHECK(disk.kind("/disk") == PathKind::directory);
  CHECK(disk.kind("/disk/a") == PathKind::nothing);
  CHECK(disk.open("/disk/a", O_RDWR, 0) < 0);
  CHECK(errno == ENOENT);
  const int fd = disk.open("/disk/a", create, 0666);
  REQUIRE(fd >= 0);
  CHECK(disk.open("/disk/a", create, 0666) < 0);
  CHECK(errno == EEXIST);

  // Against a string, over page boundaries, with holes and cuts.
  std::mt19937_64 random(1);
  std::string model;
  for (int i = 0; i < 300; ++i) {
    const std::size_t at = random() % 20000;
    if (random() % 8 == 0) {
      REQUIRE(disk.ftruncate(fd, static_cast<off_t>(at)) == 0);
      model.resize(at, '\0');
    } else if (random() % 8 == 0) {
      REQUIRE(disk.fdatasync(fd) == 0);
    } else {
      const std::string text(random() % 9000, static_cast<char>('a' + random() % 26));
      REQUIRE(disk.pwrite(fd, text.data(), text.size(), static_cast<off_t>(at)) ==
              static_cast<ssize_t>(text.size()));
      if (!text.empty() && model.size() < at + text.size()) model.resize(at + text.size(), '\0');
      model.replace(at, text.size(), text);
    }
    REQUIRE(disk.size(fd) == static_cast<off_t>(model.size()));
  }
  std::string back(model.size() + 100, 'x');
  REQUIRE(disk.pread(fd, back.data(), back.size(), 0) == static_cast<ssize_t>(model.size()));
  back.resize(model.size());
  CHECK(back == model);
  CHECK(disk.state().contents("/disk/a") == model);

  // Locks are of the descriptor, and go with it.
  const int other = disk.open("/disk/a", O_RDONLY, 0);
  CHECK(disk.flock(fd, LOCK_EX | LOCK_NB) == 0);
  CHECK(disk.flock(other, LOCK_SH | LOCK_NB) < 0);
  CHECK(errno == EWOULDBLOCK);
  CHECK(disk.pwrite(other, "x", 1, 0) < 0);
  CHECK(disk.close(fd) == 0);
  CHECK(disk.flock(other, LOCK_SH | LOCK_NB) == 0);
  CHECK(disk.close(other) == 0);
  CHECK(disk.close(other) < 0);

  disk.close(put(disk, "/disk/b", "b"));
  CHECK(disk.rename("/disk/b", "/disk/a", false) < 0);
  CHECK(errno == EEXIST);
  CHECK(disk.rename("/disk/b", "/disk/a", true) == 0);
  CHECK(disk.state().contents("/disk/a") == "b");
  std::vector<std::string> names;
  CHECK(disk.list("/disk", names) == 0);
  CHECK(names == std::vector<std::string>{"a"});
  CHECK(disk.unlink("/disk/a") == 0);
  CHECK(disk.state().paths().empty());
}

TEST_CASE("SimulatedDisk: what was synced survives every power cut, what was not may go") {
  CutCounts counts;
  std::uint64_t whole = 0;
  std::uint64_t absent = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    SimulatedDisk disk;
    const std::string synced(5000 + random() % 20000, 's');
    int fd = put(disk, "/disk/a", synced);
    disk.fdatasync(fd);
    disk.sync_directory("/disk");
    // Behind the synced bytes, some of it over and over.
    const std::string more(1 + random() % 10000, 'm');
    for (int i = 0; i < 3; ++i)
      disk.pwrite(fd, std::string(more.size(), static_cast<char>('0' + i)).data(), more.size(),
                  static_cast<off_t>(synced.size()));
    disk.pwrite(fd, more.data(), more.size(), static_cast<off_t>(synced.size()));
    disk.close(fd);
    const std::string named(3000, 'n');
    fd = put(disk, "/disk/b.part", named);
    disk.fdatasync(fd);
    disk.close(fd);
    disk.rename("/disk/b.part", "/disk/b", false);
    const DiskState left = disk.state().after_power_cut(seed, seed % 2 == 1, counts);

    REQUIRE(left.has("/disk/a"));
    const std::string a = left.contents("/disk/a");
    REQUIRE(a.size() >= synced.size());
    REQUIRE(a.size() <= synced.size() + more.size());
    REQUIRE(a.starts_with(synced));
    whole += a == synced + more;
    // Its bytes are there wherever its name is.
    const bool before = left.has("/disk/b.part");
    const bool behind = left.has("/disk/b");
    REQUIRE_FALSE((before && behind));
    absent += !before && !behind;
    if (before || behind) REQUIRE(left.contents(before ? "/disk/b.part" : "/disk/b") == named);
    REQUIRE(disk.state().after_process_end().contents("/disk/a") == synced + more);
  }
  WARN(fmt::format("whole {}, absent {}; {}", whole, absent, to_string(counts)));
  CHECK(whole > 100);
  CHECK(whole < 1900);
  CHECK(absent > 100);
  for (const std::uint64_t count :
       {counts.pages_new, counts.pages_old, counts.pages_between, counts.pages_torn,
        counts.pages_blank, counts.pages_stale, counts.sizes_old, counts.sizes_between,
        counts.creations_lost, counts.renames_lost, counts.names_out_of_order})
    CHECK(count > 50);
}

TEST_CASE("SimulatedDisk: a removal, a replaced file and a cut survive only once they are synced") {
  CutCounts counts;
  std::uint64_t removed = 0;
  std::uint64_t replaced = 0;
  std::uint64_t cut = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    CAPTURE(seed);
    SimulatedDisk disk;
    for (const char* path : {"/disk/a", "/disk/b", "/disk/c", "/disk/d"}) {
      const int fd = put(disk, path, std::string(10000, path[6]));
      disk.fdatasync(fd);
      disk.close(fd);
    }
    disk.sync_directory("/disk");
    disk.unlink("/disk/a");
    disk.rename("/disk/c", "/disk/b", true);
    const int fd = disk.open("/disk/d", O_RDWR, 0);
    disk.ftruncate(fd, 5000);
    const DiskState left = disk.state().after_power_cut(seed, true, counts);
    if (left.has("/disk/a"))
      REQUIRE(left.contents("/disk/a") == std::string(10000, 'a'));
    else
      ++removed;
    REQUIRE(left.has("/disk/b"));
    replaced += !left.has("/disk/c");
    REQUIRE(left.contents("/disk/b") == std::string(10000, left.has("/disk/c") ? 'b' : 'c'));
    const std::string d = left.contents("/disk/d");
    REQUIRE(d.size() >= 5000);
    REQUIRE(d.substr(0, 5000) == std::string(5000, 'd'));
    cut += d.size() == 5000;
    disk.sync_directory("/disk");
    disk.fdatasync(fd);
    const DiskState sure = disk.state().after_power_cut(seed, true, counts);
    REQUIRE(sure.paths() == std::vector<std::string>{"/disk/b", "/disk/d"});
    REQUIRE(sure.contents("/disk/b") == std::string(10000, 'c'));
    REQUIRE(sure.contents("/disk/d") == std::string(5000, 'd'));
  }
  for (const std::uint64_t count : {removed, replaced, cut}) {
    CHECK(count > 50);
    CHECK(count < 450);
  }
}

TEST_CASE("SimulatedDisk: what a failed sync gave up is not made sure by the next one") {
  CutCounts counts;
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SimulatedDisk disk;
    const int fd = put(disk, "/disk/a", std::string(4096, '1'));
    disk.fdatasync(fd);
    disk.sync_directory("/disk");
    disk.pwrite(fd, std::string(4096, '2').data(), 4096, 0);
    disk.give_up_unsynced("/disk/a");
    REQUIRE(disk.fdatasync(fd) == 0);
    lost += disk.state().after_power_cut(seed, false, counts).contents("/disk/a")[0] == '1';
    // Written again, it is.
    disk.pwrite(fd, "3", 1, 0);
    REQUIRE(disk.fdatasync(fd) == 0);
    REQUIRE(
        disk.state().after_power_cut(seed, false, counts).contents("/disk/a").starts_with("32"));
  }
  CHECK(lost > 20);
}

TEST_CASE("SimulatedDisk: the world stops where it is told to, and the room may end") {
  SimulatedDisk disk;
  disk.set_capacity(3 * 4096);
  const int fd = disk.open("/disk/a", create, 0666);
  CHECK(disk.free_bytes("/disk") == 3 * 4096);
  const std::string text(20000, 'x');
  CHECK(disk.pwrite(fd, text.data(), text.size(), 100) == 3 * 4096 - 100);
  CHECK(disk.pwrite(fd, text.data(), text.size(), 3 * 4096) < 0);
  CHECK(errno == ENOSPC);
  CHECK(disk.pwrite(fd, text.data(), 100, 0) == 100);
  CHECK(disk.free_bytes("/disk") == 0);

  std::vector<DiskOperation::Kind> seen;
  disk.watch([&](std::uint64_t, const DiskOperation& operation, const DiskState&) {
    seen.push_back(operation.kind);
    return true;
  });
  disk.stop_at(disk.operations() + 1);
  CHECK(disk.fdatasync(fd) == 0);
  CHECK(disk.fdatasync(fd) < 0);
  CHECK(errno == EIO);
  CHECK(disk.size(fd) < 0);
  CHECK(disk.kind("/disk/a") == PathKind::nothing);
  CHECK(disk.close(fd) < 0);
  CHECK(seen == std::vector<DiskOperation::Kind>{DiskOperation::Kind::sync});
}

TEST_CASE("FaultyFiles: strikes the call it is told to, and no other") {
  SimulatedDisk disk;
  FaultyFiles files(disk);
  const int fd = files.open("/disk/a.journal", create, 0666);
  const int other = files.open("/disk/a.part", create, 0666);
  std::string struck_path;
  files.add({.call = FileCall::pwrite,
             .suffix = ".journal",
             .first = 1,
             .count = 1,
             .error = EIO,
             .then = [&](const std::string& path) { struck_path = path; }});
  CHECK(files.pwrite(fd, "ab", 2, 0) == 2);
  CHECK(files.pwrite(other, "ab", 2, 0) == 2);
  CHECK(files.pwrite(fd, "ab", 2, 2) < 0);
  CHECK(errno == EIO);
  CHECK(struck_path == "/disk/a.journal");
  CHECK(files.pwrite(fd, "ab", 2, 2) == 2);
  CHECK(files.struck() == 1);
  CHECK(files.made(FileCall::pwrite) == 4);

  files.clear();
  files.add({.call = FileCall::pwrite, .half = true});
  CHECK(files.pwrite(fd, "abcd", 4, 0) == 2);
  files.add({.call = FileCall::fdatasync, .suffix = ".part", .count = 1, .error = EIO});
  CHECK(files.fdatasync(fd) == 0);
  CHECK(files.fdatasync(other) < 0);
  CHECK(files.syncs_tried_again() == 0);
  CHECK(files.fdatasync(fd) == 0);
  CHECK(files.syncs_tried_again() == 0);
  CHECK(files.fdatasync(other) == 0);
  CHECK(files.syncs_tried_again() == 1);
  files.add({.call = FileCall::free_bytes, .value = 77});
  CHECK(files.free_bytes("/disk") == 77);
}
