#include "spillway/engine/calibration_file.hpp"

#include <string>

#include "spillway/channels/error.hpp"
#include "support/catch.hpp"

namespace spillway {

namespace {

std::string error_of(const std::string& text) {
  try {
    (void)parse_calibrations(text, "c.yaml");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("Calibrations are read with all that they may tell") {
  const auto records = parse_calibrations(R"(
calibrations:
  - {stream: g, channel: x, calibration: {slope: 2, offset: -1}}
  - stream: g
    channel: y
    from_sample: 10
    to_sample: 20
    calibration: {steps: [{slope: 3}, {polynomial: [1, 0, 2]}], certificate: K 7}
    unit: mV
    reason: recalibrated
)",
                                          "c.yaml");
  CalibrationRecord first;
  first.stream = "g";
  first.channel = "x";
  first.calibration = Linear{2.0, -1.0};
  CalibrationRecord second;
  second.stream = "g";
  second.channel = "y";
  second.from_sample = 10;
  second.to_sample = 20;
  second.calibration.steps = {Linear{3.0, 0.0}, Polynomial{{1.0, 0.0, 2.0}}};
  second.calibration.certificate = "K 7";
  second.unit = "mV";
  second.reason = "recalibrated";
  CHECK(records == std::vector{first, second});
}

TEST_CASE("What is wrong with a file of calibrations is told with its place") {
  const std::string front = "calibrations:\n  - {stream: g, channel: x, ";
  CHECK(error_of("") == "c.yaml: must be a mapping with the key 'calibrations'");
  CHECK(error_of("calibrations: []").starts_with("c.yaml:1:15: "));
  CHECK(error_of("calibration: []") ==
        "c.yaml:1:1: unknown key 'calibration' in the file of calibrations; did you mean "
        "'calibrations'?");
  CHECK(error_of(front + "calibration: {slop: 1}}").starts_with("c.yaml:2:43: unknown key 'slop'"));
  CHECK(error_of(front + "from: 1, calibration: {slope: 1}}").starts_with("c.yaml:2:29: "));
  CHECK(error_of(front + "from_sample: -1, calibration: {slope: 1}}").starts_with("c.yaml:2:42: "));
  CHECK(error_of(front + "from_sample: 5, to_sample: 5, calibration: {slope: 1}}")
            .starts_with("c.yaml:2:56: "));
  CHECK(error_of("calibrations:\n  - {stream: g, calibration: {slope: 1}}") ==
        "c.yaml:2:5: calibrations[0] lacks the key 'channel'");
}

}  // namespace spillway
