// A GraphSpec made ready to run.
#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <stdexcept>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "graph_impl.hpp"
#include "spillway/channels/error.hpp"
#include "strict_yaml.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t most_filled = std::uint64_t{1} << 20;  // of one gap, in samples

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
  // "ecg/" names nothing.
  if (slash == std::string_view::npos || slash + 1 == text.size()) {
    reference.base = text;
    return reference;
  }
  reference.base = text.substr(0, slash);
  reference.channel = text.substr(slash + 1);
  return reference;
}

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

std::string words(const Origin& origin) {
  const char* kind = origin.kind == Origin::Kind::utc     ? "UTC"
                     : origin.kind == Origin::Kind::local ? "local time"
                                                          : "unknown";
  return origin.text.empty() ? kind : fmt::format("{} '{}'", kind, origin.text);
}

// Channels of several devices often have the same names.
void tell_apart(std::vector<ChannelInfo>& channels, const std::vector<std::string>& from) {
  std::unordered_set<std::string_view> names;
  bool repeated = false;
  for (const ChannelInfo& channel : channels) repeated |= !names.insert(channel.name).second;
  if (!repeated) return;
  for (std::size_t c = 0; c < channels.size(); ++c)
    channels[c].name = fmt::format("{}.{}", from[c], channels[c].name);
}

}  // namespace

void Graph::Impl::fail(const NodeSpec& node, const std::string& message) const {
  throw Error(fmt::format("{}{}node '{}': {}", node.where, node.where.empty() ? "" : ": ", node.id,
                          message));
}

void Graph::Impl::prepare(std::vector<StreamInfo> infos) {
  for (StreamInfo& info : infos) {
    check(info);
    Input input;
    input.info = std::move(info);
    input_names.emplace(input.info.name, inputs.size());
    input_infos.push_back(input.info);
    inputs.push_back(std::move(input));
  }
  check_names();
  nodes.resize(spec.nodes.size());
  domains.resize(inputs.size());
  std::vector<int> state(nodes.size(), 0);
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < nodes.size(); ++i) visit(i, state, order);
  for (const std::size_t i : order) {
    Node& node = nodes[i];
    for (const std::size_t source : node.sources) inputs[source].dependents.push_back(i);
    if (!node.is_head) {
      domains[node.domain].nodes.push_back(i);
      continue;
    }
    heads.insert(heads.begin(), i);
    for (const Edge& edge : node.edges) {
      std::vector<std::size_t>& fed = domains[edge.grid.domain].heads;
      if (std::ranges::find(fed, i) == fed.end()) fed.push_back(i);
    }
  }
  std::size_t most_notes = 0;
  for (const Node& node : nodes) most_notes += node.edges.size() + 1;
  notes.reserve(most_notes);
  ran.reserve(nodes.size());
  for (Input& input : inputs) {
    if (input.dependents.empty()) continue;
    input.converter = std::make_unique<InputConverter>(input.info, input.wants_raw);
    const std::size_t size = block_frames * input.info.channels.size();
    input.calibrated.resize(size);
    input.quality.resize(size);
    if (!input.wants_raw) continue;
    input.raw.resize(size);
    input.raw_quality.resize(size);
  }
}

void Graph::Impl::check_names() {
  for (std::size_t i = 0; i < spec.nodes.size(); ++i) {
    const NodeSpec& node = spec.nodes[i];
    try {
      check_name("node", node.id);
      check_not_reserved("node", node.id);
    } catch (const Error& e) {
      throw Error(node.where.empty() ? e.what() : fmt::format("{}: {}", node.where, e.what()));
    }
    if (input_names.contains(node.id)) fail(node, "a stream has this name already");
    if (!node_names.emplace(node.id, i).second) fail(node, "another node has this name already");
    if (node.inputs.empty()) fail(node, "no input; at least one is needed");
  }
}

// Depth first: what feeds a node comes before it. `state`: 0 new, 1 on the way, 2 done. Chains can
// be longer than the stack of a thread is deep.
void Graph::Impl::visit(std::size_t index, std::vector<int>& state,
                        std::vector<std::size_t>& order) {
  struct Step {
    std::size_t node;
    std::size_t input;  // the next of its inputs to be looked at
  };
  std::vector<Step> path;
  if (state[index] == 0) path.push_back({index, 0});
  while (!path.empty()) {
    const std::size_t at = path.back().node;
    const NodeSpec& node = spec.nodes[at];
    state[at] = 1;
    if (path.back().input < node.inputs.size()) {
      const Reference reference = parse_reference(node.inputs[path.back().input++]);
      if (reference.raw || input_names.contains(reference.base)) continue;
      const auto feeder = node_names.find(reference.base);
      if (feeder == node_names.end() || state[feeder->second] == 2) continue;
      if (state[feeder->second] == 1) {
        std::string cycle;
        for (auto step = std::ranges::find(path, feeder->second, &Step::node); step != path.end();
             ++step)
          cycle += fmt::format("{} <- ", spec.nodes[step->node].id);
        fail(spec.nodes[feeder->second],
             fmt::format("the graph has a cycle: {}{}", cycle, feeder->first));
      }
      path.push_back({feeder->second, 0});
      continue;
    }
    Feed feed;
    for (const std::string& input : node.inputs) add_edge(at, input, feed);
    try {
      make_ready(at, std::move(feed));
    } catch (const Error& e) {
      fail(node, e.what());
    } catch (const std::bad_alloc&) {
      fail(node, "not enough memory for its window");
    } catch (const std::length_error&) {
      fail(node, "its window is longer than memory can be");
    }
    order.push_back(at);
    state[at] = 2;
    path.pop_back();
  }
}

// What feeds the node is ready.
void Graph::Impl::add_edge(std::size_t index, const std::string& input, Feed& feed) {
  const NodeSpec& node = spec.nodes[index];
  const bool aligns = std::holds_alternative<Align>(node.kind);
  const Reference reference = parse_reference(input);
  Edge edge;
  edge.raw = reference.raw;
  const StreamInfo* from = nullptr;
  std::size_t most_frames = block_frames;
  double delay = 0.0;
  double source_samples = 1.0;
  std::vector<std::size_t> sources;
  if (const auto source = input_names.find(reference.base); source != input_names.end()) {
    edge.input = source->second;
    edge.grid.domain = edge.input;
    inputs[edge.input].wants_raw |= reference.raw;
    from = &inputs[edge.input].info;
    sources = {edge.input};
  } else if (const auto other = node_names.find(reference.base); other != node_names.end()) {
    if (reference.raw)
      fail(node,
           fmt::format("raw({}): only a stream has raw values, a node has none", reference.base));
    const Node& feeder = nodes[other->second];
    edge.node = other->second;
    edge.grid = feeder.grid;
    from = &feeder.info;
    most_frames = feeder.prepared.most_frames;
    delay = feeder.delay;
    source_samples = feeder.source_samples;
    sources = feeder.sources;
  } else {
    std::vector<std::string> known;
    for (const Input& i : inputs) known.push_back(i.info.name);
    for (const NodeSpec& n : spec.nodes)
      if (n.id != node.id) known.push_back(n.id);
    fail(node, fmt::format("unknown input '{}'{}", input, yaml::suggestion(reference.base, known)));
  }
  Node& made = nodes[index];
  if (made.edges.empty()) {
    made.grid = edge.grid;
    made.domain = edge.grid.domain;
    made.info.rate = from->rate;
    made.info.origin = from->origin;
    made.delay = delay;
    made.source_samples = source_samples;
    feed.name = from->name;
    feed.rate = from->rate;
    feed.most_frames = most_frames;
  } else if (aligns) {
    // In samples of the first input's source, as far as rates tell.
    const StreamInfo& first = inputs[made.sources.front()].info;
    const StreamInfo& source = inputs[sources.front()].info;
    if (first.rate && source.rate)
      made.delay =
          std::max(made.delay, delay * first.rate->hertz().value / source.rate->hertz().value);
  } else {
    if (edge.grid != made.grid) {
      const bool one_domain = edge.grid.domain == made.grid.domain;
      fail(node, fmt::format(
                     "'{}' and '{}' do not come from one stream at one rate{}; an align node can "
                     "bring them together",
                     node.inputs.front(), input, one_domain ? ", with the same gaps filled" : ""));
    }
    made.delay = std::max(made.delay, delay);
  }
  for (const std::size_t source : sources)
    if (std::ranges::find(made.sources, source) == made.sources.end())
      made.sources.push_back(source);
  for (std::size_t c = 0; c < from->channels.size(); ++c) {
    if (!reference.channel.empty() && from->channels[c].name != reference.channel) continue;
    if (!reference.channel.empty()) edge.lanes.push_back(c);
    const ChannelInfo& channel = from->channels[c];
    feed.channels.push_back({.name = channel.name,
                             .description = channel.description,
                             .unit = reference.raw ? channel.raw_unit() : channel.unit,
                             .type = SampleType::float64,
                             .range = {},
                             .calibration = {}});
    feed.from.push_back(reference.base);
  }
  edge.count = reference.channel.empty() ? from->channels.size() : edge.lanes.size();
  if (edge.count == 0) {
    std::vector<std::string> known;
    for (const ChannelInfo& channel : from->channels) known.push_back(channel.name);
    fail(node, fmt::format("'{}' has no channel '{}'{}", from->name, reference.channel,
                           yaml::suggestion(reference.channel, known)));
  }
  if (aligns) {
    const auto offset = time_between(made.info.origin, from->origin);
    if (!offset)
      fail(node,
           fmt::format("'{}' and '{}' can't be aligned: their origins, {} and {}, can't be "
                       "compared",
                       node.inputs.front(), input, words(made.info.origin), words(from->origin)));
    feed.aligned.push_back(
        {.lanes = edge.count, .rate = from->rate, .offset = *offset, .most_frames = most_frames});
    if (!edge.lanes.empty()) {
      edge.picked.resize(most_frames * edge.count);
      edge.picked_quality.resize(most_frames * edge.count);
    }
  }
  made.edges.push_back(std::move(edge));
}

// Before it is allocated: a number too many in a file must not take the machine's memory.
void Graph::Impl::take_memory(double bytes) {
  if (bytes > memory_left)
    throw Error(fmt::format("needs {:.1f} MiB; {:.1f} MiB are left of the memory for filters",
                            bytes / 1048576.0, memory_left / 1048576.0));
  memory_left -= bytes;
  memory_taken += bytes;
}

void Graph::Impl::make_ready(std::size_t index, Feed feed) {
  Node& made = nodes[index];
  const NodeSpec& of = spec.nodes[index];
  constexpr double value_and_quality = sizeof(double) + sizeof(Quality);
  made.lanes_in = feed.channels.size();
  const bool aligns = std::holds_alternative<Align>(of.kind);
  made.is_head = aligns || std::holds_alternative<Interpolate>(of.kind);
  feed.block_frames = block_frames;
  if (aligns) tell_apart(feed.channels, feed.from);
  made.fill_gaps = of.fill_gaps;
  if (made.fill_gaps > most_filled)
    throw Error(fmt::format("fill_gaps: {}; allowed are up to {}", made.fill_gaps, most_filled));
  if (made.fill_gaps > 0) {
    if (made.is_head)
      throw Error(fmt::format("fill_gaps: {} fills gaps by itself; max_gap limits which",
                              kind_name(of.kind)));
    if (!feed.rate)
      throw Error(fmt::format("fill_gaps: '{}' is irregular, so that its numbers tell no times",
                              feed.name));
    feed.most_frames += made.fill_gaps;
    made.past.last.resize(made.lanes_in);
    made.past.last_quality.resize(made.lanes_in);
    made.grid.steps.push_back({{}, made.fill_gaps});
  }
  take_memory(spillway::memory_bytes(of.kind, feed));
  made.prepared = spillway::prepare(of.kind, feed);
  made.info.name = of.id;
  made.info.channels = made.prepared.channels;
  std::unordered_set<std::string_view> names;
  for (const ChannelInfo& channel : made.info.channels)
    if (!names.insert(channel.name).second)
      throw Error(fmt::format("two channels are called '{}'; pick others, or name them by a mix",
                              channel.name));
  made.info.capacity = SampleCount{1};  // whoever keeps it decides
  check(made.info);
  if (made.prepared.runner) made.delay += made.prepared.runner->delay() * made.source_samples;
  if (made.prepared.numbers) {
    const NumberMap& map = *made.prepared.numbers;
    made.info.rate = changed_rate(*feed.rate, map);
    made.grid.steps.push_back({map, 0});
    made.source_samples *= static_cast<double>(map.step) / static_cast<double>(map.divisor);
  }
  if (made.prepared.grid) {
    if (feed.rate)
      made.source_samples *= feed.rate->hertz().value / made.prepared.grid->hertz().value;
    made.info.rate = made.prepared.grid;
  }
  if (made.is_head) {
    made.grid = {domains.size(), {}};
    domains.emplace_back();
  }
  take_memory(value_and_quality * static_cast<double>(made.prepared.most_frames) *
              static_cast<double>(made.info.channels.size()));
  const bool gathers = made.edges.size() > 1 || !made.edges.front().lanes.empty();
  if (!aligns && (gathers || made.fill_gaps > 0)) {
    take_memory(value_and_quality * static_cast<double>(feed.most_frames) *
                static_cast<double>(made.lanes_in));
    made.gathered.resize(feed.most_frames * made.lanes_in);
    made.gathered_quality.resize(feed.most_frames * made.lanes_in);
  }
  if (aligns && !made.info.rate) made.times.resize(made.prepared.most_frames);
  made.values.resize(made.prepared.most_frames * made.info.channels.size());
  made.quality.resize(made.values.size());
  made.stats = std::make_shared<Stats>();
}

}  // namespace spillway
