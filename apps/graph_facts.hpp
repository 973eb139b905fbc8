// What there is to say about the streams and nodes of a graph.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "graph_file.hpp"

namespace spillway::apps {

// So many samples, at a rate or at no steady one.
struct SampleSpan {
  double samples = 0.0;
  std::optional<double> seconds;
};

// A stream or a node.
struct GraphItem {
  // What it is made from, as the file has it, and the item it belongs to.
  struct Input {
    std::string text;
    std::size_t item = 0;
    std::string pick;  // "MLII", "raw", "raw MLII"; empty: all channels, calibrated
  };
  struct Channel {
    std::string name;
    std::string unit;
  };

  std::string name;
  bool is_node = false;
  std::string kind;        // of a node its type, of a stream that of its source
  std::string parameters;  // the main ones, in short
  std::uint64_t line = 0;  // of the file; 0 for streams
  std::vector<Input> inputs;
  std::vector<Channel> channels;
  std::optional<double> rate_hz;  // none: irregular
  // Of nodes: against the first stream they come from, in samples of that.
  SampleSpan delay;
  std::string delay_of;  // that stream
  // Of nodes: how long a doubtful input marks the output, in samples of the input. 0: for ever;
  // 1: no longer than it lasts.
  SampleSpan memory;
  std::string gap_policy;  // empty: there is none
  std::uint64_t fill_gaps = 0;
  std::vector<std::string> recorded;  // paths, as in the file
  std::string published;              // as what; empty: not
  bool used = false;                  // by a node, recorded, published, or nobody knows
};

struct GraphFacts {
  std::string title;
  std::vector<GraphItem> items;  // streams, then nodes, as the file has them
  std::size_t streams = 0;
  bool alone = false;  // nothing is known of the streams
};

[[nodiscard]] GraphFacts facts_of(const GraphFile& file, const std::string& path);

// "1 kHz", "irregular".
[[nodiscard]] std::string rate_text(const GraphItem& item);
// The units of the channels, each once: "mV", "V, degC". Empty if all are pure numbers.
[[nodiscard]] std::string unit_text(const GraphItem& item);
// "I, II"; of many their number and the first and last: "16: 0 … 15".
[[nodiscard]] std::string channel_text(const GraphItem& item);
// "3 streams, 20 nodes".
[[nodiscard]] std::string count_text(const GraphFacts& facts);

}  // namespace spillway::apps
