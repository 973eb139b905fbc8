// When a disk will be full. Private.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

namespace spillway {

// Goes by the faster of two rates, each smoothed over a minute: what the recording writes, and how
// the room shrinks, as others write too. One thread at a time; the time is passed in.
class DiskForecast {
 public:
  using Clock = std::chrono::steady_clock;

  // To be called now and then. Returns 1 hour, 10 minutes or 1 minute when the time that is left
  // has fallen below it, the least of them if several at once; again only after it has been half
  // as long again meanwhile. `written` never falls.
  std::optional<std::chrono::seconds> look(Clock::time_point now, std::uint64_t free_bytes,
                                           std::uint64_t written);

  // As of the last look; none: not known yet, or not within a year.
  [[nodiscard]] std::optional<std::chrono::seconds> left() const noexcept { return left_; }

 private:
  struct Level {
    std::chrono::seconds time;
    bool told = false;
  };
  std::array<Level, 3> levels_{
      {{std::chrono::hours(1)}, {std::chrono::minutes(10)}, {std::chrono::minutes(1)}}};
  std::optional<Clock::time_point> begin_;
  Clock::time_point before_;
  std::uint64_t free_before_ = 0;
  std::uint64_t written_before_ = 0;
  double written_rate_ = 0.0;  // bytes a second
  double shrink_rate_ = 0.0;   // may be negative
  std::optional<std::chrono::seconds> left_;
};

}  // namespace spillway
