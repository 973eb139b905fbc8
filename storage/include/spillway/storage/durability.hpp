// What a flush of a recording promises. See docs/durability.md.
#pragma once

#include <cstdint>
#include <string>

namespace spillway {

// What was acknowledged, that is, appended before a flush that returned, survives:
enum class Durability : std::uint8_t {
  full,     // the end of the process, of the system and of the power: data and journal are synced
  process,  // the end of the process however it comes; not that of the system: nothing is synced
            // before the recording is sealed
  none,     // nothing before the recording is sealed: there is no journal; for benchmarks
};

// "full", "process", "none".
[[nodiscard]] const char* to_string(Durability durability) noexcept;
// Throws Error that lists what is allowed.
[[nodiscard]] Durability durability_from(const std::string& name);

}  // namespace spillway
