// The ring beside the queues people know, interleaved in one run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "progress.hpp"
#include "results.hpp"
#include "tsc.hpp"

namespace spillway::bench {

struct RingOptions {
  std::uint64_t rounds = 15;
  std::uint64_t samples = std::uint64_t{1} << 22;  // a round, of the longest workload
  std::vector<std::string> only;                   // ids of workloads; empty: all
};

// The ids of all workloads, in the order they run.
[[nodiscard]] std::vector<std::string> ring_workloads();

// Samples that every queue holds, and the stream keeps at least.
[[nodiscard]] std::size_t ring_capacity();

// Measures on two cores. Throws Interrupted, and Error if threads can't be pinned.
[[nodiscard]] std::vector<Workload> measure_ring(const RingOptions& options,
                                                 const std::vector<int>& cores,
                                                 const TickClock& clock, Progress& progress,
                                                 const Show& show);

}  // namespace spillway::bench
