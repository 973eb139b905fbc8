// File calls that interrupt, shorten and fail as a test says while they are in use.
#pragma once

#include <cerrno>
#include <functional>

#include "faulty_files.hpp"

namespace spillway::test {

class CallsOfATest final : public FaultyFiles {
 public:
  std::function<bool()> interrupt = [] { return false; };
  std::function<std::size_t(std::size_t)> shorten = [](std::size_t bytes) { return bytes; };
  // What calls of a kind fail with; 0: they don't.
  int write_error = 0;
  int read_error = 0;
  int lock_error = 0;
  off_t bad_byte = -1;  // reads that touch it fail with EIO; negative: none
  std::uint64_t interruptions = 0;
  std::uint64_t writes = 0;  // asked for

  int open(const char* path, int flags, mode_t mode) noexcept override {
    return interrupted() ? -1 : FaultyFiles::open(path, flags, mode);
  }
  ssize_t pread(int fd, void* to, std::size_t bytes, off_t at) noexcept override {
    const bool bad = bad_byte >= at && bad_byte < at + static_cast<off_t>(bytes);
    if (interrupted() || failing(bad ? EIO : read_error)) return -1;
    return FaultyFiles::pread(fd, to, shorten(bytes), at);
  }
  ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override {
    ++writes;
    if (interrupted() || failing(write_error)) return -1;
    return FaultyFiles::pwrite(fd, from, shorten(bytes), at);
  }
  int ftruncate(int fd, off_t size) noexcept override {
    return interrupted() || failing(write_error) ? -1 : FaultyFiles::ftruncate(fd, size);
  }
  int flock(int fd, int operation) noexcept override {
    return interrupted() || failing(lock_error) ? -1 : FaultyFiles::flock(fd, operation);
  }

 private:
  bool interrupted() noexcept {
    if (!interrupt()) return false;
    ++interruptions;
    errno = EINTR;
    return true;
  }
  static bool failing(int error) noexcept {
    errno = error;
    return error != 0;
  }
};

}  // namespace spillway::test
