#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <type_traits>
#include <utility>

#include "calibration_json.hpp"
#include "columns.hpp"
#include "journal_format.hpp"
#include "json_error.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using journal::Decoder;
using journal::Frame;
using journal::FrameReader;
using journal::FrameType;

Segment decode_segment(Decoder& from) {
  Segment segment;
  segment.first_sample = from.number<std::uint64_t>();
  segment.row = from.number<std::uint64_t>();
  segment.count = from.number<std::uint64_t>();
  segment.t0_ns = from.number<std::int64_t>();
  segment.clock_sample = from.number<std::uint64_t>();
  segment.clock_ns = from.number<std::int64_t>();
  return segment;
}

Gap decode_gap(Decoder& from) {
  Gap gap;
  gap.first_sample = from.number<std::uint64_t>();
  gap.count = from.number<std::uint64_t>();
  gap.lost = from.number<std::uint64_t>();
  gap.missing = from.number<std::uint64_t>();
  const auto cause = from.number<std::uint32_t>();
  if (cause > static_cast<std::uint32_t>(Absence::damaged))
    throw Error(fmt::format("a gap of the unknown cause {}", cause));
  gap.cause = static_cast<Absence>(cause);
  return gap;
}

Anchor decode_anchor(Decoder& from) {
  Anchor anchor;
  anchor.sample = {from.number<std::uint64_t>()};
  anchor.time = Time(from.number<std::int64_t>());
  anchor.ticks = from.number<std::uint64_t>();
  return anchor;
}

CalibrationChange decode_calibrations(Decoder& from, std::size_t channels) {
  CalibrationChange change;
  change.from_sample = from.number<std::uint64_t>();
  const journal::Json json = journal::parse_json(from.text());
  if (!json.is_array() || json.size() != channels)
    throw Error(fmt::format("calibrations for other than the {} channels", channels));
  for (const journal::Json& calibration : json) {
    change.calibrations.push_back(calibration_from_json(calibration));
    check(change.calibrations.back(), "a calibration");
  }
  return change;
}

void check_rows(std::uint64_t first_row, std::uint32_t rows) {
  std::uint64_t end = 0;
  if (rows == 0 || __builtin_add_overflow(first_row, rows, &end))
    throw Error(fmt::format("{} rows from row {} on", rows, first_row));
}

JournalText decode_text(Decoder& from) {
  JournalText text;
  text.offset = from.number<std::uint64_t>();
  text.length = from.number<std::uint64_t>();
  text.lines = from.number<std::uint64_t>();
  text.crc32c = from.number<std::uint32_t>();
  return text;
}

RecordedEvent decode_event(Decoder& from) {
  RecordedEvent event;
  event.time_ns = from.number<std::int64_t>();
  event.first = from.number<std::uint64_t>();
  event.count = from.number<std::uint64_t>();
  event.kind = from.text();
  event.subject = from.text();
  event.text = from.text();
  return event;
}

JournalEnd decode_end(Decoder& from, bool later_minor) {
  JournalEnd end;
  const auto flags = from.number<std::uint32_t>();
  if (flags > (journal::is_complete | journal::is_recovered) && !later_minor)
    throw Error(fmt::format("an end with the unknown flags {:#x}", flags));
  end.ending.complete = (flags & journal::is_complete) != 0;
  end.ending.recovered = (flags & journal::is_recovered) != 0;
  end.ending.reason = from.text();
  end.end_time = from.text();
  end.ending.end_time = end.end_time;
  return end;
}

}  // namespace

struct JournalReader::Impl {
  Impl(const std::string& path, FileCalls& calls) : file(open(path, calls)), frames(start()) {
    frames.read_file_header();
    later_minor = frames.header().minor > journal::minor_version;
    scan();
    if (commits == 0)
      throw Error(fmt::format("{}: nothing of the journal can be read: {}", path,
                              tail.empty() ? "it is empty" : tail));
    std::string why;
    const std::optional<Frame> first = frames.frame_at(at, why);
    if (!first || first->type != FrameType::begin)
      fail(at, "a journal must begin with the record that describes the recording");
    take_payload(*first);
    at_frame(at, [&] { begin = journal::decode_begin(payload, later_minor); });
    for (const StreamInfo& info : begin.info.streams) columns.push_back(columns_of(info));
    at = first->end();
  }

  // Opens and tries to lock it. While it was opened its writer may have put another in its place,
  // and let go of this one: then it tells nothing of whether the writer lives.
  File open(const std::string& path, FileCalls& calls) {
    for (;;) {
      File opened(calls, path, File::Mode::read);
      in_use = !opened.try_lock(false);
      if (in_use || id_of(opened) == id_of(File(calls, path, File::Mode::read))) return opened;
    }
  }
  static std::array<std::byte, journal::file_header_bytes> id_of(const File& file) {
    std::array<std::byte, journal::file_header_bytes> header{};
    static_cast<void>(file.read_up_to(0, header));
    return header;
  }
  FrameReader start() { return {file, file.size()}; }

  // Finds the last commit.
  void scan() {
    std::uint64_t sequence = 0;
    std::uint64_t place = journal::file_header_bytes;
    std::uint64_t uncommitted = 0;
    std::string why;
    for (; place < frames.size(); ++sequence) {
      const std::optional<Frame> frame = check_frame(place, sequence, why);
      if (!frame) break;
      place = frame->end();
      ++uncommitted;
      if (frame->type == FrameType::commit) {
        good = place;
        uncommitted = 0;
      }
    }
    if (place < frames.size()) {
      tail = fmt::format("byte {}: {}", place, why);
      find_lost_commits(place);
    } else if (uncommitted > 0) {
      tail = fmt::format("byte {}: {} whole frames, but no commit behind them", good, uncommitted);
    }
  }

  std::optional<Frame> check_frame(std::uint64_t place, std::uint64_t sequence, std::string& why) {
    const std::optional<Frame> frame = frames.frame_at(place, why);
    if (!frame) return std::nullopt;
    if (frame->sequence != sequence) {
      why = fmt::format("frame {} where frame {} must be", frame->sequence, sequence);
      return std::nullopt;
    }
    if (!frames.is_whole(*frame)) {
      why = "the checksum of the payload of a frame is wrong";
      return std::nullopt;
    }
    if (frame->type == FrameType::commit) {
      const std::uint64_t number = commit_number(*frame);
      if (number == 0 || (commits != 0 && number != commits + 1)) {
        why = fmt::format("commit {} behind commit {}", number, commits);
        return std::nullopt;
      }
      commits = number;
    }
    return frame;
  }

  // 0: it has none.
  std::uint64_t commit_number(const Frame& frame) {
    if (frame.payload_bytes != sizeof(std::uint64_t) || !frames.read_payload(frame, payload))
      return 0;
    return Decoder(payload).number<std::uint64_t>();
  }

  // A commit had returned if anything was written behind it; of the very last one nobody can tell.
  // Headers are enough, but for commits, so that the effort is linear whatever the file says.
  void find_lost_commits(std::uint64_t place) {
    std::uint64_t last = 0;
    std::uint64_t last_sequence = 0;
    std::uint64_t returned = 0;
    std::string ignored;
    for (auto found = frames.find_magic(place); found;
         found = frames.find_magic(*found + journal::alignment)) {
      const std::optional<Frame> frame = frames.frame_at(*found, ignored);
      if (!frame) continue;
      if (last != 0 && frame->sequence > last_sequence) returned = std::max(returned, last);
      if (frame->type != FrameType::commit) continue;
      const std::uint64_t number = commit_number(*frame);
      if (number <= last) continue;
      // Every commit in front of this one had returned.
      returned = std::max(returned, number - 1);
      last = number;
      last_sequence = frame->sequence;
    }
    lost = returned > commits ? returned - commits : 0;
    if (lost > 0)
      tail += fmt::format("; {} commit{} behind that {} lost", lost, lost == 1 ? "" : "s",
                          lost == 1 ? "is" : "are");
  }

  [[noreturn]] void fail(std::uint64_t place, const std::string& what) const {
    throw Error(fmt::format("{}: byte {}: {}", file.path(), place, what));
  }

  // What a payload is made of is not ours to trust: any exception is an error of this frame.
  template <class F>
  std::invoke_result_t<F> at_frame(std::uint64_t place, F&& f) {
    try {
      return f();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      fail(place, fmt::format("a frame with right checksums is wrong: {}", json_error_text(error)));
    }
  }

  void take_payload(const Frame& frame) {
    if (!frames.read_payload(frame, payload))
      fail(frame.at, "the checksum of the payload of a frame is wrong, and was right before");
  }

  const std::vector<ColumnInfo>& columns_of_stream(std::uint32_t stream) const {
    if (stream >= columns.size())
      throw Error(fmt::format("stream {} where there are {}", stream, columns.size()));
    return columns[stream];
  }

  JournalChunk decode_chunk(Decoder from) const {
    JournalChunk chunk;
    chunk.stream = from.number<std::uint32_t>();
    chunk.column = from.number<std::uint32_t>();
    chunk.first_row = from.number<std::uint64_t>();
    chunk.rows = from.number<std::uint32_t>();
    chunk.filter_mask = from.number<std::uint32_t>();
    chunk.address = from.number<std::uint64_t>();
    chunk.length = from.number<std::uint32_t>();
    chunk.crc32c = from.number<std::uint32_t>();
    const auto flags = from.number<std::uint32_t>();
    chunk.deflated = (flags & journal::is_deflated) != 0;
    if (flags > journal::is_deflated && !later_minor)
      throw Error(fmt::format("a chunk with the unknown flags {:#x}", flags));
    const std::size_t there = columns_of_stream(chunk.stream).size();
    if (chunk.column >= there)
      throw Error(
          fmt::format("column {} of stream {}, which has {}", chunk.column, chunk.stream, there));
    check_rows(chunk.first_row, chunk.rows);
    return chunk;
  }

  JournalRows decode_rows(Decoder& from) const {
    JournalRows rows;
    rows.stream = from.number<std::uint32_t>();
    rows.rows = from.number<std::uint32_t>();
    rows.first_row = from.number<std::uint64_t>();
    check_rows(rows.first_row, rows.rows);
    const std::vector<ColumnInfo>& infos = columns_of_stream(rows.stream);
    const auto count = from.number<std::uint32_t>();
    if (count != infos.size())
      throw Error(
          fmt::format("{} columns of stream {}, which has {}", count, rows.stream, infos.size()));
    const auto kinds = from.bytes(count);
    std::uint64_t row_bytes = 0;
    for (std::size_t c = 0; c < count; ++c) {
      const auto kind = std::to_integer<std::uint8_t>(kinds[c]);
      if ((kind & ~journal::same_throughout) != infos[c].row_bytes)
        throw Error(fmt::format("a column '{}' of the form {:#x}", infos[c].name, kind));
      row_bytes += infos[c].row_bytes;
    }
    if (row_bytes * rows.rows > journal::most_row_bytes)
      throw Error(fmt::format("{} rows of {} bytes in one frame", rows.rows, row_bytes));
    rows.bytes.reserve(row_bytes * rows.rows);
    for (std::size_t c = 0; c < count; ++c) {
      const bool same = (std::to_integer<std::uint8_t>(kinds[c]) & journal::same_throughout) != 0;
      const auto bytes = from.bytes(infos[c].row_bytes * (same ? 1 : rows.rows));
      for (std::uint32_t i = 0; i < (same ? rows.rows : 1); ++i)
        rows.bytes.insert(rows.bytes.end(), bytes.begin(), bytes.end());
    }
    return rows;
  }

  JournalBooks decode_books(Decoder& from) const {
    JournalBooks books;
    books.stream = from.number<std::uint32_t>();
    static_cast<void>(columns_of_stream(books.stream));
    const auto flags = from.number<std::uint32_t>();
    if (flags > (journal::has_open_segment | journal::replaces_last_gap) && !later_minor)
      throw Error(fmt::format("books with the unknown flags {:#x}", flags));
    books.counts.produced = from.number<std::uint64_t>();
    books.counts.recorded = from.number<std::uint64_t>();
    books.counts.lost = from.number<std::uint64_t>();
    books.counts.missing = from.number<std::uint64_t>();
    std::array<std::uint64_t, 4> lengths{};
    for (std::uint64_t& length : lengths) length = from.number<std::uint64_t>();
    const auto [finished, gaps, anchors, calibrations] = lengths;
    if (flags & journal::has_open_segment) books.open = decode_segment(from);
    books.replaces_last_gap = (flags & journal::replaces_last_gap) != 0;
    if (books.replaces_last_gap && gaps == 0) throw Error("no gap in the place of the last one");
    from.require(finished, journal::segment_bytes);
    for (std::uint64_t i = 0; i < finished; ++i) books.finished.push_back(decode_segment(from));
    from.require(gaps, journal::gap_bytes);
    for (std::uint64_t i = 0; i < gaps; ++i) books.gaps.push_back(decode_gap(from));
    from.require(anchors, journal::anchor_bytes);
    for (std::uint64_t i = 0; i < anchors; ++i) books.anchors.push_back(decode_anchor(from));
    const std::size_t channels = begin.info.streams[books.stream].channels.size();
    for (std::uint64_t i = 0; i < calibrations; ++i)
      books.calibrations.push_back(decode_calibrations(from, channels));
    return books;
  }

  std::optional<JournalRecord> decode(const Frame& frame) {
    Decoder from(payload);
    std::optional<JournalRecord> record;
    switch (frame.type) {
      case FrameType::begin: throw Error("a second beginning");
      case FrameType::rows: record = decode_rows(from); break;
      case FrameType::text: record = decode_text(from); break;
      case FrameType::books: record = decode_books(from); break;
      case FrameType::event: record = decode_event(from); break;
      case FrameType::log: record = JournalLog{from.text()}; break;
      case FrameType::end: record = decode_end(from, later_minor); break;
      case FrameType::chunks:
      case FrameType::commit: return std::nullopt;  // elsewhere
      default:
        if (!later_minor)
          throw Error(fmt::format("the unknown type {}", static_cast<unsigned>(frame.type)));
        return std::nullopt;
    }
    if (from.left() > 0 && !later_minor) throw Error(fmt::format("{} bytes too many", from.left()));
    return record;
  }

  std::optional<JournalRecord> next() {
    if (!begin_told) {
      begin_told = true;
      return begin;
    }
    for (;;) {
      if (!chunks.empty()) {
        const Decoder from(chunks.first(journal::chunk_bytes));
        chunks = chunks.subspan(journal::chunk_bytes);
        return at_frame(chunks_at, [&] { return decode_chunk(from); });
      }
      if (at >= good) return std::nullopt;
      std::string why;
      const std::optional<Frame> frame = frames.frame_at(at, why);
      if (!frame) fail(at, why);
      take_payload(*frame);
      at = frame->end();
      if (frame->type == FrameType::chunks) {
        if (payload.size() % journal::chunk_bytes != 0)
          fail(frame->at, "a frame with right checksums is wrong: not a whole number of chunks");
        chunks = payload;
        chunks_at = frame->at;
        continue;
      }
      auto record = at_frame(frame->at, [&] { return decode(*frame); });
      if (record) return record;
    }
  }

  bool in_use = false;
  File file;
  FrameReader frames;
  bool later_minor = false;
  JournalBegin begin;
  std::vector<std::vector<ColumnInfo>> columns;  // of each stream
  std::uint64_t commits = 0;
  std::uint64_t good = 0;
  std::uint64_t lost = 0;
  std::string tail;

  bool begin_told = false;
  std::uint64_t at = journal::file_header_bytes;  // of the next frame
  std::vector<std::byte> payload;
  std::span<const std::byte> chunks;  // of the payload, not told yet
  std::uint64_t chunks_at = 0;
};

JournalReader::JournalReader(const std::string& path, FileCalls& calls)
    : impl_(std::make_unique<Impl>(path, calls)) {}
JournalReader::~JournalReader() = default;
JournalReader::JournalReader(JournalReader&&) noexcept = default;
JournalReader& JournalReader::operator=(JournalReader&&) noexcept = default;

const JournalBegin& JournalReader::begin() const noexcept { return impl_->begin; }
const std::array<std::byte, 16>& JournalReader::id() const noexcept {
  return impl_->frames.header().id;
}
bool JournalReader::in_use() const noexcept { return impl_->in_use; }
std::optional<JournalRecord> JournalReader::next() { return impl_->next(); }
std::uint64_t JournalReader::commits() const noexcept { return impl_->commits; }
std::uint64_t JournalReader::good_bytes() const noexcept { return impl_->good; }
std::uint64_t JournalReader::size() const noexcept { return impl_->frames.size(); }
const std::string& JournalReader::tail() const noexcept { return impl_->tail; }
std::uint64_t JournalReader::lost_commits() const noexcept { return impl_->lost; }

}  // namespace spillway
