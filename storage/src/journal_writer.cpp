#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <exception>
#include <random>
#include <utility>

#include "calibration_json.hpp"
#include "columns.hpp"
#include "journal_format.hpp"
#include "json_error.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/output_file.hpp"
#include "stream_json.hpp"

namespace spillway {

namespace {

using journal::Encoder;
using journal::Frame;
using journal::FrameReader;
using journal::FrameType;
using journal::Json;

constexpr std::size_t write_bytes = 1 << 20;
constexpr std::size_t chunks_in_a_frame = 4096;

journal::Id random_id() {
  std::random_device random;
  std::array<std::uint32_t, 4> words{};
  for (std::uint32_t& word : words) word = random();
  return std::bit_cast<journal::Id>(words);
}

// A file that frames are appended to.
class FrameWriter {
 public:
  FrameWriter(FileCalls& calls, const std::string& path)
      : file_(calls, path, File::Mode::create), id_(random_id()) {
    if (!file_.try_lock(true)) {
      const int error = errno;
      calls.unlink(path.c_str());
      errno = error;
      fail_with_errno(path, "can't be locked");
    }
    buffer_.reserve(2 * write_bytes);
    Encoder(buffer_).bytes(journal::encode(journal::FileHeader{.id = id_}));
  }

  // What is appended to the result until finish() is the payload.
  Encoder start(FrameType type) {
    type_ = type;
    start_ = buffer_.size();
    buffer_.resize(start_ + journal::frame_header_bytes);
    return Encoder(buffer_);
  }
  Frame finish() {
    const std::size_t payload = start_ + journal::frame_header_bytes;
    Frame frame{.type = type_,
                .sequence = sequence_++,
                .at = written_ + start_,
                .payload_bytes = buffer_.size() - payload};
    buffer_.resize(payload + frame.padded_bytes());
    frame.payload_crc = journal::payload_crc(std::span(buffer_).subspan(payload), id_);
    std::ranges::copy(journal::encode(frame, id_),
                      buffer_.begin() + static_cast<std::ptrdiff_t>(start_));
    if (buffer_.size() >= write_bytes) {
      const std::uint64_t at = written_;
      write();
      // So that less is left for the sync of the commit.
      file_.calls().start_writeback(file_.descriptor(), static_cast<off_t>(at),
                                    static_cast<off_t>(written_ - at));
    }
    return frame;
  }
  Frame commit(std::uint64_t number, bool sync) {
    start(FrameType::commit).number(number);
    const Frame frame = finish();
    write();
    if (sync) file_.sync();
    return frame;
  }

  [[nodiscard]] File& file() noexcept { return file_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return written_; }

 private:
  void write() {
    file_.write_at(written_, buffer_);
    written_ += buffer_.size();
    buffer_.clear();
  }

  File file_;
  journal::Id id_;
  std::uint64_t written_ = 0;  // in the file; behind it comes what is in the buffer
  std::vector<std::byte> buffer_;
  std::uint64_t sequence_ = 0;
  FrameType type_{};
  std::size_t start_ = 0;
};

void encode_begin(Encoder to, const JournalBegin& begin) {
  const RecordingInfo& info = begin.info;
  Json streams = Json::array();
  for (const StreamInfo& stream : info.streams) streams.push_back(to_json(stream));
  const std::pair<std::string_view, std::string> fields[] = {
      {"format", begin.format},
      {"file", begin.file},
      {"path", begin.path},
      {"durability", to_string(begin.durability)},
      {"title", info.title},
      {"start_time", info.start_time},
      {"configuration", info.configuration},
      {"provenance", info.provenance},
      {"streams", streams.dump()},
      {"chunk_rows", Json(begin.chunk_rows).dump()},
      {"state", info.state}};
  to.number(std::uint64_t{std::size(fields)});
  for (const auto& [key, value] : fields) {
    to.text(key);
    to.text(value);
  }
}

void encode_segment(Encoder& to, const Segment& segment) {
  to.number(segment.first_sample);
  to.number(segment.row);
  to.number(segment.count);
  to.number(segment.t0_ns);
  to.number(segment.clock_sample);
  to.number(segment.clock_ns);
}

void encode_books(Encoder to, const JournalBooks& books) {
  to.number(books.stream);
  to.number((books.open ? journal::has_open_segment : 0) |
            (books.replaces_last_gap ? journal::replaces_last_gap : 0));
  to.number(books.counts.produced);
  to.number(books.counts.recorded);
  to.number(books.counts.lost);
  to.number(books.counts.missing);
  to.number(std::uint64_t{books.finished.size()});
  to.number(std::uint64_t{books.gaps.size()});
  to.number(std::uint64_t{books.anchors.size()});
  to.number(std::uint64_t{books.calibrations.size()});
  if (books.open) encode_segment(to, *books.open);
  for (const Segment& segment : books.finished) encode_segment(to, segment);
  for (const Gap& gap : books.gaps) {
    to.number(gap.first_sample);
    to.number(gap.count);
    to.number(gap.lost);
    to.number(gap.missing);
    to.number(static_cast<std::uint32_t>(gap.cause));
  }
  for (const Anchor& anchor : books.anchors) {
    to.number(anchor.sample.value);
    to.number(std::int64_t{anchor.time.count()});
    to.number(anchor.ticks);
  }
  for (const CalibrationChange& change : books.calibrations) {
    Json set = Json::array();
    for (const Calibration& calibration : change.calibrations) set.push_back(to_json(calibration));
    to.number(change.from_sample);
    to.text(set.dump());
  }
}

// Books with nothing in their tables: the next ones of the stream say all of it anew.
bool is_bare(std::span<const std::byte> books) {
  journal::Decoder from(books);
  from.bytes(2 * sizeof(std::uint32_t) + 4 * sizeof(std::uint64_t));  // the counts
  const auto lengths = from.bytes(4 * sizeof(std::uint64_t));
  return std::ranges::all_of(lengths, [](std::byte b) { return b == std::byte{0}; });
}

bool all_the_same(std::span<const std::byte> column, std::size_t row_bytes) {
  return column.size() <= row_bytes ||
         std::memcmp(column.data(), column.data() + row_bytes, column.size() - row_bytes) == 0;
}

}  // namespace

struct JournalWriter::Impl {
  // Rows in the journal that chunks have not replaced.
  struct LiveRows {
    std::uint64_t end_row = 0;
    std::uint64_t bytes = 0;  // of the frame
  };
  struct PerStream {
    std::vector<std::size_t> row_bytes;    // of each column
    std::vector<std::uint64_t> in_chunks;  // of each column: rows in front of this one
    std::deque<LiveRows> live;
    // The last books, and the bytes of the frame if all of it is said again by the next.
    std::uint64_t last_books_at = 0;
    std::uint64_t replaceable = 0;

    [[nodiscard]] std::uint64_t replaced_rows() const {
      return in_chunks.empty() ? 0 : *std::ranges::min_element(in_chunks);
    }
  };

  Impl(std::string journal_path, const JournalBegin& begin, FileCalls& file_calls,
       std::uint64_t compact_above_bytes)
      : calls(&file_calls),
        path(std::move(journal_path)),
        full(begin.durability == Durability::full),
        compact_above(compact_above_bytes),
        out(make()) {
    for (const StreamInfo& info : begin.info.streams) {
      PerStream& stream = streams.emplace_back();
      for (const ColumnInfo& column : columns_of(info))
        stream.row_bytes.push_back(column.row_bytes);
      stream.in_chunks.resize(stream.row_bytes.size());
    }
    try {
      write_begin(begin);
      commits = 1;
      dead += out.commit(commits, full).bytes();
      take_place(out, false);
      sync_directory();
    } catch (...) {
      calls->unlink(out.file().path().c_str());
      throw;
    }
  }

  [[nodiscard]] std::string beside() const { return path + ".new"; }

  // It grows under another name until it holds something: so a journal under its own name is
  // always locked, or its writer is dead.
  FrameWriter make() {
    if (calls->kind(path.c_str()) != PathKind::nothing)
      throw Error(fmt::format("{}: the journal of an unfinished recording stands here", path));
    return make_beside();
  }
  FrameWriter make_beside() {
    if (calls->kind(beside().c_str()) == PathKind::file) calls->unlink(beside().c_str());
    return {*calls, beside()};
  }

  void take_place(FrameWriter& writer, bool replace) {
    if (calls->rename(beside().c_str(), path.c_str(), replace) != 0)
      fail_with_errno(path, "can't be made");
    writer.file().renamed(path);
  }
  void sync_directory() {
    if (!full) return;
    const std::string directory = directory_of(path);
    if (calls->sync_directory(directory.c_str()) != 0)
      fail_with_errno(directory, "can't be synced");
  }

  void write_begin(const JournalBegin& begin) {
    std::vector<std::byte> payload;
    try {
      encode_begin(Encoder(payload), begin);
      // What can't be read back would be noticed when it is needed.
      static_cast<void>(journal::decode_begin(payload, false));
    } catch (const std::exception& error) {
      throw Error(
          fmt::format("{}: the recording can't be described: {}", path, json_error_text(error)));
    }
    out.start(FrameType::begin).bytes(payload);
    out.finish();
  }

  // Runs `f` unless something failed before.
  template <class F>
  void guarded(F&& f) {
    if (failure) std::rethrow_exception(failure);
    try {
      f();
    } catch (...) {
      failure = std::current_exception();
      throw;
    }
  }

  PerStream& stream(std::uint32_t index) {
    if (index >= streams.size())
      throw Error(fmt::format("{}: stream {} where there are {}", path, index, streams.size()));
    return streams[index];
  }

  // Everything but chunks comes through here: chunks that were added before come before it.
  template <class F>
  Frame add_frame(FrameType type, F&& encode_payload) {
    finish_chunks();
    encode_payload(out.start(type));
    pending = true;
    return out.finish();
  }

  void finish_chunks() {
    if (chunks.empty()) return;
    out.start(FrameType::chunks).bytes(chunks);
    out.finish();
    chunks.clear();
  }

  void add_chunk(const JournalChunk& chunk) {
    PerStream& of = stream(chunk.stream);
    if (chunk.column >= of.in_chunks.size())
      throw Error(fmt::format("{}: column {} of stream {}, which has {}", path, chunk.column,
                              chunk.stream, of.in_chunks.size()));
    Encoder to(chunks);
    to.number(chunk.stream);
    to.number(chunk.column);
    to.number(chunk.first_row);
    to.number(chunk.rows);
    to.number(chunk.filter_mask);
    to.number(chunk.address);
    to.number(chunk.length);
    to.number(chunk.crc32c);
    to.number(chunk.deflated ? journal::is_deflated : 0);
    pending = true;
    if (chunks.size() >= chunks_in_a_frame * journal::chunk_bytes) finish_chunks();

    std::uint64_t& in_chunks = of.in_chunks[chunk.column];
    // Behind a hole it replaces nothing: rows are kept rather than lost.
    if (chunk.first_row <= in_chunks) in_chunks = std::max(in_chunks, chunk.first_row + chunk.rows);
    const std::uint64_t replaced = of.replaced_rows();
    while (!of.live.empty() && of.live.front().end_row <= replaced) {
      dead += of.live.front().bytes;
      of.live.pop_front();
    }
  }

  void add_rows(std::uint32_t index, std::uint64_t first_row, std::uint32_t rows,
                std::span<const std::span<const std::byte>> columns) {
    PerStream& of = stream(index);
    if (columns.size() != of.row_bytes.size())
      throw Error(fmt::format("{}: {} columns of stream {}, which has {}", path, columns.size(),
                              index, of.row_bytes.size()));
    std::uint64_t row_bytes = 0;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      row_bytes += of.row_bytes[c];
      if (columns[c].size() != rows * of.row_bytes[c])
        throw Error(fmt::format("{}: {} bytes for {} rows of column {} of stream {}", path,
                                columns[c].size(), rows, c, index));
    }
    if (row_bytes > journal::most_row_bytes)
      throw Error(fmt::format("{}: a row of stream {} has {} bytes; at most {} are allowed", path,
                              index, row_bytes, journal::most_row_bytes));
    const auto at_once = static_cast<std::uint32_t>(
        std::max<std::uint64_t>(1, write_bytes / std::max<std::uint64_t>(row_bytes, 1)));
    for (std::uint32_t row = 0; row < rows;) {
      const std::uint32_t count = std::min(rows - row, at_once);
      const Frame frame = add_frame(FrameType::rows, [&](Encoder to) {
        to.number(index);
        to.number(count);
        to.number(first_row + row);
        to.number(static_cast<std::uint32_t>(columns.size()));
        const auto part = [&](std::size_t c) {
          return columns[c].subspan(row * of.row_bytes[c], count * of.row_bytes[c]);
        };
        std::vector<bool> same(columns.size());
        for (std::size_t c = 0; c < columns.size(); ++c) {
          same[c] = all_the_same(part(c), of.row_bytes[c]);
          to.number(static_cast<std::uint8_t>(of.row_bytes[c] |
                                              (same[c] ? journal::same_throughout : 0U)));
        }
        for (std::size_t c = 0; c < columns.size(); ++c)
          to.bytes(same[c] ? part(c).first(of.row_bytes[c]) : part(c));
      });
      row += count;
      of.live.push_back({first_row + row, frame.bytes()});
    }
  }

  void add_books(const JournalBooks& books) {
    PerStream& of = stream(books.stream);
    if (books.replaces_last_gap && books.gaps.empty())
      throw Error(fmt::format("{}: books of stream {} replace a gap by none", path, books.stream));
    std::vector<std::byte> payload;
    encode_books(Encoder(payload), books);
    const Frame frame = add_frame(FrameType::books, [&](Encoder to) { to.bytes(payload); });
    dead += of.replaceable;
    of.replaceable = is_bare(payload) ? frame.bytes() : 0;
    of.last_books_at = frame.at;
  }

  void commit() {
    if (!pending) return;
    finish_chunks();
    dead += out.commit(commits + 1, full).bytes();
    ++commits;
    pending = false;
    if (out.bytes() > compact_above && dead > out.bytes() / 2) compact();
  }

  // Writes what is still needed anew, beside, and puts it in the place of the journal. A crash
  // leaves the one or the other.
  void compact() {
    std::optional<FrameWriter> anew;
    std::vector<std::uint64_t> books_at(streams.size());
    std::uint64_t dead_anew = 0;
    try {
      require_free_space(path, out.bytes() - dead, *calls);
      anew.emplace(make_beside());
      copy_needed(*anew, books_at);
      dead_anew = anew->commit(commits, full).bytes();
      take_place(*anew, true);
    } catch (const Error&) {
      // The journal is as it was. Once more when it is twice as long.
      if (anew) calls->unlink(beside().c_str());
      compact_above = std::max(compact_above, 2 * out.bytes());
      return;
    }
    // From here on the new one is written, so it must be the one that a power cut leaves.
    out = std::move(*anew);
    for (std::size_t s = 0; s < streams.size(); ++s) streams[s].last_books_at = books_at[s];
    dead = dead_anew;
    sync_directory();
  }

  void copy_needed(FrameWriter& anew, std::vector<std::uint64_t>& books_at) {
    FrameReader reader(out.file(), out.bytes());
    reader.read_file_header();
    std::vector<std::byte> payload;
    std::string why;
    for (std::uint64_t at = journal::file_header_bytes; at < out.bytes();) {
      const std::optional<Frame> frame = reader.frame_at(at, why);
      // Checked, so that damage on the disk does not get a right checksum.
      if (!frame || !reader.read_payload(*frame, payload))
        throw Error(fmt::format("{}: byte {}: is not what was written", path, at));
      at = frame->end();
      if (!is_needed(*frame, payload)) continue;
      anew.start(frame->type).bytes(payload);
      const Frame copy = anew.finish();
      if (frame->type == FrameType::books) books_at[stream_of(payload)] = copy.at;
    }
  }

  static std::uint32_t stream_of(std::span<const std::byte> payload) {
    return journal::Decoder(payload).number<std::uint32_t>();
  }

  [[nodiscard]] bool is_needed(const Frame& frame, std::span<const std::byte> payload) const {
    if (frame.type == FrameType::commit) return false;
    if (frame.type == FrameType::rows) {
      journal::Decoder from(payload);
      const PerStream& of = streams[from.number<std::uint32_t>()];
      const auto rows = from.number<std::uint32_t>();
      return from.number<std::uint64_t>() + rows > of.replaced_rows();
    }
    if (frame.type == FrameType::books) {
      return frame.at == streams[stream_of(payload)].last_books_at || !is_bare(payload);
    }
    return true;
  }

  FileCalls* calls;
  std::string path;
  bool full;
  std::uint64_t compact_above;
  std::vector<PerStream> streams;
  std::vector<std::byte> chunks;  // added, and in no frame yet
  bool pending = false;           // something was added since the last commit
  std::uint64_t commits = 0;
  std::uint64_t dead = 0;  // bytes of frames that nobody needs any more
  std::exception_ptr failure;
  FrameWriter out;
};

JournalWriter::JournalWriter(std::string journal_path, const JournalBegin& begin, FileCalls& calls,
                             std::uint64_t compact_above)
    : impl_(std::make_unique<Impl>(std::move(journal_path), begin, calls, compact_above)) {}

JournalWriter::~JournalWriter() = default;
JournalWriter::JournalWriter(JournalWriter&&) noexcept = default;
JournalWriter& JournalWriter::operator=(JournalWriter&&) noexcept = default;

void JournalWriter::add(const JournalChunk& chunk) {
  impl_->guarded([&] { impl_->add_chunk(chunk); });
}

void JournalWriter::add_rows(std::uint32_t stream, std::uint64_t first_row, std::uint32_t rows,
                             std::span<const std::span<const std::byte>> columns) {
  impl_->guarded([&] { impl_->add_rows(stream, first_row, rows, columns); });
}

void JournalWriter::add(const JournalText& text) {
  impl_->guarded([&] {
    impl_->add_frame(FrameType::text, [&](Encoder to) {
      to.number(text.offset);
      to.number(text.length);
      to.number(text.lines);
      to.number(text.crc32c);
    });
  });
}

void JournalWriter::add(const JournalBooks& books) {
  impl_->guarded([&] { impl_->add_books(books); });
}

void JournalWriter::add(const RecordedEvent& event) {
  impl_->guarded([&] {
    impl_->add_frame(FrameType::event, [&](Encoder to) {
      to.number(event.time_ns);
      to.number(event.first);
      to.number(event.count);
      to.text(event.kind);
      to.text(event.subject);
      to.text(event.text);
    });
  });
}

void JournalWriter::add_log(std::string_view line) {
  impl_->guarded([&] { impl_->add_frame(FrameType::log, [&](Encoder to) { to.text(line); }); });
}

void JournalWriter::add(const JournalEnd& end) {
  impl_->guarded([&] {
    impl_->add_frame(FrameType::end, [&](Encoder to) {
      to.number((end.ending.complete ? journal::is_complete : 0) |
                (end.ending.recovered ? journal::is_recovered : 0));
      to.text(end.ending.reason);
      to.text(end.end_time);
    });
  });
}

void JournalWriter::commit() {
  impl_->guarded([&] { impl_->commit(); });
}

std::uint64_t JournalWriter::bytes() const noexcept { return impl_->out.bytes(); }
std::uint64_t JournalWriter::commits() const noexcept { return impl_->commits; }

void JournalWriter::remove() {
  Impl& impl = *impl_;
  if (impl.calls->unlink(impl.path.c_str()) != 0 && errno != ENOENT)
    fail_with_errno(impl.path, "can't be removed");
  if (impl.calls->kind(impl.beside().c_str()) == PathKind::file)
    impl.calls->unlink(impl.beside().c_str());
  impl.failure = std::make_exception_ptr(Error(fmt::format("{}: was removed", impl.path)));
  // Locked until nobody finds it any more.
  impl.out.file().close();
  impl.sync_directory();
}

}  // namespace spillway
