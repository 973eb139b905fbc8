// The filters beside those of other libraries, interleaved in one run.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "progress.hpp"
#include "results.hpp"
#include "tsc.hpp"

namespace spillway::bench {

struct FilterOptions {
  std::uint64_t rounds = 15;
  std::uint64_t samples = std::uint64_t{1} << 20;  // a round of every row, of all channels
  std::vector<std::string> only;                   // ids of workloads; empty: all
};

// The ids of all workloads, in the order they run.
[[nodiscard]] std::vector<std::string> filter_workloads();

// The instruction sets that this CPU has, by name, and the one that is used. use_isa() throws
// Error if it is not one of them.
[[nodiscard]] std::vector<std::string> isas();
[[nodiscard]] std::string isa_in_use();
void use_isa(const std::string& name);

// Measures on `core`. Throws Interrupted, and Error if the thread can't be pinned.
[[nodiscard]] std::vector<Workload> measure_filters(const FilterOptions& options, int core,
                                                    const TickClock& clock, Progress& progress,
                                                    const Show& show);

}  // namespace spillway::bench
