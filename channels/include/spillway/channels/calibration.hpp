// The mapping from raw values to engineering units.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "spillway/channels/quality.hpp"

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

// What a table makes of a value below its first point or above its last.
enum class Outside : std::uint8_t {
  clamp,        // the y of that point
  extrapolate,  // the line through the two points at that end
  nan,          // NaN
};

// Straight lines between the points (x[i], y[i]): y[i] at x[i] exactly; above it and below x[i+1]
//     y[i] + (v - x[i]) / (x[i+1] - x[i]) * (y[i+1] - y[i]),
// rounded after each operation, in this order. Extrapolation takes the same line.
struct Table {
  std::vector<double> x;  // strictly increasing; at least two
  std::vector<double> y;  // as many
  Outside outside = Outside::clamp;
  friend bool operator==(const Table&, const Table&) = default;
};

// A new kind of calibration is one more alternative here; everything else holds.
using CalibrationStep = std::variant<Linear, Polynomial, Table>;

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
  Calibration(Table step) : steps{std::move(step)} {}       // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool is_identity() const noexcept { return steps.empty(); }

  // values[i] becomes its engineering value, in place. Wait-free, allocates
  // nothing, O(values * steps), times the logarithm of a table's points. NaN stays NaN.
  void apply(std::span<double> values) const noexcept;
  // The same values, and quality[i] tells: a value outside of a table is Suspect, calibration,
  // besides what it was, and a NaN Bad, missing.
  void apply(std::span<double> values, std::span<Quality> quality) const noexcept;

  friend bool operator==(const Calibration&, const Calibration&) = default;
};

// One line for people: "0.005 x - 5.12", "polynomial of degree 3", "table of 20 points",
// "identity".
[[nodiscard]] std::string describe(const Calibration& calibration);

// Throws Error naming `where` if a step has no coefficient or one that is not finite, or if a
// table has fewer than two points, other than as many y as x, or an x, named by its index, that
// is not above the one before. Everything else here needs calibrations that pass.
void check(const Calibration& calibration, const std::string& where);

}  // namespace spillway
