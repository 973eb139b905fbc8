// One recording: reads its streams with cursors of its own, feeds one sink. Private.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "disk_forecast.hpp"
#include "progress.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/engine/event.hpp"
#include "spillway/storage/sink.hpp"
#include "spillway/storage/stream_log.hpp"
#include "unacknowledged.hpp"

namespace spillway {

class Recorder {
 public:
  struct Input {
    Stream* stream = nullptr;
    Progress* progress = nullptr;
    bool waits = false;  // fed by a source that waits for room: a full ring is no danger
  };
  using Publish = std::function<void(Event)>;
  // Lines of the graph's log that have come since the last call, see graph_log_json.hpp.
  using TakeLog = std::function<std::vector<std::string>()>;

  // Opens the sink. Throws what it throws.
  Recorder(std::unique_ptr<Sink> sink, std::chrono::nanoseconds flush, const RecordingInfo& info,
           const std::vector<Input>& inputs, Publish publish, TakeLog take_log);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder();

  void start();
  // Does not wait for room on the disk any longer, as the engine is about to stop. Any thread.
  void hurry() noexcept;
  // Reads everything that was pushed by now, flushes, seals. Joins the thread.
  // A `reason` says why the recording is not complete.
  RecordingReport finish(const std::string& reason = {}) noexcept;

  // Instead of start(): leaves no file.
  void abandon() noexcept { sink_->abandon(); }

  // For the recording; what does not fit is counted, and told there. Any thread, never waits.
  void tell(const Event& event);
  // Warns of streams that are half a ring behind, also while the sink holds the recorder up. One
  // thread at a time, besides the recorder's own.
  void watch();

  [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  [[nodiscard]] RecordingStatus status() const;

 private:
  struct PerStream {
    StreamReader reader;
    const StreamReader head;  // never read: it tells how much was pushed
    Block block;
    Progress* progress;
    bool waits;
    StreamLog log;  // of what was read, be it written or not
    Unacknowledged unacknowledged;
    std::uint64_t not_written = 0;  // of what was read
    std::uint64_t named = 0;        // and so many more, which the recording names itself
    const std::uint64_t begin;      // the first number
    // Copies for others that ask.
    std::atomic<std::uint64_t> recorded{0}, lost{0}, missing{0};
    std::atomic<std::uint64_t> next{0};      // the number
    std::atomic<std::uint64_t> position{0};  // the same without gaps
    std::atomic<std::uint64_t> acknowledged{0};
    std::atomic<bool> behind{false};
    explicit PerStream(const Input& input);
    [[nodiscard]] std::uint64_t lag() const noexcept;
    [[nodiscard]] RecordedCounts counts() const noexcept;
    // The first number that was not read.
    [[nodiscard]] std::uint64_t end() const noexcept;
  };

  void run() noexcept;
  void record();
  bool step();
  bool read_stream(std::size_t index);
  Chunk read_chunk(PerStream& s);
  void count(PerStream& s);
  void warn_if_behind(PerStream& s);
  bool take_events();
  void take_log();
  void flush();
  void acknowledge();
  void note_name();
  void forecast(std::chrono::steady_clock::time_point now);
  // Closes the sink early. What it could not take is then in `unacknowledged`.
  void close_early(const std::string& reason) noexcept;
  void settle();
  bool wait_for_room(const std::string& reason);
  void repeat();
  void fail(const std::string& reason) noexcept;
  void read_in_vain() noexcept;
  [[nodiscard]] std::string acknowledged_text() const;

  std::unique_ptr<Sink> sink_;
  std::chrono::nanoseconds flush_interval_;
  Publish publish_;
  TakeLog take_log_;
  std::vector<std::unique_ptr<PerStream>> streams_;
  std::vector<Anchor> anchors_;
  std::chrono::steady_clock::time_point last_flush_;
  std::chrono::steady_clock::time_point last_look_;
  DiskForecast forecast_;
  bool unflushed_ = false;
  bool closed_ = false;     // the sink, and not resumed
  bool fruitless_ = false;  // it was resumed, and nothing flushed since
  std::chrono::milliseconds look_for_room_after_{};
  Ending ending_;
  std::string cut_short_;  // written before finish_ is set, read after

  Subscription events_;
  std::uint64_t events_dropped_ = 0;
  // Since the last flush: repeated in the next file if this one is not to be trusted with them.
  std::vector<RecordedEvent> recent_events_;
  std::vector<std::string> recent_lines_;

  std::thread thread_;
  mutable std::mutex mutex_;  // of files_, and for whoever waits for room
  std::condition_variable hurry_signal_;
  std::vector<std::string> files_;
  std::atomic<bool> hurried_{false};
  std::atomic<bool> finish_{false};
  std::atomic<bool> failed_{false};
  // Copies for status().
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::int64_t> full_in_s_{-1};
  std::atomic<bool> waiting_for_room_{false};
};

}  // namespace spillway
