// A graph without an engine and without rings: blocks in, blocks out.
#include <spillway/channels/reader.hpp>
#include <spillway/channels/writer.hpp>
#include <spillway/filters/graph.hpp>

#include <cmath>
#include <cstdio>

using namespace spillway;

int main() {
  StreamInfo info;
  info.name = "signal";
  info.rate = Rate(1_kHz);
  ChannelInfo channel;
  channel.name = "x";
  channel.unit = "V";
  info.channels = {channel};

  GraphSpec spec;
  spec.nodes.push_back({"low", {"signal"}, lowpass(Butterworth{.order = 4}, 20_Hz), {}});
  Graph graph(spec, {info});

  // 5 Hz to keep, 200 Hz to lose; the loudest sample of the last half tells what is left.
  Block block(info, graph.block_frames());
  const CalibrationSet uncalibrated(1);
  double loudest = 0.0;
  for (std::uint64_t n = 0; n < 8192; n += graph.block_frames()) {
    for (std::size_t i = 0; i < graph.block_frames(); ++i) {
      const double t = static_cast<double>(n + i) / 1000.0;
      block.values<double>(0)[i] = std::sin(31.4159265358979 * t) + std::sin(1256.63706143592 * t);
    }
    Chunk chunk;
    chunk.first = {n};
    chunk.count = {graph.block_frames()};
    chunk.row = n;
    graph.process(0, chunk, block, uncalibrated);
    if (n >= 4096)
      for (const double y : graph.output(0).frames.values) loudest = std::max(loudest, std::abs(y));
  }
  std::printf("after the low-pass the peak is %.3f\n", loudest);
  return std::abs(loudest - 1.0) < 0.01 ? 0 : 1;
}
