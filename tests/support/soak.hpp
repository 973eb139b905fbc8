// How long and from which seed a randomised test runs.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>

namespace spillway::test {

// How often to do what is better done more often, if somebody has the time.
inline std::uint64_t soak(std::uint64_t usual, std::uint64_t factor = 20) {
  const char* const full = std::getenv("SPILLWAY_TEST_FULL");
  return full != nullptr && *full == '1' ? usual * factor : usual;
}

// SPILLWAY_TEST_SEED: of a run that failed.
inline std::optional<std::uint64_t> given_seed() {
  const char* const given = std::getenv("SPILLWAY_TEST_SEED");
  if (given == nullptr) return std::nullopt;
  return std::strtoull(given, nullptr, 10);
}

}  // namespace spillway::test
