// Whole engines with faults in every part, run so that a seed decides everything, and replayed.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "../storage/faulty_files.hpp"
#include "filters/random_plant.hpp"
#include "recorded_samples.hpp"
#include "spillway/engine/signal_generator.hpp"
#include "spillway/filters/graph_log_json.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "support/catch.hpp"
#include "support/soak.hpp"
#include "support/temporary_directory.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

// An instrument whose samples come in bursts, late, with everything that goes wrong with hardware.
class Instrument {
 public:
  Instrument(Stream& stream, std::uint64_t seed) : writer_(stream), random_(seed) {}

  // All that is due by `now`, or nothing yet.
  void deliver(Time now) {
    if (random_.below(4) == 0) return;
    const Rate rate = *writer_.info().rate;
    const std::uint64_t due = rate.samples_within(now);
    const std::uint64_t fault = random_.below(60);
    if (fault == 0) {
      writer_.gap({std::min(due - taken_, 1 + random_.below(20))});
    } else if (fault == 1) {
      step_ += Time(static_cast<std::int64_t>(random_.below(30'000'000)) - 10'000'000);
      writer_.stamp({rate.duration(writer_.next().value) + step_, taken_});
    } else if (fault == 2) {
      Calibration calibration = Linear{1.0 + static_cast<double>(random_.below(4)) / 4.0, 0.5};
      calibration.unit_out = writer_.info().channels[0].unit;
      writer_.calibrate(random_.below(2), calibration);
    } else if (fault == 3) {
      stuck_ = 1 + random_.below(60);
    }
    taken_ = writer_.next().value;
    std::vector<double> frames;
    std::vector<Quality> quality;
    for (; taken_ < due; ++taken_)
      for (int channel = 0; channel < 2; ++channel) {
        Quality q;
        if (channel == 0) {
          if (stuck_ > 0) --stuck_;
          if (stuck_ == 0) value_ = random_.uniform();
          if (random_.below(300) == 0) value_ = 40.0;
        }
        double value = channel == 0 ? value_ : random_.uniform();
        if (random_.below(500) == 0) {
          value = std::numeric_limits<double>::quiet_NaN();
          q = Quality(Verdict::bad, Quality::missing);
        }
        frames.push_back(value);
        quality.push_back(q);
      }
    writer_.push(frames, quality);
  }

 private:
  Writer<double> writer_;
  Random random_;
  std::uint64_t taken_ = 0;
  std::uint64_t stuck_ = 0;
  double value_ = 0.0;
  Time step_{0};
};

constexpr const char* nodes = R"(
graph:
  - {id: stuck, type: detect_stuck, input: pump, samples: 8}
  - {id: calm, type: median, input: stuck, window: 5}
  - {id: low, type: lowpass, input: calm, order: 4, cutoff: 40 Hz, fill_gaps: 6}
  - {id: mean, type: moving_average, input: pump, window: 32}
  - {id: slow, type: decimate, input: low, factor: 4}
  - {id: total, type: integral, input: valve/c1}
  - {id: both, type: align, inputs: [mean, valve], max_wait: 60 ms}
  - {id: grid, type: align, inputs: [valve, slow], rate: 200 Hz, max_wait: 80 ms}
)";

// Time is made here, and nothing depends on how fast threads are but which of them waits.
void simulate(std::uint64_t seed, const std::string& path, FileCalls& files) {
  Random random(seed);
  Engine engine({.graph_threads = 0});
  std::vector<std::unique_ptr<Instrument>> instruments;
  for (StreamInfo info : {doubles("pump", 2, Rate(1000, 1)), doubles("valve", 2, Rate(2503, 10))}) {
    info.capacity = SampleCount{256};
    info.largest_block = SampleCount{64};
    instruments.push_back(std::make_unique<Instrument>(engine.add_stream(info), seed + 1));
  }
  engine.graph().add(graph_from_yaml(nodes, "simulation.yaml"));
  engine.record(std::make_unique<Hdf5Sink>(path, Existing::refuse,
                                           Hdf5Options{.durability = Durability::process}, files),
                std::chrono::milliseconds(5));
  engine.start();
  // The disk is slow, and yet the recorder loses nothing: it is waited for.
  const auto settle = [&] { wait_for_recorder(engine); };
  std::uint64_t stalled = 0;
  for (int tick = 1; tick <= 400; ++tick) {
    const Time now = std::chrono::milliseconds(10) * tick;
    for (auto& instrument : instruments) {
      instrument->deliver(now);
      settle();
    }
    if (random.below(40) == 0)
      engine.change({{"low", lowpass(Butterworth{.order = 4},
                                     Hertz{20.0 + static_cast<double>(random.below(60))})},
                     {"mean", MovingAverage{.window = 8 + random.below(40)}}});
    if (random.below(25) == 0) stalled = random.below(50);
    if (stalled > 0 && --stalled > 0) continue;
    for (std::uint64_t steps = random.below(4); steps > 0; --steps) {
      (void)engine.step();
      settle();
    }
  }
  while (engine.step()) settle();
  REQUIRE(engine.stop().errors.empty());
}

// The log, with the lines that tell of one wait as one: how many there are depends on the flushes.
struct Log {
  std::vector<std::string> lines;
  std::map<std::string, std::vector<std::pair<std::uint64_t, std::uint64_t>>> waits;
  friend bool operator==(const Log&, const Log&) = default;
};
Log log_of(const Recording& recording) {
  Log log;
  for (const std::string& line : recording.log()) {
    const GraphLogLine parsed = graph_log_line_from_json(line);
    const auto* wait = std::get_if<WaitEnded>(&parsed.what);
    if (!wait) {
      log.lines.push_back(line);
      continue;
    }
    auto& of_input = log.waits[fmt::format("{} {}", wait->node, wait->input)];
    const std::uint64_t end = (wait->from + wait->count).value;
    if (!of_input.empty() && of_input.back().second == wait->from.value)
      of_input.back().second = end;
    else
      of_input.emplace_back(wait->from.value, end);
  }
  return log;
}

void check_replay(const Recording& recording, std::size_t threads, Reached& reached) {
  MemorySink sink;
  const ReplayReport report = replay(recording, sink, {.threads = threads});
  CAPTURE(report.differences);
  REQUIRE(report.differences.empty());
  for (std::size_t i = 0; i < sink.info().streams.size(); ++i) {
    const std::string& name = sink.info().streams[i].name;
    CAPTURE(name);
    check_same_output(recorded(recording, recording.find(name)), recorded(sink, i), UINT64_MAX,
                      reached);
  }
}

}  // namespace

TEST_CASE("of a seed comes one recording, and its replay gives its derived streams") {
  const TemporaryDirectory directory;
  const std::uint64_t seed = given_seed().value_or(new_seed());
  Reached reached;
  for (std::uint64_t run = 0; run < (given_seed() ? 1 : soak(4)); ++run) {
    CAPTURE(seed + run);
    std::vector<Recording> both;
    for (const char* name : {"one", "two"}) {
      FaultyFiles files;
      if (both.empty())
        files.add(
            {.call = FileCall::pwrite, .count = 300, .delay = std::chrono::microseconds(200)});
      const std::string path = directory / fmt::format("{}-{}.h5", name, run);
      simulate(seed + run * 10, path, files);
      both.push_back(Recording::open(path));
    }
    const Recording& one = both[0];
    const Recording& two = both[1];
    CHECK(log_of(one) == log_of(two));
    REQUIRE(one.streams().size() == two.streams().size());
    for (std::size_t i = 0; i < one.streams().size(); ++i) {
      CAPTURE(one.streams()[i].info.name);
      CHECK(one.streams()[i].segments == two.streams()[i].segments);
      CHECK(words(joined(one.streams()[i].gaps)) == words(joined(two.streams()[i].gaps)));
      CHECK(one.streams()[i].counts == two.streams()[i].counts);
      const Recorded a = recorded(one, i), b = recorded(two, i);
      CHECK(std::ranges::equal(a.samples, b.samples, [](const auto& x, const auto& y) {
        return x.first == y.first && same(x.second, y.second);
      }));
      if (one.streams()[i].calibrations.size() > 1) ++reached["calibrations"];
    }
    for (const std::string& line : one.log())
      for (const char* what : {"\"loss\"", "\"wait_ended\"", "\"changed\""})
        if (line.find(what) != std::string::npos) ++reached[what];
    check_replay(one, 1 + run % 3, reached);
  }
  if (given_seed()) return;
  for (const char* what :
       {"\"loss\"", "\"wait_ended\"", "\"changed\"", "calibrations", "gaps", "steps"}) {
    CAPTURE(what);
    CHECK(reached[what] > 0);
  }
}

TEST_CASE("generated signals with faults, through threads onto a slow disk, replay to the bit") {
  const TemporaryDirectory directory;
  const std::uint64_t seed = given_seed().value_or(new_seed());
  CAPTURE(seed);
  Reached reached;
  for (std::uint64_t run = 0; run < soak(3); ++run) {
    Random random(seed + run);
    FaultyFiles files;
    files.add({.call = FileCall::pwrite,
               .count = 20 + random.below(40),
               .delay = std::chrono::microseconds(random.below(2000))});
    const std::string path = directory / fmt::format("{}.h5", run);
    Engine engine({.graph_threads = 1 + random.below(3)});
    for (const auto& [name, rate] : {std::pair{"pump", 1000.0}, std::pair{"valve", 250.3}}) {
      SignalGenerator generator;
      generator.name = name;
      generator.rate = Hertz{rate};
      generator.channels.resize(2);
      generator.channels[0].name = "c0";
      generator.channels[0].frequency = Hertz{7.0};
      generator.channels[0].noise = 0.3;
      generator.channels[0].limit = 1.5;
      generator.channels[1].name = "c1";
      generator.channels[1].shape = Shape::noise;
      const auto fault = [&](Fault::Kind kind, std::size_t channel) {
        const std::uint64_t count = 1 + random.below(50);
        generator.faults.push_back(
            {kind, channel, random.below(1000), count, count + 1 + random.below(3000)});
      };
      fault(Fault::Kind::lost, 0);
      fault(Fault::Kind::lost, 0);
      fault(Fault::Kind::stuck, 0);
      fault(Fault::Kind::nan, 1);
      fault(Fault::Kind::saturated, 0);
      generator.seed = seed + run;
      generator.duration = std::chrono::seconds(30);
      generator.real_time = false;
      add_source(engine, generator);
    }
    engine.graph().add(graph_from_yaml(nodes, "simulation.yaml"));
    engine.record(std::make_unique<Hdf5Sink>(path, Existing::refuse,
                                             Hdf5Options{.durability = Durability::process}, files),
                  std::chrono::milliseconds(2));
    engine.start();
    std::uint64_t at = 0;
    while (!engine.finished()) {
      at += 1 + random.below(4000);
      try {
        GraphSpec spec = engine.prepared_graph().spec();
        for (NodeSpec& node : spec.nodes)
          if (node.id == "mean") node.kind = MovingAverage{.window = 8 + random.below(40)};
        engine.change_graph(spec, ChangeAt{"pump", {at}});
      } catch (const Error&) {
        std::this_thread::yield();  // so many are on their way
      }
    }
    const Report report = engine.stop();
    CAPTURE(report.errors);
    REQUIRE(report.errors.empty());
    const Recording recording = Recording::open(path);
    for (const std::string& line : recording.log())
      if (line.find("\"changed\"") != std::string::npos) ++reached["changed"];
    check_replay(recording, 1 + random.below(4), reached);
  }
  CHECK(reached["changed"] > 0);
  CHECK(reached["gaps"] > 0);
  CHECK(reached["samples"] > 10'000);
}
