#include "graph_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "spillway/channels/error.hpp"
#include "strict_yaml.hpp"
#include "text_file.hpp"

namespace spillway::apps {

namespace {

Graph graph_alone(GraphSpec spec, Hertz rate) {
  // The one kind of node that insists on units.
  const auto is_thermocouple = [](const NodeSpec& node) {
    return kind_name(node.kind) == "thermocouple";
  };
  const bool any_thermocouple = std::ranges::any_of(spec.nodes, is_thermocouple);
  std::set<std::string> ids;
  for (const NodeSpec& node : spec.nodes) ids.insert(node.id);
  std::set<std::string> names;
  std::vector<StreamInfo> streams;
  for (const NodeSpec& node : spec.nodes)
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      std::string input = node.inputs[i];
      if (input.starts_with("raw(") && input.ends_with(")"))
        input = input.substr(4, input.size() - 5);
      const auto slash = input.find('/');
      const std::string name = input.substr(0, slash);
      const std::string channel = slash == std::string::npos ? "x" : input.substr(slash + 1);
      if (ids.contains(name)) continue;
      if (names.insert(name).second) {
        StreamInfo info;
        info.name = name;
        info.rate = Rate(rate);
        streams.push_back(std::move(info));
      }
      for (StreamInfo& info : streams)
        if (info.name == name && std::ranges::none_of(info.channels, [&](const ChannelInfo& c) {
              return c.name == channel;
            })) {
          ChannelInfo made;
          made.name = channel;
          if (is_thermocouple(node) && i > 0)
            made.unit = "degC";
          else if (any_thermocouple)
            made.unit = "mV";
          info.channels.push_back(std::move(made));
        }
    }
  return Graph(std::move(spec), std::move(streams), 1);
}

// Nothing beside the graph that a configuration would have.
bool is_graph_alone(const YAML::Node& document) {
  if (!document.IsMap() || !document["graph"].IsDefined()) return false;
  return std::all_of(document.begin(), document.end(), [](const auto& entry) {
    return entry.first.IsScalar() &&
           (entry.first.Scalar() == "graph" || entry.first.Scalar() == "title");
  });
}

}  // namespace

GraphSpec read_graph_alone(const std::string& path) {
  const std::string text = read_text(path, "a graph");
  const YAML::Node document = yaml::parse(text, path);
  if (document.IsMap() && !document["graph"].IsDefined())
    throw Error(fmt::format("{}: has no 'graph'", path));
  return graph_from_yaml(text, path);
}

GraphFile read_graph(const std::string& path, std::optional<double> rate_hz) {
  if (rate_hz) {
    const YAML::Node document = yaml::parse(read_text(path, "a graph"), path);
    if (document.IsMap() && document["sources"].IsDefined())
      throw Error(fmt::format("{}: has sources, which tell the rates; leave --rate out", path));
    return {std::nullopt, graph_alone(read_graph_alone(path), {*rate_hz})};
  }
  Configuration configuration;
  try {
    configuration = read_configuration(path);
  } catch (const Error& error) {
    if (!is_graph_alone(yaml::parse(read_text(path, "a graph"), path))) throw;
    throw Error(
        fmt::format("{}; of a graph alone, tell the rate of its input by --rate", error.what()));
  }
  EngineOptions options = engine_options(configuration);
  options.publish.clear();  // nothing runs
  Engine engine(std::move(options));
  Graph graph = prepare_graph(engine, configuration);
  return {std::move(configuration), std::move(graph)};
}

}  // namespace spillway::apps
