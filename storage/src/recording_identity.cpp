#include "recording_identity.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <span>

#include "columns.hpp"
#include "spillway/storage/journal.hpp"
#include "xxh3.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t most_pieces = 32;
constexpr std::uint64_t rows_of_a_piece = 64;
constexpr std::uint64_t most_channels = 16;

// A text as it reads back from JSON.
std::string utf8(const std::string& text) {
  return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace))
      .get<std::string>();
}

// In one line.
std::string in_quotes(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

// `most` of the numbers from 0 to `last`, the first and the last among them; all if they are fewer.
std::vector<std::uint64_t> spread(std::uint64_t last, std::uint64_t most) {
  const std::uint64_t count = std::min(last + 1, most);
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t i = 0; i < count; ++i)
    numbers.push_back(count == 1 ? 0
                                 : last / (count - 1) * i + last % (count - 1) * i / (count - 1));
  return numbers;
}

// Of the first `rows` of a stream.
RecordingIdentity::Samples samples_of(const RecordingBackend& recording, std::size_t stream,
                                      std::uint64_t rows) {
  const StreamInfo& info = recording.streams[stream].info;
  Xxh3 hash;
  std::vector<std::byte> piece;
  const auto add = [&](std::uint64_t row, std::uint64_t count) {
    for (const std::uint64_t c : spread(info.channels.size() - 1, most_channels)) {
      piece.resize(count * sample_size(info.channels[c].type));
      recording.read(stream, value_column(c), row, count, piece);
      hash.add(piece);
    }
  };
  if (rows > most_pieces * rows_of_a_piece)
    for (const std::uint64_t row : spread(rows - rows_of_a_piece, most_pieces))
      add(row, rows_of_a_piece);
  else if (rows > 0)
    add(0, rows);
  return {rows, hash.digits()};
}

RecordingIdentity without_samples(const RecordingBackend& recording) {
  RecordingIdentity identity;
  identity.start_time = utf8(recording.start_time);
  identity.title = utf8(recording.title);
  for (const RecordedStream& stream : recording.streams)
    identity.streams.push_back(utf8(stream.info.name));
  const std::string made_by = recording.configuration + '\0' + recording.provenance;
  identity.made_by = fmt::format("{:08x}", crc32c(std::as_bytes(std::span(made_by))));
  return identity;
}

}  // namespace

RecordingIdentity identity_of(const RecordingBackend& recording) {
  RecordingIdentity identity = without_samples(recording);
  if (recording.of_others || recording.start_time.empty())
    for (std::size_t i = 0; i < recording.streams.size(); ++i)
      identity.samples.push_back(samples_of(recording, i, recording.streams[i].rows));
  return identity;
}

std::string difference(const RecordingIdentity& then, const RecordingBackend& now) {
  const RecordingIdentity is = without_samples(now);
  const auto text = [](const std::string& what) { return what.empty() ? "none" : in_quotes(what); };
  if (is.start_time != then.start_time)
    return fmt::format("its recording has the start {}, this one {}", text(then.start_time),
                       text(is.start_time));
  if (is.title != then.title)
    return fmt::format("its recording has the title {}, this one {}", text(then.title),
                       text(is.title));
  const bool same_streams =
      then.samples.empty() ? is.streams == then.streams : is.streams.size() == then.samples.size();
  if (!same_streams) {
    const auto names = [](std::vector<std::string> streams) {
      for (std::string& stream : streams) stream = in_quotes(stream);
      return fmt::format("{}", fmt::join(streams, ", "));
    };
    return fmt::format("its recording has the streams {}, this one {}", names(then.streams),
                       names(is.streams));
  }
  if (is.made_by != then.made_by) return "its recording was made by another configuration";
  for (std::size_t i = 0; i < then.samples.size(); ++i) {
    const std::uint64_t rows = then.samples[i].rows;
    if (now.streams[i].rows < rows)
      return fmt::format("stream {} of its recording has {} samples, of this one {}",
                         in_quotes(is.streams[i]), rows, now.streams[i].rows);
    if (samples_of(now, i, rows).xxh3 != then.samples[i].xxh3)
      return fmt::format("stream {} of its recording has other samples", in_quotes(is.streams[i]));
  }
  return "";
}

}  // namespace spillway
