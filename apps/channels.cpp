#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/shared_stream.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

const char* to_string(Publisher publisher) {
  switch (publisher) {
    case Publisher::alive: return "alive";
    case Publisher::finished: return "finished";
    case Publisher::gone: break;
  }
  return "gone";
}

std::string rate_of(const StreamInfo& info) {
  return info.rate ? fmt::format("{:g} Hz", info.rate->hertz().value) : "irregular";
}

double seconds_since(std::int64_t started_ns) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() -
                             started_ns) /
         1e9;
}

std::string human_age(double seconds) {
  if (seconds < 120.0) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7200.0) return fmt::format("{:.0f} min", seconds / 60.0);
  if (seconds < 172800.0) return fmt::format("{:.1f} h", seconds / 3600.0);
  return fmt::format("{:.1f} d", seconds / 86400.0);
}

// One published stream as it is now.
struct Row {
  std::string name;
  std::string error;  // why it can't be read
  StreamInfo info;
  Publisher publisher = Publisher::gone;
  std::int64_t process = 0;
  double age_s = 0.0;
  std::uint64_t produced = 0;
  std::uint64_t missing = 0;
};

Row row_of(const std::string& name) {
  Row row;
  row.name = name;
  try {
    const AttachedStream remote(name);
    row.info = remote.stream().info();
    row.publisher = remote.publisher();
    row.process = remote.process();
    row.age_s = seconds_since(remote.started_ns());
    StreamReader reader(remote.stream());
    reader.seek_latest();
    row.produced = reader.next().value;
    row.missing = row.produced - reader.position();
  } catch (const Error& e) {
    row.error = e.what();
  }
  return row;
}

Json json_of(const Row& row) {
  if (!row.error.empty()) return {{"name", row.name}, {"error", row.error}};
  Json json{{"name", row.name},
            {"stream", row.info.name},
            {"publisher", to_string(row.publisher)},
            {"process", row.process},
            {"age_s", row.age_s},
            {"rate_hz", row.info.rate ? Json(row.info.rate->hertz().value) : Json()},
            {"produced", row.produced},
            {"missing", row.missing},
            {"channels", Json::array()}};
  for (const ChannelInfo& channel : row.info.channels)
    json["channels"].push_back(
        {{"name", channel.name}, {"type", sample_type_name(channel.type)}, {"unit", channel.unit}});
  return json;
}

std::string channels_of(const StreamInfo& info) {
  constexpr std::size_t shown = 4;
  std::string text;
  for (std::size_t c = 0; c < info.channels.size() && c < shown; ++c)
    text +=
        fmt::format("{}{} ({})", c == 0 ? "" : ", ", info.channels[c].name, info.channels[c].unit);
  if (info.channels.size() > shown)
    text += fmt::format(" and {} more", info.channels.size() - shown);
  return text;
}

}  // namespace

int channels(const ChannelsArguments& arguments) {
  std::vector<Row> rows;
  for (const std::string& name : published_streams()) rows.push_back(row_of(name));
  if (arguments.json) {
    Json json = Json::array();
    for (const Row& row : rows) json.push_back(json_of(row));
    tell(stdout, "{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
    return 0;
  }
  if (rows.empty()) {
    tell(stdout, "no stream is published on this machine\n");
    return 0;
  }
  std::size_t width = 4;
  for (const Row& row : rows) width = std::max(width, row.name.size());
  tell(stdout, "{:{}}  {:>10}  {:>12}  {:22}  {}\n", "NAME", width, "RATE", "SAMPLES", "PUBLISHER",
       "CHANNELS");
  for (const Row& row : rows) {
    if (!row.error.empty()) {
      tell(stdout, "{:{}}  {}\n", row.name, width, row.error);
      continue;
    }
    const std::string publisher =
        row.publisher == Publisher::alive
            ? fmt::format("process {}, {}", row.process, human_age(row.age_s))
            : fmt::format("{} (process {})", to_string(row.publisher), row.process);
    tell(stdout, "{:{}}  {:>10}  {:>12}  {:22}  {}\n", row.name, width, rate_of(row.info),
         human_count(row.produced), publisher, channels_of(row.info));
  }
  return 0;
}

}  // namespace spillway::apps
