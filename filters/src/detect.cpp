#include "spillway/filters/detect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "frame_by_frame.hpp"
#include "spillway/channels/error.hpp"
#include "time_step.hpp"

namespace spillway {

namespace {

constexpr Quality missing{Verdict::bad, Quality::missing};
constexpr Quality out_of_range{Verdict::suspect, Quality::out_of_range};
constexpr Quality implausible{Verdict::suspect, Quality::implausible};
constexpr Quality late{Verdict::suspect, Quality::transient};
constexpr Quality out_of_order{Verdict::suspect, Quality::time_uncertain};

void check_lanes(const char* what, std::size_t lanes) {
  if (lanes == 0) throw Error(fmt::format("{}: 0 lanes; at least 1 is needed", what));
}

const DetectRange& checked(const DetectRange& p, std::size_t lanes) {
  if (!(p.low <= p.high))
    throw Error(fmt::format("range detector: from {} to {}; low must not be above high, nor NaN",
                            p.low, p.high));
  check_lanes("range detector", lanes);
  return p;
}
const DetectSaturation& checked(const DetectSaturation& p, std::size_t lanes) {
  if (!(p.low < p.high))
    throw Error(
        fmt::format("saturation detector: from {} to {}; low must be below high", p.low, p.high));
  check_lanes("saturation detector", lanes);
  return p;
}
const DetectStuck& checked(const DetectStuck& p, std::size_t lanes) {
  if (p.samples < 2)
    throw Error(
        fmt::format("stuck detector: {} samples; at least 2 are needed to be equal", p.samples));
  check_lanes("stuck detector", lanes);
  return p;
}
const DetectJump& checked(const DetectJump& p, std::size_t lanes) {
  if (!(p.limit > 0.0) || std::isinf(p.limit))
    throw Error(
        fmt::format("jump detector: a limit of {}; it must be finite and above 0", p.limit));
  check_lanes("jump detector", lanes);
  return p;
}

const DetectTime& checked(const DetectTime& p, std::size_t lanes) {
  if (p.max_step.count() < 0)
    throw Error(fmt::format("time detector: a max_step of {} ns; it must not be negative",
                            p.max_step.count()));
  check_lanes("time detector", lanes);
  return p;
}

// `found(i, lane, x)` for every value, in order.
template <class Found>
std::size_t mark(ConstFrames in, Frames out, std::size_t lanes, Quality mark, Found found) {
  for (std::size_t i = 0, lane = 0; i < in.values.size(); ++i) {
    const double x = in.values[i];
    Quality q = in.quality[i];
    if (x != x) q = merge(q, missing);
    if (found(lane, x)) q = merge(q, mark);
    out.values[i] = x;
    out.quality[i] = q;
    if (++lane == lanes) lane = 0;
  }
  return in.count();
}

}  // namespace

DetectRangeFilter::DetectRangeFilter(const DetectRange& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)), lanes_(lanes) {}

std::size_t DetectRangeFilter::process(ConstFrames in, Frames out) noexcept {
  const auto [low, high] = parameters_;
  return mark(in, out, lanes_, out_of_range,
              [low = low, high = high](std::size_t, double x) { return !(x >= low && x <= high); });
}

void DetectRangeFilter::save_state(StateWriter& writer) const { put_lanes(writer, lanes_); }
void DetectRangeFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes_, "range detector");
}

DetectSaturationFilter::DetectSaturationFilter(const DetectSaturation& parameters,
                                               std::size_t lanes)
    : parameters_(checked(parameters, lanes)), lanes_(lanes) {}

std::size_t DetectSaturationFilter::process(ConstFrames in, Frames out) noexcept {
  const auto [low, high] = parameters_;
  return mark(in, out, lanes_, out_of_range,
              [low = low, high = high](std::size_t, double x) { return x <= low || x >= high; });
}

void DetectSaturationFilter::save_state(StateWriter& writer) const { put_lanes(writer, lanes_); }
void DetectSaturationFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes_, "saturation detector");
}

DetectStuckFilter::DetectStuckFilter(const DetectStuck& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)), lanes_(lanes), last_(lanes), run_(lanes) {}

std::size_t DetectStuckFilter::process(ConstFrames in, Frames out) noexcept {
  return mark(in, out, lanes_, implausible, [this](std::size_t lane, double x) {
    const bool equal = run_[lane] > 0 && x == last_[lane];
    run_[lane] = equal ? run_[lane] + 1 : 1;
    last_[lane] = x;
    return run_[lane] >= parameters_.samples;
  });
}

void DetectStuckFilter::reset() noexcept { std::ranges::fill(run_, 0); }

void DetectStuckFilter::take_over(DetectStuckFilter& before) noexcept {
  last_.swap(before.last_);
  run_.swap(before.run_);
}

void DetectStuckFilter::save_state(StateWriter& writer) const {
  put_lanes(writer, lanes_);
  writer.put(last_);
  writer.put(run_);
}

void DetectStuckFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes_, "stuck detector");
  DetectStuckFilter loaded = *this;
  reader.get(loaded.last_);
  reader.get(loaded.run_);
  *this = std::move(loaded);
}

DetectJumpFilter::DetectJumpFilter(const DetectJump& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)), lanes_(lanes), last_(lanes, nan_value) {}

std::size_t DetectJumpFilter::process(ConstFrames in, Frames out) noexcept {
  return mark(in, out, lanes_, implausible, [this](std::size_t lane, double x) {
    const double step = x - last_[lane];
    last_[lane] = x;
    return std::abs(step) > parameters_.limit;
  });
}

void DetectJumpFilter::reset() noexcept { std::ranges::fill(last_, nan_value); }

void DetectJumpFilter::take_over(DetectJumpFilter& before) noexcept { last_.swap(before.last_); }

void DetectJumpFilter::save_state(StateWriter& writer) const {
  put_lanes(writer, lanes_);
  writer.put(last_);
}

void DetectJumpFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes_, "jump detector");
  DetectJumpFilter loaded = *this;
  reader.get(loaded.last_);
  *this = std::move(loaded);
}

DetectTimeFilter::DetectTimeFilter(const DetectTime& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)), lanes_(lanes) {}

std::size_t DetectTimeFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0, i = 0; f < frames; ++f) {
    const Quality found = found_at(in.times[f]);
    for (std::size_t l = 0; l < lanes_; ++l, ++i) {
      const double x = in.values[i];
      const Quality q = merge(in.quality[i], found);
      out.values[i] = x;
      out.quality[i] = x != x ? merge(q, missing) : q;
    }
  }
  return frames;
}

Quality DetectTimeFilter::found_at(Time time) noexcept {
  const bool has_before = std::exchange(started_, true);
  const Time before = std::exchange(last_, time);
  const Time latest = std::exchange(latest_, has_before ? std::max(latest_, time) : time);
  Quality found;
  if (!has_before) return found;
  const auto most = static_cast<std::uint64_t>(parameters_.max_step.count());
  if (most > 0 && nanoseconds_between(before, time) > most) found = merge(found, late);
  if (time <= latest) found = merge(found, out_of_order);
  return found;
}

void DetectTimeFilter::reset() noexcept { started_ = false; }

void DetectTimeFilter::save_state(StateWriter& writer) const {
  put_lanes(writer, lanes_);
  writer.put(static_cast<std::uint8_t>(started_));
  writer.put(last_.count());
  writer.put(latest_.count());
}

void DetectTimeFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes_, "time detector");
  std::uint8_t started = 0;
  Time::rep last = 0;
  Time::rep latest = 0;
  reader.get(started);
  reader.get(last);
  reader.get(latest);
  started_ = started != 0;
  last_ = Time(last);
  latest_ = Time(latest);
}

}  // namespace spillway
