// One recording: reads its streams with cursors of its own, feeds one sink. Private.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "progress.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/engine/event.hpp"
#include "spillway/storage/sink.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

class Recorder {
 public:
  struct Input {
    Stream* stream = nullptr;
    Progress* progress = nullptr;
    bool waits = false;  // fed by a source that waits for room: a full ring is no danger
  };
  using Publish = std::function<void(const Event&)>;

  // Opens the sink. Throws what it throws.
  Recorder(std::unique_ptr<Sink> sink, std::chrono::nanoseconds flush, const RecordingInfo& info,
           const std::vector<Input>& inputs, Publish publish);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder();

  void start();
  // Reads everything that was pushed by now, flushes, seals. Joins the thread.
  // A `reason` says why the recording is not complete.
  RecordingReport finish(const std::string& reason = {}) noexcept;

  // Instead of start(): leaves no file.
  void abandon() noexcept { sink_->abandon(); }

  [[nodiscard]] bool failed() const noexcept { return failed_.load(std::memory_order_acquire); }
  [[nodiscard]] RecordingStatus status() const;

 private:
  struct PerStream {
    StreamReader reader;
    Block block;
    Progress* progress;
    bool waits;
    StreamLog log;
    CalibrationSetId calibrations;
    bool behind = false;
    // Copies for status(), which another thread asks for.
    std::atomic<std::uint64_t> recorded{0}, lost{0}, missing{0}, lag{0};
    explicit PerStream(const Input& input);
  };
  void run() noexcept;
  bool step();
  bool read_stream(std::size_t index);
  void tell(std::size_t index);
  void fail(const std::string& reason) noexcept;

  std::unique_ptr<Sink> sink_;
  std::chrono::nanoseconds flush_interval_;
  Publish publish_;
  std::vector<std::unique_ptr<PerStream>> streams_;
  std::vector<Anchor> anchors_;
  std::chrono::steady_clock::time_point last_flush_;
  bool unflushed_ = false;
  Ending ending_;
  std::string cut_short_;  // written before finish_ is set, read after
  std::thread thread_;
  std::atomic<std::uint64_t> bytes_{0};  // a copy for status(): a sink is for one thread
  std::atomic<bool> finish_{false};
  std::atomic<bool> failed_{false};
};

}  // namespace spillway
