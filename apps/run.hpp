// Runs an engine from a terminal: signals, status line, events, summary.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/engine/engine.hpp"

namespace spillway::apps {

// Prints; what can't be printed any more is dropped, and never an exception: a lost
// terminal must not end a recording.
template <class... Arguments>
void tell(std::FILE* to, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
  (void)std::fwrite(text.data(), 1, text.size(), to);
}

// Whether something told to stdout did not get there, unless it is because whoever read it
// went away. For commands whose output is what they are for.
[[nodiscard]] bool output_failed();

struct RunOptions {
  // Of the data: a thread that makes some may be behind, and is waited for, a second at most.
  std::optional<double> duration_s;
  bool quiet = false;
};

struct RunResult {
  Report report;
  std::vector<GraphPartStatus> graph;
  double seconds = 0.0;
  bool interrupted = false;
};

// Starts the engine, shows what happens until its sources end, the time is over, a signal
// comes or something fails, and stops it. `events` was subscribed before. Throws what start() does.
RunResult run(Engine& engine, Subscription& events, const RunOptions& options);

// 0, 1 or 3, as commands.hpp says; prints the errors.
int exit_status(const RunResult& result);

// What lies on the disk of a recording that has ended. A file that could not be sealed has its
// temporary name.
struct FilesOnDisk {
  std::vector<std::string> there;
  std::vector<std::string> deleted;  // by `keep`, or by others
  std::uint64_t bytes = 0;
};
[[nodiscard]] FilesOnDisk files_on_disk(const RecordingReport& recording);

// The summary for people.
void print_summary(const RunResult& result);

// A path as a shell takes it.
[[nodiscard]] std::string quoted(const std::string& path);
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);
[[nodiscard]] std::string human_count(std::uint64_t count);
// "1 sample", "2,000 samples".
[[nodiscard]] std::string human_count(std::uint64_t count, std::string_view of_what);

}  // namespace spillway::apps
