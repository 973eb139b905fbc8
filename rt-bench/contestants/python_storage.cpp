#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "storage_contestant.hpp"

namespace spillway::bench {

namespace {

// A word for the shell.
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// What a script says it took; nothing if it could not run. By the first python3 of the PATH, or
// the system's, that has `library`.
std::optional<StorageTaken> run_script(const char* library, const std::string& script,
                                       const std::string& arguments) {
  const std::string command = fmt::format(
      "for python in python3 /usr/bin/python3; do "
      "if $python -c 'import {}' 2>/dev/null; then exec $python {} {} 2>/dev/null; fi; done",
      library, quoted(script), arguments);
  const auto close = [](std::FILE* pipe) { (void)::pclose(pipe); };
  const std::unique_ptr<std::FILE, decltype(close)> pipe(::popen(command.c_str(), "r"), close);
  StorageTaken taken;
  if (!pipe || std::fscanf(pipe.get(), "%lf %lf", &taken.seconds, &taken.cpu_seconds) != 2)
    return {};
  return taken;
}

}  // namespace

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
