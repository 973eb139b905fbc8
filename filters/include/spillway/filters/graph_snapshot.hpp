// Where a running graph stood at one place of a recording, and the state of its nodes there: how
// recordings keep it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/units.hpp"

namespace spillway {

// A part of the graph (see GraphLogLine), between two blocks.
struct GraphPartSnapshot {
  // The first sample behind that place.
  struct Place {
    std::string stream;
    SampleNumber next;
    friend bool operator==(const Place&, const Place&) = default;
  };
  std::size_t part = 0;
  std::vector<Place> inputs;     // of each stream that its nodes depend on
  std::vector<Place> outputs;    // of each node, in the order of its spec: not made yet
  std::vector<std::byte> state;  // as Graph::save_state gave it
  friend bool operator==(const GraphPartSnapshot&, const GraphPartSnapshot&) = default;
};

// Parts that nothing is known of, and those without nodes, are left out.
struct GraphSnapshot {
  std::vector<GraphPartSnapshot> parts;  // in ascending order

  // Null if there is none.
  [[nodiscard]] const GraphPartSnapshot* find(std::size_t part) const noexcept {
    for (const GraphPartSnapshot& one : parts)
      if (one.part == part) return &one;
    return nullptr;
  }
};

// What RecordingInfo::state holds, as docs/durability.md describes it; never empty.
[[nodiscard]] std::string to_bytes(const GraphSnapshot& snapshot);

// Throws Error if `bytes` are no such thing, whatever they are; allocates in proportion to them.
[[nodiscard]] GraphSnapshot graph_snapshot_from_bytes(std::string_view bytes);

}  // namespace spillway
