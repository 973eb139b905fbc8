#include "graph_facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "text.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

std::string plain(const Json& number) { return fmt::format("{:.6g}", number.get<double>()); }

std::string limits(const Json& low, const Json& high) {
  // Infinity is no number in JSON.
  if (low.is_null() && high.is_null()) return "no limit";
  if (low.is_null()) return "up to " + plain(high);
  if (high.is_null()) return "from " + plain(low);
  return fmt::format("{} to {}", plain(low), plain(high));
}

// "butterworth 4, 40 Hz": what one wants to know of a node at a glance, from all parameters as a
// recording keeps them.
std::string main_parameters(const Json& node) {
  std::vector<std::string> parts;
  const auto word = [&](const char* key) {
    return node.contains(key) && node[key].is_string() ? node[key].get<std::string>() : "";
  };
  const auto number = [&](const char* key) {
    return node.contains(key) && node[key].is_number() ? node[key].get<double>() : 0.0;
  };
  const auto in_hertz = [](const Json& value) { return hertz(value.get<double>()); };
  const auto add = [&](std::string part) {
    if (!part.empty()) parts.push_back(std::move(part));
  };
  if (const std::string family = word("family"); !family.empty())
    add(fmt::format("{} {}", family, plain(node["order"])));
  else if (node.contains("order"))
    add(fmt::format("order {}", plain(node["order"])));
  for (const char* key : {"operation", "method", "scheme", "function"}) add(word(key));
  if (const std::string type = word("thermocouple"); !type.empty()) add("type " + type);
  if (node.contains("calibration")) add("of its own");
  if (number("cutoff_hz") > 0.0) add(hertz(number("cutoff_hz")));
  if (number("frequency_hz") > 0.0) add(hertz(number("frequency_hz")));
  if (node.contains("low_hz"))
    add(fmt::format("{} – {}", in_hertz(node["low_hz"]), in_hertz(node["high_hz"])));
  if (node.contains("low")) add(limits(node["low"], node["high"]));
  if (number("quality") > 0.0) add("Q " + plain(node["quality"]));
  if (number("factor") > 0.0) add("by " + plain(node["factor"]));
  if (number("up") > 0.0) add(fmt::format("by {}/{}", plain(node["up"]), plain(node["down"])));
  if (node.contains("rate") && node["rate"].is_array())
    add(hertz(node["rate"][0].get<double>() / node["rate"][1].get<double>()));
  if (node.contains("max_wait_ns")) add("waits " + seconds(number("max_wait_ns") * 1e-9));
  if (number("window") > 0.0) add("window " + plain(node["window"]));
  if (number("derivative") > 0.0) add("derivative " + plain(node["derivative"]));
  if (number("segment") > 0.0)
    add(fmt::format("{} each {}, mean of {}", plain(node["segment"]),
                    number("segment") - number("overlap"), plain(node["average"])));
  if (number("taps") > 1.0) add(fmt::format("{} taps", number("taps")));
  if (node.contains("taps") && node["taps"].is_array())
    add(fmt::format("{} taps", node["taps"].size()));
  if (number("alpha") > 0.0) add("alpha " + plain(node["alpha"]));
  if (number("time_constant_ns") > 0.0) add(seconds(number("time_constant_ns") * 1e-9));
  if (number("samples") > 0.0) add(fmt::format("{} samples", plain(node["samples"])));
  if (node.contains("limit")) add("limit " + plain(node["limit"]));
  for (const char* key : {"matrix", "coefficients"})
    if (node.contains(key) && !node[key].empty() && node[key][0].is_array())
      add(fmt::format("{} × {}", node[key].size(), node[key][0].size()));
  return fmt::format("{}", fmt::join(parts, ", "));
}

// What of its stream or node an input takes: "MLII", "raw", "raw MLII". As docs/configuration.md
// has it; the graph has accepted it already.
std::string pick_in(std::string input) {
  const bool raw = input.starts_with("raw(") && input.ends_with(")");
  if (raw) input = input.substr(4, input.size() - 5);
  const auto slash = input.find('/');
  const std::string channel = slash == std::string::npos ? "" : input.substr(slash + 1);
  return fmt::format("{}{}{}", raw ? "raw" : "", raw && !channel.empty() ? " " : "", channel);
}

std::string source_kind(const GraphFile& file, const std::string& stream) {
  if (!file.configuration) return "assumed";
  for (const SourceConfiguration& source : file.configuration->sources) {
    if (const auto* s = std::get_if<SignalGenerator>(&source); s && s->name == stream)
      return "generator";
    if (const auto* s = std::get_if<TimingJitter>(&source); s && s->name == stream) return "timing";
    if (const auto* s = std::get_if<MachineLoad>(&source); s && s->name == stream) return "load";
  }
  return "recording";
}

// "file.yaml:12:5": 12.
std::uint64_t line_in(const std::string& where) {
  const auto column = where.rfind(':');
  if (column == std::string::npos || column == 0) return 0;
  const auto line = where.rfind(':', column - 1);
  return line == std::string::npos ? 0 : std::strtoull(where.c_str() + line + 1, nullptr, 10);
}

void describe(GraphItem& item, const StreamInfo& info) {
  item.name = info.name;
  if (info.rate) item.rate_hz = info.rate->hertz().value;
  for (const ChannelInfo& channel : info.channels)
    item.channels.push_back({channel.name, channel.unit});
}

SampleSpan span_of(double samples, const std::optional<Rate>& rate) {
  if (!rate) return {samples, std::nullopt};
  return {samples, samples / rate->hertz().value};
}

// What the configuration does with streams and nodes.
void add_uses(GraphFacts& facts, const Configuration& configuration) {
  for (const RecordConfiguration& record : configuration.recordings)
    for (GraphItem& item : facts.items) {
      if (!record.streams.empty() && std::ranges::count(record.streams, item.name) == 0) continue;
      constexpr std::string_view placeholder = "{stream}";
      std::string path = record.options.path;
      for (std::size_t at = path.find(placeholder); at != std::string::npos;
           at = path.find(placeholder, at + item.name.size()))
        path.replace(at, placeholder.size(), item.name);
      item.recorded.push_back(std::move(path));
      item.used = true;
    }
  for (const Publication& publication : configuration.publish)
    for (GraphItem& item : facts.items)
      if (item.name == publication.stream) {
        item.published = publication.name;
        item.used = true;
      }
}

std::string joined(const std::vector<std::string>& texts) {
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

GraphFacts facts_of(const GraphFile& file, const std::string& path) {
  const Graph& graph = file.graph;
  GraphFacts facts;
  facts.alone = !file.configuration;
  if (file.configuration) facts.title = file.configuration->title;
  if (facts.title.empty()) facts.title = std::filesystem::path(path).filename().string();
  facts.streams = graph.inputs().size();
  for (const StreamInfo& info : graph.inputs()) {
    GraphItem item;
    describe(item, info);
    item.kind = source_kind(file, info.name);
    facts.items.push_back(std::move(item));
  }
  const Json provenance = Json::parse(provenance_json(graph));
  for (std::size_t i = 0; i < graph.spec().nodes.size(); ++i) {
    const NodeSpec& spec = graph.spec().nodes[i];
    const Json& parameters = provenance["nodes"][i];
    GraphItem item;
    describe(item, graph.output_info(i));
    item.is_node = true;
    item.kind = kind_name(spec.kind);
    item.parameters = main_parameters(parameters);
    item.line = line_in(spec.where);
    if (parameters.contains("gap")) item.gap_policy = parameters["gap"].get<std::string>();
    item.fill_gaps = spec.fill_gaps;
    const std::vector<Graph::Feeder> feeders = graph.feeders_of(i);
    for (std::size_t k = 0; k < feeders.size(); ++k)
      item.inputs.push_back({spec.inputs[k],
                             feeders[k].index + (feeders[k].is_node ? facts.streams : 0),
                             pick_in(spec.inputs[k])});
    const StreamInfo& source = graph.inputs()[graph.sources_of(i).front()];
    item.delay_of = source.name;
    item.delay = span_of(graph.delay(i), source.rate);
    item.memory = span_of(static_cast<double>(graph.memory_samples(i)), graph.feed_rate(i));
    facts.items.push_back(std::move(item));
  }
  for (std::size_t i = facts.streams; i < facts.items.size(); ++i)
    for (const GraphItem::Input& input : facts.items[i].inputs) facts.items[input.item].used = true;
  if (file.configuration)
    add_uses(facts, *file.configuration);
  else
    for (GraphItem& item : facts.items) item.used = true;  // nobody knows
  return facts;
}

std::string rate_text(const GraphItem& item) {
  return item.rate_hz ? hertz(*item.rate_hz) : "irregular";
}

std::string unit_text(const GraphItem& item) {
  std::vector<std::string> units;
  for (const GraphItem::Channel& channel : item.channels)
    if (channel.unit != "1" && !channel.unit.empty() &&
        std::ranges::count(units, channel.unit) == 0)
      units.push_back(channel.unit);
  return joined(units);
}

std::string channel_text(const GraphItem& item) {
  std::vector<std::string> names;
  for (const GraphItem::Channel& channel : item.channels) names.push_back(channel.name);
  if (names.size() <= 4) return joined(names);
  return fmt::format("{}: {} … {}", names.size(), names.front(), names.back());
}

std::string count_text(const GraphFacts& facts) {
  const std::size_t nodes = facts.items.size() - facts.streams;
  return fmt::format("{} stream{}, {} node{}", facts.streams, facts.streams == 1 ? "" : "s", nodes,
                     nodes == 1 ? "" : "s");
}

}  // namespace spillway::apps
