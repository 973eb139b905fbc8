// Corrected calibrations from YAML.
#pragma once

#include <string>
#include <vector>

#include "spillway/storage/calibration_sidecar.hpp"

namespace spillway {

// The list under the key `calibrations`; see docs/replay.md. Throws Error that names file, line
// and column, and the nearest valid key or what is allowed; also if there is nothing in it.
[[nodiscard]] std::vector<CalibrationRecord> read_calibrations(const std::string& path);
// `file` names the text in messages.
[[nodiscard]] std::vector<CalibrationRecord> parse_calibrations(const std::string& text,
                                                                const std::string& file);

}  // namespace spillway
