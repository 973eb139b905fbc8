#include "path.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <string>
#include <type_traits>
#include <utility>

#include "contestants/two_threads.hpp"
#include "contestants/workloads.hpp"
#include "interrupt.hpp"
#include "spillway/engine/engine.hpp"

namespace spillway::bench {

namespace {

using namespace std::chrono_literals;

constexpr Sleep sleep{100us};

struct Way {
  const char* id;
  const char* title;
  const char* note;
  bool graph;
  bool own_thread;  // the engine's, for the graph; else the reader calls step()
};

constexpr std::array ways{
    Way{"path-ring", "push to reader, the ring alone", "One writer, one reader that waits.", false,
        false},
    Way{"path-step", "push to reader, through a graph run by step()",
        "One thread calls Engine::step() and reads the derived stream.", true, false},
    Way{"path-thread", "push to reader, through the engine's graph thread",
        "The graph thread naps between looks, as the engine does; the strategy is the reader's.",
        true, true}};

// Signals of a moving average and a low-pass behind it.
Signal add_graph(Engine& engine, const Signal& input) {
  const Signal smooth = engine.graph().add(MovingAverage{.window = 32}, input);
  return engine.graph().add(lowpass(Butterworth{.order = 4}, 1_kHz), smooth);
}

template <class Strategy>
void wait_once(Strategy strategy) {
  if constexpr (std::is_same_v<Strategy, Sleep>) {
    std::this_thread::sleep_for(strategy.interval);
  } else if constexpr (std::is_same_v<Strategy, Yield>) {
    std::this_thread::yield();
  } else {
    relax();
  }
}

template <class Strategy>
void measure(const Way& way, Strategy strategy, const PathOptions& options,
             const std::vector<int>& cores, const TickClock& clock, Row& row) {
  // When each sample was pushed, by its number; the rings order it before the sample.
  std::vector<Ticks> sent(options.samples);
  Histogram times;
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  // The graph thread inherits the core of whoever starts the engine.
  on_core(cores[1], [&] {
    Engine engine({.graph_threads = way.own_thread ? 1U : 0U});
    const Channel<double> input = engine.add_channel<double>({.name = "input", .rate = 10_kHz});
    Signal output = input;
    if (way.graph) output = add_graph(engine, input);
    engine.start();
    const auto produce = [&](Start& start) {
      Writer<double> writer = input.writer();
      RandomGap gap(clock, 50e3, 150e3);
      start.wait();
      for (Ticks& t : sent) {
        gap.spin();
        t = ticks();
        writer.push(1.0);
      }
    };
    const auto read = [&](Start& start) {
      Reader<double> reader(engine.stream(output.name));
      start.wait();
      while (delivered + lost + missing < options.samples) {
        if (way.graph && !way.own_thread) {
          if (!engine.step()) {
            wait_once(strategy);
            continue;
          }
        } else if (!reader.wait(SampleCount{1}, strategy, 1s)) {
          continue;
        }
        const auto samples = reader.read();
        const Ticks now = ticks();
        for (std::size_t i = 0; i < samples.values.size(); ++i)
          times.record(clock.ns(now - sent[samples.first.value + i]));
        delivered += samples.count.value;
        lost += samples.lost.value;
        missing += samples.missing.value;
      }
    };
    const bool separate = way.own_thread && cores.size() > 2;
    two_threads(cores[0], produce, separate ? cores[2] : cores[1], read);
    engine.stop();
  });
  row.record_times(times, "us");
  row.count("pushed", options.samples);
  row.count("delivered", delivered);
  row.count("lost", lost + missing);
}

}  // namespace

std::vector<Workload> measure_path(const PathOptions& options, const std::vector<int>& cores,
                                   const TickClock& clock, Progress& progress, const Show& show) {
  std::vector<Workload> workloads;
  for (const Way& way : ways) {
    std::string note = fmt::format("{} A push every 50 to 150 us on core {}, all else on core {}.",
                                   way.note, cores[0], cores[1]);
    if (way.graph) note += " Graph: moving average of 32, low-pass of order 4.";
    if (way.own_thread)
      note += cores.size() > 2 ? fmt::format(" The reader has core {}.", cores[2])
                               : " Graph thread and reader share that core.";
    Workload w{way.id, way.title, std::move(note), "one sample, from push to reader", "us", "", {}};
    w.rows = {{.name = "Spin"}, {.name = "Yield"}, {.name = "Sleep, 100 us"}};
    for (std::uint64_t round = 0; round < options.rounds; ++round) {
      progress.show(fmt::format("{}: round {} of {}", way.title, round + 1, options.rounds));
      for (std::uint64_t i = 0; i < w.rows.size(); ++i) {
        check_interrupted();
        const std::uint64_t at = (i + round) % w.rows.size();
        if (at == 0) measure(way, Spin{}, options, cores, clock, w.rows[at]);
        if (at == 1) measure(way, Yield{}, options, cores, clock, w.rows[at]);
        if (at == 2) measure(way, sleep, options, cores, clock, w.rows[at]);
      }
    }
    check_interrupted();
    show(w);
    workloads.push_back(std::move(w));
  }
  progress.clear();
  return workloads;
}

}  // namespace spillway::bench
