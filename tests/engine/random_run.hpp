// What happens to a graph that was made up, while it runs.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <string>
#include <thread>

#include "filters/random_plant.hpp"
#include "spillway/engine/engine.hpp"

namespace spillway::test {

// Samples, steps, if the graph has no thread, and other graphs, in a random order; `settle` is
// called behind each of the first two. Returns what the graph was changed to, to be shown.
template <class Settle>
std::string run_at_random(Engine& engine, std::size_t graph_threads, Plant& plant,
                          RandomGraph& graph, Random& random, int acts, const Settle& settle) {
  std::string changed;
  for (int act = 0; act < acts; ++act) {
    plant.act(random.below(3));
    settle();
    if (random.below(15) == 0) {
      graph.change();
      const std::string next = graph.yaml();
      try {
        std::optional<ChangeAt> at;
        if (random.below(2) == 0) at = ChangeAt{"fast", {random.below(3000)}};
        engine.change_graph(graph_from_yaml(next, "changed.yaml", functions()), at);
        changed += next;
      } catch (const Error& e) {
        changed += fmt::format("refused: {}\n", e.what());
      }
    }
    if (graph_threads > 0) {
      if (random.below(4) == 0) std::this_thread::yield();
      continue;
    }
    for (std::uint64_t steps = random.below(4); steps > 0; --steps) {
      (void)engine.step();
      settle();
    }
  }
  return changed;
}

}  // namespace spillway::test
