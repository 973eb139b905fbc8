// What several tests of HDF5 recordings share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chunk_codec.hpp"
#include "columns.hpp"
#include "file.hpp"
#include "spillway/channels/block.hpp"
#include "spillway/storage/journal.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway::test {

// A stream whose values and qualities follow from the sample numbers. Quality is good for a while,
// then varied, and so on: columns that compress to nothing, and others.
class Feed {
 public:
  Feed(StreamInfo info, std::size_t index, std::uint64_t first = 0)
      : info_(std::move(info)), index_(index), next_(first) {}

  [[nodiscard]] const StreamInfo& info() const { return info_; }
  [[nodiscard]] std::uint64_t next() const { return next_; }
  [[nodiscard]] const std::vector<std::uint64_t>& numbers() const { return numbers_; }

  // Forgets the rows behind these.
  void cut(std::size_t rows) { numbers_.resize(rows); }

  static std::int64_t value(std::size_t channel, std::uint64_t number) {
    return static_cast<std::int64_t>((number * 7 + channel * 13) % 101);
  }
  static std::uint8_t quality(std::uint64_t number) {
    return number / 1500 % 2 == 0 || number % 7 != 0 ? 0 : 2 | 32;
  }
  static std::int64_t time_ns(std::uint64_t number) {
    return static_cast<std::int64_t>(number * 1'000'000 + number % 3);
  }

  // `missing` samples that were never pushed, then `count` samples.
  void append(Sink& sink, std::size_t count, std::uint64_t missing = 0) {
    Block block(info_, count > 0 ? count : 1);
    Chunk chunk;
    chunk.from.value = next_;
    chunk.missing.value = missing;
    chunk.new_segment = missing > 0;
    chunk.first.value = next_ + missing;
    chunk.count.value = count;
    next_ += missing + count;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t n = chunk.first.value + i;
      for (std::size_t c = 0; c < info_.channels.size(); ++c) {
        visit_sample_type(info_.channels[c].type, [&]<class T>(std::type_identity<T>) {
          block.values<T>(c)[i] = static_cast<T>(value(c, n));
        });
        block.quality(c)[i] = Quality::from_byte(quality(n));
      }
      if (!info_.rate) block.times()[i] = Time(time_ns(n));
      numbers_.push_back(n);
    }
    if (info_.rate)
      chunk.time = info_.rate->duration(chunk.first.value);
    else if (count > 0)
      chunk.time = block.times()[0];
    sink.append(index_, chunk, block, CalibrationSet(info_.channels.size()));
  }

  // Rows [0, rows) of a column as they must come back.
  [[nodiscard]] std::vector<std::byte> expected(const ColumnInfo& column, std::size_t rows) const {
    std::vector<std::byte> bytes(rows * column.row_bytes);
    for (std::size_t row = 0; row < rows; ++row) {
      std::byte* to = bytes.data() + row * column.row_bytes;
      const std::uint64_t n = numbers_[row];
      const auto put = [&](auto v) { std::memcpy(to, &v, sizeof v); };
      switch (column.kind) {
        case ColumnInfo::Kind::values:
          visit_sample_type(info_.channels[column.channel].type,
                            [&]<class T>(std::type_identity<T>) {
                              put(static_cast<T>(value(column.channel, n)));
                            });
          break;
        case ColumnInfo::Kind::quality: put(quality(n)); break;
        case ColumnInfo::Kind::time_ns: put(time_ns(n)); break;
      }
    }
    return bytes;
  }

 private:
  StreamInfo info_;
  std::size_t index_;
  std::uint64_t next_;
  std::vector<std::uint64_t> numbers_;  // of each row
};

// What a journal and the file it guards hold together.
struct Rebuilt {
  struct Column {
    std::vector<std::byte> bytes;
    std::vector<bool> known;
    std::uint64_t chunks = 0;
    std::uint64_t raw_chunks = 0;   // of columns with filters, stored without
    std::uint64_t chunk_bytes = 0;  // as stored
  };
  JournalBegin begin;
  std::vector<std::vector<Column>> streams;
  std::vector<RecordedCounts> counts;
  std::vector<std::vector<Segment>> segments;
  std::vector<std::vector<Gap>> gaps;
  std::vector<RecordedEvent> events;
  std::vector<std::string> log;
  bool ended = false;
  std::string wrong;  // the first thing that does not fit

  // How many rows of a stream are known in all columns, from the first one on.
  [[nodiscard]] std::size_t rows(std::size_t stream) const {
    std::size_t least = std::numeric_limits<std::size_t>::max();
    for (const Column& column : streams[stream]) {
      std::size_t n = 0;
      while (n < column.known.size() && column.known[n]) ++n;
      least = std::min(least, n);
    }
    return least;
  }
};

inline Rebuilt rebuild(const std::string& path, FileCalls& calls = system_file_calls()) {
  Rebuilt result;
  JournalReader journal(JournalWriter::name_for(path), calls);
  result.begin = journal.begin();
  const File part(calls, path + ".part", File::Mode::read);
  ChunkCodec codec(1);
  std::vector<std::vector<ColumnInfo>> columns;
  for (const StreamInfo& info : result.begin.info.streams) {
    columns.push_back(columns_of(info));
    result.streams.emplace_back(columns.back().size());
  }
  result.counts.resize(columns.size());
  result.segments.resize(columns.size());
  result.gaps.resize(columns.size());
  std::vector<std::optional<Segment>> open(columns.size());
  const auto put = [&](std::size_t stream, std::size_t column, std::uint64_t first_row,
                       std::span<const std::byte> bytes) {
    Rebuilt::Column& to = result.streams[stream][column];
    const std::size_t row_bytes = columns[stream][column].row_bytes;
    const std::size_t rows = bytes.size() / row_bytes;
    if (to.known.size() < first_row + rows) {
      to.known.resize(first_row + rows);
      to.bytes.resize((first_row + rows) * row_bytes);
    }
    for (std::size_t i = 0; i < rows; ++i) {
      std::byte* at = to.bytes.data() + (first_row + i) * row_bytes;
      const std::byte* from = bytes.data() + i * row_bytes;
      if (to.known[first_row + i] && std::memcmp(at, from, row_bytes) != 0)
        result.wrong = columns[stream][column].name + ": chunk and rows differ";
      std::memcpy(at, from, row_bytes);
      to.known[first_row + i] = true;
    }
  };
  while (const auto record = journal.next()) {
    if (const auto* c = std::get_if<JournalChunk>(&*record)) {
      const ColumnInfo& column = columns[c->stream][c->column];
      std::vector<std::byte> stored(c->length);
      part.read_at(c->address, stored);
      if (crc32c(stored) != c->crc32c) result.wrong = column.name + ": checksum of a chunk";
      std::vector<std::byte> raw(c->rows * column.row_bytes);
      if (!c->deflated)
        raw = stored;
      else if (!codec.decode(stored, c->filter_mask, column.row_bytes, raw))
        result.wrong = column.name + ": a chunk can't be decoded";
      if (c->rows != result.begin.chunk_rows[c->stream] || c->first_row % c->rows != 0)
        result.wrong = column.name + ": no whole chunk";
      put(c->stream, c->column, c->first_row, raw);
      Rebuilt::Column& to = result.streams[c->stream][c->column];
      ++to.chunks;
      to.raw_chunks += c->deflated && c->filter_mask == not_filtered;
      to.chunk_bytes += c->length;
    } else if (const auto* r = std::get_if<JournalRows>(&*record)) {
      std::size_t at = 0;
      for (std::size_t column = 0; column < columns[r->stream].size(); ++column) {
        const std::size_t bytes = r->rows * columns[r->stream][column].row_bytes;
        put(r->stream, column, r->first_row, std::span(r->bytes).subspan(at, bytes));
        at += bytes;
      }
    } else if (const auto* b = std::get_if<JournalBooks>(&*record)) {
      result.counts[b->stream] = b->counts;
      auto& segments = result.segments[b->stream];
      segments.insert(segments.end(), b->finished.begin(), b->finished.end());
      open[b->stream] = b->open;
      auto& gaps = result.gaps[b->stream];
      gaps.insert(gaps.end(), b->gaps.begin(), b->gaps.end());
    } else if (const auto* e = std::get_if<RecordedEvent>(&*record)) {
      result.events.push_back(*e);
    } else if (const auto* l = std::get_if<JournalLog>(&*record)) {
      result.log.push_back(l->line);
    } else if (std::holds_alternative<JournalEnd>(*record)) {
      result.ended = true;
    }
  }
  for (std::size_t i = 0; i < open.size(); ++i)
    if (open[i]) result.segments[i].push_back(*open[i]);
  if (!journal.tail().empty()) result.wrong = "tail: " + journal.tail();
  return result;
}

}  // namespace spillway::test
