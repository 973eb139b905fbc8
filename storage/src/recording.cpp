#include "spillway/storage/recording.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <string_view>

#include "columns.hpp"
#include "csv_metadata.hpp"
#include "file.hpp"
#include "recording_backend.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"

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

namespace {

constexpr std::string_view hdf5_signature = "\x89HDF\r\n\x1a\n";
constexpr std::string_view part_ending = ".part";

std::string journal_of_part(const std::string& part) {
  return JournalWriter::name_for(part.substr(0, part.size() - part_ending.size()));
}

}  // namespace

bool is_guarded_by_journal(const std::string& path, FileCalls& calls) {
  if (!path.ends_with(part_ending)) return false;
  const std::string journal = journal_of_part(path);
  if (calls.kind(journal.c_str()) != PathKind::file) return false;
  try {
    return !JournalReader(journal, calls).in_use();
  } catch (const Error&) {
    return false;  // no use
  }
}

std::unique_ptr<RecordingBackend> open_recording(const std::string& path, FileCalls& calls) {
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
  if (is_guarded_by_journal(path, calls))
    return open_by_journal(journal_of_part(path), path, calls);
  std::array<char, 64> front{};
  const std::string_view content(
      front.data(),
      File(calls, path, File::Mode::read).read_up_to(0, std::as_writable_bytes(std::span(front))));
  if (content.starts_with(hdf5_signature)) return open_hdf5(path, calls);
  for (const std::string_view header : {"sample,time_ns", "time_ns,channel,value,quality"})
    if (content.starts_with(header)) return open_csv(path, calls);
  // Its header may be what is damaged.
  if (calls.kind(csv::metadata_path(path).c_str()) == PathKind::file) return open_csv(path, calls);
  throw Error(
      fmt::format("{}: is not a recording: neither HDF5 nor CSV as this program writes it{}", path,
                  path.ends_with(".part") ? "; a recorder may have ended before it had "
                                            "written anything"
                                          : ""));
}

struct Recording::Impl {
  std::unique_ptr<RecordingBackend> backend;

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
  auto impl = std::make_unique<Impl>();
  impl->backend = open_recording(path, calls);
  return Recording(std::move(impl));
}

Recording::Recording(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Recording::Recording(Recording&&) noexcept = default;
Recording& Recording::operator=(Recording&&) noexcept = default;
Recording::~Recording() = default;

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

std::size_t Recording::find(const std::string& stream) const {
  std::string known;
  for (std::size_t i = 0; i < streams().size(); ++i) {
    if (streams()[i].info.name == stream) return i;
    known += fmt::format("{}'{}'", known.empty() ? "" : ", ", streams()[i].info.name);
  }
  throw Error(fmt::format("{}: no stream '{}'; it has {}", path(), stream, known));
}

void Recording::read_values(std::size_t stream, std::size_t channel, std::uint64_t row,
                            std::size_t count, int type, void* out) const {
  const ChannelInfo& info = streams()[stream].info.channels[channel];
  if (static_cast<int>(info.type) != type)
    throw Error(
        fmt::format("{}: channel '{}' holds {}", path(), info.name, sample_type_name(info.type)));
  impl_->backend->read(stream, value_column(channel), row, count,
                       {static_cast<std::byte*>(out), count * sample_size(info.type)});
}

void Recording::read_calibrated(std::size_t stream, std::size_t channel, std::uint64_t row,
                                std::span<double> out) const {
  const RecordedStream& from = streams()[stream];
  visit_sample_type(from.info.channels[channel].type, [&]<class T>(std::type_identity<T>) {
    impl_->for_pieces<T>(stream, value_column(channel), row, out.size(),
                         [&](std::size_t at, std::span<const T> piece) {
                           std::ranges::transform(piece, out.subspan(at).begin(), [](T value) {
                             return static_cast<double>(value);
                           });
                         });
  });
  std::vector<Quality> quality(out.size());
  read_quality(stream, channel, row, quality);
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
    if (next != from.calibrations.begin())
      (next - 1)->calibrations[channel].apply(out.subspan(done, n));
    done += n;
  }
}

void Recording::read_quality(std::size_t stream, std::size_t channel, std::uint64_t row,
                             std::span<Quality> out) const {
  impl_->backend->read(stream, quality_column(channel), row, out.size(),
                       std::as_writable_bytes(out));
}

void Recording::read_times(std::size_t stream, std::uint64_t row, std::span<Time> out) const {
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
    out[i] = Time(s.clock_ns) + from.info.rate->duration(number - s.clock_sample);
  }
}

}  // namespace spillway
