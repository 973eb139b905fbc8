#include "overlap_save.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

// Between lanes: at distances of powers of two they would share a few lines of the cache.
constexpr std::size_t padding = 8;

}  // namespace

OverlapSave::OverlapSave(const std::vector<double>& taps, std::size_t lanes)
    : lanes_(lanes),
      past_(taps.size() - 1),
      size_(std::max<std::size_t>(std::bit_ceil(2 * past_), 8)),
      block_(size_ - past_),
      input_((size_ + padding) * lanes),
      output_((block_ + padding) * lanes),
      response_(size_ / 2 + 1),
      spectrum_(size_ / 2 + 1),
      scratch_(size_) {
  fft_.SetFlag(Eigen::FFT<double>::HalfSpectrum);
  fft_.SetFlag(Eigen::FFT<double>::Unscaled);
  for (std::size_t i = 0; i < taps.size(); ++i) scratch_[i] = taps[i] / static_cast<double>(size_);
  fft_.fwd(response_.data(), scratch_.data(), static_cast<Eigen::Index>(size_));
  // The first transform of each direction makes its tables.
  fft_.inv(scratch_.data(), response_.data(), static_cast<Eigen::Index>(size_));
}

void OverlapSave::process(const double* in, double* out, std::size_t frames) noexcept {
  while (frames > 0) {
    const std::size_t n = std::min(frames, block_ - filled_);
    for (std::size_t f = 0; f < n; ++f)
      for (std::size_t l = 0; l < lanes_; ++l) {
        input_[l * (size_ + padding) + past_ + filled_ + f] = in[f * lanes_ + l];
        out[f * lanes_ + l] = output_[l * (block_ + padding) + filled_ + f];
      }
    filled_ += n;
    frames -= n;
    in += n * lanes_;
    out += n * lanes_;
    if (filled_ == block_) transform_block();
  }
}

void OverlapSave::transform_block() noexcept {
  const auto size = static_cast<Eigen::Index>(size_);
  for (std::size_t l = 0; l < lanes_; ++l) {
    double* const input = input_.data() + l * (size_ + padding);
    fft_.fwd(spectrum_.data(), input, size);
    for (std::size_t i = 0; i < spectrum_.size(); ++i) {
      // Written out: the operator's care for infinity is a call.
      const std::complex<double> a = spectrum_[i];
      const std::complex<double> b = response_[i];
      spectrum_[i] = {a.real() * b.real() - a.imag() * b.imag(),
                      a.real() * b.imag() + a.imag() * b.real()};
    }
    fft_.inv(scratch_.data(), spectrum_.data(), size);
    std::copy_n(scratch_.data() + past_, block_, output_.data() + l * (block_ + padding));
    std::copy(input + block_, input + size_, input);
  }
  filled_ = 0;
}

void OverlapSave::reset() noexcept {
  filled_ = 0;
  std::ranges::fill(input_, 0.0);
  std::ranges::fill(output_, 0.0);
}

std::size_t OverlapSave::take_over(OverlapSave& before) noexcept {
  filled_ = before.filled_;
  input_.swap(before.input_);
  output_.swap(before.output_);
  return block_ - filled_;
}

void OverlapSave::save_state(StateWriter& writer) const {
  writer.put(static_cast<std::uint64_t>(filled_));
  writer.put(input_);
  writer.put(output_);
}

void OverlapSave::load_state(StateReader& reader) {
  std::uint64_t filled = 0;
  reader.get(filled);
  if (filled >= block_)
    throw Error(
        fmt::format("FIR: the state is damaged: {} frames of a block of {}", filled, block_));
  filled_ = filled;
  reader.get(input_);
  reader.get(output_);
}

}  // namespace spillway
