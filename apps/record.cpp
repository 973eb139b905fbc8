#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "commands.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/engine/configuration.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

Json json_of(const DurationHistogram::Snapshot& times) {
  const auto seconds = [](std::chrono::nanoseconds t) {
    return std::chrono::duration<double>(t).count();
  };
  return {{"blocks", times.count},
          {"seconds", seconds(times.sum)},
          {"p50", seconds(times.quantile(0.5))},
          {"p99", seconds(times.quantile(0.99))},
          {"longest", seconds(times.longest)}};
}

// One for each thread of the graph that had anything to do.
Json json_of(const std::vector<GraphPartStatus>& graph) {
  Json parts = Json::array();
  for (const GraphPartStatus& part : graph) {
    if (part.nodes.empty()) continue;
    Json nodes = Json::array();
    for (const GraphPartStatus::Node& node : part.nodes)
      nodes.push_back({{"id", node.id},
                       {"frames_in", node.frames_in},
                       {"frames_out", node.frames_out},
                       {"time", json_of(node.time)}});
    parts.push_back({{"latency", json_of(part.latency)}, {"nodes", std::move(nodes)}});
  }
  return parts;
}

void print_json(const RunResult& result) {
  Json json{{"seconds", result.seconds}, {"interrupted", result.interrupted}};
  json["recordings"] = Json::array();
  for (const RecordingReport& r : result.report.recordings) {
    const FilesOnDisk files = files_on_disk(r);
    Json recording{
        {"path", r.path},       {"files", files.there},          {"deleted", files.deleted},
        {"bytes", files.bytes}, {"complete", r.ending.complete}, {"reason", r.ending.reason}};
    for (const auto& s : r.streams)
      recording["streams"].push_back({{"name", s.name},
                                      {"produced", s.counts.produced},
                                      {"recorded", s.counts.recorded},
                                      {"lost", s.counts.lost},
                                      {"missing", s.counts.missing},
                                      {"acknowledged", s.acknowledged.value}});
    json["recordings"].push_back(std::move(recording));
  }
  json["graph"] = json_of(result.graph);
  json["errors"] = result.report.errors;
  // A path need not be UTF-8.
  tell(stdout, "{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

// Else the first path that starts there would be blamed, which stands in the configuration.
void require_directory(const std::string& output) {
  std::error_code error;
  if (std::filesystem::is_directory(output, error)) return;
  throw Error(fmt::format("--output {}: {}; a directory that is there is needed", output,
                          error ? error.message() : "is not a directory"));
}

}  // namespace

int record(const RecordArguments& arguments) {
  if (arguments.duration_s && !(*arguments.duration_s > 0.0 && *arguments.duration_s <= 1e9))
    throw Error(fmt::format("--duration {}: allowed are more than 0 and up to 1e9 seconds",
                            *arguments.duration_s));
  require_directory(arguments.output_directory);
  Configuration configuration = read_configuration(arguments.configuration);
  for (RecordConfiguration& recording : configuration.recordings) {
    RecordOptions& options = recording.options;
    if (!arguments.durability.empty()) options.durability = durability_from(arguments.durability);
    options.compatible |= arguments.compatible && !options.path.ends_with(".csv");
  }
  Engine engine(engine_options(configuration));
  Subscription& events = engine.subscribe(4096);
  const Existing existing = arguments.force ? Existing::replace : Existing::refuse;
  for (const std::string& remark :
       set_up(engine, configuration, arguments.output_directory, existing))
    tell(stderr, "note: {}\n", remark);
  RunOptions options;
  options.quiet = arguments.quiet || arguments.json;
  options.duration_s = arguments.duration_s;
  if (!options.duration_s && configuration.duration)
    options.duration_s = std::chrono::duration<double>(*configuration.duration).count();
  const RunResult result = run(engine, events, options);
  if (arguments.json)
    print_json(result);
  else if (!arguments.quiet)
    print_summary(result);
  std::fflush(stdout);
  return exit_status(result);
}

}  // namespace spillway::apps
