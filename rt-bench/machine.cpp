#include "machine.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

#include "commit.hpp"
#include "cores.hpp"
#include "files.hpp"
#include "tsc.hpp"

#ifdef SPILLWAY_BENCH_TSC
#include <cpuid.h>
#endif

namespace spillway::bench {

namespace {

const std::string unknown = "unknown";

std::string or_unknown(std::string text) { return text.empty() ? unknown : std::move(text); }

// The value of the first line of /proc/cpuinfo that begins with `key`.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(key) || colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

bool has_word(const std::string& words, const std::string& wanted) {
  std::istringstream stream(words);
  for (std::string word; stream >> word;)
    if (word == wanted) return true;
  return false;
}

// One answer if all used cores agree, else all of them.
std::string governor_of(const std::vector<int>& cores) {
  std::string all;
  for (const int core : cores) {
    const std::string one = or_unknown(
        first_line(fmt::format("/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor", core)));
    if (all.empty()) {
      all = one;
    } else if (all != one) {
      all += ", " + one;
    }
  }
  return or_unknown(all);
}

std::string turbo_state() {
  const std::string no_turbo = first_line("/sys/devices/system/cpu/intel_pstate/no_turbo");
  if (!no_turbo.empty()) return no_turbo == "0" ? "on" : "off";
  const std::string boost = first_line("/sys/devices/system/cpu/cpufreq/boost");
  if (!boost.empty()) return boost == "1" ? "on" : "off";
  return unknown;
}

std::string hypervisor() {
#ifdef SPILLWAY_BENCH_TSC
  std::array<unsigned, 4> r{};
  // Leaf 1 tells that there is one, leaf 0x40000000 which.
  if (__get_cpuid(1, &r[0], &r[1], &r[2], &r[3]) == 0 || (r[2] >> 31 & 1) == 0) return "none";
  __cpuid(0x40000000, r[0], r[1], r[2], r[3]);
  std::array<char, 13> vendor{};
  std::memcpy(vendor.data(), &r[1], 12);
  const std::string name = vendor.data();
  if (name.starts_with("KVM")) return "KVM";
  if (name == "VMwareVMware") return "VMware";
  if (name == "Microsoft Hv") return "Hyper-V";
  if (name == "XenVMMXenVMM") return "Xen";
  return "unknown hypervisor";
#else
  return first_line("/sys/hypervisor/type").empty() ? unknown : "a hypervisor";
#endif
}

double load_average() {
  std::ifstream file("/proc/loadavg");
  double load = 0.0;
  file >> load;
  return load;
}

// Seconds that the hypervisor ran something else while a core of ours had work.
double stolen_seconds() {
  std::ifstream file("/proc/stat");
  std::string cpu;
  std::array<double, 8> jiffies{};
  file >> cpu;
  for (double& j : jiffies) file >> j;
  return file ? jiffies[7] / static_cast<double>(::sysconf(_SC_CLK_TCK)) : 0.0;
}

std::int64_t preemptions() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

}  // namespace

Machine describe_machine(const std::vector<int>& used, const TickClock& clock) {
  Machine m;
  m.cpu = or_unknown(cpuinfo("model name"));
  m.cores = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  m.allowed = allowed_cores();
  m.used = used;
  m.share_a_core = used.size() == 2 && share_a_core(used[0], used[1]);
  m.isolated = first_line("/sys/devices/system/cpu/isolated");
  struct utsname name {};
  m.kernel = ::uname(&name) == 0 ? fmt::format("{} {} {}", name.sysname, name.release, name.machine)
                                 : unknown;
  m.governor = governor_of(used.empty() ? m.allowed : used);
  m.turbo = turbo_state();
  m.virtualisation = hypervisor();
  const std::string flags = cpuinfo("flags");
  m.tsc_invariant = has_word(flags, "constant_tsc") && has_word(flags, "nonstop_tsc");
  m.tsc_mhz = has_tsc ? 1e3 / clock.ns_per_tick() : 0.0;
  m.tsc_step_ns = tick_step_ns(clock);
  m.clocksource =
      or_unknown(first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
  m.load = load_average();
  return m;
}

Build describe_build() {
  Build build;
  build.compiler = SPILLWAY_BENCH_COMPILER;
  build.flags = SPILLWAY_BENCH_FLAGS;
  build.type = SPILLWAY_BENCH_TYPE;
  build.commit = SPILLWAY_BENCH_COMMIT;
#ifndef NDEBUG
  build.assertions = true;
#endif
  return build;
}

std::vector<std::string> warnings(const Machine& m, const Build& build) {
  std::vector<std::string> all;
  if (m.used.size() < 2) all.push_back("one core only: whatever else runs disturbs every figure");
  if (m.share_a_core)
    all.push_back(fmt::format(
        "cores {} and {} are threads of one physical core: they slow each other and share a cache",
        m.used[0], m.used[1]));
  if (m.virtualisation != "none" && m.virtualisation != unknown)
    all.push_back(
        fmt::format("virtual machine ({}): the hypervisor takes cores away for "
                    "microseconds to milliseconds; p99.9 and maxima are its doing",
                    m.virtualisation));
  if (m.governor == unknown) {
    all.push_back("frequency scaling unknown: the clock of the cores may vary with load");
  } else if (m.governor != "performance") {
    all.push_back(
        fmt::format("governor '{}': cores slow down when idle; set 'performance'", m.governor));
  }
  if (m.turbo == "on")
    all.push_back("turbo is on: the frequency depends on temperature and on other cores");
  if (m.tsc_mhz == 0.0) {
    all.push_back("no time-stamp counter: timed with the steady clock, whose floor is higher");
  } else if (!m.tsc_invariant) {
    all.push_back("the time-stamp counter is not invariant: it may vary with the frequency");
  }
  if (m.tsc_step_ns > 2.0)
    all.push_back(
        fmt::format("the time-stamp counter moves in steps of {:.0f} ns: single times are "
                    "as coarse; where there is a mean, trust that",
                    m.tsc_step_ns));
  if (m.load > 0.3)
    all.push_back(fmt::format(
        "load average {:.2f}: other programs ran within the minute before, and may still", m.load));
  if (m.cores > 1 && m.isolated.empty())
    all.push_back("no isolated cores (isolcpus): the kernel may run other work on those measured");
  if (build.assertions || build.type == "Debug")
    all.push_back("not an optimised build: use the preset 'release'");
  if (build.flags.find("-fsanitize") != std::string::npos)
    all.push_back("built with a sanitizer: the figures mean nothing");
  return all;
}

Disturbance::Disturbance() : stolen_s_(stolen_seconds()), preempted_(preemptions()) {}

std::vector<std::string> Disturbance::warnings(const TickClock& clock) const {
  std::vector<std::string> all;
  const double stolen = stolen_seconds() - stolen_s_;
  if (stolen > 0.0)
    all.push_back(fmt::format("the hypervisor took {:.2f} s of core time meanwhile", stolen));
  const std::int64_t preempted = preemptions() - preempted_;
  if (preempted > 0)
    all.push_back(fmt::format(
        "the kernel ran something else in place of a measuring thread {} times", preempted));
  const double now = TickClock::calibrated().ns_per_tick();
  const double drift = std::abs(now / clock.ns_per_tick() - 1.0);
  if (drift > 1e-3)
    all.push_back(
        fmt::format("the time-stamp counter ran {:.2f} % differently at the end: times in ns are "
                    "off by as much",
                    100.0 * drift));
  return all;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc)};
}

}  // namespace spillway::bench
