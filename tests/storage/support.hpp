// What several tests of storage share.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/storage/sink.hpp"
#include "support/soak.hpp"
#include "support/temporary_directory.hpp"

namespace spillway::test {

inline std::uint64_t new_seed() { return std::random_device{}(); }

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline bool exists(const std::string& path) { return std::filesystem::exists(path); }

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

inline StreamInfo make_info(const std::vector<SampleType>& types, std::uint64_t capacity = 1 << 16,
                            std::optional<Rate> rate = Rate(1000, 1)) {
  StreamInfo info;
  info.name = "stream";
  info.rate = rate;
  info.capacity = SampleCount{capacity};
  for (const SampleType type : types) {
    ChannelInfo channel;
    channel.name = "ch" + std::to_string(info.channels.size());
    channel.unit = "V";
    channel.type = type;
    info.channels.push_back(std::move(channel));
  }
  return info;
}

inline RecordingInfo recording_of(std::vector<StreamInfo> streams, std::string title = {}) {
  RecordingInfo info;
  info.title = std::move(title);
  info.streams = std::move(streams);
  return info;
}

// Reads all that is there, in blocks of `frames`, into stream 0 of `sink`.
inline void drain(StreamReader& reader, Sink& sink, std::size_t frames = 1024) {
  Block block(reader.info(), frames);
  for (;;) {
    const Chunk chunk = reader.read(block);
    if (chunk.count.value + chunk.lost.value + chunk.missing.value > 0)
      sink.append(0, chunk, block, reader.calibrations(chunk.calibrations));
    if (chunk.stop == Stop::drained) break;
  }
  std::vector<Anchor> anchors(64);
  while (const std::size_t count = reader.read_anchors(anchors))
    sink.append(0, std::span<const Anchor>(anchors).first(count));
}

}  // namespace spillway::test
