// The acquisition thread of a running engine, and the graph for those who own the loop.
#include "spillway/engine/engine.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "../../engine/support.hpp"
#include "path.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/graph_snapshot.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/numbered_sink.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

// An engine that filters and records, and the writer that feeds it.
struct Plant {
  Plant(std::size_t graph_threads, std::unique_ptr<Sink> sink, std::string path)
      : engine({.title = "plant", .graph_threads = graph_threads}),
        strain(engine.add_channel<std::int16_t>({.name = "strain",
                                                 .unit = "V",
                                                 .rate = 100_kHz,
                                                 .capacity = SampleCount{1 << 19},
                                                 .calibration = Linear{1.2e-3, 0.0}})) {
    const Signal smooth = engine.graph().add(MovingAverage{.window = 32}, strain, "smooth");
    engine.graph().add(lowpass(Butterworth{.order = 4}, 1_kHz), smooth, "low");
    if (sink)
      engine.record(std::move(sink), 10ms);
    else
      engine.record({.path = std::move(path), .flush = 10ms});
    engine.start();
    writer.emplace(strain.writer());
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int16_t>(i);
  }

  void turn() noexcept {
    const std::span<std::int16_t> block = writer->claim(256);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] = values[i];
    writer->publish(block.size());
    for (int i = 0; i < 8; ++i) writer->push(values[0], Quality(Verdict::suspect));
    if (++turns % 10 == 0) writer->gap({7});
    if (turns % 20 == 0) writer->stamp({Time(10'000 * std::int64_t(writer->next().value)), turns});
  }

  Engine engine;
  Channel<std::int16_t> strain;
  std::optional<Writer<std::int16_t>> writer;
  std::array<std::int16_t, 256> values{};
  std::uint64_t turns = 0;
};

// Every sample is in the recording or named as missing, and none was lost.
bool recorded_all(Plant& plant) {
  const std::uint64_t pushed = plant.writer->pushed();
  const std::uint64_t produced = plant.writer->next().value;
  const Report report = plant.engine.stop();
  if (!report.errors.empty() || report.recordings.at(0).streams.size() != 3) return false;
  for (const auto& stream : report.recordings.at(0).streams)
    if (stream.counts.produced != produced || stream.counts.recorded != pushed ||
        stream.counts.lost != 0)
      return false;
  return pushed > 0;
}

// Keeps nothing, but counts the files that begin with the state of a graph.
class CountingSink : public MemorySink {
 public:
  explicit CountingSink(std::atomic<int>& files) : files_(files) {}
  void begin(const RecordingInfo& info) override {
    MemorySink::begin(info);
    if (!info.state.empty() && !graph_snapshot_from_bytes(info.state).parts.empty()) ++files_;
  }

 private:
  std::atomic<int>& files_;
};

// A graph that is changed from another thread, comes too late at times, waits in vain for
// an input, and is asked for its state.
struct ChangingPlant {
  ChangingPlant()
      : engine({.title = "changing", .graph_threads = 0}),
        strain(engine.add_channel<std::int16_t>({.name = "strain",
                                                 .unit = "V",
                                                 .rate = 100_kHz,
                                                 .capacity = SampleCount{1 << 12},
                                                 .calibration = Linear{1.2e-3, 0.0}})),
        silent(engine.add_channel<double>({.name = "silent", .rate = 1_kHz})) {
    engine.graph().add(graph(0));
    engine.record(
        std::make_unique<NumberedSink>(
            NumberedOptions{.path = "/nowhere/run.h5", .split = {.bytes = 1 << 16}},
            [this](const std::string&) { return std::make_unique<CountingSink>(states); }),
        10ms);
    engine.start();
    writer.emplace(strain.writer());
  }

  static GraphSpec graph(std::uint64_t version) {
    GraphSpec spec;
    spec.nodes = {{"smooth", {"strain"}, MovingAverage{.window = 32 + version % 7}},
                  {"low", {"smooth"}, lowpass(Butterworth{.order = 4}, 1_kHz)},
                  {"few", {"low"}, Decimate{.factor = 10}},
                  {"both", {"few", "silent"}, Align{.max_wait = 1ms}}};
    if (version % 2 == 1) spec.nodes.push_back({"odd", {"strain"}, SlidingMedian{.window = 5}});
    return spec;
  }

  void turn() noexcept {
    // At times more than the ring holds.
    for (int i = turns % 50 == 0 ? 20'000 : 300; i > 0; --i) writer->push(std::int16_t(i));
    if (++turns % 10 == 0) writer->gap({7});
    while (engine.step()) continue;
  }
  void change() {
    const std::uint64_t version = ++changes;
    try {
      if (version % 3 == 0)
        (void)engine.change({{"smooth", MovingAverage{.window = 20 + version % 9}}});
      else
        (void)engine.change_graph(graph(version));
    } catch (const Error&) {  // enough are under way
      std::this_thread::yield();
    }
    for (const GraphPartLog& part : engine.graph_log())
      for (; seen < part.log.entries.size(); ++seen) ++entries[part.log.entries[seen].index()];
    made = entries[GraphLogEntry(GraphChanged{}).index()];
  }

  std::atomic<int> states{0};
  Engine engine;
  Channel<std::int16_t> strain;
  Channel<double> silent;
  std::optional<Writer<std::int16_t>> writer;
  std::uint64_t turns = 0;
  // Of the thread that changes.
  std::uint64_t changes = 0;
  std::size_t seen = 0;
  std::array<std::uint64_t, std::variant_size_v<GraphLogEntry>> entries{};
  std::atomic<std::uint64_t> made{0};  // changes
};

Path acquisition(const std::shared_ptr<Plant>& plant) {
  Path path;
  path.run = [plant] {
    for (int i = 0; i < 1000; ++i) plant->turn();
  };
  path.reached = [plant] { return recorded_all(*plant); };
  return path;
}

}  // namespace

TEST_CASE("acquisition is fit for real time while the engine filters and records") {
  SECTION("to memory") {
    check_clean("memory", [] {
      return acquisition(std::make_shared<Plant>(1, std::make_unique<MemorySink>(), ""));
    });
  }
  SECTION("to HDF5") {
    TemporaryDirectory directory;
    int files = 0;
    check_clean("HDF5", [&] {
      return acquisition(std::make_shared<Plant>(
          1, nullptr, directory / ("run" + std::to_string(files++) + ".h5")));
    });
  }
}

TEST_CASE("Engine::step is fit for real time, in the loop that acquires") {
  check_clean("step", [] {
    const auto plant = std::make_shared<Plant>(0, std::make_unique<MemorySink>(), "");
    Path path;
    path.run = [plant] {
      for (int i = 0; i < 1000; ++i) {
        plant->turn();
        while (plant->engine.step()) continue;
      }
    };
    path.reached = [plant] { return recorded_all(*plant); };
    return path;
  });
}

TEST_CASE(
    "Engine::step is fit for real time while the graph is changed, comes late, waits and gives its "
    "state") {
  check_clean("changes", [] {
    const auto plant = std::make_shared<ChangingPlant>();
    Path path;
    path.run = [plant] {
      for (int i = 0; i < 1000 || plant->made < 20 || plant->states < 5; ++i) plant->turn();
    };
    path.beside = [plant] { plant->change(); };
    path.reached = [plant] {
      plant->change();
      return plant->entries[GraphLogEntry(ReaderLoss{}).index()] > 0 &&
             plant->entries[GraphLogEntry(WaitEnded{}).index()] > 0 && plant->made >= 20 &&
             plant->states >= 5;
    };
    return path;
  });
}
