#include "periodogram.hpp"

#include <fmt/format.h>

#include <cmath>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::size_t max_segment = std::size_t{1} << 24;
constexpr std::size_t max_average = std::size_t{1} << 32;
constexpr double least_value = 1e-150;

const Welch& checked(const Welch& p, Hertz rate) {
  if (p.segment < 2 || p.segment > max_segment)
    throw Error(fmt::format("spectrum: a segment of {} samples; allowed are 2 to {}", p.segment,
                            max_segment));
  if (p.overlap >= p.segment)
    throw Error(fmt::format("spectrum: an overlap of {} samples; it must be below the segment, {}",
                            p.overlap, p.segment));
  if (p.average == 0 || p.average > max_average)
    throw Error(fmt::format("spectrum: an average of {} segments; allowed are 1 to {}", p.average,
                            max_average));
  if (!std::isfinite(rate.value) || rate.value <= 0.0)
    throw Error(fmt::format("spectrum: a rate of {} Hz; it must be above 0", rate.value));
  return p;
}

}  // namespace

std::vector<double> frequencies(const Welch& parameters, Hertz rate) {
  checked(parameters, rate);
  std::vector<double> f(parameters.segment / 2 + 1);
  for (std::size_t i = 0; i < f.size(); ++i)
    f[i] = static_cast<double>(i) * (rate.value / static_cast<double>(parameters.segment));
  return f;
}

Periodogram::Periodogram(const Welch& parameters, Hertz rate)
    : detrend_(parameters.detrend),
      window_(window(checked(parameters, rate).window, parameters.segment, true)),
      segment_(parameters.segment),
      spectrum_(parameters.segment / 2 + 1) {
  double sum = 0.0;
  double squares = 0.0;
  for (const double w : window_) {
    sum += w;
    squares += w * w;
  }
  scale_ =
      parameters.scaling == Scaling::density ? 1.0 / (rate.value * squares) : 1.0 / (sum * sum);
  if (!std::isfinite(scale_))
    throw Error(
        fmt::format("spectrum: a rate of {} Hz and a window that sums to {} have no finite scale",
                    rate.value, sum));
  fft_.SetFlag(Eigen::FFT<double>::HalfSpectrum);
  // The first transform makes the tables.
  fft_.fwd(spectrum_.data(), segment_.data(), static_cast<Eigen::Index>(segment_.size()));
}

void Periodogram::add_to(std::span<double> power) noexcept {
  double mean = 0.0;
  if (detrend_ == Detrend::constant) {
    for (const double x : segment_) mean += x;
    mean /= static_cast<double>(segment_.size());
  }
  for (std::size_t i = 0; i < segment_.size(); ++i) {
    const double x = segment_[i] - mean;
    segment_[i] = std::abs(x) < least_value ? 0.0 : x * window_[i];
  }
  fft_.fwd(spectrum_.data(), segment_.data(), static_cast<Eigen::Index>(segment_.size()));
  for (std::size_t i = 0; i < spectrum_.size(); ++i) {
    const double re = spectrum_[i].real();
    const double im = spectrum_[i].imag();
    power[i] += re * re + im * im;
  }
}

void Periodogram::scale(std::span<double> power, double segments) const noexcept {
  for (double& p : power) p = p / segments * scale_;
  const std::size_t two_sided_end = segment_.size() % 2 == 0 ? power.size() - 1 : power.size();
  for (std::size_t i = 1; i < two_sided_end; ++i) power[i] *= 2.0;
}

}  // namespace spillway
