// What reads files in which all channels of a sample lie together. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "recording_backend.hpp"

namespace spillway {

// The segments of an irregular stream as a writer makes them of its times: a sample that is not
// later than the one before begins a new one, and its time is uncertain.
class TimesOfRows {
 public:
  // Throws Error, which names the row but no path, if there are more segments than are kept: ten
  // million.
  void add(Time time);
  std::vector<Segment> take();

 private:
  std::vector<Segment> segments_;
  std::uint64_t rows_ = 0;
  Time last_{};
};

// Recordings are read column by column, files of others row by row: so rows are made into columns
// in blocks, and the blocks made last are kept. Any number of threads.
class RowBackend : public RecordingBackend {
 public:
  void read(std::size_t stream, std::size_t column, std::uint64_t row, std::uint64_t count,
            std::span<std::byte> to) const final;

 protected:
  // Of some rows, as columns_of counts, made with room for all of them.
  using Columns = std::vector<std::vector<std::byte>>;

  // Rows [row, row + count) of a stream, which are there and of which the first begins a block:
  // values as native bytes and, of an irregular stream, times. Quality is Good before.
  virtual void make(std::size_t stream, std::uint64_t row, std::uint64_t count,
                    Columns& to) const = 0;

  // How many rows of that stream are made at once, at most, unless add_stream says otherwise.
  [[nodiscard]] static std::uint64_t block_rows_of(const StreamInfo& info);

  // To be called for each stream whose info, rows and segments are set; a regular stream without
  // segments gets one that begins at `start`. Block n begins with row n * block_rows. Checks that
  // times can be told, completes the books, and adds it. Throws Error that names the path.
  void add_stream(RecordedStream stream, Time start = {}, std::uint64_t block_rows = 0);
  // The same for one whose books are all there.
  void add_recorded_stream(RecordedStream stream, std::uint64_t block_rows = 0);
  [[nodiscard]] std::uint64_t block_rows(std::size_t stream) const { return block_rows_[stream]; }

  // For make(), of irregular streams: times are uncertain where a segment begins, other than at
  // the first row.
  void flag_late(std::size_t stream, std::uint64_t row, Columns& columns) const;

 private:
  struct Block {
    std::size_t stream = 0;
    std::uint64_t first = 0;
    std::size_t bytes = 0;
    Columns columns;
  };
  [[nodiscard]] std::shared_ptr<const Block> block(std::size_t stream, std::uint64_t first) const;

  std::vector<std::uint64_t> block_rows_;
  std::vector<std::vector<std::size_t>> row_bytes_;  // of each stream, each column
  mutable std::mutex mutex_;
  mutable std::vector<std::shared_ptr<const Block>> kept_;  // the newest in front
};

// Quality of the values of a channel that are NaN: Bad, missing. Others stay as they are.
void flag_nan(SampleType type, std::span<const std::byte> values, std::span<std::byte> quality);

}  // namespace spillway
