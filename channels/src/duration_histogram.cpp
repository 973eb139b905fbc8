#include "spillway/channels/duration_histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace spillway {

namespace {

// The leading bit and the three behind it; durations of less than 8 ns have fewer.
constexpr std::size_t index_of(std::uint64_t ns) noexcept {
  if (ns < 8) return static_cast<std::size_t>(ns);
  const auto octave = static_cast<unsigned>(std::bit_width(ns)) - 1U;
  const auto within = static_cast<std::size_t>(ns >> (octave - 3)) & 7U;
  return std::min<std::size_t>(static_cast<std::size_t>(octave - 2) * 8 + within,
                               DurationHistogram::bucket_count - 1);
}

// The largest duration of a bucket.
constexpr std::uint64_t end_of(std::size_t index) noexcept {
  if (index < 8) return index;
  const std::size_t octave = index / 8 + 2;
  return ((8 + index % 8 + 1) << (octave - 3)) - 1;
}

void raise(std::atomic<std::uint64_t>& value, std::uint64_t by) noexcept {
  value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

}  // namespace

void DurationHistogram::add(std::chrono::nanoseconds duration) noexcept {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
  raise(counts_[index_of(ns)], 1);
  raise(sum_, ns);
  raise(count_, 1);
  if (ns > longest_.load(std::memory_order_relaxed)) longest_.store(ns, std::memory_order_relaxed);
}

DurationHistogram::Snapshot DurationHistogram::snapshot() const noexcept {
  Snapshot now;
  for (std::size_t i = 0; i < bucket_count; ++i)
    now.counts[i] = counts_[i].load(std::memory_order_relaxed);
  now.count = count_.load(std::memory_order_relaxed);
  now.sum = std::chrono::nanoseconds(sum_.load(std::memory_order_relaxed));
  now.longest = std::chrono::nanoseconds(longest_.load(std::memory_order_relaxed));
  return now;
}

std::chrono::nanoseconds DurationHistogram::Snapshot::quantile(double share) const noexcept {
  std::uint64_t all = 0;
  for (const std::uint64_t n : counts) all += n;
  if (all == 0) return std::chrono::nanoseconds(0);
  const double wanted =
      std::clamp(std::ceil(share * static_cast<double>(all)), 1.0, static_cast<double>(all));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i + 1 < bucket_count; ++i) {
    seen += counts[i];
    if (static_cast<double>(seen) >= wanted)
      return std::min(longest, std::chrono::nanoseconds(end_of(i)));
  }
  return longest;
}

}  // namespace spillway
