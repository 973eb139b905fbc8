// The machine and the build that figures belong to, and what makes them unfair.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tsc.hpp"

namespace spillway::bench {

struct Machine {
  std::string cpu;             // the model's name
  int cores = 0;               // online
  std::vector<int> allowed;    // those this process may use
  std::vector<int> used;       // those it measures on
  bool share_a_core = false;   // `used` are threads of one physical core
  std::string isolated;        // the kernel's list of isolated cores; may be empty
  std::string kernel;          // system and release
  std::string governor;        // of the used cores: "performance", ..., "unknown"
  std::string turbo;           // "on", "off", "unknown"
  std::string virtualisation;  // "none", or who: "KVM", "unknown hypervisor"
  bool tsc_invariant = false;
  double tsc_mhz = 0.0;  // 0: there is none, the steady clock is used
  double tsc_step_ns = 0.0;
  std::string clocksource;  // what the kernel's own clocks are read from
  double load = 0.0;        // average of the minute before
};

struct Build {
  std::string compiler;
  std::string flags;
  std::string type;
  std::string commit;
  bool assertions = false;
};

[[nodiscard]] Machine describe_machine(const std::vector<int>& used, const TickClock& clock);
[[nodiscard]] Build describe_build();

// What makes figures from there unfair or hard to repeat, one line each.
[[nodiscard]] std::vector<std::string> warnings(const Machine& machine, const Build& build);

// What others did to the measurement while it ran.
class Disturbance {
 public:
  // Begins now.
  Disturbance();
  // What came since then, one line each, the drift of `clock` included; empty if nothing did.
  [[nodiscard]] std::vector<std::string> warnings(const TickClock& clock) const;

 private:
  double stolen_s_;
  std::int64_t preempted_;
};

// Now, as "2024-01-31T12:00:00Z".
[[nodiscard]] std::string utc_now();

}  // namespace spillway::bench
