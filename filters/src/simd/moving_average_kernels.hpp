// The inner loop of moving averages. Private.
#pragma once

#include <cstddef>
#include <cstdint>

namespace spillway::simd {

// A sum over a window of 2 * half or, if `odd` is 1, 2 * half + 1 frames, and a run of frames
// through it. MovingAverageBank tells what the rows hold, one value a lane each.
template <class T>
struct MovingAverageRun {
  std::size_t half;
  std::size_t odd;
  std::size_t lanes;
  std::uint64_t done;  // frames since the start

  // Two partitions of `half` rows, each followed by a neutral row, the second one by another:
  // -0.0 leaves every bit of what it is added to.
  T* rows;
  T* prefix;  // sum of the current partition
  T* middle;  // sum of the one before it, neutral if there is none

  const T* in;
  T* out;  // the sums, each divided; may be `in`
  std::size_t frames;
  const T* divisors;
  std::size_t divisor_step;  // 1, or 0 if all are the first one
};

struct MovingAverageKernels {
  void (*run_double)(const MovingAverageRun<double>&);
  void (*run_float)(const MovingAverageRun<float>&);
};

}  // namespace spillway::simd
