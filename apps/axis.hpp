// Ticks of an axis, with labels that people can read.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "spillway/channels/stream_info.hpp"
#include "spillway/channels/units.hpp"

namespace spillway::apps {

struct Tick {
  double at;
  std::string label;
};

struct Axis {
  std::vector<Tick> ticks;  // ascending
  // What makes values of labels, where they would be too long: "x1e-21", "+1000000".
  std::string note;
};

// Of values from `low` to `high`, finite and low < high; at most `most` ticks, at least one, at
// multiples of 1, 2 or 5 times a power of ten.
[[nodiscard]] Axis value_axis(double low, double high, std::size_t most);

// Of seconds, in the unit that fits, which `note` begins with: "ms", "min", "s +36000". Ticks are
// at seconds all the same. Steps of minutes and hours are such that hours and days divide by them.
[[nodiscard]] Axis time_axis(double begin_s, double end_s, std::size_t most);

// Of times from the origin: as above; by the calendar, if the origin tells it and lies so far from
// `begin` that nobody would count from there. Ticks are at seconds from the origin.
[[nodiscard]] Axis time_axis(const Origin& origin, Time begin, Time end, std::size_t most);

// The date and time of the calendar, "2018-06-21 18:21:56.250", to the digits that tell times
// `resolution` apart; empty if the origin does not tell its time.
[[nodiscard]] std::string calendar(const Origin& origin, Time time, Time resolution);
// " UTC", " (local)" or "".
[[nodiscard]] const char* zone_of(const Origin& origin);

}  // namespace spillway::apps
