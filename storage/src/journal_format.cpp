#include "journal_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "json_error.hpp"
#include "spillway/channels/error.hpp"
#include "stream_json.hpp"

namespace spillway::journal {

namespace {

// As that of PNG: what treats the file as text shows itself in the first bytes.
constexpr std::array<std::uint8_t, 8> file_magic{0x89, 'S', 'P', 'W', '\r', '\n', 0x1A, '\n'};

constexpr std::size_t window_bytes = 256 << 10;

std::uint32_t start_of_crc(const Id& id) noexcept { return crc32c(id); }

template <std::size_t n>
void put_crc(std::vector<std::byte>& bytes, std::array<std::byte, n>& out, std::uint32_t start) {
  Encoder(bytes).number(crc32c(bytes, start));
  std::ranges::copy(bytes, out.begin());
}

}  // namespace

std::array<std::byte, file_header_bytes> encode(const FileHeader& header) {
  std::vector<std::byte> bytes;
  Encoder to(bytes);
  to.bytes(std::as_bytes(std::span(file_magic)));
  to.number(header.major);
  to.number(header.minor);
  to.bytes(header.id);
  std::array<std::byte, file_header_bytes> out{};
  put_crc(bytes, out, 0);
  return out;
}

FileHeader decode_file_header(std::span<const std::byte> bytes) {
  if (bytes.size() < file_header_bytes)
    throw Error("byte 0: the file is too short for the header of a journal");
  Decoder from(bytes);
  if (!std::ranges::equal(from.bytes(file_magic.size()), std::as_bytes(std::span(file_magic))))
    throw Error("byte 0: this is not the beginning of a journal");
  FileHeader header;
  header.major = from.number<std::uint16_t>();
  header.minor = from.number<std::uint16_t>();
  std::ranges::copy(from.bytes(header.id.size()), header.id.begin());
  if (from.number<std::uint32_t>() != crc32c(bytes.first(file_header_bytes - 4)))
    throw Error("byte 28: the checksum of the header of the journal is wrong");
  if (header.major != major_version)
    throw Error(fmt::format("byte 8: a journal of version {}.{}; known is version {}", header.major,
                            header.minor, major_version));
  return header;
}

std::array<std::byte, frame_header_bytes> encode(const Frame& frame, const Id& id) {
  std::vector<std::byte> bytes;
  Encoder to(bytes);
  to.number(frame_magic);
  to.number(static_cast<std::uint16_t>(frame.type));
  to.number(std::uint16_t{0});
  to.number(frame.sequence);
  to.number(frame.payload_bytes);
  to.number(frame.payload_crc);
  std::array<std::byte, frame_header_bytes> out{};
  put_crc(bytes, out, start_of_crc(id));
  return out;
}

std::uint32_t payload_crc(std::span<const std::byte> padded, const Id& id) noexcept {
  return crc32c(padded, start_of_crc(id));
}

void Decoder::throw_short(std::uint64_t wanted) const {
  throw Error(
      fmt::format("it tells of {} bytes or entries where {} bytes are left", wanted, from_.size()));
}

Json parse_json(const std::string& text) {
  return Json::parse(text, [](int depth, Json::parse_event_t, Json&) {
    if (depth > 32) throw Error("JSON that is nested too deeply");
    return true;
  });
}

JournalBegin decode_begin(std::span<const std::byte> payload, bool later_minor) {
  JournalBegin begin;
  Decoder from(payload);
  const auto fields = from.number<std::uint64_t>();
  bool has_streams = false;
  for (std::uint64_t i = 0; i < fields; ++i) {
    const std::string key = from.text();
    std::string value = from.text();
    RecordingInfo& info = begin.info;
    if (key == "format") begin.format = std::move(value);
    if (key == "file") begin.file = std::move(value);
    if (key == "path") begin.path = std::move(value);
    if (key == "durability") begin.durability = durability_from(value);
    if (key == "title") info.title = std::move(value);
    if (key == "start_time") info.start_time = std::move(value);
    if (key == "configuration") info.configuration = std::move(value);
    if (key == "provenance") info.provenance = std::move(value);
    if (key == "state") info.state = std::move(value);
    if (key != "streams" && key != "chunk_rows") continue;
    try {
      const Json json = parse_json(value);
      if (key == "chunk_rows") {
        begin.chunk_rows = json.get<std::vector<std::uint32_t>>();
      } else {
        has_streams = true;
        for (const Json& stream : json) {
          info.streams.push_back(stream_info_from_json(stream));
          check(info.streams.back());
        }
      }
    } catch (const std::exception& error) {
      throw Error(fmt::format("\"{}\" can't be read: {}", key, json_error_text(error)));
    }
  }
  if (!has_streams) throw Error("it names no streams");
  // It is looked for beside the journal, nowhere else.
  if (begin.file.find('/') != std::string::npos)
    throw Error(fmt::format("the file '{}' is not the name of one", begin.file));
  if (!begin.chunk_rows.empty() && begin.chunk_rows.size() != begin.info.streams.size())
    throw Error(fmt::format("it tells the chunks of {} streams where there are {}",
                            begin.chunk_rows.size(), begin.info.streams.size()));
  if (from.left() > 0 && !later_minor) throw Error(fmt::format("{} bytes too many", from.left()));
  return begin;
}

std::span<const std::byte> FrameReader::window(std::uint64_t at) {
  if (at < window_at_ || at - window_at_ >= window_.size()) {
    if (at >= size_) return {};
    window_.resize(std::min<std::uint64_t>(window_bytes, size_ - at));
    window_at_ = at;
    window_.resize(file_->read_up_to(at, window_));
    if (window_.empty()) return {};
  }
  return std::span<const std::byte>(window_).subspan(at - window_at_);
}

std::size_t FrameReader::read_up_to(std::uint64_t at, std::span<std::byte> to) {
  std::size_t done = 0;
  while (done < to.size()) {
    const auto there = window(at + done);
    if (there.empty()) break;
    const std::size_t count = std::min(there.size(), to.size() - done);
    std::ranges::copy(there.first(count), to.begin() + static_cast<std::ptrdiff_t>(done));
    done += count;
  }
  return done;
}

void FrameReader::read_file_header() {
  std::array<std::byte, file_header_bytes> bytes{};
  const std::size_t there = read_up_to(0, bytes);
  try {
    header_ = decode_file_header(std::span(bytes).first(there));
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", file_->path(), error.what()));
  }
}

std::optional<Frame> FrameReader::frame_at(std::uint64_t at, std::string& why) {
  std::array<std::byte, frame_header_bytes> bytes{};
  if (read_up_to(at, bytes) < bytes.size()) {
    why = "the file ends in the header of a frame";
    return std::nullopt;
  }
  Decoder from(bytes);
  if (from.number<std::uint32_t>() != frame_magic) {
    why = "no frame begins here";
    return std::nullopt;
  }
  Frame frame;
  frame.at = at;
  frame.type = static_cast<FrameType>(from.number<std::uint16_t>());
  from.bytes(2);
  frame.sequence = from.number<std::uint64_t>();
  frame.payload_bytes = from.number<std::uint64_t>();
  frame.payload_crc = from.number<std::uint32_t>();
  const auto head = std::span<const std::byte>(bytes).first(frame_header_bytes - 4);
  if (from.number<std::uint32_t>() != crc32c(head, start_of_crc(header_.id))) {
    why = "the checksum of the header of a frame is wrong";
    return std::nullopt;
  }
  // Told apart before it is rounded up, which might begin at 0 again.
  if (frame.payload_bytes > size_ || frame.end() > size_) {
    why = "the file ends in the payload of a frame";
    return std::nullopt;
  }
  return frame;
}

bool FrameReader::is_whole(const Frame& frame) {
  std::uint32_t crc = start_of_crc(header_.id);
  for (std::uint64_t at = frame.payload_at(); at < frame.end();) {
    const auto there = window(at);
    if (there.empty()) return false;
    const auto part = there.first(std::min<std::uint64_t>(there.size(), frame.end() - at));
    crc = crc32c(part, crc);
    at += part.size();
  }
  return crc == frame.payload_crc;
}

bool FrameReader::read_payload(const Frame& frame, std::vector<std::byte>& payload) {
  payload.resize(frame.padded_bytes());
  if (read_up_to(frame.payload_at(), payload) < payload.size()) return false;
  const bool right = payload_crc(payload, header_.id) == frame.payload_crc;
  payload.resize(frame.payload_bytes);
  return right;
}

std::optional<std::uint64_t> FrameReader::find_magic(std::uint64_t at) {
  for (; at + frame_header_bytes <= size_; at += alignment) {
    std::array<std::byte, sizeof(frame_magic)> bytes{};
    if (read_up_to(at, bytes) < bytes.size()) break;
    if (std::bit_cast<std::uint32_t>(bytes) == frame_magic) return at;
  }
  return std::nullopt;
}

}  // namespace spillway::journal
