#include "npy_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <span>

#include "foreign.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::uint64_t most_header_bytes = 1 << 20;
constexpr std::size_t written_header_bytes = 128;
constexpr const char* allowed = "allowed are int8 to int64, uint8 to uint64, float32 and float64";

// Walks through a dictionary as numpy writes it.
class Text {
 public:
  Text(const std::string& path, std::string_view text) : path_(path), rest_(text) {}

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: its NumPy header is damaged, {} bytes before its end: {}", path_,
                            rest_.size(), what));
  }
  void skip_space() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }
  [[nodiscard]] bool at_end() {
    skip_space();
    return rest_.empty();
  }
  [[nodiscard]] bool next_is(char c) {
    skip_space();
    return rest_.starts_with(c);
  }
  bool take(char c) {
    if (!next_is(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("'{}' is needed", c));
  }
  std::string_view quoted() {
    skip_space();
    const char quote = rest_.empty() ? '\0' : rest_[0];
    const std::size_t end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : rest_.npos;
    if (end == rest_.npos) fail("a text in quotes is needed");
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    skip_space();
    for (const std::string_view word : {"True", "False"})
      if (rest_.starts_with(word)) {
        rest_.remove_prefix(word.size());
        return word == "True";
      }
    fail("True or False is needed");
  }
  std::uint64_t number() {
    skip_space();
    std::uint64_t value = 0;
    const auto result = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (result.ec != std::errc{}) fail("a whole number below 2^64 is needed");
    rest_.remove_prefix(static_cast<std::size_t>(result.ptr - rest_.data()));
    if (rest_.starts_with('L')) rest_.remove_prefix(1);  // as Python 2 wrote it
    return value;
  }

 private:
  const std::string& path_;
  std::string_view rest_;
};

const char* kind_of(char letter) {
  switch (letter) {
    case 'b': return "bool";
    case 'f': return "floats of another size";
    case 'c': return "complex numbers";
    case 'O': return "Python objects";
    case 'S':
    case 'a':
    case 'U': return "strings";
    case 'M':
    case 'm': return "dates or time differences";
    case 'V': return "structured or raw elements";
    default: return "elements of a type that is not known";
  }
}

void read_type(const std::string& path, std::string_view descr, NpyHeader& to) {
  struct Known {
    std::string_view descr;
    SampleType type;
  };
  static constexpr std::array known{
      Known{"i1", SampleType::int8},    Known{"i2", SampleType::int16},
      Known{"i4", SampleType::int32},   Known{"i8", SampleType::int64},
      Known{"u1", SampleType::uint8},   Known{"u2", SampleType::uint16},
      Known{"u4", SampleType::uint32},  Known{"u8", SampleType::uint64},
      Known{"f4", SampleType::float32}, Known{"f8", SampleType::float64}};
  const char order = descr.empty() ? '\0' : descr[0];
  const std::string_view kind = descr.substr(descr.empty() ? 0 : 1);
  const auto* const found = std::ranges::find(known, kind, &Known::descr);
  const bool single = found != known.end() && sample_size(found->type) == 1;
  if (found == known.end() || (order != '<' && order != '>' && !(order == '|' && single)))
    throw Error(fmt::format("{}: holds {} ('{}'); {}", path, kind_of(kind.empty() ? '\0' : kind[0]),
                            shown(descr), allowed));
  to.type = found->type;
  to.big_endian = order == '>';
}

std::vector<std::uint64_t> read_shape(Text& text) {
  std::vector<std::uint64_t> shape;
  text.expect('(');
  while (!text.take(')')) {
    shape.push_back(text.number());
    if (shape.size() > 32) text.fail("more than 32 dimensions");
    if (!text.take(',') && !text.next_is(')')) text.fail("',' or ')' is needed");
  }
  return shape;
}

void read_text(const std::string& path, std::string_view header, NpyHeader& to) {
  Text text(path, header);
  std::string_view descr;
  bool has_descr = false, has_order = false, has_shape = false;
  text.expect('{');
  while (!text.take('}')) {
    const std::string_view key = text.quoted();
    text.expect(':');
    if (key == "descr" && !has_descr) {
      if (text.next_is('['))
        throw Error(fmt::format("{}: holds structured elements; {}", path, allowed));
      descr = text.quoted();
      has_descr = true;
    } else if (key == "fortran_order" && !has_order) {
      to.fortran_order = text.boolean();
      has_order = true;
    } else if (key == "shape" && !has_shape) {
      to.shape = read_shape(text);
      has_shape = true;
    } else {
      text.fail(fmt::format("the key '{}' stands twice or is not known", shown(key)));
    }
    if (!text.take(',') && !text.next_is('}')) text.fail("',' or '}' is needed");
  }
  if (!text.at_end()) text.fail("it does not end here as it should");
  if (!has_descr || !has_order || !has_shape)
    text.fail("descr, fortran_order and shape are needed");
  read_type(path, descr, to);
}

std::string shape_text(const std::vector<std::uint64_t>& shape) {
  std::string text;
  for (const std::uint64_t n : shape) text += fmt::format("{}{}", text.empty() ? "" : ", ", n);
  return shape.size() == 1 ? text + "," : text;
}

}  // namespace

bool is_npy(std::string_view front) { return front.starts_with(magic); }

NpyHeader read_npy_header(const File& file) {
  const std::string& path = file.path();
  std::array<unsigned char, 12> front{};
  const std::size_t there = file.read_up_to(0, std::as_writable_bytes(std::span(front)));
  const unsigned major = front[6];
  if (there < 10 || (major > 1 && there < 12))
    throw Error(fmt::format("{}: ends within its NumPy header", path));
  if (major < 1 || major > 3 || front[7] != 0)
    throw Error(
        fmt::format("{}: NumPy format {}.{}; known are 1.0, 2.0 and 3.0", path, major, front[7]));
  NpyHeader header;
  std::uint64_t length = front[8] | unsigned{front[9]} << 8;
  header.data_at = 10;
  if (major > 1) {
    length |= std::uint64_t{front[10]} << 16 | std::uint64_t{front[11]} << 24;
    header.data_at = 12;
  }
  const std::uint64_t size = file.size();
  if (length > size - header.data_at)
    throw Error(fmt::format("{}: ends within its NumPy header", path));
  if (length > most_header_bytes)
    throw Error(fmt::format("{}: its NumPy header has {} bytes; {} are the most", path, length,
                            most_header_bytes));
  std::string text(length, '\0');
  file.read_at(header.data_at, std::as_writable_bytes(std::span(text)));
  header.data_at += length;
  read_text(path, text, header);

  std::uint64_t bytes = sample_size(header.type);
  bool too_many = false;
  for (const std::uint64_t n : header.shape)
    too_many = __builtin_mul_overflow(bytes, n, &bytes) || too_many;
  if (std::ranges::find(header.shape, 0U) != header.shape.end()) bytes = 0, too_many = false;
  if (too_many || bytes > size - header.data_at)
    throw Error(fmt::format(
        "{}: its header tells of an array ({}) of {}, but there are {} bytes behind it: it is "
        "truncated, or no such array",
        path, shape_text(header.shape), sample_type_name(header.type), size - header.data_at));
  return header;
}

std::string npy_header_text(SampleType type, const std::vector<std::uint64_t>& shape) {
  const std::string_view name = sample_type_name(type);
  const std::size_t size = sample_size(type);
  std::string text = fmt::format("{{'descr': '{}{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                 size == 1 ? '|' : '<', name[0], size, shape_text(shape));
  // With the magic, the version and the length in front and the end of the line.
  text.resize(written_header_bytes - 11, ' ');
  const auto length = static_cast<unsigned>(text.size() + 1);
  return std::string(magic) + '\x01' + '\0' + static_cast<char>(length & 0xFF) +
         static_cast<char>(length >> 8) + text + '\n';
}

}  // namespace spillway
