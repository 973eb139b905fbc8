// The reference vectors: expected results of filters, computed independently.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace spillway::test {

struct Array {
  std::vector<std::size_t> shape;
  std::vector<double> values;  // C order
};

// A .npy file of version 1.0 with float64, little-endian, C order. Throws
// std::runtime_error naming the file if it is anything else.
Array read_npy(const std::filesystem::path& path);

struct ReferenceCase {
  std::string id;
  std::string filter;
  nlohmann::json params;
  std::string input;  // empty: named in params
  double tolerance = 0.0;
  std::optional<double> own_design_tolerance;
};

class Reference {
 public:
  // Throws std::runtime_error if the folder's index can't be read.
  explicit Reference(std::filesystem::path folder);

  // SPILLWAY_REFERENCE_DIR, or where the checkout expects it; it may be absent.
  static std::filesystem::path default_folder();

  [[nodiscard]] const std::vector<ReferenceCase>& cases() const { return cases_; }
  [[nodiscard]] Array input(const ReferenceCase& c) const;
  // Of an input that is not equally spaced, in seconds.
  [[nodiscard]] Array times(const ReferenceCase& c) const;
  [[nodiscard]] Array expected(const ReferenceCase& c) const;
  [[nodiscard]] Array coefficients(const ReferenceCase& c, const std::string& kind) const;

 private:
  [[nodiscard]] const nlohmann::json& entry(const ReferenceCase& c) const;
  std::filesystem::path folder_;
  nlohmann::json index_;
  std::vector<ReferenceCase> cases_;
};

// SPILLWAY_DATA_DIR, or where the checkout expects the recordings; it may be absent.
std::filesystem::path data_folder();

nlohmann::json read_json(const std::filesystem::path& path);

}  // namespace spillway::test
