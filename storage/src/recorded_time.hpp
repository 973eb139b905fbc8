// When a recording began and ended, as sinks write it. Private.
#pragma once

#include <string>

#include "spillway/storage/sink.hpp"
#include "stream_json.hpp"

namespace spillway {

// Of RecordingInfo.
[[nodiscard]] inline std::string start_time_to_write(const std::string& start_time) {
  if (start_time == unknown_time) return "";
  return start_time.empty() ? utc_now() : start_time;
}

[[nodiscard]] inline std::string end_time_to_write(const Ending& ending) {
  if (ending.end_time == unknown_time) return "";
  return ending.end_time.empty() && !ending.recovered ? utc_now() : ending.end_time;
}

// Of a recording that is copied, for RecordingInfo and Ending.
[[nodiscard]] inline std::string copied_time(const std::string& time) {
  return time.empty() ? unknown_time : time;
}

}  // namespace spillway
