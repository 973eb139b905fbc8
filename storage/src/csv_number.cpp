#include "csv_number.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace spillway::csv {

namespace {

char* put(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

// The decimal digits of a number below 10^8, zeros in front: one a byte, the first one in the
// lowest.
std::uint64_t eight_digits(std::uint32_t number) noexcept {
  // Two numbers of four digits, then four of two, then eight of one, side by side. The factors
  // are reciprocals of 100 and 10, exact for numbers this small.
  const std::uint64_t fours = number / 10000 + (std::uint64_t{number % 10000} << 32);
  const std::uint64_t hundreds = (fours * 10486 >> 20) & 0x0000'007F'0000'007F;
  const std::uint64_t twos = hundreds + ((fours - 100 * hundreds) << 16);
  const std::uint64_t tens = (twos * 103 >> 10) & 0x000F'000F'000F'000F;
  return tens + ((twos - 10 * tens) << 8);
}

void store_digits(char* to, std::uint64_t digits) noexcept {
  digits += 0x3030'3030'3030'3030;
  if constexpr (std::endian::native == std::endian::big) digits = __builtin_bswap64(digits);
  std::memcpy(to, &digits, sizeof digits);
}

// Zeros in front of the first and behind the last of eight digits that are not all zero.
std::size_t leading_zeros(std::uint64_t digits) noexcept {
  return static_cast<std::size_t>(std::countr_zero(digits)) / 8;
}
std::size_t trailing_zeros(std::uint64_t digits) noexcept {
  return static_cast<std::size_t>(std::countl_zero(digits)) / 8;
}

constexpr std::uint64_t group = 100'000'000;

template <class T>
struct Binary;
template <>
struct Binary<float> {
  using Bits = std::uint32_t;
  using Product = std::uint64_t;
  static constexpr int bits = 23;
  static constexpr int bias = 127;
  static constexpr int most_decimals = 10;
};
template <>
struct Binary<double> {
  using Bits = std::uint64_t;
  __extension__ using Product = unsigned __int128;
  static constexpr int bits = 52;
  static constexpr int bias = 1023;
  static constexpr int most_decimals = 19;
};

// From 2^-10 on: where there are more zeros behind the point, the other notation may be shorter.
constexpr int least_exponent = -10;

// For numbers m * 2^e with `bits` + 1 bits of m: k decimals, the first with 10^-k <= 2^e.
template <class T>
struct Scale {
  typename Binary<T>::Bits five = 1;  // 5^k
  int shift = 0;                      // 10^k * 2^e = 5^k * 2^(1 - shift)
  std::uint64_t ten = 1;              // 10^k
  std::uint64_t pad = 1;              // 10^(most_decimals - k)
};

// By -e.
template <class T>
constexpr auto scales = [] {
  std::array<Scale<T>, Binary<T>::bits - least_exponent + 1> table{};
  Scale<T> scale;
  int decimals = 0;
  for (int i = 0; i < Binary<T>::most_decimals; ++i) scale.pad *= 10;
  for (std::size_t minus_e = 1; minus_e < table.size(); ++minus_e) {
    while (scale.ten < std::uint64_t{1} << minus_e) {
      scale.ten *= 10;
      scale.pad /= 10;
      scale.five *= 5;
      ++decimals;
    }
    scale.shift = static_cast<int>(minus_e) - decimals + 1;
    table[minus_e] = scale;
  }
  return table;
}();

// Numbers of a middling size, by exact integers and without branches that depend on chance; null
// for others, and where a number is spelled otherwise than with a point: std::to_chars does it
// then, in twice to three times the time.
template <class T>
char* put_middling(char* out, T value) noexcept {
  using B = Binary<T>;
  using Bits = typename B::Bits;
  using Product = typename B::Product;
  const auto all = std::bit_cast<Bits>(value);
  const Bits fraction = all & ((Bits{1} << B::bits) - 1);
  const int exponent = static_cast<int>(all >> B::bits & (2 * B::bias + 1)) - B::bias;
  // So large are only numbers without a fraction.
  if (exponent < least_exponent || exponent >= B::bits) return nullptr;
  const auto minus_e = static_cast<unsigned>(B::bits - exponent);
  const Scale<T>& scale = scales<T>[minus_e];
  const Bits m = fraction | Bits{1} << B::bits;

  // In units of 2^-shift of the last of k decimals, the number is x, and what is less than
  // 5^k away reads back as it; what is just so far as well if m is even. Below a power of two it is
  // half of that.
  const Product x = Product{2 * m} * scale.five;
  const Bits odd = m & 1;
  const Product high = x + (scale.five - odd);
  const Product low = x - ((fraction == 0 ? scale.five / 2 : scale.five) - odd);
  // This range is at least one and less than ten of the last decimal wide. So at most one decimal
  // that is shorter than k is in it, and the shortest is that one without its zeros.
  const std::uint64_t shorter = static_cast<std::uint64_t>(high >> scale.shift) / 10 * 10;
  const bool is_shorter = Product{shorter} << scale.shift >= low;
  if (fraction == 0 && !is_shorter) return nullptr;
  // Else it is the nearest of k decimals; from halfway to even.
  const std::uint64_t even = static_cast<std::uint64_t>(x >> scale.shift) & 1;
  const std::uint64_t nearest =
      static_cast<std::uint64_t>((x + (Product{1} << (scale.shift - 1)) - 1 + even) >> scale.shift);
  const std::uint64_t n = nearest ^ ((nearest ^ shorter) & -std::uint64_t{is_shorter});

  // The whole part is that of the number itself: every whole number here has bits of its own.
  const std::uint64_t whole = std::uint64_t{m} >> minus_e;
  const std::uint64_t decimals = (n - whole * scale.ten) * scale.pad;
  if (decimals == 0 && whole >= 100'000) return nullptr;  // may be 1e+05

  *out = '-';
  out += all >> (B::bits + (sizeof(T) == 4 ? 8 : 11));
  if (whole < 10) {
    *out++ = static_cast<char>('0' + whole);
  } else if (whole < group) {
    const std::uint64_t digits = eight_digits(static_cast<std::uint32_t>(whole));
    const std::size_t zeros = leading_zeros(digits);
    store_digits(out, digits >> (8 * zeros));
    out += 8 - zeros;
  } else {
    out = std::to_chars(out, out + longest_number, whole).ptr;
  }
  if (decimals == 0) return out;
  *out++ = '.';
  constexpr std::size_t before_last = B::most_decimals - 8;
  const std::uint64_t last = eight_digits(static_cast<std::uint32_t>(decimals % group));
  if constexpr (before_last == 2) {
    const std::uint64_t first = decimals / group;
    const std::uint64_t tens = first * 103 >> 10;
    const std::uint64_t ones = first - 10 * tens;
    out[0] = static_cast<char>('0' + tens);
    out[1] = static_cast<char>('0' + ones);
    store_digits(out + 2, last);
    if (last != 0) return out + 10 - trailing_zeros(last);
    return out + (ones != 0 ? 2 : 1);
  } else {
    const std::uint64_t first = eight_digits(static_cast<std::uint32_t>(decimals / group / group));
    const std::uint64_t middle = eight_digits(static_cast<std::uint32_t>(decimals / group % group));
    store_digits(out, first >> (64 - 8 * (before_last - 8)));
    store_digits(out + before_last - 8, middle);
    store_digits(out + before_last, last);
    if (last != 0) return out + before_last + 8 - trailing_zeros(last);
    if (middle != 0) return out + before_last - trailing_zeros(middle);
    return out + before_last - 8 - trailing_zeros(first);
  }
}

// Apart, so that it costs the others nothing.
template <class T>
[[gnu::noinline]] char* put_other(char* out, T value) noexcept {
  if (std::isnan(value)) return put(out, "NaN");
  if (std::isinf(value)) return put(out, value < 0 ? "-INF" : "INF");
  return std::to_chars(out, out + longest_number, value).ptr;
}

template <class T>
bool parse_float(std::string_view text, T& value) noexcept {
  if (text == "NaN") {
    value = std::numeric_limits<T>::quiet_NaN();
    return true;
  }
  if (text == "INF" || text == "-INF") {
    value =
        text[0] == '-' ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    return true;
  }
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc{} && result.ptr == text.data() + text.size() &&
         std::isfinite(value);
}

}  // namespace

template <Sample T>
char* put_number(char* out, T value) noexcept {
  if constexpr (std::is_floating_point_v<T>) {
    char* const end = put_middling(out, value);
    return end ? end : put_other(out, value);
  } else {
    return std::to_chars(out, out + longest_number, value).ptr;
  }
}

template <Sample T>
bool parse_number(std::string_view text, T& value) noexcept {
  if (text.size() > longest_number) return false;
  if constexpr (std::is_floating_point_v<T>) {
    if (!parse_float(text, value)) return false;
  } else {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
    if (result.ec != std::errc{} || result.ptr != text.data() + text.size()) return false;
  }
  // Neither "007" nor "1.50", "-0" of an integer, or a decimal that is not the shortest.
  std::array<char, number_room> spelled;
  const char* const end = put_number(spelled.data(), value);
  return std::string_view(spelled.data(), static_cast<std::size_t>(end - spelled.data())) == text;
}

template char* put_number(char*, std::int8_t) noexcept;
template char* put_number(char*, std::int16_t) noexcept;
template char* put_number(char*, std::int32_t) noexcept;
template char* put_number(char*, std::int64_t) noexcept;
template char* put_number(char*, std::uint8_t) noexcept;
template char* put_number(char*, std::uint16_t) noexcept;
template char* put_number(char*, std::uint32_t) noexcept;
template char* put_number(char*, std::uint64_t) noexcept;
template char* put_number(char*, float) noexcept;
template char* put_number(char*, double) noexcept;
template bool parse_number(std::string_view, std::int8_t&) noexcept;
template bool parse_number(std::string_view, std::int16_t&) noexcept;
template bool parse_number(std::string_view, std::int32_t&) noexcept;
template bool parse_number(std::string_view, std::int64_t&) noexcept;
template bool parse_number(std::string_view, std::uint8_t&) noexcept;
template bool parse_number(std::string_view, std::uint16_t&) noexcept;
template bool parse_number(std::string_view, std::uint32_t&) noexcept;
template bool parse_number(std::string_view, std::uint64_t&) noexcept;
template bool parse_number(std::string_view, float&) noexcept;
template bool parse_number(std::string_view, double&) noexcept;

}  // namespace spillway::csv
