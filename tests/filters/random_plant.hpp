// Random graphs, and streams to run them on, for tests of live runs against replays.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "graph_support.hpp"
#include "spillway/channels/writer.hpp"

namespace spillway::test {

using namespace std::chrono_literals;

// A function that throws, once in a while.
inline Functions functions() {
  Function fragile;
  fragile.name = "fragile";
  fragile.call = [](ConstFrames in, Frames out) {
    for (std::size_t i = 0; i < in.values.size(); ++i) {
      if (in.values[i] > 0.998) throw Error("too much");
      out.values[i] = -in.values[i];
      out.quality[i] = in.quality[i];
    }
  };
  return {{"fragile", fragile}};
}

// Three streams that others sample the same way: one to be overwritten while the live graph
// reads, one that keeps all.
class Plant {
 public:
  // `live`: what makes the streams to be overwritten.
  template <class Live>
  Plant(std::uint64_t seed, std::uint64_t live_capacity, Live live) : random_(seed) {
    infos_ = {doubles("fast", 2, Rate(1000, 1)), doubles("slow", 1, Rate(7003, 100)),
              doubles("odd", 2, std::nullopt)};
    for (StreamInfo& info : infos_) {
      kept_.push_back(std::make_unique<Stream>(info));
      info.capacity = SampleCount{live_capacity};
      info.largest_block = SampleCount{16};
      live_.push_back(live(info));
    }
    for (std::size_t i = 0; i < infos_.size(); ++i) {
      writers_.emplace_back(*kept_[i]);
      writers_.emplace_back(*live_[i]);
    }
  }
  [[nodiscard]] const std::vector<StreamInfo>& infos() const { return infos_; }
  [[nodiscard]] const Stream& live(std::size_t i) const { return *live_[i]; }
  [[nodiscard]] const Stream& kept(std::size_t i) const { return *kept_[i]; }

  // Something happens in a stream.
  void act(std::size_t i) {
    Writer<double>& kept = writers_[2 * i];
    Writer<double>& live = writers_[2 * i + 1];
    const auto both = [&](auto f) {
      f(kept);
      f(live);
    };
    const std::uint64_t what = random_.below(20);
    const bool regular = infos_[i].rate.has_value();
    if (what == 0) {
      const SampleCount count{1 + random_.below(random_.below(3) == 0 ? 300 : 6)};
      both([&](auto& w) { w.gap(count); });
    } else if (what == 1) {
      CalibrationSet set;
      for (const ChannelInfo& channel : infos_[i].channels) {
        Calibration c = Linear{0.5 + static_cast<double>(random_.below(8)) / 4.0, 0.25};
        c.unit_out = channel.unit;
        set.push_back(std::move(c));
      }
      both([&](auto& w) { w.calibrate(0, set[0]); });
    } else if (what == 2 && regular) {
      // The clock steps, ahead or back.
      const Time step(static_cast<std::int64_t>(random_.below(40'000'000)) - 10'000'000);
      const Time time = infos_[i].rate->duration(kept.next().value) + step;
      both([&](auto& w) { w.stamp({time, 0}); });
    } else {
      // In real proportions, so that no stream runs away from the others for long.
      const double seconds = static_cast<double>(1 + random_.below(100)) / 400.0;
      const double rate = regular ? infos_[i].rate->hertz().value : 180.0;
      const auto frames = static_cast<std::size_t>(1.0 + seconds * rate);
      const Signal part =
          random_.noise(frames, infos_[i].channels.size(), random_.below(3) == 0 ? 40 : 0);
      if (regular) {
        both([&](auto& w) { w.push(part.values, part.quality); });
      } else {
        std::vector<Time> times;
        for (std::size_t f = 0; f < part.frames(); ++f)
          times.push_back(time_ +=
                          Time(static_cast<std::int64_t>(random_.below(12'000'000)) - 500'000));
        if (random_.below(30) == 0) time_ += 400ms;
        both([&](auto& w) { w.push(part.values, times, part.quality); });
      }
    }
  }

 private:
  Random random_;
  std::vector<StreamInfo> infos_;
  std::vector<std::unique_ptr<Stream>> kept_;
  std::vector<Stream*> live_;
  std::vector<Writer<double>> writers_;
  Time time_{0};
};

// A graph of a few nodes, in which later ones feed on earlier ones. Parameters in `@` are drawn
// anew by change().
class RandomGraph {
 public:
  explicit RandomGraph(Random& random) : random_(random) {
    const std::size_t count = 2 + random.below(7);
    for (std::size_t i = 0; i < count; ++i) add();
  }

  [[nodiscard]] std::string yaml() {
    std::string text = "graph:\n";
    for (const auto& [id, node] : nodes_) {
      std::string line = node.text;
      for (std::size_t at = 0; (at = line.find('@')) != std::string::npos;) {
        const std::size_t end = line.find('@', at + 1);
        std::vector<std::string> choices;
        std::string choice;
        for (const char c : line.substr(at + 1, end - at - 1) + "|") {
          if (c == '|') {
            choices.push_back(choice);
            choice.clear();
          } else {
            choice += c;
          }
        }
        line.replace(at, end - at + 1, choices[node.draw % choices.size()]);
      }
      text += fmt::format("  - {{id: n{}, {}}}\n", id, line);
    }
    return text;
  }

  // Some parameters, or a node more, or one less.
  void change() {
    for (auto& [id, node] : nodes_)
      if (random_.below(2) == 0) node.draw = random_.below(1000);
    if (random_.below(3) == 0) add();
    if (random_.below(4) == 0 && nodes_.size() > 1) {
      // The last one: nothing depends on it.
      nodes_.erase(std::prev(nodes_.end()));
    }
  }

 private:
  struct Node {
    std::string text;
    std::uint64_t draw = 0;
    bool is_odd = false;  // irregular
  };
  void add() {
    // What feeds it: a stream or a node.
    const std::uint64_t pick = random_.below(3 + nodes_.size());
    std::string input = pick == 0 ? "fast" : pick == 1 ? "slow" : "odd";
    bool odd = pick == 2;
    if (pick >= 3) {
      auto it = nodes_.begin();
      std::advance(it, pick - 3);
      input = fmt::format("n{}", it->first);
      odd = it->second.is_odd;
    }
    static const std::vector<std::string> any{
        "type: moving_average, input: {}, window: @3|9|40@, nan: @ignore|propagate@",
        "type: median, input: {}, window: @3|5@, gap: @hold|reset@",
        "type: sliding_max, input: {}, window: @4|17@",
        "type: sliding_std, input: {}, window: 9",
        "type: exponential_average, input: {}, time_constant: @20 ms|70 ms@",
        "type: detect_jump, input: {}, limit: @0.5|1@",
        "type: calibrate, input: {}",
        "type: integral, input: {}, gap: @hold|reset@",
        "type: fir, input: {}, taps: [@0.25|0.5@, 0.5, 0.25], gap: @hold|reset@",
        "type: function, input: {}, function: fragile"};
    static const std::vector<std::string> regular{
        "type: lowpass, input: {}, order: @4|2@, cutoff: @5 Hz|8 Hz@, nan: @hold|reset@, "
        "gap: @reset|hold@",
        "type: highpass, input: {}, order: 3, cutoff: @2 Hz|1 Hz@, form: block",
        "type: notch, input: {}, frequency: 7 Hz, fill_gaps: @0|4|20@",
        "type: fir_lowpass, input: {}, taps: @31|21@, cutoff: @5 Hz|9 Hz@, fill_gaps: 5",
        "type: decimate, input: {}, factor: 3, phase: 1",
        "type: resample, input: {}, up: 3, down: 2",
        "type: derivative, input: {}, fill_gaps: 6",
        "type: savitzky_golay, input: {}, window: @11|15@, order: 2"};
    static const std::vector<std::string> joins{
        "type: align, inputs: [{}, slow], max_wait: @40 ms|150 ms@",
        "type: align, inputs: [fast, {}], method: last, max_wait: 60 ms",
        "type: align, inputs: [{}, odd/c1], rate: 120 Hz, max_gap: 90 ms, max_wait: 50 ms",
        "type: interpolate, input: {}, rate: 150 Hz, method: @last|linear@"};
    Node node;
    node.draw = random_.below(1000);
    node.is_odd = odd;
    const std::uint64_t kind = random_.below(10);
    if (kind < 3) {
      node.text = joins[random_.below(joins.size())];
      const bool first = node.text.find("[{}") != std::string::npos;
      if (node.text.find("rate:") != std::string::npos || !first) node.is_odd = false;
    } else if (kind < 7 && !odd) {
      node.text = regular[random_.below(regular.size())];
    } else {
      node.text = any[random_.below(any.size())];
    }
    node.text.replace(node.text.find("{}"), 2, input);
    nodes_.emplace(next_id_++, std::move(node));
  }

  Random& random_;
  std::map<std::size_t, Node> nodes_;
  std::size_t next_id_ = 0;
};

inline std::string words(const GraphLog& log) {
  std::string text;
  const auto numbers = [](const GraphCut& cut) {
    std::string all;
    for (const SampleNumber n : cut) all += fmt::format(" {}", n.value);
    return all;
  };
  for (const GraphLogEntry& entry : log.entries) {
    if (const auto* loss = std::get_if<ReaderLoss>(&entry))
      text += fmt::format("\n  {} {}: lost {}, missing {}", loss->input, loss->from.value,
                          loss->lost.value, loss->missing.value);
    else if (const auto* wait = std::get_if<WaitEnded>(&entry))
      text += fmt::format("\n  {} {}: {} without {}", wait->node, wait->from.value,
                          wait->count.value, wait->input);
    else if (const auto* change = std::get_if<GraphChanged>(&entry))
      text += fmt::format("\n  changed at{}", numbers(change->at));
    else if (const auto* failed = std::get_if<NodeFailed>(&entry))
      text += fmt::format("\n  {} {}: {}", failed->node, failed->from.value, failed->what);
  }
  return text;
}

}  // namespace spillway::test
