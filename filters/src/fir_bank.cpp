#include "spillway/filters/fir_bank.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "simd/fir_pick.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

// Frames taken in before the last ones are moved to the front: so many that moving does not
// matter, so few that they stay in the nearest cache.
constexpr std::size_t least_room = 256;

template <class T>
const simd::FirKernels<T>& kernels() noexcept {
  if constexpr (std::is_same_v<T, float>)
    return simd::pick_fir_table().of_float;
  else
    return simd::pick_fir_table().of_double;
}

}  // namespace

template <class T>
FirBank<T>::FirBank(std::vector<T> taps, std::size_t lanes)
    : taps_(std::move(taps)), lanes_(lanes), kernels_(&kernels<T>()) {
  if (taps_.empty() || taps_.size() > max_fir_taps)
    throw Error(fmt::format("FIR: {} taps; allowed are 1 to {}", taps_.size(), max_fir_taps));
  for (std::size_t i = 0; i < taps_.size(); ++i)
    if (!std::isfinite(taps_[i]))
      throw Error(fmt::format("FIR: tap {} is {}; all must be finite", i, taps_[i]));
  if (lanes == 0) throw Error("FIR: 0 lanes; at least 1 is needed");
  const std::size_t past = taps_.size() - 1;
  state_.values.resize((past + std::max(past, least_room)) * lanes);
  reset();
}

template <class T>
void FirBank<T>::process(const T* in, T* out, std::size_t frames) noexcept {
  AlignedVector<T>& history = state_.values;
  const std::size_t past = (taps_.size() - 1) * lanes_;
  for (std::size_t left = frames * lanes_; left > 0;) {
    if (state_.frames * lanes_ == history.size()) {
      std::copy(history.end() - static_cast<std::ptrdiff_t>(past), history.end(), history.begin());
      state_.frames = taps_.size() - 1;
    }
    const std::size_t n = std::min(left, history.size() - state_.frames * lanes_);
    T* const newest = history.data() + state_.frames * lanes_;
    kernels_->copy_flushed(in, least_input<T>, newest, n);
    kernels_->convolve(newest, lanes_, taps_.data(), taps_.size(), out, n);
    state_.frames += n / lanes_;
    left -= n;
    in += n;
    out += n;
  }
}

template <class T>
void FirBank<T>::reset() noexcept {
  state_.frames = taps_.size() - 1;
  std::fill_n(state_.values.begin(), state_.frames * lanes_, T(0));
}

template class FirBank<float>;
template class FirBank<double>;

}  // namespace spillway
