// File calls that fail on demand, are slow, or kill the process.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "spillway/storage/file_calls.hpp"

namespace spillway::test {

enum class FileCall : std::uint8_t {
  open,
  close,
  pread,
  pwrite,
  ftruncate,
  size,
  fdatasync,
  flock,
  start_writeback,
  rename,
  unlink,
  sync_directory,
  list,
  free_bytes,
};
constexpr std::size_t file_call_kinds = 14;
const char* to_string(FileCall call) noexcept;

// One thing that goes wrong, or late.
struct FaultRule {
  FileCall call = FileCall::pwrite;
  std::string suffix = {};  // of the path; empty: any
  std::uint64_t first = 0;  // of the calls that match, the first is number 0
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();  // so many of them
  int error = 0;                                                    // errno; 0: the call is made
  bool half = false;                       // pread, pwrite: half of the bytes at most
  std::chrono::microseconds delay{0};      // before the call
  std::optional<std::int64_t> value = {};  // free_bytes: what it says
  std::function<void(const std::string& path)> then = {};  // called when it strikes
};

// Passes every call on to others but those that a rule strikes. Any thread.
class FaultyFiles : public FileCalls {
 public:
  explicit FaultyFiles(FileCalls& calls = system_file_calls()) : calls_(&calls) {}

  // The first rule that matches and has not done its work yet counts a call, and may strike.
  void add(FaultRule rule);
  void clear();
  [[nodiscard]] std::uint64_t struck() const;  // how often any rule has
  [[nodiscard]] std::uint64_t made(FileCall call) const;
  // fdatasync of a file of which one failed before, by whatever name and descriptor.
  [[nodiscard]] std::uint64_t syncs_tried_again() const;

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
  struct Strike {
    int error = 0;
    bool half = false;
    std::optional<std::int64_t> value;
  };
  // Counts, waits, and tells what is to go wrong.
  Strike strike(FileCall call, const std::string& path);
  [[nodiscard]] std::string path_of(int fd) const;

  struct Active {
    FaultRule rule;
    std::uint64_t seen = 0;
  };
  struct OpenFile {
    int fd;
    std::string path;
  };
  FileCalls* calls_;
  mutable std::mutex mutex_;
  std::vector<Active> rules_;
  std::vector<OpenFile> open_;
  std::vector<std::string> sync_failed_;
  std::uint64_t syncs_tried_again_ = 0;
  std::uint64_t struck_ = 0;
  std::array<std::uint64_t, file_call_kinds> made_{};
};

// Ends the process (SIGKILL) at operation number `at`, counted as SimulatedDisk does: creations,
// writes, truncations, syncs, renames, removals. In front of it, or, a write, in the middle of it.
class KillingFiles final : public FaultyFiles {
 public:
  KillingFiles(std::uint64_t at, bool in_the_middle) : at_(at), middle_(in_the_middle) {}
  [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }

  int open(const char* path, int flags, mode_t mode) noexcept override;
  ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override;
  int ftruncate(int fd, off_t size) noexcept override;
  int fdatasync(int fd) noexcept override;
  int rename(const char* from, const char* to, bool replace) noexcept override;
  int unlink(const char* path) noexcept override;
  int sync_directory(const char* path) noexcept override;

 private:
  bool due() noexcept { return operations_.fetch_add(1) == at_; }
  void count() noexcept;

  std::uint64_t at_;
  bool middle_;
  std::atomic<std::uint64_t> operations_{0};
};

}  // namespace spillway::test
