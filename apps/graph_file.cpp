#include "graph_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway::apps {

namespace {

Graph graph_alone(GraphSpec spec, Hertz rate) {
  std::set<std::string> ids;
  for (const NodeSpec& node : spec.nodes) ids.insert(node.id);
  std::set<std::string> names;
  std::vector<StreamInfo> streams;
  for (const NodeSpec& node : spec.nodes)
    for (std::string input : node.inputs) {
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
          // The one unit that some kind of node insists on.
          made.unit = "mV";
          info.channels.push_back(std::move(made));
        }
    }
  return Graph(std::move(spec), std::move(streams), 1);
}

}  // namespace

GraphFile read_graph(const std::string& path, std::optional<double> rate_hz) {
  if (rate_hz) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(fmt::format("{}: can't be read", path));
    const std::string text(std::istreambuf_iterator<char>(file), {});
    return {std::nullopt, graph_alone(graph_from_yaml(text, path), {*rate_hz})};
  }
  Configuration configuration = read_configuration(path);
  EngineOptions options = engine_options(configuration);
  options.publish.clear();  // nothing runs
  Engine engine(std::move(options));
  Graph graph = prepare_graph(engine, configuration);
  return {std::move(configuration), std::move(graph)};
}

}  // namespace spillway::apps
