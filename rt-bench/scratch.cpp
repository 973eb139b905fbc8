#include "scratch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <vector>

#include "spillway/channels/error.hpp"

namespace spillway::bench {

Scratch::Scratch(const std::string& directory) : path_(directory + "/rt-bench-XXXXXX") {
  if (!::mkdtemp(path_.data()))
    throw Error(
        fmt::format("{}: no directory can be made there: {}", directory, std::strerror(errno)));
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::uint64_t Scratch::bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(path_)) bytes += file.file_size();
  return bytes;
}

void Scratch::settle(std::uint64_t bytes) const {
  const std::string path = path_ + "/settle";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) throw Error(fmt::format("{}: {}", path, std::strerror(errno)));
  ::unlink(path.c_str());
  // Nothing of it comes to the disk, if the kernel is as lazy as it may be.
  const std::vector<char> piece(1 << 20);
  for (std::uint64_t done = 0; done < bytes; done += piece.size())
    if (::write(fd, piece.data(), piece.size()) < 0) break;
  ::close(fd);
  const int directory = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) throw Error(fmt::format("{}: {}", path_, std::strerror(errno)));
  (void)::syncfs(directory);
  ::close(directory);
}

}  // namespace spillway::bench
