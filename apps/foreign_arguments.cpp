#include "foreign_arguments.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway::apps {

Foreign foreign(const ForeignArguments& arguments) {
  Foreign result;
  if (arguments.rate_hz) result.rate = Rate(Hertz{*arguments.rate_hz});
  result.unit = arguments.unit;
  const std::string& separator = arguments.separator;
  if (separator == "tab" || separator == "\\t")
    result.separator = '\t';
  else if (separator == "," || separator == ";" || separator == "\t")
    result.separator = separator[0];
  else if (!separator.empty())
    throw Error(fmt::format("--separator '{}': must be one of , ; tab", separator));
  const std::string& decimal = arguments.decimal;
  if (decimal == "." || decimal == ",")
    result.decimal = decimal[0];
  else if (!decimal.empty())
    throw Error(fmt::format("--decimal '{}': must be . or ,", decimal));
  constexpr std::array<std::pair<std::string_view, double>, 7> units{{{"s", 1.0},
                                                                      {"ms", 1e-3},
                                                                      {"us", 1e-6},
                                                                      {"ns", 1e-9},
                                                                      {"min", 60.0},
                                                                      {"h", 3600.0},
                                                                      {"d", 86400.0}}};
  if (arguments.time_unit.empty()) return result;
  for (const auto& [name, seconds] : units)
    if (arguments.time_unit == name) {
      result.time_unit_s = seconds;
      return result;
    }
  throw Error(fmt::format("--time-unit '{}': must be one of s, ms, us, ns, min, h, d",
                          arguments.time_unit));
}

}  // namespace spillway::apps
