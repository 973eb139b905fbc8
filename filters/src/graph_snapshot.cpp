#include "spillway/filters/graph_snapshot.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <span>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::string_view magic = "SPWSTATE";
constexpr std::uint64_t format_version = 1;

// Numbers are 64 bits, little-endian.
void put(std::string& bytes, std::uint64_t number) {
  for (int byte = 0; byte < 8; ++byte) bytes.push_back(static_cast<char>(number >> (8 * byte)));
}
void put(std::string& bytes, std::string_view text) {
  put(bytes, std::uint64_t{text.size()});
  bytes += text;
}
void put(std::string& bytes, const std::vector<GraphPartSnapshot::Place>& places) {
  put(bytes, std::uint64_t{places.size()});
  for (const GraphPartSnapshot::Place& place : places) {
    put(bytes, std::string_view(place.stream));
    put(bytes, place.next.value);
  }
}

class Parser {
 public:
  explicit Parser(std::string_view bytes) : left_(bytes) {}

  [[nodiscard]] bool at_end() const noexcept { return left_.empty(); }
  std::string_view take(std::uint64_t size) {
    if (size > left_.size())
      throw Error(
          fmt::format("the state of a graph is cut short: {} bytes are needed where {} are left",
                      size, left_.size()));
    const std::string_view taken = left_.substr(0, static_cast<std::size_t>(size));
    left_.remove_prefix(taken.size());
    return taken;
  }
  std::uint64_t number() {
    const std::string_view bytes = take(8);
    std::uint64_t number = 0;
    for (std::size_t byte = 8; byte-- > 0;)
      number = number << 8 | static_cast<unsigned char>(bytes[byte]);
    return number;
  }
  // How many follow, of at least `each` bytes.
  std::uint64_t count(std::uint64_t each) {
    const std::uint64_t count = number();
    if (count > left_.size() / each)
      throw Error(fmt::format("the state of a graph is damaged: {} entries in {} bytes", count,
                              left_.size()));
    return count;
  }
  std::string_view text() { return take(number()); }
  std::vector<GraphPartSnapshot::Place> places() {
    std::vector<GraphPartSnapshot::Place> places(static_cast<std::size_t>(count(16)));
    for (GraphPartSnapshot::Place& place : places) {
      place.stream = text();
      place.next = {number()};
    }
    return places;
  }

 private:
  std::string_view left_;
};

}  // namespace

std::string to_bytes(const GraphSnapshot& snapshot) {
  std::string bytes(magic);
  put(bytes, format_version);
  put(bytes, std::uint64_t{snapshot.parts.size()});
  for (const GraphPartSnapshot& part : snapshot.parts) {
    put(bytes, std::uint64_t{part.part});
    put(bytes, part.inputs);
    put(bytes, part.outputs);
    put(bytes,
        std::string_view(reinterpret_cast<const char*>(part.state.data()), part.state.size()));
  }
  return bytes;
}

GraphSnapshot graph_snapshot_from_bytes(std::string_view bytes) {
  if (!bytes.starts_with(magic)) throw Error("the state of a graph does not begin as one does");
  Parser parser(bytes.substr(magic.size()));
  if (const std::uint64_t version = parser.number(); version != format_version)
    throw Error(fmt::format("the state of a graph is of version {}; this program knows version {}",
                            version, format_version));
  GraphSnapshot snapshot;
  snapshot.parts.resize(static_cast<std::size_t>(parser.count(32)));
  for (std::size_t p = 0; p < snapshot.parts.size(); ++p) {
    GraphPartSnapshot& part = snapshot.parts[p];
    part.part = static_cast<std::size_t>(parser.number());
    if (p > 0 && part.part <= snapshot.parts[p - 1].part)
      throw Error(fmt::format("the state of a graph has part {} behind part {}", part.part,
                              snapshot.parts[p - 1].part));
    part.inputs = parser.places();
    part.outputs = parser.places();
    const auto state = std::as_bytes(std::span(parser.text()));
    part.state.assign(state.begin(), state.end());
  }
  if (!parser.at_end()) throw Error("the state of a graph has bytes left over");
  return snapshot;
}

}  // namespace spillway
