#include "live_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <utility>

#include "graph_parts.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/graph_log_json.hpp"

namespace spillway {

namespace {

// Derived rings keep as much as what they are derived from, in time; of blocks of
// `most_frames`, a few in any case.
StreamInfo ring_for(const StreamInfo& output, const StreamInfo& source, std::size_t most_frames) {
  StreamInfo info = output;
  double capacity = static_cast<double>(capacity_in_samples(source).value);
  if (output.rate && source.rate)
    capacity *= output.rate->hertz().value / source.rate->hertz().value;
  info.capacity =
      SampleCount{std::max<std::uint64_t>(static_cast<std::uint64_t>(std::ceil(capacity)),
                                          std::max<std::uint64_t>(4 * most_frames, 64))};
  info.largest_block.value =
      std::min<std::uint64_t>(source.largest_block.value, std::max<std::size_t>(most_frames, 1));
  info.mark_capacity = source.mark_capacity;
  info.follow_stamps = false;
  info.publish_as.clear();
  return info;
}

// Whether samples of both can stand in one stream.
bool same_stream(const StreamInfo& a, const StreamInfo& b) {
  return a.rate == b.rate && a.origin == b.origin &&
         std::ranges::equal(a.channels, b.channels, [](const ChannelInfo& x, const ChannelInfo& y) {
           return x.name == y.name && x.unit == y.unit;
         });
}

std::string quoted(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names)
    text += fmt::format("{}'{}'", text.empty() ? "" : ", ", name);
  return text;
}

// How long a node waits for late inputs, for people; only an align does.
std::string wait_of(const NodeSpec& node) {
  const std::chrono::duration<double> wait = std::get<Align>(node.kind).max_wait;
  return fmt::format("{:g} s", wait.count());
}

// What became of the nodes, for people.
std::string difference(const GraphSpec& before, const GraphSpec& after) {
  const auto missing_in = [](const GraphSpec& in, const GraphSpec& from) {
    std::vector<std::string> ids;
    for (const NodeSpec& node : from.nodes)
      if (std::ranges::find(in.nodes, node.id, &NodeSpec::id) == in.nodes.end())
        ids.push_back(node.id);
    return ids;
  };
  const std::vector<std::string> added = missing_in(before, after);
  const std::vector<std::string> removed = missing_in(after, before);
  std::string text;
  if (!added.empty()) text += fmt::format("added {}, ", quoted(added));
  if (!removed.empty()) text += fmt::format("removed {}, ", quoted(removed));
  return text + fmt::format("kept {}", after.nodes.size() - added.size());
}

// Whether the graphs have outputs of the same names.
bool same_nodes(const GraphSpec& a, const GraphSpec& b) {
  return std::ranges::is_permutation(a.nodes, b.nodes, {}, &NodeSpec::id, &NodeSpec::id);
}

constexpr auto longest_nap = std::chrono::milliseconds(2);
constexpr auto shortest_nap = std::chrono::microseconds(100);

// Of one part: about 100 MB.
constexpr std::size_t most_log_entries = std::size_t{1} << 20;

// Among the last so many a wait that goes on is looked for.
constexpr std::size_t growing_entries = 64;

// Room for the state of a part that was never asked for it.
constexpr std::size_t first_state_bytes = 64 << 10;

}  // namespace

LiveGraph::LiveGraph(const GraphSpec& spec, Streams& streams, std::size_t threads, Publish publish)
    : streams_(streams),
      publish_(std::move(publish)),
      has_threads_(threads > 0),
      inputs_(streams.all()),
      spec_(spec) {
  for (const EngineStream* in : inputs_) {
    infos_.push_back(in->stream->info());
    block_frames_ = std::max(block_frames_, GraphRunner::block_frames(infos_.back()));
  }
  for (std::size_t i = 0; i < std::max<std::size_t>(threads, 1); ++i)
    parts_.push_back(std::make_unique<Part>());
  std::vector<GraphSpec> specs = split(spec);
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    Part& part = *parts_[p];
    part.log.spec = specs[p];
    part.in_force = std::make_shared<const GraphSpec>(specs[p]);
    for (const StreamInfo& info : infos_) part.log.streams.push_back(info.name);
    std::uint64_t bytes = graph_bytes();
    adopt(part, prepare(std::move(specs[p]), part, bytes));
    std::vector<GraphRunner::Input> inputs;
    for (EngineStream* in : inputs_)
      inputs.push_back({in->stream.get(), &in->readers.add(), in->waits});
    part.runner = std::make_unique<GraphRunner>(inputs, *part.versions.back());
  }
  if (spec.nodes.empty()) return;
  provenance_ = parts_.size() == 1
                    ? provenance_json(parts_.front()->versions.back()->graph)
                    : provenance_json(Graph(spec, infos_, 1, streams_.memory_left()));
}

LiveGraph::~LiveGraph() {
  running_ = false;
  for (auto& part : parts_)
    if (part->thread.joinable()) part->thread.join();
}

// --- preparing a version ---

std::uint64_t LiveGraph::graph_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& part : parts_)
    for (const auto& version : part->versions) bytes += version->graph.memory_bytes();
  return bytes;
}

// The spec of each part.
std::vector<GraphSpec> LiveGraph::split(const GraphSpec& spec) {
  std::vector<GraphSpec> specs(parts_.size());
  if (parts_.size() == 1) {
    specs[0] = spec;
    return specs;
  }
  // Only to be looked at.
  const Graph whole(spec, infos_, 1, streams_.memory_left());
  const auto home_of = [&](const std::string& id) -> std::optional<std::size_t> {
    for (std::size_t p = 0; p < parts_.size(); ++p)
      if (std::ranges::find(parts_[p]->derived, id, &Derived::id) != parts_[p]->derived.end())
        return p;
    return std::nullopt;
  };
  const std::vector<std::size_t> part_of = parts_of_nodes(whole, parts_.size(), home_of);
  for (std::size_t n = 0; n < part_of.size(); ++n) specs[part_of[n]].nodes.push_back(spec.nodes[n]);
  return specs;
}

// `bytes`: of the budget, taken by graphs and streams that are not adopted yet; what this one
// takes is added.
LiveGraph::Prepared LiveGraph::prepare(GraphSpec spec, const Part& part,
                                       std::uint64_t& bytes) const {
  const std::uint64_t left = streams_.memory_left();
  Prepared made;
  made.version = std::make_unique<GraphVersion>(
      Graph(std::move(spec), infos_, block_frames_, left - std::min(left, bytes)));
  GraphVersion& version = *made.version;
  const Graph& graph = version.graph;
  if (!part.versions.empty()) version.graph.follow(part.versions.back()->graph);
  bytes += graph.memory_bytes();
  version.cut.resize(infos_.size());
  version.failures.resize(graph.spec().nodes.size());
  made.derived = part.derived;
  version.outputs.resize(part.derived.size());
  for (std::size_t k = 0; k < part.derived.size(); ++k) {
    const EngineStream& stream = *part.derived[k].stream;
    version.outputs[k] = {nullptr, &stream.readers, stream.stream->capacity().value};
  }
  for (std::size_t n = 0; n < graph.spec().nodes.size(); ++n) {
    const StreamInfo& output = graph.output_info(n);
    const auto there = std::ranges::find(made.derived, output.name, &Derived::id);
    version.output_of.push_back(static_cast<std::size_t>(there - made.derived.begin()));
    if (there != made.derived.end()) {
      if (!same_stream(there->stream->stream->info(), output))
        throw Error(fmt::format(
            "node '{}': gives another stream than before (rate, channels, units); give it "
            "another id",
            output.name));
      if (const std::uint64_t room = version.outputs[version.output_of[n]].capacity;
          graph.most_frames(n) > room)
        throw Error(
            fmt::format("node '{}': makes up to {} samples at once; its stream was made for at "
                        "most {}; give it another id",
                        output.name, graph.most_frames(n), room));
      continue;
    }
    const StreamInfo& source = infos_[graph.sources_of(n).front()];
    made.streams.push_back(streams_.make(ring_for(output, source, graph.most_frames(n)), bytes));
    EngineStream& stream = *made.streams.back();
    bytes += Stream::memory_bytes(stream.stream->info());
    stream.waits = std::ranges::all_of(graph.sources_of(n),
                                       [&](std::size_t input) { return inputs_[input]->waits; });
    made.derived.push_back({output.name, &stream});
    version.outputs.push_back({std::make_unique<Writer<double>>(*stream.stream), &stream.readers,
                               stream.stream->capacity().value});
  }
  return made;
}

void LiveGraph::adopt(Part& part, Prepared prepared) {
  for (auto& stream : prepared.streams) (void)streams_.adopt(std::move(stream));
  part.derived = std::move(prepared.derived);
  part.runs = part.runs || !prepared.version->graph.spec().nodes.empty();
  part.versions.push_back(std::move(prepared.version));
}

// --- running ---

void LiveGraph::start() {
  const std::scoped_lock lock(control_mutex_);
  started_ = true;
  running_ = true;
  for (auto& part : parts_)
    if (!part->versions.back()->graph.spec().nodes.empty()) start_thread(*part);
}

void LiveGraph::start_thread(Part& part) {
  if (has_threads_ && !part.thread.joinable())
    part.thread = std::thread([this, &part] { run(part); });
}

void LiveGraph::run(Part& part) noexcept {
  auto nap = std::chrono::nanoseconds(shortest_nap);
  while (running_.load(std::memory_order_acquire)) {
    const bool worked = part.runner->step();
    // This thread allocates here, between two steps and only after something out of the
    // ordinary; it does not wait for those who read the log.
    if (part.runner->has_entries()) {
      const std::unique_lock lock(log_mutex_, std::try_to_lock);
      if (lock) drain(part);
    }
    if (worked) {
      nap = shortest_nap;
      continue;
    }
    std::this_thread::sleep_for(nap);
    nap = std::min(nap * 2, std::chrono::nanoseconds(longest_nap));
  }
}

bool LiveGraph::step() noexcept {
  // Without threads there is one part.
  return !has_threads_ && parts_.front()->runner && parts_.front()->runner->step();
}

void LiveGraph::finish() noexcept {
  {
    const std::scoped_lock lock(control_mutex_);
    finished_ = true;
  }
  running_ = false;
  for (auto& part : parts_)
    if (part->thread.joinable()) part->thread.join();
  // What is left waits for room in derived rings; their recorders make it as we go.
  for (;;) {
    bool worked = false;
    for (auto& part : parts_) {
      worked |= part->runner->step();
      const std::scoped_lock lock(log_mutex_);
      drain(*part);
    }
    if (worked) continue;
    if (std::ranges::all_of(parts_, [](const auto& part) {
          return part->runner->drained() && part->runner->end_waits();
        }))
      break;
    std::this_thread::sleep_for(shortest_nap);
  }
  std::vector<GraphPartStatus> last = status();
  take_end();
  const std::scoped_lock lock(control_mutex_);
  const std::scoped_lock log_lock(log_mutex_);
  for (auto& part : parts_) drain(*part);
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    Part& part = *parts_[p];
    part.last_status = std::move(last[p]);
    part.omitted += part.runner->dropped();
    part.runner.reset();
    part.versions.clear();
  }
}

// Recordings may still have to begin a file, for streams that are new.
void LiveGraph::take_end() {
  std::uint64_t ticket = 0;
  {
    const std::scoped_lock lock(log_mutex_);
    end_asking();
    ended_ = true;
    if (outputs_changed() > 0) ticket = ask_parts(std::vector<std::uint64_t>(infos_.size()));
  }
  if (ticket == 0) return;
  GraphPlace place;
  while (look(ticket, place) == Asked::pending)
    for (auto& part : parts_) (void)part->runner->step();
  const std::scoped_lock lock(log_mutex_);
  end_ = std::move(place);
}

// --- changing ---

void LiveGraph::must_be_running() const {
  if (!started_) throw Error("engine: before start() the graph is changed by graph()");
  if (finished_) throw Error("engine: the graph can't be changed any more after stop()");
}

std::uint64_t LiveGraph::change(const std::vector<NodeChange>& changes) {
  const std::scoped_lock lock(control_mutex_);
  must_be_running();
  GraphSpec spec = spec_;
  std::vector<std::string> ids;
  for (const NodeChange& change : changes) {
    const auto node = std::ranges::find(spec.nodes, change.id, &NodeSpec::id);
    if (node == spec.nodes.end()) {
      std::vector<std::string> known;
      for (const NodeSpec& n : spec.nodes) known.push_back(n.id);
      throw Error(fmt::format("no node '{}' to be changed; there are: {}", change.id,
                              known.empty() ? "none" : quoted(known)));
    }
    if (std::ranges::find(ids, change.id) != ids.end())
      throw Error(fmt::format("node '{}' is to be changed twice at once", change.id));
    ids.push_back(change.id);
    node->kind = change.kind;
  }
  if (ids.empty()) throw Error("a change of no node");
  std::vector<GraphSpec> specs = split(spec);
  std::vector<std::size_t> affected;
  for (std::size_t p = 0; p < specs.size(); ++p)
    if (std::ranges::any_of(specs[p].nodes, [&](const NodeSpec& node) {
          return std::ranges::find(ids, node.id) != ids.end();
        }))
      affected.push_back(p);
  return make_change(spec, affected, std::move(specs), std::nullopt,
                     fmt::format("changed {}", quoted(ids)));
}

std::uint64_t LiveGraph::change_graph(const GraphSpec& spec, const std::optional<ChangeAt>& at) {
  const std::scoped_lock lock(control_mutex_);
  must_be_running();
  std::optional<GraphVersion::At> where;
  if (at) {
    const auto input = std::ranges::find(infos_, at->stream, &StreamInfo::name);
    if (input == infos_.end()) {
      std::vector<std::string> known;
      for (const StreamInfo& info : infos_) known.push_back(info.name);
      throw Error(fmt::format("no stream '{}' for the graph to change at; there are: {}",
                              at->stream, quoted(known)));
    }
    where = {static_cast<std::size_t>(input - infos_.begin()), at->number};
  }
  std::vector<GraphSpec> specs = split(spec);
  std::vector<std::size_t> affected;
  for (std::size_t p = 0; p < specs.size(); ++p)
    if (!specs[p].nodes.empty() || !parts_[p]->versions.back()->graph.spec().nodes.empty())
      affected.push_back(p);
  if (affected.empty()) affected.push_back(0);
  return make_change(spec, affected, std::move(specs), where, difference(spec_, spec));
}

std::uint64_t LiveGraph::make_change(const GraphSpec& spec, const std::vector<std::size_t>& parts,
                                     std::vector<GraphSpec> split,
                                     std::optional<GraphVersion::At> at, const std::string& what) {
  collect();
  for (const std::size_t p : parts)
    if (parts_[p]->versions.size() >= GraphRunner::most_versions)
      throw Error(fmt::format("{} changes of the graph are still to be made; wait for the first",
                              parts_[p]->versions.size() - 1));
  std::uint64_t bytes = graph_bytes();
  std::vector<Prepared> prepared;
  for (const std::size_t p : parts)
    prepared.push_back(prepare(std::move(split[p]), *parts_[p], bytes));
  const std::uint64_t number = changes_ + 1;
  {
    const std::scoped_lock lock(log_mutex_);
    under_way_.push_back({number, parts.size(), what, !same_nodes(spec_, spec)});
  }
  // From here on it is made.
  changes_ = number;
  spec_ = spec;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    Part& part = *parts_[parts[k]];
    GraphVersion& version = *prepared[k].version;
    version.change = number;
    version.at = at;
    if (on_stream_)
      for (const auto& stream : prepared[k].streams) on_stream_(*stream);
    const std::scoped_lock lock(log_mutex_);
    adopt(part, std::move(prepared[k]));
    part.runner->send(version);
    start_thread(part);
  }
  return number;
}

// --- what it tells ---

// Destroys what was retired. Under control_mutex_.
void LiveGraph::collect() {
  for (auto& part : parts_)
    while (const GraphVersion* retired = part->runner ? part->runner->take_retired() : nullptr) {
      {
        const std::scoped_lock lock(log_mutex_);
        drain(*part);
      }
      std::erase_if(part->versions, [&](const auto& version) { return version.get() == retired; });
    }
}

// Under log_mutex_.
void LiveGraph::drain(Part& part) {
  GraphRunnerEntry entry;
  while (part.runner->take(entry)) tell(part, entry);
}

void LiveGraph::keep(Part& part, GraphLogEntry entry) {
  if (part.log.log.entries.size() < most_log_entries)
    part.log.log.entries.push_back(std::move(entry));
  else
    ++part.omitted;
}

// "at x 1000, y 50": of the streams that it reads.
std::string LiveGraph::place(const GraphVersion& version) const {
  std::string text;
  for (std::size_t i = 0; i < infos_.size(); ++i)
    if (!version.graph.nodes_of(i).empty())
      text +=
          fmt::format("{}{} {}", text.empty() ? "" : ", ", infos_[i].name, version.cut[i].value);
  return text;
}

void LiveGraph::tell(Part& part, const GraphRunnerEntry& entry) {
  const GraphSpec& spec = entry.version->graph.spec();
  switch (entry.kind) {
    case GraphRunnerEntry::Kind::loss: {
      const std::string& stream = infos_[entry.input].name;
      publish_({EventKind::samples_lost, fmt::format("graph: {}", stream), entry.from.value,
                entry.count.value,
                fmt::format("{} samples from {} on: overwritten before the graph read them",
                            entry.count.value, entry.from.value)});
      return keep(part, ReaderLoss{stream, entry.from, entry.count, entry.missing, entry.cause,
                                   entry.mixed});
    }
    case GraphRunnerEntry::Kind::wait_ended: {
      const NodeSpec& node = spec.nodes[entry.node];
      // An input that stays away is one entry and not one a block, also where others stay away
      // meanwhile.
      auto& entries = part.log.log.entries;
      bool goes_on = false;
      for (std::size_t k = entries.size(); k-- > 0 && k + growing_entries >= entries.size();) {
        auto* before = std::get_if<WaitEnded>(&entries[k]);
        if (!before) break;
        if (before->node != node.id || before->input != entry.input) continue;
        goes_on = before->from + before->count == entry.from;
        // What is before a cut stays as it is.
        if (!goes_on || k < part.grows_from) break;
        before->count += entry.count;
        return;
      }
      if (!goes_on)
        publish_({EventKind::wait_ended, node.id, entry.from.value, entry.count.value,
                  fmt::format("from output {} on made without '{}', which is late (max_wait is {})",
                              entry.from.value, node.inputs[entry.input], wait_of(node))});
      return keep(part, WaitEnded{node.id, entry.input, entry.from, entry.count});
    }
    case GraphRunnerEntry::Kind::node_failed: {
      const std::string& id = spec.nodes[entry.node].id;
      std::string what(entry.version->failures[entry.node].view());
      publish_({EventKind::node_failed, id, entry.from.value, 0, what});
      return keep(part, NodeFailed{id, entry.from, std::move(what)});
    }
    case GraphRunnerEntry::Kind::cut: part.cut = position_in(part); return;
    case GraphRunnerEntry::Kind::changed: break;
  }
  const auto change = std::ranges::find(under_way_, entry.version->change, &UnderWay::number);
  if (const std::string at = place(*entry.version); !at.empty())
    change->text += fmt::format("; at {}", at);
  if (--change->parts_left == 0) {
    publish_({EventKind::graph_changed, "graph", change->number, 0, change->text});
    if (change->outputs) outputs_changed_.fetch_add(1, std::memory_order_release);
    under_way_.erase(change);
  }
  part.in_force = std::make_shared<const GraphSpec>(spec);
  ++changes_made_;
  keep(part, GraphChanged{entry.version->cut, spec});
}

std::vector<GraphPartLog> LiveGraph::log() {
  const std::scoped_lock lock(control_mutex_);
  collect();
  std::vector<GraphPartLog> logs;
  const std::scoped_lock log_lock(log_mutex_);
  for (auto& part : parts_) {
    if (part->runner) drain(*part);
    logs.push_back(part->log);
    logs.back().log.dropped = part->omitted + (part->runner ? part->runner->dropped() : 0);
  }
  return logs;
}

GraphLogPosition LiveGraph::log_begin() {
  const std::scoped_lock lock(log_mutex_);
  GraphLogPosition position;
  for (const auto& part : parts_)
    position.parts.push_back({std::make_shared<const GraphSpec>(part->log.spec), 0, 0, {}});
  return position;
}

GraphLogPosition::Part LiveGraph::position_in(Part& part) {
  part.grows_from = part.log.log.entries.size();
  return {part.in_force,
          part.grows_from,
          part.omitted + (part.runner ? part.runner->dropped() : 0),
          {}};
}

std::vector<std::string> LiveGraph::log_lines(GraphLogPosition& position,
                                              const GraphLogPosition* until) {
  std::vector<GraphLogLine> lines;
  {
    // Copies only: whoever writes the log tries this lock, and comes again later.
    const std::scoped_lock lock(log_mutex_);
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      Part& part = *parts_[p];
      GraphLogPosition::Part& at = position.parts[p];
      if (part.runner) drain(part);
      if (const auto begin = std::exchange(at.begin, nullptr))
        lines.push_back({p, GraphBegin{part.log.streams, *begin}});
      const auto& entries = part.log.log.entries;
      std::erase_if(at.waits, [&](GraphLogPosition::Part::Wait& told) {
        WaitEnded wait = std::get<WaitEnded>(entries[told.entry]);
        const std::uint64_t more = wait.count.value - told.count;
        wait.from += SampleCount{told.count};
        told.count += more;
        wait.count = {more};
        if (more > 0) lines.push_back({p, wait});
        return told.entry + growing_entries < entries.size();
      });
      const std::size_t end = until ? until->parts[p].next : entries.size();
      for (; at.next < end; ++at.next) {
        std::visit([&](const auto& entry) { lines.push_back({p, entry}); }, entries[at.next]);
        if (const auto* wait = std::get_if<WaitEnded>(&entries[at.next]))
          at.waits.push_back({at.next, wait->count.value});
      }
      const std::uint64_t dropped = until
                                        ? until->parts[p].dropped
                                        : part.omitted + (part.runner ? part.runner->dropped() : 0);
      if (dropped > at.dropped)
        lines.push_back({p, GraphLogDropped{dropped - std::exchange(at.dropped, dropped)}});
    }
  }
  std::vector<std::string> texts;
  for (const GraphLogLine& line : lines) texts.push_back(to_json(line));
  return texts;
}

// --- where recordings go on ---

// Under log_mutex_, as all that follow.
std::vector<GraphPlace::Output> LiveGraph::outputs_of(const Part& part, const GraphSpec& in_force) {
  std::vector<GraphPlace::Output> outputs;
  for (const Derived& derived : part.derived)
    outputs.push_back(
        {derived.stream->stream.get(),
         std::ranges::find(in_force.nodes, derived.id, &NodeSpec::id) != in_force.nodes.end(),
         {}});
  return outputs;
}

GraphPlace LiveGraph::here() {
  GraphPlace place;
  {
    const std::scoped_lock lock(log_mutex_);
    for (auto& part : parts_) {
      if (part->runner) drain(*part);
      std::ranges::move(outputs_of(*part, *part->in_force), std::back_inserter(place.outputs));
      place.log.parts.push_back(position_in(*part));
    }
  }
  place.provenance = provenance();
  return place;
}

void LiveGraph::reserve(Part& part, const std::vector<std::uint64_t>& not_before) const {
  if (!part.request) part.request = std::make_unique<GraphCutRequest>();
  GraphCutRequest& request = *part.request;
  request.not_before = not_before;
  request.inputs.resize(infos_.size());
  request.is_read.resize(infos_.size());
  request.outputs.resize(part.derived.size());
  request.state.resize(
      std::max(first_state_bytes, part.state_bytes + part.state_bytes / 4 + first_state_bytes));
  request.taken = false;
}

std::uint64_t LiveGraph::ask_parts(const std::vector<std::uint64_t>& not_before) {
  for (auto& part : parts_) {
    if (!part->runs) continue;
    reserve(*part, not_before);
    part->runner->ask(*part->request);
  }
  return asking_ = ++tickets_;
}

std::uint64_t LiveGraph::ask(const std::vector<std::uint64_t>& not_before) {
  const std::scoped_lock lock(log_mutex_);
  if (ended_) return end_ ? ++tickets_ : 0;
  return asking_ ? 0 : ask_parts(not_before);
}

void LiveGraph::end_asking() noexcept {
  if (std::exchange(asking_, 0) == 0) return;
  for (auto& part : parts_)
    if (part->request) {
      part->runner->withdraw(*part->request);
      drain(*part);
      part->request.reset();
    }
}

void LiveGraph::withdraw(std::uint64_t ticket) noexcept {
  const std::scoped_lock lock(log_mutex_);
  if (asking_ == ticket) end_asking();
}

LiveGraph::Asked LiveGraph::look(std::uint64_t ticket, GraphPlace& place) {
  {
    const std::scoped_lock lock(log_mutex_);
    if (asking_ != ticket) {
      if (!end_) return Asked::never;
      place = *end_;
      return Asked::there;
    }
    // A thread more would have a cut that is before all others.
    if (std::ranges::any_of(parts_,
                            [](const auto& part) { return part->runs && !part->request; })) {
      end_asking();
      return Asked::never;
    }
    bool all = true;
    place.outputs.clear();
    for (auto& part : parts_) {
      if (!part->request) continue;
      GraphCutRequest& request = *part->request;
      if (!request.taken.load(std::memory_order_acquire)) {
        all = false;
      } else if (request.fits) {
        for (std::size_t k = 0; k < request.outputs.size(); ++k)
          place.outputs.push_back(
              {part->derived[k].stream->stream.get(), false, request.outputs[k]});
      } else {
        part->state_bytes = request.state_size;
        reserve(*part, std::vector(request.not_before));
        part->runner->ask(request);
        all = false;
      }
    }
    if (!all) return Asked::pending;
    place = place_asked_for();
  }
  place.provenance = provenance();
  return Asked::there;
}

// All parts have answered.
GraphPlace LiveGraph::place_asked_for() {
  GraphPlace place;
  for (std::size_t p = 0; p < parts_.size(); ++p) {
    Part& part = *parts_[p];
    drain(part);
    if (!part.request) {
      place.log.parts.push_back(position_in(part));
      continue;
    }
    GraphCutRequest& request = *part.request;
    place.log.parts.push_back(part.cut);
    GraphPartSnapshot snapshot;
    snapshot.part = p;
    if (place.inputs.empty()) place.inputs.resize(infos_.size(), {StreamReader::nowhere, {}});
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      StreamCut cut = request.inputs[i];
      if (request.is_read[i])
        snapshot.inputs.push_back({infos_[i].name, cut.number});
      else
        // What the part does not read yet it may read from there on.
        cut = {std::max(cut.position, request.not_before[i]), {}};
      StreamCut& least = place.inputs[i];
      if (cut.position < least.position)
        least = cut;
      else if (cut.position == least.position)
        least.number = std::max(least.number, cut.number);
    }
    const std::size_t before = place.outputs.size();
    std::ranges::move(outputs_of(part, *part.cut.begin), std::back_inserter(place.outputs));
    for (std::size_t k = 0; k < request.outputs.size(); ++k)
      place.outputs[before + k].cut = request.outputs[k];
    for (const NodeSpec& node : part.cut.begin->nodes) {
      const auto derived = std::ranges::find(part.derived, node.id, &Derived::id);
      const auto k = static_cast<std::size_t>(derived - part.derived.begin());
      snapshot.outputs.push_back({node.id, request.outputs[k].number});
    }
    part.state_bytes = request.state_size;
    request.state.resize(request.state_size);
    snapshot.state = std::move(request.state);
    if (!snapshot.outputs.empty()) place.snapshot.parts.push_back(std::move(snapshot));
    part.request.reset();
  }
  asking_ = 0;
  return place;
}

std::string LiveGraph::provenance() {
  const std::scoped_lock lock(provenance_mutex_);
  GraphSpec spec;
  {
    const std::scoped_lock log_lock(log_mutex_);
    if (std::exchange(provenance_of_, changes_made_) == changes_made_) return provenance_;
    for (const auto& part : parts_)
      spec.nodes.insert(spec.nodes.end(), part->in_force->nodes.begin(),
                        part->in_force->nodes.end());
  }
  provenance_.clear();
  try {
    // Made once more, only to be looked at.
    if (!spec.nodes.empty())
      provenance_ = provenance_json(Graph(std::move(spec), infos_, 1, streams_.memory_left()));
  } catch (const Error&) {
    // There is no memory for that: none is told rather than that of another graph.
  }
  return provenance_;
}

std::vector<GraphPartStatus> LiveGraph::status() {
  const std::scoped_lock lock(control_mutex_);
  collect();
  std::vector<GraphPartStatus> all;
  for (const auto& part : parts_) {
    if (part->last_status) {
      all.push_back(*part->last_status);
      continue;
    }
    // What runs, or was replaced just now.
    const Graph& graph = part->versions.front()->graph;
    GraphPartStatus status;
    for (std::size_t n = 0; n < graph.spec().nodes.size(); ++n) {
      const Graph::NodeTiming timing = graph.timing(n);
      status.nodes.push_back(
          {graph.spec().nodes[n].id, timing.frames_in, timing.frames_out, timing.time});
    }
    status.latency = part->runner->latency();
    all.push_back(std::move(status));
  }
  return all;
}

GraphSpec LiveGraph::spec() {
  const std::scoped_lock lock(control_mutex_);
  return spec_;
}

}  // namespace spillway
