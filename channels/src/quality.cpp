#include "spillway/channels/quality.hpp"

#include <array>
#include <string_view>
#include <utility>

namespace spillway {

std::string to_string(Quality quality) {
  static constexpr std::array<std::string_view, 4> verdicts{"good", "interpolated", "suspect",
                                                            "bad"};
  static constexpr std::array<std::pair<Quality::Reason, std::string_view>, 6> reasons{{
      {Quality::out_of_range, "out of range"},
      {Quality::missing, "missing"},
      {Quality::transient, "transient"},
      {Quality::implausible, "implausible"},
      {Quality::calibration, "calibration"},
      {Quality::time_uncertain, "time uncertain"},
  }};
  std::string text(verdicts[static_cast<std::size_t>(quality.verdict())]);
  const char* separator = ": ";
  for (const auto& [reason, name] : reasons) {
    if (!quality.has(reason)) continue;
    text.append(separator).append(name);
    separator = ", ";
  }
  return text;
}

}  // namespace spillway
