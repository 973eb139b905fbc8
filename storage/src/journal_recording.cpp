// Reads an unfinished HDF5 recording by its journal, without HDF5: chunks by their addresses, the
// rest from the journal itself.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <mutex>
#include <utility>

#include "chunk_file.hpp"
#include "columns.hpp"
#include "csv_metadata.hpp"
#include "file.hpp"
#include "recording_backend.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t none = std::numeric_limits<std::uint64_t>::max();

std::uint64_t end_of(const JournalRows& rows) { return rows.first_row + rows.rows; }

// What a journal tells of one stream, while it is read.
struct JournalStream {
  RecordedStream recorded;
  std::vector<std::size_t> row_bytes;  // of each column
  std::size_t all_row_bytes = 0;
  std::vector<ChunkColumn> columns;
  std::vector<JournalRows> rows;  // that are not in chunks of all columns
  std::optional<Segment> open;

  void add(JournalBooks&& books) {
    RecordedStream& to = recorded;
    to.counts = books.counts;
    to.segments.insert(to.segments.end(), books.finished.begin(), books.finished.end());
    open = books.open;
    if (books.replaces_last_gap && !to.gaps.empty()) to.gaps.pop_back();
    to.gaps.insert(to.gaps.end(), books.gaps.begin(), books.gaps.end());
    std::ranges::move(books.calibrations, std::back_inserter(to.calibrations));
    to.anchors.insert(to.anchors.end(), books.anchors.begin(), books.anchors.end());
  }

  // Forgets rows that chunks have replaced.
  void forget_rows() {
    const std::uint64_t in_chunks =
        std::ranges::min_element(columns, {}, &ChunkColumn::tail_row)->tail_row;
    std::erase_if(rows, [&](const JournalRows& r) { return end_of(r) <= in_chunks; });
  }

  // The bytes that `from` has of rows [row, row + count) of a column, which are there.
  [[nodiscard]] std::span<const std::byte> bytes(const JournalRows& from, std::size_t column,
                                                 std::uint64_t row, std::uint64_t count) const {
    std::size_t before = 0;
    for (std::size_t c = 0; c < column; ++c) before += row_bytes[c] * from.rows;
    return std::span(from.bytes)
        .subspan(before + (row - from.first_row) * row_bytes[column], count * row_bytes[column]);
  }

  // Puts the rows behind the last chunk of each column together.
  void fill_tails() {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      std::uint64_t next = columns[c].tail_row;
      for (const JournalRows& from : rows) {
        if (from.first_row > next || end_of(from) <= next) continue;
        const auto more = bytes(from, c, next, end_of(from) - next);
        columns[c].tail.insert(columns[c].tail.end(), more.begin(), more.end());
        next = end_of(from);
      }
    }
    rows.clear();
  }
};

class JournalRecording final : public RecordingBackend {
 public:
  JournalRecording(std::string journal_path, const std::string& part, FileCalls& calls)
      : calls_(calls), journal_path_(std::move(journal_path)) {
    path = part;
    guard = Recording::Guard::journal;
    status = "recording";
  }

  // `reader` has given its first record.
  void load(JournalReader& reader);
  void read(std::size_t stream, std::size_t column, std::uint64_t row, std::uint64_t count,
            std::span<std::byte> to) const override;

 private:
  void begin(const JournalBegin& from);
  void add(JournalChunk chunk);
  void add(JournalRows rows);
  [[nodiscard]] JournalStream& stream(std::uint32_t index);
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: {}", journal_path_, what));
  }
  void read_chunk(std::size_t stream, std::size_t column, const ChunkPlace& chunk,
                  std::uint64_t row, std::uint64_t count, std::span<std::byte> to) const;
  void read_rescued(std::size_t stream, std::size_t column, const ChunkPlace& chunk,
                    std::uint64_t row, std::uint64_t count, std::span<std::byte> to,
                    const std::string& why) const;

  FileCalls& calls_;
  std::string journal_path_;
  std::vector<JournalStream> loading_;
  std::vector<std::size_t> first_column_;  // of each stream, in file_
  std::optional<ChunkFile> file_;
  std::vector<ChunkColumn> without_file_;  // instead of file_ where the file is gone
  std::string gone_;                       // why

  // Rows that the journal still has of the chunk that was damaged last.
  struct Rescued {
    std::size_t stream = 0;
    std::uint64_t first_row = none;
    std::uint64_t end_row = 0;
    std::vector<JournalRows> rows;
  };
  mutable std::mutex rescue_;
  mutable Rescued rescued_;            // guarded by it
  std::vector<JournalStream> shapes_;  // of the streams: row sizes only
};

JournalStream& JournalRecording::stream(std::uint32_t index) {
  if (index >= loading_.size())
    fail(fmt::format("tells of stream {}, where there are {}", index, loading_.size()));
  return loading_[index];
}

void JournalRecording::begin(const JournalBegin& from) {
  title = from.info.title;
  start_time = from.info.start_time;
  configuration = from.info.configuration;
  provenance = from.info.provenance;
  state = from.info.state;
  if (from.chunk_rows.size() != from.info.streams.size())
    fail("does not tell the chunks of every stream");
  for (std::size_t s = 0; s < from.info.streams.size(); ++s) {
    JournalStream& to = loading_.emplace_back();
    to.recorded.info = from.info.streams[s];
    for (const ColumnInfo& info : columns_of(to.recorded.info)) {
      ChunkColumn& column = to.columns.emplace_back();
      column.name =
          fmt::format("{} '{}/{}'", info.kind == ColumnInfo::Kind::time_ns ? "column" : "channel",
                      to.recorded.info.name, info.name);
      column.row_bytes = static_cast<std::uint32_t>(info.row_bytes);
      column.chunk_rows = from.chunk_rows[s];
      to.row_bytes.push_back(info.row_bytes);
      to.all_row_bytes += info.row_bytes;
    }
  }
}

void JournalRecording::add(JournalChunk chunk) {
  JournalStream& to = stream(chunk.stream);
  if (chunk.column >= to.columns.size())
    fail(fmt::format("tells of column {} of stream '{}', which has {}", chunk.column,
                     to.recorded.info.name, to.columns.size()));
  ChunkColumn& column = to.columns[chunk.column];
  if (chunk.first_row != column.tail_row || chunk.rows > column.chunk_rows)
    fail(fmt::format("{}: a chunk of rows {} to {}, where row {} is next", column.name,
                     chunk.first_row, chunk.first_row + chunk.rows - 1, column.tail_row));
  column.deflated = chunk.deflated;
  column.chunks.push_back(
      {chunk.first_row, chunk.rows, chunk.filter_mask, chunk.address, chunk.length, chunk.crc32c});
  column.tail_row += chunk.rows;
  if (chunk.deflated && chunk.column % 2 == 0) journal->compressed = true;
  to.forget_rows();
}

void JournalRecording::add(JournalRows rows) {
  JournalStream& to = stream(rows.stream);
  if (rows.bytes.size() != rows.rows * to.all_row_bytes)
    fail(fmt::format("{} bytes for {} rows of stream '{}'", rows.bytes.size(), rows.rows,
                     to.recorded.info.name));
  to.rows.push_back(std::move(rows));
}

void JournalRecording::load(JournalReader& reader) {
  journal.emplace();
  begin(reader.begin());
  while (auto record = reader.next()) {
    std::visit(
        [&]<class T>(T&& r) {
          using Record = std::remove_cvref_t<T>;
          if constexpr (std::is_same_v<Record, JournalChunk> || std::is_same_v<Record, JournalRows>)
            add(std::move(r));
          else if constexpr (std::is_same_v<Record, JournalBooks>)
            stream(r.stream).add(std::move(r));
          else if constexpr (std::is_same_v<Record, RecordedEvent>)
            events.push_back(std::move(r));
          else if constexpr (std::is_same_v<Record, JournalLog>)
            log.push_back(std::move(r.line));
          else if constexpr (std::is_same_v<Record, JournalEnd>)
            journal->end = std::move(r);
          else
            fail("has a record that an HDF5 recording has not");
        },
        std::move(*record));
  }
  std::vector<ChunkColumn> columns;
  for (JournalStream& from : loading_) {
    from.fill_tails();
    if (from.open) from.recorded.segments.push_back(*from.open);
    from.recorded.rows = none;  // as many as the books tell of, wherever their bytes are
    fit_segments(from.recorded, journal_path_);
    if (from.recorded.segments.empty()) from.recorded.rows = 0;
    streams.push_back(std::move(from.recorded));
    first_column_.push_back(columns.size());
    std::ranges::move(from.columns, std::back_inserter(columns));
    from.columns.clear();
  }
  shapes_ = std::exchange(loading_, {});
  if (calls_.kind(path.c_str()) == PathKind::file)
    file_.emplace(calls_, path, std::move(columns));
  else
    without_file_ = std::move(columns);
}

void JournalRecording::read(std::size_t stream, std::size_t column, std::uint64_t row,
                            std::uint64_t count, std::span<std::byte> to) const {
  const std::size_t index = first_column_[stream] + column;
  const ChunkColumn& from = file_ ? file_->column(index) : without_file_[index];
  while (count > 0) {
    std::uint64_t n = 0;
    if (row < from.tail_row) {
      const ChunkPlace& chunk =
          *(std::ranges::upper_bound(from.chunks, row, {}, &ChunkPlace::first_row) - 1);
      n = std::min(count, chunk.first_row + chunk.rows - row);
      read_chunk(stream, column, chunk, row, n, to.first(n * from.row_bytes));
    } else {
      const std::uint64_t end = from.tail_row + from.tail.size() / from.row_bytes;
      if (row >= end)
        throw DamagedRows(fmt::format("{}: {}: rows {} to {} are neither in a chunk nor in {}",
                                      path, from.name, row, row + count - 1, journal_path_),
                          row, count);
      n = std::min(count, end - row);
      std::memcpy(to.data(), from.tail.data() + (row - from.tail_row) * from.row_bytes,
                  n * from.row_bytes);
    }
    row += n;
    count -= n;
    to = to.subspan(n * from.row_bytes);
  }
}

void JournalRecording::read_chunk(std::size_t stream, std::size_t column, const ChunkPlace& chunk,
                                  std::uint64_t row, std::uint64_t count,
                                  std::span<std::byte> to) const {
  std::string why = fmt::format("{}: is gone", path);
  if (file_) {
    try {
      file_->read(first_column_[stream] + column, row, count, to);
      return;
    } catch (const Error& error) {
      why = error.what();
    }
  }
  read_rescued(stream, column, chunk, row, count, to, why);
}

// Rows stay in the journal for a while after they have got into a chunk: these may be had still.
void JournalRecording::read_rescued(std::size_t stream, std::size_t column, const ChunkPlace& chunk,
                                    std::uint64_t row, std::uint64_t count, std::span<std::byte> to,
                                    const std::string& why) const {
  const std::scoped_lock lock(rescue_);
  const std::uint64_t chunk_end = chunk.first_row + chunk.rows;
  if (rescued_.stream != stream || rescued_.first_row > chunk.first_row ||
      rescued_.end_row < chunk_end) {
    rescued_ = {stream, chunk.first_row, chunk_end, {}};
    JournalReader reader(journal_path_, calls_);
    while (auto record = reader.next())
      if (auto* rows = std::get_if<JournalRows>(&*record); rows && rows->stream == stream &&
                                                           rows->first_row < chunk_end &&
                                                           end_of(*rows) > chunk.first_row)
        rescued_.rows.push_back(std::move(*rows));
  }
  const std::size_t row_bytes = shapes_[stream].row_bytes[column];
  const std::uint64_t end = row + count;
  for (std::uint64_t next = row; next < end;) {
    std::uint64_t first_behind = end;  // where the next rows that are there begin
    const JournalRows* from = nullptr;
    for (const JournalRows& rows : rescued_.rows) {
      if (rows.first_row <= next && end_of(rows) > next)
        from = &rows;
      else if (rows.first_row > next)
        first_behind = std::min(first_behind, rows.first_row);
    }
    if (!from) throw DamagedRows(why, next, first_behind - next);
    const std::uint64_t n = std::min(end, end_of(*from)) - next;
    const auto bytes = shapes_[stream].bytes(*from, column, next, n);
    std::memcpy(to.data() + (next - row) * row_bytes, bytes.data(), bytes.size());
    next += n;
  }
}

constexpr std::string_view part_ending = ".part";

// Whether it may be what a recorder wrote in place of `other`: digits where that has digits, and
// else the same.
bool is_time_like(std::string_view text, std::string_view other) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return std::ranges::equal(text, other,
                            [&](char a, char b) { return is_digit(a) ? is_digit(b) : a == b; });
}

// The start that an unfinished HDF5 file tells of, without HDF5, which a torn file might crash; of
// the form of `like`; empty: it is not found. The texts start_time, end_time and status follow each
// other, see h5::make_layout: the last two are 32 zeros, and "recording" with zeros up to 512
// bytes.
std::string start_in_hdf5(const File& part, std::string_view like) {
  constexpr std::size_t searched_bytes = 1 << 20;
  constexpr std::size_t end_time_bytes = 32;
  constexpr std::size_t status_bytes = 512;
  std::string marker(end_time_bytes, '\0');
  marker += "recording";
  marker.resize(end_time_bytes + status_bytes, '\0');
  std::string front(searched_bytes, '\0');
  front.resize(part.read_up_to(0, std::as_writable_bytes(std::span(front))));
  const std::size_t at = front.find(marker);
  if (at == std::string::npos || at < like.size()) return {};
  std::string start = front.substr(at - like.size(), like.size());
  return is_time_like(start, like) ? start : std::string();
}

// The start that stands beside an unfinished CSV file; empty: it is not known.
std::string start_beside_csv(const std::string& part, FileCalls& calls) {
  if (!part.ends_with(part_ending)) return {};
  std::string path = csv::metadata_path(part.substr(0, part.size() - part_ending.size()));
  path += part_ending;
  if (calls.kind(path.c_str()) != PathKind::file) return {};
  try {
    const File file(calls, path, File::Mode::read);
    std::string text(file.size(), '\0');
    file.read_at(0, std::as_writable_bytes(std::span(text)));
    return csv::metadata_from(path, text).start_time;
  } catch (const Error&) {
    return {};  // a power cut may have torn it; the journal has all that is needed of it
  }
}

// Whether the CSV file has samples that the journal vouches for. Not the header: that is the same
// in the next recording.
bool has_text_of(const File& part, const std::string& journal, FileCalls& calls) {
  JournalReader reader(journal, calls);
  while (const auto record = reader.next()) {
    const auto* text = std::get_if<JournalText>(&*record);
    if (!text || (text->offset == 0 && text->lines <= 1) || text->offset > part.size() ||
        text->length > part.size() - text->offset)
      continue;
    std::string bytes(text->length, '\0');
    part.read_at(text->offset, std::as_writable_bytes(std::span(bytes)));
    if (crc32c(std::as_bytes(std::span(bytes))) == text->crc32c) return true;
  }
  return false;
}

// Throws Error if the file is known to be of another recording than the journal.
void check_belongs(const std::string& journal, const JournalBegin& begin, const std::string& part,
                   FileCalls& calls) {
  const std::string& start = begin.info.start_time;
  if (start.empty() || calls.kind(part.c_str()) != PathKind::file) return;
  const File file(calls, part, File::Mode::read);
  std::string other;
  if (begin.format.starts_with("csv")) {
    other = start_beside_csv(part, calls);
    // What is beside may be of a recording before: only the text itself belongs to it for sure.
    if (!other.empty() && other != start && has_text_of(file, journal, calls)) return;
  } else {
    other = start_in_hdf5(file, start);
  }
  if (!other.empty() && other != start)
    throw Error(
        fmt::format("{}: is the journal of another recording: that one began at {}, {} at {}; "
                    "move it away, and put the one there that belongs to it",
                    journal, start, part, other));
}

}  // namespace

std::unique_ptr<RecordingBackend> open_by_journal(const std::string& journal,
                                                  const std::string& part, FileCalls& calls) {
  JournalReader reader(journal, calls);
  static_cast<void>(reader.next());  // what begin() tells
  const JournalBegin& begin = reader.begin();
  check_belongs(journal, begin, part, calls);
  std::unique_ptr<RecordingBackend> recording;
  if (begin.format.starts_with("csv")) {
    recording = open_csv_by_journal(reader, part, calls);
    if (!recording->journal) recording->journal.emplace();
  } else {
    auto by_chunks = std::make_unique<JournalRecording>(journal, part, calls);
    by_chunks->load(reader);
    recording = std::move(by_chunks);
  }
  JournalFacts& facts = *recording->journal;
  for (const std::byte b : reader.id()) facts.id += fmt::format("{:02x}", b);
  facts.format = begin.format;
  facts.commits = reader.commits();
  facts.lost_commits = reader.lost_commits();
  facts.good_bytes = reader.good_bytes();
  facts.tail = reader.tail();
  return recording;
}

}  // namespace spillway
