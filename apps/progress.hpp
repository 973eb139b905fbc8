// How far a command is, on a terminal: share, speed, time left.
#pragma once

#include <chrono>
#include <cstdint>

#include "status_line.hpp"

namespace spillway::apps {

class Progress {
 public:
  explicit Progress(bool wanted) : line_(wanted) {}

  // As often as one likes; it is shown a few times a second. `samples` and `bytes` are read, or
  // written, so far.
  void show(double fraction, std::uint64_t samples, std::uint64_t bytes);
  // To be called before anything else is printed.
  void clear() { line_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  StatusLine line_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point next_ = begin_;
};

}  // namespace spillway::apps
