#include "calibration_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;

Json step_to_json(const Linear& step) {
  return {{"kind", "linear"}, {"slope", step.slope}, {"offset", step.offset}};
}

Json step_to_json(const Polynomial& step) {
  return {{"kind", "polynomial"}, {"coefficients", step.coefficients}};
}

constexpr std::array<std::string_view, 3> outside_words{"clamp", "extrapolate", "nan"};

Json step_to_json(const Table& step) {
  return {{"kind", "table"},
          {"x", step.x},
          {"y", step.y},
          {"outside", outside_words[static_cast<std::size_t>(step.outside)]}};
}

const Json& entry(const Json& json, const std::string& where, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) throw Error(fmt::format("{}: \"{}\" is missing", where, key));
  return *found;
}

double number(const Json& json, const std::string& where) {
  if (!json.is_number() || !std::isfinite(json.get<double>()))
    throw Error(fmt::format("{}: is {}; a finite number is needed", where,
                            json.dump(-1, ' ', false, Json::error_handler_t::replace)));
  return json.get<double>();
}

std::string text(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return {};
  if (!found->is_string())
    throw Error(
        fmt::format("calibration: \"{}\" is a {}; a string is needed", key, found->type_name()));
  return found->get<std::string>();
}

std::vector<double> numbers(const Json& json, const std::string& where, const char* key) {
  const Json& list = entry(json, where, key);
  if (!list.is_array() || list.empty())
    throw Error(fmt::format("{}: \"{}\" must be a list of at least one number", where, key));
  std::vector<double> values;
  for (const Json& value : list)
    values.push_back(number(value, fmt::format("{}, \"{}\"", where, key)));
  return values;
}

Table table_from_json(const Json& json, const std::string& where) {
  Table table{numbers(json, where, "x"), numbers(json, where, "y"), Outside::clamp};
  const Json& word = entry(json, where, "outside");
  const auto* const found = std::ranges::find_if(outside_words, [&](auto w) { return word == w; });
  if (found == outside_words.end())
    throw Error(fmt::format("{}: \"outside\" is {}; allowed are {}", where,
                            word.dump(-1, ' ', false, Json::error_handler_t::replace),
                            fmt::join(outside_words, ", ")));
  table.outside = static_cast<Outside>(found - outside_words.begin());
  check(table, where);
  return table;
}

CalibrationStep step_from_json(const Json& json, const std::string& where) {
  if (!json.is_object())
    throw Error(fmt::format("{}: is a {}; an object is needed", where, json.type_name()));
  const Json& kind = entry(json, where, "kind");
  if (kind == "linear")
    return Linear{.slope = number(entry(json, where, "slope"), where + ", \"slope\""),
                  .offset = number(entry(json, where, "offset"), where + ", \"offset\"")};
  if (kind == "polynomial") return Polynomial{numbers(json, where, "coefficients")};
  if (kind == "table") return table_from_json(json, where);
  throw Error(
      fmt::format("{}: kind {} is unknown; known are \"linear\", \"polynomial\" and \"table\"",
                  where, kind.dump(-1, ' ', false, Json::error_handler_t::replace)));
}

}  // namespace

Json to_json(const Calibration& calibration) {
  Json json;
  json["steps"] = Json::array();
  for (const CalibrationStep& step : calibration.steps)
    json["steps"].push_back(std::visit([](const auto& s) { return step_to_json(s); }, step));
  const auto add = [&](const char* key, const std::string& value) {
    if (!value.empty()) json[key] = value;
  };
  add("unit_in", calibration.unit_in);
  add("unit_out", calibration.unit_out);
  add("reference_date", calibration.reference_date);
  add("valid_until", calibration.valid_until);
  add("certificate", calibration.certificate);
  return json;
}

Calibration calibration_from_json(const Json& json) {
  if (!json.is_object())
    throw Error(fmt::format("calibration: is a {}; an object is needed", json.type_name()));
  const Json& steps = entry(json, "calibration", "steps");
  if (!steps.is_array())
    throw Error(fmt::format("calibration: \"steps\" is a {}; a list is needed", steps.type_name()));
  Calibration calibration;
  for (std::size_t i = 0; i < steps.size(); ++i)
    calibration.steps.push_back(
        step_from_json(steps[i], fmt::format("calibration: step {}", i + 1)));
  calibration.unit_in = text(json, "unit_in");
  calibration.unit_out = text(json, "unit_out");
  calibration.reference_date = text(json, "reference_date");
  calibration.valid_until = text(json, "valid_until");
  calibration.certificate = text(json, "certificate");
  return calibration;
}

}  // namespace spillway
