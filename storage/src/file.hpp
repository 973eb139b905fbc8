// An open file, by FileCalls: errors are exceptions, short transfers and interruptions are dealt
// with. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "spillway/storage/file_calls.hpp"

namespace spillway {

// Throws Error "<path>: <what>: <what errno says>"; DiskFull if errno says that.
[[noreturn]] void fail_with_errno(const std::string& path, const std::string& what);

// The directory of a path: "." if it has none.
[[nodiscard]] std::string directory_of(const std::string& path);

// Blocking; throws Error that names the path. One thread at a time, but read_at.
class File {
 public:
  enum class Mode : unsigned char { read, write, create };  // create: must not exist; both ways

  File(FileCalls& calls, std::string path, Mode mode);
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();  // closes

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  void renamed(std::string path) { path_ = std::move(path); }  // for messages
  [[nodiscard]] int descriptor() const noexcept { return fd_; }
  [[nodiscard]] FileCalls& calls() const noexcept { return *calls_; }

  [[nodiscard]] std::uint64_t size() const;
  // All of `to`; Error that names the position if the file ends before.
  void read_at(std::uint64_t at, std::span<std::byte> to) const;
  // As far as the file goes; returns the bytes read.
  [[nodiscard]] std::size_t read_up_to(std::uint64_t at, std::span<std::byte> to) const;
  void write_at(std::uint64_t at, std::span<const std::byte> from);
  void truncate(std::uint64_t size);
  // fdatasync. Throws; then never to be called again on this file.
  void sync();
  // flock without waiting; false: somebody else has it.
  [[nodiscard]] bool try_lock(bool exclusive);
  // flock; waits until nobody else has it.
  void wait_for_lock();
  void close();  // throws where closing tells of an error

 private:
  FileCalls* calls_;
  std::string path_;
  int fd_ = -1;
};

}  // namespace spillway
