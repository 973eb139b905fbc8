// The drawing of a graph.
#pragma once

#include <string>

#include "graph_facts.hpp"

namespace spillway::apps {

// An SVG document, light and dark, that needs nothing else. The same facts give the same text.
[[nodiscard]] std::string graph_svg(const GraphFacts& facts);

}  // namespace spillway::apps
