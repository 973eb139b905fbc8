// Runs what is measured on threads of their own, each on its core.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>

#include "../cores.hpp"
#include "../tsc.hpp"

namespace spillway::bench {

// Where two threads wait for each other before they begin.
class Start {
 public:
  // Spins until both are here. Throws if the other one failed before it came.
  void wait() {
    here_.fetch_add(1, std::memory_order_acq_rel);
    while (here_.load(std::memory_order_acquire) < 2) {
      if (failed_.load(std::memory_order_acquire)) throw OtherFailed{};
      std::this_thread::yield();
    }
  }
  // Whether the producer has ended; what it wrote before is visible then.
  [[nodiscard]] bool producer_done() const noexcept {
    return producer_done_.load(std::memory_order_acquire);
  }

  // The consumer tells how far it is; the producer, between two measurements, waits until
  // that is everything, so that it never times a consumer that the kernel has put aside.
  void reached(std::uint64_t samples) noexcept {
    reached_.store(samples, std::memory_order_release);
  }
  void wait_for_consumer(std::uint64_t samples) const noexcept {
    while (reached_.load(std::memory_order_acquire) < samples) relax();
  }

  struct OtherFailed {};
  void fail() noexcept { failed_.store(true, std::memory_order_release); }
  void end_producer() noexcept { producer_done_.store(true, std::memory_order_release); }

 private:
  std::atomic<int> here_{0};
  std::atomic<bool> failed_{false};
  // A line of its own: consumers look at it all the time.
  alignas(64) std::atomic<bool> producer_done_{false};
  alignas(64) std::atomic<std::uint64_t> reached_{0};
};

// Runs `work` on a thread of its own, pinned to `core`, and waits for it; rethrows what it throws.
template <class Work>
void on_core(int core, Work work) {
  std::exception_ptr error;
  std::thread([&] {
    try {
      pin_this_thread(core);
      work();
    } catch (...) {
      error = std::current_exception();
    }
  }).join();
  if (error) std::rethrow_exception(error);
}

// Both at once, each on its core. They must call start.wait() once everything is made that
// can throw. Rethrows what either throws.
template <class Produce, class Consume>
void two_threads(int producer_core, Produce produce, int consumer_core, Consume consume) {
  Start start;
  std::exception_ptr error;
  std::exception_ptr other;
  const auto guarded = [&](std::exception_ptr& to, const auto& work) {
    try {
      work();
    } catch (const Start::OtherFailed&) {
      // The other one tells why.
    } catch (...) {
      to = std::current_exception();
      start.fail();
    }
  };
  std::thread consumer([&] {
    guarded(other, [&] {
      pin_this_thread(consumer_core);
      consume(start);
    });
  });
  std::thread producer([&] {
    guarded(error, [&] {
      pin_this_thread(producer_core);
      produce(start);
    });
    start.end_producer();
  });
  producer.join();
  consumer.join();
  if (error) std::rethrow_exception(error);
  if (other) std::rethrow_exception(other);
}

}  // namespace spillway::bench
