// Pushes a few samples and reads them back, with the ring and nothing else.
#include <spillway/channels/reader.hpp>
#include <spillway/channels/stream.hpp>
#include <spillway/channels/writer.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <span>

int main() {
  using namespace spillway::literals;

  spillway::ChannelInfo strain;
  strain.name = "strain0";
  strain.unit = "V";
  strain.type = spillway::SampleType::int16;
  spillway::StreamInfo info;
  info.name = "bridge";
  info.rate = spillway::Rate(100_kHz);
  info.capacity = 4096_samples;
  info.channels = {strain};

  spillway::Stream stream(info);
  spillway::Reader<std::int16_t> reader(stream);
  spillway::Writer<std::int16_t> writer(stream);

  const std::array<std::int16_t, 3> pushed{-7, 0, 12};
  writer.push(std::span<const std::int16_t>(pushed));
  const auto read = reader.read();

  const bool same =
      std::equal(pushed.begin(), pushed.end(), read.values.begin(), read.values.end());
  std::printf("%zu samples, %s\n", read.values.size(), same ? "as pushed" : "not those pushed");
  return same && read.lost.value == 0 ? 0 : 1;
}
