// A graph made ready to run: scheduled, designed, with all its memory.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/duration_histogram.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/graph_log.hpp"
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

// What happened in the last process() or process_rest() that a pure function of the inputs
// would not have done by itself; see graph_log.hpp.
struct GraphNote {
  enum class Kind : std::uint8_t {
    wait_ended,   // `count` outputs from number `number` on were made without input `input`
    node_failed,  // the function threw: NaN from frame `number` of its input on
  };
  Kind kind = Kind::wait_ended;
  std::size_t node = 0;
  std::size_t input = 0;
  SampleNumber number;
  SampleCount count;
};

// A part of what a reader gave: `count` frames from frame `begin` on. The gap before them
// belongs to the part that begins at 0.
struct Part {
  std::size_t begin = 0;
  std::size_t count = 0;
};

// Runs a GraphSpec over blocks of its input streams. Needs no engine and no ring.
//
// Outputs depend on the samples of the inputs, their numbers, gaps, clocks and calibrations, and
// not on how they were cut into blocks, nor on which of several streams came first, except for
// waits that ended and functions that threw: those are told by notes().
//
// One thread at a time, save where it says otherwise.
class Graph {
 public:
  // `inputs`: the streams nodes may refer to; `block_frames`: the largest block
  // process() takes. Throws Error naming the node (and its place in a file):
  // unknown input (with the nearest name), cycle, a name used twice, a filter
  // that needs a rate on an irregular stream, a parameter out of range, a cut-off at or above
  // Nyquist, origins that can't be compared.
  // `memory_limit`: bytes, roughly, for what filters keep of the past and make of a block; a
  // node that needs more than is left is refused before it is made.
  Graph(GraphSpec spec, std::vector<StreamInfo> inputs, std::size_t block_frames = 1024,
        std::uint64_t memory_limit = std::uint64_t{1} << 33);
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  ~Graph();

  // --- what it is; any thread ---

  [[nodiscard]] const GraphSpec& spec() const noexcept;
  [[nodiscard]] std::size_t block_frames() const noexcept;
  [[nodiscard]] std::span<const StreamInfo> inputs() const noexcept;

  // The stream a node makes: named like the node, of doubles in engineering units, at the
  // node's own rate; its capacity means nothing. Nodes count as in the spec.
  [[nodiscard]] const StreamInfo& output_info(std::size_t node) const noexcept;
  // The input streams that a node depends on, in the end; the first is the one it is timed by.
  [[nodiscard]] std::span<const std::size_t> sources_of(std::size_t node) const noexcept;
  // The nodes that depend on an input stream.
  [[nodiscard]] std::span<const std::size_t> nodes_of(std::size_t input) const noexcept;
  // What feeds a node directly: a node, or else an input stream. One for each of its inputs.
  struct Feeder {
    bool is_node = false;
    std::size_t index = 0;
  };
  [[nodiscard]] std::vector<Feeder> feeders_of(std::size_t node) const;
  // The frames one process() or process_rest() can make, at most.
  [[nodiscard]] std::size_t most_frames(std::size_t node) const noexcept;
  // The delay of a node's output against its (first) input stream at low frequency, in samples
  // of that.
  [[nodiscard]] double delay(std::size_t node) const noexcept;
  // How many of its own input's samples a cause stays in a node's output, as flagged: the window
  // of what has one, the settling time of recursive filters. 1: no memory. 0: for ever.
  [[nodiscard]] std::uint64_t memory_samples(std::size_t node) const noexcept;
  // What a linear node does to its own input, coefficients and all; else null.
  [[nodiscard]] const LinearSystem* system(std::size_t node) const noexcept;
  // The rate of what feeds the node: none, if that is irregular.
  [[nodiscard]] std::optional<Rate> feed_rate(std::size_t node) const noexcept;

  // What was counted against the memory limit, in bytes.
  [[nodiscard]] std::uint64_t memory_bytes() const noexcept;

  // --- the data path: noexcept, allocates nothing, locks nothing, no system call ---

  // Runs nodes that depend on stream `input` over what one StreamReader::read gave, or a part of
  // it. What lies before the first sample ever given counts as missing. What is given, the
  // chunk or the part, has at most block_frames(). O(samples * nodes). `block` must stay as it is
  // until process_rest() is false.
  void process(std::size_t input, const Chunk& chunk, const Block& block,
               const CalibrationSet& calibrations) noexcept;
  void process(std::size_t input, const Chunk& chunk, const Block& block,
               const CalibrationSet& calibrations, Part part) noexcept;

  // Runs on over what is left, after the outputs were used; false if nothing was left. To be
  // called until then: one block can become several where streams of different rates or an
  // irregular one are brought to a grid.
  bool process_rest() noexcept;
  // Whether process_rest() may find something.
  [[nodiscard]] bool has_rest() const noexcept;

  // No more samples will come: what waits to be aligned is made without what did not come, as
  // waits that ended. False if there was nothing left to end; else process_rest() is to be called
  // until it is false, and then this again.
  bool end_waits() noexcept;

  // The number behind all that was processed of an input, and told to be lost or missing.
  [[nodiscard]] SampleNumber next(std::size_t input) const noexcept;

  // Input `input` will go on with `number`; what is before and did not come yet will be missing.
  // For streams that nothing depended on until now, so that next() and the state know it.
  void begin_at(std::size_t input, SampleNumber number) noexcept;

  // The nodes that the last process() or process_rest() ran, each behind what feeds it.
  [[nodiscard]] std::span<const std::size_t> ran() const noexcept;
  // What it made of the node; valid until the next. Empty if the node did not run.
  [[nodiscard]] NodeOutput output(std::size_t node) const noexcept;
  [[nodiscard]] std::span<const GraphNote> notes() const noexcept;
  // What the function of a node said when it threw; empty if it did not.
  [[nodiscard]] std::string_view failure(std::size_t node) const noexcept;

  // Takes the place of `before`, in the middle of the streams: prepared by follow(before). What
  // `before` still kept of a node goes over; it must not run any more. O(nodes).
  void take_over(Graph& before) noexcept;

  // As if nothing had been processed yet.
  void reset() noexcept;

  // --- what changes it ---

  // To be called before take_over(before), while `before` may be running: finds the nodes of the
  // same id in both. Those that are the same in kind, parameters, input, rate and lanes will go
  // on without a change of a bit. Those of one kind with other parameters, fed by the same streams,
  // take over what they can of the past (see filter.hpp), so that what can go on without a click
  // does; all others begin in mid-stream, and flag it as behind a gap.
  // Throws Error if the streams are not the same, or a node of the same id gives another stream
  // (rate, channels, units). Allocates.
  void follow(const Graph& before);

  // For what nodes that align several streams wait; the default is bounded.
  void set_waiting(Waiting waiting) noexcept;
  // Outputs to be made without an input, as a live run did: `count` from number `from` of `node`
  // on. In ascending order. Allocates.
  void replay_wait(std::size_t node, std::size_t input, SampleNumber from, SampleCount count);
  // A node with an output that could not be made yet, as the last process() or process_rest()
  // left it.
  struct Wait {
    std::size_t node = 0;
    std::vector<std::size_t> lacked;  // the input streams it waits for
    // From the origin of the node's first input stream: what comes of the others up to then
    // does not make a live graph go on without those lacked.
    Time until{};
  };
  // Allocates.
  [[nodiscard]] std::vector<Wait> waits() const;
  // As if the function of `node` had thrown when it was given frame `from` of its input.
  void replay_failure(std::size_t node, SampleNumber from) noexcept;

  // The state of every node, by id, between two blocks: process_rest() was false. load_state throws
  // Error if it is another graph's, and then changes nothing. Allocates.
  [[nodiscard]] std::vector<std::byte> save_state() const;
  void load_state(std::span<const std::byte> state);
  // The same into `room`; returns how many bytes it is. If those are more than there is room for,
  // what `room` holds is of no use. Belongs to the data path; O(bytes).
  [[nodiscard]] std::size_t save_state(std::span<std::byte> room) const noexcept;

  // --- time spent; any thread ---

  struct NodeTiming {
    std::uint64_t frames_in = 0;
    std::uint64_t frames_out = 0;
    DurationHistogram::Snapshot time;  // of each block
  };
  [[nodiscard]] NodeTiming timing(std::size_t node) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
