// Everything about a sample as a function of its number, so that a reader can tell
// whether what it got belongs to the number it got it for.
#pragma once

#include <cstdint>

#include "../support.hpp"

namespace spillway::model {

// Numbers are divided into cells. A cell begins with numbers that are missing (or none),
// on a regular stream every
// other one with a stamp that sets the clock; each has its own calibrations.
struct Plan {
  std::uint64_t cell;  // numbers in one; 0 for a stream that is one
  bool seldom_bad;

  static constexpr std::uint32_t sets = 3;
  static inline const Rate rate{1000, 1};

  [[nodiscard]] bool begins_cell(std::uint64_t n) const { return cell > 0 && n % cell == 0; }
  [[nodiscard]] std::uint64_t cell_of(std::uint64_t n) const { return cell > 0 ? n / cell : 0; }
  [[nodiscard]] std::uint64_t missing_in(std::uint64_t k) const {
    constexpr std::uint64_t missing[]{0, 2, 0, 3, 1};
    return cell > 0 ? missing[k % 5] : 0;
  }
  [[nodiscard]] std::uint64_t first_in(std::uint64_t k) const { return k * cell + missing_in(k); }
  [[nodiscard]] GapCause cause_of(std::uint64_t k) const {
    return k % 2 == 0 ? GapCause::source : GapCause::upstream;
  }
  [[nodiscard]] std::uint32_t set_of(std::uint64_t k) const {
    return static_cast<std::uint32_t>(k % sets);
  }
  [[nodiscard]] bool sets_clock(std::uint64_t k) const { return k % 2 == 0; }
  [[nodiscard]] std::uint64_t clock_sample(std::uint64_t k) const { return first_in(k - k % 2); }
  // Always more than half a period off the clock before.
  [[nodiscard]] Time clock_time(std::uint64_t k) const {
    if (cell == 0) return Time(0);
    return rate.duration(clock_sample(k)) + Time(k % 4 < 2 ? 5'000'000 : -7'000'000);
  }
  // Missing numbers in [from, to).
  [[nodiscard]] std::uint64_t missing_between(std::uint64_t from, std::uint64_t to) const {
    std::uint64_t sum = 0;
    for (std::uint64_t k = cell_of(from); cell > 0 && k * cell < to; ++k) {
      const std::uint64_t begin = std::max(from, k * cell);
      const std::uint64_t end = std::min(to, first_in(k));
      if (begin < end) sum += end - begin;
    }
    return sum;
  }

  [[nodiscard]] Quality quality(std::uint64_t n, std::uint64_t channel) const {
    if (!seldom_bad) return test::quality_of(n, channel);
    // In a ring of 16 slots and so of two words of quality: a word is Good in all of
    // a lap, not Good in the next, and Good again in the one after.
    constexpr std::uint64_t bad[]{3, 27, 45};
    return std::ranges::find(bad, n % 48) == std::end(bad) ? Quality::good()
                                                           : Quality::from_byte(0xFF);
  }
  // Of sample `n` of an irregular stream.
  [[nodiscard]] static Time time(std::uint64_t n) {
    return Time(static_cast<std::int64_t>(10 * n + n % 7));
  }
};

}  // namespace spillway::model
