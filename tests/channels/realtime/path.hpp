// A path through the library, and the proof that it is fit for real time.
#pragma once

#include <malloc.h>

#include <functional>
#include <stop_token>
#include <string>
#include <thread>

#include "spillway/channels/realtime_check.hpp"
#include "spillway/channels/sample_type.hpp"
#include "support/catch.hpp"

namespace spillway::test {

// Owns what it works on.
struct Path {
  std::function<void()> run;  // watched; many laps of its ring
  // Meanwhile, over and over, on another thread.
  std::function<void()> beside = [] { std::this_thread::yield(); };
  // Afterwards: whether `run` did what it was to do.
  std::function<bool()> reached;
};

inline bool nothing_but_faults(const RealtimeFindings& findings) {
  RealtimeFindings without = findings;
  without.minor_faults = without.major_faults = 0;
  return findings.faults() > 0 && without.clean();
}

// The path that `make` makes does nothing that a real-time loop must not do, its first lap
// included. The code is run on another one of the kind before, so that it is in memory.
template <class Make>
void check_clean(const std::string& name, const Make& make) {
  // Memory fresh from the kernel, not what others have used, and touched, before.
  mallopt(M_MMAP_THRESHOLD, 256);
  RealtimeFindings findings;
  bool reached = false;
  // A machine short of memory takes pages of code away at any time. That does not happen
  // again; what faults for a cause of its own does so every time, since all is made anew.
  for (int attempt = 0; attempt < 5; ++attempt) {
    const Path before = make();
    const Path path = make();
    {
      const std::jthread other([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
          before.beside();
          path.beside();
        }
      });
      findings = watch_realtime(before.run, path.run);
    }
    reached = path.reached();
    if (!nothing_but_faults(findings)) break;
  }
  INFO(name);
  std::string trace;
  for (const RealtimeOffences* kind :
       {&findings.allocations, &findings.deallocations, &findings.locks, &findings.system_calls}) {
    if (kind->count > 0) trace += "\n" + kind->first + ", called by";
    for (const std::string& function : kind->where) trace += "\n  " + function;
  }
  INFO("first of each kind:" << trace);
  CHECK(describe(findings) == "clean");
  CHECK(reached);
}

// f(std::type_identity<T>{}) with each of the ten.
template <class F>
void for_each_sample_type(const F& f) {
  for (int type = 0; type <= static_cast<int>(SampleType::float64); ++type)
    visit_sample_type(static_cast<SampleType>(type), f);
}

}  // namespace spillway::test
