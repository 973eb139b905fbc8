// What the inner loops are written with. Included by *.inl only.
//
// The same source is compiled once for each instruction set, in a namespace of its own, so
// everything here has internal linkage or is always inlined: a function that the linker
// could share between the variants might run an instruction that the CPU does not have.
// For the same reason *.inl include nothing of the standard library but <cstddef> and <cstdint>.
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef SPILLWAY_ISA
#error "SPILLWAY_ISA is baseline, avx2 or avx512"
#endif

#define SPILLWAY_INLINE [[gnu::always_inline]] static inline

namespace spillway::simd::SPILLWAY_ISA {

// Bytes of the widest register.
#if defined(__AVX512F__)
inline constexpr std::size_t width = 64;
#elif defined(__AVX2__)
inline constexpr std::size_t width = 32;
#else
inline constexpr std::size_t width = 16;
#endif

// N values that are computed side by side; arithmetic is elementwise. N is a power of two, up to
// lanes_of<T>: what is wider than a register is split by way of memory.
template <class T, std::size_t N>
struct VectorOf {
  typedef T Type __attribute__((vector_size(N * sizeof(T))));
  // Lies anywhere in memory.
  typedef T Unaligned __attribute__((vector_size(N * sizeof(T)), aligned(alignof(T)), may_alias));
};
template <class T>
struct VectorOf<T, 1> {
  using Type = T;
  using Unaligned = T;
};
template <class T, std::size_t N>
using Vector = typename VectorOf<T, N>::Type;

// How many T a register holds.
template <class T>
inline constexpr std::size_t lanes_of = width / sizeof(T);

// Stored or loaded where alignment is that of T alone. By reference: passing wide vectors by
// value has a calling convention that depends on the instruction set.
template <class T, std::size_t N>
SPILLWAY_INLINE void load(Vector<T, N>& to, const T* from) {
  to = *reinterpret_cast<const typename VectorOf<T, N>::Unaligned*>(from);
}
template <class T, std::size_t N>
SPILLWAY_INLINE void store(T* to, const Vector<T, N>& from) {
  *reinterpret_cast<typename VectorOf<T, N>::Unaligned*>(to) = from;
}

// The last R of `before` and the first N - R of `from`.
template <class T, std::size_t N, std::size_t R>
SPILLWAY_INLINE void shift_in(Vector<T, N>& to, const Vector<T, N>& before,
                              const Vector<T, N>& from) {
  static_assert(N == 2 || N == 4 || N == 8);
  constexpr int i = static_cast<int>(N - R);
  if constexpr (N == 2)
    to = __builtin_shufflevector(before, from, i, i + 1);
  else if constexpr (N == 4)
    to = __builtin_shufflevector(before, from, i, i + 1, i + 2, i + 3);
  else
    to = __builtin_shufflevector(before, from, i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7);
}

}  // namespace spillway::simd::SPILLWAY_ISA
