// What a recording keeps of its graph.
#include <nlohmann/json.hpp>

#include "calibration_json.hpp"
#include "fields.hpp"
#include "spillway/filters/graph.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;

// Writes the parameters of a node, with the unit in the name where YAML has it in the value.
class JsonFields {
 public:
  explicit JsonFields(Json& json) : json_(json) {}

  template <class T>
  void integer(const char* name, T& value, Whole = {}, Need = Need::optional) {
    json_[name] = value;
  }
  void number(const char* name, double value, Need = Need::optional) { json_[name] = value; }
  void frequency(const char* name, Hertz value, Need = Need::optional) {
    json_[std::string(name) + "_hz"] = value.value;
  }
  void duration(const char* name, std::chrono::nanoseconds value, Need = Need::optional) {
    json_[std::string(name) + "_ns"] = value.count();
  }
  void rate(const char* name, const Rate& value, Need = Need::optional) {
    json_[name] = {value.samples(), value.seconds()};
  }
  void optional_rate(const char* name, const std::optional<Rate>& value) {
    if (value) rate(name, *value);
  }
  void text(const char* name, const std::string& value, Need = Need::optional) {
    if (!value.empty()) json_[name] = value;
  }
  template <class T>
  void texts(const char* name, const T& value, Need = Need::optional) {
    if (!value.empty()) json_[name] = value;
  }
  template <class T>
  void numbers(const char* name, const T& value, Need = Need::optional) {
    if (!value.empty()) json_[name] = value;
  }
  template <class T>
  void matrix(const char* name, const T& value, Need = Need::optional) {
    json_[name] = value;
  }
  // They stand in the node's system.
  void sections(const char*, const Sos&, Need) {}
  void calibration(const char* name, const std::optional<Calibration>& value) {
    if (value) json_[name] = to_json(*value)["steps"];
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
  void function(const char* name, const Function& value, Need) { json_[name] = value.name; }

 private:
  Json& json_;
};

}  // namespace

std::string_view kind_name(const NodeKind& kind) noexcept { return kind_names[kind.index()]; }

std::string provenance_json(const Graph& graph) {
  Json nodes = Json::array();
  for (std::size_t i = 0; i < graph.spec().nodes.size(); ++i) {
    const NodeSpec& spec = graph.spec().nodes[i];
    Json node;
    node["id"] = spec.id;
    node["type"] = kind_name(spec.kind);
    node["inputs"] = spec.inputs;
    if (spec.fill_gaps > 0) node["fill_gaps"] = spec.fill_gaps;
    NodeKind kind = spec.kind;
    JsonFields writer(node);
    std::visit([&](auto& parameters) { fields(writer, parameters); }, kind);
    node["delay_samples"] = graph.delay(i);
    if (const LinearSystem* system = graph.system(i)) {
      if (const auto* sos = std::get_if<Sos>(system))
        for (const Sos::Section& s : sos->sections)
          node["sections"].push_back({s.b0, s.b1, s.b2, 1.0, s.a1, s.a2});
      else if (!std::holds_alternative<MovingAverage>(kind) && !std::holds_alternative<Fir>(kind))
        // Those two say it in their parameters.
        node["coefficients"] = std::get<std::vector<double>>(*system);
    }
    nodes.push_back(std::move(node));
  }
  return Json{{"nodes", nodes}}.dump();
}

}  // namespace spillway
