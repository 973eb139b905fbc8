#include "spillway/engine/engine.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <thread>

#include "spillway/channels/shared_stream.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

// Fails after so many chunks, as a broken disk does.
class FailingSink : public Sink {
 public:
  explicit FailingSink(int good) : good_(good) {}
  void begin(const RecordingInfo&) override {}
  void append(std::size_t, const Chunk&, const Block&, const CalibrationSet&) override {
    if (good_-- <= 0) throw Error("broken.h5: the disk is gone");
  }
  void append(std::size_t, std::span<const Anchor>) override {}
  void append_gap(std::size_t, const Gap&) override {}
  [[nodiscard]] SampleNumber end(std::size_t) const override { return {0}; }
  void flush() override {}
  void close(const Ending&) override {}
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override { return 0; }
  [[nodiscard]] std::string name() const override { return "broken.h5"; }

 private:
  int good_;
};

ChannelOptions channel(std::string name, std::uint64_t capacity = 1 << 14) {
  ChannelOptions options;
  options.name = std::move(name);
  options.unit = "V";
  options.rate = 10_kHz;
  options.capacity = SampleCount{capacity};
  return options;
}

}  // namespace

TEST_CASE("push, filter, record, read back: the main path") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  Report report;
  {
    Engine engine({.title = "main path",
                   .memory_budget = 64_MiB,
                   .configuration = "a: 1",
                   .graph_threads = 1});
    ChannelOptions options = channel("strain0", 1 << 15);  // room for all of them
    options.calibration = Linear{1.2e-3, 0.0};
    const auto strain = engine.add_channel<std::int16_t>(options);
    const auto smooth = engine.graph().add(MovingAverage{.window = 32}, strain);
    const auto low = engine.graph().add(lowpass(Butterworth{.order = 4}, 1_kHz), smooth);
    engine.record({path, 50ms, Existing::refuse}, {strain, low});
    engine.start();
    Writer writer = strain.writer();
    for (int i = 0; i < 100; ++i) {
      const auto block = writer.claim(256);
      REQUIRE(block.size() == 256);
      for (std::size_t k = 0; k < block.size(); ++k)
        block[k] = static_cast<std::int16_t>(writer.next().value % 1000);
      writer.publish(block.size());
      if (i == 50) writer.gap({7});
    }
    report = engine.stop();
  }
  CHECK(report.errors.empty());
  const Recording recording = Recording::open(path);
  CHECK(recording.title() == "main path");
  CHECK(recording.configuration() == "a: 1");
  REQUIRE(recording.streams().size() == 2);
  for (const RecordedStream& s : recording.streams()) {
    CHECK(accounts_for_everything(s));
    CHECK(s.counts.produced == 25'607);
    CHECK(s.counts.missing == 7);
    CHECK(s.counts.lost == 0);
  }
  CHECK(recording.streams()[1].info.name == "strain0_moving_average_lowpass");
  // The derived samples equal those of the graph run offline over the recorded raw ones.
  Stream again(recording.streams()[0].info);
  StreamInfo info = recording.streams()[0].info;
  info.capacity = SampleCount{1 << 16};
  Stream replayed(info);
  Writer<std::int16_t> writer(replayed);
  std::vector<std::int16_t> raw(recording.streams()[0].rows);
  recording.read_raw<std::int16_t>(0, 0, 0, raw);
  for (std::size_t row = 0; row < raw.size(); ++row) {
    const std::uint64_t number = recording.streams()[0].number(row).value;
    if (number > writer.next().value) writer.gap({number - writer.next().value});
    writer.push(raw[row]);
  }
  GraphSpec spec;
  spec.nodes.push_back({"smooth", {"strain0"}, MovingAverage{.window = 32}, {}});
  spec.nodes.push_back({"low", {"smooth"}, lowpass(Butterworth{.order = 4}, 1_kHz), {}});
  Graph graph(spec, {info}, 1000);
  StreamReader reader(replayed);
  Block block(info, 1000);
  std::vector<double> offline;
  for (;;) {
    const Chunk chunk = reader.read(block);
    graph.process(0, chunk, block, reader.calibrations(chunk.calibrations));
    const auto values = graph.output(1).frames.values;
    offline.insert(offline.end(), values.begin(), values.end());
    if (chunk.stop == Stop::drained) break;
  }
  std::vector<double> live(recording.streams()[1].rows);
  recording.read_raw<double>(1, 0, 0, live);
  CHECK(live == offline);
}

TEST_CASE("a stalled recorder on a small ring: the file names exactly the range that was lost") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  std::atomic<bool> stalled{false};
  std::atomic<bool> held{false};
  Engine engine;
  Subscription& events = engine.subscribe();
  const auto source = engine.add_channel<std::int32_t>(channel("x", 256));
  engine.record(std::make_unique<StallingSink>(std::make_unique<Hdf5Sink>(path, Existing::refuse),
                                               stalled, &held),
                20ms, {source});
  engine.start();
  Writer<std::int32_t> writer = source.writer();
  const auto push = [&](int count) {
    for (int i = 0; i < count; ++i) writer.push(static_cast<std::int32_t>(writer.next().value));
  };
  const auto recorded = [&] { return engine.status().at(0).streams.at(0).recorded; };
  push(100);
  while (recorded() < 100) std::this_thread::sleep_for(1ms);
  stalled = true;
  push(1);  // the recorder takes this one, and hangs in the sink
  while (!held) std::this_thread::sleep_for(1ms);
  push(10'000);
  writer.gap({13});
  push(50);
  stalled = false;
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  const Recording recording = Recording::open(path);
  const RecordedStream& s = recording.streams().at(0);
  CHECK(accounts_for_everything(s));
  CHECK(s.counts.produced == 10'164);
  CHECK(s.counts.missing == 13);
  // At least 256 are kept, 50 of them behind the gap; at most the ring's power of two.
  CHECK(s.counts.lost >= 10'000 - 2048);
  CHECK(s.counts.lost <= 10'000 - 206);
  CHECK(report.recordings.at(0).streams.at(0).counts == s.counts);
  // Every recorded sample is the one its number says.
  std::vector<std::int32_t> values(s.rows);
  recording.read_raw<std::int32_t>(0, 0, 0, values);
  std::uint64_t wrong = 0;
  for (std::uint64_t row = 0; row < s.rows; ++row)
    wrong += static_cast<std::uint64_t>(values[row]) != s.number(row).value;
  CHECK(wrong == 0);
  Event lost;
  REQUIRE(has_event(events, EventKind::samples_lost, &lost));
  CHECK(lost.first == s.gaps.at(0).first_sample);
}

TEST_CASE("a stalled recording delays neither acquisition, nor the graph, nor another recording") {
  std::atomic<bool> stalled{true};
  Engine engine;
  const auto source = engine.add_channel<double>(channel("x"));
  const auto node = engine.graph().add(MovingAverage{.window = 4}, source, "node");
  auto memory = std::make_unique<MemorySink>();
  MemorySink& kept = *memory;
  engine.record(std::make_unique<StallingSink>(std::make_unique<MemorySink>(), stalled), 20ms);
  engine.record(std::move(memory), 20ms);
  engine.start();
  Writer<double> writer = source.writer();
  for (int i = 0; i < 5000; ++i) writer.push(1.0);
  for (int i = 0; i < 60'000 && engine.status().at(1).streams.at(1).recorded < 5000; ++i)
    std::this_thread::sleep_for(1ms);
  CHECK(engine.status().at(1).streams.at(1).recorded == 5000);
  CHECK(engine.status().at(0).streams.at(1).recorded == 0);
  stalled = false;
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  CHECK(report.recordings.at(0).streams.at(1).counts.recorded == 5000);
  (void)kept;
}

TEST_CASE("what the graph's reader lost stands in the derived stream as lost upstream") {
  Engine engine({.title = "", .memory_budget = 64_MiB, .configuration = "", .graph_threads = 0});
  const auto source = engine.add_channel<double>(channel("x", 128));
  (void)engine.graph().add(MovingAverage{.window = 4}, source, "node");
  engine.record(std::make_unique<MemorySink>(), 20ms, {{"node"}});
  engine.start();
  Writer<double> writer = source.writer();
  for (int i = 0; i < 100; ++i) writer.push(1.0);
  while (engine.step()) {
  }
  CHECK_FALSE(engine.step());
  for (int i = 0; i < 10'000; ++i) writer.push(1.0);
  const Report report = engine.stop();
  const RecordedCounts& counts = report.recordings.at(0).streams.at(0).counts;
  CHECK(counts.produced == 10'100);
  CHECK(counts.lost >= 10'000 - 2048);
  CHECK(counts.lost <= 10'000 - 128);
  CHECK(counts.recorded + counts.lost == 10'100);
  CHECK(counts.missing == 0);
}

TEST_CASE("a sink that fails ends its recording, says so, and nothing else") {
  Engine engine;
  Subscription& events = engine.subscribe();
  const auto source = engine.add_channel<double>(channel("x"));
  engine.record(std::make_unique<FailingSink>(2), 20ms);
  engine.record(std::make_unique<MemorySink>(), 20ms);
  engine.start();
  Writer<double> writer = source.writer();
  // One at a time, or the recorder might take all of them at once.
  const auto taken = [&](std::size_t recording) {
    return engine.status().at(recording).streams.at(0).lag == 0;
  };
  for (int i = 0; i < 200; ++i) {
    writer.push(1.0);
    while (!(taken(0) || engine.failed()) || !taken(1)) std::this_thread::yield();
  }
  for (int i = 0; i < 60'000 && !engine.failed(); ++i) std::this_thread::sleep_for(1ms);
  CHECK(engine.failed());
  CHECK(engine.finished());
  const Report report = engine.stop();
  REQUIRE(report.errors.size() == 1);
  CHECK(report.errors[0] == "broken.h5: the disk is gone");
  CHECK_FALSE(report.recordings.at(0).ending.complete);
  CHECK(report.recordings.at(1).ending.complete);
  CHECK(report.recordings.at(1).streams.at(0).counts.recorded == 200);
  CHECK(has_event(events, EventKind::recording_failed));
}

TEST_CASE("a source that throws is told, and what it produced is recorded") {
  Engine engine;
  Subscription& events = engine.subscribe();
  const auto source = engine.add_channel<double>(channel("x"));
  auto writer = std::make_shared<Writer<double>>(source.writer());
  engine.add_source({"number", {}, false}, [](SourceContext&) { throw 7; });
  engine.add_source({"shaky", {"x"}, false}, [writer](SourceContext&) {
    writer->push(1.0);
    throw Error("the cable is out");
  });
  engine.record(std::make_unique<MemorySink>(), 20ms);
  engine.start();
  for (int failed = 0; failed < 2;) {
    const auto event = events.take();
    if (event && event->kind == EventKind::source_failed) ++failed;
    if (!event) std::this_thread::sleep_for(1ms);
  }
  const Report report = engine.stop();
  REQUIRE(report.errors.size() == 2);
  CHECK(std::ranges::count(report.errors, "source 'shaky': the cable is out") == 1);
  CHECK(report.recordings.at(0).streams.at(0).counts.recorded == 1);
}

TEST_CASE("a source that waits for room loses nothing, however small the rings") {
  Engine engine;
  const auto source = engine.add_channel<std::int32_t>(channel("x", 3000));
  (void)engine.graph().add(MovingAverage{.window = 100}, source, "a");
  (void)engine.graph().add(lowpass(Butterworth{}, 100_Hz), Signal{"a"}, "b");
  auto writer = std::make_shared<Writer<std::int32_t>>(source.writer());
  engine.add_source({"file", {"x"}, true}, [writer](SourceContext& context) {
    std::vector<std::int32_t> block(500);
    for (int i = 0; i < 400; ++i) {
      for (auto& v : block) v = i;
      if (!context.wait_for_room(*writer, {block.size()})) return;
      writer->push(std::span<const std::int32_t>(block));
    }
  });
  engine.record(std::make_unique<MemorySink>(), 20ms);
  engine.record(std::make_unique<MemorySink>(), 20ms, {{"b"}});
  engine.start();
  REQUIRE(wait_until_finished(engine, 60.0));
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  for (const RecordingReport& r : report.recordings)
    for (const auto& s : r.streams) CHECK(s.counts == RecordedCounts{200'000, 200'000, 0, 0});
}

TEST_CASE("set-up refuses what can't work, and leaves no file behind") {
  TemporaryDirectory directory;
  {
    Engine engine({.title = "", .memory_budget = 1_MiB, .configuration = "", .graph_threads = 1});
    CHECK(contains(message_of([&] { (void)engine.add_channel<double>(channel("big", 1 << 20)); }),
                   "memory budget"));
    const auto x = engine.add_channel<double>(channel("x", 1024));
    CHECK(contains(message_of([&] { (void)engine.add_channel<double>(channel("x", 1024)); }),
                   "exists already"));
    CHECK(contains(message_of([&] {
                     engine.record({directory / "a.txt", 1s, Existing::refuse});
                   }),
                   ".h5"));
    CHECK(contains(message_of([&] {
                     engine.record({directory / "none/a.h5", 1s, Existing::refuse});
                   }),
                   "none"));
    CHECK(contains(message_of([&] {
                     engine.record({directory / "a.h5", 0s, Existing::refuse});
                   }),
                   "flush"));
    CHECK(contains(message_of([&] { (void)engine.stream("y"); }), "no stream or node 'y'"));
    CHECK(contains(message_of([&] { (void)engine.add_channel<double>(channel("title", 64)); }),
                   "reserved"));
    (void)engine.graph().add(lowpass(Butterworth{}, 5_kHz), x, "low");
    engine.record({directory / "b.h5", 1s, Existing::refuse});
    CHECK(contains(message_of([&] { engine.start(); }), "node 'low'"));
  }
  CHECK(std::filesystem::is_empty(directory.path()));
  {
    Engine engine;
    const auto x = engine.add_channel<double>(channel("x", 1024));
    engine.record({directory / "b.h5", 1s, Existing::refuse}, {{"z"}});
    CHECK(contains(message_of([&] { engine.start(); }), "'z'"));
  }
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("an engine publishes raw and derived streams under the names that are asked for") {
  const std::string name = "engine-test-" + std::to_string(::getpid());
  {
    EngineOptions options;
    options.publish = {{"x", name}, {"mean", name + " mean"}};
    options.graph_threads = 0;
    Engine engine(std::move(options));
    const auto x = engine.add_channel<double>(channel("x"));
    (void)engine.graph().add(MovingAverage{.window = 2}, x, "mean");
    engine.start();
    AttachedStream raw(name);
    AttachedStream mean(name + " mean");
    Reader<double> values(raw.stream(), 16);
    Reader<double> means(mean.stream(), 16);
    Writer<double> writer = x.writer();
    writer.push(1.0);
    writer.push(3.0);
    while (engine.step()) {
    }
    CHECK(std::ranges::equal(values.read().values, std::array{1.0, 3.0}));
    CHECK(std::ranges::equal(means.read().values, std::array{1.0, 2.0}));
    CHECK(mean.publisher() == Publisher::alive);
  }
  CHECK(std::ranges::count_if(published_streams(), [&](const std::string& published) {
          return published.starts_with(name);
        }) == 0);

  EngineOptions unknown;
  unknown.publish = {{"y", name}};
  Engine engine(std::move(unknown));
  (void)engine.add_channel<double>(channel("x"));
  CHECK(contains(message_of([&] { engine.start(); }), "no stream or node 'y'"));

  EngineOptions twice;
  twice.publish = {{"x", name}, {"x", name + " too"}};
  Engine other(std::move(twice));
  CHECK(contains(message_of([&] { (void)other.add_channel<double>(channel("x")); }), "twice"));
}

TEST_CASE("an engine that is destroyed without stop says so in its recordings") {
  TemporaryDirectory directory;
  {
    Engine engine;
    const auto x = engine.add_channel<double>(channel("x"));
    engine.record({directory / "a.h5", 1s, Existing::refuse});
    engine.start();
    Writer<double> writer = x.writer();
    writer.push(1.0);
  }
  const Recording recording = Recording::open(directory / "a.h5");
  CHECK(contains(recording.status(), "incomplete"));
  CHECK(recording.streams().at(0).rows == 1);
}

TEST_CASE("a start that fails leaves no file, and can't be tried again") {
  class Refusing : public FailingSink {
   public:
    Refusing() : FailingSink(0) {}
    void begin(const RecordingInfo&) override { throw Error("no tape in the drive"); }
  };
  TemporaryDirectory directory;
  Engine engine;
  (void)engine.add_channel<double>(channel("x", 1024));
  engine.record({directory / "a.h5", 1s, Existing::refuse});
  engine.record({directory / "b.csv", 1s, Existing::refuse});
  engine.record(std::make_unique<Refusing>(), 1s);
  CHECK(message_of([&] { engine.start(); }) == "no tape in the drive");
  CHECK(std::filesystem::is_empty(directory.path()));
  CHECK(contains(message_of([&] { engine.start(); }), "failed before"));
  CHECK(engine.stop().recordings.empty());
}

TEST_CASE("events: a full queue drops and counts, and never waits") {
  Subscription events(10);
  for (std::uint64_t i = 0; i < 25; ++i) events.offer({EventKind::samples_lost, "x", i, 1, ""});
  CHECK(events.dropped() == 15);
  for (std::uint64_t i = 0; i < 10; ++i) CHECK(events.take()->first == i);
  CHECK_FALSE(events.take());
  events.offer({EventKind::stopped, "", 0, 0, ""});
  CHECK(events.take()->kind == EventKind::stopped);
  // Many publishers at once: each event is delivered or counted.
  Subscription busy(1000);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < 5000; ++i) busy.offer({EventKind::samples_lost, "x", i, 1, ""});
    });
  std::uint64_t taken = 0;
  for (auto& t : threads) {
    while (busy.take()) ++taken;
    t.join();
  }
  while (busy.take()) ++taken;
  CHECK(taken + busy.dropped() == 20'000);
}
