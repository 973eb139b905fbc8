// An exact sample rate, and the mapping between sample counts and time.
#pragma once

#include <cstdint>

#include "spillway/channels/units.hpp"

namespace spillway {

// A positive rational number of samples a second, in lowest terms. Rational
// because a period in whole nanoseconds drifts: at 360 Hz a rounded period is
// a sample off after 13 hours.
class Rate {
 public:
  // The rational that the shortest decimal spelling of `hertz` names, so that
  // 249.89 becomes 24989/100 and not the nearest binary fraction.
  // Throws Error unless 1e-9 Hz <= hertz <= 1e12 Hz, or when the decimal needs
  // more than 64 bits.
  explicit Rate(Hertz hertz);

  // `samples` in every `seconds` seconds. Throws Error if either is not positive.
  Rate(std::int64_t samples, std::int64_t seconds);

  [[nodiscard]] std::int64_t samples() const noexcept { return samples_; }
  [[nodiscard]] std::int64_t seconds() const noexcept { return seconds_; }
  [[nodiscard]] Hertz hertz() const noexcept {
    return {static_cast<double>(samples_) / static_cast<double>(seconds_)};
  }

  // Time of the n-th sample after one at time 0: n * seconds / samples, in
  // 128-bit arithmetic, rounded to the nearest nanosecond (halves up); the latest
  // time there is, 292 years, for anything later. Wait-free.
  [[nodiscard]] Time duration(std::uint64_t n) const noexcept {
    // Nearly every rate has a period of whole nanoseconds, and readers ask at every read.
    std::int64_t whole = 0;
    if (period_ns_ > 0 && !__builtin_mul_overflow(n, period_ns_, &whole)) return Time(whole);
    return rounded_duration(n);
  }

  // How many whole periods fit into `t`; 0 for a negative time, 2^64 - 1 for more than
  // that. Not rounded as duration() is: duration(n) may be a fraction of a nanosecond
  // short of n periods. Wait-free.
  [[nodiscard]] std::uint64_t samples_within(Time t) const noexcept;

  friend bool operator==(const Rate&, const Rate&) = default;

 private:
  void reduce() noexcept;
  [[nodiscard]] Time rounded_duration(std::uint64_t n) const noexcept;

  std::int64_t samples_;
  std::int64_t seconds_;
  std::int64_t period_ns_ = 0;  // 0: not whole, or too long for 64 bits
};

// The rational a decimal spelling of `value` names, in lowest terms. Exact for
// what people write in files (0.001, 3.0517578125e-05); throws Error if `value`
// is not positive and finite or needs more than 63 bits on a side.
struct Fraction {
  std::int64_t numerator = 1;
  std::int64_t denominator = 1;
};
Fraction decimal_fraction(double value);

// value * numerator / denominator, in 128 bits, to nearest (halves up).
[[nodiscard]] std::int64_t scaled(std::int64_t value, std::int64_t numerator,
                                  std::int64_t denominator) noexcept;

}  // namespace spillway
