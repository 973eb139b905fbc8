#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.hpp"
#include "in_child.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/recovery.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;
using Outcome = RecoveryReport::Outcome;

const char* name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::complete: return "complete";
    case Outcome::lost: return "lost";
    case Outcome::unknown: return "unknown";
    case Outcome::nothing: break;
  }
  return "nothing";
}

const char* meaning_of(const RecoveryReport& report) {
  switch (report.outcome) {
    case Outcome::complete: return "everything that was acknowledged is in it";
    case Outcome::lost: return "not everything that was acknowledged could be saved";
    case Outcome::unknown:
      return "what was found is in it, and nobody can tell whether that is all, or right";
    case Outcome::nothing: break;
  }
  return "nothing to save, no file was made";
}

int status_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::complete: return 0;
    case Outcome::lost:
    case Outcome::unknown: return 3;
    case Outcome::nothing: break;
  }
  return 1;
}

Json json_of(const RecoveryReport& r) {
  Json json{{"input", r.input},
            {"output", r.output},
            {"outcome", name_of(r.outcome)},
            {"was_there", r.was_there},
            {"by", r.by},
            {"commits", r.commits},
            {"tail", r.tail}};
  json["streams"] = Json::array();
  for (const RecoveryReport::PerStream& s : r.streams)
    json["streams"].push_back({{"name", s.name},
                               {"produced", s.counts.produced},
                               {"recorded", s.counts.recorded},
                               {"lost", s.counts.lost},
                               {"missing", s.counts.missing},
                               {"end", s.end}});
  json["damages"] = Json::array();
  for (const RecoveryDamage& d : r.damages)
    json["damages"].push_back({{"stream", d.stream},
                               {"channel", d.channel},
                               {"first_row", d.first_row},
                               {"first_sample", d.first_sample},
                               {"count", d.count},
                               {"why", d.why}});
  json["remarks"] = r.remarks;
  return json;
}

void print(std::FILE* to, const RecoveryReport& r) {
  if (r.output.empty() || r.output == r.input)
    tell(to, "{}\n", r.input);
  else
    tell(to, "{} -> {}{}\n", r.input, r.output, r.was_there ? " (was there already)" : "");
  tell(to, "  {}: {}\n", name_of(r.outcome), meaning_of(r));
  for (const RecoveryReport::PerStream& s : r.streams)
    tell(to, "  {}: produced {} = recorded {} + lost {} + missing {}; known up to sample {}\n",
         s.name, human_count(s.counts.produced), human_count(s.counts.recorded),
         human_count(s.counts.lost), human_count(s.counts.missing),
         s.end == 0 ? "-" : human_count(s.end - 1));
  constexpr std::size_t most_damages = 20;
  for (std::size_t i = 0; i < std::min(r.damages.size(), most_damages); ++i) {
    const RecoveryDamage& d = r.damages[i];
    tell(to, "  damaged: {}/{}, {} from sample {} on: {}\n", d.stream, d.channel,
         human_count(d.count), human_count(d.first_sample), d.why);
  }
  if (r.damages.size() > most_damages)
    tell(to, "  ... and {} more (--json has all)\n", r.damages.size() - most_damages);
  if (!r.tail.empty()) tell(to, "  behind the last commit: {}\n", r.tail);
  for (const std::string& remark : r.remarks) tell(to, "  note: {}\n", remark);
}

// What is to be printed, and the exit status.
ChildResult recovered(const std::string& path, const RecoveryOptions& options, bool json) {
  return in_child(path, [&]() -> ChildResult {
    const RecoveryReport report = spillway::recover(path, options);
    const int status = status_of(report.outcome);
    // A path need not be UTF-8.
    if (json) return {json_of(report).dump(2, ' ', false, Json::error_handler_t::replace), status};
    return {printed([&](std::FILE* to) { print(to, report); }), status};
  });
}

// All in a directory; one that can't be recovered does not keep the others from it.
int recover_directory(const RecoverArguments& arguments) {
  if (!arguments.output.empty())
    throw Error(fmt::format("--output {}: for one recording, not for the directory {}",
                            arguments.output, arguments.path));
  const std::vector<std::string> paths = unfinished_recordings(arguments.path);
  Json all = Json::array();
  bool failed = false;
  bool lost = false;
  bool saved = paths.empty();
  for (const std::string& path : paths) {
    try {
      const ChildResult result = recovered(path, {}, arguments.json);
      lost |= result.status == status_of(Outcome::lost);
      saved |= result.status != status_of(Outcome::nothing);
      if (arguments.json)
        all.push_back(Json::parse(result.text));
      else
        tell(stdout, "{}", result.text);
    } catch (const std::exception& error) {
      failed = true;
      tell(stderr, "spillway: {}\n", error.what());
      all.push_back({{"input", path}, {"error", error.what()}});
    }
  }
  if (arguments.json)
    tell(stdout, "{}\n", all.dump(2, ' ', false, Json::error_handler_t::replace));
  else if (paths.empty())
    tell(stdout, "{}: no unfinished recordings\n", arguments.path);
  return failed || !saved ? 1 : lost ? 3 : 0;
}

}  // namespace

int recover(const RecoverArguments& arguments) {
  if (std::filesystem::is_directory(arguments.path)) return recover_directory(arguments);
  const ChildResult result =
      recovered(arguments.path, {.output = arguments.output}, arguments.json);
  tell(stdout, "{}{}", result.text, arguments.json ? "\n" : "");
  return result.status;
}

}  // namespace spillway::apps
