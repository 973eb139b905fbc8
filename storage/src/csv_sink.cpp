#include "spillway/storage/csv_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "calibrations_beside.hpp"
#include "csv_format.hpp"
#include "csv_metadata.hpp"
#include "csv_number.hpp"
#include "file.hpp"
#include "recorded_time.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/first_failure.hpp"
#include "spillway/storage/journal.hpp"
#include "xxh3.hpp"

namespace spillway {

namespace {

using csv::put_number;

char* put(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

char* put_quality(char* out, Quality quality) noexcept {
  const csv::QualityField& field = csv::quality_fields[quality.byte()];
  std::memcpy(out, field.text.data(), field.text.size());
  return out + field.size;
}

// Value `index` of a lane and its quality.
using PutSample = char* (*)(char* out, const std::byte* values, const Quality* quality,
                            std::size_t index) noexcept;

PutSample put_sample_of(SampleType type) {
  return visit_sample_type(type, []<class T>(std::type_identity<T>) -> PutSample {
    return
        [](char* out, const std::byte* values, const Quality* quality, std::size_t index) noexcept {
          out = put_number(out, reinterpret_cast<const T*>(values)[index]);
          return put_quality(out, quality[index]);
        };
  });
}

// The times of a chunk's samples.
class Times {
 public:
  Times(const std::optional<Rate>& rate, const Chunk& chunk, const Block& block)
      : rate_(rate), chunk_(chunk), block_(block) {
    constexpr std::int64_t second = 1'000'000'000;
    // Where a period is a whole number of nanoseconds no time needs rounding, nor a division.
    if (rate && rate->seconds() <= INT64_MAX / second &&
        rate->seconds() * second % rate->samples() == 0)
      period_ = rate->seconds() * second / rate->samples();
  }
  [[nodiscard]] std::int64_t operator[](std::size_t i) const noexcept {
    if (!rate_) return block_.times()[i].count();
    if (period_ > 0) return chunk_.time.count() + static_cast<std::int64_t>(i) * period_;
    return (chunk_.clock_time + rate_->duration(chunk_.first.value + i - chunk_.clock_sample.value))
        .count();
  }

 private:
  const std::optional<Rate>& rate_;
  const Chunk& chunk_;
  const Block& block_;
  std::int64_t period_ = 0;
};

template <class T>
void put_behind(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

struct CsvSink::Impl {
  Impl(std::string path_, Existing existing, CsvOptions options_, FileCalls& calls_)
      : path(std::move(path_)),
        options(options_),
        calls(calls_),
        rows_file(path, existing, calls),
        metadata_file(csv::metadata_path(path), existing, calls) {}

  std::string path;
  CsvOptions options;
  FileCalls& calls;
  OutputFile rows_file;
  OutputFile metadata_file;
  std::optional<File> file;
  std::optional<JournalWriter> journal;

  struct Lane {
    PutSample put_sample = nullptr;
    std::string field;  // long form: of the channel
    const std::byte* values = nullptr;
    const Quality* quality = nullptr;
  };
  struct PerStream {
    StreamLog log;
    RecordedStream books;     // taken from the log up to the last flush; without the open segment
    std::uint64_t rows = 0;   // in the file
    std::size_t longest = 0;  // text of a sample
    std::uint64_t lines = 1;  // of a sample
    std::vector<Lane> lanes;
    std::size_t known_anchors = 0;  // that the journal has
    std::optional<SampleNumber> acknowledged;
  };
  std::vector<PerStream> streams;
  csv::Metadata metadata;        // but for `streams` and what the end tells
  std::size_t known_events = 0;  // that the journal has
  std::size_t known_log_lines = 0;

  std::vector<char> buffer;
  std::size_t used = 0;
  // Samples of one stream in the buffer, from `begin` on.
  struct Piece {
    std::size_t stream = 0;
    std::size_t begin = 0;
    std::uint64_t rows = 0;
  };
  std::vector<Piece> pieces;

  std::uint64_t bytes = 0;    // in the file, all of whole samples unless torn
  std::uint64_t started = 0;  // of them, on their way to the disk
  std::uint64_t header_bytes = 0;
  Xxh3 hash;  // of these
  csv::Checksums checksums;
  csv::Block block;  // the last one, not whole yet
  bool metadata_due = true;

  FirstFailure failure;
  bool torn = false;    // a write failed: the file may end in a part of a sample
  bool unsure = false;  // a sync failed: nobody knows what is on the disk
  bool closed = false;
  bool sealed = false;

  void begin(const RecordingInfo& info);
  void make_lanes(const std::vector<StreamInfo>& infos);
  void begin_journal(const RecordingInfo& info);
  void append(std::size_t stream, const Chunk& chunk, const Block& block);
  char* put_wide(char* out, const PerStream& stream, std::uint64_t sample, std::int64_t time,
                 std::size_t i) const noexcept;
  char* put_long(char* out, const PerStream& stream, std::int64_t time,
                 std::size_t i) const noexcept;
  void write_buffer();
  void wrote(std::size_t size, const std::vector<std::uint64_t>& rows, std::uint64_t lines);
  void cut();
  void sync();
  void take_books();
  void commit();
  [[nodiscard]] RecordedStream books_in_file(const PerStream& stream) const;
  void write_metadata();
  void flush();
  void close(const Ending& ending);
  void abandon() noexcept;
};

CsvSink::CsvSink(std::string path, Existing existing, CsvOptions options, FileCalls& calls)
    : impl_(std::make_unique<Impl>(std::move(path), existing, options, calls)) {
  refuse_calibrations_beside(impl_->path, existing, calls);
}

CsvSink::~CsvSink() {
  // A journal of nothing, whose file is about to be removed.
  if (impl_->journal && impl_->bytes == 0) impl_->abandon();
}

void CsvSink::begin(const RecordingInfo& info) { impl_->begin(info); }

void CsvSink::Impl::begin(const RecordingInfo& info) {
  const bool wide = options.form == CsvOptions::Form::wide;
  if (wide && info.streams.size() != 1)
    throw Error(
        fmt::format("{}: wide CSV holds exactly one stream, this recording has {}; with "
                    "{{stream}} in the path each stream gets a file of its own, and a long CSV "
                    "holds several",
                    path, info.streams.size()));
  if (info.streams.empty())
    throw Error(fmt::format("{}: a recording needs at least one stream", path));
  RecordingInfo known = info;
  known.start_time = start_time_to_write(known.start_time);
  metadata.file = path.substr(path.find_last_of('/') + 1);
  metadata.form = options.form;
  metadata.title = known.title;
  metadata.start_time = known.start_time;
  metadata.configuration = known.configuration;
  metadata.provenance = known.provenance;
  metadata.state = known.state;
  for (const StreamInfo& stream : info.streams) {
    check(stream);
    metadata.streams.emplace_back().info = stream;
    const auto same = [&](const RecordedStream& s) { return s.info.name == stream.name; };
    if (std::ranges::count_if(metadata.streams, same) > 1)
      throw Error(fmt::format("{}: there are two streams '{}'", path, stream.name));
  }
  try {
    // Later replacing is better than throwing, but now there is time to say so.
    check_texts(metadata);
  } catch (const nlohmann::json::exception&) {
    throw Error(
        fmt::format("{}: a text of the recording of stream '{}' is not UTF-8; title, "
                    "configuration, names, units and descriptions must be",
                    path, info.streams[0].name));
  }
  make_lanes(info.streams);
  File opened(calls, rows_file.part(), File::Mode::write);
  if (options.durability != Durability::none) begin_journal(known);

  const std::string header = csv::header(options.form, info.streams);
  header_bytes = header.size();
  std::size_t longest = header.size();
  for (const PerStream& stream : streams) longest = std::max(longest, stream.longest);
  buffer.resize(csv::write_bytes + longest + csv::number_room);
  std::ranges::copy(header, buffer.begin());
  used = header.size();
  file = std::move(opened);
}

void CsvSink::Impl::make_lanes(const std::vector<StreamInfo>& infos) {
  for (std::size_t s = 0; s < infos.size(); ++s) {
    PerStream& stream = streams.emplace_back();
    stream.books.info = infos[s];
    stream.lines = csv::lines_of_sample(options.form, infos[s]);
    // Sample number and time, then each value and quality with what is between.
    constexpr std::size_t value = csv::longest_number + 3 + 2;
    stream.longest = 2 * csv::longest_number + csv::line_end.size();
    for (std::size_t c = 0; c < infos[s].channels.size(); ++c) {
      Lane& lane = stream.lanes.emplace_back();
      lane.put_sample = put_sample_of(infos[s].channels[c].type);
      lane.field = csv::channel_field(infos, s, c);
      stream.longest += value;
      if (options.form == CsvOptions::Form::long_form)
        stream.longest += csv::longest_number + lane.field.size() + csv::line_end.size();
    }
    block.rows.push_back(0);
  }
}

void CsvSink::Impl::begin_journal(const RecordingInfo& info) {
  JournalBegin begin;
  begin.format = options.form == CsvOptions::Form::wide ? "csv" : "csv-long";
  begin.file = metadata.file + ".part";
  begin.path = metadata.file;
  begin.durability = options.durability;
  begin.info = info;
  journal.emplace(JournalWriter::name_for(path), begin, calls);
}

void CsvSink::append(std::size_t stream, const Chunk& chunk, const Block& block,
                     const CalibrationSet& calibrations) {
  Impl::PerStream& to = impl_->streams[stream];
  impl_->failure.guard([&] { to.log.check(chunk, impl_->path, to.books.info.name); });
  to.log.add(chunk, calibrations);
  impl_->failure.guard([&] { impl_->append(stream, chunk, block); });
}

void CsvSink::append_gap(std::size_t stream, const Gap& gap) {
  Impl::PerStream& to = impl_->streams[stream];
  impl_->failure.guard([&] { to.log.check(gap, impl_->path, to.books.info.name); });
  to.log.add(gap);
}
void CsvSink::append(std::size_t stream, std::span<const Anchor> anchors) {
  std::vector<Anchor>& to = impl_->streams[stream].books.anchors;
  to.insert(to.end(), anchors.begin(), anchors.end());
}
void CsvSink::append_event(const RecordedEvent& event) { impl_->metadata.events.push_back(event); }
void CsvSink::append_log(std::string_view line) { impl_->metadata.log.emplace_back(line); }

char* CsvSink::Impl::put_wide(char* out, const PerStream& stream, std::uint64_t sample,
                              std::int64_t time, std::size_t i) const noexcept {
  out = put_number(out, sample);
  *out++ = ',';
  out = put_number(out, time);
  for (const Lane& lane : stream.lanes) {
    *out++ = ',';
    out = lane.put_sample(out, lane.values, lane.quality, i);
  }
  return put(out, csv::line_end);
}

char* CsvSink::Impl::put_long(char* out, const PerStream& stream, std::int64_t time,
                              std::size_t i) const noexcept {
  char* const begin = out;
  out = put_number(out, time);
  const std::string_view time_text(begin, static_cast<std::size_t>(out - begin));
  for (const Lane& lane : stream.lanes) {
    if (&lane != &stream.lanes.front()) out = put(out, time_text);
    out = put(out, lane.field);
    out = lane.put_sample(out, lane.values, lane.quality, i);
    out = put(out, csv::line_end);
  }
  return out;
}

void CsvSink::Impl::append(std::size_t index, const Chunk& chunk, const Block& from) {
  PerStream& stream = streams[index];
  for (std::size_t c = 0; c < stream.lanes.size(); ++c) {
    stream.lanes[c].values = from.bytes(c);
    stream.lanes[c].quality = from.quality(c).data();
  }
  const Times times(stream.books.info.rate, chunk, from);
  const bool wide = options.form == CsvOptions::Form::wide;
  pieces.push_back({index, used, 0});
  for (std::size_t i = 0; i < chunk.count.value; ++i) {
    if (used >= csv::write_bytes) {
      require_free_space(path, used, calls);
      write_buffer();
      pieces.push_back({index, 0, 0});
    }
    char* const begin = buffer.data() + used;
    const char* const end = wide ? put_wide(begin, stream, chunk.first.value + i, times[i], i)
                                 : put_long(begin, stream, times[i], i);
    used += static_cast<std::size_t>(end - begin);
    ++pieces.back().rows;
  }
}

// `size` bytes from the front of the buffer are in the file.
void CsvSink::Impl::wrote(std::size_t size, const std::vector<std::uint64_t>& rows,
                          std::uint64_t lines) {
  const auto text = std::as_bytes(std::span(buffer)).first(size);
  hash.add(text);
  const bool begins_block = block.bytes == 0;
  block.crc32c = crc32c(text, block.crc32c);
  if (journal && failure.text().empty())
    journal->add(JournalText{bytes, size, begins_block ? block.crc32c : crc32c(text), lines});
  block.bytes += size;
  for (std::size_t s = 0; s < streams.size(); ++s) {
    streams[s].rows += rows[s];
    block.rows[s] += rows[s];
  }
  if (block.bytes >= csv::block_bytes) {
    checksums.blocks.push_back(block);
    block = {0, 0, std::vector<std::uint64_t>(streams.size())};
  }
  bytes += size;
  // The disk works meanwhile, and has less to do when it is waited for.
  constexpr std::uint64_t writeback_bytes = 4 << 20;
  if (bytes - started >= writeback_bytes) {
    calls.start_writeback(file->descriptor(), static_cast<off_t>(started),
                          static_cast<off_t>(bytes - started));
    started = bytes;
  }
}

void CsvSink::Impl::write_buffer() {
  if (used == 0) return;
  std::vector<std::uint64_t> rows(streams.size());
  std::uint64_t lines = bytes == 0 ? 1 : 0;
  for (const Piece& piece : pieces) {
    rows[piece.stream] += piece.rows;
    lines += piece.rows * streams[piece.stream].lines;
  }
  try {
    file->write_at(bytes, std::as_bytes(std::span(buffer)).first(used));
  } catch (...) {
    torn = true;
    throw;
  }
  wrote(used, rows, lines);
  used = 0;
  pieces.clear();
}

// After a write that failed: keeps the whole samples that got into the file all the same.
void CsvSink::Impl::cut() {
  const std::uint64_t size = file->size();
  const std::string_view text(buffer.data(),
                              std::min<std::uint64_t>(used, size - std::min(size, bytes)));
  std::vector<std::uint64_t> rows(streams.size());
  std::size_t keep = bytes == 0 && text.size() >= header_bytes ? header_bytes : 0;
  // Names have no control characters, so a line feed ends a line wherever it stands.
  for (const Piece& piece : pieces) {
    std::size_t at = piece.begin;
    for (std::uint64_t row = 0; row < piece.rows; ++row) {
      for (std::uint64_t line = 0; line < streams[piece.stream].lines && at != std::string::npos;
           ++line) {
        at = text.find('\n', at);
        if (at != std::string::npos) ++at;
      }
      if (at == std::string::npos) break;
      keep = at;
      ++rows[piece.stream];
    }
    if (at == std::string::npos) break;
  }
  file->truncate(bytes + keep);
  wrote(keep, rows, 0);
  used = 0;
  pieces.clear();
}

void CsvSink::Impl::sync() {
  try {
    file->sync();
  } catch (...) {
    unsure = true;
    throw;
  }
}

// Moves what is new in the logs into the books, and adds it to the journal.
void CsvSink::Impl::take_books() {
  for (std::size_t s = 0; s < streams.size(); ++s) {
    PerStream& stream = streams[s];
    RecordedStream& books = stream.books;
    JournalBooks news;
    news.stream = static_cast<std::uint32_t>(s);
    news.counts = stream.log.counts();
    if (stream.log.has_segment()) news.open = stream.log.open_segment();
    news.finished = stream.log.take_finished_segments();
    news.calibrations = stream.log.take_calibrations();
    news.anchors.assign(books.anchors.begin() + static_cast<std::ptrdiff_t>(stream.known_anchors),
                        books.anchors.end());
    news.gaps = stream.log.take_gaps();
    // One loss may come in pieces, before and after a flush.
    if (!news.gaps.empty() && !books.gaps.empty()) {
      const Gap& last = books.gaps.back();
      Gap& next = news.gaps.front();
      if (last.cause == next.cause && last.first_sample + last.count == next.first_sample) {
        next = {last.first_sample, last.count + next.count, last.lost + next.lost,
                last.missing + next.missing, last.cause};
        news.replaces_last_gap = true;
        books.gaps.pop_back();
      }
    }
    put_behind(books.segments, news.finished);
    put_behind(books.calibrations, news.calibrations);
    put_behind(books.gaps, news.gaps);
    metadata_due |= !news.calibrations.empty();
    const bool changed = news.counts != books.counts || !news.anchors.empty();
    books.counts = news.counts;
    stream.known_anchors = books.anchors.size();
    if (journal && failure.text().empty() && changed) journal->add(news);
  }
}

// What was appended is in the journal for good when this returns, and is acknowledged.
void CsvSink::Impl::commit() {
  if (!journal) return;
  for (; known_events < metadata.events.size(); ++known_events)
    journal->add(metadata.events[known_events]);
  for (; known_log_lines < metadata.log.size(); ++known_log_lines)
    journal->add_log(metadata.log[known_log_lines]);
  journal->commit();
  for (PerStream& stream : streams) stream.acknowledged = stream.log.end();
}

// As the books are for the rows that are in the file: those that were appended but are not in it
// are lost, to the sample.
RecordedStream CsvSink::Impl::books_in_file(const PerStream& stream) const {
  RecordedStream in_file = stream.books;
  in_file.rows = stream.rows;
  std::vector<Segment> segments = std::exchange(in_file.segments, {});
  if (stream.log.has_segment()) segments.push_back(stream.log.open_segment());
  for (Segment segment : segments) {
    const std::uint64_t kept =
        std::min(segment.count, stream.rows - std::min(stream.rows, segment.row));
    const std::uint64_t lost = segment.count - kept;
    segment.count = kept;
    if (kept > 0) in_file.segments.push_back(segment);
    if (lost > 0)
      in_file.gaps.push_back({segment.first_sample + kept, lost, lost, 0, Absence::not_written});
    in_file.counts.recorded -= lost;
    in_file.counts.lost += lost;
  }
  std::ranges::sort(in_file.gaps, {}, &Gap::first_sample);
  // A calibration applies from a sample on that is in the file.
  const std::uint64_t end = in_file.segments.empty() ? 0
                                                     : in_file.segments.back().first_sample +
                                                           in_file.segments.back().count;
  std::erase_if(in_file.calibrations,
                [&](const CalibrationChange& change) { return change.from_sample >= end; });
  return in_file;
}

void CsvSink::Impl::write_metadata() {
  metadata.bytes = bytes;
  for (std::size_t s = 0; s < streams.size(); ++s) metadata.streams[s] = books_in_file(streams[s]);
  const std::string text = to_text(metadata);
  // Whoever reads it meanwhile has the one or the other, whole.
  const std::string& part = metadata_file.part();
  const std::string anew = part + ".new";
  calls.unlink(anew.c_str());
  try {
    File to(calls, anew, File::Mode::create);
    to.renamed(part);
    to.write_at(0, std::as_bytes(std::span(text)));
    to.close();
    if (calls.rename(anew.c_str(), part.c_str(), true) != 0)
      fail_with_errno(part, "can't be replaced");
  } catch (...) {
    calls.unlink(anew.c_str());
    throw;
  }
  metadata_due = false;
}

void CsvSink::flush() {
  impl_->failure.guard([&] { impl_->flush(); });
}

void CsvSink::Impl::flush() {
  require_free_space(path, used, calls);
  write_buffer();
  take_books();
  if (metadata_due) {
    metadata.ending = {.complete = false, .reason = "still recording, or interrupted"};
    write_metadata();
  }
  if (options.durability == Durability::full) sync();
  commit();
}

void CsvSink::close(const Ending& ending) { impl_->close(ending); }

void CsvSink::Impl::close(const Ending& ending) {
  if (!file || closed) return;  // begin failed, or closed before
  closed = true;
  std::string lost_now;
  if (!torn && !unsure) {
    try {
      failure.guard([&] { write_buffer(); });
    } catch (const Error& error) {
      lost_now = error.what();
    }
  }
  if (unsure) throw Error(failure.text());
  if (torn) cut();
  if (bytes == 0) throw Error(failure.text());
  metadata.ending = failure.ending(ending);
  metadata.end_time = end_time_to_write(ending);
  take_books();
  if (options.durability == Durability::full) failure.guard([&] { sync(); });
  if (journal && failure.text().empty()) {
    try {
      journal->add(JournalEnd{metadata.ending, metadata.end_time});
      commit();
    } catch (const Error&) {
      // What is not in the journal is about to be in files that need none.
    }
  }
  file->close();
  if (block.bytes > 0) checksums.blocks.push_back(block);
  checksums.xxh3_128 = hash.digits();
  metadata.checksums = checksums;
  write_metadata();
  metadata_file.seal();
  rows_file.seal();
  sealed = true;
  if (journal) journal->remove();
  journal.reset();
  if (!lost_now.empty()) throw Error(lost_now);
}

SampleNumber CsvSink::end(std::size_t stream) const {
  const Impl::PerStream& of = impl_->streams[stream];
  if (impl_->sealed || !impl_->closed) return of.log.end();
  return of.acknowledged.value_or(of.log.begin());
}

std::uint64_t CsvSink::not_written(std::size_t stream) const {
  if (!impl_->sealed) return 0;
  const Impl::PerStream& of = impl_->streams[stream];
  return impl_->books_in_file(of).counts.lost - of.log.counts().lost;
}

void CsvSink::abandon() noexcept { impl_->abandon(); }

void CsvSink::Impl::abandon() noexcept {
  file.reset();
  rows_file.discard();
  metadata_file.discard();
  if (!journal) return;
  try {
    journal->remove();
  } catch (const Error&) {
    // It stays, and says that there was nothing.
  }
  journal.reset();
}

std::uint64_t CsvSink::bytes_written() const noexcept { return impl_->bytes; }
std::string CsvSink::name() const { return impl_->path; }

}  // namespace spillway
