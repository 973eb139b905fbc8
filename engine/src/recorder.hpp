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
#include "live_graph.hpp"
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
  // What it records: always the same streams, or all there are.
  enum class Which : std::uint8_t { chosen, all };

  // Opens the sink. Throws what it throws.
  Recorder(std::unique_ptr<Sink> sink, std::chrono::nanoseconds flush, RecordingInfo info,
           const std::vector<Input>& inputs, Which which, LiveGraph& graph, Publish publish);
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

  [[nodiscard]] Which which() const noexcept { return which_; }
  // A stream that a node of the running graph will make, of a recording of all: recorded from its
  // first sample on, in the file that is begun once there is the node. Before anything is written
  // to it. Any thread.
  void join(const Input& input);

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
    const Stream* stream;
    Progress* progress;
    bool waits;
    std::optional<std::size_t> graph_input;      // its number, of a raw stream
    StreamCut until{StreamReader::nowhere, {}};  // not to be read further now
    bool step_due = false;                       // with the next sample a segment begins
    CalibrationSetId calibrations;               // of the last sample that was read
    StreamLog log;                               // of what was read, be it written or not
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
    [[nodiscard]] std::uint64_t pushed() const noexcept;
    [[nodiscard]] std::uint64_t lag() const noexcept;
    [[nodiscard]] RecordedCounts counts() const noexcept;
    // Whether all before `until` was read.
    [[nodiscard]] bool is_there() const noexcept;
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
  void keep_lines(std::vector<std::string> lines);
  void flush();
  void acknowledge();

  enum class Cutting : std::uint8_t { no, asked, known };
  [[nodiscard]] bool outputs_changed() const noexcept;
  [[nodiscard]] bool must_read() const noexcept;
  void ask_for_place(std::chrono::steady_clock::time_point now);
  void look_for_place(std::chrono::steady_clock::time_point now);
  void take_place();
  void go_on_here();
  bool go_on();
  void refuse_to_go_on() noexcept;
  void stop_cutting() noexcept;
  [[nodiscard]] bool is_to_be_recorded(const PerStream& s) const noexcept;
  [[nodiscard]] bool lacks_state() const noexcept;
  [[nodiscard]] RecordingInfo info_of_place() const;
  bool give_place(const RecordingInfo& info);

  void note_name();
  void forecast(std::chrono::steady_clock::time_point now);
  // Closes the sink early. What it could not take is then in `unacknowledged`.
  void close_early(const std::string& reason) noexcept;
  void settle();
  bool wait_for_room(const std::string& reason);
  void take_up_here();
  void repeat();
  void fail(const std::string& reason) noexcept;
  void read_in_vain() noexcept;
  [[nodiscard]] std::string acknowledged_text() const;

  std::unique_ptr<Sink> sink_;
  std::chrono::nanoseconds flush_interval_;
  Publish publish_;
  RecordingInfo info_;
  LiveGraph& graph_;
  const Which which_;
  GraphLogPosition log_position_;
  std::vector<std::unique_ptr<PerStream>> streams_;  // those of the file, as the sink counts them
  std::vector<std::unique_ptr<PerStream>> others_;   // not of this file
  std::vector<std::unique_ptr<PerStream>> joining_;  // and others, new ones
  std::vector<Anchor> anchors_;
  std::chrono::steady_clock::time_point last_flush_;
  std::chrono::steady_clock::time_point last_look_;
  DiskForecast forecast_;
  bool unflushed_ = false;
  bool closed_ = false;     // the sink, and not resumed
  bool fruitless_ = false;  // it was resumed, and nothing flushed since
  std::chrono::milliseconds look_for_room_after_{};

  // The way to the next file: asked the graph for a place, then reading up to it.
  Cutting cutting_ = Cutting::no;
  std::uint64_t ticket_ = 0;
  GraphPlace place_;
  bool due_ = false;                 // the sink said so, or the file lacks the graph's state
  std::uint64_t outputs_known_ = 0;  // LiveGraph::outputs_changed(), as of this file
  std::uint64_t outputs_asked_ = 0;  // as of place_
  bool can_go_on_ = true;
  int in_vain_ = 0;  // times that it asked since the last place
  std::chrono::steady_clock::time_point asked_at_;
  std::chrono::steady_clock::time_point ask_after_;

  Ending ending_;
  std::string cut_short_;  // written before finish_ is set, read after

  Subscription events_;
  std::uint64_t events_dropped_ = 0;
  // Since the last flush: repeated in the next file if this one is not to be trusted with them.
  std::vector<RecordedEvent> recent_events_;
  std::vector<std::string> recent_lines_;

  std::thread thread_;
  // Of files_ and joining_; which streams there are is changed under it. And for whoever waits for
  // room.
  mutable std::mutex mutex_;
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
