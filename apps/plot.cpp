#include "plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace spillway::apps {

namespace {
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
}

Envelope::Envelope(std::size_t columns, std::uint64_t samples)
    : columns_(columns, {nan_value, nan_value}), samples_(std::max<std::uint64_t>(samples, 1)) {}

void Envelope::add(std::span<const double> values) {
  for (const double v : values) {
    const auto column =
        static_cast<std::size_t>(static_cast<double>(seen_++) / static_cast<double>(samples_) *
                                 static_cast<double>(columns_.size()));
    if (std::isnan(v) || column >= columns_.size()) continue;
    Extremes& e = columns_[column];
    e.low = std::isnan(e.low) ? v : std::min(e.low, v);
    e.high = std::isnan(e.high) ? v : std::max(e.high, v);
  }
}

std::vector<std::uint8_t> dots_of(std::span<const Extremes> columns, double low, double high,
                                  std::size_t rows) {
  const std::size_t width = (columns.size() + 1) / 2;
  const auto lowest_dot = static_cast<double>(rows * 4 - 1);
  std::vector<std::uint8_t> cells(rows * width, 0);
  // The dots of a Braille cell, by column and row from the top (Unicode, U+2800).
  constexpr std::uint8_t bits[2][4]{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};
  const auto dot_of = [&](double v) {
    const double clamped = std::clamp(v, low, high);
    return static_cast<std::size_t>(std::lround((high - clamped) / (high - low) * lowest_dot));
  };
  for (std::size_t x = 0; x < columns.size(); ++x) {
    const Extremes& e = columns[x];
    if (std::isnan(e.low)) continue;
    for (std::size_t y = dot_of(e.high); y <= dot_of(e.low); ++y)
      cells[y / 4 * width + x / 2] =
          static_cast<std::uint8_t>(cells[y / 4 * width + x / 2] | bits[x % 2][y % 4]);
  }
  return cells;
}

std::string braille(std::uint8_t dots) {
  return {static_cast<char>(0xE2), static_cast<char>(0xA0 | dots >> 6),
          static_cast<char>(0x80 | (dots & 0x3F))};
}

std::string plot(const Envelope& envelope, std::size_t rows) {
  double low = std::numeric_limits<double>::infinity();
  double high = -low;
  for (const Extremes& e : envelope.columns()) {
    if (std::isnan(e.low)) continue;
    low = std::min(low, e.low);
    high = std::max(high, e.high);
  }
  if (low > high) return "  (nothing to plot)\n";
  if (low == high) {
    low -= 1.0;
    high += 1.0;
  }
  const std::vector<std::uint8_t> cells = dots_of(envelope.columns(), low, high, rows);
  const std::size_t width = cells.size() / rows;
  std::string text;
  for (std::size_t row = 0; row < rows; ++row) {
    std::string label;
    if (row == 0)
      label = fmt::format("{:.4g}", high);
    else if (row == rows - 1)
      label = fmt::format("{:.4g}", low);
    text += fmt::format("{:>10} ┤", label);
    for (std::size_t x = 0; x < width; ++x) text += braille(cells[row * width + x]);
    text += '\n';
  }
  return text;
}

}  // namespace spillway::apps
