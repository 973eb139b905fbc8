#include "npy_files.hpp"

#include <fmt/format.h>

#include "npy_header.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {
constexpr std::string_view ending = ".npy";
}

std::vector<NpyFile> npy_files(const std::string& path, const StreamInfo& info) {
  if (!path.ends_with(ending) || path.size() == ending.size())
    throw Error(fmt::format("{}: the name of a NumPy file ends in .npy", path));
  const std::string stem = path.substr(0, path.size() - ending.size());
  const std::size_t channels = info.channels.size();
  const SampleType type = info.channels.at(0).type;
  std::vector<NpyFile> files{{"values", path, type, channels * sample_size(type)},
                             {"quality", stem + ".quality.npy", SampleType::uint8, channels}};
  if (!info.rate)
    files.push_back({"time_ns", stem + ".time_ns.npy", SampleType::int64, sizeof(std::int64_t)});
  return files;
}

std::string npy_json_path(const std::string& path) { return path + ".json"; }

std::string npy_header_of(const NpyFile& file, std::uint64_t rows) {
  const std::uint64_t columns = file.row_bytes / sample_size(file.type);
  return npy_header_text(file.type, columns == 1 ? std::vector<std::uint64_t>{rows}
                                                 : std::vector<std::uint64_t>{rows, columns});
}

}  // namespace spillway
