// What recording costs beside writing the same bytes, HDF5's own ways, and text by others.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "progress.hpp"
#include "results.hpp"
#include "tsc.hpp"

namespace spillway::bench {

struct StorageOptions {
  std::uint64_t rounds = 7;
  // A round of the fastest ways: 4 bytes each, of all channels.
  std::uint64_t samples = std::uint64_t{1} << 28;
  std::string directory = ".";    // where the files are made, and removed
  std::vector<std::string> only;  // ids of workloads; empty: all
};

// The ids of all workloads, in the order they run.
[[nodiscard]] std::vector<std::string> storage_workloads();

// The file system and the device below `directory`: "ext4 on /dev/sda1". Throws Error if it is
// no directory.
[[nodiscard]] std::string file_system_of(const std::string& directory);
// What makes figures from there unfair, one line each.
[[nodiscard]] std::vector<std::string> storage_warnings(const std::string& directory);

// On any cores. Throws Interrupted, and Error if files can't be written.
[[nodiscard]] std::vector<Workload> measure_storage(const StorageOptions& options,
                                                    Progress& progress, const Show& show);

}  // namespace spillway::bench
