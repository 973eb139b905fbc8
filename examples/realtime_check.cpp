// Is my loop fit for real time? A test program that says so: the loop is watched while it runs, and
// whatever it allocates, locks or asks of the kernel is counted and named.
#include <spillway/channels/realtime_check.hpp>
#include <spillway/channels/stream.hpp>
#include <spillway/channels/writer.hpp>

#include <cstdint>
#include <cstdio>
#include <span>
#include <vector>

using namespace spillway;

namespace {

constexpr int skipped = 77;  // what the test runner takes for "not run"

// A turn of the real program's loop; there in a header, so that both have it.
class Acquisition {
 public:
  explicit Acquisition(Stream& stream) : writer_(stream) {}

  void turn() noexcept {
    const std::span<std::int16_t> block = writer_.claim(256);
    for (std::int16_t& sample : block) sample = next_++;  // the device
    writer_.publish(block.size());
    if (++turns_ % 16 == 0) writer_.gap({7});
  }

 private:
  Writer<std::int16_t> writer_;
  std::int16_t next_ = 0;
  int turns_ = 0;
};

// The same with two mistakes.
class Careless {
 public:
  explicit Careless(Stream& stream) : writer_(stream) {}

  void turn() {
    history_.push_back(static_cast<std::int16_t>(history_.size()));  // grows now and then
    writer_.push(history_.back());
    if (history_.size() % 64 == 0) std::fputs("64 samples\n", log_);
  }
  ~Careless() { std::fclose(log_); }

 private:
  Writer<std::int16_t> writer_;
  std::vector<std::int16_t> history_;
  std::FILE* log_ = std::fopen("/dev/null", "w");
};

StreamInfo bridge() {
  StreamInfo info{.name = "bridge", .rate = Rate(100_kHz), .capacity = 65536_samples};
  info.largest_block = 256_samples;
  info.channels = {{.name = "strain0", .unit = "V", .type = SampleType::int16}};
  return info;
}

template <class Loop>
RealtimeFindings watch(const char* name) {
  Stream stream(bridge());
  Loop loop(stream);
  const RealtimeFindings findings =
      watch_realtime([&] { loop.turn(); },  // code and stack are in memory from here on
                     [&] {
                       for (int i = 0; i < 1000; ++i) loop.turn();
                     });
  std::printf("%s: %s\n", name, describe(findings).c_str());
  return findings;
}

}  // namespace

int main() {
  const RealtimeFindings good = watch<Acquisition>("acquisition");
  const RealtimeFindings careless = watch<Careless>("careless");
  if (!good.not_watched.empty()) return skipped;
  return good.clean() && !careless.clean() ? 0 : 1;
}
