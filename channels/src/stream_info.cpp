#include "spillway/channels/stream_info.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <unordered_set>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {
constexpr std::uint64_t most_samples = std::uint64_t{1} << 40;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Since 1970, of "2018-06-21T18:21:56.25"; none if it is not of this form.
std::optional<Time> since_1970(const std::string& text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  int read = 0;
  if (std::sscanf(text.c_str(), "%4d-%2u-%2uT%2u:%2u:%2u%n", &year, &month, &day, &hour, &minute,
                  &second, &read) != 6)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  // What a Time can tell from 1970.
  if (!date.ok() || year < 1678 || year > 2261 || hour > 23 || minute > 59 || second > 59)
    return std::nullopt;
  std::string_view rest = std::string_view(text).substr(static_cast<std::size_t>(read));
  std::int64_t fraction_ns = 0;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    for (std::int64_t unit = 100'000'000; !rest.empty() && rest[0] >= '0' && rest[0] <= '9';
         unit /= 10, rest.remove_prefix(1))
      fraction_ns += (rest[0] - '0') * unit;
  }
  if (!rest.empty()) return std::nullopt;
  return Time(std::chrono::sys_days(date).time_since_epoch()) + std::chrono::hours(hour) +
         std::chrono::minutes(minute) + std::chrono::seconds(second) + Time(fraction_ns);
}
}  // namespace

std::optional<Time> time_between(const Origin& from, const Origin& to) {
  if (from == to) return Time(0);
  if (from.kind != to.kind || from.kind == Origin::Kind::unknown) return std::nullopt;
  const std::optional<Time> a = since_1970(from.text);
  const std::optional<Time> b = since_1970(to.text);
  if (!a || !b) return std::nullopt;
  const std::int64_t limit = std::int64_t{1} << 62;
  if (std::abs(a->count()) > limit || std::abs(b->count()) > limit) return std::nullopt;
  return *b - *a;
}

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 200 && name != "." && name != ".." &&
         std::ranges::none_of(name, [](char c) { return c == '/' || is_control(c); });
}

void check_name(const std::string& what, const std::string& name) {
  if (name.empty()) throw Error(fmt::format("{}: the name is empty", what));
  if (is_name(name)) return;
  // A message is one line, and a NUL would end it.
  std::string shown = name.substr(0, 200);
  std::ranges::replace_if(shown, is_control, '?');
  throw Error(fmt::format(
      "{} '{}': a name has 1 to 200 bytes, no '/' and no control character, and is not '.' or '..'",
      what, shown));
}

void check_not_reserved(const std::string& what, const std::string& name) {
  for (const char* reserved : {"spillway", "title", "start_time", "end_time"})
    if (name == reserved)
      throw Error(
          fmt::format("{} '{}': the name is reserved for the recording's own data", what, name));
}

void check(const StreamInfo& info) {
  check_name("stream", info.name);
  check_not_reserved("stream", info.name);
  if (!info.publish_as.empty()) check_name("published stream", info.publish_as);
  if (info.channels.empty())
    throw Error(fmt::format("stream '{}' has no channels; at least one is needed", info.name));
  if (!info.rate && std::holds_alternative<Time>(info.capacity))
    throw Error(fmt::format(
        "stream '{}' is irregular: give its capacity in samples, not in seconds", info.name));
  if (const Time* t = std::get_if<Time>(&info.capacity); t && t->count() <= 0)
    throw Error(fmt::format("stream '{}': capacity must be positive", info.name));
  const auto capacity = capacity_in_samples(info).value;
  if (capacity == 0 || capacity > most_samples)
    throw Error(fmt::format("stream '{}': capacity of {} samples; allowed are 1 to {}", info.name,
                            capacity, most_samples));
  if (info.largest_block.value == 0 || info.largest_block.value > most_samples)
    throw Error(fmt::format("stream '{}': largest block of {} samples; allowed are 1 to {}",
                            info.name, info.largest_block.value, most_samples));
  if (info.mark_capacity.value < 2 || info.mark_capacity.value > (1U << 24))
    throw Error(fmt::format("stream '{}': mark capacity of {}; allowed are 2 to {}", info.name,
                            info.mark_capacity.value, 1U << 24));
  std::unordered_set<std::string> seen;
  for (const ChannelInfo& channel : info.channels) {
    const std::string where = fmt::format("channel '{}' of stream '{}'", channel.name, info.name);
    check_name(fmt::format("channel of stream '{}'", info.name), channel.name);
    if (channel.name == "time" || channel.name == "time_ns" || channel.name == "sample" ||
        channel.name.ends_with("_quality"))
      throw Error(
          where +
          ": the names 'time', 'time_ns', 'sample' and any ending in '_quality' are reserved");
    for (const std::string& unit : {channel.unit, channel.calibration.unit_in})
      if (std::ranges::any_of(unit, [](unsigned char c) { return c < 0x20 || c == 0x7F; }))
        throw Error(where + ": its unit has a control character");
    if (!seen.insert(channel.name).second) throw Error(where + ": the name stands twice");
    if (channel.range && !(channel.range->low <= channel.range->high))
      throw Error(fmt::format("{}: range low {} is above high {}", where, channel.range->low,
                              channel.range->high));
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (channel.range && (channel.range->low == infinity || channel.range->high == -infinity))
      throw Error(fmt::format("{}: range {} to {}: no finite value is in it", where,
                              channel.range->low, channel.range->high));
    check(channel.calibration, where);
  }
}

SampleCount capacity_in_samples(const StreamInfo& info) {
  if (const auto* samples = std::get_if<SampleCount>(&info.capacity)) return *samples;
  return {info.rate->samples_within(std::get<Time>(info.capacity))};
}

}  // namespace spillway
