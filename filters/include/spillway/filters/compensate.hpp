// A calibration that depends on a second quantity, the temperature of the sensor mostly.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "spillway/filters/filter.hpp"

namespace spillway {

// Lane 0 is the value x, lane 1 the temperature t; one lane comes out:
// y = sum over i, j of coefficients[i][j] x^i t^j.
struct Compensate {
  std::vector<std::vector<double>> coefficients;  // a row for each power of x, not empty
  std::string unit = {};                          // of the result; empty: that of lane 0
  friend bool operator==(const Compensate&, const Compensate&) = default;
};

// By Horner's rule in t for each power of x, then in x, rounded at each step. Rows may differ in
// length; coefficients that are not there are 0. t is taken as it comes: align it with x before.
//
// The output's quality merges those of x and t; a NaN is Bad, missing, and an overflow Suspect,
// out of range, besides. No state, no delay, nothing to do at a gap.
class CompensateFilter {
 public:
  // Throws Error if there is no row, a row is empty, or a coefficient is not finite.
  explicit CompensateFilter(Compensate parameters);

  // Wait-free, O(frames * coefficients). Two lanes in, one out.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // throws Error, and changes nothing, if it's another's

  [[nodiscard]] const Compensate& parameters() const noexcept { return parameters_; }
  [[nodiscard]] static constexpr std::size_t lanes() noexcept { return 2; }

 private:
  Compensate parameters_;
};

}  // namespace spillway
