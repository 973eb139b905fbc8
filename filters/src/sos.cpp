#include "spillway/filters/sos.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr std::uint64_t longest_simulation = std::uint64_t{1} << 20;
// How many frames go through the bank at once.
constexpr std::size_t run_of(std::size_t lanes) { return std::max<std::size_t>(64, 256 / lanes); }
constexpr Quality bad_missing(Verdict::bad, Quality::missing);

constexpr Quality bad_out_of_range(Verdict::bad, Quality::out_of_range);
constexpr Quality unsettled(Verdict::suspect, Quality::transient);

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

std::vector<double> impulse_response(const Sos& sos, std::size_t samples) {
  std::vector<double> response(samples);
  if (samples > 0) response[0] = 1.0;
  SosBank<double>(sos, Form::df2t, 1).process(response.data(), response.data(), samples);
  return response;
}

double sum_of_moduli(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double v : values) sum += std::abs(v);
  return sum;
}

// From the pole radii, as settling_samples() describes.
std::uint64_t settling_bound(const Sos& sos, double level) {
  double slowest = std::numeric_limits<double>::infinity();
  double gain = std::max(std::abs(response_at_angle(sos, 0.0)),
                         std::abs(response_at_angle(sos, std::numbers::pi)));
  // All of these may be zeros. The first samples can't be: H has no more zeros than that.
  gain = std::max(gain, sum_of_moduli(impulse_response(sos, 2 * sos.sections.size() + 1)));
  std::vector<Poles> poles;
  for (const Sos::Section& s : sos.sections) {
    poles.push_back(poles_of(s));
    slowest = std::min({slowest, poles.back().decay[0], poles.back().decay[1]});
    gain = std::max(gain, std::abs(response_at_angle(sos, poles.back().angle[0])));
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
    for (std::size_t i = 0; i < poles.size(); ++i) {
      const Sos::Section& s = sos.sections[i];
      log_bound += std::log(std::abs(s.b0) + (std::abs(s.b1) + std::abs(s.b2) * t) * t);
      for (const double decay : poles[i].decay) log_bound -= std::log(-std::expm1(log_t - decay));
    }
    best = std::min(best, log_bound / log_t);
  }
  return best > 0.0 ? static_cast<std::uint64_t>(std::ceil(best)) : 0;
}

double dc_gain(const Sos::Section& s) { return ((s.b0 + s.b1) + s.b2) / ((1.0 + s.a1) + s.a2); }

// Of b0 + b1/z + b2/z^2 and 1 + a1/z + a2/z^2, at z = 1 or -1: whether one section can have the
// past of the other, as SosFilter::take_over() tells.
bool are_near_at(const Sos::Section& then, const Sos::Section& now, double z) noexcept {
  constexpr double least_distance = 1.0 / 16.0;
  constexpr double most_gain = 4.0;
  constexpr double rounding = 1e-9;
  struct At {
    double numerator;
    double denominator;
    bool is_zero;
  };
  const auto at = [z](const Sos::Section& s) {
    const double size = std::abs(s.b0) + std::abs(s.b1) + std::abs(s.b2);
    const double numerator = std::abs((s.b0 + s.b2) + z * s.b1);
    return At{numerator, (1.0 + z * s.a1) + s.a2, numerator <= rounding * size};
  };
  const At a = at(then);
  const At b = at(now);
  if (b.denominator < least_distance * a.denominator || a.is_zero != b.is_zero) return false;
  if (a.is_zero) return true;
  const double gain_then = a.numerator / a.denominator;
  const double gain_now = b.numerator / b.denominator;
  return gain_now <= most_gain * gain_then && gain_then <= most_gain * gain_now;
}
bool are_near(const Sos::Section& then, const Sos::Section& now) noexcept {
  return are_near_at(then, now, 1.0) && are_near_at(then, now, -1.0);
}

// The last two values of what goes into a section, or comes out.
struct Past {
  double last;
  double before;
};

// How far an output found in the state may be from the one that came, as a part of both ends.
constexpr double worst_past = 1e-6;

// The last two outputs of a section with the state z, which is
//     z1 = (b1 x[k] + b2 x[k-1]) - a1 y[k] - a2 y[k-1],   z2 = b2 x[k] - a2 y[k].
// A section of first order has neither b2 nor a2; it has y[k] in z1, and y[k-1] in
//     y[k] = (b0 x[k] + b1 x[k-1]) - a1 y[k-1].
// None if its poles are so close to 0 that the state does not tell.
std::optional<Past> outputs_of(const Sos::Section& s, const SosBank<double>::Memory& z,
                               const Past& x) noexcept {
  constexpr double least_a2 = 1e-5;  // some cube root of the rounding error, squared in y[k-1]
  constexpr double least_a1 = 1e-2;
  if (std::abs(s.a2) >= least_a2) {
    const double last = (s.b2 * x.last - z.z2) / s.a2;
    return Past{last, (((s.b1 * x.last + s.b2 * x.before) - s.a1 * last) - z.z1) / s.a2};
  }
  const bool first_order = std::abs(s.b2) <= least_a2 * (std::abs(s.b0) + std::abs(s.b1));
  if (!first_order || std::abs(s.a1) < least_a1) return std::nullopt;
  const double last = (s.b1 * x.last - z.z1) / s.a1;
  return Past{last, ((s.b0 * x.last + s.b1 * x.before) - last) / s.a1};
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
  const double sum = sum_of_moduli(h);
  double tail = sum * level / 100.0;
  std::size_t n = h.size();
  while (n > 0 && (tail += std::abs(h[n - 1])) <= level * sum) --n;
  return n;
}

SosFilter::SosFilter(Sos sos, const SosOptions& options, std::size_t lanes)
    : sos_(std::move(sos)),
      options_(options),
      lanes_(lanes),
      bank_(sos_, options.form, lanes),
      carried_(lanes),
      primed_(lanes),
      held_(lanes),
      last_input_(lanes),
      input_before_(lanes),
      last_output_(lanes),
      before_(bank_.state()),
      input_(run_of(lanes) * lanes),
      lost_(lanes) {
  if (options.nan != NanPolicy::hold && options.nan != NanPolicy::reset)
    throw Error("second-order sections: the NaN policy must be hold or reset");
  settling_ = settling_samples(sos_, options.settling_level);
  delay_ = dc_group_delay(sos_);
  reset();
}

std::size_t SosFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0, n = 0; f < frames; f += n) {
    n = std::min(frames - f, run_of(lanes_));
    const double* const x = in.values.data() + f * lanes_;
    double* const y = out.values.data() + f * lanes_;
    const std::span q_in = in.quality.subspan(f * lanes_, n * lanes_);
    Quality* const q_out = out.quality.data() + f * lanes_;
    if (run_bank(x, y, n)) {
      put_qualities(q_in, q_out);
    } else {
      for (std::size_t row = 0; row < n * lanes_; row += lanes_)
        frame(x + row, q_in.data() + row, y + row, q_out + row);
    }
  }
  return frames;
}

// All at once. False, and nothing is changed, if a lane waits for its first value
// or an output is not finite: an input that is not finite makes one, too.
bool SosFilter::run_bank(const double* x, double* y, std::size_t frames) noexcept {
  if (unprimed_ > 0) return false;
  const std::size_t count = frames * lanes_;
  const bool in_place = x == y;
  if (in_place) std::copy_n(x, count, input_.data());
  before_ = bank_.state();
  bank_.process(x, y, frames);
  if (!all_finite({y, count})) {
    bank_.state() = before_;
    if (in_place) std::copy_n(input_.data(), count, y);
    return false;
  }
  const double* const input = in_place ? input_.data() : x;
  const double* const last = input + count - lanes_;
  std::copy_n(frames > 1 ? last - lanes_ : last_input_.data(), lanes_, input_before_.data());
  std::copy_n(last, lanes_, last_input_.data());
  std::copy_n(y + count - lanes_, lanes_, last_output_.data());
  std::copy_n(last, lanes_, held_.data());
  return true;
}

void SosFilter::put_qualities(std::span<const Quality> in, Quality* out) noexcept {
  if (carried_.is_calm() && all_good(in)) {
    std::fill_n(out, in.size(), Quality::good());
    carried_.advance(in.size() / lanes_);
    return;
  }
  for (std::size_t row = 0; row < in.size(); row += lanes_) {
    for (std::size_t l = 0; l < lanes_; ++l) out[row + l] = quality_of(l, in[row + l]);
    carried_.advance(1);
  }
}

// Of the current output; later ones carry what is wrong with the input.
Quality SosFilter::quality_of(std::size_t lane, Quality input) noexcept {
  const Quality output = merge(input, carried_.at(lane));
  carried_.note(lane, quality_of_remembered(input), 1 + settling_);
  return output;
}

void SosFilter::frame(const double* x, const Quality* q_in, double* y, Quality* q_out) noexcept {
  for (std::size_t l = 0; l < lanes_; ++l) {
    const bool valid = std::isfinite(x[l]);
    q_out[l] = quality_of(l, valid ? q_in[l] : merge(q_in[l], bad_missing));
    if (valid) {
      held_[l] = x[l];
      if (primed_[l] == 0) {
        bank_.prime(l, x[l]);
        last_input_[l] = x[l];
        primed_[l] = 1;
        --unprimed_;
      }
    }
    lost_[l] = !valid && options_.nan == NanPolicy::reset ? 1 : 0;
    y[l] = held_[l];
    input_before_[l] = std::exchange(last_input_[l], held_[l]);
  }
  bank_.process(y, y, 1);
  for (std::size_t l = 0; l < lanes_; ++l) {
    const bool overflow = lost_[l] == 0 && !std::isfinite(y[l]);
    if (overflow) {
      q_out[l] = merge(q_out[l], bad_out_of_range);
      carried_.note(l, quality_of_remembered(bad_out_of_range), 1 + settling_);
    }
    if (overflow || lost_[l] != 0) {
      y[l] = nan_value;
      bank_.zero(l);
      last_input_[l] = input_before_[l] = 0.0;
    }
    last_output_[l] = overflow || lost_[l] != 0 ? 0.0 : y[l];
  }
  carried_.advance(1);
}

void SosFilter::reset() noexcept {
  bank_.reset();
  carried_.reset();
  for (auto* values : {&held_, &last_input_, &input_before_, &last_output_})
    std::ranges::fill(*values, 0.0);
  const bool steady = options_.initial == Initial::steady;
  std::ranges::fill(primed_, steady ? 0 : 1);
  unprimed_ = steady ? lanes_ : 0;
  if (!steady) carried_.note_all(unsettled, settling_);
}

void SosFilter::gap() noexcept {
  if (options_.gap == GapPolicy::reset) reset();
  carried_.note_all(unsettled, settling_);
}

void SosFilter::take_over(SosFilter& before) noexcept {
  const auto longer = static_cast<std::int64_t>(settling_) -
                      static_cast<std::int64_t>(before.settling_);  // both far below 2^63
  carried_.take_over(before.carried_, std::max<std::int64_t>(longer, 0));
  if (options_.initial == Initial::steady) {
    primed_.swap(before.primed_);
    unprimed_ = before.unprimed_;
  }
  held_.swap(before.held_);
  last_input_.swap(before.last_input_);
  input_before_.swap(before.input_before_);
  last_output_.swap(before.last_output_);

  if (sos_ != before.sos_) {
    carried_.note_all(unsettled, settling_);
    const bool near = std::ranges::equal(before.sos_.sections, sos_.sections, are_near);
    for (std::size_t l = 0; l < lanes_; ++l)
      if (!near || !go_on(before, l)) start_at(l, last_input_[l], last_output_[l]);
  } else if (options_.form == before.options_.form) {
    std::swap(bank_.state(), before.bank_.state());
  } else {
    for (std::size_t l = 0; l < lanes_; ++l)
      for (std::size_t s = 0; s < sos_.sections.size(); ++s)
        bank_.set_memory(l, s, before.bank_.memory(l, s));
  }
}

// Each section with the past of the one before it. False, and the lane's state is anything, if
// that can't be found.
bool SosFilter::go_on(const SosFilter& before, std::size_t lane) noexcept {
  Past x{last_input_[lane], input_before_[lane]};
  for (std::size_t s = 0; s < sos_.sections.size(); ++s) {
    const Sos::Section& then = before.sos_.sections[s];
    const Sos::Section& now = sos_.sections[s];
    SosBank<double>::Memory z = before.bank_.memory(lane, s);
    std::optional<Past> y = outputs_of(then, z, x);
    if (!y) return false;
    if (s + 1 == sos_.sections.size()) {
      // What came out is known: a check on what was found, and better.
      const double off = std::abs(y->last - last_output_[lane]);
      if (!(off <= worst_past * (std::abs(x.last) + std::abs(last_output_[lane])))) return false;
      y->last = last_output_[lane];
    }
    // Only what differs is added: what errors y has count no more than that.
    z.z1 += ((now.b1 - then.b1) * x.last + (now.b2 - then.b2) * x.before) -
            ((now.a1 - then.a1) * y->last + (now.a2 - then.a2) * y->before);
    z.z2 += (now.b2 - then.b2) * x.last - (now.a2 - then.a2) * y->last;
    if (!std::isfinite(z.z1) || !std::isfinite(z.z2)) return false;
    bank_.set_memory(lane, s, z);
    x = *y;
  }
  return true;
}

// As if `input` had been there for ever, and `output` had come out for as long; from zero where
// that is out of range.
void SosFilter::start_at(std::size_t lane, double input, double output) noexcept {
  bank_.prime(lane, input);
  for (const Sos::Section& s : sos_.sections) input *= dc_gain(s);
  const std::size_t last = sos_.sections.size() - 1;
  const Sos::Section& c = sos_.sections[last];
  SosBank<double>::Memory z = bank_.memory(lane, last);
  const double off = output - input;
  z.z1 -= (c.a1 + c.a2) * off;
  z.z2 -= c.a2 * off;
  bank_.set_memory(lane, last, z);
  for (std::size_t s = 0; s <= last; ++s) {
    z = bank_.memory(lane, s);
    if (!std::isfinite(z.z1) || !std::isfinite(z.z2)) return bank_.zero(lane);
  }
}

void SosFilter::save_state(StateWriter& writer) const {
  writer.put(static_cast<std::uint64_t>(sos_.sections.size()));
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(bank_.state().frames);
  writer.put(bank_.state().values);
  for (const auto* values : {&held_, &last_input_, &input_before_, &last_output_})
    writer.put(*values);
  writer.put(primed_);
  carried_.save_state(writer);
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
  reader.get(loaded.bank_.state().frames);
  reader.get(loaded.bank_.state().values);
  for (auto* values :
       {&loaded.held_, &loaded.last_input_, &loaded.input_before_, &loaded.last_output_})
    reader.get(*values);
  reader.get(loaded.primed_);
  loaded.carried_.load_state(reader);
  loaded.unprimed_ = static_cast<std::uint64_t>(std::ranges::count(loaded.primed_, 0));
  *this = std::move(loaded);
}

}  // namespace spillway
