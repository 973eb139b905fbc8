#include "spillway/storage/csv_sink.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <utility>

#include "calibration_json.hpp"
#include "spillway/channels/error.hpp"
#include "stream_json.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t buffer_size = 256 << 10;
constexpr std::size_t longest_number = 24;  // "-2.2250738585072014e-308"

char* put(char* out, std::string_view text) noexcept {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

template <class T>
char* put_number(char* out, T value) noexcept {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(value)) return put(out, "NaN");
    if (std::isinf(value)) return put(out, value < 0 ? "-INF" : "INF");
  }
  return std::to_chars(out, out + longest_number, value).ptr;
}

using PutValue = char* (*)(char* out, const std::byte* values, std::size_t index) noexcept;

PutValue put_value_of(SampleType type) {
  return visit_sample_type(type, []<class T>(std::type_identity<T>) -> PutValue {
    return [](char* out, const std::byte* values, std::size_t index) noexcept {
      return put_number(out, reinterpret_cast<const T*>(values)[index]);
    };
  });
}

// A quality byte as a field, the comma before it included: most bytes of a file are
// qualities, and nearly all the same one.
struct QualityField {
  std::array<char, 4> text{};
  std::uint8_t size = 0;
};
const std::array<QualityField, 256> quality_fields = [] {
  std::array<QualityField, 256> fields;
  for (unsigned q = 0; q < fields.size(); ++q) {
    char* const begin = fields[q].text.data();
    *begin = ',';
    const char* const end = std::to_chars(begin + 1, begin + 4, q).ptr;
    fields[q].size = static_cast<std::uint8_t>(end - begin);
  }
  return fields;
}();

char* put_quality(char* out, Quality quality) noexcept {
  const QualityField& field = quality_fields[quality.byte()];
  std::memcpy(out, field.text.data(), field.text.size());
  return out + field.size;
}

std::string quoted(const std::string& name) {
  // RFC 4180 keeps blanks at the ends, but not every reader does.
  if (name.find_first_of(",\"") == std::string::npos && name.front() != ' ' && name.back() != ' ')
    return name;
  std::string text = "\"";
  for (const char c : name) text.append(c == '"' ? 2 : 1, c);
  return text + '"';
}

// For URLs and for the column names of CSV on the Web, which are parts of URLs.
std::string percent_encoded(std::string_view text, std::string_view as_is) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       as_is.find(c) != std::string_view::npos;
    if (plain)
      encoded += c;
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string column_name(const std::string& name) {
  // A leading underscore is reserved.
  return (name.front() == '_' ? "%5F" : "") +
         percent_encoded(std::string_view(name).substr(name.front() == '_' ? 1 : 0), "_");
}

const char* csvw_type(SampleType type) {
  switch (type) {
    case SampleType::int8: return "byte";
    case SampleType::int16: return "short";
    case SampleType::int32: return "int";
    case SampleType::int64: return "long";
    case SampleType::uint8: return "unsignedByte";
    case SampleType::uint16: return "unsignedShort";
    case SampleType::uint32: return "unsignedInt";
    case SampleType::uint64: return "unsignedLong";
    case SampleType::float32: return "float";
    case SampleType::float64: break;
  }
  return "double";
}

const char* cause_name(Absence cause) {
  switch (cause) {
    case Absence::missing: return "missing";
    case Absence::lost_upstream: return "lost_upstream";
    case Absence::lost: return "lost";
    case Absence::mixed: break;
  }
  return "mixed";
}

Json column(const std::string& name, const char* datatype, const std::string& description) {
  Json json{
      {"name", column_name(name)}, {"titles", name}, {"datatype", datatype}, {"required", true}};
  if (!description.empty()) json["dc:description"] = description;
  return json;
}

Json columns_json(const StreamInfo& info) {
  Json columns = Json::array();
  columns.push_back(column("sample", "unsignedLong", "sample number"));
  columns.push_back(column("time_ns", "long", "nanoseconds from the origin"));
  for (const ChannelInfo& channel : info.channels) {
    columns.push_back(column(channel.name, csvw_type(channel.type), channel.description));
    columns.push_back(
        column(channel.name + "_quality", "unsignedByte", "quality of " + channel.name));
  }
  return columns;
}

// In the words of the CF conventions.
Json quality_json() {
  return {{"flag_masks", {3, 3, 3, 3, 4, 8, 16, 32, 64, 128}},
          {"flag_values", {0, 1, 2, 3, 4, 8, 16, 32, 64, 128}},
          {"flag_meanings",
           "good interpolated suspect bad out_of_range missing transient implausible calibration "
           "time_uncertain"}};
}

// A gap as the file has it, which may have more of them than the stream.
struct FileGap {
  Gap gap;
  const char* cause;
};

Json to_json(const FileGap& file_gap) {
  const Gap& gap = file_gap.gap;
  return {{"first_sample", gap.first_sample},
          {"count", gap.count},
          {"lost", gap.lost},
          {"missing", gap.missing},
          {"cause", file_gap.cause}};
}

// Writes all of it; returns how many bytes were written, fewer if errno says why.
std::size_t write_all(int fd, const char* data, std::size_t size) noexcept {
  std::size_t done = 0;
  while (done < size) {
    const ::ssize_t written = ::write(fd, data + done, size - done);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (written == 0) {
      errno = EIO;
      break;
    } else if (errno != EINTR) {
      break;
    }
  }
  return done;
}

std::string message(const std::string& path, const char* what) {
  return fmt::format("{}: {}: {}", path, what, std::strerror(errno));
}

}  // namespace

CsvSink::CsvSink(std::string path, Existing existing) : path_(std::move(path)) {
  rows_file_.emplace(path_, existing);
  metadata_file_.emplace(path_ + "-metadata.json", existing);
}

CsvSink::~CsvSink() {
  if (fd_ >= 0) ::close(fd_);
}

void CsvSink::fail(const std::string& message) {
  if (failure_.empty()) failure_ = message;
  throw Error(message);
}

void CsvSink::begin(const RecordingInfo& info) {
  if (info.streams.size() != 1)
    throw Error(
        fmt::format("{}: wide CSV holds exactly one stream, this recording has {}; with "
                    "{{stream}} in the path each stream gets a file of its own",
                    path_, info.streams.size()));
  const StreamInfo& stream = info.streams[0];
  check(stream);
  info_ = info;
  if (info_.start_time.empty()) info_.start_time = utc_now();
  try {
    // Later replacing is better than throwing, but now there is time to say so.
    static_cast<void>(
        Json{info_.title, info_.start_time, info_.configuration, info_.provenance, to_json(stream)}
            .dump());
  } catch (const Json::exception&) {
    throw Error(
        fmt::format("{}: a text of the recording of stream '{}' is not UTF-8; title, "
                    "configuration, names, units and descriptions must be",
                    path_, stream.name));
  }

  fd_ = ::open(rows_file_->part().c_str(), O_WRONLY | O_CLOEXEC);
  if (fd_ < 0) throw Error(message(rows_file_->part(), "can't be opened"));

  std::string header = "sample,time_ns";
  for (const ChannelInfo& channel : stream.channels)
    header += "," + quoted(channel.name) + "," + quoted(channel.name + "_quality");
  header += "\r\n";
  // Sample and time, then for each channel its value, its quality and two commas, and CRLF.
  longest_row_ = 2 * longest_number + 1 + stream.channels.size() * (longest_number + 5) + 2;
  buffer_.resize(std::max(buffer_size, header.size()) + longest_row_);
  std::ranges::copy(header, buffer_.begin());
  used_ = header.size();
  buffered_lines_ = 1;
}

void CsvSink::append(std::size_t, const Chunk& chunk, const Block& block,
                     const CalibrationSet& calibrations) {
  log_.add(chunk, calibrations);
  for (CalibrationChange& change : log_.take_calibrations()) {
    calibrations_.push_back(std::move(change));
    metadata_due_ = true;
  }
  write_rows(chunk, block);
}

void CsvSink::append(std::size_t, std::span<const Anchor> anchors) {
  anchors_.insert(anchors_.end(), anchors.begin(), anchors.end());
}

void CsvSink::write_rows(const Chunk& chunk, const Block& block) {
  struct Lane {
    PutValue put_value;
    const std::byte* values;
    const Quality* quality;
  };
  std::vector<Lane> lanes;
  for (std::size_t c = 0; c < block.channel_count(); ++c)
    lanes.push_back({put_value_of(block.type(c)), block.bytes(c), block.quality(c).data()});

  const std::optional<Rate>& rate = info_.streams[0].rate;
  constexpr std::int64_t second = 1'000'000'000;
  // Where a period is a whole number of nanoseconds no time needs rounding, nor a division.
  const bool whole_period = rate && rate->seconds() <= INT64_MAX / second &&
                            rate->seconds() * second % rate->samples() == 0;
  const std::int64_t period = whole_period ? rate->seconds() * second / rate->samples() : 0;
  const auto time_of = [&](std::size_t i) {
    if (!rate) return block.times()[i].count();
    if (whole_period) return chunk.time.count() + static_cast<std::int64_t>(i) * period;
    return (chunk.clock_time + rate->duration(chunk.first.value + i - chunk.clock_sample.value))
        .count();
  };

  for (std::size_t i = 0; i < chunk.count.value; ++i) {
    if (buffer_.size() - used_ < longest_row_) {
      try {
        require_free_space(path_, used_);
      } catch (const Error& error) {
        fail(error.what());
      }
      write_buffer();
    }
    char* const begin = buffer_.data() + used_;
    char* out = put_number(begin, chunk.first.value + i);
    *out++ = ',';
    out = put_number(out, time_of(i));
    for (const Lane& lane : lanes) {
      *out++ = ',';
      out = lane.put_value(out, lane.values, i);
      out = put_quality(out, lane.quality[i]);
    }
    out = put(out, "\r\n");
    used_ += static_cast<std::size_t>(out - begin);
    ++buffered_lines_;
  }
}

void CsvSink::write_buffer() {
  const std::size_t done = write_all(fd_, buffer_.data(), used_);
  if (done == used_) {
    bytes_ += used_;
    lines_ += buffered_lines_;
    used_ = 0;
    buffered_lines_ = 0;
    return;
  }
  const std::string why = message(rows_file_->part(), "can't be written");
  // Names have no control characters, so a line feed ends a row wherever it stands.
  const std::string_view written(buffer_.data(), done);
  const std::size_t last = written.rfind('\n');
  const std::string_view whole = written.substr(0, last == std::string_view::npos ? 0 : last + 1);
  bytes_ += whole.size();
  lines_ += static_cast<std::uint64_t>(std::ranges::count(whole, '\n'));
  used_ = 0;
  buffered_lines_ = 0;
  torn_ = true;
  fail(why);
}

void CsvSink::sync() {
  if (::fdatasync(fd_) == 0) return;
  sync_failed_ = true;
  fail(message(rows_file_->part(), "can't be synced"));
}

void CsvSink::flush() {
  try {
    require_free_space(path_, used_);
    write_buffer();
    sync();
    if (metadata_due_)
      write_metadata({.complete = false, .reason = "still recording, or interrupted"});
    metadata_due_ = false;
  } catch (const Error& error) {
    fail(error.what());
  }
}

void CsvSink::write_metadata(const Ending& ending) {
  const std::string text = metadata(ending);
  const std::string& part = metadata_file_->part();
  const int fd = ::open(part.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  if (fd < 0) throw Error(message(part, "can't be opened"));
  const bool written = write_all(fd, text.data(), text.size()) == text.size();
  const bool synced = written && ::fdatasync(fd) == 0;
  const std::string why =
      synced ? "" : message(part, written ? "can't be synced" : "can't be written");
  ::close(fd);
  if (!synced) throw Error(why);
}

std::string CsvSink::metadata(const Ending& ending) const {
  StreamLog log = log_;
  std::vector<Segment> segments = log.take_finished_segments();
  if (log.has_segment()) segments.push_back(log.open_segment());

  std::vector<FileGap> gaps;
  for (const Gap& gap : log.take_gaps()) gaps.push_back({gap, cause_name(gap.cause)});
  // Rows that were appended but are not in the file are lost, to the sample.
  const std::uint64_t rows = rows_in_file();
  Json segments_json = Json::array();
  std::uint64_t not_written = 0;
  for (const Segment& segment : segments) {
    const std::uint64_t kept = std::min(segment.count, rows - std::min(rows, segment.row));
    if (kept > 0)
      segments_json.push_back({{"first_sample", segment.first_sample},
                               {"row", segment.row},
                               {"count", kept},
                               {"t0_ns", segment.t0_ns},
                               {"clock_sample", segment.clock_sample},
                               {"clock_ns", segment.clock_ns}});
    const std::uint64_t cut = segment.count - kept;
    if (cut > 0)
      gaps.push_back({{segment.first_sample + kept, cut, cut, 0, Absence::lost}, "not_written"});
    not_written += cut;
  }
  std::ranges::sort(gaps, {}, [](const FileGap& g) { return g.gap.first_sample; });
  Json gaps_json = Json::array();
  for (const FileGap& gap : gaps) gaps_json.push_back(to_json(gap));

  Json calibrations = Json::array();
  for (const CalibrationChange& change : calibrations_) {
    Json set = Json::array();
    for (const Calibration& calibration : change.calibrations) set.push_back(to_json(calibration));
    calibrations.push_back({{"from_sample", change.from_sample}, {"calibrations", std::move(set)}});
  }
  Json anchors = Json::array();
  for (const Anchor& anchor : anchors_)
    anchors.push_back({{"sample", anchor.sample.value},
                       {"time_ns", anchor.time.count()},
                       {"ticks", anchor.ticks}});

  const RecordedCounts& counts = log.counts();
  Json own;
  own["format_version"] = 1;
  own["title"] = info_.title;
  own["start_time"] = info_.start_time;
  own["stream"] = to_json(info_.streams[0]);
  own["calibrations"] = std::move(calibrations);
  own["quality"] = quality_json();
  own["rows"] = rows;
  own["bytes"] = bytes_;
  own["counts"] = {{"produced", counts.produced},
                   {"recorded", counts.recorded - not_written},
                   {"lost", counts.lost + not_written},
                   {"missing", counts.missing}};
  own["segments"] = std::move(segments_json);
  own["gaps"] = std::move(gaps_json);
  own["anchors"] = std::move(anchors);
  own["configuration"] = info_.configuration;
  own["provenance"] = info_.provenance;
  own["ending"] = {{"complete", ending.complete}, {"reason", ending.reason}};

  const std::string file = path_.substr(path_.find_last_of('/') + 1);
  Json json;
  json["@context"] = "http://www.w3.org/ns/csvw";
  json["url"] = percent_encoded(file, "-._~");
  json["dialect"] = {{"encoding", "utf-8"}, {"lineTerminators", {"\r\n"}}, {"delimiter", ","},
                     {"quoteChar", "\""},   {"doubleQuote", true},         {"header", true}};
  if (!info_.title.empty()) json["dc:title"] = info_.title;
  json["tableSchema"] = {{"columns", columns_json(info_.streams[0])}, {"primaryKey", "sample"}};
  json["spillway"] = std::move(own);
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + '\n';
}

void CsvSink::abandon() noexcept {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  rows_file_->discard();
  metadata_file_->discard();
}

void CsvSink::close(const Ending& ending) {
  if (fd_ < 0) return;  // begin failed, or closed before
  std::string lost_now;
  if (!torn_) {
    try {
      write_buffer();
    } catch (const Error& error) {
      lost_now = error.what();
    }
  }
  if (torn_ && ::ftruncate(fd_, static_cast<::off_t>(bytes_)) != 0)
    fail(message(rows_file_->part(), "can't be cut to its last whole row"));
  if (sync_failed_) throw Error(failure_);
  sync();
  ::close(std::exchange(fd_, -1));
  if (lines_ == 0) throw Error(failure_);

  Ending real = ending;
  if (!failure_.empty()) {
    real.complete = false;
    if (real.reason.empty()) real.reason = failure_;
  }
  write_metadata(real);
  metadata_file_->seal();
  rows_file_->seal();
  if (!lost_now.empty()) throw Error(lost_now);
}

}  // namespace spillway
