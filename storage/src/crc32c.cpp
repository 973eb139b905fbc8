#include <isa-l/crc.h>

#include <algorithm>
#include <climits>

#include "spillway/storage/journal.hpp"

namespace spillway {

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t crc) noexcept {
  // The library neither inverts nor takes more than an int of bytes, and only reads them.
  std::uint32_t state = ~crc;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min<std::size_t>(bytes.size(), INT_MAX));
    auto* const data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(part.data()));
    state = crc32_iscsi(data, static_cast<int>(part.size()), state);
    bytes = bytes.subspan(part.size());
  }
  return ~state;
}

}  // namespace spillway
