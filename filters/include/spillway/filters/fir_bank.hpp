// The arithmetic of filters with a finite impulse response, without quality.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "spillway/filters/cache_aligned.hpp"

namespace spillway {

namespace simd {
template <class T>
struct FirKernels;
}

// y[k] = sum taps[i] x[k - i], for `lanes` channels side by side, T float or double. Values lie
// frame by frame: lane l of frame f at [f * lanes + l]. What was before the first frame is 0.
//
// The sum of an output runs in the order i = 0, 1, ... in T. Vectorised over neighbouring
// values, be they lanes or outputs: the bits depend neither on lanes or cuts nor on the CPU.
// NaN and infinity go through the arithmetic, and are forgotten after `taps` frames. An input
// whose modulus is below least_input<T> counts as 0: subnormal numbers would be slow.
//
// Memory: about (2 taps + 256) * lanes values. One multiplication and addition a tap and value.
template <class T>
class FirBank {
 public:
  // All that the past leaves behind, the last frames of `values` that `frames` counts. Belongs to
  // one number of taps and lanes.
  struct State {
    std::uint64_t frames = 0;
    AlignedVector<T> values;
  };

  // Throws Error if there are no taps or more than max_fir_taps, one is not finite, or lanes is 0.
  FirBank(std::vector<T> taps, std::size_t lanes);

  // `frames` frames of all lanes; `out` may be `in`. Wait-free.
  void process(const T* in, T* out, std::size_t frames) noexcept;
  void reset() noexcept;

  // Copying a state into one of its size allocates nothing.
  [[nodiscard]] const State& state() const noexcept { return state_; }
  [[nodiscard]] State& state() noexcept { return state_; }

  [[nodiscard]] const std::vector<T>& taps() const noexcept { return taps_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  std::vector<T> taps_;
  std::size_t lanes_ = 1;
  State state_;  // taps - 1 frames and then some
  const simd::FirKernels<T>* kernels_;
};

template <class T>
inline constexpr T least_input = T(1e-270);
template <>
inline constexpr float least_input<float> = 1e-30F;
inline constexpr std::size_t max_fir_taps = std::size_t{1} << 20;

extern template class FirBank<float>;
extern template class FirBank<double>;

}  // namespace spillway
