#include "spillway/filters/graph_log_json.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

#include "calibration_json.hpp"
#include "fields.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;

// JSON has no spelling for what is not finite.
Json number_to_json(double value) {
  if (std::isfinite(value)) return value;
  if (std::isnan(value)) return "NaN";
  return value > 0 ? "INF" : "-INF";
}

double number_from_json(const Json& json, const std::string& where) {
  if (json.is_number()) return json.get<double>();
  if (json == "INF") return std::numeric_limits<double>::infinity();
  if (json == "-INF") return -std::numeric_limits<double>::infinity();
  if (json == "NaN") return std::numeric_limits<double>::quiet_NaN();
  throw Error(fmt::format("{}: is not a number", where));
}

const Json& require(const Json& json, const char* name, const std::string& where) {
  if (!json.is_object()) throw Error(fmt::format("{}: an object is needed", where));
  const auto found = json.find(name);
  if (found == json.end()) throw Error(fmt::format("{}: \"{}\" is missing", where, name));
  return *found;
}

template <class T>
T whole(const Json& json, const std::string& where) {
  const bool right = std::is_unsigned_v<T> ? json.is_number_unsigned() : json.is_number_integer();
  if (!right) throw Error(fmt::format("{}: a whole number is needed", where));
  return json.get<T>();
}

std::string text(const Json& json, const std::string& where) {
  if (!json.is_string()) throw Error(fmt::format("{}: a text is needed", where));
  return json.get<std::string>();
}

std::vector<std::string> texts(const Json& json, const std::string& where) {
  if (!json.is_array()) throw Error(fmt::format("{}: a list is needed", where));
  std::vector<std::string> list;
  for (const Json& one : json) list.push_back(text(one, where));
  return list;
}

Json numbers_to_json(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number_to_json(value));
  return list;
}

std::vector<double> numbers(const Json& json, const std::string& where) {
  if (!json.is_array()) throw Error(fmt::format("{}: a list is needed", where));
  std::vector<double> list;
  for (const Json& one : json) list.push_back(number_from_json(one, where));
  return list;
}

// Writes every parameter of a node.
class Writer {
 public:
  explicit Writer(Json& json) : json_(json) {}

  template <class T>
  void integer(const char* name, const T& value, Whole = {}, Need = Need::optional) {
    json_[name] = value;
  }
  void number(const char* name, double value, Need = Need::optional) {
    json_[name] = number_to_json(value);
  }
  void frequency(const char* name, Hertz value, Need = Need::optional) {
    number(name, value.value);
  }
  void duration(const char* name, std::chrono::nanoseconds value, Need = Need::optional) {
    json_[name] = value.count();
  }
  void rate(const char* name, const Rate& value, Need = Need::optional) {
    json_[name] = {value.samples(), value.seconds()};
  }
  void optional_rate(const char* name, const std::optional<Rate>& value) {
    if (value) rate(name, *value);
  }
  void text(const char* name, const std::string& value, Need = Need::optional) {
    json_[name] = value;
  }
  void texts(const char* name, const std::vector<std::string>& value, Need = Need::optional) {
    json_[name] = value;
  }
  void numbers(const char* name, const std::vector<double>& value, Need = Need::optional) {
    json_[name] = numbers_to_json(value);
  }
  void matrix(const char* name, const std::vector<std::vector<double>>& value,
              Need = Need::optional) {
    Json rows = Json::array();
    for (const std::vector<double>& row : value) rows.push_back(numbers_to_json(row));
    json_[name] = std::move(rows);
  }
  void sections(const char* name, const Sos& value, Need = Need::optional) {
    Json rows = Json::array();
    for (const Sos::Section& s : value.sections)
      rows.push_back(numbers_to_json({s.b0, s.b1, s.b2, s.a1, s.a2}));
    json_[name] = std::move(rows);
  }
  void calibration(const char* name, const std::optional<Calibration>& value) {
    if (value) json_[name] = to_json(*value);
  }
  template <class E>
  void word(const char* name, E value, Need = Need::optional) {
    json_[name] = words<E>[static_cast<std::size_t>(value)];
  }
  template <class E, std::size_t N>
  void word(const char* name, E value, const std::array<E, N>&) {
    word(name, value);
  }
  template <class V>
  void alternative(const char* name, const V& value) {
    json_[name] = words<V>[value.index()];
  }
  void function(const char* name, const Function& value, Need) {
    json_[name] = {{"name", value.name},
                   {"outputs", value.outputs},
                   {"unit", value.unit},
                   {"remark", "code of the program that recorded, which is not stored"}};
  }

 private:
  Json& json_;
};

// Reads what Writer wrote.
class Reader {
 public:
  Reader(const Json& json, const Functions& functions, std::string where)
      : json_(json), functions_(functions), where_(std::move(where)) {}

  template <class T>
  void integer(const char* name, T& to, Whole = {}, Need = Need::optional) {
    to = whole<T>(get(name), at(name));
  }
  void number(const char* name, double& to, Need = Need::optional) {
    to = number_from_json(get(name), at(name));
  }
  void frequency(const char* name, Hertz& to, Need = Need::optional) { number(name, to.value); }
  void duration(const char* name, std::chrono::nanoseconds& to, Need = Need::optional) {
    to = std::chrono::nanoseconds(whole<std::int64_t>(get(name), at(name)));
  }
  void rate(const char* name, Rate& to, Need = Need::optional) { to = rate_from(get(name), name); }
  void optional_rate(const char* name, std::optional<Rate>& to) {
    to.reset();
    if (json_.contains(name)) to = rate_from(get(name), name);
  }
  void text(const char* name, std::string& to, Need = Need::optional) {
    to = spillway::text(get(name), at(name));
  }
  void texts(const char* name, std::vector<std::string>& to, Need = Need::optional) {
    to = spillway::texts(get(name), at(name));
  }
  void numbers(const char* name, std::vector<double>& to, Need = Need::optional) {
    to = spillway::numbers(get(name), at(name));
  }
  void matrix(const char* name, std::vector<std::vector<double>>& to, Need = Need::optional) {
    to.clear();
    for (const Json& row : rows(name)) to.push_back(spillway::numbers(row, at(name)));
  }
  void sections(const char* name, Sos& to, Need = Need::optional) {
    to.sections.clear();
    for (const Json& row : rows(name)) {
      const std::vector<double> c = spillway::numbers(row, at(name));
      if (c.size() != 5) throw Error(fmt::format("{}: a section is b0, b1, b2, a1, a2", at(name)));
      to.sections.push_back({c[0], c[1], c[2], c[3], c[4]});
    }
  }
  void calibration(const char* name, std::optional<Calibration>& to) {
    to.reset();
    if (json_.contains(name)) to = calibration_from_json(get(name));
  }
  template <class E>
  void word(const char* name, E& to, Need = Need::optional) {
    to = static_cast<E>(index_of(name, words<E>));
  }
  template <class E, std::size_t N>
  void word(const char* name, E& to, const std::array<E, N>&) {
    word(name, to);
  }
  template <class V>
  void alternative(const char* name, V& to) {
    emplace(to, index_of(name, words<V>));
  }
  void function(const char* name, Function& to, Need) {
    const std::string wanted = spillway::text(require(get(name), "name", at(name)), at(name));
    const auto found = functions_.find(wanted);
    if (found == functions_.end())
      throw Error(
          fmt::format("{}: the code of function '{}' is not in a recording; it must be "
                      "given by the program that reads it",
                      at(name), wanted));
    to = found->second;
  }

 private:
  [[nodiscard]] std::string at(const char* name) const {
    return fmt::format("{}: \"{}\"", where_, name);
  }
  [[nodiscard]] const Json& get(const char* name) const { return require(json_, name, where_); }
  [[nodiscard]] const Json& rows(const char* name) const {
    const Json& list = get(name);
    if (!list.is_array()) throw Error(fmt::format("{}: a list is needed", at(name)));
    return list;
  }
  [[nodiscard]] Rate rate_from(const Json& json, const char* name) const {
    if (!json.is_array() || json.size() != 2)
      throw Error(fmt::format("{}: a rate is [samples, seconds]", at(name)));
    return {whole<std::int64_t>(json[0], at(name)), whole<std::int64_t>(json[1], at(name))};
  }
  template <std::size_t N>
  [[nodiscard]] std::size_t index_of(const char* name,
                                     const std::array<std::string_view, N>& known) const {
    const std::string word = spillway::text(get(name), at(name));
    const auto* const found = std::ranges::find(known, word);
    if (found == known.end()) throw Error(fmt::format("{}: '{}' is unknown", at(name), word));
    return static_cast<std::size_t>(found - known.begin());
  }
  template <class V, std::size_t I = 0>
  static void emplace(V& to, std::size_t index) {
    if constexpr (I < std::variant_size_v<V>) {
      if (index == I)
        to.template emplace<I>();
      else
        emplace<V, I + 1>(to, index);
    }
  }

  const Json& json_;
  const Functions& functions_;
  std::string where_;
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

Json nodes_to_json(const GraphSpec& spec) {
  Json nodes = Json::array();
  for (const NodeSpec& node : spec.nodes) {
    Json json{{"id", node.id},
              {"type", kind_name(node.kind)},
              {"inputs", node.inputs},
              {"fill_gaps", node.fill_gaps}};
    Json parameters = Json::object();
    Writer writer(parameters);
    NodeKind kind = node.kind;
    std::visit([&](auto& p) { fields(writer, p); }, kind);
    json["parameters"] = std::move(parameters);
    nodes.push_back(std::move(json));
  }
  return nodes;
}

GraphSpec nodes_from_json(const Json& json, const Functions& functions) {
  const std::string where = "graph log: nodes";
  if (!json.is_array()) throw Error(fmt::format("{}: a list is needed", where));
  GraphSpec spec;
  for (const Json& entry : json) {
    NodeSpec node;
    node.id = text(require(entry, "id", where), where);
    const std::string at = fmt::format("graph log: node '{}'", node.id);
    const std::string type = text(require(entry, "type", at), at);
    const auto* const kind = std::ranges::find(kind_names, type);
    if (kind == kind_names.end()) throw Error(fmt::format("{}: unknown type '{}'", at, type));
    node.inputs = texts(require(entry, "inputs", at), at);
    node.fill_gaps = whole<std::uint64_t>(require(entry, "fill_gaps", at), at);
    node.kind = default_kind(static_cast<std::size_t>(kind - kind_names.begin()));
    Reader reader(require(entry, "parameters", at), functions, at);
    std::visit([&](auto& p) { fields(reader, p); }, node.kind);
    spec.nodes.push_back(std::move(node));
  }
  return spec;
}

std::pair<const char*, Json> content(const GraphBegin& begin) {
  return {"begin", {{"streams", begin.streams}, {"nodes", nodes_to_json(begin.spec)}}};
}
std::pair<const char*, Json> content(const ReaderLoss& loss) {
  return {"loss",
          {{"input", loss.input},
           {"from", loss.from.value},
           {"lost", loss.lost.value},
           {"missing", loss.missing.value},
           {"cause", loss.cause == GapCause::source ? "source" : "upstream"},
           {"mixed", loss.mixed}}};
}
std::pair<const char*, Json> content(const WaitEnded& wait) {
  return {"wait_ended",
          {{"node", wait.node},
           {"input", wait.input},
           {"from", wait.from.value},
           {"count", wait.count.value}}};
}
std::pair<const char*, Json> content(const NodeFailed& failed) {
  return {"node_failed",
          {{"node", failed.node}, {"from", failed.from.value}, {"what", failed.what}}};
}
std::pair<const char*, Json> content(const GraphChanged& changed) {
  Json at = Json::array();
  for (const SampleNumber number : changed.at) at.push_back(number.value);
  return {"changed", {{"at", std::move(at)}, {"nodes", nodes_to_json(changed.spec)}}};
}
std::pair<const char*, Json> content(const GraphLogDropped& dropped) {
  return {"dropped", {{"count", dropped.count}}};
}

}  // namespace

std::string to_json(const GraphLogLine& line) {
  Json json{{"part", line.part}};
  std::visit(
      [&](const auto& what) {
        auto [name, value] = content(what);
        json[name] = std::move(value);
      },
      line.what);
  // What a function said may be no UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

GraphLogLine graph_log_line_from_json(std::string_view line, const Functions& functions) {
  const Json json = Json::parse(line, nullptr, false);
  const std::string where = "graph log";
  if (json.is_discarded()) throw Error(fmt::format("{}: a line is no JSON", where));
  GraphLogLine result;
  result.part = whole<std::size_t>(require(json, "part", where), where);
  const auto get = [&](const Json& from, const char* name) -> const Json& {
    return require(from, name, where);
  };
  const auto number = [&](const Json& from, const char* name) {
    return whole<std::uint64_t>(get(from, name), fmt::format("{}: \"{}\"", where, name));
  };
  if (const auto found = json.find("begin"); found != json.end()) {
    result.what = GraphBegin{texts(get(*found, "streams"), where),
                             nodes_from_json(get(*found, "nodes"), functions)};
  } else if (const auto loss = json.find("loss"); loss != json.end()) {
    const std::string cause = text(get(*loss, "cause"), where);
    if (cause != "source" && cause != "upstream")
      throw Error(fmt::format("{}: unknown cause '{}'", where, cause));
    const Json& mixed = get(*loss, "mixed");
    if (!mixed.is_boolean()) throw Error(fmt::format("{}: \"mixed\" is true or false", where));
    result.what = ReaderLoss{text(get(*loss, "input"), where),
                             {number(*loss, "from")},
                             {number(*loss, "lost")},
                             {number(*loss, "missing")},
                             cause == "source" ? GapCause::source : GapCause::upstream,
                             mixed.get<bool>()};
  } else if (const auto wait = json.find("wait_ended"); wait != json.end()) {
    result.what = WaitEnded{text(get(*wait, "node"), where),
                            number(*wait, "input"),
                            {number(*wait, "from")},
                            {number(*wait, "count")}};
  } else if (const auto failed = json.find("node_failed"); failed != json.end()) {
    result.what = NodeFailed{text(get(*failed, "node"), where),
                             {number(*failed, "from")},
                             text(get(*failed, "what"), where)};
  } else if (const auto changed = json.find("changed"); changed != json.end()) {
    GraphChanged change;
    const Json& at = get(*changed, "at");
    if (!at.is_array()) throw Error(fmt::format("{}: \"at\" must be a list", where));
    for (const Json& one : at) change.at.push_back({whole<std::uint64_t>(one, where)});
    change.spec = nodes_from_json(get(*changed, "nodes"), functions);
    result.what = std::move(change);
  } else if (const auto dropped = json.find("dropped"); dropped != json.end()) {
    result.what = GraphLogDropped{number(*dropped, "count")};
  } else {
    throw Error(fmt::format("{}: a line tells nothing that is known", where));
  }
  return result;
}

}  // namespace spillway
