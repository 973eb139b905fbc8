// How often durations came, by size.
#pragma once

#include <cstdint>
#include <vector>

namespace spillway::bench {

// Durations in nanoseconds in buckets of 1/64 octave: each is at most 1.6 % wide, from a
// hundredth of a nanosecond to hours, so that quantiles of any two histograms compare.
// Smallest and largest value, and the number of values, are exact.
class Histogram {
 public:
  static constexpr int buckets_per_octave = 64;

  struct Bucket {
    double low = 0.0;   // inclusive
    double high = 0.0;  // exclusive
    std::uint64_t count = 0;
  };

  // Allocates. Throws nothing but std::bad_alloc.
  Histogram();

  // Negative values (a clock that stepped back) count as 0. O(1), allocates nothing.
  void record(double ns) noexcept;
  void add(const Histogram& other) noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] double min() const noexcept { return min_; }  // 0 if empty
  [[nodiscard]] double max() const noexcept { return max_; }

  // The middle of the bucket in which the smallest value lies that at least `share` of all
  // values do not exceed; never beyond min() and max(). 0 if empty.
  [[nodiscard]] double quantile(double share) const noexcept;

  // Those that hold something, ascending.
  [[nodiscard]] std::vector<Bucket> buckets() const;

  // The bucket `ns` belongs to, without a count.
  [[nodiscard]] static Bucket bucket_of(double ns) noexcept;

  // From what buckets(), min() and max() gave; only `low` and `count` are looked at. Throws
  // Error if that is no histogram.
  static Histogram from(const std::vector<Bucket>& buckets, double min, double max);

 private:
  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  double min_ = 0.0;
  double max_ = 0.0;
};

}  // namespace spillway::bench
