#include "stalled_disk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "bars.hpp"
#include "interrupt.hpp"
#include "scratch.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/storage/hdf5_sink.hpp"

namespace spillway::bench {

namespace {

using namespace literals;
using namespace std::chrono_literals;

constexpr std::size_t channels = 4;
constexpr std::size_t push_frames = 128;
constexpr auto push_every = 100us;
constexpr auto stall = 200ms;
constexpr auto between_stalls = 100ms;
constexpr auto flush_every = 50ms;

constexpr const char* alone = "no recorder";
constexpr const char* recorded = "recorder";
constexpr const char* stalled = "recorder on a disk that stalls";
constexpr std::array quantiles{std::pair{"p50", 0.5}, std::pair{"p99", 0.99},
                               std::pair{"p99.9", 0.999}};

// Those of the system, but writing and syncing take 200 ms now and then.
class StallingCalls final : public FileCalls {
 public:
  [[nodiscard]] std::uint64_t stalls() const noexcept { return stalls_.load(); }

  int open(const char* path, int flags, mode_t mode) noexcept override {
    return system_.open(path, flags, mode);
  }
  int close(int fd) noexcept override { return system_.close(fd); }
  ssize_t pread(int fd, void* to, std::size_t bytes, off_t at) noexcept override {
    return system_.pread(fd, to, bytes, at);
  }
  ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override {
    maybe_stall();
    return system_.pwrite(fd, from, bytes, at);
  }
  int ftruncate(int fd, off_t size) noexcept override { return system_.ftruncate(fd, size); }
  off_t size(int fd) noexcept override { return system_.size(fd); }
  int fdatasync(int fd) noexcept override {
    maybe_stall();
    return system_.fdatasync(fd);
  }
  int flock(int fd, int operation) noexcept override { return system_.flock(fd, operation); }
  void start_writeback(int fd, off_t at, off_t bytes) noexcept override {
    system_.start_writeback(fd, at, bytes);
  }
  PathKind kind(const char* path) noexcept override { return system_.kind(path); }
  int rename(const char* from, const char* to, bool replace) noexcept override {
    return system_.rename(from, to, replace);
  }
  int unlink(const char* path) noexcept override { return system_.unlink(path); }
  int sync_directory(const char* path) noexcept override { return system_.sync_directory(path); }
  int list(const char* directory, std::vector<std::string>& names) override {
    return system_.list(directory, names);
  }
  std::int64_t free_bytes(const char* directory) noexcept override {
    return system_.free_bytes(directory);
  }

 private:
  void maybe_stall() noexcept {
    if (std::chrono::steady_clock::now() - last_.load() < between_stalls) return;
    std::this_thread::sleep_for(stall);
    last_.store(std::chrono::steady_clock::now());
    stalls_.fetch_add(1);
  }

  FileCalls& system_ = system_file_calls();
  std::atomic<std::chrono::steady_clock::time_point> last_{std::chrono::steady_clock::now()};
  std::atomic<std::uint64_t> stalls_{0};
};

StreamInfo input_info() {
  StreamInfo info;
  info.name = "input";
  info.rate = Rate(1'280'000, 1);
  info.capacity = Time(500ms);
  for (std::size_t c = 0; c < channels; ++c) {
    ChannelInfo channel;
    channel.name = std::to_string(c);
    channel.unit = "V";
    channel.type = SampleType::int16;
    info.channels.push_back(std::move(channel));
  }
  return info;
}

// One run of an engine; `calls`: what its recorder writes by, if it has one.
void run(const StalledDiskOptions& options, FileCalls* calls, Row& row) {
  const Scratch scratch(options.directory);
  Engine engine;
  Stream& input = engine.add_stream(input_info());
  const Signal smooth =
      engine.graph().add(MovingAverage{.window = 32}, Signal{input.info().name}, "smooth");
  engine.graph().add(lowpass(Butterworth{.order = 4}, 10_kHz), smooth, "low");
  if (calls)
    engine.record(std::make_unique<Hdf5Sink>(scratch.path() + "/run.h5", Existing::refuse,
                                             Hdf5Options{.durability = Durability::full}, *calls),
                  flush_every, {Signal{"input"}, Signal{"low"}});
  engine.start();
  std::vector<std::int16_t> frames(push_frames * channels);
  for (std::size_t i = 0; i < frames.size(); ++i)
    frames[i] = static_cast<std::int16_t>(1000.0 * std::sin(0.01 * static_cast<double>(i)));
  Writer<std::int16_t> writer(input);
  auto due = std::chrono::steady_clock::now();
  // The graph takes what has come: more than one push at once, if it was late.
  while (engine.graph_status().at(0).latency.count < options.blocks) {
    check_interrupted();
    for (int i = 0; i < 256; ++i) {
      writer.push(std::span<const std::int16_t>(frames));
      std::this_thread::sleep_until(due += push_every);
    }
  }
  const DurationHistogram::Snapshot latency = engine.graph_status().at(0).latency;
  const Report report = engine.stop();
  if (!report.errors.empty()) throw Error(report.errors[0]);
  const auto us = [](std::chrono::nanoseconds ns) {
    return static_cast<double>(ns.count()) * 1e-3;
  };
  for (const auto& [name, share] : quantiles)
    row.record(name, "us", Better::less, us(latency.quantile(share)));
  row.record("longest", "us", Better::less, us(latency.longest));
  row.count("blocks", latency.count);
  for (const RecordingReport& recording : report.recordings)
    for (const auto& stream : recording.streams) {
      row.count("recorded", stream.counts.recorded);
      row.count("lost", stream.counts.lost);
    }
}

}  // namespace

Workload measure_stalled_disk(const StalledDiskOptions& options, Progress& progress) {
  Workload w{
      stalled_disk_id,
      "a graph whose recorder's disk stalls",
      fmt::format("Engine::graph_status: from the read of a block until all that came of it "
                  "is in the rings. A push of {} frames of {} channels every {} us; moving "
                  "average of 32, low-pass of order 4; input and result recorded, "
                  "durability full. The disk stalls for {} ms, works for {} ms, and so on.",
                  push_frames, channels, push_every.count(), stall.count(), between_stalls.count()),
      "",
      "us",
      alone,
      {}};
  w.rows = {{.name = alone}, {.name = recorded}, {.name = stalled}};
  for (std::uint64_t round = 0; round < options.rounds; ++round) {
    progress.show(fmt::format("{}: round {} of {}", w.title, round + 1, options.rounds));
    for (std::size_t i = 0; i < w.rows.size(); ++i) {
      check_interrupted();
      const std::size_t at = (i + round) % w.rows.size();
      if (at == 0) run(options, nullptr, w.rows[at]);
      if (at == 1) run(options, &system_file_calls(), w.rows[at]);
      if (at == 2) {
        StallingCalls calls;
        run(options, &calls, w.rows[at]);
        w.rows[at].count("stalls", calls.stalls());
      }
    }
  }
  check_interrupted();
  std::vector<Bar> bars;
  for (const auto& [name, share] : quantiles)
    bars.push_back({.row = stalled, .metric = name, .other = alone, .most = 2.0});
  w.note += " " + judged(w, bars);
  return w;
}

}  // namespace spillway::bench
