// The graph between rings: reads streams, writes derived streams. Private.
#pragma once

#include <memory>
#include <vector>

#include "progress.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/filters/graph.hpp"

namespace spillway {

class GraphRunner {
 public:
  // A stream the graph reads. `waits`: fed by a source that waits for room, so the
  // graph leaves samples where they are rather than overwrite derived ones.
  struct Input {
    Stream* stream = nullptr;
    Progress* progress = nullptr;
    bool waits = false;
  };
  // Where a node's output goes; null if nobody wants it.
  struct Output {
    Stream* stream = nullptr;
    const Readers* readers = nullptr;
  };
  // `inputs` as the graph counts them, `outputs` one a node.
  GraphRunner(Graph graph, const std::vector<Input>& inputs, const std::vector<Output>& outputs);

  // One block of every input; true if there was anything. noexcept, allocates nothing,
  // locks nothing, no system call.
  bool step() noexcept;
  // Whether everything pushed so far was read.
  [[nodiscard]] bool drained() const noexcept;

 private:
  struct In {
    StreamReader reader;
    Block block;
    Progress* progress;
    bool waits;
    std::vector<std::size_t> nodes;  // those with an output
  };
  struct Out {
    std::unique_ptr<Writer<double>> writer;
    const Readers* readers = nullptr;
    std::uint64_t capacity = 0;
  };
  [[nodiscard]] bool has_room(const In& in) const noexcept;
  void write(std::size_t node) noexcept;

  Graph graph_;
  std::vector<In> inputs_;
  std::vector<Out> outputs_;
};

}  // namespace spillway
