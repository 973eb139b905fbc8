// A graph and where its outputs go: prepared by one thread, put in the place of the one before
// by the thread that runs it. Private.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "progress.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/filters/graph_log.hpp"

namespace spillway {

struct GraphVersion {
  explicit GraphVersion(Graph prepared) : graph(std::move(prepared)) {}

  // A derived stream.
  struct Output {
    std::unique_ptr<Writer<double>> writer;  // null where the version before still has it
    const Readers* readers = nullptr;
    std::uint64_t capacity = 0;
  };
  struct At {
    std::size_t input = 0;
    SampleNumber number;
  };
  // What a user's function said when it threw, cut where it is longer.
  struct Failure {
    std::array<char, 240> text{};
    std::size_t length = 0;
    [[nodiscard]] std::string_view view() const noexcept { return {text.data(), length}; }
  };

  Graph graph;
  // Of all nodes that this or a version before had, so that a node which comes back goes on in
  // its stream: later versions have more.
  std::vector<Output> outputs;
  std::vector<std::size_t> output_of;  // of each node
  std::optional<At> at;                // else as soon as it comes
  std::uint64_t change = 0;            // the number of the change; 0: there from the start

  // Written by the thread that runs it, read by others after they took the entry of the log
  // that tells of it. Their sizes stay.
  GraphCut cut;                   // where it took over: one number an input
  std::vector<Failure> failures;  // one a node
};

}  // namespace spillway
