#include "spillway/engine/signal_generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t block_frames = 1024;

// splitmix64: a counter in, 64 independent-looking bits out (Steele, Lea, Flood 2014).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

// Box and Muller's transform of two uniform numbers.
double normal(std::uint64_t key) {
  const auto uniform = [](std::uint64_t bits) {
    return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
  };
  const double a = uniform(mix(2 * key));
  const double b = uniform(mix(2 * key + 1));
  return std::sqrt(-2.0 * std::log(a)) * std::cos(2.0 * std::numbers::pi * b);
}

bool hits(const Fault& fault, std::uint64_t n) {
  if (n < fault.first) return false;
  const std::uint64_t since = n - fault.first;
  return (fault.every > 0 ? since % fault.every : since) < fault.count;
}

class Generator {
 public:
  explicit Generator(SignalGenerator spec) : spec_(std::move(spec)), rate_(spec_.rate) {}

  void run(SourceContext& context, Writer<double>& writer) {
    const std::uint64_t end = spec_.duration ? rate_.samples_within(*spec_.duration)
                                             : std::numeric_limits<std::uint64_t>::max();
    // In real time small blocks, so that samples are not held back; else large ones.
    const auto per_5ms = static_cast<std::uint64_t>(rate_.hertz().value / 200.0);
    const std::uint64_t room = std::min(block_frames, writer.info().largest_block.value);
    const std::uint64_t block =
        spec_.real_time ? std::clamp<std::uint64_t>(per_5ms, 1, room) : room;
    const auto start = std::chrono::steady_clock::now();
    writer.stamp({Time(0), 0});
    std::vector<double> values;
    std::vector<Quality> quality;
    for (std::uint64_t n = 0; n < end;) {
      const std::uint64_t stop = n + std::min(block, end - n);
      if (spec_.real_time ? !context.sleep_until(start + rate_.duration(stop))
                          : !context.wait_for_room(writer, {block}))
        return;
      while (n < stop) {
        if (lost(n)) {
          const std::uint64_t first = n;
          while (n < stop && lost(n)) ++n;
          writer.gap({n - first});
          continue;
        }
        values.clear();
        quality.clear();
        for (; n < stop && !lost(n); ++n) add_frame(n, values, quality);
        writer.push(values, quality);
      }
    }
  }

 private:
  [[nodiscard]] bool lost(std::uint64_t n) const {
    return std::ranges::any_of(
        spec_.faults, [&](const Fault& f) { return f.kind == Fault::Kind::lost && hits(f, n); });
  }

  [[nodiscard]] double clean(const GeneratedChannel& channel, std::size_t index,
                             std::uint64_t n) const {
    const double t = static_cast<double>(rate_.duration(n).count()) / 1e9;
    const double turns = t * channel.frequency.value;
    double shape = 0.0;
    switch (channel.shape) {
      case Shape::sine:
        shape = std::sin(2.0 * std::numbers::pi * (turns - std::floor(turns)));
        break;
      case Shape::square: shape = turns - std::floor(turns) < 0.5 ? 1.0 : -1.0; break;
      case Shape::noise: shape = normal(mix(spec_.seed + 2 * index) + n); break;
      case Shape::chirp: {
        const double sweep = static_cast<double>(channel.sweep.count()) / 1e9;
        const double within = std::fmod(t, sweep);
        const double slope = (channel.end_frequency.value - channel.frequency.value) / sweep;
        const double phase = within * (channel.frequency.value + 0.5 * slope * within);
        shape = std::sin(2.0 * std::numbers::pi * (phase - std::floor(phase)));
        break;
      }
    }
    double value = channel.offset + channel.amplitude * shape;
    if (channel.noise > 0.0) value += channel.noise * normal(mix(spec_.seed + 2 * index + 1) + n);
    return value;
  }

  void add_frame(std::uint64_t n, std::vector<double>& values,
                 std::vector<Quality>& quality) const {
    for (std::size_t c = 0; c < spec_.channels.size(); ++c) {
      const GeneratedChannel& channel = spec_.channels[c];
      const double limit = channel.limit.value_or(std::numeric_limits<double>::infinity());
      double value = clean(channel, c, n);
      Quality q;
      for (const Fault& fault : spec_.faults) {
        if (fault.kind == Fault::Kind::lost || fault.channel != c || !hits(fault, n)) continue;
        if (fault.kind == Fault::Kind::nan) {
          value = std::numeric_limits<double>::quiet_NaN();
          q = merge(q, Quality(Verdict::bad, Quality::missing));
        } else if (fault.kind == Fault::Kind::saturated) {
          value = channel.limit.value_or(channel.offset + channel.amplitude);
          q = merge(q, Quality(Verdict::suspect, Quality::out_of_range));
        } else {
          const std::uint64_t since = n - fault.first;
          value = clean(channel, c, n - (fault.every > 0 ? since % fault.every : since));
        }
      }
      if (std::abs(value) > limit) {
        value = std::copysign(limit, value);
        q = merge(q, Quality(Verdict::suspect, Quality::out_of_range));
      }
      values.push_back(value);
      quality.push_back(q);
    }
  }

  SignalGenerator spec_;
  Rate rate_;
};

void check(const SignalGenerator& g) {
  const auto fail = [&](const std::string& message) {
    throw Error(fmt::format("generator '{}': {}", g.name, message));
  };
  if (g.duration && g.duration->count() <= 0) fail("the duration must be positive");
  for (const GeneratedChannel& c : g.channels) {
    for (const double v :
         {c.amplitude, c.offset, c.noise, c.frequency.value, c.end_frequency.value})
      if (!std::isfinite(v)) fail(fmt::format("channel '{}': numbers must be finite", c.name));
    if (c.shape != Shape::noise && c.frequency.value >= g.rate.value / 2.0)
      fail(fmt::format("channel '{}': its frequency of {} Hz is not below half the rate, {} Hz",
                       c.name, c.frequency.value, g.rate.value / 2.0));
    if (c.shape == Shape::chirp &&
        (c.end_frequency.value < 0.0 || c.end_frequency.value >= g.rate.value / 2.0))
      fail(fmt::format(
          "channel '{}': the end frequency of {} Hz is not from 0 to below half the rate, {} Hz",
          c.name, c.end_frequency.value, g.rate.value / 2.0));
    if (c.frequency.value < 0.0 || c.noise < 0.0 || c.sweep.count() <= 0)
      fail(fmt::format(
          "channel '{}': frequency and noise must not be negative, the sweep must be positive",
          c.name));
    if (c.limit && !(*c.limit > 0.0))
      fail(fmt::format("channel '{}': the limit must be positive", c.name));
  }
  for (const Fault& f : g.faults) {
    if (f.kind != Fault::Kind::lost && f.channel >= g.channels.size())
      fail(fmt::format("a fault is for channel {}, there are {}", f.channel, g.channels.size()));
    if (f.count == 0 || (f.every > 0 && f.every <= f.count))
      fail("a fault needs a length, and to come again only after it");
  }
}

}  // namespace

void add_source(Engine& engine, SignalGenerator generator) {
  check(generator);
  StreamInfo info;
  info.name = generator.name;
  info.rate = Rate(generator.rate);
  info.capacity = generator.capacity;
  if (capacity_in_samples(info).value < 16384) info.capacity = SampleCount{16384};
  for (const GeneratedChannel& c : generator.channels) {
    ChannelInfo channel;
    channel.name = c.name;
    channel.unit = c.unit;
    if (c.limit) channel.range = {-*c.limit, *c.limit};
    info.channels.push_back(std::move(channel));
  }
  Stream& stream = engine.add_stream(std::move(info));
  const SourceOptions options{generator.name, {generator.name}, !generator.real_time};
  auto writer = std::make_shared<Writer<double>>(stream);
  auto run = std::make_shared<Generator>(std::move(generator));
  engine.add_source(options, [writer, run](SourceContext& context) { run->run(context, *writer); });
}

}  // namespace spillway
