// What one push costs, beside the queues people know, interleaved in one run.
#include <fmt/format.h>

#include <concurrentqueue/concurrentqueue.h>
#include <algorithm>
#include <boost/lockfree/spsc_queue.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "spillway/channels/reader.hpp"
#include "spillway/channels/writer.hpp"

namespace {

using namespace spillway;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t room = 1 << 16;
constexpr std::uint64_t samples = 1 << 22;
constexpr std::size_t block = 1024;
constexpr int rounds = 15;

double ns_a_sample(Clock::time_point begin) {
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() /
         static_cast<double>(samples);
}

StreamInfo ring_info() {
  StreamInfo info;
  info.name = "bench";
  info.rate = Rate(1_MHz);
  info.capacity = SampleCount{room};
  ChannelInfo channel;
  channel.name = "x";
  channel.unit = "1";
  info.channels = {channel};
  return info;
}

// One thread pushes, nobody reads meanwhile; bounded queues are emptied off the clock.
double spillway_single() {
  Stream stream(ring_info());
  Writer<double> writer(stream);
  const auto begin = Clock::now();
  for (std::uint64_t i = 0; i < samples; ++i) writer.push(static_cast<double>(i));
  return ns_a_sample(begin);
}

double spillway_blocks() {
  Stream stream(ring_info());
  Writer<double> writer(stream);
  const std::vector<double> values(block, 1.0);
  const auto begin = Clock::now();
  for (std::uint64_t i = 0; i < samples; i += block) writer.push(std::span<const double>(values));
  return ns_a_sample(begin);
}

template <class Queue>
double queue_blocks_of_singles(Queue& queue) {
  double ns = 0.0;
  std::vector<double> out(room);
  for (std::uint64_t done = 0; done < samples; done += room / 2) {
    const auto begin = Clock::now();
    for (std::uint64_t i = 0; i < room / 2; ++i) queue.push(static_cast<double>(i));
    ns += ns_a_sample(begin);
    queue.pop(out.data(), room);
  }
  return ns;
}

double boost_single() {
  using Queue = boost::lockfree::spsc_queue<double, boost::lockfree::capacity<room>>;
  const auto queue = std::make_unique<Queue>();
  return queue_blocks_of_singles(*queue);
}

double moodycamel_single() {
  moodycamel::ConcurrentQueue<double> queue(room);
  moodycamel::ProducerToken producer(queue);
  double ns = 0.0;
  std::vector<double> out(room);
  for (std::uint64_t done = 0; done < samples; done += room / 2) {
    const auto begin = Clock::now();
    for (std::uint64_t i = 0; i < room / 2; ++i)
      queue.try_enqueue(producer, static_cast<double>(i));
    ns += ns_a_sample(begin);
    while (queue.try_dequeue_bulk(out.data(), room) > 0) {
    }
  }
  return ns;
}

struct Measured {
  const char* name;
  double (*run)();
  std::vector<double> ns;
};

double quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

}  // namespace

int main() {
  std::vector<Measured> all{
      {"spillway, single pushes", spillway_single, {}},
      {"boost spsc_queue (fixed), single pushes", boost_single, {}},
      {"moodycamel ConcurrentQueue (token), single pushes", moodycamel_single, {}},
      {"spillway, blocks of 1024", spillway_blocks, {}}};
  for (int round = 0; round < rounds; ++round)
    for (Measured& m : all) m.ns.push_back(m.run());
  fmt::print("ns a sample of 8 bytes, consumer idle; {} rounds of {} samples, interleaved\n",
             rounds, samples);
  fmt::print("{:52} {:>8} {:>8} {:>8}\n", "", "min", "median", "max");
  for (const Measured& m : all)
    fmt::print("{:52} {:8.2f} {:8.2f} {:8.2f}\n", m.name, quantile(m.ns, 0.0), quantile(m.ns, 0.5),
               quantile(m.ns, 1.0));
}
