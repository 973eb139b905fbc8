#include "spillway/filters/moving_average_bank.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <type_traits>

#include "simd/moving_average_kernels.hpp"
#include "simd/pick.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/moving_average.hpp"

SPILLWAY_SIMD_TABLE(MovingAverageKernels, moving_average_kernels, pick_moving_average_kernels)

namespace spillway {

namespace {

constexpr std::size_t most_frames = 64;
// How many frames at once: few enough to find them in the nearest cache for the next lanes.
constexpr std::size_t run_of(std::size_t lanes) {
  return std::clamp<std::size_t>(1024 / lanes, 8, most_frames);
}
template <class T>
constexpr std::uint64_t max_window = std::uint64_t{1} << (std::is_same_v<T, double> ? 28 : 24);
template <class T>
constexpr T nan_value = std::numeric_limits<T>::quiet_NaN();
template <class T>
constexpr T neutral = T(-0.0);

template <class T>
const MovingAverage& checked(const MovingAverage& p, std::size_t lanes) {
  if (p.window == 0 || p.window > max_window<T>)
    throw Error(fmt::format("moving average: a window of {} samples; allowed are 1 to {}", p.window,
                            max_window<T>));
  if (p.nan != NanPolicy::propagate && p.nan != NanPolicy::ignore)
    throw Error("moving average: the NaN policy must be propagate or ignore");
  if (lanes == 0) throw Error("moving average: 0 lanes; at least 1 is needed");
  return p;
}

// A copy with one NaN for all.
template <class T>
void copy(const T* in, std::size_t count, T* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = in[i] == in[i] ? in[i] : nan_value<T>;
}

}  // namespace

template <class T>
MovingAverageBank<T>::MovingAverageBank(const MovingAverage& p, std::size_t lanes)
    : window_(checked<T>(p, lanes).window), warm_up_(p.warm_up), nan_(p.nan), lanes_(lanes) {
  const std::size_t sums = nan_ == NanPolicy::ignore ? 2 : 1;
  state_.values.resize(sums * (window_ / 2 * 2 + 5) * lanes, neutral<T>);
  if (nan_ == NanPolicy::ignore) valid_.resize(most_frames * lanes);
  frame_.resize(lanes);
  const simd::MovingAverageKernels& kernels = simd::pick_moving_average_kernels();
  if constexpr (std::is_same_v<T, double>)
    run_ = kernels.run_double;
  else
    run_ = kernels.run_float;
}

template <class T>
void MovingAverageBank<T>::process(const T* in, T* out, std::size_t frames) noexcept {
  for (std::size_t n = 0; frames > 0; frames -= n) {
    n = std::min(frames, run_of(lanes_));
    const std::size_t count = n * lanes_;
    if (window_ == 1)
      copy(in, count, out);
    else if (nan_ == NanPolicy::ignore)
      run_valid(in, out, n);
    else
      run_all(in, out, n);
    if (warm_up_ == WarmUp::nan && state_.frames + 1 < window_)
      std::fill_n(out, std::min<std::uint64_t>(n, window_ - 1 - state_.frames) * lanes_,
                  nan_value<T>);
    state_.frames += n;
    in += count;
    out += count;
  }
}

// The mean of all values, NaN among them.
template <class T>
void MovingAverageBank<T>::run_all(const T* in, T* out, std::size_t frames) noexcept {
  std::array<T, most_frames> divisors;
  divisors[0] = static_cast<T>(window_);
  if (state_.frames >= window_) return run(0, in, out, frames, divisors.data(), 0);
  for (std::size_t f = 0; f < frames; ++f)
    divisors[f] = static_cast<T>(std::min(state_.frames + f + 1, window_));
  run(0, in, out, frames, divisors.data(), 1);
}

// The mean of the values that are no NaN; 0 / 0 if there is none.
template <class T>
void MovingAverageBank<T>::run_valid(const T* in, T* out, std::size_t frames) noexcept {
  const std::size_t count = frames * lanes_;
  T* const valid = valid_.data();
  for (std::size_t i = 0; i < count; ++i) valid[i] = in[i] == in[i] ? T(1) : T(0);
  for (std::size_t i = 0; i < count; ++i) out[i] = in[i] == in[i] ? in[i] : T(0);
  const T one = 1;
  run(0, out, out, frames, &one, 0);
  run(1, valid, valid, frames, &one, 0);
  for (std::size_t i = 0; i < count; ++i) out[i] = out[i] / valid[i];
  copy(out, count, out);
}

template <class T>
void MovingAverageBank<T>::run(std::size_t sum, const T* in, T* out, std::size_t frames,
                               const T* divisors, std::size_t divisor_step) noexcept {
  const std::size_t half = window_ / 2;
  const std::size_t rows = 2 * half + 3;
  T* const values = state_.values.data() + sum * (rows + 2) * lanes_;
  run_({.half = half,
        .odd = window_ % 2,
        .lanes = lanes_,
        .done = state_.frames,
        .rows = values,
        .prefix = values + rows * lanes_,
        .middle = values + (rows + 1) * lanes_,
        .in = in,
        .out = out,
        .frames = frames,
        .divisors = divisors,
        .divisor_step = divisor_step});
}

template <class T>
void MovingAverageBank<T>::reset() noexcept {
  state_.frames = 0;
  // The rest is overwritten before it is read.
  const std::size_t sum = (window_ / 2 * 2 + 5) * lanes_;
  for (std::size_t end = sum; end <= state_.values.size(); end += sum)
    std::fill_n(state_.values.data() + end - 2 * lanes_, 2 * lanes_, neutral<T>);
}

// What went into a sum `age` frames ago, 1 or more, at most half a window twice. Where the sum from
// there to the end of the partition is in its place, the difference from the sum of one frame
// less. If that is not finite the sum itself will do, though a NaN or infinity in it came later:
// windows with that frame have all that came later too.
template <class T>
T MovingAverageBank<T>::past(std::size_t sum, std::uint64_t age, std::size_t lane) const noexcept {
  const std::uint64_t half = window_ / 2;
  const std::uint64_t position = state_.frames % half;
  const std::uint64_t partition = state_.frames / half;
  // Of the current partition's rows those below `position` are of this partition, the others of
  // the one before the previous one.
  const bool is_previous = age > position && age <= position + half;
  const std::uint64_t row =
      (is_previous ? half : 2 * half * (age > position ? 1U : 0U)) + position - age;
  const std::size_t rows = (2 * half + 5) * lanes_ * sum +
                           ((partition % 2 == 1) == is_previous ? 0 : (half + 1) * lanes_);
  const T* const at = state_.values.data() + rows + row * lanes_ + lane;
  const bool is_sum = age > position && !(is_previous && row < half - position);
  return is_sum && std::isfinite(at[lanes_]) ? at[0] - at[lanes_] : at[0];
}

template <class T>
void MovingAverageBank<T>::take_over(MovingAverageBank& before, std::uint64_t frames) noexcept {
  if (window_ == before.window_) {
    state_.frames = before.state_.frames;
    state_.values.swap(before.state_.values);
    return;
  }
  reset();
  for (std::uint64_t age = frames; age > 0; --age) {
    for (std::size_t l = 0; l < lanes_; ++l) {
      const bool valid = nan_ == NanPolicy::propagate || before.past(1, age, l) == T(1);
      frame_[l] = valid ? before.past(0, age, l) : nan_value<T>;
    }
    process(frame_.data(), frame_.data(), 1);
  }
}

template class MovingAverageBank<float>;
template class MovingAverageBank<double>;

}  // namespace spillway
