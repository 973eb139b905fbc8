#include "spillway/engine/replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "commands.hpp"
#include "comparing_sink.hpp"
#include "graph_file.hpp"
#include "interrupted_replay.hpp"
#include "output.hpp"
#include "output_summary.hpp"
#include "progress.hpp"
#include "range.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/engine/calibration_file.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/copy.hpp"
#include "spillway/storage/journal.hpp"
#include "stop_on_signals.hpp"
#include "text.hpp"

namespace spillway::apps {

namespace {

using Json = nlohmann::ordered_json;

// One time for all streams that the graph reads, as they are side by side; those that are copied
// beside it have the same. `options`: still without it.
TimeRange times_of(const Recording& recording, const std::string& text,
                   const ReplayOptions& options) {
  const RangeArgument range = range_argument(text);
  ReplayedStreams read = replayed_streams(recording, options);
  std::optional<TimeRange> all;
  std::string first;
  for (const std::size_t i : read.inputs.empty() ? read.copied : read.inputs) {
    const std::string& name = recording.streams()[i].info.name;
    const TimeRange one = times(recording, i, range);
    if (all && *all != one)
      throw Error(
          fmt::format("{}: range '{}': is another time in '{}' than in '{}'; give seconds "
                      "from the origin",
                      recording.path(), text, name, first));
    if (!all) first = name;
    all = one;
  }
  const TimeRange result = all.value_or(TimeRange{});
  read.inputs.merge(read.copied);
  if (std::ranges::all_of(read.inputs,
                          [&](std::size_t i) { return rows(recording, i, result).count() == 0; }))
    throw Error(fmt::format("{}: range '{}': no sample lies in it", recording.path(), text));
  return result;
}

ReplayOptions options_of(const Recording& recording, const ReplayArguments& arguments) {
  ReplayOptions options;
  if (!arguments.graph.empty()) {
    options.graph = read_graph_alone(arguments.graph);
    if (options.graph->nodes.empty())
      throw Error(
          fmt::format("{}: has no nodes; they are a list under the key 'graph'", arguments.graph));
  }
  if (arguments.complete) options.mode = ReplayOptions::Mode::complete;
  const bool as_live = !options.graph && !arguments.complete;
  const auto refuse_as_live = [&](const char* option) {
    if (as_live)
      throw Error(
          fmt::format("{}: a replay as live is of all that the live graph had, as it was "
                      "then; use it with --complete or --graph",
                      option));
  };
  if (!arguments.calibration.empty()) {
    refuse_as_live("--calibration");
    options.calibrations = read_calibrations(arguments.calibration);
  }
  options.outputs = arguments.outputs;
  if (!arguments.range.empty()) {
    refuse_as_live("--range");
    options.times = times_of(recording, arguments.range, options);
  }
  options.threads = arguments.threads;
  options.speed = arguments.speed;
  return options;
}

const char* mode_of(const ReplayOptions& options) {
  if (options.graph) return "graph";
  return options.mode == ReplayOptions::Mode::complete ? "complete" : "as live";
}

// From the first sample to the last, of whichever stream lasts longest of those that are read.
// Another one may be damaged.
double data_seconds(const Recording& recording, const ReplayOptions& options) {
  ReplayedStreams read = replayed_streams(recording, options);
  read.inputs.merge(read.copied);
  double longest = 0.0;
  for (const std::size_t i : read.inputs) {
    const RowRange part = rows(recording, i, options.times);
    if (part.count() == 0) continue;
    Time first{}, last{};
    recording.read_times(i, part.begin, {&first, 1});
    recording.read_times(i, part.end - 1, {&last, 1});
    longest = std::max(longest, std::chrono::duration<double>(last - first).count());
  }
  return longest;
}

Recording open(const ReplayArguments& arguments, bool as_live) {
  // As live: with the calibrations that the live graph had.
  return Recording::open(arguments.path, OpenOptions{.foreign = foreign(arguments.foreign),
                                                     .appended_calibrations = !as_live});
}

// What a replay that goes on had written.
Recording open_before(const std::string& part) {
  return Recording::open(part, OpenOptions{.appended_calibrations = false});
}

std::string dumped(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

// Of the contents of a file; none: there is none.
std::uint32_t checksum_of(const std::string& path, std::uint32_t crc) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  return crc32c(std::as_bytes(std::span(bytes)), crc);
}

// What a replay that goes on must find as it was, besides what its checkpoint knows: how the input
// is read, its calibrations, and, of files without checksums of their own, samples here and there.
std::string what_is_read(const Recording& recording, const ReplayArguments& arguments,
                         bool as_live) {
  Json json;
  for (std::size_t s = 0; s < recording.streams().size(); ++s) {
    const RecordedStream& stream = recording.streams()[s];
    Json& told = json.emplace_back();
    told["name"] = stream.info.name;
    if (stream.info.rate) told["rate"] = {stream.info.rate->samples(), stream.info.rate->seconds()};
    for (const ChannelInfo& channel : stream.info.channels)
      told["channels"].push_back({channel.name, channel.unit, sample_type_name(channel.type)});
    constexpr std::uint64_t places = 8, together = 16;
    std::uint32_t crc = 0;
    const std::uint64_t rows = recording.guard() == Recording::Guard::none ? stream.rows : 0;
    for (std::uint64_t place = 0; place < places && rows > together; ++place) {
      std::array<double, together> values{};
      std::array<Time, together> times{};
      const std::uint64_t row = (rows - together) * place / (places - 1);
      recording.read_times(s, row, times);
      crc = crc32c(std::as_bytes(std::span(times)), crc);
      for (std::size_t c = 0; c < stream.info.channels.size(); ++c) {
        recording.read_calibrated(s, c, row, values);
        crc = crc32c(std::as_bytes(std::span(values)), crc);
      }
    }
    told["samples"] = crc;
  }
  std::uint32_t calibrations = 0;
  if (!as_live) calibrations = checksum_of(calibration_sidecar_of(arguments.path), calibrations);
  if (!arguments.calibration.empty())
    calibrations = checksum_of(arguments.calibration, calibrations);
  return fmt::format("{} {:08x}", dumped(json), calibrations);
}

struct Run {
  ReplayReport report;
  double seconds = 0.0;
  double data_seconds = 0.0;
  std::uint64_t samples = 0;  // read
};

Run run_replay(const Recording& recording, Sink& sink, const ReplayOptions& options,
               Progress& progress) {
  Run run;
  const auto begin = std::chrono::steady_clock::now();
  run.report = replay(recording, sink, options, [&](const ReplayProgress& p) {
    run.samples = p.samples;
    progress.show(
        p.samples == 0 ? 0.0 : static_cast<double>(p.samples_done) / static_cast<double>(p.samples),
        p.samples_done, sink.bytes_written());
    return !StopOnSignals::requested();
  });
  run.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  run.data_seconds = data_seconds(recording, options);
  return run;
}

Json json_of(const Run& run, const ReplayArguments& arguments, const ReplayOptions& options) {
  return {{"input", arguments.path},          {"mode", mode_of(options)},
          {"finished", run.report.finished},  {"seconds", run.seconds},
          {"data_seconds", run.data_seconds}, {"differences", run.report.differences},
          {"remarks", run.report.remarks}};
}

void print_notes(const ReplayReport& report) {
  for (const std::string& remark : report.remarks) tell(stderr, "note: {}\n", remark);
  for (const std::string& difference : report.differences)
    tell(stderr, "note: not as live: {}\n", difference);
}

void print_speed(const Run& run) {
  tell(stdout, "{} of data in {}", seconds(run.data_seconds), seconds(run.seconds));
  if (run.seconds > 0.0 && run.data_seconds > 0.0) {
    const double times = run.data_seconds / run.seconds;
    tell(stdout, ", {} times as fast as they came",
         times < 100.0 ? fmt::format("{:.3g}", times)
                       : human_count(static_cast<std::uint64_t>(std::round(times))));
  }
  tell(stdout, "\n");
}

void print_comparison(const ComparingSink& compared) {
  for (const ComparingSink::PerStream& s : compared.streams()) {
    tell(stdout, "{}: {} equal to the bit", s.name, human_count(s.equal, "sample"));
    const auto tell_some = [&](std::uint64_t count, const char* what) {
      if (count > 0) tell(stdout, ", {} {}", human_count(count), what);
    };
    tell_some(s.different, "DIFFERENT");
    tell_some(s.only_recorded, "ONLY IN THE RECORDING");
    tell_some(s.only_now, "ONLY IN THE REPLAY");
    tell_some(s.not_recorded, "that the recorder did not have");
    tell(stdout, "\n");
    if (s.first) tell(stdout, "  first at sample {}: {}\n", s.first->sample, s.first->what);
  }
}

Json json_of(const ComparingSink& compared) {
  Json all = Json::array();
  for (const ComparingSink::PerStream& s : compared.streams()) {
    Json json{{"name", s.name},           {"equal", s.equal},
              {"different", s.different}, {"only_recorded", s.only_recorded},
              {"only_now", s.only_now},   {"not_recorded", s.not_recorded}};
    if (s.first) json["first"] = {{"sample", s.first->sample}, {"what", s.first->what}};
    all.push_back(std::move(json));
  }
  return all;
}

// Nothing is written; what the live graph gave is in the recording.
int check(const ReplayArguments& arguments) {
  if (!arguments.output.empty() || !arguments.graph.empty() || arguments.complete ||
      !arguments.calibration.empty() || !arguments.range.empty() || arguments.resume)
    throw Error(
        "--check: compares a replay as live with the recording; it goes with no other "
        "graph, calibrations or range, and writes no output");
  const Recording recording = open(arguments, true);
  const bool quiet = arguments.quiet || arguments.json;
  const ReplayOptions options = options_of(recording, arguments);
  ComparingSink compared(recording);
  const StopOnSignals signals;
  Progress progress(!quiet);
  const Run run = run_replay(recording, compared, options, progress);
  progress.clear();
  if (!run.report.finished) {
    tell(stderr, "spillway: {}: interrupted before all was compared\n", arguments.path);
    return 1;
  }
  compared.close({});
  const bool equal = std::ranges::all_of(compared.streams(), &ComparingSink::PerStream::equals);
  const bool explained = !run.report.differences.empty();
  if (arguments.json) {
    Json json = json_of(run, arguments, options);
    json["equal"] = equal;
    json["streams"] = json_of(compared);
    tell(stdout, "{}\n", dumped(json));
  } else if (!quiet) {
    print_notes(run.report);
    print_comparison(compared);
    print_speed(run);
  }
  if (equal) return 0;
  if (!explained)
    tell(stderr, "spillway: {}: the replay differs from the recording, and nothing explains it\n",
         arguments.path);
  return explained ? 3 : 1;
}

}  // namespace

int replay_recording(const ReplayArguments& arguments) {
  if (arguments.check) return check(arguments);
  const bool as_live = arguments.graph.empty() && !arguments.complete;
  if (arguments.output.empty()) {
    const bool may_check =
        as_live && arguments.calibration.empty() && arguments.range.empty() && !arguments.resume;
    throw Error(fmt::format("an output is needed: -o OUT.h5, .csv or .npy{}",
                            may_check ? "; or --check" : ""));
  }
  const Recording recording = open(arguments, as_live);
  const bool quiet = arguments.quiet || arguments.json;
  for (const std::string& remark : recording.remarks())
    if (!quiet) tell(stderr, "note: {}\n", remark);
  ReplayOptions options = options_of(recording, arguments);
  InterruptedReplay interrupted(arguments.output);
  const std::string input = what_is_read(recording, arguments, as_live);
  std::optional<Recording> before;
  const auto make_room = [&] {
    if (before) {
      if (!arguments.force && std::filesystem::exists(arguments.output))
        throw Error(fmt::format("{}: exists already; choose another name or use --force",
                                arguments.output));
      before = open_before(interrupted.make_way());
    } else if (arguments.force) {
      interrupted.forget();
    }
  };
  OutputSink output({.path = arguments.output,
                     .input = &recording,
                     .existing = arguments.force ? Existing::replace : Existing::refuse,
                     .durability = Durability::process,
                     .make_room = make_room});
  std::error_code none;
  if (std::filesystem::equivalent(arguments.path, arguments.output + ".part", none))
    throw Error(
        fmt::format("{}: is where {} is written before it has its name; give another output",
                    arguments.path, arguments.output));
  if (!arguments.resume && !arguments.force && interrupted.exists())
    throw Error(
        fmt::format("{}: an interrupted replay stands here; --resume goes on with it, "
                    "--force begins anew",
                    arguments.output));
  if (arguments.resume) {
    InterruptedReplay::State state = interrupted.take(input);
    try {
      before = open_before(state.part);
    } catch (...) {
      interrupted.give_back();
      throw;
    }
    options.resume = ReplayResume{&*before, std::move(state.checkpoint)};
  }
  bool kept = false;
  options.checkpoint_every = std::chrono::seconds(2);
  options.checkpoint = [&](const std::string& checkpoint) {
    if (!output.can_go_on()) return;
    try {
      interrupted.keep(input, checkpoint);
      kept = true;
    } catch (const Error&) {
      // The one before holds; where there is no room for this one, the output soon tells.
    }
  };
  const StopOnSignals signals;
  Progress progress(!quiet);
  Run run;
  try {
    run = run_replay(recording, output, options, progress);
    if (run.report.finished) {
      // What can't be written is told here; close() would make a recording of what could.
      output.flush();
      output.close(ending_of(recording));
      interrupted.forget();
    } else if (!kept) {
      output.abandon();
      interrupted.give_back();
    }
  } catch (const DiskFull& error) {
    progress.clear();
    if (!kept) {
      output.abandon();
      interrupted.give_back();
      throw;
    }
    throw Error(fmt::format("{}; with more room, --resume goes on", error.what()));
  } catch (...) {
    progress.clear();
    // What one that goes on has come to is no worse than what it began with, which is gone.
    if (kept && arguments.resume) throw;
    output.abandon();
    if (kept)
      interrupted.forget();
    else
      interrupted.give_back();
    throw;
  }
  progress.clear();
  if (!run.report.finished) {
    tell(stderr, "spillway: {}: interrupted; {}\n", arguments.output,
         interrupted.exists() ? "--resume goes on" : "nothing was written");
    return 1;
  }
  if (arguments.json) {
    Json json = json_of(run, arguments, options);
    json["files"] = json_of(output.files());
    tell(stdout, "{}\n", dumped(json));
  } else if (!quiet) {
    print_notes(run.report);
    print(output.files());
    print_speed(run);
  }
  return run.report.differences.empty() ? 0 : 3;
}

}  // namespace spillway::apps
