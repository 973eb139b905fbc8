// What a linear filter does to frequencies, to a step and to an impulse.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "spillway/channels/units.hpp"
#include "spillway/filters/sos.hpp"

namespace spillway {

// A recursive filter, or the taps of one with a finite impulse response,
// y[k] = sum taps[i] x[k - i].
using LinearSystem = std::variant<Sos, std::vector<double>>;

// All functions throw Error unless sections are stable, as check(const Sos&) has it, or there is
// a tap and all taps are finite. All of them allocate.

// H at a frequency. Throws Error unless the rate is finite and positive and 0 <= at <= rate / 2.
[[nodiscard]] std::complex<double> frequency_response(const LinearSystem& system, Hertz at,
                                                      Hertz rate);

// - d arg H / d (2 pi at / rate), in samples; may be negative. A zero on the unit circle counts
// with its limit, without the jump of the phase; so it does for symmetric and antisymmetric taps,
// and at 0 Hz for all taps. Elsewhere other taps have no group delay where H is 0: NaN.
// Throws Error as frequency_response does.
[[nodiscard]] double group_delay(const LinearSystem& system, Hertz at, Hertz rate);

// The first `count` outputs for 1, 0, 0, ... and for 1, 1, 1, ..., from a state of zero.
[[nodiscard]] std::vector<double> impulse_response(const LinearSystem& system, std::size_t count);
[[nodiscard]] std::vector<double> step_response(const LinearSystem& system, std::size_t count);

// As for Sos: the smallest n, or little more, with sum_{j >= n} |h[j]| <= level * sum |h|; of
// taps the smallest. Throws Error unless 0 < level < 1.
[[nodiscard]] std::uint64_t settling_samples(const LinearSystem& system, double level);

}  // namespace spillway
