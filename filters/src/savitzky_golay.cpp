#include "spillway/filters/savitzky_golay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "fir_core.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Long = long double;
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double most_inexact = 1e-13;

void check(const SavitzkyGolay& p, Hertz rate) {
  if (p.window == 0 || p.window > longest_savitzky_golay)
    throw Error(fmt::format("Savitzky-Golay: a window of {} samples; allowed are 1 to {}", p.window,
                            longest_savitzky_golay));
  if (p.align == Alignment::centred && p.window % 2 == 0)
    throw Error(
        fmt::format("Savitzky-Golay: a window of {} samples; centred it must be odd", p.window));
  if (p.order < 0 || p.order > highest_savitzky_golay ||
      static_cast<std::size_t>(p.order) >= p.window)
    throw Error(
        fmt::format("Savitzky-Golay: an order of {}; it must be 0 to {} and below the window, {}",
                    p.order, highest_savitzky_golay, p.window));
  if (p.derivative < 0 || p.derivative > p.order)
    throw Error(fmt::format("Savitzky-Golay: derivative {}; it must be 0 to the order, {}",
                            p.derivative, p.order));
  if (!(rate.value > 0.0 && std::isfinite(rate.value)))
    throw Error(fmt::format("Savitzky-Golay: a rate of {} Hz; it must be above 0", rate.value));
}

// Sample i of the window, oldest first, at -1 to 1.
Long position(std::size_t i, std::size_t window) {
  if (window == 1) return 0.0L;
  return (2.0L * static_cast<Long>(i) - static_cast<Long>(window - 1)) /
         static_cast<Long>(window - 1);
}

// Weights of the samples of a window, oldest first, for the derivative at `at`, by position.
// With the monic polynomials p[k + 1] = x p[k] - b[k] p[k - 1], orthogonal on the positions, the
// fitted polynomial is sum_k p[k] <p[k], x> / <p[k], p[k]>.
std::vector<Long> weights_by_position(const SavitzkyGolay& p, Long at) {
  const std::size_t n = p.window;
  const auto derivatives = static_cast<std::size_t>(p.derivative) + 1;
  std::vector<Long> now(n, 1.0L);        // p[k] at the samples
  std::vector<Long> before(n);           // p[k - 1]
  std::vector<Long> there(derivatives);  // the derivatives of p[k] at `at`
  std::vector<Long> there_before(derivatives);
  there[0] = 1.0L;
  Long square_before = 0.0L;
  std::vector<Long> weights(n);
  for (int k = 0;; ++k) {
    Long square = 0.0L;
    for (const Long v : now) square += v * v;
    for (std::size_t i = 0; i < n; ++i) weights[i] += now[i] / square * there.back();
    if (k == p.order) return weights;

    const Long b = k == 0 ? 0.0L : square / square_before;
    for (std::size_t i = 0; i < n; ++i) before[i] = position(i, n) * now[i] - b * before[i];
    for (std::size_t d = derivatives; d-- > 0;)
      there_before[d] = at * there[d] + (d == 0 ? 0.0L : static_cast<Long>(d) * there[d - 1]) -
                        b * there_before[d];
    std::swap(now, before);
    std::swap(there, there_before);
    square_before = square;
  }
}

// How far the derivatives of powers of the position are from those the weights give.
Long inexactness(const SavitzkyGolay& p, const std::vector<Long>& weights, Long at) {
  Long size = 0.0L;
  for (const Long w : weights) size += std::abs(w);
  Long worst = 0.0L;
  for (int power = 0; power <= p.order; ++power) {
    Long sum = 0.0L;
    for (std::size_t i = 0; i < weights.size(); ++i)
      sum += weights[i] * std::pow(position(i, p.window), static_cast<Long>(power));
    Long expected = 0.0L;
    if (power >= p.derivative) {
      expected = std::pow(at, static_cast<Long>(power - p.derivative));
      for (int d = 0; d < p.derivative; ++d) expected *= static_cast<Long>(power - d);
    }
    worst = std::max(worst, std::abs(sum - expected) / size);
  }
  return worst;
}

// Of the samples of a window, oldest first, for the polynomial at sample `at`.
std::vector<double> weights(const SavitzkyGolay& p, Hertz rate, std::size_t at) {
  const Long there = position(at, p.window);
  const std::vector<Long> by_position = weights_by_position(p, there);
  const Long inexact = inexactness(p, by_position, there);
  if (!(inexact <= static_cast<Long>(most_inexact)))
    throw Error(
        fmt::format("Savitzky-Golay: a window of {} and order {} can be had to {} only; a lower "
                    "order is needed, at most {} is allowed",
                    p.window, p.order, static_cast<double>(inexact), most_inexact));
  // A position of 1 is (window - 1) / 2 samples.
  const Long unit =
      p.window == 1 ? 1.0L : 2.0L * static_cast<Long>(rate.value) / static_cast<Long>(p.window - 1);
  const Long scale = std::pow(unit, static_cast<Long>(p.derivative));
  std::vector<double> made(p.window);
  for (std::size_t i = 0; i < p.window; ++i) {
    made[i] = static_cast<double>(by_position[i] * scale);
    if (!std::isfinite(made[i]))
      throw Error(
          fmt::format("Savitzky-Golay: derivative {} at {} Hz is beyond the range of numbers",
                      p.derivative, rate.value));
  }
  return made;
}

double sum_of(const std::vector<double>& weights, const double* x) {
  double sum = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) sum += weights[i] * x[i];
  return std::isfinite(sum) ? sum : nan_value;
}

}  // namespace

std::vector<double> design(const SavitzkyGolay& p, Hertz rate) {
  check(p, rate);
  std::vector<double> taps =
      weights(p, rate, p.align == Alignment::centred ? (p.window - 1) / 2 : p.window - 1);
  std::ranges::reverse(taps);
  return taps;
}

SavitzkyGolayFilter::SavitzkyGolayFilter(const SavitzkyGolay& parameters, Hertz rate,
                                         std::size_t lanes)
    : parameters_(parameters),
      core_(std::make_unique<FirCore>(design(parameters, rate), lanes, longest_savitzky_golay,
                                      parameters.gap, FirWarmUp::nan)) {}
SavitzkyGolayFilter::SavitzkyGolayFilter(const SavitzkyGolayFilter& other)
    : parameters_(other.parameters_), core_(std::make_unique<FirCore>(*other.core_)) {}
SavitzkyGolayFilter::SavitzkyGolayFilter(SavitzkyGolayFilter&&) noexcept = default;
SavitzkyGolayFilter& SavitzkyGolayFilter::operator=(const SavitzkyGolayFilter& other) {
  return *this = SavitzkyGolayFilter(other);
}
SavitzkyGolayFilter& SavitzkyGolayFilter::operator=(SavitzkyGolayFilter&&) noexcept = default;
SavitzkyGolayFilter::~SavitzkyGolayFilter() = default;

std::size_t SavitzkyGolayFilter::process(ConstFrames in, Frames out) noexcept {
  return core_->process(in, out);
}
void SavitzkyGolayFilter::reset() noexcept { core_->reset(); }
void SavitzkyGolayFilter::gap() noexcept { core_->gap(); }
void SavitzkyGolayFilter::take_over(SavitzkyGolayFilter& before) noexcept {
  core_->take_over(*before.core_);
}
double SavitzkyGolayFilter::delay() const noexcept {
  const bool late =
      parameters_.align == Alignment::centred || parameters_.order == parameters_.derivative;
  return late ? static_cast<double>(parameters_.window - 1) / 2.0 : 0.0;
}
void SavitzkyGolayFilter::save_state(StateWriter& writer) const { core_->save_state(writer); }
void SavitzkyGolayFilter::load_state(StateReader& reader) { core_->load_state(reader); }
std::size_t SavitzkyGolayFilter::lanes() const noexcept { return core_->lanes(); }

std::vector<double> savitzky_golay_centred(std::span<const double> values,
                                           const SavitzkyGolay& parameters, Hertz rate) {
  SavitzkyGolay p = parameters;
  p.align = Alignment::centred;
  check(p, rate);
  if (values.size() < p.window)
    throw Error(fmt::format("Savitzky-Golay: {} values; the window of {} needs as many",
                            values.size(), p.window));
  const std::size_t half = (p.window - 1) / 2;
  const std::size_t end = values.size() - half;
  std::vector<double> fitted(values.size());
  const std::vector<double> middle = weights(p, rate, half);
  for (std::size_t k = half; k < end; ++k) fitted[k] = sum_of(middle, &values[k - half]);
  for (std::size_t i = 0; i < half; ++i) {
    fitted[i] = sum_of(weights(p, rate, i), values.data());
    fitted[end + i] = sum_of(weights(p, rate, half + 1 + i), &values[values.size() - p.window]);
  }
  return fitted;
}

}  // namespace spillway
