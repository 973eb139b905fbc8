// A hardware loop: a driver's blocks go in, raw and filtered data come out in one file.
// The device is made up; everything else is what a real program would do.
#include <spillway/engine/engine.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <span>
#include <thread>

using namespace spillway;
using namespace std::chrono_literals;

namespace {

// 10 kHz of a 16-bit converter; now and then its driver reports lost samples.
class Device {
 public:
  void read(std::span<std::int16_t> block) {
    std::this_thread::sleep_for(100us * block.size());
    for (std::int16_t& sample : block)
      sample = static_cast<std::int16_t>(1000.0 * std::sin(0.01 * static_cast<double>(n_++)));
  }
  std::uint64_t overrun() { return ++reads_ % 16 == 0 ? 7 : 0; }

 private:
  std::uint64_t n_ = 0;
  std::uint64_t reads_ = 0;
};

}  // namespace

int main(int argc, char** argv) try {
  Device device;
  Engine engine{{.title = "strain gauge", .memory_budget = 256_MiB}};
  auto strain =
      engine.add_channel<std::int16_t>({// a stream of one channel
                                        .name = "strain0",
                                        .unit = "V",
                                        .rate = 10_kHz,
                                        .capacity = 2s,
                                        .calibration = Linear{.slope = 1.2e-3, .offset = 0.0}});
  auto smooth = engine.graph().add(MovingAverage{.window = 32}, strain);
  auto low = engine.graph().add(lowpass(Butterworth{.order = 4}, 1_kHz), smooth);
  engine.record({.path = argc > 1 ? argv[1] : "run.h5", .flush = 1s}, {strain, low});
  engine.start();  // whatever is wrong is thrown by here

  Writer writer = strain.writer();  // move-only: one producer
  for (int i = 0; i < 50; ++i) {    // from here: no allocation, no lock, no system call of ours
    auto block = writer.claim(256);
    device.read(block);
    writer.publish(block.size());
    if (auto missing = device.overrun()) writer.gap({missing});
  }
  const Report report = engine.stop();  // produced, recorded, lost, per stream
  for (const auto& stream : report.recordings.at(0).streams)
    std::printf("%s: %llu produced, %llu recorded, %llu lost, %llu missing\n", stream.name.c_str(),
                static_cast<unsigned long long>(stream.counts.produced),
                static_cast<unsigned long long>(stream.counts.recorded),
                static_cast<unsigned long long>(stream.counts.lost),
                static_cast<unsigned long long>(stream.counts.missing));
  return report.errors.empty() ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
