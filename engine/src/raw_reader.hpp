// Reads a raw stream of a recording for a replay. Private.
#pragma once

#include <cstddef>
#include <vector>

#include "replay_plan.hpp"
#include "spillway/storage/recording_reader.hpp"

namespace spillway {

// A RecordingReader with the calibrations of the plan. One thread at a time.
class RawReader {
 public:
  RawReader(const Recording& recording, const ReplayPlan::Input& input);

  // As RecordingReader::read.
  Chunk read(Block& block);
  [[nodiscard]] const CalibrationSet& calibrations(CalibrationSetId id) const noexcept {
    return id.value == 0 ? none_ : changes_[id.value - 1].calibrations;
  }
  [[nodiscard]] SampleNumber next() const noexcept { return reader_.next(); }
  void seek(SampleNumber number) noexcept { reader_.seek(number); }

 private:
  RecordingReader reader_;
  const std::vector<CalibrationChange>& changes_;
  CalibrationSet none_;
};

}  // namespace spillway
