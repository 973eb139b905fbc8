#include "spillway/filters/calculus.hpp"

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
constexpr Quality unsettled(Verdict::suspect, Quality::transient);
constexpr Quality bad_missing(Verdict::bad, Quality::missing);
constexpr Quality bad_range(Verdict::bad, Quality::out_of_range);
constexpr std::uint64_t most_known = 2;  // samples before the current one
constexpr Quality bad_time(Verdict::bad, Quality::time_uncertain);

void check_lanes(std::string_view filter, std::size_t lanes) {
  if (lanes == 0) throw Error(fmt::format("{}: 0 lanes; at least 1 is needed", filter));
}

// At b, of the parabola through a, b and c.
double parabola_slope(double a, double b, double c, double left, double right) noexcept {
  return (left * ((c - b) / right) + right * ((b - a) / left)) / (left + right);
}

template <class Step>
std::vector<double> central_slopes(std::span<const double> x, Step step) {
  const std::size_t n = x.size();
  if (n < 2) throw Error(fmt::format("derivative: {} values; at least 2 are needed", n));
  std::vector<double> slopes(n);
  for (std::size_t k = 1; k + 1 < n; ++k)
    slopes[k] = parabola_slope(x[k - 1], x[k], x[k + 1], step(k), step(k + 1));
  slopes[0] = (x[1] - x[0]) / step(1);
  slopes[n - 1] = (x[n - 1] - x[n - 2]) / step(n - 1);
  return slopes;
}

}  // namespace

std::vector<double> derivative_central(std::span<const double> values, const Rate& rate) {
  return central_slopes(values, [period = period_seconds(rate)](std::size_t) { return period; });
}

std::vector<double> derivative_central(std::span<const double> values,
                                       std::span<const Time> times) {
  if (times.size() != values.size())
    throw Error(fmt::format("derivative: {} times for {} values; there must be as many",
                            times.size(), values.size()));
  for (std::size_t k = 1; k < times.size(); ++k)
    if (times[k] <= times[k - 1])
      throw Error(fmt::format("derivative: time {}, {} ns, is not later than the one before, {} ns",
                              k, times[k].count(), times[k - 1].count()));
  return central_slopes(values,
                        [&](std::size_t k) { return seconds_between(times[k - 1], times[k]); });
}

DerivativeFilter::DerivativeFilter(const Derivative& parameters, const std::optional<Rate>& rate,
                                   std::size_t lanes)
    : parameters_(parameters),
      lanes_(lanes),
      period_(rate ? period_seconds(*rate) : 0.0),
      needed_(parameters.scheme == Difference::central ? 2 : 1) {
  check_lanes("derivative", lanes);
  for (auto& x : x_) x.resize(lanes);
  for (auto& q : q_) q.resize(lanes);
}

std::size_t DerivativeFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    const std::size_t row = f * lanes_;
    double* const y = out.values.data() + row;
    Quality* const q = out.quality.data() + row;
    std::copy_n(in.values.data() + row, lanes_, x_[0].data());
    std::copy_n(in.quality.data() + row, lanes_, q_[0].data());
    double step = period_;
    if (period_ == 0.0) step = seconds_between(std::exchange(last_time_, in.times[f]), in.times[f]);

    put_values(step, y);
    put_quality(step, y, q);

    x_[1].swap(x_[2]);
    x_[0].swap(x_[1]);
    q_[1].swap(q_[2]);
    q_[0].swap(q_[1]);
    last_step_ = step;
    if (known_ < most_known) ++known_;
    if (after_gap_ > 0) --after_gap_;
  }
  return frames;
}

void DerivativeFilter::put_values(double step, double* y) const noexcept {
  const std::size_t lanes = lanes_;
  const double* const x0 = x_[0].data();
  const double* const x1 = x_[1].data();
  const double* const x2 = x_[2].data();
  if (known_ < needed_)
    std::fill_n(y, lanes, nan_value);
  else if (needed_ == 1)
    for (std::size_t l = 0; l < lanes; ++l) y[l] = (x0[l] - x1[l]) / step;
  else
    for (std::size_t l = 0; l < lanes; ++l)
      y[l] = parabola_slope(x2[l], x1[l], x0[l], last_step_, step);
}

void DerivativeFilter::put_quality(double step, double* y, Quality* q) const noexcept {
  const bool warming = known_ < needed_;
  const bool forward = step > 0.0 && (needed_ == 1 || last_step_ > 0.0);
  const bool spans_gap = after_gap_ + needed_ > most_known;
  const Quality extra = warming || spans_gap ? unsettled : Quality::good();
  for (std::size_t l = 0; l < lanes_; ++l) {
    Quality merged = merge(q_[0][l], extra);
    bool finite = std::isfinite(x_[0][l]);
    for (std::size_t back = 1; back <= std::min(known_, needed_); ++back) {
      merged = merge(merged, q_[back][l]);
      finite = finite && std::isfinite(x_[back][l]);
    }
    q[l] = merged;
    if (warming || (forward && std::isfinite(y[l]))) continue;
    y[l] = nan_value;
    if (!forward) q[l] = merge(q[l], bad_time);
    if (!finite) q[l] = merge(q[l], bad_missing);
    if (forward && finite) q[l] = merge(q[l], bad_range);
  }
}

void DerivativeFilter::reset() noexcept {
  known_ = 0;
  after_gap_ = 0;
}

void DerivativeFilter::gap() noexcept {
  if (parameters_.gap == GapPolicy::reset)
    reset();
  else
    after_gap_ = most_known;
}

void DerivativeFilter::take_over(DerivativeFilter& before) noexcept {
  known_ = before.known_;
  after_gap_ = before.after_gap_;
  last_time_ = before.last_time_;
  last_step_ = before.last_step_;
  for (const std::size_t back : {1U, 2U}) {
    x_[back].swap(before.x_[back]);
    q_[back].swap(before.q_[back]);
  }
}

double DerivativeFilter::delay() const noexcept { return static_cast<double>(needed_) / 2.0; }

void DerivativeFilter::save_state(StateWriter& writer) const {
  writer.put(needed_);
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(known_);
  writer.put(after_gap_);
  writer.put(last_time_.count());
  writer.put(last_step_);
  for (const std::size_t back : {1U, 2U}) {
    writer.put(x_[back]);
    writer.put(q_[back]);
  }
}

void DerivativeFilter::load_state(StateReader& reader) {
  std::uint64_t needed = 0;
  std::uint64_t lanes = 0;
  reader.get(needed);
  reader.get(lanes);
  if (needed != needed_ || lanes != lanes_)
    throw Error(
        fmt::format("derivative: the state is of {} samples before and {} lanes; needed is "
                    "one of {} and {}",
                    needed, lanes, needed_, lanes_));
  DerivativeFilter loaded = *this;
  Time::rep last_time = 0;
  reader.get(loaded.known_);
  reader.get(loaded.after_gap_);
  reader.get(last_time);
  reader.get(loaded.last_step_);
  for (const std::size_t back : {1U, 2U}) {
    reader.get(loaded.x_[back]);
    reader.get(loaded.q_[back]);
  }
  if (loaded.known_ > most_known || loaded.after_gap_ > most_known)
    throw Error("derivative: the state is damaged: it knows more samples than there can be");
  loaded.last_time_ = Time(last_time);
  *this = std::move(loaded);
}

IntegralFilter::IntegralFilter(const Integral& parameters, const std::optional<Rate>& rate,
                               std::size_t lanes)
    : parameters_(parameters),
      lanes_(lanes),
      period_(rate ? period_seconds(*rate) : 0.0),
      sum_(lanes),
      rest_(lanes),
      held_(lanes),
      running_(lanes),
      past_(lanes) {
  if (!std::isfinite(parameters.initial))
    throw Error(
        fmt::format("integral: an initial value of {}; it must be finite", parameters.initial));
  if (parameters.nan != NanPolicy::hold && parameters.nan != NanPolicy::reset)
    throw Error("integral: the NaN policy must be hold or reset");
  check_lanes("integral", lanes);
  reset();
}

std::size_t IntegralFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    double step = period_;
    if (period_ == 0.0) step = seconds_between(std::exchange(last_time_, in.times[f]), in.times[f]);
    if (!joined_) step = 0.0;
    joined_ = true;
    for (std::size_t l = 0; l < lanes_; ++l) {
      const std::size_t i = f * lanes_ + l;
      const double x = in.values[i];
      const bool valid = std::isfinite(x);
      Quality q = in.quality[i];
      if (!valid) q = merge(q, bad_missing);
      if (!valid && parameters_.nan == NanPolicy::reset) {
        start_lane(l);
        out.values[i] = nan_value;
        out.quality[i] = q;
        continue;
      }
      const double value = valid ? x : held_[l];
      const double area = running_[l] != 0 ? (0.5 * held_[l] + 0.5 * value) * step : 0.0;
      held_[l] = value;
      running_[l] = 1;
      const double sum = sum_[l] + area;
      const double added = sum - sum_[l];
      rest_[l] += (sum_[l] - (sum - added)) + (area - added);
      sum_[l] = sum;
      out.values[i] = sum + rest_[l];
      out.quality[i] = merge(past_[l], q);
      if (!q.is_good())
        past_[l] = merge(past_[l], Quality(std::min(q.verdict(), Verdict::suspect), q.reasons()));
      if (!std::isfinite(out.values[i])) {
        start_lane(l);
        out.values[i] = nan_value;
        out.quality[i] = merge(out.quality[i], bad_range);
      }
    }
  }
  return frames;
}

void IntegralFilter::start_lane(std::size_t lane) noexcept {
  sum_[lane] = parameters_.initial;
  rest_[lane] = 0.0;
  held_[lane] = 0.0;
  running_[lane] = 0;
  past_[lane] = Quality::good();
}

void IntegralFilter::reset() noexcept {
  joined_ = false;
  for (std::size_t l = 0; l < lanes_; ++l) start_lane(l);
}

void IntegralFilter::gap() noexcept {
  if (parameters_.gap == GapPolicy::reset) {
    reset();
    return;
  }
  joined_ = false;
  for (std::size_t l = 0; l < lanes_; ++l)
    if (running_[l] != 0) past_[l] = merge(past_[l], Quality(Verdict::suspect, Quality::missing));
}

void IntegralFilter::take_over(IntegralFilter& before) noexcept {
  joined_ = before.joined_;
  last_time_ = before.last_time_;
  sum_.swap(before.sum_);
  rest_.swap(before.rest_);
  held_.swap(before.held_);
  running_.swap(before.running_);
  past_.swap(before.past_);
  for (std::size_t l = 0; l < lanes_; ++l)
    if (running_[l] == 0) start_lane(l);
}

void IntegralFilter::save_state(StateWriter& writer) const {
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(static_cast<std::uint8_t>(joined_));
  writer.put(last_time_.count());
  writer.put(sum_);
  writer.put(rest_);
  writer.put(held_);
  writer.put(running_);
  writer.put(past_);
}

void IntegralFilter::load_state(StateReader& reader) {
  std::uint64_t lanes = 0;
  reader.get(lanes);
  if (lanes != lanes_)
    throw Error(
        fmt::format("integral: the state is of {} lanes; needed is one of {}", lanes, lanes_));
  IntegralFilter loaded = *this;
  std::uint8_t joined = 0;
  Time::rep last_time = 0;
  reader.get(joined);
  reader.get(last_time);
  reader.get(loaded.sum_);
  reader.get(loaded.rest_);
  reader.get(loaded.held_);
  reader.get(loaded.running_);
  reader.get(loaded.past_);
  loaded.joined_ = joined != 0;
  loaded.last_time_ = Time(last_time);
  *this = std::move(loaded);
}

}  // namespace spillway
