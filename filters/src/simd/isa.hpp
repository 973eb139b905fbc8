// Which of the compiled variants of the inner loops runs. Private, and for tests and rt-bench.
//
// The loops are compiled for the x86-64 baseline and, on that architecture, for AVX2 and
// AVX-512 as well; elsewhere the baseline is all there is. All give the same bits: they
// vectorise across lanes or outputs only, and nothing is contracted or reassociated.
#pragma once

#include <array>
#include <string_view>

namespace spillway::simd {

enum class Isa { baseline, avx2, avx512 };
inline constexpr std::array all_isas{Isa::baseline, Isa::avx2, Isa::avx512};

[[nodiscard]] std::string_view to_string(Isa isa) noexcept;
// Whether it was compiled and this CPU has it.
[[nodiscard]] bool is_supported(Isa isa) noexcept;
// The best that is supported, unless another was chosen. Any thread; O(1).
[[nodiscard]] Isa current_isa() noexcept;
// For filters made from now on. Throws Error if it is not supported.
void choose_isa(Isa isa);

}  // namespace spillway::simd
