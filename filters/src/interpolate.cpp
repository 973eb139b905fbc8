#include "spillway/filters/interpolate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include "spillway/channels/error.hpp"
#include "time_step.hpp"

namespace spillway {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr Quality interpolated(Verdict::interpolated);
constexpr Quality bad_missing(Verdict::bad, Quality::missing);
constexpr Quality bad_range(Verdict::bad, Quality::out_of_range);
constexpr std::uint64_t usual_pause = 65536;                  // points
constexpr std::uint64_t most_pause = std::uint64_t{1} << 26;  // points

double on_line(double x0, double x1, double share) noexcept { return x0 + (x1 - x0) * share; }

double share_of(Time begin, Time at, Time end) noexcept {
  return static_cast<double>(nanoseconds_between(begin, at)) /
         static_cast<double>(nanoseconds_between(begin, end));
}

// Whether there is a limit and the step is longer.
bool exceeds(Time begin, Time end, std::chrono::nanoseconds limit) noexcept {
  return limit.count() > 0 &&
         nanoseconds_between(begin, end) > static_cast<std::uint64_t>(limit.count());
}

// How many grid points there are up to `time`, that included.
std::uint64_t points_until(const Rate& grid, Time time) noexcept {
  if (time < Time(0)) return 0;
  const std::uint64_t whole = grid.samples_within(time);
  // The time of a point is rounded, so that the next one may be there as well.
  return whole + 1 + (grid.duration(whole + 1) == time ? 1 : 0);
}

void check_limit(std::string_view name, std::chrono::nanoseconds limit) {
  if (limit.count() < 0)
    throw Error(
        fmt::format("interpolation: a {} of {} ns; it must not be negative", name, limit.count()));
}

const Interpolate& checked(const Interpolate& p, std::size_t lanes) {
  if (p.rate.hertz().value > 1e9)
    throw Error(fmt::format("interpolation: a rate of {} Hz; allowed are up to 1e9 Hz",
                            p.rate.hertz().value));
  check_limit("max_gap", p.max_gap);
  check_limit("max_age", p.max_age);
  if (p.method == Interpolation::linear && p.max_age.count() != 0)
    throw Error("interpolation: max_age is for 'last'; linear has max_gap");
  if (p.method == Interpolation::last && p.max_gap.count() != 0)
    throw Error("interpolation: max_gap is for 'linear'; last has max_age");
  if (lanes == 0) throw Error("interpolation: 0 lanes; at least 1 is needed");
  return p;
}

}  // namespace

InterpolateFilter::InterpolateFilter(const Interpolate& parameters,
                                     const std::optional<Rate>& input, std::size_t lanes)
    : parameters_(checked(parameters, lanes)),
      input_(input),
      lanes_(lanes),
      value_(lanes),
      quality_(lanes) {
  const Rate& grid = parameters_.rate;
  const auto limit = std::max(parameters_.max_gap, parameters_.max_age);
  const std::uint64_t in_limit = limit.count() > 0 ? grid.samples_within(limit) + 1 : 0;
  if (in_limit > most_pause)
    throw Error(
        fmt::format("interpolation: a limit of {} ns is {} points at {} Hz; at most {} are "
                    "allowed",
                    limit.count(), in_limit, grid.hertz().value, most_pause));
  longest_pause_ = std::max(usual_pause, in_limit);
  if (input_) {
    most_each_ = grid.samples_within(input_->duration(1)) + 2;
    if (most_each_ > longest_pause_)
      throw Error(
          fmt::format("interpolation: from {} Hz to {} Hz; at most {} points a sample are "
                      "allowed",
                      input_->hertz().value, grid.hertz().value, longest_pause_ - 2));
  }
}

std::size_t InterpolateFilter::most_frames(std::size_t frames) const noexcept {
  return longest_pause_ + 1 + frames * most_each_;
}

Time InterpolateFilter::time_of(const ConstFrames& in, std::size_t frame) const noexcept {
  return input_ ? input_->duration(in.first + frame) : in.times[frame];
}

InterpolateFilter::Points InterpolateFilter::points_to(const Before& before,
                                                       Time time) const noexcept {
  if (before.exists && time < before.next_time) return {before.next, before.next, false};
  const std::uint64_t end = points_until(parameters_.rate, time);
  const bool hit = end > 0 && parameters_.rate.duration(end - 1) == time;
  const std::uint64_t at_sample = hit ? end - 1 : end;
  const bool joined = before.exists && at_sample - before.next <= longest_pause_;
  return {joined ? before.next : at_sample, end, hit};
}

void InterpolateFilter::pass(Before& before, Time time, const Points& points) const noexcept {
  const bool is_new = !before.exists || points.end != before.next;
  before.exists = true;
  before.time = time;
  before.next = points.end;
  if (is_new) before.next_time = parameters_.rate.duration(points.end);
}

std::size_t InterpolateFilter::fitting(const ConstFrames& in) const noexcept {
  Before before = before_;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  for (std::size_t f = 0; f < in.count(); ++f) {
    const Time time = time_of(in, f);
    if (before.exists && time <= before.time) continue;
    const Points points = points_to(before, time);
    const std::uint64_t more = points.end - points.begin;
    if (more > 0) {
      if (count == 0) first = points.begin;
      if (points.begin != first + count || count + more > most_frames(f + 1)) return f;
      count += more;
    }
    pass(before, time, points);
  }
  return in.count();
}

Made InterpolateFilter::process(ConstFrames in, Frames out) noexcept {
  Made made;
  const std::size_t room = out.values.size() / lanes_;
  for (std::size_t f = 0; f < in.count(); ++f) {
    const Time time = time_of(in, f);
    if (before_.exists && time <= before_.time) continue;
    const double* const x = in.values.data() + f * lanes_;
    const Quality* const x_quality = in.quality.data() + f * lanes_;
    const Points points = points_to(before_, time);
    if (made.count == 0) made.first = points.begin;
    if (points.begin == made.first + made.count) {
      for (std::uint64_t k = points.begin; k < points.end && made.count < room; ++k) {
        double* const y = out.values.data() + made.count * lanes_;
        Quality* const q = out.quality.data() + made.count * lanes_;
        ++made.count;
        if (k + 1 < points.end || !points.hit) {
          put_between(parameters_.rate.duration(k), time, x, x_quality, y, q);
          continue;
        }
        for (std::size_t l = 0; l < lanes_; ++l) {
          y[l] = x[l];
          q[l] = x[l] == x[l] ? x_quality[l] : merge(x_quality[l], bad_missing);
        }
      }
    }
    std::copy_n(x, lanes_, value_.data());
    std::copy_n(x_quality, lanes_, quality_.data());
    pass(before_, time, points);
  }
  return made;
}

void InterpolateFilter::put_between(Time time, Time next_time, const double* next,
                                    const Quality* next_quality, double* y,
                                    Quality* q) const noexcept {
  const bool linear = parameters_.method == Interpolation::linear;
  if (exceeds(before_.time, linear ? next_time : time,
              linear ? parameters_.max_gap : parameters_.max_age)) {
    std::fill_n(y, lanes_, nan_value);
    std::fill_n(q, lanes_, bad_missing);
    return;
  }
  if (!linear) {
    for (std::size_t l = 0; l < lanes_; ++l) {
      y[l] = value_[l];
      q[l] = merge(quality_[l], y[l] == y[l] ? interpolated : bad_missing);
    }
    return;
  }
  const double share = share_of(before_.time, time, next_time);
  for (std::size_t l = 0; l < lanes_; ++l) {
    const double value = on_line(value_[l], next[l], share);
    const Quality both = merge(merge(quality_[l], next_quality[l]), interpolated);
    const bool known = std::isfinite(value_[l]) && std::isfinite(next[l]);
    y[l] = std::isfinite(value) ? value : nan_value;
    q[l] = std::isfinite(value) ? both : merge(both, known ? bad_range : bad_missing);
  }
}

void InterpolateFilter::reset() noexcept { before_ = {}; }

void InterpolateFilter::save_state(StateWriter& writer) const {
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(static_cast<std::uint8_t>(before_.exists));
  writer.put(before_.time.count());
  writer.put(value_);
  writer.put(quality_);
}

void InterpolateFilter::load_state(StateReader& reader) {
  std::uint64_t lanes = 0;
  reader.get(lanes);
  if (lanes != lanes_)
    throw Error(
        fmt::format("interpolation: the state is of {} lanes; needed is one of {}", lanes, lanes_));
  InterpolateFilter loaded = *this;
  std::uint8_t exists = 0;
  Time::rep time = 0;
  reader.get(exists);
  reader.get(time);
  reader.get(loaded.value_);
  reader.get(loaded.quality_);
  loaded.before_ = {};
  if (exists != 0) loaded.pass(loaded.before_, Time(time), loaded.points_to({}, Time(time)));
  *this = std::move(loaded);
}

std::vector<double> interpolate(std::span<const double> values, std::span<const Time> times,
                                std::span<const Time> new_times, Interpolation method,
                                std::chrono::nanoseconds limit) {
  if (times.size() != values.size())
    throw Error(fmt::format("interpolation: {} times for {} values; there must be as many",
                            times.size(), values.size()));
  check_limit("limit", limit);
  std::vector<Time> known_times;
  std::vector<double> known;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!known_times.empty() && times[i] <= known_times.back()) continue;
    known_times.push_back(times[i]);
    known.push_back(values[i]);
  }
  std::vector<double> result;
  result.reserve(new_times.size());
  for (const Time t : new_times) {
    const auto after =
        static_cast<std::size_t>(std::ranges::upper_bound(known_times, t) - known_times.begin());
    double value = nan_value;
    if (after > 0) {
      const std::size_t i = after - 1;
      if (known_times[i] == t) {
        value = known[i];
      } else if (method == Interpolation::last) {
        if (!exceeds(known_times[i], t, limit)) value = known[i];
      } else if (after < known.size() && !exceeds(known_times[i], known_times[after], limit)) {
        const double line =
            on_line(known[i], known[after], share_of(known_times[i], t, known_times[after]));
        if (std::isfinite(line)) value = line;
      }
    }
    result.push_back(value);
  }
  return result;
}

}  // namespace spillway
