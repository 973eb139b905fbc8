#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "commands.hpp"
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

std::string dumped(const Json& json, int indent = -1) {
  // Texts of damaged files need not be UTF-8.
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// In a process of its own: a file without checksums may have been made to crash the HDF5 library.
Json verified(const std::string& path) {
  int ends[2];
  if (::pipe(ends) != 0) throw Error(fmt::format("{}: no pipe: {}", path, std::strerror(errno)));
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) throw Error(fmt::format("{}: no process: {}", path, std::strerror(errno)));
  if (child == 0) {
    ::close(ends[0]);
    std::string text;
    try {
      text = dumped(json_of(spillway::verify(path)));
    } catch (const std::exception& error) {
      text = dumped({{"path", path}, {"holds", false}, {"error", error.what()}});
    }
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t n = ::write(ends[1], text.data() + done, text.size() - done);
      if (n < 0 && errno != EINTR) _exit(1);
      if (n > 0) done += static_cast<std::size_t>(n);
    }
    _exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[65536];
  for (;;) {
    const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    if (n == 0 || (n < 0 && errno != EINTR)) break;
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return Json::parse(text);
  const std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                              : fmt::format("status {}", WEXITSTATUS(status));
  Json json{{"path", path}, {"holds", false}};
  json["findings"].push_back(
      {{"kind", "layout"},
       {"where", path},
       {"what", fmt::format("reading it ended by {}: the HDF5 library crashed on it", how)}});
  return json;
}

void print(const Json& r) {
  const std::string path = r.at("path");
  if (r.contains("error")) {
    tell(stderr, "spillway: {}\n", r["error"].get<std::string>());
    return;
  }
  const Json& findings = r.at("findings");
  if (findings.empty())
    tell(stdout, "{}: holds\n", path);
  else
    tell(stdout, "{}: DOES NOT HOLD: {} finding{}\n", path, findings.size(),
         findings.size() == 1 ? "" : "s");
  if (r.contains("format"))
    tell(stdout, "  {}, {}, {}, {} bytes\n", r["format"].get<std::string>(),
         r["status"].get<std::string>().empty() ? "not opened" : r["status"].get<std::string>(),
         r["sealed"].get<bool>() ? "sealed with checksums" : "without checksums of its own",
         human_count(r["bytes"].get<std::uint64_t>()));
  for (const Json& s : r.value("streams", Json::array()))
    tell(stdout, "  {}: produced {} = recorded {} + lost {} + missing {}\n",
         s["name"].get<std::string>(), human_count(s["produced"].get<std::uint64_t>()),
         human_count(s["recorded"].get<std::uint64_t>()),
         human_count(s["lost"].get<std::uint64_t>()),
         human_count(s["missing"].get<std::uint64_t>()));
  constexpr std::size_t most_findings = 20;
  for (std::size_t i = 0; i < std::min(findings.size(), most_findings); ++i)
    tell(stdout, "  {}: {}: {}\n", findings[i]["kind"].get<std::string>(),
         findings[i]["where"].get<std::string>(), findings[i]["what"].get<std::string>());
  if (findings.size() > most_findings)
    tell(stdout, "  ... and {} more (--json has all)\n", findings.size() - most_findings);
  for (const Json& remark : r.value("remarks", Json::array()))
    tell(stdout, "  note: {}\n", remark.get<std::string>());
}

}  // namespace

int verify(const VerifyArguments& arguments) {
  Json all = Json::array();
  bool holds = true;
  for (const std::string& path : arguments.paths) {
    Json report = verified(path);
    holds &= report.at("holds").get<bool>();
    if (arguments.json)
      all.push_back(std::move(report));
    else
      print(report);
  }
  if (arguments.json) tell(stdout, "{}\n", dumped(all, 2));
  return holds ? 0 : 1;
}

}  // namespace spillway::apps
