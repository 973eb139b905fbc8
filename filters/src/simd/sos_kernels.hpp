// The inner loops of recursive filters. Private; sos_bank.hpp has the formulas.
#pragma once

#include <cstddef>

namespace spillway::simd {

inline constexpr std::size_t sos_most_frames = 64;
inline constexpr std::size_t sos_block = 8;  // divides it

// A run of frames, in and out frame-major; `in` may be `out`. What coefficients and state are
// depends on the form:
//   df2t   b0 b1 b2 a1 a2 of each section;
//          z1, z2 of each section: [(2 * section + k) * stride + lane];
//   block  of each two sections, what SosBlock names, beginning there;
//          the same of each lane and, in it, each two sections.
template <class T>
struct SosRun {
  const T* coefficients;
  std::size_t sections;
  T* state;
  std::size_t stride;  // lanes, and room to fill the last vector
  const T* in;
  T* out;
  std::size_t lanes;
  std::size_t frames;  // up to the next multiple of sos_most_frames
  std::size_t done;    // since the last one
};

struct SosBlock {
  static constexpr std::size_t states = 4;  // z1, z2 of two sections
  enum Coefficients : std::size_t {
    zeros,                      // before
    h = zeros + sos_block - 1,  // the impulse response
    z_from_x = h + sos_block,   // what each input leaves in the state behind the block
    z_from_z = z_from_x + sos_block * states,  // and each value of the state before it
    y_from_z = z_from_z + states * states,     // what these leave in the outputs
    coefficients = y_from_z + states * sos_block,
  };
  enum State : std::size_t {
    z,               // before the current block
    x = z + states,  // of the current block, as far as it goes
    state = x + sos_block,
  };
};

struct SosKernels {
  void (*df2t_double)(const SosRun<double>&);
  void (*df2t_float)(const SosRun<float>&);
};
struct SosBlockKernels {
  void (*run_double)(const SosRun<double>&);
  void (*run_float)(const SosRun<float>&);
};

}  // namespace spillway::simd
