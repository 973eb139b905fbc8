#include "table_spacing.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "spillway/channels/error.hpp"

namespace spillway::table {

namespace {

constexpr int most_digits = 12;

// To so many decimal digits.
double rounded(double value, int digits) {
  std::array<char, 40> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value,
                                 std::chars_format::scientific, digits - 1);
  std::from_chars(text.data(), end.ptr, value);
  return value;
}

std::optional<Rate> rate_of(double hertz) {
  try {
    return Rate(Hertz{hertz});
  } catch (const Error&) {
    return std::nullopt;  // beyond what a rate can be
  }
}

std::optional<Rate> rate_of_period(double seconds) {
  try {
    const Fraction period = decimal_fraction(seconds);
    return Rate(period.denominator, period.numerator);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

void Spacing::Hull::add(Point point) {
  while (points_.size() > 1) {
    const Point& a = points_[points_.size() - 2];
    const Point& b = points_.back();
    if (less({point.y - a.y, point.x - a.x}, {b.y - a.y, b.x - a.x})) break;
    points_.pop_back();
  }
  points_.push_back(point);
}

Spacing::Slope Spacing::Hull::least_slope_to(Point point) const {
  const auto slope = [&](std::size_t i) {
    return Slope{point.y - points_[i].y, point.x - points_[i].x};
  };
  // From left to right slopes fall, then rise.
  std::size_t low = 0;
  for (std::size_t high = points_.size() - 1; low < high;) {
    const std::size_t middle = low + (high - low) / 2;
    if (less(slope(middle + 1), slope(middle)))
      low = middle + 1;
    else
      high = middle;
  }
  return slope(low);
}

void Spacing::add(Wide fs, Wide unit_fs) {
  if (!fits_) return;
  const Point low{rows_, 2 * fs - unit_fs};
  const Point high{rows_, 2 * fs + unit_fs};
  if (rows_ > 0) {
    const Slope most = lows_.least_slope_to(high);
    Slope least = highs_.least_slope_to({low.x, -low.y});
    least.rise = -least.rise;
    if (rows_ == 1 || less(most, most_)) most_ = most;
    if (rows_ == 1 || less(least_, least)) least_ = least;
    fits_ = !less(most_, least_);
  }
  lows_.add(low);
  highs_.add({high.x, -high.y});
  ++rows_;
}

bool Spacing::contains(const Rate& rate) const {
  Wide period = 0;  // in half fs, times the samples
  if (__builtin_mul_overflow(2 * fs_per_s, Wide{rate.seconds()}, &period)) return false;
  const auto product = [](Wide a, Wide b, Wide& to) { return !__builtin_mul_overflow(a, b, &to); };
  Wide least = 0, most = 0, at_least = 0, at_most = 0;
  return product(least_.rise, rate.samples(), least) && product(period, least_.run, at_least) &&
         least <= at_least && product(most_.rise, rate.samples(), most) &&
         product(period, most_.run, at_most) && at_most <= most;
}

std::optional<Rate> Spacing::rate() const {
  if (!fits_ || rows_ < 3 || most_.rise <= 0) return std::nullopt;
  const auto seconds = [](const Slope& s) {
    return static_cast<double>(s.rise) / static_cast<double>(s.run) /
           static_cast<double>(2 * fs_per_s);
  };
  const double longest = seconds(most_);
  const double shortest = std::max(seconds(least_), longest * 1e-3);
  const double rate = (1.0 / longest + 1.0 / shortest) / 2.0;
  const double period = (longest + shortest) / 2.0;
  for (int digits = 1; digits <= most_digits; ++digits) {
    for (const std::optional<Rate>& candidate :
         {rate_of(rounded(rate, digits)), rate_of_period(rounded(period, digits))})
      if (candidate && contains(*candidate)) return candidate;
  }
  return std::nullopt;
}

}  // namespace spillway::table
