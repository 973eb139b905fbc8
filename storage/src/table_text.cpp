#include "table_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "foreign.hpp"
#include "spillway/channels/error.hpp"
#include "table_cell.hpp"

namespace spillway::table {

namespace {

constexpr std::size_t buffer_bytes = 1 << 17;
constexpr std::size_t most_line_bytes = 16 << 20;
constexpr std::array usual_separators{',', ';', '\t'};

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

// The singular of a word; "s", "ms" and "us" are none.
std::string singular(std::string word) {
  if (word.size() > 2 && word.ends_with('s') && word[word.size() - 2] != 's') word.pop_back();
  return word;
}

// 0: not known. "Ms" is a million seconds, or 1 ms.
double unit_seconds(std::string_view text) {
  if (text == "Ms") return 0.0;
  std::string unit = lower(text);
  if (unit.starts_with("in ")) unit = std::string(trimmed(std::string_view(unit).substr(3)));
  if (unit.ends_with('.')) unit.pop_back();
  struct Known {
    std::string_view name;
    double seconds;
  };
  static constexpr std::array known{
      Known{"s", 1.0},          Known{"sec", 1.0},         Known{"second", 1.0},
      Known{"ms", 1e-3},        Known{"msec", 1e-3},       Known{"millisecond", 1e-3},
      Known{"us", 1e-6},        Known{"usec", 1e-6},       Known{"microsecond", 1e-6},
      Known{"\xC2\xB5s", 1e-6}, Known{"\xCE\xBCs", 1e-6},  Known{"\xC2\xB5sec", 1e-6},
      Known{"ns", 1e-9},        Known{"nsec", 1e-9},       Known{"nanosecond", 1e-9},
      Known{"min", 60.0},       Known{"minute", 60.0},     Known{"h", 3600.0},
      Known{"hr", 3600.0},      Known{"hour", 3600.0},     Known{"d", 86400.0},
      Known{"day", 86400.0},    Known{"\xCE\xBCsec", 1e-6}};
  const auto* found = std::ranges::find(known, unit, &Known::name);
  if (found == known.end()) found = std::ranges::find(known, singular(unit), &Known::name);
  return found == known.end() ? 0.0 : found->seconds;
}

// Words of times that are no unit here: they are not taken for seconds.
bool is_other_unit(const std::string& word) {
  static constexpr std::array<std::string_view, 13> others{
      "fs", "femtosecond", "ps",        "psec",  "picosecond", "ks",  "tick",
      "wk", "week",        "fortnight", "month", "yr",         "year"};
  const auto is = [](std::string_view text) {
    return std::ranges::find(others, text) != others.end();
  };
  return word == "Ms" || is(lower(word)) || is(singular(lower(word)));
}

// Of letters: "time_ms", "Time, ms", "time/ms" and "timeMs" are two each. In the last, the second
// begins as words do, so it is given in lower case.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  bool in_word = false, is_behind = false;  // behind a word without a space
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_letter = is_upper(c) || is_lower(c) || (c & 0x80) != 0;
    const bool begins = is_letter && in_word && is_upper(c) && is_lower(text[i - 1]);
    if (is_letter && (!in_word || begins)) {
      words.emplace_back();
      is_behind = begins;
    }
    if (is_letter) words.back() += is_behind ? lower({&c, 1})[0] : c;
    in_word = is_letter;
  }
  return words;
}

bool is_sample(std::string_view cell, char decimal, bool first) {
  return number(cell, decimal) || (first && date(cell));
}

// As the first cell of a row has it, and hardly a name: NaN, Na and blank may be one.
bool is_time(std::string_view cell, char decimal) {
  const std::optional<double> value = number(cell, decimal);
  return value ? std::isfinite(*value) : date(cell).has_value();
}

std::optional<Shape> shape_by(const Dialect& dialect, std::span<const std::string> lines) {
  Shape shape{dialect, 0, false};
  std::vector<std::string_view> cells;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (!split(lines[i], dialect.separator, cells)) return std::nullopt;
    bool all_samples = true;
    for (std::size_t c = 0; c < cells.size(); ++c)
      all_samples = all_samples && is_sample(cells[c], dialect.decimal, c == 0);
    if (i == 0) {
      shape.columns = cells.size();
      shape.has_header = !all_samples;
      // A row with a cell that can't be read would be lost.
      if (shape.has_header && is_time(cells[0], dialect.decimal)) return std::nullopt;
      // A name may have a comma, but it is not likely.
      if (shape.has_header && dialect.separator == 0 && !lines[i].starts_with('"') &&
          lines[i].find_first_of(",;\t") != std::string::npos)
        return std::nullopt;
    } else if (cells.size() != shape.columns || !all_samples) {
      return std::nullopt;
    }
  }
  if (lines.size() < (shape.has_header ? 2U : 1U)) return std::nullopt;
  return shape;
}

// Three runs of digits as of a day or a time of the day: 04.05.2026, 2026-05-04, 5/4/26, 10:44:18.
bool is_like_date(std::string_view cell) {
  std::array<std::size_t, 3> digits{};
  const std::size_t end = cell.find_first_not_of("0123456789");
  const char separator = end == cell.npos ? '\0' : cell[end];
  if (std::string_view("-/.:").find(separator) == std::string_view::npos) return false;
  for (std::size_t run = 0; run < digits.size(); ++run) {
    if (run > 0) {
      if (!cell.starts_with(separator)) return false;
      cell.remove_prefix(1);
    }
    digits[run] = std::min(cell.find_first_not_of("0123456789"), cell.size());
    cell.remove_prefix(digits[run]);
  }
  const auto is_short = [](std::size_t n) { return n == 1 || n == 2; };
  return (is_short(digits[0]) || digits[0] == 4) && is_short(digits[1]) &&
         (is_short(digits[2]) || (digits[2] == 4 && digits[0] != 4));
}

// Of those lines that are no table.
std::string likely_meaning_of_line(std::string_view line) {
  std::vector<std::string_view> cells;
  for (const char separator : usual_separators) {
    split(line, separator, cells);
    for (const std::string_view cell : cells)
      if (std::string meaning = likely_meaning(cell); !meaning.empty())
        return fmt::format("; '{}'{}", shown(cell), meaning);
  }
  return {};
}

std::string words(const Dialect& dialect) {
  switch (dialect.separator) {
    case 0: return fmt::format("one column with the decimal '{}'", dialect.decimal);
    case '\t': return "columns separated by tabs";
    default: return fmt::format("columns separated by '{}'", shown({&dialect.separator, 1}));
  }
}

// One of each separator that fits.
std::vector<Shape> shapes(const Foreign& how, std::span<const std::string> lines) {
  std::vector<char> separators(usual_separators.begin(), usual_separators.end());
  if (how.separator != 0) separators = {how.separator};
  separators.push_back(0);
  const std::string_view decimals =
      how.decimal != 0 ? std::string_view(&how.decimal, 1) : std::string_view(".,");
  std::vector<Shape> found;
  for (const char separator : separators)
    for (const char decimal : decimals) {
      if (separator == decimal || how.separator == decimal) continue;
      const std::optional<Shape> shape = shape_by({separator, decimal}, lines);
      // Separated are two at least.
      if (!shape || (separator != 0) != (shape->columns > 1)) continue;
      found.push_back(*shape);
      break;
    }
  return found;
}

// Of lines whose first one is a row, but has a cell that can't be read.
std::vector<Shape> shapes_behind_first(const Foreign& how, std::span<const std::string> lines) {
  std::vector<Shape> found;
  for (std::size_t n = lines.size(); found.empty() && n > 1; n = n > 2 ? 2 : 1) {
    found = shapes(how, lines.subspan(1, n - 1));
    std::erase_if(found, [&](const Shape& shape) {
      std::vector<std::string_view> cells;
      return shape.has_header || !split(lines[0], shape.dialect.separator, cells) ||
             cells.size() != shape.columns || !is_time(cells[0], shape.dialect.decimal);
    });
  }
  return found;
}

}  // namespace

Lines::Lines(const File& file, std::uint64_t at) : file_(&file), at_(at) {}

bool Lines::next(Line& line) {
  std::size_t searched = begin_;
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched);
    if (end != std::string::npos || (at_end_ && begin_ < buffer_.size())) {
      line.ended = end != std::string::npos;
      line.at = at_ + begin_;
      line.text =
          std::string_view(buffer_).substr(begin_, (line.ended ? end : buffer_.size()) - begin_);
      if (line.text.ends_with('\r')) line.text.remove_suffix(1);
      begin_ = line.ended ? end + 1 : buffer_.size();
      return true;
    }
    if (at_end_) return false;
    at_ += begin_;
    buffer_.erase(0, begin_);
    begin_ = 0;
    searched = buffer_.size();
    if (searched > most_line_bytes)
      throw Error(
          fmt::format("{}: is neither a recording nor a table: a line of more than {} "
                      "bytes at byte {}",
                      file_->path(), most_line_bytes, at_));
    buffer_.resize(searched + buffer_bytes);
    const std::size_t n = file_->read_up_to(
        at_ + searched, std::as_writable_bytes(std::span(buffer_).subspan(searched)));
    buffer_.resize(searched + n);
    at_end_ = n < buffer_bytes;
  }
}

bool split(std::string_view line, char separator, std::vector<std::string_view>& cells) {
  cells.clear();
  for (;;) {
    while (line.starts_with(' ')) line.remove_prefix(1);
    std::string_view cell;
    std::size_t end = 0;
    if (line.starts_with('"')) {
      end = line.find('"', 1);
      while (end != line.npos && line.substr(end + 1).starts_with('"'))
        end = line.find('"', end + 2);
      if (end == line.npos) return false;
      cell = line.substr(1, end - 1);
      line.remove_prefix(end + 1);
      while (line.starts_with(' ')) line.remove_prefix(1);
      if (!line.empty() && (separator == 0 || line[0] != separator)) return false;
      end = line.empty() ? line.npos : 0;
    } else {
      end = separator == 0 ? line.npos : line.find(separator);
      cell = trimmed(line.substr(0, end));
    }
    cells.push_back(cell);
    if (end == line.npos) return true;
    line.remove_prefix(end + 1);
  }
}

Shape shape_of(const std::string& path, const Foreign& how, std::span<const std::string> lines,
               std::uint64_t first_line) {
  if (how.decimal != 0 && how.decimal != '.' && how.decimal != ',')
    throw Error(
        fmt::format("{}: decimal '{}'; allowed are '.' and ','", path, shown({&how.decimal, 1})));
  if (how.separator != 0 &&
      (how.separator == how.decimal ||
       std::string_view("+-.\"#\r\n").find(how.separator) != std::string_view::npos ||
       (how.separator >= '0' && how.separator <= '9')))
    throw Error(fmt::format("{}: '{}' separates no numbers", path, shown({&how.separator, 1})));
  std::vector<Shape> found = shapes(how, lines);
  if (found.size() > 1)
    throw LeftOpen(LeftOpen::Needed::separator_or_decimal,
                   fmt::format("{}: line {} '{}' may be {}, or {}: give the separator or the "
                               "decimal",
                               path, first_line, shown(lines[0]), words(found[0].dialect),
                               words(found[1].dialect)));
  // Something is wrong further down: reading it will say what.
  for (std::size_t n = std::min<std::size_t>(lines.size(), 2); found.empty() && n > 0; --n)
    found = shapes(how, lines.first(n));
  if (found.empty()) found = shapes_behind_first(how, lines);
  if (found.empty())
    throw Error(fmt::format(
        "{}: is neither a recording nor a table: line {} is '{}'; needed are lines of as many "
        "numbers each, separated by , ; or tabs, with their names above or without{}",
        path, first_line + (lines.size() > 1 ? 1 : 0),
        lines.empty() ? "" : shown(lines[lines.size() > 1 ? 1 : 0]),
        lines.empty() ? "" : likely_meaning_of_line(lines[lines.size() > 1 ? 1 : 0])));
  return found[0];
}

std::string likely_meaning(std::string_view cell) {
  if (is_like_date(cell) && !date(cell))
    return " looks like a date: times must be numbers or dates of ISO 8601, "
           "2026-05-04T10:44:18.529Z";
  const std::size_t e = cell.find_first_of("eE");
  if (e == cell.npos || e == 0 || e + 1 == cell.size()) return {};
  const std::string_view exponent =
      cell.substr(e + (cell[e + 1] == '-' || cell[e + 1] == '+' ? 2 : 1));
  const bool is_mantissa = number(cell.substr(0, e), '.') || number(cell.substr(0, e), ',');
  if (exponent.empty() || exponent.find_first_not_of("0123456789") != exponent.npos ||
      !is_mantissa || number(cell, '.') || number(cell, ','))
    return {};
  return fmt::format(" is too {} for a float64", cell[e + 1] == '-' ? "small" : "large");
}

Heading heading_of(std::string_view cell) {
  std::string text(trimmed(cell));
  for (std::size_t at = 0; (at = text.find("\"\"", at)) != std::string::npos; ++at)
    text.erase(at, 1);
  Heading heading{text, "", text};
  const char close = text.empty() ? '\0' : text.back();
  if (close != ']' && close != ')') return heading;
  const std::size_t open = text.rfind(close == ']' ? '[' : '(');
  if (open == std::string::npos) return heading;
  const std::string_view name = trimmed(std::string_view(text).substr(0, open));
  const std::string_view unit =
      trimmed(std::string_view(text).substr(open + 1, text.size() - open - 2));
  if (name.empty() || unit.empty()) return heading;
  return {std::string(name), std::string(unit), text};
}

TimeUnit time_unit_of(const Heading& heading) {
  if (!heading.unit.empty()) return {unit_seconds(heading.unit), true};
  const std::vector<std::string> words = words_of(heading.name);
  const double last = words.empty() ? 0.0 : unit_seconds(words.back());
  // "time of day" and "day of the year" may be in anything.
  const bool is_of = std::ranges::find(words, "of") != words.end();
  if (last > 0.0 && !is_of) return {last, true};
  // "ms since start", "time [V] of X", "time fs"
  const bool is_said =
      last > 0.0 || heading.name.find_first_of("[(") != std::string::npos ||
      std::ranges::any_of(words, [](const std::string& word) {
        return (word.size() > 1 && unit_seconds(word) > 0.0) || is_other_unit(word);
      });
  return {0.0, is_said};
}

bool is_time_name(std::string_view name) {
  const std::string text = lower(name);
  return text == "t" || text.starts_with("time") || text.starts_with("date") ||
         (text.starts_with("t_") && time_unit_of({text, ""}).seconds > 0.0);
}

}  // namespace spillway::table
