// What the engine tells while it runs, and to whom.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace spillway {

enum class EventKind : std::uint8_t {
  started,
  source_finished,      // a source has no more data
  source_failed,        // a source ended with an error
  samples_lost,         // a ring was overwritten before its reader came: the exact range;
                        // subject "graph: x" if that was the graph's reader of stream x
  samples_missing,      // the source reported a gap: the exact range
  calibration_changed,  // from `first` on
  falling_behind,       // a recorder's lag has passed half of the ring
  recording_created,
  recording_saved,    // a flush: acknowledged; the text says up to which sample of each stream
  recording_sealed,   // closed, under its final name
  recording_failed,   // a sink could not go on
  disk_filling,       // at this rate it will be full in 1 hour, 10 minutes, 1 minute
  disk_full,          // the file is closed, and the recording waits for room
  recording_resumed,  // there is room again: it goes on in the file that `subject` names
  recording_deleted,  // a file of this recording, which is to keep only so much
  master_failed,      // the file that shows all files of a recording as one could not be made
  wait_ended,         // a node went on without an input that is late: the first outputs without it
  node_failed,        // the function of a node threw: NaN from frame `first` of its input on
  graph_changed,      // the change of number `first` is made; the text says where
  stopped,
};

struct Event {
  EventKind kind = EventKind::started;
  std::string subject;       // the source, stream, node or path it is about
  std::uint64_t first = 0;   // sample number, where one is meant, or as the kind says
  std::uint64_t count = 0;   // samples
  std::string text;          // one line for people
  std::int64_t time_ns = 0;  // when it was published, ns since 1970-01-01 UTC
};

// The words of EventKind: "samples lost", ...
[[nodiscard]] const char* to_string(EventKind kind) noexcept;

// One subscriber's bounded queue. Publishers never wait for it: what does not
// fit is dropped and counted. take() is for one thread; lock-free.
class Subscription {
 public:
  explicit Subscription(std::size_t capacity);
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  [[nodiscard]] std::optional<Event> take();
  [[nodiscard]] std::uint64_t dropped() const noexcept;

  // For the engine: any thread; lock-free, but copies the event's text.
  void offer(const Event& event);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
