#include "ring.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "contestants/contestant.hpp"
#include "contestants/workloads.hpp"
#include "interrupt.hpp"

namespace spillway::bench {

namespace {

struct Description {
  const char* id;
  const char* title;
  const char* note;
  const char* time_of;
  Contestant::Round Contestant::*round;
};

const std::array descriptions{
    Description{"idle", "single pushes, consumer idle",
                "Laps of 32768 pushes while nobody reads; emptied off the clock.",
                "one push, mean of a lap", &Contestant::idle},
    Description{
        "paced", "single pushes, paced",
        "One push every 1 to 2 us, the consumer polls; every call timed by a fenced pair of "
        "clock reads, whose own cost is the floor. mean99: mean of all but the slowest hundredth.",
        "one push, floor included", &Contestant::paced},
    Description{"burst", "bursts of 64, consumer polls all the time",
                "64 single pushes in a row, then 2 to 4 us of nothing.",
                "one push, mean of a burst", &Contestant::burst_polled},
    Description{"burst-pausing", "bursts of 64, consumer pauses between polls",
                "The same; the consumer waits 750 ns after each poll.", "one push, mean of a burst",
                &Contestant::burst_paused},
    Description{"stalled", "consumer stalled",
                "Nobody reads; full before anything is timed. Bounded queues refuse the newest, "
                "the others overwrite the oldest. 'newest lost': samples newer than any that is "
                "left.",
                "one push, mean of 64", &Contestant::stalled},
    Description{"sustained", "sustained single pushes, consumer polls all the time",
                "Flat out; bounded queues try again until accepted. Every sample that arrives is "
                "checked.",
                "", &Contestant::sustained_polled},
    Description{"sustained-pausing", "sustained single pushes, consumer pauses between polls",
                "The same; the consumer waits 750 ns after a read of less than 4096.", "",
                &Contestant::sustained_paused},
    Description{"blocks", "blocks of 1024",
                "Flat out, in bulk where the library can; every sample that arrives is compared "
                "with the one pushed.",
                "", &Contestant::blocks},
    Description{"round-trip", "round trip",
                "One sample there and back through two of them; both ends poll.", "there and back",
                &Contestant::round_trip},
};

std::vector<Contestant> contestants() {
  std::vector<Contestant> all{
      spillway_ring(),       spillway_ring_batched(), boost_fixed(), boost_sized(),
      reader_writer_queue(), concurrent_queue(),      mutex_deque(), bare_stores()};
  return all;
}

// What an empty pair of clock reads gives, on the core where pushes are timed.
void measure_floor(const RingRun& run, Row& row) {
  std::vector<Ticks> taken(std::max<std::uint64_t>(run.samples / 64, 1));
  on_core(run.producer_core, [&] {
    RandomGap gap(run.clock, 200.0, 400.0);
    for (Ticks& t : taken) {
      gap.spin();
      const Ticks before = ticks_before();
      const Ticks after = ticks_after();
      t = after - before;
    }
  });
  Histogram times;
  for (const Ticks t : taken) times.record(run.clock.ns(t));
  row.record_times(times, "ns");
  row.record("mean99", "ns", Better::less, run.clock.ns(1) * trimmed_mean(taken));
}

}  // namespace

std::vector<std::string> ring_workloads() {
  std::vector<std::string> ids;
  for (const Description& d : descriptions) ids.emplace_back(d.id);
  return ids;
}

std::size_t ring_capacity() { return queue_capacity; }

std::vector<Workload> measure_ring(const RingOptions& options, const std::vector<int>& cores,
                                   const TickClock& clock, Progress& progress, const Show& show) {
  const RingRun run{.producer_core = cores.at(0),
                    .consumer_core = cores.at(1),
                    .clock = clock,
                    .samples = options.samples};
  const std::vector<Contestant> all = contestants();
  std::vector<Workload> workloads;
  for (const Description& d : descriptions) {
    if (!options.only.empty() && std::ranges::find(options.only, d.id) == options.only.end())
      continue;
    Workload workload{d.id, d.title, d.note, d.time_of, "ns", reference_contestant, {}};
    std::vector<Contestant::Round> rounds;
    for (const Contestant& c : all)
      if (c.*d.round) {
        workload.rows.push_back({.name = c.name});
        rounds.push_back(c.*d.round);
      }
    const bool has_floor = d.round == &Contestant::paced;
    Row floor{.name = "nothing: the timing floor", .floor = true};
    for (std::uint64_t round = 0; round < options.rounds; ++round) {
      progress.show(fmt::format("{}: round {} of {}", d.title, round + 1, options.rounds));
      if (has_floor) measure_floor(run, floor);
      // Each round begins with another one, so that nobody is always first.
      for (std::size_t i = 0; i < rounds.size(); ++i) {
        check_interrupted();
        const std::size_t at = (i + round) % rounds.size();
        rounds[at](run, workload.rows[at]);
      }
    }
    check_interrupted();
    if (has_floor) workload.rows.insert(workload.rows.begin(), std::move(floor));
    show(workload);
    workloads.push_back(std::move(workload));
  }
  progress.clear();
  return workloads;
}

}  // namespace spillway::bench
