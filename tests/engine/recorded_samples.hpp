// Recordings sample by sample, and what a replay must give of them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "spillway/engine/engine.hpp"
#include "spillway/engine/replay.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "support/catch.hpp"

namespace spillway::test {

// A stream as it was recorded, sample by sample.
struct Recorded {
  struct Sample {
    std::vector<double> values;
    std::vector<std::uint8_t> quality;
    Time time{};
    bool begins_segment = false;
    std::uint64_t clock_sample = 0;
    std::int64_t clock_ns = 0;
  };
  std::map<std::uint64_t, Sample> samples;
  std::map<std::uint64_t, Absence> absent;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

inline void add_books(std::span<const Segment> segments, std::span<const Gap> gaps, Recorded& to) {
  std::uint64_t begin = UINT64_MAX;
  for (const Segment& s : segments) {
    begin = std::min(begin, s.first_sample);
    to.end = std::max(to.end, s.first_sample + s.count);
    for (std::uint64_t n = s.first_sample; n < s.first_sample + s.count; ++n) {
      Recorded::Sample& sample = to.samples[n];
      sample.begins_segment = n == s.first_sample;
      sample.clock_sample = s.clock_sample;
      sample.clock_ns = s.clock_ns;
    }
  }
  for (const Gap& g : gaps) {
    begin = std::min(begin, g.first_sample);
    to.end = std::max(to.end, g.first_sample + g.count);
    for (std::uint64_t n = g.first_sample; n < g.first_sample + g.count; ++n)
      to.absent[n] = g.cause;
  }
  to.begin = begin == UINT64_MAX ? 0 : begin;
}

inline Recorded recorded(const Recording& recording, std::size_t stream) {
  Recorded all;
  const RecordedStream& from = recording.streams()[stream];
  add_books(from.segments, from.gaps, all);
  std::vector<Time> times(from.rows);
  recording.read_times(stream, 0, times);
  std::vector<double> values(from.rows);
  std::vector<Quality> quality(from.rows);
  for (std::size_t c = 0; c < from.info.channels.size(); ++c) {
    recording.read_raw<double>(stream, c, 0, values);
    recording.read_quality(stream, c, 0, quality);
    for (std::uint64_t row = 0; row < from.rows; ++row) {
      Recorded::Sample& sample = all.samples.at(from.number(row).value);
      sample.values.push_back(values[row]);
      sample.quality.push_back(quality[row].byte());
      sample.time = times[row];
    }
  }
  return all;
}

inline Recorded recorded(const MemorySink& sink, std::size_t stream) {
  Recorded all;
  add_books(sink.segments(stream), sink.gaps(stream), all);
  const std::vector<Time> times = sink.times(stream);
  const std::vector<SampleNumber> numbers = sink.sample_numbers(stream);
  for (std::size_t row = 0; row < numbers.size(); ++row) {
    Recorded::Sample& sample = all.samples.at(numbers[row].value);
    for (std::size_t c = 0; c < sink.info().streams[stream].channels.size(); ++c) {
      sample.values.push_back(sink.values<double>(stream, c)[row]);
      sample.quality.push_back(sink.quality(stream, c)[row].byte());
    }
    sample.time = times[row];
  }
  return all;
}

inline bool same(const Recorded::Sample& a, const Recorded::Sample& b) {
  return a.values.size() == b.values.size() &&
         std::memcmp(a.values.data(), b.values.data(), a.values.size() * sizeof(double)) == 0 &&
         a.quality == b.quality && a.time == b.time && a.clock_sample == b.clock_sample &&
         a.clock_ns == b.clock_ns;
}

// Of what the report tells: from which sample on an output may differ.
inline std::map<std::string, std::uint64_t> differs_from(const ReplayReport& report) {
  std::map<std::string, std::uint64_t> all;
  for (const std::string& line : report.differences) {
    const std::string words = "' may differ from sample ";
    const std::size_t at = line.find(words);
    if (at == std::string::npos) continue;
    const std::string name = line.substr(1, at - 1);
    const std::uint64_t from = std::stoull(line.substr(at + words.size()));
    const auto [known, is_new] = all.emplace(name, from);
    if (!is_new) known->second = std::min(known->second, from);
  }
  return all;
}

// Adjacent gaps as one: where one ends and the next begins depends on when they were read.
inline std::vector<Gap> joined(std::span<const Gap> gaps) {
  std::vector<Gap> all;
  for (Gap gap : gaps) {
    gap.cause = Absence::mixed;
    if (all.empty() || all.back().first_sample + all.back().count != gap.first_sample) {
      all.push_back(gap);
      continue;
    }
    all.back().count += gap.count;
    all.back().lost += gap.lost;
    all.back().missing += gap.missing;
  }
  return all;
}

inline std::string words(std::span<const Gap> gaps) {
  std::string text;
  for (const Gap& g : gaps)
    text += fmt::format("{} +{} (lost {}, missing {}, cause {}); ", g.first_sample, g.count, g.lost,
                        g.missing, static_cast<int>(g.cause));
  return text;
}

inline bool by_recorder(Absence cause) {
  return cause == Absence::lost || cause == Absence::not_written || cause == Absence::mixed;
}

struct Reached {
  std::map<std::string, std::uint64_t> count;
  std::uint64_t& operator[](const std::string& what) { return count[what]; }
};

// What the live recorder wrote of a node against what the replay made of it, up to where it may
// differ.
inline void check_same_output(const Recorded& live, const Recorded& replayed, std::uint64_t until,
                              Reached& reached) {
  for (const auto& [number, sample] : live.samples) {
    if (number >= until) break;
    CAPTURE(number, sample.values, sample.quality, sample.time.count());
    const auto found = replayed.samples.find(number);
    REQUIRE(found != replayed.samples.end());
    CAPTURE(found->second.values, found->second.quality, found->second.time.count());
    REQUIRE(same(sample, found->second));
    // A segment that begins behind a loss of the recorder's is none of the graph.
    const auto before = live.absent.find(number - 1);
    const bool behind_loss = before != live.absent.end() && by_recorder(before->second);
    if (!behind_loss && number > live.begin)
      REQUIRE(sample.begins_segment == found->second.begins_segment);
    if (sample.begins_segment && before == live.absent.end()) ++reached["steps"];
    ++reached["samples"];
  }
  // Where a loss and a gap of the source meet, an align or another rate may share them out
  // otherwise: that can be judged where all of a run was told.
  std::int64_t balance = 0, of_run = 0, runs = 0;
  bool is_whole = true;
  for (const auto& [number, cause] : live.absent) {
    if (number >= until) break;
    CAPTURE(number, static_cast<int>(cause));
    if (!live.absent.contains(number - 1)) {
      of_run = 0;
      is_whole = true;
    }
    if (by_recorder(cause)) {
      is_whole = false;
      ++reached["derived lost"];
      continue;
    }
    const auto found = replayed.absent.find(number);
    REQUIRE(found != replayed.absent.end());
    of_run += static_cast<std::int64_t>(found->second) - static_cast<std::int64_t>(cause);
    if (is_whole && number + 1 < until && !live.absent.contains(number + 1)) {
      balance += of_run;
      ++runs;
      ++reached["whole gaps"];
    }
    ++reached["gaps"];
  }
  CHECK(std::abs(balance) <= runs);
  for (const auto& [number, sample] : replayed.samples) {
    if (number >= until) break;
    CAPTURE(number);
    const auto absent = live.absent.find(number);
    REQUIRE((live.samples.contains(number) ||
             (absent != live.absent.end() && by_recorder(absent->second))));
  }
  if (live.end < until) REQUIRE(live.end == replayed.end);
}

inline void wait_for_recorder(const Engine& engine) {
  const auto behind = [&] {
    const std::vector<RecordingStatus> status = engine.status();
    for (const RecordingStatus::PerStream& s : status.front().streams)
      if (s.lag > 0) return true;
    return false;
  };
  while (behind() && !engine.failed()) std::this_thread::yield();
}

}  // namespace spillway::test
