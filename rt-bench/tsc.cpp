#include "tsc.hpp"

#include <algorithm>
#include <array>

namespace spillway::bench {

namespace {

using Clock = std::chrono::steady_clock;

struct Moment {
  Ticks ticks;
  Clock::time_point time;
};

// Both clocks at one moment: of several tries the one that was disturbed least.
Moment both() {
  Moment best{};
  Ticks least = ~Ticks{0};
  for (int i = 0; i < 20; ++i) {
    const Ticks before = ticks_before();
    const Clock::time_point time = Clock::now();
    const Ticks after = ticks_after();
    if (after - before >= least) continue;
    least = after - before;
    best = {before + (after - before) / 2, time};
  }
  return best;
}

}  // namespace

double tick_step_ns(const TickClock& clock) {
  // Of reads in a row the differences are a few multiples of the step, one tick more or
  // less where a hypervisor scales the counter.
  constexpr std::size_t reads = 20'000;
  constexpr std::size_t most = 512;
  std::array<std::size_t, most> seen{};
  Ticks last = ticks();
  for (std::size_t i = 0; i < reads; ++i) {
    const Ticks now = ticks();
    if (now - last < most) ++seen[now - last];
    last = now;
  }
  std::size_t step = most;
  std::size_t previous = most;  // the last difference that came often
  for (std::size_t d = 0; d < most; ++d) {
    if (seen[d] < reads / 200) continue;
    if (previous < d && d - previous > 1) step = std::min(step, d - previous);
    previous = d;
  }
  return clock.ns(step == most ? 1 : step);
}

TickClock TickClock::calibrated() {
  if (!has_tsc) return TickClock(1.0);
  // The median: a pause of a virtual machine spoils one of them.
  std::array<double, 5> rates{};
  for (double& rate : rates) {
    const Moment begin = both();
    while (Clock::now() - begin.time < std::chrono::milliseconds(10)) relax();
    const Moment end = both();
    rate = std::chrono::duration<double, std::nano>(end.time - begin.time).count() /
           static_cast<double>(end.ticks - begin.ticks);
  }
  std::ranges::sort(rates);
  return TickClock(rates[rates.size() / 2]);
}

}  // namespace spillway::bench
