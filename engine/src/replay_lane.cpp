#include "replay_lane.hpp"

#include <algorithm>
#include <utility>

namespace spillway {

namespace {

constexpr std::size_t most_items = 256;

}  // namespace

ReplayLane::~ReplayLane() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void ReplayLane::start() {
  thread_ = std::thread([this] { run(); });
}

// --- whoever writes ---

ReplayLane::Next ReplayLane::wait(std::chrono::nanoseconds patience) {
  if (front_) return Next::ready;
  std::unique_lock lock(mutex_);
  if (!changed_.wait_for(lock, patience, [&] { return !items_.empty() || ended_; }))
    return Next::waiting;
  if (!items_.empty()) {
    front_ = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return Next::ready;
  }
  if (error_) std::rethrow_exception(error_);
  return Next::ended;
}

ReplayLane::Item ReplayLane::take() {
  Item item = std::move(*front_);
  front_.reset();
  return item;
}

void ReplayLane::give_back(std::size_t output, Block block) {
  {
    const std::scoped_lock lock(mutex_);
    free_[output].push_back(std::move(block));
  }
  changed_.notify_all();
}

void ReplayLane::ask_for_states() {
  const std::scoped_lock lock(mutex_);
  ask_ = true;
}

// --- its thread ---

void ReplayLane::push(Item item) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stop_ || items_.size() < most_items; });
    if (stop_) throw Stopped{};
    items_.push_back(std::move(item));
  }
  changed_.notify_all();
}

// A block of another's takes its place.
void ReplayLane::put(std::size_t output, const Chunk& chunk, Block& block,
                     const CalibrationSet& calibrations) {
  std::optional<Block> other;
  {
    std::unique_lock lock(mutex_);
    std::vector<Block>& free = free_[output];
    // One is that which the node fills.
    const std::size_t most = plan_.outputs[output].blocks - 1;
    changed_.wait(lock, [&] { return stop_ || !free.empty() || made_[output] < most; });
    if (stop_) throw Stopped{};
    if (free.empty()) {
      ++made_[output];
    } else {
      other = std::move(free.back());
      free.pop_back();
    }
  }
  if (!other) other.emplace(plan_.outputs[output].info, block.frames());
  std::swap(block, *other);
  push({running_->time(), Samples{output, chunk, std::move(*other), &calibrations}});
}

void ReplayLane::put_gap(std::size_t output, const Gap& gap) {
  push({running_->time(), Missing{output, gap}});
}

void ReplayLane::put_anchors(std::size_t output, std::span<const Anchor> anchors) {
  push({running_->time(), Stamps{output, {anchors.begin(), anchors.end()}}});
}

// The task that is farthest behind in time goes first.
void ReplayLane::run() noexcept {
  try {
    std::vector<Member*> left;
    for (Member& member : tasks_) left.push_back(&member);
    while (!left.empty()) {
      {
        const std::scoped_lock lock(mutex_);
        if (stop_) throw Stopped{};
        if (std::exchange(ask_, false))
          for (Member& member : tasks_) member.is_asked = true;
      }
      for (Member& member : tasks_)
        if (std::exchange(member.is_asked, false)) {
          running_ = member.task;
          std::string bytes = member.task->save();
          push({running_->time(), State{member.number, std::move(bytes)}});
        }
      const auto first = std::ranges::min_element(
          left, {}, [](const Member* member) { return member->task->time(); });
      running_ = (*first)->task;
      if (running_->step()) continue;
      push({running_->time(), State{(*first)->number, running_->save()}});
      left.erase(first);
    }
  } catch (const Stopped&) {
  } catch (...) {
    const std::scoped_lock lock(mutex_);
    error_ = std::current_exception();
  }
  {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
  }
  changed_.notify_all();
}

}  // namespace spillway
