// Streams that other processes publish in shared memory: find them, and read them.
//
// A stream whose StreamInfo::publish_as is not empty lies in shared memory under that
// name. Any process of the machine that may open it attaches read-only and reads with
// StreamReaders of its own, as the publishing process does: same numbers, same quality,
// same exact loss. Readers write nothing, so whatever becomes of them, stopped, killed
// or never reading, the writer does not notice.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/channels/stream.hpp"

namespace spillway {

// What became of the process that writes a published stream.
enum class Publisher : std::uint8_t {
  alive,
  finished,  // it ended the stream in an orderly way; everything it pushed is published
  gone,      // it died; what it had published is still readable
};

// A published stream, mapped read-only. What it had when attached stays readable as
// long as this lives, even if the publisher dies or starts anew.
//
// Damaged contents may yield wrong samples, but nothing outside of the mapping is ever
// read: sizes were copied once and checked against the file. (Whoever may write the
// file can still truncate it, which ends a reader by SIGBUS.)
class AttachedStream {
 public:
  // Throws Error if nothing is published under `name`, it is not permitted, of another
  // version, truncated or damaged.
  explicit AttachedStream(const std::string& name);

  // For StreamReader and Reader<T>. Remote readers wait with Sleep: nobody wakes them.
  [[nodiscard]] const Stream& stream() const noexcept { return stream_; }

  // Any thread; a system call each.
  [[nodiscard]] Publisher publisher() const noexcept;
  // Whether the name now stands for another stream, or for none: a publisher that
  // started anew is read by attaching anew.
  [[nodiscard]] bool is_replaced() const noexcept;

  [[nodiscard]] std::int64_t process() const noexcept;     // of the publisher
  [[nodiscard]] std::int64_t started_ns() const noexcept;  // since 1970, UTC

 private:
  Stream stream_;
};

// The names under which streams are published on this machine, sorted; also those whose
// publisher died and nobody replaced, and those that may not be opened.
[[nodiscard]] std::vector<std::string> published_streams();

}  // namespace spillway
