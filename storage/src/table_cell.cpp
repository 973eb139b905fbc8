#include "table_cell.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

namespace spillway::table {

namespace {

constexpr Wide most_fs = fs_per_s * fs_per_s;
constexpr Wide most_to_divide = Wide{1} << 125;
constexpr std::size_t longest_number = 400;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_word(std::string_view text, std::string_view word) {
  return std::ranges::equal(text, word, {}, [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
}

Wide divided(Wide value, Wide divisor) {
  const Wide doubled = 2 * value + divisor;
  const Wide quotient = doubled / (2 * divisor);
  return doubled % (2 * divisor) < 0 ? quotient - 1 : quotient;
}

// So many digits at the front of `text`, which loses them; none: there are fewer.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, count)) {
    if (!is_digit(c)) return std::nullopt;
    value = 10 * value + (c - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

// The zone at the end of a date, in seconds east; none: no zone, but something else.
std::optional<int> take_zone(std::string_view& text) {
  if (take(text, 'Z') || take(text, 'z')) return 0;
  const int sign = text.starts_with('-') ? -1 : 1;
  if (!take(text, '+') && !take(text, '-')) return std::nullopt;
  const std::optional<int> hours = take_digits(text, 2);
  int minutes = 0;
  if (!hours || *hours > 23) return std::nullopt;
  const bool colon = take(text, ':');
  if (colon || !text.empty()) {
    const std::optional<int> given = take_digits(text, 2);
    if (!given || *given > 59) return std::nullopt;
    minutes = *given;
  }
  return sign * (*hours * 3600 + minutes * 60);
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::optional<double> number(std::string_view text, char decimal) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (text.empty() || is_word(text, "nan") || text == "NA") return nan;
  std::string_view digits = text;
  const bool negative = digits[0] == '-';
  if (negative || digits[0] == '+') digits.remove_prefix(1);
  if (is_word(digits, "inf") || is_word(digits, "infinity")) return negative ? -HUGE_VAL : HUGE_VAL;
  if (digits.empty() || digits.size() > longest_number ||
      (!is_digit(digits[0]) && digits[0] != decimal))
    return std::nullopt;
  std::array<char, longest_number> spelled;
  if (decimal != '.') {
    if (digits.find('.') != digits.npos) return std::nullopt;
    const auto end = std::ranges::replace_copy(digits, spelled.begin(), decimal, '.').out;
    digits = {spelled.data(), static_cast<std::size_t>(end - spelled.begin())};
  }
  double value = 0.0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec != std::errc{} || result.ptr != digits.data() + digits.size()) return std::nullopt;
  return negative ? -value : value;
}

std::optional<CellTime> plain_time(std::string_view text, char decimal, const Fraction& unit) {
  const bool negative = text.starts_with('-');
  if (!take(text, '-')) take(text, '+');
  Wide value = 0;
  int exponent = 15;  // of ten, in fs
  bool any = false;
  bool behind_point = false;
  CellTime time;
  for (; !text.empty(); text.remove_prefix(1)) {
    if (text[0] == decimal && !behind_point) {
      behind_point = true;
      continue;
    }
    if (!is_digit(text[0])) break;
    any = true;
    if (value > most_fs) return std::nullopt;
    value = 10 * value + (text[0] - '0');
    exponent -= behind_point ? 1 : 0;
  }
  if (!any) return std::nullopt;
  if (take(text, 'e') || take(text, 'E')) {
    take(text, '+');
    int given = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), given);
    if (result.ec != std::errc{} || std::abs(given) > 1000) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(result.ptr - text.data()));
    exponent += given;
    time.scientific = true;
  }
  if (!text.empty()) return std::nullopt;

  // value * 10^exponent * unit
  Wide factor = unit.numerator;
  Wide divisor = unit.denominator;
  for (; exponent > 0 && divisor % 10 == 0; --exponent) divisor /= 10;
  for (; exponent > 0; --exponent)
    if (factor > most_fs || __builtin_mul_overflow(factor, Wide{10}, &factor)) return std::nullopt;
  for (; exponent < 0; ++exponent) {
    if (divisor > most_fs) {
      value = 0;  // less than anybody can tell
      break;
    }
    divisor *= 10;
  }
  if (__builtin_mul_overflow(value, factor, &value) || value / divisor > most_fs ||
      value > most_to_divide)
    return std::nullopt;
  time.fs = divided(negative ? -value : value, divisor);
  time.unit_fs = std::max<Wide>(1, factor / divisor);
  return time;
}

std::optional<CellDate> date(std::string_view text) {
  const std::optional<int> year = take_digits(text, 4);
  if (!year || *year < 1678 || *year > 2261 || !take(text, '-')) return std::nullopt;
  const std::optional<int> month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const std::optional<int> day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day ymd{std::chrono::year(*year),
                                        std::chrono::month(static_cast<unsigned>(*month)),
                                        std::chrono::day(static_cast<unsigned>(*day))};
  if (!ymd.ok()) return std::nullopt;
  Wide seconds = Wide{std::chrono::sys_days(ymd).time_since_epoch().count()} * 86'400;
  Wide fraction_fs = 0;
  CellDate result;
  result.time.unit_fs = 86'400 * fs_per_s;
  if (!text.empty()) {
    if (!take(text, 'T') && !take(text, ' ')) return std::nullopt;
    const std::optional<int> hour = take_digits(text, 2);
    if (!hour || *hour > 23 || !take(text, ':')) return std::nullopt;
    const std::optional<int> minute = take_digits(text, 2);
    if (!minute || *minute > 59) return std::nullopt;
    seconds += *hour * 3600 + *minute * 60;
    result.time.unit_fs = 60 * fs_per_s;
    if (take(text, ':')) {
      const std::optional<int> second = take_digits(text, 2);
      if (!second || *second > 59) return std::nullopt;
      seconds += *second;
      result.time.unit_fs = fs_per_s;
      if (take(text, '.') || take(text, ',')) {
        if (text.empty() || !is_digit(text[0])) return std::nullopt;
        for (; !text.empty() && is_digit(text[0]); text.remove_prefix(1)) {
          if (result.time.unit_fs == 1) continue;  // less than anybody can tell
          result.time.unit_fs /= 10;
          fraction_fs += (text[0] - '0') * result.time.unit_fs;
        }
      }
    }
    take(text, ' ');
    if (!text.empty()) {
      const std::optional<int> zone = take_zone(text);
      if (!zone || !text.empty()) return std::nullopt;
      seconds -= *zone;
      result.utc = true;
    }
  }
  result.time.fs = seconds * fs_per_s + fraction_fs;
  return result;
}

Wide rounded_ns(Wide fs) { return divided(fs, fs_per_ns); }

}  // namespace spillway::table
