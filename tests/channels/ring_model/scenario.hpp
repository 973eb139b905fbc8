// What the model has the shipped writer and the shipped readers do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "explore.hpp"
#include "spillway/channels/sample_type.hpp"

namespace spillway::model {

struct Scenario {
  std::string name;
  std::vector<SampleType> types;   // of the channels; of several, the writer is planar
  std::uint64_t largest_push = 1;  // pushes are of 1 to so many samples
  std::uint64_t samples = 24;      // pushed while readers read
  std::uint64_t cell = 0;          // numbers between marks; 0 for a stream without
  unsigned stamps = 0;             // up to so many anchors before each push
  bool irregular = false;          // every sample has a time of its own
  bool seldom_bad = false;         // most words of quality are zero, lap after lap
  bool handed_over = false;        // the writer passes to another thread on the way
};

[[nodiscard]] std::span<const Scenario> scenarios();

// To be explored. The scenario must outlive it.
[[nodiscard]] std::function<std::unique_ptr<Execution>()> executions_of(const Scenario& scenario);

// How often the hard cases came up, in all executions that ended well.
struct Reached {
  std::uint64_t reads = 0;
  std::uint64_t lost = 0;     // reads that found samples overwritten
  std::uint64_t torn = 0;     // reads during whose copy some of it was overwritten, ...
  std::uint64_t dropped = 0;  // ... or all of it
  std::uint64_t mixed = 0;    // reads that found marks overwritten
  std::uint64_t anchors_lost = 0;
};
[[nodiscard]] Reached reached() noexcept;
Reached operator-(const Reached& a, const Reached& b) noexcept;
[[nodiscard]] std::string to_string(const Reached& reached);

}  // namespace spillway::model
