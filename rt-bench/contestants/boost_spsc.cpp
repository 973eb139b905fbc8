#include <boost/lockfree/spsc_queue.hpp>
#include <memory>
#include <vector>

#include "workloads.hpp"

namespace spillway::bench {

namespace {

template <class Queue>
class BoostEnds {
 public:
  class Producer {
   public:
    explicit Producer(BoostEnds& ends) : queue_(*ends.queue_) {}
    bool push(double value) noexcept { return queue_.push(value); }
    std::size_t push(std::span<const double> values) noexcept {
      return queue_.push(values.data(), values.size());
    }
    void flush() noexcept {}

   private:
    Queue& queue_;
  };

  class Consumer {
   public:
    Consumer(BoostEnds& ends, std::size_t block) : queue_(*ends.queue_), values_(block) {}
    Got read() noexcept {
      return {std::span(values_).first(queue_.pop(values_.data(), values_.size())), 0};
    }

   private:
    Queue& queue_;
    std::vector<double> values_;
  };

 protected:
  explicit BoostEnds(std::unique_ptr<Queue> queue) : queue_(std::move(queue)) {}

 private:
  std::unique_ptr<Queue> queue_;
};

using Sized = boost::lockfree::spsc_queue<double>;
using Fixed = boost::lockfree::spsc_queue<double, boost::lockfree::capacity<queue_capacity>>;

struct BoostSized : BoostEnds<Sized> {
  explicit BoostSized(std::size_t capacity) : BoostEnds(std::make_unique<Sized>(capacity)) {}
};

struct BoostFixed : BoostEnds<Fixed> {
  explicit BoostFixed(std::size_t) : BoostEnds(std::make_unique<Fixed>()) {}
};

}  // namespace

Contestant boost_fixed() { return contestant<BoostFixed>(reference_contestant); }
Contestant boost_sized() { return contestant<BoostSized>("Boost spsc_queue, run-time size"); }

}  // namespace spillway::bench
