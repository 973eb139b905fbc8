// XXH3, 128 bits, as text. Private.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace spillway {

// 32 lower-case hexadecimal digits, the canonical representation: what `xxhsum -H2` prints.
[[nodiscard]] std::string xxh3_128(std::span<const std::byte> bytes);

// The same in pieces. Allocates when made.
class Xxh3 {
 public:
  Xxh3();
  ~Xxh3();
  Xxh3(const Xxh3&) = delete;
  Xxh3& operator=(const Xxh3&) = delete;

  void add(std::span<const std::byte> bytes) noexcept;
  [[nodiscard]] std::string digits() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace spillway
