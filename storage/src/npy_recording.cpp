// Reads NumPy files as recordings.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "columns.hpp"
#include "csv_metadata.hpp"
#include "file.hpp"
#include "foreign.hpp"
#include "json_error.hpp"
#include "npy_files.hpp"
#include "npy_header.hpp"
#include "row_backend.hpp"
#include "spillway/channels/error.hpp"
#include "xxh3.hpp"

namespace spillway {

namespace {

using Json = nlohmann::json;

constexpr std::uint64_t most_json_bytes = std::uint64_t{1} << 30;

// `to.size() / size` elements that lie `stride` bytes apart, with their bytes turned around if so.
template <std::size_t size>
void gather(const std::byte* from, std::size_t stride, bool turned, std::span<std::byte> to) {
  for (std::size_t at = 0; at < to.size(); at += size, from += stride) {
    std::array<std::byte, size> element;
    std::memcpy(element.data(), from, size);
    if (turned) std::ranges::reverse(element);
    std::memcpy(to.data() + at, element.data(), size);
  }
}

void gather(std::size_t size, const std::byte* from, std::size_t stride, bool turned,
            std::span<std::byte> to) {
  switch (size) {
    case 1: return gather<1>(from, stride, turned, to);
    case 2: return gather<2>(from, stride, turned, to);
    case 4: return gather<4>(from, stride, turned, to);
    default: return gather<8>(from, stride, turned, to);
  }
}

// What numpy, or somebody else, saved.
class NpyRecording final : public RowBackend {
 public:
  NpyRecording(const std::string& from, const Foreign& how, FileCalls& calls);

 private:
  void make(std::size_t stream, std::uint64_t row, std::uint64_t count, Columns& to) const override;

  File file_;
  NpyHeader header_;
};

NpyRecording::NpyRecording(const std::string& from, const Foreign& how, FileCalls& calls)
    : file_(calls, from, File::Mode::read), header_(read_npy_header(file_)) {
  path = from;
  status = "complete";
  const std::vector<std::uint64_t>& shape = header_.shape;
  if (shape.empty() || shape.size() > 2)
    throw Error(
        fmt::format("{}: an array of {} dimensions; allowed are 1 (samples) and 2 (samples "
                    "x channels)",
                    path, shape.size()));
  if (!how.rate)
    throw LeftOpen(LeftOpen::Needed::rate,
                   fmt::format("{}: a NumPy file does not tell its sample rate: give one", path));
  RecordedStream stream;
  stream.info.name = stream_name_of(path);
  stream.info.rate = how.rate;
  stream.info.channels = plain_channels(path, how, shape.size() == 2 ? shape[1] : 1, header_.type);
  stream.rows = shape[0];
  const std::uint64_t end =
      header_.data_at + stream.rows * stream.info.channels.size() * sample_size(header_.type);
  if (const std::uint64_t size = file_.size(); size > end)
    remarks.push_back(fmt::format("{}: {} bytes behind its array are left out", path, size - end));
  add_stream(std::move(stream));
}

void NpyRecording::make(std::size_t stream, std::uint64_t row, std::uint64_t count,
                        Columns& to) const {
  const std::size_t channels = streams[stream].info.channels.size();
  const std::size_t size = sample_size(header_.type);
  const std::size_t row_bytes = channels * size;
  std::vector<std::byte> bytes(count * (header_.fortran_order ? size : row_bytes));
  if (!header_.fortran_order) file_.read_at(header_.data_at + row * row_bytes, bytes);
  for (std::size_t c = 0; c < channels; ++c) {
    std::vector<std::byte>& values = to[value_column(c)];
    if (header_.fortran_order) {
      file_.read_at(header_.data_at + (c * streams[stream].rows + row) * size, bytes);
      gather(size, bytes.data(), size, header_.big_endian, values);
    } else {
      gather(size, bytes.data() + c * size, row_bytes, header_.big_endian, values);
    }
    flag_nan(header_.type, values, to[quality_column(c)]);
  }
}

// What the NumPy sink wrote: the array, and beside it quality, times and books.
class NpySinkRecording final : public RowBackend {
 public:
  // `json`: all of the text at `json_path`.
  NpySinkRecording(const std::string& from, const std::string& json_path, const std::string& text,
                   FileCalls& calls);

 private:
  void make(std::size_t stream, std::uint64_t row, std::uint64_t count, Columns& to) const override;
  void check(const File& file, const NpyFile& what, const Json& json, std::uint64_t rows) const;

  std::vector<NpyFile> what_;
  std::vector<File> files_;
};

NpySinkRecording::NpySinkRecording(const std::string& from, const std::string& json_path,
                                   const std::string& text, FileCalls& calls) {
  path = from;
  guard = Recording::Guard::seal;
  csv::Metadata metadata = csv::metadata_from(json_path, text);
  const auto fail = [&](const char* what) { throw Error(fmt::format("{}: {}", json_path, what)); };
  if (metadata.streams.size() != 1) fail("tells of several streams, and a NumPy file holds one");
  RecordedStream& stream = metadata.streams[0];
  for (const ChannelInfo& channel : stream.info.channels)
    if (channel.type != stream.info.channels[0].type)
      fail("tells of several types, and a NumPy file holds one");
  what_ = npy_files(path, stream.info);
  const Json json = Json::parse(text);
  for (const NpyFile& what : what_) {
    files_.emplace_back(calls, what.path, File::Mode::read);
    if (what.path != path) other_files.push_back(what.path);
    const Json& described = json["npy"];
    if (!described.contains(what.key))
      throw Error(fmt::format("{}: tells nothing of '{}'", json_path, what.key));
    check(files_.back(), what, described[what.key], stream.rows);
  }
  title = std::move(metadata.title);
  start_time = std::move(metadata.start_time);
  end_time = std::move(metadata.end_time);
  status = to_string(metadata.ending);
  configuration = std::move(metadata.configuration);
  provenance = std::move(metadata.provenance);
  state = std::move(metadata.state);
  events = std::move(metadata.events);
  log = std::move(metadata.log);
  add_recorded_stream(std::move(stream));
}

// Every byte of it, once: the header is the only one there can be, the rest has a checksum.
void NpySinkRecording::check(const File& file, const NpyFile& what, const Json& json,
                             std::uint64_t rows) const {
  const std::string header = npy_header_of(what, rows);
  std::string found(header.size(), '\0');
  const std::size_t there = file.read_up_to(0, std::as_writable_bytes(std::span(found)));
  found.resize(there);
  const std::uint64_t size = file.size();
  if (found != header || (size - header.size()) % what.row_bytes != 0 ||
      (size - header.size()) / what.row_bytes != rows)
    throw Error(fmt::format("{}: is not the array of {} rows that {} tells of", what.path, rows,
                            npy_json_path(path)));
  Xxh3 hash;
  std::vector<std::byte> piece(1 << 20);
  for (std::uint64_t at = header.size(); at < size; at += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), size - at));
    file.read_at(at, piece);
    hash.add(piece);
  }
  const auto told = json.find("data_xxh3_128");
  if (told == json.end() || *told != hash.digits())
    throw Error(fmt::format("{}: its checksum in {} is wrong: this is not what was recorded",
                            what.path, npy_json_path(path)));
}

void NpySinkRecording::make(std::size_t stream, std::uint64_t row, std::uint64_t count,
                            Columns& to) const {
  const StreamInfo& info = streams[stream].info;
  std::vector<std::byte> rows;
  for (std::size_t f = 0; f < what_.size(); ++f) {
    const std::size_t row_bytes = what_[f].row_bytes;
    rows.resize(count * row_bytes);
    files_[f].read_at(npy_header_bytes + row * row_bytes, rows);
    const std::size_t size = sample_size(what_[f].type);
    if (f == 2) {  // times
      to[time_column(info)] = rows;
      continue;
    }
    for (std::size_t c = 0; c < info.channels.size(); ++c)
      gather(size, rows.data() + c * size, row_bytes, false,
             to[f == 0 ? value_column(c) : quality_column(c)]);
  }
}

// Of the books beside a file; empty: there are none, or they are somebody else's.
std::string own_json(const std::string& json_path, FileCalls& calls,
                     std::vector<std::string>& remarks) {
  if (calls.kind(json_path.c_str()) != PathKind::file) return {};
  const File file(calls, json_path, File::Mode::read);
  if (file.size() > most_json_bytes)
    throw Error(
        fmt::format("{}: has {} bytes; {} are the most", json_path, file.size(), most_json_bytes));
  std::string text(file.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  try {
    const Json json = Json::parse(text);
    if (json.is_object() && json.contains("npy") && json.contains("spillway")) return text;
  } catch (const Json::exception& error) {
    throw Error(fmt::format("{}: is not JSON: {}", json_path, json_error_text(error)));
  }
  remarks.push_back(fmt::format("{}: tells nothing of a recording, and was left out", json_path));
  return {};
}

}  // namespace

std::unique_ptr<RecordingBackend> open_npy(const std::string& path, const Foreign& how,
                                           FileCalls& calls) {
  std::vector<std::string> remarks;
  const std::string json_path = npy_json_path(path);
  if (const std::string text = own_json(json_path, calls, remarks); !text.empty()) {
    require_left_open(path, how, {}, made_here);
    return std::make_unique<NpySinkRecording>(path, json_path, text, calls);
  }
  using enum NotLeftOpen::Given;
  require_left_open(path, how, {rate, names, unit}, "is a NumPy file, no table");
  auto recording = std::make_unique<NpyRecording>(path, how, calls);
  recording->remarks.insert(recording->remarks.begin(), remarks.begin(), remarks.end());
  return recording;
}

}  // namespace spillway
