// How files that were not made by a sink are read, as people say it on a command line.
#pragma once

#include <optional>
#include <string>

#include "spillway/storage/foreign.hpp"

namespace spillway::apps {

struct ForeignArguments {
  std::optional<double> rate_hz;
  std::string unit = "1";
  std::string separator;  // one character, or "tab"; empty: found out
  std::string decimal;    // "." or ","; empty: found out
  std::string time_unit;  // empty: as the table says, else s
};

// Throws Error that names the option and what is allowed.
[[nodiscard]] Foreign foreign(const ForeignArguments& arguments);

}  // namespace spillway::apps
