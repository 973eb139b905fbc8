// From the samples of a channel to values side by side. Private.
#pragma once

#include <cstddef>

namespace spillway::simd {

struct ConvertKernels {
  // to[i] = slope * from[i] + offset, rounded after each operation; whether none of them is NaN.
  // A slope of 1 with an offset of -0.0 leaves every value as it is, -0.0 too.
  using Linear = bool (*)(const void* from, std::size_t count, double slope, double offset,
                          double* to) noexcept;
  Linear linear[10];  // by SampleType
  // to[f * to_stride + l] = from[l * from_stride + f]
  void (*transpose)(const double* from, std::size_t from_stride, std::size_t lanes,
                    std::size_t frames, double* to, std::size_t to_stride) noexcept;
};

}  // namespace spillway::simd
