#include "calibration_json.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using Json = nlohmann::ordered_json;
using test::contains;
using test::message_of;

Calibration through_text(const Calibration& calibration) {
  return calibration_from_json(Json::parse(to_json(calibration).dump()));
}

std::string refusal(const std::string& text) {
  return message_of([&] { static_cast<void>(calibration_from_json(Json::parse(text))); });
}

}  // namespace

TEST_CASE("calibration JSON: the documented form") {
  Calibration calibration{Linear{.slope = 0.0012, .offset = -5.0}};
  calibration.steps.push_back(Polynomial{{0.0, 1.0, 0.25}});
  calibration.unit_in = "V";
  calibration.unit_out = "N";
  calibration.reference_date = "2026-01-15";
  calibration.valid_until = "2027-01-15";
  calibration.certificate = "DKD-1234";
  CHECK(to_json(calibration).dump() ==
        R"({"steps":[{"kind":"linear","slope":0.0012,"offset":-5.0},)"
        R"({"kind":"polynomial","coefficients":[0.0,1.0,0.25]}],"unit_in":"V","unit_out":"N",)"
        R"("reference_date":"2026-01-15","valid_until":"2027-01-15","certificate":"DKD-1234"})");
  CHECK(through_text(calibration) == calibration);
}

TEST_CASE("calibration JSON: a table, for each of its ends") {
  for (const auto& [outside, word] :
       {std::pair(Outside::clamp, "clamp"), std::pair(Outside::extrapolate, "extrapolate"),
        std::pair(Outside::nan, "nan")}) {
    Calibration calibration{Linear{.slope = 2.0, .offset = 0.0}};
    calibration.steps.emplace_back(Table{{-0.1, 1.0 / 3.0, 1e300}, {5.0, -0.0, 0.2}, outside});
    CHECK(through_text(calibration) == calibration);
    CHECK(to_json(calibration)["steps"][1]["outside"] == word);
  }
  CHECK(to_json(Table{{0.0, 1.0}, {0.0, 2.5}, {}}).dump() ==
        R"({"steps":[{"kind":"table","x":[0.0,1.0],"y":[0.0,2.5],"outside":"clamp"}]})");
}

TEST_CASE("calibration JSON: no steps, and texts left out") {
  CHECK(to_json(Calibration{}).dump() == R"({"steps":[]})");
  CHECK(through_text(Calibration{}) == Calibration{});
  Calibration named;
  named.certificate = "\"°C\"\n";
  CHECK(through_text(named) == named);
}

TEST_CASE("calibration JSON: one coefficient stays a list") {
  const Calibration calibration{Polynomial{{3.0}}};
  CHECK(to_json(calibration)["steps"][0]["coefficients"].is_array());
  CHECK(through_text(calibration) == calibration);
}

TEST_CASE("calibration JSON: doubles come back bit for bit") {
  using Limits = std::numeric_limits<double>;
  std::vector<double> values{0.0,
                             -0.0,
                             0.1,
                             1.0 / 3.0,
                             Limits::max(),
                             Limits::lowest(),
                             Limits::min(),
                             Limits::denorm_min(),
                             9007199254740993.0,
                             1e22,
                             1e23};
  std::mt19937_64 random(1);
  while (values.size() < 10'000) {
    const auto value = std::bit_cast<double>(random());
    if (std::isfinite(value)) values.push_back(value);
  }
  const Calibration back = through_text(Calibration{Polynomial{values}});
  const auto& read = std::get<Polynomial>(back.steps.at(0)).coefficients;
  REQUIRE(read.size() == values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    REQUIRE(std::bit_cast<std::uint64_t>(read[i]) == std::bit_cast<std::uint64_t>(values[i]));
}

TEST_CASE("calibration JSON: integers are numbers too, other entries are ignored") {
  CHECK(calibration_from_json(
            Json::parse(R"({"by":"me","steps":[{"kind":"linear","slope":2,"offset":-1}]})")) ==
        Calibration{Linear{.slope = 2.0, .offset = -1.0}});
}

TEST_CASE("calibration JSON: what is wrong is named") {
  CHECK(contains(refusal("[]"), "object"));
  CHECK(contains(refusal("{}"), "\"steps\" is missing"));
  CHECK(contains(refusal(R"({"steps":{}})"), "list"));
  CHECK(contains(refusal(R"({"steps":[1]})"), "step 1"));
  CHECK(contains(refusal(R"({"steps":[{}]})"), "\"kind\" is missing"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"spline"}]})"), "\"spline\" is unknown"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"table","x":[1,2]}]})"), "\"y\" is missing"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"table","x":[1,2],"y":[1,2]}]})"),
                 "\"outside\" is missing"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"table","x":[1,2],"y":[1,2],"outside":"end"}]})"),
                 "allowed are clamp, extrapolate, nan"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"table","x":[1,1],"y":[1,2],"outside":"nan"}]})"),
                 "step 1: calibration table: x[1] = 1 is not above x[0] = 1"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"table","x":[1,2],"y":[1],"outside":"nan"}]})"),
                 "2 x and 1 y"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"table","x":1,"y":[1],"outside":"nan"}]})"),
                 "\"x\" must be a list"));
  CHECK(contains(refusal(R"({"steps":[{"kind":7}]})"), "7 is unknown"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"linear","slope":1}]})"), "\"offset\" is missing"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"linear","slope":"1","offset":0}]})"),
                 "finite number"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"linear","slope":null,"offset":0}]})"), "\"slope\""));
  CHECK(contains(refusal(R"({"steps":[{"kind":"polynomial"}]})"), "\"coefficients\" is missing"));
  CHECK(
      contains(refusal(R"({"steps":[{"kind":"polynomial","coefficients":[]}]})"), "at least one"));
  CHECK(contains(refusal(R"({"steps":[{"kind":"polynomial","coefficients":[1,true]}]})"), "true"));
  CHECK(contains(refusal(R"({"steps":[],"unit_in":5})"), "\"unit_in\""));
}

}  // namespace spillway
