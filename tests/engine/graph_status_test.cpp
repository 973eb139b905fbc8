// What the running graph tells of itself: its log, its events, its times.
#include "spillway/engine/graph_status.hpp"

#include <array>
#include <cmath>
#include <stdexcept>

#include "spillway/filters/graph.hpp"
#include "support.hpp"
#include "support/catch.hpp"

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

EngineOptions with_threads(std::size_t threads) {
  EngineOptions options;
  options.graph_threads = threads;
  return options;
}

void run_all(Engine& engine) {
  while (engine.step()) {
  }
}

void push_numbers(Writer<double>& writer, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) writer.push(static_cast<double>(writer.next().value));
}

template <class Entry>
std::vector<Entry> entries_of(const GraphPartLog& part) {
  std::vector<Entry> found;
  for (const GraphLogEntry& entry : part.log.entries)
    if (const auto* e = std::get_if<Entry>(&entry)) found.push_back(*e);
  return found;
}

}  // namespace

TEST_CASE("the log has the losses of the graph's reader as the derived stream has them") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Engine engine(with_threads(0));
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x", 64));
  const auto quiet = engine.add_channel<double>(channel("quiet", 64));
  (void)engine.graph().add(gain(1.0), x, "y");
  engine.start();
  Writer<double> writer = x.writer();
  Writer<double> nobody_reads = quiet.writer();
  Reader<double> reader(engine.stream("y"));
  std::vector<std::array<std::uint64_t, 3>> gaps;  // from, lost, missing
  std::uint64_t delivered = 0;
  for (int turn = 0; turn < 300; ++turn) {
    push_numbers(writer, random() % (random() % 4 == 0 ? 5000 : 60));
    if (random() % 4 == 0) writer.gap({1 + random() % 20});
    push_numbers(writer, random() % 60);
    push_numbers(nobody_reads, 3000);
    while (engine.step()) {
      for (;;) {
        const auto samples = reader.read();
        if (samples.lost.value > 0) FAIL("the test reads too slowly");
        if (samples.missing.value > 0 && samples.cause == GapCause::upstream)
          gaps.push_back({samples.from.value, samples.missing.value, 0});
        if (samples.missing.value > 0 && samples.cause == GapCause::source) {
          if (!gaps.empty() && gaps.back()[0] + gaps.back()[1] == samples.from.value)
            gaps.back()[2] = samples.missing.value;
        }
        delivered += samples.count.value;
        if (samples.stop == Stop::drained) break;
      }
    }
  }
  const std::vector<GraphPartLog> logs = engine.graph_log();
  REQUIRE(logs.size() == 1);
  CHECK(logs[0].streams == std::vector<std::string>{"x", "quiet"});
  CHECK(logs[0].log.dropped == 0);
  const auto losses = entries_of<ReaderLoss>(logs[0]);
  REQUIRE(losses.size() > 20);
  REQUIRE(losses.size() == gaps.size());
  std::uint64_t lost = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    CHECK(losses[i].input == "x");
    CHECK(losses[i].from.value == gaps[i][0]);
    CHECK(losses[i].lost.value == gaps[i][1]);
    CHECK(losses[i].missing.value == gaps[i][2]);
    CHECK(losses[i].cause == GapCause::source);
    CHECK_FALSE(losses[i].mixed);
    lost += losses[i].lost.value;
  }
  const Accounting books = reader.accounting();
  CHECK(books.delivered.value == delivered);
  CHECK(delivered + lost == writer.pushed());
  // Each was told.
  std::size_t told = 0;
  while (const auto event = events.take()) {
    if (event->kind != EventKind::samples_lost) continue;
    CHECK(event->subject == "graph: x");
    CHECK(event->first == losses.at(told).from.value);
    CHECK(event->count == losses.at(told).lost.value);
    ++told;
  }
  CHECK(told == losses.size());
}

TEST_CASE("entries that nobody takes are counted, and the log goes on behind them") {
  Engine engine(with_threads(0));
  const auto x = engine.add_channel<double>(channel("x", 64));
  (void)engine.graph().add(gain(1.0), x, "y");
  engine.start();
  Writer<double> writer = x.writer();
  constexpr std::uint64_t turns = 1500;
  const auto overrun = [&] {
    push_numbers(writer, 4000);
    run_all(engine);
  };
  for (std::uint64_t i = 0; i < turns; ++i) overrun();
  GraphPartLog log = engine.graph_log().at(0);
  CHECK(log.log.entries.size() == 1024);
  CHECK(log.log.dropped == turns - 1024);
  overrun();
  log = engine.graph_log().at(0);
  CHECK(log.log.entries.size() == 1025);
  (void)engine.stop();
  log = engine.graph_log().at(0);
  CHECK(log.log.entries.size() == 1025);
  CHECK(log.log.dropped == turns - 1024);
}

TEST_CASE("a function that throws is told with what it said, and the rest of the graph goes on") {
  const std::size_t threads = GENERATE(0U, 1U);
  CAPTURE(threads);
  Engine engine(with_threads(threads));
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x"));
  Function fragile{"fragile", [](ConstFrames in, Frames out) {
                     if (in.first >= 300) throw std::runtime_error("it is too cold");
                     std::ranges::copy(in.values, out.values.begin());
                     std::ranges::copy(in.quality, out.quality.begin());
                   }};
  (void)engine.graph().add(std::move(fragile), x, "f");
  (void)engine.graph().add(gain(2.0), Signal{"f"}, "g");
  (void)engine.graph().add(gain(3.0), x, "h");
  engine.start();
  Writer<double> writer = x.writer();
  Reader<double> reader(engine.stream("g"));
  Taken g;
  for (int i = 0; i < 10; ++i) {
    push_numbers(writer, 100);
    while (g.values.size() < writer.pushed()) {
      if (threads == 0) (void)engine.step();
      take(reader, g);
    }
  }
  CHECK(engine.stop().errors.empty());
  const auto failures = entries_of<NodeFailed>(engine.graph_log().at(0));
  REQUIRE(failures.size() == 1);
  CHECK(failures[0] == NodeFailed{"f", {300}, "it is too cold"});
  Event event;
  REQUIRE(has_event(events, EventKind::node_failed, &event));
  CHECK(event.subject == "f");
  CHECK(event.first == 300);
  CHECK(event.text == "it is too cold");
  REQUIRE(g.values.size() == 1000);
  CHECK(g.values[299] == 598.0);
  for (const std::size_t i : {300U, 999U}) {
    CHECK(std::isnan(g.values[i]));
    CHECK(g.quality[i].verdict() == Verdict::bad);
  }
  const Taken h = take(engine.stream("h"));
  CHECK(h.values.at(999) == 2997.0);
}

TEST_CASE("a node that fails in one graph keeps its words when the next takes over") {
  Engine engine(with_threads(0));
  const auto x = engine.add_channel<double>(channel("x"));
  const std::string words(1000, 'w');
  (void)engine.graph().add(
      Function{"f", [&](ConstFrames, Frames) { throw std::runtime_error(words); }}, x, "f");
  engine.start();
  Writer<double> writer = x.writer();
  push_numbers(writer, 10);
  run_all(engine);
  for (int i = 0; i < 10; ++i) {
    GraphSpec spec = engine.prepared_graph().spec();
    spec.nodes.resize(1);
    spec.nodes.push_back({"g" + std::to_string(i), {"x"}, gain(1.0)});
    if (i == 9) spec.nodes.erase(spec.nodes.begin());
    (void)engine.change_graph(spec);
    run_all(engine);
  }
  const auto failures = entries_of<NodeFailed>(engine.graph_log().at(0));
  REQUIRE(failures.size() == 1);
  CHECK(failures[0].what.size() >= 100);
  CHECK(words.starts_with(failures[0].what));
}

TEST_CASE("an input that never comes: outputs without it, told once, and one entry in the log") {
  const std::size_t threads = GENERATE(0U, 1U);
  CAPTURE(threads);
  Engine engine(with_threads(threads));
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x"));
  const auto y = engine.add_channel<double>(channel("y"));
  (void)engine.graph().add(Align{.max_wait = 10ms}, {x, y}, "both");
  engine.start();
  Writer<double> writer = x.writer();
  Stream& both = engine.stream("both");
  StreamReader reader(both);
  Block block(both.info(), 1024);
  std::uint64_t made = 0;
  std::uint64_t without = 0;
  const auto read = [&] {
    for (;;) {
      const Chunk chunk = reader.read(block);
      for (std::size_t i = 0; i < chunk.count.value; ++i)
        without += std::isnan(block.values<double>(1)[i]) ? 1U : 0U;
      made += chunk.count.value;
      if (chunk.stop == Stop::drained) break;
    }
  };
  for (int i = 0; i < 50; ++i) {
    push_numbers(writer, 100);
    // All but what max_wait holds back.
    while (made + 101 < writer.pushed()) {
      if (threads == 0) (void)engine.step();
      read();
    }
  }
  (void)engine.stop();
  read();
  CHECK(made == 5000);  // those that still waited at the end, too
  CHECK(without == made);
  const auto waits = entries_of<WaitEnded>(engine.graph_log().at(0));
  REQUIRE(waits.size() == 1);
  CHECK(waits[0].node == "both");
  CHECK(waits[0].input == 1);
  CHECK(waits[0].from.value == 0);
  CHECK(waits[0].count.value == made);
  std::size_t told = 0;
  while (const auto event = events.take()) {
    if (event->kind != EventKind::wait_ended) continue;
    CHECK(event->subject == "both");
    CHECK(contains(event->text, "'y', which is late (max_wait is 0.01 s)"));
    ++told;
  }
  CHECK(told == 1);
}

TEST_CASE("one sample that becomes many outputs: a source that waits loses none") {
  std::atomic<bool> stalled{false};
  Engine engine(with_threads(1));
  StreamInfo slow;
  slow.name = "slow";
  slow.capacity = SampleCount{64};
  slow.channels = {{"v", "", "V", SampleType::float64, {}, {}}};
  Stream& stream = engine.add_stream(slow);
  (void)engine.graph().add(Interpolate{.rate = Rate(1000, 1)}, Signal{"slow"}, "grid");
  (void)engine.graph().add(gain(2.0), Signal{"grid"}, "twice");
  const auto kept = std::make_shared<MemorySink>();
  engine.record(std::make_unique<StallingSink>(std::make_unique<KeptSink>(kept), stalled), 20ms,
                {{"twice"}});
  auto writer = std::make_shared<Writer<double>>(stream);
  // 400 samples, 0.5 s apart: 500 outputs each.
  engine.add_source({"file", {"slow"}, true}, [writer](SourceContext& context) {
    for (int i = 0; i < 400; ++i) {
      if (!context.wait_for_room(*writer, {1})) return;
      const double value = 500.0 * i;
      const Time time(std::int64_t{500'000'000} * i);
      writer->push(std::span(&value, 1), std::span(&time, 1));
    }
  });
  engine.start();
  stalled = true;
  std::this_thread::sleep_for(20ms);
  stalled = false;
  REQUIRE(wait_until_finished(engine, 60.0));
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  const RecordedCounts counts = report.recordings.at(0).streams.at(0).counts;
  CHECK(counts == RecordedCounts{399 * 500 + 1, 399 * 500 + 1, 0, 0});
  const auto values = kept->values<double>(0, 0);
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    wrong += std::abs(values[i] - 2.0 * static_cast<double>(i)) > 1e-6 ? 1U : 0U;
  CHECK(wrong == 0);
}

TEST_CASE("a stream of very many channels is filtered in blocks that fit, and completely") {
  Engine engine(with_threads(0));
  StreamInfo wide;
  wide.name = "wide";
  wide.rate = Rate(1000, 1);
  wide.capacity = SampleCount{512};
  for (int c = 0; c < 300; ++c)
    wide.channels.push_back({std::to_string(c), "", "V", SampleType::float64, {}, {}});
  Stream& stream = engine.add_stream(wide);
  (void)engine.graph().add(MovingAverage{.window = 1}, Signal{"wide"}, "same");
  engine.start();
  Writer<double> writer(stream);
  std::vector<double> frames(std::size_t{300} * 400);
  for (std::size_t i = 0; i < frames.size(); ++i) frames[i] = static_cast<double>(i);
  writer.push(std::span<const double>(frames));
  std::size_t steps = 0;
  while (engine.step()) ++steps;
  CHECK(steps > 4);  // 128 KiB are 54 frames: 64 at a time
  const Stream& same = engine.stream("same");
  StreamReader reader(same);
  Block block(same.info(), 400);
  const Chunk chunk = reader.read(block);
  REQUIRE(chunk.count.value == 400);
  std::uint64_t wrong = 0;
  for (std::size_t c = 0; c < 300; ++c)
    for (std::size_t f = 0; f < 400; ++f)
      wrong += block.values<double>(c)[f] != frames[f * 300 + c] ? 1U : 0U;
  CHECK(wrong == 0);
}

TEST_CASE("the status tells frames and times of every node, over changes and after the end") {
  const std::size_t threads = GENERATE(0U, 1U, 2U);
  CAPTURE(threads);
  Engine engine(with_threads(threads));
  const auto x = engine.add_channel<double>(channel("x"));
  const auto z = engine.add_channel<double>(channel("z"));
  (void)engine.graph().add(gain(2.0), x, "y");
  (void)engine.graph().add(Decimate{.factor = 10}, Signal{"y"}, "few");
  (void)engine.graph().add(gain(2.0), z, "other");
  CHECK(engine.graph_status().empty());
  CHECK(engine.graph_log().empty());
  engine.start();
  Writer<double> writer = x.writer();
  Writer<double> other = z.writer();
  push_numbers(writer, 3000);
  push_numbers(other, 500);
  Reader<double> reader(engine.stream("y"));
  Taken y;
  while (y.values.size() < 3000) {
    if (threads == 0) (void)engine.step();
    take(reader, y);
  }
  CHECK(engine.graph_status().size() == std::max<std::size_t>(threads, 1));
  (void)engine.change({{"y", gain(3.0)}});
  push_numbers(writer, 3000);
  (void)engine.stop();
  std::size_t nodes = 0;
  for (const GraphPartStatus& part : engine.graph_status()) {
    std::uint64_t most_blocks = 0;
    for (const GraphPartStatus::Node& node : part.nodes) {
      CAPTURE(node.id);
      ++nodes;
      const std::uint64_t in = node.id == "other" ? 500 : 6000;
      CHECK(node.frames_in == in);
      CHECK(node.frames_out == (node.id == "few" ? in / 10 : in));
      CHECK(node.time.count > 0);
      CHECK(node.time.quantile(0.5) <= node.time.quantile(0.99));
      most_blocks = std::max(most_blocks, node.time.count);
    }
    CHECK(part.latency.count > 0);
    CHECK(part.latency.count <= most_blocks * part.nodes.size());
    CHECK(part.latency.sum.count() > 0);
  }
  CHECK(nodes == 3);
}

TEST_CASE("samples pushed before the engine starts keep their numbers in derived streams") {
  Engine engine(with_threads(0));
  const auto x = engine.add_channel<double>(channel("x", 64));
  (void)engine.graph().add(gain(2.0), x, "y");
  Writer<double> writer = x.writer();
  push_numbers(writer, 10'000);
  engine.start();
  push_numbers(writer, 10);
  run_all(engine);
  const Taken y = take(engine.stream("y"));
  REQUIRE_FALSE(y.values.empty());
  CHECK(y.numbers.back() == 10'009);
  CHECK(y.values.back() == 20'018.0);
  CHECK(y.values.front() == 2.0 * static_cast<double>(y.numbers.front()));
}
