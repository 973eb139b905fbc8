// The system calls that storage makes, in one place, where a test can make them fail.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace spillway {

// What a path names.
enum class PathKind : std::uint8_t { nothing, file, directory, other };

// Every function is the POSIX call of its name: a result, or -1 and errno; writes and reads may
// be short, and EINTR is for the caller to deal with. Any thread, blocking.
//
// Everything that a sink, its journal and HDF5 below it write goes through these, and what
// recovery and verification read; so a test that stands in for the disk sees every byte in the
// order in which it was written, and every sync.
class FileCalls {
 public:
  FileCalls() = default;
  FileCalls(const FileCalls&) = delete;
  FileCalls& operator=(const FileCalls&) = delete;
  virtual ~FileCalls() = default;

  // O_CLOEXEC is added. Descriptors mean something to the same FileCalls only.
  virtual int open(const char* path, int flags, mode_t mode) noexcept = 0;
  virtual int close(int fd) noexcept = 0;
  virtual ssize_t pread(int fd, void* to, std::size_t bytes, off_t at) noexcept = 0;
  virtual ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept = 0;
  virtual int ftruncate(int fd, off_t size) noexcept = 0;
  virtual off_t size(int fd) noexcept = 0;
  virtual int fdatasync(int fd) noexcept = 0;
  virtual int flock(int fd, int operation) noexcept = 0;
  // Begins to write these bytes to the disk without waiting for it: a hint, whose failure is none.
  virtual void start_writeback(int fd, off_t at, off_t bytes) noexcept = 0;

  virtual PathKind kind(const char* path) noexcept = 0;
  // Of a file that exists. EEXIST if `to` exists, unless `replace`.
  virtual int rename(const char* from, const char* to, bool replace) noexcept = 0;
  virtual int unlink(const char* path) noexcept = 0;
  // fsync of a directory: new names and removals survive.
  virtual int sync_directory(const char* path) noexcept = 0;
  // Names of the files in a directory, in any order, without "." and "..".
  virtual int list(const char* directory, std::vector<std::string>& names) = 0;
  // That an unprivileged process may still write where `directory` lies.
  virtual std::int64_t free_bytes(const char* directory) noexcept = 0;
};

// Those of the operating system.
[[nodiscard]] FileCalls& system_file_calls() noexcept;

}  // namespace spillway
