// What atomics.hpp declares, for the model: words whose every access Relacy may reorder.
//
// An access knows the line it stands on, so that a mutation can change it alone. Only
// what the ring uses is here: anything new does not compile until the model knows it,
// and an order left out does not compile at all.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace spillway {

// As large as std::atomic<std::uint64_t> and, like it, in need of no destructor: Stream
// frees its words without destroying them. It names one of the words that Relacy watches.
class AtomicWord {
 public:
  AtomicWord(std::uint64_t value) noexcept;  // NOLINT: implicit as std::atomic's
  AtomicWord(const AtomicWord&) = delete;
  AtomicWord& operator=(const AtomicWord&) = delete;

  std::uint64_t load(std::memory_order order, const char* file = __builtin_FILE(),
                     unsigned line = __builtin_LINE()) const noexcept;
  void store(std::uint64_t value, std::memory_order order, const char* file = __builtin_FILE(),
             unsigned line = __builtin_LINE()) noexcept;

 private:
  std::uint64_t index_;
};
static_assert(sizeof(AtomicWord) == sizeof(std::uint64_t) &&
              std::is_trivially_destructible_v<AtomicWord>);

void atomic_fence(std::memory_order order, const char* file = __builtin_FILE(),
                  unsigned line = __builtin_LINE()) noexcept;

}  // namespace spillway
