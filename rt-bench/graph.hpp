// What a graph adds to its filters, and how long a large one takes to build.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "progress.hpp"
#include "results.hpp"
#include "tsc.hpp"

namespace spillway::bench {

struct GraphOptions {
  std::uint64_t rounds = 15;
  std::uint64_t samples = std::uint64_t{1} << 20;  // a round of every row, of all channels
  std::vector<std::string> only;                   // ids of workloads; empty: all
};

// The ids of all workloads, in the order they run.
[[nodiscard]] std::vector<std::string> graph_workloads();

// Measures on `core`. Throws Interrupted, and Error if the thread can't be pinned.
[[nodiscard]] std::vector<Workload> measure_graph(const GraphOptions& options, int core,
                                                  const TickClock& clock, Progress& progress,
                                                  const Show& show);

}  // namespace spillway::bench
