// A lane: the words of one channel (or its quality, or the time) in a ring.
// Samples of 1, 2, 4 or 8 bytes are packed into 64-bit words in memory order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "spillway/channels/atomics.hpp"

namespace spillway {

template <class T>
inline constexpr std::uint64_t samples_per_word = 8 / sizeof(T);

// The bits of the word that has `value` as its sample `index` and zeros elsewhere.
template <class T>
[[nodiscard]] std::uint64_t lane_bits(std::uint64_t index, T value) noexcept {
  using U = std::conditional_t<
      sizeof(T) == 1, std::uint8_t,
      std::conditional_t<sizeof(T) == 2, std::uint16_t,
                         std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;
  const std::uint64_t place =
      std::endian::native == std::endian::little ? index : samples_per_word<T> - 1 - index;
  return static_cast<std::uint64_t>(std::bit_cast<U>(value)) << (8 * sizeof(T) * place);
}

// The writer's end of a lane. Keeps the unfinished word in `partial_`, so that
// the shared word is only ever stored, whole, and never loaded. A lane holds
// samples of one type T for good; all functions are wait-free.
class LaneWriter {
 public:
  // `slots`: a power of two, at least 8.
  LaneWriter(AtomicWord* words, std::uint64_t slots) noexcept : words_(words), mask_(slots - 1) {}

  // W2 for one sample.
  template <class T>
  void put(std::uint64_t position, T value) noexcept {
    constexpr std::uint64_t per_word = samples_per_word<T>;
    if constexpr (per_word == 1) {
      words_[position & mask_].store(lane_bits(0, value), std::memory_order_relaxed);
    } else {
      const std::uint64_t index = position % per_word;
      if (index == 0) partial_ = 0;
      partial_ |= lane_bits(index, value);
      words_[(position & mask_) / per_word].store(partial_, std::memory_order_relaxed);
    }
  }

  // W2 for `count` samples that stand `step` elements apart in `values`.
  template <class T>
  void put(std::uint64_t position, const T* values, std::uint64_t count,
           std::uint64_t step) noexcept {
    static constexpr std::uint64_t per_word = samples_per_word<T>;
    std::uint64_t done = 0;
    for (; done < count && (position + done) % per_word != 0; ++done)
      put(position + done, values[done * step]);
    while (count - done >= per_word) {
      // Up to the wrap the words stand in a row.
      const std::uint64_t at = (position + done) & mask_;
      const std::uint64_t words = std::min(count - done, mask_ + 1 - at) / per_word;
      AtomicWord* const to = words_ + at / per_word;
      const T* const from = values + done * step;
      if (step == 1)
        store_words(to, words, [from](std::uint64_t w) {
          std::uint64_t word;
          std::memcpy(&word, from + w * per_word, sizeof word);
          return word;
        });
      else
        store_words(to, words, [from, step](std::uint64_t w) {
          T packed[per_word];
          for (std::uint64_t i = 0; i < per_word; ++i) packed[i] = from[(w * per_word + i) * step];
          std::uint64_t word;
          std::memcpy(&word, packed, sizeof word);
          return word;
        });
      done += words * per_word;
    }
    for (; done < count; ++done) put(position + done, values[done * step]);
  }

 private:
  template <class WordAt>
  static void store_words(AtomicWord* to, std::uint64_t words, WordAt word_at) noexcept {
    for (std::uint64_t w = 0; w < words; ++w) to[w].store(word_at(w), std::memory_order_relaxed);
  }

  AtomicWord* words_;
  std::uint64_t mask_;
  std::uint64_t partial_ = 0;
};

// R2: copies positions [begin, end) of a lane of samples of type T to `out`.
// Wait-free, O(end - begin).
template <class T>
void copy_lane(const AtomicWord* words, std::uint64_t slots, std::uint64_t begin, std::uint64_t end,
               T* out) noexcept {
  constexpr std::uint64_t per_word = samples_per_word<T>;
  const std::uint64_t mask = slots - 1;
  // The first and the last word may be wanted in part only.
  const auto copy_part = [&](std::uint64_t count) {
    const std::uint64_t word = words[(begin & mask) / per_word].load(std::memory_order_relaxed);
    std::memcpy(static_cast<void*>(out),
                reinterpret_cast<const char*>(&word) + begin % per_word * sizeof(T),
                count * sizeof(T));
    out += count;
    begin += count;
  };
  if (begin < end && begin % per_word != 0)
    copy_part(std::min(per_word - begin % per_word, end - begin));
  while (end - begin >= per_word) {
    const std::uint64_t at = begin & mask;
    const std::uint64_t count = std::min(end - begin, slots - at) / per_word;
    const AtomicWord* const from = words + at / per_word;
    for (std::uint64_t w = 0; w < count; ++w) {
      const std::uint64_t word = from[w].load(std::memory_order_relaxed);
      std::memcpy(static_cast<void*>(out + w * per_word), &word, sizeof word);
    }
    out += count * per_word;
    begin += count * per_word;
  }
  if (begin < end) copy_part(end - begin);
}

}  // namespace spillway
