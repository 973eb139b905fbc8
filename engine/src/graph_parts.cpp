#include "graph_parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

// Values a second, roughly. What an irregular stream brings isn't known.
double cost(const Graph& graph, std::size_t node) {
  constexpr double irregular_hz = 1000.0;
  const auto rate = graph.feed_rate(node);
  return static_cast<double>(graph.output_info(node).channels.size()) *
         (rate ? rate->hertz().value : irregular_hz);
}

// A group of nodes that depend on each other.
struct Group {
  std::vector<std::size_t> nodes;
  double cost = 0.0;
  std::optional<std::size_t> home;
};

std::vector<Group> groups_of(const Graph& graph) {
  const std::size_t count = graph.spec().nodes.size();
  std::vector<std::size_t> parent(count);
  std::iota(parent.begin(), parent.end(), std::size_t{0});
  const auto root = [&](std::size_t node) {
    while (parent[node] != node) node = parent[node] = parent[parent[node]];
    return node;
  };
  for (std::size_t node = 0; node < count; ++node)
    for (const Graph::Feeder& feeder : graph.feeders_of(node))
      if (feeder.is_node) parent[root(node)] = root(feeder.index);
  std::vector<Group> groups;
  std::vector<std::size_t> group_of(count, count);
  for (std::size_t node = 0; node < count; ++node) {
    std::size_t& group = group_of[root(node)];
    if (group == count) {
      group = groups.size();
      groups.emplace_back();
    }
    groups[group].nodes.push_back(node);
    groups[group].cost += cost(graph, node);
  }
  return groups;
}

}  // namespace

std::vector<std::size_t> parts_of_nodes(const Graph& graph, std::size_t parts,
                                        const HomeOf& home_of) {
  const std::vector<NodeSpec>& nodes = graph.spec().nodes;
  std::vector<Group> groups = groups_of(graph);
  std::vector<double> load(parts, 0.0);
  for (Group& group : groups) {
    std::size_t first = 0;
    for (const std::size_t node : group.nodes) {
      const auto home = home_of(nodes[node].id);
      if (!home) continue;
      if (!group.home) {
        group.home = home;
        first = node;
      } else if (*group.home != *home) {
        throw Error(fmt::format(
            "nodes '{}' and '{}' run on different threads and can't be connected while they run",
            nodes[first].id, nodes[node].id));
      }
    }
    if (group.home) load[*group.home] += group.cost;
  }
  // The largest first, each to whoever has least to do.
  std::ranges::stable_sort(groups, std::greater(), &Group::cost);
  std::vector<std::size_t> part_of(nodes.size());
  for (const Group& group : groups) {
    std::size_t part = 0;
    if (group.home) {
      part = *group.home;
    } else {
      part = static_cast<std::size_t>(std::ranges::min_element(load) - load.begin());
      load[part] += group.cost;
    }
    for (const std::size_t node : group.nodes) part_of[node] = part;
  }
  return part_of;
}

}  // namespace spillway
