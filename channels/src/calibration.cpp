#include "spillway/channels/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

void apply_step(const Linear& step, std::span<double> values) noexcept {
  for (double& v : values) v = step.slope * v + step.offset;
}

void apply_step(const Polynomial& step, std::span<double> values) noexcept {
  const std::span<const double> c = step.coefficients;
  if (c.size() == 1) {
    // Without a power of v in the sum, NaN would become a number.
    for (double& v : values) v = std::isnan(v) ? v : c[0];
    return;
  }
  for (double& v : values) {
    double sum = c.back();
    for (std::size_t i = c.size() - 1; i-- > 0;) sum = sum * v + c[i];
    v = sum;
  }
}

std::string describe_step(const Linear& step) {
  if (step.offset == 0.0) return fmt::format("{} x", step.slope);
  return fmt::format("{} x {} {}", step.slope, std::signbit(step.offset) ? '-' : '+',
                     std::abs(step.offset));
}

std::string describe_step(const Polynomial& step) {
  return fmt::format("polynomial of degree {}", step.coefficients.size() - 1);
}

bool valid(const Linear& step) { return std::isfinite(step.slope) && std::isfinite(step.offset); }

bool valid(const Polynomial& step) {
  return !step.coefficients.empty() &&
         std::ranges::all_of(step.coefficients, [](double c) { return std::isfinite(c); });
}

}  // namespace

void Calibration::apply(std::span<double> values) const noexcept {
  for (const CalibrationStep& step : steps)
    std::visit([&](const auto& s) { apply_step(s, values); }, step);
}

std::string describe(const Calibration& calibration) {
  if (calibration.is_identity()) return "identity";
  std::string text;
  for (const CalibrationStep& step : calibration.steps) {
    if (!text.empty()) text += ", then ";
    text += std::visit([](const auto& s) { return describe_step(s); }, step);
  }
  return text;
}

void check(const Calibration& calibration, const std::string& where) {
  for (const CalibrationStep& step : calibration.steps)
    if (!std::visit([](const auto& s) { return valid(s); }, step))
      throw Error(fmt::format("{}: calibration coefficients must be present and finite", where));
}

}  // namespace spillway
