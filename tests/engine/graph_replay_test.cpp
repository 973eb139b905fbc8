// What a running engine made, against a replay from the log it kept.
#include "spillway/filters/graph_replay.hpp"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "filters/random_plant.hpp"
#include "random_run.hpp"
#include "sinks.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/filters/graph_log_json.hpp"
#include "spillway/filters/graph_snapshot.hpp"
#include "spillway/storage/numbered_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/recording_reader.hpp"
#include "support/temporary_directory.hpp"

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

// For what another thread does before long; false if it has not done it in a minute.
template <class Done>
bool eventually(Done done) {
  const auto end = std::chrono::steady_clock::now() + 1min;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

struct Reached {
  std::size_t points = 0;
  std::size_t not_read = 0;
  std::map<std::string, int> entries;
  // Of numbered files:
  int later_files = 0;
  int other_streams = 0;  // than the one before
  std::size_t from_state = 0;
  std::size_t ahead = 0;
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
  const std::string changed =
      run_at_random(engine, threads, plant, graph, random, 150, [&] { derived.read(); });
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

// --- recordings in numbered files ---

using Files = std::vector<std::shared_ptr<MemorySink>>;

std::unique_ptr<Sink> numbered(Files& files, const Split& split) {
  return std::make_unique<NumberedSink>(NumberedOptions{.path = "/nowhere/run.h5", .split = split},
                                        [&files](const std::string&) {
                                          files.push_back(std::make_shared<MemorySink>());
                                          return std::make_unique<KeptSink>(files.back());
                                        });
}

std::optional<std::size_t> find(const MemorySink& file, const std::string& name) {
  for (std::size_t s = 0; s < file.info().streams.size(); ++s)
    if (file.info().streams[s].name == name) return s;
  return std::nullopt;
}

// What the file says of a stream goes on where those before ended, without a hole; returns where it
// ends.
std::uint64_t goes_on(const MemorySink& file, std::size_t stream, std::uint64_t next) {
  if (file.counts(stream).produced == 0) return next;
  const std::vector<Gap> gaps = file.gaps(stream);
  auto gap = gaps.begin();
  std::uint64_t row = 0;
  const auto pass_gaps = [&] {
    for (; gap != gaps.end() && gap->first_sample == next; ++gap) next += gap->count;
  };
  for (const Segment& segment : file.segments(stream)) {
    pass_gaps();
    REQUIRE(segment.first_sample == next);
    REQUIRE(segment.row == row);
    next += segment.count;
    row += segment.count;
  }
  pass_gaps();
  REQUIRE(gap == gaps.end());
  REQUIRE(file.end(stream).value == next);
  return next;
}

// The first number that it has or names.
std::uint64_t begins_at(const MemorySink& file, std::size_t stream) {
  return file.end(stream).value - file.counts(stream).produced;
}

std::uint64_t lost(const MemorySink& file, const std::string& name) {
  const auto stream = find(file, name);
  return stream ? file.counts(*stream).lost : 0;
}

// A file, and the place where the next one begins.
struct Piece {
  const MemorySink& file;
  const MemorySink* before;            // nullptr: it is the first one
  std::optional<GraphSnapshot> state;  // none: as made new
  std::optional<GraphSnapshot> next;   // none: it is the last one
};

// The samples of `reader`, told up to `begin`, to number `end`, as a file has them.
Chunk read_up_to(StreamReader& reader, Block& block, std::uint64_t begin, std::uint64_t end) {
  const bool is_first = reader.position() == 0;
  Chunk chunk = reader.read(block);
  if (chunk.first.value >= end) {
    // Of a gap, what is before; a reader begins behind one in front of all samples.
    const std::uint64_t from = is_first ? std::min(begin, chunk.from.value) : chunk.from.value;
    chunk.missing.value = end - std::min(end, from);
    chunk.first = {end};
    chunk.count = {0};
    return chunk;
  }
  chunk.count.value = std::min(chunk.count.value, end - chunk.first.value);
  return chunk;
}

// The part of the graph run again over its piece: what it makes is what the file has.
// `ahead`: what new nodes made before the place where the next file begins, which has it.
void replay_piece(const Plant& plant, const GraphPartLog& log, std::size_t part, std::size_t parts,
                  const Piece& piece, std::map<std::string, Collected>& ahead, Reached& reached) {
  const GraphPartSnapshot* from = piece.state ? piece.state->find(part) : nullptr;
  const GraphPartSnapshot* to = piece.next ? piece.next->find(part) : nullptr;
  std::string places;
  for (const auto* at : {from, to}) {
    places += at ? "from " : "none ";
    if (at)
      for (const auto* list : {&at->inputs, &at->outputs})
        for (const auto& place : *list)
          places += fmt::format("{} {}, ", place.stream, place.next.value);
  }
  CAPTURE(places);
  if (piece.state && !log.spec.nodes.empty()) REQUIRE(from);
  std::vector<StreamReader> readers;
  std::vector<std::uint64_t> begins, ends;
  for (std::size_t i = 0; i < plant.infos().size(); ++i) {
    const std::string& name = plant.infos()[i].name;
    const auto recorded = find(piece.file, name);
    REQUIRE(recorded);
    readers.emplace_back(plant.kept(i));
    ends.push_back(StreamReader::nowhere);
    const auto at = [&](const GraphPartSnapshot* snapshot) -> std::optional<std::uint64_t> {
      if (!snapshot) return std::nullopt;
      const auto place =
          std::ranges::find(snapshot->inputs, name, &GraphPartSnapshot::Place::stream);
      if (place == snapshot->inputs.end()) return std::nullopt;
      return place->next.value;
    };
    begins.push_back(at(from).value_or(0));
    if (const auto end = at(to)) ends.back() = *end;
    // With one part all of it is in the file.
    if (piece.file.counts(*recorded).produced == 0) continue;
    if (parts == 1 && at(to)) CHECK(piece.file.end(*recorded).value >= *at(to));
    // Nothing that the part needs is in the file before; but what is lost across the place is told
    // there.
    const bool complete =
        lost(piece.file, name) == 0 && (piece.before == nullptr || lost(*piece.before, name) == 0);
    if (const auto begin = at(from); begin && complete)
      CHECK(begins_at(piece.file, *recorded) <= StreamReader(plant.kept(i)).seek({*begin}).value);
  }
  std::map<std::string, Collected> offline;
  GraphReplay replay(log.spec, plant.infos(), log.log,
                     from ? std::span<const std::byte>(from->state) : std::span<const std::byte>());
  replay.run(
      {.next = [&](std::size_t i,
                   Block& block) { return read_up_to(readers[i], block, begins[i], ends[i]); },
       .calibrations = [&](std::size_t i, CalibrationSetId id) -> const CalibrationSet& {
         return readers[i].calibrations(id);
       }},
      [&](const Graph& now) {
        for (const std::size_t n : now.ran()) {
          Collected& collected = offline[now.spec().nodes[n].id];
          collected.next =
              now.output(n).first.value - now.output(n).lost.value - now.output(n).missing.value;
          collect(now, n, collected);
        }
      });
  // Of what the next graph does not read it does not say where this one stood.
  bool knows_ends = true;
  for (std::size_t i = 0; i < ends.size(); ++i)
    knows_ends &=
        !piece.next || ends[i] != StreamReader::nowhere || replay.graph().nodes_of(i).empty();
  for (auto& [id, made] : offline) {
    CAPTURE(id);
    const auto stream = find(piece.file, id);
    if (!stream) {
      ahead[id] = std::move(made);
      continue;
    }
    const StreamInfo& info = piece.file.info().streams[*stream];
    const std::vector<SampleNumber> numbers = piece.file.sample_numbers(*stream);
    const std::vector<Time> times = piece.file.times(*stream);
    std::uint64_t known_from = 0;
    if (from)
      for (const auto& output : from->outputs)
        if (output.stream == id) known_from = output.next.value;
    CAPTURE(known_from);
    // An irregular ring flags times that do not go forward.
    std::optional<Time> before;
    for (std::size_t row = 0; row < numbers.size(); ++row) {
      const std::uint64_t number = numbers[row].value;
      CAPTURE(number);
      const auto& points = number < known_from ? ahead[id].points : made.points;
      const auto same = points.find(number);
      REQUIRE(same != points.end());
      Point point = same->second;
      if (!info.rate) {
        if (before && point.time <= *before)
          for (std::uint8_t& q : point.quality)
            q = merge(Quality::from_byte(q), Quality(Verdict::suspect, Quality::time_uncertain))
                    .byte();
        // Of the first one in a file it knew more.
        if (!std::exchange(before, point.time)) continue;
      }
      std::vector<double> values;
      std::vector<std::uint8_t> quality;
      for (std::size_t c = 0; c < info.channels.size(); ++c) {
        values.push_back(piece.file.values<double>(*stream, c)[row]);
        quality.push_back(piece.file.quality(*stream, c)[row].byte());
      }
      REQUIRE(same_bits(values, point.values));
      REQUIRE(quality == point.quality);
      REQUIRE(times[row] == point.time);
      ++reached.points;
      if (number < known_from) ++reached.ahead;
      if (from && number >= known_from) ++reached.from_state;
    }
    ahead.erase(id);
    // The file ends where the piece does.
    if (knows_ends && piece.file.counts(*stream).lost == 0 && !made.points.empty()) {
      REQUIRE_FALSE(numbers.empty());
      CHECK(made.points.rbegin()->first == numbers.back().value);
    }
  }
}

void engine_in_files(std::uint64_t seed, Reached& reached) {
  CAPTURE(seed);
  Random random(seed);
  RandomGraph graph(random);
  const std::string yaml = graph.yaml();
  CAPTURE(yaml);
  const auto threads = static_cast<std::size_t>(random.below(4));
  CAPTURE(threads);
  Files files;
  Report report;
  // Raw streams that are overrun by the graph's own reader, or none.
  const std::uint64_t capacity = random.below(3) == 0 ? 256 : 1 << 15;
  Engine engine({.graph_threads = threads});
  Plant plant(seed + 1, capacity, [&](const StreamInfo& info) { return &engine.add_stream(info); });
  try {
    engine.graph().add(graph_from_yaml(yaml, "random.yaml", functions()));
    (void)engine.prepared_graph();
  } catch (const Error&) {
    return;  // nodes that do not fit
  }
  const bool all = random.below(4) > 0;
  std::vector<spillway::Signal> signals;
  if (!all)
    for (const std::string& name : engine.names()) signals.push_back({name});
  CAPTURE(all);
  const bool splits = random.below(4) > 0;
  engine.record(numbered(files, splits ? Split{.bytes = 1 + random.below(40'000)} : Split{}),
                std::chrono::microseconds(1 + random.below(500)), signals);
  engine.start();
  const auto caught_up = [&] {
    while (threads == 0 && engine.step()) continue;
    const RecordingStatus status = engine.status().at(0);
    return std::ranges::all_of(status.streams, [](const auto& s) { return s.lag == 0; });
  };
  const std::string changed = run_at_random(engine, threads, plant, graph, random, 120, [&] {
    if (random.below(4) == 0) REQUIRE(eventually(caught_up));
  });
  report = engine.stop();
  CAPTURE(changed);
  REQUIRE(report.errors.empty());

  std::map<std::string, std::uint64_t> ends;
  std::map<std::string, RecordedCounts> counts;
  std::set<std::string> streams_before;
  std::map<std::string, Collected> ahead;
  for (std::size_t f = 0; f < files.size(); ++f) {
    const MemorySink& file = *files[f];
    CAPTURE(f, files.size());
    Piece piece{file, f > 0 ? files[f - 1].get() : nullptr, {}, {}};
    if (f > 0) piece.state = graph_snapshot_from_bytes(file.info().state);
    if (f + 1 < files.size()) piece.next = graph_snapshot_from_bytes(files[f + 1]->info().state);
    if (f == 0) CHECK(file.info().state.empty());
    const std::vector<GraphPartLog> logs = logs_of(file.log());
    REQUIRE(logs.size() == std::max<std::size_t>(threads, 1));
    std::set<std::string> nodes;
    for (std::size_t part = 0; part < logs.size(); ++part) {
      CHECK(logs[part].log.dropped == 0);
      for (const NodeSpec& node : logs[part].spec.nodes) nodes.insert(node.id);
      count_entries(logs[part].log, reached);
      const std::string log = words(logs[part].log);
      CAPTURE(part, log);
      replay_piece(plant, logs[part], part, logs.size(), piece, ahead, reached);
    }
    if (f > 0) ++reached.later_files;
    std::set<std::string> streams;
    for (std::size_t s = 0; s < file.info().streams.size(); ++s) {
      const std::string& name = file.info().streams[s].name;
      CAPTURE(name);
      ends[name] = goes_on(file, s, ends[name]);
      counts[name].produced += file.counts(s).produced;
      counts[name].recorded += file.counts(s).recorded;
      counts[name].lost += file.counts(s).lost;
      counts[name].missing += file.counts(s).missing;
      if (!name.starts_with("n")) continue;
      streams.insert(name);
    }
    if (all) CHECK(streams == nodes);
    if (f > 0 && streams != streams_before) ++reached.other_streams;
    streams_before = streams;
  }
  // Together they have everything, once.
  for (const RecordingReport::PerStream& s : report.recordings.at(0).streams) {
    CAPTURE(s.name);
    CHECK(counts[s.name] == s.counts);
    CHECK(s.counts.recorded + s.counts.lost + s.counts.missing == s.counts.produced);
    CHECK(engine.stream(s.name).info().name == s.name);
    StreamReader reader(engine.stream(s.name));
    reader.seek_latest();
    CHECK(reader.next().value == ends[s.name]);
  }
}

}  // namespace

TEST_CASE("each of the numbered files of a run, replayed from the state in it, gives what it has") {
  const char* full = std::getenv("SPILLWAY_TEST_FULL");
  const int runs = full && *full ? 1000 : 40;
  const char* given = std::getenv("SPILLWAY_TEST_SEED");
  const std::uint64_t seed = given ? std::strtoull(given, nullptr, 10) : new_seed();
  Reached reached;
  // A slow machine loses nothing for long.
  const auto reached_all = [&] {
    return reached.entries["loss"] > 0 && reached.entries["wait"] > 0 &&
           reached.entries["change"] > 0;
  };
  for (int run = 0; run < runs || (!reached_all() && run < 20 * runs); ++run)
    engine_in_files(seed + static_cast<std::uint64_t>(run) * 10, reached);
  CHECK(reached.later_files > 100);
  CHECK(reached.other_streams > 5);
  CHECK(reached.from_state > 1000);
  CHECK(reached.entries["loss"] > 0);
  CHECK(reached.entries["wait"] > 0);
  CHECK(reached.entries["change"] > 0);
}

TEST_CASE("a later file on the disk has all that its replay needs") {
  const std::string ending = GENERATE(".h5", ".csv");
  // A wide file has room for streams of one clock.
  const auto form = ending == ".csv" ? CsvOptions::Form::long_form : CsvOptions::Form::wide;
  TemporaryDirectory directory;
  Report report;
  {
    Engine engine;
    Channel<std::int16_t> x = engine.add_channel<std::int16_t>({.name = "x",
                                                                .unit = "V",
                                                                .rate = 1_kHz,
                                                                .capacity = SampleCount{1 << 14},
                                                                .calibration = Linear{0.5, -3.0}});
    engine.graph().add(graph_from_yaml(R"(
graph:
  - {id: low, type: lowpass, input: x, order: 4, cutoff: 20 Hz}
  - {id: middle, type: median, input: x, window: 31}
  - {id: few, type: decimate, input: low, factor: 7}
  - {id: mean, type: moving_average, input: few, window: 9}
)",
                                       "graph.yaml"));
    engine.record({.path = directory / ("run" + ending),
                   .flush = 1ms,
                   .form = form,
                   .split = {.duration = 1ns}});
    engine.start();
    Writer<std::int16_t> writer = x.writer();
    std::mt19937 random(7);
    for (int part = 0; part < 6; ++part) {
      if (part == 2) engine.change({{"middle", SlidingMedian{.window = 11}}});
      if (part == 3) writer.calibrate(0, Linear{0.25, 1.0});
      if (part == 4) writer.gap({13});
      for (int i = 0; i < 100; ++i) writer.push(static_cast<std::int16_t>(random()));
      writer.flush();
      const std::uint64_t end = writer.next().value;
      REQUIRE(eventually([&] {
        const RecordingStatus status = engine.status().at(0);
        return status.streams[0].acknowledged.value == end &&
               status.streams[1].acknowledged.value == end;
      }));
      // What comes now is in another file, once this one is sealed.
      REQUIRE(eventually([&] {
        std::size_t sealed = 0;
        for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
          sealed += entry.path().string().ends_with(ending) ? 1 : 0;
        return sealed > static_cast<std::size_t>(part);
      }));
    }
    report = engine.stop();
  }
  REQUIRE(report.errors.empty());
  const std::vector<std::string>& files = report.recordings.at(0).files;
  REQUIRE(files.size() >= 5);
  std::size_t compared = 0;
  for (std::size_t f = 1; f < files.size(); ++f) {
    CAPTURE(files[f]);
    const Recording recording = Recording::open(files[f]);
    const GraphSnapshot snapshot = graph_snapshot_from_bytes(recording.state());
    const std::vector<GraphPartLog> logs = logs_of(recording.log());
    REQUIRE(logs.size() == 1);
    REQUIRE(logs[0].streams == std::vector<std::string>{"x"});
    const std::size_t raw = recording.find("x");
    const RecordedStream& of_x = recording.streams()[raw];
    // That of the fourth comes with its first sample, when the file has begun.
    if (f != 3)
      CHECK(of_x.info.channels[0].calibration.steps == of_x.calibrations[0].calibrations[0].steps);
    RecordingReader reader(recording, raw);
    std::map<std::string, std::map<std::uint64_t, Point>> made;
    GraphReplay replay(logs[0].spec, {recording.streams()[raw].info}, logs[0].log,
                       snapshot.parts.at(0).state);
    replay.run({.next = [&](std::size_t, Block& block) { return reader.read(block); },
                .calibrations = [&](std::size_t, CalibrationSetId id) -> const CalibrationSet& {
                  return reader.calibrations(id);
                }},
               [&](const Graph& now) {
                 for (const std::size_t n : now.ran()) {
                   const NodeOutput out = now.output(n);
                   for (std::size_t i = 0; i < out.frames.count(); ++i)
                     made[now.spec().nodes[n].id][out.first.value + i] = {
                         {out.frames.values[i]}, {out.frames.quality[i].byte()}, {}};
                 }
               });
    for (std::size_t s = 0; s < recording.streams().size(); ++s) {
      if (s == raw) continue;
      const RecordedStream& stream = recording.streams()[s];
      std::vector<double> values(stream.rows);
      std::vector<Quality> quality(stream.rows);
      recording.read_raw<double>(s, 0, 0, values);
      recording.read_quality(s, 0, 0, quality);
      const auto& points = made[stream.info.name];
      CHECK(points.size() == stream.rows);
      for (std::uint64_t row = 0; row < stream.rows; ++row) {
        const auto same = points.find(stream.number(row).value);
        REQUIRE(same != points.end());
        REQUIRE(same_bits({values[row]}, same->second.values));
        REQUIRE(quality[row].byte() == same->second.quality[0]);
        ++compared;
      }
    }
  }
  CHECK(compared > 500);
}

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
