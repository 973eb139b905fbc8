// The calibrations that stand beside a recording, for those that open it or put another one in its
// place. Private.
#pragma once

#include <string>
#include <vector>

#include "recording_backend.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/output_file.hpp"

namespace spillway {

// Those of an opened recording, with its streams named as they are now. Throws Error that names the
// sidecar if it is damaged, of another recording, or of a stream that is not there.
[[nodiscard]] std::vector<CalibrationRecord> calibrations_beside(const RecordingBackend& recording,
                                                                 FileCalls& calls);

// Throws Error if there are any beside a recording that is to be replaced: nobody could make them
// again, and they are of no other.
void refuse_calibrations_beside(const std::string& path, Existing existing, FileCalls& calls);

}  // namespace spillway
