// Texts for people: quantities with units, and names that fit.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace spillway::apps {

// "40 Hz", "2.5 kHz"; "20 mHz".
[[nodiscard]] std::string hertz(double frequency);
// "12.5 ms", "3 s", "2.5 h": four digits.
[[nodiscard]] std::string seconds(double time);

// UTF-8 in which whatever is not, and what is no text (control characters), is U+FFFD.
[[nodiscard]] std::string readable(std::string_view text);
// The same for XML, with what means something there written as entities.
[[nodiscard]] std::string escaped(std::string_view text);

// Columns on a terminal.
[[nodiscard]] std::size_t columns_of(std::string_view text);
// About the width in the widest of the usual sans-serif fonts of this size; bold ones are a tenth
// wider.
[[nodiscard]] double width_of(std::string_view text, double font_size);
// The front of the text, with "…" if it is not all of it, at most `width` wide.
[[nodiscard]] std::string shortened(std::string_view text, double font_size, double width);

}  // namespace spillway::apps
