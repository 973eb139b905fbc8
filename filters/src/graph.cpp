#include "spillway/filters/graph.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "graph_impl.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

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

void raise(std::atomic<std::uint64_t>& count, std::uint64_t by) noexcept {
  count.store(count.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

ConstFrames part_of(const ConstFrames& frames, std::size_t begin, std::size_t count) noexcept {
  ConstFrames part = frames;
  part.values = frames.values.subspan(begin * frames.lanes, count * frames.lanes);
  part.quality = frames.quality.subspan(begin * frames.lanes, count * frames.lanes);
  part.first += begin;
  if (!frames.times.empty()) part.times = frames.times.subspan(begin, count);
  return part;
}

}  // namespace

Graph::Graph(GraphSpec spec, std::vector<StreamInfo> inputs, std::size_t block_frames,
             std::uint64_t memory_limit)
    : impl_(std::make_unique<Impl>()) {
  if (block_frames == 0) throw Error("graph: blocks of 0 frames; at least 1 is needed");
  impl_->memory_left = static_cast<double>(memory_limit);
  impl_->spec = std::move(spec);
  impl_->block_frames = block_frames;
  impl_->prepare(std::move(inputs));
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
std::span<const std::size_t> Graph::sources_of(std::size_t node) const noexcept {
  return impl_->nodes[node].sources;
}
std::span<const std::size_t> Graph::nodes_of(std::size_t input) const noexcept {
  return impl_->inputs[input].dependents;
}
std::vector<Graph::Feeder> Graph::feeders_of(std::size_t node) const {
  std::vector<Feeder> feeders;
  for (const Impl::Edge& edge : impl_->nodes[node].edges)
    feeders.push_back({edge.node.has_value(), edge.node.value_or(edge.input)});
  return feeders;
}
double Graph::delay(std::size_t node) const noexcept { return impl_->nodes[node].delay; }
std::uint64_t Graph::memory_samples(std::size_t node) const noexcept {
  return impl_->nodes[node].prepared.memory;
}
const LinearSystem* Graph::system(std::size_t node) const noexcept {
  const auto& system = impl_->nodes[node].prepared.system;
  return system ? &*system : nullptr;
}
std::uint64_t Graph::memory_bytes() const noexcept {
  return static_cast<std::uint64_t>(impl_->memory_taken);
}
std::optional<Rate> Graph::feed_rate(std::size_t node) const noexcept {
  const Impl::Edge& edge = impl_->nodes[node].edges.front();
  return (edge.node ? impl_->nodes[*edge.node].info : impl_->input_infos[edge.input]).rate;
}

void Graph::process(std::size_t input, const Chunk& chunk, const Block& block,
                    const CalibrationSet& calibrations) noexcept {
  process(input, chunk, block, calibrations, {0, chunk.count.value});
}

void Graph::process(std::size_t input, const Chunk& chunk, const Block& block,
                    const CalibrationSet& calibrations, Part part) noexcept {
  Impl::Input& in = impl_->inputs[input];
  impl_->begin_step();
  if (in.dependents.empty()) return;
  if (part.count + chunk.lost.value + chunk.missing.value == 0) return;
  in.chunk = chunk;
  in.part = part;
  const std::uint64_t first = chunk.first.value + part.begin;
  const std::uint64_t gap = first - std::min(first, in.next);
  std::uint64_t lost = chunk.lost.value;
  if (chunk.cause == GapCause::upstream) lost += chunk.missing.value;
  in.lost.value = std::min(gap, lost);
  in.missing.value = gap - in.lost.value;
  in.next = first + part.count;
  in.times =
      block.has_times() ? block.times().subspan(part.begin, part.count) : std::span<const Time>{};
  const std::size_t lanes = in.info.channels.size();
  in.converter->convert(block, part.begin, part.count, calibrations,
                        {in.calibrated, in.quality, lanes}, {in.raw, in.raw_quality, lanes});
  impl_->run_domain(input);
}

bool Graph::process_rest() noexcept {
  impl_->begin_step();
  for (const std::size_t head : impl_->heads)
    if (impl_->run_head(head)) return true;
  return false;
}

SampleNumber Graph::next(std::size_t input) const noexcept {
  return {std::max(impl_->inputs[input].next, impl_->inputs[input].begins)};
}
void Graph::begin_at(std::size_t input, SampleNumber number) noexcept {
  impl_->inputs[input].begins = number.value;
}

bool Graph::has_rest() const noexcept {
  return std::ranges::any_of(impl_->heads, [this](std::size_t head) {
    const Impl::Node& node = impl_->nodes[head];
    return node.prepared.align ? node.may_make : node.taken < node.feed.frames.count();
  });
}

bool Graph::end_waits() noexcept {
  // What feeds others first, so that these get what it still makes.
  for (auto head = impl_->heads.rbegin(); head != impl_->heads.rend(); ++head) {
    Impl::Node& node = impl_->nodes[*head];
    if (!node.prepared.align || node.waits_over) continue;
    node.waits_over = true;
    node.may_make = true;
    node.prepared.align->set_waiting(Waiting::over);
    return true;
  }
  return false;
}

std::span<const std::size_t> Graph::ran() const noexcept { return impl_->ran; }
NodeOutput Graph::output(std::size_t node) const noexcept { return impl_->nodes[node].out; }
std::span<const GraphNote> Graph::notes() const noexcept { return impl_->notes; }
std::string_view Graph::failure(std::size_t node) const noexcept {
  const auto& runner = impl_->nodes[node].prepared.runner;
  return runner ? runner->failure() : std::string_view();
}

Graph::NodeTiming Graph::timing(std::size_t node) const {
  const Impl::Stats& stats = *impl_->nodes[node].stats;
  return {stats.frames_in.load(std::memory_order_relaxed),
          stats.frames_out.load(std::memory_order_relaxed), stats.time.snapshot()};
}

void Graph::Impl::begin_step() noexcept {
  for (const std::size_t index : ran) {
    NodeOutput& out = nodes[index].out;
    out.lost = {};
    out.missing = {};
    out.first = {nodes[index].past.next};
    out.frames = {{}, {}, out.frames.lanes, out.first.value};
    out.times = {};
  }
  ran.clear();
  notes.clear();
}

// What an input stream brings is in the shape of what a node makes.
NodeOutput Graph::Impl::output_of(const Edge& edge) const noexcept {
  if (edge.node) return nodes[*edge.node].out;
  const Input& input = inputs[edge.input];
  const std::size_t lanes = input.info.channels.size();
  const std::size_t size = input.part.count * lanes;
  NodeOutput out;
  out.lost = input.lost;
  out.missing = input.missing;
  out.first = {input.chunk.first.value + input.part.begin};
  out.times = input.times;
  out.clock_sample = input.chunk.clock_sample;
  out.clock_time = input.chunk.clock_time;
  out.frames = {std::span(edge.raw ? input.raw : input.calibrated).first(size),
                std::span(edge.raw ? input.raw_quality : input.quality).first(size),
                lanes,
                out.first.value,
                out.times,
                out.clock_sample.value,
                out.clock_time};
  return out;
}

ConstFrames Graph::Impl::gathered(Node& node, const NodeOutput& feed) const noexcept {
  ConstFrames in = feed.frames;
  const std::size_t count = in.count();
  const std::size_t room = node.fill_gaps * node.lanes_in;
  std::size_t at = 0;
  for (const Edge& edge : node.edges) {
    pick_lanes(output_of(edge).frames, edge.lanes, at,
               {std::span(node.gathered).subspan(room),
                std::span(node.gathered_quality).subspan(room), node.lanes_in});
    at += edge.count;
  }
  in.values = std::span(node.gathered).subspan(room, count * node.lanes_in);
  in.quality = std::span(node.gathered_quality).subspan(room, count * node.lanes_in);
  in.lanes = node.lanes_in;
  return in;
}

void Graph::Impl::fill_gap(Node& node, NodeOutput& feed) const noexcept {
  Past& past = node.past;
  const std::size_t lanes = node.lanes_in;
  const std::size_t count = feed.frames.count();
  past.lost += feed.lost;
  past.missing += feed.missing;
  feed.lost = {};
  feed.missing = {};
  if (count == 0) return;  // until both neighbours are there
  const std::uint64_t gap = past.lost.value + past.missing.value;
  // Where the clock was set behind the gap, no time is known for what is in it.
  const bool one_clock = feed.clock_sample.value + gap <= feed.first.value;
  if (gap > 0 && gap <= node.fill_gaps && past.has_last && one_clock) {
    const std::size_t begin = (node.fill_gaps - static_cast<std::size_t>(gap)) * lanes;
    double* y = node.gathered.data() + begin;
    Quality* q = node.gathered_quality.data() + begin;
    for (std::uint64_t k = 1; k <= gap; ++k)
      for (std::size_t l = 0; l < lanes; ++l, ++y, ++q) {
        const double x0 = past.last[l];
        const double x1 = feed.frames.values[l];
        const double x = x0 + (x1 - x0) * (static_cast<double>(k) / static_cast<double>(gap + 1));
        const bool known = std::isfinite(x);
        *y = known ? x : nan_value;
        *q = merge(merge(past.last_quality[l], feed.frames.quality[l]),
                   Quality(known ? Verdict::interpolated : Verdict::bad, Quality::missing));
      }
    const std::size_t size = (static_cast<std::size_t>(gap) + count) * lanes;
    feed.first.value -= gap;
    feed.frames.first -= gap;
    feed.frames.values = std::span(node.gathered).subspan(begin, size);
    feed.frames.quality = std::span(node.gathered_quality).subspan(begin, size);
  } else {
    feed.lost = past.lost;
    feed.missing = past.missing;
  }
  past.lost = {};
  past.missing = {};
  if (node.fill_gaps == 0) return;
  past.has_last = true;
  std::copy_n(feed.frames.values.end() - static_cast<std::ptrdiff_t>(lanes), lanes,
              past.last.begin());
  std::copy_n(feed.frames.quality.end() - static_cast<std::ptrdiff_t>(lanes), lanes,
              past.last_quality.begin());
}

// A user's function, which may throw, or is to have thrown.
std::size_t Graph::Impl::call_function(std::size_t index, const ConstFrames& in,
                                       Frames out) noexcept {
  Node& node = nodes[index];
  Runner& runner = *node.prepared.runner;
  std::size_t before = 0;
  if (in.first + in.count() > node.fail_from) {
    before = static_cast<std::size_t>(node.fail_from - std::min(node.fail_from, in.first));
    if (before > 0) (void)runner.process(part_of(in, 0, before), out);
    if (runner.failure().empty()) runner.fail();
  }
  const ConstFrames rest = part_of(in, before, in.count() - before);
  out.values = out.values.subspan(before * out.lanes);
  out.quality = out.quality.subspan(before * out.lanes);
  (void)runner.process(rest, out);
  if (!node.failure_told && !runner.failure().empty()) {
    node.failure_told = true;
    notes.push_back({GraphNote::Kind::node_failed, index, 0, {rest.first}, {}});
  }
  return in.count();
}

void Graph::Impl::run_domain(std::size_t domain) noexcept {
  auto before = std::chrono::steady_clock::now();
  for (const std::size_t index : domains[domain].nodes) {
    run(index);
    // One look at the clock a node.
    const auto now = std::chrono::steady_clock::now();
    Stats& stats = *nodes[index].stats;
    stats.time.add(now - before);
    raise(stats.frames_out, nodes[index].out.frames.count());
    before = now;
  }
  for (const std::size_t head : domains[domain].heads) offer(nodes[head], domain);
}

void Graph::Impl::run(std::size_t index) noexcept {
  Node& node = nodes[index];
  NodeOutput feed = output_of(node.edges.front());
  raise(node.stats->frames_in, feed.frames.count());
  if (!node.gathered.empty()) feed.frames = gathered(node, feed);
  // Another graph before may have left one to be filled.
  const bool held_before = node.past.lost.value + node.past.missing.value > 0;
  if (node.fill_gaps > 0 || held_before) fill_gap(node, feed);
  if (feed.lost.value + feed.missing.value > 0) node.prepared.runner->gap();

  const std::size_t lanes = node.info.channels.size();
  const Frames to{node.values, node.quality, lanes};
  const std::size_t made = std::holds_alternative<Function>(spec.nodes[index].kind)
                               ? call_function(index, feed.frames, to)
                               : node.prepared.runner->process(feed.frames, to).count;

  NodeOutput& out = node.out;
  out = feed;
  // Held back by fill_gap, until the next frame is there.
  const std::uint64_t held = node.past.lost.value + node.past.missing.value;
  const std::uint64_t first = feed.first.value - held;
  out.first = {first};
  if (node.prepared.numbers) {
    const NumberMap& map = *node.prepared.numbers;
    const std::uint64_t from = first - feed.lost.value - feed.missing.value;
    out.first = {map.outputs_before(first)};
    out.lost = {map.outputs_before(from + feed.lost.value) - map.outputs_before(from)};
    const std::uint64_t m = map.outputs_before(feed.clock_sample.value);
    out.clock_sample = {m};
    out.clock_time =
        time_of(m, map, rate_of(node.edges.front()), feed.clock_sample, feed.clock_time);
  }
  finish_run(index, made);
}

// Of node.out there are the number of the first of `made` frames, what was lost, times and clock.
void Graph::Impl::finish_run(std::size_t index, std::size_t made) noexcept {
  Node& node = nodes[index];
  NodeOutput& out = node.out;
  const std::size_t lanes = node.info.channels.size();
  // Another graph before may have made some of these numbers.
  const std::uint64_t again = node.past.next - std::min(node.past.next, out.first.value);
  const auto skipped = static_cast<std::size_t>(std::min<std::uint64_t>(again, made));
  out.first.value += again;
  // What was not made because the node was not there yet is missing, too.
  const std::uint64_t gap = out.first.value - node.past.next;
  out.lost.value = std::min(out.lost.value, gap);
  out.missing = {gap - out.lost.value};
  node.past.next = out.first.value + made - skipped;
  if (!out.times.empty()) out.times = out.times.subspan(skipped, made - skipped);
  out.frames = {std::span(node.values).subspan(skipped * lanes, (made - skipped) * lanes),
                std::span(node.quality).subspan(skipped * lanes, (made - skipped) * lanes),
                lanes,
                out.first.value,
                out.times,
                out.clock_sample.value,
                out.clock_time};
  ran.push_back(index);
}

void Graph::Impl::offer(Node& node, std::size_t domain) noexcept {
  for (std::size_t e = 0; e < node.edges.size(); ++e) {
    Edge& edge = node.edges[e];
    if (edge.grid.domain != domain) continue;
    NodeOutput feed = output_of(edge);
    raise(node.stats->frames_in, feed.frames.count());
    if (!node.prepared.align) {
      if (feed.lost.value + feed.missing.value > 0) node.prepared.runner->gap();
      if (!node.gathered.empty()) feed.frames = gathered(node, feed);
      node.feed = feed;
      node.taken = 0;
      return;
    }
    if (!edge.picked.empty()) {
      const std::size_t size = feed.frames.count() * edge.count;
      pick_lanes(feed.frames, edge.lanes, 0, {edge.picked, edge.picked_quality, edge.count});
      feed.frames.values = std::span(edge.picked).first(size);
      feed.frames.quality = std::span(edge.picked_quality).first(size);
      feed.frames.lanes = edge.count;
    }
    node.prepared.align->push(e, feed.frames, feed.lost, feed.missing);
    node.may_make = true;
  }
}

bool Graph::Impl::run_head(std::size_t index) noexcept {
  Node& node = nodes[index];
  const auto before = std::chrono::steady_clock::now();
  if (!(node.prepared.align ? align(index) : interpolate(index))) return false;
  node.stats->time.add(std::chrono::steady_clock::now() - before);
  raise(node.stats->frames_out, node.out.frames.count());
  run_domain(node.grid.domain);
  return true;
}

bool Graph::Impl::interpolate(std::size_t index) noexcept {
  Node& node = nodes[index];
  const std::size_t lanes = node.info.channels.size();
  Made made;
  while (made.count == 0) {
    const std::size_t left = node.feed.frames.count() - node.taken;
    if (left == 0) return false;
    ConstFrames rest = part_of(node.feed.frames, node.taken, left);
    rest = part_of(rest, 0, node.prepared.runner->fitting(rest));
    made = node.prepared.runner->process(rest, {node.values, node.quality, lanes});
    node.taken += rest.count();
  }
  node.out = {};
  node.out.first = {made.first};
  finish_run(index, made.count);
  return true;
}

bool Graph::Impl::align(std::size_t index) noexcept {
  Node& node = nodes[index];
  AlignFilter& filter = *node.prepared.align;
  const std::size_t lanes = node.info.channels.size();
  const AlignFilter::Output made = filter.make({node.values, node.quality, lanes}, node.times);
  node.may_make = !made.is_nothing();
  if (!node.may_make) return false;
  for (const AlignFilter::Ended& ended : filter.ended())
    notes.push_back({GraphNote::Kind::wait_ended, index, ended.input, ended.from, ended.count});
  NodeOutput& out = node.out;
  out = {};
  out.first = {made.first};
  out.lost = made.lost;
  out.times = std::span(node.times).first(node.times.empty() ? 0 : made.count);
  out.clock_sample = {made.clock_sample};
  out.clock_time = made.clock_time;
  finish_run(index, made.count);
  return true;
}

}  // namespace spillway
