// What made a live run of a graph differ from a pure function of its inputs.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "spillway/channels/mark.hpp"
#include "spillway/channels/units.hpp"
#include "spillway/filters/graph_spec.hpp"

namespace spillway {

// A place between samples: of each input stream of the graph, the first sample behind it.
using GraphCut = std::vector<SampleNumber>;

// The graph's own reader came too late: from sample `from` of stream `input` on, first `lost`
// samples were overwritten before it came, then `missing` ones declared by the source.
// `mixed`: in any order.
struct ReaderLoss {
  std::string input;
  SampleNumber from;
  SampleCount lost;
  SampleCount missing;
  GapCause cause = GapCause::source;  // of `missing`
  bool mixed = false;
  friend bool operator==(const ReaderLoss&, const ReaderLoss&) = default;
};

// Node `node` did not wait any longer for its input number `input`: `count` outputs from
// number `from` on were made without it.
struct WaitEnded {
  std::string node;
  std::size_t input = 0;
  SampleNumber from;
  SampleCount count;
  friend bool operator==(const WaitEnded&, const WaitEnded&) = default;
};

// The function of a node threw: the node gives NaN from frame `from` of its input on.
struct NodeFailed {
  std::string node;
  SampleNumber from;
  std::string what;
  friend bool operator==(const NodeFailed&, const NodeFailed&) = default;
};

// From `at` on the graph was `spec`; nodes that are in both went on, see Graph::take_over. A
// change of parameters is such a change, too.
struct GraphChanged {
  GraphCut at;
  GraphSpec spec;
};

using GraphLogEntry = std::variant<ReaderLoss, WaitEnded, NodeFailed, GraphChanged>;

// In the order in which it happened.
struct GraphLog {
  std::vector<GraphLogEntry> entries;
  std::uint64_t dropped = 0;  // entries that there was no room for: what follows is not all
};

}  // namespace spillway
