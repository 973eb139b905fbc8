#include "foreign.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <span>

#include "csv_metadata.hpp"
#include "file.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {
constexpr std::uint64_t most_channels = 65536;
}

std::vector<ChannelInfo> plain_channels(const std::string& path, const Foreign& how,
                                        std::uint64_t count, SampleType type) {
  if (count == 0) throw Error(fmt::format("{}: has no channels; at least one is needed", path));
  if (count > most_channels)
    throw Error(
        fmt::format("{}: has {} channels; {} are the most. Rows are samples, columns "
                    "channels: it may have to be transposed",
                    path, count, most_channels));
  if (!how.names.empty() && how.names.size() != count)
    throw Error(
        fmt::format("{}: has {} channels, but {} names are given", path, count, how.names.size()));
  std::vector<ChannelInfo> channels(count);
  for (std::size_t c = 0; c < count; ++c) {
    channels[c].name = how.names.empty() ? fmt::format("ch{}", c) : how.names[c];
    channels[c].unit = how.unit;
    channels[c].type = type;
  }
  return channels;
}

bool is_of_others(const std::string& path, FileCalls& calls) {
  if (calls.kind(csv::metadata_path(path).c_str()) == PathKind::file) return false;
  std::array<char, 64> front{};
  const std::string_view content(
      front.data(),
      File(calls, path, File::Mode::read).read_up_to(0, std::as_writable_bytes(std::span(front))));
  return !has_csv_header(content) &&
         (is_npy(content) || is_wav(content) || is_raw(content) || is_table(content));
}

std::string shown(std::string_view text) {
  std::string result(text.substr(0, 40));
  std::ranges::replace_if(
      result, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
  return result;
}

std::string stream_name_of(const std::string& path) {
  const std::string name = std::filesystem::path(path).stem().string();
  try {
    check_name("", name);
    check_not_reserved("", name);
    return name;
  } catch (const Error&) {
    return "samples";
  }
}

}  // namespace spillway
