#include "spillway/filters/graph_replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

struct GraphReplay::Impl {
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::size_t cached_values = 8192;  // of a node, at once
  static constexpr std::size_t least_frames = 32;

  // Where an input stands.
  struct Input {
    Block block;
    Chunk chunk;            // what was read last
    std::size_t begin = 0;  // of its frames, those not given to the graph yet
    bool ended = false;
    std::uint64_t next = 0;  // number behind what the graph was told
    Time reached = Time::min();
    Time offset{};  // of its origin
    std::vector<ReaderLoss> losses;
    std::size_t next_loss = 0;
    std::size_t most = 0;  // frames for the graph at once
    // In the reign: the inputs that meet this one in a node.
    std::vector<std::size_t> met;
    std::uint64_t until = never;  // the reign ends there

    [[nodiscard]] std::uint64_t loss_at() const noexcept {
      return next_loss < losses.size() ? losses[next_loss].from.value : never;
    }
    // Of the next frame that is there.
    [[nodiscard]] std::uint64_t frame() const noexcept { return chunk.first.value + begin; }
    [[nodiscard]] std::size_t left() const noexcept { return chunk.count.value - begin; }
    // Frames from before the state was saved, or that the live graph did not get.
    void skip() noexcept {
      if (frame() < next)
        begin += static_cast<std::size_t>(std::min<std::uint64_t>(next - frame(), left()));
    }
  };
  // A graph of the run, and what happened in it by itself.
  struct Reign {
    std::optional<GraphChanged> change;  // that began it
    std::vector<WaitEnded> waits;
    std::vector<NodeFailed> failures;
  };

  std::vector<StreamInfo> infos;
  std::size_t block_frames;
  Graph graph;
  std::vector<Input> inputs;
  std::vector<Reign> reigns{1};
  std::vector<std::size_t> candidates;  // inputs that have more in this reign
  std::size_t current = 0;              // reign
  bool begun = false;                   // it

  Impl(GraphSpec spec, std::vector<StreamInfo> streams, std::size_t block)
      : infos(std::move(streams)), block_frames(block), graph(std::move(spec), infos, block) {
    for (const StreamInfo& info : infos) {
      Input input{Block(info, block), {}, 0, false, 0, Time::min(), {}, {}, 0, 0, {}, never};
      input.offset = time_between(infos.front().origin, info.origin).value_or(Time(0));
      // What one node made is still in the cache when the next one reads it.
      input.most = std::min(block, std::max(least_frames, cached_values / info.channels.size()));
      inputs.push_back(std::move(input));
    }
  }

  void read_log(const GraphLog& log) {
    std::vector<std::uint64_t> reached;  // the state has what is before
    for (const Input& in : inputs) reached.push_back(in.next);
    for (const GraphLogEntry& entry : log.entries) {
      if (const auto* loss = std::get_if<ReaderLoss>(&entry)) {
        const auto at = std::ranges::find(infos, loss->input, &StreamInfo::name);
        if (at == infos.end())
          throw Error(
              fmt::format("the log of the graph tells of a loss in '{}', which it does not "
                          "read",
                          loss->input));
        Input& in = inputs[static_cast<std::size_t>(at - infos.begin())];
        auto& losses = in.losses;
        if (!losses.empty() && loss->from.value < end_of(losses.back()))
          throw Error(
              fmt::format("the log of the graph goes back: a loss at {} of '{}' behind one "
                          "at {}",
                          loss->from.value, loss->input, losses.back().from.value));
        if (loss->from.value < in.next || end_of(*loss) < loss->from.value)
          throw Error(
              fmt::format("the log of the graph does not go with its state: a loss from {} to {} "
                          "of '{}', which stands at {}",
                          loss->from.value, end_of(*loss), loss->input, in.next));
        losses.push_back(*loss);
      } else if (const auto* change = std::get_if<GraphChanged>(&entry)) {
        if (change->at.size() != inputs.size())
          throw Error(
              fmt::format("the log of the graph has a change with {} cuts; there are {} "
                          "inputs",
                          change->at.size(), inputs.size()));
        for (std::size_t i = 0; i < inputs.size(); ++i) {
          if (change->at[i].value < reached[i])
            throw Error(
                fmt::format("the log of the graph goes back: a change at {} of '{}' behind "
                            "one at {}",
                            change->at[i].value, infos[i].name, reached[i]));
          reached[i] = change->at[i].value;
        }
        reigns.push_back({*change, {}, {}});
      } else if (const auto* wait = std::get_if<WaitEnded>(&entry)) {
        reigns.back().waits.push_back(*wait);
      } else {
        reigns.back().failures.push_back(std::get<NodeFailed>(entry));
      }
    }
  }

  static std::uint64_t end_of(const ReaderLoss& loss) noexcept {
    return loss.from.value + loss.lost.value + loss.missing.value;
  }

  void begin(const Reign& reign) {
    graph.set_waiting(Waiting::logged);
    find_those_that_meet();
    std::unordered_map<std::string, std::size_t> ids;
    for (std::size_t n = 0; n < graph.spec().nodes.size(); ++n)
      ids.emplace(graph.spec().nodes[n].id, n);
    const auto find = [&](const std::string& id) {
      const auto found = ids.find(id);
      if (found == ids.end())
        throw Error(fmt::format("the log of the graph tells of a node '{}', which it has not", id));
      return found->second;
    };
    for (const WaitEnded& wait : reign.waits)
      graph.replay_wait(find(wait.node), wait.input, wait.from, wait.count);
    for (const NodeFailed& failure : reign.failures)
      graph.replay_failure(find(failure.node), failure.from);
  }

  void find_those_that_meet() {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      std::vector<std::size_t>& met = inputs[i].met;
      met.clear();
      for (const std::size_t node : graph.nodes_of(i))
        for (const std::size_t source : graph.sources_of(node))
          if (source != i && std::ranges::find(met, source) == met.end()) met.push_back(source);
    }
  }

  // The time of what an input gives next.
  [[nodiscard]] Time next_time(std::size_t i) const noexcept {
    const Input& in = inputs[i];
    return in.loss_at() == in.next || in.left() == 0 ? in.reached : time_of(in, i, in.begin);
  }

  // The time up to which an input should go on: little farther than those it meets, so that little
  // is kept until they follow, and not so far that a live graph would not have waited for them.
  [[nodiscard]] Time limit_of(std::size_t i, const std::vector<Graph::Wait>& waits) const {
    if (inputs[i].met.empty()) return Time::max();
    const auto block = [&](std::size_t input) {
      return infos[input].rate ? infos[input].rate->duration(block_frames) : Time(0);
    };
    Time limit = Time::max();
    Time slack = block(i);
    for (const std::size_t other : inputs[i].met) {
      slack = std::min(slack, block(other));
      if (std::ranges::find(candidates, other) != candidates.end())
        limit = std::min(limit, next_time(other));
    }
    return std::min(saturating_add(limit, slack / 2), end_of_patience(i, waits));
  }

  // What comes of an input behind that time would end a wait of a live graph.
  [[nodiscard]] Time end_of_patience(std::size_t i, const std::vector<Graph::Wait>& waits) const {
    Time end = Time::max();
    for (const Graph::Wait& wait : waits) {
      const std::span<const std::size_t> sources = graph.sources_of(wait.node);
      if (std::ranges::find(sources, i) == sources.end() ||
          std::ranges::find(wait.lacked, i) != wait.lacked.end())
        continue;
      end = std::min(end, saturating_add(wait.until, inputs[sources.front()].offset));
    }
    return end;
  }

  // How many of the next `count` frames of an input are not behind `limit`; at least one.
  [[nodiscard]] std::size_t frames_until(std::size_t i, Time limit,
                                         std::size_t count) const noexcept {
    const Input& in = inputs[i];
    std::size_t low = std::min<std::size_t>(count, 1), high = count;
    if (limit == Time::max()) return high;
    while (low < high) {
      const std::size_t middle = low + (high - low) / 2;
      if (time_of(in, i, in.begin + middle) <= limit)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  // Reads on, if all that was read was used. False at the end.
  bool fetch(std::size_t i, const ReplaySource& source) {
    Input& in = inputs[i];
    while (!in.ended && in.left() == 0 && in.frame() <= in.next) {
      in.chunk = source.next(i, in.block);
      const Chunk& chunk = in.chunk;
      in.ended = chunk.count.value + chunk.lost.value + chunk.missing.value == 0;
      in.begin = 0;
      in.skip();
    }
    return !in.ended;
  }

  // The next frames of an input, up to `limit` and the end of the reign, go
  // through the graph.
  void give(std::size_t i, Time limit, const ReplaySource& source, const ReplaySink& sink) {
    Input& in = inputs[i];
    Chunk chunk = in.chunk;
    Part part{0, 0};
    if (in.loss_at() == in.next) {
      const ReaderLoss& loss = in.losses[in.next_loss++];
      chunk.lost = loss.lost;
      chunk.missing = loss.missing;
      chunk.cause = loss.cause;
      chunk.first = {end_of(loss)};
      in.next = chunk.first.value;
      in.skip();
      (void)fetch(i, source);
    } else {
      const std::uint64_t end = std::min(in.until, in.loss_at());
      const std::uint64_t begins = std::min(in.frame(), end);  // behind a gap, if there is one
      chunk.first = {begins - in.begin};
      part.begin = in.begin;
      if (begins == in.frame())
        part.count = frames_until(i, limit,
                                  static_cast<std::size_t>(std::min<std::uint64_t>(
                                      std::min(in.left(), in.most), end - begins)));
      const std::uint64_t gap = begins - in.next;
      in.chunk.lost.value -= std::min(gap, in.chunk.lost.value);
      // A source that begins behind a gap need not tell it.
      if (chunk.lost.value + chunk.missing.value == 0) chunk.missing = {gap};
      in.begin += part.count;
      in.next = begins + part.count;
      if (part.count > 0) in.reached = time_of(in, i, in.begin - 1);
    }
    graph.process(i, chunk, in.block, source.calibrations(i, chunk.calibrations), part);
    sink(graph);
    while (graph.process_rest()) sink(graph);
  }

  [[nodiscard]] Time time_of(const Input& in, std::size_t i, std::size_t frame) const noexcept {
    if (in.block.has_times()) return saturating_add(in.block.times()[frame], in.offset);
    const std::uint64_t number = in.chunk.first.value + frame;
    const std::uint64_t clock = in.chunk.clock_sample.value;
    const Time since = number >= clock ? infos[i].rate->duration(number - clock)
                                       : -infos[i].rate->duration(clock - number);
    return saturating_add(saturating_add(in.chunk.clock_time, since), in.offset);
  }

  // One block of an input below the cut that ends the reign; false if all are there. In the order
  // of time; while outputs wait for some inputs, the others go on as far as a live graph would have
  // waited: it may have had as much of them when those came.
  bool give_next(const GraphCut* cut, const ReplaySource& source, const ReplaySink& sink) {
    candidates.clear();
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      Input& in = inputs[i];
      const std::uint64_t until = cut ? (*cut)[i].value : never;
      in.until = until;
      if (graph.nodes_of(i).empty()) {
        // The live graph did not read it either.
        if (cut) in.next = std::max(in.next, until);
        in.skip();
        continue;
      }
      if (in.next >= until) continue;
      if (!fetch(i, source) && in.loss_at() != in.next) {
        if (cut)
          throw Error(fmt::format("'{}' ends at {}, but the graph was changed at {} of it",
                                  infos[i].name, in.next, until));
        continue;
      }
      candidates.push_back(i);
    }
    if (candidates.empty()) return false;
    const std::vector<Graph::Wait> waits = graph.waits();
    const auto key = [&](std::size_t i) {
      const Time time = next_time(i);
      return std::pair(time > end_of_patience(i, waits), time);
    };
    const std::size_t next = *std::ranges::min_element(candidates, {}, key);
    give(next, limit_of(next, waits), source, sink);
    return true;
  }

  // The graph of the next reign takes over.
  void change() {
    const Reign& next_reign = reigns[++current];
    Graph next(next_reign.change->spec, infos, block_frames);
    next.follow(graph);
    next.take_over(graph);
    graph = std::move(next);
    // What the graph before did not read is not to come now.
    for (std::size_t i = 0; i < inputs.size(); ++i) graph.begin_at(i, {inputs[i].next});
  }

  bool step(const ReplaySource& source, const ReplaySink& sink) {
    if (!begun) {
      begin(reigns[current]);
      begun = true;
      // What nothing but a wait held back may have been made before another sample came.
      while (graph.process_rest()) sink(graph);
    }
    const bool is_last = current + 1 == reigns.size();
    if (give_next(is_last ? nullptr : &reigns[current + 1].change->at, source, sink)) return true;
    if (is_last) return false;
    change();
    begun = false;
    return true;
  }
};

GraphReplay::GraphReplay(GraphSpec spec, std::vector<StreamInfo> inputs, const GraphLog& log,
                         std::span<const std::byte> state, std::size_t block_frames)
    : impl_(std::make_unique<Impl>(std::move(spec), std::move(inputs), block_frames)) {
  if (!state.empty()) {
    impl_->graph.load_state(state);
    for (std::size_t i = 0; i < impl_->inputs.size(); ++i)
      impl_->inputs[i].next = impl_->graph.next(i).value;
  }
  impl_->read_log(log);
}
GraphReplay::GraphReplay(GraphReplay&&) noexcept = default;
GraphReplay& GraphReplay::operator=(GraphReplay&&) noexcept = default;
GraphReplay::~GraphReplay() = default;

const Graph& GraphReplay::graph() const noexcept { return impl_->graph; }

std::size_t GraphReplay::changes() const noexcept { return impl_->current; }

bool GraphReplay::step(const ReplaySource& source, const ReplaySink& sink) {
  return impl_->step(source, sink);
}

void GraphReplay::run(const ReplaySource& source, const ReplaySink& sink) {
  while (impl_->step(source, sink)) {
  }
}

void GraphReplay::end_waits(const ReplaySink& sink) {
  do {
    while (impl_->graph.process_rest()) sink(impl_->graph);
  } while (impl_->graph.end_waits());
}

}  // namespace spillway
