// The streams of an engine, raw and derived, and who must not lose anything of them. Private.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "progress.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/engine/engine.hpp"

namespace spillway {

struct EngineStream {
  std::unique_ptr<Stream> stream;
  Readers readers;
  bool waits = false;  // fed by a source that waits for room
};

// Any thread: a change of the running graph adds streams while sources look for theirs. What is
// found stays where it is as long as the engine.
class Streams {
 public:
  Streams(std::uint64_t memory_budget, std::vector<Publication> publications)
      : budget_(memory_budget), publications_(std::move(publications)) {}

  // A stream that nobody finds yet. `besides`: bytes of the budget that are taken and not those
  // of streams. Throws Error if its name is taken or the budget does not do.
  [[nodiscard]] std::unique_ptr<EngineStream> make(StreamInfo info, std::uint64_t besides) const;
  EngineStream& adopt(std::unique_ptr<EngineStream> made);

  [[nodiscard]] EngineStream* find(const std::string& name) const;
  // Throws Error that lists what there is.
  [[nodiscard]] EngineStream& get(const std::string& name) const;
  // As they are now.
  [[nodiscard]] std::vector<EngineStream*> all() const;
  // What is left of the budget.
  [[nodiscard]] std::uint64_t memory_left() const;

 private:
  [[nodiscard]] EngineStream* find_locked(const std::string& name) const noexcept;

  const std::uint64_t budget_;  // bytes
  const std::vector<Publication> publications_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<EngineStream>> all_;
  std::unordered_map<std::string_view, EngineStream*> by_name_;
  std::uint64_t taken_ = 0;  // bytes, by rings
};

}  // namespace spillway
