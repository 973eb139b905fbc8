#include <concurrentqueue/concurrentqueue.h>

#include <bit>
#include <vector>

#include "workloads.hpp"

namespace spillway::bench {

namespace {

struct Traits : moodycamel::ConcurrentQueueDefaultTraits {
  // A producer's index of blocks, which try_enqueue does not let grow either: with the
  // default of 32 blocks it refuses after 1024 samples, whatever the capacity.
  static constexpr std::size_t EXPLICIT_INITIAL_INDEX_SIZE =
      std::bit_ceil(queue_capacity / BLOCK_SIZE + 2);
};
using Queue = moodycamel::ConcurrentQueue<double, Traits>;

class Concurrent {
 public:
  explicit Concurrent(std::size_t capacity) : queue_(capacity) {}

  class Producer {
   public:
    explicit Producer(Concurrent& ends) : queue_(ends.queue_), token_(ends.queue_) {}
    bool push(double value) noexcept { return queue_.try_enqueue(token_, value); }
    std::size_t push(std::span<const double> values) noexcept {
      // All or none of them.
      return queue_.try_enqueue_bulk(token_, values.data(), values.size()) ? values.size() : 0;
    }
    void flush() noexcept {}

   private:
    Queue& queue_;
    moodycamel::ProducerToken token_;
  };

  class Consumer {
   public:
    Consumer(Concurrent& ends, std::size_t block)
        : queue_(ends.queue_), token_(ends.queue_), values_(block) {}
    Got read() noexcept {
      return {
          std::span(values_).first(queue_.try_dequeue_bulk(token_, values_.data(), values_.size())),
          0};
    }

   private:
    Queue& queue_;
    moodycamel::ConsumerToken token_;
    std::vector<double> values_;
  };

 private:
  Queue queue_;
};

}  // namespace

Contestant concurrent_queue() {
  return contestant<Concurrent>("moodycamel ConcurrentQueue, tokens");
}

}  // namespace spillway::bench
