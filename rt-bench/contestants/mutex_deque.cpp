#include <algorithm>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "workloads.hpp"

namespace spillway::bench {

namespace {

// What most programs begin with: a lock around a deque that drops its oldest when full.
class MutexDeque {
 public:
  explicit MutexDeque(std::size_t capacity) : capacity_(capacity) {}

  class Producer {
   public:
    explicit Producer(MutexDeque& ends) : ends_(ends) {}
    bool push(double value) {
      const std::scoped_lock lock(ends_.mutex_);
      ends_.put(value);
      return true;
    }
    std::size_t push(std::span<const double> values) {
      const std::scoped_lock lock(ends_.mutex_);
      for (const double value : values) ends_.put(value);
      return values.size();
    }
    void flush() noexcept {}

   private:
    MutexDeque& ends_;
  };

  class Consumer {
   public:
    Consumer(MutexDeque& ends, std::size_t block) : ends_(ends), values_(block) {}
    Got read() {
      const std::scoped_lock lock(ends_.mutex_);
      const std::size_t count = std::min(values_.size(), ends_.values_.size());
      const auto end = ends_.values_.begin() + static_cast<std::ptrdiff_t>(count);
      std::copy(ends_.values_.begin(), end, values_.begin());
      ends_.values_.erase(ends_.values_.begin(), end);
      return {std::span(values_).first(count), std::exchange(ends_.dropped_, 0)};
    }

   private:
    MutexDeque& ends_;
    std::vector<double> values_;
  };

 private:
  void put(double value) {
    if (values_.size() == capacity_) {
      values_.pop_front();
      ++dropped_;
    }
    values_.push_back(value);
  }

  std::size_t capacity_;
  std::mutex mutex_;
  std::deque<double> values_;
  std::uint64_t dropped_ = 0;  // since the consumer was last told
};

}  // namespace

Contestant mutex_deque() { return contestant<MutexDeque>("std::mutex + std::deque"); }

}  // namespace spillway::bench
