#include "spillway/channels/sample_type.hpp"

#include <fmt/format.h>

#include <array>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {
constexpr std::array<std::string_view, 10> names{
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64"};
}

std::string_view sample_type_name(SampleType type) noexcept {
  return names[static_cast<std::size_t>(type)];
}

SampleType sample_type_from_name(std::string_view name) {
  if (name == "float") return SampleType::float32;
  if (name == "double") return SampleType::float64;
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return static_cast<SampleType>(i);
  throw Error(fmt::format("unknown sample type '{}'; allowed: {}", name, fmt::join(names, ", ")));
}

}  // namespace spillway
