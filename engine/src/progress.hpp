// How far the readers that must not lose anything have come. Private.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "spillway/channels/ring.hpp"

namespace spillway {

// One reader's position, written by its thread after each read.
struct alignas(cache_line) Progress {
  std::atomic<std::uint64_t> position{0};
  void reached(std::uint64_t p) noexcept { position.store(p, std::memory_order_release); }
  // A reader that gave up holds nobody back.
  void left() noexcept { reached(std::numeric_limits<std::uint64_t>::max()); }
};

// The readers of one stream. Built before threads start, then only read.
class Readers {
 public:
  Progress& add() { return *all_.emplace_back(std::make_unique<Progress>()); }
  [[nodiscard]] std::uint64_t slowest() const noexcept {
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    for (const auto& p : all_) least = std::min(least, p->position.load(std::memory_order_acquire));
    return least;
  }
  // Whether `count` more samples after `pushed` leave everything needed in a ring of `capacity`.
  [[nodiscard]] bool has_room(std::uint64_t pushed, std::uint64_t count,
                              std::uint64_t capacity) const noexcept {
    const std::uint64_t needed = slowest();
    return needed >= pushed || pushed + count - needed <= capacity;
  }

 private:
  std::vector<std::unique_ptr<Progress>> all_;
};

}  // namespace spillway
