// What a disk that stalls does to the graph of an engine that records on it.
#pragma once

#include <cstdint>
#include <string>

#include "progress.hpp"
#include "results.hpp"

namespace spillway::bench {

struct StalledDiskOptions {
  std::uint64_t rounds = 5;
  std::uint64_t blocks = 100'000;  // that the graph processes, a round and row
  std::string directory = ".";
};

inline constexpr const char* stalled_disk_id = "storage-stalled-disk";

// On any cores. Throws Interrupted and Error.
[[nodiscard]] Workload measure_stalled_disk(const StalledDiskOptions& options, Progress& progress);

}  // namespace spillway::bench
