#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "cores.hpp"
#include "files.hpp"
#include "filters.hpp"
#include "graph.hpp"
#include "interrupt.hpp"
#include "jitter.hpp"
#include "machine.hpp"
#include "path.hpp"
#include "replay.hpp"
#include "report.hpp"
#include "ring.hpp"
#include "spillway/channels/error.hpp"
#include "storage.hpp"
#include "table.hpp"

namespace {

using namespace spillway;
using namespace spillway::bench;

// What the command line says; what was left out is 0 or empty, and what runs decides.
struct Arguments {
  bool quick = false;
  std::uint64_t rounds = 0;
  std::uint64_t samples = 0;
  double seconds = 0.0;
  std::string cores;
  std::string json;
  std::vector<std::string> workloads;
  std::vector<double> intervals_us;
  std::string isa;
  std::string directory = ".";
};

struct Parts {
  bool ring = false;
  bool path = false;
  bool jitter = false;
  bool filters = false;
  bool graph = false;
  bool storage = false;
  bool replay = false;
};

template <class T>
T chosen(T given, T otherwise) {
  return given != T{} ? given : otherwise;
}

RingOptions ring_options(const Arguments& a) {
  RingOptions options;
  options.rounds = chosen(a.rounds, a.quick ? std::uint64_t{7} : options.rounds);
  options.samples = chosen(a.samples, a.quick ? std::uint64_t{1} << 21 : options.samples);
  options.only = a.workloads;
  return options;
}

PathOptions path_options(const Arguments& a) {
  PathOptions options;
  options.rounds = chosen(a.rounds, a.quick ? std::uint64_t{5} : options.rounds);
  // The same share of --samples as the paced workloads of the ring, within reason: each
  // takes a tenth of a millisecond.
  const std::uint64_t share = std::max<std::uint64_t>(a.samples / 1024, 1);
  options.samples = a.samples != 0 ? share : a.quick ? 2048 : options.samples;
  return options;
}

JitterOptions jitter_options(const Arguments& a) {
  JitterOptions options;
  options.rounds = chosen(a.rounds, a.quick ? std::uint64_t{3} : options.rounds);
  options.each = std::chrono::duration<double>(chosen(a.seconds, a.quick ? 1.0 : 10.0));
  if (!a.intervals_us.empty()) options.intervals.clear();
  for (const double us : a.intervals_us)
    options.intervals.emplace_back(static_cast<std::int64_t>(us * 1000.0));
  return options;
}

FilterOptions filter_options(const Arguments& a) {
  FilterOptions options;
  options.rounds = chosen(a.rounds, a.quick ? std::uint64_t{5} : options.rounds);
  // A quarter of the longest workload of the ring.
  const std::uint64_t share = std::max<std::uint64_t>(a.samples / 4, 1);
  options.samples = a.samples != 0 ? share : a.quick ? std::uint64_t{1} << 18 : options.samples;
  options.only = a.workloads;
  return options;
}

GraphOptions graph_options(const Arguments& a) {
  GraphOptions options;
  options.rounds = chosen(a.rounds, a.quick ? std::uint64_t{5} : options.rounds);
  // A quarter of the longest workload of the ring.
  const std::uint64_t share = std::max<std::uint64_t>(a.samples / 4, 1);
  options.samples = a.samples != 0 ? share : a.quick ? std::uint64_t{1} << 19 : options.samples;
  options.only = a.workloads;
  return options;
}

StorageOptions storage_options(const Arguments& a) {
  StorageOptions options;
  options.rounds = chosen(a.rounds, a.quick ? std::uint64_t{3} : options.rounds);
  options.samples = a.samples != 0 ? a.samples : a.quick ? std::uint64_t{1} << 25 : options.samples;
  options.directory = a.directory;
  options.only = a.workloads;
  return options;
}

ReplayBenchOptions replay_options(const Arguments& a) {
  ReplayBenchOptions options;
  options.rounds = chosen(a.rounds, a.quick ? std::uint64_t{3} : options.rounds);
  options.samples = a.samples != 0 ? a.samples : a.quick ? std::uint64_t{1} << 24 : options.samples;
  options.directory = a.directory;
  options.only = a.workloads;
  return options;
}

// CLI::Range lets "nan" through, which is neither below nor above.
std::string a_number(const std::string& text) {
  return std::isnan(std::strtod(text.c_str(), nullptr)) ? text + " is not a number" : "";
}

void print(const std::string& text) {
  // A reader that went away ends the output, not the measurement.
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// Measures with everything around it: description, warnings, tables, file.
void measure(const std::string& command, const Arguments& a, const Parts& parts) {
  const InterruptGuard guard;
  std::unique_ptr<OutputFile> file;
  if (!a.json.empty()) file = std::make_unique<OutputFile>(a.json);
  std::vector<int> cores = allowed_cores();
  if (!a.cores.empty()) {
    cores = parse_cores(a.cores);
  } else if (cores.size() > 1 || parts.ring || parts.path) {
    cores = choose_cores();
  }
  const TickClock clock = TickClock::calibrated();
  Results results;
  results.command = command;
  results.date = utc_now();
  results.machine = describe_machine(cores, clock);
  results.build = describe_build();
  results.warnings = warnings(results.machine, results.build);
  const RingOptions ring = ring_options(a);
  const PathOptions path = path_options(a);
  const JitterOptions jitter = jitter_options(a);
  const FilterOptions filters = filter_options(a);
  const GraphOptions graph = graph_options(a);
  const StorageOptions storage = storage_options(a);
  const ReplayBenchOptions replay = replay_options(a);
  if (!a.isa.empty()) use_isa(a.isa);
  if (parts.storage || parts.replay)
    for (std::string& warning : storage_warnings(a.directory))
      results.warnings.push_back(std::move(warning));
  if (parts.ring)
    results.settings.insert(results.settings.end(),
                            {{"ring rounds", std::to_string(ring.rounds)},
                             {"ring samples", std::to_string(ring.samples)},
                             {"ring capacity", std::to_string(ring_capacity())}});
  if (parts.path)
    results.settings.insert(results.settings.end(),
                            {{"path rounds", std::to_string(path.rounds)},
                             {"path samples", std::to_string(path.samples)}});
  if (parts.jitter)
    results.settings.insert(results.settings.end(),
                            {{"jitter rounds", std::to_string(jitter.rounds)},
                             {"jitter seconds a row", fmt::format("{:g}", jitter.each.count())}});
  if (parts.filters)
    results.settings.insert(results.settings.end(),
                            {{"filter rounds", std::to_string(filters.rounds)},
                             {"filter samples", std::to_string(filters.samples)},
                             {"filter instruction set", isa_in_use()}});
  if (parts.graph)
    results.settings.insert(results.settings.end(),
                            {{"graph rounds", std::to_string(graph.rounds)},
                             {"graph samples", std::to_string(graph.samples)},
                             {"graph instruction set", isa_in_use()}});
  if (parts.storage)
    results.settings.insert(results.settings.end(),
                            {{"storage rounds", std::to_string(storage.rounds)},
                             {"storage samples", std::to_string(storage.samples)},
                             {"storage directory", file_system_of(storage.directory)}});
  if (parts.replay)
    results.settings.insert(results.settings.end(),
                            {{"replay rounds", std::to_string(replay.rounds)},
                             {"replay samples", std::to_string(replay.samples)},
                             {"replay directory", file_system_of(replay.directory)}});
  print(heading(results));
  Progress progress;
  const Disturbance disturbance;
  const auto keep = [&](std::vector<Workload> workloads) {
    for (Workload& w : workloads) results.workloads.push_back(std::move(w));
  };
  const auto show = [&](const Workload& w) {
    progress.clear();
    print("\n" + table(w));
  };
  std::vector<std::string> remarks;
  if (parts.ring) keep(measure_ring(ring, cores, clock, progress, show));
  if (parts.path) keep(measure_path(path, with_a_third(cores), clock, progress, show));
  if (parts.jitter) keep(measure_jitter(jitter, cores, progress, remarks, show));
  if (parts.filters) keep(measure_filters(filters, cores.at(0), clock, progress, show));
  if (parts.graph) keep(measure_graph(graph, cores.at(0), clock, progress, show));
  if (parts.storage) keep(measure_storage(storage, progress, show));
  if (parts.replay) keep(measure_replay(replay, progress, show));
  for (std::string& warning : disturbance.warnings(clock)) remarks.push_back(std::move(warning));
  if (!remarks.empty()) print("\n");
  for (std::string& remark : remarks) {
    print(fmt::format("warning: {}\n", remark));
    results.warnings.push_back(std::move(remark));
  }
  if (file) file->commit(to_json(results));
}

void write_report(const std::vector<std::string>& paths, const std::string& output) {
  std::vector<NamedResults> all;
  for (const std::string& path : paths) {
    const std::string name = path.substr(path.find_last_of('/') + 1);
    all.push_back({name, from_json(read_file(path), path)});
  }
  OutputFile file(output);
  file.commit(report(all));
  print(fmt::format("{}\n", output));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "How long a push takes, how late a sample comes, how punctually this machine wakes a thread, "
      "what filters, graphs and recordings cost.",
      "rt-bench");
  app.footer(
      "Exit status: 0 all went well; 1 an error, told in one line; 128 and the signal if one "
      "came.\n"
      "Examples:\n"
      "  rt-bench ring --quick\n"
      "  rt-bench all --json before.json\n"
      "  rt-bench report before.json after.json -o change.html");
  // One is needed; not left to the library, which would not name a word it does not know.
  app.require_subcommand(0, 1);
  Arguments arguments;
  const auto measuring = [&](CLI::App* command) {
    command->add_flag("--quick", arguments.quick, "fewer rounds and samples");
    command->add_option("--rounds", arguments.rounds, "rounds of every workload")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{10'000}));
    command->add_option("--cores", arguments.cores,
                        "the two cores to measure on, producer first, as in 2,3; default: chosen");
    command->add_option("--json", arguments.json, "write all results to this file");
  };
  const auto sampled = [&](CLI::App* command) {
    command
        ->add_option("--samples", arguments.samples,
                     "samples a round of the longest workload; the others take a share of it")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 36));
  };
  const auto timed = [&](CLI::App* command) {
    command
        ->add_option("--interval", arguments.intervals_us,
                     "microseconds between wake-ups, or several; default: 1000,100")
        ->check(CLI::Range(10.0, 1e6))
        ->check(a_number)
        ->delimiter(',');
    command->add_option("--seconds", arguments.seconds, "how long each row is measured")
        ->check(CLI::Range(0.001, 3600.0))
        ->check(a_number);
  };
  const auto placed = [&](CLI::App* command) {
    command
        ->add_option("--directory", arguments.directory,
                     "where recordings are made, and removed; default: the current one")
        ->check(CLI::ExistingDirectory);
  };
  Parts parts;
  CLI::App* ring = app.add_subcommand("ring", "The ring beside the queues people know");
  measuring(ring);
  sampled(ring);
  ring->add_option("--workload", arguments.workloads, "only these workloads")
      ->check(CLI::IsMember(ring_workloads()))
      ->delimiter(',');
  ring->callback([&] { parts.ring = true; });

  CLI::App* path =
      app.add_subcommand("path", "From push through a graph to the reader, by how one waits");
  measuring(path);
  sampled(path);
  path->callback([&] { parts.path = true; });

  CLI::App* jitter = app.add_subcommand("jitter", "How late this machine wakes a thread");
  measuring(jitter);
  timed(jitter);
  jitter->callback([&] { parts.jitter = true; });

  CLI::App* filters = app.add_subcommand("filters", "The filters beside those of other libraries");
  measuring(filters);
  sampled(filters);
  filters->add_option("--workload", arguments.workloads, "only these workloads")
      ->check(CLI::IsMember(filter_workloads()))
      ->delimiter(',');
  filters->add_option("--isa", arguments.isa, "the instruction set; default: the best there is")
      ->check(CLI::IsMember(isas()));
  filters->callback([&] { parts.filters = true; });

  CLI::App* graph = app.add_subcommand(
      "graph", "What a graph adds to its filters, and how long one takes to build");
  measuring(graph);
  sampled(graph);
  graph->add_option("--workload", arguments.workloads, "only these workloads")
      ->check(CLI::IsMember(graph_workloads()))
      ->delimiter(',');
  graph->callback([&] { parts.graph = true; });

  CLI::App* storage =
      app.add_subcommand("storage", "What recording costs beside raw writes, HDF5, h5py, CSV");
  measuring(storage);
  sampled(storage);
  placed(storage);
  storage->add_option("--workload", arguments.workloads, "only these workloads")
      ->check(CLI::IsMember(storage_workloads()))
      ->delimiter(',');
  storage->callback([&] { parts.storage = true; });

  CLI::App* replay = app.add_subcommand(
      "replay", "A recording through a graph into another, beside copies and a Python script");
  measuring(replay);
  sampled(replay);
  placed(replay);
  replay->add_option("--workload", arguments.workloads, "only these workloads")
      ->check(CLI::IsMember(replay_workloads()))
      ->delimiter(',');
  replay->callback([&] { parts.replay = true; });

  CLI::App* everything =
      app.add_subcommand("all", "ring, path, jitter, filters, graph, storage and replay");
  measuring(everything);
  sampled(everything);
  timed(everything);
  placed(everything);
  everything->callback([&] { parts = {true, true, true, true, true, true, true}; });

  std::vector<std::string> files;
  std::string output = "report.html";
  CLI::App* report_command =
      app.add_subcommand("report", "A page with charts of results that --json wrote");
  report_command->add_option("files", files, "results; several are compared")->required();
  report_command->add_option("-o,--output", output, "the page")->capture_default_str();

  std::string command = "rt-bench";
  for (int i = 1; i < argc; ++i) command += fmt::format(" {}", argv[i]);
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty())
      throw Error(
          "one of ring, path, jitter, filters, graph, storage, replay, all, report is wanted; "
          "rt-bench "
          "--help tells more");
    if (*report_command) {
      write_report(files, output);
    } else {
      measure(command, arguments, parts);
    }
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "error: {}; rt-bench --help tells more\n", e.what());
    return 1;
  } catch (const Interrupted& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return 128 + e.signal();
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "error: out of memory\n");
    return 1;
  } catch (const std::exception& e) {
    fmt::print(stderr, "error: {}\n", e.what());
    return 1;
  }
  return 0;
}
