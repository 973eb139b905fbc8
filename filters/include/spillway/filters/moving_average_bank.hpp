// The arithmetic of moving averages alone, for float and double.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "spillway/filters/filter.hpp"

namespace spillway {

struct MovingAverage;  // moving_average.hpp
enum class WarmUp : std::uint8_t;
namespace simd {
template <class T>
struct MovingAverageRun;
}

// Output k is the mean of the inputs k - window + 1 to k, over lanes side by side, without
// qualities and gaps, which are MovingAverageFilter's: for those who have samples of float or
// double and nothing else.
//
// Partitions of window / 2 frames from the start or reset, so that every window is the whole of
// one partition, the end of the one before it and the beginning of the one behind it:
//     ((x[k - window + 1] + (... + e)) + ((m + ...) + m')) + ((b + ...) + x[k]).
// Sums of beginnings and of the whole grow with each frame. Sums of ends are made backwards, in
// the place of the inputs, one a frame, while the partition is the whole one: every frame costs
// the same. Nothing is ever subtracted, so the sum never drifts, and a NaN or infinity is
// forgotten when it leaves the window. (Two stacks, as in the van Herk, Gil and Werman filter,
// whose work for a whole partition comes at once.)
//
// The bits of a lane depend neither on the other lanes, nor on how the input is cut into calls,
// nor on the instruction set.
//
// Memory: (window + 5) * lanes values; twice that where NaN are ignored.
template <class T>
class MovingAverageBank {
 public:
  // All that the past leaves behind. Its parts belong to one window, policy and number of lanes.
  struct State {
    std::uint64_t frames = 0;  // since the start or reset
    std::vector<T> values;
  };

  // parameters.gap has no meaning here. Throws Error if the window is not 1 to 2^28 (2^24 in
  // float, which cannot count further), the NaN policy not propagate or ignore, or lanes 0.
  MovingAverageBank(const MovingAverage& parameters, std::size_t lanes);

  // `frames` frames of all lanes, frame-major; `out` may be `in`. Wait-free, allocates nothing.
  // O(frames * lanes). Sums must stay within the range of T.
  void process(const T* in, T* out, std::size_t frames) noexcept;
  void reset() noexcept;
  // Goes on, as if from the start, with the last `frames` inputs of `before`, of as many lanes and
  // the same NaN policy, which are at most the frames it has seen and its window - 1. With the
  // same window its state is taken as it is. Otherwise the inputs are found as the differences of
  // sums: means then differ from those of the inputs themselves by rounding, some 1e-16 of
  // sum |x| / window. O(window * lanes), allocates nothing.
  void take_over(MovingAverageBank& before, std::uint64_t frames) noexcept;

  // Copying a state into one of its size allocates nothing.
  [[nodiscard]] const State& state() const noexcept { return state_; }
  [[nodiscard]] State& state() noexcept { return state_; }

  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  void run(std::size_t sum, const T* in, T* out, std::size_t frames, const T* divisors,
           std::size_t divisor_step) noexcept;
  void run_all(const T* in, T* out, std::size_t frames) noexcept;
  void run_valid(const T* in, T* out, std::size_t frames) noexcept;
  [[nodiscard]] T past(std::size_t sum, std::uint64_t age, std::size_t lane) const noexcept;

  std::uint64_t window_;
  WarmUp warm_up_;
  NanPolicy nan_;
  std::size_t lanes_;
  void (*run_)(const simd::MovingAverageRun<T>&);
  State state_;  // rows, prefix, middle; and the same once more for the numbers of valid values
  std::vector<T> valid_;  // scratch; empty unless NaN are ignored
  std::vector<T> frame_;  // scratch
};

extern template class MovingAverageBank<float>;
extern template class MovingAverageBank<double>;

}  // namespace spillway
