// Which nodes of a graph run on which thread. Private.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "spillway/filters/graph.hpp"

namespace spillway {

// The part, of `parts`, of a node that belongs to one already.
using HomeOf = std::function<std::optional<std::size_t>(const std::string& id)>;

// The part of each node. Nodes that depend on each other, directly or over others, are in one;
// the rest is spread so that each part has about as much to do. Throws Error that names the
// nodes if some that belong to different parts depend on each other now.
[[nodiscard]] std::vector<std::size_t> parts_of_nodes(const Graph& graph, std::size_t parts,
                                                      const HomeOf& home_of);

}  // namespace spillway
