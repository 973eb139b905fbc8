#include "xxh3.hpp"

#include <fmt/format.h>

#include "xxhash.hpp"

namespace spillway {

namespace {

std::string to_digits(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace

struct Xxh3::State {
  XXH3_state_t state;
};

std::string xxh3_128(std::span<const std::byte> bytes) {
  return to_digits(XXH3_128bits(bytes.data(), bytes.size()));
}

Xxh3::Xxh3() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->state); }
Xxh3::~Xxh3() = default;

void Xxh3::add(std::span<const std::byte> bytes) noexcept {
  XXH3_128bits_update(&state_->state, bytes.data(), bytes.size());
}

std::string Xxh3::digits() const { return to_digits(XXH3_128bits_digest(&state_->state)); }

}  // namespace spillway
