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

#include "commands.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"

namespace {

// CLI::Range lets "nan" through, which is neither below nor above.
std::string a_number(const std::string& text) {
  return std::isnan(std::strtod(text.c_str(), nullptr)) ? text + " is not a number" : "";
}

// For commands whose output is what they are for: it must not be cut off by a full disk unnoticed.
int checked_output(int status) {
  if (!spillway::apps::output_failed()) return status;
  throw spillway::Error("not all of the output could be written");
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
  app.footer(
      "Exit status: 0 all went well; 1 an error, told in one line; 3 recorded to the end, but "
      "samples were lost.\n"
      "Examples:\n"
      "  spillway demo\n"
      "  spillway record experiment.yaml -o data/\n"
      "  spillway graph experiment.yaml -o experiment.svg\n"
      "  spillway info data/run.h5\n"
      "  spillway verify data/run.h5\n"
      "  spillway recover data/run.h5.part\n"
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
  info_command->callback([&] { status = checked_output(apps::info(info)); });

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
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  CLI::Option* every_option =
      tail_command
          ->add_option("--every", tail_every,
                       "instead of samples, lowest, highest and mean each so many seconds")
          ->check(CLI::Range(0.01, 86400.0))
          ->check(a_number);
  CLI::Option* tail_duration_option =
      tail_command->add_option("-d,--duration", tail_duration, "stop after so many seconds")
          ->check(CLI::NonNegativeNumber)
          ->check(a_number);
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
          ->check(CLI::PositiveNumber);
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
          ->check(CLI::PositiveNumber)
          ->check(a_number);
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
      ->check(CLI::Range(0.5, 3600.0))
      ->check(a_number)
      ->capture_default_str();
  demo_command->callback([&] { status = apps::demo(demo); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : 1;
  } catch (const std::bad_alloc&) {
    apps::tell(stderr, "spillway: out of memory\n");
    return 1;
  } catch (const std::exception& e) {
    apps::tell(stderr, "spillway: {}\n", e.what());
    return 1;
  }
  return status;
}
