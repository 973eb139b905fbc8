// What a prepared graph consists of. Private.
//
// A domain is a set of nodes whose frames come in the same runs: those of an input stream, and
// those behind each node that makes a grid of its own (a head). All of a domain runs over a run of
// frames before the next one is made; heads run in pieces, the ones farthest behind first, so that
// what they still have to read is not overwritten.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "convert.hpp"
#include "nodes.hpp"
#include "spillway/channels/duration_histogram.hpp"
#include "spillway/filters/graph.hpp"

namespace spillway {

inline constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

struct Graph::Impl {
  // Numbers of two nodes mean the same samples, and come together, if their grids are equal:
  // those of a domain, and what changed them since.
  struct Grid {
    std::size_t domain = 0;
    struct Step {
      NumberMap map;
      std::uint64_t filled = 0;  // gaps of up to so many
      friend bool operator==(const Step&, const Step&) = default;
    };
    std::vector<Step> steps;
    friend bool operator==(const Grid&, const Grid&) = default;
  };

  struct Input {
    StreamInfo info;
    bool wants_raw = false;
    std::unique_ptr<InputConverter> converter;  // none if nothing depends on it
    std::vector<double> calibrated;
    std::vector<Quality> quality;  // of the calibrated ones
    std::vector<double> raw;
    std::vector<Quality> raw_quality;
    std::vector<std::size_t> dependents;  // nodes

    std::uint64_t next = 0;    // the number behind the last frame, and what was told to be missing
    std::uint64_t begins = 0;  // what is before is known not to come

    // Of the last block.
    Chunk chunk;
    Part part;
    SampleCount lost;  // before the part
    SampleCount missing;
    std::span<const Time> times;
  };

  // What a node takes from one input or node.
  struct Edge {
    std::optional<std::size_t> node;  // else the input
    std::size_t input = 0;
    bool raw = false;
    std::vector<std::size_t> lanes;  // picked from there; empty: all
    std::size_t count = 0;           // lanes that come
    Grid grid;                       // of what comes
    // Of `align`: the lanes that are picked, where not all are taken.
    std::vector<double> picked;
    std::vector<Quality> picked_quality;
  };

  struct Stats {
    std::atomic<std::uint64_t> frames_in{0};
    std::atomic<std::uint64_t> frames_out{0};
    DurationHistogram time;
  };

  // Everything of a node that its past decides.
  struct Past {
    std::uint64_t next = 0;  // the number behind the last output, and what was told to be missing
    // Gaps that wait to be filled, and the frame before them.
    SampleCount lost;
    SampleCount missing;
    bool has_last = false;
    std::vector<double> last;
    std::vector<Quality> last_quality;
  };

  struct Node {
    std::vector<std::size_t> sources;
    Grid grid;               // of the output
    std::size_t domain = 0;  // where it runs; a head belongs to none
    bool is_head = false;    // its output is a domain of its own
    std::vector<Edge> edges;
    std::uint64_t fill_gaps = 0;
    std::vector<double> gathered;  // where not all lanes of one edge are taken, or gaps are filled
    std::vector<Quality> gathered_quality;
    std::size_t lanes_in = 0;
    Prepared prepared;
    std::vector<double> values;
    std::vector<Quality> quality;
    std::vector<Time> times;  // of an `align` at irregular times
    StreamInfo info;
    double delay = 0.0;           // in samples of the source
    double source_samples = 1.0;  // of the source, for one of this node's
    std::uint64_t fail_from = std::numeric_limits<std::uint64_t>::max();
    bool failure_told = false;
    std::shared_ptr<Stats> stats;

    Past past;
    // Of the last block.
    NodeOutput out;
    // Of a head that interpolates: what it reads, and how many frames of it were used.
    NodeOutput feed;
    std::size_t taken = 0;
    bool may_make = false;    // of a head that aligns
    bool waits_over = false;  // of a head that aligns
  };

  // What take_over() does with a node.
  struct Follower {
    std::size_t before = 0;
    bool same = false;        // goes on without a change
    bool takes_over = false;  // of one kind and one feed
  };

  GraphSpec spec;
  std::vector<StreamInfo> input_infos;
  std::size_t block_frames = 0;
  double memory_left = 0.0;  // bytes
  double memory_taken = 0.0;
  std::vector<Input> inputs;
  std::vector<Node> nodes;
  std::unordered_map<std::string, std::size_t> input_names;
  std::unordered_map<std::string, std::size_t> node_names;
  // Of each domain, the nodes that run in it, each behind what feeds it, and the heads it feeds.
  struct Domain {
    std::vector<std::size_t> nodes;
    std::vector<std::size_t> heads;
  };
  std::vector<Domain> domains;
  std::vector<std::size_t> heads;  // those farthest behind first
  std::vector<std::optional<Follower>> followers;

  std::vector<std::size_t> ran;
  std::vector<GraphNote> notes;

  // --- preparing: graph_prepare.cpp ---
  [[noreturn]] void fail(const NodeSpec& node, const std::string& message) const;
  void prepare(std::vector<StreamInfo> infos);
  void check_names();
  void visit(std::size_t index, std::vector<int>& state, std::vector<std::size_t>& order);
  void add_edge(std::size_t index, const std::string& input, Feed& feed);
  void make_ready(std::size_t index, Feed feed);
  void take_memory(double bytes);

  // --- running: graph.cpp ---
  void begin_step() noexcept;
  [[nodiscard]] NodeOutput output_of(const Edge& edge) const noexcept;
  [[nodiscard]] ConstFrames gathered(Node& node, const NodeOutput& feed) const noexcept;
  // Fills the gap before `feed`, if that is to be. Its frames are in node.gathered, where there
  // is room for the gap.
  void fill_gap(Node& node, NodeOutput& feed) const noexcept;
  std::size_t call_function(std::size_t index, const ConstFrames& in, Frames out) noexcept;
  void run_domain(std::size_t domain) noexcept;
  void run(std::size_t index) noexcept;
  // Shows a head what came in a domain.
  void offer(Node& node, std::size_t domain) noexcept;
  void finish_run(std::size_t index, std::size_t made) noexcept;
  void save_state(StateWriter& writer) const;
  // One run of its output; false if there is none.
  bool run_head(std::size_t index) noexcept;
  bool interpolate(std::size_t index) noexcept;
  bool align(std::size_t index) noexcept;
  // The stream, or the head, that began the domain.
  [[nodiscard]] const std::string& origin_of(const Grid& grid) const noexcept {
    if (grid.domain < inputs.size()) return inputs[grid.domain].info.name;
    const auto is_it = [&](std::size_t head) { return nodes[head].grid.domain == grid.domain; };
    return spec.nodes[*std::ranges::find_if(heads, is_it)].id;
  }
  [[nodiscard]] const Rate& rate_of(const Edge& edge) const noexcept {
    return *(edge.node ? nodes[*edge.node].info : inputs[edge.input].info).rate;
  }
};

}  // namespace spillway
