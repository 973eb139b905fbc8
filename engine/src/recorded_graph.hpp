// The graph that ran while a recording was made, as its log tells. Private.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "spillway/engine/graph_status.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway {

struct RecordedGraph {
  // One for each thread of the live graph, by its number; the entries in their order.
  std::map<std::size_t, GraphPartLog> parts;
  // Names of functions that are in it and not among those given: nodes of these have no code.
  std::vector<std::string> unknown_functions;
};

// Throws Error naming the recording and the line if a line of the log is none.
[[nodiscard]] RecordedGraph recorded_graph(const Recording& recording, const Functions& functions);

}  // namespace spillway
