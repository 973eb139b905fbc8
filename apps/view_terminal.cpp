#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>

#include "axis.hpp"
#include "plot.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "text.hpp"
#include "view.hpp"

namespace spillway::apps {

namespace {

constexpr std::size_t most_plots = 8;  // unless channels were chosen

struct Terminal {
  std::size_t columns = 80;
  bool coloured = false;
};

Terminal terminal_of(const ViewArguments& arguments) {
  Terminal terminal;
  const bool is_terminal = ::isatty(STDOUT_FILENO) == 1;
  const auto variable = [](const char* name) -> std::string {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  // NO_COLOR counts if it is set to anything, see no-color.org.
  terminal.coloured = is_terminal && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
  winsize window{};
  const long given = std::strtol(variable("COLUMNS").c_str(), nullptr, 10);
  if (arguments.columns)
    terminal.columns = *arguments.columns;
  else if (given >= 20 && given <= 20000)
    terminal.columns = static_cast<std::size_t>(given);
  else if (is_terminal && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col >= 20)
    terminal.columns = window.ws_col;
  return terminal;
}

const char* colour_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::good: return "";
    case Verdict::interpolated: return "\x1b[34m";
    case Verdict::suspect: return "\x1b[33m";
    case Verdict::bad: return "\x1b[31m";
  }
  return "";
}

char mark_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::good: return ' ';
    case Verdict::interpolated: return 'i';
    case Verdict::suspect: return 's';
    case Verdict::bad: return 'b';
  }
  return ' ';
}

constexpr char gap_mark = '-';

std::string padded(const std::string& text, std::size_t width, bool right = false) {
  const std::size_t used = columns_of(text);
  const std::string space(width > used ? width - used : 0, ' ');
  return right ? space + text : text + space;
}

// The front of the text, in so many columns.
std::string cut(const std::string& text, std::size_t width) {
  if (columns_of(text) <= width) return text;
  std::string front;
  for (std::size_t end = 1; end <= text.size(); ++end) {
    if (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) continue;
    const std::string candidate = text.substr(0, end);
    if (columns_of(candidate) + 1 > width) break;
    front = candidate;
  }
  return front + "…";
}

Quality worst_of(const View& view, std::size_t stream, const RowRange& rows) {
  const RecordedStream& s = view.recording->streams()[stream];
  std::array<bool, 256> seen{};
  std::vector<Quality> block(std::size_t{1} << 16);
  for (std::size_t c = 0; c < s.info.channels.size(); ++c)
    for (std::uint64_t row = rows.begin; row < rows.end; row += block.size()) {
      const std::span<Quality> part =
          std::span(block).first(std::min<std::uint64_t>(block.size(), rows.end - row));
      view.recording->read_quality(stream, c, row, part);
      for (const Quality q : part) seen[q.byte()] = true;
    }
  Quality worst;
  for (std::size_t byte = 0; byte < seen.size(); ++byte)
    if (seen[byte]) worst = merge(worst, Quality::from_byte(static_cast<std::uint8_t>(byte)));
  return worst;
}

// The unit of all channels, or that they differ.
std::string units_of(const View& view, const ShownStream& shown) {
  std::string unit;
  for (const std::size_t c : shown.channels) {
    const std::string other = unit_of(view, shown, c);
    if (!unit.empty() && other != unit) return "mixed";
    unit = other;
  }
  return readable(unit);
}

void print_heading(const Recording& recording) {
  tell(stdout, "{}{}{}\n", readable(recording.path()), recording.title().empty() ? "" : ": ",
       readable(recording.title()));
  const std::string status = recording.status() == "recording"
                                 ? "not finished: growing, or its recorder died"
                                 : readable(recording.status());
  tell(stdout, "{}{}{}{}{}\n", status, recording.start_time().empty() ? "" : ", started ",
       recording.start_time(), recording.end_time().empty() ? "" : ", ended ",
       recording.end_time());
  for (const std::string& remark : recording.remarks())
    tell(stdout, "note: {}\n", readable(remark));
}

// Whether all of it could be read.
bool print_overview(const View& view, const Terminal& terminal) {
  bool all_read = true;
  const auto worst_quality = [&](const ShownStream& shown) -> std::string {
    if (shown.rows.count() == 0) return "no samples";
    try {
      return to_string(worst_of(view, shown.index, shown.rows));
    } catch (const Error&) {
      all_read = false;
      return "can't be read";
    }
  };
  std::vector<std::vector<std::string>> table{{"STREAM", "CHANNELS", "UNIT", "RATE", "DURATION",
                                               "ROWS", "GAPS", "LOST", "MISSING", "WORST"}};
  for (const ShownStream& shown : view.streams) {
    const RecordedStream& s = recorded(view, shown);
    std::uint64_t lost = 0;
    std::uint64_t missing = 0;
    for (const ShownGap& gap : shown.gaps) {
      lost += gap.gap.lost;
      missing += gap.gap.missing;
    }
    table.push_back({cut(readable(s.info.name), 24), std::to_string(s.info.channels.size()),
                     cut(units_of(view, shown), 12),
                     s.info.rate ? hertz(s.info.rate->hertz().value) : "irregular",
                     duration_of(shown), human_count(shown.rows.count()),
                     human_count(shown.gaps.size()), human_count(lost), human_count(missing),
                     worst_quality(shown)});
  }
  std::vector<std::size_t> widths(table[0].size(), 0);
  for (const auto& line : table)
    for (std::size_t c = 0; c < line.size(); ++c)
      widths[c] = std::max(widths[c], columns_of(line[c]));
  const auto is_number = [](std::size_t c) { return c == 1 || (c >= 3 && c <= 8); };
  std::size_t used = 0;
  for (std::size_t c = 0; c + 1 < widths.size(); ++c) used += widths[c] + 2;
  if (terminal.columns >= used + 10) {
    for (const auto& line : table) {
      std::string text;
      for (std::size_t c = 0; c + 1 < line.size(); ++c)
        text += padded(line[c], widths[c], is_number(c)) + "  ";
      tell(stdout, "{}\n", text + cut(line.back(), terminal.columns - used));
    }
    return all_read;
  }
  // Too narrow for a table.
  for (std::size_t i = 1; i < table.size(); ++i) {
    const auto& line = table[i];
    tell(stdout,
         "{}: {} channel{}, {}, {}, {}\n  {} row{}, {} gap{}, {} lost, {} missing; worst: {}\n",
         line[0], line[1], line[1] == "1" ? "" : "s", line[2], line[3], line[4], line[5],
         line[5] == "1" ? "" : "s", line[6], line[6] == "1" ? "" : "s", line[7], line[8], line[9]);
  }
  return all_read;
}

// What is drawn in each column of dots: extremes, and lines to where the signal goes on.
std::vector<Extremes> drawn_columns(const ViewChannel& channel) {
  std::vector<Extremes> drawn;
  for (const ViewColumn& c : channel.columns) drawn.push_back({c.low, c.high});
  const auto extend = [&](std::size_t at, double v) {
    Extremes& e = drawn[at];
    e.low = std::isnan(e.low) ? v : std::min(e.low, v);
    e.high = std::isnan(e.high) ? v : std::max(e.high, v);
  };
  // From each sample to the next one.
  for (std::size_t i = 1; i < channel.points.size(); ++i) {
    const ViewPoint& a = channel.points[i - 1];
    const ViewPoint& b = channel.points[i];
    if (b.begins || !(b.at > a.at) || !std::isfinite(a.value) || !std::isfinite(b.value)) continue;
    const auto value_at = [&](double x) {
      return a.value + (b.value - a.value) * (x - a.at) / (b.at - a.at);
    };
    const auto last = std::min(static_cast<std::size_t>(std::max(b.at, 0.0)), drawn.size() - 1);
    for (auto c = static_cast<std::size_t>(std::max(a.at, 0.0)); c <= last; ++c) {
      const auto left = static_cast<double>(c);
      extend(c, value_at(std::max(a.at, left)));
      extend(c, value_at(std::min(b.at, left + 1.0)));
    }
  }
  return drawn;
}

// Marks below a plot, one of each kind a character.
struct Mark {
  Verdict verdict = Verdict::good;
  bool gap = false;
};

std::vector<Mark> marks_of(const ViewChannel& channel, const ShownStream& shown) {
  std::vector<Mark> marks((channel.columns.size() + 1) / 2);
  for (std::size_t c = 0; c < channel.columns.size(); ++c)
    marks[c / 2].verdict = std::max(marks[c / 2].verdict, channel.columns[c].quality.verdict());
  for (const ShownGap& gap : shown.gaps) {
    const ColumnRange range = columns_of(gap, shown.begin, shown.end, channel.columns.size());
    for (std::size_t c = range.first; c <= range.last; ++c) marks[c / 2].gap = true;
  }
  return marks;
}

// Labels below a line, each under its tick, as many as there is room for.
std::string labels_below(const std::vector<std::pair<std::size_t, std::string>>& labels,
                         std::size_t width) {
  std::string line;
  std::size_t used = 0;
  for (const auto& [at, label] : labels) {
    const std::size_t size = columns_of(label);
    const std::size_t begin =
        std::min(at > size / 2 ? at - size / 2 : 0, width > size ? width - size : 0);
    if (used > 0 && begin < used + 1) continue;
    line += std::string(begin - used, ' ') + label;
    used = begin + size;
  }
  return line;
}

// Throws Error, before it prints anything, if the channel can't be read.
void print_plot(const View& view, const ShownStream& shown, std::size_t channel,
                const Terminal& terminal, std::size_t height) {
  const RecordedStream& s = recorded(view, shown);
  const std::string name = readable(s.info.name) + "/" + readable(s.info.channels[channel].name);
  const std::string unit = readable(unit_of(view, shown, channel));
  const auto print_title = [&](const std::string& facts) {
    tell(stdout, "\n{}\n", cut(fmt::format("{}, {}: {}", name, unit, facts), terminal.columns));
  };
  if (shown.rows.count() == 0) {
    print_title(shown.gaps.empty()
                    ? "no samples"
                    : fmt::format("no samples, {}", cause_of(shown.gaps.front().gap)));
    return;
  }
  // The labels decide how wide the plot is, and they are known only after reading.
  constexpr std::size_t label_width = 9;
  const std::size_t width =
      terminal.columns > label_width + 12 ? terminal.columns - label_width - 2 : 10;
  const ViewChannel data = columns_of(view, shown, channel, shown.begin, shown.end, width * 2);
  // So many that they differ.
  const double size = std::max(std::abs(data.low), std::abs(data.high));
  const int digits =
      data.high > data.low
          ? std::clamp(static_cast<int>(std::ceil(std::log10(size / (data.high - data.low)))) + 3,
                       6, 17)
          : 6;
  std::string facts;
  if (data.values == 0)
    facts = "no values, all missing or NaN";
  else if (std::isnan(data.low))
    facts = "infinite throughout";
  else if (data.low == data.high)
    facts = fmt::format("{:.6g} throughout", data.low);
  else
    facts = fmt::format("{0:.{2}g} to {1:.{2}g}", data.low, data.high, digits);
  if (data.mean && data.low != data.high)
    facts += fmt::format(", mean {:.{}g}", *data.mean, digits);
  if (data.infinite && !std::isnan(data.low)) facts += ", and infinite";
  if (!data.quality.is_good()) facts += "; worst: " + to_string(data.quality);
  print_title(facts);

  const bool anything = data.values > 0;
  const ValueRange range =
      std::isnan(data.low) ? drawn_range(0.0, 0.0) : drawn_range(data.low, data.high);
  const Axis axis = value_axis(range.low, range.high, std::max<std::size_t>(height / 2 + 1, 2));
  const std::size_t rows = anything ? height : 1;
  const std::vector<Extremes> drawn = drawn_columns(data);
  const std::vector<std::uint8_t> cells = dots_of(drawn, range.low, range.high, rows);
  std::vector<std::string> labels(rows);
  if (!std::isnan(data.low))
    for (const Tick& tick : axis.ticks) {
      const auto dot = std::lround((range.high - tick.at) / (range.high - range.low) *
                                   static_cast<double>(rows * 4 - 1));
      labels[std::min(static_cast<std::size_t>(std::max(dot, 0L)) / 4, rows - 1)] = tick.label;
    }
  if (!axis.note.empty() && !std::isnan(data.low))
    tell(stdout, "{} values {}\n", std::string(label_width, ' '), axis.note);
  const std::vector<Mark> marks = marks_of(data, shown);
  for (std::size_t row = 0; row < rows; ++row) {
    std::string line = fmt::format("{} {}", padded(labels[row], label_width, true),
                                   labels[row].empty() ? "│" : "┤");
    Verdict colour = Verdict::good;
    for (std::size_t x = 0; x < width; ++x) {
      const std::uint8_t dots = cells[row * width + x];
      if (terminal.coloured && dots != 0 && marks[x].verdict != colour) {
        if (colour != Verdict::good) line += "\x1b[0m";
        line += colour_of(colour = marks[x].verdict);
      }
      line += dots == 0 ? " " : braille(dots);
    }
    if (colour != Verdict::good) line += "\x1b[0m";
    while (line.ends_with(' ')) line.pop_back();
    tell(stdout, "{}\n", line);
  }

  // The time axis, the calendar at its ends, and what is to be known about the samples.
  const double begin_s = static_cast<double>(shown.begin.count()) / 1e9;
  const double end_s =
      static_cast<double>(std::max(shown.end, shown.begin + Time(1)).count()) / 1e9;
  const Axis time =
      time_axis(s.info.origin, shown.begin, shown.end, std::max<std::size_t>(width / 12, 2));
  std::string ruler;
  std::map<std::size_t, std::string> at;
  for (const Tick& tick : time.ticks)
    at[std::min(static_cast<std::size_t>((tick.at - begin_s) / (end_s - begin_s) *
                                         static_cast<double>(width)),
                width - 1)] = tick.label;
  for (std::size_t x = 0; x < width; ++x) ruler += at.contains(x) ? "┬" : "─";
  const std::string indent(label_width + 2, ' ');
  tell(stdout, "{} └{}\n", std::string(label_width, ' '), ruler);
  const std::string time_unit = " " + time.note;
  tell(stdout, "{}{}{}\n", indent,
       labels_below({at.begin(), at.end()}, width - std::min(width, columns_of(time_unit))),
       time_unit);
  const Time resolution((shown.end - shown.begin).count() / static_cast<std::int64_t>(width));
  const std::string from = calendar(s.info.origin, shown.begin, resolution);
  const std::string to = calendar(s.info.origin, shown.end, resolution) + zone_of(s.info.origin);
  if (!from.empty() && from.size() + to.size() + 2 <= width)
    tell(stdout, "{}{}{}\n", indent, from, padded(to, width - from.size(), true));

  // Gaps have a line of their own: behind each of them there are often samples to be marked, too
  // close to it to stand beside it.
  std::string gaps;
  std::string quality;
  std::array<bool, 4> any{};
  for (const Mark& mark : marks) {
    gaps += mark.gap ? gap_mark : ' ';
    any[static_cast<std::size_t>(mark.verdict)] = true;
    const char c = mark_of(mark.verdict);
    if (terminal.coloured && mark.verdict != Verdict::good)
      quality += fmt::format("{}{}\x1b[0m", colour_of(mark.verdict), c);
    else
      quality += c;
  }
  for (std::string* const line : {&gaps, &quality}) {
    while (line->ends_with(' ')) line->pop_back();
    if (!line->empty()) tell(stdout, "{}{}\n", indent, *line);
  }
  std::string legend;
  const auto add = [&](bool is_there, char mark, const char* word) {
    if (is_there) legend += fmt::format("{}{} {}", legend.empty() ? "" : "  ", mark, word);
  };
  add(!gaps.empty(), gap_mark, "gap");
  add(any[1], 'i', "interpolated");
  add(any[2], 's', "suspect");
  add(any[3], 'b', "bad");
  if (!legend.empty()) tell(stdout, "{}{}\n", indent, legend);
}

// Which channels are plotted: all that were chosen, else some of each stream.
std::vector<std::pair<const ShownStream*, std::size_t>> plotted(const View& view) {
  std::vector<std::pair<const ShownStream*, std::size_t>> list;
  std::size_t room = most_plots;
  std::size_t streams_left = view.streams.size();
  for (const ShownStream& shown : view.streams) {
    const std::size_t share =
        view.chosen ? shown.channels.size()
                    : std::min(shown.channels.size(), (room + streams_left - 1) / streams_left);
    for (std::size_t i = 0; i < share; ++i) list.emplace_back(&shown, shown.channels[i]);
    room -= std::min(room, share);
    --streams_left;
  }
  return list;
}

}  // namespace

void view_in_terminal(const View& view, const ViewArguments& arguments) {
  const Terminal terminal = terminal_of(arguments);
  print_heading(*view.recording);
  bool all_read = print_overview(view, terminal);
  const auto list = plotted(view);
  for (const auto& [shown, channel] : list) {
    try {
      print_plot(view, *shown, channel, terminal, arguments.height.value_or(8));
    } catch (const Error& error) {
      // The others are shown.
      all_read = false;
      const StreamInfo& info = recorded(view, *shown).info;
      tell(stdout, "\n{}/{} can't be read: {}\n", readable(info.name),
           readable(info.channels[channel].name), readable(error.what()));
    }
  }
  std::size_t all = 0;
  for (const ShownStream& shown : view.streams) all += shown.channels.size();
  if (list.size() < all) {
    tell(stdout,
         "\n{} of {} channels are plotted. Others: --channels, by the names of streams, channels "
         "or\n"
         "stream/channel; all in a browser: --html. 'spillway info' lists them.\n",
         list.size(), all);
  }
  if (!all_read) fail_not_all_read(*view.recording);
}

}  // namespace spillway::apps
