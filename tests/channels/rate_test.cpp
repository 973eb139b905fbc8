#include "spillway/channels/rate.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::contains;
using test::message_of;

namespace {

// floor(a * b / d) and the remainder, one bit of a at a time: slow, in 64 bits and
// without a product, so that it shares no step with what it checks.
struct Quotient {
  std::uint64_t whole = 0;
  std::uint64_t rest = 0;
};
Quotient times_over(std::uint64_t a, std::uint64_t b, std::uint64_t d) {
  Quotient sum;
  const std::uint64_t b_whole = b / d;
  const std::uint64_t b_rest = b % d;
  for (int bit = 63; bit >= 0; --bit) {
    sum.whole *= 2;
    if (sum.rest >= d - sum.rest) {
      sum.rest -= d - sum.rest;
      ++sum.whole;
    } else {
      sum.rest += sum.rest;
    }
    if ((a >> bit & 1) == 0) continue;
    sum.whole += b_whole;
    if (b_rest >= d - sum.rest) {
      sum.rest -= d - b_rest;
      ++sum.whole;
    } else {
      sum.rest += b_rest;
    }
  }
  return sum;
}

std::int64_t nanoseconds(std::uint64_t n, std::int64_t samples, std::int64_t seconds) {
  const auto d = static_cast<std::uint64_t>(samples);
  const auto exact = times_over(n, static_cast<std::uint64_t>(seconds) * 1'000'000'000, d);
  const bool up = exact.rest >= d - exact.rest;
  return static_cast<std::int64_t>(exact.whole + (up ? 1 : 0));
}

// Leaves digits where the next call has its locals.
[[gnu::noinline]] int dirty_the_stack() {
  volatile char junk[2048];
  for (volatile char& c : junk) c = '7';
  return junk[100];
}

}  // namespace

TEST_CASE("a rate is the fraction that its decimal spelling names") {
  struct Case {
    double hertz;
    std::int64_t samples;
    std::int64_t seconds;
  };
  for (const Case& c : {Case{360, 360, 1},
                        {249.89, 24989, 100},
                        {62.4725, 24989, 400},
                        {0.1, 1, 10},
                        {1e-9, 1, 1'000'000'000},
                        {1e12, 1'000'000'000'000, 1},
                        {44100, 44100, 1},
                        {3.0517578125e-05, 1, 32768}}) {
    const Rate rate{Hertz{c.hertz}};
    CHECK(rate.samples() == c.samples);
    CHECK(rate.seconds() == c.seconds);
    CHECK(rate == Rate(c.samples, c.seconds));
    CHECK(rate.hertz().value == c.hertz);
  }
  CHECK(Rate(720, 2) == Rate(Hertz{360}));
}

TEST_CASE("a decimal fraction is in lowest terms and gives its number back") {
  test::Random random(2);
  for (int i = 0; i < 20000; ++i) {
    const double value = static_cast<double>(test::below(random, 1'000'000'000) + 1) /
                         std::pow(10.0, static_cast<double>(test::below(random, 9)));
    const Fraction f = decimal_fraction(value);
    REQUIRE(f.numerator > 0);
    REQUIRE(f.denominator > 0);
    REQUIRE(std::gcd(f.numerator, f.denominator) == 1);
    REQUIRE(static_cast<double>(f.numerator) / static_cast<double>(f.denominator) == value);
    // A spelling of at most nine decimals: nothing but 2 and 5 divides the denominator.
    REQUIRE(1'000'000'000 % f.denominator == 0);
  }
  const Fraction third = decimal_fraction(0.3333333333333333);
  CHECK(third.numerator == 3333333333333333);
  CHECK(third.denominator == 10'000'000'000'000'000);
}

TEST_CASE("a decimal fraction depends on nothing but its number") {
  for (int i = 0; i < 3; ++i) {
    CHECK(dirty_the_stack() == '7');
    const Fraction a = decimal_fraction(249.89);
    CHECK(dirty_the_stack() == '7');
    const Fraction b = decimal_fraction(5e-05);
    CHECK(a.numerator == 24989);
    CHECK(a.denominator == 100);
    CHECK(b.numerator == 1);
    CHECK(b.denominator == 20000);
  }
}

TEST_CASE("what no 63-bit fraction holds is refused") {
  for (const double value : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity(), 5e-324, 1e-19, 1e19, 1.7e308,
                             1.2345678901234567e-12})
    CHECK_FALSE(message_of([&] { (void)decimal_fraction(value); }).empty());
  CHECK(decimal_fraction(9e18).numerator == 9'000'000'000'000'000'000);
  CHECK(decimal_fraction(1e-18).denominator == 1'000'000'000'000'000'000);
}

TEST_CASE("a rate out of range is refused and the range named") {
  for (const double hertz : {0.0, -1.0, 0.9e-9, 1.1e12, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()}) {
    const std::string message = message_of([&] { (void)Rate(Hertz{hertz}); });
    CHECK(contains(message, "1e-9"));
    CHECK(contains(message, "1e12"));
  }
  CHECK(contains(message_of([] { (void)Rate(0, 1); }), "positive"));
  CHECK(contains(message_of([] { (void)Rate(1, 0); }), "positive"));
  CHECK(contains(message_of([] { (void)Rate(-5, 1); }), "positive"));
}

TEST_CASE("time does not drift: it is the exact quotient, rounded once") {
  test::Random random(3);
  const std::pair<std::int64_t, std::int64_t> rates[] = {
      {360, 1},  {24989, 100},  {24989, 400},
      {1, 1},    {44100, 1},    {1'000'000'007, 1},
      {1, 3600}, {30000, 1001}, {3'333'333'333'333'333, 10'000'000'000}};
  for (const auto& [samples, seconds] : rates) {
    const Rate rate(samples, seconds);
    // As many samples as 200 years hold, at most 2^40.
    const auto most =
        std::min(static_cast<long double>(std::uint64_t{1} << 40),
                 6.3e9L * static_cast<long double>(samples) / static_cast<long double>(seconds));
    const auto last = static_cast<std::uint64_t>(most);
    CHECK(rate.duration(0) == Time(0));
    CHECK(rate.duration(last).count() == nanoseconds(last, rate.samples(), rate.seconds()));
    for (int i = 0; i < 3000; ++i) {
      const std::uint64_t n = test::below(random, last) >> test::below(random, 40);
      REQUIRE(rate.duration(n).count() == nanoseconds(n, rate.samples(), rate.seconds()));
    }
  }
}

TEST_CASE("at 360 Hz the time of whole seconds is exact over 2^40 samples") {
  const Rate rate{360_Hz};
  for (std::uint64_t s = 1; s * 360 <= std::uint64_t{1} << 40; s = s * 3 + 1) {
    CHECK(rate.duration(s * 360) == std::chrono::seconds(s));
    CHECK(rate.samples_within(std::chrono::seconds(s)) == s * 360);
    CHECK(rate.samples_within(std::chrono::seconds(s) - Time(1)) == s * 360 - 1);
  }
}

TEST_CASE("durations never decrease and steps differ by a nanosecond at most") {
  const Rate rate{249.89_Hz};
  Time last = rate.duration(0);
  const std::int64_t floor = 100'000'000'000 / 24989;
  for (std::uint64_t n = 1; n < 30000; ++n) {
    const Time now = rate.duration(n);
    const auto step = (now - last).count();
    REQUIRE((step == floor || step == floor + 1));
    last = now;
  }
}

TEST_CASE("samples within a time are its whole periods, the inverse of duration") {
  test::Random random(4);
  for (const Rate& rate : {Rate(360, 1), Rate(24989, 100), Rate(24989, 400), Rate(1, 7),
                           Rate(1000, 1), Rate(2'000'000'000, 1)}) {
    CHECK(rate.samples_within(Time(0)) == 0);
    CHECK(rate.samples_within(Time(-1)) == 0);
    CHECK(rate.samples_within(Time::min()) == 0);
    for (int i = 0; i < 3000; ++i) {
      const auto t = static_cast<std::int64_t>(random() >> (1 + test::below(random, 40)));
      const std::uint64_t n = rate.samples_within(Time(t));
      const auto exact =
          times_over(static_cast<std::uint64_t>(t), static_cast<std::uint64_t>(rate.samples()),
                     static_cast<std::uint64_t>(rate.seconds()) * 1'000'000'000);
      REQUIRE(n == exact.whole);
    }
    for (int i = 0; i < 3000; ++i) {
      const std::uint64_t n = random() >> (34 + test::below(random, 28));
      // Half a nanosecond of rounding is added, so that the period is whole again.
      const Time t = rate.duration(n) + Time(1);
      REQUIRE(rate.samples_within(t) >= n);
      REQUIRE(rate.duration(rate.samples_within(t)) <= t);
    }
  }
}

TEST_CASE("a time that holds more samples than can be counted gives the most there are") {
  // 213 days at 1 THz are 2^64 + 384 samples.
  CHECK(Rate(1'000'000'000'000, 1).samples_within(Time(18'446'744'073'709'552)) ==
        std::numeric_limits<std::uint64_t>::max());
  CHECK(Rate(1'000'000'000'000, 1).samples_within(Time::max()) ==
        std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("scaling rounds to the nearest, halves up, on both sides of zero") {
  CHECK(scaled(1, 1, 2) == 1);
  CHECK(scaled(-1, 1, 2) == 0);
  CHECK(scaled(-3, 1, 2) == -1);
  CHECK(scaled(3, 1, 2) == 2);
  CHECK(scaled(-2, 1, 3) == -1);
  CHECK(scaled(-1, 1, 3) == 0);
  CHECK(scaled(INT64_MAX, INT64_MAX, INT64_MAX) == INT64_MAX);
  CHECK(scaled(INT64_MIN, INT64_MAX, INT64_MAX) == INT64_MIN);
  test::Random random(5);
  for (int i = 0; i < 5000; ++i) {
    const auto value = static_cast<std::int64_t>(random() >> 20);
    const auto numerator = static_cast<std::int64_t>(random() >> 45);
    const auto denominator = static_cast<std::int64_t>((random() >> 40) + 1);
    const auto exact =
        times_over(static_cast<std::uint64_t>(value), static_cast<std::uint64_t>(numerator),
                   static_cast<std::uint64_t>(denominator));
    const bool up = 2 * exact.rest >= static_cast<std::uint64_t>(denominator);
    const bool past_half = 2 * exact.rest > static_cast<std::uint64_t>(denominator);
    REQUIRE(scaled(value, numerator, denominator) ==
            static_cast<std::int64_t>(exact.whole + (up ? 1 : 0)));
    REQUIRE(scaled(-value, numerator, denominator) ==
            -static_cast<std::int64_t>(exact.whole + (past_half ? 1 : 0)));
  }
}

TEST_CASE("a time beyond what can be told is the latest there is, never a wrong one") {
  const Rate rate(1000, 1);
  CHECK(rate.duration(std::uint64_t{1} << 60) == Time::max());
  CHECK(rate.duration(9'223'372'036'854) == Time(9'223'372'036'854'000'000));
}
