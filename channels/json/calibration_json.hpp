// Calibrations as JSON: how recordings keep them, whatever their format.
//
//   {"steps": [{"kind": "linear", "slope": 0.0012, "offset": -5.0},
//              {"kind": "polynomial", "coefficients": [0.0, 1.0, 0.25]},
//              {"kind": "table", "x": [0.0, 1.0], "y": [0.0, 2.5], "outside": "clamp"}],
//    "unit_in": "V", "unit_out": "N", "reference_date": "2026-01-15",
//    "valid_until": "2027-01-15", "certificate": "DKD-1234"}
//
// Empty texts are left out. Numbers read back as the same doubles, bit for bit.
#pragma once

#include <nlohmann/json.hpp>

#include "spillway/channels/calibration.hpp"

namespace spillway {

// Needs check(calibration): JSON has no spelling for what is not finite.
[[nodiscard]] nlohmann::ordered_json to_json(const Calibration& calibration);

// Throws Error that names the entry unless `json` is an object as above, and check() passes:
// "steps" is required and may be empty, a text that is left out is empty, other entries are
// ignored.
[[nodiscard]] Calibration calibration_from_json(const nlohmann::ordered_json& json);

}  // namespace spillway
