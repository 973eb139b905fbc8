// A live run against its replay: random graphs, cuts, gaps, losses, waits and changes.
#include "spillway/filters/graph_replay.hpp"

#include <cstdlib>
#include <iostream>
#include <map>
#include <set>

#include "random_plant.hpp"
#include "spillway/channels/reader.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Outputs = std::map<std::string, Collected>;

void collect_into(const Graph& graph, Outputs& all) {
  for (const std::size_t n : graph.ran()) collect(graph, n, all[graph.spec().nodes[n].id]);
}

// Reads live streams as an engine does, and keeps the log.
class LiveRun {
 public:
  LiveRun(const Plant& plant, const GraphSpec& spec, std::size_t block, Random& random)
      : plant_(plant), graph_(spec, plant.infos(), block), block_(block), random_(random) {
    for (std::size_t i = 0; i < plant.infos().size(); ++i) {
      readers_.emplace_back(plant.live(i));
      blocks_.emplace_back(plant.infos()[i], block);
    }
  }

  // True if more may be there.
  bool read(std::size_t i) {
    if (graph_.nodes_of(i).empty()) return false;
    const Chunk chunk = readers_[i].read(blocks_[i]);
    if (chunk.lost.value > 0) {
      log.entries.push_back(ReaderLoss{plant_.infos()[i].name, chunk.from, chunk.lost,
                                       chunk.missing, chunk.cause, chunk.mixed});
      ++losses;
    }
    const std::size_t count = chunk.count.value;
    const std::size_t first = random_.below(3) == 0 ? random_.below(count + 1) : count;
    give(i, chunk, {0, first});
    if (first < count) {
      if (random_.below(2) == 0) maybe_change();
      give(i, chunk, {first, count - first});
    }
    return chunk.stop != Stop::drained || readers_[i].pending().value > 0;
  }

  // Another graph from now on.
  void change(const GraphSpec& spec) { pending_ = spec; }
  void maybe_change() {
    if (!pending_) return;
    const GraphSpec spec = *std::exchange(pending_, std::nullopt);
    Graph next(spec, plant_.infos(), block_);
    try {
      next.follow(graph_);
    } catch (const Error& e) {
      ++refused;
      return;
    }
    GraphCut cut;
    for (std::size_t i = 0; i < plant_.infos().size(); ++i) {
      // What the new graph reads first, where the old one did not read.
      if (graph_.nodes_of(i).empty() && !next.nodes_of(i).empty()) {
        readers_[i].seek_latest();
        graph_.begin_at(i, readers_[i].next());
      }
      cut.push_back(graph_.next(i));
    }
    next.take_over(graph_);
    graph_ = std::move(next);
    log.entries.push_back(GraphChanged{cut, spec});
    ++changes;
  }

  [[nodiscard]] const Graph& graph() const { return graph_; }
  void load(std::span<const std::byte> state) { graph_.load_state(state); }

  Outputs outputs;
  GraphLog log;
  int losses = 0;
  int waits = 0;
  int changes = 0;
  int refused = 0;
  int failures = 0;

  // From here on, with `state` and a log of its own.
  struct Checkpoint {
    std::vector<std::byte> state;
    GraphSpec spec;
    std::size_t entries = 0;  // of the log
    Outputs outputs;          // from then on
    Outputs began;            // as they were, empty but for their next number
  };
  std::optional<Checkpoint> checkpoint;
  void save() {
    Outputs began;
    for (const auto& [id, collected] : outputs) began[id].next = collected.next;
    checkpoint = Checkpoint{saved_state(), graph_.spec(), log.entries.size(), began, began};
  }

 private:
  // The same whether it goes where there is room or not.
  [[nodiscard]] std::vector<std::byte> saved_state() const {
    constexpr std::byte untouched{0xA5};
    const std::vector<std::byte> state = graph_.save_state();
    for (const std::size_t size : {state.size(), state.size() + 7, state.size() / 2}) {
      std::vector<std::byte> room(size + 8, untouched);
      REQUIRE(graph_.save_state(std::span(room).first(size)) == state.size());
      if (size >= state.size()) REQUIRE(std::equal(state.begin(), state.end(), room.begin()));
      for (std::size_t i = std::min(size, state.size()); i < room.size(); ++i)
        if (i >= size || size > state.size()) REQUIRE(room[i] == untouched);
    }
    return state;
  }
  void give(std::size_t i, const Chunk& chunk, Part part) {
    graph_.process(i, chunk, blocks_[i], readers_[i].calibrations(chunk.calibrations), part);
    do {
      collect_into(graph_, outputs);
      if (checkpoint) collect_into(graph_, checkpoint->outputs);
      for (const GraphNote& note : graph_.notes()) {
        const std::string& id = graph_.spec().nodes[note.node].id;
        if (note.kind == GraphNote::Kind::wait_ended) {
          log.entries.push_back(WaitEnded{id, note.input, note.number, note.count});
          ++waits;
        } else {
          ++failures;
          log.entries.push_back(
              NodeFailed{id, note.number, std::string(graph_.failure(note.node))});
        }
      }
    } while (graph_.process_rest());
  }

  const Plant& plant_;
  Graph graph_;
  std::size_t block_;
  Random& random_;
  std::vector<StreamReader> readers_;
  std::vector<Block> blocks_;
  std::optional<GraphSpec> pending_;
};

Outputs replay(const Plant& plant, const GraphSpec& spec, const GraphLog& log, std::size_t block,
               std::span<const std::byte> state = {}, Outputs outputs = {}) {
  std::vector<StreamReader> readers;
  for (std::size_t i = 0; i < plant.infos().size(); ++i) readers.emplace_back(plant.kept(i));
  GraphReplay run(spec, plant.infos(), log, state, block);
  run.run({.next = [&](std::size_t i, Block& b) { return readers[i].read(b); },
           .calibrations = [&](std::size_t i, CalibrationSetId id) -> const CalibrationSet& {
             return readers[i].calibrations(id);
           }},
          [&](const Graph& graph) { collect_into(graph, outputs); });
  return outputs;
}

// Live outputs are those that were made before the streams ended; a replay may not know better.
void check_equal(const Outputs& live, const Outputs& offline) {
  std::set<std::string> ids;
  for (const auto& [id, collected] : live) ids.insert(id);
  for (const auto& [id, collected] : offline) ids.insert(id);
  for (const std::string& id : ids) {
    CAPTURE(id);
    // One that ran over nothing but empty blocks made nothing.
    const auto of = [&](const Outputs& all) { return all.contains(id) ? all.at(id) : Collected(); };
    test::check_same(of(live), of(offline), false);
  }
}

struct Reached {
  int losses = 0;
  int waits = 0;
  int changes = 0;
  int failures = 0;
  int checkpoints = 0;
  int points = 0;
};

void live_against_offline(std::uint64_t seed, Reached& reached) {
  CAPTURE(seed);
  Random random(seed);
  RandomGraph graph(random);
  const std::string yaml = graph.yaml();
  CAPTURE(yaml);
  GraphSpec spec;
  std::optional<LiveRun> live;
  const std::size_t block = 1 + random.below(200);
  std::vector<std::unique_ptr<Stream>> streams;
  Plant plant(seed + 1, 64 + random.below(2) * 400, [&](const StreamInfo& info) {
    return streams.emplace_back(std::make_unique<Stream>(info)).get();
  });
  try {
    spec = graph_from_yaml(yaml, "random.yaml", functions());
    live.emplace(plant, spec, block, random);
  } catch (const Error&) {
    return;  // nodes that do not fit: a decimated stream that an other rate is asked of
  }
  std::string changed;
  const int acts = 40 + static_cast<int>(random.below(100));
  const auto saved_at = static_cast<int>(random.below(200));
  int pause = 0;  // of the reader
  for (int act = 0; act < acts; ++act) {
    if (act == saved_at) live->save();
    plant.act(random.below(3));
    if (random.below(20) == 0) pause = static_cast<int>(random.below(16));
    if (pause-- > 0) continue;
    if (random.below(12) == 0) {
      RandomGraph& g = graph;
      g.change();
      try {
        const std::string next = g.yaml();
        const GraphSpec next_spec = graph_from_yaml(next, "changed.yaml", functions());
        (void)Graph(next_spec, plant.infos());
        live->change(next_spec);
        changed += next;
      } catch (const Error&) {
      }
    }
    if (random.below(3) == 0) live->maybe_change();
    for (int r = 0; r < 3; ++r) live->read(random.below(3));
  }
  for (bool more = true; more;) {
    more = false;
    for (std::size_t i = 0; i < 3; ++i) more |= live->read(i);
  }
  CAPTURE(changed);
  reached.losses += live->losses;
  reached.waits += live->waits;
  reached.changes += live->changes;
  reached.failures += live->failures;
  for (const auto& [id, collected] : live->outputs)
    reached.points += static_cast<int>(collected.points.size());
  const std::string log = words(live->log);
  CAPTURE(log);
  check_equal(live->outputs, replay(plant, spec, live->log, block + random.below(100)));
  if (!live->checkpoint) return;
  INFO("from a state saved at entry " << live->checkpoint->entries << " of the log");
  ++reached.checkpoints;
  const LiveRun::Checkpoint& from = *live->checkpoint;
  GraphLog rest;
  rest.entries.assign(live->log.entries.begin() + static_cast<std::ptrdiff_t>(from.entries),
                      live->log.entries.end());
  check_equal(from.outputs,
              replay(plant, from.spec, rest, block + random.below(100), from.state, from.began));
}

}  // namespace

TEST_CASE("a replay with the log of a live run gives the same bits, whatever happened in it") {
  const char* full = std::getenv("SPILLWAY_TEST_FULL");
  const int runs = full && *full ? 3000 : 60;
  const char* given = std::getenv("SPILLWAY_TEST_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : new_seed();
  Reached reached;
  for (int run = 0; run < runs; ++run)
    live_against_offline(seed + static_cast<std::uint64_t>(run) * 10, reached);
  // The hard cases came.
  CHECK(reached.losses > 0);
  CHECK(reached.waits > 0);
  CHECK(reached.changes > 0);
  CHECK(reached.failures > 0);
  CHECK(reached.checkpoints > 0);
  CHECK(reached.points > 1000);
}

// One sample behind a long gap brings more interpolated ones than an align keeps: the others
// must have gone on as far as in the live run before it comes.
TEST_CASE("a replay keeps no more, and no less, than a live run did behind a long gap") {
  Reached reached;
  live_against_offline(4158398801, reached);
  CHECK(reached.waits > 0);
  CHECK(reached.points > 1000);
}

TEST_CASE("a replay ends waits that ended before any other sample came") {
  const std::vector<StreamInfo> infos{doubles("a", 1, Rate(1000, 1)),
                                      doubles("b", 1, Rate(1000, 1))};
  const auto spec = [](std::chrono::nanoseconds max_wait) {
    GraphSpec graph;
    graph.nodes = {{"both", {"a", "b"}, Align{.max_wait = max_wait}}};
    return graph;
  };
  constexpr std::size_t block = 100;
  const CalibrationSet none(1);
  Block frames(infos[0], block);
  for (std::size_t f = 0; f < block; ++f) frames.values<double>(0)[f] = static_cast<double>(f);
  const auto chunk_at = [](std::uint64_t first) {
    Chunk chunk;
    chunk.from = chunk.first = {first};
    chunk.count = {block};
    return chunk;
  };
  Outputs live;
  GraphLog log;
  Graph graph(spec(10s), infos, block);
  const auto give = [&](std::size_t input, std::uint64_t first, Part part) {
    graph.process(input, chunk_at(first), frames, none, part);
    do {
      collect_into(graph, live);
      for (const GraphNote& note : graph.notes())
        log.entries.emplace_back(WaitEnded{"both", note.input, note.number, note.count});
    } while (graph.process_rest());
  };
  const auto change = [&](std::chrono::nanoseconds max_wait) {
    Graph next(spec(max_wait), infos, block);
    next.follow(graph);
    const GraphCut cut{graph.next(0), graph.next(1)};
    next.take_over(graph);
    graph = std::move(next);
    log.entries.emplace_back(GraphChanged{cut, spec(max_wait)});
  };
  give(0, 0, {0, block});
  CHECK(log.entries.empty());
  change(10ms);
  give(0, 0, {block, 0});
  CHECK(log.entries.size() == 2);
  change(1s);
  give(1, 0, {0, block});
  give(0, 100, {0, block});
  give(1, 100, {0, block});
  CHECK(live["both"].points.size() == 2 * block);
  std::vector<std::uint64_t> next{0, 0};
  Outputs offline;
  GraphReplay replay(spec(10s), infos, log, {}, block);
  replay.run({.next =
                  [&](std::size_t input, Block& to) {
                    if (next[input] == 2 * block) return Chunk{};
                    std::ranges::copy(frames.values<double>(0), to.values<double>(0).begin());
                    return chunk_at(std::exchange(next[input], next[input] + block));
                  },
              .calibrations = [&](std::size_t, CalibrationSetId) -> const CalibrationSet& {
                return none;
              }},
             [&](const Graph& now) { collect_into(now, offline); });
  check_equal(live, offline);
}

TEST_CASE("a log that tells of what is before the state is refused") {
  const std::vector<StreamInfo> infos{doubles("a", 1, Rate(1000, 1))};
  GraphSpec spec;
  spec.nodes = {{"n", {"a"}, MovingAverage{.window = 4}}};
  Graph graph(spec, infos, 100);
  Block frames(infos[0], 100);
  Chunk chunk;
  chunk.count = {100};
  graph.process(0, chunk, frames, CalibrationSet(1));
  const std::vector<std::byte> state = graph.save_state();
  const auto is_refused = [&](const GraphLogEntry& entry) {
    try {
      (void)GraphReplay(spec, infos, {{entry}, 0}, state);
    } catch (const Error&) {
      return true;
    }
    return false;
  };
  CHECK(is_refused(ReaderLoss{"a", {99}, {5}, {0}}));
  CHECK(is_refused(ReaderLoss{"a", {100}, {~std::uint64_t{0}}, {0}}));
  CHECK(is_refused(GraphChanged{{{99}}, spec}));
  CHECK_FALSE(is_refused(ReaderLoss{"a", {100}, {5}, {0}}));
  CHECK_FALSE(is_refused(GraphChanged{{{100}}, spec}));
}
