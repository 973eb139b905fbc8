// Law 5: quality is never invented. An output that depends on a doubtful or absent sample says
// so, and no other does. Over random graphs, and signals with gaps, NaN and doubts of all kinds.
//
// What an output depends on is told by NodeModel, from the parameters of its node and the page on
// quality alone: a window of its input's frames. From that:
//
// In every run, node by node:
// - outputs have the numbers they should have;
// - an output has exactly the quality that the page tells from the inputs in its window, and from a
//   gap or a start it reaches over; nodes that judge values add what they find.
//
// In two runs, one without and one with a change (another value or quality of one sample; samples
// that are missing; a stream that begins later), along the graph:
// - a frame is touched if one in its window is, in either run. A frame that isn't has the same
//   quality in both. Values that differ by less than the level may be judged otherwise by nodes
//   that judge them, so what these make of different values is touched as well.
// - An output that is Good differs by no more than its window and its level allow. Say the inputs
//   x and x' of a node differ by at most e in the window and by at most d before it, and a single
//   input moves the outputs, all together, by at most g (the sum of the moduli of the impulse
//   response). Then outputs differ by at most
//       g e                       for what has a window: e is 0 unless a node before it has a level
//       g e + level g d           for recursive filters, as their settling time is the n with
//                                 sum_{j >= n} |h[j]| <= level g
//   The node before is held to the same limit, so that e is no more than its own limit as far as
//   its outputs are Good: along a chain the limits multiply, from 0 at the stream itself. What is
//   not linear has a g as well, if it can't move more than its inputs do (a norm, a median, an
//   extreme value); products, quotients and polynomials have none, and are held to e = 0.
//   Beside this only rounding is allowed, 1e-10 of g times the greatest input.
//   Two rules of the page let an output be Good that is not what it would have been: at the
//   start of a stream statistics that grow and filters that begin steady; and integrals that start
//   anew. Those are left out where they reach back to that start.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <set>
#include <stdexcept>

#include "quality_model.hpp"
#include "random_graph.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/writer.hpp"

namespace spillway {
namespace {

using test::bad_missing;
using test::infinity;
using test::nan;
using test::NodeLines;
using test::NodeModel;
using test::Random;
using test::Signal;
using test::Track;
using test::Window;

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

// What a stream of three channels delivers: frames [begin, signal.frames()), but for the absent.
struct Input {
  Signal signal;
  std::vector<std::uint8_t> is_absent;
  std::size_t begin = 0;
};

Input any_input(Random& random, std::size_t frames) {
  // In a long signal windows are long, too.
  const std::uint64_t odd[] = {0, frames / 3, frames / 12};
  Input input{random.noise(frames, 3, odd[random.below(3)]), std::vector<std::uint8_t>(frames), 0};
  // Equal values and steps, for detectors.
  if (random.below(3) == 0)
    for (double& v : input.signal.values) v = std::round(v * 2.0) / 2.0;
  for (std::uint64_t gaps = random.below(4); gaps > 0; --gaps) {
    std::size_t at = random.below(frames);
    for (std::uint64_t n = 1 + random.below(40); n > 0 && at + 1 < frames; --n)
      input.is_absent[at++] = 1;
  }
  // There is a first frame and a last one, whatever is taken away.
  input.is_absent.front() = input.is_absent.back() = 0;
  return input;
}

// As the graph takes it.
Track track_of(const Input& input) {
  Track track;
  track.lanes = 3;
  // What lies before the first sample that is given counts as missing.
  std::uint8_t behind_gap = input.begin > 0 ? 1 : 0;
  for (std::size_t f = input.begin; f < input.signal.frames(); ++f) {
    if (input.is_absent[f] != 0) {
      behind_gap = 1;
      ++track.absent;
      continue;
    }
    track.numbers.push_back(f);
    track.behind_gap.push_back(std::exchange(behind_gap, std::uint8_t{0}));
    track.times.push_back(test::any_graph_input().rate->duration(f));
    for (std::size_t l = 0; l < 3; ++l) {
      double v = input.signal.values[f * 3 + l];
      Quality q = input.signal.quality[f * 3 + l];
      if (std::isnan(v)) q = merge(q, bad_missing);
      if (q.verdict() == Verdict::bad && q.has(Quality::missing)) v = nan;
      track.values.push_back(v);
      track.quality.push_back(q);
    }
  }
  return track;
}

void push(const Input& input, Writer<double>& writer) {
  const std::span<const double> values = input.signal.values;
  const std::span<const Quality> quality = input.signal.quality;
  for (std::size_t f = 0; f < input.signal.frames();) {
    std::size_t end = f;
    while (end < input.signal.frames() && input.is_absent[end] == input.is_absent[f]) ++end;
    if (input.is_absent[f] != 0)
      writer.gap({end - f});
    else
      writer.push(values.subspan(f * 3, (end - f) * 3), quality.subspan(f * 3, (end - f) * 3));
    f = end;
  }
}

// What the graph made of an input.
class Run {
 public:
  Run(const GraphSpec& spec, const Input& input, std::size_t block, bool tells_gaps_twice)
      : graph_(spec, {test::any_graph_input()}, block), source_(track_of(input)) {
    nodes_.resize(spec.nodes.size());
    next_.resize(spec.nodes.size());
    pending_.resize(spec.nodes.size());
    for (std::size_t n = 0; n < nodes_.size(); ++n)
      nodes_[n].lanes = graph_.output_info(n).channels.size();
    Stream stream(test::any_graph_input());
    Writer<double> writer(stream);
    push(input, writer);
    StreamReader reader(stream);
    reader.seek(SampleNumber{input.begin});
    Block buffer(stream.info(), block);
    for (;;) {
      Chunk chunk = reader.read(buffer);
      if (tells_gaps_twice && chunk.missing.value > 0) {
        // As a reader does that lost the first of them.
        Chunk before = chunk;
        before.lost = {(chunk.missing.value + 1) / 2};
        before.missing = {0};
        before.count = {0};
        before.first = before.from + before.lost;
        step(before, buffer, reader);
        chunk.from = before.first;
        chunk.missing = {chunk.missing.value - before.lost.value};
      }
      step(chunk, buffer, reader);
      if (chunk.stop == Stop::drained) return;
    }
  }

  [[nodiscard]] const Graph& graph() const { return graph_; }
  [[nodiscard]] const Track& source() const { return source_; }
  [[nodiscard]] const Track& node(std::size_t n) const { return nodes_[n]; }

 private:
  void step(const Chunk& chunk, const Block& block, const StreamReader& reader) {
    graph_.process(0, chunk, block, reader.calibrations(chunk.calibrations));
    do collect();
    while (graph_.process_rest());
  }
  void collect() {
    for (const std::size_t n : graph_.ran()) {
      const NodeOutput out = graph_.output(n);
      Track& track = nodes_[n];
      const std::uint64_t absent = out.lost.value + out.missing.value;
      if (next_[n] + absent != out.first.value)
        fail(fmt::format("n{}: after {} come {} absent and then {}", n, next_[n], absent,
                         out.first.value));
      next_[n] = out.first.value + out.frames.count();
      track.absent += absent;
      if (absent > 0) pending_[n] = 1;
      for (std::size_t f = 0; f < out.frames.count(); ++f) {
        track.numbers.push_back(out.first.value + f);
        track.behind_gap.push_back(std::exchange(pending_[n], std::uint8_t{0}));
        track.times.push_back(out.clock_time + graph_.output_info(n).rate->duration(
                                                   track.numbers.back() - out.clock_sample.value));
      }
      track.values.insert(track.values.end(), out.frames.values.begin(), out.frames.values.end());
      track.quality.insert(track.quality.end(), out.frames.quality.begin(),
                           out.frames.quality.end());
    }
  }

  Graph graph_;
  Track source_;
  std::vector<Track> nodes_;
  std::vector<std::uint64_t> next_;    // the number behind all that was told of
  std::vector<std::uint8_t> pending_;  // a gap before the next frame
};

// Where a lane of a node's input comes from.
struct Origin {
  std::optional<std::size_t> node;  // else the stream
  std::size_t lane = 0;
};

std::vector<Origin> origins_of(const Graph& graph, std::size_t node) {
  std::vector<Origin> all;
  for (std::string text : graph.spec().nodes[node].inputs) {
    if (text.starts_with("raw(")) text = text.substr(4, text.size() - 5);
    const std::string name = text.substr(0, text.find('/'));
    Origin origin;
    if (name != "s") origin.node = std::stoul(name.substr(1));
    const StreamInfo& info = origin.node ? graph.output_info(*origin.node) : graph.inputs()[0];
    for (origin.lane = 0; origin.lane < info.channels.size(); ++origin.lane)
      if (name == text || info.channels[origin.lane].name == text.substr(name.size() + 1))
        all.push_back(origin);
  }
  return all;
}

// The lanes that go into a node, side by side.
template <class Of>
Track gathered(const std::vector<Origin>& origins, Of of) {
  const Track& first = of(origins[0]);
  Track track = first;
  track.lanes = origins.size();
  track.values.resize(first.frames() * origins.size());
  track.quality.resize(track.values.size());
  for (std::size_t l = 0; l < origins.size(); ++l) {
    const Track& from = of(origins[l]);
    if (from.numbers != first.numbers) fail("the inputs of one node have other numbers");
    for (std::size_t f = 0; f < from.frames(); ++f) {
      track.values[f * track.lanes + l] = from.values[f * from.lanes + origins[l].lane];
      track.quality[f * track.lanes + l] = from.quality[f * from.lanes + origins[l].lane];
    }
  }
  return track;
}

// A frame of a track whose short gaps are filled: one that was there, or `step` of `steps` from the
// one before it to that one.
struct Filled {
  std::size_t frame = 0;
  std::uint64_t step = 0;
  std::uint64_t steps = 0;
};

std::vector<Filled> filled_frames(const Track& track, std::uint64_t most) {
  std::vector<Filled> frames;
  for (std::size_t f = 0; f < track.frames(); ++f) {
    const std::uint64_t gap = f == 0 ? 0 : track.numbers[f] - track.numbers[f - 1] - 1;
    for (std::uint64_t step = 1; gap <= most && step <= gap; ++step)
      frames.push_back({f, step, gap + 1});
    frames.push_back({f, 0, 0});
  }
  return frames;
}

// Gaps of up to `most` samples are filled on the line between the neighbours.
Track with_filled_gaps(const Track& track, std::uint64_t most) {
  if (most == 0) return track;
  Track filled;
  filled.lanes = track.lanes;
  for (const auto& [frame, step, steps] : filled_frames(track, most)) {
    const bool is_filled = filled.frames() > 0 && filled.numbers.back() + 1 == track.numbers[frame];
    filled.numbers.push_back(step == 0 ? track.numbers[frame] : track.numbers[frame - 1] + step);
    filled.behind_gap.push_back(step == 0 && !is_filled ? track.behind_gap[frame]
                                                        : std::uint8_t{0});
    filled.times.push_back(track.times[frame]);  // nothing filled is looked at by its time
    for (std::size_t l = 0; l < track.lanes; ++l) {
      const std::size_t at = frame * track.lanes + l;
      if (step == 0) {
        filled.values.push_back(track.values[at]);
        filled.quality.push_back(track.quality[at]);
        continue;
      }
      const double before = track.values[at - track.lanes];
      const double value = before + (track.values[at] - before) *
                                        (static_cast<double>(step) / static_cast<double>(steps));
      const bool is_known = std::isfinite(value);
      filled.values.push_back(is_known ? value : nan);
      filled.quality.push_back(
          merge(merge(track.quality[at - track.lanes], track.quality[at]),
                Quality(is_known ? Verdict::interpolated : Verdict::bad, Quality::missing)));
    }
  }
  return filled;
}

Track input_of(const Run& run, std::size_t node) {
  const Track all = gathered(origins_of(run.graph(), node), [&](const Origin& o) -> const Track& {
    return o.node ? run.node(*o.node) : run.source();
  });
  return with_filled_gaps(all, run.graph().spec().nodes[node].fill_gaps);
}

NodeModel model_of(const Run& run, std::size_t node) {
  const std::vector<Origin> origins = origins_of(run.graph(), node);
  const StreamInfo& feed =
      origins[0].node ? run.graph().output_info(*origins[0].node) : run.graph().inputs()[0];
  return {run.graph(), node, origins.size(), feed.rate.value()};
}

std::string place(std::size_t node, std::uint64_t number, std::size_t lane) {
  return fmt::format("n{}, output {}, lane {}", node, number, lane);
}

// Outputs are where they should be, and Good if nothing they depend on is in doubt.
void check_run(const Run& run) {
  for (std::size_t n = 0; n < run.graph().spec().nodes.size(); ++n) {
    const NodeModel model = model_of(run, n);
    const Track in = input_of(run, n);
    const Track& out = run.node(n);
    const std::vector<std::size_t> runs = in.runs();
    if (out.numbers != model.outputs(in)) fail(fmt::format("n{}: other outputs", n));
    for (std::size_t o = 0; o < out.frames(); ++o)
      for (std::size_t l = 0; l < out.lanes; ++l) {
        const Quality quality = out.quality[o * out.lanes + l];
        const double value = out.values[o * out.lanes + l];
        const Window w = model.window(in, runs, out.numbers[o], l);
        const Quality expected = model.quality(in, w, l, value);
        if (std::isnan(value) && quality.is_good())
          fail(place(n, out.numbers[o], l) + " is a good NaN");
        const bool is_all = std::isfinite(value) &&
                            (model.tells_all() || (expected.is_good() && !model.judges_values()));
        if (is_all ? quality != expected : merge(quality, expected) != quality)
          fail(fmt::format("{} is {}: what it depends on makes it {}", place(n, out.numbers[o], l),
                           to_string(quality), to_string(expected)));
      }
  }
}

// For each frame and lane of a track.
using Marks = std::vector<std::uint8_t>;

// A change and what it touches, along a graph.
class Comparison {
 public:
  Comparison(const Run& a, const Run& b, bool begins_later)
      : a_(a), b_(b), begins_later_(begins_later) {
    touched_.resize(a.graph().spec().nodes.size());
  }

  // `marks` for the source in the run without the change, frame by frame.
  void check(Marks marks) {
    source_ = both(a_.source(), b_.source(), std::move(marks), Marks(b_.source().values.size()));
    // Nodes are in an order in which each comes behind those that feed it.
    for (std::size_t n = 0; n < touched_.size(); ++n) check_node(n);
  }

 private:
  struct Pair {
    Marks a;
    Marks b;
  };

  // Touched in one run is touched in the other, and so is what is there in one run only.
  static Pair both(const Track& a, const Track& b, Marks of_a, Marks of_b) {
    for (std::size_t f = 0; f < a.frames(); ++f)
      if (!b.find(a.numbers[f]))
        std::fill_n(of_a.begin() + static_cast<std::ptrdiff_t>(f * a.lanes), a.lanes, 1);
    for (std::size_t f = 0; f < b.frames(); ++f) {
      const std::optional<std::size_t> same = a.find(b.numbers[f]);
      if (!same) fail(fmt::format("there is a number {} with the change only", b.numbers[f]));
      for (std::size_t l = 0; l < b.lanes; ++l) {
        std::uint8_t& x = of_a[*same * a.lanes + l];
        std::uint8_t& y = of_b[f * b.lanes + l];
        x = y = x | y;
      }
    }
    return {std::move(of_a), std::move(of_b)};
  }

  Marks input_marks(std::size_t node, bool of_b) const {
    const std::vector<Origin> origins = origins_of(a_.graph(), node);
    Marks marks;
    const auto pair_of = [&](const Origin& o) -> const Pair& {
      return o.node ? touched_[*o.node] : source_;
    };
    const auto lanes_of = [&](const Origin& o) { return o.node ? a_.node(*o.node).lanes : 3; };
    const Run& run = of_b ? b_ : a_;
    const Track& first = origins[0].node ? run.node(*origins[0].node) : run.source();
    for (const Filled& f : filled_frames(first, a_.graph().spec().nodes[node].fill_gaps))
      for (const Origin& o : origins) {
        const Marks& of = of_b ? pair_of(o).b : pair_of(o).a;
        // What is filled depends on both neighbours.
        const std::size_t before = f.step == 0 ? f.frame : f.frame - 1;
        const bool is_marked =
            of[f.frame * lanes_of(o) + o.lane] != 0 || of[before * lanes_of(o) + o.lane] != 0;
        marks.push_back(is_marked ? 1 : 0);
      }
    return marks;
  }

  // Of an output, in one of the runs. `other` is the input in the other run.
  [[nodiscard]] static bool is_touched(const NodeModel& model, const Window& w, const Track& in,
                                       const Track& other, const Marks& marks, std::size_t lane) {
    for (std::size_t f = w.begin; f < w.end; ++f) {
      const std::optional<std::size_t> same =
          model.judges_values() ? other.find(in.numbers[f]) : std::nullopt;
      for (const std::size_t l : model.used(lane)) {
        if (f >= w.doubts && marks[f * in.lanes + l] != 0) return true;
        if (same && std::bit_cast<std::uint64_t>(in.values[f * in.lanes + l]) !=
                        std::bit_cast<std::uint64_t>(other.values[*same * in.lanes + l]))
          return true;
      }
    }
    return false;
  }

  void check_node(std::size_t n) {
    const NodeModel model = model_of(a_, n);
    const Track in_a = input_of(a_, n);
    const Track in_b = input_of(b_, n);
    const Track& a = a_.node(n);
    const Track& b = b_.node(n);
    const std::vector<std::size_t> runs_a = in_a.runs();
    const std::vector<std::size_t> runs_b = in_b.runs();
    // By number once more: what is filled in one run may have been there in the other.
    const auto [marks_a, marks_b] = both(in_a, in_b, input_marks(n, false), input_marks(n, true));
    // Where the run with the change has a gap or a start that the other has not.
    std::vector<std::size_t> new_edge(in_b.frames(), in_b.frames());
    for (std::size_t f = 0; f < in_b.frames(); ++f) {
      const std::optional<std::size_t> same = in_a.find(in_b.numbers[f]);
      const bool is_new =
          f == 0 ? begins_later_ : in_b.behind_gap[f] != 0 && in_a.behind_gap[same.value()] == 0;
      new_edge[f] = is_new ? f : f == 0 ? in_b.frames() : new_edge[f - 1];
    }

    Marks of_a;
    for (std::size_t o = 0; o < a.frames(); ++o)
      for (std::size_t l = 0; l < a.lanes; ++l)
        of_a.push_back(
            is_touched(model, model.window(in_a, runs_a, a.numbers[o], l), in_a, in_b, marks_a, l)
                ? 1
                : 0);
    Marks of_b;
    for (std::size_t o = 0; o < b.frames(); ++o)
      for (std::size_t l = 0; l < b.lanes; ++l) {
        const Window w = model.window(in_b, runs_b, b.numbers[o], l);
        const std::size_t edge = w.newest < in_b.frames() ? new_edge[w.newest] : in_b.frames();
        const bool is_behind = edge <= w.newest && w.newest - edge < w.marked;
        of_b.push_back(is_behind || is_touched(model, w, in_b, in_a, marks_b, l) ? 1 : 0);
      }
    touched_[n] = both(a, b, std::move(of_a), std::move(of_b));

    const Peaks peaks(in_a, in_b);
    for (std::size_t o = 0; o < b.frames(); ++o)
      for (std::size_t l = 0; l < b.lanes; ++l) {
        const std::size_t same = a.find(b.numbers[o]).value();
        const Quality without = a.quality[same * a.lanes + l];
        const Quality with = b.quality[o * b.lanes + l];
        if (touched_[n].b[o * b.lanes + l] == 0 && with != without)
          fail(fmt::format("{} does not depend on the change, but was {} and is {}",
                           place(n, b.numbers[o], l), to_string(without), to_string(with)));
        if (!with.is_good()) continue;
        const Window w_a = model.window(in_a, runs_a, b.numbers[o], l);
        const Window w_b = model.window(in_b, runs_b, b.numbers[o], l);
        check_value(model, n, l, b.numbers[o], {in_a, w_a, a.values[same * a.lanes + l]},
                    {in_b, w_b, b.values[o * b.lanes + l]}, peaks);
      }
  }

  // The greatest moduli of each lane of an input, and how far it differs up to each frame.
  struct Peaks {
    Peaks(const Track& a, const Track& b) : a_(lane_peaks(a)), b_(lane_peaks(b)) {
      has_same_shape_ = a.numbers == b.numbers;
      if (!has_same_shape_) return;
      same_valid_.assign(a.lanes, 1);
      differences_.resize(a.values.size());
      for (std::size_t i = 0; i < a.values.size(); ++i) {
        const double before = i < a.lanes ? 0.0 : differences_[i - a.lanes];
        const bool valid = std::isfinite(a.values[i]);
        if (valid != std::isfinite(b.values[i])) same_valid_[i % a.lanes] = 0;
        differences_[i] = valid ? std::max(before, std::abs(a.values[i] - b.values[i])) : before;
      }
    }
    [[nodiscard]] double peak(std::size_t lane) const { return std::max(a_[lane], b_[lane]); }
    // How far the effective inputs before frame `f` differ at most. With other gaps or other valid
    // samples, filters may have started anew or held a value in one of the runs only.
    [[nodiscard]] double older(std::size_t lane, std::size_t f) const {
      if (!has_same_shape_ || same_valid_[lane] == 0) return a_[lane] + b_[lane];
      return f == 0 ? 0.0 : differences_[(f - 1) * a_.size() + lane];
    }

   private:
    static std::vector<double> lane_peaks(const Track& track) {
      std::vector<double> peaks(track.lanes);
      for (std::size_t i = 0; i < track.values.size(); ++i)
        if (std::isfinite(track.values[i]))
          peaks[i % track.lanes] = std::max(peaks[i % track.lanes], std::abs(track.values[i]));
      return peaks;
    }
    std::vector<double> a_;
    std::vector<double> b_;
    bool has_same_shape_ = false;
    Marks same_valid_;
    std::vector<double> differences_;
  };

  struct Output {
    const Track& in;
    const Window& window;
    double value;
  };

  void check_value(const NodeModel& model, std::size_t n, std::size_t lane, std::uint64_t number,
                   const Output& a, const Output& b, const Peaks& peaks) const {
    // The exceptions of the page.
    if (begins_later_ && b.window.reaches_start) return;
    const auto begin_of = [](const Output& o) {
      return o.window.doubts < o.window.end ? o.in.numbers[o.window.doubts] : 0;
    };
    if (model.is_integral() && begin_of(a) != begin_of(b)) return;

    if (a.window.end - a.window.doubts != b.window.end - b.window.doubts ||
        begin_of(a) != begin_of(b))
      fail(place(n, number, lane) + " is good with another window");
    double recent = 0.0;
    double older = 0.0;
    double peak = 0.0;
    for (const std::size_t l : model.used(lane)) {
      older = std::max(older, peaks.older(l, b.window.doubts));
      peak = std::max(peak, peaks.peak(l));
      for (std::size_t i = 0; i < b.window.end - b.window.doubts; ++i) {
        const double x = a.in.values[(a.window.doubts + i) * a.in.lanes + l];
        const double y = b.in.values[(b.window.doubts + i) * b.in.lanes + l];
        // By no exception, but of a node before: nothing is known of the output then.
        if (std::isfinite(x) != std::isfinite(y)) return;
        if (std::isfinite(x)) recent = std::max(recent, std::abs(x - y));
      }
    }
    const std::optional<double> limit =
        model.limit(lane, recent, older, a.value, b.window.end - b.window.doubts);
    if (!limit) return;
    // Of an infinite output a small difference of the inputs may be all the reason.
    if (!std::isfinite(a.value) && !std::isfinite(b.value)) return;
    const double rounding = 1e-10 * (model.scale(lane, peak) + std::abs(a.value));
    if (!(std::abs(a.value - b.value) <= *limit + rounding))
      fail(fmt::format("{} is good, but was {} and is {}; allowed are {} and {} for rounding",
                       place(n, number, lane), a.value, b.value, *limit, rounding));
  }

  const Run& a_;
  const Run& b_;
  bool begins_later_;
  Pair source_;
  std::vector<Pair> touched_;
};

// The same frames, bit for bit, and as many absent.
void check_same(const Run& a, const Run& b) {
  for (std::size_t n = 0; n < a.graph().spec().nodes.size(); ++n) {
    const Track& x = a.node(n);
    const Track& y = b.node(n);
    if (x.numbers != y.numbers || x.absent != y.absent || x.behind_gap != y.behind_gap)
      fail(fmt::format("n{}: a gap told in two parts gives other numbers", n));
    for (std::size_t i = 0; i < x.values.size(); ++i)
      if (!test::same_bits({x.values[i]}, {y.values[i]}) || x.quality[i] != y.quality[i])
        fail(fmt::format("{} was {}, {} and is {}, {}, with a gap told in two parts",
                         place(n, x.numbers[i / x.lanes], i % x.lanes), x.values[i],
                         to_string(x.quality[i]), y.values[i], to_string(y.quality[i])));
  }
}

// One sample that was Good is another one.
std::string change_sample(Random& random, Input& input, Marks& touched) {
  std::vector<std::size_t> good;
  for (std::size_t i = 0; i < input.signal.values.size(); ++i)
    if (input.is_absent[i / 3] == 0 && input.signal.quality[i].is_good()) good.push_back(i);
  if (good.empty()) return "nothing";
  const std::size_t at = good[random.below(good.size())];
  double& value = input.signal.values[at];
  Quality& quality = input.signal.quality[at];
  const auto reasons = static_cast<std::uint8_t>(random.below(64) << 2);
  switch (random.below(6)) {
    case 0: quality = Quality(Verdict::suspect, reasons); break;  // the same value
    case 1:
      value = nan;
      quality = bad_missing;
      break;
    case 2:
      value += 5.0;
      quality = Quality(Verdict::bad, static_cast<std::uint8_t>(reasons & ~Quality::missing));
      break;
    case 3:
      value = random.below(2) == 0 ? infinity : -infinity;
      quality = Quality(Verdict::suspect, Quality::out_of_range);
      break;
    case 4:
      value += random.uniform();
      quality = Quality(Verdict::interpolated);
      break;
    default:
      value += random.below(2) == 0 ? 1000.0 : random.uniform();
      quality = Quality(Verdict::suspect, reasons);
  }
  std::size_t frame = 0;
  for (std::size_t f = 0; f < at / 3; ++f) frame += input.is_absent[f] == 0 ? 1 : 0;
  touched[frame * 3 + at % 3] = 1;
  return fmt::format("sample {} of c{} is {}, {}", at / 3, at % 3, value, to_string(quality));
}

std::string remove_samples(Random& random, Input& input, const Track& before, Marks& touched) {
  const std::uint64_t count = random.below(3) == 0 ? 1 : 1 + random.below(60);
  const std::size_t at = 1 + random.below(input.is_absent.size() - 2);
  const std::size_t end = std::min<std::size_t>(at + count, input.is_absent.size() - 1);
  for (std::size_t f = at; f < end; ++f) {
    input.is_absent[f] = 1;
    if (const auto frame = before.find(f))
      std::fill_n(touched.begin() + static_cast<std::ptrdiff_t>(*frame * 3), 3, 1);
  }
  return fmt::format("samples {} to {} are missing", at, end - 1);
}

std::string begin_later(Random& random, Input& input, const Track& before, Marks& touched) {
  // With a sample.
  const std::size_t frame = 1 + random.below(before.frames() - 1);
  input.begin = before.numbers[frame];
  std::fill_n(touched.begin(), frame * 3, 1);
  return fmt::format("the stream begins with sample {}", input.begin);
}

// Blocks of any size: law 6 holds besides.
std::size_t any_block(Random& random, std::size_t frames) { return 1 + random.below(frames); }

void check_graph(Random& random, const NodeLines& lines, std::size_t frames, std::string& change) {
  const GraphSpec spec = test::parse_nodes(lines);
  const Input input = any_input(random, frames);
  change = "none";
  const Run before(spec, input, any_block(random, frames), false);
  check_run(before);
  for (int round = 0; round < 6; ++round) {
    Input changed = input;
    Marks touched(before.source().values.size());
    const bool begins_later = round == 5;
    if (round < 3)
      change = change_sample(random, changed, touched);
    else if (round < 5)
      change = remove_samples(random, changed, before.source(), touched);
    else
      change = begin_later(random, changed, before.source(), touched);
    const Run after(spec, changed, any_block(random, frames), false);
    check_run(after);
    Comparison(before, after, begins_later).check(std::move(touched));
    if (round != 4) continue;
    change += ", told in two parts";
    check_same(after, Run(spec, changed, any_block(random, frames), true));
  }
}

// Only the node at fault and what feeds it, if the message names one.
std::string lines_for(const NodeLines& lines, const std::string& message) {
  std::set<std::size_t> wanted;
  if (message.starts_with("n")) wanted.insert(std::stoul(message.substr(1)));
  for (std::size_t n = lines.size(); n-- > 0;)
    if (wanted.contains(n))
      for (std::size_t m = 0; m < n; ++m)
        if (lines[n].find(fmt::format("'n{}'", m)) != std::string::npos ||
            lines[n].find(fmt::format("'n{}/", m)) != std::string::npos)
          wanted.insert(m);
  std::string text;
  for (std::size_t n = 0; n < lines.size(); ++n)
    if (wanted.empty() || wanted.contains(n)) text += fmt::format("\n  - {}", lines[n]);
  return text;
}

// What went wrong; empty if nothing did.
std::string failure(std::uint64_t seed, std::size_t nodes, std::optional<std::string_view> kind,
                    std::size_t frames) {
  Random random(seed);
  const NodeLines lines = test::any_graph(random, nodes, kind);
  std::string change;
  try {
    check_graph(random, lines, frames, change);
    return {};
  } catch (const std::runtime_error& e) {
    return fmt::format("change: {}\n{}{}", change, e.what(), lines_for(lines, e.what()));
  }
}

bool is_full() { return std::getenv("SPILLWAY_TEST_FULL") != nullptr; }

TEST_CASE("law 5: each kind of node flags what depends on a doubt, a gap or a start, and no more") {
  Random seeds(test::new_seed());
  for (int turn = 0; turn < (is_full() ? 100 : 4); ++turn)
    for (const std::string_view kind : test::regular_kinds()) {
      const std::uint64_t seed = seeds.below(1U << 31);
      CAPTURE(seed, kind);
      CHECK(failure(seed, 1, kind, 300) == "");
    }
}

TEST_CASE("law 5: graphs flag what depends on a doubt, a gap or a start, and no more") {
  Random seeds(test::new_seed());
  for (int turn = 0; turn < (is_full() ? 150 : 3); ++turn)
    for (const std::string_view kind : test::regular_kinds()) {
      const std::uint64_t seed = seeds.below(1U << 31);
      CAPTURE(seed, kind);
      CHECK(failure(seed, 2 + seed % 5, kind, 300 + seed % 400) == "");
    }
}

TEST_CASE("law 5: a FIR filter by FFT flags what depends on a doubt, a gap or a start") {
  Random seeds(test::new_seed());
  for (int turn = 0; turn < (is_full() ? 20 : 1); ++turn)
    for (const char* const gap : {"reset", "hold"}) {
      const std::uint64_t seed = seeds.below(1U << 31);
      CAPTURE(seed, gap);
      Random random(seed);
      std::string change;
      const NodeLines lines{fmt::format(
          "{{id: n0, type: fir_lowpass, inputs: ['s/c1'], taps: 1041, cutoff: 50 Hz, gap: {}}}",
          gap)};
      try {
        check_graph(random, lines, 12000, change);
      } catch (const std::runtime_error& e) {
        FAIL_CHECK("change: " << change << "\n" << e.what());
      }
    }
}

}  // namespace
}  // namespace spillway
