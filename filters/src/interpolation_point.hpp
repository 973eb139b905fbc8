// Values at times between samples, and the points of a grid. Private.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "spillway/channels/error.hpp"
#include "spillway/channels/quality.hpp"
#include "spillway/channels/rate.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/interpolate.hpp"
#include "time_step.hpp"

namespace spillway {

inline constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
inline constexpr Quality interpolated{Verdict::interpolated};
inline constexpr Quality bad_missing{Verdict::bad, Quality::missing};
inline constexpr Quality bad_out_of_range{Verdict::bad, Quality::out_of_range};

inline constexpr std::uint64_t usual_pause = 65536;                  // points
inline constexpr std::uint64_t most_pause = std::uint64_t{1} << 26;  // points

// The limit that goes with the method: max_gap or max_age.
struct InterpolationRule {
  Interpolation method = Interpolation::linear;
  std::chrono::nanoseconds limit{0};  // 0: none
};

// A sample of several lanes.
struct Neighbour {
  Time time{0};
  const double* values = nullptr;
  const Quality* quality = nullptr;
};

// --- what is checked when a filter is made; `what` is for messages ---

inline void check_limit(std::string_view what, std::string_view name,
                        std::chrono::nanoseconds limit) {
  if (limit.count() < 0)
    throw Error(
        fmt::format("{}: a {} of {} ns; it must not be negative", what, name, limit.count()));
}

// The rule that the parameters give.
inline InterpolationRule checked_rule(std::string_view what, Interpolation method,
                                      std::chrono::nanoseconds max_gap,
                                      std::chrono::nanoseconds max_age) {
  check_limit(what, "max_gap", max_gap);
  check_limit(what, "max_age", max_age);
  if (method == Interpolation::linear && max_age.count() != 0)
    throw Error(fmt::format("{}: max_age is for 'last'; linear has max_gap", what));
  if (method == Interpolation::last && max_gap.count() != 0)
    throw Error(fmt::format("{}: max_gap is for 'linear'; last has max_age", what));
  return {method, method == Interpolation::linear ? max_gap : max_age};
}

inline void check_grid(std::string_view what, const Rate& grid) {
  if (grid.hertz().value > 1e9)
    throw Error(
        fmt::format("{}: a rate of {} Hz; allowed are up to 1e9 Hz", what, grid.hertz().value));
}

// The most points a pause may have that are made.
inline std::uint64_t checked_pause(std::string_view what, const Rate& grid,
                                   const InterpolationRule& rule) {
  const std::uint64_t in_limit = rule.limit.count() > 0 ? grid.samples_within(rule.limit) + 1 : 0;
  if (in_limit > most_pause)
    throw Error(
        fmt::format("{}: a limit of {} ns is {} points at {} Hz; at most {} are "
                    "allowed",
                    what, rule.limit.count(), in_limit, grid.hertz().value, most_pause));
  return std::max(usual_pause, in_limit);
}

// --- times ---

// Of a frame: its own, or by the clock of a stream that has a rate.
inline Time sample_time(const ConstFrames& in, const std::optional<Rate>& rate,
                        std::size_t frame) noexcept {
  if (!rate) return in.times[frame];
  const std::uint64_t n = in.first + frame;
  const Time since = n >= in.clock_sample ? rate->duration(n - in.clock_sample)
                                          : -rate->duration(in.clock_sample - n);
  return saturating_add(in.clock_time, since);
}

// How many grid points there are up to `time`, that included.
inline std::uint64_t points_until(const Rate& grid, Time time) noexcept {
  if (time < Time(0)) return 0;
  const std::uint64_t whole = grid.samples_within(time);
  // The time of a point is rounded, so that the next one may be there as well.
  return whole + 1 + (grid.duration(whole + 1) == time ? 1 : 0);
}

// --- values ---

inline double on_line(double x0, double x1, double share) noexcept {
  return x0 + (x1 - x0) * share;
}

inline double share_of(Time begin, Time at, Time end) noexcept {
  return static_cast<double>(nanoseconds_between(begin, at)) /
         static_cast<double>(nanoseconds_between(begin, end));
}

// Whether there is a limit and the step is longer.
inline bool exceeds(Time begin, Time end, std::chrono::nanoseconds limit) noexcept {
  return limit.count() > 0 &&
         nanoseconds_between(begin, end) > static_cast<std::uint64_t>(limit.count());
}

inline void put_missing(std::size_t lanes, double* y, Quality* q,
                        Quality quality = bad_missing) noexcept {
  std::fill_n(y, lanes, nan_value);
  std::fill_n(q, lanes, quality);
}

// At the time of a sample.
inline void put_sample(const double* x, const Quality* x_quality, std::size_t lanes, double* y,
                       Quality* q) noexcept {
  for (std::size_t l = 0; l < lanes; ++l) {
    y[l] = x[l];
    q[l] = x[l] == x[l] ? x_quality[l] : merge(x_quality[l], bad_missing);
  }
}

// Between two samples that follow one another.
inline void put_between(const InterpolationRule& rule, const Neighbour& before,
                        const Neighbour& after, Time time, std::size_t lanes, double* y,
                        Quality* q) noexcept {
  const bool linear = rule.method == Interpolation::linear;
  if (exceeds(before.time, linear ? after.time : time, rule.limit)) return put_missing(lanes, y, q);
  if (!linear) {
    for (std::size_t l = 0; l < lanes; ++l) {
      y[l] = before.values[l];
      q[l] = merge(before.quality[l], y[l] == y[l] ? interpolated : bad_missing);
    }
    return;
  }
  const double share = share_of(before.time, time, after.time);
  for (std::size_t l = 0; l < lanes; ++l) {
    const double value = on_line(before.values[l], after.values[l], share);
    const Quality both = merge(merge(before.quality[l], after.quality[l]), interpolated);
    const bool known = std::isfinite(before.values[l]) && std::isfinite(after.values[l]);
    y[l] = std::isfinite(value) ? value : nan_value;
    q[l] = std::isfinite(value) ? both : merge(both, known ? bad_out_of_range : bad_missing);
  }
}

}  // namespace spillway
