#include "run.hpp"
#include "status_line.hpp"
#include "stop_on_signals.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "spillway/filters/graph.hpp"

namespace spillway::apps {

namespace {

struct Totals {
  std::uint64_t recorded = 0;
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  std::uint64_t bytes = 0;
  bool waiting_for_room = false;
  std::optional<std::chrono::seconds> full_in;
};

Totals total(const std::vector<RecordingStatus>& all) {
  Totals totals;
  for (const RecordingStatus& r : all) {
    totals.bytes += r.bytes;
    totals.waiting_for_room |= r.waiting_for_room;
    if (r.full_in) totals.full_in = std::min(*r.full_in, totals.full_in.value_or(*r.full_in));
    for (const auto& s : r.streams) {
      totals.recorded += s.recorded;
      totals.lost += s.lost;
      totals.missing += s.missing;
    }
  }
  return totals;
}

// How far what is acknowledged is behind what was pushed: in seconds where there is a rate, else
// in samples.
std::string unsaved(const Engine& engine) {
  double seconds = 0.0;
  std::uint64_t samples = 0;
  for (const RecordingStatus& r : engine.status())
    for (const auto& s : r.streams) {
      const std::optional<Rate>& rate = engine.stream(s.name).info().rate;
      if (rate)
        seconds = std::max(seconds, static_cast<double>(s.unacknowledged) / rate->hertz().value);
      else
        samples = std::max(samples, s.unacknowledged);
    }
  if (seconds == 0.0 && samples > 0) return human_count(samples) + " samples";
  return fmt::format("{:.1f} s", seconds);
}

// Whether what a recording reads of streams of a fixed rate has come as far as this, lost samples
// included. Nodes follow the sources.
bool has_data_of(const Engine& engine, const std::set<std::string>& nodes, double seconds) {
  for (const RecordingStatus& r : engine.status())
    for (const auto& s : r.streams) {
      const std::optional<Rate>& rate = engine.stream(s.name).info().rate;
      if (!rate || nodes.contains(s.name)) continue;
      const std::uint64_t produced = s.recorded + s.lost + s.missing + s.lag;
      if (static_cast<double>(produced) < seconds * rate->hertz().value) return false;
    }
  return true;
}

std::string room(const Totals& totals) {
  if (totals.waiting_for_room) return "  DISK FULL, waiting for room";
  constexpr auto worth_telling = std::chrono::hours(24);
  if (!totals.full_in || *totals.full_in > worth_telling) return "";
  const auto left = totals.full_in->count();
  if (left >= 3600) return fmt::format("  disk full in {:.1f} h", static_cast<double>(left) / 3600);
  return left >= 120 ? fmt::format("  disk full in {} min", left / 60)
                     : fmt::format("  disk full in {} s", left);
}

// Worth a line of its own while it runs; the rest shows in the status line and the report.
bool is_news(EventKind kind) {
  return kind == EventKind::samples_lost || kind == EventKind::falling_behind ||
         kind == EventKind::recording_failed || kind == EventKind::source_failed ||
         kind == EventKind::wait_ended || kind == EventKind::node_failed ||
         kind == EventKind::graph_changed || kind == EventKind::disk_filling ||
         kind == EventKind::disk_full || kind == EventKind::recording_resumed ||
         kind == EventKind::master_failed;
}

void show_events(Subscription& events, StatusLine& line, bool quiet, int& shown) {
  constexpr int most_shown = 20;  // the file names every loss; a terminal need not
  while (const auto event = events.take()) {
    if (quiet || !is_news(event->kind)) continue;
    if (++shown > most_shown) continue;
    line.clear();
    tell(stderr, "{}: {}{}{}\n", to_string(event->kind), event->subject,
         event->text.empty() ? "" : ": ", event->text);
    if (shown == most_shown)
      tell(stderr,
           "(further ones are not shown; losses are in the recording and in the summary)\n");
  }
}

}  // namespace

bool output_failed() {
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  struct pollfd output {
    STDOUT_FILENO, POLLOUT, 0
  };
  const bool reader_gone = ::poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)) != 0;
  return failed && !reader_gone;
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} B", bytes);
  if (bytes < 10'000'000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3);
  if (bytes < 10'000'000'000) return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

std::string quoted(const std::string& path) {
  // Not to be taken for an option.
  if (path.starts_with('-')) return quoted("./" + path);
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+:@%,";
  if (path.find_first_not_of(plain) == std::string::npos) return path;
  std::string text = "'";
  for (const char c : path) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

std::string human_count(std::uint64_t count) {
  if (count < 1000) return fmt::format("{}", count);
  return fmt::format("{},{:03}", human_count(count / 1000), count % 1000);
}

std::string human_count(std::uint64_t count, std::string_view of_what) {
  return fmt::format("{} {}{}", human_count(count), of_what, count == 1 ? "" : "s");
}

RunResult run(Engine& engine, Subscription& events, const RunOptions& options) {
  using Clock = std::chrono::steady_clock;
  const StopOnSignals signals;
  StatusLine line(!options.quiet);
  engine.start();
  const auto begin = Clock::now();
  auto last_time = begin;
  std::uint64_t last_recorded = 0;
  auto next_line = begin;
  int shown = 0;
  const auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  std::set<std::string> nodes;
  if (options.duration_s) {
    const Graph graph = engine.prepared_graph();
    for (const NodeSpec& node : graph.spec().nodes) nodes.insert(node.id);
  }
  const auto is_over = [&] {
    constexpr double patience_s = 1.0;
    if (!options.duration_s || elapsed() < *options.duration_s) return false;
    return elapsed() >= *options.duration_s + patience_s ||
           has_data_of(engine, nodes, *options.duration_s);
  };
  while (!engine.finished() && !StopOnSignals::requested() && !is_over()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    show_events(events, line, options.quiet, shown);
    const auto now = Clock::now();
    if (now < next_line) continue;
    next_line = now + std::chrono::milliseconds(200);
    const Totals t = total(engine.status());
    const double since = std::chrono::duration<double>(now - last_time).count();
    const double rate = since > 0.0 ? static_cast<double>(t.recorded - last_recorded) / since : 0.0;
    last_time = now;
    last_recorded = t.recorded;
    line.show(fmt::format("{:6.1f} s  {} samples  {}/s  unsaved {}{}  lost {}  missing {}  {}",
                          elapsed(), human_count(t.recorded),
                          human_count(static_cast<std::uint64_t>(rate)), unsaved(engine), room(t),
                          human_count(t.lost), human_count(t.missing), human_bytes(t.bytes)));
  }
  RunResult result;
  result.interrupted = StopOnSignals::requested();
  result.report = engine.stop();
  result.graph = engine.graph_status();
  result.seconds = elapsed();
  show_events(events, line, options.quiet, shown);
  return result;
}

int exit_status(const RunResult& result) {
  for (const std::string& error : result.report.errors) tell(stderr, "spillway: {}\n", error);
  if (!result.report.errors.empty()) return 1;
  for (const RecordingReport& r : result.report.recordings)
    for (const auto& s : r.streams)
      if (s.counts.lost > 0) return 3;
  return 0;
}

FilesOnDisk files_on_disk(const RecordingReport& recording) {
  FilesOnDisk files;
  for (const std::string& path : recording.files) {
    bool there = false;
    for (const std::string& name : {path + ".part", path}) {
      std::error_code error;
      const std::uintmax_t bytes = std::filesystem::file_size(name, error);
      if (error) continue;
      files.there.push_back(name);
      files.bytes += bytes;
      there = true;
      break;
    }
    if (!there) files.deleted.push_back(path);
  }
  return files;
}

void print_summary(const RunResult& result) {
  tell(stdout, "{} after {:.2f} s\n", result.interrupted ? "stopped by a signal" : "finished",
       result.seconds);
  for (const RecordingReport& r : result.report.recordings) {
    const FilesOnDisk files = files_on_disk(r);
    std::string others;
    if (files.there.size() > 1)
      others = fmt::format(" and {} more file{}, the last {}", files.there.size() - 1,
                           files.there.size() == 2 ? "" : "s", files.there.back());
    if (!files.deleted.empty()) others += fmt::format(", {} deleted", files.deleted.size());
    tell(stdout, "\n{}{}  {}{}{}\n", files.there.empty() ? r.path : files.there.front(), others,
         human_bytes(files.bytes), files.there.size() > 1 ? " in all" : "",
         r.ending.complete ? "" : "  INCOMPLETE: " + r.ending.reason);
    std::size_t width = 6;
    for (const auto& s : r.streams) width = std::max(width, s.name.size());
    tell(stdout, "  {:{}}  {:>14}  {:>14}  {:>10}  {:>10}\n", "stream", width, "produced",
         "recorded", "lost", "missing");
    for (const auto& s : r.streams)
      tell(stdout, "  {:{}}  {:>14}  {:>14}  {:>10}  {:>10}\n", s.name, width,
           human_count(s.counts.produced), human_count(s.counts.recorded),
           human_count(s.counts.lost), human_count(s.counts.missing));
  }
}

}  // namespace spillway::apps
