// The atomics the ring is built on: std::atomic, in one place.
//
// A model checker compiles the same sources with atomics of its own, whose every
// load, store and fence it can reorder: it defines SPILLWAY_MODEL_ATOMICS as the
// header that declares them.
#pragma once

#include <atomic>
#include <cstdint>

#ifdef SPILLWAY_MODEL_ATOMICS
#include SPILLWAY_MODEL_ATOMICS
#else

namespace spillway {

// A word that writer and readers share. In shared memory too, so it must not need a lock.
using AtomicWord = std::atomic<std::uint64_t>;
static_assert(AtomicWord::is_always_lock_free && sizeof(AtomicWord) == sizeof(std::uint64_t));

inline void atomic_fence(std::memory_order order) noexcept { std::atomic_thread_fence(order); }

}  // namespace spillway

#endif
