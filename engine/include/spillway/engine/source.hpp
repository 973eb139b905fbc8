// What a source may ask of the engine that runs it.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "spillway/channels/writer.hpp"

namespace spillway {

// Passed to a source, which is a plain function on a thread of its own. Used by that
// thread alone; everything here may block, and none of it belongs in a push.
class SourceContext {
 public:
  virtual ~SourceContext() = default;

  // False once the engine wants to stop: return soon.
  [[nodiscard]] virtual bool running() const noexcept = 0;

  // Waits until `count` samples fit into the ring without overwriting any that the
  // recorder or the graph still needs: for sources that can wait, such as files.
  // False if the engine wants to stop. `count` must not exceed the stream's capacity.
  virtual bool wait_for_room(const StreamWriter& writer, SampleCount count) = 0;

  // Sleeps until then, or until the engine wants to stop; false in that case.
  virtual bool sleep_until(std::chrono::steady_clock::time_point time) = 0;
};

// Fills one or more writers until its data ends or context.running() is false.
// An exception ends the source and is told by an event and the report.
using Source = std::function<void(SourceContext&)>;

struct SourceOptions {
  std::string name;
  // The streams it writes. For the ones it waits for room in, the graph waits as
  // well, so that nothing is overwritten in derived streams either.
  std::vector<std::string> streams;
  bool waits_for_room = false;
};

}  // namespace spillway
