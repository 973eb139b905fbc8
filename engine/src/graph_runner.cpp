#include "graph_runner.hpp"

#include <algorithm>
#include <utility>

namespace spillway {

GraphRunner::GraphRunner(Graph graph, const std::vector<Input>& inputs,
                         const std::vector<Output>& outputs)
    : graph_(std::move(graph)) {
  for (const Input& in : inputs)
    inputs_.push_back({StreamReader(*in.stream),
                       Block(in.stream->info(), graph_.block_frames()),
                       in.progress,
                       in.waits,
                       {}});
  for (std::size_t node = 0; node < outputs.size(); ++node) {
    Out out;
    if (outputs[node].stream) {
      out.writer = std::make_unique<Writer<double>>(*outputs[node].stream);
      out.readers = outputs[node].readers;
      out.capacity = outputs[node].stream->capacity().value;
      inputs_[graph_.source_of(node)].nodes.push_back(node);
    }
    outputs_.push_back(std::move(out));
  }
}

bool GraphRunner::has_room(const In& in) const noexcept {
  for (const std::size_t node : in.nodes) {
    const Out& out = outputs_[node];
    if (!out.readers->has_room(out.writer->pushed(), graph_.most_frames(node), out.capacity))
      return false;
  }
  return true;
}

void GraphRunner::write(std::size_t node) noexcept {
  const NodeOutput out = graph_.output(node);
  Writer<double>& writer = *outputs_[node].writer;
  writer.gap(out.lost, GapCause::upstream);
  writer.gap(out.missing);
  if (out.frames.values.empty()) return;
  if (out.times.empty()) {
    writer.set_clock(out.clock_sample, out.clock_time);
    writer.push(out.frames.values, out.frames.quality);
  } else {
    writer.push(out.frames.values, out.times, out.frames.quality);
  }
}

bool GraphRunner::drained() const noexcept {
  return std::ranges::all_of(inputs_, [](const In& in) {
    const Accounting books = in.reader.accounting();
    return books.pending.value == 0;
  });
}

bool GraphRunner::step() noexcept {
  bool worked = false;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    In& in = inputs_[i];
    if (in.waits && !has_room(in)) continue;
    const Chunk chunk = in.reader.read(in.block);
    if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0) continue;
    worked = true;
    graph_.process(i, chunk, in.block, in.reader.calibrations(chunk.calibrations));
    do {
      for (const std::size_t node : in.nodes) write(node);
    } while (graph_.process_rest(i));
    // After the outputs: whoever waits for this reader may stop as soon as it has read all.
    in.progress->reached(chunk.row + chunk.count.value);
  }
  return worked;
}

}  // namespace spillway
