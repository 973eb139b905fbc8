#include "convert_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

static bool none_is_nan(const double* values, std::size_t count) noexcept {
  constexpr std::size_t n = lanes_of<double>;
  Vector<std::int64_t, n> found = {};
  std::size_t i = 0;
  for (; i + n <= count; i += n) {
    Vector<double, n> v;
    load<double, n>(v, values + i);
    found |= v != v;
  }
  std::int64_t any = 0;
  for (std::size_t k = 0; k < n; ++k) any |= found[k];
  for (; i < count; ++i) any |= static_cast<std::int64_t>(values[i] != values[i]);
  return any == 0;
}

template <class T>
static bool linear(const void* from, std::size_t count, double slope, double offset,
                   double* __restrict to) noexcept {
  const T* const __restrict samples = static_cast<const T*>(from);
  for (std::size_t i = 0; i < count; ++i) to[i] = slope * static_cast<double>(samples[i]) + offset;
  if constexpr (static_cast<T>(0.5) == T{})
    return true;  // integers
  else
    return none_is_nan(to, count);
}

static void transpose(const double* from, std::size_t from_stride, std::size_t lanes,
                      std::size_t frames, double* to, std::size_t to_stride) noexcept {
  using Pair = Vector<double, 2>;
  std::size_t f = 0;
  for (; f + 2 <= frames; f += 2) {
    const double* in = from + f;
    double* const out = to + f * to_stride;
    std::size_t l = 0;
    for (; l + 2 <= lanes; l += 2, in += 2 * from_stride) {
      Pair a;
      Pair b;
      load<double, 2>(a, in);
      load<double, 2>(b, in + from_stride);
      store<double, 2>(out + l, __builtin_shufflevector(a, b, 0, 2));
      store<double, 2>(out + to_stride + l, __builtin_shufflevector(a, b, 1, 3));
    }
    if (l < lanes) {
      out[l] = in[0];
      out[to_stride + l] = in[1];
    }
  }
  if (f < frames)
    for (std::size_t l = 0; l < lanes; ++l) to[f * to_stride + l] = from[l * from_stride + f];
}

extern const ConvertKernels convert_kernels;
const ConvertKernels convert_kernels{
    {linear<std::int8_t>, linear<std::int16_t>, linear<std::int32_t>, linear<std::int64_t>,
     linear<std::uint8_t>, linear<std::uint16_t>, linear<std::uint32_t>, linear<std::uint64_t>,
     linear<float>, linear<double>},
    transpose};

}  // namespace spillway::simd::SPILLWAY_ISA
