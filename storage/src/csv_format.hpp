// What the lines of a CSV recording look like: one place for writer and reader. Private.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/quality.hpp"
#include "spillway/channels/rate.hpp"
#include "spillway/channels/stream_info.hpp"
#include "spillway/storage/csv_sink.hpp"

namespace spillway::csv {

constexpr std::string_view line_end = "\r\n";

// The first line, with its end.
[[nodiscard]] std::string header(CsvOptions::Form form, const std::vector<StreamInfo>& streams);

// Long form: how a channel stands in its lines, between and with the two commas: "stream/channel"
// if there are several streams, else "channel"; quoted where RFC 4180 wants it.
[[nodiscard]] std::string channel_field(const std::vector<StreamInfo>& streams, std::size_t stream,
                                        std::size_t channel);

// Lines that one sample of a stream takes.
[[nodiscard]] inline std::uint64_t lines_of_sample(CsvOptions::Form form, const StreamInfo& info) {
  return form == CsvOptions::Form::wide ? 1 : info.channels.size();
}

// Text of so many bytes that ends with a whole sample is one write, one range in the journal.
constexpr std::size_t write_bytes = 256 << 10;
// As soon as it is so long it has a checksum of its own in the metadata.
constexpr std::uint64_t block_bytes = 1 << 20;

// A comma and a quality in decimal.
struct QualityField {
  std::array<char, 4> text{};
  std::uint8_t size = 0;
};
// Most of a file is qualities.
inline constexpr std::array<QualityField, 256> quality_fields = [] {
  std::array<QualityField, 256> fields{};
  for (unsigned q = 0; q < fields.size(); ++q) {
    QualityField& field = fields[q];
    field.text[field.size++] = ',';
    for (unsigned ten = 100; ten > 0; ten /= 10)
      if (q >= ten || ten == 1) field.text[field.size++] = static_cast<char>('0' + q / ten % 10);
  }
  return fields;
}();

}  // namespace spillway::csv
