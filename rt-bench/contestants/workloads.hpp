// The measuring loops, the same for every contestant; compiled once for each, together with
// it alone, so that its library is as well inlined as in its user's program.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <span>
#include <vector>

#include "../tsc.hpp"
#include "adapter.hpp"
#include "contestant.hpp"
#include "two_threads.hpp"

namespace spillway::bench {

// --- what is pushed, and whether that is what arrives ---

// Sample n of the single-push workloads is n; the consumer looks at every one.
class Sequence {
 public:
  void take(const Got& got) noexcept {
    lost_ += got.lost;
    next_ += got.lost;
    for (const double value : got.values) wrong_ += value != static_cast<double>(next_++);
    delivered_ += got.values.size();
  }
  [[nodiscard]] std::uint64_t seen() const noexcept { return delivered_ + lost_; }
  [[nodiscard]] std::uint64_t delivered() const noexcept { return delivered_; }
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }
  [[nodiscard]] std::uint64_t wrong() const noexcept { return wrong_; }

 private:
  std::int64_t next_ = 0;  // signed: converts in one instruction
  std::uint64_t delivered_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t wrong_ = 0;
};

inline constexpr std::size_t block_samples = 1024;

// Sample n of the block workload is n mod 3072: three blocks, made beforehand, pushed in
// turn. No ring has a multiple of 3072 slots, so what stood in a slot one lap before is
// another number. The consumer compares every sample.
class BlockPattern {
 public:
  BlockPattern() {
    for (std::size_t i = 0; i < values_.size(); ++i) values_[i] = static_cast<double>(i);
  }
  [[nodiscard]] std::span<const double> block(std::uint64_t number) const noexcept {
    return std::span(values_).subspan(number % blocks * block_samples, block_samples);
  }
  // Whether `got` are the samples from number `first` on.
  [[nodiscard]] bool matches(std::uint64_t first, std::span<const double> got) const noexcept {
    while (!got.empty()) {
      const std::size_t at = first % values_.size();
      const std::size_t count = std::min(got.size(), values_.size() - at);
      if (std::memcmp(got.data(), values_.data() + at, count * sizeof(double)) != 0) return false;
      got = got.subspan(count);
      first += count;
    }
    return true;
  }

 private:
  static constexpr std::size_t blocks = 3;
  std::array<double, blocks * block_samples> values_;
};

inline void add_counts(Row& row, std::uint64_t pushed, const Sequence& seen) {
  row.count("pushed", pushed);
  row.count("delivered", seen.delivered());
  row.count("lost", seen.lost());
  row.count("wrong", seen.wrong());
}

// --- how a consumer waits ---

enum class Polling { always, pausing };
// Long enough for a burst to go by undisturbed, short enough for any display or controller.
inline constexpr double pause_ns = 750.0;
inline constexpr std::size_t consumer_block = 4096;

// Reads until `done(sequence)`; when pausing, after every read that did not fill its block.
template <Polling polling, class Consumer, class Done>
Sequence consume(Consumer& consumer, Start& start, Ticks pause, Done done) {
  Sequence sequence;
  while (!done(sequence)) {
    const Got got = consumer.read();
    if (!got.values.empty() || got.lost > 0) {
      sequence.take(got);
      start.reached(sequence.seen());
    }
    if constexpr (polling == Polling::pausing)
      if (got.values.size() < consumer_block) spin_for(pause);
  }
  return sequence;
}

// Of all but the slowest hundredth. Where the clock moves in coarse steps it tells more than
// quantiles, which are steps too.
inline double trimmed_mean(std::vector<Ticks> taken) {
  const std::size_t kept = std::max<std::size_t>(taken.size() * 99 / 100, 1);
  std::nth_element(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(kept) - 1,
                   taken.end());
  double sum = 0.0;
  for (std::size_t i = 0; i < kept; ++i) sum += static_cast<double>(taken[i]);
  return sum / static_cast<double>(kept);
}

// Gaps that no loop of the machine can be in step with.
class RandomGap {
 public:
  RandomGap(const TickClock& clock, double low_ns, double high_ns)
      : low_(clock.ticks_in(low_ns)), span_(clock.ticks_in(high_ns) - low_ + 1) {}
  void spin() noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    spin_for(low_ + state_ % span_);
  }

 private:
  std::uint64_t state_ = 0x9E37'79B9'7F4A'7C15;
  Ticks low_;
  Ticks span_;
};

// --- the workloads ---

template <Adapter Q>
void single_idle(const RingRun& run, Row& row) {
  const std::uint64_t lap = std::min<std::uint64_t>(run.samples, queue_capacity / 2);
  const std::uint64_t laps = std::max<std::uint64_t>(run.samples / lap, 1);
  Sequence sequence;
  Histogram times;
  std::uint64_t refused = 0;
  on_core(run.producer_core, [&] {
    Q queue(queue_capacity);
    typename Q::Producer producer(queue);
    typename Q::Consumer consumer(queue, consumer_block);
    const auto drain = [&] {
      for (Got got = consumer.read(); !got.values.empty() || got.lost > 0; got = consumer.read())
        sequence.take(got);
    };
    for (std::uint64_t l = 0; l < laps; ++l) {
      const auto first = static_cast<std::int64_t>(l * lap);
      const auto end = static_cast<std::int64_t>((l + 1) * lap);
      std::uint64_t accepted = 0;
      const Ticks before = ticks_before();
      for (std::int64_t i = first; i < end; ++i) accepted += producer.push(static_cast<double>(i));
      const Ticks after = ticks_after();
      producer.flush();
      times.record(run.clock.ns(after - before) / static_cast<double>(lap));
      refused += lap - accepted;
      drain();
    }
  });
  row.record_times(times, "ns");
  add_counts(row, laps * lap - refused, sequence);
  row.count("refused", refused);
}

template <Adapter Q>
void single_paced(const RingRun& run, Row& row) {
  const std::size_t calls = std::max<std::size_t>(run.samples / 64, 1);
  std::vector<Ticks> taken(calls);
  Q queue(queue_capacity);
  Sequence sequence;
  std::uint64_t accepted = 0;
  two_threads(
      run.producer_core,
      [&](Start& start) {
        typename Q::Producer producer(queue);
        RandomGap gap(run.clock, 1000.0, 2000.0);
        start.wait();
        for (Ticks& t : taken) {
          gap.spin();
          start.wait_for_consumer(accepted);
          const auto value = static_cast<double>(accepted);
          const Ticks before = ticks_before();
          const bool good = producer.push(value);
          const Ticks after = ticks_after();
          t = after - before;
          accepted += good;
        }
        producer.flush();
      },
      run.consumer_core,
      [&](Start& start) {
        typename Q::Consumer consumer(queue, consumer_block);
        start.wait();
        sequence = consume<Polling::always>(consumer, start, 0, [&](const Sequence& s) {
          return start.producer_done() && s.seen() == accepted;
        });
      });
  Histogram times;
  for (const Ticks t : taken) times.record(run.clock.ns(t));
  row.record_times(times, "ns");
  row.record("mean99", "ns", Better::less, run.clock.ns(1) * trimmed_mean(taken));
  add_counts(row, accepted, sequence);
  row.count("refused", calls - accepted);
}

template <Adapter Q, Polling polling>
void burst(const RingRun& run, Row& row) {
  constexpr std::int64_t pushes = 64;
  const std::size_t bursts = std::max<std::size_t>(run.samples / 256, 1);
  std::vector<Ticks> taken(bursts);
  Q queue(queue_capacity);
  Sequence sequence;
  std::uint64_t accepted = 0;
  two_threads(
      run.producer_core,
      [&](Start& start) {
        typename Q::Producer producer(queue);
        RandomGap gap(run.clock, 2000.0, 4000.0);
        start.wait();
        for (Ticks& t : taken) {
          gap.spin();
          start.wait_for_consumer(accepted);
          auto value = static_cast<std::int64_t>(accepted);
          const std::int64_t end = value + pushes;
          const Ticks before = ticks_before();
          while (value < end && producer.push(static_cast<double>(value))) ++value;
          producer.flush();
          const Ticks after = ticks_after();
          t = after - before;
          accepted = static_cast<std::uint64_t>(value);
        }
      },
      run.consumer_core,
      [&](Start& start) {
        typename Q::Consumer consumer(queue, consumer_block);
        start.wait();
        sequence = consume<polling>(
            consumer, start, run.clock.ticks_in(pause_ns),
            [&](const Sequence& s) { return start.producer_done() && s.seen() == accepted; });
      });
  Histogram times;
  for (const Ticks t : taken) times.record(run.clock.ns(t) / static_cast<double>(pushes));
  row.record_times(times, "ns");
  add_counts(row, accepted, sequence);
  row.count("refused", bursts * static_cast<std::uint64_t>(pushes) - accepted);
}

// Nobody reads; afterwards what is left is looked at.
template <Adapter Q>
void stalled(const RingRun& run, Row& row) {
  constexpr std::uint64_t group = 64;
  const std::uint64_t groups = std::max<std::uint64_t>(run.samples / 512, 1);
  // More than any ring here has slots: full, and lapped, before anything is timed.
  const std::uint64_t filling = 4 * queue_capacity;
  std::uint64_t accepted = 0;
  std::uint64_t delivered = 0;
  std::uint64_t overwritten = 0;
  std::uint64_t wrong = 0;
  double newest = 0.0;
  Histogram times;
  on_core(run.producer_core, [&] {
    Q queue(queue_capacity);
    typename Q::Producer producer(queue);
    typename Q::Consumer consumer(queue, consumer_block);
    std::int64_t value = 0;
    for (std::uint64_t i = 0; i < filling; ++i)
      accepted += producer.push(static_cast<double>(value++));
    for (std::uint64_t g = 0; g < groups; ++g) {
      const Ticks before = ticks_before();
      for (std::uint64_t i = 0; i < group; ++i)
        accepted += producer.push(static_cast<double>(value++));
      const Ticks after = ticks_after();
      times.record(run.clock.ns(after - before) / static_cast<double>(group));
    }
    producer.flush();
    bool first = true;
    for (Got got = consumer.read(); !got.values.empty() || got.lost > 0; got = consumer.read()) {
      overwritten += got.lost;
      delivered += got.values.size();
      for (const double v : got.values) {
        wrong += !first && v != newest + 1.0;
        newest = v;
        first = false;
      }
    }
  });
  const std::uint64_t pushed = filling + groups * group;
  row.record_times(times, "ns");
  row.count("pushed", pushed);
  row.count("delivered", delivered);
  row.count("lost", overwritten + (pushed - accepted));
  row.count("wrong", wrong);
  row.count("refused", pushed - accepted);
  row.count("overwritten", overwritten);
  // How old the newest sample is that can still be had, in samples.
  row.count("newest lost", pushed - 1 - static_cast<std::uint64_t>(newest));
}

template <Adapter Q, Polling polling>
void sustained(const RingRun& run, Row& row) {
  using Clock = std::chrono::steady_clock;
  const std::uint64_t samples = run.samples;
  Q queue(queue_capacity);
  Sequence sequence;
  std::uint64_t retries = 0;
  Clock::time_point begin;
  Clock::time_point pushed;
  Clock::time_point delivered;
  two_threads(
      run.producer_core,
      [&](Start& start) {
        typename Q::Producer producer(queue);
        start.wait();
        begin = Clock::now();
        for (std::int64_t i = 0; i < static_cast<std::int64_t>(samples); ++i)
          while (!producer.push(static_cast<double>(i))) {
            ++retries;
            relax();
          }
        producer.flush();
        pushed = Clock::now();
      },
      run.consumer_core,
      [&](Start& start) {
        typename Q::Consumer consumer(queue, consumer_block);
        start.wait();
        sequence = consume<polling>(consumer, start, run.clock.ticks_in(pause_ns),
                                    [&](const Sequence& s) { return s.seen() == samples; });
        delivered = Clock::now();
      });
  const auto rate = [&](std::uint64_t count, Clock::time_point end) {
    return static_cast<double>(count) / std::chrono::duration<double>(end - begin).count() / 1e6;
  };
  row.record("pushed", "M/s", Better::more, rate(samples, pushed));
  row.record("delivered", "M/s", Better::more, rate(sequence.delivered(), delivered));
  add_counts(row, samples, sequence);
  row.count("retries", retries);
}

template <Adapter Q>
void blocks(const RingRun& run, Row& row) {
  using Clock = std::chrono::steady_clock;
  const std::uint64_t count = std::max<std::uint64_t>(8 * run.samples / block_samples, 1);
  const std::uint64_t samples = count * block_samples;
  const BlockPattern pattern;
  Q queue(queue_capacity);
  std::uint64_t delivered_samples = 0;
  std::uint64_t lost = 0;
  std::uint64_t wrong = 0;
  std::uint64_t retries = 0;
  Clock::time_point begin;
  Clock::time_point pushed;
  Clock::time_point delivered;
  two_threads(
      run.producer_core,
      [&](Start& start) {
        typename Q::Producer producer(queue);
        start.wait();
        begin = Clock::now();
        for (std::uint64_t b = 0; b < count; ++b) {
          std::span<const double> rest = pattern.block(b);
          while (!rest.empty()) {
            const std::size_t taken = producer.push(rest);
            rest = rest.subspan(taken);
            if (rest.empty()) break;
            ++retries;
            relax();
          }
        }
        producer.flush();
        pushed = Clock::now();
      },
      run.consumer_core,
      [&](Start& start) {
        typename Q::Consumer consumer(queue, block_samples);
        start.wait();
        for (std::uint64_t next = 0; next < samples;) {
          const Got got = consumer.read();
          lost += got.lost;
          next += got.lost;
          if (!pattern.matches(next, got.values)) wrong += got.values.size();
          next += got.values.size();
          delivered_samples += got.values.size();
        }
        delivered = Clock::now();
      });
  const auto rate = [&](std::uint64_t n, Clock::time_point end) {
    return static_cast<double>(n) / std::chrono::duration<double>(end - begin).count() / 1e9;
  };
  row.record("pushed", "G/s", Better::more, rate(samples, pushed));
  row.record("delivered", "G/s", Better::more, rate(delivered_samples - wrong, delivered));
  row.count("pushed", samples);
  row.count("delivered", delivered_samples);
  row.count("lost", lost);
  row.count("wrong", wrong);
  row.count("retries", retries);
}

// There and back through two of them.
template <Adapter Q>
void round_trip(const RingRun& run, Row& row) {
  const std::size_t trips = std::max<std::size_t>(run.samples / 64, 1);
  std::vector<Ticks> taken(trips);
  Q there(queue_capacity);
  Q back(queue_capacity);
  std::uint64_t wrong = 0;
  std::uint64_t wrong_there = 0;
  const auto receive = [](typename Q::Consumer& consumer) {
    for (;;) {
      const Got got = consumer.read();
      if (!got.values.empty()) return got.values[0];
    }
  };
  two_threads(
      run.producer_core,
      [&](Start& start) {
        typename Q::Producer producer(there);
        typename Q::Consumer consumer(back, 1);
        start.wait();
        for (std::size_t i = 0; i < trips; ++i) {
          const auto value = static_cast<double>(i);
          const Ticks before = ticks_before();
          producer.push(value);
          producer.flush();
          const double answer = receive(consumer);
          const Ticks after = ticks_after();
          taken[i] = after - before;
          wrong += answer != value;
        }
      },
      run.consumer_core,
      [&](Start& start) {
        typename Q::Producer producer(back);
        typename Q::Consumer consumer(there, 1);
        start.wait();
        for (std::size_t i = 0; i < trips; ++i) {
          const double value = receive(consumer);
          producer.push(value);
          producer.flush();
          wrong_there += value != static_cast<double>(i);
        }
      });
  Histogram times;
  for (const Ticks t : taken) times.record(run.clock.ns(t));
  row.record_times(times, "ns");
  row.count("pushed", trips);
  row.count("delivered", trips);
  row.count("lost", 0);
  row.count("wrong", wrong + wrong_there);
}

template <Adapter Q>
Contestant contestant(std::string name) {
  return {std::move(name),
          single_idle<Q>,
          single_paced<Q>,
          burst<Q, Polling::always>,
          burst<Q, Polling::pausing>,
          stalled<Q>,
          sustained<Q, Polling::always>,
          sustained<Q, Polling::pausing>,
          blocks<Q>,
          round_trip<Q>};
}

}  // namespace spillway::bench
