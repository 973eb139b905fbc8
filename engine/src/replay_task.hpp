// What a replay is made of: tasks that read raw streams and make outputs, each by itself. Private.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "derived_stream.hpp"
#include "read_ahead.hpp"
#include "replay_plan.hpp"
#include "spillway/filters/graph_replay.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

// Takes what tasks make, of each output in the order of sample numbers.
class ReplayOutlet {
 public:
  ReplayOutlet() = default;
  ReplayOutlet(const ReplayOutlet&) = delete;
  ReplayOutlet& operator=(const ReplayOutlet&) = delete;
  virtual ~ReplayOutlet() = default;
  // May exchange the block for another of its shape. The calibrations live as long as the plan.
  virtual void put(std::size_t output, const Chunk& chunk, Block& block,
                   const CalibrationSet& calibrations) = 0;
  virtual void put_gap(std::size_t output, const Gap& gap) = 0;
  virtual void put_anchors(std::size_t output, std::span<const Anchor> anchors) = 0;
};

// Samples of a raw stream that the live graph had and the recording lacks.
struct Lacking {
  std::string stream;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  friend auto operator<=>(const Lacking&, const Lacking&) = default;
};

// One thread at a time, save where it says otherwise.
class ReplayTask {
 public:
  ReplayTask() = default;
  ReplayTask(const ReplayTask&) = delete;
  ReplayTask& operator=(const ReplayTask&) = delete;
  virtual ~ReplayTask() = default;

  // A block further; false at the end.
  virtual bool step() = 0;
  // Where it stands, between two steps, with everything made given to the outlet. load(): before
  // the first step; throws Error if it is not of such a task.
  [[nodiscard]] virtual std::string save() = 0;
  virtual void load(const std::string& state) = 0;

  // Of what was read last, from the origin of its stream.
  [[nodiscard]] Time time() const noexcept { return time_; }
  // Any thread.
  [[nodiscard]] std::uint64_t samples_done() const noexcept {
    return samples_done_.load(std::memory_order_relaxed);
  }

 protected:
  void count(const Chunk& chunk, const StreamInfo& info);

  std::atomic<std::uint64_t> samples_done_{0};
  Time time_ = Time::min();
};

// Gives a chunk that a reader of `from` gave to the outlet, its gap as the recording names it, and
// the stamps before sample `next`.
void give_chunk(const RecordedStream& from, Chunk chunk, Block& block,
                const CalibrationSet& calibrations, SampleNumber next, std::size_t& anchor,
                std::size_t output, ReplayOutlet& outlet);

// Copies a raw stream.
class CopyTask : public ReplayTask {
 public:
  CopyTask(const Recording& recording, const ReplayPlan& plan, std::size_t output,
           ReplayOutlet& outlet);
  bool step() override;
  [[nodiscard]] std::string save() override;
  void load(const std::string& state) override;

 private:
  const RecordedStream& from_;
  const StreamInfo& info_;
  RawReader reader_;
  Block block_;
  std::size_t output_;
  ReplayOutlet& outlet_;
  std::size_t anchor_ = 0;
};

// Runs a part of the graph.
class GraphTask : public ReplayTask {
 public:
  GraphTask(const Recording& recording, const ReplayPlan& plan, std::size_t part,
            ReadAhead::Thread reading, ReplayOutlet& outlet);
  bool step() override;
  [[nodiscard]] std::string save() override;
  void load(const std::string& state) override;

  // As live: where the recording has less than the live graph had.
  [[nodiscard]] const std::vector<Lacking>& lacking() const noexcept { return lacking_; }
  // As many more there was no room for.
  [[nodiscard]] std::uint64_t lacking_besides() const noexcept { return lacking_besides_; }
  // From this number of an output on it may differ from the live one.
  [[nodiscard]] std::map<std::size_t, std::uint64_t> differs_from() const;

 private:
  struct Made {
    std::size_t output;
    DerivedStream stream;
    std::optional<std::uint64_t> differs_from;
  };
  struct Loss {
    std::uint64_t begin;
    std::uint64_t end;
  };

  [[nodiscard]] std::vector<StreamInfo> infos() const;
  void find_losses();
  Chunk read(std::size_t input, Block& block);
  void note_lacking(std::size_t input, std::uint64_t begin, std::uint64_t end);
  void note_had(std::size_t input, std::uint64_t begin, std::uint64_t end);
  void take(const Graph& graph);

  const ReplayPlan& plan_;
  const ReplayPlan::Part& part_;
  GraphReplay replay_;
  std::size_t changes_before_ = 0;  // those made before the state that was loaded
  ReadAhead reading_;
  std::map<std::string, Made, std::less<>> outputs_;
  std::vector<std::vector<Loss>> losses_;  // of the live graph's readers, of each input
  std::vector<Lacking> lacking_;
  std::uint64_t lacking_besides_ = 0;
  bool ended_ = false;
  const ReplaySource source_;
  const ReplaySink sink_;
};

}  // namespace spillway
