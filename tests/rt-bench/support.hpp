// Results as a run might have given them.
#pragma once

#include "results.hpp"

namespace spillway::bench {

inline Results example_results() {
  Results r;
  r.command = "rt-bench ring --quick";
  r.date = "2024-01-31T12:00:00Z";
  r.machine.cpu = "A <fast> & \"good\" CPU";
  r.machine.cores = 4;
  r.machine.allowed = {0, 1, 3};
  r.machine.used = {1, 3};
  r.machine.kernel = "Linux 6.1 x86_64";
  r.machine.governor = "performance";
  r.machine.turbo = "off";
  r.machine.virtualisation = "none";
  r.machine.tsc_invariant = true;
  r.machine.tsc_mhz = 2600.5;
  r.machine.tsc_step_ns = 0.5;
  r.machine.clocksource = "tsc";
  r.machine.load = 0.25;
  r.build = {"GNU 12.2.0", "-O3 -DNDEBUG", "Release", "abcdef0", false};
  r.settings = {{"ring rounds", "3"}};
  r.warnings = {"turbo <script>alert(1)</script> & more"};

  Workload timed{"paced", "single pushes, paced", "Every call timed.", "one push", "ns", "Boost",
                 {}};
  Workload rates{"blocks", "blocks of 1024", "Flat out.", "", "ns", "Boost", {}};
  for (const char* const name : {"Spillway", "Boost", "naive <queue>"}) {
    Row row{.name = name};
    Row rate{.name = name};
    for (int round = 1; round <= 3; ++round) {
      Histogram times;
      for (int i = 0; i < 1000; ++i) times.record(18.0 + i % 7 + (i == 999 ? 5e4 * round : 0));
      row.record_times(times, "ns");
      rate.record("pushed", "G/s", Better::more, 1.0 + round);
    }
    row.count("pushed", 3000);
    rate.count("pushed", 1024);
    rate.count("lost", name[0] == 'S' ? 24 : 0);
    timed.rows.push_back(std::move(row));
    rates.rows.push_back(std::move(rate));
  }
  Row floor{.name = "floor", .floor = true};
  Histogram times;
  times.record(18.0);
  floor.record_times(times, "ns");
  timed.rows.insert(timed.rows.begin(), std::move(floor));
  r.workloads = {timed, rates};
  return r;
}

}  // namespace spillway::bench
