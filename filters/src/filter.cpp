#include "spillway/filters/filter.hpp"

#include <fmt/format.h>

#include <cstring>

#include "spillway/channels/error.hpp"

namespace spillway {

void StateWriter::put_bytes(const void* data, std::size_t size) {
  if (size == 0) return;
  const std::size_t at = size_;
  size_ += size;
  if (grows_) {
    bytes_.resize(size_);
    std::memcpy(bytes_.data() + at, data, size);
  } else if (size_ <= room_.size()) {
    std::memcpy(room_.data() + at, data, size);
  }
}

void StateWriter::begin_sized() {
  put(std::uint64_t{0});
  sized_from_ = size_;
}

void StateWriter::end_sized() noexcept {
  const std::uint64_t length = size_ - sized_from_;
  std::byte* const at = (grows_ ? bytes_.data() : room_.data()) + sized_from_ - sizeof length;
  if (grows_ || sized_from_ <= room_.size()) std::memcpy(at, &length, sizeof length);
}

void StateReader::get_bytes(void* data, std::size_t size) {
  if (size > bytes_.size())
    throw Error(
        fmt::format("filter state: {} bytes are left where {} are needed; the state must come from "
                    "a filter of the same configuration",
                    bytes_.size(), size));
  if (size == 0) return;
  std::memcpy(data, bytes_.data(), size);
  bytes_ = bytes_.subspan(size);
}

std::span<const std::byte> StateReader::take(std::uint64_t size) {
  if (size > bytes_.size())
    throw Error(fmt::format("filter state: {} bytes are left where {} are needed; it is damaged",
                            bytes_.size(), size));
  const auto taken = bytes_.first(static_cast<std::size_t>(size));
  bytes_ = bytes_.subspan(taken.size());
  return taken;
}

void StateReader::check_length(std::uint64_t stored, std::size_t expected) {
  if (stored != expected)
    throw Error(
        fmt::format("filter state: {} values are stored where {} are needed; the state must come "
                    "from a filter of the same configuration",
                    stored, expected));
}

}  // namespace spillway
