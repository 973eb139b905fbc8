// The loops that everybody writes.
#pragma once

#include <cstddef>

namespace spillway::bench {

// Each filters `frames` frames. By lane: one lane, its samples side by side. By frame: all lanes
// of a frame side by side.
template <class T>
struct PlainLoops {
  // State: two of each section (and lane, side by side). Coefficients: b0 b1 b2 a1 a2 of each.
  void (*sos_by_lane)(const T* c, std::size_t sections, T* state, const T* in, T* out,
                      std::size_t frames);
  void (*sos_by_frame)(const T* c, std::size_t sections, T* state, const T* in, T* out,
                       std::size_t frames, std::size_t lanes);
  // A running sum, which drifts. State: the sum (of each lane), the last `window` samples, and
  // where the oldest is.
  void (*mean_by_lane)(std::size_t window, T* sum, T* past, std::size_t& oldest, const T* in,
                       T* out, std::size_t frames);
  void (*mean_by_frame)(std::size_t window, T* sum, T* past, std::size_t& oldest, const T* in,
                        T* out, std::size_t frames, std::size_t lanes);
  // A window kept sorted. State: the sorted values, and as for the mean.
  void (*median_by_lane)(std::size_t window, T* sorted, T* past, std::size_t& oldest, const T* in,
                         T* out, std::size_t frames);
  // The taps - 1 samples before `in` are those of before.
  void (*fir_by_lane)(const T* reversed_taps, std::size_t taps, const T* in, T* out,
                      std::size_t frames);
};

namespace x86_64 {
extern const PlainLoops<float> loops_float;
extern const PlainLoops<double> loops_double;
}  // namespace x86_64
namespace x86_64_v3 {
extern const PlainLoops<float> loops_float;
extern const PlainLoops<double> loops_double;
}  // namespace x86_64_v3

}  // namespace spillway::bench
