// The graph of a running engine: how to change it, and what it tells of itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/channels/duration_histogram.hpp"
#include "spillway/channels/units.hpp"
#include "spillway/filters/graph_log.hpp"
#include "spillway/filters/graph_spec.hpp"

namespace spillway {

// Other parameters, or another kind, for a node that is there.
struct NodeChange {
  std::string id;
  NodeKind kind;
};

// Where a change is made: in front of sample `number` of a stream that is no node's.
struct ChangeAt {
  std::string stream;
  SampleNumber number;
};

// What an offline run needs besides the samples to make of them what one part of the graph
// made. Each thread of the graph runs one part; no node of one depends on a node of another.
struct GraphPartLog {
  GraphSpec spec;                    // at start()
  std::vector<std::string> streams;  // those that each GraphCut counts
  GraphLog log;
};

// How a part of the graph is doing.
struct GraphPartStatus {
  struct Node {
    std::string id;
    std::uint64_t frames_in = 0;
    std::uint64_t frames_out = 0;
    DurationHistogram::Snapshot time;  // that the node took, of each block
  };
  std::vector<Node> nodes;  // as they are now
  // From the read of a block until all that came of it was written, waiting for room included.
  DurationHistogram::Snapshot latency;
};

}  // namespace spillway
