// Drawings to stand in an HTML page; colours and fonts come from its style sheet.
#pragma once

#include <string>
#include <string_view>

namespace spillway::bench {

// For text and attributes of HTML and SVG alike.
[[nodiscard]] std::string escaped(std::string_view text);

enum class Anchor { start, middle, end };

// Coordinates in pixels from the top left corner; `style` names classes of the page.
class Svg {
 public:
  Svg(double width, std::string_view description);

  void text(double x, double y, std::string_view text, std::string_view style,
            Anchor anchor = Anchor::start);
  void line(double x1, double y1, double x2, double y2, std::string_view style);
  // `hint` shows when one points at it.
  void circle(double x, double y, double radius, std::string_view style, std::string_view hint);
  // `commands` as in the d attribute of a path.
  void path(std::string_view commands, std::string_view style);

  // The drawing, so high.
  [[nodiscard]] std::string finish(double height) const;

 private:
  double width_;
  std::string description_;
  std::string body_;
};

// A horizontal logarithmic axis, or one from 0 where all values are of one size.
class Axis {
 public:
  // From `low` to `high`, both positive, between the pixels `left` and `right`.
  Axis(double low, double high, double left, double right, bool logarithmic);

  [[nodiscard]] double at(double value) const noexcept;     // pixels; clamped
  [[nodiscard]] double value(double pixel) const noexcept;  // the reverse

  // Grid lines at round values from `top` to `bottom`, and below it as many labels as have room.
  void draw(Svg& svg, double top, double bottom, std::string (*label)(double)) const;

 private:
  double low_;
  double high_;
  double left_;
  double right_;
  bool logarithmic_;
};

}  // namespace spillway::bench
