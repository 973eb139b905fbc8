// Strict reading of YAML for configuration: every error names file, line and column,
// an unknown key its nearest valid one, and a key that stands twice is an error
// (yaml-cpp lets it pass). Private to our sources: yaml-cpp shows in no public header.
#pragma once

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/channels/units.hpp"
#include "suggestion.hpp"

namespace spillway::yaml {

inline std::string place(const std::string& file, const YAML::Mark& mark) {
  if (mark.is_null()) return file;
  return fmt::format("{}:{}:{}", file, mark.line + 1, mark.column + 1);
}

// A number followed by one of the units, e.g. "40 Hz", "2.5 kHz", "500ms".
struct UnitFactor {
  std::string_view unit;
  double factor;
};

class Value;

// A mapping whose keys are checked.
class Map {
 public:
  // `what` names it in errors: "node 'low'".
  Map(const YAML::Node& node, std::string file, std::string what)
      : node_(node), file_(std::move(file)), what_(std::move(what)) {
    if (!node_.IsMap()) fail(node_.Mark(), fmt::format("{} must be a mapping of keys", what_));
    std::vector<std::string> seen;
    for (const auto& entry : node_) {
      if (!entry.first.IsScalar())
        fail(entry.first.Mark(), fmt::format("{}: keys are words", what_));
      const std::string& key = entry.first.Scalar();
      if (std::ranges::find(seen, key) != seen.end())
        fail(entry.first.Mark(), fmt::format("key '{}' stands twice in {}", key, what_));
      seen.push_back(key);
    }
  }

  // Throws for the first key that is not in `allowed`.
  void allow_only(std::span<const std::string_view> allowed) const {
    for (const auto& entry : node_) {
      const std::string& key = entry.first.Scalar();
      if (std::ranges::find(allowed, key) == allowed.end())
        fail(entry.first.Mark(),
             fmt::format("unknown key '{}' in {}{}", key, what_, suggestion(key, allowed)));
    }
  }

  void allow_only(std::initializer_list<std::string_view> allowed) const {
    allow_only(std::span(allowed.begin(), allowed.size()));
  }

  [[nodiscard]] std::optional<Value> find(const char* key) const;
  [[nodiscard]] Value require(const char* key) const;

  [[nodiscard]] const std::string& file() const noexcept { return file_; }
  [[nodiscard]] const std::string& what() const noexcept { return what_; }
  [[nodiscard]] YAML::Mark mark() const { return node_.Mark(); }
  [[noreturn]] void fail(const YAML::Mark& mark, const std::string& message) const {
    throw Error(fmt::format("{}: {}", place(file_, mark), message));
  }

 private:
  YAML::Node node_;
  std::string file_;
  std::string what_;
};

// What stands behind a key.
class Value {
 public:
  // `name` begins with the key, in quotes: "'order' of node 'low'".
  Value(const YAML::Node& node, std::string file, std::string name)
      : node_(node), file_(std::move(file)), name_(std::move(name)) {}

  [[noreturn]] void fail(const std::string& message) const {
    throw Error(fmt::format("{}: {}: {}", place(file_, node_.Mark()), name_, message));
  }
  [[nodiscard]] const YAML::Node& node() const noexcept { return node_; }
  [[nodiscard]] std::string where() const { return place(file_, node_.Mark()); }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  [[nodiscard]] std::string text() const {
    if (!node_.IsScalar()) fail("a single word or text is needed here");
    return node_.Scalar();
  }
  [[nodiscard]] double number() const {
    const std::string t = text();
    double value = 0.0;
    const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), value);
    if (error != std::errc{} || end != t.data() + t.size() || !std::isfinite(value))
      fail(fmt::format("'{}' is not a number", t));
    return value;
  }
  [[nodiscard]] std::int64_t integer(std::int64_t low, std::int64_t high) const {
    const std::string t = text();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), value);
    if (error != std::errc{} || end != t.data() + t.size() || value < low || value > high)
      fail(fmt::format("'{}' is not a whole number from {} to {}", t, low, high));
    return value;
  }
  [[nodiscard]] bool yes_or_no() const {
    const std::string t = text();
    if (t == "true" || t == "yes") return true;
    if (t == "false" || t == "no") return false;
    fail(fmt::format("'{}' is neither true nor false", t));
  }
  // One of a set of words, as an index into it.
  [[nodiscard]] std::size_t word(std::span<const std::string_view> allowed) const {
    const std::string t = text();
    const auto found = std::ranges::find(allowed, t);
    if (found == allowed.end())
      fail(fmt::format("'{}' is not allowed{}", t, suggestion(t, allowed)));
    return static_cast<std::size_t>(found - allowed.begin());
  }
  [[nodiscard]] std::size_t word(std::initializer_list<std::string_view> allowed) const {
    return word(std::span(allowed.begin(), allowed.size()));
  }
  [[nodiscard]] double with_unit(std::initializer_list<UnitFactor> units) const {
    const std::string t = text();
    double value = 0.0;
    const auto [end, error] = std::from_chars(t.data(), t.data() + t.size(), value);
    std::string_view unit(end, static_cast<std::size_t>(t.data() + t.size() - end));
    while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
    std::vector<std::string_view> names;
    for (const UnitFactor& u : units) {
      if (error == std::errc{} && std::isfinite(value) && u.unit == unit) return value * u.factor;
      names.push_back(u.unit);
    }
    fail(fmt::format("'{}' is not a number with one of the units {}", t, fmt::join(names, ", ")));
  }
  [[nodiscard]] Hertz frequency() const {
    return {with_unit({{"Hz", 1.0}, {"mHz", 1e-3}, {"kHz", 1e3}, {"MHz", 1e6}})};
  }
  [[nodiscard]] Time duration() const {
    const double s = with_unit({{"s", 1.0},
                                {"ms", 1e-3},
                                {"us", 1e-6},
                                {"ns", 1e-9},
                                {"min", 60.0},
                                {"h", 3600.0},
                                {"d", 86400.0}});
    if (s < 0.0 || s > 9e9) fail("a duration from 0 to 9e9 s is needed");
    return Time(std::llround(s * 1e9));
  }
  [[nodiscard]] bool is_map() const { return node_.IsMap(); }
  [[nodiscard]] Map map() const { return {node_, file_, name_}; }
  [[nodiscard]] std::vector<Value> list() const {
    if (!node_.IsSequence()) fail("a list is needed here");
    std::vector<Value> values;
    // The index belongs to the key: "'sources[0]' of the configuration".
    const std::size_t end_of_key = name_.find('\'', 1);
    for (std::size_t i = 0; i < node_.size(); ++i)
      values.emplace_back(node_[i], file_,
                          std::string(name_).insert(end_of_key, fmt::format("[{}]", i)));
    return values;
  }

 private:
  YAML::Node node_;
  std::string file_;
  std::string name_;
};

inline std::optional<Value> Map::find(const char* key) const {
  const YAML::Node child = node_[key];
  if (!child.IsDefined()) return std::nullopt;
  return Value(child, file_, fmt::format("'{}' of {}", key, what_));
}

inline Value Map::require(const char* key) const {
  if (auto value = find(key)) return *value;
  fail(node_.Mark(), fmt::format("{} lacks the key '{}'", what_, key));
}

// The document in `text`; syntax errors become Errors with their place.
inline YAML::Node parse(const std::string& text, const std::string& file) {
  try {
    return YAML::Load(text);
  } catch (const YAML::ParserException& e) {
    throw Error(fmt::format("{}: {}", place(file, e.mark), e.msg));
  }
}

}  // namespace spillway::yaml
