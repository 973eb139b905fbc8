#include "stream_json.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <limits>
#include <string_view>

#include "calibration_json.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

using Json = nlohmann::ordered_json;

namespace {
constexpr std::string_view kinds[]{"unknown", "utc", "local"};

// JSON has no spelling for what is infinite: `null` is no limit.
Json to_json(const Range& range) {
  const auto limit = [](double value) { return std::isfinite(value) ? Json(value) : Json(); };
  return Json::array({limit(range.low), limit(range.high)});
}

Range range_from_json(const Json& json) {
  constexpr double none = std::numeric_limits<double>::infinity();
  const auto limit = [](const Json& value, double otherwise) {
    return value.is_null() ? otherwise : value.get<double>();
  };
  return {limit(json.at(0), -none), limit(json.at(1), none)};
}
}  // namespace

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
    if (channel.range) c["range"] = to_json(*channel.range);
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
    if (c.contains("range")) channel.range = range_from_json(c["range"]);
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
