// Reads raw streams of a recording, on a thread of its own if wanted. Private.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "raw_reader.hpp"

namespace spillway {

// Large blocks of several streams, each in its order. One thread at a time.
class ReadAhead {
 public:
  enum class Thread : bool { own, callers };

  ReadAhead(const Recording& recording, const std::vector<ReplayPlan::Input>& inputs,
            Thread thread);
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead();

  // Before the first next() of that input.
  void seek(std::size_t input, SampleNumber number) noexcept {
    inputs_[input]->reader.seek(number);
  }
  // The next chunk, in a block that takes the place of `block`. Blocks. Throws what reading throws.
  Chunk next(std::size_t input, Block& block);
  [[nodiscard]] const CalibrationSet& calibrations(std::size_t input,
                                                   CalibrationSetId id) const noexcept {
    return inputs_[input]->reader.calibrations(id);
  }

 private:
  struct Ready {
    Chunk chunk;
    Block block;
  };
  struct Input {
    StreamInfo info;
    RawReader reader;
    std::size_t frames;
    // Under mutex_.
    std::deque<Ready> ready;
    std::vector<Block> free;
    std::size_t blocks = 0;  // made
    bool ended = false;
  };
  [[nodiscard]] Input* with_room();
  void run() noexcept;

  std::vector<std::unique_ptr<Input>> inputs_;
  const bool has_thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace spillway
