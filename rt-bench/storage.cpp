#include "storage.hpp"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <utility>

#include "bars.hpp"
#include "contestants/storage_contestant.hpp"
#include "interrupt.hpp"
#include "scratch.hpp"
#include "spillway/channels/error.hpp"
#include "stalled_disk.hpp"

namespace spillway::bench {

namespace {

constexpr const char* hdf5_id = "storage-hdf5";
constexpr const char* compressed_id = "storage-compressed";
constexpr const char* csv_id = "storage-csv";

// Enough that no cache of the processor holds them.
constexpr std::uint64_t most_period = 64;

// Blocks of the fastest ways.
std::uint64_t blocks_of(std::uint64_t samples) {
  return std::max<std::uint64_t>(samples / storage_values, 1);
}

// The samples, in memory and as a file for the scripts.
class Input {
 public:
  Input(const std::string& directory, std::uint64_t samples)
      : samples_(std::min(blocks_of(samples), most_period)), scratch_(directory) {
    std::ofstream file(path(), std::ios::binary);
    const std::span<const float> plain = samples_.plain();
    file.write(reinterpret_cast<const char*>(plain.data()),
               static_cast<std::streamsize>(plain.size_bytes()));
    file.close();
    if (!file) throw Error(fmt::format("{}: {}", path(), std::strerror(errno)));
  }
  [[nodiscard]] const StorageSamples& samples() const noexcept { return samples_; }
  [[nodiscard]] std::string path() const { return scratch_.path() + "/input"; }

 private:
  StorageSamples samples_;
  Scratch scratch_;
};

enum class Kind { plain, compressed, text };

// Everybody once, on a disk that has nothing else to do.
void measure_round(const StorageContestants& all, const StorageOptions& options,
                   std::uint64_t round, std::uint64_t samples, Kind kind, Workload& w) {
  // Each round begins with another one, so that nobody is always first.
  for (std::size_t i = 0; i < all.size(); ++i) {
    check_interrupted();
    const StorageContestant& c = all[(i + round) % all.size()];
    const std::uint64_t blocks = std::max<std::uint64_t>(blocks_of(samples) / c.share, 1);
    const Scratch scratch(options.directory);
    scratch.settle(blocks * storage_values * sizeof(float));
    const std::optional<StorageTaken> taken = c.run(scratch.path(), blocks);
    check_interrupted();
    if (!taken) continue;
    auto row = std::ranges::find(w.rows, c.name, &Row::name);
    const auto values = static_cast<double>(blocks * storage_values);
    const double megabytes = values * sizeof(float) * 1e-6;
    if (kind == Kind::text) {
      row->record("values", "M/s", Better::more, values * 1e-6 / taken->seconds);
      row->record("a core", "M/s", Better::more, values * 1e-6 / taken->cpu_seconds);
      row->record("a value", "bytes", Better::less, static_cast<double>(scratch.bytes()) / values);
    } else {
      row->record("samples", "MB/s", Better::more, megabytes / taken->seconds);
      if (kind == Kind::compressed)
        row->record("a core", "MB/s", Better::more, megabytes / taken->cpu_seconds);
      row->record("CPU time a GB", "s", Better::less, taken->cpu_seconds * 1e3 / megabytes);
      row->record("file", "% of samples", Better::less,
                  static_cast<double>(scratch.bytes()) * 1e-4 / megabytes);
    }
    if (round == 0 && c.wrong) row->count("wrong", c.wrong(scratch.path(), blocks));
  }
}

Workload measure_ways(Workload w, StorageContestants all, const StorageOptions& options,
                      std::uint64_t samples, Kind kind, const std::vector<Bar>& bars,
                      Progress& progress) {
  for (const StorageContestant& c : all) w.rows.push_back({.name = c.name});
  for (std::uint64_t round = 0; round < options.rounds; ++round) {
    progress.show(fmt::format("{}: round {} of {}", w.title, round + 1, options.rounds));
    measure_round(all, options, round, samples, kind, w);
  }
  std::erase_if(w.rows, [](const Row& row) { return row.metrics.empty(); });
  w.note += " " + judged(w, bars);
  return w;
}

StorageContestants joined(std::initializer_list<StorageContestants> several) {
  StorageContestants all;
  for (const StorageContestants& some : several)
    for (const StorageContestant& c : some) all.push_back(c);
  return all;
}

std::string amount(std::uint64_t samples) {
  return fmt::format("{} MB", blocks_of(samples) * storage_values * sizeof(float) / 1'000'000);
}

Workload measure_hdf5(const StorageOptions& options, const Input& input, Progress& progress) {
  return measure_ways(
      {hdf5_id,
       "recording 64 channels of float32",
       fmt::format("{} of samples in blocks of {} frames, h5py a quarter of them; made, sealed, "
                   "synced. A flush each second.",
                   amount(options.samples), storage_frames),
       "",
       "ns",
       raw_write,
       {}},
      joined({raw_files(input.samples()), spillway_hdf5(input.samples()),
              h5py_append(input.samples(), input.path())}),
      options, options.samples, Kind::plain,
      {{.row = sink_process, .metric = "samples", .other = raw_write, .least = 0.85},
       {.row = sink_full, .metric = "samples", .other = raw_write, .least = 0.75},
       {.row = sink_full, .metric = "samples", .other = h5py, .least = 4.0}},
      progress);
}

Workload measure_compressed(const StorageOptions& options, const Input& input, Progress& progress) {
  // Compressing takes several times as long as writing.
  const std::uint64_t samples = options.samples / 4;
  std::vector<Bar> bars;
  for (const char* const sink : sink_threads)
    bars.push_back({.row = sink, .metric = "a core", .other = pipeline, .least = 1.7});
  bars.push_back(
      {.row = sink_threads[2], .metric = "samples", .other = sink_threads[1], .least = 1.0});
  bars.push_back({.row = sink_threads[0], .metric = "file", .other = pipeline, .most = 1.0 / 0.97});
  return measure_ways(
      {compressed_id,
       "recording 64 channels of float32, compressed",
       fmt::format("{} of samples in blocks of {} frames, shuffled and deflated at level 1 in "
                   "chunks of {}. A flush each second, but not for HDF5's own filters.",
                   amount(samples), storage_frames, storage_chunk_rows),
       "",
       "ns",
       pipeline,
       {}},
      joined({hdf5_pipeline(input.samples()), spillway_hdf5_compressed(input.samples())}), options,
      samples, Kind::compressed, bars, progress);
}

Workload measure_csv(const StorageOptions& options, const Input& input, Progress& progress) {
  const std::uint64_t samples = options.samples / 32;
  return measure_ways(
      {csv_id,
       "CSV of 64 channels of float32",
       fmt::format("{:.1f} million values in blocks of {} frames, {}, a quarter of them for the "
                   "others; numbers that read back as they were; synced. Rows of sample, time, and "
                   "of each channel value and quality.",
                   static_cast<double>(blocks_of(samples) * storage_values) * 1e-6, storage_frames,
                   csv_sink),
       "",
       "ns",
       ofstream,
       {}},
      joined({spillway_csv(input.samples()), stream_csv(input.samples()),
              pandas_csv(input.samples(), input.path())}),
      options, samples, Kind::text,
      {{.row = csv_sink, .metric = "values", .other = ofstream, .least = 5.0},
       {.row = csv_sink, .metric = "values", .other = pandas, .least = 20.0}},
      progress);
}

}  // namespace

std::vector<std::string> storage_workloads() {
  return {hdf5_id, compressed_id, csv_id, stalled_disk_id};
}

std::string file_system_of(const std::string& directory) {
  std::error_code error;
  const std::string real = std::filesystem::canonical(directory, error).string();
  if (error || !std::filesystem::is_directory(real))
    throw Error(fmt::format("{}: no directory", directory));
  // The mount with the longest name that leads to it; later ones hide earlier ones.
  std::ifstream mounts("/proc/self/mounts");
  std::string line;
  std::string best;
  std::string found = "unknown";
  while (std::getline(mounts, line)) {
    std::istringstream words(line);
    std::string device;
    std::string where;
    std::string type;
    words >> device >> where >> type;
    const std::string prefix = where.ends_with('/') ? where : where + '/';
    if (!(real + '/').starts_with(prefix) || where.size() < best.size()) continue;
    best = where;
    found = fmt::format("{} on {}", type, device);
  }
  return found;
}

std::vector<std::string> storage_warnings(const std::string& directory) {
  struct statfs info {};
  if (::statfs(directory.c_str(), &info) == 0 && info.f_type == TMPFS_MAGIC)
    return {fmt::format("{} is in memory (tmpfs): nothing there waits for a disk", directory)};
  return {};
}

std::vector<Workload> measure_storage(const StorageOptions& options, Progress& progress,
                                      const Show& show) {
  const auto wanted = [&](const char* id) {
    return options.only.empty() || std::ranges::find(options.only, id) != options.only.end();
  };
  std::vector<Workload> workloads;
  const auto keep = [&](Workload w) {
    show(w);
    workloads.push_back(std::move(w));
  };
  std::unique_ptr<Input> input;
  for (const auto& [id, measure] :
       {std::pair{hdf5_id, &measure_hdf5}, std::pair{compressed_id, &measure_compressed},
        std::pair{csv_id, &measure_csv}}) {
    if (!wanted(id)) continue;
    if (!input) {
      progress.show("making the samples");
      input = std::make_unique<Input>(options.directory, options.samples);
    }
    keep(measure(options, *input, progress));
  }
  input.reset();
  if (wanted(stalled_disk_id)) {
    // 100,000 blocks where 2^28 samples are recorded.
    const std::uint64_t blocks = std::clamp<std::uint64_t>(options.samples / 2684, 100, 100'000);
    keep(measure_stalled_disk(
        {.rounds = options.rounds, .blocks = blocks, .directory = options.directory}, progress));
  }
  progress.clear();
  return workloads;
}

}  // namespace spillway::bench
