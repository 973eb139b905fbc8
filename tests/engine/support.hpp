// What several tests of the engine share.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "../storage/support.hpp"
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
