#include "json_error.hpp"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "support/catch.hpp"

using spillway::json_error_text;
using Json = nlohmann::ordered_json;

namespace {

std::string text_of(const std::function<void()>& wrong) {
  try {
    wrong();
  } catch (const std::exception& error) {
    return json_error_text(error);
  }
  return {};
}

std::string parsing(const std::string& text) {
  return text_of([&] { const Json json = Json::parse(text); });
}

}  // namespace

TEST_CASE("what is wrong with a JSON text is told with its line and column") {
  CHECK(parsing("").starts_with("line 1, column 1: unexpected end of input"));
  CHECK(parsing("{\n \"a\": [1,\n 2}").starts_with("line 3, column 3: unexpected '}'"));
  CHECK(parsing("{a: 1}").starts_with("line 1, column 2: invalid literal"));
  CHECK(parsing("[1] 2").starts_with("line 1, column 5: unexpected number literal"));
}

TEST_CASE("what is wrong with a JSON value is told without words of a library") {
  const Json json{{"name", "x"}, {"list", {1, 2}}};
  CHECK(text_of([&] { (void)json.at("rate"); }) == "the entry 'rate' is missing");
  CHECK(text_of([&] { (void)json.at("list").at(2); }) == "a list is too short");
  CHECK(text_of([&] { (void)json.at("name").get<double>(); }) ==
        "there is a value of the kind string where number is needed");
  CHECK(text_of([&] { (void)json.at("name").at("kind"); }) ==
        "there is a value of the kind string where an object or a list is needed");
  CHECK(text_of([] { (void)Json("\xE4 x").dump(); }).starts_with("invalid UTF-8 byte at index "));
  CHECK(text_of([] { throw std::runtime_error("[as it is] this"); }) == "[as it is] this");
}
