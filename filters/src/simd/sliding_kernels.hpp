// The inner loops of sliding min, max, rms and standard deviation. Private.
#pragma once

#include <cstddef>

namespace spillway::simd {

// A run of frames within a chunk, as chunked_window.hpp has it. Aggregates of a frame are
// stored field by field: [field * lanes + lane].
struct SlidingRun {
  const double* in;  // frame-major; may be `out`
  double* out;
  std::size_t lanes;
  std::size_t frames;
  std::size_t chunk;     // frames of a chunk
  std::size_t position;  // of the first frame
  std::size_t chunks;    // before this one, up to 2
  bool is_odd;           // the window
  double* beginning;
  const double* whole;
  double* current;
  double* previous;
  double ddof;
};

struct SlidingKernel {
  std::size_t fields;  // of an aggregate
  void (*run)(const SlidingRun&);
  void (*clear)(double* aggregates, std::size_t lanes);  // a frame of those of no sample
};

struct SlidingKernels {
  SlidingKernel least;
  SlidingKernel greatest;
  SlidingKernel rms;
  SlidingKernel deviation;
};

}  // namespace spillway::simd
