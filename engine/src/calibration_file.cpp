#include "spillway/engine/calibration_file.hpp"

#include <fmt/format.h>

#include <limits>

#include "calibration_yaml.hpp"
#include "spillway/channels/error.hpp"
#include "text_file.hpp"

namespace spillway {

namespace {

constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();

CalibrationRecord record_from(const yaml::Value& value) {
  const yaml::Map map = value.map();
  map.allow_only(
      {"stream", "channel", "from_sample", "to_sample", "calibration", "unit", "reason"});
  CalibrationRecord record;
  record.stream = map.require("stream").text();
  record.channel = map.require("channel").text();
  if (const auto v = map.find("from_sample"))
    record.from_sample = static_cast<std::uint64_t>(v->integer(0, last));
  if (const auto v = map.find("to_sample")) {
    record.to_sample = static_cast<std::uint64_t>(v->integer(0, last));
    if (*record.to_sample <= record.from_sample)
      v->fail(fmt::format("is not behind from_sample, {}", record.from_sample));
  }
  record.calibration = yaml::calibration_from(map.require("calibration").map());
  if (const auto v = map.find("unit")) record.unit = v->text();
  if (const auto v = map.find("reason")) record.reason = v->text();
  return record;
}

}  // namespace

std::vector<CalibrationRecord> parse_calibrations(const std::string& text,
                                                  const std::string& file) {
  const YAML::Node document = yaml::parse(text, file);
  if (!document.IsMap())
    throw Error(fmt::format("{}: must be a mapping with the key 'calibrations'", file));
  const yaml::Map map(document, file, "the file of calibrations");
  map.allow_only({"calibrations"});
  const yaml::Value list = map.require("calibrations");
  std::vector<CalibrationRecord> records;
  for (const yaml::Value& value : list.list())
    records.push_back(
        record_from({value.node(), file, fmt::format("calibrations[{}]", records.size())}));
  if (records.empty()) list.fail("at least one calibration is needed");
  return records;
}

std::vector<CalibrationRecord> read_calibrations(const std::string& path) {
  return parse_calibrations(read_text(path, "a file of calibrations"), path);
}

}  // namespace spillway
