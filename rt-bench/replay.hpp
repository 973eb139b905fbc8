// What filtering a recording offline costs beside copying it, and beside a script.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "progress.hpp"
#include "results.hpp"

namespace spillway::bench {

struct ReplayBenchOptions {
  std::uint64_t rounds = 7;
  std::uint64_t samples = std::uint64_t{1} << 26;  // of all channels
  std::string directory = ".";                     // where the files are made, and removed
  std::vector<std::string> only;                   // ids of workloads; empty: all
};

// The ids of all workloads, in the order they run.
[[nodiscard]] std::vector<std::string> replay_workloads();

// On any cores. Throws Interrupted, and Error if files can't be written.
[[nodiscard]] std::vector<Workload> measure_replay(const ReplayBenchOptions& options,
                                                   Progress& progress, const Show& show);

}  // namespace spillway::bench
