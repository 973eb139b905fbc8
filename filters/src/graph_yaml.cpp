// A graph from YAML: the same names and parameters as in C++.
#include <fmt/format.h>

#include "spillway/filters/graph_spec.hpp"
#include "strict_yaml.hpp"

namespace spillway {

namespace {

GapPolicy gap_policy(const yaml::Map& map) {
  const auto value = map.find("gap");
  return value && value->word({"reset", "hold"}) == 1 ? GapPolicy::hold : GapPolicy::reset;
}

Calibration calibration_from(const yaml::Map& map) {
  map.allow_only({"slope", "offset", "polynomial", "unit_in", "unit_out", "reference_date",
                  "valid_until", "certificate"});
  Calibration calibration;
  if (const auto list = map.find("polynomial")) {
    if (map.find("slope") || map.find("offset"))
      list->fail("give either slope and offset, or a polynomial");
    Polynomial polynomial;
    for (const yaml::Value& value : list->list()) polynomial.coefficients.push_back(value.number());
    if (polynomial.coefficients.empty()) list->fail("at least one coefficient is needed");
    calibration = polynomial;
  } else {
    Linear linear;
    linear.slope = map.require("slope").number();
    if (const auto offset = map.find("offset")) linear.offset = offset->number();
    calibration = linear;
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

Calibrate calibrate_from(const yaml::Map& map) {
  map.allow_only({"id", "type", "input", "calibration", "unit"});
  Calibrate kind;
  if (const auto value = map.find("calibration")) kind.calibration = calibration_from(value->map());
  if (const auto value = map.find("unit")) kind.unit = value->text();
  return kind;
}

MovingAverage moving_average_from(const yaml::Map& map) {
  map.allow_only({"id", "type", "input", "window", "warm_up", "nan", "gap"});
  MovingAverage kind;
  kind.window = static_cast<std::uint64_t>(map.require("window").integer(1, std::int64_t{1} << 28));
  if (const auto value = map.find("warm_up"))
    kind.warm_up = value->word({"grow", "nan"}) == 0 ? WarmUp::grow : WarmUp::nan;
  if (const auto value = map.find("nan"))
    kind.nan = value->word({"propagate", "ignore"}) == 0 ? NanPolicy::propagate : NanPolicy::ignore;
  kind.gap = gap_policy(map);
  return kind;
}

LowPass lowpass_from(const yaml::Map& map) {
  map.allow_only({"id", "type", "input", "family", "order", "cutoff", "initial", "nan", "gap"});
  if (const auto value = map.find("family")) (void)value->word({"butterworth"});
  Butterworth family;
  if (const auto value = map.find("order")) family.order = static_cast<int>(value->integer(1, 12));
  SosOptions options;
  if (const auto value = map.find("initial"))
    options.initial = value->word({"zero", "steady"}) == 0 ? Initial::zero : Initial::steady;
  if (const auto value = map.find("nan"))
    options.nan = value->word({"hold", "reset"}) == 0 ? NanPolicy::hold : NanPolicy::reset;
  options.gap = gap_policy(map);
  return lowpass(family, map.require("cutoff").frequency(), options);
}

}  // namespace

GraphSpec graph_from_yaml(const std::string& text, const std::string& file) {
  GraphSpec spec;
  const YAML::Node document = yaml::parse(text, file);
  if (!document.IsMap()) return spec;
  const auto graph = yaml::Map(document, file, "the configuration").find("graph");
  if (!graph) return spec;
  for (const yaml::Value& entry : graph->list()) {
    const yaml::Map unnamed(entry.node(), file, entry.name());
    const std::string id = unnamed.require("id").text();
    const yaml::Map map(entry.node(), file, fmt::format("node '{}'", id));
    NodeSpec node;
    node.id = id;
    node.where = entry.where();
    node.input = map.require("input").text();
    switch (map.require("type").word({"calibrate", "moving_average", "lowpass"})) {
      case 0: node.kind = calibrate_from(map); break;
      case 1: node.kind = moving_average_from(map); break;
      default: node.kind = lowpass_from(map); break;
    }
    spec.nodes.push_back(std::move(node));
  }
  return spec;
}

}  // namespace spillway
