// What a running engine made, against a replay from the log it kept.
#include "spillway/filters/graph_replay.hpp"

#include <cstdlib>
#include <map>
#include <thread>

#include "filters/random_plant.hpp"
#include "sinks.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/filters/graph_log_json.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

// Derived streams, read while the engine runs; what came too late for this reader is left out.
class Derived {
 public:
  explicit Derived(Engine& engine) : engine_(engine) {}
  void read() {
    for (const std::string& name : engine_.names()) {
      if (name == "fast" || name == "slow" || name == "odd") continue;
      auto found = streams_.find(name);
      if (found == streams_.end()) found = streams_.emplace(name, engine_.stream(name)).first;
      while (found->second.read()) {
      }
    }
  }
  struct Read {
    explicit Read(const Stream& stream) : reader(stream), block(stream.info(), 512) {}
    bool read() {
      const Chunk chunk = reader.read(block);
      for (std::size_t f = 0; f < chunk.count.value; ++f) {
        Point point;
        for (std::size_t c = 0; c < block.channel_count(); ++c) {
          point.values.push_back(block.values<double>(c)[f]);
          point.quality.push_back(block.quality(c)[f].byte());
        }
        const std::uint64_t number = chunk.first.value + f;
        point.time = block.has_times()
                         ? block.times()[f]
                         : chunk.clock_time +
                               reader.info().rate->duration(number - chunk.clock_sample.value);
        points[number] = std::move(point);
      }
      return chunk.count.value + chunk.lost.value + chunk.missing.value > 0;
    }
    StreamReader reader;
    Block block;
    std::map<std::uint64_t, Point> points;
  };
  [[nodiscard]] const std::map<std::string, Read>& streams() const { return streams_; }

 private:
  Engine& engine_;
  std::map<std::string, Read> streams_;
};

struct Reached {
  std::size_t points = 0;
  std::size_t not_read = 0;
  std::map<std::string, int> entries;
};

void count_entries(const GraphLog& log, Reached& reached) {
  for (const GraphLogEntry& entry : log.entries)
    ++reached.entries[std::holds_alternative<ReaderLoss>(entry)   ? "loss"
                      : std::holds_alternative<WaitEnded>(entry)  ? "wait"
                      : std::holds_alternative<NodeFailed>(entry) ? "failure"
                                                                  : "change"];
}

// The log of each part as a recording has it.
std::vector<GraphPartLog> logs_of(std::span<const std::string> lines) {
  std::vector<GraphPartLog> logs;
  for (const std::string& text : lines) {
    const GraphLogLine line = graph_log_line_from_json(text, functions());
    if (logs.size() <= line.part) logs.resize(line.part + 1);
    GraphPartLog& log = logs[line.part];
    std::visit(
        [&]<class T>(const T& what) {
          if constexpr (std::is_same_v<T, GraphBegin>) {
            log.spec = what.spec;
            log.streams = what.streams;
          } else if constexpr (std::is_same_v<T, GraphLogDropped>) {
            log.log.dropped += what.count;
          } else {
            log.log.entries.push_back(what);
          }
        },
        line.what);
  }
  return logs;
}

void engine_against_replay(std::uint64_t seed, Reached& reached) {
  CAPTURE(seed);
  Random random(seed);
  RandomGraph graph(random);
  const std::string yaml = graph.yaml();
  CAPTURE(yaml);
  const auto threads = static_cast<std::size_t>(random.below(4));
  CAPTURE(threads);
  Engine engine({.graph_threads = threads});
  Plant plant(seed + 1, 64 + random.below(2) * 2000,
              [&](const StreamInfo& info) { return &engine.add_stream(info); });
  try {
    engine.graph().add(graph_from_yaml(yaml, "random.yaml", functions()));
    (void)engine.prepared_graph();
  } catch (const Error&) {
    return;  // nodes that do not fit
  }
  // The log is that of the engine, or what a recording kept of it.
  const bool from_recording = random.below(2) == 0;
  CAPTURE(from_recording);
  const auto recorded = std::make_shared<MemorySink>();
  if (from_recording)
    engine.record(std::make_unique<KeptSink>(recorded), std::chrono::microseconds(100), {{"slow"}});
  engine.start();
  Derived derived(engine);
  std::string changed;
  for (int act = 0; act < 150; ++act) {
    plant.act(random.below(3));
    if (random.below(15) == 0) {
      graph.change();
      const std::string next = graph.yaml();
      try {
        std::optional<ChangeAt> at;
        if (random.below(2) == 0) at = ChangeAt{"fast", {random.below(3000)}};
        engine.change_graph(graph_from_yaml(next, "changed.yaml", functions()), at);
        changed += next;
      } catch (const Error& e) {
        changed += fmt::format("refused: {}\n", e.what());
      }
    }
    if (threads == 0)
      for (std::uint64_t steps = random.below(4); steps > 0; --steps) (void)engine.step();
    derived.read();
    if (threads > 0 && random.below(4) == 0) std::this_thread::yield();
  }
  if (threads == 0)
    while (engine.step()) derived.read();
  (void)engine.stop();
  derived.read();
  CAPTURE(changed);
  for (const GraphPartLog& part : from_recording ? logs_of(recorded->log()) : engine.graph_log()) {
    CHECK(part.log.dropped == 0);
    count_entries(part.log, reached);
    const std::string log = words(part.log);
    CAPTURE(log);
    std::vector<StreamInfo> infos;
    std::vector<std::size_t> numbers;  // of the streams of the plant
    for (const std::string& name : part.streams)
      for (std::size_t i = 0; i < plant.infos().size(); ++i)
        if (plant.infos()[i].name == name) {
          infos.push_back(plant.infos()[i]);
          numbers.push_back(i);
        }
    REQUIRE(infos.size() == part.streams.size());
    std::vector<StreamReader> readers;
    for (const std::size_t i : numbers) readers.emplace_back(plant.kept(i));
    std::map<std::string, Collected> offline;
    GraphReplay replay(part.spec, infos, part.log);
    replay.run({.next = [&](std::size_t i, Block& block) { return readers[i].read(block); },
                .calibrations = [&](std::size_t i, CalibrationSetId id) -> const CalibrationSet& {
                  return readers[i].calibrations(id);
                }},
               [&](const Graph& now) {
                 for (const std::size_t n : now.ran())
                   collect(now, n, offline[now.spec().nodes[n].id]);
               });
    for (auto& [id, collected] : offline) {
      CAPTURE(id);
      const auto live = derived.streams().find(id);
      REQUIRE(live != derived.streams().end());
      CHECK(live->second.reader.next().value == collected.next);
      // An irregular ring flags times that do not go forward.
      std::optional<Time> before;
      for (auto& [number, point] : collected.points) {
        if (!live->second.reader.info().rate && before && point.time <= *before)
          for (std::uint8_t& q : point.quality)
            q = merge(Quality::from_byte(q), Quality(Verdict::suspect, Quality::time_uncertain))
                    .byte();
        before = point.time;
      }
      reached.not_read += collected.points.size() - live->second.points.size();
      for (const auto& [number, point] : live->second.points) {
        CAPTURE(number, point.values, point.quality);
        const auto same = collected.points.find(number);
        REQUIRE(same != collected.points.end());
        REQUIRE(same_bits(point.values, same->second.values));
        REQUIRE(point.quality == same->second.quality);
        REQUIRE(point.time == same->second.time);
        ++reached.points;
      }
    }
  }
}

}  // namespace

TEST_CASE("what a running engine made, a replay from its log makes again to the bit") {
  const char* full = std::getenv("SPILLWAY_TEST_FULL");
  const int runs = full && *full ? 2000 : 40;
  const char* given = std::getenv("SPILLWAY_TEST_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : new_seed();
  Reached reached;
  for (int run = 0; run < runs; ++run)
    engine_against_replay(seed + static_cast<std::uint64_t>(run) * 10, reached);
  // The hard cases came, and most was seen.
  CHECK(reached.entries["loss"] > 0);
  CHECK(reached.entries["wait"] > 0);
  CHECK(reached.entries["change"] > 0);
  CHECK(reached.points > 10 * reached.not_read / 20);
  CHECK(reached.points > 1000);
}
