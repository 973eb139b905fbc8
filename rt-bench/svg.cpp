#include "svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace spillway::bench {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  return out;
}

Svg::Svg(double width, std::string_view description) : width_(width), description_(description) {}

void Svg::text(double x, double y, std::string_view text, std::string_view style, Anchor anchor) {
  constexpr std::array names{"start", "middle", "end"};
  body_ +=
      fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n", x,
                  y, style, names[static_cast<std::size_t>(anchor)], escaped(text));
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view style) {
  body_ +=
      fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n",
                  x1, y1, x2, y2, style);
}

void Svg::circle(double x, double y, double radius, std::string_view style, std::string_view hint) {
  body_ += fmt::format(
      "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" class=\"{}\"><title>{}</title></circle>\n",
      x, y, radius, style, escaped(hint));
}

void Svg::path(std::string_view commands, std::string_view style) {
  body_ += fmt::format("<path d=\"{}\" class=\"{}\"/>\n", commands, style);
}

std::string Svg::finish(double height) const {
  return fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n{}</svg>\n", width_,
      height, escaped(description_), body_);
}

Axis::Axis(double low, double high, double left, double right, bool logarithmic)
    : low_(logarithmic ? low : 0.0),
      high_(std::max(high, low * 1.0001)),
      left_(left),
      right_(right),
      logarithmic_(logarithmic) {}

double Axis::at(double value) const noexcept {
  const double v = std::clamp(value, low_, high_);
  const double share =
      logarithmic_ ? std::log(v / low_) / std::log(high_ / low_) : (v - low_) / (high_ - low_);
  return left_ + share * (right_ - left_);
}

double Axis::value(double pixel) const noexcept {
  const double share = (pixel - left_) / (right_ - left_);
  return logarithmic_ ? low_ * std::pow(high_ / low_, share) : low_ + share * (high_ - low_);
}

void Axis::draw(Svg& svg, double top, double bottom, std::string (*label)(double)) const {
  // The more important ones first: they get the labels where there is no room for all.
  std::vector<double> ticks;
  if (logarithmic_) {
    const double decades = std::log10(high_ / low_);
    for (const double m : {1.0, 2.0, 5.0}) {
      if (m > 1.0 && decades >= 3.0) break;
      for (double d = std::floor(std::log10(low_)); d <= std::log10(high_); ++d) {
        const double v = m * std::pow(10.0, d);
        if (v >= low_ * 0.9999 && v <= high_ * 1.0001) ticks.push_back(v);
      }
    }
  } else {
    // Four to ten steps of 1, 2 or 5 times a power of ten.
    const double power = std::pow(10.0, std::floor(std::log10(high_)));
    const double lead = high_ / power;
    const double step = power * (lead < 2.0 ? 0.2 : lead < 5.0 ? 0.5 : 1.0);
    for (int i = 0; i * step <= high_ * 1.0001; ++i) ticks.push_back(i * step);
  }
  constexpr double room = 58.0;
  std::vector<double> labelled;
  for (const double v : ticks) {
    const double x = at(v);
    svg.line(x, top, x, bottom, "grid");
    if (std::ranges::any_of(labelled, [&](double l) { return std::abs(l - x) < room; })) continue;
    svg.line(x, bottom, x, bottom + 4, "axis");
    svg.text(x, bottom + 17, label(v), "tick", Anchor::middle);
    labelled.push_back(x);
  }
  svg.line(left_, bottom, right_, bottom, "axis");
}

}  // namespace spillway::bench
