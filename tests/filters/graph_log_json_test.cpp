#include "spillway/filters/graph_log_json.hpp"

#include <bit>
#include <chrono>
#include <cmath>
#include <concepts>
#include <limits>

#include "random_graph.hpp"
#include "spillway/channels/error.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

GraphSpec through_json(const GraphSpec& spec, const Functions& functions = {}) {
  const std::string line = to_json({3, GraphBegin{{"s", "t"}, spec}});
  CAPTURE(line);
  CHECK(line.find('\n') == std::string::npos);
  const GraphLogLine read = graph_log_line_from_json(line, functions);
  CHECK(read.part == 3);
  const auto& begin = std::get<GraphBegin>(read.what);
  CHECK(begin.streams == std::vector<std::string>{"s", "t"});
  // Everything that was written came back: it is written alike.
  CHECK(to_json(read) == line);
  return begin.spec;
}

bool same(const NodeSpec& a, const NodeSpec& b) {
  if (a.id != b.id || a.inputs != b.inputs || a.fill_gaps != b.fill_gaps) return false;
  return std::visit(
      []<class A, class B>(const A& x, const B& y) {
        if constexpr (std::same_as<A, Function> && std::same_as<B, Function>)
          return x.name == y.name && x.outputs == y.outputs && x.unit == y.unit;
        else if constexpr (std::same_as<A, B>)
          return x == y;
        else
          return false;
      },
      a.kind, b.kind);
}

void check_same(const GraphSpec& a, const GraphSpec& b) {
  REQUIRE(a.nodes.size() == b.nodes.size());
  for (std::size_t n = 0; n < a.nodes.size(); ++n) {
    CAPTURE(a.nodes[n].id, kind_name(a.nodes[n].kind));
    CHECK(same(a.nodes[n], b.nodes[n]));
  }
}

// Any finite double.
double any_double(Random& random) {
  for (;;) {
    const auto value = std::bit_cast<double>(random.below(~std::uint64_t{0}));
    if (std::isfinite(value)) return value;
  }
}

template <std::size_t I = 0>
void every_kind_by_default(GraphSpec& spec) {
  if constexpr (I < std::variant_size_v<NodeKind>) {
    if constexpr (!std::same_as<std::variant_alternative_t<I, NodeKind>, Function>)
      spec.nodes.push_back(
          {"n" + std::to_string(I), {"s"}, NodeKind(std::in_place_index<I>), {}, I});
    every_kind_by_default<I + 1>(spec);
  }
}

}  // namespace

TEST_CASE("a graph of every kind, with random parameters, reads back from JSON as it was") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (const std::string_view kind : regular_kinds())
    for (int run = 0; run < 10; ++run) {
      const GraphSpec spec = parse_nodes(any_graph(random, 1 + random.below(4), kind));
      Functions functions;
      for (const NodeSpec& node : spec.nodes)
        if (const auto* function = std::get_if<Function>(&node.kind))
          functions[function->name] = *function;
      check_same(spec, through_json(spec, functions));
    }
  GraphSpec all;
  every_kind_by_default(all);
  check_same(all, through_json(all));
}

TEST_CASE("numbers in the log's JSON keep every bit") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int run = 0; run < 300; ++run) {
    Fir fir;
    for (int i = 0; i < 20; ++i) fir.taps.push_back(any_double(random));
    fir.taps.push_back(-0.0);
    fir.taps.push_back(std::numeric_limits<double>::denorm_min());
    Sections sections;
    sections.sos.sections.push_back(
        {any_double(random), any_double(random), any_double(random), any_double(random), 0.1});
    Calibrate calibrate;
    calibrate.calibration =
        Calibration(Table{{-1.5, 0.1}, {any_double(random), 3.0}, Outside::nan});
    calibrate.calibration->steps.push_back(Linear{any_double(random), any_double(random)});
    calibrate.calibration->certificate = "No. \"7\" \\ \n ü";
    calibrate.unit = "°C";
    Interpolate interpolate;
    interpolate.rate =
        Rate(static_cast<std::int64_t>(1 + random.below(1'000'000'007)), 999'999'937);
    interpolate.max_gap = Time(static_cast<std::int64_t>(random.below(std::uint64_t{1} << 63)));
    LowPass lowpass;
    lowpass.family = Elliptic{.order = 7, .ripple_db = any_double(random), .attenuation_db = 0.3};
    lowpass.cutoff = {any_double(random)};
    DetectRange range{-std::numeric_limits<double>::infinity(), any_double(random)};
    Mix mix{
        {{any_double(random), 1.0}, {0.0, any_double(random)}}, {any_double(random)}, {"a,b"}, {}};
    const GraphSpec spec{{{"f", {"s/a", "raw(s/b)"}, fir, {}, 1 << 20},
                          {"x", {"f"}, sections, {}, 0},
                          {"c", {"f"}, calibrate, {}, 0},
                          {"i", {"f"}, interpolate, {}, 0},
                          {"l", {"f"}, lowpass, {}, 0},
                          {"r", {"f"}, range, {}, 0},
                          {"m", {"f"}, mix, {}, 0}}};
    const GraphSpec read = through_json(spec);
    check_same(spec, read);
    const auto& taps = std::get<Fir>(read.nodes[0].kind).taps;
    REQUIRE(taps.size() == fir.taps.size());
    for (std::size_t i = 0; i < taps.size(); ++i)
      CHECK(std::bit_cast<std::uint64_t>(taps[i]) == std::bit_cast<std::uint64_t>(fir.taps[i]));
  }
}

TEST_CASE("entries of every kind read back from the log's JSON") {
  const std::uint64_t most = ~std::uint64_t{0};
  const auto through = [](const auto& entry) {
    const std::string line = to_json({7, entry});
    CAPTURE(line);
    const GraphLogLine read = graph_log_line_from_json(line);
    CHECK(read.part == 7);
    return std::get<std::decay_t<decltype(entry)>>(read.what);
  };
  const ReaderLoss loss{"ecg", {most}, {1}, {most - 5}, GapCause::upstream, true};
  CHECK(through(loss) == loss);
  const WaitEnded wait{"both", 3, {123}, {most}};
  CHECK(through(wait) == wait);
  const NodeFailed failed{"f", {9}, "it's \"broken\"\n\x01"};
  CHECK(through(failed) == failed);
  // Bytes that are no UTF-8 are replaced; the line stays JSON.
  CHECK(through(NodeFailed{"f", {9}, "\xFF!"}).what == "\xEF\xBF\xBD!");
  const GraphChanged changed{{{0}, {most}, {5}},
                             {{{"low", {"ecg"}, MovingAverage{.window = 9}, "a.yaml:1:2", 4}}}};
  const GraphChanged read = through(changed);
  CHECK(read.at == changed.at);
  check_same(read.spec, changed.spec);
  CHECK(read.spec.nodes[0].where.empty());
  CHECK(through(GraphLogDropped{17}).count == 17);
  CHECK(through(GraphBegin{}).spec.nodes.empty());
}

TEST_CASE("of a function the log keeps the name, and whoever reads it must give its code") {
  const Function twice{"twice", [](ConstFrames, Frames) {}, {"a"}, "V"};
  const GraphSpec spec{{{"f", {"s"}, twice, {}, 0}}};
  const std::string line = to_json({0, GraphBegin{{"s"}, spec}});
  CHECK(line.find("not stored") != std::string::npos);
  CHECK_THROWS_WITH(graph_log_line_from_json(line),
                    Catch::Contains("'twice'") && Catch::Contains("node 'f'"));
  const GraphLogLine read = graph_log_line_from_json(line, {{"twice", twice}});
  CHECK(std::get<Function>(std::get<GraphBegin>(read.what).spec.nodes[0].kind).call != nullptr);
}

TEST_CASE("a line that is damaged is an Error, whatever the damage") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  GraphSpec spec;
  every_kind_by_default(spec);
  const std::string line = to_json({0, GraphChanged{{{1}}, spec}});
  int errors = 0;
  for (int run = 0; run < 2000; ++run) {
    std::string damaged = line;
    if (random.below(4) == 0)
      damaged.resize(random.below(damaged.size()));
    else
      damaged[random.below(damaged.size())] = "x\"{}[]:,0-.n"[random.below(12)];
    try {
      (void)graph_log_line_from_json(damaged);
    } catch (const Error& e) {
      CHECK(std::string(e.what()).find('\n') == std::string::npos);
      ++errors;
    }
  }
  CHECK(errors > 1000);
  for (const char* wrong : {"", "{}", "[]", "7", "{\"part\":-1,\"dropped\":{\"count\":1}}",
                            "{\"part\":0,\"what\":1}", "{\"part\":0,\"begin\":7}"})
    CHECK_THROWS_AS(graph_log_line_from_json(wrong), Error);
}
