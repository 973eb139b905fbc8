// What several tests of channels share.
#pragma once

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/writer.hpp"

namespace spillway::test {

// The message of the Error that `f` throws; empty if it throws none.
template <class F>
std::string message_of(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline StreamInfo make_info(std::vector<SampleType> types, std::uint64_t capacity,
                            std::optional<Rate> rate = Rate(1000, 1)) {
  StreamInfo info;
  info.name = "stream";
  info.rate = rate;
  info.capacity = SampleCount{capacity};
  info.largest_block = SampleCount{64};
  info.mark_capacity = SampleCount{64};
  for (const SampleType type : types) {
    ChannelInfo channel;
    channel.name = "ch" + std::to_string(info.channels.size());
    channel.unit = "V";
    channel.type = type;
    info.channels.push_back(std::move(channel));
  }
  return info;
}

// Scrambles all bits of `x` (the finaliser of splitmix64): a payload that tells
// from itself whether it belongs to its sample number.
constexpr std::uint64_t hash(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// A value that is a function of its sample number and channel, exact in every type.
template <Sample T>
constexpr T payload(std::uint64_t number, std::uint64_t channel) noexcept {
  const std::uint64_t bits = hash(number * 64 + channel);
  if constexpr (std::is_same_v<T, float>)
    return static_cast<float>(static_cast<std::int32_t>(bits & 0xFFFFFF) - 0x800000);
  else if constexpr (std::is_same_v<T, double>)
    return static_cast<double>(static_cast<std::int64_t>(bits >> 11) - (std::int64_t{1} << 52));
  else
    return static_cast<T>(bits);
}

// Mostly Good, in runs: the lane of quality treats zeros specially.
constexpr Quality quality_of(std::uint64_t number, std::uint64_t channel) noexcept {
  const std::uint64_t bits = hash(~(number / 3 * 64 + channel));
  return (bits & 7) == 0 ? Quality::from_byte(static_cast<std::uint8_t>(bits >> 8))
                         : Quality::good();
}

// Seeds of random tests: fixed, so that a failure comes back.
using Random = std::mt19937_64;
inline std::uint64_t below(Random& random, std::uint64_t limit) { return random() % limit; }

}  // namespace spillway::test
