// Calibrations as they stand in configurations. Private to our sources, as strict_yaml.hpp.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "spillway/channels/calibration.hpp"
#include "strict_yaml.hpp"

namespace spillway::yaml {

inline std::vector<double> numbers_of(const Value& list) {
  std::vector<double> values;
  for (const Value& value : list.list()) values.push_back(value.number());
  return values;
}

inline Table table_from(const Value& value) {
  const Map map = value.map();
  map.allow_only({"x", "y", "outside"});
  Table table{numbers_of(map.require("x")), numbers_of(map.require("y")), Outside::clamp};
  if (const auto outside = map.find("outside"))
    table.outside = static_cast<Outside>(outside->word({"clamp", "extrapolate", "nan"}));
  check(table, fmt::format("{}: {}", value.where(), value.name()));
  return table;
}

// `slope` and `offset`, `polynomial`, or `table`; `map` may have other keys.
inline CalibrationStep step_from(const Map& map) {
  const auto polynomial = map.find("polynomial");
  const auto table = map.find("table");
  const auto slope = map.find("slope");
  const auto offset = map.find("offset");
  if ((polynomial && table) || ((polynomial || table) && (slope || offset)))
    (polynomial ? polynomial : table)
        ->fail("give slope and offset, or a polynomial, or a table; of several make steps");
  if (polynomial) {
    Polynomial step{numbers_of(*polynomial)};
    if (step.coefficients.empty()) polynomial->fail("at least one coefficient is needed");
    return step;
  }
  if (table) return table_from(*table);
  Linear linear;
  linear.slope = map.require("slope").number();
  if (offset) linear.offset = offset->number();
  return linear;
}

inline Calibration calibration_from(const Map& map) {
  map.allow_only({"slope", "offset", "polynomial", "table", "steps", "unit_in", "unit_out",
                  "reference_date", "valid_until", "certificate"});
  Calibration calibration;
  if (const auto steps = map.find("steps")) {
    for (const char* key : {"slope", "offset", "polynomial", "table"})
      if (const auto single = map.find(key)) single->fail("must be one of the steps, as there are");
    for (const Value& value : steps->list()) {
      const Map step = value.map();
      step.allow_only({"slope", "offset", "polynomial", "table"});
      calibration.steps.push_back(step_from(step));
    }
    if (calibration.steps.empty()) steps->fail("at least one step is needed");
  } else {
    calibration.steps.push_back(step_from(map));
  }
  const auto text = [&](const char* key, std::string& to) {
    if (const auto value = map.find(key)) to = value->text();
  };
  text("unit_in", calibration.unit_in);
  text("unit_out", calibration.unit_out);
  text("reference_date", calibration.reference_date);
  text("valid_until", calibration.valid_until);
  text("certificate", calibration.certificate);
  return calibration;
}

}  // namespace spillway::yaml
