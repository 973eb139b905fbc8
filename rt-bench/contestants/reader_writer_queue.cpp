#include <readerwriterqueue/readerwriterqueue.h>

#include <vector>

#include "workloads.hpp"

namespace spillway::bench {

namespace {

// Has no bulk operations.
class ReaderWriter {
 public:
  explicit ReaderWriter(std::size_t capacity) : queue_(capacity) {}

  class Producer {
   public:
    explicit Producer(ReaderWriter& ends) : queue_(ends.queue_) {}
    bool push(double value) noexcept { return queue_.try_enqueue(value); }
    std::size_t push(std::span<const double> values) noexcept {
      std::size_t done = 0;
      while (done < values.size() && queue_.try_enqueue(values[done])) ++done;
      return done;
    }
    void flush() noexcept {}

   private:
    moodycamel::ReaderWriterQueue<double>& queue_;
  };

  class Consumer {
   public:
    Consumer(ReaderWriter& ends, std::size_t block) : queue_(ends.queue_), values_(block) {}
    Got read() noexcept {
      std::size_t count = 0;
      while (count < values_.size() && queue_.try_dequeue(values_[count])) ++count;
      return {std::span(values_).first(count), 0};
    }

   private:
    moodycamel::ReaderWriterQueue<double>& queue_;
    std::vector<double> values_;
  };

 private:
  moodycamel::ReaderWriterQueue<double> queue_;
};

}  // namespace

Contestant reader_writer_queue() {
  return contestant<ReaderWriter>("moodycamel ReaderWriterQueue");
}

}  // namespace spillway::bench
