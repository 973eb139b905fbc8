// What a block of the documentation without a main of its own may take for granted.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <spillway/channels/reader.hpp>
#include <spillway/channels/stream.hpp>
#include <spillway/channels/writer.hpp>
#include <spillway/engine/engine.hpp>
#include <spillway/storage/recording.hpp>

using namespace spillway;
using namespace std::chrono_literals;

// The hardware and the loop that the examples talk about.
inline std::atomic<bool> running{false};

inline struct Device {
  template <class Sample>
  void read(Sample*, std::size_t) {}
  std::uint64_t ticks() { return 0; }
  std::uint64_t overrun() { return 0; }
} device;
