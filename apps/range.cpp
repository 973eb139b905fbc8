#include "range.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "axis.hpp"
#include "spillway/channels/error.hpp"

namespace spillway::apps {

namespace {

// The whole of `text` as a number.
template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// To the nanosecond: a double is not enough for that from 104 days on.
std::optional<Time> seconds_of(std::string_view text) {
  const std::optional<long double> value = number<long double>(text);
  constexpr long double limit = 9.2e9L;  // what a Time holds
  if (!value || !std::isfinite(*value) || std::abs(*value) > limit) return std::nullopt;
  return Time(std::llround(*value * 1e9L));
}

std::optional<SampleNumber> sample_of(std::string_view text) {
  if (!text.starts_with('#')) return std::nullopt;
  const std::optional<std::uint64_t> value = number<std::uint64_t>(text.substr(1));
  if (!value || text[1] == '+') return std::nullopt;
  return SampleNumber{*value};
}

bool is_time(const std::string& calendar) {
  return time_between({Origin::Kind::utc, "1970-01-01T00:00:00"}, {Origin::Kind::utc, calendar})
      .has_value();
}

// "+02:00", "-0530" or "+02" behind a time of the day, which it is taken from.
std::optional<std::chrono::minutes> take_offset(std::string& calendar) {
  constexpr std::size_t time_of_day = 10;  // where its T is
  const std::size_t sign = calendar.find_last_of("+-");
  if (sign == std::string::npos || sign <= time_of_day) return std::nullopt;
  std::string digits = calendar.substr(sign + 1);
  if (digits.size() == 5 && digits[2] == ':') digits.erase(2, 1);
  const bool numbers = std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  if (!numbers || (digits.size() != 2 && digits.size() != 4)) return std::nullopt;
  const int hours = std::stoi(digits.substr(0, 2));
  const int minutes = digits.size() == 4 ? std::stoi(digits.substr(2)) : 0;
  if (hours > 23 || minutes > 59) return std::nullopt;
  const std::chrono::minutes offset(hours * 60 + minutes);
  const bool behind = calendar[sign] == '-';
  calendar.resize(sign);
  return behind ? -offset : offset;
}

// In full, without an offset: "2026-05-04", or with "T10:44", ":18", ".5", "Z", "+02:00". Throws
// Error, with the range, if it is of a year that a Time does not hold.
std::optional<std::string> calendar_of(std::string_view text, const std::string& range) {
  std::string full(text);
  const bool utc = full.ends_with('Z');
  if (utc) full.pop_back();
  const std::optional<std::chrono::minutes> offset = utc ? std::nullopt : take_offset(full);
  if (full.size() == 10) full += "T00:00";
  if (full.size() == 16) full += ":00";
  constexpr std::string_view pattern = "0000-00-00T00:00:00";
  if (full.size() < pattern.size()) return std::nullopt;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t i = 0; i < pattern.size(); ++i)
    if (pattern[i] == '0' ? !is_digit(full[i]) : full[i] != pattern[i]) return std::nullopt;
  const std::string_view fraction = std::string_view(full).substr(pattern.size());
  if (!fraction.empty() && (fraction.size() < 2 || fraction[0] != '.' ||
                            !std::all_of(fraction.begin() + 1, fraction.end(), is_digit)))
    return std::nullopt;
  const std::string year = full.substr(0, 4);
  if ((year < "1824" || year > "2115") && is_time("2000" + full.substr(4)))
    throw Error(
        fmt::format("range '{}': the year {}: times are held in nanoseconds; allowed are the "
                    "years 1824 to 2115",
                    range, year));
  if (!is_time(full)) return std::nullopt;  // February 30th
  if (offset) {
    full = calendar({Origin::Kind::utc, full}, -*offset,
                    fraction.empty() ? Time(std::chrono::seconds(1)) : Time(1));
    full[full.find(' ')] = 'T';
  }
  return full + (utc || offset ? "Z" : "");
}

std::string without_zone(const std::string& text) {
  return text.ends_with('Z') ? text.substr(0, text.size() - 1) : text;
}

// From `begin` to `end`, if both are what `parse` reads or empty.
template <class Value, class Range, class Parse>
std::optional<Range> range_of(std::string_view begin, std::string_view end, Parse parse) {
  Range range;
  if (!begin.empty()) {
    const std::optional<Value> value = parse(begin);
    if (!value) return std::nullopt;
    range.begin = *value;
  }
  if (!end.empty()) {
    const std::optional<Value> value = parse(end);
    if (!value) return std::nullopt;
    range.end = *value;
  }
  return range;
}

// UTC and local times can't be told apart without a zone: the stream decides.
Time from_origin(const std::string& calendar, const Recording& recording,
                 const RecordedStream& stream, const std::string& range) {
  const Origin& origin = stream.info.origin;
  const char* const use = "use seconds from its origin, or sample numbers (#1000:#2000)";
  if (origin.kind == Origin::Kind::unknown)
    throw Error(fmt::format("{}: range '{}': the calendar time of stream '{}' is not known; {}",
                            recording.path(), range, stream.info.name, use));
  if (origin.kind == Origin::Kind::local && calendar.ends_with('Z'))
    throw Error(
        fmt::format("{}: range '{}': the time of stream '{}' is local, of no known zone; leave "
                    "the zone out, or {}",
                    recording.path(), range, stream.info.name, use));
  const std::optional<Time> time =
      time_between(origin, Origin{origin.kind, without_zone(calendar)});
  if (!time)
    throw Error(fmt::format("{}: range '{}': '{}' is no time, or too far from '{}'",
                            recording.path(), range, calendar, origin.text));
  return *time;
}

}  // namespace

RangeArgument range_argument(const std::string& text) {
  // Calendar times have colons of their own; only one of them leaves something on both sides.
  for (std::size_t colon = text.find(':'); colon != std::string::npos;
       colon = text.find(':', colon + 1)) {
    const std::string_view begin = std::string_view(text).substr(0, colon);
    const std::string_view end = std::string_view(text).substr(colon + 1);
    RangeArgument argument;
    argument.text = text;
    bool forward = true;
    if (const auto times = range_of<Time, TimeRange>(begin, end, seconds_of)) {
      argument.value = *times;
      forward = times->begin < times->end;
    } else if (const auto samples = range_of<SampleNumber, SampleRange>(begin, end, sample_of)) {
      argument.value = *samples;
      forward = samples->begin < samples->end;
    } else if (const auto days = range_of<std::string, CalendarRange>(
                   begin, end, [&](std::string_view time) { return calendar_of(time, text); })) {
      argument.value = *days;
      if (!begin.empty() && !end.empty())
        forward = *time_between({Origin::Kind::utc, without_zone(days->begin)},
                                {Origin::Kind::utc, without_zone(days->end)}) > Time(0);
    } else {
      continue;
    }
    if (!forward) throw Error(fmt::format("range '{}': its end is not behind its begin", text));
    return argument;
  }
  throw Error(
      fmt::format("range '{}': must be BEGIN:END, each empty, seconds from the origin (0.5:2), "
                  "sample numbers (#1000:#2000) or, both, times such as 2026-05-04T10:44:18Z",
                  text));
}

TimeRange times(const Recording& recording, std::size_t stream, const RangeArgument& range) {
  const RecordedStream& s = recording.streams().at(stream);
  if (const auto* by_time = std::get_if<TimeRange>(&range.value)) return *by_time;
  TimeRange result;
  if (const auto* days = std::get_if<CalendarRange>(&range.value)) {
    if (!days->begin.empty()) result.begin = from_origin(days->begin, recording, s, range.text);
    if (!days->end.empty()) result.end = from_origin(days->end, recording, s, range.text);
    return result;
  }
  const auto& samples = std::get<SampleRange>(range.value);
  const RowRange there = spillway::rows(s, samples);
  const auto time_of = [&](std::uint64_t row) {
    Time time = Time::max();
    if (row < s.rows) recording.read_times(stream, row, {&time, 1});
    return time;
  };
  if (samples.begin.value > 0) result.begin = time_of(there.begin);
  if (samples.end != SampleRange{}.end) result.end = time_of(there.end);
  return result;
}

RowRange rows(const Recording& recording, std::size_t stream, const RangeArgument& range) {
  if (const auto* samples = std::get_if<SampleRange>(&range.value))
    return spillway::rows(recording.streams().at(stream), *samples);
  return spillway::rows(recording, stream, times(recording, stream, range));
}

}  // namespace spillway::apps
