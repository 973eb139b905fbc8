// Results as a page: one file that needs nothing else, for any browser, light or dark.
#pragma once

#include <string>
#include <vector>

#include "results.hpp"

namespace spillway::bench {

struct NamedResults {
  std::string name;  // of the file they come from
  Results results;
};

// The page. Several results stand side by side, workload by workload.
[[nodiscard]] std::string report(const std::vector<NamedResults>& all);

}  // namespace spillway::bench
