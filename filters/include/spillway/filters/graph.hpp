// A graph made ready to run: scheduled, designed, with all its memory.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/reader.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "spillway/filters/response.hpp"

namespace spillway {

// What a node made of one block: samples missing before it, then frames of
// consecutive numbers, counted at the node's own rate.
struct NodeOutput {
  SampleCount lost;     // before `first`: what the input's reader lost
  SampleCount missing;  // before `first`, after `lost`: what the source reported
  SampleNumber first;
  ConstFrames frames;
  std::span<const Time> times;  // irregular streams only
  SampleNumber clock_sample;    // the clock, see Chunk
  Time clock_time{};
};

// Runs a GraphSpec over blocks of its input streams. Needs no engine and no ring.
// One thread at a time.
class Graph {
 public:
  // `inputs`: the streams nodes may refer to; `block_frames`: the largest block
  // process() takes. Throws Error naming the node (and its place in a file):
  // unknown input (with the nearest name), cycle, a name used twice, a filter
  // that needs a rate on an irregular stream, a parameter out of range, a cut-off at or above
  // Nyquist.
  // `memory_limit`: bytes, roughly, for what filters keep of the past and make of a block; a
  // node that needs more than is left is refused before it is made.
  Graph(GraphSpec spec, std::vector<StreamInfo> inputs, std::size_t block_frames = 1024,
        std::uint64_t memory_limit = std::uint64_t{1} << 33);
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  ~Graph();

  [[nodiscard]] const GraphSpec& spec() const noexcept;
  [[nodiscard]] std::size_t block_frames() const noexcept;
  [[nodiscard]] std::span<const StreamInfo> inputs() const noexcept;

  // The stream a node makes: named like the node, of doubles in engineering units, at the
  // node's own rate. Nodes count as in the spec.
  [[nodiscard]] const StreamInfo& output_info(std::size_t node) const noexcept;
  // The input stream that a node depends on, in the end.
  [[nodiscard]] std::size_t source_of(std::size_t node) const noexcept;
  // The frames one block can become, at most.
  [[nodiscard]] std::size_t most_frames(std::size_t node) const noexcept;
  // The delay of a node's output against its input stream at low frequency, in samples of that.
  [[nodiscard]] double delay(std::size_t node) const noexcept;
  // What a linear node does to its own input, coefficients and all; else null.
  [[nodiscard]] const LinearSystem* system(std::size_t node) const noexcept;
  // The rate at which it does: that of what feeds the node. Only where there is a system.
  [[nodiscard]] Hertz system_rate(std::size_t node) const noexcept;

  // Runs every node that depends on stream `input` over what one
  // StreamReader::read gave. chunk.count <= block_frames(). noexcept, allocates
  // nothing, locks nothing, no system call. O(samples * nodes).
  void process(std::size_t input, const Chunk& chunk, const Block& block,
               const CalibrationSet& calibrations) noexcept;

  // Runs on over what process() left of the block, after its outputs were used; false if
  // nothing was left. That happens where an irregular stream is interpolated: a pause in it can
  // become more frames than a node has room for, or none, with a jump in the numbers.
  bool process_rest(std::size_t input) noexcept;

  // What the last process() or process_rest() of the node's input made of it; valid until
  // the next.
  [[nodiscard]] NodeOutput output(std::size_t node) const noexcept;

  // As if nothing had been processed yet.
  void reset() noexcept;

  // The state of all filters. load_state throws Error if it is another graph's.
  [[nodiscard]] std::vector<std::byte> save_state() const;
  void load_state(std::span<const std::byte> state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
