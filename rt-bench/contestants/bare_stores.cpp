#include <atomic>
#include <memory>

#include "workloads.hpp"

namespace spillway::bench {

namespace {

// No queue: a store of the sample and a store of the head, which is the least that takes a
// sample to another core. Nothing is checked, so the producer must not get ahead.
class BareStores {
 public:
  explicit BareStores(std::size_t capacity)
      : mask_(capacity - 1), values_(std::make_unique<std::atomic<double>[]>(capacity)) {}

  class Producer {
   public:
    explicit Producer(BareStores& to) : to_(to) {}
    bool push(double value) noexcept {
      to_.values_[next_ & to_.mask_].store(value, std::memory_order_relaxed);
      to_.head_.store(++next_, std::memory_order_release);
      return true;
    }
    std::size_t push(std::span<const double> values) noexcept {
      for (const double value : values) push(value);
      return values.size();
    }
    void flush() noexcept {}

   private:
    BareStores& to_;
    std::uint64_t next_ = 0;
  };

  class Consumer {
   public:
    Consumer(BareStores& from, std::size_t block) : from_(from), values_(block) {}
    Got read() noexcept {
      const std::uint64_t head = from_.head_.load(std::memory_order_acquire);
      std::size_t count = 0;
      while (next_ < head && count < values_.size())
        values_[count++] = from_.values_[next_++ & from_.mask_].load(std::memory_order_relaxed);
      return {std::span(values_).first(count), 0};
    }

   private:
    BareStores& from_;
    std::uint64_t next_ = 0;
    std::vector<double> values_;
  };

 private:
  alignas(128) std::atomic<std::uint64_t> head_{0};
  alignas(128) std::size_t mask_;
  std::unique_ptr<std::atomic<double>[]> values_;
};

}  // namespace

Contestant bare_stores() {
  Contestant some{"bare stores, nothing checked"};
  const Contestant all = contestant<BareStores>(some.name);
  // Only where the consumer keeps up by itself.
  some.paced = all.paced;
  some.burst_polled = all.burst_polled;
  some.burst_paused = all.burst_paused;
  some.round_trip = all.round_trip;
  return some;
}

}  // namespace spillway::bench
