// The log of a graph as lines of JSON: how recordings keep it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "spillway/filters/graph_log.hpp"
#include "spillway/filters/graph_spec.hpp"

namespace spillway {

// How a part of the graph began: what the first change, if any, changed.
struct GraphBegin {
  std::vector<std::string> streams;  // those that each GraphCut counts
  GraphSpec spec;
};

// So many entries are not in the log.
struct GraphLogDropped {
  std::uint64_t count = 0;
};

// One line: what happened in which part of the graph (see GraphPartLog). The first line of a part
// is its GraphBegin.
struct GraphLogLine {
  std::size_t part = 0;
  std::variant<GraphBegin, ReaderLoss, WaitEnded, NodeFailed, GraphChanged, GraphLogDropped> what;
};

// One line of JSON without its end of line, as docs/durability.md shows it. Every parameter of
// every node is in it, and reads back as the same bits. NodeSpec::where is left out; of a Function
// its name, outputs and unit are kept, and a remark that its code is not.
[[nodiscard]] std::string to_json(const GraphLogLine& line);

// Throws Error if `line` is not such a line, or names a function that is not among `functions`
// (whose own outputs and unit then count).
[[nodiscard]] GraphLogLine graph_log_line_from_json(std::string_view line,
                                                    const Functions& functions = {});

}  // namespace spillway
