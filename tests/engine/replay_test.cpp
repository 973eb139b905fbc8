// Replays of recordings, against what live engines wrote into them.
#include "spillway/engine/replay.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "filters/random_plant.hpp"
#include "random_run.hpp"
#include "recorded_samples.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "support/catch.hpp"
#include "support/soak.hpp"
#include "support/temporary_directory.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

// A random graph over random streams in an engine that records all to `path`. False if the nodes do
// not fit.
bool record_random(std::uint64_t seed, const std::string& path, std::string& yaml) {
  Random random(seed);
  RandomGraph graph(random);
  yaml = graph.yaml();
  const auto threads = static_cast<std::size_t>(random.below(4));
  // A recorder that keeps up, of a graph that may not; or whatever comes.
  const bool keeps_up = threads == 0 && random.below(3) > 0;
  const std::uint64_t capacity = random.below(3) == 0 ? 64 : 2064;
  Engine engine({.graph_threads = threads});
  Plant plant(seed + 1, capacity, [&](const StreamInfo& info) { return &engine.add_stream(info); });
  std::vector<spillway::Signal> signals{{"fast"}, {"slow"}, {"odd"}};
  try {
    engine.graph().add(graph_from_yaml(yaml, "random.yaml", functions()));
    const Graph prepared = engine.prepared_graph();
    for (const NodeSpec& node : prepared.spec().nodes) signals.push_back({node.id});
  } catch (const Error&) {
    return false;
  }
  engine.record(
      {.path = path,
       .flush = std::chrono::milliseconds(1),
       .durability = Durability::none,
       .form = path.ends_with(".csv") ? CsvOptions::Form::long_form : CsvOptions::Form::wide},
      signals);
  engine.start();
  const auto settle = [&] {
    if (keeps_up) wait_for_recorder(engine);
  };
  yaml += run_at_random(engine, threads, plant, graph, random, 120, settle);
  while (threads == 0 && engine.step()) settle();
  const Report report = engine.stop();
  CAPTURE(report.errors);
  REQUIRE(report.errors.empty());
  return true;
}

// The lines that tell what the recording lacks.
std::vector<std::string> lacking(const ReplayReport& report) {
  std::vector<std::string> lines;
  for (const std::string& line : report.differences)
    if (line.find("' may differ from sample ") == std::string::npos) lines.push_back(line);
  return lines;
}

void check_against_live(const Recording& recording, const MemorySink& sink,
                        const ReplayReport& report, Reached& reached) {
  const auto differs = differs_from(report);
  for (std::size_t i = 0; i < sink.info().streams.size(); ++i) {
    const std::string& name = sink.info().streams[i].name;
    CAPTURE(name);
    const auto differs_at = differs.find(name);
    const std::uint64_t until = differs_at == differs.end() ? UINT64_MAX : differs_at->second;
    CAPTURE(until);
    CHECK(report.streams[i].name == name);
    CHECK(report.streams[i].counts == sink.counts(i));
    check_same_output(recorded(recording, recording.find(name)), recorded(sink, i), until, reached);
  }
}

// Two outputs of the same stream, of whatever type.
void check_equal(const MemorySink& a, std::size_t i, const MemorySink& b, std::size_t j) {
  CAPTURE(a.info().streams[i].name);
  CHECK(a.segments(i) == b.segments(j));
  CHECK(words(joined(a.gaps(i))) == words(joined(b.gaps(j))));
  CHECK(a.counts(i) == b.counts(j));
  CHECK(a.times(i) == b.times(j));
  CHECK(std::ranges::equal(a.anchors(i), b.anchors(j), [](const Anchor& x, const Anchor& y) {
    return x.sample == y.sample && x.time == y.time && x.ticks == y.ticks;
  }));
  const auto from = [](const CalibrationChange& change) { return change.from_sample; };
  CHECK(std::ranges::equal(a.calibrations(i), b.calibrations(j), {}, from, from));
  REQUIRE(a.info().streams[i].channels.size() == b.info().streams[j].channels.size());
  for (std::size_t c = 0; c < a.info().streams[i].channels.size(); ++c) {
    CHECK(std::ranges::equal(a.bytes(i, c), b.bytes(j, c)));
    CHECK(std::ranges::equal(a.quality(i, c), b.quality(j, c)));
  }
}

std::size_t index_of(const MemorySink& sink, const std::string& name) {
  const auto& streams = sink.info().streams;
  const auto found = std::ranges::find(streams, name, &StreamInfo::name);
  REQUIRE(found != streams.end());
  return static_cast<std::size_t>(found - streams.begin());
}

// With other threads; of some outputs; interrupted, and gone on with: the same. Where raw samples
// lack that the graph had, how far streams that meet get ahead of each other depends on the
// threads.
void replay_otherwise(const Recording& recording, std::uint64_t seed, const MemorySink& sink,
                      const ReplayReport& report, Reached& reached) {
  Random random(seed + 7);
  ReplayOptions options{.functions = functions(), .threads = 2 + random.below(3)};
  {
    MemorySink other;
    const ReplayReport again = replay(recording, other, options);
    CHECK(lacking(again) == lacking(report));
    // From where on an output may differ is told by each.
    check_against_live(recording, other, again, reached);
    if (!report.differences.empty()) return;
    CHECK(other.info().provenance == sink.info().provenance);
    REQUIRE(other.info().streams.size() == sink.info().streams.size());
    for (std::size_t i = 0; i < sink.info().streams.size(); ++i) check_equal(sink, i, other, i);
  }
  for (const StreamInfo& info : sink.info().streams)
    if (random.below(2) == 0) options.outputs.push_back(info.name);
  options.outputs.push_back("fast");
  options.threads = 1 + random.below(3);
  MemorySink some;
  (void)replay(recording, some, options);
  REQUIRE(some.info().streams.size() == options.outputs.size());
  for (std::size_t i = 0; i + 1 < options.outputs.size(); ++i) {
    CHECK(some.info().streams[i].name == options.outputs[i]);
    check_equal(sink, index_of(sink, options.outputs[i]), some, i);
  }
  // Interrupted, twice at times.
  std::string checkpoint;
  std::shared_ptr<MemorySink> written;
  for (std::uint64_t interruptions = 1 + random.below(2); interruptions > 0; --interruptions) {
    std::uint64_t left = random.below(30);
    struct Interrupted {};
    options.checkpoint_every = std::chrono::nanoseconds(0);
    options.checkpoint = [&](const std::string& bytes) {
      checkpoint = bytes;
      if (left-- == 0) throw Interrupted{};
    };
    options.threads = 1 + random.below(3);
    std::optional<Recording> before;
    if (written) {
      before.emplace(Recording::of(written));
      options.resume = {&*before, checkpoint};
    }
    const auto partly = std::make_shared<MemorySink>();
    try {
      (void)replay(recording, *partly, options);
    } catch (const Interrupted&) {
      ++reached["interrupted"];
    }
    if (checkpoint.empty()) return;
    written = partly;
  }
  const Recording before = Recording::of(written);
  options.resume = {&before, checkpoint};
  options.checkpoint = {};
  options.threads = 1 + random.below(3);
  MemorySink whole;
  const ReplayReport resumed = replay(recording, whole, options);
  REQUIRE(whole.info().streams.size() == some.info().streams.size());
  for (std::size_t i = 0; i < some.info().streams.size(); ++i) {
    check_equal(some, i, whole, i);
    CHECK(resumed.streams[i].counts == some.counts(i));
  }
}

void recording_against_replay(std::uint64_t seed, const TemporaryDirectory& directory,
                              Reached& reached) {
  CAPTURE(seed);
  const std::string path = directory / fmt::format("{}.{}", seed, seed % 7 == 0 ? "csv" : "h5");
  std::string yaml;
  if (!record_random(seed, path, yaml)) return;
  CAPTURE(yaml);
  const Recording recording = Recording::open(path);
  const std::string log = fmt::format("{}", fmt::join(recording.log(), "\n"));
  CAPTURE(log);
  bool raw_lost = false;
  for (const RecordedStream& s : recording.streams()) {
    const bool is_raw = s.info.name == "fast" || s.info.name == "slow" || s.info.name == "odd";
    if (!is_raw) continue;
    reached["calibrations"] += s.calibrations.size() > 1 ? 1 : 0;
    for (const Gap& gap : s.gaps)
      if (by_recorder(gap.cause)) raw_lost = true;
  }
  for (const std::string& line : recording.log())
    for (const char* what : {"\"loss\"", "\"wait_ended\"", "\"node_failed\"", "\"changed\""})
      if (line.find(what) != std::string::npos) ++reached[what];

  MemorySink sink;
  const ReplayReport report = replay(recording, sink, {.functions = functions(), .threads = 1});
  CAPTURE(report.differences);
  CHECK(report.finished);
  if (!raw_lost) REQUIRE(report.differences.empty());
  ++reached[report.differences.empty() ? "equal" : "different"];
  REQUIRE(sink.info().streams.size() + 3 == recording.streams().size());
  check_against_live(recording, sink, report, reached);
  replay_otherwise(recording, seed, sink, report, reached);
  std::filesystem::remove(path);
}

}  // namespace

TEST_CASE("of many channels each is replayed into its own, with its qualities") {
  const TemporaryDirectory directory;
  const std::uint64_t seed = given_seed().value_or(new_seed());
  CAPTURE(seed);
  Random random(seed);
  for (const std::size_t channels : {std::size_t{8}, std::size_t{19}, std::size_t{64}}) {
    CAPTURE(channels);
    const std::string path = directory / fmt::format("{}.h5", channels);
    Reached reached;
    {
      Engine engine({.graph_threads = 0});
      StreamInfo info = doubles("wide", channels, Rate(1000, 1));
      info.capacity = SampleCount{1 << 13};
      info.largest_block = SampleCount{1 << 12};
      Stream& stream = engine.add_stream(info);
      engine.graph().add(
          graph_from_yaml("graph:\n  - {id: mean, type: moving_average, "
                          "input: wide, window: 3}\n",
                          "wide.yaml"));
      engine.record({.path = path, .durability = Durability::none}, {{"wide"}, {"mean"}});
      engine.start();
      Writer<double> writer(stream);
      for (int block = 0; block < 12; ++block) {
        // Whole blocks that are good, and such in which every channel has other qualities.
        const auto frames = static_cast<std::size_t>(1 + random.below(700));
        const auto part = random.noise(frames, channels, block % 2 == 0 ? 0 : 7);
        writer.push(part.values, part.quality);
        while (engine.step()) {
        }
        wait_for_recorder(engine);
      }
      REQUIRE(engine.stop().errors.empty());
    }
    const Recording recording = Recording::open(path);
    for (const std::size_t threads : {std::size_t{1}, std::size_t{2}}) {
      MemorySink sink;
      const ReplayReport report = replay(recording, sink, {.threads = threads});
      REQUIRE(report.differences.empty());
      check_against_live(recording, sink, report, reached);
    }
    CHECK(reached["samples"] > 100);
    std::vector<Quality> quality(recording.streams()[1].rows);
    recording.read_quality(recording.find("mean"), 0, 0, quality);
    CHECK(std::ranges::any_of(quality, [](Quality q) { return !q.is_good(); }));
    CHECK(std::ranges::any_of(quality, [](Quality q) { return q.is_good(); }));
  }
}

// How long the pieces are that come at once.
class Pieces : public MemorySink {
 public:
  using MemorySink::append;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override {
    longest = std::max(longest, chunk.count.value);
    MemorySink::append(stream, chunk, block, calibrations);
  }
  std::uint64_t longest = 0;
};

TEST_CASE("at a speed, samples come in pieces of at most a tenth of a second") {
  const TemporaryDirectory directory;
  const std::string path = directory / "slow.h5";
  {
    Engine engine({.graph_threads = 0});
    auto x =
        engine.add_channel<double>({.name = "x", .rate = 10_Hz, .capacity = SampleCount{1024}});
    engine.graph().add(graph_from_yaml(
        "graph: [{id: mean, type: moving_average, input: x, window: 3}]", "slow.yaml"));
    engine.record({.path = path, .durability = Durability::none});
    engine.start();
    auto writer = x.writer();
    for (int i = 0; i < 400; ++i) writer.push(i);
    writer.flush();
    while (engine.step()) continue;
    REQUIRE(engine.stop().errors.empty());
  }
  const Recording recording = Recording::open(path);
  for (const std::size_t threads : {std::size_t{1}, std::size_t{2}}) {
    CAPTURE(threads);
    Pieces at_once, paced;
    (void)replay(recording, at_once, {.threads = threads});
    CHECK(at_once.longest == 400);
    (void)replay(recording, paced, {.threads = threads, .speed = 100.0});
    CHECK(paced.longest > 0);
    CHECK(paced.longest <= 100);
    CHECK(paced.counts(0).recorded == 400);
    check_equal(at_once, 0, paced, 0);
  }
}

TEST_CASE("a replay of a recording gives what the live engine recorded, to the bit") {
  const TemporaryDirectory directory;
  const std::uint64_t seed = given_seed().value_or(new_seed());
  const std::uint64_t runs = given_seed() ? 1 : soak(40, 25);
  Reached reached;
  for (std::uint64_t run = 0; run < runs; ++run)
    recording_against_replay(seed + run * 10, directory, reached);
  std::string text;
  for (const auto& [what, count] : reached.count) text += fmt::format("{}: {}; ", what, count);
  CAPTURE(text);
  if (given_seed()) return;
  for (const char* what : {"\"loss\"", "\"wait_ended\"", "\"node_failed\"", "\"changed\"",
                           "calibrations", "steps", "gaps", "whole gaps", "equal", "different"})
    CHECK(reached[what] > 0);
  CHECK(reached["samples"] > 1000);
}
