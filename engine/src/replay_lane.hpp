// Tasks of a replay on a thread of their own, and what they made, for the one who writes. Private.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "replay_task.hpp"

namespace spillway {

// The thread runs ahead as far as there are blocks.
class ReplayLane : public ReplayOutlet {
 public:
  // What comes of it, in order.
  struct Samples {
    std::size_t output;
    Chunk chunk;
    Block block;
    const CalibrationSet* calibrations;
  };
  struct Missing {
    std::size_t output;
    Gap gap;
  };
  struct Stamps {
    std::size_t output;
    std::vector<Anchor> anchors;
  };
  // Where a task stood when all before was made.
  struct State {
    std::size_t task;
    std::string bytes;
  };
  struct Item {
    Time time;  // of the task that made it
    std::variant<Samples, Missing, Stamps, State> what;
  };

  explicit ReplayLane(const ReplayPlan& plan)
      : plan_(plan), free_(plan.outputs.size()), made_(plan.outputs.size(), 0) {}
  ~ReplayLane() override;

  // Before start(). `number`: of State.
  void add(ReplayTask& task, std::size_t number) { tasks_.push_back({&task, number, false}); }
  void start();

  // --- whoever writes ---

  // The time of what comes next; waits for it, `patience` at most. Throws what a task threw.
  enum class Next : std::uint8_t { ready, waiting, ended };
  Next wait(std::chrono::nanoseconds patience);
  [[nodiscard]] Time time() const noexcept { return front_->time; }
  // What wait() found.
  Item take();
  // For more of that output.
  void give_back(std::size_t output, Block block);
  // All tasks that have not ended are to tell their state.
  void ask_for_states();

  // --- its thread ---

  void put(std::size_t output, const Chunk& chunk, Block& block,
           const CalibrationSet& calibrations) override;
  void put_gap(std::size_t output, const Gap& gap) override;
  void put_anchors(std::size_t output, std::span<const Anchor> anchors) override;

 private:
  struct Stopped {};
  struct Member {
    ReplayTask* task;
    std::size_t number;
    bool is_asked;
  };
  void run() noexcept;
  void push(Item item);

  const ReplayPlan& plan_;
  std::vector<Member> tasks_;
  ReplayTask* running_ = nullptr;
  std::optional<Item> front_;  // of whoever writes
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::vector<std::vector<Block>> free_;  // of each output
  std::vector<std::size_t> made_;         // blocks
  bool ask_ = false;
  bool stop_ = false;
  bool ended_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace spillway
