// A lane: the words of one channel (or its quality, or the time) in a ring.
// Samples of 1, 2, 4 or 8 bytes are packed into 64-bit words in memory order.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "spillway/channels/atomics.hpp"

namespace spillway {

// The unsigned integer of `Bytes` bytes that carries a sample of that size.
template <std::size_t Bytes>
struct Carrier;
template <>
struct Carrier<1> {
  using type = std::uint8_t;
};
template <>
struct Carrier<2> {
  using type = std::uint16_t;
};
template <>
struct Carrier<4> {
  using type = std::uint32_t;
};
template <>
struct Carrier<8> {
  using type = std::uint64_t;
};

template <class T>
inline constexpr std::uint64_t samples_per_word = 8 / sizeof(T);

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
    const std::uint64_t index = position % per_word;
    if (index == 0) partial_ = 0;
    insert(index, value);
    store<T>(position, partial_);
  }

  // W2 for `count` samples that stand `step` elements apart in `values`.
  template <class T>
  void put(std::uint64_t position, const T* values, std::uint64_t count,
           std::uint64_t step) noexcept {
    constexpr std::uint64_t per_word = samples_per_word<T>;
    std::uint64_t done = 0;
    for (; done < count && (position + done) % per_word != 0; ++done)
      put(position + done, values[done * step]);
    for (; count - done >= per_word; done += per_word) {
      T packed[per_word];
      for (std::uint64_t i = 0; i < per_word; ++i) packed[i] = values[(done + i) * step];
      std::uint64_t word;
      std::memcpy(&word, packed, sizeof word);
      store<T>(position + done, word);
    }
    if (done == count) return;
    partial_ = 0;
    const std::uint64_t tail = position + done;
    for (std::uint64_t i = 0; done < count; ++i, ++done) insert(i, values[done * step]);
    store<T>(tail, partial_);
  }

  // W2 for `count` samples of one value; a zero is stored once for a whole word.
  void fill(std::uint64_t position, std::uint8_t value, std::uint64_t count) noexcept {
    constexpr std::uint64_t per_word = samples_per_word<std::uint8_t>;
    std::uint64_t done = 0;
    for (; done < count && (position + done) % per_word != 0; ++done)
      put_or_skip_zero(position + done, value);
    constexpr std::uint64_t every_byte = 0x0101'0101'0101'0101;
    for (; count - done >= per_word; done += per_word)
      store<std::uint8_t>(position + done, every_byte * value);
    for (; done < count; ++done) put_or_skip_zero(position + done, value);
  }

  // Like put, but a zero that the word holds already is not stored again: a lane
  // that is nearly always zero costs one store for all the samples of a word.
  void put_or_skip_zero(std::uint64_t position, std::uint8_t value) noexcept {
    if (value != 0 || position % samples_per_word<std::uint8_t> == 0) put(position, value);
  }

 private:
  template <class T>
  void insert(std::uint64_t index, T value) noexcept {
    using U = typename Carrier<sizeof(T)>::type;
    constexpr std::uint64_t bits = 8 * sizeof(T);
    const std::uint64_t place =
        std::endian::native == std::endian::little ? index : samples_per_word<T> - 1 - index;
    partial_ |= static_cast<std::uint64_t>(std::bit_cast<U>(value)) << (bits * place);
  }
  template <class T>
  void store(std::uint64_t position, std::uint64_t word) noexcept {
    words_[(position & mask_) / samples_per_word<T>].store(word, std::memory_order_relaxed);
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
  while (begin < end) {
    const std::uint64_t offset = begin % per_word;
    const std::uint64_t count = std::min(per_word - offset, end - begin);
    const std::uint64_t word = words[(begin & mask) / per_word].load(std::memory_order_relaxed);
    if (count == per_word) {
      std::memcpy(static_cast<void*>(out), &word, sizeof word);
    } else {
      std::memcpy(static_cast<void*>(out),
                  reinterpret_cast<const char*>(&word) + offset * sizeof(T), count * sizeof(T));
    }
    out += count;
    begin += count;
  }
}

}  // namespace spillway
