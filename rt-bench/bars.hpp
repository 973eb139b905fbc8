// What figures of a workload should at least be, relative to others of it.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "results.hpp"

namespace spillway::bench {

// `row` divided by `other`, round by round: the median of these ratios counts, since the two
// of a round were measured one right behind the other.
struct Bar {
  std::string row;
  std::string metric;
  std::string other;
  double least = 0.0;
  double most = std::numeric_limits<double>::infinity();
};

// "Hdf5Sink, full: MB/s 0.82 times raw write (at least 0.75: met)", and so on, in one sentence.
// Bars whose rows or metrics are not there say so.
[[nodiscard]] std::string judged(const Workload& w, const std::vector<Bar>& bars);

}  // namespace spillway::bench
