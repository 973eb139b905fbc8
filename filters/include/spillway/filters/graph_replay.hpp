// A graph run again as a live run went.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "spillway/channels/block.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/filters/graph_log.hpp"

namespace spillway {

// What a live graph read, from where its state was saved. Two functions, called with the number of
// an input of the graph:
//   next:  fills the block (of Graph::block_frames() frames, made for the input's stream, or a
//          larger one that it put in its place) with the samples that follow, as
//          StreamReader::read does; a chunk with neither samples nor a gap is the end. Gaps that
//          the source declared must be told as chunk.missing; what the live graph's own reader lost
//          must be there, or be told as lost or missing as well.
//   calibrations: those that a chunk names. The reference lives until the next call.
struct ReplaySource {
  std::function<Chunk(std::size_t input, Block& block)> next;
  std::function<const CalibrationSet&(std::size_t input, CalibrationSetId id)> calibrations;
};

// Called after each run of the graph, for the nodes in graph.ran(); ids count, as the graph may be
// another one than before.
using ReplaySink = std::function<void(const Graph& graph)>;

// Runs a graph over its inputs on the caller's thread, with all that the log tells happening at
// the samples where it happened: the outputs equal those of the live run to the bit, if spec, state
// and log are its own. With an empty log it is the graph as it would have run without losses,
// changes and waits that ended.
class GraphReplay {
 public:
  // `spec`: the graph at the beginning of the log; `state`: what Graph::save_state gave there, or
  // empty for the start of the run. Throws Error as Graph does, as Graph::load_state does, and if
  // the log does not fit: an input it names does not exist, cuts that go back.
  // `block_frames`: those of the live graph, or more: what waits to be aligned has room for a few
  // such blocks, and must not be dropped where the live graph still had it.
  GraphReplay(GraphSpec spec, std::vector<StreamInfo> inputs, const GraphLog& log,
              std::span<const std::byte> state = {}, std::size_t block_frames = 1024);
  GraphReplay(GraphReplay&&) noexcept;
  GraphReplay& operator=(GraphReplay&&) noexcept;
  ~GraphReplay();

  // To the end of all inputs. Of several inputs the one that is farthest behind in time is read
  // next. Throws what the source and the sink throw, and Error if the inputs end before the log
  // does, or it names a node that is not there then or has no such input to wait for.
  void run(const ReplaySource& source, const ReplaySink& sink);
  // A part of run(): at most one block of one input. False if nothing was left to do. After an
  // exception only destruction may follow.
  bool step(const ReplaySource& source, const ReplaySink& sink);
  // Behind the end: what still waits to be aligned is made without what did not come.
  void end_waits(const ReplaySink& sink);

  [[nodiscard]] const Graph& graph() const noexcept;  // the one in force
  // How many changes of the log were made.
  [[nodiscard]] std::size_t changes() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
