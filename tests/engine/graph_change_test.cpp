// The graph is changed while it runs.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <set>

#include "spillway/channels/error.hpp"
#include "spillway/filters/graph.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

bool full() { return std::getenv("SPILLWAY_TEST_FULL") != nullptr; }

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

// Samples whose value is their number, until `enough`, as fast as the rings take them. Returns
// how many there are so far.
std::shared_ptr<const std::atomic<std::uint64_t>> add_counting_source(
    Engine& engine, const Channel<double>& to, const std::atomic<bool>& enough) {
  auto writer = std::make_shared<Writer<double>>(to.writer());
  auto pushed = std::make_shared<std::atomic<std::uint64_t>>(0);
  engine.add_source({"numbers of " + to.name, {to.name}, true},
                    [writer, pushed, &enough](SourceContext& context) {
                      std::vector<double> block(100);
                      while (!enough) {
                        for (std::size_t i = 0; i < block.size(); ++i)
                          block[i] = static_cast<double>(writer->pushed() + i);
                        if (!context.wait_for_room(*writer, {block.size()})) return;
                        writer->push(std::span<const double>(block));
                        *pushed = writer->pushed();
                      }
                    });
  return pushed;
}

void push_numbers(Writer<double>& writer, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) writer.push(static_cast<double>(writer.next().value));
}

std::vector<std::uint64_t> numbers_from(std::uint64_t begin, std::uint64_t end) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t n = begin; n < end; ++n) numbers.push_back(n);
  return numbers;
}

// Waits for so many events of the kind, at most a minute.
std::vector<Event> await(Subscription& events, EventKind kind, std::size_t count) {
  std::vector<Event> found;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (found.size() < count && std::chrono::steady_clock::now() < deadline) {
    if (const auto event = events.take()) {
      if (event->kind == kind) found.push_back(*event);
    } else {
      std::this_thread::sleep_for(100us);
    }
  }
  return found;
}

// The changes in the log of a part.
std::vector<GraphChanged> changes_in(const GraphPartLog& part) {
  std::vector<GraphChanged> changes;
  for (const GraphLogEntry& entry : part.log.entries)
    if (const auto* changed = std::get_if<GraphChanged>(&entry)) changes.push_back(*changed);
  return changes;
}

const NodeSpec& node_of(const GraphSpec& spec, const std::string& id) {
  return *std::ranges::find(spec.nodes, id, &NodeSpec::id);
}

double gain_of(const GraphSpec& spec, const std::string& id) {
  return std::get<Mix>(node_of(spec, id).kind).matrix[0][0];
}

}  // namespace

TEST_CASE("parameters set together are in force together: no sample sees one without the other") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Engine engine(with_threads(1));
  Subscription& events = engine.subscribe(1 << 16);
  const auto x = engine.add_channel<double>(channel("x", 5000));
  (void)engine.graph().add(gain(2.0), x, "up");
  (void)engine.graph().add(gain(0.5), Signal{"up"}, "down");
  const auto kept = std::make_shared<MemorySink>();
  engine.record(std::make_unique<KeptSink>(kept), 20ms, {{"down"}});
  std::atomic<bool> enough{false};
  const auto pushed = add_counting_source(engine, x, enough);
  engine.start();
  std::uint64_t made = 0;
  while (made < (full() ? 20'000 : 1000) || *pushed < 100'000) {
    const double factor = std::ldexp(1.0, static_cast<int>(random() % 40));
    try {
      made = engine.change({{"up", gain(factor)}, {"down", gain(1.0 / factor)}});
    } catch (const Error&) {  // too many under way
      std::this_thread::yield();
    }
  }
  enough = true;
  REQUIRE(wait_until_finished(engine, 60.0));
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  const std::uint64_t count = *pushed;
  CHECK(report.recordings.at(0).streams.at(0).counts == RecordedCounts{count, count, 0, 0});
  const auto values = kept->values<double>(0, 0);
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) wrong += values[i] != static_cast<double>(i);
  CHECK(wrong == 0);
  // Each was told once, in order, and stands in the log.
  const std::vector<Event> told = await(events, EventKind::graph_changed, made);
  REQUIRE(told.size() == made);
  // In any order: both the graph's thread and this one tell.
  std::set<std::uint64_t> numbers;
  for (const Event& event : told) {
    numbers.insert(event.first);
    CHECK(event.text.starts_with("changed 'up', 'down'; at x "));
  }
  CHECK(numbers.size() == made);
  CHECK(*numbers.rbegin() == made);
  CHECK(changes_in(engine.graph_log().at(0)).size() == made);
}

TEST_CASE("the log tells from which sample on each change was in force") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const bool threaded = GENERATE(false, true);
  CAPTURE(threaded);
  const std::uint64_t target = full() ? 20'000 : 1000;
  Engine engine(with_threads(threaded ? 1 : 0));
  const auto x = engine.add_channel<double>(channel("x", 5000));
  (void)engine.graph().add(gain(1.0), x, "y");
  (void)engine.graph().add(Decimate{.factor = 8}, Signal{"y"}, "slow");
  const auto kept = std::make_shared<MemorySink>();
  engine.record(std::make_unique<KeptSink>(kept), 20ms, {{"y"}});
  std::atomic<bool> enough{false};
  std::shared_ptr<const std::atomic<std::uint64_t>> pushed;
  std::optional<Writer<double>> writer;
  if (threaded)
    pushed = add_counting_source(engine, x, enough);
  else
    writer.emplace(x.writer());
  engine.start();
  double next_gain = 2.0;
  bool extra = false;
  std::uint64_t sent = 0;
  const auto change = [&] {
    GraphSpec spec = engine.prepared_graph().spec();
    for (NodeSpec& node : spec.nodes)
      if (node.id == "y") node.kind = gain(next_gain);
    // Now and then another node comes or goes, and the order changes.
    if (random() % 4 == 0) {
      if (extra)
        std::erase_if(spec.nodes, [](const NodeSpec& node) { return node.id == "extra"; });
      else
        spec.nodes.insert(spec.nodes.begin(), {"extra", {"y"}, gain(3.0)});
    }
    std::optional<ChangeAt> at;
    const std::uint64_t readable = StreamReader(engine.stream("x")).next().value;
    if (random() % 3 == 0) at = ChangeAt{"x", {readable + random() % 3000}};
    try {
      sent = random() % 2 == 0 && !at ? engine.change({{"y", gain(next_gain)}})
                                      : engine.change_graph(spec, at);
      extra = std::ranges::find(engine.prepared_graph().spec().nodes, "extra", &NodeSpec::id) !=
              engine.prepared_graph().spec().nodes.end();
      next_gain += 1.0;
    } catch (const Error&) {  // too many under way
      std::this_thread::yield();
    }
  };
  if (threaded) {
    while (sent < target) change();
    enough = true;
    REQUIRE(wait_until_finished(engine, 60.0));
  } else {
    while (sent < target) {
      push_numbers(*writer, random() % 1500);
      if (random() % 2 == 0) change();
      for (std::uint64_t steps = random() % 4; steps > 0; --steps) (void)engine.step();
      if (random() % 5 == 0) run_all(engine);
    }
  }
  const Report report = engine.stop();
  REQUIRE(report.errors.empty());
  const GraphPartLog log = engine.graph_log().at(0);
  CHECK(log.streams == std::vector<std::string>{"x"});
  CHECK(log.log.dropped == 0);
  const std::vector<GraphChanged> changes = changes_in(log);
  CHECK(changes.size() <= sent);
  REQUIRE(changes.size() + 15 >= sent);
  // What was lost, if the threads were not fast enough, has no value to be checked.
  const auto values = kept->values<double>(0, 0);
  const std::vector<SampleNumber> numbers = kept->sample_numbers(0);
  const RecordedCounts counts = report.recordings.at(0).streams.at(0).counts;
  CHECK(counts.recorded + counts.lost + counts.missing == counts.produced);
  if (threaded) CHECK(counts == RecordedCounts{*pushed, *pushed, 0, 0});
  double factor = gain_of(log.spec, "y");
  std::size_t next = 0;
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    while (next < changes.size() && changes[next].at.at(0) <= numbers[i])
      factor = gain_of(changes[next++].spec, "y");
    wrong += values[i] != factor * static_cast<double>(numbers[i].value);
  }
  CHECK(wrong == 0);
}

TEST_CASE("a graph is swapped exactly at the sample asked for, whatever the blocks") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::uint64_t at = GENERATE(0U, 1U, 500U, 999U, 1000U, 1001U, 1500U, 2100U);
  CAPTURE(at);
  Engine engine(with_threads(0));
  const auto x = engine.add_channel<double>(channel("x"));
  const auto other = engine.add_channel<double>(channel("other"));
  (void)engine.graph().add(gain(2.0), x, "y");
  (void)engine.graph().add(gain(1.0), other, "z");
  engine.start();
  Writer<double> writer = x.writer();
  Writer<double> other_writer = other.writer();
  GraphSpec spec;
  spec.nodes = {{"z", {"other"}, gain(5.0)}, {"y", {"x"}, gain(3.0)}};
  CHECK(engine.change_graph(spec, ChangeAt{"x", {at}}) == 1);
  // Samples 1000 to 1499 are missing.
  std::uint64_t split = 0;
  while (writer.next().value < 4000) {
    const std::uint64_t most = writer.next().value < 1000 ? 1000 - writer.next().value : 4000;
    push_numbers(writer, std::min<std::uint64_t>(most, random() % 700));
    if (writer.next().value == 1000) writer.gap({500});
    push_numbers(other_writer, random() % 100);
    run_all(engine);
    const auto log = changes_in(engine.graph_log().at(0));
    if (log.empty()) split = other_writer.next().value;
  }
  const Taken y = take(engine.stream("y"));
  CHECK(y.lost == 0);
  CHECK(y.missing == 500);
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < y.values.size(); ++i)
    wrong += y.values[i] != (y.numbers[i] < at ? 2.0 : 3.0) * static_cast<double>(y.numbers[i]);
  CHECK(wrong == 0);
  const auto changes = changes_in(engine.graph_log().at(0));
  REQUIRE(changes.size() == 1);
  REQUIRE(changes[0].at.size() == 2);
  // Where it falls into the gap, in front of it.
  const bool in_gap = at >= 1000 && at < 1500;
  CHECK(changes[0].at[0].value == (in_gap || at == 1500 ? 1000 : at));
  // The other stream was cut somewhere, and that is told.
  CHECK(changes[0].at[1].value >= split);
  const Taken z = take(engine.stream("z"));
  CHECK(z.numbers == numbers_from(0, other_writer.next().value));
  wrong = 0;
  for (std::size_t i = 0; i < z.values.size(); ++i)
    wrong += z.values[i] != (z.numbers[i] < changes[0].at[1].value ? 1.0 : 5.0) *
                                static_cast<double>(z.numbers[i]);
  CHECK(wrong == 0);
}

TEST_CASE("a change for a sample that has passed is made at once, and later ones wait their turn") {
  Engine engine(with_threads(0));
  const auto x = engine.add_channel<double>(channel("x"));
  (void)engine.graph().add(gain(1.0), x, "y");
  engine.start();
  Writer<double> writer = x.writer();
  push_numbers(writer, 100);
  run_all(engine);
  GraphSpec spec;
  spec.nodes = {{"y", {"x"}, gain(2.0)}};
  (void)engine.change_graph(spec, ChangeAt{"x", {10}});
  spec.nodes = {{"y", {"x"}, gain(3.0)}};
  (void)engine.change_graph(spec, ChangeAt{"x", {150}});
  (void)engine.change({{"y", gain(4.0)}});
  CHECK(engine.step());
  CHECK_FALSE(engine.step());
  CHECK(changes_in(engine.graph_log().at(0)).size() == 1);
  push_numbers(writer, 100);
  run_all(engine);
  const auto changes = changes_in(engine.graph_log().at(0));
  REQUIRE(changes.size() == 3);
  CHECK(changes[0].at == GraphCut{{100}});
  CHECK(changes[1].at == GraphCut{{150}});
  CHECK(changes[2].at == GraphCut{{150}});
  const Taken y = take(engine.stream("y"));
  REQUIRE(y.values.size() == 200);
  CHECK(y.values[99] == 99.0);
  CHECK(y.values[100] == 200.0);
  CHECK(y.values[149] == 298.0);
  CHECK(y.values[150] == 600.0);
}

TEST_CASE("nodes that are the same go on without a change of a bit") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::normal_distribution<double> noise;
  const auto result = [&](bool changed, std::span<const double> values) {
    Engine engine(with_threads(0));
    const auto x = engine.add_channel<double>(channel("x"));
    (void)engine.graph().add(lowpass(Butterworth{.order = 4}, 100_Hz), x, "low");
    (void)engine.graph().add(Decimate{.factor = 4}, Signal{"low"}, "few");
    engine.start();
    Writer<double> writer = x.writer();
    for (std::size_t begin = 0; begin < values.size(); begin += 500) {
      writer.push(values.subspan(begin, std::min<std::size_t>(500, values.size() - begin)));
      if (changed) {
        GraphSpec spec = engine.prepared_graph().spec();
        std::ranges::reverse(spec.nodes);
        std::erase_if(spec.nodes, [](const NodeSpec& n) { return n.id.starts_with("more"); });
        spec.nodes.push_back({"more" + std::to_string(begin), {"low"}, MovingAverage{.window = 9}});
        (void)engine.change_graph(spec, ChangeAt{"x", {begin + 123}});
      }
      run_all(engine);
    }
    return std::pair(take(engine.stream("low")), take(engine.stream("few")));
  };
  std::vector<double> values(5000);
  for (double& v : values) v = noise(random);
  const auto [low, few] = result(false, values);
  const auto [changed_low, changed_few] = result(true, values);
  CHECK(low.values == changed_low.values);
  CHECK(low.numbers == changed_low.numbers);
  CHECK(low.quality == changed_low.quality);
  CHECK(few.values == changed_few.values);
  CHECK(few.numbers == changed_few.numbers);
  CHECK(few.quality == changed_few.quality);
}

TEST_CASE("a node that goes gives no more samples, and when it comes back, its stream goes on") {
  Engine engine(with_threads(0));
  const auto x = engine.add_channel<double>(channel("x"));
  (void)engine.graph().add(gain(2.0), x, "y");
  engine.start();
  Writer<double> writer = x.writer();
  push_numbers(writer, 100);
  run_all(engine);
  GraphSpec spec;
  spec.nodes = {{"z", {"x"}, gain(3.0)}};
  (void)engine.change_graph(spec);
  // Readable from now on, before the change is made.
  Stream& z = engine.stream("z");
  CHECK(engine.names() == std::vector<std::string>{"x", "y", "z"});
  push_numbers(writer, 100);
  run_all(engine);
  const Taken away = take(engine.stream("y"));
  CHECK(away.numbers == numbers_from(0, 100));
  // The numbers of a new node are those of its input.
  const Taken begun = take(z);
  CHECK(begun.numbers == numbers_from(100, 200));
  CHECK(begun.values.at(0) == 300.0);
  // Several changes at once: back, away, and back again.
  spec.nodes = {{"y", {"x"}, gain(4.0)}};
  (void)engine.change_graph(spec);
  spec.nodes.clear();
  (void)engine.change_graph(spec);
  spec.nodes = {{"y", {"x"}, gain(5.0)}};
  (void)engine.change_graph(spec);
  run_all(engine);
  push_numbers(writer, 100);
  run_all(engine);
  const Taken back = take(engine.stream("y"));
  std::vector<std::uint64_t> expected = numbers_from(0, 100);
  for (const std::uint64_t n : numbers_from(200, 300)) expected.push_back(n);
  CHECK(back.numbers == expected);
  CHECK(back.missing == 100);
  CHECK(back.lost == 0);
  CHECK(back.values.at(100) == 1000.0);
  CHECK(back.values.at(199) == 1495.0);
  CHECK(take(z).numbers == numbers_from(100, 200));
}

TEST_CASE("a node that comes back with numbers that its stream has already leaves those out") {
  Engine engine(with_threads(0));
  const auto x = engine.add_channel<double>(channel("x"));
  (void)engine.graph().add(Decimate{.factor = 3, .taps = 1}, x, "third");
  engine.start();
  Writer<double> writer = x.writer();
  push_numbers(writer, 8);  // 0, 3 and 6 make numbers 0 to 2
  run_all(engine);
  (void)engine.change_graph({});
  GraphSpec spec;
  spec.nodes = {{"third", {"x"}, Decimate{.factor = 3, .phase = 2, .taps = 1}}};
  (void)engine.change_graph(spec);
  run_all(engine);
  push_numbers(writer, 22);  // 8 would make number 2
  run_all(engine);
  const Taken taken = take(engine.stream("third"));
  CHECK(taken.numbers == numbers_from(0, 10));
  CHECK(taken.values == std::vector<double>{0, 3, 6, 11, 14, 17, 20, 23, 26, 29});
}

TEST_CASE("a node that is fed by another stream begins anew, and says so") {
  Engine engine(with_threads(0));
  const auto stream = [&](const std::string& name) -> Stream& {
    StreamInfo info;
    info.name = name;
    info.rate = Rate(1000, 1);
    info.channels.resize(1);
    info.channels[0].name = "c";
    return engine.add_stream(info);
  };
  Writer<double> one(stream("one"));
  Writer<double> spare(stream("spare"));
  const auto graph = [](const std::string& from) {
    GraphSpec spec;
    spec.nodes = {{"mean", {from}, MovingAverage{.window = 4}},
                  {"copy", {from}, Calibrate{}},
                  {"behind", {"copy"}, MovingAverage{.window = 4}},
                  {"both", {"one/c", "spare/c"}, Align{}},
                  {"other", {"spare"}, Calibrate{}}};
    return spec;
  };
  engine.graph().add(graph("one"));
  engine.start();
  const auto push = [&](std::uint64_t frames) {
    for (std::uint64_t i = 0; i < frames; ++i) {
      one.push(1000.0);
      spare.push(0.0);
    }
    run_all(engine);
  };
  push(20);
  (void)engine.change_graph(graph("spare"));
  push(20);
  for (const char* id : {"mean", "behind"}) {
    CAPTURE(id);
    const Taken taken = take(engine.stream(id));
    REQUIRE(taken.numbers == numbers_from(0, 40));
    for (std::size_t n = 0; n < 40; ++n) {
      CAPTURE(n);
      CHECK(taken.values[n] == (n < 20 ? 1000.0 : 0.0));
      CHECK(taken.quality[n] ==
            (n >= 20 && n < 23 ? Quality(Verdict::suspect, Quality::transient) : Quality::good()));
    }
  }
}

TEST_CASE("an engine without nodes can be given some, with and without a thread") {
  const std::size_t threads = GENERATE(0U, 1U, 3U);
  CAPTURE(threads);
  Engine engine(with_threads(threads));
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x", 1000));
  const std::atomic<bool> enough{false};
  (void)add_counting_source(engine, x, enough);
  engine.start();
  Reader<double> reader = x.reader();
  // Nobody holds the source back as long as there is nothing to do.
  for (std::uint64_t seen = 0; seen < 5000;) {
    const auto samples = reader.read();
    seen += samples.count.value + samples.lost.value;
  }
  GraphSpec spec;
  spec.nodes = {{"y", {"x"}, gain(2.0)}};
  (void)engine.change_graph(spec);
  Reader<double> made(engine.stream("y"));
  Taken y;
  while (y.values.size() < 10'000) {
    if (threads == 0) (void)engine.step();
    take(made, y);
  }
  (void)engine.graph_log();
  REQUIRE(await(events, EventKind::graph_changed, 1).size() == 1);
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < y.values.size(); ++i)
    wrong += y.values[i] != 2.0 * static_cast<double>(y.numbers[i]);
  CHECK(wrong == 0);
  CHECK(engine.stop().errors.empty());
}

TEST_CASE("what is refused changes nothing, and says why") {
  EngineOptions options = with_threads(0);
  options.memory_budget = 8_MiB;
  Engine engine(options);
  const auto x = engine.add_channel<double>(channel("x"));
  (void)engine.graph().add(gain(2.0), x, "y");
  (void)engine.graph().add(Decimate{.factor = 4}, x, "few");
  const auto refusal = [&](const GraphSpec& spec, const std::optional<ChangeAt>& at = {}) {
    return message_of([&] { (void)engine.change_graph(spec, at); });
  };
  const GraphSpec good = engine.prepared_graph().spec();
  CHECK(contains(refusal(good), "before start()"));
  engine.start();
  Writer<double> writer = x.writer();
  push_numbers(writer, 100);
  run_all(engine);
  CHECK(message_of([&] {
          (void)engine.change({{"none", gain(1.0)}});
        }) == "no node 'none' to be changed; there are: 'y', 'few'");
  CHECK(contains(message_of([&] {
                   (void)engine.change({{"y", gain(1)}, {"y", gain(2)}});
                 }),
                 "twice"));
  CHECK(contains(message_of([&] { (void)engine.change({}); }), "no node"));
  CHECK(contains(message_of([&] {
                   (void)engine.change({{"y", gain(1.0)}, {"few", Decimate{.factor = 8}}});
                 }),
                 "'few'"));
  CHECK(contains(message_of([&] {
                   (void)engine.change({{"y", lowpass(Butterworth{}, 6_kHz)}});
                 }),
                 "'y'"));
  CHECK(contains(refusal(good, ChangeAt{"y", {5}}), "no stream 'y'"));
  GraphSpec wrong = good;
  wrong.nodes.push_back({"far", {"unknown"}, gain(1.0)});
  CHECK(contains(refusal(wrong), "'unknown'"));
  wrong = good;
  wrong.nodes.push_back({"x", {"y"}, gain(1.0)});
  CHECK_FALSE(refusal(wrong).empty());
  wrong = good;
  wrong.nodes.push_back({"big", {"x"}, SlidingMedian{.window = 1'000'001}});
  CHECK(contains(refusal(wrong), "big"));
  wrong = good;
  wrong.nodes[0].fill_gaps = 1 << 15;
  CHECK(contains(refusal(wrong), "'y': makes up to"));
  // A stream that was there has the shape it had.
  GraphSpec less = good;
  less.nodes.pop_back();
  (void)engine.change_graph(less);
  run_all(engine);
  wrong = less;
  wrong.nodes.push_back({"few", {"x"}, Decimate{.factor = 8}});
  CHECK(contains(refusal(wrong), "'few': gives another stream"));
  (void)engine.change_graph(good);
  run_all(engine);
  CHECK(changes_in(engine.graph_log().at(0)).size() == 2);
  CHECK(engine.names() == std::vector<std::string>{"x", "y", "few"});
  CHECK(engine.prepared_graph().spec().nodes.size() == 2);
  push_numbers(writer, 100);
  run_all(engine);
  CHECK(take(engine.stream("y")).numbers == numbers_from(0, 200));
  // Too many at a time.
  std::size_t taken = 0;
  std::string message;
  while (message.empty() && taken < 1000) {
    message = message_of([&] { (void)engine.change({{"y", gain(1.0)}}); });
    taken += message.empty();
  }
  CHECK(taken == 15);
  CHECK(contains(message, "15 changes"));
  run_all(engine);
  CHECK(engine.change({{"y", gain(7.0)}}) == 18);
  (void)engine.stop();
  CHECK(contains(refusal(good), "after stop()"));
  CHECK(changes_in(engine.graph_log().at(0)).size() == 18);
}

TEST_CASE("the old graph's memory is free again once the new one runs") {
  EngineOptions options = with_threads(0);
  options.memory_budget = 40_MiB;
  Engine engine(options);
  const auto x = engine.add_channel<double>(channel("x"));
  (void)engine.graph().add(SlidingMedian{.window = 100'001}, x, "y");
  engine.start();
  const auto change = [&] {
    return message_of([&] { (void)engine.change({{"y", SlidingMedian{.window = 100'003}}}); });
  };
  std::size_t held = 0;
  while (held < 14 && change().empty()) ++held;
  CAPTURE(held);
  REQUIRE(held > 0);
  REQUIRE(held < 14);
  for (int i = 0; i < 30; ++i) {
    run_all(engine);
    CHECK(change().empty());
  }
}

TEST_CASE("a change is made while a recorder holds the graph back, and nothing is lost") {
  std::atomic<bool> stalled{true};
  Engine engine(with_threads(1));
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x", 3000));
  (void)engine.graph().add(gain(1.0), x, "y");
  const auto kept = std::make_shared<MemorySink>();
  engine.record(std::make_unique<StallingSink>(std::make_unique<KeptSink>(kept), stalled), 20ms,
                {{"y"}});
  std::atomic<bool> enough{false};
  const auto pushed = add_counting_source(engine, x, enough);
  engine.start();
  // Until everything stands still.
  Stream& y = engine.stream("y");
  for (std::uint64_t before = 1, now = 0; before != now || now < 3000;) {
    before = now;
    std::this_thread::sleep_for(5ms);
    now = StreamReader(y).pending().value + StreamReader(y).position();
  }
  (void)engine.change({{"y", gain(2.0)}});
  CHECK(await(events, EventKind::graph_changed, 1).size() == 1);
  stalled = false;
  while (*pushed < 100'000) std::this_thread::sleep_for(1ms);
  enough = true;
  REQUIRE(wait_until_finished(engine, 60.0));
  const Report report = engine.stop();
  CHECK(report.recordings.at(0).streams.at(0).counts == RecordedCounts{*pushed, *pushed, 0, 0});
  const std::uint64_t cut = changes_in(engine.graph_log().at(0)).at(0).at.at(0).value;
  CHECK(cut < 10'000);
  const auto values = kept->values<double>(0, 0);
  std::uint64_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    wrong += values[i] != (i < cut ? 1.0 : 2.0) * static_cast<double>(i);
  CHECK(wrong == 0);
}

TEST_CASE("an engine is stopped with changes still to be made") {
  const std::size_t threads = GENERATE(0U, 1U, 2U);
  CAPTURE(threads);
  const bool destroyed = GENERATE(false, true);
  Engine engine(with_threads(threads));
  Subscription& events = engine.subscribe();
  const auto x = engine.add_channel<double>(channel("x"));
  (void)engine.graph().add(gain(1.0), x, "y");
  engine.start();
  Writer<double> writer = x.writer();
  push_numbers(writer, 400);
  GraphSpec spec;
  spec.nodes = {{"y", {"x"}, gain(2.0)}};
  (void)engine.change_graph(spec, ChangeAt{"x", {500}});
  spec.nodes = {{"y", {"x"}, gain(3.0)}};
  (void)engine.change_graph(spec, ChangeAt{"x", {1500}});
  (void)engine.change({{"y", gain(4.0)}});
  push_numbers(writer, 600);
  if (destroyed) return;
  CHECK(engine.stop().errors.empty());
  const std::size_t changes = changes_in(engine.graph_log().at(0)).size();
  CHECK(changes == 1);
  CHECK(await(events, EventKind::graph_changed, 1).size() == 1);
  CHECK(take(engine.stream("y")).values.at(999) == 1998.0);
}

TEST_CASE("parts on threads of their own: all of a group on one, exact, and changed together") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Engine engine(with_threads(2));
  Subscription& events = engine.subscribe(1 << 14);
  const auto a = engine.add_channel<double>(channel("a", 5000));
  const auto b = engine.add_channel<double>(channel("b", 5000));
  (void)engine.graph().add(gain(1.0), a, "a1");
  (void)engine.graph().add(gain(1.0), b, "b1");
  (void)engine.graph().add(gain(1.0), Signal{"a1"}, "a2");
  (void)engine.graph().add(gain(1.0), Signal{"b1"}, "b2");
  const auto kept = std::make_shared<MemorySink>();
  engine.record(std::make_unique<KeptSink>(kept), 20ms, {{"a2"}, {"b2"}});
  std::atomic<bool> enough{false};
  const std::array pushed{add_counting_source(engine, a, enough),
                          add_counting_source(engine, b, enough)};
  engine.start();
  std::uint64_t made = 0;
  while (made < (full() ? 10'000 : 500) || *pushed[0] < 50'000 || *pushed[1] < 50'000) {
    const double factor = std::ldexp(1.0, static_cast<int>(random() % 40));
    try {
      made = engine.change({{"a1", gain(factor)},
                            {"a2", gain(1.0 / factor)},
                            {"b1", gain(1.0 / factor)},
                            {"b2", gain(factor)}});
    } catch (const Error&) {  // too many under way
      std::this_thread::yield();
    }
  }
  // A new node goes where it belongs; one that would join both parts is refused.
  GraphSpec spec = engine.prepared_graph().spec();
  spec.nodes.push_back({"a3", {"a2"}, gain(1.0)});
  spec.nodes.push_back({"b3", {"b2"}, gain(1.0)});
  spec.nodes.push_back({"both", {"a"}, gain(1.0)});
  while (!message_of([&] { made = engine.change_graph(spec); }).empty())
    std::this_thread::sleep_for(1ms);
  GraphSpec joined = spec;
  joined.nodes.push_back({"join", {"a2", "b2"}, Align{.rate = Rate(1000, 1)}});
  CHECK(
      contains(message_of([&] { (void)engine.change_graph(joined); }), "run on different threads"));
  const Report report = engine.stop();
  CHECK(report.errors.empty());
  for (std::size_t s = 0; s < 2; ++s) {
    CHECK(report.recordings.at(0).streams.at(s).counts ==
          RecordedCounts{*pushed[s], *pushed[s], 0, 0});
    const auto values = kept->values<double>(s, 0);
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < values.size(); ++i) wrong += values[i] != static_cast<double>(i);
    CHECK(wrong == 0);
  }
  CHECK(await(events, EventKind::graph_changed, made).size() == made);
  const std::vector<GraphPartLog> logs = engine.graph_log();
  REQUIRE(logs.size() == 2);
  for (const GraphPartLog& log : logs) {
    CHECK(log.streams == std::vector<std::string>{"a", "b"});
    REQUIRE(log.spec.nodes.size() == 2);
    const char group = log.spec.nodes[0].id[0];
    CHECK(log.spec.nodes[1].id[0] == group);
    const auto changes = changes_in(log);
    CHECK(changes.size() == made);
    const GraphSpec& last = changes.back().spec;
    CHECK(node_of(last, std::string(1, group) + "3").inputs.at(0)[0] == group);
  }
}

TEST_CASE("any thread may change the graph and ask for streams while sources look for theirs") {
  Engine engine(with_threads(2));
  const auto x = engine.add_channel<double>(channel("x", 2000));
  const auto y = engine.add_channel<double>(channel("y", 2000));
  (void)engine.graph().add(gain(1.0), x, "x0");
  (void)engine.graph().add(gain(1.0), y, "y0");
  std::atomic<bool> enough{false};
  const auto pushed = add_counting_source(engine, x, enough);
  (void)add_counting_source(engine, y, enough);
  engine.start();
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> asked{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      for (int n = 1; n < 200; ++n) {
        GraphSpec spec;
        const std::string id = fmt::format("n{}_{}", t, n);
        spec.nodes = {{"x0", {"x"}, gain(n)}, {"y0", {"y"}, gain(n)}, {id, {"x0"}, gain(2.0)}};
        try {
          (void)engine.change_graph(spec);
          asked += engine.stream(id).channel_count();
        } catch (const Error&) {
          ++refused;
        }
        (void)engine.graph_log();
        (void)engine.graph_status();
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(asked > 0);
  enough = true;
  REQUIRE(wait_until_finished(engine, 120.0));
  CHECK(engine.stop().errors.empty());
  CHECK(take(engine.stream("x0")).numbers.back() == *pushed - 1);
}
