#include "text.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace spillway::apps {

namespace {

struct Character {
  char32_t code;      // U+FFFD if it is none
  std::size_t begin;  // bytes
  std::size_t size;
};

// RFC 3629: no surrogates, nothing above U+10FFFF, no longer than need be.
Character character_at(std::string_view text, std::size_t begin) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[begin + i]); };
  const unsigned first = byte(0);
  if (first < 0x80) return {first < 0x20 || first == 0x7F ? U'\uFFFD' : first, begin, 1};
  const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || begin + size > text.size()) return {U'\uFFFD', begin, 1};
  char32_t code = first & (0x7FU >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0U) != 0x80) return {U'\uFFFD', begin, 1};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  const bool longer = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
  if (longer || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {U'\uFFFD', begin, 1};
  if (code < 0xA0 || code == 0xFFFE || code == 0xFFFF) return {U'\uFFFD', begin, size};
  return {code, begin, size};
}

template <class F>
void for_each_character(std::string_view text, const F& f) {
  for (std::size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    f(character);
    at += character.size;
  }
}

// Combining marks, joiners and variation selectors.
bool is_zero_wide(char32_t c) {
  return (c >= 0x300 && c <= 0x36F) || (c >= 0x200B && c <= 0x200F) || (c >= 0xFE00 && c <= 0xFE0F);
}

// The wide blocks of East Asian scripts, and most emoji.
bool is_wide(char32_t c) {
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
         (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
         (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) ||
         (c >= 0x20000 && c <= 0x3FFFD);
}

// In font sizes, about: DejaVu Sans, which is as wide as any.
double em(char32_t c) {
  if (is_zero_wide(c)) return 0.0;
  if (is_wide(c)) return 1.0;
  if (c == U'·') return 0.33;
  if (c >= 0x80) return 0.7;
  constexpr std::string_view narrow = "ijlI .,:;'|!/f-";
  constexpr std::string_view medium = "()[]\\rt\"`*";
  constexpr std::string_view broad = "mMwW@%";
  const char character = static_cast<char>(c);
  if (narrow.find(character) != std::string_view::npos) return 0.34;
  if (medium.find(character) != std::string_view::npos) return 0.42;
  if (broad.find(character) != std::string_view::npos) return 0.95;
  if (character >= 'A' && character <= 'Z') return 0.7;
  return 0.63;
}

}  // namespace

std::string hertz(double frequency) {
  if (frequency >= 1e6) return fmt::format("{:g} MHz", frequency / 1e6);
  if (frequency >= 1e3) return fmt::format("{:g} kHz", frequency / 1e3);
  if (frequency >= 1.0) return fmt::format("{:g} Hz", frequency);
  return fmt::format("{:g} mHz", frequency * 1e3);
}

std::string seconds(double time) {
  const double size = std::abs(time);
  if (size == 0.0) return "0 s";
  if (size < 0.9999e-6) return fmt::format("{:.4g} ns", time * 1e9);
  if (size < 0.9999e-3) return fmt::format("{:.4g} us", time * 1e6);
  if (size < 0.9999) return fmt::format("{:.4g} ms", time * 1e3);
  if (size < 600.0) return fmt::format("{:.4g} s", time);
  if (size < 2 * 3600.0) return fmt::format("{:.4g} min", time / 60.0);
  if (size < 2 * 86400.0) return fmt::format("{:.4g} h", time / 3600.0);
  return fmt::format("{:.4g} d", time / 86400.0);
}

std::string readable(std::string_view text) {
  std::string result;
  for_each_character(text, [&](const Character& c) {
    if (c.code == U'\uFFFD')
      result += "\xEF\xBF\xBD";
    else
      result += text.substr(c.begin, c.size);
  });
  return result;
}

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : readable(text)) {
    switch (c) {
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '&': safe += "&amp;"; break;
      case '"': safe += "&quot;"; break;
      default: safe += c;
    }
  }
  return safe;
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  for_each_character(text, [&](const Character& c) {
    columns += is_zero_wide(c.code) ? 0 : is_wide(c.code) ? 2 : 1;
  });
  return columns;
}

double width_of(std::string_view text, double font_size) {
  double width = 0.0;
  for_each_character(text, [&](const Character& c) { width += em(c.code); });
  return width * font_size;
}

std::string shortened(std::string_view text, double font_size, double width) {
  if (width_of(text, font_size) <= width) return std::string(text);
  double used = font_size;  // the dots
  std::size_t end = 0;
  bool full = false;
  for_each_character(text, [&](const Character& c) {
    used += em(c.code) * font_size;
    full = full || used > width;
    if (!full) end = c.begin + c.size;
  });
  return std::string(text.substr(0, end)) + "…";
}

}  // namespace spillway::apps
