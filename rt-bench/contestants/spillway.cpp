#include "spillway/channels/reader.hpp"
#include "spillway/channels/writer.hpp"
#include "workloads.hpp"

namespace spillway::bench {

namespace {

StreamInfo ring_info(std::size_t capacity) {
  StreamInfo info;
  info.name = "bench";
  info.rate = Rate(1_MHz);
  info.capacity = SampleCount{capacity};
  ChannelInfo channel;
  channel.name = "x";
  channel.unit = "1";
  info.channels = {channel};
  return info;
}

// Samples with their quality, published after every `Batch` single pushes; 1 is the default.
template <std::uint64_t Batch>
class SpillwayRing {
 public:
  explicit SpillwayRing(std::size_t capacity) : stream_(ring_info(capacity)) {}

  class Producer {
   public:
    explicit Producer(SpillwayRing& ring) : writer_(ring.stream_) {
      writer_.batch(SampleCount{Batch});
    }
    bool push(double value) noexcept {
      writer_.push(value);
      return true;
    }
    std::size_t push(std::span<const double> values) noexcept {
      writer_.push(values);
      return values.size();
    }
    void flush() noexcept { writer_.flush(); }

   private:
    Writer<double> writer_;
  };

  class Consumer {
   public:
    Consumer(SpillwayRing& ring, std::size_t block) : reader_(ring.stream_, block) {}
    Got read() noexcept {
      // One load of the head, where the other indices need not be looked at.
      if (reader_.pending().value == 0) return {};
      const auto samples = reader_.read();
      return {samples.values, samples.lost.value};
    }

   private:
    Reader<double> reader_;
  };

 private:
  Stream stream_;
};

}  // namespace

Contestant spillway_ring() { return contestant<SpillwayRing<1>>("Spillway"); }

Contestant spillway_ring_batched() {
  Contestant none{"Spillway, batch(16)"};
  const Contestant all = contestant<SpillwayRing<16>>(none.name);
  // In blocks, and where every push is flushed, it is what the other one is.
  none.idle = all.idle;
  none.burst_polled = all.burst_polled;
  none.burst_paused = all.burst_paused;
  none.stalled = all.stalled;
  none.sustained_polled = all.sustained_polled;
  none.sustained_paused = all.sustained_paused;
  return none;
}

}  // namespace spillway::bench
