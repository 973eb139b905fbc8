#include "spillway/filters/graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <stdexcept>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "nodes.hpp"
#include "spillway/channels/error.hpp"
#include "strict_yaml.hpp"

namespace spillway {

namespace {

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

// Numbers of two nodes mean the same samples if their grids are equal: those of a stream, and
// what changed them since. One that follows times and not numbers is like no other.
struct Grid {
  std::size_t source = 0;
  std::vector<NumberMap> maps;
  std::optional<std::size_t> timed_by;  // the node
  friend bool operator==(const Grid&, const Grid&) = default;
};

// The rate `samples * factor / divisor`. Throws Error if it is none.
Rate changed_rate(const Rate& rate, const NumberMap& map) {
  std::int64_t samples = 0;
  std::int64_t seconds = 0;
  if (__builtin_mul_overflow(rate.samples(), map.divisor, &samples) ||
      __builtin_mul_overflow(rate.seconds(), map.step, &seconds))
    throw Error(fmt::format("a rate of {}/{} Hz times {}/{} is no rational of 63 bits",
                            rate.samples(), rate.seconds(), map.divisor, map.step));
  return {samples, seconds};
}

// The time of output `m`, which lies between input numbers, by the input's clock.
Time time_of(std::uint64_t m, const NumberMap& map, const Rate& rate, SampleNumber clock_sample,
             Time clock_time) {
  __extension__ using Wide = __int128;
  const Wide position = static_cast<Wide>(m) * map.step + map.offset;
  const Wide ahead = position - static_cast<Wide>(clock_sample.value) * map.divisor;
  const Wide period_ns = static_cast<Wide>(rate.seconds()) * 1'000'000'000;
  const Wide divisor = static_cast<Wide>(rate.samples()) * map.divisor;
  // m is the first output behind the clock's sample: little ahead of it.
  return clock_time + Time(static_cast<std::int64_t>((ahead * period_ns + divisor / 2) / divisor));
}

}  // namespace

struct Graph::Impl {
  struct Input {
    StreamInfo info;
    bool wants_raw = false;
    std::vector<double> calibrated;
    std::vector<Quality> quality;  // of the calibrated ones
    std::vector<double> raw;
    std::vector<Quality> raw_quality;
    Chunk chunk;
    std::span<const Time> times;
    // The frames of it that run now.
    std::size_t begin = 0;
    std::size_t count = 0;
  };
  // What a node takes from one input or node.
  struct Edge {
    std::optional<std::size_t> node;  // else the source itself
    bool raw = false;
    std::vector<std::size_t> lanes;  // picked from there; empty: all
    std::size_t count = 0;           // lanes that come
  };
  struct Node {
    std::size_t source = 0;  // the input stream in the end
    Grid grid;
    std::vector<Edge> edges;
    std::vector<double> gathered;  // where not all lanes of one edge are taken
    std::vector<Quality> gathered_quality;
    std::size_t lanes_in = 0;
    Prepared prepared;
    std::vector<double> values;
    std::vector<Quality> quality;
    StreamInfo info;
    double delay = 0.0;           // in samples of the source
    double source_samples = 1.0;  // of the source, for one of this node's

    // Of the last block.
    NodeOutput out;
    std::uint64_t next = 0;  // number behind the last one, where times decide
  };

  GraphSpec spec;
  std::vector<StreamInfo> input_infos;
  std::size_t block_frames;
  double memory_left;  // bytes
  std::vector<Input> inputs;
  std::vector<Node> nodes;
  std::vector<std::size_t> schedule;  // node indices, each after what feeds it
  // Scratch: one lane, contiguous.
  std::vector<double> lane;
  std::vector<Quality> lane_quality;

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
      if (node.inputs.empty()) fail(node, "no input; at least one is needed");
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
    Feed feed;
    for (const std::string& input : node.inputs) connect(index, input, feed, state, path);
    try {
      make_ready(index, feed);
    } catch (const Error& e) {
      fail(node, e.what());
    } catch (const std::bad_alloc&) {
      fail(node, "needs more memory than there is");
    } catch (const std::length_error&) {
      fail(node, "needs more memory than there can be");
    }
    path.pop_back();
    state[index] = 2;
    schedule.push_back(index);
  }

  // Adds the lanes of one input to what feeds the node.
  void connect(std::size_t index, const std::string& input, Feed& feed, std::vector<int>& state,
               std::vector<std::size_t>& path) {
    const NodeSpec& node = spec.nodes[index];
    const Reference reference = parse_reference(input);
    Edge edge;
    edge.raw = reference.raw;
    Grid grid;
    const StreamInfo* from = nullptr;
    std::size_t most_frames = block_frames;
    double delay = 0.0;
    double source_samples = 1.0;
    if (const auto source = find_input(reference.base)) {
      grid.source = *source;
      inputs[*source].wants_raw |= reference.raw;
      from = &inputs[*source].info;
    } else if (const auto other = find_node(reference.base)) {
      if (reference.raw)
        fail(node,
             fmt::format("raw({}): only a stream has raw values, a node has none", reference.base));
      visit(*other, state, path);
      edge.node = other;
      grid = nodes[*other].grid;
      from = &nodes[*other].info;
      most_frames = nodes[*other].prepared.most_frames;
      delay = nodes[*other].delay;
      source_samples = nodes[*other].source_samples;
    } else {
      std::vector<std::string> known;
      for (const Input& i : inputs) known.push_back(i.info.name);
      for (const NodeSpec& n : spec.nodes)
        if (n.id != node.id) known.push_back(n.id);
      fail(node,
           fmt::format("unknown input '{}'{}", input, yaml::suggestion(reference.base, known)));
    }
    Node& made = nodes[index];
    if (made.edges.empty()) {
      made.grid = grid;
      made.source = grid.source;
      made.info = *from;
      made.source_samples = source_samples;
      feed.name = from->name;
      feed.rate = from->rate;
      feed.most_frames = most_frames;
    } else if (grid != made.grid) {
      fail(node, fmt::format("'{}' and '{}' do not come from one stream at one rate",
                             node.inputs.front(), input));
    }
    made.delay = std::max(made.delay, delay);
    for (std::size_t c = 0; c < from->channels.size(); ++c) {
      if (!reference.channel.empty() && from->channels[c].name != reference.channel) continue;
      if (!reference.channel.empty()) edge.lanes.push_back(c);
      ChannelInfo channel = from->channels[c];
      if (reference.raw) channel.unit = channel.raw_unit();
      channel.type = SampleType::float64;
      channel.range.reset();
      channel.calibration = {};
      feed.channels.push_back(std::move(channel));
    }
    edge.count = reference.channel.empty() ? from->channels.size() : edge.lanes.size();
    if (edge.count == 0) {
      std::vector<std::string> known;
      for (const ChannelInfo& channel : from->channels) known.push_back(channel.name);
      fail(node, fmt::format("'{}' has no channel '{}'{}", from->name, reference.channel,
                             yaml::suggestion(reference.channel, known)));
    }
    made.edges.push_back(std::move(edge));
  }

  // Before it is allocated: a number too many in a file must not take the machine's memory.
  void take_memory(double bytes) {
    if (bytes > memory_left)
      throw Error(fmt::format("needs {:.1f} MiB; {:.1f} MiB are left of the memory for filters",
                              bytes / 1048576.0, memory_left / 1048576.0));
    memory_left -= bytes;
  }

  void make_ready(std::size_t index, const Feed& feed) {
    Node& made = nodes[index];
    made.lanes_in = feed.channels.size();
    take_memory(memory_bytes(spec.nodes[index].kind, feed));
    made.prepared = prepare(spec.nodes[index].kind, feed);
    made.info.name = spec.nodes[index].id;
    made.info.channels = made.prepared.channels;
    std::unordered_set<std::string_view> names;
    for (const ChannelInfo& channel : made.info.channels)
      if (!names.insert(channel.name).second)
        throw Error(fmt::format("two channels are called '{}'; pick others, or name them by a mix",
                                channel.name));
    StreamInfo stream = made.info;
    stream.capacity = SampleCount{1};  // whoever keeps it decides
    check(stream);
    made.delay += made.prepared.runner->delay() * made.source_samples;
    if (made.prepared.numbers) {
      const NumberMap& map = *made.prepared.numbers;
      made.info.rate = changed_rate(*feed.rate, map);
      made.grid.maps.push_back(map);
      made.source_samples *= static_cast<double>(map.step) / static_cast<double>(map.divisor);
    }
    if (made.prepared.grid) {
      if (feed.rate)
        made.source_samples *= feed.rate->hertz().value / made.prepared.grid->hertz().value;
      made.info.rate = made.prepared.grid;
      made.grid.timed_by = index;
    }
    constexpr double value_and_quality = sizeof(double) + sizeof(Quality);
    take_memory(value_and_quality * static_cast<double>(made.prepared.most_frames) *
                static_cast<double>(made.info.channels.size()));
    if (made.edges.size() > 1 || !made.edges.front().lanes.empty()) {
      take_memory(value_and_quality * static_cast<double>(feed.most_frames) *
                  static_cast<double>(made.lanes_in));
      made.gathered.resize(feed.most_frames * made.lanes_in);
      made.gathered_quality.resize(feed.most_frames * made.lanes_in);
    }
    made.values.resize(made.prepared.most_frames * made.info.channels.size());
    made.quality.resize(made.values.size());
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
        lane_quality[f] = q;
      }
      if (input.wants_raw)
        for (std::size_t f = 0; f < count; ++f) {
          input.raw[f * lanes + c] = lane[f];
          input.raw_quality[f * lanes + c] = lane_quality[f];
        }
      set[c].apply(std::span(lane).first(count), std::span(lane_quality).first(count));
      for (std::size_t f = 0; f < count; ++f) {
        input.calibrated[f * lanes + c] = lane[f];
        input.quality[f * lanes + c] = lane_quality[f];
      }
    }
  }

  // What an input stream brings, in the shape of what a node makes.
  [[nodiscard]] NodeOutput output_of(const Input& input, bool raw) const noexcept {
    const std::size_t lanes = input.info.channels.size();
    NodeOutput out;
    if (input.begin == 0) {
      out.lost = input.chunk.lost;
      (input.chunk.cause == GapCause::upstream ? out.lost : out.missing) += input.chunk.missing;
    }
    out.first = {input.chunk.first.value + input.begin};
    if (!input.times.empty()) out.times = input.times.subspan(input.begin, input.count);
    out.frames = {std::span(raw ? input.raw : input.calibrated)
                      .subspan(input.begin * lanes, input.count * lanes),
                  std::span(raw ? input.raw_quality : input.quality)
                      .subspan(input.begin * lanes, input.count * lanes),
                  lanes, out.first.value, out.times};
    out.clock_sample = input.chunk.clock_sample;
    out.clock_time = input.chunk.clock_time;
    return out;
  }
  [[nodiscard]] NodeOutput output_of(const Node& node, const Edge& edge) const noexcept {
    return edge.node ? nodes[*edge.node].out : output_of(inputs[node.source], edge.raw);
  }

  void gather(Node& node, std::size_t count) noexcept {
    std::size_t at = 0;
    for (const Edge& edge : node.edges) {
      const ConstFrames from = output_of(node, edge).frames;
      for (std::size_t l = 0; l < edge.count; ++l, ++at) {
        const std::size_t lane_from = edge.lanes.empty() ? l : edge.lanes[l];
        for (std::size_t f = 0; f < count; ++f) {
          node.gathered[f * node.lanes_in + at] = from.values[f * from.lanes + lane_from];
          node.gathered_quality[f * node.lanes_in + at] = from.quality[f * from.lanes + lane_from];
        }
      }
    }
  }

  // Runs the nodes of an input over as many of its frames, from `begin` on, as fit.
  void run(std::size_t index, std::size_t begin) noexcept {
    Input& input = inputs[index];
    input.begin = begin;
    input.count = input.chunk.count.value - begin;
    if (!input.times.empty()) {
      input.count = input.chunk.count.value - begin;
      const ConstFrames rest = output_of(input, false).frames;
      for (const Node& node : nodes)
        if (node.source == index && node.prepared.grid)
          input.count = std::min(input.count, node.prepared.runner->fitting(rest));
    }
    for (const std::size_t n : schedule)
      if (nodes[n].source == index) run(nodes[n]);
  }

  void run(Node& node) noexcept {
    const NodeOutput feed = output_of(node, node.edges.front());
    const std::size_t count = feed.frames.count();
    ConstFrames in = feed.frames;
    if (!node.gathered.empty()) {
      gather(node, count);
      in.values = std::span(node.gathered).first(count * node.lanes_in);
      in.quality = std::span(node.gathered_quality).first(count * node.lanes_in);
      in.lanes = node.lanes_in;
    }
    const std::size_t lanes = node.info.channels.size();
    if (feed.lost.value + feed.missing.value > 0) node.prepared.runner->gap();
    const Made made = node.prepared.runner->process(in, {node.values, node.quality, lanes});

    NodeOutput& out = node.out;
    const std::uint64_t first = feed.first.value;
    const std::uint64_t from = first - feed.lost.value - feed.missing.value;
    out = feed;
    if (node.prepared.numbers) {
      const NumberMap& map = *node.prepared.numbers;
      const std::uint64_t begin = map.outputs_before(from);
      const std::uint64_t behind_lost = map.outputs_before(from + feed.lost.value);
      out.first = {map.outputs_before(first)};
      out.lost = {behind_lost - begin};
      out.missing = {out.first.value - behind_lost};
      const std::uint64_t m = map.outputs_before(feed.clock_sample.value);
      out.clock_sample = {m};
      out.clock_time = time_of(m, map, feed_rate(node), feed.clock_sample, feed.clock_time);
    } else if (node.prepared.grid) {
      if (made.count == 0) {
        out.first = {node.next};
      } else {
        out.first = {made.first};
      }
      out.lost = {0};
      out.missing = {out.first.value - node.next};
      node.next = out.first.value + made.count;
      out.clock_sample = {0};
      out.clock_time = Time{};
      out.times = {};
    }
    out.frames = {std::span(node.values).first(made.count * lanes),
                  std::span(node.quality).first(made.count * lanes), lanes, out.first.value,
                  out.times};
  }

  [[nodiscard]] const Rate& feed_rate(const Node& node) const noexcept {
    const Edge& edge = node.edges.front();
    return *(edge.node ? nodes[*edge.node].info : inputs[node.source].info).rate;
  }
};

Graph::Graph(GraphSpec spec, std::vector<StreamInfo> inputs, std::size_t block_frames,
             std::uint64_t memory_limit)
    : impl_(std::make_unique<Impl>()) {
  impl_->memory_left = static_cast<double>(memory_limit);
  impl_->spec = std::move(spec);
  impl_->block_frames = block_frames;
  if (block_frames == 0) throw Error("graph: blocks of 0 frames; at least 1 is needed");
  for (StreamInfo& info : inputs) {
    check(info);
    Impl::Input input;
    input.info = std::move(info);
    impl_->inputs.push_back(std::move(input));
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
  impl_->lane_quality.resize(block_frames);
  for (Impl::Input& input : impl_->inputs) {
    const std::size_t size = block_frames * input.info.channels.size();
    input.calibrated.resize(size);
    input.quality.resize(size);
    if (!input.wants_raw) continue;
    input.raw.resize(size);
    input.raw_quality.resize(size);
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
std::size_t Graph::most_frames(std::size_t node) const noexcept {
  return impl_->nodes[node].prepared.most_frames;
}
std::size_t Graph::source_of(std::size_t node) const noexcept { return impl_->nodes[node].source; }
double Graph::delay(std::size_t node) const noexcept { return impl_->nodes[node].delay; }
const LinearSystem* Graph::system(std::size_t node) const noexcept {
  const auto& system = impl_->nodes[node].prepared.system;
  return system ? &*system : nullptr;
}

Hertz Graph::system_rate(std::size_t node) const noexcept {
  return impl_->feed_rate(impl_->nodes[node]).hertz();
}

void Graph::process(std::size_t input, const Chunk& chunk, const Block& block,
                    const CalibrationSet& calibrations) noexcept {
  Impl::Input& in = impl_->inputs[input];
  in.chunk = chunk;
  in.times = block.has_times() ? block.times().first(chunk.count.value) : std::span<const Time>{};
  impl_->convert(in, chunk, block, calibrations);
  impl_->run(input, 0);
}

bool Graph::process_rest(std::size_t input) noexcept {
  const Impl::Input& in = impl_->inputs[input];
  const std::size_t begin = in.begin + in.count;
  if (begin >= in.chunk.count.value) return false;
  impl_->run(input, begin);
  return true;
}

NodeOutput Graph::output(std::size_t node) const noexcept { return impl_->nodes[node].out; }

void Graph::reset() noexcept {
  for (Impl::Node& node : impl_->nodes) {
    node.prepared.runner->reset();
    node.next = 0;
  }
}

std::vector<std::byte> Graph::save_state() const {
  StateWriter writer;
  for (const Impl::Node& node : impl_->nodes) {
    node.prepared.runner->save_state(writer);
    writer.put(node.next);
  }
  return writer.bytes();
}

void Graph::load_state(std::span<const std::byte> state) {
  StateReader reader(state);
  for (Impl::Node& node : impl_->nodes) {
    node.prepared.runner->load_state(reader);
    reader.get(node.next);
  }
  if (!reader.at_end())
    throw Error("the state of a graph has bytes left over: it is another graph's");
}

}  // namespace spillway
