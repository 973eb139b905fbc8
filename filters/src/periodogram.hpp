// The power of one segment of a signal. Private.
#pragma once

#include <complex>
#include <cstddef>
#include <span>
#include <unsupported/Eigen/FFT>
#include <vector>

#include "spillway/filters/spectrum.hpp"

namespace spillway {

// Allocates in the constructor and in copying only.
class Periodogram {
 public:
  // Throws Error as welch() does.
  Periodogram(const Welch& parameters, Hertz rate);

  // Where the samples of a segment go before add_to(), which spoils them.
  [[nodiscard]] std::span<double> segment() noexcept { return segment_; }
  // Adds |X|^2.
  void add_to(std::span<double> power) noexcept;
  // What a sum over so many segments comes to.
  void scale(std::span<double> power, double segments) const noexcept;

 private:
  Detrend detrend_;
  std::vector<double> window_;
  double scale_ = 1.0;
  Eigen::FFT<double> fft_;
  std::vector<double> segment_;
  std::vector<std::complex<double>> spectrum_;
};

}  // namespace spillway
