// From push to the reader of a filtered stream, through the engine, by how one waits.
#pragma once

#include <cstdint>
#include <vector>

#include "progress.hpp"
#include "results.hpp"
#include "tsc.hpp"

namespace spillway::bench {

struct PathOptions {
  std::uint64_t rounds = 15;
  std::uint64_t samples = 4096;  // a round and way
};

// cores: the producer's, then one for graph and reader, then, if there is a third, the
// reader's own. Throws Interrupted, and Error if threads can't be pinned.
[[nodiscard]] std::vector<Workload> measure_path(const PathOptions& options,
                                                 const std::vector<int>& cores,
                                                 const TickClock& clock, Progress& progress,
                                                 const Show& show);

}  // namespace spillway::bench
