// A graph to be looked at, from a file, without running it.
#pragma once

#include <optional>
#include <string>

#include "spillway/engine/configuration.hpp"
#include "spillway/filters/graph.hpp"

namespace spillway::apps {

struct GraphFile {
  std::optional<Configuration> configuration;  // none: a graph alone
  Graph graph;
};

// A configuration; with a rate a graph alone: what its nodes read and is no node is then a stream
// at that rate, with the channels that are named, or one called "x", in mV. Throws Error.
[[nodiscard]] GraphFile read_graph(const std::string& path, std::optional<double> rate_hz);

// The nodes under the key `graph` of a file, a configuration or not. Throws Error.
[[nodiscard]] GraphSpec read_graph_alone(const std::string& path);

}  // namespace spillway::apps
