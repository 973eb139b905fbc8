#include "spillway/channels/calibration.hpp"

#include <array>
#include <cmath>
#include <limits>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::contains;
using test::message_of;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinite = std::numeric_limits<double>::infinity();

double applied(const Calibration& calibration, double x) {
  calibration.apply(std::span(&x, 1));
  return x;
}

}  // namespace

TEST_CASE("no steps leave the values as they are, bit for bit") {
  const Calibration identity;
  CHECK(identity.is_identity());
  for (const double x : {0.0, -0.0, 1.5, -1e300, infinite}) {
    CHECK(applied(identity, x) == x);
    CHECK(std::signbit(applied(identity, x)) == std::signbit(x));
  }
}

TEST_CASE("linear is slope and offset, rounded after each operation") {
  test::Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto any = [&] { return static_cast<double>(random()) / 1e17 - 92.0; };
    const Linear linear{any(), any()};
    const double x = any();
    const volatile double product = linear.slope * x;
    CHECK(applied(linear, x) == product + linear.offset);
  }
}

TEST_CASE("a polynomial takes its value at the integers exactly") {
  const Polynomial p{{7.0, -3.0, 0.0, 2.0}};
  for (int x = -20; x <= 20; ++x) CHECK(applied(p, x) == 7 - 3 * x + 2 * x * x * x);
  CHECK(applied(Polynomial{{4.5}}, 1e9) == 4.5);
}

TEST_CASE("a linear calibration and the polynomial of degree 1 agree") {
  for (int x = -100; x < 100; ++x)
    CHECK(applied(Linear{0.125, -3.0}, x) == applied(Polynomial{{-3.0, 0.125}}, x));
}

TEST_CASE("a chain applies its steps in order, to all values alike") {
  Calibration chain(Linear{2.0, 1.0});
  chain.steps.emplace_back(Polynomial{{0.0, 0.0, 1.0}});
  chain.steps.emplace_back(Linear{1.0, -5.0});
  std::array<double, 33> values{};
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  chain.apply(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double inner = 2.0 * static_cast<double>(i) + 1.0;
    CHECK(values[i] == inner * inner - 5.0);
  }
  chain.apply({});
}

TEST_CASE("NaN stays NaN through every kind of step") {
  CHECK(std::isnan(applied(Linear{0.0, 1.0}, not_a_number)));
  CHECK(std::isnan(applied(Polynomial{{1.0, 0.0, 0.0}}, not_a_number)));
  Calibration chain(Linear{1.0, 0.0});
  chain.steps.emplace_back(Polynomial{{3.0}});
  CHECK(std::isnan(applied(chain, not_a_number)));
}

TEST_CASE("a table is exact at its points and a straight line between them") {
  const Table table{{-2.0, -1.0, 0.5, 4.0}, {10.0, 4.0, 4.0, -3.0}, Outside::nan};
  for (std::size_t i = 0; i < table.x.size(); ++i) CHECK(applied(table, table.x[i]) == table.y[i]);
  CHECK(applied(table, -1.75) == 8.5);
  CHECK(applied(table, 0.0) == 4.0);
  CHECK(applied(table, 2.25) == 0.5);

  test::Random random(2);
  const auto any = [&] { return static_cast<double>(random()) / 1e17 - 92.0; };
  for (int round = 0; round < 50; ++round) {
    Table made;
    double x = any();
    for (std::uint64_t n = 2 + random() % 30; n-- > 0;) {
      made.x.push_back(x);
      made.y.push_back(any());
      x += 0.001 + static_cast<double>(random() % 1000) / 100.0;
    }
    check(made, "made");
    for (std::size_t i = 0; i + 1 < made.x.size(); ++i) {
      CHECK(applied(made, made.x[i]) == made.y[i]);
      const double v = std::nextafter(made.x[i + 1], made.x[i]);
      const double w = made.x[i] + (made.x[i + 1] - made.x[i]) * 0.375;
      for (const double at : {v, w}) {
        const volatile double part = (at - made.x[i]) / (made.x[i + 1] - made.x[i]);
        const volatile double rise = part * (made.y[i + 1] - made.y[i]);
        CHECK(applied(made, at) == made.y[i] + rise);
      }
    }
    CHECK(applied(made, made.x.back()) == made.y.back());
  }
}

TEST_CASE("outside a table its end counts, its line, or nothing") {
  Table table{{0.0, 1.0, 3.0}, {0.0, 10.0, 20.0}, Outside::clamp};
  CHECK(applied(table, -5.0) == 0.0);
  CHECK(applied(table, 5.0) == 20.0);
  CHECK(applied(table, infinite) == 20.0);
  table.outside = Outside::extrapolate;
  CHECK(applied(table, -5.0) == -50.0);
  CHECK(applied(table, 5.0) == 30.0);
  CHECK(applied(table, -infinite) == -infinite);
  table.outside = Outside::nan;
  CHECK(std::isnan(applied(table, -5.0)));
  CHECK(std::isnan(applied(table, 3.0000000001)));
  CHECK(applied(table, 3.0) == 20.0);
  for (const Outside outside : {Outside::clamp, Outside::extrapolate, Outside::nan}) {
    table.outside = outside;
    CHECK(std::isnan(applied(table, not_a_number)));
  }
}

TEST_CASE("qualities tell what lay outside a table of the chain, and what became NaN") {
  Calibration chain(Linear{2.0, 0.0});
  chain.steps.emplace_back(Table{{0.0, 10.0}, {0.0, 1.0}, Outside::clamp});
  chain.steps.emplace_back(Table{{0.0, 0.75}, {5.0, 6.0}, Outside::nan});
  std::array<double, 6> values{-1.0, 0.0, 2.0, 4.0, 7.0, not_a_number};
  std::array<double, 6> alone = values;
  std::array<Quality, 6> quality{};
  quality[0] = Quality(Verdict::bad, Quality::implausible);
  chain.apply(values, quality);
  chain.apply(alone);
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK((values[i] == alone[i] || (std::isnan(values[i]) && std::isnan(alone[i]))));
  CHECK(values[0] == 5.0);
  CHECK(quality[0] == Quality(Verdict::bad, Quality::implausible | Quality::calibration));
  CHECK(quality[1].is_good());
  CHECK(quality[2].is_good());
  CHECK(quality[3] == Quality(Verdict::bad, Quality::missing | Quality::calibration));
  CHECK(quality[4] == Quality(Verdict::bad, Quality::missing | Quality::calibration));
  CHECK(quality[5] == Quality(Verdict::bad, Quality::missing));
}

TEST_CASE("a table that is no function is refused, and the place named") {
  const auto refusal = [](const Table& table) { return message_of([&] { check(table, "here"); }); };
  CHECK(refusal({{0.0, 1.0}, {1.0, 1.0}, Outside::nan}).empty());
  CHECK(refusal({{0.0, 1.0}, {1.0}, {}}) ==
        "here: calibration table: 2 x and 1 y; as many of both are needed");
  CHECK(refusal({{1.0}, {1.0}, {}}) ==
        "here: calibration table: the number of points is 1; at least 2 are needed");
  CHECK(contains(refusal({}), "at least 2"));
  CHECK(refusal({{0.0, 1.0, 1.0, 0.0}, {1.0, 2.0, 3.0, 4.0}, {}}) ==
        "here: calibration table: x[2] = 1 is not above x[1] = 1");
  CHECK(refusal({{0.0, 1.0, 2.0}, {1.0, not_a_number, 3.0}, {}}) ==
        "here: calibration table: y[1] is nan; it must be finite");
  CHECK(contains(refusal({{0.0, infinite}, {1.0, 2.0}, {}}), "x[1] is inf"));
  CHECK(contains(refusal({{0.0, 1.0}, {-1e308, 1e308}, {}}), "too far apart"));
  CHECK(contains(refusal({{0.0, 1.0}, {0.0, 1.0}, static_cast<Outside>(3)}), "outside is 3"));
}

TEST_CASE("calibrations compare by all their parts") {
  Calibration a(Linear{1.0, 2.0});
  Calibration b = a;
  CHECK(a == b);
  b.certificate = "42";
  CHECK(a != b);
  CHECK(Calibration(Linear{1.0, 2.0}) != Calibration(Polynomial{{2.0, 1.0}}));
}

TEST_CASE("a calibration is described in one line") {
  CHECK(describe(Calibration{}) == "identity");
  CHECK(describe(Linear{0.005, -5.12}) == "0.005 x - 5.12");
  CHECK(describe(Linear{2.0, 1.5}) == "2 x + 1.5");
  CHECK(describe(Linear{2.0, 0.0}) == "2 x");
  CHECK(describe(Polynomial{{1, 2, 3, 4}}) == "polynomial of degree 3");
  Calibration chain(Linear{2.0, 0.0});
  chain.steps.emplace_back(Polynomial{{1, 2}});
  CHECK(describe(chain) == "2 x, then polynomial of degree 1");
  CHECK(describe(Table{{0.0, 1.0, 2.0}, {0.0, 1.0, 4.0}, {}}) == "table of 3 points");
}

TEST_CASE("coefficients that are absent or not finite are refused where they stand") {
  const std::string where = "channel 'c' of stream 's'";
  for (const Calibration& bad :
       {Calibration(Linear{not_a_number, 0.0}), Calibration(Linear{1.0, infinite}),
        Calibration(Polynomial{}), Calibration(Polynomial{{1.0, -infinite}})}) {
    const std::string message = message_of([&] { check(bad, where); });
    CHECK(contains(message, where));
    CHECK(contains(message, "finite"));
    Calibration chain(Linear{});
    chain.steps.push_back(bad.steps[0]);
    CHECK_FALSE(message_of([&] { check(chain, where); }).empty());
  }
  CHECK(message_of([&] { check(Calibration{}, where); }).empty());
  CHECK(message_of([&] { check(Polynomial{{0.0}}, where); }).empty());
}
