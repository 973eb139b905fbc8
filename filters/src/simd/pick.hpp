// Picks the variant of a table of inner loops. Private.
#pragma once

#include "isa.hpp"

// For a struct `Table` of function pointers of which every variant defines `const Table table`
// in spillway::simd::<isa>: declares them, and `const Table& pick()`, the one of current_isa().
#ifdef SPILLWAY_SIMD_X86_64
#define SPILLWAY_SIMD_TABLE(Table, table, pick) \
  namespace spillway::simd::baseline {          \
  extern const Table table;                     \
  }                                             \
  namespace spillway::simd::avx2 {              \
  extern const Table table;                     \
  }                                             \
  namespace spillway::simd::avx512 {            \
  extern const Table table;                     \
  }                                             \
  namespace spillway::simd {                    \
  inline const Table& pick() noexcept {         \
    switch (current_isa()) {                    \
      case Isa::avx512: return avx512::table;   \
      case Isa::avx2: return avx2::table;       \
      case Isa::baseline: break;                \
    }                                           \
    return baseline::table;                     \
  }                                             \
  }
#else
#define SPILLWAY_SIMD_TABLE(Table, table, pick)                   \
  namespace spillway::simd::baseline {                            \
  extern const Table table;                                       \
  }                                                               \
  namespace spillway::simd {                                      \
  inline const Table& pick() noexcept { return baseline::table; } \
  }
#endif
