// Nodes of every kind in a graph: rates that change, several inputs, irregular streams.
#include <fmt/format.h>

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "graph_support.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/writer.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

// One of each kind that a stream `s` of two channels in mV can feed, or else an irregular one
// `odd`.
const std::vector<std::string> one_of_each{
    "type: calibrate, input: s, calibration: {table: {x: [-1, 1], y: [0, 5]}}, unit: V",
    "type: moving_average, input: s, window: 7, nan: ignore",
    "type: exponential_average, input: s, time_constant: 20 ms",
    "type: lowpass, input: s, family: chebyshev1, order: 3, ripple_db: 1, cutoff: 50 Hz",
    "type: highpass, input: s, family: bessel, order: 3, norm: magnitude, cutoff: 50 Hz",
    "type: bandpass, input: s, family: elliptic, order: 3, low: 40 Hz, high: 80 Hz, form: block",
    "type: bandstop, input: s, family: chebyshev2, attenuation_db: 50, low: 40 Hz, high: 80 Hz",
    "type: notch, input: s, frequency: 50 Hz, quality: 12, initial: steady",
    "type: peak, input: s, frequency: 50 Hz",
    "type: sections, input: s, sections: [[0.5, 0.5, 0, 1, 0, 0]]",
    "type: fir, input: s, taps: [0.25, 0.5, 0.25], gap: hold",
    "type: fir_lowpass, input: s, taps: 31, cutoff: 50 Hz, window: blackman",
    "type: fir_highpass, input: s, taps: 31, cutoff: 50 Hz, window: kaiser, window_parameter: 6",
    "type: fir_bandpass, input: s, taps: 31, low: 40 Hz, high: 80 Hz",
    "type: fir_bandstop, input: s, taps: 31, low: 40 Hz, high: 80 Hz",
    "type: savitzky_golay, input: s, window: 11, order: 3, derivative: 1, align: centred",
    "type: median, input: s, window: 5, warm_up: nan",
    "type: sliding_min, input: s, window: 5",
    "type: sliding_max, input: s, window: 5",
    "type: sliding_rms, input: s, window: 5",
    "type: sliding_std, input: s, window: 5, ddof: 1",
    "type: derivative, input: s, scheme: central",
    "type: integral, input: s, initial: 2",
    "type: decimate, input: s, factor: 4, phase: 1",
    "type: resample, input: s, up: 3, down: 2",
    "type: interpolate, input: s, rate: 700 Hz, max_gap: 20 ms",
    "type: welch, input: s/c0, segment: 32, overlap: 16, average: 4, detrend: none",
    "type: envelope, input: s, taps: 31",
    "type: arithmetic, inputs: [s/c1, s/c0], operation: subtract",
    "type: mix, input: s, matrix: [[1, 1], [1, -1], [0, 2]], names: [sum, difference, twice]",
    "type: compensate, input: s, coefficients: [[0, 0.1], [1, 0.01]]",
    "type: thermocouple, input: s/c0, thermocouple: J, cold_junction_celsius: 20",
    "type: detect_range, input: s, low: -0.5, high: 0.5",
    "type: detect_saturation, input: s, low: -0.9, high: 0.9",
    "type: detect_stuck, input: s, samples: 3",
    "type: detect_jump, input: s, limit: 0.5",
    "type: function, input: s, function: double",
    "type: detect_time, input: odd, max_step: 5 ms",
    "type: align, inputs: [s, odd/c1], max_gap: 8 ms"};

Functions functions() {
  Function twice;
  twice.name = "double";
  twice.call = [](ConstFrames in, Frames out) {
    for (std::size_t i = 0; i < in.values.size(); ++i) {
      out.values[i] = 2.0 * in.values[i];
      out.quality[i] = in.quality[i];
    }
  };
  return {{"double", twice}};
}

GraphSpec parse(const std::vector<std::string>& nodes) {
  std::string yaml = "graph:\n";
  for (std::size_t i = 0; i < nodes.size(); ++i)
    yaml += fmt::format("  - {{id: n{}, {}}}\n", i, nodes[i]);
  return graph_from_yaml(yaml, "g.yaml", functions());
}

std::string error_of(const std::vector<std::string>& nodes) {
  return message_of([&] {
    (void)Graph(parse(nodes), {doubles("s", 2, Rate(1000, 1)), doubles("t", 2, Rate(1000, 1)),
                               doubles("odd", 2, std::nullopt)});
  });
}

// What the last run of the graph made.
void collect_all(const Graph& graph, std::vector<Collected>& all) {
  for (const std::size_t n : graph.ran()) collect(graph, n, all[n]);
}

// Reads from stream `input` of the graph; false if that was all.
bool step(Graph& graph, std::size_t input, StreamReader& reader, Block& buffer,
          std::vector<Collected>& all) {
  const Chunk chunk = reader.read(buffer);
  graph.process(input, chunk, buffer, reader.calibrations(chunk.calibrations));
  do collect_all(graph, all);
  while (graph.process_rest());
  return chunk.stop != Stop::drained;
}

// One that outputs wait for, if there is more of it; else any that has more.
std::optional<std::size_t> next_input(const Graph& graph,
                                      const std::vector<StreamReader>& readers) {
  for (const Graph::Wait& wait : graph.waits())
    for (const std::size_t i : wait.lacked)
      if (readers[i].pending().value > 0) return i;
  for (std::size_t i = 0; i < readers.size(); ++i)
    if (readers[i].pending().value > 0) return i;
  return std::nullopt;
}

std::vector<StreamInfo> infos(const std::vector<const Stream*>& streams) {
  std::vector<StreamInfo> all;
  for (const Stream* stream : streams) all.push_back(stream->info());
  return all;
}

// The same graph over all samples of the streams, in blocks of up to `block`.
std::vector<Collected> run(const GraphSpec& spec, const std::vector<const Stream*>& streams,
                           std::size_t block) {
  Graph graph(spec, infos(streams), block);
  graph.set_waiting(Waiting::logged);
  std::vector<Collected> all(spec.nodes.size());
  std::vector<StreamReader> readers;
  std::vector<Block> buffers;
  for (const Stream* stream : streams) {
    readers.emplace_back(*stream);
    buffers.emplace_back(stream->info(), block);
  }
  while (const auto input = next_input(graph, readers))
    (void)step(graph, *input, readers[*input], buffers[*input], all);
  return all;
}
std::vector<Collected> run(const GraphSpec& spec, const Stream& stream, std::size_t block) {
  return run(spec, std::vector{&stream}, block);
}

void check_same(const std::vector<Collected>& a, const std::vector<Collected>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t n = 0; n < a.size(); ++n) {
    CAPTURE(n);
    test::check_same(a[n], b[n]);
  }
}

}  // namespace

TEST_CASE("every kind of node is read from YAML, runs, and gives the same bits in any blocks") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  const GraphSpec spec = parse(one_of_each);
  REQUIRE(spec.nodes.size() == std::variant_size_v<NodeKind>);
  for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
    CHECK(spec.nodes[i].kind.index() == i);
    CHECK(one_of_each[i].find(fmt::format("type: {},", kind_name(spec.nodes[i].kind))) == 0);
  }
  Stream regular(doubles("s", 2, Rate(1000, 1)));
  Stream odd(doubles("odd", 2, std::nullopt));
  const std::vector<const Stream*> streams{&regular, &odd};
  Writer<double> writer(regular);
  Writer<double> odd_writer(odd);
  Time time{};
  for (int piece = 0; piece < 12; ++piece) {
    if (piece % 3 == 2) writer.gap({1 + random.below(400)});
    const Signal part = random.noise(1 + random.below(700), 2, piece % 2 == 0 ? 0 : 200);
    writer.push(part.values, part.quality);
    if (piece % 3 == 2) odd_writer.gap({1 + random.below(400)});
    std::vector<Time> times;
    for (std::size_t f = 0; f < part.frames(); ++f)
      times.push_back(time += Time(static_cast<std::int64_t>(random.below(6'000'000)) - 100'000));
    odd_writer.push(part.values, times, part.quality);
  }
  const std::vector<Collected> whole = run(spec, streams, 1 << 14);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(one_of_each[n]);
    CHECK(whole[n].points.size() > 5);
    // Something comes out that is a number.
    CHECK(std::ranges::any_of(whole[n].points,
                              [](const auto& p) { return std::isfinite(p.second.values[0]); }));
  }
  for (const std::size_t block : {1U, 7U, 1000U}) check_same(run(spec, streams, block), whole);

  // Stopped in the middle and gone on by another graph.
  Graph first(spec, infos(streams), 100);
  Graph second(spec, infos(streams), 100);
  first.set_waiting(Waiting::logged);
  second.set_waiting(Waiting::logged);
  std::vector<StreamReader> readers;
  std::vector<Block> buffers;
  for (const Stream* stream : streams) {
    readers.emplace_back(*stream);
    buffers.emplace_back(stream->info(), 100);
  }
  std::vector<Collected> parts(spec.nodes.size());
  for (int blocks = 0;; ++blocks) {
    if (blocks == 40) second.load_state(first.save_state());
    Graph& graph = blocks < 40 ? first : second;
    const auto input = next_input(graph, readers);
    if (!input) break;
    (void)step(graph, *input, readers[*input], buffers[*input], parts);
  }
  check_same(parts, whole);
}

TEST_CASE("a changed rate keeps numbers, times and the count of what was lost") {
  Stream stream(doubles("s", 1, Rate(1000, 1)));
  Writer<double> writer(stream);
  writer.stamp({5s, 0});
  const auto push = [&](int count) {
    for (int i = 0; i < count; ++i) writer.push(static_cast<double>(writer.next().value));
  };
  push(10);          // 0 to 9
  writer.gap({13});  // 10 to 22
  push(17);          // 23 to 39
  const std::vector<Collected> all =
      run(parse({"type: decimate, input: s, factor: 4, phase: 1, taps: 1",
                 "type: decimate, input: n0, factor: 3, taps: 1",
                 "type: resample, input: s, up: 3, down: 2, coefficients: [1, 1, 1]"}),
          stream, 5);
  // Of every fourth, 1, 5, 9, then 25, 29, 33, 37: numbers 0, 1, 2, and 6, 7, 8, 9.
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, point] : all[0].points) {
    numbers.push_back(number);
    CHECK(point.values[0] == static_cast<double>(number * 4 + 1));
    CHECK(point.time == 5s + (number * 4 + 1) * 1ms);
  }
  CHECK(numbers == std::vector<std::uint64_t>{0, 1, 2, 6, 7, 8, 9});
  CHECK(all[0].missing == 3);
  // Of those every third: numbers 0, 3, 6, 9 of them are 0, 1, 2, 3; 1 is missing.
  std::vector<double> values;
  for (const auto& [number, point] : all[1].points) {
    values.push_back(point.values[0]);
    CHECK(point.time == 5s + number * 12ms + 1ms);
  }
  CHECK(values == std::vector{1.0, 25.0, 37.0});
  CHECK(all[1].missing == 1);
  // Three for two: 15 for the first 10, numbers from 35 (23 * 3 / 2 rounded up) to 59.
  CHECK(all[2].points.size() == 15 + 25);
  CHECK(all[2].missing == 20);
  CHECK(all[2].points.contains(14));
  CHECK_FALSE(all[2].points.contains(15));
  CHECK(all[2].points.contains(35));
  CHECK(all[2].points.at(36).time == 5s + 24ms);
  CHECK(all[2].points.at(36).values[0] == 24.0);
}

TEST_CASE("irregular streams are interpolated to a grid, whatever their pauses") {
  StreamInfo info = doubles("s", 1, std::nullopt);
  Stream stream(info);
  Writer<double> writer(stream);
  // A value a second, the double of its time; then an hour of nothing; then more.
  std::vector<Time> times;
  for (int i = 0; i < 20; ++i) times.push_back(i * 1s + (i > 9 ? 1h : 0h) + (i % 3) * 10ms);
  std::vector<double> values;
  for (const Time t : times) values.push_back(2.0 * std::chrono::duration<double>(t).count());
  writer.push(values, times);
  const GraphSpec spec = parse({"type: interpolate, input: s, rate: 100 Hz, max_gap: 2 s",
                                "type: moving_average, input: n0, window: 3"});
  const std::vector<Collected> all = run(spec, stream, 1000);
  for (const auto& [number, point] : all[0].points) {
    const double t = static_cast<double>(number) / 100.0;
    if (t > 9.0 && t < 3610.01)
      CHECK(std::isnan(point.values[0]));
    else
      CHECK(point.values[0] == Approx(2.0 * t));
    CHECK(point.time == number * 10ms);
  }
  // A pause of 360,000 points is jumped over: they count as missing.
  CHECK(all[0].missing + all[0].points.size() == all[0].next);
  CHECK(all[0].missing > 350'000);
  CHECK(all[0].points.size() < 3000);
  CHECK(all[1].missing == all[0].missing);
  for (const std::size_t block : {1U, 3U}) check_same(run(spec, stream, block), all);
}

TEST_CASE("several inputs stand side by side if they are of one stream and one rate") {
  Stream stream(doubles("s", 2, Rate(1000, 1)));
  Writer<double> writer(stream);
  writer.push(std::vector{1.0, 10.0, 2.0, 30.0});
  const std::vector<Collected> all =
      run(parse({"type: arithmetic, inputs: [s/c1, s/c0], operation: subtract",
                 "type: arithmetic, inputs: [n0, s, raw(s/c0)], operation: add"}),
          stream, 8);
  CHECK(all[0].points.at(0).values == std::vector{9.0});
  CHECK(all[0].points.at(1).values == std::vector{28.0});
  CHECK(all[1].points.at(0).values == std::vector{9.0 + 1.0 + 10.0 + 1.0});

  CHECK_THAT(error_of({"type: arithmetic, inputs: [s, t], operation: add"}),
             Contains("'s' and 't' do not come from one stream at one rate"));
  const std::string decimate = "type: decimate, input: s, factor: 2";
  CHECK_THAT(error_of({decimate, "type: arithmetic, inputs: [s, n0], operation: add"}),
             Contains("one rate"));
  // Two of the same kind agree about their numbers.
  CHECK(error_of({decimate, decimate + ", taps: 1",
                  "type: arithmetic, inputs: [n0/c0, n1/c1], operation: add"}) == "");
}

TEST_CASE("what a node needs and does not get is named with node and place") {
  struct Wrong {
    std::string node;
    std::vector<std::string> parts;
  };
  for (const auto& [node, parts] : std::vector<Wrong>{
           {"type: welch, input: s", {"node 'n0'", "2 channels", "needed: one"}},
           {"type: decimate, input: odd, factor: 2", {"'odd' is irregular", "decimation"}},
           {"type: fir_lowpass, input: odd, cutoff: 1 Hz", {"'odd' is irregular", "FIR"}},
           {"type: compensate, input: s/c0, coefficients: [[1]]", {"1 channels", "two"}},
           {"type: function, input: s, function: dubble", {"no function 'dubble'", "'double'"}},
           {"type: lowpass, input: s, cutoff: 5 Hz, ripple_db: 1", {"unknown key 'ripple_db'"}},
           {"type: lowpass, input: s, family: chebychev1, cutoff: 5 Hz",
            {"did you mean 'chebyshev1'"}},
           {"type: notch, input: s, frequency: 600 Hz", {"600"}},
           {"type: fir, input: s, taps: [1, two]", {"'two' is not a number"}},
           {"type: sections, input: s, sections: [[1, 0, 0, 2, 0, 0]]",
            {"[b0, b1, b2, 1, a1, a2]"}},
           {"type: sections, input: s, sections: [[1, 0, 0, 1, -3, 1]]", {"not stable"}},
           {"type: mix, input: s, matrix: [[1, 2], [3]]", {"node 'n0'"}},
           {"type: mix, input: s, matrix: [[1, 2]], names: [a, b]", {"2 names for 1 rows"}},
           {"type: arithmetic, input: s, inputs: [s], operation: add", {"either input or inputs"}},
           {"type: interpolate, input: odd, rate: 0 Hz", {"rate"}},
           {"type: exponential_average, input: s", {"alpha"}},
           {"type: fir_lowpass, input: s, cutoff: 5 Hz, window: hanning", {"called 'hann' here"}},
           {"type: detect_range, input: s", {"one of low and high must be given"}},
           {"type: detect_time, input: s", {"'s' is regular", "an irregular stream"}},
           {"type: align, inputs: [s, odd], max_wait: 100 us",
            {"max_wait is 0.0001 s", "'s' has a sample every 0.001 s"}},
           {"type: detect_time, input: odd, max_step: -1 s", {"'max_step'", "from 0"}},
           {"type: median, input: [s, t], window: 3", {"under 'inputs'"}},
           {"type: median, input: s, window: 20 ms", {"'20 ms'", "from 1 to 268435456"}},
           {"type: lowpass, input: s, order: 13, cutoff: 5 Hz", {"'13'", "from 1 to 12"}},
           {"type: thermocouple, input: s, thermocouple: K", {"'c1' is in 'mV'", "degC"}},
           {"type: interpolate, input: s, rate: 100", {"'100' is not a number"}},
       }) {
    const std::string message = error_of({node});
    CAPTURE(node, message);
    CHECK_THAT(message, Contains("g.yaml:2:"));
    for (const std::string& part : parts) CHECK_THAT(message, Contains(part));
    CHECK(message.find('\n') == std::string::npos);
    // The place stands there once.
    CHECK(message.find("g.yaml", 1) == std::string::npos);
  }
  // What would take more memory than is allowed is not begun.
  for (const char* const large :
       {"type: median, input: s, window: 268435456", "type: resample, input: s, up: 50000, down: 1",
        "type: fir_lowpass, input: s, taps: 1048576, cutoff: 5 Hz",
        "type: welch, input: s/c0, segment: 16777216",
        "type: moving_average, input: s, window: 9999999"}) {
    CAPTURE(large);
    CHECK_THAT(message_of([&] {
                 (void)Graph(parse({large}), {doubles("s", 2, Rate(1000, 1))}, 1024, 64 << 20);
               }),
               Contains("g.yaml:2:5: node 'n0': needs ") && Contains("64.0 MiB are left"));
  }
  CHECK_THAT(message_of([] {
               (void)Graph(parse({"type: thermocouple, input: s, thermocouple: K"}),
                           {doubles("s", 1, Rate(1, 1), "V")});
             }),
             Contains("must be in mV"));
}

TEST_CASE("units and names of what nodes make") {
  const Graph graph(parse(one_of_each),
                    {doubles("s", 2, Rate(1000, 1)), doubles("odd", 2, std::nullopt)});
  const auto info = [&](std::string_view kind) -> const StreamInfo& {
    for (std::size_t i = 0; i < graph.spec().nodes.size(); ++i)
      if (kind_name(graph.spec().nodes[i].kind) == kind) return graph.output_info(i);
    throw Error("none");
  };
  CHECK(info("derivative").channels[0].unit == "mV s-1");
  CHECK(info("integral").channels[0].unit == "mV s");
  CHECK(info("welch").channels[1].unit == "mV2 Hz-1");
  CHECK(info("welch").channels[1].name == "c0 at 31.25 Hz");
  CHECK(info("welch").rate == Rate(1000, 64));
  CHECK(info("decimate").rate == Rate(250, 1));
  CHECK(info("resample").rate == Rate(1500, 1));
  CHECK(info("interpolate").rate == Rate(700, 1));
  CHECK(info("mix").channels[2].name == "twice");
  CHECK(info("thermocouple").channels[0].unit == "degC");
  CHECK(info("calibrate").channels[1].unit == "V");
  const nlohmann::json provenance = nlohmann::json::parse(provenance_json(graph));
  for (const auto& node : provenance.at("nodes")) {
    CAPTURE(node.dump());
    CHECK(node.contains("delay_samples"));
  }
  CHECK(provenance.at("nodes").at(3).at("ripple_db") == 1.0);
  CHECK(provenance.at("nodes").at(3).at("sections").size() == 2);
  CHECK(provenance.at("nodes").at(12).at("coefficients").size() == 31);
}
