// What the filters share whose output k depends on input k alone, or little more. Private.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "spillway/channels/error.hpp"
#include "spillway/filters/filter.hpp"

namespace spillway {

// Every NaN that is computed is this one: which of two NaN an addition passes on is up to the
// compiler.
inline constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

// The quality of a value computed from values of quality `inputs`: NaN is Bad, missing;
// infinite (a division by 0, an overflow) is Suspect, out of range.
inline Quality quality_of_result(double value, Quality inputs) noexcept {
  if (std::isfinite(value)) return inputs;
  return merge(inputs, std::isnan(value) ? Quality(Verdict::bad, Quality::missing)
                                         : Quality(Verdict::suspect, Quality::out_of_range));
}

// The number of lanes stands before every state, so that it's not loaded by another bank.
inline void put_lanes(StateWriter& writer, std::size_t lanes) {
  writer.put(static_cast<std::uint64_t>(lanes));
}
inline void get_lanes(StateReader& reader, std::size_t lanes, const char* filter) {
  std::uint64_t stored = 0;
  reader.get(stored);
  if (stored != lanes)
    throw Error(
        fmt::format("{}: the state is of {} lanes; needed is one of {}", filter, stored, lanes));
}

}  // namespace spillway
