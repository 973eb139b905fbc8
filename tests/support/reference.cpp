#include "support/reference.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace spillway::test {

namespace {

static_assert(std::endian::native == std::endian::little);

std::filesystem::path from_environment(const char* name, const char* otherwise) {
  const char* const value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(fmt::format("{}: cannot be opened", path.string()));
  return {std::istreambuf_iterator<char>(file), {}};
}

// The numbers between the brackets of 'shape': (3, 4).
std::vector<std::size_t> parse_shape(std::string_view header) {
  std::vector<std::size_t> shape;
  const auto open = header.find('(', header.find("'shape'"));
  const auto close = header.find(')', open);
  std::size_t number = 0;
  bool digits = false;
  for (std::size_t i = open + 1; i <= close; ++i) {
    const char c = header[i];
    if (c >= '0' && c <= '9') {
      number = number * 10 + static_cast<std::size_t>(c - '0');
      digits = true;
    } else if (digits) {
      shape.push_back(number);
      number = 0;
      digits = false;
    }
  }
  return shape;
}

}  // namespace

Array read_npy(const std::filesystem::path& path) {
  constexpr std::string_view magic("\x93NUMPY\x01\x00", 8);
  const std::string bytes = read_all(path);
  const auto fail = [&](const char* what) {
    throw std::runtime_error(fmt::format("{}: {}", path.string(), what));
  };
  if (bytes.size() < 10 || !bytes.starts_with(magic)) fail("not .npy version 1.0");
  const std::size_t length = static_cast<unsigned char>(bytes[8]) +
                             256U * static_cast<std::size_t>(static_cast<unsigned char>(bytes[9]));
  if (bytes.size() < 10 + length) fail("the header is cut off");
  const std::string_view header = std::string_view(bytes).substr(10, length);
  if (header.find("'descr': '<f8'") == std::string_view::npos ||
      header.find("'fortran_order': False") == std::string_view::npos ||
      header.find("'shape': (") == std::string_view::npos)
    fail("not float64, little-endian, C order");
  Array array;
  array.shape = parse_shape(header);
  std::size_t count = 1;
  for (const std::size_t n : array.shape) count *= n;
  if (bytes.size() != 10 + length + count * sizeof(double))
    fail("the size is not that of its shape");
  array.values.resize(count);
  if (count > 0)
    std::memcpy(array.values.data(), bytes.data() + 10 + length, count * sizeof(double));
  return array;
}

nlohmann::json read_json(const std::filesystem::path& path) {
  return nlohmann::json::parse(read_all(path));
}

std::filesystem::path Reference::default_folder() {
  return from_environment("SPILLWAY_REFERENCE_DIR", SPILLWAY_DEFAULT_REFERENCE_DIR);
}

std::filesystem::path data_folder() {
  return from_environment("SPILLWAY_DATA_DIR", SPILLWAY_DEFAULT_DATA_DIR);
}

Reference::Reference(std::filesystem::path folder)
    : folder_(std::move(folder)), index_(read_json(folder_ / "index.json")) {
  for (const nlohmann::json& c : index_.at("cases")) {
    ReferenceCase made;
    made.id = c.at("id");
    made.filter = c.at("filter");
    made.params = c.at("params");
    if (!c.at("input").is_null()) made.input = c.at("input");
    made.tolerance = c.at("tolerance_abs");
    if (c.contains("tolerance_abs_own_design"))
      made.own_design_tolerance = c.at("tolerance_abs_own_design").get<double>();
    cases_.push_back(std::move(made));
  }
}

const nlohmann::json& Reference::entry(const ReferenceCase& c) const {
  for (const nlohmann::json& e : index_.at("cases"))
    if (e.at("id") == c.id) return e;
  throw std::runtime_error(fmt::format("no reference case {}", c.id));
}

Array Reference::input(const ReferenceCase& c) const {
  const std::string file = index_.at("inputs").at(c.input).at("file");
  return read_npy(folder_ / file);
}

Array Reference::times(const ReferenceCase& c) const {
  return read_npy(folder_ / index_.at("inputs").at(c.input).at("time_file").get<std::string>());
}

Array Reference::expected(const ReferenceCase& c) const {
  return read_npy(folder_ / entry(c).at("output").get<std::string>());
}

Array Reference::coefficients(const ReferenceCase& c, const std::string& kind) const {
  return read_npy(folder_ / entry(c).at("coefficients").at(kind).get<std::string>());
}

}  // namespace spillway::test
