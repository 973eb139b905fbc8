// Graphs of many nodes: every node is where it belongs.
#include <map>
#include <string>

#include "spillway/filters/graph.hpp"
#include "support.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr std::size_t streams = 100;
constexpr std::size_t channels = 100;  // of each
constexpr std::size_t frames = 5;

std::string stream_name(std::size_t s) { return "stream" + std::to_string(s); }
std::string channel_name(std::size_t c) { return "c" + std::to_string(c); }

std::vector<StreamInfo> inputs() {
  std::vector<StreamInfo> infos(streams);
  for (std::size_t s = 0; s < streams; ++s) {
    infos[s].name = stream_name(s);
    infos[s].rate = Rate(1000, 1);
    for (std::size_t c = 0; c < channels; ++c) {
      ChannelInfo channel;
      channel.name = channel_name(c);
      channel.unit = "V" + std::to_string(c);
      channel.type = SampleType::int32;
      infos[s].channels.push_back(std::move(channel));
    }
  }
  return infos;
}

// One that tells samples of all streams, channels and frames apart.
std::int32_t sample(std::size_t s, std::size_t c, std::size_t f) {
  return static_cast<std::int32_t>((s * channels + c) * frames + f);
}

// Adds a number of its own, so that no two nodes make the same.
NodeSpec adding(std::string id, std::string input, double offset) {
  NodeSpec node;
  node.id = std::move(id);
  node.inputs = {std::move(input)};
  node.kind = Calibrate{.calibration = Linear{1.0, offset}, .unit = {}};
  return node;
}

// Runs a block of every stream; calls check(s) after that of stream s.
template <class Check>
void run(Graph& graph, Check check) {
  const std::vector<StreamInfo> infos = inputs();
  const CalibrationSet set(channels);
  Chunk chunk;
  chunk.count = {frames};
  for (std::size_t s = 0; s < streams; ++s) {
    Block block(infos[s], frames);
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t f = 0; f < frames; ++f) block.values<std::int32_t>(c)[f] = sample(s, c, f);
    graph.process(s, chunk, block, set);
    check(s);
  }
}

}  // namespace

TEST_CASE("in a graph of ten thousand nodes each has its own channel of its own stream") {
  GraphSpec spec;
  for (std::size_t s = 0; s < streams; ++s)
    for (std::size_t c = 0; c < channels; ++c)
      spec.nodes.push_back(adding("n" + std::to_string(s) + "_" + std::to_string(c),
                                  stream_name(s) + "/" + channel_name(c),
                                  static_cast<double>(spec.nodes.size())));
  Graph graph(spec, inputs(), frames);
  std::size_t wrong = 0;
  run(graph, [&](std::size_t s) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::size_t node = s * channels + c;
      const NodeOutput out = graph.output(node);
      const StreamInfo& info = graph.output_info(node);
      bool right = out.frames.count() == frames && out.frames.lanes == 1 &&
                   info.name == spec.nodes[node].id && info.channels.size() == 1 &&
                   info.channels[0].name == channel_name(c) &&
                   info.channels[0].unit == "V" + std::to_string(c);
      for (std::size_t f = 0; right && f < frames; ++f)
        right = out.frames.values[f] ==
                    static_cast<double>(sample(s, c, f)) + static_cast<double>(node) &&
                out.frames.quality[f].is_good();
      wrong += right ? 0 : 1;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("in a graph of a hundred chains, given in any order, each runs over its own stream") {
  constexpr std::size_t length = 5;
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  GraphSpec spec;
  for (std::size_t s = 0; s < streams; ++s) {
    std::string input = stream_name(s);
    for (std::size_t k = 0; k < length; ++k) {
      const std::string id = "n" + std::to_string(s) + "_" + std::to_string(k);
      spec.nodes.push_back(adding(id, input, static_cast<double>(s) + 0.125));
      input = id;
    }
  }
  for (std::size_t i = spec.nodes.size(); i > 1; --i)
    std::swap(spec.nodes[i - 1], spec.nodes[random.below(i)]);
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < spec.nodes.size(); ++i) index[spec.nodes[i].id] = i;

  Graph graph(spec, inputs(), frames);
  std::size_t wrong = 0;
  run(graph, [&](std::size_t s) {
    for (std::size_t k = 0; k < length; ++k) {
      const NodeOutput out =
          graph.output(index.at("n" + std::to_string(s) + "_" + std::to_string(k)));
      bool right = out.frames.count() == frames && out.frames.lanes == channels;
      for (std::size_t i = 0; right && i < frames * channels; ++i)
        right = out.frames.values[i] ==
                static_cast<double>(sample(s, i % channels, i / channels)) +
                    static_cast<double>(k + 1) * (static_cast<double>(s) + 0.125);
      wrong += right ? 0 : 1;
    }
  });
  CHECK(wrong == 0);
}
