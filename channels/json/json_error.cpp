#include "json_error.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

namespace spillway {

namespace {

// Takes what stands in front of `end`, and `end`, away from `text`. False: `end` is not there.
bool skip_past(std::string_view& text, std::string_view end) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) return false;
  text.remove_prefix(at + end.size());
  return true;
}

}  // namespace

std::string json_error_text(const std::exception& error) {
  const auto* const json = dynamic_cast<const nlohmann::json::exception*>(&error);
  std::string_view text = error.what();
  if (!json || !skip_past(text, "] ")) return error.what();
  switch (json->id) {
    case 101: {  // "parse error at line 1, column 2: syntax error while parsing value - ..."
      if (!skip_past(text, "parse error at ")) break;
      const std::string place(text.substr(0, text.find(": ")));
      if (!skip_past(text, " - ")) skip_past(text, ": ");
      return fmt::format("{}: {}", place, text);
    }
    case 302: {  // "type must be string, but is number"
      if (!skip_past(text, "must be ")) break;
      const std::string_view needed = text.substr(0, text.find(','));
      skip_past(text, "but is ");
      return fmt::format("there is a value of the kind {} where {} is needed", text, needed);
    }
    case 304:  // of at() and operator[]: the kind is the last word
    case 305:
      return fmt::format("there is a value of the kind {} where an object or a list is needed",
                         text.substr(text.rfind(' ') + 1));
    case 401: return "a list is too short";
    case 403:  // "key 'name' not found"
      if (!skip_past(text, "key ")) break;
      return fmt::format("the entry {} is missing", text.substr(0, text.rfind(" not found")));
    default: break;
  }
  return std::string(text);
}

}  // namespace spillway
