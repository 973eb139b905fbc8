#include "spillway/engine/machine_source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <memory>
#include <numeric>
#include <sstream>
#include <string_view>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Clock = std::chrono::steady_clock;

Rate rate_of(std::chrono::nanoseconds period, const std::string& name) {
  if (period < std::chrono::microseconds(10) || period > std::chrono::hours(1))
    throw Error(fmt::format("source '{}': a period of {} ns; allowed are 10 us to 1 h", name,
                            period.count()));
  const std::int64_t divisor = std::gcd(period.count(), std::int64_t{1'000'000'000});
  return {1'000'000'000 / divisor, period.count() / divisor};
}

using Seconds = std::chrono::time_point<std::chrono::system_clock, std::chrono::seconds>;

// Calls take(due) at every multiple of the period from the start on, tells the writer about
// multiples that passed while it was late. Times count from `origin`.
template <class T, class Take>
void run_periodically(SourceContext& context, Writer<T>& writer, std::chrono::nanoseconds period,
                      const std::optional<Time>& duration, Seconds origin, Take take) {
  // Wall clocks step, so that one is read once, for sample 0.
  const auto wall = std::chrono::system_clock::now();
  const auto start = Clock::now() + period;
  const std::uint64_t end = duration ? static_cast<std::uint64_t>(*duration / period)
                                     : std::numeric_limits<std::uint64_t>::max();
  writer.stamp({wall - origin + period, 0});
  for (std::uint64_t n = 0; n < end;) {
    const auto due = start + static_cast<std::int64_t>(n) * period;
    if (!context.sleep_until(due)) return;
    take(due);
    ++n;
    const auto late = Clock::now() - due;
    const std::uint64_t passed =
        std::min<std::uint64_t>(static_cast<std::uint64_t>(late / period), end - n);
    writer.gap({passed});
    n += passed;
  }
}

struct ProcReading {
  double busy = 0.0;   // jiffies, all processors
  double total = 0.0;  // jiffies
  double switches = 0.0;
  double available_mib = 0.0;
};

ProcReading read_proc() {
  ProcReading reading;
  std::ifstream stat("/proc/stat");
  std::string line;
  while (std::getline(stat, line)) {
    std::istringstream words(line);
    std::string key;
    words >> key;
    if (key == "cpu") {
      // user nice system idle iowait irq softirq steal (proc(5))
      double value = 0.0;
      for (int column = 0; column < 8 && words >> value; ++column) {
        reading.total += value;
        if (column != 3 && column != 4) reading.busy += value;
      }
    } else if (key == "ctxt") {
      words >> reading.switches;
    }
  }
  std::ifstream memory("/proc/meminfo");
  while (std::getline(memory, line))
    if (line.starts_with("MemAvailable:"))
      reading.available_mib = std::stod(line.substr(13)) / 1024.0;
  if (reading.total == 0.0)
    throw Error("/proc/stat can't be read: the load of this machine is not to be had");
  return reading;
}

ChannelInfo channel(std::string name, std::string unit, std::string description) {
  ChannelInfo info;
  info.name = std::move(name);
  info.unit = std::move(unit);
  info.description = std::move(description);
  return info;
}

std::string utc_text(Seconds time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

StreamInfo stream_info(const std::string& name, std::chrono::nanoseconds period,
                       const std::optional<Time>& duration, Seconds origin) {
  if (duration && *duration < period)
    throw Error(fmt::format("source '{}': a duration of {} ns is shorter than the period", name,
                            duration->count()));
  StreamInfo info;
  info.name = name;
  info.rate = rate_of(period, name);
  info.capacity = SampleCount{16384};
  // Whole seconds, which every reader of `units` takes; the time of sample 0 has the rest.
  info.origin = {Origin::Kind::utc, utc_text(origin)};
  return info;
}

Seconds whole_second() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

void add_source(Engine& engine, TimingJitter jitter) {
  const Seconds origin = whole_second();
  StreamInfo info = stream_info(jitter.name, jitter.period, jitter.duration, origin);
  ChannelInfo lateness = channel("lateness", "us", "how late this machine woke a sleeping thread");
  lateness.type = SampleType::int32;
  lateness.calibration = Linear{1e-3, 0.0};
  lateness.calibration.unit_in = "ns";
  lateness.calibration.unit_out = "us";
  info.channels = {std::move(lateness)};
  auto writer = std::make_shared<Writer<std::int32_t>>(engine.add_stream(std::move(info)));
  engine.add_source(
      {jitter.name, {jitter.name}, false}, [writer, jitter, origin](SourceContext& context) {
        run_periodically(
            context, *writer, jitter.period, jitter.duration, origin, [&](Clock::time_point due) {
              const std::int64_t late = std::chrono::nanoseconds(Clock::now() - due).count();
              constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
              writer->push(
                  static_cast<std::int32_t>(std::min(late, most)),
                  late > most ? Quality(Verdict::suspect, Quality::out_of_range) : Quality::good());
            });
      });
}

void add_source(Engine& engine, MachineLoad load) {
  const Seconds origin = whole_second();
  StreamInfo info = stream_info(load.name, load.period, load.duration, origin);
  info.channels = {channel("cpu_busy", "percent", "busy share of all processors"),
                   channel("memory_available", "MiB", "memory the kernel could hand out"),
                   channel("context_switches", "s-1", "context switches of all processors")};
  (void)read_proc();
  auto writer = std::make_shared<Writer<double>>(engine.add_stream(std::move(info)));
  engine.add_source({load.name, {load.name}, false}, [writer, load,
                                                      origin](SourceContext& context) {
    ProcReading last = read_proc();
    auto last_time = Clock::now();
    run_periodically(context, *writer, load.period, load.duration, origin, [&](Clock::time_point) {
      const ProcReading now = read_proc();
      const auto time = Clock::now();
      const double seconds = std::chrono::duration<double>(time - last_time).count();
      const double jiffies = now.total - last.total;
      const std::array<double, 3> frame{
          jiffies > 0.0 ? 100.0 * (now.busy - last.busy) / jiffies : 0.0, now.available_mib,
          (now.switches - last.switches) / seconds};
      writer->push(std::span<const double>(frame));
      last = now;
      last_time = time;
    });
  });
}

}  // namespace spillway
