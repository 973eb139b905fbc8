// Plays recordings into the engine.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "spillway/engine/engine.hpp"

namespace spillway {

// Everything that Recording::open reads, see recording.hpp: recordings made here, raw files with a
// sidecar, NumPy and WAVE files, tables. Streams come with their values, qualities, times, stamps,
// calibrations and gaps, as the recording has them; what it lacks before its first sample is
// missing.
struct RecordingSource {
  std::string path;
  std::vector<std::string> streams;  // of those in the file; empty: all
  // As fast as the recorder and the graph follow, or as the times in the file say.
  bool real_time = false;
  std::optional<Rate> rate = {};  // of files that do not say it, see foreign.hpp
};

// Adds the streams and a source for each. Returns Recording::remarks: lines about what could not be
// taken over, such as a calibration of an unknown kind (the channel is then recorded raw).
// Throws Error as Recording::open does, and for an unknown stream.
std::vector<std::string> add_source(Engine& engine, const RecordingSource& source);

}  // namespace spillway
