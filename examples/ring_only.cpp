// The ring alone: links Spillway::channels and nothing else of ours. A writer that
// never waits, a reader that is told exactly what it missed.
#include <spillway/channels/reader.hpp>
#include <spillway/channels/writer.hpp>

#include <cstdio>
#include <thread>

using namespace spillway;

int main() {
  StreamInfo info;
  info.name = "pressure";
  info.rate = Rate(100_kHz);
  info.capacity = SampleCount{4096};
  ChannelInfo channel;
  channel.name = "p0";
  channel.unit = "Pa";
  info.channels = {channel};
  Stream stream(info);

  Writer<double> writer(stream);
  Reader<double> reader(stream);
  std::thread acquisition([&] {
    for (int i = 0; i < 1'000'000; ++i) writer.push(static_cast<double>(i));
  });
  std::uint64_t right = 0;
  std::uint64_t lost = 0;
  std::uint64_t wrong = 0;
  while (right + wrong + lost < 1'000'000) {
    const auto samples = reader.read();
    lost += samples.lost.value;
    for (std::size_t i = 0; i < samples.values.size(); ++i)
      ++(samples.values[i] == static_cast<double>(samples.first.value + i) ? right : wrong);
  }
  acquisition.join();
  std::printf("1000000 pushed: %llu read, every one the right one, %llu lost, told exactly\n",
              static_cast<unsigned long long>(right), static_cast<unsigned long long>(lost));
  return wrong == 0 ? 0 : 1;
}
