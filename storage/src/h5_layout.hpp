// The groups, datasets and attributes of a recording, as docs/file-format.md has them. Private.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "columns.hpp"
#include "h5_column.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway::h5 {

struct StreamLayout {
  // As columns_of() counts; behind them, where there is one, `time`.
  std::vector<Column> columns;
  std::vector<std::string> paths;  // of the columns
  bool with_time = false;
  std::optional<Id> rows;  // the bare dimension of fast streams
  std::size_t chunk_rows = 0;
  Table segments;
  Table gaps;
  Table anchors;
  Table calibrations;
  Table calibration_bytes;
  Table counts;
};

struct Layout {
  Id status;
  Id end_time;
  Table events;
  Table log;
  std::vector<StreamLayout> streams;

  // Of everything that grows: its metadata goes to the disk when the file is flushed, and not
  // before, lest a reader sees a length before the rows. Held: Library. Throws Error.
  void hold_metadata() const;
};

// Rows of a chunk, a power of two; the chunks of all columns are 64 MiB at most.
[[nodiscard]] std::size_t chunk_rows_for(const StreamInfo& info);

// Throws Error if names of streams or channels have another meaning in this file, or texts are
// not UTF-8.
void check_names(const RecordingInfo& info);

// Everything but the rows, in an empty file; info.start_time as it is written. `compressed`: all
// columns have filters, not only those of quality. Held: Library. Throws Error.
[[nodiscard]] Layout make_layout(hid_t file, const RecordingInfo& info, bool compressed);

// Makes the columns of a stream share its dimension scale once more, after they or it were
// replaced. Held: Library. Throws Error.
void attach_scale(hid_t file, const std::string& stream, const StreamLayout& layout);

// Makes the dataset for the seal; returns its address. Held: Library. Throws Error.
[[nodiscard]] std::uint64_t make_integrity(hid_t file, std::uint64_t bytes);

}  // namespace spillway::h5
