// Copies recordings: from file to file, from memory to file and back.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "spillway/storage/ranges.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

// Which part of a recording.
struct Selection {
  std::vector<std::string> streams = {};  // names; empty: all
  TimeRange times = {};                   // of each stream, from its own origin
  // By stream: channels, in this order, instead of all; samples, besides the times.
  std::map<std::string, std::vector<std::string>> channels = {};
  std::map<std::string, SampleRange> samples = {};
  friend bool operator==(const Selection&, const Selection&) = default;
};

// What a sink is to be told, with the recording's own start, known or not, before the samples of
// such a part. The state of the nodes goes with a part that has all from the beginning. Throws
// Error if a stream or channel is not there, or a stream is named twice.
[[nodiscard]] RecordingInfo info_of(const Recording& from, const Selection& selection = {});

// How a copy ends that is as complete as the original, and when that ended, known or not: for
// Sink::close. One of a recording that
// is not finished is not complete.
[[nodiscard]] Ending ending_of(const Recording& from);

// Writes that part to a sink, with begin() but without close(): values, quality, times, numbers,
// gaps with their causes, stamps, and the calibrations in force; events and log go with all times.
// A part in time goes from the first of a stream's rows in it to the last, with the gaps between
// them, and those at an end that it does not cut. All of a copy of the whole reads back as the
// original, but for NaN in CSV. `go_on`, if any, is called often with the fraction done, and ends
// the copy early by false; then false is returned. Throws Error as the recording and the sink do.
bool copy(const Recording& from, Sink& to, const Selection& selection = {},
          const std::function<bool(double)>& go_on = {});

}  // namespace spillway
