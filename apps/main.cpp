#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "commands.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/foreign.hpp"
#include "suggestion.hpp"

namespace {

// CLI::Range lets "nan" through, which is neither below nor above, and tells six decimals of each
// end.
auto number_between(double low, double high) {
  return [low, high](const std::string& text) {
    const double value = std::strtod(text.c_str(), nullptr);
    return value >= low && value <= high
               ? ""
               : fmt::format("{} is not a number from {:g} to {:g}", text, low, high);
  };
}

// CLI::NonNegativeNumber and CLI::PositiveNumber tell the greatest number there is, in all its
// digits.
std::string not_negative(const std::string& text) {
  return std::strtod(text.c_str(), nullptr) >= 0.0 ? "" : text + " is not a number from 0";
}

// As an unset variable of a shell gives.
std::string not_empty(const std::string& text) { return text.empty() ? "is empty" : ""; }

std::string above_zero(const std::string& text) {
  const double value = std::strtod(text.c_str(), nullptr);
  return value > 0.0 && std::isfinite(value) ? "" : text + " is not a number above 0";
}

// For files that do not say everything themselves. Returns the option of the rate, which is read
// into `rate`.
CLI::Option* add_foreign_options(CLI::App& command, spillway::apps::ForeignArguments& arguments,
                                 const std::string& rate_name, double& rate) {
  const std::string group = "Files of other programs";
  command.add_option("--unit", arguments.unit, "of values whose unit the file does not say")
      ->group(group);
  command
      .add_option("--separator", arguments.separator,
                  "of tables: , ; or tab; default: found out from the first lines")
      ->group(group);
  command.add_option("--decimal", arguments.decimal, "of tables: . or ,; default: found out")
      ->group(group);
  command
      .add_option(
          "--time-unit", arguments.time_unit,
          "of numbers in the first column of a table: s, ms, us, ns, min, h, d; default: as "
          "its name says, else s")
      ->check(not_empty)
      ->group(group);
  return command
      .add_option(rate_name, rate,
                  "in Hz, of .npy files, and of tables whose first column is a sample, not a time")
      ->check(above_zero)
      ->group(group);
}

// For commands whose output is what they are for: it must not be cut off by a full disk unnoticed.
int checked_output(int status) {
  if (!spillway::apps::output_failed()) return status;
  throw spillway::Error("not all of the output could be written");
}

// What the library asks for, as it is called here.
const char* option_for(spillway::LeftOpen::Needed needed, const char* rate_option) {
  using enum spillway::LeftOpen::Needed;
  if (needed == time_unit) return "--time-unit";
  return needed == rate ? rate_option : "--separator or --decimal";
}

const char* option_for(spillway::NotLeftOpen::Given given, const char* rate_option) {
  using enum spillway::NotLeftOpen::Given;
  switch (given) {
    case rate: return rate_option;
    case unit: return "--unit";
    case separator: return "--separator";
    case decimal: return "--decimal";
    case time_unit: return "--time-unit";
    case names: break;
  }
  return "names";
}

// CLI11 asks for a command, and does not say that it does not know the one that is given.
std::string what_is_wrong(const CLI::App& app, const CLI::Error& error) {
  const std::vector<std::string> rest = app.remaining();
  if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr || rest.empty() ||
      !app.get_subcommands().empty())
    return error.what();
  if (rest.front().starts_with('-'))
    return fmt::format("unknown option '{}' where a command is needed", rest.front());
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  return fmt::format("unknown command '{}'{}", rest.front(),
                     spillway::yaml::suggestion(rest.front(), commands));
}

}  // namespace

int main(int argc, char** argv) {
  // A closed standard stream would give its number to the next file opened, and
  // what is meant for the terminal would be written into a recording.
  for (int fd = ::open("/dev/null", O_RDWR); fd >= 0; fd = ::open("/dev/null", O_RDWR)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    break;
  }
  namespace apps = spillway::apps;
  CLI::App app("Real-time data acquisition in which nothing is lost silently.", "spillway");
  app.set_version_flag("--version", "spillway " SPILLWAY_VERSION);
  app.require_subcommand(1);
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return fmt::format("spillway: {}; --help tells what there is\n", what_is_wrong(*failed, error));
  });
  app.footer(
      "Exit status: 0 all went well; 1 an error, told in one line; 3 recorded to the end, but "
      "samples were lost.\n"
      "Examples:\n"
      "  spillway demo\n"
      "  spillway record experiment.yaml -o data/\n"
      "  spillway graph experiment.yaml -o experiment.svg\n"
      "  spillway info data/run.h5\n"
      "  spillway view data/run.h5\n"
      "  spillway verify data/run.h5\n"
      "  spillway recover data/run.h5.part\n"
      "  spillway replay data/run.h5 --graph filters.yaml -o filtered.h5\n"
      "  spillway calibrate data/run.h5 corrected.yaml\n"
      "  spillway export data/run.h5 -o run.csv\n"
      "  spillway channels\n"
      "  spillway tail ecg --every 1");

  int status = 0;
  apps::RecordArguments record;
  double duration = 0.0;
  CLI::App* record_command =
      app.add_subcommand("record", "Acquire, filter and record what a configuration file says");
  record_command
      ->add_option("configuration", record.configuration, "YAML file, see docs/configuration.md")
      ->required();
  record_command
      ->add_option("-o,--output", record.output_directory,
                   "directory that relative recording paths start at")
      ->capture_default_str();
  CLI::Option* duration_option =
      record_command->add_option("-d,--duration", duration, "stop after so many seconds");
  record_command->add_flag("-f,--force", record.force, "replace recordings that exist");
  record_command
      ->add_option("--durability", record.durability,
                   "what a flush of all recordings promises, whatever the configuration says")
      ->check(CLI::IsMember({"full", "process", "none"}));
  record_command->add_flag("--compat", record.compatible,
                           "HDF5 files that HDF5 1.8 reads; they can't be read while they grow");
  record_command->add_flag("-q,--quiet", record.quiet,
                           "no status line and no summary, errors only");
  record_command->add_flag("--json", record.json, "the summary as JSON on standard output");
  record_command->footer(
      "SIGINT (Ctrl-C) and SIGTERM stop cleanly: everything is flushed, sealed and reported.\n"
      "While it grows a recording is called <path>.part, with <path>.journal beside it;\n"
      "'spillway recover' makes a recording of these after a crash.\n"
      "What was flushed, each second unless the configuration says otherwise, survives with\n"
      "  --durability full     a power cut, a crash of the system, the end of the process "
      "(default)\n"
      "  --durability process  the end of the process, however it comes\n"
      "  --durability none     nothing before the file is sealed; for benchmarks\n"
      "On a full disk it waits for room, and goes on in <path>-0002; what was lost is named.\n"
      "See docs/durability.md.");
  record_command->callback([&] {
    if (*duration_option) record.duration_s = duration;
    status = apps::record(record);
  });

  apps::InfoArguments info;
  CLI::App* info_command = app.add_subcommand("info", "What a recording holds, and what it lacks");
  info_command->add_option("file", info.path, "a recording, finished or not")->required();
  info_command->add_flag("--json", info.json, "as JSON");
  double info_rate = 0.0;
  CLI::Option* info_rate_option =
      add_foreign_options(*info_command, info.foreign, "--rate", info_rate);
  info_command->callback([&] {
    if (*info_rate_option) info.foreign.rate_hz = info_rate;
    status = checked_output(apps::info(info));
  });

  apps::ViewArguments view;
  std::size_t view_width = 0;
  std::size_t view_height = 0;
  double view_rate = 0.0;
  CLI::App* view_command =
      app.add_subcommand("view", "Show a recording: in the terminal, as a drawing or as a page");
  view_command->add_option("file", view.path, "a recording, finished or not")->required();
  view_command
      ->add_option("-c,--channels", view.channels,
                   "which: stream/channel, or the name of a stream or of a channel; several with "
                   "commas")
      ->delimiter(',');
  view_command
      ->add_option("-r,--range", view.range,
                   "BEGIN:END in seconds, sample numbers (#1000:#2000) or calendar times")
      ->check(not_empty);
  view_command->add_flag("--raw", view.raw, "raw values, without calibration");
  CLI::Option* svg_option =
      view_command->add_option("--svg", view.svg, "draw into this file instead");
  view_command->add_option("--html", view.html, "make this page instead, to zoom into in a browser")
      ->excludes(svg_option);
  view_command->add_flag("-f,--force", view.force, "replace that file if it exists");
  CLI::Option* view_width_option =
      view_command
          ->add_option("--width", view_width, "columns of the terminal; pixels of a drawing")
          ->check(CLI::Range(20, 20000));
  CLI::Option* view_height_option =
      view_command
          ->add_option("--height", view_height, "lines of a plot; pixels of a panel of a drawing")
          ->check(CLI::Range(1, 5000));
  CLI::Option* view_rate_option =
      add_foreign_options(*view_command, view.foreign, "--rate", view_rate);
  view_command->footer(
      "Lowest and highest values are shown, so no peak is left out however many samples there "
      "are.\n"
      "Gaps stay gaps; interpolated, suspect and bad samples are marked. See docs/view.md.\n"
      "Examples:\n"
      "  spillway view data/run.h5\n"
      "  spillway view data/run.h5 -c ecg/MLII -r 10:12.5\n"
      "  spillway view data/run.h5 --svg run.svg\n"
      "  spillway view data/run.h5 --html run.html");
  view_command->callback([&] {
    if (*view_width_option) view.columns = view_width;
    if (*view_height_option) view.height = view_height;
    if (*view_rate_option) view.foreign.rate_hz = view_rate;
    status = checked_output(apps::view(view));
  });

  apps::RecoverArguments recover;
  CLI::App* recover_command =
      app.add_subcommand("recover", "Save what a recording holds whose program or machine died");
  recover_command
      ->add_option("path", recover.path,
                   "the .part file, its .journal, the name it was to get, or a directory")
      ->required();
  recover_command->add_option("-o,--output", recover.output,
                              "default: run.recovered.h5 beside run.h5.part");
  recover_command->add_flag("--json", recover.json, "as JSON on standard output");
  recover_command->footer(
      "Reads the unfinished recording and writes a new one; the old one is never changed. May be\n"
      "interrupted and repeated. See docs/recovery.md.\n"
      "Exit status: 0 everything that was acknowledged is saved; 3 something is not, and is "
      "named;\n"
      "1 nothing to save, or an error.\n"
      "Examples:\n"
      "  spillway recover data/run.h5.part\n"
      "  spillway recover data/");
  recover_command->callback([&] { status = checked_output(apps::recover(recover)); });

  apps::VerifyArguments verify;
  CLI::App* verify_command = app.add_subcommand(
      "verify", "Prove from recordings alone that they are whole and consistent");
  verify_command->add_option("file", verify.paths, "recordings, finished or not")->required();
  verify_command->add_flag("--json", verify.json, "as JSON on standard output");
  verify_command->footer(
      "Checks the checksum of every byte, then layout, continuity, accounting and times.\n"
      "Exit status: 0 all hold; 1 one does not, or can't be read.");
  verify_command->callback([&] { status = checked_output(apps::verify(verify)); });

  apps::ExportArguments exported;
  std::uint64_t export_every = 0;
  double export_rate = 0.0;
  double export_input_rate = 0.0;
  CLI::App* export_command = app.add_subcommand(
      "export", "Write a recording, or a part of it, into another file or format");
  export_command
      ->add_option("recording", exported.path,
                   "HDF5, CSV, NumPy, WAVE, or recording.json of raw files")
      ->required();
  export_command
      ->add_option(
          "-o,--output", exported.output,
          "ends in .h5, .csv or .npy; several streams in CSV or NumPy become a file each,\n"
          "OUT-<stream>.csv, or what {stream} in the name makes of it")
      ->required();
  export_command
      ->add_option("-c,--channels,--streams", exported.channels,
                   "of these only: ecg, ecg/MLII or MLII; default all")
      ->delimiter(',');
  export_command
      ->add_option("-r,--range", exported.range,
                   "BEGIN:END, in seconds from the origin, as sample numbers #n:#m, or "
                   "as times of the calendar")
      ->check(not_empty);
  CLI::Option* export_every_option =
      export_command->add_option("--every", export_every, "one bin for so many samples")
          ->check(CLI::Range(std::uint64_t{2}, std::uint64_t{1} << 40U));
  CLI::Option* export_rate_option =
      export_command
          ->add_option("--rate", export_rate,
                       "so many samples a second, in Hz; slower and irregular streams stay as "
                       "they are")
          ->check(above_zero)
          ->excludes(export_every_option);
  CLI::Option* export_by_option =
      export_command
          ->add_option("--by", exported.by,
                       "what becomes of a bin: its lowest and highest value, its mean, or what a "
                       "low-pass against aliases leaves")
          ->check(CLI::IsMember({"minmax", "mean", "filter"}))
          ->capture_default_str();
  export_command->add_flag("--long", exported.long_form,
                           "CSV: a line a value, any number of streams in one file");
  export_command->add_flag("-f,--force", exported.force, "replace files that exist");
  export_command->add_flag("-q,--quiet", exported.quiet, "errors only");
  export_command->add_flag("--json", exported.json, "the summary as JSON on standard output");
  CLI::Option* export_input_rate_option =
      add_foreign_options(*export_command, exported.foreign, "--input-rate", export_input_rate);
  export_command->footer(
      "Without --every and --rate everything is copied as it is: raw values, quality, times,\n"
      "gaps, calibrations. With them, values are in engineering units.\n"
      "The file appears under its name when it is whole; an interrupted export leaves nothing.\n"
      "Examples:\n"
      "  spillway export run.h5 -o run.csv\n"
      "  spillway export run.h5 -o part.npy --channels pump --range 60:120\n"
      "  spillway export run.h5 -o overview.csv --channels pump --every 1000");
  export_command->callback([&] {
    if (*export_every_option) exported.every = export_every;
    if (*export_rate_option) exported.rate_hz = export_rate;
    if (*export_by_option && !exported.every && !exported.rate_hz)
      throw spillway::Error("--by says what becomes of bins: ask for them by --every or --rate");
    if (*export_input_rate_option) exported.foreign.rate_hz = export_input_rate;
    status = checked_output(apps::export_recording(exported));
  });

  apps::ReplayArguments replay;
  double replay_speed = 0.0;
  double replay_input_rate = 0.0;
  CLI::App* replay_command = app.add_subcommand(
      "replay", "Run the graph of a recording, or another, over its samples again");
  replay_command
      ->add_option("recording", replay.path,
                   "HDF5, CSV, NumPy, WAVE, or recording.json of raw files")
      ->required();
  replay_command->add_option("-o,--output", replay.output, "ends in .h5, .csv or .npy");
  bool as_live = false;  // which is what it does if nothing else is asked for
  CLI::Option* as_live_option = replay_command->add_flag(
      "--as-live", as_live,
      "as the live graph ran, with all that it lost and all changes: to the bit (default)");
  CLI::Option* complete_option =
      replay_command
          ->add_flag("--complete", replay.complete,
                     "the recorded graph as if nothing had been lost before it")
          ->excludes(as_live_option);
  CLI::Option* graph_option =
      replay_command
          ->add_option("-g,--graph", replay.graph,
                       "instead of the recorded graph that of this YAML file")
          ->excludes(as_live_option)
          ->excludes(complete_option);
  replay_command->add_option("--calibration", replay.calibration,
                             "YAML file of calibrations instead of the recorded ones");
  replay_command
      ->add_option("-r,--range", replay.range,
                   "BEGIN:END, in seconds from the origin, as sample numbers #n:#m, or "
                   "as times of the calendar")
      ->check(not_empty);
  replay_command
      ->add_option("-c,--outputs,--channels", replay.outputs,
                   "nodes that are wanted, and raw streams to be copied beside")
      ->delimiter(',');
  CLI::Option* check_option = replay_command->add_flag(
      "--check", replay.check,
      "write nothing: compare what comes out with the derived streams of the recording");
  check_option->excludes(graph_option)->excludes(complete_option);
  CLI::Option* speed_option =
      replay_command
          ->add_option("--speed", replay_speed,
                       "times the speed at which the samples came; default: as fast as can be")
          ->check(above_zero);
  replay_command
      ->add_option("--threads", replay.threads, "0: one for each core; results don't depend on it")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  replay_command->add_flag(
      "--resume", replay.resume,
      "go on where this replay was interrupted, with the same options; the speed may "
      "be another");
  replay_command->add_flag("-f,--force", replay.force, "replace files that exist");
  replay_command->add_flag("-q,--quiet", replay.quiet, "errors only");
  replay_command->add_flag("--json", replay.json, "the summary as JSON on standard output");
  CLI::Option* replay_rate_option =
      add_foreign_options(*replay_command, replay.foreign, "--rate", replay_input_rate);
  replay_command->footer(
      "Exit status: 0 all went well; 1 an error, told in one line; 3 the output can't be what the\n"
      "live graph gave, and why is told (of --check: it differs, and why is told).\n"
      "See docs/replay.md.\n"
      "Examples:\n"
      "  spillway replay run.h5 -o again.h5\n"
      "  spillway replay run.h5 --check\n"
      "  spillway replay run.h5 --graph filters.yaml -o filtered.h5\n"
      "  spillway replay run.h5 --complete --calibration corrected.yaml -o corrected.csv");
  replay_command->callback([&] {
    if (*speed_option) replay.speed = replay_speed;
    if (*replay_rate_option) replay.foreign.rate_hz = replay_input_rate;
    status = checked_output(apps::replay_recording(replay));
  });

  apps::CalibrateArguments calibrate;
  CLI::App* calibrate_command = app.add_subcommand(
      "calibrate", "Append calibrations that became known later to a recording, or list them");
  calibrate_command->add_option("recording", calibrate.path, "a recording, finished or not")
      ->required();
  calibrate_command->add_option("calibrations", calibrate.calibrations,
                                "YAML file with the list 'calibrations', see docs/replay.md");
  calibrate_command->add_flag("--list", calibrate.list, "show those that were appended");
  calibrate_command->add_flag("--json", calibrate.json, "as JSON on standard output");
  double calibrate_rate = 0.0;
  CLI::Option* calibrate_rate_option =
      add_foreign_options(*calibrate_command, calibrate.foreign, "--rate", calibrate_rate);
  calibrate_command->footer(
      "They are written into RECORDING.calibrations.json; the recording itself stays as it is.\n"
      "Whatever reads it from then on uses them. Of several that overlap the later counts.\n"
      "Examples:\n"
      "  spillway calibrate run.h5 corrected.yaml\n"
      "  spillway calibrate run.h5 --list");
  calibrate_command->callback([&] {
    if (*calibrate_rate_option) calibrate.foreign.rate_hz = calibrate_rate;
    status = checked_output(apps::calibrate(calibrate));
  });

  apps::ChannelsArguments channels;
  CLI::App* channels_command =
      app.add_subcommand("channels", "The streams that programs publish in shared memory");
  channels_command->add_flag("--json", channels.json, "as JSON");
  channels_command->footer(
      "To publish: `publish: [name]` in a configuration, or "
      "StreamInfo::publish_as in C++.");
  channels_command->callback([&] { status = checked_output(apps::channels(channels)); });

  apps::TailArguments tail;
  double tail_every = 0.0;
  double tail_duration = 0.0;
  CLI::App* tail_command =
      app.add_subcommand("tail", "Follow a published stream: its samples as they come");
  tail_command->add_option("name", tail.name, "as `spillway channels` shows it")->required();
  tail_command->add_option("-n,--samples", tail.samples, "newest samples to begin with")
      ->check(not_negative)
      ->capture_default_str();
  CLI::Option* every_option =
      tail_command
          ->add_option("--every", tail_every,
                       "instead of samples, lowest, highest and mean each so many seconds")
          ->check(number_between(0.01, 86400.0));
  CLI::Option* tail_duration_option =
      tail_command->add_option("-d,--duration", tail_duration, "stop after so many seconds")
          ->check(not_negative);
  tail_command->add_flag("--raw", tail.raw, "raw values, without calibration");
  tail_command->footer(
      "CSV on standard output; what is lost or missing is told on lines that begin with #.\n"
      "Reading never disturbs the publisher. Ends when it does: 0 if it finished, 3 if it died\n"
      "or samples were lost.");
  tail_command->callback([&] {
    if (*every_option) tail.every_s = tail_every;
    if (*tail_duration_option) tail.duration_s = tail_duration;
    status = checked_output(apps::tail(tail));
  });

  apps::ResponseArguments response;
  double response_rate = 0.0;
  CLI::App* response_command = app.add_subcommand(
      "response", "Draw magnitude, phase and group delay of a configuration's filters");
  response_command->add_option("file", response.path, "a configuration, or a graph alone")
      ->required();
  response_command->add_option("-o,--output", response.output,
                               "SVG file; default: named after the file, in this directory");
  CLI::Option* response_rate_option =
      response_command
          ->add_option("--rate", response_rate,
                       "of the input, in Hz, where the file has no sources")
          ->check(above_zero);
  response_command->add_flag("-f,--force", response.force, "replace the file if it exists");
  response_command->callback([&] {
    if (*response_rate_option) response.rate_hz = response_rate;
    status = apps::response(response);
  });

  apps::GraphArguments graph;
  double graph_rate = 0.0;
  CLI::App* graph_command = app.add_subcommand(
      "graph", "Check a configuration and show its streams and nodes, as a table or drawn");
  graph_command->add_option("file", graph.path, "a configuration, or a graph alone")->required();
  CLI::Option* graph_output_option = graph_command->add_option(
      "-o,--output", graph.output, "SVG file to draw into, instead of the table");
  CLI::Option* graph_rate_option =
      graph_command
          ->add_option("--rate", graph_rate, "of the input, in Hz, where the file has no sources")
          ->check(above_zero);
  graph_command->add_flag("-f,--force", graph.force, "replace the file if it exists")
      ->needs(graph_output_option);
  graph_command->add_flag("--json", graph.json, "as JSON on standard output");
  graph_command->footer(
      "Nothing is acquired, and no recording is touched.\n"
      "DELAY: against the stream that a node comes from, at low frequency, in samples of it.\n"
      "MEMORY: how long a doubtful sample marks the output, in samples of the node's input.\n"
      "Examples:\n"
      "  spillway graph experiment.yaml\n"
      "  spillway graph experiment.yaml -o experiment.svg\n"
      "  spillway graph filters.yaml --rate 1000 --json");
  graph_command->callback([&] {
    if (*graph_rate_option) graph.rate_hz = graph_rate;
    status = checked_output(apps::graph(graph));
  });

  apps::DemoArguments demo;
  CLI::App* demo_command =
      app.add_subcommand("demo", "Record this machine's own timing for a few seconds and show it");
  demo_command
      ->add_option("-o,--output", demo.output_directory,
                   "directory for the recordings; earlier demos in it are replaced")
      ->capture_default_str();
  demo_command->add_option("-d,--duration", demo.duration_s, "seconds")
      ->check(number_between(0.5, 3600.0))
      ->capture_default_str();
  demo_command->callback([&] { status = apps::demo(demo); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : 1;
  } catch (const spillway::LeftOpen& e) {
    if (*export_command || *replay_command || *view_command || *info_command || *calibrate_command)
      apps::tell(stderr, "spillway: {} ({})\n", e.what(),
                 option_for(e.needed(), *export_command ? "--input-rate" : "--rate"));
    else
      apps::tell(stderr, "spillway: {}\n", e.what());
    return 1;
  } catch (const spillway::NotLeftOpen& e) {
    // A configuration has the rate alone, under that name.
    const char* const rate_option = *export_command   ? "--input-rate"
                                    : *record_command ? "rate"
                                                      : "--rate";
    apps::tell(stderr, "spillway: {} ({})\n", e.what(), option_for(e.given(), rate_option));
    return 1;
  } catch (const std::bad_alloc&) {
    apps::tell(stderr, "spillway: out of memory\n");
    return 1;
  } catch (const std::exception& e) {
    apps::tell(stderr, "spillway: {}\n", e.what());
    return 1;
  }
  return status;
}
