// The mapping from raw values to engineering units.
#pragma once

#include <span>
#include <string>
#include <variant>
#include <vector>

namespace spillway {

// y = slope * x + offset
struct Linear {
  double slope = 1.0;
  double offset = 0.0;
  friend bool operator==(const Linear&, const Linear&) = default;
};

// y = c[0] + c[1] x + c[2] x^2 + ..., evaluated by Horner's rule.
struct Polynomial {
  std::vector<double> coefficients;  // ascending powers; at least one
  friend bool operator==(const Polynomial&, const Polynomial&) = default;
};

// A new kind of calibration is one more alternative here; everything else holds.
using CalibrationStep = std::variant<Linear, Polynomial>;

// A chain of steps, each taking the result of the one before, and the paper
// that goes with it. No steps: raw values are engineering units already.
// A value: compare, copy and store it freely.
struct Calibration {
  std::vector<CalibrationStep> steps;
  std::string unit_in;         // UDUNITS spelling; empty: counts of a converter
  std::string unit_out;        // empty: the unit of the channel
  std::string reference_date;  // ISO 8601; empty: unknown
  std::string valid_until;     // ISO 8601; empty: no limit
  std::string certificate;     // number or address of the certificate

  Calibration() = default;
  Calibration(Linear step) : steps{step} {}                 // NOLINT(google-explicit-constructor)
  Calibration(Polynomial step) : steps{std::move(step)} {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool is_identity() const noexcept { return steps.empty(); }

  // values[i] becomes its engineering value, in place. Wait-free, allocates
  // nothing, O(values * steps). NaN stays NaN.
  void apply(std::span<double> values) const noexcept;

  friend bool operator==(const Calibration&, const Calibration&) = default;
};

// One line for people: "0.005 x - 5.12", "polynomial of degree 3", "identity".
[[nodiscard]] std::string describe(const Calibration& calibration);

// Throws Error naming `where` if a step has no coefficient or one that is not finite.
void check(const Calibration& calibration, const std::string& where);

}  // namespace spillway
