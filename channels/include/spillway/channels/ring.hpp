// The overwrite-oldest ring: the protocol between one writer and any number of
// readers, in 64-bit words. What the words mean is decided elsewhere.
//
// Positions count samples densely from 0. A ring has `slots` physical slots; a
// sample at position p lies in slot p mod slots of every lane. Small types are
// packed, so a word holds 1, 2, 4 or 8 consecutive samples of one lane.
//
//   W1  before it stores at or beyond the announced limit, the writer raises
//       `intent` to the new limit (relaxed); before any store, it issues a
//       release fence;
//   W2  it stores whole words, relaxed;
//   W3  it stores `head`, release.
//   R1  a reader loads `head` (acquire) and `intent`: [intent - slots, head) is
//       what may still be there;
//   R2  it copies words, relaxed;
//   R3  it issues an acquire fence;
//   R4  it loads `intent` again, relaxed: what lies before the new
//       intent - slots may have been overwritten during the copy and is dropped.
//
// Why it is right. A reader that copied a word of a later lap read a value
// stored after the fence of W1, so the fences synchronise and R4 sees that
// intent: the sample is dropped. A word of an earlier lap can't be read for a
// position below head, because W3/R1 order the store of W2 before the copy. A
// word rewritten within a lap (packed types) keeps the samples below head.
// All shared accesses are atomic: there is no data race to be benign about.
//
// The writer's cost is independent of the readers: it never loads a line that
// a reader writes, because readers write none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "spillway/channels/atomics.hpp"

namespace spillway {

inline constexpr std::size_t cache_line = 64;
// What different threads write stands this far apart: prefetchers fetch lines in pairs,
// and a push that finds its own line taken away costs 100 ns more.
inline constexpr std::size_t apart = 2 * cache_line;

// The shared indices of one ring, apart from each other.
struct RingIndices {
  alignas(apart) AtomicWord head{0};
  alignas(apart) AtomicWord intent{0};
};

// The writer's end. One thread at a time; every function is wait-free.
class RingProducer {
 public:
  // `stride`: how far ahead the writer announces, in samples: a power of two,
  // at least the samples of a word, so that no word straddles a limit.
  RingProducer(RingIndices& indices, std::uint64_t stride) noexcept
      : indices_(&indices), stride_(stride) {}

  RingProducer(RingProducer&& other) noexcept { *this = std::move(other); }
  RingProducer& operator=(RingProducer&& other) noexcept {
    finish();
    indices_ = other.indices_;
    stride_ = other.stride_;
    head_ = other.head_;
    limit_ = other.limit_;
    batch_mask_ = std::exchange(other.batch_mask_, 0);
    return *this;
  }
  ~RingProducer() { finish(); }

  // One past the newest sample stored, published or not.
  [[nodiscard]] std::uint64_t head() const noexcept { return head_; }
  // What is announced: words before it may be stored.
  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }

  // From now on advance() publishes only at positions that are multiples of `samples`,
  // a power of two.
  void batch(std::uint64_t samples) noexcept { batch_mask_ = samples - 1; }

  // W1: to be called before words up to position `end` are stored.
  void announce(std::uint64_t end) noexcept {
    if (end > limit_) {
      limit_ = (end + stride_ - 1) & ~(stride_ - 1);
      indices_->intent.store(limit_, std::memory_order_relaxed);
    }
    renew_announcement();
  }

  // W1 for words before limit(). Orders the intent before every word stored from here on. Also
  // where the intent is an older one: another thread may have stored it, and a fence counts
  // for its own thread only. No instruction on x86-64.
  void renew_announcement() noexcept { atomic_fence(std::memory_order_release); }

  // W3: the samples before `head` are readable.
  void publish(std::uint64_t head) noexcept {
    head_ = head;
    // Orders the words of W2 before the head that covers them.
    indices_->head.store(head, std::memory_order_release);
  }

  // The samples before `head` are stored; publishes them, unless a batch is under way.
  void advance(std::uint64_t head) noexcept {
    head_ = head;
    if ((head & batch_mask_) == 0) publish(head);
  }

 private:
  // Without a batch everything is published, and the indices may be gone already.
  void finish() noexcept {
    if (batch_mask_ != 0) publish(head_);
  }

  RingIndices* indices_ = nullptr;
  std::uint64_t stride_ = 0;
  // Shadows: the writer never loads what it has published.
  std::uint64_t head_ = 0;
  std::uint64_t limit_ = 0;
  std::uint64_t batch_mask_ = 0;
};

// A reader's end. Any number of them; every function is wait-free.
class RingConsumer {
 public:
  RingConsumer(const RingIndices& indices, std::uint64_t slots) noexcept
      : indices_(&indices), slots_(slots) {}

  // R1: one past the newest readable position.
  [[nodiscard]] std::uint64_t head() const noexcept {
    return indices_->head.load(std::memory_order_acquire);
  }

  // The oldest position that may still be intact. Before the copy a mere hint
  // that saves copying what is lost anyway.
  [[nodiscard]] std::uint64_t oldest() const noexcept {
    const std::uint64_t intent = indices_->intent.load(std::memory_order_relaxed);
    return intent > slots_ ? intent - slots_ : 0;
  }

  // R3 and R4, after the copy: the oldest position whose copy is intact.
  [[nodiscard]] std::uint64_t validate() const noexcept {
    // Orders the copied words before the load of intent.
    atomic_fence(std::memory_order_acquire);
    return oldest();
  }

 private:
  const RingIndices* indices_;
  std::uint64_t slots_;
};

}  // namespace spillway
