#include "reference_chain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/filters/graph.hpp"
#include "support.hpp"

namespace spillway::test {

namespace {

using Json = nlohmann::json;

std::string node_of(const Json& stage) {
  const std::string kind = stage.at(0);
  if (kind == "notch")
    return fmt::format("type: notch, frequency: {} Hz, quality: {}", stage.at(1).get<double>(),
                       stage.at(2).get<double>());
  if (kind == "butter")
    return fmt::format("type: {}, family: butterworth, order: {}, cutoff: {} Hz",
                       stage.at(2).get<std::string>(), stage.at(1).get<int>(),
                       stage.at(3).get<double>());
  if (kind == "decimate")
    return fmt::format("type: decimate, factor: {}, taps: {}", stage.at(1).get<int>(),
                       stage.at(2).get<int>());
  if (kind == "rms") return fmt::format("type: sliding_rms, window: {}", stage.at(1).get<int>());
  throw std::runtime_error(fmt::format("stage '{}' is not known to this test", kind));
}

GraphSpec graph_of(const ReferenceCase& c) {
  std::string yaml = "graph:\n";
  std::string input = "in";
  for (const Json& stage : c.params.at("stages")) {
    const std::string id = fmt::format("{}_{}", input, stage.at(0).get<std::string>());
    yaml += fmt::format("  - {{id: {}, input: {}, {}}}\n", id, input, node_of(stage));
    input = id;
  }
  return graph_from_yaml(yaml, c.id);
}

// What the last node makes of `values`, which come in blocks of up to `block` frames.
std::vector<double> through(const GraphSpec& spec, const std::vector<double>& values, Hertz rate,
                            Hertz output_rate, std::size_t block) {
  StreamInfo info;
  info.name = "in";
  info.rate = Rate(rate);
  info.capacity = SampleCount{values.size()};
  ChannelInfo channel;
  channel.name = "x";
  info.channels = {channel};
  Stream stream(info);
  Writer<double> writer(stream);
  writer.push(values);
  Graph graph(spec, {info}, block);
  const std::size_t last = spec.nodes.size() - 1;
  if (graph.output_info(last).rate != Rate(output_rate)) throw std::runtime_error("another rate");
  StreamReader reader(stream);
  Block frames(info, block);
  std::vector<double> out;
  while (reader.pending().value > 0) {
    const Chunk chunk = reader.read(frames);
    graph.process(0, chunk, frames, reader.calibrations(chunk.calibrations));
    const NodeOutput made = graph.output(last);
    if (made.first.value != out.size()) throw std::runtime_error("numbers are not in a row");
    out.insert(out.end(), made.frames.values.begin(), made.frames.values.end());
  }
  return out;
}

}  // namespace

void run_chain(const Reference& reference, const ReferenceCase& c) {
  const GraphSpec spec = graph_of(c);
  const std::vector<double> in = reference.input(c).values;
  const std::vector<double> wanted = reference.expected(c).values;
  const Hertz rate{c.params.at("rate_hz")};
  const Hertz output_rate{c.params.at("output_rate_hz")};
  const std::vector<double> whole = through(spec, in, rate, output_rate, in.size());
  if (whole.size() != wanted.size())
    throw std::runtime_error(
        fmt::format("{}: {} values, expected {}", c.id, whole.size(), wanted.size()));
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!(std::abs(whole[i] - wanted[i]) <= c.tolerance))
      throw std::runtime_error(fmt::format("{}: index {}: actual {}, expected {}, tolerance {}",
                                           c.id, i, whole[i], wanted[i], c.tolerance));
  for (const std::size_t block : {1U, 7U, 64U})
    if (!same_bits(through(spec, in, rate, output_rate, block), whole))
      throw std::runtime_error(
          fmt::format("{}: blocks of {} give other bits than all at once", c.id, block));
}

}  // namespace spillway::test
