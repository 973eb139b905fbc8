// The cells of tables that others wrote: numbers, times, dates. Private.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "spillway/channels/rate.hpp"

namespace spillway::table {

__extension__ using Wide = __int128;

// Times are exact to this before they are rounded to what a Time can tell.
constexpr Wide fs_per_ns = 1'000'000;
constexpr Wide fs_per_s = 1'000'000'000'000'000;

// Without the spaces around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);

// Blank, NaN or NA is NaN; none: no number, or one that no double can tell.
[[nodiscard]] std::optional<double> number(std::string_view text, char decimal);

struct CellTime {
  Wide fs = 0;       // from 0, or, of a date, from 1970
  Wide unit_fs = 1;  // of the last digit given
  bool scientific = false;
};

// A decimal number of units of `unit`, exactly; none: no number, or beyond 10^30 fs.
[[nodiscard]] std::optional<CellTime> plain_time(std::string_view text, char decimal,
                                                 const Fraction& unit);

struct CellDate {
  CellTime time;
  bool utc = false;  // it has a zone
};

// ISO 8601: "2026-05-04", and from there on as much as is given of "T10:44:18.529+02:00"; a space
// for the T and "Z" for the zone will do. Years 1678 to 2261.
[[nodiscard]] std::optional<CellDate> date(std::string_view text);

// To the nearest nanosecond, halves up.
[[nodiscard]] Wide rounded_ns(Wide fs);

}  // namespace spillway::table
