#include "graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "contestants/two_threads.hpp"
#include "convert.hpp"
#include "interrupt.hpp"
#include "spillway/channels/duration_histogram.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/filters/graph.hpp"

namespace spillway::bench {

namespace {

using namespace literals;

enum class Shape { chain, fan_out };

struct Family {
  const char* id;
  Shape shape;
  SampleType type;
  std::size_t lanes;
};

constexpr std::array families{
    Family{"graph-chain-int16-1", Shape::chain, SampleType::int16, 1},
    Family{"graph-chain-int16-16", Shape::chain, SampleType::int16, 16},
    Family{"graph-chain-int16-64", Shape::chain, SampleType::int16, 64},
    Family{"graph-chain-double-1", Shape::chain, SampleType::float64, 1},
    Family{"graph-chain-double-16", Shape::chain, SampleType::float64, 16},
    Family{"graph-chain-double-64", Shape::chain, SampleType::float64, 64},
    Family{"graph-fan-out-int16-16", Shape::fan_out, SampleType::int16, 16},
};
constexpr const char* build_id = "graph-build";
constexpr std::array<std::size_t, 4> all_blocks{64, 256, 1024, 4096};

constexpr const char* by_hand = "filters by hand";
constexpr const char* conversion = "conversion";
constexpr const char* whole = "Graph::process";
constexpr const char* scheduling = "  scheduling, the rest of it";
constexpr const char* timing = "  timing of nodes, alone";
constexpr const char* ring_write = "push to the ring";
constexpr const char* ring_read = "read from the ring";
constexpr const char* derived_write = "push to the derived rings";
constexpr const char* whole_way = "Engine::step, ring to rings";

const Linear calibration{.slope = 1.0 / 4096.0, .offset = -0.5};

// A node, and the one before it; none: the input.
struct Stage {
  NodeKind kind;
  std::optional<std::size_t> from;
};

std::vector<Stage> stages_of(Shape shape) {
  std::vector<Stage> stages;
  if (shape == Shape::chain) {
    stages.push_back({Calibrate{.calibration = calibration, .unit = {}}, {}});
    stages.push_back({lowpass(Butterworth{.order = 4}, 100_Hz), 0});
    stages.push_back({MovingAverage{.window = 64}, 1});
    stages.push_back({highpass(Butterworth{.order = 2}, 1_Hz), 2});
  } else {
    for (int i = 1; i <= 8; ++i)
      stages.push_back({lowpass(Butterworth{.order = 4}, Hertz{20.0 * i}), {}});
  }
  return stages;
}

std::string node_name(std::size_t stage) { return fmt::format("node{}", stage); }

GraphSpec spec_of(const std::vector<Stage>& stages) {
  GraphSpec spec;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    NodeSpec node;
    node.id = node_name(i);
    node.inputs = {stages[i].from ? node_name(*stages[i].from) : "input"};
    node.kind = stages[i].kind;
    spec.nodes.push_back(std::move(node));
  }
  return spec;
}

StreamInfo input_info(SampleType type, std::size_t lanes, std::size_t frames) {
  StreamInfo info;
  info.name = "input";
  info.rate = Rate(1000, 1);
  info.capacity = SampleCount{std::max<std::size_t>(2 * frames, 4096)};
  for (std::size_t l = 0; l < lanes; ++l) {
    ChannelInfo channel;
    channel.name = std::to_string(l);
    channel.unit = "V";
    channel.type = type;
    channel.calibration = Linear{.slope = 0.005, .offset = 0.1};
    info.channels.push_back(std::move(channel));
  }
  return info;
}

// What a node gets or makes.
struct Edge {
  explicit Edge(std::size_t frames, std::size_t number_of_lanes)
      : values(frames * number_of_lanes), quality(values.size()), lanes(number_of_lanes) {}
  [[nodiscard]] Frames out() noexcept { return {values, quality, lanes}; }
  [[nodiscard]] ConstFrames in(std::uint64_t first) const noexcept {
    return {values, quality, lanes, first};
  }
  std::vector<double> values;
  std::vector<Quality> quality;
  std::size_t lanes;
};

using Filter = std::function<void(ConstFrames, Frames)>;

// The filter of a node, as a program without a graph has it.
Filter filter_of(const NodeKind& kind, std::size_t lanes) {
  const Hertz rate = 1_kHz;
  const auto made = [](auto filter) -> Filter {
    return [filter](ConstFrames in, Frames out) mutable { filter.process(in, out); };
  };
  if (const auto* const k = std::get_if<LowPass>(&kind))
    return made(SosFilter(design(*k, rate), k->options, lanes));
  if (const auto* const k = std::get_if<HighPass>(&kind))
    return made(SosFilter(design(*k, rate), k->options, lanes));
  if (const auto* const k = std::get_if<MovingAverage>(&kind))
    return made(MovingAverageFilter(*k, lanes));
  return [step = std::get<Calibrate>(kind).calibration.value()](ConstFrames in, Frames out) {
    std::copy_n(in.values.data(), in.values.size(), out.values.data());
    std::copy_n(in.quality.data(), in.quality.size(), out.quality.data());
    step.apply(out.values, out.quality);
  };
}

// --- the ways of one family, over blocks of one size ---

template <class T>
class Ways {
 public:
  Ways(const Family& family, std::size_t frames)
      : frames_(frames),
        lanes_(family.lanes),
        stages_(stages_of(family.shape)),
        info_(input_info(family.type, lanes_, frames)),
        block_(info_, frames),
        frames_of_samples_(frames * lanes_),
        converted_(frames, lanes_),
        converter_(info_, false),
        graph_(spec_of(stages_), {info_}, frames),
        histograms_(stages_.size()),
        engine_({.memory_budget = std::uint64_t{1} << 32, .graph_threads = 0}),
        stream_(engine_.add_stream(info_)),
        writer_(stream_),
        reader_(stream_),
        read_block_(info_, frames) {
    std::mt19937_64 random(1);
    for (std::size_t f = 0; f < frames; ++f)
      for (std::size_t l = 0; l < lanes_; ++l)
        frames_of_samples_[f * lanes_ + l] = block_.template values<T>(l)[f] =
            static_cast<T>(static_cast<std::int64_t>(random() % 4096) - 2048);
    for (const ChannelInfo& channel : info_.channels) set_.push_back(channel.calibration);
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      filters_.push_back(filter_of(stages_[i].kind, lanes_));
      edges_.emplace_back(frames, lanes_);
      StreamInfo derived = graph_.output_info(i);
      derived.capacity = info_.capacity;
      derived_.push_back(std::make_unique<Stream>(std::move(derived)));
      derived_writers_.push_back(std::make_unique<Writer<double>>(*derived_.back()));
    }
    engine_.graph().add(spec_of(stages_));
    engine_.start();
  }

  [[nodiscard]] std::size_t nodes() const noexcept { return stages_.size(); }

  void run_conversion() noexcept {
    converter_.convert(block_, 0, frames_, set_, converted_.out(), {});
  }
  void run_filters() {
    for (std::size_t i = 0; i < filters_.size(); ++i) {
      const Edge& from = stages_[i].from ? edges_[*stages_[i].from] : converted_;
      filters_[i](from.in(by_hand_done_), edges_[i].out());
    }
    by_hand_done_ += frames_;
  }
  void run_graph() noexcept {
    graph_.process(0, next_chunk(), block_, set_);
    while (graph_.process_rest()) continue;
  }
  // Two looks at the clock and a count, for each node.
  void run_timing() noexcept {
    for (DurationHistogram& histogram : histograms_) {
      const auto begin = std::chrono::steady_clock::now();
      histogram.add(std::chrono::steady_clock::now() - begin);
    }
  }
  void run_push() noexcept { writer_.push(std::span<const T>(frames_of_samples_)); }
  // As a loop of one's own does: until nothing more is found.
  void run_steps() noexcept {
    while (engine_.step()) continue;
  }
  void run_read() noexcept { (void)reader_.read(read_block_); }
  void run_derived_push() noexcept {
    for (std::size_t i = 0; i < derived_writers_.size(); ++i)
      derived_writers_[i]->push(edges_[i].values, edges_[i].quality);
  }

  // How many values of the last block, of all nodes, are not those of the filters by hand: made by
  // the graph, and by the engine.
  struct Wrong {
    std::uint64_t graph = 0;
    std::uint64_t engine = 0;
  };
  [[nodiscard]] Wrong wrong() {
    Wrong wrong;
    const auto differs = [](double a, double b) {
      return std::bit_cast<std::uint64_t>(a) != std::bit_cast<std::uint64_t>(b);
    };
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      StreamReader reader(engine_.stream(node_name(i)));
      reader.seek_latest({frames_});
      Block block(reader.info(), frames_);
      const std::size_t count = reader.read(block).count.value;
      for (std::size_t k = 0; k < frames_ * lanes_; ++k) {
        const std::size_t f = k / lanes_;
        if (f >= count ||
            differs(block.template values<double>(k % lanes_)[f], edges_[i].values[k]))
          ++wrong.engine;
      }
    }
    run_filters();
    graph_.process(0, next_chunk(), block_, set_);
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      const std::span<const double> made = graph_.output(i).frames.values;
      for (std::size_t k = 0; k < frames_ * lanes_; ++k)
        if (k >= made.size() || differs(made[k], edges_[i].values[k])) ++wrong.graph;
    }
    return wrong;
  }

 private:
  [[nodiscard]] Chunk next_chunk() noexcept {
    Chunk chunk;
    chunk.from = chunk.first = {graph_done_};
    chunk.row = graph_done_;
    chunk.count = {frames_};
    graph_done_ += frames_;
    return chunk;
  }

  std::size_t frames_;
  std::size_t lanes_;
  std::vector<Stage> stages_;
  StreamInfo info_;
  CalibrationSet set_;
  Block block_;
  std::vector<T> frames_of_samples_;  // the same, as a driver gives them

  Edge converted_;
  InputConverter converter_;
  std::vector<Filter> filters_;
  std::vector<Edge> edges_;
  std::uint64_t by_hand_done_ = 0;
  Graph graph_;
  std::uint64_t graph_done_ = 0;
  std::vector<DurationHistogram> histograms_;

  Engine engine_;
  Stream& stream_;
  Writer<T> writer_;
  StreamReader reader_;
  Block read_block_;
  std::vector<std::unique_ptr<Stream>> derived_;
  std::vector<std::unique_ptr<Writer<double>>> derived_writers_;
};

Row& row_named(Workload& w, const std::string& name) {
  auto it = std::ranges::find(w.rows, name, &Row::name);
  if (it == w.rows.end()) it = w.rows.insert(w.rows.end(), Row{.name = name});
  return *it;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

std::string metric_name(std::size_t frames) { return fmt::format("blocks of {}", frames); }

template <class T>
void measure_blocks(const Family& family, std::size_t frames, const GraphOptions& options,
                    const TickClock& clock, Progress& progress, Workload& w) {
  Ways<T> ways(family, frames);
  struct Part {
    const char* name;
    std::function<void()> run;
    Ticks ticks = 0;                 // of this turn
    std::vector<double> turns = {};  // ns a value, of each turn of the round
  };
  // Those of a group follow each other, block by block, as the conversion and the filters do in a
  // graph; groups take turns, each in memory of its own. A turn is short, and the median of a
  // round's turns counts: whatever else the kernel runs meanwhile is in a few of them.
  std::vector<std::vector<Part>> groups;
  groups.push_back(
      {{conversion, [&] { ways.run_conversion(); }}, {by_hand, [&] { ways.run_filters(); }}});
  groups.push_back({{whole, [&] { ways.run_graph(); }}});
  groups.push_back({{timing, [&] { ways.run_timing(); }}});
  groups.push_back({{ring_write, [&] { ways.run_push(); }},
                    {whole_way, [&] { ways.run_steps(); }},
                    {ring_read, [&] { ways.run_read(); }}});
  groups.push_back({{derived_write, [&] { ways.run_derived_push(); }}});
  const auto run = [&](std::vector<Part>& group) {
    for (Part& part : group) {
      const Ticks before = ticks_before();
      part.run();
      part.ticks += ticks_after() - before;
    }
  };
  // Memory is touched, code is there, windows are full.
  ways.run_conversion();
  for (std::size_t done = 0; done < 256; done += frames)
    for (std::vector<Part>& group : groups) run(group);

  const std::uint64_t block = frames * family.lanes;
  const std::uint64_t blocks = std::max<std::uint64_t>(65536 / block, 1);  // a turn
  const std::uint64_t turns = std::max<std::uint64_t>(options.samples / (blocks * block), 5);
  for (std::uint64_t round = 0; round < options.rounds; ++round) {
    progress.show(fmt::format("{}, {}: round {} of {}", w.title, metric_name(frames), round + 1,
                              options.rounds));
    for (std::vector<Part>& group : groups)
      for (Part& part : group) part.turns.clear();
    for (std::uint64_t turn = 0; turn < turns; ++turn) {
      check_interrupted();
      for (std::size_t i = 0; i < groups.size(); ++i) {
        std::vector<Part>& group = groups[(i + turn + round) % groups.size()];
        run(group);  // what it works on comes back into the caches
        for (Part& part : group) part.ticks = 0;
        for (std::uint64_t b = 0; b < blocks; ++b) run(group);
        for (Part& part : group)
          part.turns.push_back(clock.ns(part.ticks) / static_cast<double>(blocks * block));
      }
    }
    const auto record = [&](const char* name, std::vector<double> ns) {
      row_named(w, name).record(metric_name(frames), "ns", Better::less, median(std::move(ns)));
    };
    const auto of = [&](const char* name) -> const std::vector<double>& {
      for (const std::vector<Part>& group : groups)
        for (const Part& part : group)
          if (part.name == name) return part.turns;
      throw std::logic_error(name);
    };
    std::vector<double> rest = of(whole);
    for (std::size_t i = 0; i < rest.size(); ++i) rest[i] -= of(conversion)[i] + of(by_hand)[i];
    for (const char* const name : {by_hand, conversion, whole}) record(name, of(name));
    record(scheduling, std::move(rest));
    for (const char* const name : {timing, ring_write, ring_read, derived_write, whole_way})
      record(name, of(name));
  }
  const auto wrong = ways.wrong();
  row_named(w, whole).count("wrong", wrong.graph);
  row_named(w, whole_way).count("wrong", wrong.engine);
}

// In words: what the graph adds.
std::string overhead(Workload& w, std::size_t lanes, std::size_t nodes) {
  std::string text;
  for (const std::size_t frames : all_blocks) {
    const std::string name = metric_name(frames);
    const double rest = row_named(w, scheduling).metric(name)->median();
    const double filters = row_named(w, by_hand).metric(name)->median();
    text +=
        fmt::format("{}{:.1f} % ({:.0f} ns a node and block) in {}", text.empty() ? "" : ", ",
                    100.0 * rest / filters,
                    rest * static_cast<double>(frames * lanes) / static_cast<double>(nodes), name);
  }
  return "Scheduling, relative to the filters: " + text + ".";
}

Workload measure_family(const Family& family, const GraphOptions& options, int core,
                        const TickClock& clock, Progress& progress) {
  const std::size_t nodes = stages_of(family.shape).size();
  const bool chain = family.shape == Shape::chain;
  const bool integers = family.type == SampleType::int16;
  Workload w{family.id,
             fmt::format("a graph of {}, {} channel{} of {}",
                         chain ? "four nodes in a chain" : "eight nodes on one stream",
                         family.lanes, family.lanes == 1 ? "" : "s", integers ? "int16" : "double"),
             fmt::format("ns per sample and channel of the input, one core. Nodes: {}.",
                         chain ? "calibrate, low-pass of order 4, moving average of 64, "
                                 "high-pass of order 2"
                               : "low-passes of order 4"),
             "",
             "ns",
             by_hand,
             {}};
  on_core(core, [&] {
    for (const std::size_t frames : all_blocks)
      if (integers)
        measure_blocks<std::int16_t>(family, frames, options, clock, progress, w);
      else
        measure_blocks<double>(family, frames, options, clock, progress, w);
  });
  check_interrupted();
  w.note += " " + overhead(w, family.lanes, nodes);
  return w;
}

// --- building ---

constexpr std::size_t build_streams = 100;
constexpr std::size_t build_channels = 100;  // of each

std::vector<StreamInfo> build_inputs() {
  std::vector<StreamInfo> infos;
  for (std::size_t s = 0; s < build_streams; ++s) {
    infos.push_back(input_info(SampleType::int16, build_channels, 1));
    infos.back().name = fmt::format("stream{}", s);
    // Rings as short as can be: how long memory takes to be had is the kernel's affair.
    infos.back().capacity = infos.back().largest_block = SampleCount{64};
    infos.back().mark_capacity = SampleCount{16};
  }
  return infos;
}

std::string yaml_node(const std::string& id, const std::string& input, const char* filter) {
  return fmt::format("  - {{id: {}, type: {}, input: {}}}\n", id, filter, input);
}
constexpr const char* yaml_lowpass = "lowpass, order: 4, cutoff: 100 Hz";

// A node for each stream, or for each channel, or a chain for each stream.
std::string yaml_of_streams() {
  std::string text = "graph:\n";
  for (std::size_t s = 0; s < build_streams; ++s)
    text += yaml_node(fmt::format("n{}", s), fmt::format("stream{}", s), yaml_lowpass);
  return text;
}
std::string yaml_of_channels() {
  std::string text = "graph:\n";
  for (std::size_t s = 0; s < build_streams; ++s)
    for (std::size_t c = 0; c < build_channels; ++c)
      text +=
          yaml_node(fmt::format("n{}_{}", s, c), fmt::format("stream{}/{}", s, c), yaml_lowpass);
  return text;
}
std::string yaml_of_chains() {
  constexpr std::array kinds{"calibrate", yaml_lowpass, "moving_average, window: 64",
                             "highpass, order: 2, cutoff: 1 Hz", "sliding_rms, window: 64"};
  std::string text = "graph:\n";
  for (std::size_t s = 0; s < build_streams; ++s) {
    std::string input = fmt::format("stream{}", s);
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      const std::string id = fmt::format("n{}_{}", s, k);
      text += yaml_node(id, input, kinds[k]);
      input = id;
    }
  }
  return text;
}

Workload measure_build(const GraphOptions& options, int core, const TickClock& clock,
                       Progress& progress) {
  Workload w{build_id,
             "building large graphs",
             fmt::format("ms to read the graph's YAML; to make a Graph ready for blocks of 1024 "
                         "frames; to start an Engine with rings of 64 frames that is not recorded "
                         "(it makes the Graph, too). {} streams of {} channels.",
                         build_streams, build_channels),
             "",
             "ns",
             "",
             {}};
  const std::array rows{std::pair{"100 nodes of 100 channels", yaml_of_streams()},
                        std::pair{"10,000 nodes of 1 channel", yaml_of_channels()},
                        std::pair{"100 chains of 5 nodes of 100 channels", yaml_of_chains()}};
  on_core(core, [&] {
    const std::vector<StreamInfo> inputs = build_inputs();
    for (std::uint64_t round = 0; round < options.rounds; ++round) {
      progress.show(fmt::format("{}: round {} of {}", w.title, round + 1, options.rounds));
      for (std::size_t i = 0; i < rows.size(); ++i) {
        check_interrupted();
        const std::string name = rows[(i + round) % rows.size()].first;
        const std::string& text = rows[(i + round) % rows.size()].second;
        const auto timed = [&](const char* metric, const auto& work) {
          const Ticks before = ticks_before();
          work();
          const Ticks after = ticks_after();
          row_named(w, name).record(metric, "ms", Better::less, clock.ns(after - before) * 1e-6);
        };
        GraphSpec spec;
        timed("YAML", [&] { spec = graph_from_yaml(text, "graph.yaml"); });
        std::optional<Graph> graph;
        timed("Graph", [&] { graph.emplace(spec, inputs, 1024); });
        row_named(w, name).count("nodes", graph->spec().nodes.size());
        graph.reset();
        Engine engine({.memory_budget = std::uint64_t{1} << 33, .graph_threads = 0});
        for (const StreamInfo& info : inputs) engine.add_stream(info);
        engine.graph().add(std::move(spec));
        timed("Engine::start", [&] { engine.start(); });
      }
    }
  });
  check_interrupted();
  return w;
}

}  // namespace

std::vector<std::string> graph_workloads() {
  std::vector<std::string> ids;
  for (const Family& family : families) ids.emplace_back(family.id);
  ids.emplace_back(build_id);
  return ids;
}

std::vector<Workload> measure_graph(const GraphOptions& options, int core, const TickClock& clock,
                                    Progress& progress, const Show& show) {
  const auto wanted = [&](const char* id) {
    return options.only.empty() || std::ranges::find(options.only, id) != options.only.end();
  };
  std::vector<Workload> workloads;
  const auto keep = [&](Workload w) {
    show(w);
    workloads.push_back(std::move(w));
  };
  for (const Family& family : families)
    if (wanted(family.id)) keep(measure_family(family, options, core, clock, progress));
  if (wanted(build_id)) keep(measure_build(options, core, clock, progress));
  progress.clear();
  return workloads;
}

}  // namespace spillway::bench
