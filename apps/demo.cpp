#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <vector>

#include "commands.hpp"
#include "plot.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/engine/configuration.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway::apps {

namespace {

// A configuration as a user would write it; the recording keeps this very text.
constexpr std::string_view configuration_text = R"(title: How late this machine wakes a thread
memory_budget: 64 MiB

sources:
  - {type: timing, name: timing, period: 1 ms}    # a thread that sleeps, and records how late it woke
  - {type: load, name: load, period: 50 ms}       # /proc
  - type: generator                               # 10 kHz of a sine with noise, and a driver that loses samples
    name: signal
    rate: 10 kHz
    channels:
      - {name: tone, unit: V, shape: sine, frequency: 3 Hz, amplitude: 1.0, noise: 0.3, limit: 1.9}
    faults:
      - {kind: lost, first: 10000, count: 300, every: 20000}

graph:
  - {id: timing_average, type: moving_average, input: timing, window: 50}
  - {id: signal_lowpass, type: lowpass, input: signal, order: 4, cutoff: 20 Hz}

record:
  - {path: demo.h5, flush: 500 ms}
  - {path: timing.csv, streams: [timing]}
)";

void plot_channel(const Recording& recording, const std::string& stream_name) {
  const std::size_t stream = recording.find(stream_name);
  const RecordedStream& s = recording.streams()[stream];
  constexpr std::size_t columns = 2 * 64;
  Envelope envelope(columns, s.rows);
  std::vector<double> block(std::size_t{1} << 14);
  for (std::uint64_t row = 0; row < s.rows; row += block.size()) {
    const std::span<double> part =
        std::span(block).first(std::min<std::uint64_t>(block.size(), s.rows - row));
    recording.read_calibrated(stream, 0, row, part);
    envelope.add(part);
  }
  tell(stdout, "\n{}/{} in {}: {} samples at {:g} Hz, lost {}, missing {}\n{}", s.info.name,
       s.info.channels[0].name, s.info.channels[0].unit, human_count(s.rows),
       s.info.rate->hertz().value, s.counts.lost, s.counts.missing, plot(envelope, 6));
}

}  // namespace

int demo(const DemoArguments& arguments) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(arguments.output_directory, error);
  if (error) throw Error(fmt::format("{}: {}", arguments.output_directory, error.message()));
  const Configuration configuration =
      parse_configuration(std::string(configuration_text), "demo.yaml");
  Engine engine(engine_options(configuration));
  Subscription& events = engine.subscribe(4096);
  (void)set_up(engine, configuration, arguments.output_directory, Existing::replace);

  tell(stdout,
       "Recording for {:g} s: how late this machine wakes a thread each millisecond, its load,\n"
       "and a generated signal at 10 kHz whose driver loses 300 samples every 2 s.\n",
       arguments.duration_s);
  std::fflush(stdout);
  RunOptions options;
  options.duration_s = arguments.duration_s;
  const RunResult result = run(engine, events, options);
  print_summary(result);
  const int status = exit_status(result);
  if (status == 1) return status;

  // From here on everything comes from the file.
  const std::string path = (fs::path(arguments.output_directory) / "demo.h5").string();
  const Recording recording = Recording::open(path);
  tell(stdout, "\nRead back from {}:\n", path);
  for (const char* stream : {"timing", "timing_average", "signal", "signal_lowpass"})
    plot_channel(recording, stream);
  tell(stdout, "\nLook closer: spillway info {}\n", path);
  return status;
}

}  // namespace spillway::apps
