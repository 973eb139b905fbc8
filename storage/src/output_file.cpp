#include "spillway/storage/output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

std::string directory_of(const std::string& path) {
  const auto directory = std::filesystem::path(path).parent_path();
  return directory.empty() ? "." : directory.string();
}

[[noreturn]] void fail(const std::string& path, const char* what) {
  throw Error(fmt::format("{}: {}: {}", path, what, std::strerror(errno)));
}

void sync_path(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) fail(path, "can't be opened for syncing");
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0) {
    errno = error;
    fail(path, "can't be synced");
  }
}

}  // namespace

OutputFile::OutputFile(std::string path, Existing existing)
    : path_(std::move(path)), part_(path_ + ".part"), existing_(existing) {
  const std::string directory = directory_of(path_);
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0) fail(directory, "output directory");
  if (!S_ISDIR(info.st_mode)) throw Error(fmt::format("{}: is not a directory", directory));
  if (::stat(path_.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) throw Error(fmt::format("{}: is a directory", path_));
    if (existing == Existing::refuse)
      throw Error(fmt::format("{}: exists already; choose another name or use --force", path_));
  }
  const int fd = ::open(part_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0 && errno == EEXIST)
    throw Error(fmt::format(
        "{}: an unfinished recording stands here, or another recorder writes it; look at it with "
        "'spillway info' and move it away",
        part_));
  if (fd < 0) fail(path_, "can't be written");
  ::close(fd);
}

OutputFile::~OutputFile() {
  struct stat info {};
  if (!sealed_ && ::stat(part_.c_str(), &info) == 0 && info.st_size == 0) ::unlink(part_.c_str());
}

void OutputFile::discard() noexcept {
  if (!sealed_) ::unlink(part_.c_str());
}

void OutputFile::seal() {
  sync_path(part_, O_RDONLY);
  const unsigned flags = existing_ == Existing::refuse ? RENAME_NOREPLACE : 0;
  int result = ::renameat2(AT_FDCWD, part_.c_str(), AT_FDCWD, path_.c_str(), flags);
  // File systems without RENAME_NOREPLACE: link refuses an existing name as well.
  if (result != 0 && errno == EINVAL && flags != 0) {
    result = ::link(part_.c_str(), path_.c_str());
    if (result == 0) ::unlink(part_.c_str());
  }
  if (result != 0)
    fail(path_, fmt::format("can't take its final name, the data is in {}", part_).c_str());
  sealed_ = true;
  sync_path(directory_of(path_), O_RDONLY | O_DIRECTORY);
}

void require_free_space(const std::string& path, std::uint64_t bytes) {
  constexpr std::uint64_t reserve = 4 << 20;
  struct statvfs info {};
  if (::statvfs(directory_of(path).c_str(), &info) != 0) fail(path, "free space can't be told");
  const std::uint64_t free = static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
  if (free < bytes + reserve)
    throw Error(
        fmt::format("{}: the disk is full: {} KiB free, {} KiB are needed for the next flush and "
                    "to close the file",
                    path, free >> 10, (bytes + reserve) >> 10));
}

}  // namespace spillway
