#include "selection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <variant>

#include "range.hpp"
#include "spillway/channels/error.hpp"

namespace spillway::apps {

Selection selection(const Recording& recording, const std::vector<std::string>& names,
                    const std::string& range) {
  Selection result;
  std::vector<std::string> whole;
  const auto add_stream = [&](const std::string& stream) {
    if (std::ranges::find(result.streams, stream) == result.streams.end())
      result.streams.push_back(stream);
  };
  const auto add_channel = [&](const std::string& stream, const std::string& channel) {
    add_stream(stream);
    std::vector<std::string>& channels = result.channels[stream];
    if (std::ranges::find(channels, channel) == channels.end()) channels.push_back(channel);
  };
  for (const std::string& name : names) {
    const std::size_t slash = name.find('/');
    if (slash != std::string::npos) {
      add_channel(name.substr(0, slash), name.substr(slash + 1));
      continue;
    }
    bool found = false;
    for (const RecordedStream& stream : recording.streams()) {
      if (stream.info.name == name) {
        add_stream(name);
        whole.push_back(name);
        found = true;
      } else if (std::ranges::find(stream.info.channels, name, &ChannelInfo::name) !=
                 stream.info.channels.end()) {
        add_channel(stream.info.name, name);
        found = true;
      }
    }
    if (!found) add_stream(name);  // which will be told not to be there
  }
  for (const std::string& stream : whole) result.channels.erase(stream);
  if (range.empty()) return result;
  const RangeArgument part = range_argument(range);
  if (const auto* times_of_all = std::get_if<TimeRange>(&part.value)) result.times = *times_of_all;
  std::uint64_t found = 0;
  for (const StreamInfo& stream : info_of(recording, result).streams) {
    const std::size_t index = recording.find(stream.name);
    const RecordedStream& s = recording.streams()[index];
    const RowRange there = rows(recording, index, part);
    found += there.count();
    // A number is another time in each stream, and so is a calendar's from another origin.
    if (const auto* numbers = std::get_if<SampleRange>(&part.value)) {
      result.samples[stream.name] = *numbers;
    } else if (const auto* calendar = std::get_if<CalendarRange>(&part.value)) {
      SampleRange& samples = result.samples[stream.name];
      if (there.count() == 0) {
        samples.end = {0};
        continue;
      }
      if (!calendar->begin.empty()) samples.begin = s.number(there.begin);
      if (!calendar->end.empty()) samples.end = {s.number(there.end - 1).value + 1};
    }
  }
  if (found == 0)
    throw Error(fmt::format("{}: range '{}': no sample lies in it", recording.path(), range));
  return result;
}

}  // namespace spillway::apps
