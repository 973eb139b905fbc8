// Plays raw binary files with a recording.json sidecar into the engine.
#pragma once

#include <string>
#include <vector>

#include "spillway/engine/engine.hpp"

namespace spillway {

// A sidecar describes streams in raw little-endian files: see docs/sidecar.md. Samples equal to
// `missing_raw_value`, and NaN, are flagged Bad, missing; samples at or beyond the converter's
// limits Suspect, out of range; the values themselves stay as they are.
struct RecordingSource {
  std::string path;                  // of recording.json
  std::vector<std::string> streams;  // of those in the file; empty: all
  // As fast as the recorder and the graph follow, or as the times in the file say.
  bool real_time = false;
};

// Adds the streams and a source for each. Returns lines about what could not be taken
// over, such as a calibration of an unknown kind (the channel is then recorded raw).
// Throws Error naming file and key: not JSON, a key missing or wrong, an unknown
// stream, a data file that is missing or shorter than promised.
std::vector<std::string> add_source(Engine& engine, const RecordingSource& source);

}  // namespace spillway
