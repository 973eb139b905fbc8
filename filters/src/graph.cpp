#include "spillway/filters/graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "spillway/channels/error.hpp"
#include "strict_yaml.hpp"

namespace spillway {

namespace {

class CalibrateFilter {
 public:
  explicit CalibrateFilter(std::optional<Calibration> calibration)
      : calibration_(std::move(calibration)) {}
  std::size_t process(ConstFrames in, Frames out) noexcept {
    std::ranges::copy(in.values, out.values.begin());
    std::ranges::copy(in.quality, out.quality.begin());
    if (calibration_) calibration_->apply(out.values.first(in.values.size()));
    return in.count();
  }
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter&) const {}
  void load_state(StateReader&) {}

 private:
  std::optional<Calibration> calibration_;
};

using Filter = std::variant<CalibrateFilter, MovingAverageFilter, SosFilter>;

// "raw(ecg/MLII)" taken apart.
struct Reference {
  std::string base;
  std::string channel;  // empty: all
  bool raw = false;
};

Reference parse_reference(std::string_view text) {
  Reference reference;
  if (text.starts_with("raw(") && text.ends_with(")")) {
    reference.raw = true;
    text = text.substr(4, text.size() - 5);
  }
  const auto slash = text.find('/');
  reference.base = text.substr(0, slash);
  if (slash != std::string_view::npos) reference.channel = text.substr(slash + 1);
  return reference;
}

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

}  // namespace

struct Graph::Impl {
  struct Input {
    StreamInfo info;
    bool wants_raw = false;
    std::vector<double> calibrated;
    std::vector<double> raw;
    std::vector<Quality> quality;
    Chunk chunk;
    std::span<const Time> times;
  };
  struct Node {
    std::size_t source = 0;           // the input stream in the end
    std::optional<std::size_t> node;  // fed by a node, else by the source itself
    bool raw = false;
    std::vector<std::size_t> lanes;  // picked from what feeds it; empty: all
    std::vector<double> picked;
    std::vector<Quality> picked_quality;
    std::optional<Filter> filter;
    std::vector<double> values;
    std::vector<Quality> quality;
    std::size_t count = 0;
    StreamInfo info;
    double delay = 0.0;
    std::optional<Sos> sections;
  };

  GraphSpec spec;
  std::vector<StreamInfo> input_infos;
  std::size_t block_frames;
  std::vector<Input> inputs;
  std::vector<Node> nodes;
  std::vector<std::size_t> schedule;  // node indices, each after what feeds it
  std::vector<double> lane;           // scratch: one lane, contiguous

  [[noreturn]] void fail(const NodeSpec& node, const std::string& message) const {
    throw Error(fmt::format("{}{}node '{}': {}", node.where, node.where.empty() ? "" : ": ",
                            node.id, message));
  }

  std::optional<std::size_t> find_input(const std::string& name) const {
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].info.name == name) return i;
    return std::nullopt;
  }
  std::optional<std::size_t> find_node(const std::string& id) const {
    for (std::size_t i = 0; i < spec.nodes.size(); ++i)
      if (spec.nodes[i].id == id) return i;
    return std::nullopt;
  }

  void check_names() const {
    for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
      const NodeSpec& node = spec.nodes[i];
      try {
        check_name("node", node.id);
        check_not_reserved("node", node.id);
      } catch (const Error& e) {
        throw Error(node.where.empty() ? e.what() : fmt::format("{}: {}", node.where, e.what()));
      }
      if (find_input(node.id)) fail(node, "a stream has this name already");
      if (find_node(node.id) != i) fail(node, "another node has this name already");
    }
  }

  // Depth first: what feeds a node comes before it. `state`: 0 new, 1 on the way, 2 done.
  void visit(std::size_t index, std::vector<int>& state, std::vector<std::size_t>& path) {
    if (state[index] == 2) return;
    const NodeSpec& node = spec.nodes[index];
    path.push_back(index);
    if (state[index] == 1) {
      std::string cycle;
      for (auto it = std::ranges::find(path, index); it != path.end(); ++it)
        cycle += fmt::format("{}{}", cycle.empty() ? "" : " <- ", spec.nodes[*it].id);
      fail(node, fmt::format("the graph has a cycle: {}", cycle));
    }
    state[index] = 1;
    const Reference reference = parse_reference(node.input);
    Node& made = nodes[index];
    made.raw = reference.raw;
    const StreamInfo* feed = nullptr;
    if (const auto input = find_input(reference.base)) {
      made.source = *input;
      inputs[*input].wants_raw |= reference.raw;
      feed = &inputs[*input].info;
    } else if (const auto other = find_node(reference.base)) {
      if (reference.raw)
        fail(node,
             fmt::format("raw({}): only a stream has raw values, a node has none", reference.base));
      visit(*other, state, path);
      made.node = other;
      made.source = nodes[*other].source;
      feed = &nodes[*other].info;
    } else {
      std::vector<std::string> known;
      for (const Input& i : inputs) known.push_back(i.info.name);
      for (const NodeSpec& n : spec.nodes)
        if (n.id != node.id) known.push_back(n.id);
      fail(node, fmt::format("unknown input '{}'{}", node.input,
                             yaml::suggestion(reference.base, known)));
    }
    made.info = *feed;
    if (!reference.channel.empty()) pick(node, made, *feed, reference.channel);
    prepare(node, made);
    path.pop_back();
    state[index] = 2;
    schedule.push_back(index);
  }

  void pick(const NodeSpec& node, Node& made, const StreamInfo& feed, const std::string& channel) {
    std::vector<std::string> known;
    for (std::size_t c = 0; c < feed.channels.size(); ++c) {
      known.push_back(feed.channels[c].name);
      if (feed.channels[c].name == channel) made.lanes = {c};
    }
    if (made.lanes.empty())
      fail(node, fmt::format("'{}' has no channel '{}'{}", feed.name, channel,
                             yaml::suggestion(channel, known)));
    made.info.channels = {feed.channels[made.lanes[0]]};
    made.picked.resize(block_frames);
    made.picked_quality.resize(block_frames);
  }

  void prepare(const NodeSpec& node, Node& made) {
    made.info.name = node.id;
    for (ChannelInfo& channel : made.info.channels) {
      if (made.raw) channel.unit = channel.raw_unit();
      channel.type = SampleType::float64;
      channel.range.reset();
      channel.calibration = {};
    }
    const std::size_t lanes = made.info.channels.size();
    made.values.resize(block_frames * lanes);
    made.quality.resize(block_frames * lanes);
    try {
      std::visit([&](const auto& kind) { prepare(kind, made, lanes); }, node.kind);
    } catch (const Error& e) {
      fail(node, e.what());
    }
    made.delay = std::visit([](const auto& f) { return f.delay(); }, *made.filter);
    if (made.node) made.delay += nodes[*made.node].delay;
  }

  void prepare(const Calibrate& kind, Node& made, std::size_t) {
    if (kind.calibration) check(*kind.calibration, "calibrate");
    for (ChannelInfo& channel : made.info.channels) {
      if (!kind.unit.empty())
        channel.unit = kind.unit;
      else if (kind.calibration && !kind.calibration->unit_out.empty())
        channel.unit = kind.calibration->unit_out;
    }
    made.filter.emplace(CalibrateFilter(kind.calibration));
  }
  void prepare(const MovingAverage& kind, Node& made, std::size_t lanes) {
    made.filter.emplace(MovingAverageFilter(kind, lanes));
  }
  void prepare(const LowPass& kind, Node& made, std::size_t lanes) {
    if (!made.info.rate)
      throw Error(fmt::format("stream '{}' is irregular; a low-pass needs a fixed rate",
                              inputs[made.source].info.name));
    made.sections = design(kind, made.info.rate->hertz());
    made.filter.emplace(SosFilter(*made.sections, kind.options, lanes));
  }

  void convert(Input& input, const Chunk& chunk, const Block& block,
               const CalibrationSet& set) noexcept {
    const std::size_t lanes = input.info.channels.size();
    const std::size_t count = chunk.count.value;
    for (std::size_t c = 0; c < lanes; ++c) {
      visit_sample_type(input.info.channels[c].type, [&]<class T>(std::type_identity<T>) {
        const std::span<const T> from = block.values<T>(c);
        for (std::size_t f = 0; f < count; ++f) lane[f] = static_cast<double>(from[f]);
      });
      const std::span<const Quality> quality = block.quality(c);
      for (std::size_t f = 0; f < count; ++f) {
        Quality q = quality[f];
        if (std::isnan(lane[f])) q = merge(q, Quality(Verdict::bad, Quality::missing));
        if (q.verdict() == Verdict::bad && q.has(Quality::missing)) lane[f] = nan_value;
        input.quality[f * lanes + c] = q;
      }
      if (input.wants_raw)
        for (std::size_t f = 0; f < count; ++f) input.raw[f * lanes + c] = lane[f];
      set[c].apply(std::span(lane).first(count));
      for (std::size_t f = 0; f < count; ++f) input.calibrated[f * lanes + c] = lane[f];
    }
  }

  void run(Node& node, bool gap) noexcept {
    const Input& input = inputs[node.source];
    ConstFrames in;
    if (node.node) {
      const Node& feed = nodes[*node.node];
      in.lanes = feed.info.channels.size();
      in.values = std::span(feed.values).first(feed.count * in.lanes);
      in.quality = std::span(feed.quality).first(feed.count * in.lanes);
    } else {
      in.lanes = input.info.channels.size();
      in.values = std::span(node.raw ? input.raw : input.calibrated)
                      .first(input.chunk.count.value * in.lanes);
      in.quality = std::span(input.quality).first(input.chunk.count.value * in.lanes);
    }
    if (!node.lanes.empty()) {
      const std::size_t count = in.count();
      const std::size_t from = node.lanes[0];
      for (std::size_t f = 0; f < count; ++f) {
        node.picked[f] = in.values[f * in.lanes + from];
        node.picked_quality[f] = in.quality[f * in.lanes + from];
      }
      in = {std::span(node.picked).first(count), std::span(node.picked_quality).first(count), 1};
    }
    const Frames out{node.values, node.quality, node.info.channels.size()};
    std::visit(
        [&](auto& filter) {
          if (gap) filter.gap();
          node.count = filter.process(in, out);
        },
        *node.filter);
  }
};

Graph::Graph(GraphSpec spec, std::vector<StreamInfo> inputs, std::size_t block_frames)
    : impl_(std::make_unique<Impl>()) {
  impl_->spec = std::move(spec);
  impl_->block_frames = block_frames;
  if (block_frames == 0) throw Error("graph: blocks of 0 frames; at least 1 is needed");
  for (StreamInfo& info : inputs) {
    check(info);
    impl_->inputs.push_back({std::move(info), false, {}, {}, {}, {}, {}});
    impl_->input_infos.push_back(impl_->inputs.back().info);
  }
  impl_->check_names();
  impl_->nodes.resize(impl_->spec.nodes.size());
  std::vector<int> state(impl_->nodes.size(), 0);
  for (std::size_t i = 0; i < impl_->nodes.size(); ++i) {
    std::vector<std::size_t> path;
    impl_->visit(i, state, path);
  }
  impl_->lane.resize(block_frames);
  for (Impl::Input& input : impl_->inputs) {
    const std::size_t size = block_frames * input.info.channels.size();
    input.calibrated.resize(size);
    input.quality.resize(size);
    if (input.wants_raw) input.raw.resize(size);
  }
}

Graph::Graph(Graph&&) noexcept = default;
Graph& Graph::operator=(Graph&&) noexcept = default;
Graph::~Graph() = default;

const GraphSpec& Graph::spec() const noexcept { return impl_->spec; }
std::size_t Graph::block_frames() const noexcept { return impl_->block_frames; }
std::span<const StreamInfo> Graph::inputs() const noexcept { return impl_->input_infos; }
const StreamInfo& Graph::output_info(std::size_t node) const noexcept {
  return impl_->nodes[node].info;
}
std::size_t Graph::source_of(std::size_t node) const noexcept { return impl_->nodes[node].source; }
double Graph::delay(std::size_t node) const noexcept { return impl_->nodes[node].delay; }
const Sos* Graph::sections(std::size_t node) const noexcept {
  const auto& sections = impl_->nodes[node].sections;
  return sections ? &*sections : nullptr;
}

void Graph::process(std::size_t input, const Chunk& chunk, const Block& block,
                    const CalibrationSet& calibrations) noexcept {
  Impl::Input& in = impl_->inputs[input];
  in.chunk = chunk;
  in.times = block.has_times() ? block.times().first(chunk.count.value) : std::span<const Time>{};
  impl_->convert(in, chunk, block, calibrations);
  const bool gap = chunk.lost.value + chunk.missing.value > 0;
  for (const std::size_t index : impl_->schedule)
    if (impl_->nodes[index].source == input) impl_->run(impl_->nodes[index], gap);
}

NodeOutput Graph::output(std::size_t node) const noexcept {
  const Impl::Node& made = impl_->nodes[node];
  const Impl::Input& input = impl_->inputs[made.source];
  const std::size_t lanes = made.info.channels.size();
  NodeOutput out;
  out.lost = input.chunk.lost;
  (input.chunk.cause == GapCause::upstream ? out.lost : out.missing) += input.chunk.missing;
  out.first = input.chunk.first;
  out.frames = {std::span(made.values).first(made.count * lanes),
                std::span(made.quality).first(made.count * lanes), lanes};
  out.times = input.times;
  out.clock_sample = input.chunk.clock_sample;
  out.clock_time = input.chunk.clock_time;
  return out;
}

void Graph::reset() noexcept {
  for (Impl::Node& node : impl_->nodes) std::visit([](auto& f) { f.reset(); }, *node.filter);
}

std::vector<std::byte> Graph::save_state() const {
  StateWriter writer;
  for (const Impl::Node& node : impl_->nodes)
    std::visit([&](const auto& f) { f.save_state(writer); }, *node.filter);
  return writer.bytes();
}

void Graph::load_state(std::span<const std::byte> state) {
  StateReader reader(state);
  for (Impl::Node& node : impl_->nodes)
    std::visit([&](auto& f) { f.load_state(reader); }, *node.filter);
  if (!reader.at_end())
    throw Error("the state of a graph has bytes left over: it is another graph's");
}

std::string_view kind_name(const NodeKind& kind) noexcept {
  struct Names {
    std::string_view operator()(const Calibrate&) const { return "calibrate"; }
    std::string_view operator()(const MovingAverage&) const { return "moving_average"; }
    std::string_view operator()(const LowPass&) const { return "lowpass"; }
  };
  return std::visit(Names{}, kind);
}

namespace {

using Json = nlohmann::ordered_json;

std::string_view word(NanPolicy policy) {
  switch (policy) {
    case NanPolicy::propagate: return "propagate";
    case NanPolicy::ignore: return "ignore";
    case NanPolicy::hold: return "hold";
    case NanPolicy::reset: break;
  }
  return "reset";
}
std::string_view word(GapPolicy policy) { return policy == GapPolicy::hold ? "hold" : "reset"; }

void parameters(Json& json, const Calibrate& kind) {
  if (!kind.unit.empty()) json["unit"] = kind.unit;
  if (!kind.calibration) return;
  for (const CalibrationStep& step : kind.calibration->steps) {
    if (const auto* linear = std::get_if<Linear>(&step))
      json["calibration"].push_back(
          {{"kind", "linear"}, {"slope", linear->slope}, {"offset", linear->offset}});
    else
      json["calibration"].push_back(
          {{"kind", "polynomial"}, {"coefficients", std::get<Polynomial>(step).coefficients}});
  }
}
void parameters(Json& json, const MovingAverage& kind) {
  json["window"] = kind.window;
  json["warm_up"] = kind.warm_up == WarmUp::grow ? "grow" : "nan";
  json["nan"] = word(kind.nan);
  json["gap"] = word(kind.gap);
}
void parameters(Json& json, const LowPass& kind) {
  json["family"] = "butterworth";
  json["order"] = kind.family.order;
  json["cutoff_hz"] = kind.cutoff.value;
  json["settling_level"] = kind.options.settling_level;
  json["initial"] = kind.options.initial == Initial::steady ? "steady" : "zero";
  json["nan"] = word(kind.options.nan);
  json["gap"] = word(kind.options.gap);
}

}  // namespace

std::string provenance_json(const Graph& graph) {
  Json nodes = Json::array();
  for (std::size_t i = 0; i < graph.spec().nodes.size(); ++i) {
    const NodeSpec& spec = graph.spec().nodes[i];
    Json node;
    node["id"] = spec.id;
    node["type"] = kind_name(spec.kind);
    node["input"] = spec.input;
    std::visit([&](const auto& kind) { parameters(node, kind); }, spec.kind);
    node["delay_samples"] = graph.delay(i);
    if (const Sos* sos = graph.sections(i))
      for (const Sos::Section& s : sos->sections)
        node["sections"].push_back({s.b0, s.b1, s.b2, 1.0, s.a1, s.a2});
    nodes.push_back(std::move(node));
  }
  return Json{{"nodes", nodes}}.dump();
}

}  // namespace spillway
