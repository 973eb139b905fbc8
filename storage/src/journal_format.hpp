// The bytes of a journal, see docs/journal.md: what its writer and its reader share. Private.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "file.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway::journal {

static_assert(std::endian::native == std::endian::little, "the format is that of memory");

using Id = std::array<std::byte, 16>;

constexpr std::uint16_t major_version = 1;
constexpr std::uint16_t minor_version = 0;
constexpr std::size_t file_header_bytes = 32;
constexpr std::size_t frame_header_bytes = 32;
constexpr std::size_t alignment = 8;
constexpr std::uint32_t frame_magic = 0x4D524657;  // "WFRM"

// What one frame of rows holds at most, unpacked.
constexpr std::uint64_t most_row_bytes = 16 << 20;

enum class FrameType : std::uint16_t {
  begin = 1,
  chunks = 2,
  rows = 3,
  text = 4,
  books = 5,
  event = 6,
  log = 7,
  end = 8,
  commit = 9,
};

// Sizes of the entries of tables.
constexpr std::size_t chunk_bytes = 44;
constexpr std::size_t segment_bytes = 48;
constexpr std::size_t gap_bytes = 36;
constexpr std::size_t anchor_bytes = 24;

// Of a column in a frame of rows: the bytes of a row, and whether only the first row is
// there because all are like it.
constexpr std::uint8_t same_throughout = 0x80;

// Flags of a frame of books.
constexpr std::uint32_t has_open_segment = 1;
constexpr std::uint32_t replaces_last_gap = 2;
// Flags of a chunk.
constexpr std::uint32_t is_deflated = 1;
// Flags of an end.
constexpr std::uint32_t is_complete = 1;
constexpr std::uint32_t is_recovered = 2;

struct FileHeader {
  std::uint16_t major = major_version;
  std::uint16_t minor = minor_version;
  Id id{};
};

// A frame in a file, its header checked.
struct Frame {
  FrameType type{};
  std::uint64_t sequence = 0;
  std::uint64_t at = 0;  // of its header
  std::uint64_t payload_bytes = 0;
  std::uint32_t payload_crc = 0;

  [[nodiscard]] std::uint64_t payload_at() const noexcept { return at + frame_header_bytes; }
  [[nodiscard]] std::uint64_t padded_bytes() const noexcept {
    return (payload_bytes + alignment - 1) / alignment * alignment;
  }
  [[nodiscard]] std::uint64_t end() const noexcept { return payload_at() + padded_bytes(); }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return end() - at; }
};

[[nodiscard]] std::array<std::byte, file_header_bytes> encode(const FileHeader& header);
// Throws Error that says what is wrong, without path.
[[nodiscard]] FileHeader decode_file_header(std::span<const std::byte> bytes);

[[nodiscard]] std::array<std::byte, frame_header_bytes> encode(const Frame& frame, const Id& id);

// Of the payload and what pads it.
[[nodiscard]] std::uint32_t payload_crc(std::span<const std::byte> padded, const Id& id) noexcept;

using Json = nlohmann::ordered_json;
// Throws where it is not JSON, or nested more deeply than anything in a journal.
[[nodiscard]] Json parse_json(const std::string& text);

// Throws Error that says what is wrong, without path and position.
[[nodiscard]] JournalBegin decode_begin(std::span<const std::byte> payload, bool later_minor);

// Appends to bytes.
class Encoder {
 public:
  explicit Encoder(std::vector<std::byte>& to) : to_(&to) {}

  template <class T>
  void number(T value) {
    static_assert(std::is_integral_v<T>);
    bytes(std::as_bytes(std::span(&value, 1)));
  }
  void bytes(std::span<const std::byte> bytes) {
    to_->insert(to_->end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) {
    number(std::uint64_t{text.size()});
    bytes(std::as_bytes(std::span(text)));
  }

 private:
  std::vector<std::byte>* to_;
};

// Takes bytes from the front; throws Error where there are not enough.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> from) : from_(from) {}

  template <class T>
  T number() {
    static_assert(std::is_integral_v<T>);
    T value{};
    std::memcpy(&value, bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> bytes(std::uint64_t count) {
    if (count > from_.size()) throw_short(count);
    const auto taken = from_.first(count);
    from_ = from_.subspan(count);
    return taken;
  }
  std::string text() {
    const auto taken = bytes(number<std::uint64_t>());
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  // That so many entries of at least so many bytes each can follow: before memory is taken for
  // them.
  void require(std::uint64_t entries, std::size_t entry_bytes) const {
    if (entries > from_.size() / entry_bytes) throw_short(entries);
  }
  [[nodiscard]] std::size_t left() const noexcept { return from_.size(); }

 private:
  [[noreturn]] void throw_short(std::uint64_t wanted) const;

  std::span<const std::byte> from_;
};

// Reads the frames of a file of `size` bytes, as it was when this was made.
class FrameReader {
 public:
  FrameReader(const File& file, std::uint64_t size) : file_(&file), size_(size) {}

  // Throws Error that names the path.
  void read_file_header();

  [[nodiscard]] const FileHeader& header() const noexcept { return header_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

  // The frame whose header is at `at`; none: `why` says why there is none. Throws Error if
  // the disk can't be read, as the others.
  [[nodiscard]] std::optional<Frame> frame_at(std::uint64_t at, std::string& why);
  // Whether the payload has its checksum. Takes no memory, however long it is.
  [[nodiscard]] bool is_whole(const Frame& frame);
  // Replaces `payload`; false if it has not its checksum.
  [[nodiscard]] bool read_payload(const Frame& frame, std::vector<std::byte>& payload);
  // The first place from `at` on, by 8, where a frame may begin.
  [[nodiscard]] std::optional<std::uint64_t> find_magic(std::uint64_t at);

 private:
  [[nodiscard]] std::size_t read_up_to(std::uint64_t at, std::span<std::byte> to);
  // Bytes from `at` on, at least one, that are in memory; none: the file ends there.
  [[nodiscard]] std::span<const std::byte> window(std::uint64_t at);

  const File* file_;
  std::uint64_t size_;
  FileHeader header_;
  std::vector<std::byte> window_;
  std::uint64_t window_at_ = 0;
};

}  // namespace spillway::journal
