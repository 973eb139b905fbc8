// A graph from YAML: the same names and parameters as in C++.
#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "calibration_yaml.hpp"
#include "fields.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "strict_yaml.hpp"

namespace spillway {

namespace {

// Reads the parameters of a node. With `only_names` it reads what decides which others there
// are, and collects the names of all.
class YamlFields {
 public:
  YamlFields(const yaml::Map& map, const Functions& functions, bool only_names)
      : map_(map), functions_(functions), only_names_(only_names) {}

  [[nodiscard]] const std::vector<std::string_view>& names() const noexcept { return names_; }

  template <class T>
  void integer(const char* name, T& to, Whole range = {}, Need need = Need::optional) {
    if (const auto v = find(name, need)) to = static_cast<T>(v->integer(range.low, range.high));
  }
  void number(const char* name, double& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) to = v->number();
  }
  void frequency(const char* name, Hertz& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) to = v->frequency();
  }
  void duration(const char* name, std::chrono::nanoseconds& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) to = v->duration();
  }
  void rate(const char* name, Rate& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) {
      const Hertz hertz = v->frequency();
      to = at(*v, [&] { return Rate(hertz); });
    }
  }
  void optional_rate(const char* name, std::optional<Rate>& to) {
    if (const auto v = find(name, Need::optional)) {
      const Hertz hertz = v->frequency();
      to = at(*v, [&] { return Rate(hertz); });
    }
  }
  void text(const char* name, std::string& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) to = v->text();
  }
  void texts(const char* name, std::vector<std::string>& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) {
      to.clear();
      for (const yaml::Value& one : v->list()) to.push_back(one.text());
    }
  }
  void numbers(const char* name, std::vector<double>& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) to = yaml::numbers_of(*v);
  }
  void matrix(const char* name, std::vector<std::vector<double>>& to, Need need = Need::optional) {
    if (const auto v = find(name, need)) {
      to.clear();
      for (const yaml::Value& row : v->list()) to.push_back(yaml::numbers_of(row));
    }
  }
  void sections(const char* name, Sos& to, Need need = Need::optional) {
    const auto v = find(name, need);
    if (!v) return;
    to.sections.clear();
    for (const yaml::Value& row : v->list()) {
      const std::vector<double> c = yaml::numbers_of(row);
      if (c.size() != 6 || c[3] != 1.0) row.fail("a section is [b0, b1, b2, 1, a1, a2]");
      to.sections.push_back({c[0], c[1], c[2], c[4], c[5]});
    }
  }
  void calibration(const char* name, std::optional<Calibration>& to) {
    if (const auto v = find(name, Need::optional)) to = yaml::calibration_from(v->map());
  }
  template <class E>
  void word(const char* name, E& to, Need need = Need::optional) {
    const auto v = find(name, need);
    if (!v) return;
    // Its old name in NumPy, which is nearer to that of another window.
    if (std::is_same_v<E, WindowKind> && v->text() == "hanning")
      v->fail("it is called 'hann' here");
    to = static_cast<E>(v->word(words<E>));
  }
  template <class E, std::size_t N>
  void word(const char* name, E& to, const std::array<E, N>& allowed) {
    const auto v = find(name, Need::optional);
    if (!v) return;
    std::array<std::string_view, N> texts;
    for (std::size_t i = 0; i < N; ++i) texts[i] = words<E>[static_cast<std::size_t>(allowed[i])];
    to = allowed[v->word(texts)];
  }
  // Which alternative of a variant: read in any case, as its parameters depend on it.
  template <class V>
  void alternative(const char* name, V& to) {
    names_.push_back(name);
    const auto v = map_.find(name);
    if (v && !started(to, v->word(words<V>))) std::abort();
  }
  void function(const char* name, Function& to, Need need) {
    const auto v = find(name, need);
    if (!v) return;
    const auto found = functions_.find(v->text());
    if (functions_.empty())
      v->fail("functions come from a C++ program that reads this file; this program has none");
    if (found == functions_.end()) {
      std::vector<std::string> known;
      for (const auto& [word, function] : functions_) known.push_back(word);
      v->fail(fmt::format("no function '{}' was given to this program{}", v->text(),
                          yaml::suggestion(v->text(), known)));
    }
    to = found->second;
  }

 private:
  std::optional<yaml::Value> find(const char* name, Need need) {
    names_.push_back(name);
    if (only_names_) return std::nullopt;
    return need == Need::required ? map_.require(name) : map_.find(name);
  }
  // What `make` throws, with the place.
  template <class Make>
  static auto at(const yaml::Value& value, Make make) -> decltype(make()) {
    try {
      return make();
    } catch (const Error& e) {
      value.fail(e.what());
    }
  }
  // Makes `to` the alternative `index`, as it is by default, unless it is that one already.
  template <class V, std::size_t I = 0>
  static bool started(V& to, std::size_t index) {
    if constexpr (I == std::variant_size_v<V>) {
      return false;
    } else {
      if (index != I) return started<V, I + 1>(to, index);
      if (to.index() != I) to.template emplace<I>();
      return true;
    }
  }

  const yaml::Map& map_;
  const Functions& functions_;
  bool only_names_;
  std::vector<std::string_view> names_;
};

template <std::size_t I = 0>
NodeKind default_kind(std::size_t index) {
  if constexpr (I == std::variant_size_v<NodeKind>) {
    return {};
  } else {
    if (index == I) return NodeKind(std::in_place_index<I>);
    return default_kind<I + 1>(index);
  }
}

NodeKind kind_from(const yaml::Map& map, const Functions& functions) {
  NodeKind kind = default_kind(map.require("type").word(kind_names));
  YamlFields names(map, functions, true);
  std::visit([&](auto& parameters) { fields(names, parameters); }, kind);
  std::vector<std::string_view> allowed{"id", "type", "input", "inputs", "fill_gaps"};
  allowed.insert(allowed.end(), names.names().begin(), names.names().end());
  map.allow_only(allowed);
  YamlFields reader(map, functions, false);
  std::visit([&](auto& parameters) { fields(reader, parameters); }, kind);
  return kind;
}

std::vector<std::string> inputs_from(const yaml::Map& map) {
  const auto several = map.find("inputs");
  if (!several) {
    const yaml::Value one = map.require("input");
    if (one.node().IsSequence()) one.fail("several inputs stand under 'inputs'");
    return {one.text()};
  }
  if (map.find("input")) several->fail("give either input or inputs");
  std::vector<std::string> inputs;
  for (const yaml::Value& v : several->list()) inputs.push_back(v.text());
  if (inputs.empty()) several->fail("at least one input is needed");
  return inputs;
}

constexpr std::int64_t most_filled = 1 << 20;

}  // namespace

GraphSpec graph_from_yaml(const std::string& text, const std::string& file,
                          const Functions& functions) {
  GraphSpec spec;
  const YAML::Node document = yaml::parse(text, file);
  if (document.IsNull()) return spec;
  const auto graph = yaml::Map(document, file, "the configuration").find("graph");
  if (!graph) return spec;
  for (const yaml::Value& entry : graph->list()) {
    const yaml::Map unnamed(entry.node(), file, entry.name());
    const std::string id = unnamed.require("id").text();
    const yaml::Map map(entry.node(), file, fmt::format("node '{}'", id));
    NodeSpec node;
    node.id = id;
    node.where = entry.where();
    node.inputs = inputs_from(map);
    node.kind = kind_from(map, functions);
    if (const auto fill = map.find("fill_gaps"))
      node.fill_gaps = static_cast<std::uint64_t>(fill->integer(0, most_filled));
    spec.nodes.push_back(std::move(node));
  }
  return spec;
}

}  // namespace spillway
