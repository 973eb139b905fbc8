// A plot of a signal in the terminal, in Braille dots.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace spillway::apps {

// The least and the greatest value of a stretch of samples; NaN, NaN for none.
struct Extremes {
  double low;
  double high;
};

// Gathers samples into `columns` stretches of equal length, so that a plot shows
// every peak however many samples there are. NaN is left out.
class Envelope {
 public:
  Envelope(std::size_t columns, std::uint64_t samples);
  // The next samples, in order.
  void add(std::span<const double> values);
  [[nodiscard]] const std::vector<Extremes>& columns() const noexcept { return columns_; }

 private:
  std::vector<Extremes> columns_;
  std::uint64_t samples_;
  std::uint64_t seen_ = 0;
};

// Braille dots, two columns and four rows a character: rows x characters, row by row, each the
// low byte of the character from U+2800 on. Values beyond [low, high], low < high, are drawn at the
// edge.
[[nodiscard]] std::vector<std::uint8_t> dots_of(std::span<const Extremes> columns, double low,
                                                double high, std::size_t rows);
// The character, in UTF-8.
[[nodiscard]] std::string braille(std::uint8_t dots);

// `rows` lines of text, two columns of the envelope a character, with the value axis at the left.
[[nodiscard]] std::string plot(const Envelope& envelope, std::size_t rows);

}  // namespace spillway::apps
