#include "jitter.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "contestants/two_threads.hpp"
#include "interrupt.hpp"
#include "spillway/channels/error.hpp"
#include "tsc.hpp"

namespace spillway::bench {

namespace {

using Nanoseconds = std::chrono::nanoseconds;

// High enough to come before the kernel's own threads that may be delayed, low enough to
// leave its watchdogs alone.
constexpr int fifo_priority = 80;

enum class Waking { sleep, sleep_without_slack, sleep_then_spin, spin };

struct Way {
  const char* name;
  Waking waking;
  bool fifo;
  bool locked;
};

constexpr Way ways[]{
    {"sleep", Waking::sleep, false, false},
    // The kernel lets a normal thread sleep 50 us longer, to wake several at once.
    {"sleep, timer slack 1 ns", Waking::sleep_without_slack, false, false},
    {"sleep, memory locked", Waking::sleep, false, true},
    {"sleep, SCHED_FIFO", Waking::sleep, true, false},
    {"sleep, SCHED_FIFO, memory locked", Waking::sleep, true, true},
    {"sleep without slack, then spin", Waking::sleep_then_spin, false, false},
    // Not with SCHED_FIFO: the kernel stops real-time threads that never sleep.
    {"spin", Waking::spin, false, false},
};

// Of the calling thread, which is to end with what it measures. An error number or 0.
int be_fifo() {
  sched_param parameters{};
  parameters.sched_priority = fifo_priority;
  return pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
}

class LockedMemory {
 public:
  LockedMemory() : error_(mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : errno) {}
  ~LockedMemory() {
    if (error_ == 0) munlockall();
  }
  LockedMemory(const LockedMemory&) = delete;
  LockedMemory& operator=(const LockedMemory&) = delete;
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  int error_;
};

// Keeps a core and its memory busy.
class Load {
 public:
  explicit Load(int core)
      : thread_([this, core] {
          try {
            pin_this_thread(core);
          } catch (const Error&) {
            return;  // the same core was pinned to before
          }
          std::vector<std::uint64_t> memory(std::size_t{1} << 20);
          for (std::uint64_t n = 0; running_.load(std::memory_order_relaxed); ++n) {
            volatile std::uint64_t* const word = &memory[n * 8 % memory.size()];
            *word = *word + n;
          }
        }) {}
  ~Load() {
    running_ = false;
    thread_.join();
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

 private:
  std::atomic<bool> running_{true};
  std::thread thread_;
};

std::int64_t now_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void sleep_until(std::int64_t ns) noexcept {
  const timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
  // A signal ends it early; the loop around notices.
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr);
}

struct Wakeups {
  Histogram late;
  std::uint64_t missed = 0;  // whole periods that passed meanwhile
};

Wakeups wake(Waking waking, Nanoseconds interval, std::uint64_t count) {
  // Before the due time: longer than most wake-ups take.
  const std::int64_t margin = std::min<std::int64_t>(interval.count() / 2, 200'000);
  Wakeups result;
  std::int64_t due = now_ns() + interval.count();
  for (std::uint64_t i = 0; i < count && !interrupted(); ++i) {
    if (waking != Waking::spin) sleep_until(waking == Waking::sleep_then_spin ? due - margin : due);
    std::int64_t now = now_ns();
    while (now < due && !interrupted()) {
      relax();
      now = now_ns();
    }
    result.late.record(static_cast<double>(now - due));
    const std::int64_t passed = (now - due) / interval.count();
    if (passed > 0) {
      const auto missed =
          std::min<std::uint64_t>(static_cast<std::uint64_t>(passed), count - i - 1);
      result.missed += missed;
      i += missed;
    }
    due += (std::max<std::int64_t>(passed, 0) + 1) * interval.count();
  }
  return result;
}

void measure(const Way& way, Nanoseconds interval, std::uint64_t count, int core, Row& row) {
  Wakeups wakeups;
  on_core(core, [&] {
    std::optional<LockedMemory> locked;
    if (way.locked) locked.emplace();
    if (way.fifo) be_fifo();
    if (way.waking == Waking::sleep_without_slack || way.waking == Waking::sleep_then_spin)
      prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
    wakeups = wake(way.waking, interval, count);
  });
  check_interrupted();
  row.record_times(wakeups.late, "us");
  row.count("due", wakeups.late.count() + wakeups.missed);
  row.count("missed", wakeups.missed);
}

}  // namespace

std::vector<Workload> measure_jitter(const JitterOptions& options, const std::vector<int>& cores,
                                     Progress& progress, std::vector<std::string>& remarks,
                                     const Show& show) {
  int fifo_error = 0;
  on_core(cores.at(0), [&] { fifo_error = be_fifo(); });
  const int lock_error = LockedMemory().error();
  if (fifo_error != 0)
    remarks.push_back(fmt::format("SCHED_FIFO is not permitted here ({}): rows left out",
                                  std::strerror(fifo_error)));
  if (lock_error != 0)
    remarks.push_back(fmt::format("locking memory is not permitted here ({}): rows left out",
                                  std::strerror(lock_error)));
  if (cores.size() < 2) remarks.emplace_back("no second core: wake-ups beside a load left out");

  std::vector<Workload> workloads;
  for (const Nanoseconds interval : options.intervals)
    for (const bool loaded : {false, true}) {
      if (loaded && cores.size() < 2) continue;
      const auto us = std::chrono::duration_cast<std::chrono::microseconds>(interval).count();
      Workload w{fmt::format("jitter-{}us-{}", us, loaded ? "busy" : "idle"),
                 fmt::format("wake-up every {} us, {}", us,
                             loaded ? "another core busy" : "all else idle"),
                 fmt::format("One thread on core {}{}; how long after the due time it runs.",
                             cores[0], loaded ? fmt::format(", a load on core {}", cores[1]) : ""),
                 "one wake-up, from when it was due",
                 "us",
                 "",
                 {}};
      std::vector<Way> run;
      for (const Way& way : ways)
        if ((!way.fifo || fifo_error == 0) && (!way.locked || lock_error == 0)) {
          run.push_back(way);
          w.rows.push_back({.name = way.name});
        }
      const double share = options.each.count() / static_cast<double>(options.rounds);
      const auto count = std::max<std::uint64_t>(
          static_cast<std::uint64_t>(share / std::chrono::duration<double>(interval).count()), 1);
      std::optional<Load> load;
      if (loaded) load.emplace(cores[1]);
      for (std::uint64_t round = 0; round < options.rounds; ++round) {
        progress.show(fmt::format("{}: round {} of {}", w.title, round + 1, options.rounds));
        for (std::size_t i = 0; i < run.size(); ++i) {
          const std::size_t at = (i + round) % run.size();
          measure(run[at], interval, count, cores[0], w.rows[at]);
        }
      }
      show(w);
      workloads.push_back(std::move(w));
    }
  progress.clear();
  return workloads;
}

}  // namespace spillway::bench
