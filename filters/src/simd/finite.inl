#include "finite_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

static bool all_finite(const double* values, std::size_t count) {
  using Bits = std::uint64_t __attribute__((may_alias));
  constexpr std::size_t n = lanes_of<double>;
  constexpr std::uint64_t exponent = 0x7FF0000000000000;
  constexpr std::uint64_t one = 0x0010000000000000;
  // An exponent of all ones, and one: the highest bit, which is the sign.
  const Bits* const bits = reinterpret_cast<const Bits*>(values);
  Vector<std::uint64_t, n> carry[4] = {};
  std::size_t i = 0;
  for (; i + 4 * n <= count; i += 4 * n)
    for (std::size_t v = 0; v < 4; ++v) {
      Vector<std::uint64_t, n> some;
      load<std::uint64_t, n>(some, bits + i + v * n);
      carry[v] |= (some & exponent) + one;
    }
  carry[0] |= carry[1] | carry[2] | carry[3];
  std::uint64_t all = 0;
  for (std::size_t k = 0; k < n; ++k) all |= carry[0][k];
  for (; i < count; ++i) all |= (bits[i] & exponent) + one;
  return all >> 63 == 0;
}

extern const FiniteKernels finite_kernels;
const FiniteKernels finite_kernels{all_finite};

}  // namespace spillway::simd::SPILLWAY_ISA
