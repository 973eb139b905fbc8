// The files of a recording that the NumPy sink wrote. Private.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spillway/channels/stream_info.hpp"

namespace spillway {

struct NpyFile {
  const char* key;  // in the JSON text beside them
  std::string path;
  SampleType type;
  std::size_t row_bytes;  // of all channels
};

// Values, quality and, of an irregular stream, times. Throws Error if `path` does not end in .npy.
[[nodiscard]] std::vector<NpyFile> npy_files(const std::string& path, const StreamInfo& info);
[[nodiscard]] std::string npy_json_path(const std::string& path);
// Of a file of so many rows: what it begins with.
[[nodiscard]] std::string npy_header_of(const NpyFile& file, std::uint64_t rows);
// Bytes of that, however many rows.
constexpr std::size_t npy_header_bytes = 128;

}  // namespace spillway
