// Sinks that misbehave, or outlive their recording.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "spillway/storage/memory_sink.hpp"

namespace spillway::test {

// Passes everything on.
class PassingSink : public Sink {
 public:
  explicit PassingSink(std::shared_ptr<Sink> inner) : inner_(std::move(inner)) {}
  void begin(const RecordingInfo& info) override { inner_->begin(info); }
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& set) override {
    inner_->append(stream, chunk, block, set);
  }
  void append(std::size_t stream, std::span<const Anchor> anchors) override {
    inner_->append(stream, anchors);
  }
  void append_gap(std::size_t stream, const Gap& gap) override { inner_->append_gap(stream, gap); }
  void append_event(const RecordedEvent& event) override { inner_->append_event(event); }
  void append_log(std::string_view line) override { inner_->append_log(line); }
  [[nodiscard]] SampleNumber end(std::size_t stream) const override { return inner_->end(stream); }
  void flush() override { inner_->flush(); }
  void close(const Ending& ending) override { inner_->close(ending); }
  Resumed resume() override { return inner_->resume(); }
  [[nodiscard]] bool is_due() override { return inner_->is_due(); }
  bool go_on(const RecordingInfo& info, const std::vector<std::string>& log) override {
    return inner_->go_on(info, log);
  }
  [[nodiscard]] std::optional<std::uint64_t> free_bytes() override { return inner_->free_bytes(); }
  void abandon() noexcept override { inner_->abandon(); }
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override {
    return inner_->bytes_written();
  }
  [[nodiscard]] std::string name() const override { return inner_->name(); }

 private:
  std::shared_ptr<Sink> inner_;
};

// A disk that stalls: holds each append up until it is let go, and says in `held` that it did.
class StallingSink : public PassingSink {
 public:
  StallingSink(std::unique_ptr<Sink> inner, std::atomic<bool>& stalled,
               std::atomic<bool>* held = nullptr)
      : PassingSink(std::move(inner)), stalled_(stalled), held_(held) {}
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& set) override {
    while (stalled_) {
      if (held_ != nullptr) *held_ = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    PassingSink::append(stream, chunk, block, set);
  }
  using PassingSink::append;

 private:
  std::atomic<bool>& stalled_;
  std::atomic<bool>* held_;
};

// What it keeps outlives the engine's recording.
class KeptSink : public PassingSink {
 public:
  explicit KeptSink(std::shared_ptr<MemorySink> inner) : PassingSink(std::move(inner)) {}
};

}  // namespace spillway::test
