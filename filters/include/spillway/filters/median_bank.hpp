// The median of the last `window` values of many lanes: numbers alone, no qualities.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "spillway/filters/filter.hpp"

namespace spillway {

// Output k of a lane is the median of the values that are not NaN among its inputs
// k - window + 1 to k, fewer at the start; NaN if there is none. Of an even number it is the
// mean of the two in the middle, rounded once; NaN between infinities of both signs. A zero
// comes out as +0.0. T is float or double.
//
// The bits of a lane depend neither on the other lanes, nor on how the input is cut into calls,
// nor on the instruction set.
//
// Windows up to 127 are kept sorted, O(window) operations a value without a branch, those of
// several lanes side by side in SIMD; a lane left over has its frames cut into stretches that
// go side by side, if a call has some 2 * window of them. While a NaN is in a window, those
// medians are picked one by one. Longer windows are in two heaps, O(log window) at worst.
//
// Memory: window * lanes * 2 * sizeof(T), from 128 on window * lanes * (sizeof(T) + 8); on the
// stack up to 20 KB.
template <class T>
class MedianBank {
 public:
  // Throws Error if the window is not 1 to 2^28, or lanes 0.
  MedianBank(std::uint64_t window, std::size_t lanes);
  MedianBank(const MedianBank& other);
  MedianBank(MedianBank&&) noexcept;
  MedianBank& operator=(const MedianBank& other);
  MedianBank& operator=(MedianBank&&) noexcept;
  ~MedianBank();

  // `frames` frames of all lanes, frame-major; `out` may be `in`. Wait-free, allocates nothing.
  void process(const T* in, T* out, std::size_t frames) noexcept;
  void reset() noexcept;  // as if no value had come yet; O(lanes) for windows from 128
  // Goes on, as if from the start, with the last `frames` inputs of `before`, of as many lanes,
  // which are at most those in its window. O(frames * lanes) times the cost of a value.
  void take_over(MedianBank& before, std::uint64_t frames) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] std::uint64_t window() const noexcept { return window_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  struct State;
  std::uint64_t window_;
  std::size_t lanes_;
  std::unique_ptr<State> state_;
};

extern template class MedianBank<float>;
extern template class MedianBank<double>;

}  // namespace spillway
