// How to read files that were not made here, where they do not say it themselves.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/channels/rate.hpp"

namespace spillway {

// NumPy files, WAVE files, raw data with a sidecar and plain tables are read as recordings: by
// their content, whatever their names. Everything here is about those that leave it open. What
// contradicts the file is an Error, and what it does not leave open, as a recording made by a sink
// leaves nothing, is a NotLeftOpen; but what is as it is by default counts as not given.
struct Foreign {
  // Of .npy files, which need it, and of tables whose first column is a sample, not a time.
  std::optional<Rate> rate = {};
  // Of channels, in their order; empty: as the file says, else "ch0", "ch1", ...
  std::vector<std::string> names = {};
  std::string unit = "1";  // of all channels whose unit the file does not say
  // Of tables. 0: found out from the first lines: one of , ; tab, and '.' or ','.
  char separator = 0;
  char decimal = 0;
  // The unit of the first column of a table that holds plain numbers as times, in seconds; empty:
  // as its heading says, else seconds.
  std::optional<double> time_unit_s = {};
};

// Thrown where a file leaves open what Foreign can say, so that a program can tell how to say it.
class LeftOpen : public Error {
 public:
  enum class Needed { rate, separator_or_decimal, time_unit };
  LeftOpen(Needed needed, const std::string& message) : Error(message), needed_(needed) {}
  [[nodiscard]] Needed needed() const noexcept { return needed_; }

 private:
  Needed needed_;
};

// Thrown where Foreign says what a file says itself, or what it has no use for.
class NotLeftOpen : public Error {
 public:
  enum class Given { rate, names, unit, separator, decimal, time_unit };
  NotLeftOpen(Given given, const std::string& message) : Error(message), given_(given) {}
  [[nodiscard]] Given given() const noexcept { return given_; }

 private:
  Given given_;
};

}  // namespace spillway
