// What stands beside a CSV recording: "<path>-metadata.json". Private; the format is docs/csv.md.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway::csv {

[[nodiscard]] inline std::string metadata_path(const std::string& path) {
  return path + "-metadata.json";
}

// A run of whole samples in the file, and what has to be in it. The first one has the header
// besides.
struct Block {
  std::uint64_t bytes = 0;
  std::uint32_t crc32c = 0;
  std::vector<std::uint64_t> rows;  // of each stream
  friend bool operator==(const Block&, const Block&) = default;
};

// Of the whole file.
struct Checksums {
  std::string xxh3_128;  // 32 hexadecimal digits
  std::vector<Block> blocks;
};

struct Metadata {
  static constexpr std::uint64_t newest_version = 2;  // 1 had no checksums

  std::uint64_t version = newest_version;
  std::string file;  // name of the CSV file, without directory
  CsvOptions::Form form = CsvOptions::Form::wide;
  std::string title, start_time, end_time, configuration, provenance, state;
  std::vector<RecordedStream> streams;
  std::vector<RecordedEvent> events;
  std::vector<std::string> log;
  Ending ending;
  std::uint64_t bytes = 0;             // of the CSV file
  std::optional<Checksums> checksums;  // none: it grows, or is of version 1
};

// With a checksum of itself.
[[nodiscard]] std::string to_text(const Metadata& metadata);
// The same books beside a file of another format, which `description` describes instead.
[[nodiscard]] std::string to_text(const Metadata& metadata,
                                  const nlohmann::ordered_json& description);

// Throws Error that names `path`: not UTF-8, not JSON, an entry that is missing or of another kind,
// a checksum that is wrong, numbers that do not fit together. What it returns is safe to use:
// segments cover the rows, blocks the bytes and the rows.
[[nodiscard]] Metadata metadata_from(const std::string& path, const std::string& text);

// Throws nlohmann's exception if a text in it is not UTF-8.
void check_texts(const Metadata& metadata);

}  // namespace spillway::csv
