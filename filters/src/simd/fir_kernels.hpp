// The inner loops of filters with a finite impulse response. Private.
#pragma once

#include <cstddef>

namespace spillway::simd {

// Values lie frame by frame, so the input `i` frames earlier is `i * lanes` values earlier.
template <class T>
struct FirKernels {
  // y[e] = taps[0] x[e] + taps[1] x[e - lanes] + ..., summed in this order, for e below
  // `count`; `x` has the (tap_count - 1) * lanes values before it. tap_count > 0.
  void (*convolve)(const T* x, std::size_t lanes, const T* taps, std::size_t tap_count, T* y,
                   std::size_t count);

  // to[e] = from[e], or 0 where |from[e]| is below `least`.
  void (*copy_flushed)(const T* from, T least, T* to, std::size_t count);

  // Outputs of a filter with `branches` sets of `length` taps. Output k is
  //   y[k * lanes + l] = sum branch[t] x[(frame - t) * lanes + l], branch = taps + b * length,
  // in the order of t. The first one is of `b` and `frame`; from one to the next b grows by
  // branch_step modulo `branches`, and `frame` by frame_step, one more where b wraps around.
  struct Polyphase {
    const T* taps;
    std::size_t length;
    std::size_t branches;
    std::size_t branch_step;
    std::size_t frame_step;
    std::size_t lanes;
  };
  void (*polyphase)(const Polyphase& filter, const T* x, std::size_t frame, std::size_t branch,
                    T* y, std::size_t frames);
};

struct FirTable {
  FirKernels<double> of_double;
  FirKernels<float> of_float;
};

}  // namespace spillway::simd
