#include "spillway/engine/event.hpp"

#include <concurrentqueue/concurrentqueue.h>

#include <atomic>

namespace spillway {

const char* to_string(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::started: return "started";
    case EventKind::source_finished: return "source finished";
    case EventKind::source_failed: return "source failed";
    case EventKind::samples_lost: return "samples lost";
    case EventKind::samples_missing: return "samples missing";
    case EventKind::calibration_changed: return "calibration changed";
    case EventKind::falling_behind: return "falling behind";
    case EventKind::recording_created: return "recording created";
    case EventKind::recording_saved: return "recording saved";
    case EventKind::recording_sealed: return "recording sealed";
    case EventKind::recording_failed: return "recording failed";
    case EventKind::disk_filling: return "disk filling";
    case EventKind::disk_full: return "disk full";
    case EventKind::recording_resumed: return "recording resumed";
    case EventKind::recording_deleted: return "recording deleted";
    case EventKind::master_failed: return "master failed";
    case EventKind::wait_ended: return "wait ended";
    case EventKind::node_failed: return "node failed";
    case EventKind::graph_changed: return "graph changed";
    case EventKind::stopped: break;
  }
  return "stopped";
}

struct Subscription::Impl {
  explicit Impl(std::size_t size) : queue(size), capacity(size) {}
  moodycamel::ConcurrentQueue<Event> queue;
  std::size_t capacity;
  std::atomic<std::size_t> held{0};
  std::atomic<std::uint64_t> dropped{0};
};

Subscription::Subscription(std::size_t capacity) : impl_(std::make_unique<Impl>(capacity)) {}
Subscription::~Subscription() = default;

std::optional<Event> Subscription::take() {
  Event event;
  if (!impl_->queue.try_dequeue(event)) return std::nullopt;
  impl_->held.fetch_sub(1, std::memory_order_relaxed);
  return event;
}

std::uint64_t Subscription::dropped() const noexcept {
  return impl_->dropped.load(std::memory_order_relaxed);
}

void Subscription::offer(const Event& event) {
  // The queue's own bound is by blocks and producers, so the count is kept here.
  if (impl_->held.fetch_add(1, std::memory_order_relaxed) < impl_->capacity &&
      impl_->queue.enqueue(event))
    return;
  impl_->held.fetch_sub(1, std::memory_order_relaxed);
  impl_->dropped.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace spillway
