// How often durations came, by size, counted while others look.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace spillway {

// Durations from 1 ns to 1100 s in buckets of 1/8 octave, each 9 % wide; what is longer is in the
// last one. The number of durations, their sum and the longest are exact.
class DurationHistogram {
 public:
  static constexpr std::size_t bucket_count = 8 * 38;

  struct Snapshot {
    std::array<std::uint64_t, bucket_count> counts{};
    std::uint64_t count = 0;
    std::chrono::nanoseconds sum{0};
    std::chrono::nanoseconds longest{0};
    // The upper end of the bucket that holds the smallest duration which at least `share` of all
    // do not exceed; never more than the longest. 0 if there is none.
    [[nodiscard]] std::chrono::nanoseconds quantile(double share) const noexcept;
  };

  // Negative ones count as 0. One thread; wait-free, O(1), allocates nothing.
  void add(std::chrono::nanoseconds duration) noexcept;
  // Any thread. Each number is one that was there, but a duration being added may be in some of
  // them only.
  [[nodiscard]] Snapshot snapshot() const noexcept;

 private:
  // One thread writes, so that no addition needs to be atomic.
  using Count = std::atomic<std::uint64_t>;
  std::array<Count, bucket_count> counts_{};
  Count count_{0};
  Count sum_{0};
  Count longest_{0};
};

}  // namespace spillway
