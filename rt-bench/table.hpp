// Results as text for a terminal.
#pragma once

#include <string>

#include "results.hpp"

namespace spillway::bench {

// What was measured on and with, and the warnings; to be read before any figure.
[[nodiscard]] std::string heading(const Results& results);

// One workload, a line for each row, all columns aligned.
[[nodiscard]] std::string table(const Workload& workload);

// The cells of that table, for other forms of it: the first row has the names of the columns.
[[nodiscard]] std::vector<std::vector<std::string>> cells(const Workload& workload);

// The counts that are the same for every row, and so no columns: "Each: pushed 64, wrong 0".
[[nodiscard]] std::string common_counts(const Workload& workload);

// Three significant digits, no exponent: "0.612", "18.5", "2310", "1,234,567".
[[nodiscard]] std::string figure(double value);

// The count with commas every three digits.
[[nodiscard]] std::string grouped(std::uint64_t count);

}  // namespace spillway::bench
