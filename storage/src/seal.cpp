#include "seal.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "json_error.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"
#include "xxhash.hpp"

namespace spillway {

namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie");

using Bytes = std::vector<std::byte>;

// Two marks, at either end, so that one changed byte hides neither.
constexpr std::uint64_t head_mark = 0x6c616573'77707389;  // "\x89spwseal"
constexpr std::uint64_t tail_mark = 0x646e6573'77707389;  // "\x89spwsend"
constexpr std::uint32_t format_version = 1;

struct Head {
  std::uint64_t mark = head_mark;
  std::uint32_t version = format_version;
  std::uint32_t columns_bytes = 0;  // of the table of columns, JSON text
  std::uint64_t address = 0;        // of this
  std::uint64_t length = 0;         // of the seal, from here to the end of Tail
  std::uint64_t file_bytes = 0;
  std::uint64_t ranges = 0;
};
static_assert(sizeof(Head) == 48);

struct Tail {
  std::array<unsigned char, 16> root{};  // XXH3-128, canonical, of everything before
  std::uint64_t address = 0;
  std::uint64_t length = 0;
  std::uint64_t mark = tail_mark;
};
static_assert(sizeof(Tail) == 40);

constexpr std::uint64_t block_bytes = 64 * 1024;  // at most, of a range that is no chunk
constexpr std::uint64_t window_bytes = 1024 * 1024;
constexpr std::uint64_t searched_bytes = 64 * window_bytes;

template <class T>
T load(std::span<const std::byte> bytes, std::uint64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}
template <class T>
void store(Bytes& bytes, std::uint64_t at, const T& value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::array<unsigned char, 16> hash(std::span<const std::byte> bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  std::array<unsigned char, 16> root{};
  std::memcpy(root.data(), canonical.digest, root.size());
  return root;
}

std::string text_of(const std::vector<SealColumn>& columns) {
  auto list = nlohmann::json::array();
  for (const SealColumn& c : columns) {
    auto filters = nlohmann::json::array();
    if (c.deflated) filters = {"shuffle", "deflate"};
    list.push_back({{"path", c.path},
                    {"chunk_rows", c.chunk_rows},
                    {"row_bytes", c.row_bytes},
                    {"filters", std::move(filters)}});
  }
  try {
    return list.dump();
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("seal: {}", json_error_text(error)));
  }
}

// Throws nlohmann::json::exception.
std::vector<SealColumn> columns_from(std::string_view text) {
  std::vector<SealColumn> columns;
  for (const auto& entry : nlohmann::json::parse(text))
    columns.push_back({entry.at("path").get<std::string>(),
                       entry.at("chunk_rows").get<std::uint32_t>(),
                       entry.at("row_bytes").get<std::uint32_t>(), !entry.at("filters").empty()});
  return columns;
}

// The table's text is padded, so that the ranges lie aligned.
std::uint64_t ranges_at(std::uint64_t columns_bytes) {
  return sizeof(Head) + (columns_bytes + 7) / 8 * 8;
}

std::string words(std::uint64_t first, std::uint64_t length) {
  return fmt::format("bytes {} to {}", first, first + length - 1);
}

std::uint32_t checksum_of(const File& file, std::uint64_t at, std::uint64_t length, Bytes& buffer) {
  std::uint32_t crc = 0;
  while (length > 0) {
    const auto part = std::span(buffer).first(std::min<std::uint64_t>(length, buffer.size()));
    file.read_at(at, part);
    crc = crc32c(part, crc);
    at += part.size();
    length -= part.size();
  }
  return crc;
}

struct Place {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
};

// A mark may stand in any data: it counts if what is beside it says that it is just here.
std::optional<Place> place_at(const File& file, std::uint64_t mark_at, bool is_head,
                              std::uint64_t file_bytes) {
  if (is_head) {
    Bytes bytes(sizeof(Head));
    if (file.read_up_to(mark_at, bytes) < bytes.size()) return std::nullopt;
    const auto head = load<Head>(bytes, 0);
    if (head.address != mark_at) return std::nullopt;
    return Place{head.address, head.length};
  }
  const std::uint64_t end = mark_at + sizeof(std::uint64_t);
  if (end < sizeof(Head) + sizeof(Tail) || end > file_bytes) return std::nullopt;
  Bytes bytes(sizeof(Tail));
  file.read_at(end - sizeof(Tail), bytes);
  const auto tail = load<Tail>(bytes, 0);
  if (tail.address >= end || tail.length != end - tail.address) return std::nullopt;
  return Place{tail.address, tail.length};
}

// Backwards: it was the last that was made.
std::optional<Place> find(const File& file, std::uint64_t file_bytes) {
  constexpr std::uint64_t mark_bytes = sizeof(std::uint64_t);
  const std::uint64_t lowest = file_bytes > searched_bytes ? file_bytes - searched_bytes : 0;
  Bytes window;
  std::uint64_t end = file_bytes;
  while (end >= lowest + mark_bytes) {
    const std::uint64_t begin = end - std::min(end - lowest, window_bytes);
    window.resize(end - begin);
    file.read_at(begin, window);
    for (std::uint64_t at = window.size() - mark_bytes + 1; at-- > 0;) {
      const auto mark = load<std::uint64_t>(window, at);
      if (mark != head_mark && mark != tail_mark) continue;
      if (const auto place = place_at(file, begin + at, mark == head_mark, file_bytes))
        return place;
    }
    if (begin == lowest) break;
    end = begin + mark_bytes - 1;  // a mark across the border
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t seal_room(const std::vector<SealColumn>& columns, std::size_t chunks,
                        std::uint64_t file_bytes) {
  // In front of, between and behind the chunks, and on either side of the seal: each begins a
  // block of its own.
  const std::uint64_t between = chunks + 2;
  const std::uint64_t ranges = chunks + between + file_bytes / block_bytes;
  return ranges_at(text_of(columns).size()) + ranges * sizeof(SealRange) + sizeof(Tail);
}

void write_seal(File& file, std::uint64_t address, std::uint64_t room,
                const std::vector<SealColumn>& columns, std::vector<SealRange> chunks) {
  const std::uint64_t file_bytes = file.size();
  const auto fail = [&](const std::string& what) {
    throw Error(fmt::format("{}: can't be sealed: {}", file.path(), what));
  };
  if (address > file_bytes || room > file_bytes - address)
    fail(fmt::format("{} are not in the file", words(address, room)));
  std::sort(chunks.begin(), chunks.end(),
            [](const SealRange& a, const SealRange& b) { return a.address < b.address; });

  std::vector<SealRange> ranges;
  Bytes buffer(block_bytes);
  std::uint64_t position = 0;
  const auto cover_up_to = [&](std::uint64_t end) {
    while (position < end) {
      SealRange range;
      range.address = position;
      range.length = std::min(end - position, block_bytes);
      range.crc32c = checksum_of(file, range.address, range.length, buffer);
      ranges.push_back(range);
      position += range.length;
    }
  };
  bool behind_seal = false;
  const auto cover_seal = [&] {
    cover_up_to(address);
    position = address + room;
    behind_seal = true;
  };
  for (const SealRange& chunk : chunks) {
    if (!behind_seal && chunk.address >= address) cover_seal();
    if (chunk.address < position || chunk.address > file_bytes ||
        chunk.length > file_bytes - chunk.address || chunk.length == 0 ||
        (!behind_seal && chunk.length > address - chunk.address) || chunk.column >= columns.size())
      fail(fmt::format("a chunk of {} bytes at byte {} can't be there", chunk.length,
                       chunk.address));
    cover_up_to(chunk.address);
    ranges.push_back(chunk);
    position += chunk.length;
  }
  if (!behind_seal) cover_seal();
  cover_up_to(file_bytes);

  const std::string text = text_of(columns);
  Head head;
  head.columns_bytes = static_cast<std::uint32_t>(text.size());
  head.address = address;
  head.length = room;
  head.file_bytes = file_bytes;
  head.ranges = ranges.size();
  const std::uint64_t ranges_bytes = ranges.size() * sizeof(SealRange);
  if (text.size() > UINT32_MAX || ranges_at(text.size()) + ranges_bytes + sizeof(Tail) > room)
    fail(fmt::format("{} bytes are no room for it", room));
  Bytes seal(room);
  store(seal, 0, head);
  std::memcpy(seal.data() + sizeof head, text.data(), text.size());
  if (!ranges.empty())
    std::memcpy(seal.data() + ranges_at(text.size()), ranges.data(), ranges_bytes);
  Tail tail;
  tail.root = hash(std::span(seal).first(room - sizeof tail));
  tail.address = address;
  tail.length = room;
  store(seal, room - sizeof tail, tail);
  file.write_at(address, seal);
}

std::optional<Seal> read_seal(const File& file) {
  const std::uint64_t file_bytes = file.size();
  const auto place = find(file, file_bytes);
  if (!place) return std::nullopt;
  const auto fail = [&](std::uint64_t at, std::uint64_t length, const std::string& what) {
    throw Error(fmt::format("{}: {}: the seal {}", file.path(), words(at, length), what));
  };
  const std::uint64_t address = place->address;
  const std::uint64_t length = place->length;
  if (length < sizeof(Head) + sizeof(Tail) || length > file_bytes - address)
    fail(address, file_bytes - address,
         fmt::format("says it is {} bytes long, the file has {} in all", length, file_bytes));
  Bytes bytes(length);
  file.read_at(address, bytes);
  const auto head = load<Head>(bytes, 0);
  const auto tail = load<Tail>(bytes, length - sizeof(Tail));
  if (head.mark != head_mark || head.address != address || head.length != length ||
      tail.mark != tail_mark || tail.address != address || tail.length != length ||
      hash(std::span(bytes).first(length - sizeof tail)) != tail.root)
    fail(address, length, "is damaged: its own checksum is wrong");
  if (head.version != format_version)
    fail(address, length,
         fmt::format("is of version {}, this program reads {}", head.version, format_version));
  if (head.file_bytes != file_bytes)
    fail(address, length,
         fmt::format("is of a file of {} bytes, this one has {}", head.file_bytes, file_bytes));

  const std::uint64_t most = length - sizeof tail;
  if (ranges_at(head.columns_bytes) > most ||
      head.ranges > (most - ranges_at(head.columns_bytes)) / sizeof(SealRange))
    fail(address, length, "has no room for what it says is in it");
  Seal seal;
  seal.address = address;
  seal.length = length;
  try {
    const auto* const text = reinterpret_cast<const char*>(bytes.data() + sizeof head);
    seal.columns = columns_from({text, head.columns_bytes});
  } catch (const nlohmann::json::exception& error) {
    fail(address, length, fmt::format("has no table of columns: {}", json_error_text(error)));
  }
  seal.ranges.resize(head.ranges);
  if (head.ranges > 0)
    std::memcpy(seal.ranges.data(), bytes.data() + ranges_at(head.columns_bytes),
                head.ranges * sizeof(SealRange));
  std::uint64_t position = 0;
  for (const SealRange& range : seal.ranges) {
    if (position == address) position += length;
    const bool is_chunk = range.column != SealRange::no_column;
    if (range.address != position || range.length == 0 || range.length > file_bytes - position ||
        (position < address && range.length > address - position) ||
        (is_chunk && (range.column >= seal.columns.size() ||
                      range.rows > seal.columns[range.column].chunk_rows)))
      fail(address, length, fmt::format("does not fit together at byte {}", position));
    position += range.length;
  }
  if (position == address) position += length;
  if (position != file_bytes)
    fail(address, length, fmt::format("does not cover byte {}", position));
  return seal;
}

void check_seal(const File& file, const Seal& seal,
                const std::function<void(const SealRange&, const std::string& what)>& damaged) {
  Bytes window(window_bytes);
  const auto compare = [&](const SealRange& range, std::uint32_t crc) {
    if (crc != range.crc32c)
      damaged(range, words(range.address, range.length) + ": wrong checksum");
  };
  const auto check_alone = [&](const SealRange& range) {
    std::uint32_t crc = 0;
    try {
      crc = checksum_of(file, range.address, range.length, window);
    } catch (const Error& error) {
      damaged(range, words(range.address, range.length) + ": " + error.what());
      return;
    }
    compare(range, crc);
  };
  for (std::size_t i = 0; i < seal.ranges.size();) {
    // Neighbours in one read.
    std::size_t last = i;
    std::uint64_t end = seal.ranges[i].address + seal.ranges[i].length;
    while (last + 1 < seal.ranges.size() && seal.ranges[last + 1].address == end &&
           end + seal.ranges[last + 1].length - seal.ranges[i].address <= window.size())
      end += seal.ranges[++last].length;
    const std::uint64_t begin = seal.ranges[i].address;
    bool read = last > i;
    if (read) {
      try {
        file.read_at(begin, std::span(window).first(end - begin));
      } catch (const Error&) {
        read = false;  // one by one, for those that can be read
      }
    }
    for (; i <= last; ++i) {
      const SealRange& range = seal.ranges[i];
      if (read)
        compare(range, crc32c(std::span(window).subspan(range.address - begin, range.length)));
      else
        check_alone(range);
    }
  }
}

}  // namespace spillway
