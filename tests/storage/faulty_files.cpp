#include "faulty_files.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>
#include <utility>

namespace spillway::test {

const char* to_string(FileCall call) noexcept {
  constexpr std::array<const char*, file_call_kinds> names{
      "open",  "close",           "pread",  "pwrite", "ftruncate",      "size", "fdatasync",
      "flock", "start_writeback", "rename", "unlink", "sync_directory", "list", "free_bytes"};
  return names[static_cast<std::size_t>(call)];
}

void FaultyFiles::add(FaultRule rule) {
  const std::lock_guard lock(mutex_);
  rules_.push_back({std::move(rule), 0});
}

void FaultyFiles::clear() {
  const std::lock_guard lock(mutex_);
  rules_.clear();
}

std::uint64_t FaultyFiles::struck() const {
  const std::lock_guard lock(mutex_);
  return struck_;
}

std::uint64_t FaultyFiles::made(FileCall call) const {
  const std::lock_guard lock(mutex_);
  return made_[static_cast<std::size_t>(call)];
}

std::uint64_t FaultyFiles::syncs_tried_again() const {
  const std::lock_guard lock(mutex_);
  return syncs_tried_again_;
}

std::string FaultyFiles::path_of(int fd) const {
  const std::lock_guard lock(mutex_);
  for (const OpenFile& file : open_)
    if (file.fd == fd) return file.path;
  return {};
}

FaultyFiles::Strike FaultyFiles::strike(FileCall call, const std::string& path) {
  Strike strike;
  std::chrono::microseconds delay{0};
  std::function<void(const std::string&)> then;
  {
    const std::lock_guard lock(mutex_);
    ++made_[static_cast<std::size_t>(call)];
    for (Active& active : rules_) {
      const FaultRule& rule = active.rule;
      if (rule.call != call || !path.ends_with(rule.suffix)) continue;
      const std::uint64_t number = active.seen++;
      if (number < rule.first || number - rule.first >= rule.count) continue;
      ++struck_;
      strike = {rule.error, rule.half, rule.value};
      delay = rule.delay;
      then = rule.then;
      break;
    }
  }
  if (delay.count() > 0) std::this_thread::sleep_for(delay);
  if (then) then(path);
  return strike;
}

int FaultyFiles::open(const char* path, int flags, mode_t mode) noexcept {
  if (const Strike s = strike(FileCall::open, path); s.error != 0) {
    errno = s.error;
    return -1;
  }
  const int fd = calls_->open(path, flags, mode);
  if (fd >= 0) {
    const std::lock_guard lock(mutex_);
    open_.push_back({fd, path});
  }
  return fd;
}

int FaultyFiles::close(int fd) noexcept {
  const Strike s = strike(FileCall::close, path_of(fd));
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(open_, [&](const OpenFile& file) { return file.fd == fd; });
  }
  // The descriptor is gone even where closing tells of an error.
  const int result = calls_->close(fd);
  if (s.error == 0) return result;
  errno = s.error;
  return -1;
}

ssize_t FaultyFiles::pread(int fd, void* to, std::size_t bytes, off_t at) noexcept {
  const Strike s = strike(FileCall::pread, path_of(fd));
  if (s.error != 0) {
    errno = s.error;
    return -1;
  }
  if (s.half) bytes = (bytes + 1) / 2;
  return calls_->pread(fd, to, bytes, at);
}

ssize_t FaultyFiles::pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept {
  const Strike s = strike(FileCall::pwrite, path_of(fd));
  // Both: a part of it got through, and the rest never will.
  if (s.half && s.error != 0) (void)calls_->pwrite(fd, from, bytes / 2, at);
  if (s.error != 0) {
    errno = s.error;
    return -1;
  }
  if (s.half) bytes = (bytes + 1) / 2;
  return calls_->pwrite(fd, from, bytes, at);
}

int FaultyFiles::ftruncate(int fd, off_t size) noexcept {
  const Strike s = strike(FileCall::ftruncate, path_of(fd));
  if (s.error == 0) return calls_->ftruncate(fd, size);
  errno = s.error;
  return -1;
}

off_t FaultyFiles::size(int fd) noexcept {
  const Strike s = strike(FileCall::size, path_of(fd));
  if (s.error == 0) return calls_->size(fd);
  errno = s.error;
  return -1;
}

int FaultyFiles::fdatasync(int fd) noexcept {
  const std::string path = path_of(fd);
  {
    const std::lock_guard lock(mutex_);
    if (std::find(sync_failed_.begin(), sync_failed_.end(), path) != sync_failed_.end())
      ++syncs_tried_again_;
  }
  const Strike s = strike(FileCall::fdatasync, path);
  if (s.error == 0) return calls_->fdatasync(fd);
  const std::lock_guard lock(mutex_);
  sync_failed_.push_back(path);
  errno = s.error;
  return -1;
}

int FaultyFiles::flock(int fd, int operation) noexcept {
  const Strike s = strike(FileCall::flock, path_of(fd));
  if (s.error == 0) return calls_->flock(fd, operation);
  errno = s.error;
  return -1;
}

void FaultyFiles::start_writeback(int fd, off_t at, off_t bytes) noexcept {
  if (strike(FileCall::start_writeback, path_of(fd)).error == 0)
    calls_->start_writeback(fd, at, bytes);
}

PathKind FaultyFiles::kind(const char* path) noexcept { return calls_->kind(path); }

int FaultyFiles::rename(const char* from, const char* to, bool replace) noexcept {
  const Strike s = strike(FileCall::rename, from);
  if (s.error != 0) {
    errno = s.error;
    return -1;
  }
  const int result = calls_->rename(from, to, replace);
  if (result != 0) return result;
  // What is known of a file goes with its name.
  const std::lock_guard lock(mutex_);
  for (OpenFile& file : open_)
    if (file.path == from) file.path = to;
  std::erase(sync_failed_, to);
  std::replace(sync_failed_.begin(), sync_failed_.end(), std::string(from), std::string(to));
  return result;
}

int FaultyFiles::unlink(const char* path) noexcept {
  const Strike s = strike(FileCall::unlink, path);
  if (s.error != 0) {
    errno = s.error;
    return -1;
  }
  const int result = calls_->unlink(path);
  if (result == 0) {
    const std::lock_guard lock(mutex_);
    std::erase(sync_failed_, path);
  }
  return result;
}

int FaultyFiles::sync_directory(const char* path) noexcept {
  const Strike s = strike(FileCall::sync_directory, path);
  if (s.error == 0) return calls_->sync_directory(path);
  errno = s.error;
  return -1;
}

int FaultyFiles::list(const char* directory, std::vector<std::string>& names) {
  const Strike s = strike(FileCall::list, directory);
  if (s.error == 0) return calls_->list(directory, names);
  errno = s.error;
  return -1;
}

std::int64_t FaultyFiles::free_bytes(const char* directory) noexcept {
  const Strike s = strike(FileCall::free_bytes, directory);
  if (s.error != 0) {
    errno = s.error;
    return -1;
  }
  return s.value ? *s.value : calls_->free_bytes(directory);
}

void KillingFiles::count() noexcept {
  if (due()) ::raise(SIGKILL);
}

int KillingFiles::open(const char* path, int flags, mode_t mode) noexcept {
  if ((flags & O_CREAT) != 0 && kind(path) == PathKind::nothing) count();
  return FaultyFiles::open(path, flags, mode);
}

ssize_t KillingFiles::pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept {
  if (due()) {
    if (middle_) (void)FaultyFiles::pwrite(fd, from, bytes / 2, at);
    ::raise(SIGKILL);
  }
  return FaultyFiles::pwrite(fd, from, bytes, at);
}

int KillingFiles::ftruncate(int fd, off_t size) noexcept {
  count();
  return FaultyFiles::ftruncate(fd, size);
}

int KillingFiles::fdatasync(int fd) noexcept {
  count();
  return FaultyFiles::fdatasync(fd);
}

int KillingFiles::rename(const char* from, const char* to, bool replace) noexcept {
  count();
  return FaultyFiles::rename(from, to, replace);
}

int KillingFiles::unlink(const char* path) noexcept {
  count();
  return FaultyFiles::unlink(path);
}

int KillingFiles::sync_directory(const char* path) noexcept {
  count();
  return FaultyFiles::sync_directory(path);
}

}  // namespace spillway::test
