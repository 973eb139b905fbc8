#include "spillway/storage/recording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string_view>
#include <thread>

#include "calibrations_beside.hpp"
#include "columns.hpp"
#include "csv_metadata.hpp"
#include "file.hpp"
#include "foreign.hpp"
#include "recording_backend.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"
#include "stream_at.hpp"

namespace spillway {

const Segment& RecordedStream::segment(std::uint64_t row) const {
  const auto after = std::ranges::upper_bound(segments, row, {}, &Segment::row);
  return *(after - 1);
}

SampleNumber RecordedStream::number(std::uint64_t row) const {
  const Segment& s = segment(row);
  return {s.first_sample + (row - s.row)};
}

void fit_segments(RecordedStream& stream, const std::string& path) {
  std::uint64_t row = 0;
  for (const Segment& s : stream.segments) {
    if (s.row != row || s.count == 0)
      throw Error(
          fmt::format("{}: the segment table of stream {} is damaged", path, stream.info.name));
    row += s.count;
  }
  stream.rows = std::min(stream.rows, row);
  if (stream.rows < row) {
    // What is behind the rows that are there can't be told of either.
    const std::uint64_t end = stream.number(stream.rows).value;
    std::erase_if(stream.gaps, [&](const Gap& gap) { return gap.first_sample >= end; });
    std::erase_if(stream.calibrations,
                  [&](const CalibrationChange& change) { return change.from_sample >= end; });
  }
  while (!stream.segments.empty() && stream.segments.back().row >= stream.rows)
    stream.segments.pop_back();
  if (!stream.segments.empty())
    stream.segments.back().count = stream.rows - stream.segments.back().row;
}

void fit_books(RecordedStream& stream) {
  std::uint64_t end = 0, lost = 0, missing = 0;
  auto segment = stream.segments.begin();
  auto gap = stream.gaps.begin();
  const auto begins = [&](const auto& range) { return end == 0 || range.first_sample == end; };
  for (;;) {
    const bool in_segment = segment != stream.segments.end() &&
                            (gap == stream.gaps.end() || segment->first_sample < gap->first_sample);
    if (in_segment && begins(*segment)) {
      end = segment->first_sample + segment->count;
      ++segment;
    } else if (!in_segment && gap != stream.gaps.end() && begins(*gap)) {
      end = gap->first_sample + gap->count;
      lost += gap->lost;
      missing += gap->missing;
      ++gap;
    } else {
      break;
    }
  }
  stream.segments.erase(segment, stream.segments.end());
  stream.gaps.erase(gap, stream.gaps.end());
  stream.rows =
      stream.segments.empty() ? 0 : stream.segments.back().row + stream.segments.back().count;
  std::erase_if(stream.calibrations,
                [&](const CalibrationChange& change) { return change.from_sample >= end; });
  stream.counts = {stream.rows + lost + missing, stream.rows, lost, missing};
}

namespace {

constexpr std::string_view hdf5_signature = "\x89HDF\r\n\x1a\n";
constexpr std::string_view part_ending = ".part";

std::string journal_of_part(const std::string& part) {
  return JournalWriter::name_for(part.substr(0, part.size() - part_ending.size()));
}

// Of HDF5: somebody writes, and not so that others could read along. By the consistency flags of
// superblock version 3 (HDF5 File Format Specification 3.0, section II.A).
bool is_closed_to_readers(const std::string& path, FileCalls& calls) {
  constexpr std::size_t flags_at = 11;
  constexpr auto write_access = std::byte{1};
  constexpr auto live_readers = std::byte{4};
  std::array<std::byte, flags_at + 1> front{};
  if (calls.kind(path.c_str()) != PathKind::file ||
      File(calls, path, File::Mode::read).read_up_to(0, front) < front.size())
    return false;
  return (front[flags_at] & (write_access | live_readers)) == write_access;
}

// A recorder that seals its file closes it to readers for a moment. Its journal, if there is one,
// tells all the same; else that moment is waited for.
std::unique_ptr<RecordingBackend> open_hdf5_that_may_grow(const std::string& path,
                                                          FileCalls& calls) {
  if (!path.ends_with(part_ending)) return open_hdf5(path, calls);
  const std::string journal = journal_of_part(path);
  constexpr std::chrono::milliseconds longest{500};
  for (std::chrono::milliseconds wait{1}; wait <= longest; wait *= 2) {
    try {
      return open_hdf5(path, calls);
    } catch (const Error&) {
      if (is_closed_to_readers(path, calls)) {
        if (calls.kind(journal.c_str()) == PathKind::file)
          return open_by_journal(journal, path, calls);
      } else if (wait.count() > 1) {
        throw;
      }  // else it may have been in that moment, and be it no more
    }
    std::this_thread::sleep_for(wait);
  }
  throw Error(path + ": is closed to readers while its recorder seals it, or was left so");
}

enum class Writer { unknown, lives, dead };

// What the journal of an unfinished recording tells.
Writer writer_of(const std::string& part, FileCalls& calls) {
  if (!part.ends_with(part_ending)) return Writer::unknown;
  const std::string journal = journal_of_part(part);
  if (calls.kind(journal.c_str()) != PathKind::file) return Writer::unknown;
  try {
    return JournalReader(journal, calls).in_use() ? Writer::lives : Writer::dead;
  } catch (const Error&) {
    return Writer::unknown;  // no use
  }
}

}  // namespace

bool is_guarded_by_journal(const std::string& path, FileCalls& calls) {
  return writer_of(path, calls) == Writer::dead;
}

bool is_being_written(const std::string& path, FileCalls& calls) {
  return writer_of(path, calls) == Writer::lives;
}

bool has_csv_header(std::string_view front) noexcept {
  return front.starts_with("sample,time_ns") || front.starts_with("time_ns,channel,value,quality");
}

std::unique_ptr<RecordingBackend> open_recording(const std::string& path, FileCalls& calls,
                                                 const Foreign& foreign) {
  switch (calls.kind(path.c_str())) {
    case PathKind::file: break;
    case PathKind::directory: throw Error(fmt::format("{}: is a directory, not a recording", path));
    case PathKind::other: throw Error(fmt::format("{}: is no file", path));
    case PathKind::nothing:
      const std::string part = path + std::string(part_ending);
      if (calls.kind(part.c_str()) != PathKind::file)
        throw Error(fmt::format("{}: {}", path, std::strerror(ENOENT)));
      throw Error(
          fmt::format("{}: is not finished; open {}, or if its recorder does not live any more, "
                      "save it with 'spillway recover {}'",
                      path, part, part));
  }
  const auto require_nothing_given = [&] { require_left_open(path, foreign, {}, made_here); };
  if (is_guarded_by_journal(path, calls)) {
    require_nothing_given();
    return open_by_journal(journal_of_part(path), path, calls);
  }
  std::array<char, 64> front{};
  const std::string_view content(
      front.data(),
      File(calls, path, File::Mode::read).read_up_to(0, std::as_writable_bytes(std::span(front))));
  // Made here first; a table is what is left of text.
  if (content.starts_with(hdf5_signature)) {
    require_nothing_given();
    return open_hdf5_that_may_grow(path, calls);
  }
  // Its header may be what is damaged.
  if (has_csv_header(content) || calls.kind(csv::metadata_path(path).c_str()) == PathKind::file) {
    require_nothing_given();
    return open_csv(path, calls);
  }
  if (is_npy(content)) return open_npy(path, foreign, calls);
  if (is_wav(content)) return open_wav(path, foreign, calls);
  if (is_raw(content)) return open_raw(path, foreign, calls);
  if (is_table(content)) return open_table(path, foreign, calls);
  throw Error(fmt::format("{}: is not a recording: neither HDF5, NumPy, WAVE nor text{}", path,
                          path.ends_with(part_ending) ? "; a recorder may have ended before it had "
                                                        "written anything"
                                                      : ""));
}

void check_books(const RecordedStream& stream, const std::string& path) {
  const auto check = [&](const auto& ranges, const char* what) {
    std::uint64_t end = 0;
    for (const auto& range : ranges) {
      if (range.count == 0 || range.first_sample < end ||
          range.count > std::numeric_limits<std::uint64_t>::max() - range.first_sample)
        throw Error(fmt::format("{}: the {} table of stream '{}' is damaged: {} samples from {} on",
                                path, what, stream.info.name, range.count, range.first_sample));
      end = range.first_sample + range.count;
    }
  };
  check(stream.segments, "segment");
  check(stream.gaps, "gap");
  for (const Gap& gap : stream.gaps)
    if (gap.lost > gap.count || gap.missing != gap.count - gap.lost)
      throw Error(fmt::format("{}: the gap table of stream '{}' is damaged: the gap at {}", path,
                              stream.info.name, gap.first_sample));
  for (std::size_t i = 0; i < stream.calibrations.size(); ++i) {
    const CalibrationChange& change = stream.calibrations[i];
    if (change.calibrations.size() != stream.info.channels.size() ||
        (i > 0 && change.from_sample <= stream.calibrations[i - 1].from_sample))
      throw Error(fmt::format("{}: the calibration table of stream '{}' is damaged at sample {}",
                              path, stream.info.name, change.from_sample));
  }
}

struct Recording::Impl {
  std::unique_ptr<RecordingBackend> backend;
  FileCalls* calls = nullptr;  // null: no file
  OpenOptions options = {};

  // What was appended to it.
  void put_in_force(RecordingBackend& opened) const {
    const auto records = calibrations_beside(opened, *calls);
    const std::string sidecar = calibration_sidecar_of(opened.path);
    if (!records.empty())
      opened.remarks.push_back(fmt::format("{} calibration{} appended, from {}", records.size(),
                                           records.size() == 1 ? "" : "s", sidecar));
    for (RecordedStream& stream : opened.streams)
      spillway::put_in_force(records, stream.info, stream.calibrations, sidecar);
  }
  [[nodiscard]] std::unique_ptr<RecordingBackend> open(const std::string& path) const {
    auto opened = open_recording(path, *calls, options.foreign);
    for (const RecordedStream& stream : opened->streams) check_books(stream, path);
    if (options.appended_calibrations) put_in_force(*opened);
    return opened;
  }

  // Calls f with T's values of each piece of the rows.
  template <class T, class F>
  void for_pieces(std::size_t stream, std::size_t column, std::uint64_t row, std::size_t count,
                  F&& f) const {
    std::vector<T> piece(std::min<std::size_t>(count, 8192));
    for (std::size_t done = 0; done < count; done += piece.size()) {
      piece.resize(std::min(piece.size(), count - done));
      backend->read(stream, column, row + done, piece.size(),
                    std::as_writable_bytes(std::span(piece)));
      f(done, std::span<const T>(piece));
    }
  }
};

Recording Recording::open(const std::string& path, FileCalls& calls) {
  return open(path, OpenOptions{}, calls);
}

Recording Recording::open(const std::string& path, const OpenOptions& options, FileCalls& calls) {
  auto impl = std::make_unique<Impl>();
  impl->calls = &calls;
  impl->options = options;
  impl->backend = impl->open(path);
  return Recording(std::move(impl));
}

Recording Recording::of(std::shared_ptr<const MemorySink> memory) {
  if (!memory) throw Error("memory: there is no sink to read from");
  auto impl = std::make_unique<Impl>();
  impl->backend = open_memory(std::move(memory));
  return Recording(std::move(impl));
}

Recording::Recording(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Recording::Recording(Recording&&) noexcept = default;
Recording& Recording::operator=(Recording&&) noexcept = default;
Recording::~Recording() = default;

namespace {

// That `now` may be what `then` has become.
bool is_same_recording(const RecordingBackend& then, const RecordingBackend& now) {
  return now.start_time == then.start_time && now.title == then.title &&
         std::ranges::equal(now.streams, then.streams, [](const auto& a, const auto& b) {
           return a.info.name == b.info.name && a.info.channels.size() == b.info.channels.size();
         });
}

bool has_more(const RecordingBackend& then, const RecordingBackend& now) {
  const auto same = [](const RecordedStream& a, const RecordedStream& b) {
    return a.rows == b.rows && a.counts == b.counts && a.segments == b.segments &&
           a.gaps == b.gaps && a.calibrations.size() == b.calibrations.size() &&
           a.anchors.size() == b.anchors.size();
  };
  return now.path != then.path || now.status != then.status || now.guard != then.guard ||
         now.events.size() != then.events.size() || now.log.size() != then.log.size() ||
         !std::ranges::equal(now.streams, then.streams, same);
}

}  // namespace

bool Recording::refresh() {
  const std::string path = impl_->backend->path;
  if (!impl_->calls || !path.ends_with(part_ending)) return false;
  const std::string sealed = path.substr(0, path.size() - part_ending.size());
  // HDF5 would give the file that it has open, as old as it is.
  impl_->backend->release();
  std::unique_ptr<RecordingBackend> now;
  try {
    now = impl_->open(path);
  } catch (const Error&) {
    // It may have been sealed just now.
    if (impl_->calls->kind(path.c_str()) == PathKind::file) throw;
  }
  // Or while it was opened: then its samples lie under the final name.
  if (now && impl_->calls->kind(path.c_str()) != PathKind::file &&
      impl_->calls->kind(sealed.c_str()) == PathKind::file)
    now.reset();
  // Or so and another one begun.
  if (!now || !is_same_recording(*impl_->backend, *now)) now = impl_->open(sealed);
  if (!is_same_recording(*impl_->backend, *now))
    throw Error(fmt::format("{}: is another recording than the one that was opened", sealed));
  const bool more = has_more(*impl_->backend, *now);
  impl_->backend = std::move(now);
  return more;
}

const std::string& Recording::path() const noexcept { return impl_->backend->path; }
const std::string& Recording::title() const noexcept { return impl_->backend->title; }
const std::string& Recording::start_time() const noexcept { return impl_->backend->start_time; }
const std::string& Recording::end_time() const noexcept { return impl_->backend->end_time; }
const std::string& Recording::status() const noexcept { return impl_->backend->status; }
const std::string& Recording::configuration() const noexcept {
  return impl_->backend->configuration;
}
const std::string& Recording::provenance() const noexcept { return impl_->backend->provenance; }
const std::string& Recording::state() const noexcept { return impl_->backend->state; }
const std::vector<RecordedEvent>& Recording::events() const noexcept {
  return impl_->backend->events;
}
const std::vector<std::string>& Recording::log() const noexcept { return impl_->backend->log; }
Recording::Guard Recording::guard() const noexcept { return impl_->backend->guard; }
const std::vector<RecordedStream>& Recording::streams() const noexcept {
  return impl_->backend->streams;
}

const std::vector<std::string>& Recording::other_files() const noexcept {
  return impl_->backend->other_files;
}

const std::vector<std::string>& Recording::remarks() const noexcept {
  return impl_->backend->remarks;
}

std::size_t Recording::find(const std::string& stream) const {
  std::string known;
  for (std::size_t i = 0; i < streams().size(); ++i) {
    if (streams()[i].info.name == stream) return i;
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", streams()[i].info.name);
  }
  throw Error(fmt::format("{}: no stream '{}'; it has {}", path(), stream, known));
}

void Recording::check_rows(std::size_t stream, std::uint64_t row, std::uint64_t count) const {
  const RecordedStream& of = stream_at(*this, stream);
  if (row > of.rows || count > of.rows - row)
    throw Error(fmt::format("{}: {} rows from row {} of stream '{}' on, which has {}", path(),
                            count, row, of.info.name, of.rows));
}

void Recording::read(std::size_t stream, std::uint64_t row, std::size_t count, Block& block) const {
  check_rows(stream, row, count);
  if (count > block.frames())
    throw Error(
        fmt::format("{}: {} rows do not fit into a block of {}", path(), count, block.frames()));
  const StreamInfo& info = streams()[stream].info;
  for (std::size_t c = 0; c < info.channels.size(); ++c) {
    impl_->backend->read(stream, value_column(c), row, count,
                         {block.bytes(c), count * sample_size(info.channels[c].type)});
    read_quality(stream, c, row, block.quality(c).first(count));
  }
  if (!info.rate) read_times(stream, row, block.times().first(count));
}

void Recording::check_type(const ChannelInfo& channel, int type) const {
  if (static_cast<int>(channel.type) != type)
    throw Error(fmt::format("{}: channel '{}' holds {}", path(), channel.name,
                            sample_type_name(channel.type)));
}

void Recording::read_values(std::size_t stream, std::size_t channel, std::uint64_t row,
                            std::size_t count, int type, void* out) const {
  check_rows(stream, row, count);
  const ChannelInfo& info = channel_at(*this, stream, channel);
  check_type(info, type);
  impl_->backend->read(stream, value_column(channel), row, count,
                       {static_cast<std::byte*>(out), count * sample_size(info.type)});
}

void Recording::read_calibrated(std::size_t stream, std::size_t channel, std::uint64_t row,
                                std::span<double> out) const {
  std::vector<Quality> quality(out.size());
  read_calibrated(stream, channel, row, out, quality);
}

void Recording::read_calibrated(std::size_t stream, std::size_t channel, std::uint64_t row,
                                std::span<double> out, std::span<Quality> quality) const {
  check_rows(stream, row, out.size());
  const ChannelInfo& info = channel_at(*this, stream, channel);
  if (quality.size() != out.size())
    throw Error(fmt::format("{}: room for {} values, but for the quality of {}", path(), out.size(),
                            quality.size()));
  const RecordedStream& from = streams()[stream];
  visit_sample_type(info.type, [&]<class T>(std::type_identity<T>) {
    impl_->for_pieces<T>(stream, value_column(channel), row, out.size(),
                         [&](std::size_t at, std::span<const T> piece) {
                           std::ranges::transform(piece, out.subspan(at).begin(), [](T value) {
                             return static_cast<double>(value);
                           });
                         });
  });
  read_quality(stream, channel, row, quality);
  static const Calibration none;
  for (std::size_t done = 0; done < out.size();) {
    // As far as one segment and one set of calibrations reach.
    const Segment& segment = from.segment(row + done);
    const std::uint64_t number = segment.first_sample + (row + done - segment.row);
    std::uint64_t end = segment.first_sample + segment.count;
    const auto next =
        std::ranges::upper_bound(from.calibrations, number, {}, &CalibrationChange::from_sample);
    if (next != from.calibrations.end()) end = std::min(end, next->from_sample);
    const std::size_t n = std::min<std::size_t>(end - number, out.size() - done);
    for (std::size_t i = done; i < done + n; ++i)
      if (quality[i].verdict() == Verdict::bad && quality[i].has(Quality::missing))
        out[i] = std::numeric_limits<double>::quiet_NaN();
    const Calibration& calibration =
        next == from.calibrations.begin() ? none : (next - 1)->calibrations[channel];
    calibration.apply(out.subspan(done, n), quality.subspan(done, n));
    done += n;
  }
}

std::span<const std::byte> Recording::view(std::size_t stream, std::size_t channel,
                                           std::uint64_t row, int type) const {
  const RecordedStream& of = stream_at(*this, stream);
  const ChannelInfo& info = channel_at(*this, stream, channel);
  check_type(info, type);
  if (row >= of.rows) return {};
  const auto bytes = impl_->backend->view(stream, value_column(channel), row);
  return bytes.first(
      std::min<std::uint64_t>(bytes.size(), (of.rows - row) * sample_size(info.type)));
}

void Recording::read_quality(std::size_t stream, std::size_t channel, std::uint64_t row,
                             std::span<Quality> out) const {
  check_rows(stream, row, out.size());
  (void)channel_at(*this, stream, channel);
  impl_->backend->read(stream, quality_column(channel), row, out.size(),
                       std::as_writable_bytes(out));
}

void Recording::read_times(std::size_t stream, std::uint64_t row, std::span<Time> out) const {
  check_rows(stream, row, out.size());
  const RecordedStream& from = streams()[stream];
  if (!from.info.rate) {
    static_assert(sizeof(Time) == sizeof(std::int64_t));
    impl_->backend->read(stream, time_column(from.info), row, out.size(),
                         std::as_writable_bytes(out));
    return;
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Segment& s = from.segment(row + i);
    const std::uint64_t number = s.first_sample + (row + i - s.row);
    out[i] = saturating_add(Time(s.clock_ns), from.info.rate->duration(number - s.clock_sample));
  }
}

}  // namespace spillway
