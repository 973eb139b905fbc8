// The columns of a recorded stream, in the order in which journal and seal count them. Private.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "spillway/channels/stream_info.hpp"

namespace spillway {

struct ColumnInfo {
  enum class Kind : unsigned char { values, quality, time_ns };
  Kind kind = Kind::values;
  std::size_t channel = 0;  // not of time_ns
  std::size_t row_bytes = 1;
  std::string name;  // of the dataset: "x", "x_quality", "time_ns"
};

// Values of channel 0, its quality, ...; then, if irregular, the exact times.
[[nodiscard]] inline std::vector<ColumnInfo> columns_of(const StreamInfo& info) {
  std::vector<ColumnInfo> columns;
  for (std::size_t c = 0; c < info.channels.size(); ++c) {
    const ChannelInfo& channel = info.channels[c];
    columns.push_back({ColumnInfo::Kind::values, c, sample_size(channel.type), channel.name});
    columns.push_back({ColumnInfo::Kind::quality, c, 1, channel.name + "_quality"});
  }
  if (!info.rate)
    columns.push_back({ColumnInfo::Kind::time_ns, 0, sizeof(std::int64_t), "time_ns"});
  return columns;
}

// Their places there.
[[nodiscard]] constexpr std::size_t value_column(std::size_t channel) { return 2 * channel; }
[[nodiscard]] constexpr std::size_t quality_column(std::size_t channel) { return 2 * channel + 1; }
[[nodiscard]] inline std::size_t time_column(const StreamInfo& info) {
  return 2 * info.channels.size();
}

}  // namespace spillway
