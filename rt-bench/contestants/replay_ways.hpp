// Ways to filter, or only to copy, the recording of storage_samples.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "storage_contestant.hpp"

namespace spillway::bench {

inline constexpr std::size_t replay_window = 32;
inline constexpr std::int64_t replay_cutoff_hz = 1000;

// Makes a recording, compressed or not, of so many rows of 64 channels of float32. Throws Error.
void make_recording(const std::string& path, std::uint64_t rows, int compression);

struct ReplayWay {
  std::string name;
  // From the recording `input` into `output`, a file that isn't there. Nothing: what it needs is
  // not there. Throws Error.
  std::function<std::optional<StorageTaken>(const std::string& input, const std::string& output)>
      run;
  std::string group;  // where channels lie in the output, as datasets
};

// Moving average, then a Butterworth low-pass of order 4, into one stream of double; the output
// sealed and synced.
[[nodiscard]] ReplayWay replay_way(std::size_t threads);
[[nodiscard]] ReplayWay script_way();
// The datasets of the stream by H5Ocopy, synced; and copy() into an Hdf5Sink.
[[nodiscard]] ReplayWay object_copy_way();
[[nodiscard]] ReplayWay sink_copy_way();

// The largest difference between the channels of two outputs, behind the first rows, where the two
// may begin differently. Throws Error if they are not of one size.
[[nodiscard]] double largest_difference(const std::string& a, const std::string& a_group,
                                        const std::string& b, const std::string& b_group);

}  // namespace spillway::bench
