#include "spillway/storage/file_calls.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

namespace spillway {

namespace {

class SystemFileCalls final : public FileCalls {
 public:
  int open(const char* path, int flags, mode_t mode) noexcept override {
    return ::open(path, flags | O_CLOEXEC, mode);
  }
  int close(int fd) noexcept override { return ::close(fd); }
  ssize_t pread(int fd, void* to, std::size_t bytes, off_t at) noexcept override {
    return ::pread(fd, to, bytes, at);
  }
  ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override {
    return ::pwrite(fd, from, bytes, at);
  }
  int ftruncate(int fd, off_t size) noexcept override { return ::ftruncate(fd, size); }
  off_t size(int fd) noexcept override {
    struct stat info {};
    return ::fstat(fd, &info) == 0 ? info.st_size : -1;
  }
  int fdatasync(int fd) noexcept override { return ::fdatasync(fd); }
  int flock(int fd, int operation) noexcept override { return ::flock(fd, operation); }
  void start_writeback(int fd, off_t at, off_t bytes) noexcept override {
    (void)::sync_file_range(fd, at, bytes, SYNC_FILE_RANGE_WRITE);
  }
  PathKind kind(const char* path) noexcept override {
    struct stat info {};
    if (::stat(path, &info) != 0) return PathKind::nothing;
    if (S_ISREG(info.st_mode)) return PathKind::file;
    return S_ISDIR(info.st_mode) ? PathKind::directory : PathKind::other;
  }
  int rename(const char* from, const char* to, bool replace) noexcept override {
    if (replace) return ::rename(from, to);
    const int result = ::renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (result == 0 || errno != EINVAL) return result;
    // File systems without RENAME_NOREPLACE: link refuses an existing name as well.
    if (::link(from, to) != 0) return -1;
    return ::unlink(from);
  }
  int unlink(const char* path) noexcept override { return ::unlink(path); }
  int sync_directory(const char* path) noexcept override {
    const int fd = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    const int result = ::fsync(fd);
    const int error = errno;
    ::close(fd);
    errno = error;
    return result;
  }
  int list(const char* directory, std::vector<std::string>& names) override {
    DIR* const opened = ::opendir(directory);
    if (!opened) return -1;
    const std::unique_ptr<DIR, int (*)(DIR*)> closer(opened, ::closedir);
    errno = 0;
    while (const dirent* entry = ::readdir(opened)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    return errno == 0 ? 0 : -1;
  }
  std::int64_t free_bytes(const char* directory) noexcept override {
    struct statvfs info {};
    if (::statvfs(directory, &info) != 0) return -1;
    return static_cast<std::int64_t>(info.f_bavail) * static_cast<std::int64_t>(info.f_frsize);
  }
};

}  // namespace

FileCalls& system_file_calls() noexcept {
  static SystemFileCalls calls;
  return calls;
}

}  // namespace spillway
