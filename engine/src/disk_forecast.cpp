#include "disk_forecast.hpp"

#include <algorithm>
#include <cmath>

namespace spillway {

namespace {

constexpr double smoothed_over_s = 60.0;
// The first flushes are not what follows.
constexpr double least_observed_s = 5.0;
constexpr double year_s = 365.0 * 86400.0;

}  // namespace

std::optional<std::chrono::seconds> DiskForecast::look(Clock::time_point now,
                                                       std::uint64_t free_bytes,
                                                       std::uint64_t written) {
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  if (begin_ && now > before_) {
    const double dt = seconds(now - before_);
    // A plain mean until a minute has been seen.
    const double weight = std::max(-std::expm1(-dt / smoothed_over_s), dt / seconds(now - *begin_));
    const double wrote = static_cast<double>(written - std::min(written, written_before_));
    const double shrunk = static_cast<double>(free_before_) - static_cast<double>(free_bytes);
    written_rate_ += weight * (wrote / dt - written_rate_);
    shrink_rate_ += weight * (shrunk / dt - shrink_rate_);
  }
  if (!begin_) begin_ = now;
  before_ = now;
  free_before_ = free_bytes;
  written_before_ = written;

  left_.reset();
  const double rate = std::max(written_rate_, shrink_rate_);
  if (seconds(now - *begin_) < least_observed_s || !(rate > 0.0)) return std::nullopt;
  const double left = static_cast<double>(free_bytes) / rate;
  if (left < year_s) left_ = std::chrono::seconds(std::llround(left));
  std::optional<std::chrono::seconds> crossed;
  for (Level& level : levels_) {
    const auto time = static_cast<double>(level.time.count());
    if (left > 1.5 * time) level.told = false;
    if (left > time) continue;
    if (!level.told) crossed = level.time;
    level.told = true;
  }
  return crossed;
}

}  // namespace spillway
