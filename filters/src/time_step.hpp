// Steps between the times of samples. Private.
#pragma once

#include <cstdint>

#include "spillway/channels/rate.hpp"
#include "spillway/channels/units.hpp"

namespace spillway {

// From `earlier` to `later`, 0 if that is no step forward. Exact for any two times.
[[nodiscard]] inline std::uint64_t nanoseconds_between(Time earlier, Time later) noexcept {
  if (later <= earlier) return 0;
  return static_cast<std::uint64_t>(later.count()) - static_cast<std::uint64_t>(earlier.count());
}
[[nodiscard]] inline double seconds_between(Time earlier, Time later) noexcept {
  return static_cast<double>(nanoseconds_between(earlier, later)) / 1e9;
}
[[nodiscard]] inline double period_seconds(const Rate& rate) noexcept {
  return static_cast<double>(rate.seconds()) / static_cast<double>(rate.samples());
}

}  // namespace spillway
