// Convolution with many taps by FFT. Private.
#pragma once

#include <complex>
#include <cstddef>
#include <unsupported/Eigen/FFT>
#include <vector>

#include "spillway/filters/filter.hpp"

namespace spillway {

// y[k] = sum taps[i] x[k - block() - i] over lanes side by side, frame by frame, in blocks that
// begin with the first frame: the bits do not depend on how the input is cut into calls. Inputs
// must be finite. Allocates in the constructor and in copying only.
class OverlapSave {
 public:
  OverlapSave(const std::vector<double>& taps, std::size_t lanes);

  // `out` may be `in`.
  void process(const double* in, double* out, std::size_t frames) noexcept;
  void reset() noexcept;
  // Goes on in the middle of the block of one with as many taps. Returns how many outputs from
  // the next one on are of that one's taps.
  std::size_t take_over(OverlapSave& before) noexcept;
  [[nodiscard]] std::size_t block() const noexcept { return block_; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // load into a copy

 private:
  void transform_block() noexcept;

  std::size_t lanes_;
  std::size_t past_;        // frames before a block that it depends on
  std::size_t size_;        // of a transform
  std::size_t block_;       // size_ - past_
  std::size_t filled_ = 0;  // frames of the current block
  // Lane by lane, as a transform takes them, with padding in between.
  std::vector<double> input_;   // past_ + block_ frames each
  std::vector<double> output_;  // of the block before, block_ frames each

  Eigen::FFT<double> fft_;
  std::vector<std::complex<double>> response_;  // of the taps, divided by size_
  std::vector<std::complex<double>> spectrum_;  // scratch
  std::vector<double> scratch_;
};

}  // namespace spillway
