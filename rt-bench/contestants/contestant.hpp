// A ring or queue, as a user who knows it well would write it, and what is done with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "../results.hpp"
#include "../tsc.hpp"

namespace spillway::bench {

// Samples that a queue holds, and what a stream keeps at least.
inline constexpr std::size_t queue_capacity = 1 << 16;

// Where and how much; the same for every contestant.
struct RingRun {
  int producer_core = 0;
  int consumer_core = 0;
  TickClock clock{1.0};
  std::uint64_t samples = 0;  // of the longest workload; the others take a share of it
};

// Each measures one round and adds it to the row; null where a contestant has nothing of its
// own to show. All throw what starting threads throws.
struct Contestant {
  using Round = void (*)(const RingRun& run, Row& row);

  std::string name;
  Round idle = nullptr;
  Round paced = nullptr;
  Round burst_polled = nullptr;
  Round burst_paused = nullptr;
  Round stalled = nullptr;
  Round sustained_polled = nullptr;
  Round sustained_paused = nullptr;
  Round blocks = nullptr;
  Round round_trip = nullptr;
};

// Pushes published one by one, and, where the writer can, in groups of 16 (else all null).
[[nodiscard]] Contestant spillway_ring();
[[nodiscard]] Contestant spillway_ring_batched();
[[nodiscard]] Contestant boost_fixed();
[[nodiscard]] Contestant boost_sized();
[[nodiscard]] Contestant reader_writer_queue();
[[nodiscard]] Contestant concurrent_queue();
[[nodiscard]] Contestant mutex_deque();
// What the hardware takes, as a floor to the others; null where nothing must get lost.
[[nodiscard]] Contestant bare_stores();

// The row that ratios are relative to.
inline constexpr const char* reference_contestant = "Boost spsc_queue, fixed";

}  // namespace spillway::bench
