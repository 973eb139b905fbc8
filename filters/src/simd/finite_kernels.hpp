// Whether values are finite. Private.
#pragma once

#include <cstddef>

namespace spillway::simd {

struct FiniteKernels {
  bool (*all_finite)(const double* values, std::size_t count);
};

}  // namespace spillway::simd
