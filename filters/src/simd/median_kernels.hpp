// The inner loops of medians of short windows. Private.
#pragma once

#include <cstddef>

namespace spillway::simd {

inline constexpr std::size_t median_most_window = 127;

// A run of frames, in and out frame-major; `in` may be `out`. The state of all lanes:
template <class T>
struct MedianRun {
  std::size_t window;  // up to median_most_window
  T* ring;             // the last inputs, [slot * lanes + lane], NaN where there was none yet
  std::size_t slot;    // where the next one goes
  T* sorted;           // of each group of lanes the window in order, infinity for each NaN
  T* valid;            // how many of a lane's ring are not NaN
  const T* in;
  T* out;
  std::size_t lanes;
  std::size_t frames;
};

struct MedianKernels {
  void (*run_double)(const MedianRun<double>&);
  void (*run_float)(const MedianRun<float>&);
};

}  // namespace spillway::simd
