// A file that is looked at as memory. Private.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "file.hpp"

namespace spillway {

// The bytes that the file had when it was mapped; they stay where they are when this moves.
// Who looks at bytes that were cut off since then is ended by the system (SIGBUS).
class MappedFile {
 public:
  // None: it can't be mapped, as it is empty or not a file of the operating system.
  [[nodiscard]] static std::optional<MappedFile> of(const File& file);
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace spillway
