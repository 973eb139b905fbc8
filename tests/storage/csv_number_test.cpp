#include "csv_number.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "support/catch.hpp"

namespace spillway::csv {
namespace {

template <class T>
std::string spelled(T value) {
  std::array<char, number_room> text;
  return std::string(text.data(), put_number(text.data(), value));
}

// What the language says is the shortest.
template <class T>
std::string shortest(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-INF" : "INF";
  }
  std::array<char, 64> text;
  return std::string(text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr);
}

template <class T>
bool is_shortest(T value) {
  T back{};
  const std::string text = spelled(value);
  if (text != shortest(value) || text.size() > longest_number) return false;
  if (!parse_number(text, back)) return false;
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(value)) return std::isnan(back);
  return std::memcmp(&value, &back, sizeof value) == 0;
}

template <class T, class Bits>
void check_random(std::uint64_t seed, int count) {
  std::mt19937_64 random(seed);
  T wrong = 0;
  bool all = true;
  const auto check = [&](T value) {
    if (is_shortest(value) && is_shortest(-value)) return;
    all = false;
    wrong = value;
  };
  for (int i = 0; i < count; ++i) {
    // Any bits; numbers of a middling size; those with few decimals, and their neighbours; whole
    // ones, with zeros behind; powers of two.
    check(std::bit_cast<T>(static_cast<Bits>(random())));
    const T middling = static_cast<T>(
        std::ldexp(static_cast<double>(random() >> 11), static_cast<int>(random() % 70) - 70));
    check(middling);
    const double ten = std::pow(10.0, static_cast<double>(random() % 12));
    const T few = static_cast<T>(std::round(static_cast<double>(middling) * ten) / ten);
    check(few);
    check(std::nextafter(few, std::numeric_limits<T>::max()));
    check(std::nextafter(few, T{0}));
    check(static_cast<T>(static_cast<double>(random() % 1000) * ten));
    check(static_cast<T>(std::ldexp(1.0, static_cast<int>(random() % 120) - 60)));
    // Halfway between two decimals.
    check(static_cast<T>(
        std::ldexp(static_cast<double>(random() % 4096), -static_cast<int>(random() % 24))));
  }
  CAPTURE(seed, wrong, shortest(wrong), spelled(wrong));
  CHECK(all);
}

}  // namespace

TEST_CASE("csv numbers: floats are spelled as std::to_chars has it, the shortest that read back") {
  const int count = std::getenv("SPILLWAY_TEST_FULL") ? 20'000'000 : 100'000;
  const std::uint64_t seed = std::random_device{}();
  check_random<float, std::uint32_t>(seed, count);
  check_random<double, std::uint64_t>(seed, count);
}

TEST_CASE("csv numbers: where notations and ways of spelling meet") {
  for (const double value : {0.0,
                             -0.0,
                             1.0,
                             10.0,
                             9.0,
                             99999.0,
                             100000.0,
                             100001.0,
                             999999.0,
                             1e6,
                             1234500.0,
                             8388607.0,
                             8388608.0,
                             16777215.0,
                             0.5,
                             0.1,
                             0.01,
                             0.001,
                             0.0009765625,
                             0.00097656256,
                             0.0001,
                             0.25,
                             0.3,
                             123456.789,
                             0.30000000000000004,
                             9007199254740991.0,
                             9007199254740992.0,
                             4503599627370495.5,
                             1e15,
                             1e16,
                             1e22,
                             1e23,
                             5e-324,
                             2.2250738585072014e-308,
                             1.7976931348623157e308}) {
    CAPTURE(value);
    CHECK(is_shortest(value));
    CHECK(is_shortest(-value));
    const auto narrow = static_cast<float>(value);
    CHECK(is_shortest(narrow));
    CHECK(is_shortest(std::nextafter(narrow, 0.0F)));
    CHECK(is_shortest(std::nextafter(value, 1e300)));
  }
  CHECK(spelled(100000.0F) == "1e+05");
  CHECK(spelled(123456.0F) == "123456");
  CHECK(spelled(0.1F) == "0.1");
  CHECK(spelled(-0.0F) == "-0");
  CHECK(spelled(-0.5) == "-0.5");
  CHECK(spelled(std::numeric_limits<float>::quiet_NaN()) == "NaN");
  CHECK(spelled(-std::numeric_limits<double>::infinity()) == "-INF");
  CHECK(spelled(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
}

TEST_CASE("csv numbers: every value has one spelling, no other is read") {
  const auto reads = []<class T>(const char* text, T value) { return parse_number(text, value); };
  for (const char* text : {"0", "-1", "1.5", "0.1", "1e+05", "-INF", "INF", "NaN", "-0"})
    CHECK(reads(text, double{}));
  for (const char* text : {"",         " 1",
                           "1 ",       "+1",
                           "01",       "1.50",
                           "1.",       ".5",
                           "1e5",      "1e+5",
                           "100000",   "nan",
                           "inf",      "-NaN",
                           "Infinity", "0x1p3",
                           "1,5",      "0.10000000000000001",
                           "1e999",    "--1",
                           "1\n",      "0.1000000000000000000000000000000000000000000000000001"}) {
    CAPTURE(text);
    CHECK_FALSE(reads(text, double{}));
  }
  CHECK_FALSE(reads("0.30000000000000004", float{}));
  for (const char* text : {"", "-0", "00", "256", "-1", "1.0", "1e1", "NaN", "+1"}) {
    CAPTURE(text);
    CHECK_FALSE(reads(text, std::uint8_t{}));
  }
  CHECK(reads("255", std::uint8_t{}));
  CHECK(reads("-128", std::int8_t{}));
  CHECK_FALSE(reads("18446744073709551616", std::uint64_t{}));
}

}  // namespace spillway::csv
