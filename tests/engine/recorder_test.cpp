// What a recording promises while it runs: what is acknowledged, what becomes of events, and what
// it does when the disk is slow or full.
#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "disk_forecast.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/filters/graph_log_json.hpp"
#include "spillway/filters/graph_snapshot.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/numbered_sink.hpp"
#include "storage/faulty_files.hpp"
#include "support.hpp"
#include "support/catch.hpp"
#include "unacknowledged.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

ChannelOptions channel(std::string name, std::uint64_t capacity = 1 << 14) {
  ChannelOptions options;
  options.name = std::move(name);
  options.unit = "V";
  options.rate = 10_kHz;
  options.capacity = SampleCount{capacity};
  return options;
}

// For what another thread does before long; false if it has not done it in a minute.
bool eventually(const std::function<bool()>& done) {
  for (int i = 0; i < 60'000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return false;
}

std::uint64_t acknowledged(const Engine& engine, std::size_t recording = 0) {
  return engine.status().at(recording).streams.at(0).acknowledged.value;
}

// Behind all that was produced of a stream.
std::uint64_t engine_end(const Engine& engine, const std::string& name) {
  StreamReader reader(engine.stream(name));
  reader.seek_latest();
  return reader.next().value;
}

void push(Writer<double>& writer, int count) {
  for (int i = 0; i < count; ++i) writer.push(static_cast<double>(writer.next().value));
  writer.flush();
}

// A disk of memory, whose files are kept, and which can be full or hold up.
class MemoryDisk {
 public:
  std::atomic<bool> full{false};
  std::atomic<bool> seals_when_full{true};
  std::atomic<bool> holds_up_flushes{false};
  std::atomic<int> held_up{0};
  class Room final : public FaultyFiles {
   public:
    explicit Room(const std::atomic<bool>& full) : full_(full) {}
    std::int64_t free_bytes(const char*) noexcept override {
      return full_ ? 0 : std::int64_t{1} << 40;
    }

   private:
    const std::atomic<bool>& full_;
  };
  Room calls{full};

  struct Written {
    std::string path;
    std::shared_ptr<MemorySink> sink = std::make_shared<MemorySink>();
    std::vector<std::uint64_t> ends;  // set when it was closed
    bool sealed = false;
    bool abandoned = false;
  };

  void make_room(bool room) { full = !room; }
  std::unique_ptr<Sink> make(const std::string& path);
  std::unique_ptr<Sink> numbered(const std::string& path, Split split = {}) {
    return std::make_unique<NumberedSink>(
        NumberedOptions{.path = path, .split = split},
        [this](const std::string& p) { return make(p); }, calls);
  }
  // In the order in which they were begun. Only while nobody records.
  std::vector<std::shared_ptr<Written>> files;
};

class MemoryFile : public PassingSink {
 public:
  MemoryFile(MemoryDisk& disk, std::shared_ptr<MemoryDisk::Written> file)
      : PassingSink(file->sink), disk_(disk), file_(std::move(file)) {}
  void begin(const RecordingInfo& info) override {
    check_room();
    PassingSink::begin(info);
    flushed_.assign(info.streams.size(), 0);
  }
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& set) override {
    check_room();
    PassingSink::append(stream, chunk, block, set);
  }
  void append_gap(std::size_t stream, const Gap& gap) override {
    check_room();
    PassingSink::append_gap(stream, gap);
  }
  using PassingSink::append;
  void flush() override {
    // One without anything new is not held: whoever waits for the hold knows what is in it.
    while (disk_.holds_up_flushes && has_news()) {
      disk_.held_up = 1;
      std::this_thread::sleep_for(1ms);
    }
    check_room();
    PassingSink::flush();
    for (std::size_t i = 0; i < flushed_.size(); ++i) flushed_[i] = PassingSink::end(i).value;
  }
  void close(const Ending& ending) override {
    const bool fails = disk_.full && !disk_.seals_when_full;
    if (!fails)
      for (std::size_t i = 0; i < flushed_.size(); ++i) flushed_[i] = PassingSink::end(i).value;
    file_->ends = flushed_;
    if (fails) throw DiskFull(file_->path + ": no room to seal it");
    file_->sealed = true;
    PassingSink::close(ending);
  }
  [[nodiscard]] SampleNumber end(std::size_t stream) const override { return {flushed_[stream]}; }
  void abandon() noexcept override {
    file_->abandoned = true;
    file_->ends.assign(flushed_.size(), 0);
  }
  [[nodiscard]] std::string name() const override { return file_->path; }

 private:
  void check_room() const {
    if (disk_.full) throw DiskFull(file_->path + ": the disk is full");
  }
  [[nodiscard]] bool has_news() const {
    for (std::size_t i = 0; i < flushed_.size(); ++i)
      if (PassingSink::end(i).value > flushed_[i]) return true;
    return false;
  }
  MemoryDisk& disk_;
  std::shared_ptr<MemoryDisk::Written> file_;
  std::vector<std::uint64_t> flushed_;
};

std::unique_ptr<Sink> MemoryDisk::make(const std::string& path) {
  files.push_back(std::make_shared<Written>());
  files.back()->path = path;
  return std::make_unique<MemoryFile>(*this, files.back());
}

// What all files together say of a stream, whose sample n has the value n.
struct Whole {
  std::uint64_t next = 0;
  std::uint64_t recorded = 0;
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  std::map<Absence, std::uint64_t> causes;
  [[nodiscard]] std::uint64_t of(Absence cause) const {
    const auto found = causes.find(cause);
    return found == causes.end() ? 0 : found->second;
  }
};
Whole look_through(const MemoryDisk& disk, const std::string& name) {
  Whole whole;
  for (const auto& file : disk.files) {
    if (file->abandoned || file->ends.empty()) continue;
    const auto& streams = file->sink->info().streams;
    const auto found = std::ranges::find(streams, name, &StreamInfo::name);
    if (found == streams.end()) continue;
    const auto stream = static_cast<std::size_t>(found - streams.begin());
    const std::uint64_t end = file->ends[stream];
    std::vector<Gap> gaps = file->sink->gaps(stream);
    const std::vector<Segment> segments = file->sink->segments(stream);
    std::uint64_t row = 0;
    const std::span<const double> values = file->sink->values<double>(stream, 0);
    auto gap = gaps.begin();
    auto segment = segments.begin();
    while (gap != gaps.end() || segment != segments.end()) {
      const bool is_gap = gap != gaps.end() && gap->first_sample == whole.next;
      if (is_gap) {
        if (gap->first_sample >= end) break;
        REQUIRE(gap->first_sample + gap->count <= end);
        REQUIRE(gap->lost + gap->missing == gap->count);
        whole.next += gap->count;
        whole.lost += gap->lost;
        whole.missing += gap->missing;
        whole.causes[gap->cause] += gap->count;
        ++gap;
        continue;
      }
      if (segment == segments.end()) break;
      CAPTURE(file->path, whole.next, segment->first_sample, end);
      if (segment->first_sample >= end) break;
      REQUIRE(segment->first_sample == whole.next);
      REQUIRE(segment->row == row);
      for (std::uint64_t i = 0; i < segment->count && whole.next < end; ++i) {
        REQUIRE(values[row++] == static_cast<double>(whole.next++));
        ++whole.recorded;
      }
      ++segment;
    }
  }
  return whole;
}

Whole look_through(const MemoryDisk& disk, std::size_t stream) {
  return look_through(disk, disk.files.at(0)->sink->info().streams.at(stream).name);
}

std::set<std::string> names_of(const MemorySink& file) {
  std::set<std::string> names;
  for (const StreamInfo& info : file.info().streams) names.insert(info.name);
  return names;
}

// The first lines of the log: the graph of each part, as the file begins.
GraphSpec graph_of(const MemorySink& file) {
  GraphSpec spec;
  for (const std::string& text : file.log()) {
    const GraphLogLine line = graph_log_line_from_json(text);
    if (const auto* begin = std::get_if<GraphBegin>(&line.what))
      for (const NodeSpec& node : begin->spec.nodes) spec.nodes.push_back(node);
  }
  return spec;
}

}  // namespace

TEST_CASE("each flush says up to which sample of each stream the recording is acknowledged") {
  MemoryDisk disk;
  Engine engine;
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x"));
  const auto y = engine.add_channel<double>(channel("y"));
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.start();
  CHECK(acknowledged(engine) == 0);
  Writer<double> to_x = x.writer();
  Writer<double> to_y = y.writer();
  push(to_x, 12'346);
  to_y.gap({7});
  push(to_y, 3);
  REQUIRE(eventually([&] {
    const RecordingStatus status = engine.status().at(0);
    return status.streams[0].acknowledged.value == 12'346 &&
           status.streams[1].acknowledged.value == 10;
  }));
  CHECK(engine.status()[0].streams[0].unacknowledged == 0);
  REQUIRE(eventually([&] {
    const auto event = events.take();
    return event && event->kind == EventKind::recording_saved &&
           event->text == "x up to sample 12,345, y up to sample 9";
  }));

  // While a flush does not come back, nothing more is acknowledged.
  disk.holds_up_flushes = true;
  push(to_x, 1);
  REQUIRE(eventually([&] { return disk.held_up == 1; }));
  push(to_x, 500);
  CHECK(acknowledged(engine) == 12'346);
  CHECK(engine.status()[0].streams[0].unacknowledged == 501);
  CHECK(engine.status()[0].streams[0].lag == 500);
  disk.holds_up_flushes = false;
  REQUIRE(eventually([&] { return acknowledged(engine) == 12'847; }));
  push(to_x, 5);
  const Report report = engine.stop();
  CHECK(report.recordings.at(0).streams.at(0).acknowledged.value == 12'852);
  CHECK(report.recordings.at(0).streams.at(1).acknowledged.value == 10);
}

TEST_CASE("a recording keeps the engine's events, with their times") {
  const auto kept = std::make_shared<MemorySink>();
  const auto before = std::chrono::system_clock::now().time_since_epoch();
  {
    Engine engine;
    const auto x = engine.add_channel<double>(channel("x"));
    engine.graph().add(MovingAverage{.window = 2}, x, "mean");
    engine.add_source({.name = "broken", .streams = {}, .waits_for_room = false},
                      [](SourceContext&) { throw Error("no cable"); });
    engine.record(std::make_unique<KeptSink>(kept), 1ms);
    engine.start();
    Writer<double> writer = x.writer();
    push(writer, 10);
    writer.gap({5});
    push(writer, 10);
    // The graph, too, has seen them.
    REQUIRE(
        eventually([&] { return engine.status().at(0).streams.at(1).acknowledged.value == 25; }));
    engine.change({{"mean", MovingAverage{.window = 3}}});
    push(writer, 10);
    REQUIRE(eventually([&] { return acknowledged(engine) == 35 && engine.failed(); }));
    (void)engine.stop();
  }
  const auto after = std::chrono::system_clock::now().time_since_epoch();
  std::map<std::string, RecordedEvent> by_kind;
  for (const RecordedEvent& event : kept->events()) {
    by_kind.try_emplace(event.kind, event);
    CHECK(event.time_ns >= std::chrono::nanoseconds(before).count());
    CHECK(event.time_ns <= std::chrono::nanoseconds(after).count());
  }
  CHECK(by_kind.at("source failed").text == "no cable");
  CHECK(by_kind.at("samples missing").first == 10);
  CHECK(by_kind.at("samples missing").count == 5);
  CHECK(contains(by_kind.at("graph changed").text, "'mean'"));
  // It would be news with each flush of this recording.
  CHECK_FALSE(by_kind.contains("recording saved"));

  // And the log of the graph: how it began, and the change.
  std::vector<GraphLogLine> lines;
  for (const std::string& line : kept->log()) lines.push_back(graph_log_line_from_json(line));
  REQUIRE(lines.size() == 2);
  const auto& begin = std::get<GraphBegin>(lines[0].what);
  CHECK(begin.streams == std::vector<std::string>{"x"});
  CHECK(std::get<MovingAverage>(begin.spec.nodes.at(0).kind).window == 2);
  const auto& change = std::get<GraphChanged>(lines[1].what);
  CHECK(std::get<MovingAverage>(change.spec.nodes.at(0).kind).window == 3);
  CHECK(change.at.at(0).value >= 25);
}

TEST_CASE("events that come faster than they are recorded are counted, and that is an event") {
  const auto kept = std::make_shared<MemorySink>();
  std::atomic<bool> stalled{true};
  constexpr int losses = 9000;
  {
    Engine engine;
    const auto x = engine.add_channel<double>(channel("x"));
    const auto y = engine.add_channel<double>(channel("y", 1 << 16));
    engine.record(std::make_unique<StallingSink>(std::make_unique<KeptSink>(kept), stalled), 1ms,
                  {x});
    engine.record(std::make_unique<MemorySink>(), 1ms, {y});
    engine.start();
    Writer<double> writer = x.writer();
    push(writer, 1);  // the first recorder sits in it
    Writer<double> gaps = y.writer();
    for (int i = 0; i < losses; ++i) {
      gaps.gap({1});
      push(gaps, 1);
      // Each is told for itself: the stream does not forget any before it is read.
      if (i % 500 == 499)
        REQUIRE(eventually([&] { return acknowledged(engine, 1) == gaps.next().value; }));
    }
    stalled = false;
    (void)engine.stop();
  }
  std::uint64_t told = 0, dropped = 0;
  for (const RecordedEvent& event : kept->events()) {
    if (event.kind == "samples missing") told += event.count;
    if (event.kind == "events dropped") dropped += event.count;
  }
  CHECK(told > 0);
  CHECK(dropped > 0);
  CHECK(told < losses);
  CHECK(told + dropped >= losses);
}

TEST_CASE(
    "a disk that holds up a flush: the warning comes while it does, before anything is lost") {
  MemoryDisk disk;
  Engine engine;
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x", 4096));
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.start();
  Writer<double> writer = x.writer();
  disk.holds_up_flushes = true;
  push(writer, 1);
  REQUIRE(eventually([&] { return disk.held_up == 1; }));
  CHECK_FALSE(has_event(events, EventKind::falling_behind));
  push(writer, 2100);
  Event warning;
  REQUIRE(eventually([&] { return has_event(events, EventKind::falling_behind, &warning); }));
  CHECK(disk.holds_up_flushes);
  CHECK(warning.subject == "x");
  CHECK(warning.first == 1);
  CHECK(engine.status()[0].streams[0].lost == 0);
  // Now it is overrun, and the books tell by how much.
  push(writer, 10'000);
  disk.holds_up_flushes = false;
  const Report report = engine.stop();
  const RecordedCounts& counts = report.recordings.at(0).streams.at(0).counts;
  CHECK(counts.produced == 12'101);
  CHECK(counts.lost > 0);
  CHECK(counts.recorded + counts.lost == 12'101);
  const Whole whole = look_through(disk, 0);
  CHECK(whole.next == 12'101);
  CHECK(whole.lost == counts.lost);
}

TEST_CASE("a disk that stalls again and again costs the graph nothing") {
  MemoryDisk disk;
  Engine engine;
  Subscription& events = engine.subscribe(100'000);
  const auto x = engine.add_channel<double>(channel("x", 8192));
  engine.graph().add(gain(1.0), x, "y");
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.start();
  Reader<double> reader(engine.stream("y"));
  Taken taken;
  Writer<double> writer = x.writer();
  for (int stall = 0; stall < 5; ++stall) {
    disk.held_up = 0;
    disk.holds_up_flushes = true;
    push(writer, 10);
    REQUIRE(eventually([&] { return disk.held_up == 1; }));
    for (int i = 0; i < 10; ++i) {
      push(writer, 2000);
      // The graph goes on, whatever the disk does.
      REQUIRE(eventually([&] {
        take(reader, taken);
        return reader.next() == writer.next();
      }));
    }
    disk.holds_up_flushes = false;
    REQUIRE(eventually([&] { return acknowledged(engine) == writer.next().value; }));
  }
  const Report report = engine.stop();
  CHECK(taken.lost + taken.missing == 0);
  CHECK(taken.values.size() == writer.next().value);
  // The recording lost some, and names all of it, in order.
  const Whole raw = look_through(disk, 0), derived = look_through(disk, 1);
  CHECK(raw.next == writer.next().value);
  CHECK(derived.next == writer.next().value);
  CHECK(raw.lost > 0);
  CHECK(derived.of(Absence::lost_upstream) == 0);
  std::uint64_t last = 0, lost = 0;
  while (const auto event = events.take()) {
    if (event->kind != EventKind::samples_lost || event->subject != "x") continue;
    CHECK(event->first >= last);
    last = event->first;
    lost += event->count;
  }
  CHECK(lost == raw.lost);
  CHECK(report.recordings.at(0).streams.at(0).counts.lost == lost);
}

TEST_CASE(
    "a full disk: sealed, waited for room, gone on in another file, and everything is named") {
  const bool seals = GENERATE(true, false);
  MemoryDisk disk;
  disk.seals_when_full = seals;
  Engine engine;
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x", 4096));
  engine.record(disk.numbered("data/run.h5"), 1ms);
  engine.start();
  Writer<double> writer = x.writer();
  push(writer, 1000);
  REQUIRE(eventually([&] { return acknowledged(engine) == 1000; }));
  disk.make_room(false);
  push(writer, 500);
  REQUIRE(eventually([&] { return engine.status()[0].waiting_for_room; }));
  CHECK_FALSE(engine.failed());
  CHECK(acknowledged(engine) == 1000);
  push(writer, 3000);  // wait in the ring
  disk.make_room(true);
  REQUIRE(eventually([&] { return acknowledged(engine) == 4500; }));
  CHECK_FALSE(engine.status()[0].waiting_for_room);
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  const RecordingReport& r = report.recordings.at(0);
  CHECK(r.files == std::vector<std::string>{"data/run.h5", "data/run-0002.h5"});
  CHECK(r.path == "data/run.h5");
  REQUIRE(disk.files.size() == 2);
  CHECK(disk.files[0]->sealed == seals);
  if (seals) CHECK(contains(disk.files[0]->sink->ending()->reason, "the disk is full"));
  const Whole whole = look_through(disk, 0);
  CHECK(whole.next == 4500);
  CHECK(whole.causes.size() == 1);
  CHECK(whole.of(Absence::not_written) == whole.lost);
  CHECK(whole.lost > 0);
  CHECK(whole.lost <= 500);
  CHECK(r.streams.at(0).counts == RecordedCounts{4500, 4500 - whole.lost, whole.lost, 0});
  CHECK(r.streams.at(0).acknowledged.value == 4500);
  CHECK(contains(disk.files[1]->sink->info().provenance, "\"part\":2"));
  std::vector<EventKind> kinds;
  while (const auto event = events.take())
    if (event->kind != EventKind::recording_saved) kinds.push_back(event->kind);
  const auto at = [&](EventKind kind) { return std::ranges::find(kinds, kind) - kinds.begin(); };
  CHECK(at(EventKind::disk_full) < at(EventKind::samples_lost));
  CHECK(at(EventKind::samples_lost) < at(EventKind::recording_resumed));
  CHECK(at(EventKind::recording_resumed) < at(EventKind::stopped));
  // What happened meanwhile is in the file that goes on.
  std::set<std::string> recorded;
  for (const RecordedEvent& event : disk.files[1]->sink->events()) recorded.insert(event.kind);
  CHECK(recorded.contains("disk full"));
  CHECK(recorded.contains("samples lost"));
  CHECK(recorded.contains("recording resumed"));
  // And the graph, as it is.
  REQUIRE_FALSE(disk.files[1]->sink->log().empty());
  CHECK(contains(disk.files[1]->sink->log()[0], "\"begin\""));
}

TEST_CASE("an engine that is stopped while its disk is full names the rest as lost") {
  MemoryDisk disk;
  Engine engine;
  const auto x = engine.add_channel<double>(channel("x", 4096));
  engine.graph().add(gain(1.0), x, "y");
  // Waits for its recorder, which waits for room: neither may keep the engine from its end.
  StreamInfo info;
  info.name = "fast";
  info.rate = Rate(1000, 1);
  info.capacity = SampleCount{512};
  info.channels = {{"v", {}, "V", SampleType::float64, {}, {}}};
  Stream& fast = engine.add_stream(info);
  engine.graph().add(gain(1.0), Signal{"fast"}, "fast_y");
  std::atomic<std::uint64_t> pushed{0};
  engine.add_source({.name = "fast", .streams = {"fast"}, .waits_for_room = true},
                    [&](SourceContext& context) {
                      Writer<double> writer(fast);
                      while (context.running() && context.wait_for_room(writer, {1})) {
                        writer.push(static_cast<double>(writer.next().value));
                        writer.flush();
                        pushed = writer.next().value;
                      }
                    });
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.start();
  Writer<double> writer = x.writer();
  push(writer, 1000);
  REQUIRE(eventually([&] { return acknowledged(engine) >= 100 && pushed > 2000; }));
  disk.make_room(false);
  push(writer, 100);
  REQUIRE(eventually([&] { return engine.status()[0].waiting_for_room; }));
  push(writer, 10'000);
  const Report report = engine.stop();
  REQUIRE(report.errors.size() == 1);
  CHECK(contains(report.errors[0], "run.h5: the disk is full"));
  const RecordingReport& r = report.recordings.at(0);
  CHECK_FALSE(r.ending.complete);
  for (std::size_t s = 0; s < r.streams.size(); ++s) {
    CAPTURE(r.streams[s].name);
    const RecordedCounts& counts = r.streams[s].counts;
    const std::uint64_t produced = r.streams[s].name.starts_with("fast") ? pushed.load() : 11'100;
    CHECK(counts.produced == produced);
    CHECK(counts.recorded + counts.lost == produced);
    const Whole whole = look_through(disk, s);
    CHECK(whole.recorded == counts.recorded);
    CHECK(r.streams[s].acknowledged.value == whole.next);
    // Where the source waits there may have been nothing on its way.
    if (!r.streams[s].name.starts_with("fast")) CHECK(counts.lost > 0);
  }
}

TEST_CASE("a source that waits for room waits for that of the disk too, and loses only one block") {
  MemoryDisk disk;
  Engine engine;
  StreamInfo info;
  info.name = "fast";
  info.rate = Rate(1000, 1);
  info.capacity = SampleCount{512};
  info.channels = {{"v", {}, "V", SampleType::float64, {}, {}}};
  Stream& fast = engine.add_stream(info);
  constexpr std::uint64_t count = 200'000;
  std::atomic<std::uint64_t> pushed{0};
  engine.add_source({.name = "fast", .streams = {"fast"}, .waits_for_room = true},
                    [&](SourceContext& context) {
                      Writer<double> writer(fast);
                      while (pushed < count && context.wait_for_room(writer, {1})) {
                        writer.push(static_cast<double>(writer.next().value));
                        writer.flush();
                        pushed = writer.next().value;
                      }
                    });
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.start();
  REQUIRE(eventually([&] { return acknowledged(engine) >= 1000; }));
  disk.make_room(false);
  REQUIRE(eventually([&] { return engine.status()[0].waiting_for_room; }));
  disk.make_room(true);
  REQUIRE(eventually([&] { return engine.finished(); }));
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  const Whole whole = look_through(disk, 0);
  CHECK(whole.next == count);
  // What was read since the last flush.
  CHECK(whole.of(Absence::lost) == 0);
  CHECK(whole.lost == whole.of(Absence::not_written));
  CHECK(whole.recorded + whole.lost == count);
  CHECK(report.recordings.at(0).streams.at(0).counts.lost == whole.lost);
}

TEST_CASE("over files, full disks and overruns at random every sample is recorded or named, once") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  std::size_t most_files = 0;
  // A graph that gets no time to answer makes a recording stay in its file.
  for (int run = 0; run < 12 || (most_files < 2 && run < 100); ++run) {
    MemoryDisk disk;
    Engine engine;
    const auto x = engine.add_channel<double>(channel("x", 2048));
    const auto z = engine.add_channel<double>(channel("z", 2048));
    engine.graph().add(gain(1.0), x, "y");
    const bool split = run % 12 == 0 || below(2) == 0;
    engine.record(
        disk.numbered("run.h5",
                      split ? Split{.bytes = 1 + below(run % 12 == 0 ? 1000 : 100'000)} : Split{}),
        std::chrono::microseconds(1 + below(3000)));
    engine.start();
    Writer<double> to_x = x.writer();
    Writer<double> to_z = z.writer();
    for (int act = 0; act < 400; ++act) {
      push(to_x, static_cast<int>(below(300)));
      if (below(4) == 0) push(to_z, static_cast<int>(below(2000)));
      if (below(10) == 0) to_x.gap({1 + below(50)});
      if (below(60) == 0) disk.seals_when_full = below(2) == 0;
      if (below(200) == 0) disk.make_room(false);
      if (disk.full && below(20) == 0) {
        disk.make_room(true);
        if (below(2) == 0)
          REQUIRE(eventually([&] { return !engine.status()[0].waiting_for_room; }));
      }
      std::this_thread::yield();
    }
    disk.make_room(true);
    // Whoever stops while it has not been seen yet that there is room again loses the rest.
    REQUIRE(eventually([&] {
      const RecordingStatus status = engine.status()[0];
      return !status.waiting_for_room &&
             std::ranges::all_of(status.streams, [](const RecordingStatus::PerStream& s) {
               return s.unacknowledged == 0;
             });
    }));
    push(to_x, 1);
    push(to_z, 1);
    const Report report = engine.stop();
    CAPTURE(report.errors);
    CHECK(report.errors.empty());
    most_files = std::max(most_files, disk.files.size());
    const RecordingReport& r = report.recordings.at(0);
    for (std::size_t s = 0; s < 3; ++s) {
      const Whole whole = look_through(disk, s);
      const RecordedCounts& counts = r.streams.at(s).counts;
      CAPTURE(r.streams[s].name);
      CHECK(whole.next == (r.streams[s].name == "z" ? to_z : to_x).next().value);
      CHECK(whole.recorded == counts.recorded);
      CHECK(whole.lost == counts.lost);
      CHECK(whole.missing == counts.missing);
      CHECK(r.streams[s].acknowledged.value == whole.next);
    }
  }
  CHECK(most_files > 1);
}

TEST_CASE("behind a full disk a file without the graph's state, and then one that has it") {
  MemoryDisk disk;
  Engine engine;
  const auto x = engine.add_channel<double>(channel("x", 4096));
  engine.graph().add(MovingAverage{.window = 3}, x, "y");
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.start();
  Writer<double> writer = x.writer();
  push(writer, 1000);
  REQUIRE(eventually([&] { return acknowledged(engine) == 1000; }));
  disk.make_room(false);
  push(writer, 500);
  REQUIRE(eventually([&] { return engine.status()[0].waiting_for_room; }));
  engine.change({{"y", MovingAverage{.window = 5}}});
  push(writer, 3);
  disk.make_room(true);
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t end = writer.next().value + 10;
    push(writer, 10);
    REQUIRE(eventually([&] { return acknowledged(engine) == end; }));
  }
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  REQUIRE(disk.files.size() == 3);
  const auto state = [&](std::size_t file) { return disk.files[file]->sink->info().state; };
  CHECK(state(0).empty());
  CHECK(graph_snapshot_from_bytes(state(1)).parts.empty());
  const GraphSnapshot snapshot = graph_snapshot_from_bytes(state(2));
  REQUIRE(snapshot.parts.size() == 1);
  CHECK(snapshot.parts[0].inputs.at(0).next.value >= 1500);
  CHECK(snapshot.parts[0].inputs.at(0).next == snapshot.parts[0].outputs.at(0).next);
  CHECK_FALSE(snapshot.parts[0].state.empty());
  // The graph in force.
  CHECK(std::get<MovingAverage>(graph_of(*disk.files[2]->sink).nodes.at(0).kind).window == 5);
  for (const char* name : {"x", "y"}) {
    const RecordingReport::PerStream& s =
        report.recordings.at(0).streams.at(std::string_view(name) == "x" ? 0 : 1);
    CHECK(s.name == name);
    std::uint64_t recorded = 0;
    for (const auto& file : disk.files) {
      const std::size_t stream = std::string_view(name) == "x" ? 0 : 1;
      recorded += file->sink->counts(stream).recorded;
    }
    CHECK(recorded >= s.counts.recorded);
    CHECK(s.counts.produced == writer.next().value);
  }
}

TEST_CASE("a change of outputs begins the next file, with the streams that there are then") {
  MemoryDisk disk, chosen;
  const auto single = std::make_shared<MemorySink>();
  const auto threads = static_cast<std::size_t>(GENERATE(0, 1, 2));
  CAPTURE(threads);
  Engine engine({.graph_threads = threads});
  const auto x = engine.add_channel<double>(channel("x", 1 << 15));
  engine.graph().add(gain(1.0), x, "a");
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.record(chosen.numbered("chosen.h5"), 1ms, {{"x"}, {"a"}});
  engine.record(std::make_unique<KeptSink>(single), 1ms);  // can't go on in another file
  engine.start();
  Writer<double> writer = x.writer();
  const auto graph = [](const std::vector<std::string>& nodes) {
    GraphSpec spec;
    for (const std::string& node : nodes) spec.nodes.push_back({node, {"x"}, gain(1.0), {}});
    return spec;
  };
  const auto run_until = [&](const std::set<std::string>& names) {
    REQUIRE(eventually([&] {
      push(writer, 1);
      (void)engine.step();
      std::set<std::string> recorded;
      const RecordingStatus status = engine.status().at(0);
      for (const auto& s : status.streams) recorded.insert(s.name);
      return recorded == names && std::ranges::all_of(status.streams, [&](const auto& s) {
               return s.acknowledged.value > 0;
             });
    }));
  };
  run_until({"x", "a"});
  engine.change_graph(graph({"a", "b"}));
  run_until({"x", "a", "b"});
  // Far away: nothing changes yet.
  engine.change_graph(graph({"b", "c"}), ChangeAt{"x", {writer.next().value + 5000}});
  engine.change({{"b", gain(1.0)}});
  push(writer, 100);
  run_until({"x", "a", "b"});
  push(writer, 5000);
  run_until({"x", "b", "c"});
  engine.change_graph(graph({"a"}));
  run_until({"x", "a"});
  // Too late for any sample, or for any but the last.
  engine.change_graph(graph({"a", "d"}));
  push(writer, 10);
  while (threads == 0 && engine.step()) continue;
  const Report report = engine.stop();
  CHECK(report.errors.empty());

  const std::vector<std::set<std::string>> expected{
      {"x", "a"}, {"x", "a", "b"}, {"x", "b", "c"}, {"x", "a"}, {"x", "a", "d"}};
  REQUIRE(disk.files.size() >= 4);
  REQUIRE(disk.files.size() <= 5);
  CHECK(disk.files[1]->path == "run-0002.h5");
  for (std::size_t f = 0; f < disk.files.size(); ++f) {
    const MemorySink& file = *disk.files[f]->sink;
    CAPTURE(f);
    CHECK(disk.files[f]->sealed);
    CHECK(file.ending()->complete);
    CHECK(names_of(file) == expected[f]);
    // Streams and graph are one.
    std::set<std::string> names{"x"};
    for (const NodeSpec& node : graph_of(file).nodes) names.insert(node.id);
    CHECK(names == expected[f]);
    for (const NodeSpec& node : graph_of(file).nodes)
      CHECK(contains(file.info().provenance, "\"" + node.id + "\""));
    if (f > 0) {
      const GraphSnapshot snapshot = graph_snapshot_from_bytes(file.info().state);
      std::set<std::string> known{"x"};
      for (const GraphPartSnapshot& part : snapshot.parts)
        for (const auto& output : part.outputs) known.insert(output.stream);
      CHECK(known == expected[f]);
    }
  }
  for (const auto& s : report.recordings.at(0).streams) {
    CAPTURE(s.name);
    const Whole whole = look_through(disk, s.name);
    CHECK(whole.next == engine_end(engine, s.name));
    CHECK(whole.lost == 0);
    CHECK(s.counts == RecordedCounts{whole.next, whole.recorded, 0, whole.missing});
  }
  // One with streams of its own has these, and goes on; so does one that has no other file.
  REQUIRE(chosen.files.size() == 1);
  CHECK(names_of(*chosen.files[0]->sink) == expected[0]);
  CHECK(look_through(chosen, "x").next == writer.next().value);
  CHECK(names_of(*single) == expected[0]);
  CHECK(single->counts(0).recorded == writer.next().value);
}

TEST_CASE("what waits for its recorder loses nothing while streams come and go") {
  MemoryDisk disk;
  const auto threads = static_cast<std::size_t>(GENERATE(1, 2));
  Engine engine({.graph_threads = threads});
  StreamInfo info;
  info.name = "fast";
  info.rate = Rate(1000, 1);
  info.capacity = SampleCount{512};
  info.channels = {{"v", {}, "V", SampleType::float64, {}, {}}};
  Stream& fast = engine.add_stream(info);
  const auto graph = [](int version) {
    GraphSpec spec;
    spec.nodes = {{"same", {"fast"}, gain(1.0), {}},
                  {"n" + std::to_string(version), {"fast"}, gain(1.0), {}}};
    return spec;
  };
  engine.graph().add(graph(0));
  std::atomic<bool> enough{false};
  engine.add_source({.name = "fast", .streams = {"fast"}, .waits_for_room = true},
                    [&](SourceContext& context) {
                      Writer<double> writer(fast);
                      while (!enough && context.wait_for_room(writer, {1})) {
                        writer.push(static_cast<double>(writer.next().value));
                        writer.flush();
                      }
                    });
  engine.record(disk.numbered("run.h5"), 1ms);
  engine.start();
  for (int version = 1; version < 6; ++version) {
    engine.change_graph(graph(version));
    REQUIRE(eventually([&] {
      const RecordingStatus status = engine.status().at(0);
      return std::ranges::any_of(status.streams, [&](const auto& s) {
        return s.name == "n" + std::to_string(version) && s.acknowledged.value > 0;
      });
    }));
  }
  enough = true;
  REQUIRE(eventually([&] { return engine.finished(); }));
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  REQUIRE(disk.files.size() >= 6);
  for (const auto& s : report.recordings.at(0).streams) {
    CAPTURE(s.name);
    const Whole whole = look_through(disk, s.name);
    CHECK(whole.next == engine_end(engine, s.name));
    CHECK(whole.lost == 0);
    CHECK(whole.recorded == s.counts.recorded);
  }
}

TEST_CASE(
    "recordings of an engine are numbered files, deleted when there are more than to be kept") {
  TemporaryDirectory directory;
  const std::string ending = GENERATE(".h5", ".csv");
  Report report;
  std::vector<std::string> deleted;
  {
    Engine engine;
    Subscription& events = engine.subscribe(100'000);
    const auto x = engine.add_channel<double>(channel("x"));
    engine.record({.path = directory / ("run" + ending),
                   .flush = 1ms,
                   .split = {.duration = 1ns},
                   .keep = {.bytes = 1}},
                  {x});
    engine.start();
    Writer<double> writer = x.writer();
    int sealed = 0;
    const auto look = [&] {
      while (const auto event = events.take()) {
        if (event->kind == EventKind::recording_sealed) ++sealed;
        if (event->kind == EventKind::recording_deleted) deleted.push_back(event->subject);
      }
    };
    for (int part = 0; part < 5; ++part) {
      push(writer, 100);
      // What comes then is in another file.
      REQUIRE(eventually([&] {
        look();
        return acknowledged(engine) == writer.next().value && sealed > part;
      }));
    }
    report = engine.stop();
    look();
  }
  CHECK(report.errors.empty());
  const RecordingReport& r = report.recordings.at(0);
  REQUIRE(r.files.size() >= 5);
  CHECK(r.files[0] == directory / ("run-0001" + ending));
  CHECK(r.files[4] == directory / ("run-0005" + ending));
  CHECK(r.streams.at(0).counts == RecordedCounts{500, 500, 0, 0});
  // Of the sealed ones the newest is left.
  CHECK(deleted == std::vector<std::string>(r.files.begin(), r.files.end() - 1));
  std::set<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
    left.insert(entry.path().string());
  const std::string last = r.files.back();
  CHECK(left == (ending == ".csv" ? std::set<std::string>{last, last + "-metadata.json"}
                                  : std::set<std::string>{last}));
  if (ending == ".csv") return;
  const Recording recording = Recording::open(last);
  CHECK(recording.status() == "complete");
  CHECK(recording.streams().at(0).segments.at(0).first_sample > 0);
}

TEST_CASE("a master shows the numbered files of a recording as one") {
  TemporaryDirectory directory;
  Engine engine;
  const auto x = engine.add_channel<double>(channel("x"));
  engine.record({.path = directory / "run.h5",
                 .flush = 1ms,
                 .compression = 1,
                 .split = {.duration = 1ns},
                 .master = true});
  engine.start();
  Writer<double> writer = x.writer();
  for (int part = 0; part < 3; ++part) {
    push(writer, 100);
    REQUIRE(eventually([&] { return acknowledged(engine) == writer.next().value; }));
  }
  CHECK(engine.stop().errors.empty());
  const Recording master = Recording::open(directory / "run.h5");
  REQUIRE(master.streams().at(0).rows == 300);
  std::vector<double> values(300);
  master.read_raw<double>(0, 0, 0, values);
  for (std::size_t i = 0; i < 300; ++i) REQUIRE(values[i] == static_cast<double>(i));
  Engine again;
  (void)again.add_channel<double>(channel("x"));
  CHECK(contains(message_of([&] {
                   again.record(
                       {.path = directory / "run.h5", .split = {.bytes = 1}, .master = true});
                 }),
                 "run"));
}

// The recorder asks the graph where it stands, and takes the question back once it has waited in
// vain; a slow graph has looked at it by then, so a thread sanitizer sees who may look at what.
TEST_CASE("a graph that is slow to come to where a file should end does not hold up the recorder") {
  TemporaryDirectory directory;
  std::atomic<bool> held{true};
  int blocks = 0;
  Function copy{.name = "copy", .call = [&](ConstFrames in, Frames out) {
                  if (held) std::this_thread::sleep_for(100ms);
                  for (++blocks; held && blocks > 5;) std::this_thread::sleep_for(1ms);
                  std::ranges::copy(in.values, out.values.begin());
                  std::ranges::copy(in.quality, out.quality.begin());
                }};
  Engine engine;
  auto x = engine.add_channel<double>(channel("x"));
  engine.graph().add(graph_from_yaml("graph: [{id: y, type: function, input: x, function: copy}]",
                                     "g.yaml", {{"copy", copy}}));
  engine.record({.path = directory / "run.h5", .flush = 20ms, .split = {.duration = 1ns}});
  Writer<double> writer = x.writer();
  push(writer, 10'000);
  engine.start();
  REQUIRE(eventually([&] { return acknowledged(engine) == 10'000; }));
  // These are read once the question is taken back.
  push(writer, 100);
  REQUIRE(eventually([&] { return acknowledged(engine) == 10'100; }));
  held = false;
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  for (const auto& stream : report.recordings.at(0).streams) {
    CHECK(stream.counts.produced == 10'100);
    CHECK(stream.counts.recorded == 10'100);
  }
}

TEST_CASE("two recorders can't share a path, numbered or not, and a run without samples is whole") {
  TemporaryDirectory directory;
  Engine engine;
  const auto x = engine.add_channel<double>(channel("x"));
  const RecordOptions plain{.path = directory / "a.h5"};
  const RecordOptions numbered{.path = directory / "a.h5", .split = {.bytes = 1000}};
  engine.record(plain);
  engine.record(numbered);
  CHECK(contains(message_of([&] { engine.record(plain); }), "a.h5"));
  CHECK(contains(message_of([&] { engine.record(numbered); }), "a-0001.h5"));
  // A master is at the path itself.
  RecordOptions master = numbered;
  master.master = true;
  CHECK(contains(message_of([&] { engine.record(master); }), "has that path"));
  Engine other;
  (void)other.add_channel<double>(channel("x"));
  master.path = directory / "b.h5";
  other.record(master);
  CHECK(contains(message_of([&] { other.record({.path = directory / "b.h5"}); }), "has that path"));
  engine.start();
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  for (const char* name : {"a.h5", "a-0001.h5"}) {
    const Recording recording = Recording::open(directory / name);
    CHECK(recording.status() == "complete");
    CHECK(recording.streams().at(0).counts.produced == 0);
  }
}

TEST_CASE("what makes no sense together in RecordOptions is refused, and claims nothing") {
  TemporaryDirectory directory;
  Engine engine;
  (void)engine.add_channel<double>(channel("x"));
  const auto refused = [&](RecordOptions options) {
    return message_of([&] { engine.record(std::move(options)); });
  };
  const std::string h5 = directory / "a.h5", csv = directory / "a.csv";
  CHECK(contains(refused({.path = h5, .compression = 13}), "0 to 12"));
  CHECK(contains(refused({.path = csv, .compression = 1}), "plain text"));
  CHECK(contains(refused({.path = csv, .compatible = true}), "HDF5"));
  CHECK(contains(refused({.path = h5, .compression = 1, .compression_threads = 65}), "64"));
  CHECK(contains(refused({.path = h5, .form = CsvOptions::Form::long_form}), "CSV"));
  CHECK(contains(refused({.path = h5, .master = true}), "split"));
  CHECK(contains(refused({.path = csv, .split = {.bytes = 1}, .master = true}), "HDF5"));
  CHECK(contains(refused({.path = h5, .keep = {.bytes = 1}}), "split"));
  CHECK(contains(refused({.path = h5, .split = {.bytes = 2}, .keep = {.bytes = 1}}), "less"));
  CHECK(
      contains(refused({.path = h5, .split = {.duration = 2s}, .keep = {.duration = 1s}}), "less"));
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("what a recording did not take becomes gaps, to the sample") {
  Unacknowledged given;
  given.add_samples(0, 60);
  given.add_samples(60, 40);
  given.add({100, 10, 0, 10, Absence::missing});
  given.add_samples(110, 50);
  CHECK(given.end_at(30) == 70 + 50);
  CHECK(given.gaps() == std::vector<Gap>{{30, 70, 70, 0, Absence::not_written},
                                         {100, 10, 0, 10, Absence::missing},
                                         {110, 50, 50, 0, Absence::not_written}});
  // The next recording took some of that, and is full as well.
  given.add_samples(160, 5);
  CHECK(given.end_at(105) == 5);
  CHECK(given.gaps() == std::vector<Gap>{{105, 5, 0, 5, Absence::missing},
                                         {110, 50, 50, 0, Absence::not_written},
                                         {160, 5, 5, 0, Absence::not_written}});
  CHECK(given.end_at(165) == 0);
  CHECK(given.gaps().empty());
}

TEST_CASE("the forecast of a full disk: one warning at an hour, ten minutes and a minute") {
  const auto at = [](double seconds) {
    return DiskForecast::Clock::time_point(
        std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
  };
  constexpr double rate = 1e6;
  // Written by this recording, or by others.
  const bool own = GENERATE(true, false);
  DiskForecast forecast;
  std::vector<std::pair<double, std::chrono::seconds>> warnings;
  const double begin_free = 2 * 3600 * rate;
  for (double t = 0; t < 7200; t += 1.0) {
    const auto gone = static_cast<std::uint64_t>(t * rate);
    const auto warning =
        forecast.look(at(t), static_cast<std::uint64_t>(begin_free) - gone, own ? gone : 0);
    if (warning) warnings.emplace_back(t, *warning);
    if (t > 10) {
      REQUIRE(forecast.left());
      CHECK(std::abs(static_cast<double>(forecast.left()->count()) - (7200 - t)) <= 2);
    }
  }
  REQUIRE(warnings.size() == 3);
  CHECK(warnings[0].second == 1h);
  CHECK(std::abs(warnings[0].first - 3600) <= 2);
  CHECK(warnings[1].second == 10min);
  CHECK(std::abs(warnings[1].first - 6600) <= 2);
  CHECK(warnings[2].second == 1min);
  CHECK(std::abs(warnings[2].first - 7140) <= 2);
}

TEST_CASE("the forecast warns again only after there was clearly more room meanwhile") {
  const auto at = [](int seconds) {
    return DiskForecast::Clock::time_point(std::chrono::seconds(seconds));
  };
  DiskForecast forecast;
  int warnings = 0;
  std::uint64_t written = 0;
  int t = 0;
  const auto run = [&](int seconds, std::uint64_t left_s) {
    for (int i = 0; i < seconds; ++i, ++t) {
      written += 1000;
      if (forecast.look(at(t), left_s * 1000, written)) ++warnings;
    }
  };
  run(100, 3590);
  CHECK(warnings == 1);
  // To and fro around an hour.
  for (int i = 0; i < 20; ++i) run(1, i % 2 == 0 ? 3610 : 3590);
  CHECK(warnings == 1);
  run(1, 5500);
  run(200, 3590);
  CHECK(warnings == 2);
  // Far below at once: only the nearest is told.
  run(2, 30);
  CHECK(warnings == 3);
  // Nothing is written, nothing is full.
  DiskForecast idle;
  for (int i = 0; i < 1000; ++i) CHECK_FALSE(idle.look(at(i), 10, 0));
  CHECK_FALSE(idle.left());
}
