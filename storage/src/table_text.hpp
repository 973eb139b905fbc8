// The lines and columns of tables that others wrote. Private.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "file.hpp"
#include "spillway/storage/foreign.hpp"

namespace spillway::table {

// How cells are separated, and what stands before decimals.
struct Dialect {
  char separator = ',';  // 0: a table of one column
  char decimal = '.';
};

// What the first lines of a table say about all of it.
struct Shape {
  Dialect dialect;
  std::size_t columns = 0;
  bool has_header = false;
};

// One line, without its end.
struct Line {
  std::string_view text;
  std::uint64_t at = 0;  // in the file
  bool ended = true;     // the last line may have no end
};

// The lines of a file from a position on.
class Lines {
 public:
  Lines(const File& file, std::uint64_t at);
  // False at the end of the file. The line lives until the next call. Throws Error if it is longer
  // than anybody's.
  bool next(Line& line);

 private:
  const File* file_;
  std::uint64_t at_;  // of the buffer
  std::string buffer_;
  std::size_t begin_ = 0;  // of what was not taken yet
  bool at_end_ = false;
};

// Cells without spaces and quotes around them; quotes within stay doubled. False: a quote that has
// no end on its line.
bool split(std::string_view line, char separator, std::vector<std::string_view>& cells);

// From the first lines, without comments. Throws Error that names `path` if they are no table, or
// can be read in several ways and `how` does not say in which.
[[nodiscard]] Shape shape_of(const std::string& path, const Foreign& how,
                             std::span<const std::string> lines, std::uint64_t first_line);

// What a cell that is no number was likely to be, to be put behind an error; empty: anything.
[[nodiscard]] std::string likely_meaning(std::string_view cell);

// "x [mV]", "x (mV)" or "x".
struct Heading {
  std::string name;
  std::string unit;       // empty: none
  std::string text = {};  // all of it
};
[[nodiscard]] Heading heading_of(std::string_view cell);

// What the heading of a column of times says of their unit: "time [ms]", "time_ms", "Time, ms".
struct TimeUnit {
  double seconds = 0.0;  // 0: not understood, or not said
  bool is_said = false;
};
[[nodiscard]] TimeUnit time_unit_of(const Heading& heading);
// Whether a column of that name holds times: "time", "Date", "timestamp", ...
[[nodiscard]] bool is_time_name(std::string_view name);

}  // namespace spillway::table
