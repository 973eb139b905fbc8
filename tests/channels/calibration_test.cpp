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
