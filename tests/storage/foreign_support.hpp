// Files of others, made byte by byte.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "spillway/channels/sample_type.hpp"
#include "spillway/storage/recording.hpp"
#include "support.hpp"

namespace spillway::test {

// The bytes of a value, the lowest first unless `big`.
template <class T>
std::string bytes_of(T value, bool big = false) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  if (big) std::ranges::reverse(bytes);
  return bytes;
}

inline std::string npy_bytes(int major, std::string header, const std::string& data) {
  header += '\n';
  std::string file = "\x93NUMPY";
  file += static_cast<char>(major);
  file += '\0';
  const auto length = static_cast<std::uint32_t>(header.size());
  file += major == 1 ? bytes_of(static_cast<std::uint16_t>(length)) : bytes_of(length);
  return file + header + data;
}

inline std::string npy_header(const std::string& descr, bool fortran, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") +
         ", 'shape': (" + shape + "), }";
}

// A chunk of a RIFF file, with the padding of an odd one.
inline std::string riff_chunk(const std::string& id, const std::string& content) {
  return id + bytes_of(static_cast<std::uint32_t>(content.size())) + content +
         std::string(content.size() % 2, '\0');
}

inline std::string wav_format(std::uint16_t tag, std::uint16_t channels, std::uint32_t rate,
                              std::uint16_t bits) {
  const auto frame = static_cast<std::uint16_t>(channels * ((bits + 7) / 8));
  return bytes_of(tag) + bytes_of(channels) + bytes_of(rate) + bytes_of(rate * frame) +
         bytes_of(frame) + bytes_of(bits);
}

inline std::string wav_bytes(const std::string& chunks) {
  return "RIFF" + bytes_of(static_cast<std::uint32_t>(4 + chunks.size())) + "WAVE" + chunks;
}

inline OpenOptions at_rate(Rate rate) {
  OpenOptions options;
  options.foreign.rate = rate;
  return options;
}

template <Sample T>
std::vector<T> raw_values(const Recording& recording, std::size_t channel, std::size_t stream = 0) {
  std::vector<T> values(recording.streams().at(stream).rows);
  recording.read_raw<T>(stream, channel, 0, values);
  return values;
}

inline std::vector<Quality> qualities(const Recording& recording, std::size_t channel,
                                      std::size_t stream = 0) {
  std::vector<Quality> quality(recording.streams().at(stream).rows);
  recording.read_quality(stream, channel, 0, quality);
  return quality;
}

inline std::vector<Time> times_of(const Recording& recording, std::size_t stream = 0) {
  std::vector<Time> times(recording.streams().at(stream).rows);
  recording.read_times(stream, 0, times);
  return times;
}

// The message of the Error of opening what has these bytes.
inline std::string refusal(const std::string& path, const std::string& bytes,
                           const OpenOptions& options = {}) {
  write_text(path, bytes);
  return message_of([&] { static_cast<void>(Recording::open(path, options)); });
}

inline bool has_python() { return exists("/usr/bin/python3"); }
// Runs a script of Python; false if there is no Python, or it fails.
inline bool run_python(const TemporaryDirectory& directory, const std::string& script) {
  if (!has_python()) return false;
  write_text(directory / "script.py", script);
  const std::string command = "cd '" + directory.path() + "' && /usr/bin/python3 script.py";
  return std::system(command.c_str()) == 0;
}
inline bool has_numpy() {
  return has_python() && std::system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") == 0;
}

}  // namespace spillway::test
