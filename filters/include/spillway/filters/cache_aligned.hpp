// Memory for inner loops.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace spillway {

// Allocates at the beginning of a cache line: a vector register's load that crosses a line takes
// twice as long.
template <class T>
struct CacheAligned {
  using value_type = T;
  static constexpr std::align_val_t line{64};

  CacheAligned() noexcept = default;
  template <class U>
  explicit CacheAligned(const CacheAligned<U>&) noexcept {}
  [[nodiscard]] T* allocate(std::size_t n) {
    return static_cast<T*>(::operator new(n * sizeof(T), line));
  }
  void deallocate(T* memory, std::size_t) noexcept { ::operator delete(memory, line); }
  friend bool operator==(CacheAligned, CacheAligned) noexcept { return true; }
};

template <class T>
using AlignedVector = std::vector<T, CacheAligned<T>>;

}  // namespace spillway
