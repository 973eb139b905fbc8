#include "histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

#include "spillway/channels/error.hpp"

namespace spillway::bench {

namespace {

// The leading bits of a double, exponent and mantissa, number the buckets as they are.
constexpr int mantissa_bits = 52;
constexpr int shift = mantissa_bits - std::countr_zero(unsigned{Histogram::buckets_per_octave});
constexpr std::uint64_t code(double ns) { return std::bit_cast<std::uint64_t>(ns) >> shift; }
constexpr double value(std::uint64_t code) { return std::bit_cast<double>(code << shift); }

constexpr double smallest = 0x1p-7;  // ns; what is less shares the bucket from 0
constexpr double largest = 0x1p44;   // ns, nearly five hours; what is more, the last bucket
constexpr std::uint64_t first_code = code(smallest);
constexpr std::size_t bucket_count = code(largest) - first_code + 1;

std::size_t index_of(double ns) noexcept {
  if (!(ns >= smallest)) return 0;
  return std::min<std::size_t>(code(ns) - first_code + 1, bucket_count - 1);
}

double low_of(std::size_t index) noexcept {
  return index == 0 ? 0.0 : value(first_code + index - 1);
}

}  // namespace

Histogram::Histogram() : counts_(bucket_count) {}

void Histogram::record(double ns) noexcept {
  if (!(ns > 0.0)) ns = 0.0;
  min_ = count_ == 0 ? ns : std::min(min_, ns);
  max_ = count_ == 0 ? ns : std::max(max_, ns);
  ++counts_[index_of(ns)];
  ++count_;
}

void Histogram::add(const Histogram& other) noexcept {
  if (other.empty()) return;
  min_ = count_ == 0 ? other.min_ : std::min(min_, other.min_);
  max_ = count_ == 0 ? other.max_ : std::max(max_, other.max_);
  for (std::size_t i = 0; i < bucket_count; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
}

double Histogram::quantile(double share) const noexcept {
  if (count_ == 0) return 0.0;
  const auto wanted = static_cast<std::uint64_t>(
      std::clamp(std::ceil(share * static_cast<double>(count_)), 1.0, static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count; ++i) {
    seen += counts_[i];
    if (seen >= wanted) return std::clamp((low_of(i) + low_of(i + 1)) / 2, min_, max_);
  }
  return max_;
}

std::vector<Histogram::Bucket> Histogram::buckets() const {
  std::vector<Bucket> result;
  for (std::size_t i = 0; i < bucket_count; ++i)
    if (counts_[i] > 0) result.push_back({low_of(i), low_of(i + 1), counts_[i]});
  return result;
}

Histogram::Bucket Histogram::bucket_of(double ns) noexcept {
  const std::size_t index = index_of(ns);
  return {low_of(index), low_of(index + 1), 0};
}

Histogram Histogram::from(const std::vector<Bucket>& buckets, double min, double max) {
  Histogram result;
  double last = -1.0;
  for (const Bucket& b : buckets) {
    if (!std::isfinite(b.low) || b.low <= last || low_of(index_of(b.low)) != b.low || b.count == 0)
      throw Error("the buckets of a histogram are damaged");
    last = b.low;
    result.counts_[index_of(b.low)] = b.count;
    result.count_ += b.count;
  }
  const bool within = buckets.empty()
                          ? min == 0.0 && max == 0.0
                          : low_of(index_of(min)) == buckets.front().low &&
                                low_of(index_of(max)) == buckets.back().low && min <= max;
  if (!within) throw Error("the limits of a histogram do not match its buckets");
  result.min_ = min;
  result.max_ = max;
  return result;
}

}  // namespace spillway::bench
