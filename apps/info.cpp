#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "axis.hpp"
#include "commands.hpp"
#include "in_child.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/journal.hpp"
#include "spillway/storage/recording.hpp"
#include "text.hpp"
#include "view.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

const char* guard_name(Recording::Guard guard) {
  switch (guard) {
    case Recording::Guard::seal: return "seal";
    case Recording::Guard::journal: return "journal";
    case Recording::Guard::none: break;
  }
  return "nothing";
}

// How many samples have which quality, by the quality's byte.
std::map<std::uint8_t, std::uint64_t> count_quality(const Recording& recording, std::size_t stream,
                                                    std::size_t channel) {
  std::map<std::uint8_t, std::uint64_t> counts;
  std::array<std::uint64_t, 256> bytes{};
  std::vector<Quality> block(std::size_t{1} << 16);
  const std::uint64_t rows = recording.streams()[stream].rows;
  for (std::uint64_t row = 0; row < rows; row += block.size()) {
    const std::span<Quality> part =
        std::span(block).first(std::min<std::uint64_t>(block.size(), rows - row));
    recording.read_quality(stream, channel, row, part);
    for (const Quality q : part) ++bytes[q.byte()];
  }
  for (std::size_t b = 0; b < bytes.size(); ++b)
    if (bytes[b] > 0) counts[static_cast<std::uint8_t>(b)] = bytes[b];
  return counts;
}

// To a thousandth of the stream; empty if its origin does not tell its time.
std::string calendar_of(const StreamInfo& info, const ShownStream& all, Time time) {
  return all.begin == all.end ? "" : calendar(info.origin, time, (all.end - all.begin) / 1000);
}

void print_stream(std::FILE* to, const Recording& recording, std::size_t index) {
  const RecordedStream& s = recording.streams()[index];
  const std::string rate = s.info.rate ? hertz(s.info.rate->hertz().value) : "irregular";
  const ShownStream all = all_of(recording, index);
  tell(to, "\n{}: {}, {} over {}\n", s.info.name, rate, human_count(s.rows, "sample"),
       duration_of(all));
  tell(to, "  produced {} = recorded {} + lost {} + missing {}\n", human_count(s.counts.produced),
       human_count(s.counts.recorded), human_count(s.counts.lost), human_count(s.counts.missing));
  if (!s.info.origin.text.empty())
    tell(to, "  time from {}{}\n", s.info.origin.text,
         s.info.origin.kind == Origin::Kind::utc     ? " UTC"
         : s.info.origin.kind == Origin::Kind::local ? " (local)"
                                                     : "");
  if (const std::string begin = calendar_of(s.info, all, all.begin); !begin.empty())
    tell(to, "  {} to {}{}\n", begin, calendar_of(s.info, all, all.end), zone_of(s.info.origin));
  for (std::size_t c = 0; c < s.info.channels.size(); ++c) {
    constexpr std::size_t most_channels = 32;
    if (c == most_channels) {
      tell(to, "  ... and {} more\n",
           human_count(s.info.channels.size() - most_channels, "channel"));
      break;
    }
    const ChannelInfo& channel = s.info.channels[c];
    std::string line = fmt::format("  {}: {}", channel.name, sample_type_name(channel.type));
    if (!channel.raw_unit().empty()) line += ", " + channel.raw_unit();
    if (!channel.calibration.is_identity())
      line += fmt::format(" ->{}{} by {}", channel.unit.empty() ? "" : " ", channel.unit,
                          describe(channel.calibration));
    std::string quality;
    for (const auto& [byte, n] : count_quality(recording, index, c))
      quality += fmt::format("{}{} {}", quality.empty() ? "" : ", ", human_count(n),
                             to_string(Quality::from_byte(byte)));
    tell(to, "{}\n    {}\n", line, quality.empty() ? "no samples" : quality);
  }
  if (const std::size_t changes = s.calibrations.size(); changes > 1)
    tell(to, "  calibrations change {}\n",
         changes == 2 ? fmt::format("at sample {}", s.calibrations.back().from_sample)
                      : fmt::format("{} times", changes - 1));
  if (!s.anchors.empty())
    tell(to, "  {} given by the source\n", human_count(s.anchors.size(), "time stamp"));
  tell(to, "  {}, {}\n", human_count(s.segments.size(), "segment"),
       human_count(s.gaps.size(), "gap"));
  constexpr std::size_t most_gaps = 10;
  for (std::size_t g = 0; g < std::min(s.gaps.size(), most_gaps); ++g)
    tell(to, "    samples {} to {}: {} ({})\n", s.gaps[g].first_sample,
         s.gaps[g].first_sample + s.gaps[g].count - 1, cause_of(s.gaps[g]),
         human_count(s.gaps[g].count));
  if (s.gaps.size() > most_gaps)
    tell(to, "    ... and {} more (--json has all)\n", human_count(s.gaps.size() - most_gaps));
}

Json json_of(const Recording& recording, std::size_t index) {
  const RecordedStream& s = recording.streams()[index];
  const ShownStream all = all_of(recording, index);
  Json json{{"name", s.info.name},
            {"rows", s.rows},
            {"seconds", static_cast<double>((all.end - all.begin).count()) / 1e9}};
  if (s.info.rate) json["rate_hz"] = s.info.rate->hertz().value;
  json["origin"] = s.info.origin.text;
  if (const std::string begin = calendar_of(s.info, all, all.begin); !begin.empty()) {
    json["begin"] = begin;
    json["end"] = calendar_of(s.info, all, all.end);
  }
  json["counts"] = {{"produced", s.counts.produced},
                    {"recorded", s.counts.recorded},
                    {"lost", s.counts.lost},
                    {"missing", s.counts.missing}};
  for (std::size_t c = 0; c < s.info.channels.size(); ++c) {
    const ChannelInfo& channel = s.info.channels[c];
    Json quality = Json::object();
    for (const auto& [byte, n] : count_quality(recording, index, c))
      quality[to_string(Quality::from_byte(byte))] = n;
    json["channels"].push_back({{"name", channel.name},
                                {"type", sample_type_name(channel.type)},
                                {"raw_unit", channel.raw_unit()},
                                {"unit", channel.unit},
                                {"calibration", describe(channel.calibration)},
                                {"quality", quality}});
  }
  json["segments"] = Json::array();
  for (const Segment& g : s.segments)
    json["segments"].push_back(
        {{"first_sample", g.first_sample}, {"row", g.row}, {"count", g.count}, {"t0_ns", g.t0_ns}});
  json["gaps"] = Json::array();
  for (const Gap& g : s.gaps)
    json["gaps"].push_back({{"first_sample", g.first_sample},
                            {"count", g.count},
                            {"lost", g.lost},
                            {"missing", g.missing},
                            {"cause", cause_of(g)}});
  return json;
}

// What can be said of whoever records, or recorded, into a file that is not sealed.
struct Recorder {
  enum class Life { lives, ended, unknown } life = Life::unknown;
  std::uint64_t commits = 0;
};

Recorder recorder_of(const std::string& part) {
  const std::string_view ending = ".part";
  if (!part.ends_with(ending)) return {};
  const std::string journal = JournalWriter::name_for(part.substr(0, part.size() - ending.size()));
  if (system_file_calls().kind(journal.c_str()) != PathKind::file) return {};
  try {
    const JournalReader reader(journal, system_file_calls());
    return {reader.in_use() ? Recorder::Life::lives : Recorder::Life::ended, reader.commits()};
  } catch (const Error&) {
    return {};  // a journal that can't be read tells nothing
  }
}

std::string recover_command(const std::string& path) { return "spillway recover " + quoted(path); }

void print_unfinished(std::FILE* to, const Recording& recording, const Recorder& recorder) {
  std::string safe;
  for (const RecordedStream& s : recording.streams())
    safe += fmt::format("{}{} of {}", safe.empty() ? "" : ", ", human_count(s.rows), s.info.name);
  if (safe.empty()) safe = "nothing";
  switch (recorder.life) {
    case Recorder::Life::lives:
      tell(to, "Its recorder lives: it is still growing. Readable now: {}.\n", safe);
      return;
    case Recorder::Life::ended:
      tell(to,
           "Its recorder ended without sealing it. Safe by its journal ({}): {}.\n"
           "To save it: {}\n",
           human_count(recorder.commits, "commit"), safe, recover_command(recording.path()));
      return;
    case Recorder::Life::unknown: break;
  }
  tell(
      to,
      "It is still growing, or its recorder ended without sealing it; there is no journal to tell. "
      "Readable: {}.\n"
      "If its recorder has ended, save it: {}\n",
      safe, recover_command(recording.path()));
}

Json json_of(const Recording& recording, const Recorder& recorder) {
  Json json{{"recorder", recorder.life == Recorder::Life::lives   ? "lives"
                         : recorder.life == Recorder::Life::ended ? "ended"
                                                                  : "unknown"},
            {"commits", recorder.commits}};
  if (recorder.life != Recorder::Life::lives) json["command"] = recover_command(recording.path());
  return json;
}

void print(std::FILE* to, const Recording& recording) {
  // Files of others have neither title nor times.
  tell(to, "{}{}{}\n", recording.path(), recording.title().empty() ? "" : ": ", recording.title());
  tell(to, "{}{}{}{}{}\n", recording.status(), recording.start_time().empty() ? "" : ", started ",
       recording.start_time(), recording.end_time().empty() ? "" : ", ended ",
       recording.end_time());
  for (const std::string& remark : recording.remarks()) tell(to, "note: {}\n", readable(remark));
  if (recording.status() == "recording")
    print_unfinished(to, recording, recorder_of(recording.path()));
  for (std::size_t i = 0; i < recording.streams().size(); ++i) print_stream(to, recording, i);
}

std::string json_text_of(const Recording& recording) {
  Json json{{"path", recording.path()},
            {"title", recording.title()},
            {"status", recording.status()},
            {"start_time", recording.start_time()},
            {"end_time", recording.end_time()},
            {"checked_by", guard_name(recording.guard())},
            {"events", recording.events().size()},
            {"remarks", recording.remarks()}};
  if (const auto appended = appended_calibrations(recording.path()); !appended.empty())
    json["appended_calibrations"] = {{"count", appended.size()},
                                     {"file", calibration_sidecar_of(recording.path())}};
  if (recording.status() == "recording")
    json["unfinished"] = json_of(recording, recorder_of(recording.path()));
  json["streams"] = Json::array();
  for (std::size_t i = 0; i < recording.streams().size(); ++i)
    json["streams"].push_back(json_of(recording, i));
  // A path need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

int info(const InfoArguments& arguments) {
  const OpenOptions options{.foreign = foreign(arguments.foreign)};
  const ChildResult result = in_child(arguments.path, [&]() -> ChildResult {
    const Recording recording = Recording::open(arguments.path, options);
    if (arguments.json) return {json_text_of(recording)};
    return {printed([&](std::FILE* to) { print(to, recording); })};
  });
  tell(stdout, "{}", result.text);
  return result.status;
}

}  // namespace spillway::apps
