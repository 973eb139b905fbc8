#include <fmt/format.h>

#include "script.hpp"
#include "storage_contestant.hpp"

namespace spillway::bench {

StorageContestants h5py_append(const StorageSamples& samples, const std::string& input) {
  const auto script = [&](const char* name, const char* form) {
    return StorageContestant{
        .name = name,
        .run =
            [input, form](const std::string& directory, std::uint64_t blocks) {
              return run_script(
                  "h5py", SPILLWAY_BENCH_H5PY_APPEND,
                  fmt::format("{} {} {} {} {} {}", quoted(input), quoted(directory + "/run.h5"),
                              blocks, storage_channels, storage_frames, form));
            },
        .wrong = {},
        .share = 4};
  };
  StorageContestants both{script(h5py, "columns"), script("h5py, one table", "table")};
  both[0].wrong = [&samples](const std::string& directory, std::uint64_t blocks) {
    return wrong_in_hdf5(directory + "/run.h5", "", samples, blocks);
  };
  return both;
}

StorageContestants pandas_csv(const StorageSamples& samples, const std::string& input) {
  const auto script = [&](const char* name, const char* form) {
    return StorageContestant{
        .name = name,
        .run =
            [input, form](const std::string& directory, std::uint64_t blocks) {
              return run_script(
                  "pandas", SPILLWAY_BENCH_PANDAS_TO_CSV,
                  fmt::format("{} {} {} {} {} {} {}", quoted(input), quoted(directory + "/run.csv"),
                              blocks, storage_channels, storage_frames, storage_rate_hz, form));
            },
        .wrong =
            [&samples](const std::string& directory, std::uint64_t blocks) {
              return wrong_in_csv(directory + "/run.csv", samples, blocks);
            },
        .share = 4};
  };
  return {script(pandas, "quality"), script("pandas to_csv, values alone", "values")};
}

}  // namespace spillway::bench
