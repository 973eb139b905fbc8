// A directory for files that nobody keeps.
#pragma once

#include <cstdint>
#include <string>

namespace spillway::bench {

// Makes one of its own below `directory`, and removes it with all that is in it. Throws Error.
class Scratch {
 public:
  explicit Scratch(const std::string& directory);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Of all files in it.
  [[nodiscard]] std::uint64_t bytes() const;
  // So that everybody finds the same: waits until nothing that anybody wrote to that file
  // system is on its way to the disk, and has the kernel use memory for `bytes` of a file, and
  // free it. A virtual machine gives free memory back to its host, and to get it again takes
  // several times as long as to write into it. Throws Error.
  void settle(std::uint64_t bytes) const;

 private:
  std::string path_;
};

}  // namespace spillway::bench
