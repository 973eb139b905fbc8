#include "progress.hpp"

#include <fmt/format.h>

#include "run.hpp"
#include "text.hpp"

namespace spillway::apps {

void Progress::show(double fraction, std::uint64_t samples, std::uint64_t bytes) {
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(200);
  const double elapsed = std::chrono::duration<double>(now - begin_).count();
  if (elapsed <= 0.0) return;
  const auto per_second = [&](std::uint64_t amount) {
    return static_cast<std::uint64_t>(static_cast<double>(amount) / elapsed);
  };
  constexpr double enough_to_tell = 0.5;  // seconds
  const std::string left =
      fraction > 0.0 && elapsed > enough_to_tell
          ? fmt::format("  {} left", seconds(elapsed * (1.0 - fraction) / fraction))
          : "";
  line_.show(fmt::format("{:3.0f} %  {} samples/s  {}/s{}", 100.0 * fraction,
                         human_count(per_second(samples)), human_bytes(per_second(bytes)), left));
}

}  // namespace spillway::apps
