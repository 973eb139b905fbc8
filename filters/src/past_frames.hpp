// The inputs that a window filter takes over from another one. Private.
#pragma once

#include <algorithm>
#include <cstddef>

namespace spillway {

// `count` frames up to `end`, the newest ones of as many of `before_count` frames up to
// `before_end` as are needed; where those are fewer, the oldest of them in place of each that is
// missing, or 0 if there is none. Returns how many are missing.
template <class T>
std::size_t copy_past(const T* before_end, std::size_t before_count, T* end, std::size_t count,
                      std::size_t lanes) noexcept {
  const std::size_t there = std::min(before_count, count);
  const std::size_t missing = count - there;
  std::copy_n(before_end - there * lanes, there * lanes, end - there * lanes);
  T* const begin = end - count * lanes;
  for (std::size_t f = 0; f < missing; ++f) {
    if (there > 0)
      std::copy_n(before_end - there * lanes, lanes, begin + f * lanes);
    else
      std::fill_n(begin + f * lanes, lanes, T(0));
  }
  return missing;
}

}  // namespace spillway
