// Where a recorder writes to.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream_info.hpp"

namespace spillway {

// What is known about a recording before its first sample.
struct RecordingInfo {
  std::string title = {};
  std::string start_time = {};     // UTC, ISO 8601 ("2026-05-04T10:44:18.529Z"); empty: now
  std::string configuration = {};  // the YAML text that ran, as given; empty: none
  std::string provenance =
      {};  // what made the derived streams: nodes and their parameters, JSON text
  std::vector<StreamInfo> streams = {};
};

// How a recording ended.
struct Ending {
  bool complete = true;     // false: the sink was ended early, by an error or a full disk
  std::string reason = {};  // one line; empty for a normal stop
};

// A sink takes the streams of one recording, chunk by chunk, in the order of sample
// numbers for each stream. One thread at a time. Every function may block, allocate
// and throw Error; after a throw only `close` may follow, which then saves
// what was recorded so far if it can. Destroyed without close, a sink leaves what
// was flushed under its temporary name.
class Sink {
 public:
  Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;
  virtual ~Sink() = default;

  // Called once, first. Streams are named by their index in info.streams from here on.
  virtual void begin(const RecordingInfo& info) = 0;

  // `chunk` as StreamReader::read gave it, its samples in `block`, and the set of
  // calibrations it names. Chunks without samples, but with losses, come too.
  virtual void append(std::size_t stream, const Chunk& chunk, const Block& block,
                      const CalibrationSet& calibrations) = 0;

  // Stamps the source gave.
  virtual void append(std::size_t stream, std::span<const Anchor> anchors) = 0;

  // Everything appended so far becomes readable by others, and survives the end
  // of this process.
  virtual void flush() = 0;

  // Flushes, seals and gives the recording its final name.
  virtual void close(const Ending& ending) = 0;

  // Instead of close, for a recording in which nothing came to be recorded: leaves no file.
  virtual void abandon() noexcept {}

  // Bytes written so far, for people to look at.
  [[nodiscard]] virtual std::uint64_t bytes_written() const noexcept = 0;

  // Where it writes to, for messages: a path, or what it is.
  [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace spillway
