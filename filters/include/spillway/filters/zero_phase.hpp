// Forward and backward: a recursive filter without delay, offline.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "spillway/filters/sos.hpp"

namespace spillway {

// Runs `sos` over `values`, and then over the result from its end to its start: the gain is
// |H|^2, the phase 0. Not causal: each output depends on all values.
//
// Both ends are first extended by zero_phase_padding(sos) values, each end turned by half a turn
// around its last value, 2 x[0] - x[k] and 2 x[n - 1] - x[n - 1 - k]; each pass begins as if all
// values before had been as its first. What the extension became is cut off. Values are those of
// scipy.signal.sosfiltfilt with its defaults, up to rounding.
//
// Throws Error if check(sos) does, if there are not more values than the padding, if one is NaN or
// infinite (fill gaps first), or if the result overflows.
[[nodiscard]] std::vector<double> zero_phase(const Sos& sos, std::span<const double> values);

// 3 (2 sections + 1 - the smaller of the number of sections with b2 = 0 and of those with a2 = 0).
[[nodiscard]] std::size_t zero_phase_padding(const Sos& sos);

}  // namespace spillway
