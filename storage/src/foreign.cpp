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

void require_left_open(const std::string& path, const Foreign& how,
                       std::initializer_list<NotLeftOpen::Given> open, const char* why) {
  using enum NotLeftOpen::Given;
  const Foreign by_default;
  const auto check = [&](NotLeftOpen::Given given, const char* name, bool is_given) {
    if (is_given && std::ranges::find(open, given) == open.end())
      throw NotLeftOpen(given, fmt::format("{}: {}; {} can't be given", path, why, name));
  };
  check(rate, "a rate", how.rate.has_value());
  check(names, "names", !how.names.empty());
  check(unit, "a unit", how.unit != by_default.unit);
  check(separator, "a separator", how.separator != by_default.separator);
  check(decimal, "a decimal", how.decimal != by_default.decimal);
  check(time_unit, "a unit of times", how.time_unit_s.has_value());
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
