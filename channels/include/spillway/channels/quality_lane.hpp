// The lane of quality: one byte a sample, nearly always Good, so nearly never stored.
//
// Good is zero, and so is fresh memory. While nothing but Good was put for a whole
// lap, every word of the lane holds zeros: a Good sample then needs no store, and what
// a reader copies is right whichever lap it was stored in. A sample that is not Good
// has its slot, and the rest of its word, stored again in the next lap.
#pragma once

#include <cstdint>

#include "spillway/channels/lane.hpp"
#include "spillway/channels/quality.hpp"

namespace spillway {

// The writer's end. Positions are put in order, without a hole, each once; every
// function is wait-free.
class QualityLaneWriter {
 public:
  // `words`: all zero. `slots`: a power of two, at least 8.
  QualityLaneWriter(AtomicWord* words, std::uint64_t slots) noexcept
      : words_(words), slots_(slots) {}

  // From this position on Good samples need no store, until one is put that is not Good.
  [[nodiscard]] std::uint64_t clean_from() const noexcept { return clean_from_; }

  void put(std::uint64_t position, Quality quality) noexcept {
    const std::uint64_t index = position % per_word;
    const bool clean = position >= clean_from_;
    if (index == 0 || clean) partial_ = 0;
    // The zero is there already: from an earlier lap, or since the word was begun in this one.
    if (quality.is_good() && (index != 0 || clean)) return;
    partial_ |= lane_bits(index, quality.byte());
    store(position - index, partial_);
  }

  // `count` samples whose qualities stand `step` elements apart.
  void put(std::uint64_t position, const Quality* quality, std::uint64_t count,
           std::uint64_t step) noexcept {
    for_words(
        position, count, [&](std::uint64_t i) { return quality[i * step]; },
        [&](std::uint64_t i) {
          std::uint64_t word = 0;
          for (std::uint64_t k = 0; k < per_word; ++k)
            word |= lane_bits(k, quality[(i + k) * step].byte());
          return word;
        });
  }

  // `count` samples of one quality. O(1) if it is Good and the lane clean.
  void fill(std::uint64_t position, Quality quality, std::uint64_t count) noexcept {
    if (quality.is_good() && position >= clean_from_) return;
    constexpr std::uint64_t every_byte = 0x0101'0101'0101'0101;
    for_words(
        position, count, [&](std::uint64_t) { return quality; },
        [&](std::uint64_t) { return every_byte * quality.byte(); });
  }

 private:
  static constexpr std::uint64_t per_word = samples_per_word<std::uint8_t>;

  // Sample by sample up to the first whole word and after the last one.
  template <class Sample, class Whole>
  void for_words(std::uint64_t position, std::uint64_t count, Sample sample, Whole whole) noexcept {
    std::uint64_t done = 0;
    for (; done < count && (position + done) % per_word != 0; ++done)
      put(position + done, sample(done));
    for (; count - done >= per_word; done += per_word) {
      const std::uint64_t word = whole(done);
      if (word != 0 || position + done < clean_from_) store(position + done, word);
    }
    for (; done < count; ++done) put(position + done, sample(done));
  }

  // `position`: the first of the word.
  void store(std::uint64_t position, std::uint64_t word) noexcept {
    words_[(position & (slots_ - 1)) / per_word].store(word, std::memory_order_relaxed);
    if (word != 0) clean_from_ = position + slots_ + per_word;
  }

  AtomicWord* words_;
  std::uint64_t slots_;
  std::uint64_t partial_ = 0;
  std::uint64_t clean_from_ = 0;  // a multiple of per_word
};

}  // namespace spillway
