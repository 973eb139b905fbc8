#include "spillway/filters/interpolate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "interpolation_point.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::string_view what = "interpolation";

// The limit is 0 for the other method.
InterpolationRule rule_of(const Interpolate& p) noexcept {
  return {p.method, p.method == Interpolation::linear ? p.max_gap : p.max_age};
}

const Interpolate& checked(const Interpolate& p, std::size_t lanes) {
  check_grid(what, p.rate);
  (void)checked_rule(what, p.method, p.max_gap, p.max_age);
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
  longest_pause_ = checked_pause(what, grid, rule_of(parameters_));
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
    const Time time = sample_time(in, input_, f);
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
  const InterpolationRule rule = rule_of(parameters_);
  const std::size_t room = out.values.size() / lanes_;
  for (std::size_t f = 0; f < in.count(); ++f) {
    const Time time = sample_time(in, input_, f);
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
          put_between(rule, {before_.time, value_.data(), quality_.data()}, {time, x, x_quality},
                      parameters_.rate.duration(k), lanes_, y, q);
        } else {
          put_sample(x, x_quality, lanes_, y, q);
        }
      }
    }
    std::copy_n(x, lanes_, value_.data());
    std::copy_n(x_quality, lanes_, quality_.data());
    pass(before_, time, points);
  }
  return made;
}

void InterpolateFilter::reset() noexcept { before_ = {}; }

void InterpolateFilter::take_over(InterpolateFilter& before) noexcept {
  if (!before.before_.exists) return;
  std::swap(value_, before.value_);
  std::swap(quality_, before.quality_);
  const Time time = before.before_.time;
  pass(before_, time, points_to({}, time));
}

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
  check_limit(what, "limit", limit);
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
