// The window method. Private.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "spillway/filters/window_function.hpp"

namespace spillway {

// A low-pass with its cut-off at a share of half the rate, 0 to 1, without either; gain 1 at
// 0 Hz. `what` names the filter in the errors; otherwise as design() of fir.hpp.
[[nodiscard]] std::vector<double> design_low_pass(std::size_t taps, double cutoff,
                                                  const WindowFunction& window,
                                                  std::string_view what);

// Group delay at 0 Hz in samples; of symmetric and antisymmetric taps that of all frequencies.
[[nodiscard]] double group_delay(const std::vector<double>& taps);

}  // namespace spillway
