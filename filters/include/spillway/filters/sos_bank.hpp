// The arithmetic of second-order sections alone, for float and double.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace spillway {

struct Sos;  // sos.hpp
namespace simd {
template <class T>
struct SosRun;
}

// How the sums are done; part of what is computed, since they round differently.
enum class Form : std::uint8_t {
  df2t,   // transposed direct form II, section by section: as others do it
  block,  // eight samples at once, two sections at a time: faster for one channel
};

// A cascade of sections over lanes side by side, without qualities, gaps and NaN policy, which
// are SosFilter's: for those who have samples of float or double and nothing else.
//
// Form::df2t, section by section, each product and sum rounded on its own:
//     y = b0 x + z1,   z1' = (b1 x - a1 y) + z2,   z2' = b2 x - a2 y.
//
// Form::block, two sections at a time (the last one alone if their number is odd), the same
// recursion solved for blocks of 8 samples from the start or reset: with the state z of both
// sections (z1, z2 of the first, then of the second) before the block and the impulse response h,
//     y[i] = ((((0 + h[i] x[0]) + h[i - 1] x[1]) + ...) + h[0] x[i]) + C_i z,
//     z'   = ((((0 + K_0 x[0]) + K_1 x[1]) + ...) + K_7 x[7]) + A z,
//     where any row r times z is (r_1 z_1 + r_2 z_2) + (r_3 z_3 + r_4 z_4).
// h, K, A and C are what that recursion makes in double of one 1 at the input or in the state. It
// differs from df2t in rounding alone. An output needs no later input: nothing is delayed. For one
// lane after the other, so for few of them.
//
// The bits of a lane depend neither on the other lanes, nor on how the input is cut into calls,
// nor on the instruction set. Coefficients are rounded to T once. A NaN or infinite input, or a
// sum that overflows, spoils the outputs of its lane from there on, in Form::block those of its
// block too, as far as they are made in the same call, until zero() or prime().
// Frames are counted from the start or reset; every 64 of them, numbers in the state that are
// on the way to the subnormal ones (below 1e-290, in float 1e-30) become zero.
template <class T>
class SosBank {
 public:
  // All that the past leaves behind. Its parts belong to one cascade, form and number of lanes.
  struct State {
    std::uint64_t frames = 0;  // since the start or reset
    std::vector<T> values;
  };

  // Throws Error if check(sos) does, or lanes is 0.
  SosBank(const Sos& sos, Form form, std::size_t lanes);

  // `frames` frames of all lanes, frame-major; `out` may be `in`. Wait-free, allocates nothing.
  // O(frames * lanes * sections).
  void process(const T* in, T* out, std::size_t frames) noexcept;
  void reset() noexcept;
  // As if all samples of the lane so far had been 0, or `level`.
  void zero(std::size_t lane) noexcept;
  void prime(std::size_t lane, T level) noexcept;

  // What a section of a lane remembers, as Form::df2t has it: z1 and z2.
  struct Memory {
    T z1 = 0;
    T z2 = 0;
  };
  [[nodiscard]] Memory memory(std::size_t lane, std::size_t section) const noexcept;
  // To be set before the first frame after the constructor or reset().
  void set_memory(std::size_t lane, std::size_t section, const Memory& memory) noexcept;

  // Copying a state into one of its size allocates nothing.
  [[nodiscard]] const State& state() const noexcept { return state_; }
  [[nodiscard]] State& state() noexcept { return state_; }

  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }
  [[nodiscard]] Form form() const noexcept { return form_; }

 private:
  // A section that has seen a constant 1 at the input of the cascade for ever.
  struct Steady {
    T input = 0;
    T z1 = 0;
    T z2 = 0;
  };
  // Values of the state of a lane in Form::block.
  [[nodiscard]] std::size_t block_states() const noexcept;
  void flush_subnormal() noexcept;

  Form form_;
  std::size_t lanes_;
  std::size_t stride_;
  std::vector<T> coefficients_;  // as the inner loop of the form wants them
  std::vector<T> recursion_;     // b0 b1 b2 a1 a2 of each section; empty in Form::df2t
  std::vector<Steady> steady_;   // one a section
  void (*run_)(const simd::SosRun<T>&);
  State state_;
};

extern template class SosBank<float>;
extern template class SosBank<double>;

}  // namespace spillway
