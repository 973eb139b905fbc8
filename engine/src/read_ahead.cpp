#include "read_ahead.hpp"

#include <algorithm>
#include <utility>

namespace spillway {

namespace {

// Of one block, and of all: as long as the chunks of a recording, if they are not too large, since
// whole ones come without a stop on their way.
constexpr std::size_t most_frames = 65536;
constexpr std::size_t most_block_bytes = std::size_t{24} << 20;
constexpr std::size_t most_bytes = std::size_t{48} << 20;
constexpr std::size_t most_blocks = 2;  // of an input

}  // namespace

ReadAhead::ReadAhead(const Recording& recording, const std::vector<ReplayPlan::Input>& inputs,
                     Thread thread)
    : has_thread_(thread == Thread::own) {
  for (const ReplayPlan::Input& input : inputs) {
    const std::size_t bytes =
        std::min(most_block_bytes, most_bytes / (most_blocks * inputs.size()));
    const std::size_t frames =
        std::clamp<std::size_t>(bytes / row_bytes(input.info), 64, most_frames);
    inputs_.push_back(std::make_unique<Input>(
        Input{input.info, RawReader(recording, input), frames, {}, {}, 0, false}));
  }
}

ReadAhead::~ReadAhead() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Chunk ReadAhead::next(std::size_t input, Block& block) {
  Input& in = *inputs_[input];
  if (!has_thread_) {
    if (block.frames() < in.frames) block = Block(in.info, in.frames);
    return in.reader.read(block);
  }
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.wait(lock, [&] { return !in.ready.empty() || in.ended || error_; });
  if (in.ready.empty()) {
    if (error_) std::rethrow_exception(error_);
    return {};
  }
  Ready ready = std::move(in.ready.front());
  in.ready.pop_front();
  std::swap(block, ready.block);
  // The first one that comes back was somebody else's.
  if (ready.block.frames() == in.frames) in.free.push_back(std::move(ready.block));
  lock.unlock();
  changed_.notify_all();
  return ready.chunk;
}

// The one that has least ahead.
ReadAhead::Input* ReadAhead::with_room() {
  Input* found = nullptr;
  for (auto& in : inputs_) {
    if (in->ended || (in->free.empty() && in->blocks == most_blocks)) continue;
    if (!found || in->ready.size() < found->ready.size()) found = in.get();
  }
  return found;
}

void ReadAhead::run() noexcept {
  std::unique_lock lock(mutex_);
  try {
    for (;;) {
      Input* in = nullptr;
      changed_.wait(lock, [&] {
        in = with_room();
        return stop_ || in != nullptr;
      });
      if (stop_) return;
      std::optional<Block> block;
      if (in->free.empty()) {
        ++in->blocks;
      } else {
        block.emplace(std::move(in->free.back()));
        in->free.pop_back();
      }
      lock.unlock();
      if (!block) block.emplace(in->info, in->frames);
      const Chunk chunk = in->reader.read(*block);
      lock.lock();
      if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0)
        in->ended = true;
      else
        in->ready.push_back({chunk, std::move(*block)});
      changed_.notify_all();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

}  // namespace spillway
