#include "file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "spillway/storage/sink.hpp"

namespace spillway {

void fail_with_errno(const std::string& path, const std::string& what) {
  const int error = errno;
  const std::string text = fmt::format("{}: {}: {}", path, what, std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) throw DiskFull(text);
  throw Error(text);
}

std::string directory_of(const std::string& path) {
  const auto directory = std::filesystem::path(path).parent_path();
  return directory.empty() ? "." : directory.string();
}

File::File(FileCalls& calls, std::string path, Mode mode) : calls_(&calls), path_(std::move(path)) {
  // A pipe that stands where a file should be would wait for somebody who writes to it.
  const int flags = mode == Mode::read    ? O_RDONLY | O_NONBLOCK
                    : mode == Mode::write ? O_RDWR
                                          : O_RDWR | O_CREAT | O_EXCL;
  do {
    fd_ = calls_->open(path_.c_str(), flags, 0666);
  } while (fd_ < 0 && errno == EINTR);
  if (fd_ < 0) fail_with_errno(path_, mode == Mode::create ? "can't be made" : "can't be opened");
}

File::File(File&& other) noexcept
    : calls_(other.calls_), path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

File& File::operator=(File&& other) noexcept {
  std::swap(calls_, other.calls_);
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

File::~File() {
  if (fd_ >= 0) calls_->close(fd_);
}

std::uint64_t File::size() const {
  const off_t size = calls_->size(fd_);
  if (size < 0) fail_with_errno(path_, "its size can't be told");
  return static_cast<std::uint64_t>(size);
}

std::size_t File::read_up_to(std::uint64_t at, std::span<std::byte> to) const {
  std::size_t done = 0;
  while (done < to.size()) {
    const ssize_t n =
        calls_->pread(fd_, to.data() + done, to.size() - done, static_cast<off_t>(at + done));
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_with_errno(path_, fmt::format("can't be read at byte {}", at + done));
    done += static_cast<std::size_t>(n);
  }
  return done;
}

void File::read_at(std::uint64_t at, std::span<std::byte> to) const {
  const std::size_t n = read_up_to(at, to);
  if (n < to.size())
    throw Error(fmt::format("{}: ends at byte {}, where bytes {} to {} are wanted", path_, at + n,
                            at, at + to.size()));
}

void File::write_at(std::uint64_t at, std::span<const std::byte> from) {
  std::size_t done = 0;
  while (done < from.size()) {
    const ssize_t n =
        calls_->pwrite(fd_, from.data() + done, from.size() - done, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) fail_with_errno(path_, "can't be written");
    done += static_cast<std::size_t>(n);
  }
}

void File::truncate(std::uint64_t size) {
  int result = 0;
  do {
    result = calls_->ftruncate(fd_, static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail_with_errno(path_, "can't be cut");
}

void File::sync() {
  // Not again after EINTR either: whether the error was dropped then, nobody says.
  if (calls_->fdatasync(fd_) != 0) fail_with_errno(path_, "can't be synced");
}

bool File::try_lock(bool exclusive) {
  int result = 0;
  do {
    result = calls_->flock(fd_, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

void File::wait_for_lock() {
  int result = 0;
  do {
    result = calls_->flock(fd_, LOCK_EX);
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail_with_errno(path_, "can't be locked");
}

void File::close() {
  // The descriptor is gone even if this fails.
  if (fd_ >= 0 && calls_->close(std::exchange(fd_, -1)) != 0)
    fail_with_errno(path_, "can't be closed");
}

}  // namespace spillway
