// A way to record, as a user who knows it well would write it, and what is recorded.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/block.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream_info.hpp"

namespace spillway::bench {

inline constexpr std::size_t storage_channels = 64;
inline constexpr std::size_t storage_frames = 4096;  // of a block, as recorders read them
inline constexpr std::size_t storage_values = storage_channels * storage_frames;  // of a block
inline constexpr std::int64_t storage_rate_hz = 50'000;
inline constexpr std::size_t storage_chunk_rows = 65536;  // of those who choose

// Blocks of 64 channels of float32, a sine and noise for each, quantised to 16 bits. There are a
// few of them, which come again and again.
class StorageSamples {
 public:
  explicit StorageSamples(std::size_t period);

  [[nodiscard]] const StreamInfo& info() const noexcept { return info_; }
  [[nodiscard]] std::size_t period() const noexcept { return blocks_.size(); }
  // As StreamReader::read gives them.
  [[nodiscard]] Chunk chunk(std::uint64_t block) const noexcept;
  [[nodiscard]] const Block& block(std::uint64_t block) const noexcept {
    return blocks_[block % blocks_.size()];
  }
  [[nodiscard]] const CalibrationSet& calibrations() const noexcept { return calibrations_; }
  // All blocks of a period, channel by channel in each; a block is aligned to 4096 bytes.
  [[nodiscard]] std::span<const float> plain() const noexcept {
    return {plain_.get(), blocks_.size() * storage_values};
  }

 private:
  struct Free {
    void operator()(float* p) const noexcept;
  };
  StreamInfo info_;
  CalibrationSet calibrations_;
  std::vector<Block> blocks_;
  std::unique_ptr<float, Free> plain_;
};

struct StorageTaken {
  double seconds = 0.0;      // from making the file until it is synced and closed
  double cpu_seconds = 0.0;  // of all threads, in the kernel too
  double memory_mb = 0.0;    // at most at a time, of the process; 0: not looked at
};

// Runs `work` and says what it took. Nothing else may run in this process meanwhile.
[[nodiscard]] StorageTaken taken_by(const std::function<void()>& work);

struct StorageContestant {
  std::string name;
  // Records the first `blocks` blocks into files in the empty `directory`. Nothing: what it needs
  // is not there. Throws Error.
  std::function<std::optional<StorageTaken>(const std::string& directory, std::uint64_t blocks)>
      run;
  // How many values in those files are not what was recorded; null: not looked at.
  std::function<std::uint64_t(const std::string& directory, std::uint64_t blocks)> wrong;
  std::uint64_t share = 1;  // so slow that it gets one of so many blocks
};
using StorageContestants = std::vector<StorageContestant>;

// `samples` outlives them all.

// write() of the same bytes, buffered and O_DIRECT.
[[nodiscard]] StorageContestants raw_files(const StorageSamples& samples);
inline constexpr const char* raw_write = "raw write";
inline constexpr const char* sink_process = "Hdf5Sink, process";
inline constexpr const char* sink_full = "Hdf5Sink, full";
[[nodiscard]] StorageContestants spillway_hdf5(const StorageSamples& samples);
[[nodiscard]] StorageContestants spillway_hdf5_compressed(const StorageSamples& samples);
inline constexpr std::array sink_threads{"Hdf5Sink, 0 threads", "Hdf5Sink, 1 thread",
                                         "Hdf5Sink, 2 threads"};
[[nodiscard]] StorageContestants spillway_csv(const StorageSamples& samples);
// Whole chunks through the filters of the HDF5 library.
[[nodiscard]] StorageContestants hdf5_pipeline(const StorageSamples& samples);
inline constexpr const char* pipeline = "H5Dwrite, shuffle + deflate 1";
[[nodiscard]] StorageContestants stream_csv(const StorageSamples& samples);
inline constexpr const char* ofstream = "std::ofstream <<";
inline constexpr const char* csv_sink = "CsvSink";
// Scripts, that get the samples from the file `input`.
[[nodiscard]] StorageContestants h5py_append(const StorageSamples& samples,
                                             const std::string& input);
inline constexpr const char* h5py = "h5py, a dataset a channel";
[[nodiscard]] StorageContestants pandas_csv(const StorageSamples& samples,
                                            const std::string& input);
inline constexpr const char* pandas = "pandas to_csv";

// Compares one dataset of float32 a channel, named as the channels, in `group`.
[[nodiscard]] std::uint64_t wrong_in_hdf5(const std::string& path, const std::string& group,
                                          const StorageSamples& samples, std::uint64_t blocks);
// Compares the columns that have channels' names.
[[nodiscard]] std::uint64_t wrong_in_csv(const std::string& path, const StorageSamples& samples,
                                         std::uint64_t blocks);

// fdatasync, and close. Throws Error.
void sync_and_close(int fd, const std::string& path);

}  // namespace spillway::bench
