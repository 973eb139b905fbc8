#include "spillway/filters/quality_span.hpp"

#include "simd/finite_kernels.hpp"
#include "simd/pick.hpp"

SPILLWAY_SIMD_TABLE(FiniteKernels, finite_kernels, pick_finite_kernels)

namespace spillway {

bool all_finite(std::span<const double> values) noexcept {
  return simd::pick_finite_kernels().all_finite(values.data(), values.size());
}

}  // namespace spillway
