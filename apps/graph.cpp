#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "commands.hpp"
#include "graph_drawing.hpp"
#include "graph_facts.hpp"
#include "output.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/output_file.hpp"
#include "text.hpp"

namespace spillway::apps {

namespace {

std::string span_text(const SampleSpan& span) {
  if (span.samples == 0.0) return "0";
  return fmt::format("{:.6g}{}", span.samples, span.seconds ? " = " + seconds(*span.seconds) : "");
}

std::string memory_text(const GraphItem& item) {
  if (item.memory.samples == 0.0) return "for ever";
  return item.memory.samples == 1.0 ? "" : span_text(item.memory);
}

std::string gap_text(const GraphItem& item) {
  if (item.fill_gaps == 0) return item.gap_policy;
  return fmt::format("fill {}{}{}", item.fill_gaps, item.gap_policy.empty() ? "" : ", then ",
                     item.gap_policy);
}

std::string fate_text(const GraphItem& item) {
  std::vector<std::string> parts = item.recorded;
  if (!item.published.empty()) parts.push_back("published as " + item.published);
  return fmt::format("{}", fmt::join(parts, ", "));
}

void print_table(const GraphFacts& facts) {
  constexpr std::array<const char*, 10> heads{"NAME", "KIND",  "INPUTS", "CHANNELS", "UNIT",
                                              "RATE", "DELAY", "MEMORY", "GAPS",     "GOES TO"};
  std::vector<std::array<std::string, heads.size()>> rows;
  rows.emplace_back();
  std::ranges::copy(heads, rows.back().begin());
  for (const GraphItem& item : facts.items) {
    std::vector<std::string> inputs;
    for (const GraphItem::Input& input : item.inputs) inputs.push_back(input.text);
    rows.push_back(
        {item.name,
         fmt::format("{}{}{}", item.kind, item.parameters.empty() ? "" : " ", item.parameters),
         fmt::format("{}", fmt::join(inputs, ", ")), channel_text(item), unit_text(item),
         rate_text(item), item.is_node ? span_text(item.delay) : "",
         item.is_node ? memory_text(item) : "", gap_text(item), fate_text(item)});
  }
  std::array<std::size_t, heads.size()> widths{};
  for (auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) {
      row[c] = row[c].empty() ? "-" : readable(row[c]);
      widths[c] = std::max(widths[c], columns_of(row[c]));
    }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      line += row[c];
      if (c + 1 < row.size()) line.append(widths[c] - columns_of(row[c]) + 2, ' ');
    }
    tell(stdout, "{}\n", line);
  }
}

void print_json(const GraphFacts& facts, const std::string& path) {
  using Json = nlohmann::ordered_json;
  const auto or_null = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  Json json{{"file", path}, {"title", facts.title}};
  json["streams"] = Json::array();
  json["nodes"] = Json::array();
  for (const GraphItem& item : facts.items) {
    Json entry{{"name", item.name}, {"kind", item.kind}};
    if (item.is_node) {
      entry["parameters"] = item.parameters;
      entry["line"] = item.line;
      entry["inputs"] = Json::array();
      for (const GraphItem::Input& input : item.inputs) entry["inputs"].push_back(input.text);
    }
    for (const GraphItem::Channel& channel : item.channels)
      entry["channels"].push_back({{"name", channel.name}, {"unit", channel.unit}});
    entry["rate_hz"] = or_null(item.rate_hz);
    if (item.is_node) {
      entry["delay"] = {{"samples", item.delay.samples},
                        {"of", item.delay_of},
                        {"seconds", or_null(item.delay.seconds)}};
      entry["memory"] =
          item.memory.samples == 0.0
              ? Json(nullptr)
              : Json{{"samples", item.memory.samples}, {"seconds", or_null(item.memory.seconds)}};
      entry["gap"] = item.gap_policy.empty() ? Json(nullptr) : Json(item.gap_policy);
      entry["fill_gaps"] = item.fill_gaps;
    }
    entry["recorded"] = item.recorded;
    entry["published"] = item.published.empty() ? Json(nullptr) : Json(item.published);
    entry["used"] = item.used;
    json[item.is_node ? "nodes" : "streams"].push_back(std::move(entry));
  }
  tell(stdout, "{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

void write_drawing(const GraphFacts& facts, const GraphArguments& arguments) {
  refuse_same(arguments.output, arguments.path);
  require_ending(arguments.output, "--output", {".svg"});
  const std::string svg = graph_svg(facts);
  OutputFile file(arguments.output, arguments.force ? Existing::replace : Existing::refuse);
  std::ofstream out(file.part(), std::ios::binary);
  out << svg;
  out.close();
  if (!out) {
    file.discard();
    throw Error(fmt::format("{}: can't be written", arguments.output));
  }
  file.seal();
}

}  // namespace

int graph(const GraphArguments& arguments) {
  const GraphFacts facts = facts_of(read_graph(arguments.path, arguments.rate_hz), arguments.path);
  if (!arguments.output.empty()) write_drawing(facts, arguments);
  for (const GraphItem& item : facts.items)
    if (!item.used)
      tell(stderr, "note: '{}' is neither used by a node nor recorded nor published\n",
           readable(item.name));
  if (arguments.json)
    print_json(facts, arguments.path);
  else if (arguments.output.empty())
    print_table(facts);
  else
    tell(stdout, "{}: {}\n", arguments.output, count_text(facts));
  return 0;
}

}  // namespace spillway::apps
