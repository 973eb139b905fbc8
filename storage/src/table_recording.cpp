// Reads tables that others wrote as text.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "columns.hpp"
#include "file.hpp"
#include "foreign.hpp"
#include "row_backend.hpp"
#include "spillway/channels/error.hpp"
#include "table_cell.hpp"
#include "table_spacing.hpp"
#include "table_text.hpp"

namespace spillway {

namespace {

using table::CellTime;
using table::Line;
using table::Lines;
using table::Wide;

constexpr std::size_t most_first_lines = 100;
constexpr std::size_t most_first_bytes = 1 << 20;
// So far from the origin may times be that differences of two can be told: 146 years.
constexpr Wide most_fs = (Wide{1} << 62) * table::fs_per_ns;

std::string date_text(std::int64_t seconds_since_1970) {
  using namespace std::chrono;
  const sys_seconds time{seconds(seconds_since_1970)};
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

// Names that channels may have, each given once.
class Names {
 public:
  std::string storable(const std::string& name, std::size_t channel);

 private:
  std::unordered_set<std::string> given_;
  std::unordered_map<std::string, std::uint64_t> last_;  // number behind a name
};

std::string Names::storable(const std::string& name, std::size_t channel) {
  std::size_t size = std::min<std::size_t>(name.size(), 190);
  while (size < name.size() && (name[size] & 0xC0) == 0x80) --size;  // not within a character
  std::string text = name.substr(0, size);
  for (char& c : text)
    if (c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '_';
  if (text == "time" || text == "time_ns" || text == "sample" || text == "." || text == ".." ||
      text.ends_with("_quality"))
    text += '_';
  if (text.empty()) text = fmt::format("ch{}", channel);
  std::string unique = text;
  if (!given_.insert(unique).second) {
    // Numbers that were tried once are not tried again.
    std::uint64_t& n = last_.try_emplace(text, 1).first->second;
    do unique = fmt::format("{}_{}", text, ++n);
    while (!given_.insert(unique).second);
  }
  return unique;
}

// Text that is no UTF-8 is likely to be ISO 8859-1, as older programs write it: a
// byte is a character.
std::string from_latin1(std::string_view text) {
  std::string utf8;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) utf8 += static_cast<char>(0xC0 | byte >> 6);
    utf8 += static_cast<char>(byte >= 0x80 ? 0x80 | (byte & 0x3F) : byte);
  }
  return utf8;
}

bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(nlohmann::json(text).dump());
    return true;
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

class TableRecording final : public RowBackend {
 public:
  TableRecording(const std::string& from, const Foreign& how, FileCalls& calls);

 private:
  enum class Times : unsigned char { none, plain, dates };
  struct Row {
    CellTime time;  // from the origin
    std::vector<double> values;
    std::vector<std::string_view> cells;
  };
  // What is found out about the times while all rows are read.
  struct Found {
    TimesOfRows segments;
    std::uint64_t late = 0;
    std::uint64_t first_late_line = 0;
    Wide first = 0, last = 0;
    Wide least_step = 0, greatest_step = 0;
    Wide finest_unit = 0;  // of those without an exponent
    Wide least_unit = 0;   // of all
    Wide coarsest_unit = 0;
  };

  void make(std::size_t stream, std::uint64_t row, std::uint64_t count, Columns& to) const override;
  [[noreturn]] void fail(std::uint64_t line, const std::string& what) const {
    throw Error(fmt::format("{}: line {}: {}", path, line, what));
  }
  std::string read_first_lines(const Foreign& how);
  void choose_times(const Foreign& how, const std::string& first_row);
  void name_channels(const Foreign& how, StreamInfo& info);
  void parse(std::string_view text, std::uint64_t line, Row& row) const;
  [[nodiscard]] CellTime parse_time(std::string_view cell, std::uint64_t line) const;
  std::uint64_t read_all(std::uint64_t block_rows);
  void note(const Row& row, std::uint64_t line, std::uint64_t rows);
  void check_times(std::uint64_t rows) const;
  [[nodiscard]] bool may_miss_rows() const;
  [[nodiscard]] std::optional<Rate> find_rate(std::uint64_t rows) const;
  void tell(const StreamInfo& info);

  File file_;
  table::Shape shape_;
  std::vector<table::Heading> headings_;  // of all columns, or none
  std::uint64_t header_line_ = 0;
  bool header_is_latin1_ = false;
  Times times_ = Times::none;
  double time_unit_s_ = 1.0;
  Fraction time_unit_;
  bool utc_ = false;                   // dates have zones
  Wide origin_fs_ = 0;                 // of dates, since 1970
  std::uint64_t data_at_ = 0;          // the first row
  std::uint64_t data_line_ = 1;        // its line
  std::vector<std::uint64_t> blocks_;  // where each begins
  Found found_;
};

TableRecording::TableRecording(const std::string& from, const Foreign& how, FileCalls& calls)
    : file_(calls, from, File::Mode::read) {
  path = from;
  status = "complete";
  choose_times(how, read_first_lines(how));
  RecordedStream stream;
  stream.info.name = stream_name_of(path);
  name_channels(how, stream.info);
  const std::uint64_t block_rows = block_rows_of(stream.info);
  stream.rows = read_all(block_rows);
  if (times_ == Times::none) {
    stream.info.rate = how.rate;
  } else {
    check_times(stream.rows);
    stream.info.rate = find_rate(stream.rows);
  }
  if (times_ == Times::dates) {
    // Dates without a zone are somebody's own.
    stream.info.origin = {utc_ ? Origin::Kind::utc : Origin::Kind::local,
                          date_text(static_cast<std::int64_t>(origin_fs_ / table::fs_per_s))};
    if (utc_) start_time = stream.info.origin.text + 'Z';
  }
  if (!stream.info.rate) stream.segments = found_.segments.take();
  tell(stream.info);
  add_stream(std::move(stream), Time(static_cast<std::int64_t>(table::rounded_ns(found_.first))),
             block_rows);
}

// Finds out what the table looks like; returns its first row.
std::string TableRecording::read_first_lines(const Foreign& how) {
  std::array<char, byte_order_mark.size()> front{};
  const std::size_t n = file_.read_up_to(0, std::as_writable_bytes(std::span(front)));
  Lines lines(file_, std::string_view(front.data(), n) == byte_order_mark ? n : 0);
  std::vector<std::string> first;
  std::vector<std::uint64_t> at, number;
  std::string comment;
  std::uint64_t comment_line = 0;
  std::size_t bytes = 0;
  Line line;
  for (std::uint64_t i = 1;
       first.size() < 2 || (first.size() < most_first_lines && bytes < most_first_bytes); ++i) {
    if (!lines.next(line)) break;
    if (table::trimmed(line.text).empty()) continue;
    if (line.text.starts_with('#') && first.empty()) {
      comment = line.text.substr(std::min(line.text.find_first_not_of('#'), line.text.size()));
      comment_line = i;
      continue;
    }
    // The last one may be cut.
    if (!line.ended && first.size() > 2) break;
    first.emplace_back(line.text);
    at.push_back(line.at);
    number.push_back(i);
    bytes += line.text.size();
  }
  shape_ = table::shape_of(path, how, first, number.empty() ? 1 : number[0]);
  std::vector<std::string_view> cells;
  if (shape_.has_header) {
    table::split(first[0], shape_.dialect.separator, cells);
    header_line_ = number[0];
  } else if (!comment.empty() && table::split(comment, shape_.dialect.separator, cells) &&
             cells.size() == shape_.columns && cells.size() > 1) {
    header_line_ = comment_line;
  } else {
    cells.clear();
  }
  const auto text_of = [&](std::string_view cell) {
    return header_is_latin1_ ? from_latin1(cell) : std::string(cell);
  };
  header_is_latin1_ =
      std::ranges::any_of(cells, [](std::string_view cell) { return !is_utf8(std::string(cell)); });
  for (const std::string_view cell : cells) headings_.push_back(table::heading_of(text_of(cell)));
  const std::size_t row = shape_.has_header ? 1 : 0;
  data_at_ = at[row];
  data_line_ = number[row];
  return first[row];
}

void TableRecording::choose_times(const Foreign& how, const std::string& first_row) {
  using enum NotLeftOpen::Given;
  std::vector<std::string_view> cells;
  table::split(first_row, shape_.dialect.separator, cells);
  const std::optional<table::CellDate> date = table::date(cells[0]);
  const std::string name = headings_.empty() ? "" : headings_[0].name;
  if (how.rate) {
    if (date || table::is_time_name(name))
      throw Error(
          fmt::format("{}: its first column holds times ('{}'), and a rate is given: leave it out",
                      path, shown(date ? cells[0] : std::string_view(name))));
    require_left_open(path, how, {rate, names, unit, separator, decimal},
                      "has no times beside a rate that is given");
    return;
  }
  if (shape_.columns == 1)
    throw LeftOpen(
        LeftOpen::Needed::rate,
        fmt::format(
            "{}: has one column, and tables begin with their times: give the rate of the samples",
            path));
  if (date) {
    require_left_open(path, how, {names, unit, separator, decimal}, "its times are dates");
    times_ = Times::dates;
    utc_ = date->utc;
    origin_fs_ =
        date->time.fs - ((date->time.fs % table::fs_per_s) + table::fs_per_s) % table::fs_per_s;
    return;
  }
  times_ = Times::plain;
  const table::TimeUnit told =
      headings_.empty() ? table::TimeUnit{} : table::time_unit_of(headings_[0]);
  if (told.seconds > 0.0) {
    require_left_open(path, how, {names, unit, separator, decimal},
                      "its header says the unit of its times");
    time_unit_s_ = told.seconds;
  } else if (told.is_said && !how.time_unit_s) {
    throw LeftOpen(
        LeftOpen::Needed::time_unit,
        fmt::format(
            "{}: line {}: the unit of times in '{}' is not understood; allowed are s, ms, us, "
            "ns, min, h, d and their names, as in 'time [ms]'; give the unit of its times, "
            "or the rate if its first column holds samples",
            path, header_line_, shown(headings_[0].text)));
  } else {
    time_unit_s_ = how.time_unit_s.value_or(1.0);
  }
  try {
    time_unit_ = decimal_fraction(time_unit_s_);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: the unit of its times: {}", path, error.what()));
  }
}

void TableRecording::name_channels(const Foreign& how, StreamInfo& info) {
  const std::size_t times = times_ == Times::none ? 0 : 1;
  const std::size_t channels = shape_.columns - times;
  const std::vector<ChannelInfo> plain = plain_channels(path, how, channels, SampleType::float64);
  Names names;
  bool all_say_their_unit = true;
  for (std::size_t c = 0; c < channels; ++c) {
    ChannelInfo channel = plain[c];
    all_say_their_unit &= !headings_.empty() && !headings_[c + times].unit.empty();
    if (!headings_.empty()) {
      const table::Heading& heading = headings_[c + times];
      if (how.names.empty()) channel.name = heading.name;
      if (!heading.unit.empty() &&
          std::ranges::none_of(heading.unit, [](unsigned char u) { return u < 0x20 || u == 0x7F; }))
        channel.unit = heading.unit;
    }
    if (how.names.empty()) {
      std::string name = names.storable(channel.name, c);
      if (name != channel.name)
        remarks.push_back(fmt::format("{}: column {} is named '{}', not '{}'", path, c + times + 1,
                                      name, shown(channel.name)));
      channel.name = std::move(name);
    }
    info.channels.push_back(std::move(channel));
  }
  using Given = NotLeftOpen::Given;
  if (all_say_their_unit)
    require_left_open(
        path, how, {Given::rate, Given::names, Given::separator, Given::decimal, Given::time_unit},
        "its header says the unit of each channel");
}

CellTime TableRecording::parse_time(std::string_view cell, std::uint64_t line) const {
  CellTime time;
  if (times_ == Times::dates) {
    const std::optional<table::CellDate> date = table::date(cell);
    if (!date)
      fail(line, fmt::format("'{}' is no date as the first one is; needed are those of ISO 8601, "
                             "2026-05-04T10:44:18.529Z",
                             shown(cell)));
    if (date->utc != utc_)
      fail(line, fmt::format("'{}' has {} zone, other than the first date", shown(cell),
                             date->utc ? "a" : "no"));
    time = date->time;
    time.fs -= origin_fs_;
  } else {
    const std::optional<CellTime> plain =
        table::plain_time(cell, shape_.dialect.decimal, time_unit_);
    if (const std::string meaning = plain ? "" : table::likely_meaning(cell); !meaning.empty())
      fail(line, fmt::format("'{}' in column 1{}", shown(cell), meaning));
    if (!plain)
      fail(line, fmt::format("'{}' in column 1 is no time with decimal '{}'", shown(cell),
                             shape_.dialect.decimal));
    time = *plain;
  }
  if (time.fs > most_fs || time.fs < -most_fs)
    fail(line, fmt::format("'{}' is more than 146 years from the origin", shown(cell)));
  time.unit_fs = std::min(time.unit_fs, most_fs);
  return time;
}

void TableRecording::parse(std::string_view text, std::uint64_t line, Row& row) const {
  if (!table::split(text, shape_.dialect.separator, row.cells))
    fail(line, "a quote has no end on its line, or something behind it");
  if (row.cells.size() != shape_.columns)
    fail(line, fmt::format("{} columns; the others have {}", row.cells.size(), shape_.columns));
  const std::size_t times = times_ == Times::none ? 0 : 1;
  if (times > 0) row.time = parse_time(row.cells[0], line);
  row.values.resize(shape_.columns - times);
  for (std::size_t c = times; c < shape_.columns; ++c) {
    const std::optional<double> value = table::number(row.cells[c], shape_.dialect.decimal);
    if (const std::string meaning = value ? "" : table::likely_meaning(row.cells[c]);
        !meaning.empty())
      fail(line, fmt::format("'{}' in column {}{}", shown(row.cells[c]), c + 1, meaning));
    if (!value)
      fail(line, fmt::format("'{}' in column {} is no number with decimal '{}'",
                             shown(row.cells[c]), c + 1, shape_.dialect.decimal));
    row.values[c - times] = *value;
  }
}

// Returns how many rows there are.
std::uint64_t TableRecording::read_all(std::uint64_t block_rows) {
  Lines lines(file_, data_at_);
  Line line;
  Row row;
  std::uint64_t rows = 0, empty_line = 0;
  for (std::uint64_t number = data_line_; lines.next(line); ++number) {
    if (table::trimmed(line.text).empty()) {
      if (empty_line == 0) empty_line = number;
      continue;
    }
    // Nothing may come behind empty lines.
    if (empty_line > 0) fail(empty_line, "is empty");
    try {
      parse(line.text, number, row);
    } catch (const Error& error) {
      if (line.ended || rows == 0) throw;
      remarks.push_back(
          fmt::format("{}: the last line, of {} bytes, has no end and was left out: {}", path,
                      line.text.size(), error.what()));
      break;
    }
    if (rows % block_rows == 0) blocks_.push_back(line.at);
    if (times_ != Times::none) note(row, number, rows);
    ++rows;
  }
  return rows;
}

void TableRecording::note(const Row& row, std::uint64_t line, std::uint64_t rows) {
  const Wide time = row.time.fs;
  try {
    found_.segments.add(Time(static_cast<std::int64_t>(table::rounded_ns(time))));
  } catch (const Error& error) {
    fail(line, error.what());
  }
  found_.coarsest_unit = std::max(found_.coarsest_unit, row.time.unit_fs);
  found_.least_unit = rows == 0 ? row.time.unit_fs : std::min(found_.least_unit, row.time.unit_fs);
  if (!row.time.scientific)
    found_.finest_unit =
        found_.finest_unit == 0 ? row.time.unit_fs : std::min(found_.finest_unit, row.time.unit_fs);
  if (rows == 0) {
    found_.first = found_.last = time;
    return;
  }
  const Wide step = time - found_.last;
  if (step <= 0 && ++found_.late == 1) found_.first_late_line = line;
  found_.least_step = rows == 1 ? step : std::min(found_.least_step, step);
  found_.greatest_step = rows == 1 ? step : std::max(found_.greatest_step, step);
  found_.last = time;
}

// That the first column is likely to be what it is taken for.
void TableRecording::check_times(std::uint64_t rows) const {
  const bool named = !headings_.empty() && table::is_time_name(headings_[0].name);
  if (times_ == Times::dates || named || found_.late <= rows / 10) return;
  throw LeftOpen(
      LeftOpen::Needed::rate,
      fmt::format("{}: line {}: its first column does not rise, here and in {} other lines, so it "
                  "can't be times; name it time if it is, or give a rate if it holds samples",
                  path, found_.first_late_line, found_.late - 1));
}

// Whether some step may be two, with a row between that is missing. With a period of little more
// than a unit of the last digit such times may well be those of a regular stream of a longer
// period, rounded: nobody can tell. Two equal steps of a regular stream are written as steps that
// differ by a unit at most, or by two where halves are rounded up in here and down there.
bool TableRecording::may_miss_rows() const {
  // Units of less than a femtosecond are rounded themselves.
  const Wide unit = found_.least_unit, half = unit / 2;
  const Wide least = found_.least_step, greatest = found_.greatest_step;
  return greatest + half >= 2 * least ||
         (greatest - least > unit + half && greatest + half >= 2 * (least - unit));
}

// Of a stream whose times are those of the table to within their last digit.
std::optional<Rate> TableRecording::find_rate(std::uint64_t rows) const {
  if (rows < 3 || found_.late > 0) return std::nullopt;
  if (found_.least_step == found_.greatest_step) {
    Wide divisor = table::fs_per_s;  // the greatest one of a second and the step
    for (Wide rest = found_.least_step; rest != 0;) divisor = std::exchange(rest, divisor % rest);
    const Wide seconds = found_.least_step / divisor;
    if (seconds > INT64_MAX) return std::nullopt;
    return Rate(static_cast<std::int64_t>(table::fs_per_s / divisor),
                static_cast<std::int64_t>(seconds));
  }
  if (found_.greatest_step - found_.least_step > 2 * found_.coarsest_unit || may_miss_rows())
    return std::nullopt;
  // Nearly equal: whether they are depends on all of them together.
  table::Spacing spacing;
  Lines lines(file_, data_at_);
  Line line;
  Row row;
  for (std::uint64_t i = 0; i < rows && spacing.fits() && lines.next(line); ++i) {
    parse(line.text, data_line_ + i, row);
    spacing.add(row.time.fs - found_.first,
                row.time.scientific ? row.time.unit_fs : found_.finest_unit);
  }
  return spacing.rate();
}

void TableRecording::tell(const StreamInfo& info) {
  const auto& [separator, decimal] = shape_.dialect;
  std::string text =
      separator == 0 ? std::string("one column")
      : separator == '\t'
          ? fmt::format("{} columns separated by tabs", shape_.columns)
          : fmt::format("{} columns separated by '{}'", shape_.columns, shown({&separator, 1}));
  text += fmt::format(", decimal '{}', ", decimal);
  text += headings_.empty()
              ? std::string("no names")
              : fmt::format("names from line {}{}", header_line_,
                            header_is_latin1_ ? ", which is taken as ISO 8859-1" : "");
  if (times_ == Times::none) {
    text += ", no times";
  } else {
    text += times_ == Times::plain
                ? fmt::format(", times in column 1 in units of {} s", time_unit_s_)
            : utc_ ? std::string(", dates in column 1")
                   : std::string(", dates without a zone in column 1, taken as local time");
    const auto seconds = [](Wide fs) {
      return static_cast<double>(fs) / static_cast<double>(table::fs_per_s);
    };
    text += info.rate ? fmt::format(", equally spaced to their last digit at {} Hz",
                                    info.rate->hertz().value)
                      : std::string(", not equally spaced");
    if (!info.rate && found_.least_step != found_.greatest_step)
      text += fmt::format(": steps of {} s to {} s", seconds(found_.least_step),
                          seconds(found_.greatest_step));
  }
  if (found_.late > 0)
    text += fmt::format("; {} times are not later than the one before, first on line {}",
                        found_.late, found_.first_late_line);
  remarks.insert(remarks.begin(), fmt::format("{}: read as a table: {}", path, text));
}

void TableRecording::make(std::size_t stream, std::uint64_t row, std::uint64_t count,
                          Columns& to) const {
  const StreamInfo& info = streams[stream].info;
  Lines lines(file_, blocks_[row / block_rows(stream)]);
  Line line;
  Row parsed;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!lines.next(line))
      throw Error(fmt::format("{}: ends before line {}: it was changed meanwhile", path,
                              data_line_ + row + i));
    parse(line.text, data_line_ + row + i, parsed);
    for (std::size_t c = 0; c < parsed.values.size(); ++c)
      std::memcpy(to[value_column(c)].data() + i * sizeof(double), &parsed.values[c],
                  sizeof(double));
    if (info.rate) continue;
    const auto ns = static_cast<std::int64_t>(table::rounded_ns(parsed.time.fs));
    std::memcpy(to[time_column(info)].data() + i * sizeof ns, &ns, sizeof ns);
  }
  for (std::size_t c = 0; c < info.channels.size(); ++c)
    flag_nan(SampleType::float64, to[value_column(c)], to[quality_column(c)]);
  if (!info.rate) flag_late(stream, row, to);
}

}  // namespace

bool is_table(std::string_view front) {
  return !front.empty() && std::ranges::all_of(front, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7F) || c == '\t' || c == '\r' || c == '\n';
  });
}

std::unique_ptr<RecordingBackend> open_table(const std::string& path, const Foreign& how,
                                             FileCalls& calls) {
  return std::make_unique<TableRecording>(path, how, calls);
}

}  // namespace spillway
