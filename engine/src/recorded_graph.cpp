#include "recorded_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "spillway/channels/error.hpp"
#include "spillway/filters/graph_log_json.hpp"

namespace spillway {

namespace {

using Json = nlohmann::json;

// What stands in for functions without code, so that everything else can be read.
void add_unknown(const Json& line, Functions& known, std::vector<std::string>& unknown) {
  for (const char* key : {"begin", "changed"}) {
    if (!line.is_object() || !line.contains(key)) continue;
    for (const Json& node : line[key].value("nodes", Json::array())) {
      if (node.value("type", "") != "function") continue;
      const Json& function = node.at("parameters").at("function");
      Function stands_in;
      stands_in.name = function.at("name");
      stands_in.outputs = function.at("outputs");
      stands_in.unit = function.at("unit");
      stands_in.call = [](ConstFrames, Frames) {};
      if (known.contains(stands_in.name)) continue;
      unknown.push_back(stands_in.name);
      known.emplace(stands_in.name, std::move(stands_in));
    }
  }
}

// Whether the recording goes on where another file ended: then lines at its beginning are those of
// the other one, and some may come twice.
bool is_later_file(const Recording& recording) {
  const Json provenance = Json::parse(recording.provenance(), nullptr, false);
  if (!provenance.is_object() || !provenance.contains("recording")) return false;
  return provenance["recording"].value("part", 1) > 1;
}

// Leaves out what stands there again: of a change that comes first and later again, the first, as
// the later one is in its place.
std::vector<std::string> lines_of(const Recording& recording) {
  std::vector<std::string> lines = recording.log();
  if (!is_later_file(recording)) return lines;
  std::vector<std::string> once;
  std::set<std::string> seen;
  for (std::size_t i = lines.size(); i-- > 0;) {
    const bool is_begin = lines[i].find("\"begin\"") != std::string::npos;
    if (is_begin || seen.insert(lines[i]).second) once.push_back(std::move(lines[i]));
  }
  std::ranges::reverse(once);
  return once;
}

}  // namespace

RecordedGraph recorded_graph(const Recording& recording, const Functions& functions) {
  RecordedGraph graph;
  Functions known = functions;
  const std::vector<std::string> lines = lines_of(recording);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    try {
      add_unknown(Json::parse(lines[i]), known, graph.unknown_functions);
      GraphLogLine line = graph_log_line_from_json(lines[i], known);
      GraphPartLog& part = graph.parts[line.part];
      std::visit(
          [&]<class T>(T& what) {
            if constexpr (std::is_same_v<T, GraphBegin>) {
              // Once a file; the first counts.
              if (!part.streams.empty()) return;
              part.spec = std::move(what.spec);
              part.streams = std::move(what.streams);
            } else if constexpr (std::is_same_v<T, GraphLogDropped>) {
              part.log.dropped += what.count;
            } else {
              part.log.entries.emplace_back(std::move(what));
            }
          },
          line.what);
    } catch (const std::exception& e) {
      throw Error(
          fmt::format("{}: line {} of the graph's log: {}", recording.path(), i + 1, e.what()));
    }
  }
  return graph;
}

}  // namespace spillway
