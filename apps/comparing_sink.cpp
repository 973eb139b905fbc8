#include "comparing_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "spillway/channels/error.hpp"
#include "spillway/storage/ranges.hpp"

namespace spillway::apps {

namespace {

constexpr std::size_t most_frames = 4096;

template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    return std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b) || (std::isnan(a) && std::isnan(b));
  } else {
    return a == b;
  }
}

bool could_be_recorded(Absence cause) {
  return cause == Absence::missing || cause == Absence::lost_upstream;
}

}  // namespace

void ComparingSink::begin(const RecordingInfo& info) {
  for (const StreamInfo& now : info.streams) {
    const std::size_t index = recording_.find(now.name);
    const StreamInfo& recorded = recording_.streams()[index].info;
    const auto like = [](const ChannelInfo& a, const ChannelInfo& b) {
      return a.name == b.name && a.type == b.type;
    };
    if (now.rate != recorded.rate || !std::ranges::equal(now.channels, recorded.channels, like))
      throw Error(
          fmt::format("{}: stream '{}' has another rate, or other channels, than the "
                      "recorded graph makes now",
                      recording_.path(), now.name));
    streams_.push_back({index, now, Block(recorded, most_frames)});
    PerStream result;
    result.name = now.name;
    results_.push_back(std::move(result));
  }
}

void ComparingSink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                           const CalibrationSet&) {
  Compared& s = streams_[stream];
  const RecordedStream& recorded = recording_.streams()[s.index];
  std::uint64_t number = chunk.first.value;
  const std::uint64_t end = number + chunk.count.value;
  s.end = {end};
  auto segment = std::ranges::upper_bound(recorded.segments, number, {}, &Segment::first_sample);
  if (segment != recorded.segments.begin()) --segment;
  for (; number < end && segment != recorded.segments.end(); ++segment) {
    const std::uint64_t begins = segment->first_sample;
    const std::uint64_t ends = begins + segment->count;
    if (ends <= number) continue;
    if (begins >= end) break;
    if (number < begins) tell_absent(stream, number, begins);
    number = std::max(number, begins);
    while (number < std::min(end, ends)) {
      const auto count = static_cast<std::size_t>(
          std::min<std::uint64_t>(std::min(end, ends) - number, most_frames));
      compare(stream, chunk, block, static_cast<std::size_t>(number - chunk.first.value),
              segment->row + (number - begins), count);
      number += count;
    }
  }
  if (number < end) tell_absent(stream, number, end);
}

void ComparingSink::compare(std::size_t stream, const Chunk& chunk, const Block& block,
                            std::size_t at, std::uint64_t row, std::size_t count) {
  Compared& s = streams_[stream];
  PerStream& result = results_[stream];
  recording_.read(s.index, row, count, s.recorded);
  s.rows_met += count;
  std::vector<bool> differs(count, false);
  const auto note = [&](std::size_t i, const std::string& what) {
    differs[i] = true;
    const std::uint64_t sample = chunk.first.value + at + i;
    if (!result.first || sample < result.first->sample) result.first = Difference{sample, what};
  };
  for (std::size_t c = 0; c < s.now.channels.size(); ++c) {
    const std::string& name = s.now.channels[c].name;
    visit_sample_type(s.now.channels[c].type, [&]<class T>(std::type_identity<T>) {
      const auto then = std::as_const(s.recorded).values<T>(c);
      const auto now = block.values<T>(c);
      for (std::size_t i = 0; i < count; ++i)
        if (!same(then[i], now[at + i]))
          note(i,
               fmt::format("'{}' is {} in the recording and {} now", name, then[i], now[at + i]));
    });
    const auto then = std::as_const(s.recorded).quality(c);
    const auto now = block.quality(c);
    for (std::size_t i = 0; i < count; ++i)
      if (then[i] != now[at + i])
        note(i, fmt::format("'{}' has the quality {} in the recording and {} now", name,
                            to_string(then[i]), to_string(now[at + i])));
  }
  // Of a regular stream both clocks run alike between two of their steps.
  std::vector<Time> then(s.now.rate ? 1 : count);
  recording_.read_times(s.index, row, then);
  for (std::size_t i = 0; i < then.size(); ++i) {
    const std::uint64_t sample = chunk.first.value + at + i;
    const Time now = s.now.rate
                         ? saturating_add(chunk.clock_time,
                                          s.now.rate->duration(sample - chunk.clock_sample.value))
                         : block.times()[at + i];
    if (now != then[i])
      note(i, fmt::format("it is at {} ns in the recording and at {} ns now", then[i].count(),
                          now.count()));
  }
  const auto different = static_cast<std::uint64_t>(std::ranges::count(differs, true));
  result.different += different;
  result.equal += count - different;
}

void ComparingSink::tell_absent(std::size_t stream, std::uint64_t begin, std::uint64_t end) {
  const RecordedStream& recorded = recording_.streams()[streams_[stream].index];
  PerStream& result = results_[stream];
  while (begin < end) {
    const auto after = std::ranges::upper_bound(recorded.gaps, begin, {}, &Gap::first_sample);
    std::uint64_t until = after == recorded.gaps.end() ? end : std::min(end, after->first_sample);
    bool a_difference = false;
    if (after != recorded.gaps.begin()) {
      const Gap& gap = *(after - 1);
      if (const std::uint64_t gap_end = gap.first_sample + gap.count; begin < gap_end) {
        until = std::min(end, gap_end);
        a_difference = could_be_recorded(gap.cause);
      }
    }
    if (a_difference && !result.first)
      result.first = Difference{begin,
                                "it is not in the recording, as the graph had nothing then, "
                                "and is there now"};
    (a_difference ? result.only_now : result.not_recorded) += until - begin;
    begin = until;
  }
}

void ComparingSink::close(const Ending&) {
  for (std::size_t i = 0; i < streams_.size(); ++i)
    results_[i].only_recorded = recording_.streams()[streams_[i].index].rows - streams_[i].rows_met;
}

}  // namespace spillway::apps
