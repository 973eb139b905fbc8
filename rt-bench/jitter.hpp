// How punctually this machine wakes a thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "progress.hpp"
#include "results.hpp"

namespace spillway::bench {

struct JitterOptions {
  std::uint64_t rounds = 5;
  std::chrono::duration<double> each{10.0};  // of every row, all rounds together
  std::vector<std::chrono::nanoseconds> intervals{std::chrono::milliseconds(1),
                                                  std::chrono::microseconds(100)};
};

// On the first core; a load runs on the second, if there is one. What is not permitted here
// (SCHED_FIFO, locked memory) is left out, and `remarks` tells. Scheduling and memory are as
// before afterwards. Throws Interrupted, and Error if threads can't be pinned.
[[nodiscard]] std::vector<Workload> measure_jitter(const JitterOptions& options,
                                                   const std::vector<int>& cores,
                                                   Progress& progress,
                                                   std::vector<std::string>& remarks,
                                                   const Show& show);

}  // namespace spillway::bench
