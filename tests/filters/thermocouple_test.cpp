#include "spillway/filters/thermocouple.hpp"

#include <bit>
#include <cmath>
#include <vector>

#include "lanes_support.hpp"
#include "support/catch.hpp"
#include "thermocouple_coefficients.hpp"

namespace spillway {
namespace {

using test::bad_missing;
using test::infinity;
using test::message_of;
using test::nan;
using test::Random;
using test::run_to;
using test::Signal;
using test::signal;
using enum ThermocoupleType;

constexpr Quality outside{Verdict::bad, Quality::missing | Quality::calibration};
constexpr ThermocoupleType all_types[] = {B, E, J, K, N, R, S, T};

struct Range {
  ThermocoupleType type;
  double from;
  double to;
  double lowest_inverse;
};
constexpr Range ranges[] = {{B, 0.0, 1820.0, 50.0},      {E, -270.0, 1000.0, -270.0},
                            {J, -210.0, 1200.0, -210.0}, {K, -270.0, 1372.0, -270.0},
                            {N, -270.0, 1300.0, -270.0}, {R, -50.0, 1768.1, -50.0},
                            {S, -50.0, 1768.1, -50.0},   {T, -270.0, 400.0, -270.0}};

// The definition, with the library's exponential.
long double by_definition(ThermocoupleType type, long double t) {
  for (const its90::Piece& piece : its90::types[static_cast<std::size_t>(type)].reference) {
    if (t < piece.from || t > piece.to) continue;  // borders are not asked for
    long double mv = 0.0L;
    long double power = 1.0L;
    for (int i = 0; i <= piece.degree; ++i, power *= t) mv += piece.c[i] * power;
    if (type == K && piece.from == 0.0) {
      const long double d = t - its90::k_a2;
      mv += its90::k_a0 * std::exp(its90::k_a1 * d * d);
    }
    return mv;
  }
  return std::numeric_limits<long double>::quiet_NaN();
}

double between(Random& random, double from, double to) {
  return from + (to - from) * (random.uniform() + 1.0) / 2.0;
}

TEST_CASE("thermocouple voltages are those of the published tables") {
  struct Point {
    ThermocoupleType type;
    double celsius;
    double mv;
  };
  const Point points[] = {
      {B, 0, 0.000},     {B, 100, 0.033},   {B, 350, 0.596},   {B, 1000, 4.834},  {B, 1820, 13.820},
      {E, -270, -9.835}, {E, -200, -8.825}, {E, 0, 0.000},     {E, 100, 6.319},   {E, 350, 24.964},
      {E, 1000, 76.373}, {J, -210, -8.095}, {J, -100, -4.633}, {J, 100, 5.269},   {J, 350, 19.090},
      {J, 500, 27.393},  {J, 760, 42.919},  {J, 1000, 57.953}, {J, 1200, 69.553}, {K, -270, -6.458},
      {K, -250, -6.404}, {K, -200, -5.891}, {K, -100, -3.554}, {K, 0, 0.000},     {K, 25, 1.000},
      {K, 100, 4.096},   {K, 350, 14.293},  {K, 500, 20.644},  {K, 1000, 41.276}, {K, 1372, 54.886},
      {N, -270, -4.345}, {N, -200, -3.990}, {N, 100, 2.774},   {N, 350, 11.136},  {N, 600, 20.613},
      {N, 1300, 47.513}, {R, -50, -0.226},  {R, 100, 0.647},   {R, 250, 1.923},   {R, 350, 2.896},
      {R, 1200, 13.228}, {R, 1768, 21.101}, {S, -50, -0.236},  {S, 100, 0.646},   {S, 250, 1.874},
      {S, 350, 2.786},   {S, 1200, 11.951}, {S, 1768, 18.693}, {T, -270, -6.258}, {T, -260, -6.232},
      {T, -250, -6.180}, {T, -200, -5.603}, {T, -150, -4.648}, {T, -100, -3.379}, {T, -50, -1.819},
      {T, 100, 4.279},   {T, 350, 17.819},  {T, 400, 20.872}};
  for (const Point& p : points) {
    CAPTURE(static_cast<int>(p.type), p.celsius);
    CHECK(std::abs(thermocouple_emf_mv(p.type, p.celsius) - p.mv) < 0.00051);
  }
}

TEST_CASE("thermocouple functions are continuous where their pieces meet") {
  for (const ThermocoupleType type : all_types) {
    const its90::Type& data = its90::types[static_cast<std::size_t>(type)];
    for (std::size_t p = 1; p < data.reference.size(); ++p) {
      const double border = data.reference[p].from;
      CAPTURE(data.name, border);
      CHECK(border == data.reference[p - 1].to);
      const double above = thermocouple_emf_mv(type, std::nextafter(border, infinity));
      CHECK(std::abs(above - thermocouple_emf_mv(type, border)) < 1e-7);
    }
  }
}

TEST_CASE("thermocouple voltages are the sum that defines them") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (const Range& r : ranges)
    for (int i = 0; i < 2000; ++i) {
      const double t = between(random, r.from, r.to);
      CAPTURE(static_cast<int>(r.type), t);
      const bool cancels = (r.type == E || r.type == T) && t < -150.0;
      CHECK(std::abs(thermocouple_emf_mv(r.type, t) -
                     static_cast<double>(by_definition(r.type, t))) < (cancels ? 5e-11 : 1e-12));
    }
}

TEST_CASE("NIST's inverses stay within the errors NIST states, everywhere in their range") {
  struct Band {
    ThermocoupleType type;
    double from;
    double to;
    double low;
    double high;
  };
  const Band bands[] = {{B, 250, 700, -0.02, 0.03},
                        {B, 700, 1820, -0.01, 0.02},
                        {E, -200, 0, -0.01, 0.03},
                        {E, 0, 1000, -0.02, 0.02},
                        {J, -210, 0, -0.05, 0.03},
                        {J, 0, 760, -0.04, 0.04},
                        {J, 760, 1200, -0.04, 0.03},
                        {K, -200, 0, -0.02, 0.04},
                        {K, 0, 500, -0.05, 0.04},
                        {K, 500, 1372, -0.05, 0.06},
                        {N, -200, 0, -0.02, 0.03},
                        {N, 0, 600, -0.02, 0.03},
                        {N, 600, 1300, -0.04, 0.02},
                        {R, -50, 250, -0.02, 0.02},
                        {R, 250, 1200, -0.005, 0.005},
                        {R, 1200, 1664.5, -0.0005, 0.001},
                        {R, 1664.5, 1768.1, -0.001, 0.002},
                        {S, -50, 250, -0.02, 0.02},
                        {S, 250, 1200, -0.01, 0.01},
                        {S, 1200, 1664.5, -0.0002, 0.0002},
                        {S, 1664.5, 1768.1, -0.002, 0.002},
                        {T, -200, 0, -0.02, 0.04},
                        {T, 0, 400, -0.03, 0.03}};
  for (const Band& band : bands) {
    CAPTURE(static_cast<int>(band.type), band.from);
    double low = 0.0;
    double high = 0.0;
    // A little inside: the borders in mV and in degC are rounded.
    const double inset = 0.2;
    for (int i = 0; i <= 2000; ++i) {
      const double t =
          band.from + inset + (band.to - band.from - 2 * inset) * static_cast<double>(i) / 2000.0;
      const double off =
          thermocouple_celsius_nist(band.type, thermocouple_emf_mv(band.type, t)) - t;
      CHECK_FALSE(std::isnan(off));
      low = std::min(low, off);
      high = std::max(high, off);
    }
    // The bands are published rounded.
    CHECK(low > 1.2 * band.low);
    CHECK(high < 1.2 * band.high);
    // Where it is well inside the band, the band is another piece's.
    CHECK(high - low > 0.3 * (band.high - band.low));
  }
}

TEST_CASE("temperature to voltage and back is exact, over the whole range of every type") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (const Range& r : ranges) {
    double worst = 0.0;
    for (int i = 0; i < 20000; ++i) {
      const double t = i == 0   ? r.lowest_inverse
                       : i == 1 ? r.to
                                : between(random, r.lowest_inverse, r.to);
      const double off = std::abs(thermocouple_celsius(r.type, thermocouple_emf_mv(r.type, t)) - t);
      // Rounding of the voltage, where it hardly changes with the temperature any more.
      const bool cancels = (r.type == E || r.type == T) && t < -150.0;
      CHECK(off < 1e-7);
      if (!cancels) worst = std::max(worst, off);
    }
    CAPTURE(static_cast<int>(r.type), worst);
    CHECK(worst < 1e-9);
  }
}

TEST_CASE("the inverse rises with the voltage, over borders too") {
  for (const Range& r : ranges) {
    const double low = thermocouple_emf_mv(r.type, r.lowest_inverse);
    const double high = thermocouple_emf_mv(r.type, r.to);
    double before = r.lowest_inverse;
    for (int i = 0; i <= 5000; ++i) {
      const double mv = i == 5000 ? high : low + (high - low) * i / 5000.0;
      const double t = thermocouple_celsius(r.type, mv);
      CAPTURE(static_cast<int>(r.type), mv);
      CHECK(t >= before);
      before = t;
    }
    for (const its90::Piece& piece :
         its90::types[static_cast<std::size_t>(r.type)].reference.subspan(1)) {
      const double border = thermocouple_emf_mv(r.type, piece.from);
      for (const double off : {-1e-6, -1e-9, -1e-12, 0.0, 1e-12, 1e-9, 1e-6})
        CHECK(std::abs(thermocouple_celsius(r.type, border + off) - piece.from) < 3e-4);
    }
  }
}

TEST_CASE("outside of its range a thermocouple function is NaN") {
  for (const Range& r : ranges) {
    CAPTURE(static_cast<int>(r.type));
    for (const double t : {std::nextafter(r.from, -infinity), std::nextafter(r.to, infinity), nan,
                           infinity, -infinity})
      CHECK(std::isnan(thermocouple_emf_mv(r.type, t)));
    const double low = thermocouple_emf_mv(r.type, r.lowest_inverse);
    const double high = thermocouple_emf_mv(r.type, r.to);
    CHECK(thermocouple_celsius(r.type, low) == Approx(r.lowest_inverse));
    CHECK(thermocouple_celsius(r.type, high) == Approx(r.to));
    for (const double mv :
         {std::nextafter(low, -infinity), std::nextafter(high, infinity), nan, infinity, -infinity})
      CHECK(std::isnan(thermocouple_celsius(r.type, mv)));
    for (const double mv : {-10.0, 80.0, nan, infinity})
      CHECK(std::isnan(thermocouple_celsius_nist(r.type, mv)));
  }
}

TEST_CASE("thermocouple functions have the same bits with every compiler") {
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  const auto add = [&](double v) {
    const auto bits = std::bit_cast<std::uint64_t>(std::isnan(v) ? 0.0 : v);
    for (int i = 0; i < 64; i += 8) hash = (hash ^ ((bits >> i) & 0xff)) * 0x100000001b3U;
  };
  for (const Range& r : ranges)
    for (int i = 0; i <= 3000; ++i) {
      const double mv = thermocouple_emf_mv(r.type, r.from + (r.to - r.from) * i / 3000.0);
      add(mv);
      add(thermocouple_celsius(r.type, mv));
      add(thermocouple_celsius_nist(r.type, mv));
    }
  CHECK(hash == 0xbddce908bb525304U);
}

TEST_CASE("a thermocouple's temperature counts from that of its cold junction") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (const Range& r : ranges) {
    CAPTURE(static_cast<int>(r.type));
    Signal one{{}, {}, 1};
    Signal two{{}, {}, 2};
    Signal from_one{{}, {}, 1};
    Signal from_two{{}, {}, 1};
    const double fixed = 22.5;
    for (int i = 0; i < 300; ++i) {
      const Signal odd = random.noise(1, 2, 9);
      double hot = between(random, r.lowest_inverse, r.to);
      const double cold = between(random, 10.0, 40.0);
      const bool lost = std::isnan(odd.values[0]);
      const bool cold_lost = std::isnan(odd.values[1]);
      const double mv = thermocouple_emf_mv(r.type, hot);
      one.values.push_back(lost ? nan : mv - thermocouple_emf_mv(r.type, fixed));
      one.quality.push_back(odd.quality[0]);
      from_one.values.push_back(lost ? nan : hot);
      from_one.quality.push_back(odd.quality[0]);
      two.values.push_back(lost ? nan : mv - thermocouple_emf_mv(r.type, cold));
      two.values.push_back(cold_lost ? nan : cold);
      two.quality.insert(two.quality.end(), {odd.quality[0], odd.quality[1]});
      from_two.values.push_back(lost || cold_lost ? nan : hot);
      from_two.quality.push_back(merge(odd.quality[0], odd.quality[1]));
    }
    const auto check_filter = [&](const ThermocoupleFilter& filter, const Signal& in,
                                  const Signal& expected) {
      ThermocoupleFilter copy = filter;
      const Signal out = run_to(copy, in, 1);
      CHECK(out.quality == expected.quality);
      for (std::size_t i = 0; i < out.values.size(); ++i) {
        CHECK(std::isnan(out.values[i]) == std::isnan(expected.values[i]));
        if (!std::isnan(out.values[i])) CHECK(std::abs(out.values[i] - expected.values[i]) < 1e-7);
      }
      test::check_laws_to(filter, in, 1, random);
    };
    check_filter(ThermocoupleFilter({r.type, fixed}, 1), one, from_one);
    check_filter(ThermocoupleFilter({r.type, fixed}, 2), two, from_two);
  }
}

TEST_CASE(
    "a voltage or a cold junction off the table is bad, calibration, and what is missing is not") {
  ThermocoupleFilter filter({K, 0.0}, 2);
  const Signal out =
      run_to(filter,
             signal({60.0, 20.0, 1.0, 2000.0, 1.0, nan, nan, 20.0, nan, 2000.0, 54.0, 25.0}, 2), 1);
  CHECK(test::same_bits(out.values, std::vector<double>(6, nan)));
  CHECK(out.quality ==
        std::vector<Quality>{outside, outside, bad_missing, bad_missing, bad_missing, outside});
}

TEST_CASE("a thermocouple filter refuses what it has no function for") {
  CHECK(message_of([] {
          ThermocoupleFilter({K, 1400.0}, 1);
        }) == "thermocouple: a cold junction at 1400 degC; type K has -270 to 1372 degC");
  CHECK(message_of([] {
          ThermocoupleFilter({B, -1.0}, 1);
        }) == "thermocouple: a cold junction at -1 degC; type B has 0 to 1820 degC");
  CHECK_THROWS_AS(ThermocoupleFilter({K, nan}, 1), Error);
  CHECK(message_of([] {
          ThermocoupleFilter({K, 0.0}, 3);
        }) ==
        "thermocouple: 3 lanes; needed are 1, the voltage, or 2, with the temperature of the cold "
        "junction");
  CHECK_THROWS_AS(ThermocoupleFilter({K, 0.0}, 0), Error);
  CHECK(message_of([] {
          ThermocoupleFilter({static_cast<ThermocoupleType>(8), 0.0}, 1);
        }) == "thermocouple: type 8 is unknown; allowed are 0 (B) to 7 (T)");
}

}  // namespace
}  // namespace spillway
