#include "spillway/filters/zero_phase.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

void run_and_turn_round(const Sos& sos, std::vector<double>& values) {
  SosFilter filter(sos, {.initial = Initial::steady}, 1);
  std::vector<Quality> quality(values.size());
  filter.process({values, quality, 1}, {values, quality, 1});
  if (!std::ranges::all_of(values, [](double v) { return std::isfinite(v); }))
    throw Error("zero-phase filter: the values are so large that the result overflows");
  std::ranges::reverse(values);
}

}  // namespace

std::size_t zero_phase_padding(const Sos& sos) {
  const auto short_numerators = std::ranges::count(sos.sections, 0.0, &Sos::Section::b2);
  const auto short_denominators = std::ranges::count(sos.sections, 0.0, &Sos::Section::a2);
  const std::size_t taps = 2 * sos.sections.size() + 1;
  return 3 * (taps - static_cast<std::size_t>(std::min(short_numerators, short_denominators)));
}

std::vector<double> zero_phase(const Sos& sos, std::span<const double> values) {
  check(sos);
  const std::size_t padding = zero_phase_padding(sos);
  if (values.size() <= padding)
    throw Error(
        fmt::format("zero-phase filter: {} values, must be more than {} (the padding for {} "
                    "sections)",
                    values.size(), padding, sos.sections.size()));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      throw Error(fmt::format("zero-phase filter: value {} is {}, must be finite; fill gaps first",
                              i, values[i]));

  std::vector<double> extended;
  extended.reserve(values.size() + 2 * padding);
  for (std::size_t k = padding; k > 0; --k) extended.push_back(2.0 * values.front() - values[k]);
  extended.insert(extended.end(), values.begin(), values.end());
  for (std::size_t k = 1; k <= padding; ++k)
    extended.push_back(2.0 * values.back() - values[values.size() - 1 - k]);

  run_and_turn_round(sos, extended);
  run_and_turn_round(sos, extended);
  const auto first = extended.begin() + static_cast<std::ptrdiff_t>(padding);
  return {first, first + static_cast<std::ptrdiff_t>(values.size())};
}

}  // namespace spillway
