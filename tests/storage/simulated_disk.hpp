// A disk in memory that loses what a real one may lose when the power is cut.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "spillway/storage/file_calls.hpp"

namespace spillway::test {

// A call that changes what is on the disk, or makes it sure.
struct DiskOperation {
  enum class Kind : std::uint8_t {
    create,
    write,
    truncate,
    sync,
    rename,
    unlink,
    sync_directory,
  };
  Kind kind = Kind::write;
  std::string path;  // of a rename: the old name
  std::string to;    // of a rename
  std::uint64_t at = 0;
  std::uint64_t bytes = 0;
};

// What the cut of the power did, in pages of 4096 bytes, sizes and names.
struct CutCounts {
  std::uint64_t pages_new = 0;      // not synced, there all the same
  std::uint64_t pages_old = 0;      // as they were when they were synced
  std::uint64_t pages_between = 0;  // as they were between two writes
  std::uint64_t pages_torn = 0;     // of sectors of several versions
  std::uint64_t pages_blank = 0;    // never synced: zeros
  std::uint64_t pages_stale = 0;    // never synced: what another file left there
  std::uint64_t sizes_old = 0;
  std::uint64_t sizes_between = 0;
  std::uint64_t creations_lost = 0;
  std::uint64_t renames_lost = 0;
  std::uint64_t removals_lost = 0;
  std::uint64_t names_out_of_order = 0;  // a later change of a name is there, an earlier one is not
  CutCounts& operator+=(const CutCounts& other);
};
std::string to_string(const CutCounts& counts);

// What is in the files, for the kernel and on the medium. A value; copies share pages.
class DiskState {
 public:
  static constexpr std::size_t page_bytes = 4096;
  static constexpr std::size_t sector_bytes = 512;

  // What may be found after the power was cut in this state, one of many possibilities: of every
  // page that was not synced any version since it was, or sectors of several; any size there was;
  // any names that were not synced, done or not, in order or not. With `stale`, blocks that were
  // allocated and not written hold what was in other files.
  [[nodiscard]] DiskState after_power_cut(std::uint64_t seed, bool stale, CutCounts& counts) const;

  // As if everything were synced: what is found after the end of the process alone.
  [[nodiscard]] DiskState after_process_end() const;

  [[nodiscard]] bool has(const std::string& path) const { return names_.contains(path); }
  [[nodiscard]] std::vector<std::string> paths() const;
  [[nodiscard]] std::string contents(const std::string& path) const;

 private:
  friend class SimulatedDisk;
  using Bytes = std::array<std::byte, page_bytes>;
  using Page = std::shared_ptr<const Bytes>;  // null: zeros
  struct Versions {
    Page synced;
    bool allocated = false;   // `synced` is on the medium, not only a hole
    std::vector<Page> since;  // as the kernel had it, the last one is in force
    bool given_up = false;    // a sync failed: no later one writes this version
    [[nodiscard]] const Page& now() const { return since.empty() ? synced : since.back(); }
  };
  struct File {
    std::uint64_t size = 0;
    std::uint64_t synced_size = 0;
    std::vector<std::uint64_t> sizes;  // since
    std::map<std::uint64_t, Versions> pages;
  };
  struct NameChange {
    DiskOperation::Kind kind = DiskOperation::Kind::create;
    std::uint64_t file = 0;
    std::string from;
    std::string to;
  };

  void write(File& file, std::uint64_t at, const std::byte* from, std::size_t bytes);
  void resize(File& file, std::uint64_t size);
  void bury(const File& file);
  static File settled(const File& file);

  std::map<std::uint64_t, File> files_;
  std::map<std::string, std::uint64_t> names_;
  std::map<std::string, std::uint64_t> synced_names_;
  std::vector<NameChange> changes_;  // of names, not synced
  std::vector<Page> freed_;          // blocks of files that are gone
  std::uint64_t next_file_ = 1;
};

// Any thread; one lock. There is one directory, `directory`.
//
// fdatasync makes data and size of its file sure, and not its name; sync_directory makes the names
// sure; nothing else does, start_writeback included.
class SimulatedDisk final : public FileCalls {
 public:
  static constexpr const char* directory = "/disk";

  SimulatedDisk() = default;
  explicit SimulatedDisk(DiskState state) : state_(std::move(state)) {}

  [[nodiscard]] DiskState state() const;
  // So far; the first one is number 0.
  [[nodiscard]] std::uint64_t operations() const;

  // Called in front of every operation with the state before it, under the lock. One that returns
  // false stops the world.
  using Watch = std::function<bool(std::uint64_t number, const DiskOperation&, const DiskState&)>;
  void watch(Watch watch);
  // From this operation on, nothing works any more: every call fails with EIO.
  void stop_at(std::uint64_t operation);

  // Room for so many bytes in all; writes beyond fail with ENOSPC.
  void set_capacity(std::uint64_t bytes);
  // What free_bytes says, whatever the capacity.
  void set_free_bytes(std::int64_t bytes);

  // What the kernel does when the medium fails under an fdatasync: the error is told once, and
  // the pages count as clean from then on, although they never reached the medium.
  void give_up_unsynced(const std::string& path);

  int open(const char* path, int flags, mode_t mode) noexcept override;
  int close(int fd) noexcept override;
  ssize_t pread(int fd, void* to, std::size_t bytes, off_t at) noexcept override;
  ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override;
  int ftruncate(int fd, off_t size) noexcept override;
  off_t size(int fd) noexcept override;
  int fdatasync(int fd) noexcept override;
  int flock(int fd, int operation) noexcept override;
  void start_writeback(int fd, off_t at, off_t bytes) noexcept override;
  PathKind kind(const char* path) noexcept override;
  int rename(const char* from, const char* to, bool replace) noexcept override;
  int unlink(const char* path) noexcept override;
  int sync_directory(const char* path) noexcept override;
  int list(const char* directory, std::vector<std::string>& names) override;
  std::int64_t free_bytes(const char* directory) noexcept override;

 private:
  struct Open {
    std::uint64_t file = 0;
    bool writable = false;
    std::string path;  // when it was opened
    int lock = 0;      // LOCK_SH, LOCK_EX or 0
  };

  // All with the lock held. False: stopped, errno is set.
  bool alive() const;
  bool begin(const DiskOperation& operation);
  Open* descriptor(int fd);
  std::string name_of(std::uint64_t file) const;
  std::uint64_t used() const;
  void forget_unused();

  mutable std::mutex mutex_;
  DiskState state_;
  std::map<int, Open> open_;
  int next_fd_ = 1000;  // unlike those of the system
  std::uint64_t operations_ = 0;
  std::uint64_t stop_at_ = std::numeric_limits<std::uint64_t>::max();
  bool stopped_ = false;
  Watch watch_;
  std::optional<std::uint64_t> capacity_;
  std::int64_t free_bytes_ = std::int64_t{1} << 40;
};

}  // namespace spillway::test
