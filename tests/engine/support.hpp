// What several tests of the engine share.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../storage/support.hpp"
#include "sinks.hpp"
#include "spillway/engine/configuration.hpp"
#include "spillway/engine/engine.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway::test {

// Waits until the sources have ended; false after `seconds`.
inline bool wait_until_finished(const Engine& engine, double seconds) {
  for (double waited = 0.0; waited < seconds; waited += 0.001) {
    if (engine.finished()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return engine.finished();
}

inline bool has_event(Subscription& events, EventKind kind, Event* found = nullptr) {
  bool seen = false;
  while (const auto event = events.take()) {
    if (event->kind != kind) continue;
    if (!seen && found) *found = *event;
    seen = true;
  }
  return seen;
}

// All of a stream that was not read yet.
struct Taken {
  std::vector<std::uint64_t> numbers;
  std::vector<double> values;
  std::vector<Quality> quality;
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
};

// Of a stream of one channel of doubles.
inline void take(Reader<double>& reader, Taken& taken) {
  for (;;) {
    const auto samples = reader.read();
    taken.lost += samples.lost.value;
    taken.missing += samples.missing.value;
    for (std::size_t i = 0; i < samples.values.size(); ++i) {
      taken.numbers.push_back(samples.first.value + i);
      taken.values.push_back(samples.values[i]);
      taken.quality.push_back(samples.quality[i]);
    }
    if (samples.stop == Stop::drained) return;
  }
}
inline Taken take(const Stream& stream) {
  Reader<double> reader(stream);
  Taken taken;
  take(reader, taken);
  return taken;
}

// y = gain x. Of the lanes of the input the first.
inline Mix gain(double factor) { return {{{factor}}, {}, {"y"}, {}}; }

// Every number of the stream is either in a segment or named in a gap, once; and the books agree.
inline bool accounts_for_everything(const RecordedStream& s) {
  std::uint64_t next = 0, lost = 0, missing = 0, recorded = 0;
  std::size_t g = 0;
  const auto take_gaps = [&] {
    for (; g < s.gaps.size() && s.gaps[g].first_sample == next; ++g) {
      next += s.gaps[g].count;
      lost += s.gaps[g].lost;
      missing += s.gaps[g].missing;
    }
  };
  for (const Segment& segment : s.segments) {
    take_gaps();
    if (segment.first_sample != next || segment.row != recorded) return false;
    next += segment.count;
    recorded += segment.count;
  }
  take_gaps();
  return g == s.gaps.size() && next == s.counts.produced && lost == s.counts.lost &&
         missing == s.counts.missing && recorded == s.counts.recorded && recorded == s.rows &&
         recorded + lost + missing == s.counts.produced;
}

}  // namespace spillway::test
