#include "plot.hpp"

#include <cmath>
#include <limits>

#include "support/catch.hpp"

using spillway::apps::Envelope;
using spillway::apps::plot;

TEST_CASE("an envelope shows every peak, however many samples share a column") {
  Envelope envelope(10, 1000);
  std::vector<double> values(1000, 1.0);
  values[555] = 9.0;
  values[999] = -4.0;
  values[100] = std::numeric_limits<double>::quiet_NaN();
  for (std::size_t at = 0; at < 1000; at += 7)
    envelope.add(std::span(values).subspan(at, std::min<std::size_t>(7, 1000 - at)));
  REQUIRE(envelope.columns().size() == 10);
  for (std::size_t c = 0; c < 10; ++c) {
    CHECK(envelope.columns()[c].high == (c == 5 ? 9.0 : 1.0));
    CHECK(envelope.columns()[c].low == (c == 9 ? -4.0 : 1.0));
  }
}

TEST_CASE("a plot has its rows, its axis, and dots at top and bottom") {
  Envelope envelope(20, 20);
  std::vector<double> ramp;
  for (int i = 0; i < 20; ++i) ramp.push_back(i);
  envelope.add(ramp);
  const std::string text = plot(envelope, 4);
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);
  CHECK(text.find("19 ┤") != std::string::npos);
  CHECK(text.find(" 0 ┤") != std::string::npos);
  CHECK(text.substr(0, text.find('\n')).find("⠀⠀") != std::string::npos);
  // Nothing but NaN: says so.
  Envelope empty(20, 20);
  empty.add(std::vector<double>(20, std::numeric_limits<double>::quiet_NaN()));
  CHECK(plot(empty, 4).find("nothing") != std::string::npos);
}
