// The types a sample may have, and the way from a run-time type to a C++ type.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

namespace spillway {

enum class SampleType : std::uint8_t {
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float32,
  float64,
};

template <class T>
concept Sample = std::same_as<T, std::int8_t> || std::same_as<T, std::int16_t> ||
    std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t> ||
    std::same_as<T, std::uint8_t> || std::same_as<T, std::uint16_t> ||
    std::same_as<T, std::uint32_t> || std::same_as<T, std::uint64_t> || std::same_as<T, float> ||
    std::same_as<T, double>;

template <Sample T>
consteval SampleType sample_type_of() {
  if constexpr (std::same_as<T, float>)
    return SampleType::float32;
  else if constexpr (std::same_as<T, double>)
    return SampleType::float64;
  else if constexpr (std::signed_integral<T>)
    return sizeof(T) == 1   ? SampleType::int8
           : sizeof(T) == 2 ? SampleType::int16
           : sizeof(T) == 4 ? SampleType::int32
                            : SampleType::int64;
  else
    return sizeof(T) == 1   ? SampleType::uint8
           : sizeof(T) == 2 ? SampleType::uint16
           : sizeof(T) == 4 ? SampleType::uint32
                            : SampleType::uint64;
}

// Calls f(std::type_identity<T>{}) with the C++ type of `type`.
template <class F>
decltype(auto) visit_sample_type(SampleType type, F&& f) {
  switch (type) {
    case SampleType::int8: return std::forward<F>(f)(std::type_identity<std::int8_t>{});
    case SampleType::int16: return std::forward<F>(f)(std::type_identity<std::int16_t>{});
    case SampleType::int32: return std::forward<F>(f)(std::type_identity<std::int32_t>{});
    case SampleType::int64: return std::forward<F>(f)(std::type_identity<std::int64_t>{});
    case SampleType::uint8: return std::forward<F>(f)(std::type_identity<std::uint8_t>{});
    case SampleType::uint16: return std::forward<F>(f)(std::type_identity<std::uint16_t>{});
    case SampleType::uint32: return std::forward<F>(f)(std::type_identity<std::uint32_t>{});
    case SampleType::uint64: return std::forward<F>(f)(std::type_identity<std::uint64_t>{});
    case SampleType::float32: return std::forward<F>(f)(std::type_identity<float>{});
    case SampleType::float64: break;
  }
  return std::forward<F>(f)(std::type_identity<double>{});
}

// Bytes of one sample: 1, 2, 4 or 8.
[[nodiscard]] inline std::size_t sample_size(SampleType type) noexcept {
  return visit_sample_type(type, []<class T>(std::type_identity<T>) { return sizeof(T); });
}

// "int8" to "uint64", "float32", "float64": the spelling of numpy and of the files.
[[nodiscard]] std::string_view sample_type_name(SampleType type) noexcept;

// The reverse; also takes "float" and "double". Throws Error that lists what is allowed.
[[nodiscard]] SampleType sample_type_from_name(std::string_view name);

}  // namespace spillway
