#include "spillway/channels/rate.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <string_view>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t ns_per_s = 1'000'000'000;

std::int64_t divide_to_nearest(Wide value, Wide divisor) noexcept {
  const Wide doubled = 2 * value + divisor;
  Wide quotient = doubled / (2 * divisor);
  if (doubled % (2 * divisor) < 0) --quotient;
  return static_cast<std::int64_t>(quotient);
}

}  // namespace

std::int64_t scaled(std::int64_t value, std::int64_t numerator, std::int64_t denominator) noexcept {
  return divide_to_nearest(static_cast<Wide>(value) * numerator, denominator);
}

Fraction decimal_fraction(double value) {
  if (!(value > 0.0) || !std::isfinite(value))
    throw Error(fmt::format("{} is not a positive, finite number", value));
  // Scientific notation: d.ddde±xx, digits without a point times a power of ten.
  char text[40]{};  // to_chars writes no terminator, and atoi needs one
  const auto end =
      std::to_chars(text, text + sizeof text - 1, value, std::chars_format::scientific);
  const std::string_view spelled(text, static_cast<std::size_t>(end.ptr - text));
  const auto e = spelled.find('e');
  std::int64_t digits = 0;
  int exponent = std::atoi(spelled.data() + e + 1);
  bool after_point = false;
  for (const char c : spelled.substr(0, e)) {
    if (c == '.') {
      after_point = true;
      continue;
    }
    digits = digits * 10 + (c - '0');
    if (after_point) --exponent;
  }
  Wide numerator = digits;
  Wide denominator = 1;
  constexpr Wide limit = INT64_MAX;
  for (; exponent > 0 && numerator <= limit; --exponent) numerator *= 10;
  for (; exponent < 0 && denominator <= limit * 1'000'000; ++exponent) denominator *= 10;
  Wide a = numerator;
  Wide b = denominator;
  while (b != 0) {
    const Wide r = a % b;
    a = b;
    b = r;
  }
  numerator /= a;
  denominator /= a;
  if (exponent != 0 || numerator > limit || denominator > limit)
    throw Error(
        fmt::format("{} has more decimal digits than an exact 64-bit fraction can hold", value));
  return {static_cast<std::int64_t>(numerator), static_cast<std::int64_t>(denominator)};
}

Rate::Rate(Hertz hertz) : samples_(1), seconds_(1) {
  if (!(hertz.value >= 1e-9 && hertz.value <= 1e12))
    throw Error(fmt::format("rate {} Hz is outside 1e-9 Hz to 1e12 Hz", hertz.value));
  const Fraction f = decimal_fraction(hertz.value);
  samples_ = f.numerator;
  seconds_ = f.denominator;
  reduce();
}

Rate::Rate(std::int64_t samples, std::int64_t seconds) : samples_(samples), seconds_(seconds) {
  if (samples <= 0 || seconds <= 0)
    throw Error(fmt::format("rate of {} samples in {} s: both must be positive", samples, seconds));
  reduce();
}

void Rate::reduce() noexcept {
  const std::int64_t divisor = std::gcd(samples_, seconds_);
  samples_ /= divisor;
  seconds_ /= divisor;
  const Wide period = static_cast<Wide>(seconds_) * ns_per_s;
  if (period % samples_ == 0 && period / samples_ <= INT64_MAX)
    period_ns_ = static_cast<std::int64_t>(period / samples_);
}

Time Rate::rounded_duration(std::uint64_t n) const noexcept {
  // Whole runs of `samples_` first: n * seconds * 1e9 alone may need more than 128 bits.
  const auto runs = static_cast<Wide>(n / static_cast<std::uint64_t>(samples_));
  const auto rest = static_cast<Wide>(n % static_cast<std::uint64_t>(samples_));
  const Wide whole = runs * seconds_ * ns_per_s;
  const Wide sum = whole + divide_to_nearest(rest * seconds_ * ns_per_s, samples_);
  // A time that far away can't be told; one that is wrong must not be told.
  constexpr Wide most = INT64_MAX;
  return Time(static_cast<std::int64_t>(sum < most ? sum : most));
}

std::uint64_t Rate::samples_within(Time t) const noexcept {
  if (t.count() < 0) return 0;
  constexpr Wide most = UINT64_MAX;
  const Wide periods =
      static_cast<Wide>(t.count()) * samples_ / (static_cast<Wide>(seconds_) * ns_per_s);
  return periods > most ? UINT64_MAX : static_cast<std::uint64_t>(periods);
}

}  // namespace spillway
