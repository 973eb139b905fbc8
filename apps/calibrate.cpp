#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "calibration_json.hpp"
#include "commands.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/engine/calibration_file.hpp"
#include "spillway/engine/replay.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/recording.hpp"
#include "text.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

std::string samples_of(const CalibrationRecord& record) {
  if (record.to_sample)
    return fmt::format("samples {} to {}", record.from_sample, *record.to_sample - 1);
  return record.from_sample == 0 ? "all samples"
                                 : fmt::format("from sample {}", record.from_sample);
}

// What describe() leaves out of a step.
std::string in_full(const Linear&) { return {}; }

std::string in_full(const Polynomial& step) {
  std::string text;
  for (std::size_t power = 0; power < step.coefficients.size(); ++power) {
    const double c = step.coefficients[power];
    text += power == 0        ? fmt::format("{}", c)
            : std::signbit(c) ? fmt::format(" - {} x", -c)
                              : fmt::format(" + {} x", c);
    if (power > 1) text += fmt::format("^{}", power);
  }
  return text;
}

std::string in_full(const Table& step) {
  constexpr std::size_t most_points = 32;
  std::string text;
  for (std::size_t i = 0; i < std::min(step.x.size(), most_points); ++i)
    text += fmt::format("{}{} to {}", i == 0 ? "" : ", ", step.x[i], step.y[i]);
  if (step.x.size() > most_points)
    text += fmt::format(" and {} more (--json has all)", step.x.size() - most_points);
  constexpr std::array outside{"clamped", "extrapolated", "NaN"};
  return fmt::format("{}; outside {}", text, outside.at(static_cast<std::size_t>(step.outside)));
}

std::string papers_of(const Calibration& calibration) {
  std::string text;
  const auto add = [&](const char* what, const std::string& value) {
    if (!value.empty())
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", what, readable(value));
  };
  add("from", calibration.unit_in);
  add("to", calibration.unit_out);
  add("reference date", calibration.reference_date);
  add("valid until", calibration.valid_until);
  add("certificate", calibration.certificate);
  return text;
}

void print(const std::vector<CalibrationRecord>& records) {
  for (const CalibrationRecord& record : records) {
    tell(stdout, "{}/{}, {}: {}{}{}{}\n", record.stream, record.channel, samples_of(record),
         describe(record.calibration), record.unit.empty() ? "" : " in " + record.unit,
         record.reason.empty() ? "" : " (" + record.reason + ")",
         record.added.empty() ? "" : ", added " + record.added);
    for (const CalibrationStep& step : record.calibration.steps)
      if (const auto text = std::visit([](const auto& s) { return in_full(s); }, step);
          !text.empty())
        tell(stdout, "  {}\n", text);
    if (const std::string text = papers_of(record.calibration); !text.empty())
      tell(stdout, "  {}\n", text);
  }
}

Json json_of(const std::vector<CalibrationRecord>& records) {
  Json all = Json::array();
  for (const CalibrationRecord& record : records) {
    Json json{{"stream", record.stream},
              {"channel", record.channel},
              {"from_sample", record.from_sample}};
    if (record.to_sample) json["to_sample"] = *record.to_sample;
    json["calibration"] = describe(record.calibration);
    json.update(to_json(record.calibration));
    json["unit"] = record.unit;
    json["reason"] = record.reason;
    json["added"] = record.added;
    all.push_back(std::move(json));
  }
  return all;
}

std::vector<std::string> append(const CalibrateArguments& arguments) {
  std::vector<CalibrationRecord> records = read_calibrations(arguments.calibrations);
  const Foreign options = foreign(arguments.foreign);
  const std::set<std::string> derived =
      recorded_nodes(Recording::open(arguments.path, OpenOptions{.foreign = options}));
  for (const CalibrationRecord& record : records)
    if (derived.contains(record.stream))
      throw Error(fmt::format(
          "{}: '{}' was made by a node of the graph, in its units; calibrate what it was made of, "
          "then replay with --complete",
          arguments.path, record.stream));
  return append_calibrations(arguments.path, std::move(records), options);
}

}  // namespace

int calibrate(const CalibrateArguments& arguments) {
  std::vector<std::string> remarks;
  if (!arguments.calibrations.empty())
    remarks = append(arguments);
  else if (arguments.list)  // Of what is no recording, or another one, there is no list.
    static_cast<void>(
        Recording::open(arguments.path, OpenOptions{.foreign = foreign(arguments.foreign)}));
  else
    throw Error(fmt::format("{}: nothing to do: name a YAML file of calibrations, or use --list",
                            arguments.path));
  const std::vector<CalibrationRecord> records = appended_calibrations(arguments.path);
  const std::string sidecar = calibration_sidecar_of(arguments.path);
  if (arguments.json) {
    tell(stdout, "{}\n",
         Json{{"recording", arguments.path},
              {"file", sidecar},
              {"calibrations", json_of(records)},
              {"remarks", remarks}}
             .dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    tell(stdout, "{}: {} calibration{} appended\n", sidecar, records.size(),
         records.size() == 1 ? "" : "s");
    print(records);
    for (const std::string& remark : remarks) tell(stderr, "note: {}\n", remark);
  }
  return 0;
}

}  // namespace spillway::apps
