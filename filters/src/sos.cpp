#include "spillway/filters/sos.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr std::uint64_t longest_simulation = std::uint64_t{1} << 20;
constexpr std::uint64_t flush_period = 64;
constexpr double smallest_state = 1e-290;
constexpr unsigned first_reason = 0x04;  // of six bits up to 0x80

// c0 + c1/z + c2/z^2 at z = exp(i w), |w| <= pi / 2. The sum at 0 Hz is split off: near
// 0 Hz the terms cancel almost entirely.
std::complex<double> evaluate_low(double c0, double c1, double c2, double w) {
  const double half = std::sin(w / 2.0);
  const double one_minus_cos = 2.0 * half * half;
  const double sine = std::sin(w);
  const double at_zero = (c0 + c1) + c2;
  return {at_zero - c1 * one_minus_cos - c2 * 2.0 * sine * sine,
          -sine * ((c1 + 2.0 * c2) - 2.0 * c2 * one_minus_cos)};
}

// The same for 0 <= w <= pi: near half the rate mirrored, z to -z, as it is no better there.
std::complex<double> evaluate(double c0, double c1, double c2, double w) {
  if (w <= std::numbers::pi / 2.0) return evaluate_low(c0, c1, c2, w);
  return std::conj(evaluate_low(c0, -c1, c2, std::numbers::pi - w));
}

std::complex<double> response_at_angle(const Sos& sos, double w) {
  std::complex<double> h = 1.0;
  for (const Sos::Section& s : sos.sections)
    h *= evaluate(s.b0, s.b1, s.b2, w) / evaluate(1.0, s.a1, s.a2, w);
  return h;
}

double dc_gain(const Sos::Section& s) { return ((s.b0 + s.b1) + s.b2) / ((1.0 + s.a1) + s.a2); }

// Both poles of a section: -ln |p|, which is infinite for a pole at 0, and the angle.
struct Poles {
  std::array<double, 2> decay;
  std::array<double, 2> angle;
};

Poles poles_of(const Sos::Section& s) {
  // Solved for the distance q = 1 - p from +1 (from -1 for a1 > 0, by symmetry):
  // slow poles are close to there, and the distance is what their decay depends on.
  const double a1 = -std::abs(s.a1);
  const double sum = 2.0 + a1;
  const double product = (1.0 + a1) + s.a2;
  const double discriminant = sum * sum - 4.0 * product;
  const double near = s.a1 > 0.0 ? std::numbers::pi : 0.0;
  if (discriminant < 0.0) {
    const double decay = -0.5 * std::log(s.a2);
    const double angle = std::atan2(std::sqrt(-discriminant), 2.0 - sum);
    const double turned = std::abs(near - angle);
    return {{decay, decay}, {turned, turned}};
  }
  const double far = (sum + std::sqrt(discriminant)) / 2.0;
  const auto decay = [](double q) { return q < 1.0 ? -std::log1p(-q) : -std::log(q - 1.0); };
  return {{decay(far), decay(product / far)}, {near, near}};
}

double moment_over_sum(double c0, double c1, double c2) {
  const double sum = (c0 + c1) + c2;
  const double size = std::abs(c0) + std::abs(c1) + std::abs(c2);
  if (size == 0.0) return 0.0;
  const double rounding = 4.0 * std::numeric_limits<double>::epsilon() * size;
  if (std::abs(sum) > rounding) return (c1 + 2.0 * c2) / sum;
  // A zero at 0 Hz: (1 - 1/z) (c0 - c2/z).
  const double rest = c0 - c2;
  return 0.5 + (std::abs(rest) > rounding ? -c2 / rest : 0.5);
}

// From the pole radii, as settling_samples() describes.
std::uint64_t settling_bound(const Sos& sos, double level) {
  double slowest = std::numeric_limits<double>::infinity();
  double gain = std::max(std::abs(response_at_angle(sos, 0.0)),
                         std::abs(response_at_angle(sos, std::numbers::pi)));
  for (const Sos::Section& s : sos.sections) {
    const Poles poles = poles_of(s);
    slowest = std::min({slowest, poles.decay[0], poles.decay[1]});
    gain = std::max(gain, std::abs(response_at_angle(sos, poles.angle[0])));
  }
  // A filter of zeros only remembers two samples a section.
  if (slowest == std::numeric_limits<double>::infinity()) return 2 * sos.sections.size() + 1;

  constexpr int steps = 64;
  double best = static_cast<double>(max_settling_samples);
  if (gain == 0.0 || !(slowest > 0.0)) return gain == 0.0 ? 0 : max_settling_samples;
  for (int step = 1; step < steps; ++step) {
    const double log_t = slowest * step / steps;
    const double t = std::exp(log_t);
    double log_bound = -std::log(level * gain);
    for (const Sos::Section& s : sos.sections) {
      log_bound += std::log(std::abs(s.b0) + (std::abs(s.b1) + std::abs(s.b2) * t) * t);
      for (const double decay : poles_of(s).decay)
        log_bound -= std::log(-std::expm1(log_t - decay));
    }
    best = std::min(best, log_bound / log_t);
  }
  return best > 0.0 ? static_cast<std::uint64_t>(std::ceil(best)) : 0;
}

std::vector<double> impulse_response(const Sos& sos, std::size_t samples) {
  struct State {
    double z1 = 0.0;
    double z2 = 0.0;
  };
  std::vector<State> states(sos.sections.size());
  std::vector<double> response(samples);
  for (std::size_t k = 0; k < samples; ++k) {
    double v = k == 0 ? 1.0 : 0.0;
    for (std::size_t i = 0; i < states.size(); ++i) {
      const Sos::Section& c = sos.sections[i];
      const double y = c.b0 * v + states[i].z1;
      states[i] = {(c.b1 * v - c.a1 * y) + states[i].z2, c.b2 * v - c.a2 * y};
      v = y;
    }
    response[k] = v;
  }
  return response;
}

}  // namespace

void check(const Sos& sos) {
  if (sos.sections.empty()) throw Error("second-order sections: none; at least 1 is needed");
  for (std::size_t i = 0; i < sos.sections.size(); ++i) {
    const Sos::Section& s = sos.sections[i];
    for (const double c : {s.b0, s.b1, s.b2, s.a1, s.a2})
      if (!std::isfinite(c))
        throw Error(
            fmt::format("second-order sections: section {} has the coefficient {}; all must be "
                        "finite",
                        i, c));
    // Sums in an order that is exact where poles are close to +1 or -1.
    const bool stable = std::abs(s.a2) < 1.0 && (1.0 - std::abs(s.a1)) + s.a2 > 0.0;
    if (!stable)
      throw Error(
          fmt::format("second-order sections: section {} with a1 = {}, a2 = {} is not stable; its "
                      "poles must be inside the unit circle: |a2| < 1 and |a1| < 1 + a2",
                      i, s.a1, s.a2));
  }
}

std::complex<double> frequency_response(const Sos& sos, Hertz at, Hertz rate) {
  if (!std::isfinite(rate.value) || rate.value <= 0.0)
    throw Error(fmt::format("frequency response: a rate of {} Hz; it must be above 0", rate.value));
  if (!(at.value >= 0.0 && at.value <= rate.value / 2.0))
    throw Error(
        fmt::format("frequency response: a frequency of {} Hz; it must be 0 to half the "
                    "rate, {} Hz",
                    at.value, rate.value / 2.0));
  return response_at_angle(sos, 2.0 * std::numbers::pi * (at.value / rate.value));
}

double dc_group_delay(const Sos& sos) {
  double delay = 0.0;
  for (const Sos::Section& s : sos.sections)
    delay += moment_over_sum(s.b0, s.b1, s.b2) - (s.a1 + 2.0 * s.a2) / ((1.0 + s.a1) + s.a2);
  return delay;
}

std::uint64_t settling_samples(const Sos& sos, double level) {
  if (!(level > 0.0 && level < 1.0))
    throw Error(fmt::format("settling: a level of {}; it must be above 0 and below 1", level));
  const auto silent = [](const Sos::Section& s) {
    return s.b0 == 0.0 && s.b1 == 0.0 && s.b2 == 0.0;
  };
  if (std::ranges::any_of(sos.sections, silent)) return 0;

  // What the simulated response leaves out is a hundredth of what is looked for in it.
  const std::uint64_t length = settling_bound(sos, level / 100.0);
  if (length > longest_simulation) return settling_bound(sos, level);
  const std::vector<double> h = impulse_response(sos, length + 1);
  double sum = 0.0;
  for (const double v : h) sum += std::abs(v);
  double tail = sum * level / 100.0;
  std::size_t n = h.size();
  while (n > 0 && (tail += std::abs(h[n - 1])) <= level * sum) --n;
  return n;
}

SosFilter::SosFilter(Sos sos, const SosOptions& options, std::size_t lanes)
    : sos_(std::move(sos)), options_(options), lanes_(lanes) {
  check(sos_);
  if (options.nan != NanPolicy::hold && options.nan != NanPolicy::reset)
    throw Error("second-order sections: the NaN policy must be hold or reset");
  if (lanes == 0) throw Error("second-order sections: 0 lanes; at least 1 is needed");

  settling_ = settling_samples(sos_, options.settling_level);
  delay_ = dc_group_delay(sos_);
  double input = 1.0;
  for (const Sos::Section& s : sos_.sections) {
    const double output = dc_gain(s) * input;
    steady_.push_back({output - s.b0 * input, s.b2 * input - s.a2 * output});
    input = output;
  }
  z_.resize(2 * sos_.sections.size() * lanes);
  held_.resize(lanes);
  primed_.resize(lanes);
  lost_.resize(lanes);
  until_.resize(reason_count * lanes);
  reset();
}

std::size_t SosFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    const std::size_t row = f * lanes_;
    const double* const x = in.values.data() + row;
    const Quality* const q = in.quality.data() + row;
    if (is_calm(x, q))
      calm_frame(x, out.values.data() + row, out.quality.data() + row);
    else
      frame(x, q, out.values.data() + row, out.quality.data() + row);
    if (++now_ % flush_period == 0) flush_subnormal();
  }
  return frames;
}

bool SosFilter::is_calm(const double* x, const Quality* q) const noexcept {
  if (now_ < calm_from_ || unprimed_ > 0) return false;
  unsigned trouble = 0;
  for (std::size_t l = 0; l < lanes_; ++l) trouble |= q[l].byte();
  for (std::size_t l = 0; l < lanes_; ++l) trouble |= x[l] - x[l] == 0.0 ? 0U : 1U;
  return trouble == 0;
}

void SosFilter::calm_frame(const double* x, double* y, Quality* q) noexcept {
  std::copy_n(x, lanes_, held_.data());
  if (x != y) std::copy_n(x, lanes_, y);
  std::fill_n(q, lanes_, Quality::good());
  run_sections(y);
  unsigned overflow = 0;
  for (std::size_t l = 0; l < lanes_; ++l) overflow |= y[l] - y[l] == 0.0 ? 0U : 1U;
  if (overflow == 0) return;
  for (std::size_t l = 0; l < lanes_; ++l) drop_overflow(l, y[l], q[l]);
}

void SosFilter::frame(const double* x, const Quality* q_in, double* y, Quality* q_out) noexcept {
  constexpr Quality bad_missing(Verdict::bad, Quality::missing);
  for (std::size_t l = 0; l < lanes_; ++l) {
    const Quality input = q_in[l];
    const bool valid = std::isfinite(x[l]);
    q_out[l] = merge(input, settling_quality(l));
    if (!valid) q_out[l] = merge(q_out[l], bad_missing);
    if (!valid || !input.is_good()) {
      const unsigned reasons = input.reasons() | (valid ? Quality::none : Quality::missing);
      add_cause(l, static_cast<std::uint8_t>(reasons), now_ + 1 + settling_);
    }
    if (valid) {
      held_[l] = x[l];
      if (primed_[l] == 0) prime(l);
    }
    lost_[l] = !valid && options_.nan == NanPolicy::reset ? 1 : 0;
    y[l] = held_[l];
  }
  run_sections(y);
  for (std::size_t l = 0; l < lanes_; ++l) {
    if (lost_[l] != 0) {
      y[l] = nan_value;
      zero_lane(l);
    } else {
      drop_overflow(l, y[l], q_out[l]);
    }
  }
}

void SosFilter::run_sections(double* y) noexcept {
  const std::size_t lanes = lanes_;
  double* z1 = z_.data();
  for (const Sos::Section s : sos_.sections) {  // a copy, that no store below can change
    double* const z2 = z1 + lanes;
    for (std::size_t l = 0; l < lanes; ++l) {
      const double x = y[l];
      const double sum = s.b0 * x + z1[l];
      z1[l] = (s.b1 * x - s.a1 * sum) + z2[l];
      z2[l] = s.b2 * x - s.a2 * sum;
      y[l] = sum;
    }
    z1 = z2 + lanes;
  }
}

void SosFilter::drop_overflow(std::size_t lane, double& y, Quality& q) noexcept {
  if (std::isfinite(y)) return;
  y = nan_value;
  q = merge(q, Quality(Verdict::bad, Quality::out_of_range));
  zero_lane(lane);
  add_cause(lane, Quality::out_of_range, now_ + 1 + settling_);
}

void SosFilter::zero_lane(std::size_t lane) noexcept {
  for (std::size_t i = lane; i < z_.size(); i += lanes_) z_[i] = 0.0;
}

void SosFilter::prime(std::size_t lane) noexcept {
  double* z = z_.data() + lane;
  for (const Steady& steady : steady_) {
    *z = steady.z1 * held_[lane];
    z += lanes_;
    *z = steady.z2 * held_[lane];
    z += lanes_;
  }
  primed_[lane] = 1;
  --unprimed_;
}

void SosFilter::add_cause(std::size_t lane, std::uint8_t reasons, std::uint64_t until) noexcept {
  const unsigned all = reasons | Quality::transient;
  for (std::size_t r = 0; r < reason_count; ++r)
    if ((all & (first_reason << r)) != 0) until_[r * lanes_ + lane] = until;
  calm_from_ = std::max(calm_from_, until);
}

Quality SosFilter::settling_quality(std::size_t lane) const noexcept {
  unsigned reasons = 0;
  for (std::size_t r = 0; r < reason_count; ++r)
    if (now_ < until_[r * lanes_ + lane]) reasons |= first_reason << r;
  if (reasons == 0) return Quality::good();
  return Quality(Verdict::suspect, static_cast<std::uint8_t>(reasons));
}

void SosFilter::flush_subnormal() noexcept {
  for (double& z : z_) z = std::abs(z) < smallest_state ? 0.0 : z;
}

void SosFilter::reset() noexcept {
  now_ = 0;
  calm_from_ = 0;
  std::ranges::fill(z_, 0.0);
  std::ranges::fill(held_, 0.0);
  std::ranges::fill(until_, 0);
  const bool steady = options_.initial == Initial::steady;
  std::ranges::fill(primed_, steady ? 0 : 1);
  unprimed_ = steady ? lanes_ : 0;
  if (!steady)
    for (std::size_t l = 0; l < lanes_; ++l) add_cause(l, Quality::transient, settling_);
}

void SosFilter::gap() noexcept {
  if (options_.gap == GapPolicy::reset) reset();
  for (std::size_t l = 0; l < lanes_; ++l) add_cause(l, Quality::transient, now_ + settling_);
}

void SosFilter::save_state(StateWriter& writer) const {
  writer.put(static_cast<std::uint64_t>(sos_.sections.size()));
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(now_);
  writer.put(calm_from_);
  writer.put(z_);
  writer.put(held_);
  writer.put(primed_);
  writer.put(until_);
}

void SosFilter::load_state(StateReader& reader) {
  std::uint64_t sections = 0;
  std::uint64_t lanes = 0;
  reader.get(sections);
  reader.get(lanes);
  if (sections != sos_.sections.size() || lanes != lanes_)
    throw Error(
        fmt::format("second-order sections: the state is of {} sections and {} lanes; needed is "
                    "one of {} and {}",
                    sections, lanes, sos_.sections.size(), lanes_));
  SosFilter loaded = *this;
  reader.get(loaded.now_);
  reader.get(loaded.calm_from_);
  reader.get(loaded.z_);
  reader.get(loaded.held_);
  reader.get(loaded.primed_);
  reader.get(loaded.until_);
  loaded.unprimed_ = static_cast<std::uint64_t>(std::ranges::count(loaded.primed_, 0));
  *this = std::move(loaded);
}

}  // namespace spillway
