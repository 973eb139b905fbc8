// Real measured data on any computer: how late this machine wakes a thread, and its load.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "spillway/engine/engine.hpp"

namespace spillway {

// A thread sleeps until the next multiple of `period` and records how late it was woken,
// in ns (int32, calibrated to us). Periods that passed meanwhile are missing
// samples and are reported as such.
struct TimingJitter {
  std::string name = "timing";
  std::chrono::nanoseconds period = std::chrono::milliseconds(1);
  std::optional<Time> duration;  // none: until the engine stops
};

// From /proc, every `period`: busy share of all processors (%), available memory (MiB),
// context switches a second.
struct MachineLoad {
  std::string name = "load";
  std::chrono::nanoseconds period = std::chrono::milliseconds(100);
  std::optional<Time> duration;
};

// Add the stream and its source. Throw Error if the period is outside 10 us to 1 h, or
// where /proc can't be read.
void add_source(Engine& engine, TimingJitter jitter);
void add_source(Engine& engine, MachineLoad load);

}  // namespace spillway
