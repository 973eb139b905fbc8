#include "spillway/channels/calibration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

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

bool is_outside(const Table& table, double v) noexcept {
  return v < table.x.front() || v > table.x.back();
}

double look_up(const Table& table, double v) noexcept {
  const std::vector<double>& x = table.x;
  const std::vector<double>& y = table.y;
  if (std::isnan(v)) return v;
  if (v == x.back()) return y.back();
  if (is_outside(table, v) && table.outside != Outside::extrapolate) {
    if (table.outside == Outside::nan) return std::numeric_limits<double>::quiet_NaN();
    return v < x.front() ? y.front() : y.back();
  }
  // Of the points that begin a line, the last one at or below v.
  const auto next = std::upper_bound(x.begin() + 1, x.end() - 1, v);
  const auto i = static_cast<std::size_t>(next - x.begin()) - 1;
  return y[i] + (v - x[i]) / (x[i + 1] - x[i]) * (y[i + 1] - y[i]);
}

void apply_step(const Table& step, std::span<double> values) noexcept {
  for (double& v : values) v = look_up(step, v);
}

std::string describe_step(const Linear& step) {
  if (step.offset == 0.0) return fmt::format("{} x", step.slope);
  return fmt::format("{} x {} {}", step.slope, std::signbit(step.offset) ? '-' : '+',
                     std::abs(step.offset));
}

std::string describe_step(const Polynomial& step) {
  return fmt::format("polynomial of degree {}", step.coefficients.size() - 1);
}

std::string describe_step(const Table& step) {
  return fmt::format("table of {} points", step.x.size());
}

constexpr const char* no_coefficients = "calibration coefficients must be present and finite";

// What is wrong with a step; empty: nothing.
std::string problem(const Linear& step) {
  return std::isfinite(step.slope) && std::isfinite(step.offset) ? "" : no_coefficients;
}

std::string problem(const Polynomial& step) {
  const bool finite =
      std::ranges::all_of(step.coefficients, [](double c) { return std::isfinite(c); });
  return finite && !step.coefficients.empty() ? "" : no_coefficients;
}

std::string problem(const Table& step) {
  const auto& [x, y, outside] = step;
  if (x.size() != y.size())
    return fmt::format("calibration table: {} x and {} y; as many of both are needed", x.size(),
                       y.size());
  if (x.size() < 2)
    return fmt::format("calibration table: the number of points is {}; at least 2 are needed",
                       x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    for (const auto& [name, value] : {std::pair('x', x[i]), std::pair('y', y[i])})
      if (!std::isfinite(value))
        return fmt::format("calibration table: {}[{}] is {}; it must be finite", name, i, value);
    if (i == 0) continue;
    if (!(x[i] > x[i - 1]))
      return fmt::format("calibration table: x[{}] = {} is not above x[{}] = {}", i, x[i], i - 1,
                         x[i - 1]);
    if (!std::isfinite(x[i] - x[i - 1]) || !std::isfinite(y[i] - y[i - 1]))
      return fmt::format("calibration table: points {} and {} are too far apart", i - 1, i);
  }
  if (outside > Outside::nan)
    return fmt::format("calibration table: outside is {}; allowed are 0 to {}",
                       static_cast<int>(outside), static_cast<int>(Outside::nan));
  return {};
}

}  // namespace

void Calibration::apply(std::span<double> values) const noexcept {
  for (const CalibrationStep& step : steps)
    std::visit([&](const auto& s) { apply_step(s, values); }, step);
}

void Calibration::apply(std::span<double> values, std::span<Quality> quality) const noexcept {
  for (const CalibrationStep& step : steps) {
    if (const auto* table = std::get_if<Table>(&step))
      for (std::size_t i = 0; i < values.size(); ++i)
        if (is_outside(*table, values[i]))
          quality[i] = merge(quality[i], Quality(Verdict::suspect, Quality::calibration));
    std::visit([&](const auto& s) { apply_step(s, values); }, step);
  }
  for (std::size_t i = 0; i < values.size(); ++i)
    if (std::isnan(values[i]))
      quality[i] = merge(quality[i], Quality(Verdict::bad, Quality::missing));
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
  for (const CalibrationStep& step : calibration.steps) {
    const std::string wrong = std::visit([](const auto& s) { return problem(s); }, step);
    if (!wrong.empty()) throw Error(fmt::format("{}: {}", where, wrong));
  }
}

}  // namespace spillway
