// Units as types: rates in hertz, sample numbers, sample counts, time.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace spillway {

// A frequency in hertz: a sample rate or a cut-off. Any finite value; users of
// it state their own range.
struct Hertz {
  double value = 0.0;
  friend constexpr auto operator<=>(Hertz, Hertz) = default;
};

// How many samples. A sample of a stream is one value of every channel.
struct SampleCount {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(SampleCount, SampleCount) = default;
  constexpr SampleCount& operator+=(SampleCount other) noexcept {
    value += other.value;
    return *this;
  }
};

// The identity of a sample: counted from 0 at the start of the run, never
// reused, never shifted. A sample the hardware reports as missing has a number
// too, so numbers jump over a gap.
struct SampleNumber {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(SampleNumber, SampleNumber) = default;
  constexpr SampleNumber& operator+=(SampleCount count) noexcept {
    value += count.value;
    return *this;
  }
};

constexpr SampleCount operator+(SampleCount a, SampleCount b) noexcept {
  return {a.value + b.value};
}
constexpr SampleNumber operator+(SampleNumber n, SampleCount c) noexcept {
  return {n.value + c.value};
}
// Needs a >= b: counts are never negative.
constexpr SampleCount operator-(SampleNumber a, SampleNumber b) noexcept {
  return {a.value - b.value};
}

// Nanoseconds from the origin of a stream; may be negative. The range of 292
// years each way is enough for calendar origins such as 1970.
using Time = std::chrono::nanoseconds;

// a + b; where that is more than a Time can hold, the latest or earliest one.
constexpr Time saturating_add(Time a, Time b) noexcept {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a.count(), b.count(), &sum))
    return b < Time(0) ? Time::min() : Time::max();
  return Time(sum);
}

inline namespace literals {
// NOLINTBEGIN(google-runtime-int): the language fixes these parameter types
constexpr Hertz operator""_Hz(long double v) { return {static_cast<double>(v)}; }
constexpr Hertz operator""_Hz(unsigned long long v) { return {static_cast<double>(v)}; }
constexpr Hertz operator""_kHz(long double v) { return {static_cast<double>(v) * 1e3}; }
constexpr Hertz operator""_kHz(unsigned long long v) { return {static_cast<double>(v) * 1e3}; }
constexpr Hertz operator""_MHz(long double v) { return {static_cast<double>(v) * 1e6}; }
constexpr Hertz operator""_MHz(unsigned long long v) { return {static_cast<double>(v) * 1e6}; }
constexpr SampleCount operator""_samples(unsigned long long v) { return {v}; }
constexpr std::uint64_t operator""_KiB(unsigned long long v) { return v << 10; }
constexpr std::uint64_t operator""_MiB(unsigned long long v) { return v << 20; }
constexpr std::uint64_t operator""_GiB(unsigned long long v) { return v << 30; }
// NOLINTEND(google-runtime-int)
}  // namespace literals

}  // namespace spillway
