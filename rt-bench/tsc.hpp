// The finest clock there is: the time-stamp counter on x86, the steady clock elsewhere.
#pragma once

#include <chrono>
#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#define SPILLWAY_BENCH_TSC 1
#include <x86intrin.h>
#endif

namespace spillway::bench {

using Ticks = std::uint64_t;

#ifdef SPILLWAY_BENCH_TSC

inline constexpr bool has_tsc = true;

// Now, without order: for spinning.
inline Ticks ticks() noexcept { return __rdtsc(); }

// A pair around what is timed. Nothing before ticks_before() is still running when it
// reads, nothing after it has begun; all that is timed has been done when ticks_after()
// reads. Stores may still wait in the store buffer: that is where a push leaves them.
inline Ticks ticks_before() noexcept {
  _mm_lfence();
  const Ticks now = __rdtsc();
  _mm_lfence();
  return now;
}
inline Ticks ticks_after() noexcept {
  unsigned processor;
  const Ticks now = __rdtscp(&processor);
  _mm_lfence();
  return now;
}

inline void relax() noexcept { _mm_pause(); }

#else

inline constexpr bool has_tsc = false;

inline Ticks ticks() noexcept {
  return static_cast<Ticks>(std::chrono::steady_clock::now().time_since_epoch().count());
}
inline Ticks ticks_before() noexcept { return ticks(); }
inline Ticks ticks_after() noexcept { return ticks(); }
inline void relax() noexcept {}

#endif

// How long a tick is.
class TickClock {
 public:
  // Compares with the steady clock for some 50 ms.
  static TickClock calibrated();

  explicit TickClock(double ns_per_tick) noexcept : ns_per_tick_(ns_per_tick) {}

  [[nodiscard]] double ns_per_tick() const noexcept { return ns_per_tick_; }
  // Of a difference; one that came out negative, between cores whose counters differ, is 0.
  [[nodiscard]] double ns(Ticks difference) const noexcept {
    const auto signed_difference = static_cast<std::int64_t>(difference);
    return signed_difference < 0 ? 0.0 : static_cast<double>(signed_difference) * ns_per_tick_;
  }
  [[nodiscard]] Ticks ticks_in(double ns) const noexcept {
    return static_cast<Ticks>(ns / ns_per_tick_);
  }

 private:
  double ns_per_tick_;
};

// The steps in which the counter moves, in ns: on some machines 10 ns and more, whatever its
// frequency. An estimate; one tick if nothing coarser shows.
[[nodiscard]] double tick_step_ns(const TickClock& clock);

// Keeps the core busy, politely, for a number of ticks.
inline void spin_for(Ticks duration) noexcept {
  const Ticks begin = ticks();
  while (ticks() - begin < duration) relax();
}

}  // namespace spillway::bench
