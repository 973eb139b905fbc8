// Which recording it is, whatever its name is and wherever it lies. Private.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "recording_backend.hpp"

namespace spillway {

// The same while it grows, sealed, recovered, moved and renamed. All texts are UTF-8.
struct RecordingIdentity {
  struct Samples {
    std::uint64_t rows = 0;
    std::string xxh3;  // of some of them, spread over all
  };
  std::string start_time;
  std::string title;
  std::vector<std::string> streams;
  std::string made_by;  // CRC-32C of configuration and provenance
  // Of each stream, only where nothing else tells one from another: of files of others, whose
  // streams may be named after the file, and where the start is not known.
  std::vector<Samples> samples;
};

// Reads some 2000 rows of at most 16 channels of each stream if the samples are to tell.
[[nodiscard]] RecordingIdentity identity_of(const RecordingBackend& recording);

// Why `now` is not the recording of that identity, for people; empty: it is. Streams may be named
// otherwise if the samples tell. Throws Error as reading does.
[[nodiscard]] std::string difference(const RecordingIdentity& then, const RecordingBackend& now);

}  // namespace spillway
