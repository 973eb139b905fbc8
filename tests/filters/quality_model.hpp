// What docs/quality.md says an output of each kind of node depends on, told from its parameters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "spillway/filters/graph.hpp"
#include "support.hpp"

namespace spillway::test {

// All frames that a stream or a node gave, by their numbers.
struct Track {
  std::size_t lanes = 1;
  std::vector<std::uint64_t> numbers;
  std::vector<Time> times;
  std::vector<double> values;  // frame-major
  std::vector<Quality> quality;
  std::vector<std::uint8_t> behind_gap;  // whether samples were told to be absent before a frame
  std::uint64_t absent = 0;              // samples that were

  [[nodiscard]] std::size_t frames() const { return numbers.size(); }
  // The frame with this number.
  [[nodiscard]] std::optional<std::size_t> find(std::uint64_t number) const;
  // For each frame, the first one since the last gap, or 0.
  [[nodiscard]] std::vector<std::size_t> runs() const;
};

// Frames [begin, end) of a node's input.
struct Window {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool reaches_gap = false;    // it spans one that is marked, or would without the gap policy
  bool reaches_start = false;  // it would begin before the first frame
  bool is_cut = false;         // the kind leaves out what a gap or the start has cut
  bool is_between = false;     // it is a point between samples
  std::size_t newest = 0;      // the frame it was made with
  std::size_t doubts = 0;      // the qualities of frames [doubts, end) are merged
  std::uint64_t marked = 0;    // so many outputs behind a gap are marked
};

class NodeModel {
 public:
  NodeModel(const Graph& graph, std::size_t node, std::size_t lanes_in, const Rate& feed_rate);

  // The numbers of the outputs, from those of the input.
  [[nodiscard]] std::vector<std::uint64_t> outputs(const Track& in) const;
  // What output `number` of lane `lane` is computed from. `runs` are those of `in`.
  [[nodiscard]] Window window(const Track& in, const std::vector<std::size_t>& runs,
                              std::uint64_t number, std::size_t lane) const;
  // The quality of an output, as far as it comes from the input, gaps and the start. That is all of
  // it if the output is finite and the node tells_all(), or it is Good.
  [[nodiscard]] Quality quality(const Track& in, const Window& window, std::size_t lane,
                                double output) const;
  [[nodiscard]] bool tells_all() const { return !judges_values_ && shape_ != Shape::segments; }
  // The lanes of the input that an output lane takes.
  [[nodiscard]] const std::vector<std::size_t>& used(std::size_t lane) const { return used_[lane]; }

  // It starts anew behind a gap or a NaN and does not say so.
  [[nodiscard]] bool is_integral() const { return shape_ == Shape::integral; }
  // Its flags depend on values too.
  [[nodiscard]] bool judges_values() const { return judges_values_; }

  // How far an output that is Good in two runs may differ, if its window has differences up to
  // `recent`, and the past before it up to `older`. None: anything, if recent is not 0.
  [[nodiscard]] std::optional<double> limit(std::size_t lane, double recent, double older,
                                            double output, std::size_t window_frames) const;
  // The most that inputs up to `peak` can come to.
  [[nodiscard]] double scale(std::size_t lane, double peak) const;

 private:
  enum class Shape : std::uint8_t { tail, integral, times, segments };

  void describe(const NodeKind& kind, const LinearSystem* system, std::size_t lanes_in,
                std::size_t lanes_out);
  void take_sections(const Sos& sos, const SosOptions& options);
  void take_taps(const std::vector<double>& taps, GapPolicy gap);
  [[nodiscard]] bool remembers() const { return level_ > 0.0 || shape_ == Shape::integral; }
  [[nodiscard]] Quality left_by(double x, Quality q, bool is_past) const;
  [[nodiscard]] Window values_window(const Track& in, const std::vector<std::size_t>& runs,
                                     std::uint64_t number, std::size_t lane) const;
  [[nodiscard]] Window tail(const Track& in, const std::vector<std::size_t>& runs,
                            std::uint64_t number) const;

  Shape shape_ = Shape::tail;
  Rate feed_rate_;
  // Output m is made with input number floor((m * step_ + offset_) / divisor_).
  std::uint64_t step_ = 1;
  std::uint64_t offset_ = 0;
  std::uint64_t divisor_ = 1;
  std::uint64_t length_ = 1;  // frames of a window, or samples of all segments together
  std::uint64_t taps_ = 0;    // of a resampling filter: its windows differ in length
  std::uint64_t late_ = 0;    // frames of a block that is worked on at once
  GapPolicy gap_ = GapPolicy::hold;
  bool ignores_nan_ = false;
  bool restarts_at_nan_ = false;
  bool marks_gap_ = false;
  bool marks_start_ = false;
  bool judges_values_ = false;
  bool is_detector_ = false;  // and compares them with those before
  std::optional<Interpolate> interpolate_;

  double level_ = 0.0;                        // what is left of the past, as a share of the gain
  std::vector<std::optional<double>> gains_;  // one for each lane, or one for all
  bool is_power_ = false;                     // gains are those of the root of the output
  std::vector<std::vector<std::size_t>> used_;
};

}  // namespace spillway::test
