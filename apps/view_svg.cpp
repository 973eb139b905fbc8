#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "axis.hpp"
#include "new_file.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "text.hpp"
#include "view.hpp"

namespace spillway::apps {

namespace {

constexpr std::size_t most_panels = 24;  // unless channels were chosen
constexpr double left = 84.0;
constexpr double right = 24.0;
constexpr double narrowest = 2.0;  // of a band: what is narrower is not seen
constexpr double strip = 5.0;      // of quality, at the bottom of a panel

std::string attribute(double value) { return fmt::format("{:.1f}", value); }

class Drawing {
 public:
  Drawing(const View& view, const ViewArguments& arguments)
      : view_(&view),
        width_(std::max(static_cast<double>(arguments.columns.value_or(960)), 320.0)),
        panel_(std::max(static_cast<double>(arguments.height.value_or(120)), 24.0)),
        columns_(static_cast<std::size_t>(width_ - left - right)),
        time_(shared_time(view)),
        begin_(time_.begin),
        end_(time_.end) {
    for (const ShownStream& shown : view.streams) channels_ += shown.channels.size();
    heading();
    panels();
    time_axis_below();
    legend();
  }

  [[nodiscard]] std::string svg() const {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" height=\"{1:.0f}\" role=\"img\">\n<title>{2}</title>\n"
        "<style>\n"
        "svg {{ background: #fff; font: 12px system-ui, sans-serif; }} text {{ fill: #1b1f24; }}\n"
        ".title {{ font-size: 17px; font-weight: 600; }} .label {{ font-weight: 600; }}\n"
        ".facts, .tick {{ fill: #57606a; }} .grid {{ stroke: #e6eaef; }} "
        ".axis {{ stroke: #57606a; fill: none; }}\n"
        ".curve {{ fill: none; stroke: #0072b2; stroke-width: 1.2; stroke-linejoin: round; }}\n"
        ".envelope {{ fill: #0072b2; stroke: #0072b2; stroke-width: 0.8; stroke-linejoin: round; "
        "}}\n"
        ".dot {{ fill: #0072b2; }}\n"
        ".gap {{ fill: url(#hatch); }} .interpolated {{ fill: #56b4e9; }} .suspect {{ fill: "
        "#e69f00; }} .bad {{ fill: #c4281c; }}\n"
        ".tint {{ opacity: 0.12; }}\n"
        "</style>\n"
        "<defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
        "patternTransform=\"rotate(45)\"><rect width=\"6\" height=\"6\" fill=\"#eceff2\"/>"
        "<rect width=\"2\" height=\"6\" fill=\"#b4bcc6\"/></pattern></defs>\n{3}</svg>\n",
        width_, y_ + 8.0, escaped(heading_of(*view_->recording)), body_);
  }

  [[nodiscard]] std::size_t drawn() const noexcept { return drawn_; }
  [[nodiscard]] std::size_t channels() const noexcept { return channels_; }
  [[nodiscard]] bool all_read() const noexcept { return all_read_; }

 private:
  void text(double x, double y, const char* style, const char* anchor, const std::string& what) {
    body_ += fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>\n",
                         style, attribute(x), attribute(y), anchor, escaped(what));
  }
  void line(const char* style, double x1, double y1, double x2, double y2) {
    body_ += fmt::format("<line class=\"{}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>\n", style,
                         attribute(x1), attribute(y1), attribute(x2), attribute(y2));
  }
  void box(const std::string& style, double x, double y, double width, double height,
           const std::string& tip = {}) {
    body_ += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"", style,
                         attribute(x), attribute(y), attribute(width), attribute(height));
    body_ += tip.empty() ? "/>\n" : fmt::format("><title>{}</title></rect>\n", escaped(tip));
  }

  [[nodiscard]] double x_at(double seconds) const {
    const double begin_s = static_cast<double>(begin_.count()) / 1e9;
    const double end_s = static_cast<double>(end_.count()) / 1e9;
    return left + (seconds - begin_s) / (end_s - begin_s) * static_cast<double>(columns_);
  }

  void heading() {
    const Recording& recording = *view_->recording;
    y_ = 32.0;
    text(left, y_, "title", "start",
         shortened(readable(heading_of(recording)), 17.0 * 1.1, width_ - left - right));
    y_ += 20.0;
    std::string facts = calendar(time_.origin, begin_, (end_ - begin_) / 1000);
    if (!facts.empty()) facts = "begins " + facts + zone_of(time_.origin) + " · ";
    facts += fmt::format("{} · {}", length_of(time_),
                         recording.status() == "recording" ? "not finished" : recording.status());
    if (!recording.start_time().empty()) facts += " · recorded " + recording.start_time();
    facts += named_if_titled(recording);
    text(left, y_, "facts", "start", shortened(readable(facts), 12.0, width_ - left - right));
    const std::vector<std::string>& remarks = recording.remarks();
    const auto note = [&](const std::string& what) {
      y_ += 16.0;
      text(left, y_, "facts", "start", shortened(readable(what), 12.0, width_ - left - right));
    };
    constexpr std::size_t most_remarks = 5;
    for (std::size_t i = 0; i < std::min(remarks.size(), most_remarks); ++i)
      note("note: " + without_directory(remarks[i], recording));
    if (remarks.size() > most_remarks)
      note(
          fmt::format("... and {} notes more, see 'spillway info'", remarks.size() - most_remarks));
  }

  void panels() {
    std::size_t room = view_->chosen ? channels_ : most_panels;
    std::size_t streams_left = view_->streams.size();
    for (std::size_t i = 0; i < view_->streams.size(); ++i, --streams_left) {
      const ShownStream& shown = view_->streams[i];
      const std::size_t share =
          std::min(shown.channels.size(), (room + streams_left - 1) / streams_left);
      for (std::size_t c = 0; c < share; ++c) panel(i, shown.channels[c]);
      room -= share;
    }
    if (drawn_ < channels_) {
      y_ += 24.0;
      text(left, y_, "facts", "start",
           fmt::format("{} of {} channels are drawn", drawn_, channels_));
    }
  }

  void panel(std::size_t i, std::size_t channel) {
    const ShownStream& shown = view_->streams[i];
    const RecordedStream& s = recorded(*view_, shown);
    const double top = y_ + 34.0;
    const double bottom = top + panel_;
    const auto plot_width = static_cast<double>(columns_);
    const Time begin = begin_ - time_.shifts[i];
    const Time end = end_ - time_.shifts[i];
    UnreadableRows unreadable;
    const ViewChannel data = columns_of(*view_, shown, channel, begin, end, columns_, &unreadable);
    ++drawn_;

    const ValueRange range =
        std::isnan(data.low) ? drawn_range(0.0, 0.0) : drawn_range(data.low, data.high);
    // A curve at the very edge is hard to see.
    const double margin = (range.high - range.low) * 0.04;
    const double low = range.low - margin;
    const double high = range.high + margin;
    const auto y_at = [&](double v) {
      return bottom - strip - (std::clamp(v, low, high) - low) / (high - low) * (panel_ - strip);
    };
    const Axis axis =
        value_axis(low, high, std::max<std::size_t>(static_cast<std::size_t>(panel_ / 24.0), 2));
    for (const ShownGap& gap : shown.gaps) add_gap(columns_of(gap, begin, end, columns_), gap);
    for (const auto& [first, last, count, cause] : take_gaps())
      box("gap", left + static_cast<double>(first), top,
          std::max(static_cast<double>(last - first + 1), narrowest), panel_,
          fmt::format("{}: {}", cause, human_count(count, "sample")));
    quality(data, top, bottom);
    for (const Tick& tick : time_axis(time_.origin, begin_, end_, time_ticks()).ticks)
      line("grid", x_at(tick.at), top, x_at(tick.at), bottom);
    if (!std::isnan(data.low))
      for (const Tick& tick : axis.ticks) {
        line("grid", left, y_at(tick.at), left + plot_width, y_at(tick.at));
        text(left - 8.0, y_at(tick.at) + 4.0, "tick", "end", tick.label);
      }
    curve(data, y_at);
    body_ += fmt::format("<path class=\"axis\" d=\"M{0} {1}V{2}H{3}\"/>\n", attribute(left),
                         attribute(top), attribute(bottom), attribute(left + plot_width));

    const std::string name = readable(s.info.name) + "/" + readable(s.info.channels[channel].name);
    std::string about;
    const std::string unit = readable(unit_of(*view_, shown, channel));
    if (!unit.empty() && unit != "1") about += ", " + unit;
    if (!axis.note.empty()) about += " (" + axis.note + ")";
    // Unit and scale stay whole: without them values are wrong.
    const std::string label =
        shortened(name, 13.2, plot_width * 0.7 - width_of(about, 13.2)) + about;
    std::string facts = s.info.rate ? hertz(s.info.rate->hertz().value) : "irregular";
    facts += fmt::format(" · {}", human_count(shown.rows.count(), "sample"));
    if (!unreadable.empty()) {
      all_read_ = false;
      facts += " · not all can be read";
    }
    if (data.values == 0) facts += " · no values";
    if (data.infinite) facts += " · some infinite";
    if (!data.quality.is_good()) facts += " · worst: " + to_string(data.quality);
    if (!time_.comparable[i]) facts += " · its own time 0";
    const double room = plot_width - width_of(label, 13.2) - 20.0;
    text(left, top - 7.0, "label", "start", label);
    if (room > 80.0)
      text(left + plot_width, top - 7.0, "facts", "end", shortened(facts, 12.0, room));
    y_ = bottom;
  }

  [[nodiscard]] std::size_t time_ticks() const { return std::max<std::size_t>(columns_ / 90, 2); }

  // Gaps that share a column are one band; a recording may have more of them than pixels.
  struct Band {
    std::size_t first;
    std::size_t last;
    std::uint64_t count;
    std::string cause;
  };
  void add_gap(const ColumnRange& columns, const ShownGap& gap) {
    if (bands_.empty() || columns.first > bands_.back().last) {
      bands_.push_back({columns.first, columns.last, gap.gap.count, cause_of(gap.gap)});
      return;
    }
    Band& band = bands_.back();
    band.last = std::max(band.last, columns.last);
    band.count += gap.gap.count;
    if (band.cause != cause_of(gap.gap)) band.cause = "several gaps";
  }
  std::vector<Band> take_gaps() {
    has_gaps_ = has_gaps_ || !bands_.empty();
    return std::exchange(bands_, {});
  }

  void quality(const ViewChannel& data, double top, double bottom) {
    constexpr std::array<const char*, 4> styles{"", "interpolated", "suspect", "bad"};
    for (std::size_t first = 0; first < columns_;) {
      const Verdict verdict = data.columns[first].quality.verdict();
      std::size_t end = first + 1;
      Quality all = data.columns[first].quality;
      for (; end < columns_ && data.columns[end].quality.verdict() == verdict; ++end)
        all = merge(all, data.columns[end].quality);
      if (verdict != Verdict::good) {
        const std::string style = styles[static_cast<std::size_t>(verdict)];
        const double x = left + static_cast<double>(first);
        const double width = std::max(static_cast<double>(end - first), narrowest);
        box(style + " tint", x, top, width, panel_ - strip);
        box(style, x, bottom - strip, width, strip, to_string(all));
        has_[static_cast<std::size_t>(verdict)] = true;
      }
      first = end;
    }
  }

  template <class YAt>
  void curve(const ViewChannel& data, const YAt& y_at) {
    if (!data.points.empty()) {
      std::string path;
      std::string dots;
      for (std::size_t i = 0; i < data.points.size(); ++i) {
        const ViewPoint& p = data.points[i];
        const auto is_there = [&](std::size_t k) {
          return k < data.points.size() && !std::isnan(data.points[k].value);
        };
        if (!is_there(i)) continue;
        const std::string at = attribute(left + p.at) + " " + attribute(y_at(p.value));
        const bool begins = i == 0 || p.begins || !is_there(i - 1);
        path += (begins ? "M" : "L") + at;
        // Alone it would not be a line.
        if (begins && (!is_there(i + 1) || data.points[i + 1].begins))
          dots += fmt::format("<circle class=\"dot\" cx=\"{}\" cy=\"{}\" r=\"1.6\"/>\n",
                              attribute(left + p.at), attribute(y_at(p.value)));
      }
      body_ += fmt::format("<path class=\"curve\" d=\"{}\"/>\n{}", path, dots);
      return;
    }
    // Between lowest and highest, from the left to the right and back.
    std::string path;
    for (std::size_t first = 0; first < columns_;) {
      if (std::isnan(data.columns[first].low)) {
        ++first;
        continue;
      }
      std::vector<std::size_t> run{first};
      std::size_t next = first + 1;
      for (; next < columns_; ++next) {
        const ViewColumn& c = data.columns[next];
        if (c.begins || (c.any && std::isnan(c.low))) break;
        if (c.any) run.push_back(next);
      }
      const auto x_of = [&](std::size_t c) { return left + static_cast<double>(c) + 0.5; };
      char command = 'M';
      for (const std::size_t c : run) {
        path += fmt::format("{}{} {}", command, attribute(x_of(c)),
                            attribute(y_at(data.columns[c].high)));
        command = 'L';
      }
      for (auto c = run.rbegin(); c != run.rend(); ++c)
        path += fmt::format("L{} {}", attribute(x_of(*c)), attribute(y_at(data.columns[*c].low)));
      path += 'Z';
      first = next;
    }
    if (!path.empty()) body_ += fmt::format("<path class=\"envelope\" d=\"{}\"/>\n", path);
  }

  void time_axis_below() {
    const Axis axis = time_axis(time_.origin, begin_, end_, time_ticks());
    const double end_x = left + static_cast<double>(columns_);
    y_ += 17.0;
    double used = 0.0;
    for (const Tick& tick : axis.ticks) {
      const double x = x_at(tick.at);
      line("axis", x, y_ - 17.0, x, y_ - 13.0);
      const double half = width_of(tick.label, 12.0) / 2.0;
      if (x - half < used) continue;
      text(x, y_, "tick", "middle", tick.label);
      used = x + half + 6.0;
    }
    y_ += 17.0;
    text(left + static_cast<double>(columns_) / 2.0, y_, "facts", "middle", "time, " + axis.note);
    const Time resolution = (end_ - begin_) / static_cast<std::int64_t>(columns_);
    const std::string from = calendar(time_.origin, begin_, resolution);
    if (!from.empty()) {
      text(left, y_, "facts", "start", from);
      text(end_x, y_, "facts", "end",
           calendar(time_.origin, end_, resolution) + zone_of(time_.origin));
    }
  }

  void legend() {
    const std::array<std::pair<bool, const char*>, 4> items{
        {{has_gaps_, "gap"}, {has_[1], "interpolated"}, {has_[2], "suspect"}, {has_[3], "bad"}}};
    double x = left;
    for (const auto& [is_there, name] : items) {
      if (!is_there) continue;
      if (x == left) y_ += 24.0;
      box(name, x, y_ - 10.0, 14.0, 11.0);
      text(x + 20.0, y_, "facts", "start", name);
      x += 40.0 + width_of(name, 12.0);
    }
    y_ += 8.0;
  }

  const View* view_;
  double width_;
  double panel_;
  std::size_t columns_;
  SharedTime time_;
  Time begin_;
  Time end_;
  std::size_t channels_ = 0;
  std::size_t drawn_ = 0;
  std::vector<Band> bands_;
  bool has_gaps_ = false;
  bool all_read_ = true;
  std::array<bool, 4> has_{};
  double y_ = 0.0;
  std::string body_;
};

}  // namespace

void view_as_svg(const View& view, const ViewArguments& arguments) {
  if (view.streams.empty())
    throw Error(fmt::format("{}: has no streams, nothing to draw", arguments.path));
  NewFile file(arguments.svg, arguments.force);
  const Drawing drawing(view, arguments);
  file.write(drawing.svg());
  file.close();
  tell(stdout, "{}: {} of {} channels{}\n", arguments.svg, drawing.drawn(), drawing.channels(),
       drawing.drawn() < drawing.channels() ? "; choose others by --channels" : "");
  if (!drawing.all_read()) fail_not_all_read(*view.recording);
}

}  // namespace spillway::apps
