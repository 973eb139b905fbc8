#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>

#include "commands.hpp"
#include "in_child.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/verify.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

Json json_of(const VerifyReport& r) {
  Json json{{"path", r.path},     {"holds", r.findings.empty()}, {"format", r.format},
            {"status", r.status}, {"sealed", r.sealed},          {"bytes", r.bytes}};
  json["streams"] = Json::array();
  for (const VerifyReport::PerStream& s : r.streams)
    json["streams"].push_back({{"name", s.name},
                               {"produced", s.counts.produced},
                               {"recorded", s.counts.recorded},
                               {"lost", s.counts.lost},
                               {"missing", s.counts.missing},
                               {"segments", s.segments},
                               {"gaps", s.gaps},
                               {"first_sample", s.first_sample},
                               {"end", s.end}});
  json["findings"] = Json::array();
  for (const VerifyFinding& f : r.findings)
    json["findings"].push_back({{"kind", to_string(f.kind)}, {"where", f.where}, {"what", f.what}});
  json["remarks"] = r.remarks;
  return json;
}

void print(std::FILE* to, const VerifyReport& r) {
  const std::size_t count = r.findings.size();
  if (count == 0)
    tell(to, "{}: holds\n", r.path);
  else
    tell(to, "{}: DOES NOT HOLD: {}\n", r.path, human_count(count, "finding"));
  tell(to, "  {}, {}, {}, {}\n", r.format, r.status.empty() ? "not opened" : r.status,
       r.sealed ? "sealed with checksums" : "without checksums of its own",
       human_count(r.bytes, "byte"));
  for (const VerifyReport::PerStream& s : r.streams)
    tell(to, "  {}: produced {} = recorded {} + lost {} + missing {}\n", s.name,
         human_count(s.counts.produced), human_count(s.counts.recorded), human_count(s.counts.lost),
         human_count(s.counts.missing));
  constexpr std::size_t most_findings = 20;
  for (std::size_t i = 0; i < std::min(count, most_findings); ++i)
    tell(to, "  {}: {}: {}\n", to_string(r.findings[i].kind), r.findings[i].where,
         r.findings[i].what);
  if (count > most_findings)
    tell(to, "  ... and {} more (--json has all)\n", count - most_findings);
  for (const std::string& remark : r.remarks) tell(to, "  note: {}\n", remark);
}

std::string dumped(const Json& json, int indent = -1) {
  // Paths, and texts of damaged files, need not be UTF-8.
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// What is to be printed, and the exit status.
ChildResult result_of(const VerifyReport& report, bool json) {
  const int status = report.findings.empty() ? 0 : 1;
  if (json) return {dumped(json_of(report)), status};
  return {printed([&](std::FILE* to) { print(to, report); }), status};
}

ChildResult verified(const std::string& path, bool json) {
  try {
    return in_child(path, [&] { return result_of(spillway::verify(path), json); });
  } catch (const ChildCrashed& crash) {
    VerifyReport report;
    report.path = path;
    report.format = "HDF5";
    std::error_code error;
    const std::uintmax_t bytes = std::filesystem::file_size(path, error);
    report.bytes = error ? 0 : bytes;
    const std::string what = crash.what();
    report.findings.push_back(
        {VerifyFinding::Kind::layout, path, what.substr(std::min(what.size(), path.size() + 2))});
    return result_of(report, json);
  }
}

// What to type instead of the directory.
std::string recordings_in(const std::string& directory) {
  std::string patterns;
  for (const char* const ending : {".h5", ".csv"})
    for (const auto& entry : std::filesystem::directory_iterator(directory))
      if (entry.path().extension() == ending) {
        patterns += fmt::format(" {}/*{}", quoted(directory), ending);
        break;
      }
  return patterns.empty() ? "there is no .h5 or .csv file in it"
                          : "try: spillway verify" + patterns;
}

}  // namespace

int verify(const VerifyArguments& arguments) {
  Json all = Json::array();
  bool holds = true;
  for (const std::string& path : arguments.paths) {
    try {
      if (std::filesystem::is_directory(path))
        throw Error(
            fmt::format("{}: is a directory, not a recording; {}", path, recordings_in(path)));
      const ChildResult result = verified(path, arguments.json);
      holds &= result.status == 0;
      if (arguments.json)
        all.push_back(Json::parse(result.text));
      else
        tell(stdout, "{}", result.text);
    } catch (const std::exception& error) {
      holds = false;
      if (arguments.json)
        all.push_back({{"path", path}, {"holds", false}, {"error", error.what()}});
      else
        tell(stderr, "spillway: {}\n", error.what());
    }
  }
  if (arguments.json) tell(stdout, "{}\n", dumped(all, 2));
  return holds ? 0 : 1;
}

}  // namespace spillway::apps
