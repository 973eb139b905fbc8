#include "axis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>

namespace spillway::apps {

namespace {

// 1, 2 or 5 times a power of ten, so that `most` steps reach over `range`.
double decimal_step(double range, std::size_t most) {
  const double rough = range / static_cast<double>(std::max<std::size_t>(most, 1));
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough * (1.0 - 1e-9)) return factor * power;
  return 10.0 * power;
}

// The number of the fewest digits that is not further from `middle` than `range`.
double round_number_near(double middle, double range) {
  for (double unit = std::pow(10.0, std::ceil(std::log10(std::abs(middle))));; unit /= 10.0) {
    const double number = std::round(middle / unit) * unit;
    if (std::abs(number - middle) <= range) return number;
  }
}

Axis with_step(double low, double high, double step) {
  Axis axis;
  const double range = high - low;
  double offset = 0.0;
  // Beyond six digits nobody compares labels any more.
  if (std::max(std::abs(low), std::abs(high)) / step > 2e5) {
    offset = round_number_near((low + high) / 2.0, range);
    axis.note = fmt::format("{:+.15g}", offset);
  }
  const double largest = std::max(std::abs(low - offset), std::abs(high - offset));
  double scale = 1.0;
  // Labels of more than nine characters are not compared either, and do not fit.
  if (largest >= 1e6 || largest < 1e-2 || (largest < 1.0 && step < 1e-6 * (1.0 - 1e-9))) {
    const int exponent = static_cast<int>(std::floor(std::log10(largest) / 3.0)) * 3;
    scale = std::pow(10.0, exponent);
    axis.note = fmt::format("x1e{}{}{}", exponent, axis.note.empty() ? "" : " ", axis.note);
  }
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(step / scale) + 1e-9)));
  // Steps are counted, so that roundings do not add up.
  const double first = std::ceil((low - offset) / step - 1e-6);
  for (double k = first; k * step <= high - offset + step * 1e-6; k += 1.0) {
    const double at = k * step;
    axis.ticks.push_back(
        {offset + at, fmt::format("{:.{}f}", k == 0.0 ? 0.0 : at / scale, decimals)});
  }
  return axis;
}

struct TimeUnit {
  const char* name;
  double seconds;
  double from_s;  // for ranges from this on
};

constexpr std::array<TimeUnit, 7> time_units{{{"ns", 1e-9, 0.0},
                                              {"us", 1e-6, 1e-6},
                                              {"ms", 1e-3, 1e-3},
                                              {"s", 1.0, 1.0},
                                              {"min", 60.0, 600.0},
                                              {"h", 3600.0, 7200.0},
                                              {"d", 86400.0, 3.0 * 86400.0}}};

// Of 60 minutes and of 24 hours, in which decimal steps do not end.
constexpr std::array minute_steps{0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0};
constexpr std::array hour_steps{0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0};
constexpr std::array calendar_steps_s{
    1.0,         2.0,         5.0,          10.0,         15.0,         30.0,
    60.0,        120.0,       300.0,        600.0,        900.0,        1800.0,
    3600.0,      7200.0,      10800.0,      21600.0,      43200.0,      86400.0,
    2 * 86400.0, 5 * 86400.0, 10 * 86400.0, 20 * 86400.0, 50 * 86400.0, 100 * 86400.0};

// The smallest of the steps, and of doubles of the last, of which at most `most` lie in a range.
double fitting_step(std::span<const double> steps, double range, std::size_t most) {
  const auto at_most = static_cast<double>(std::max<std::size_t>(most, 1));
  const auto fits = [&](double step) { return range / step < at_most; };
  const auto step = std::find_if(steps.begin(), steps.end(), fits);
  if (step != steps.end()) return *step;
  double larger = steps.back();
  while (!fits(larger)) larger *= 2.0;
  return larger;
}

}  // namespace

Axis value_axis(double low, double high, std::size_t most) {
  // The finest of which there are few enough: one tick alone does not tell a scale.
  for (std::size_t steps = 3 * most; steps > 0; --steps) {
    Axis axis = with_step(low, high, decimal_step(high - low, steps));
    if (!axis.ticks.empty() && axis.ticks.size() <= most) return axis;
  }
  for (std::size_t steps = 2;; ++steps) {
    Axis axis = with_step(low, high, decimal_step(high - low, steps));
    if (!axis.ticks.empty()) return axis;
  }
}

Axis time_axis(double begin_s, double end_s, std::size_t most) {
  // Short stretches in the unit of where they lie: 10.0002 s rather than 10000200 us.
  const double range = end_s - begin_s;
  const double furthest = std::max(std::abs(begin_s), std::abs(end_s));
  const double wanted = range < 600.0 ? std::min(furthest, 1.0) : range;
  const TimeUnit& unit =
      *std::find_if(time_units.rbegin(), time_units.rend() - 1,
                    [&](const TimeUnit& u) { return wanted >= u.from_s * (1.0 - 1e-9); });
  const double low = begin_s / unit.seconds;
  const double high = end_s / unit.seconds;
  Axis axis;
  if (unit.seconds == 60.0)
    axis = with_step(low, high, fitting_step(minute_steps, high - low, most));
  else if (unit.seconds == 3600.0)
    axis = with_step(low, high, fitting_step(hour_steps, high - low, most));
  if (axis.ticks.empty()) axis = value_axis(low, high, most);
  for (Tick& tick : axis.ticks) tick.at *= unit.seconds;
  axis.note = axis.note.empty() ? unit.name : fmt::format("{} {}", unit.name, axis.note);
  return axis;
}

Axis time_axis(const Origin& origin, Time begin, Time end, std::size_t most) {
  end = std::max(end, saturating_add(begin, Time(1)));
  const double begin_s = static_cast<double>(begin.count()) / 1e9;
  const double end_s = static_cast<double>(end.count()) / 1e9;
  const std::optional<Time> zero = time_between({origin.kind, "1970-01-01T00:00:00"}, origin);
  const double range = end_s - begin_s;
  if (!zero || std::abs(begin_s) < 20.0 * range || range < 5.0)
    return time_axis(begin_s, end_s, most);
  const double zero_s = static_cast<double>(zero->count()) / 1e9;
  Axis axis;
  for (std::size_t steps = most; axis.ticks.empty(); ++steps) {
    const double step = fitting_step(calendar_steps_s, range, steps);
    for (double k = std::ceil((zero_s + begin_s) / step); k * step - zero_s <= end_s; k += 1.0) {
      const double at = k * step - zero_s;
      const std::string text =
          calendar(origin, Time(std::llround(at * 1e9)), std::chrono::seconds(1));
      axis.ticks.push_back({at, step >= 86400.0 ? text.substr(0, 10)
                                : step >= 60.0  ? text.substr(11, 5)
                                                : text.substr(11, 8)});
    }
  }
  axis.note = origin.kind == Origin::Kind::utc ? "UTC" : "local";
  return axis;
}

std::string calendar(const Origin& origin, Time time, Time resolution) {
  const std::optional<Time> zero = time_between({origin.kind, "1970-01-01T00:00:00"}, origin);
  if (!zero) return {};
  const Time since = saturating_add(*zero, time);
  const auto days = std::chrono::floor<std::chrono::days>(since);
  const std::chrono::year_month_day date{std::chrono::sys_days(days)};
  const std::int64_t ns = (since - days).count();
  const std::int64_t second = ns / 1'000'000'000;
  std::string text =
      fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  second / 3600, second / 60 % 60, second % 60);
  std::size_t digits = 0;
  for (std::int64_t unit = 1'000'000'000; unit > std::max<std::int64_t>(resolution.count(), 1);
       unit /= 10)
    ++digits;
  if (digits > 0) text += fmt::format(".{:09}", ns % 1'000'000'000).substr(0, digits + 1);
  return text;
}

const char* zone_of(const Origin& origin) {
  switch (origin.kind) {
    case Origin::Kind::utc: return " UTC";
    case Origin::Kind::local: return " (local)";
    case Origin::Kind::unknown: break;
  }
  return "";
}

}  // namespace spillway::apps
