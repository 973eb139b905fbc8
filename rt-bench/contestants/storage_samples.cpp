#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <numbers>
#include <random>
#include <vector>

#include "spillway/channels/error.hpp"
#include "storage_contestant.hpp"

namespace spillway::bench {

namespace {

StreamInfo make_info() {
  StreamInfo info;
  info.name = "data";
  info.rate = Rate(storage_rate_hz, 1);
  for (std::size_t c = 0; c < storage_channels; ++c) {
    ChannelInfo channel;
    channel.name = fmt::format("ch{:02}", c);
    channel.unit = "V";
    channel.type = SampleType::float32;
    info.channels.push_back(std::move(channel));
  }
  return info;
}

// Of this process, in the kernel too.
double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

void StorageSamples::Free::operator()(float* p) const noexcept { std::free(p); }

StorageSamples::StorageSamples(std::size_t period)
    : info_(make_info()),
      calibrations_(storage_channels),
      plain_(
          static_cast<float*>(std::aligned_alloc(4096, period * storage_values * sizeof(float)))) {
  if (!plain_) throw std::bad_alloc();
  std::mt19937_64 random(1);
  std::normal_distribution<double> noise(0.0, 8.0);  // in steps of a converter of ±10 V
  for (std::size_t b = 0; b < period; ++b) {
    blocks_.emplace_back(info_, storage_frames);
    for (std::size_t c = 0; c < storage_channels; ++c) {
      float* const to = plain_.get() + b * storage_values + c * storage_frames;
      const double step = 2.0 * std::numbers::pi * static_cast<double>(5 + 3 * c) / storage_rate_hz;
      for (std::size_t f = 0; f < storage_frames; ++f) {
        const double phase = step * static_cast<double>(b * storage_frames + f);
        to[f] = static_cast<float>(std::round(16384.0 * std::sin(phase) + noise(random)) * 20.0 /
                                   65536.0);
      }
      std::copy_n(to, storage_frames, blocks_.back().values<float>(c).data());
    }
  }
}

Chunk StorageSamples::chunk(std::uint64_t block) const noexcept {
  Chunk chunk;
  chunk.from = chunk.first = {block * storage_frames};
  chunk.count = {storage_frames};
  chunk.row = block * storage_frames;
  chunk.time = info_.rate->duration(chunk.first.value);
  chunk.new_segment = block == 0;
  chunk.stop = Stop::full;
  return chunk;
}

StorageTaken taken_by(const std::function<void()>& work) {
  const double cpu = cpu_seconds();
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  return {wall.count(), cpu_seconds() - cpu};
}

void sync_and_close(int fd, const std::string& path) {
  const bool synced = ::fdatasync(fd) == 0;
  const int error = errno;
  const bool closed = ::close(fd) == 0;
  if (!synced || !closed)
    throw Error(
        fmt::format("{}: can't be synced: {}", path, std::strerror(synced ? errno : error)));
}

std::uint64_t wrong_in_csv(const std::string& path, const StorageSamples& samples,
                           std::uint64_t blocks) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  // Which channel a column has; storage_channels: none.
  std::vector<std::size_t> channel_of;
  for (std::size_t at = 0; at <= line.size();) {
    const std::size_t end = std::min(line.find_first_of(",\r", at), line.size());
    const auto& channels = samples.info().channels;
    const auto it = std::ranges::find(channels, line.substr(at, end - at), &ChannelInfo::name);
    channel_of.push_back(static_cast<std::size_t>(it - channels.begin()));
    at = end + 1;
  }
  std::uint64_t right = 0;
  for (std::uint64_t row = 0; row < blocks * storage_frames && std::getline(file, line); ++row) {
    const Block& block = samples.block(row / storage_frames);
    const char* at = line.c_str();
    for (const std::size_t channel : channel_of) {
      char* end = nullptr;
      const float value = std::strtof(at, &end);
      if (channel < storage_channels && end != at &&
          value == block.values<float>(channel)[row % storage_frames])
        ++right;
      at = end;
      if (*at == ',') ++at;
    }
  }
  return blocks * storage_values - right;
}

}  // namespace spillway::bench
