#include "spillway/filters/graph.hpp"

#include <fmt/format.h>

#include <array>
#include <map>
#include <random>

#include "spillway/channels/writer.hpp"
#include "support.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

StreamInfo stream_info(std::string name, std::vector<std::string> channels,
                       std::optional<Rate> rate = Rate(1000, 1)) {
  StreamInfo info;
  info.name = std::move(name);
  info.rate = rate;
  info.capacity = SampleCount{1 << 15};
  for (std::string& c : channels) {
    ChannelInfo channel;
    channel.name = std::move(c);
    channel.unit = "mV";
    channel.type = SampleType::int16;
    channel.calibration = Linear{0.5, -1.0};
    info.channels.push_back(std::move(channel));
  }
  return info;
}

GraphSpec chain() {
  GraphSpec spec;
  // Later nodes first: the order of the list does not matter.
  spec.nodes.push_back({"low", {"average"}, lowpass(Butterworth{4}, 40_Hz), {}});
  spec.nodes.push_back({"average", {"a"}, MovingAverage{.window = 9}, {}});
  spec.nodes.push_back({"one", {"a/y"}, Calibrate{}, {}});
  spec.nodes.push_back({"counts", {"raw(a/x)"}, Calibrate{}, {}});
  return spec;
}

// Everything a node ever gave, by sample number.
struct Collected {
  std::map<std::uint64_t, std::vector<std::pair<double, std::uint8_t>>> frames;
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
};

// Feeds a real stream's samples through the graph in blocks of `block`.
std::vector<Collected> run(Graph graph, const Stream& stream, std::size_t block) {
  StreamReader reader(stream);
  Block buffer(stream.info(), block);
  std::vector<Collected> all(graph.spec().nodes.size());
  for (;;) {
    const Chunk chunk = reader.read(buffer);
    graph.process(0, chunk, buffer, reader.calibrations(chunk.calibrations));
    for (std::size_t n = 0; n < all.size(); ++n) {
      const NodeOutput out = graph.output(n);
      all[n].lost += out.lost.value;
      all[n].missing += out.missing.value;
      for (std::size_t f = 0; f < out.frames.count(); ++f)
        for (std::size_t l = 0; l < out.frames.lanes; ++l)
          all[n].frames[out.first.value + f].emplace_back(
              out.frames.values[f * out.frames.lanes + l],
              out.frames.quality[f * out.frames.lanes + l].byte());
    }
    if (chunk.stop == Stop::drained) return all;
  }
}

bool same(const Collected& a, const Collected& b) {
  if (a.lost != b.lost || a.missing != b.missing || a.frames.size() != b.frames.size())
    return false;
  return std::ranges::equal(a.frames, b.frames, [](const auto& x, const auto& y) {
    return x.first == y.first &&
           std::ranges::equal(x.second, y.second, [](const auto& p, const auto& q) {
             return p.second == q.second && (std::bit_cast<std::uint64_t>(p.first) ==
                                                 std::bit_cast<std::uint64_t>(q.first) ||
                                             (std::isnan(p.first) && std::isnan(q.first)));
           });
  });
}

std::string message_of(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "(no error)";
}
bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string build_error(const std::string& yaml) {
  return message_of([&] {
    (void)Graph(graph_from_yaml(yaml, "g.yaml"),
                {stream_info("ecg", {"I", "II"}), stream_info("odd", {"x"}, std::nullopt)});
  });
}

}  // namespace

TEST_CASE(
    "a graph gives the same bits however its input is cut, gaps and calibration changes included") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  Stream stream(stream_info("a", {"x", "y"}));
  Writer<std::int16_t> writer(stream);
  for (int i = 0; i < 20'000; ++i) {
    const std::array<std::int16_t, 2> frame{static_cast<std::int16_t>(random() % 4096),
                                            static_cast<std::int16_t>(random() % 4096)};
    Quality q;
    if (random() % 500 == 0)
      q = Quality(Verdict::bad, Quality::missing);
    else if (random() % 300 == 0)
      q = Quality(Verdict::suspect, Quality::out_of_range);
    writer.push(std::span<const std::int16_t>(frame), q);
    if (random() % 1000 == 0) writer.gap({1 + random() % 50});
    if (random() % 2000 == 0)
      writer.calibrate(random() % 2, Linear{static_cast<double>(random() % 7 + 1), 0.0});
  }
  const auto whole = run(Graph(chain(), {stream.info()}, 4096), stream, 4096);
  REQUIRE(whole[0].frames.size() == 20'000);
  REQUIRE(whole[0].missing > 0);
  for (const std::size_t block : std::array<std::size_t, 4>{1, 7, 64, 1000}) {
    const auto cut = run(Graph(chain(), {stream.info()}, 4096), stream, block);
    for (std::size_t n = 0; n < whole.size(); ++n) CHECK(same(whole[n], cut[n]));
  }
}

TEST_CASE("edges carry engineering units, raw() opts out") {
  Stream stream(stream_info("a", {"x", "y"}));
  Writer<std::int16_t> writer(stream);
  for (std::int16_t i = 0; i < 100; ++i) {
    const std::array<std::int16_t, 2> frame{i, static_cast<std::int16_t>(2 * i)};
    writer.push(std::span<const std::int16_t>(frame),
                i == 50 ? Quality(Verdict::bad, Quality::missing) : Quality::good());
  }
  const Graph graph(chain(), {stream.info()});
  CHECK(graph.output_info(2).channels.size() == 1);
  CHECK(graph.output_info(2).channels[0].name == "y");
  CHECK(graph.output_info(2).channels[0].unit == "mV");
  CHECK(graph.output_info(3).channels[0].unit == "count");
  CHECK(graph.output_info(0).channels.size() == 2);
  CHECK(graph.output_info(0).channels[0].type == SampleType::float64);
  const auto all = run(Graph(chain(), {stream.info()}), stream, 64);
  std::uint64_t wrong = 0;
  for (std::uint64_t n = 0; n < 100; ++n) {
    const double y = all[2].frames.at(n)[0].first;
    const double x = all[3].frames.at(n)[0].first;
    if (n == 50) {
      CHECK(std::isnan(y));
      CHECK(std::isnan(x));
      continue;
    }
    wrong += y != 0.5 * (2.0 * static_cast<double>(n)) - 1.0;
    wrong += x != static_cast<double>(n);
    wrong += all[2].frames.at(n)[0].second != 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("what lies outside of a table is marked on calibrated edges, not on raw ones") {
  StreamInfo info = stream_info("a", {"x"});
  info.channels[0].calibration = Table{{0.0, 10.0}, {0.0, 100.0}, Outside::clamp};
  info.channels[0].calibration.unit_out = info.channels[0].unit;
  Stream stream(info);
  Writer<std::int16_t> writer(stream);
  for (const int v : {5, 11}) writer.push(static_cast<std::int16_t>(v));
  GraphSpec spec;
  spec.nodes.push_back({"calibrated", {"a"}, Calibrate{}, {}});
  spec.nodes.push_back({"raw", {"raw(a)"}, Calibrate{}, {}});
  const Calibration further = Table{{0.0, 60.0}, {1.0, 2.0}, Outside::nan};
  spec.nodes.push_back({"further", {"a"}, Calibrate{further, {}}, {}});
  const auto all = run(Graph(spec, {info}), stream, 64);
  using Sample = std::pair<double, std::uint8_t>;
  const Quality outside(Verdict::suspect, Quality::calibration);
  CHECK(all[0].frames.at(0)[0] == Sample(50.0, 0));
  CHECK(all[0].frames.at(1)[0] == Sample(100.0, outside.byte()));
  CHECK(all[1].frames.at(0)[0] == Sample(5.0, 0));
  CHECK(all[1].frames.at(1)[0] == Sample(11.0, 0));
  CHECK(all[2].frames.at(0)[0].second == 0);
  CHECK(std::isnan(all[2].frames.at(1)[0].first));
  CHECK(all[2].frames.at(1)[0].second ==
        Quality(Verdict::bad, Quality::missing | Quality::calibration).byte());
}

TEST_CASE("a graph's state, saved and loaded in the middle, goes on with the same bits") {
  Stream stream(stream_info("a", {"x", "y"}));
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  Block block(stream.info(), 500);
  Graph first(chain(), {stream.info()});
  Graph second(chain(), {stream.info()});
  const auto feed = [&](Graph& graph, const Chunk& chunk) {
    graph.process(0, chunk, block, reader.calibrations(chunk.calibrations));
  };
  for (int i = 0; i < 1000; ++i) {
    const std::array<std::int16_t, 2> frame{static_cast<std::int16_t>(i * 37 % 1000),
                                            static_cast<std::int16_t>(i * 91 % 1000)};
    writer.push(std::span<const std::int16_t>(frame));
  }
  feed(first, reader.read(block));
  second.load_state(first.save_state());
  const Chunk rest = reader.read(block);
  REQUIRE(rest.count.value == 500);
  feed(first, rest);
  feed(second, rest);
  for (std::size_t n = 0; n < 4; ++n) {
    const auto a = first.output(n).frames;
    const auto b = second.output(n).frames;
    CHECK(std::ranges::equal(a.values, b.values));
    CHECK(std::ranges::equal(a.quality, b.quality));
  }
  GraphSpec other;
  other.nodes.push_back({"m", {"a"}, MovingAverage{.window = 3}, {}});
  Graph different(other, {stream.info()});
  CHECK_THROWS_AS(different.load_state(first.save_state()), Error);
}

TEST_CASE("a graph from YAML is the graph from C++") {
  const GraphSpec spec = graph_from_yaml(R"(
title: ignored here
graph:
  - {id: low, type: lowpass, input: average, order: 4, cutoff: 0.04 kHz, initial: steady, nan: reset, gap: hold}
  - {id: average, type: moving_average, input: a, window: 9, warm_up: nan, nan: ignore}
  - id: volts
    type: calibrate
    input: raw(a/x)
    calibration: {slope: 2.5, offset: -1, unit_out: V, certificate: "12/34"}
  - id: level
    type: calibrate
    input: a
    calibration:
      steps:
        - {slope: 2}
        - table: {x: [0, 1, 3], y: [5, 4, 0.5], outside: extrapolate}
        - {polynomial: [0, 1, 2]}
  - {id: litres, type: calibrate, input: a, calibration: {table: {x: [0, 1], y: [0, 9]}, unit_out: l}}
)",
                                         "g.yaml");
  REQUIRE(spec.nodes.size() == 5);
  const auto& low = std::get<LowPass>(spec.nodes[0].kind);
  CHECK(std::get<Butterworth>(low.family).order == 4);
  CHECK(low.cutoff == 40_Hz);
  CHECK(low.options.initial == Initial::steady);
  CHECK(low.options.nan == NanPolicy::reset);
  CHECK(low.options.gap == GapPolicy::hold);
  const auto& average = std::get<MovingAverage>(spec.nodes[1].kind);
  CHECK(average.window == 9);
  CHECK(average.warm_up == WarmUp::nan);
  CHECK(average.nan == NanPolicy::ignore);
  CHECK(spec.nodes[2].where == "g.yaml:6:5");
  Calibration level(Linear{2.0, 0.0});
  level.steps.emplace_back(Table{{0.0, 1.0, 3.0}, {5.0, 4.0, 0.5}, Outside::extrapolate});
  level.steps.emplace_back(Polynomial{{0.0, 1.0, 2.0}});
  CHECK(std::get<Calibrate>(spec.nodes[3].kind).calibration == level);
  Calibration litres(Table{{0.0, 1.0}, {0.0, 9.0}, Outside::clamp});
  litres.unit_out = "l";
  CHECK(std::get<Calibrate>(spec.nodes[4].kind).calibration == litres);
  const Graph graph(spec, {stream_info("a", {"x", "y"})});
  CHECK(graph.output_info(2).channels[0].unit == "V");
  const std::string provenance = provenance_json(graph);
  CHECK(contains(provenance, "\"id\":\"low\""));
  CHECK(contains(provenance, "sections"));
  CHECK(contains(provenance, R"({"kind":"table","x":[0.0,1.0,3.0],"y":[5.0,4.0,0.5],)"
                             R"("outside":"extrapolate"})"));
  CHECK(graph_from_yaml("title: no graph", "g.yaml").nodes.empty());
}

TEST_CASE("what is wrong in a graph is named with node, file, line and column") {
  const auto node = [](const std::string& rest) { return "graph:\n  - {id: n, " + rest + "}\n"; };
  struct Case {
    std::string yaml;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases{
      {node("type: lowpass, input: ecg, ordr: 4, cutoff: 1 Hz"),
       {"g.yaml:2:", "'ordr'", "node 'n'", "did you mean 'order'"}},
      {node("type: lowpas, input: ecg"), {"g.yaml:2:", "did you mean 'lowpass'"}},
      {node("type: lowpass, input: ecg"), {"g.yaml:2:", "lacks the key 'cutoff'"}},
      {node("type: lowpass, input: ecg, cutoff: 40"), {"g.yaml:2:", "units Hz, mHz, kHz, MHz"}},
      {node("type: lowpass, input: ecg, cutoff: 40 V"), {"units Hz"}},
      {node("type: lowpass, input: ecg, cutoff: 500 Hz"), {"g.yaml:2:5", "node 'n'", "500"}},
      {node("type: lowpass, input: ecg, order: 13, cutoff: 1 Hz"), {"'13'", "1 to 12"}},
      {node("type: lowpass, input: odd, cutoff: 1 Hz"), {"node 'n'", "irregular", "interpolate"}},
      {node("type: allign, inputs: [ecg, odd]"), {"g.yaml:2:", "did you mean 'align'"}},
      {node("type: align, inputs: [ecg, odd], fill_gaps: 4"),
       {"g.yaml:2:5", "fill_gaps: align fills gaps by itself", "max_gap"}},
      {node("type: moving_average, input: ecg, window: 0"), {"g.yaml:2:", "'0'", "from 1 to"}},
      {node("type: moving_average, input: ecg, window: -1"), {"'-1'", "whole number from 1"}},
      {node("type: moving_average, input: ecg, window: many"), {"'many'"}},
      {node("type: moving_average, input: ecq, window: 3"),
       {"g.yaml:2:5", "unknown input 'ecq'", "did you mean 'ecg'"}},
      {node("type: moving_average, input: ecg/III, window: 3"), {"no channel 'III'"}},
      {node("type: moving_average, input: ecg/, window: 3"),
       {"unknown input 'ecg/'", "did you mean 'ecg'"}},
      {node("type: calibrate, input: n"), {"cycle", "n <- n"}},
      {node("type: calibrate, input: ecg, calibration: {table: {x: [1, 2, 2], y: [0, 1, 2]}}"),
       {"g.yaml:2:", "'table'", "x[2] = 2 is not above x[1] = 2"}},
      {node("type: calibrate, input: ecg, calibration: {table: {x: [1, 2], y: [0]}}"),
       {"g.yaml:2:", "2 x and 1 y"}},
      {node("type: calibrate, input: ecg, calibration: {table: {x: [1, 2], y: [0, 1], outside: "
            "extrapolat}}"),
       {"g.yaml:2:", "did you mean 'extrapolate'"}},
      {node("type: calibrate, input: ecg, calibration: {slope: 1, table: {x: [1, 2], y: [0, 1]}}"),
       {"g.yaml:2:", "slope and offset, or a polynomial, or a table"}},
      {node("type: calibrate, input: ecg, calibration: {slope: 1, steps: [{slope: 1}]}"),
       {"g.yaml:2:", "'slope'", "must be one of the steps"}},
      {node("type: calibrate, input: ecg, calibration: {steps: []}"),
       {"g.yaml:2:", "at least one step"}},
      {node("type: calibrate, input: ecg, calibration: {steps: [{slope: 1, unit_in: V}]}"),
       {"g.yaml:2:", "unknown key 'unit_in'"}},
      {"graph:\n  - {id: a, type: calibrate, input: b}\n  - {id: b, type: calibrate, input: a}\n",
       {"g.yaml:2:5", "cycle"}},
      {"graph:\n  - {id: a, type: calibrate, input: ecg}\n  - {id: a, type: calibrate, input: "
       "ecg}\n",
       {"node 'a'", "another node"}},
      {"graph:\n  - {id: ecg, type: calibrate, input: ecg}\n", {"a stream has this name"}},
      {"graph:\n  - {id: a, type: calibrate, input: ecg}\n  - {id: b, type: calibrate, input: "
       "raw(a)}\n",
       {"raw(a)"}},
      {"graph:\n  - {id: a, id: b, type: calibrate, input: ecg}\n",
       {"g.yaml:2:", "'id' stands twice"}},
      {"graph:\n  - {id: spillway, type: calibrate, input: ecg}\n", {"g.yaml:2:5", "reserved"}},
      {node("type: interpolate, input: ecg, rate: 5"), {"g.yaml:2:", "'rate'", "units Hz"}},
      {node("type: interpolate, input: ecg, rate: 1e-30 Hz"), {"g.yaml:2:", "'rate'", "1e12 Hz"}},
      {node("type: mix, input: ecg, matrix: [[1, 0], [0, 1]], names: [a, a]"),
       {"g.yaml:2:5", "node 'n'", "two channels are called 'a'"}},
      {node("type: mix, input: ecg, matrix: [[1, 0]], names: [time]"),
       {"g.yaml:2:5", "node 'n'", "'time'", "reserved"}},
      {node("type: mix, input: ecg, matrix: [[1, 0]], names: [a/b]"),
       {"g.yaml:2:5", "node 'n'", "'a/b'", "no '/'"}},
      {"graph: 3\n", {"g.yaml:1:8", "list"}},
      {"- {id: a, type: calibrate, input: ecg}\n", {"g.yaml:1:1", "mapping"}},
      {"graph:\n  - {id: a, type: calibrate, input: ecg\n", {"g.yaml:"}},
  };
  for (const Case& c : cases) {
    const std::string message = build_error(c.yaml);
    CAPTURE(c.yaml, message);
    for (const std::string& part : c.parts) CHECK(contains(message, part));
    CHECK(message.find('\n') == std::string::npos);
    CHECK(message.find("g.yaml") == message.rfind("g.yaml"));
  }
}

TEST_CASE(
    "a node that another stream feeds from now on does not go on with the past of the first") {
  const std::vector<StreamInfo> infos{stream_info("a", {"x"}), stream_info("b", {"x"})};
  const auto spec = [](const char* input) {
    GraphSpec one;
    one.nodes.push_back({"mean", {input}, MovingAverage{.window = 4}, {}});
    one.nodes.push_back({"other", {"b"}, Calibrate{}, {}});
    return one;
  };
  Stream a(infos[0]);
  Stream b(infos[1]);
  Writer<std::int16_t> to_a(a);
  Writer<std::int16_t> to_b(b);
  for (int i = 0; i < 8; ++i) to_a.push(std::int16_t{1000});
  for (int i = 0; i < 8; ++i) to_b.push(std::int16_t{2});
  StreamReader from_a(a);
  StreamReader from_b(b);
  Block block(infos[0], 64);
  const auto process = [&](Graph& graph, std::size_t input, StreamReader& reader) {
    const Chunk chunk = reader.read(block);
    graph.process(input, chunk, block, reader.calibrations(chunk.calibrations));
  };
  Graph first(spec("a"), infos, 64);
  process(first, 0, from_a);
  process(first, 1, from_b);
  Graph second(spec("b"), infos, 64);
  second.follow(first);
  second.take_over(first);
  for (int i = 0; i < 4; ++i) to_b.push(std::int16_t{2});
  process(second, 1, from_b);
  const NodeOutput out = second.output(0);
  CHECK(out.first.value == 8);
  REQUIRE(out.frames.count() == 4);
  for (const double value : out.frames.values) CHECK(value == 0.0);  // 2 counts
  CHECK(out.frames.quality[0] == unsettled);
  CHECK(out.missing.value + out.lost.value == 0);
}

TEST_CASE("a chain of nodes may be long, in whatever order they stand") {
  GraphSpec spec;
  constexpr int count = 30'000;
  for (int i = 0; i < count; ++i)
    spec.nodes.push_back({fmt::format("n{}", i), {fmt::format("n{}", i + 1)}, Calibrate{}});
  spec.nodes.push_back({fmt::format("n{}", count), {"a"}, Calibrate{}});
  const Graph graph(spec, {stream_info("a", {"x"})}, 1);
  CHECK(graph.sources_of(0).size() == 1);
  spec.nodes.back().inputs = {"n1"};
  CHECK(contains(message_of([&] { (void)Graph(spec, {stream_info("a", {"x"})}, 1); }), "cycle"));
}

TEST_CASE("gaps are filled up to a length that memory is there for") {
  GraphSpec spec;
  spec.nodes = {{"n", {"a"}, Calibrate{}}};
  for (const std::uint64_t most : {(std::uint64_t{1} << 20) + 1, ~std::uint64_t{0}}) {
    spec.nodes[0].fill_gaps = most;
    CHECK(contains(message_of([&] { (void)Graph(spec, {stream_info("a", {"x"})}); }),
                   "allowed are up to 1048576"));
  }
}

TEST_CASE("a gap behind which the clock is set is not filled") {
  StreamInfo info = stream_info("a", {"x"});
  Stream stream(info);
  Writer<std::int16_t> writer(stream);
  for (int i = 0; i < 3; ++i) writer.push(std::int16_t{4});
  writer.gap({2});
  writer.stamp({std::chrono::seconds(1), 0});
  for (int i = 0; i < 3; ++i) writer.push(std::int16_t{4});
  GraphSpec spec;
  spec.nodes = {{"n", {"a"}, Calibrate{}, {}, 4}};
  Graph graph(spec, {info}, 16);
  StreamReader reader(stream);
  Block block(info, 16);
  std::map<std::uint64_t, Time> times;
  while (reader.pending().value > 0) {
    const Chunk chunk = reader.read(block);
    graph.process(0, chunk, block, reader.calibrations(chunk.calibrations));
    const NodeOutput out = graph.output(0);
    if (out.frames.count() == 0) continue;
    REQUIRE(out.clock_sample <= out.first);
    for (std::uint64_t n = out.first.value; n < out.first.value + out.frames.count(); ++n)
      times[n] = out.clock_time + info.rate->duration(n - out.clock_sample.value);
  }
  REQUIRE(times.size() == 6);
  const auto ms = [](int n) { return Time(std::chrono::milliseconds(n)); };
  CHECK(times[2] == ms(2));
  CHECK_FALSE(times.contains(3));
  CHECK(times[5] == ms(1000));
  CHECK(times[7] == ms(1002));
}
