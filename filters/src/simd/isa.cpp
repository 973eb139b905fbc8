#include "isa.hpp"

#include <fmt/format.h>

#include <atomic>

#include "spillway/channels/error.hpp"

namespace spillway::simd {

namespace {

Isa best_isa() noexcept {
  if (is_supported(Isa::avx512)) return Isa::avx512;
  return is_supported(Isa::avx2) ? Isa::avx2 : Isa::baseline;
}

std::atomic<Isa>& chosen() noexcept {
  static std::atomic<Isa> isa{best_isa()};
  return isa;
}

}  // namespace

std::string_view to_string(Isa isa) noexcept {
  switch (isa) {
    case Isa::avx512: return "AVX-512";
    case Isa::avx2: return "AVX2";
    case Isa::baseline: break;
  }
  return "baseline";
}

bool is_supported(Isa isa) noexcept {
  if (isa == Isa::baseline) return true;
#ifdef SPILLWAY_SIMD_X86_64
  __builtin_cpu_init();
  if (isa == Isa::avx2) return __builtin_cpu_supports("avx2") != 0;
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
#else
  return false;
#endif
}

Isa current_isa() noexcept { return chosen().load(std::memory_order_relaxed); }

void choose_isa(Isa isa) {
  if (!is_supported(isa))
    throw Error(
        fmt::format("instruction set {}: not compiled in, or not of this CPU", to_string(isa)));
  chosen().store(isa, std::memory_order_relaxed);
}

}  // namespace spillway::simd
