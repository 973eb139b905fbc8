// Graphs at random, for tests of what must hold for any of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/stream_info.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "support.hpp"

namespace spillway::test {

// The kinds a regular stream can feed, by their names in YAML.
[[nodiscard]] const std::vector<std::string_view>& regular_kinds();

// "s": regular, of three channels in mV.
[[nodiscard]] const StreamInfo& any_graph_input();

// Nodes n0, n1, ... as lines of YAML, each fed by `s` or by nodes before it.
using NodeLines = std::vector<std::string>;
[[nodiscard]] GraphSpec parse_nodes(const NodeLines& lines);

// `count` nodes with random parameters, the last one of `kind` if there is one: a chain, a fan
// or in between. Settling times and windows are some dozen samples, rates some hundred Hz.
[[nodiscard]] NodeLines any_graph(Random& random, std::size_t count,
                                  std::optional<std::string_view> kind);

}  // namespace spillway::test
