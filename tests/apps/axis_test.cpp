#include "axis.hpp"

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

#include "support/catch.hpp"

using namespace spillway;
using apps::Axis;
using apps::calendar;
using apps::Tick;
using apps::time_axis;
using apps::value_axis;
using namespace std::chrono_literals;

namespace {

// What a label says, with the note: "x1e-21 +1000000".
double value_of(const Tick& tick, const std::string& note) {
  double value = std::strtod(tick.label.c_str(), nullptr);
  std::size_t at = 0;
  if (note.starts_with('x')) {
    value *= std::strtod(note.c_str() + 1, nullptr);
    at = note.find(' ');
  }
  if (at != std::string::npos && at < note.size()) value += std::strtod(note.c_str() + at, nullptr);
  return value;
}

std::string labels(const Axis& axis) {
  std::string text;
  for (const Tick& tick : axis.ticks) text += (text.empty() ? "" : " ") + tick.label;
  return text + (axis.note.empty() ? "" : " | " + axis.note);
}

}  // namespace

TEST_CASE("ticks lie in the range, are few, and their labels say where") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution(low, high)(random);
  };
  for (int n = 0; n < 20000; ++n) {
    const double size = std::pow(10.0, uniform(-30.0, 30.0));
    const double middle = size * uniform(-1.0, 1.0);
    const double range = size * std::pow(10.0, uniform(-9.0, 1.0));
    const double low = middle - range / 2.0;
    const double high = middle + range / 2.0;
    const std::size_t most = 2 + random() % 12;
    const Axis axis = value_axis(low, high, most);
    CAPTURE(low, high, most, labels(axis));
    REQUIRE_FALSE(axis.ticks.empty());
    REQUIRE(axis.ticks.size() <= most);
    for (std::size_t i = 0; i < axis.ticks.size(); ++i) {
      const Tick& tick = axis.ticks[i];
      REQUIRE(tick.at >= low - range * 1e-5);
      REQUIRE(tick.at <= high + range * 1e-5);
      REQUIRE(tick.label.size() <= 9);
      REQUIRE(std::abs(value_of(tick, axis.note) - tick.at) <= range * 1e-3);
      if (i > 0) {
        REQUIRE(tick.at > axis.ticks[i - 1].at);
        REQUIRE(tick.label != axis.ticks[i - 1].label);
      }
    }
  }
}

TEST_CASE("labels are what people would write") {
  CHECK(labels(value_axis(-1.0, 1.0, 5)) == "-1.0 -0.5 0.0 0.5 1.0");
  CHECK(labels(value_axis(0.0, 100.0, 6)) == "0 20 40 60 80 100");
  CHECK(labels(value_axis(1e6, 1e6 + 0.001, 6)) == "0.0 0.2 0.4 0.6 0.8 1.0 | x1e-3 +1000000");
  CHECK(labels(value_axis(-7e-19, 7e-19, 3)) == "-500 0 500 | x1e-21");
  CHECK(labels(value_axis(85.77, 86.38, 3)) == "85.8 86.0 86.2");
  CHECK(labels(time_axis(0.0, 1800.0, 7)) == "0 5 10 15 20 25 30 | min");
  CHECK(labels(value_axis(-0.024802, -0.0248, 5)) ==
        "-24.8020 -24.8015 -24.8010 -24.8005 -24.8000 | x1e-3");
  CHECK(labels(time_axis(0.0, 0.002, 5)) == "0.0 0.5 1.0 1.5 2.0 | ms");
  CHECK(labels(time_axis(10.0, 10.002, 5)) == "10.0000 10.0005 10.0010 10.0015 10.0020 | s");
  CHECK(labels(time_axis(0.0, 0.0009, 5)) == "0 200 400 600 800 | us");
  CHECK(labels(time_axis(0.0, 1.0, 6)) == "0.0 0.2 0.4 0.6 0.8 1.0 | s");
  CHECK(labels(time_axis(0.0, 300.0, 7)) == "0 50 100 150 200 250 300 | s");
  CHECK(labels(time_axis(0.0, 3600.0, 5)) == "0 15 30 45 60 | min");
  CHECK(labels(time_axis(0.0, 2 * 86400.0, 5)) == "0 12 24 36 48 | h");
  CHECK(labels(time_axis(0.0, 3 * 86400.0, 5)) == "0 1 2 3 | d");
}

TEST_CASE("time far from its origin is told by the calendar, where the origin tells it") {
  const Origin utc{Origin::Kind::utc, "1970-01-01T00:00:00"};
  const Time begin = std::chrono::hours(24 * 365);
  CHECK(labels(time_axis(utc, begin, begin + 1h, 5)) == "00:00 00:15 00:30 00:45 01:00 | UTC");
  CHECK(labels(time_axis(utc, begin, begin + 20h, 4)) == "00:00 06:00 12:00 18:00 | UTC");
  // Not by the calendar: it is not known, or near the origin.
  CHECK(labels(time_axis({}, begin, begin + 1h, 5)) == "525600 525615 525630 525645 525660 | min");
  CHECK(labels(time_axis({}, begin, begin + 10s, 6)) == "0 2 4 6 8 10 | s +31536000");
  CHECK(labels(time_axis(utc, 0s, 1h, 5)) == "0 15 30 45 60 | min");
}

TEST_CASE("ticks of time lie in the range, are few, and differ, wherever and however long it is") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto time = [&] {
    const double ns = std::pow(10.0, std::uniform_real_distribution(0.0, 18.0)(random));
    return Time(static_cast<std::int64_t>(ns));
  };
  for (int n = 0; n < 20000; ++n) {
    const Origin origin =
        random() % 2 == 0 ? Origin{} : Origin{Origin::Kind::utc, "2018-06-21T18:21:56.25"};
    const Time begin = random() % 4 == 0 ? Time(0) : time();
    // A double of seconds does not tell much shorter times apart.
    const Time end = begin + std::max(time(), begin / 1'000'000'000'000 + 1ns);
    const std::size_t most = 2 + random() % 12;
    const Axis axis = time_axis(origin, begin, end, most);
    CAPTURE(begin.count(), end.count(), most, labels(axis));
    REQUIRE_FALSE(axis.ticks.empty());
    REQUIRE(axis.ticks.size() <= most);
    // As far as a double of seconds tells them.
    const double begin_s = static_cast<double>(begin.count()) / 1e9;
    const double end_s = static_cast<double>(end.count()) / 1e9;
    const double some = (end_s - begin_s) * 1e-5 + end_s * 1e-15;
    for (std::size_t i = 0; i < axis.ticks.size(); ++i) {
      REQUIRE(axis.ticks[i].at >= begin_s - some);
      REQUIRE(axis.ticks[i].at <= end_s + some);
      if (i > 0) REQUIRE(axis.ticks[i].at > axis.ticks[i - 1].at);
    }
  }
}

TEST_CASE("the calendar is told to the digits that matter") {
  const Origin origin{Origin::Kind::utc, "2018-06-21T18:21:56.25"};
  CHECK(calendar(origin, 0s, 1s) == "2018-06-21 18:21:56");
  CHECK(calendar(origin, 1ms, 1ms) == "2018-06-21 18:21:56.251");
  CHECK(calendar(origin, -1ns, 1ns) == "2018-06-21 18:21:56.249999999");
  CHECK(calendar(origin, 6h, 1h) == "2018-06-22 00:21:56");
  CHECK(calendar({Origin::Kind::unknown, "as the clock was"}, 0s, 1s).empty());
}
