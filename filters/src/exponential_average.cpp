#include "spillway/filters/exponential_average.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "spillway/channels/error.hpp"
#include "time_step.hpp"

namespace spillway {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double settled_level = 1e-3;
constexpr double smallest_average = 1e-290;
constexpr Quality unsettled(Verdict::suspect, Quality::transient);

// 1 - exp(-u) for u >= 0, within 2 ulp. Not libm's expm1: it runs for every sample, and
// libm may have other bits on another CPU.
double one_minus_exp(double u) noexcept {
  // exp(-u) = 2^-n exp(r) with |r| <= ln(2) / 2; ln 2 in two parts, of which n times the
  // first is exact.
  constexpr double log2_e = 0x1.71547652b82fep+0;
  constexpr double ln2_high = 0x1.62e42feep-1;
  constexpr double ln2_low = 0x1.a39ef35793c76p-33;
  if (!(u < 40.0)) return 1.0;
  const int n = static_cast<int>(u * log2_e + 0.5);
  const double r = (n * ln2_high - u) + n * ln2_low;
  constexpr std::size_t terms = 15;  // what is left out is below 2^-58 of the sum
  constexpr auto inverse_factorials = [] {
    std::array<double, terms> c{};
    double factorial = 1.0;
    for (std::size_t k = 0; k < terms; ++k) {
      factorial *= static_cast<double>(k + 1);  // exact up to 18!
      c[k] = 1.0 / factorial;
    }
    return c;
  }();
  double sum = 0.0;
  for (std::size_t k = terms; k-- > 0;) sum = sum * r + inverse_factorials[k];
  const auto scale = std::bit_cast<double>((std::uint64_t{1023} - static_cast<unsigned>(n)) << 52);
  return (1.0 - scale) - scale * (sum * r);
}

const ExponentialAverage& checked(const ExponentialAverage& p, std::size_t lanes) {
  const bool has_alpha = p.alpha != 0.0;
  const bool has_time = p.time_constant.count() != 0;
  if (has_alpha == has_time)
    throw Error("exponential average: one of alpha and the time constant must be given");
  if (has_alpha && !(p.alpha > 0.0 && p.alpha <= 1.0))
    throw Error(fmt::format("exponential average: an alpha of {}; it must be above 0 and at most 1",
                            p.alpha));
  if (p.time_constant.count() < 0)
    throw Error(fmt::format("exponential average: a time constant of {} ns; it must be above 0",
                            p.time_constant.count()));
  if (p.nan != NanPolicy::hold && p.nan != NanPolicy::reset)
    throw Error("exponential average: the NaN policy must be hold or reset");
  if (lanes == 0) throw Error("exponential average: 0 lanes; at least 1 is needed");
  return p;
}

std::uint64_t ceil_to_count(double value, double most) {
  return static_cast<std::uint64_t>(std::ceil(std::min(value, most)));
}

}  // namespace

ExponentialAverageFilter::ExponentialAverageFilter(const ExponentialAverage& parameters,
                                                   const std::optional<Rate>& rate,
                                                   std::size_t lanes)
    : parameters_(checked(parameters, lanes)),
      lanes_(lanes),
      alpha_(parameters.alpha),
      carried_(lanes),
      average_(lanes),
      held_(lanes),
      primed_(lanes) {
  const auto tau = static_cast<double>(parameters.time_constant.count());
  if (tau > 0.0 && rate)
    alpha_ = one_minus_exp(static_cast<double>(rate->seconds()) * 1e9 /
                           (static_cast<double>(rate->samples()) * tau));
  if (alpha_ == 1.0)
    settling_ = 1;
  else if (alpha_ > 0.0)
    settling_ = ceil_to_count(std::log(settled_level) / std::log1p(-alpha_),
                              static_cast<double>(max_settling_samples));
  else
    settling_ = ceil_to_count(-std::log(settled_level) * tau, 0x1p62);
  reset();
}

// Goes on to the next frame; its alpha.
double ExponentialAverageFilter::step_to(const Time* time) noexcept {
  const bool has_step = std::exchange(started_, true);
  if (alpha_ > 0.0) {
    if (has_step) carried_.advance(1);
    return alpha_;
  }
  const Time before = std::exchange(last_time_, *time);
  const std::uint64_t nanoseconds = has_step ? nanoseconds_between(before, *time) : 0;
  carried_.advance(nanoseconds);
  const double step =
      static_cast<double>(nanoseconds) / static_cast<double>(parameters_.time_constant.count());
  if (step != step_) {
    step_ = step;
    step_alpha_ = one_minus_exp(step);
  }
  return step_alpha_;
}

std::size_t ExponentialAverageFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    const std::size_t row = f * lanes_;
    const double* const x = in.values.data() + row;
    const Quality* const q = in.quality.data() + row;
    const double alpha = step_to(alpha_ > 0.0 ? nullptr : &in.times[f]);
    if (std::exchange(after_gap_, false)) carried_.note_all(unsettled, settling_);
    if (is_calm(x, q))
      calm_frame(alpha, x, out.values.data() + row, out.quality.data() + row);
    else
      frame(alpha, x, q, out.values.data() + row, out.quality.data() + row);
  }
  return frames;
}

bool ExponentialAverageFilter::is_calm(const double* x, const Quality* q) const noexcept {
  if (!carried_.is_calm() || unprimed_ > 0) return false;
  unsigned trouble = 0;
  for (std::size_t l = 0; l < lanes_; ++l) trouble |= q[l].byte();
  for (std::size_t l = 0; l < lanes_; ++l) trouble |= x[l] - x[l] == 0.0 ? 0U : 1U;
  return trouble == 0;
}

void ExponentialAverageFilter::calm_frame(double alpha, const double* x, double* y,
                                          Quality* q) noexcept {
  const std::size_t lanes = lanes_;
  double* const average = average_.data();
  std::copy_n(x, lanes, held_.data());
  std::fill_n(q, lanes, Quality::good());
  unsigned overflow = 0;
  for (std::size_t l = 0; l < lanes; ++l) {
    const double next = average[l] + alpha * (x[l] - average[l]);
    average[l] = std::abs(next) < smallest_average ? 0.0 : next;
    y[l] = average[l];
    overflow |= next - next == 0.0 ? 0U : 1U;
  }
  if (overflow == 0) return;
  for (std::size_t l = 0; l < lanes; ++l) drop_overflow(l, y[l], q[l]);
}

void ExponentialAverageFilter::frame(double alpha, const double* x, const Quality* q_in, double* y,
                                     Quality* q_out) noexcept {
  constexpr Quality bad_missing(Verdict::bad, Quality::missing);
  for (std::size_t l = 0; l < lanes_; ++l) {
    const double value = x[l];
    const bool valid = std::isfinite(value);
    const Quality input = valid ? q_in[l] : merge(q_in[l], bad_missing);
    q_out[l] = merge(input, carried_.at(l));
    remember(l, input);
    if (valid) {
      held_[l] = value;
      if (primed_[l] == 0) {
        average_[l] = value;
        primed_[l] = 1;
        --unprimed_;
      }
    } else if (parameters_.nan == NanPolicy::reset) {
      average_[l] = 0.0;
      y[l] = nan_value;
      continue;
    }
    const double next = average_[l] + alpha * (held_[l] - average_[l]);
    average_[l] = std::abs(next) < smallest_average ? 0.0 : next;
    y[l] = average_[l];
    drop_overflow(l, y[l], q_out[l]);
  }
}

void ExponentialAverageFilter::drop_overflow(std::size_t lane, double& y, Quality& q) noexcept {
  if (std::isfinite(y)) return;
  y = nan_value;
  constexpr Quality bad_out_of_range(Verdict::bad, Quality::out_of_range);
  q = merge(q, bad_out_of_range);
  average_[lane] = 0.0;
  remember(lane, bad_out_of_range);
}

void ExponentialAverageFilter::remember(std::size_t lane, Quality input) noexcept {
  carried_.note(lane, quality_of_remembered(input), 1 + settling_);
}

void ExponentialAverageFilter::reset() noexcept {
  carried_.reset();
  started_ = false;
  after_gap_ = false;
  last_time_ = Time(0);
  std::ranges::fill(average_, 0.0);
  std::ranges::fill(held_, 0.0);
  const bool steady = parameters_.initial == Initial::steady;
  std::ranges::fill(primed_, steady ? 0 : 1);
  unprimed_ = steady ? lanes_ : 0;
  if (!steady) carried_.note_all(unsettled, settling_);
}

void ExponentialAverageFilter::gap() noexcept {
  if (parameters_.gap == GapPolicy::reset) reset();
  after_gap_ = true;
}

void ExponentialAverageFilter::take_over(ExponentialAverageFilter& before) noexcept {
  const bool in_time = alpha_ == 0.0;
  const bool was_in_time = before.alpha_ == 0.0;
  if (in_time == was_in_time) {
    const auto longer = static_cast<std::int64_t>(settling_) -
                        static_cast<std::int64_t>(before.settling_);  // both up to 2^62
    carried_.take_over(before.carried_, std::max<std::int64_t>(longer, 0));
  } else {
    carried_.reset();
    for (std::size_t l = 0; l < lanes_; ++l) carried_.note(l, before.carried_.at(l), 1 + settling_);
  }
  const bool same = alpha_ == before.alpha_ &&
                    (!in_time || parameters_.time_constant == before.parameters_.time_constant);
  after_gap_ = before.after_gap_ || !same;
  started_ = before.started_ && (was_in_time || !in_time);  // else no time is known
  last_time_ = before.last_time_;
  average_.swap(before.average_);
  held_.swap(before.held_);
  if (parameters_.initial == Initial::steady) {
    primed_.swap(before.primed_);
    unprimed_ = before.unprimed_;
  }
}

double ExponentialAverageFilter::delay() const noexcept {
  return alpha_ > 0.0 ? (1.0 - alpha_) / alpha_ : 0.0;
}

void ExponentialAverageFilter::save_state(StateWriter& writer) const {
  writer.put(alpha_);
  writer.put(static_cast<std::uint64_t>(lanes_));
  carried_.save_state(writer);
  writer.put(static_cast<std::uint8_t>(started_));
  writer.put(static_cast<std::uint8_t>(after_gap_));
  writer.put(static_cast<std::int64_t>(last_time_.count()));
  writer.put(average_);
  writer.put(held_);
  writer.put(primed_);
}

void ExponentialAverageFilter::load_state(StateReader& reader) {
  double alpha = 0.0;
  std::uint64_t lanes = 0;
  reader.get(alpha);
  reader.get(lanes);
  if (alpha != alpha_ || lanes != lanes_)
    throw Error(
        fmt::format("exponential average: the state is of alpha {} and {} lanes; needed is one of "
                    "alpha {} and {}",
                    alpha, lanes, alpha_, lanes_));
  ExponentialAverageFilter loaded = *this;
  std::uint8_t started = 0;
  std::uint8_t after_gap = 0;
  std::int64_t last_time = 0;
  loaded.carried_.load_state(reader);
  reader.get(started);
  reader.get(after_gap);
  reader.get(last_time);
  reader.get(loaded.average_);
  reader.get(loaded.held_);
  reader.get(loaded.primed_);
  loaded.started_ = started != 0;
  loaded.after_gap_ = after_gap != 0;
  loaded.last_time_ = Time(last_time);
  loaded.unprimed_ = static_cast<std::uint64_t>(std::ranges::count(loaded.primed_, 0));
  *this = std::move(loaded);
}

}  // namespace spillway
