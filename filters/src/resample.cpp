#include "spillway/filters/resample.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>

#include "fir_design.hpp"
#include "polyphase.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/fir_bank.hpp"

namespace spillway {

namespace {

void check_factor(std::uint64_t factor, std::string_view what) {
  if (factor == 0 || factor > max_rate_factor)
    throw Error(fmt::format("{} of {}; allowed are 1 to {}", what, factor, max_rate_factor));
}

void check_coefficients(const std::vector<double>& coefficients, std::size_t taps,
                        std::string_view what) {
  if (coefficients.size() > max_fir_taps)
    throw Error(fmt::format("{}: {} coefficients; allowed are 1 to {}", what, coefficients.size(),
                            max_fir_taps));
  for (std::size_t i = 0; i < coefficients.size(); ++i)
    if (!std::isfinite(coefficients[i]))
      throw Error(
          fmt::format("{}: coefficient {} is {}; all must be finite", what, i, coefficients[i]));
  if (taps != 0 && taps != coefficients.size())
    throw Error(fmt::format("{}: {} taps beside {} coefficients; leave one out", what, taps,
                            coefficients.size()));
}

// Without a common divisor.
Resample reduced(Resample p) {
  if (p.up > 0 && p.down > 0) {
    const std::uint64_t divisor = std::gcd(p.up, p.down);
    p.up /= divisor;
    p.down /= divisor;
  }
  check_factor(p.up, "resample: an up");
  check_factor(p.down, "resample: a down");
  return p;
}

}  // namespace

std::vector<double> design(const Decimate& p) {
  constexpr std::string_view what = "decimate";
  check_factor(p.factor, "decimate: a factor");
  if (p.phase >= p.factor)
    throw Error(
        fmt::format("decimate: a phase of {}; it must be below the factor, {}", p.phase, p.factor));
  if (!(p.cutoff >= 0.0 && p.cutoff < 1.0))
    throw Error(fmt::format(
        "decimate: a cut-off of {} of half the rate; it must be 0 (1 / factor) or below 1",
        p.cutoff));
  check(p.window);
  if (!p.coefficients.empty()) {
    check_coefficients(p.coefficients, p.taps, what);
    if (p.cutoff != 0.0)
      throw Error(
          fmt::format("decimate: a cut-off of {} beside coefficients; leave one out", p.cutoff));
    return p.coefficients;
  }
  if (p.taps == 1 || (p.taps == 0 && p.factor == 1)) return {1.0};
  const std::size_t taps = p.taps == 0 ? 20 * p.factor + 1 : p.taps;
  const double cutoff = p.cutoff == 0.0 ? 1.0 / static_cast<double>(p.factor) : p.cutoff;
  return design_low_pass(taps, cutoff, p.window, what);
}

std::vector<double> design(const Resample& parameters) {
  constexpr std::string_view what = "resample";
  const Resample p = reduced(parameters);
  check(p.window);
  if (!p.coefficients.empty()) {
    check_coefficients(p.coefficients, p.taps, what);
    return p.coefficients;
  }
  const std::uint64_t larger = std::max(p.up, p.down);
  if (p.taps == 0 && larger == 1) return {1.0};
  const std::size_t taps = p.taps == 0 ? 20 * larger + 1 : p.taps;
  std::vector<double> h = design_low_pass(taps, 1.0 / static_cast<double>(larger), p.window, what);
  for (double& tap : h) tap *= static_cast<double>(p.up);
  return h;
}

DecimateFilter::DecimateFilter(const Decimate& parameters, std::size_t lanes)
    : parameters_(parameters),
      polyphase_(std::make_unique<Polyphase>(
          design(parameters), Polyphase::Ratio{1, parameters.factor, parameters.phase},
          parameters.gap, lanes)) {}
DecimateFilter::DecimateFilter(const DecimateFilter& other)
    : parameters_(other.parameters_), polyphase_(std::make_unique<Polyphase>(*other.polyphase_)) {}
DecimateFilter::DecimateFilter(DecimateFilter&&) noexcept = default;
DecimateFilter& DecimateFilter::operator=(const DecimateFilter& other) {
  return *this = DecimateFilter(other);
}
DecimateFilter& DecimateFilter::operator=(DecimateFilter&&) noexcept = default;
DecimateFilter::~DecimateFilter() = default;

Made DecimateFilter::process(ConstFrames in, Frames out) noexcept {
  return polyphase_->process(in, out);
}
void DecimateFilter::reset() noexcept { polyphase_->reset(); }
void DecimateFilter::gap() noexcept { polyphase_->gap(); }
void DecimateFilter::take_over(DecimateFilter& before) noexcept {
  polyphase_->take_over(*before.polyphase_);
}
double DecimateFilter::delay() const noexcept { return polyphase_->delay(); }
std::uint64_t DecimateFilter::outputs_before(std::uint64_t input_number) const noexcept {
  return polyphase_->outputs_before(input_number);
}
std::size_t DecimateFilter::most_frames(std::size_t frames) const noexcept {
  return polyphase_->most_frames(frames);
}
void DecimateFilter::save_state(StateWriter& writer) const { polyphase_->save_state(writer); }
void DecimateFilter::load_state(StateReader& reader) { polyphase_->load_state(reader); }
std::size_t DecimateFilter::lanes() const noexcept { return polyphase_->lanes(); }

ResampleFilter::ResampleFilter(const Resample& parameters, std::size_t lanes)
    : parameters_(parameters),
      polyphase_(std::make_unique<Polyphase>(
          design(parameters), Polyphase::Ratio{reduced(parameters).up, reduced(parameters).down, 0},
          parameters.gap, lanes)) {}
ResampleFilter::ResampleFilter(const ResampleFilter& other)
    : parameters_(other.parameters_), polyphase_(std::make_unique<Polyphase>(*other.polyphase_)) {}
ResampleFilter::ResampleFilter(ResampleFilter&&) noexcept = default;
ResampleFilter& ResampleFilter::operator=(const ResampleFilter& other) {
  return *this = ResampleFilter(other);
}
ResampleFilter& ResampleFilter::operator=(ResampleFilter&&) noexcept = default;
ResampleFilter::~ResampleFilter() = default;

Made ResampleFilter::process(ConstFrames in, Frames out) noexcept {
  return polyphase_->process(in, out);
}
void ResampleFilter::reset() noexcept { polyphase_->reset(); }
void ResampleFilter::gap() noexcept { polyphase_->gap(); }
void ResampleFilter::take_over(ResampleFilter& before) noexcept {
  polyphase_->take_over(*before.polyphase_);
}
double ResampleFilter::delay() const noexcept { return polyphase_->delay(); }
std::uint64_t ResampleFilter::outputs_before(std::uint64_t input_number) const noexcept {
  return polyphase_->outputs_before(input_number);
}
std::size_t ResampleFilter::most_frames(std::size_t frames) const noexcept {
  return polyphase_->most_frames(frames);
}
void ResampleFilter::save_state(StateWriter& writer) const { polyphase_->save_state(writer); }
void ResampleFilter::load_state(StateReader& reader) { polyphase_->load_state(reader); }
std::size_t ResampleFilter::lanes() const noexcept { return polyphase_->lanes(); }

std::vector<double> resample(std::span<const double> values, const Resample& parameters) {
  const std::vector<double> taps = design(parameters);
  if (taps.size() % 2 == 0)
    throw Error(
        fmt::format("resample: {} taps; without delay it must be an odd number", taps.size()));
  const Resample p = reduced(parameters);
  const std::uint64_t middle = (taps.size() - 1) / 2;
  Polyphase polyphase(taps, {p.up, p.down, middle}, p.gap, 1);

  // The last outputs need the inputs behind the end, which are 0.
  std::vector<double> input(values.begin(), values.end());
  input.resize(values.size() + middle / p.up + 1);
  const std::vector<Quality> good(input.size());
  std::vector<double> output(polyphase.most_frames(input.size()));
  std::vector<Quality> quality(output.size());
  polyphase.process({input, good}, {output, quality});
  output.resize((values.size() * p.up + p.down - 1) / p.down);
  return output;
}

}  // namespace spillway
