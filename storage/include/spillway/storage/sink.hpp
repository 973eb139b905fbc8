// Where a recorder writes to.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream_info.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

// In the place of the time at which a recording began or ended: nobody knows it, as in files of
// others. It reads back as empty.
inline constexpr const char* unknown_time = "unknown";

// What is known about a recording before its first sample.
struct RecordingInfo {
  std::string title = {};
  // UTC, ISO 8601 ("2026-05-04T10:44:18.529Z"), or unknown_time; empty: now
  std::string start_time = {};
  std::string configuration = {};  // the YAML text that ran, as given; empty: none
  std::string provenance =
      {};  // what made the derived streams: nodes and their parameters, JSON text
  std::vector<StreamInfo> streams = {};
  // Of every node at the first sample, opaque bytes (to_bytes of a GraphSnapshot); empty: as made
  // new.
  std::string state = {};
};

// Something that happened, for the recording to tell later.
struct RecordedEvent {
  std::int64_t time_ns = 0;  // since 1970-01-01, UTC
  std::string kind;          // "samples lost", ...
  std::string subject;       // the source, stream, node or path
  std::uint64_t first = 0;   // sample number, where one is meant
  std::uint64_t count = 0;   // samples
  std::string text;          // one line for people
  friend bool operator==(const RecordedEvent&, const RecordedEvent&) = default;
};

// Thrown by append and flush where the disk is full, or about to be: what was acknowledged is
// safe, close() seals it, and whoever records may go on in another file once there is room.
class DiskFull : public Error {
 public:
  using Error::Error;
};

// How a recording ended.
struct Ending {
  bool complete = true;     // false: the sink was ended early, by an error or a full disk
  std::string reason = {};  // one line; empty for a normal stop
  // recover() ended it, not whoever recorded it; `reason` says how far it goes.
  bool recovered = false;
  // UTC, ISO 8601, or unknown_time; empty: now, or, of a recovered one, unknown.
  std::string end_time = {};
};

// The status of a recording that ended so: "complete", "incomplete: <reason>" or "recovered:
// <reason>".
[[nodiscard]] inline std::string to_string(const Ending& ending) {
  if (ending.recovered) return "recovered: " + ending.reason;
  return ending.complete ? "complete" : "incomplete: " + ending.reason;
}

// Whether a recording goes on in another file.
enum class Resumed : std::uint8_t { yes, not_yet, never };

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
  // calibrations it names. Chunks without samples, but with losses, come too, or what they tell
  // would be forgotten: throws Error, before it takes anything, if a chunk or gap does not begin
  // where the last one of the stream ended.
  virtual void append(std::size_t stream, const Chunk& chunk, const Block& block,
                      const CalibrationSet& calibrations) = 0;

  // So many frames of such a stream, from a row divisible by it on, are best appended at once: they
  // are then written from where they are. 0: it makes no difference. Any time.
  [[nodiscard]] virtual std::size_t best_frames(const StreamInfo& info) const {
    static_cast<void>(info);
    return 0;
  }

  // Samples that are not in this recording although they were read, or that another
  // recording's books name: from the first sample this stream has no word on yet, or in front of
  // the next chunk.
  virtual void append_gap(std::size_t stream, const Gap& gap) = 0;

  // Stamps the source gave.
  virtual void append(std::size_t stream, std::span<const Anchor> anchors) = 0;

  // What happened, and, one line of JSON each, what made the derived streams differ from a pure
  // function of the raw ones. A sink that has no place for them leaves them out.
  virtual void append_event(const RecordedEvent& event) { static_cast<void>(event); }
  virtual void append_log(std::string_view line) { static_cast<void>(line); }

  // When it returns, everything appended so far is acknowledged: it survives what the durability of
  // the sink says, and can be read by others, but see Compression. Throws if that is not so; what
  // was acknowledged before remains so.
  virtual void flush() = 0;

  // Flushes, seals and gives the recording its final name. After append, append_gap or flush
  // threw, it is sealed as incomplete, for that reason unless `ending` has one, even if told
  // complete: see FirstFailure.
  virtual void close(const Ending& ending) = 0;

  // After close, also if it threw: the first sample of the stream that this recording, sealed or
  // recovered, may say nothing of; every one before is recorded in it, or named.
  [[nodiscard]] virtual SampleNumber end(std::size_t stream) const = 0;

  // Whether what it writes to is as large, or as old, as it may be: then whoever records calls
  // go_on() at a place of its choice. Asked behind a flush.
  [[nodiscard]] virtual bool is_due() { return false; }

  // If this kind of sink can: closes what it writes to as close({}) does, and goes on in another
  // file that `info` describes, with `log` in front of other lines of the log. Streams count as in
  // that info from here on; those of the same name go on, others may come and go. Also after
  // close() because the disk was full: that is the file that resume() begins. False: it can't, and
  // nothing has changed. Throws what close() throws; then streams count as before.
  virtual bool go_on(const RecordingInfo& info, const std::vector<std::string>& log) {
    static_cast<void>(info);
    static_cast<void>(log);
    return false;
  }

  // After close() because the disk was full: goes on in another file, if this kind of sink can, and
  // there is room. What came meanwhile is the caller's to tell, by append_gap. Throws Error if that
  // file can't be made for another reason than room.
  virtual Resumed resume() { return Resumed::never; }

  // Bytes that may still be written where it lies; none: unknown, or it takes care of room itself.
  [[nodiscard]] virtual std::optional<std::uint64_t> free_bytes() { return std::nullopt; }

  // Samples of those before end() that it was given and could not write, and names itself.
  [[nodiscard]] virtual std::uint64_t not_written(std::size_t stream) const {
    static_cast<void>(stream);
    return 0;
  }

  // Instead of close, for a recording in which nothing came to be recorded: leaves no file.
  virtual void abandon() noexcept {}

  // Bytes written so far, for people to look at.
  [[nodiscard]] virtual std::uint64_t bytes_written() const noexcept = 0;

  // Where it writes to, for messages: a path, or what it is.
  [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace spillway
