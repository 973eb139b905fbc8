// What the tests of graphs share: streams, and what nodes made of them.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <vector>

#include "spillway/filters/graph.hpp"
#include "support.hpp"

namespace spillway::test {

inline StreamInfo doubles(std::string name, std::size_t channels, std::optional<Rate> rate,
                          const std::string& unit = "mV") {
  StreamInfo info;
  info.name = std::move(name);
  info.rate = rate;
  info.capacity = SampleCount{1 << 15};
  for (std::size_t c = 0; c < channels; ++c) {
    ChannelInfo channel;
    channel.name = fmt::format("c{}", c);
    channel.unit = unit;
    info.channels.push_back(std::move(channel));
  }
  return info;
}

struct Point {
  std::vector<double> values;
  std::vector<std::uint8_t> quality;
  Time time{};
};

// All that a node ever made, by number.
struct Collected {
  std::map<std::uint64_t, Point> points;
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  std::uint64_t next = 0;  // behind all that was told of
};

inline void collect(const Graph& graph, std::size_t node, Collected& c) {
  const NodeOutput out = graph.output(node);
  // Nothing between the blocks is untold.
  REQUIRE(c.next + out.lost.value + out.missing.value == out.first.value);
  c.lost += out.lost.value;
  c.missing += out.missing.value;
  c.next = out.first.value + out.frames.count();
  for (std::size_t f = 0; f < out.frames.count(); ++f) {
    Point p;
    const std::uint64_t number = out.first.value + f;
    for (std::size_t l = 0; l < out.frames.lanes; ++l) {
      p.values.push_back(out.frames.values[f * out.frames.lanes + l]);
      p.quality.push_back(out.frames.quality[f * out.frames.lanes + l].byte());
    }
    p.time = out.times.empty()
                 ? out.clock_time +
                       graph.output_info(node).rate->duration(number - out.clock_sample.value)
                 : out.times[f];
    c.points[number] = std::move(p);
  }
}

// `exact_causes`: a gap that is told in parts at different times is, behind a changed rate, shared
// out between lost and missing with other roundings.
inline void check_same(const Collected& a, const Collected& b, bool exact_causes = true) {
  CHECK(a.lost + a.missing == b.lost + b.missing);
  if (exact_causes) CHECK(a.lost == b.lost);
  REQUIRE(a.points.size() == b.points.size());
  auto y = b.points.begin();
  for (const auto& [number, point] : a.points) {
    REQUIRE(number == y->first);
    CAPTURE(number, point.values, y->second.values, point.quality, y->second.quality);
    REQUIRE(same_bits(point.values, y->second.values));
    REQUIRE(point.quality == y->second.quality);
    REQUIRE(point.time == y->second.time);
    ++y;
  }
}

}  // namespace spillway::test
