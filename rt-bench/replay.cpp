#include "replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "bars.hpp"
#include "contestants/replay_ways.hpp"
#include "interrupt.hpp"
#include "scratch.hpp"

namespace spillway::bench {

namespace {

constexpr const char* plain_id = "replay-hdf5";
constexpr const char* compressed_id = "replay-compressed";
constexpr const char* length_id = "replay-length";
// Sums of 32 values of up to 10 in another order differ by some 1e-14.
constexpr double same = 1e-9;

void record_one(Row& row, const StorageTaken& taken, double megasamples) {
  row.record("samples", "M/s", Better::more, megasamples / taken.seconds);
  row.record("a core", "M/s", Better::more, megasamples / taken.cpu_seconds);
  if (taken.memory_mb > 0.0) row.record("memory", "MB", Better::less, taken.memory_mb);
}

Workload measure_ways(const char* id, int compression, const ReplayBenchOptions& options,
                      Progress& progress) {
  const std::uint64_t rows =
      std::max<std::uint64_t>(options.samples / storage_values, 5) * storage_frames;
  const double megasamples = static_cast<double>(rows * storage_channels) * 1e-6;
  const std::vector<ReplayWay> ways{replay_way(1), replay_way(2), object_copy_way(),
                                    sink_copy_way(), script_way()};
  Workload w{
      id,
      fmt::format("filtering a recording{}", compression > 0 ? ", compressed" : ""),
      fmt::format("{:.1f} million samples of float32 in 64 channels through a moving average "
                  "of {} and a low-pass of order 4 to float64; copies keep float32.",
                  megasamples, replay_window),
      "",
      "ns",
      object_copy_way().name,
      {}};
  for (const ReplayWay& way : ways) w.rows.push_back({.name = way.name});
  const Scratch made(options.directory);
  const std::string input = made.path() + "/input.h5";
  progress.show(fmt::format("{}: making the recording", w.title));
  make_recording(input, rows, compression);
  for (std::uint64_t round = 0; round < options.rounds; ++round) {
    progress.show(fmt::format("{}: round {} of {}", w.title, round + 1, options.rounds));
    for (std::size_t i = 0; i < ways.size(); ++i) {
      check_interrupted();
      const std::size_t at = (i + round) % ways.size();
      const Scratch scratch(options.directory);
      scratch.settle(rows * storage_channels * sizeof(double));
      const std::string output = scratch.path() + "/output.h5";
      const std::optional<StorageTaken> taken = ways[at].run(input, output);
      check_interrupted();
      if (taken) record_one(w.rows[at], *taken, megasamples);
    }
  }
  // The two that compute make the same of it.
  const Scratch scratch(options.directory);
  const ReplayWay &ours = ways[1], &script = ways.back();
  const std::string a = scratch.path() + "/a.h5", b = scratch.path() + "/b.h5";
  if (script.run(input, b) && ours.run(input, a))
    w.rows[1].count("wrong", largest_difference(a, ours.group, b, script.group) > same ? 1 : 0);
  std::erase_if(w.rows, [](const Row& row) { return row.metrics.empty(); });
  std::vector<Bar> bars{
      {.row = ours.name, .metric = "samples", .other = script.name, .least = 8.0},
      {.row = ours.name, .metric = "samples", .other = object_copy_way().name, .least = 0.6},
      {.row = ours.name, .metric = "samples", .other = sink_copy_way().name, .least = 0.6}};
  w.note += " " + judged(w, bars);
  return w;
}

Workload measure_plain(const ReplayBenchOptions& options, Progress& progress) {
  return measure_ways(plain_id, 0, options, progress);
}

Workload measure_compressed(const ReplayBenchOptions& options, Progress& progress) {
  return measure_ways(compressed_id, 1, options, progress);
}

// Memory must not grow with what is read.
Workload measure_length(const ReplayBenchOptions& options, Progress& progress) {
  Workload w{length_id,
             "filtering recordings of several lengths",
             "As replay-hdf5, with 2 threads. Memory is that of the whole process, at most.",
             "",
             "ns",
             "",
             {}};
  const ReplayWay way = replay_way(2);
  for (const std::uint64_t quarters : {1, 4, 16}) {
    const std::uint64_t rows =
        std::max<std::uint64_t>(options.samples * quarters / 4 / storage_values, 1) *
        storage_frames;
    const double megasamples = static_cast<double>(rows * storage_channels) * 1e-6;
    Row row{.name = fmt::format("{:.1f} million samples", megasamples)};
    progress.show(fmt::format("{}: {}", w.title, row.name));
    const Scratch scratch(options.directory);
    const std::string input = scratch.path() + "/input.h5";
    make_recording(input, rows, 0);
    scratch.settle(rows * storage_channels * sizeof(double));
    if (const auto taken = way.run(input, scratch.path() + "/output.h5"))
      record_one(row, *taken, megasamples);
    check_interrupted();
    w.rows.push_back(std::move(row));
  }
  return w;
}

}  // namespace

std::vector<std::string> replay_workloads() { return {plain_id, compressed_id, length_id}; }

std::vector<Workload> measure_replay(const ReplayBenchOptions& options, Progress& progress,
                                     const Show& show) {
  std::vector<Workload> workloads;
  for (const auto& [id, measure] :
       {std::pair{plain_id, &measure_plain}, std::pair{compressed_id, &measure_compressed},
        std::pair{length_id, &measure_length}}) {
    if (!options.only.empty() && std::ranges::find(options.only, id) == options.only.end())
      continue;
    workloads.push_back(measure(options, progress));
    show(workloads.back());
  }
  progress.clear();
  return workloads;
}

}  // namespace spillway::bench
