#include "stream_json.hpp"

#include <fmt/format.h>

#include <chrono>
#include <ctime>
#include <string_view>

#include "calibration_json.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

using Json = nlohmann::ordered_json;

namespace {
constexpr std::string_view kinds[]{"unknown", "utc", "local"};
}

Json to_json(const StreamInfo& info) {
  Json json;
  json["name"] = info.name;
  if (info.rate)
    json["rate"] = {{"samples", info.rate->samples()}, {"seconds", info.rate->seconds()}};
  json["origin"] = {{"kind", kinds[static_cast<std::size_t>(info.origin.kind)]},
                    {"text", info.origin.text}};
  for (const ChannelInfo& channel : info.channels) {
    Json c;
    c["name"] = channel.name;
    if (!channel.description.empty()) c["description"] = channel.description;
    c["unit"] = channel.unit;
    c["raw_unit"] = channel.raw_unit();
    c["type"] = sample_type_name(channel.type);
    if (channel.range) c["range"] = {channel.range->low, channel.range->high};
    if (!channel.calibration.is_identity()) c["calibration"] = to_json(channel.calibration);
    json["channels"].push_back(std::move(c));
  }
  return json;
}

StreamInfo stream_info_from_json(const Json& json) {
  StreamInfo info;
  info.name = json.at("name");
  if (json.contains("rate"))
    info.rate = Rate(json["rate"].at("samples"), json["rate"].at("seconds"));
  const std::string kind = json.at("origin").at("kind");
  for (std::size_t i = 0; i < std::size(kinds); ++i)
    if (kinds[i] == kind) info.origin.kind = static_cast<Origin::Kind>(i);
  info.origin.text = json["origin"].at("text");
  for (const Json& c : json.at("channels")) {
    ChannelInfo channel;
    channel.name = c.at("name");
    channel.description = c.value("description", "");
    channel.unit = c.at("unit");
    channel.type = sample_type_from_name(c.at("type").get<std::string>());
    if (c.contains("range")) channel.range = {c["range"].at(0), c["range"].at(1)};
    if (c.contains("calibration")) channel.calibration = calibration_from_json(c["calibration"]);
    info.channels.push_back(std::move(channel));
  }
  return info;
}

std::string utc_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
  const std::time_t seconds = ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900,
                     utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

}  // namespace spillway
