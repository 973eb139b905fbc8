// What of a graph outlasts a block: state, and going over to another graph.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>

#include "graph_impl.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::uint32_t state_version = 1;

bool same_parameters(const NodeKind& a, const NodeKind& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&]<class Kind>(const Kind& p) {
        const Kind& q = std::get<Kind>(b);
        // What is called can't be compared; its name stands for it.
        if constexpr (std::is_same_v<Kind, Function>)
          return p.name == q.name && p.outputs == q.outputs && p.unit == q.unit;
        else
          return p == q;
      },
      a);
}

bool same_channels(const StreamInfo& a, const StreamInfo& b) {
  return std::ranges::equal(a.channels, b.channels, [](const ChannelInfo& x, const ChannelInfo& y) {
    return x.name == y.name && x.unit == y.unit;
  });
}

void put_text(StateWriter& writer, std::string_view text) {
  writer.put_values(text.data(), text.size());
}

std::string get_text(StateReader& reader) {
  std::uint64_t size = 0;
  reader.get(size);
  const std::span<const std::byte> bytes = reader.take(size);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void put_past(StateWriter& writer, const auto& past) {
  writer.put(past.next);
  writer.put(past.lost.value);
  writer.put(past.missing.value);
  writer.put(static_cast<std::uint8_t>(past.has_last ? 1 : 0));
  writer.put(past.last);
  writer.put(past.last_quality);
}

void get_past(StateReader& reader, auto& past) {
  std::uint8_t has_last = 0;
  reader.get(past.next);
  reader.get(past.lost.value);
  reader.get(past.missing.value);
  reader.get(has_last);
  past.has_last = has_last != 0;
  reader.get(past.last);
  reader.get(past.last_quality);
}

// Calls `f` with the filter of a node, whichever it has.
template <class Node>
void with_filter(Node& node, auto f) {
  if (node.prepared.align)
    f(*node.prepared.align);
  else
    f(*node.prepared.runner);
}

}  // namespace

void Graph::reset() noexcept {
  for (Impl::Input& input : impl_->inputs) {
    input.next = 0;
    input.begins = 0;
  }
  for (Impl::Node& node : impl_->nodes) {
    with_filter(node, [](auto& filter) { filter.reset(); });
    node.past.next = 0;
    node.past.lost = {};
    node.past.missing = {};
    node.past.has_last = false;
    node.failure_told = false;
    node.out = {};
    node.feed = {};
    node.taken = 0;
  }
  impl_->ran.clear();
  impl_->notes.clear();
}

std::vector<std::byte> Graph::save_state() const {
  StateWriter writer;
  impl_->save_state(writer);
  return writer.bytes();
}

std::size_t Graph::save_state(std::span<std::byte> room) const noexcept {
  StateWriter writer(room);
  impl_->save_state(writer);
  return writer.size();
}

void Graph::Impl::save_state(StateWriter& writer) const {
  writer.put(state_version);
  writer.put(static_cast<std::uint64_t>(inputs.size()));
  for (const Input& input : inputs) {
    put_text(writer, input.info.name);
    writer.put(input.next);
    writer.put(input.begins);
  }
  writer.put(static_cast<std::uint64_t>(nodes.size()));
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    put_text(writer, spec.nodes[i].id);
    put_text(writer, kind_name(spec.nodes[i].kind));
    writer.begin_sized();
    put_past(writer, node.past);
    writer.put(static_cast<std::uint8_t>(node.failure_told ? 1 : 0));
    with_filter(node, [&](const auto& filter) { filter.save_state(writer); });
    writer.end_sized();
  }
}

void Graph::load_state(std::span<const std::byte> state) {
  const auto load = [this](std::span<const std::byte> bytes) {
    Impl& self = *impl_;
    StateReader reader(bytes);
    std::uint32_t version = 0;
    reader.get(version);
    if (version != state_version)
      throw Error(
          fmt::format("the state of a graph is of version {}; this program knows version {}",
                      version, state_version));
    std::uint64_t count = 0;
    reader.get(count);
    if (count != self.inputs.size())
      throw Error(fmt::format("the state is of a graph with {} input streams; this one has {}",
                              count, self.inputs.size()));
    for (Impl::Input& input : self.inputs) {
      const std::string name = get_text(reader);
      if (name != input.info.name)
        throw Error(
            fmt::format("the state is of a graph that reads stream '{}'; this one reads "
                        "'{}' there",
                        name, input.info.name));
      reader.get(input.next);
      reader.get(input.begins);
    }
    reader.get(count);
    if (count != self.nodes.size())
      throw Error(fmt::format("the state is of a graph with {} nodes; this one has {}", count,
                              self.nodes.size()));
    std::vector<bool> loaded(self.nodes.size(), false);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string id = get_text(reader);
      const std::string kind = get_text(reader);
      const auto found = self.node_names.find(id);
      if (found == self.node_names.end())
        throw Error(fmt::format("the state is of a graph with a node '{}'; this one has none", id));
      const std::size_t n = found->second;
      if (kind != kind_name(self.spec.nodes[n].kind))
        throw Error(fmt::format("the state of node '{}' is that of a {}; it is a {}", id, kind,
                                kind_name(self.spec.nodes[n].kind)));
      if (loaded[n]) throw Error(fmt::format("the state has node '{}' twice", id));
      loaded[n] = true;
      std::uint64_t size = 0;
      reader.get(size);
      StateReader own(reader.take(size));
      Impl::Node& node = self.nodes[n];
      try {
        get_past(own, node.past);
        std::uint8_t told = 0;
        own.get(told);
        node.failure_told = told != 0;
        with_filter(node, [&](auto& filter) { filter.load_state(own); });
        if (!own.at_end()) throw Error("bytes are left over: it is that of other parameters");
      } catch (const Error& e) {
        throw Error(fmt::format("the state of node '{}': {}", id, e.what()));
      }
    }
    if (!reader.at_end()) throw Error("the state of a graph has bytes left over");
  };
  const std::vector<std::byte> before = save_state();
  try {
    load(state);
  } catch (...) {
    load(before);
    throw;
  }
}

void Graph::set_waiting(Waiting waiting) noexcept {
  for (Impl::Node& node : impl_->nodes) {
    if (node.prepared.align) node.prepared.align->set_waiting(waiting);
    node.waits_over = waiting == Waiting::over;
  }
}

void Graph::replay_wait(std::size_t node, std::size_t input, SampleNumber from, SampleCount count) {
  AlignFilter* const align = impl_->nodes[node].prepared.align.get();
  if (!align || input >= impl_->nodes[node].edges.size())
    throw Error(
        fmt::format("node '{}' does not wait for an input {}", impl_->spec.nodes[node].id, input));
  align->replay_wait(input, from, count);
}

std::vector<Graph::Wait> Graph::waits() const {
  const Impl& self = *impl_;
  std::vector<Wait> waits;
  for (const std::size_t head : self.heads) {
    const Impl::Node& node = self.nodes[head];
    if (!node.prepared.align) continue;
    const AlignFilter& align = *node.prepared.align;
    std::vector<std::size_t> domains;
    const auto add = [&](std::size_t domain) {
      if (std::ranges::find(domains, domain) == domains.end()) domains.push_back(domain);
    };
    for (std::size_t e = 0; e < node.edges.size(); ++e)
      if (align.waits_for(e)) add(node.edges[e].grid.domain);
    // A head's domain brings what its inputs bring.
    for (const std::size_t other : self.heads) {
      const Impl::Node& before = self.nodes[other];
      if (std::ranges::find(domains, before.grid.domain) == domains.end()) continue;
      for (const auto& edge : before.edges) add(edge.grid.domain);
    }
    std::erase_if(domains, [&](std::size_t domain) { return domain >= self.inputs.size(); });
    if (domains.empty()) continue;
    waits.push_back({head, std::move(domains),
                     align.waits_at()
                         ? saturating_add(*align.waits_at(), align.parameters().max_wait)
                         : Time::max()});
  }
  return waits;
}

void Graph::replay_failure(std::size_t node, SampleNumber from) noexcept {
  impl_->nodes[node].fail_from = from.value;
}

void Graph::follow(const Graph& before) {
  Impl& self = *impl_;
  const Impl& old = *before.impl_;
  if (!std::ranges::equal(self.inputs, old.inputs, [](const auto& a, const auto& b) {
        return a.info.name == b.info.name && a.info.rate == b.info.rate &&
               a.info.channels.size() == b.info.channels.size();
      }))
    throw Error("a graph can follow another only on the same input streams");
  // Whether samples of the same numbers come from both.
  const auto same_feed = [&](const Impl::Node& a, const Impl::Node& b) {
    return a.lanes_in == b.lanes_in &&
           std::ranges::equal(a.edges, b.edges, [&](const Impl::Edge& x, const Impl::Edge& y) {
             if (x.grid.steps != y.grid.steps || x.node.has_value() != y.node.has_value())
               return false;
             const auto rate = [](const Impl& impl, const Impl::Edge& edge) {
               return edge.node ? impl.nodes[*edge.node].info.rate
                                : impl.inputs[edge.input].info.rate;
             };
             return rate(self, x) == rate(old, y);
           });
  };
  // Whether both are fed by the same streams, or by nodes with times of their own of the same id.
  const auto same_origins = [&](const Impl::Node& a, const Impl::Node& b) {
    return std::ranges::equal(a.edges, b.edges, [&](const Impl::Edge& x, const Impl::Edge& y) {
      return self.origin_of(x.grid) == old.origin_of(y.grid);
    });
  };
  std::vector<std::optional<Impl::Follower>> followers(self.nodes.size());
  for (std::size_t i = 0; i < self.nodes.size(); ++i) {
    const NodeSpec& spec = self.spec.nodes[i];
    const auto found = old.node_names.find(spec.id);
    if (found == old.node_names.end()) continue;
    Impl::Node& node = self.nodes[i];
    const Impl::Node& was = old.nodes[found->second];
    const NodeSpec& was_spec = old.spec.nodes[found->second];
    if (node.info.rate != was.info.rate || node.info.origin != was.info.origin ||
        !same_channels(node.info, was.info))
      self.fail(spec,
                "it would give another stream than before: rate, channels and units of a running "
                "node stay as they are; give it another id");
    Impl::Follower follower;
    follower.before = found->second;
    const bool one_origin = same_origins(node, was);
    const bool fed_alike = one_origin && same_feed(node, was);
    follower.same =
        fed_alike && spec.inputs == was_spec.inputs && spec.fill_gaps == was_spec.fill_gaps &&
        same_parameters(spec.kind, was_spec.kind) && self.block_frames == old.block_frames;
    // Frames to be aligned have times, whatever their numbers mean.
    follower.takes_over = spec.kind.index() == was_spec.kind.index() &&
                          (node.prepared.align ? one_origin : fed_alike);
    followers[i] = follower;
    node.stats = was.stats;
  }
  self.followers = std::move(followers);
}

void Graph::take_over(Graph& before) noexcept {
  Impl& self = *impl_;
  Impl& old = *before.impl_;
  for (std::size_t i = 0; i < self.inputs.size() && i < old.inputs.size(); ++i) {
    self.inputs[i].next = old.inputs[i].next;
    self.inputs[i].begins = old.inputs[i].begins;
  }
  const auto began = [&](const Impl::Node& node) {
    return std::ranges::any_of(node.sources,
                               [&](std::size_t input) { return old.inputs[input].next > 0; });
  };
  for (std::size_t i = 0; i < self.nodes.size(); ++i) {
    Impl::Node& node = self.nodes[i];
    const std::optional<Impl::Follower> follower =
        i < self.followers.size() ? self.followers[i] : std::nullopt;
    if (!follower) {
      // What came before the node is not in it.
      if (began(node) && node.prepared.runner) node.prepared.runner->gap();
      continue;
    }
    Impl::Node& was = old.nodes[follower->before];
    if (follower->same) {
      std::swap(node.prepared.runner, was.prepared.runner);
      std::swap(node.prepared.align, was.prepared.align);
      std::swap(node.past, was.past);
      node.failure_told = was.failure_told;
      node.fail_from = was.fail_from;
      continue;
    }
    // A gap that waited to be filled is still to be told.
    node.past.next = was.past.next;
    node.past.lost = was.past.lost;
    node.past.missing = was.past.missing;
    if (node.past.last.size() == was.past.last.size() && follower->takes_over) {
      std::swap(node.past.last, was.past.last);
      std::swap(node.past.last_quality, was.past.last_quality);
      node.past.has_last = was.past.has_last;
    }
    if (node.prepared.align && follower->takes_over)
      node.prepared.align->take_over(*was.prepared.align, node.past.next);
    if (!began(node) || !node.prepared.runner) continue;
    if (follower->takes_over && was.prepared.runner)
      node.prepared.runner->take_over(*was.prepared.runner);
    else
      node.prepared.runner->gap();
  }
}

}  // namespace spillway
