#include "graph_drawing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "layered_layout.hpp"
#include "text.hpp"

namespace spillway::apps {

namespace {

constexpr double margin = 28.0;
constexpr double padding = 12.0;     // of a box
constexpr double box_height = 84.0;  // four lines
constexpr double least_box = 132.0;
constexpr double widest_box = 276.0;
constexpr double port_gap = 19.0;  // a label is above each line
constexpr double widest_label = 110.0;

// A line of a box.
struct Line {
  const char* style;
  double size;   // of the font, a tenth more if it is bold
  double below;  // from the baseline before, or the top
  std::string text;
};

std::string span_text(const SampleSpan& span) {
  if (span.seconds) return seconds(*span.seconds);
  return fmt::format("{:.4g} samples", span.samples);
}

// "delay 12 ms · memory 40 ms", without what is nothing.
std::string dynamics(const GraphItem& item) {
  std::vector<std::string> parts;
  if (!item.is_node) return "";
  if (item.delay.samples != 0.0) parts.push_back("delay " + span_text(item.delay));
  if (item.memory.samples == 0.0)
    parts.emplace_back("memory for ever");
  else if (item.memory.samples > 1.0)
    parts.push_back("memory " + span_text(item.memory));
  if (item.fill_gaps > 0) parts.push_back(fmt::format("fills gaps to {}", item.fill_gaps));
  return fmt::format("{}", fmt::join(parts, " · "));
}

std::vector<Line> lines_of(const GraphItem& item) {
  std::vector<Line> lines;
  lines.push_back({"name", 15.4, 23.0, item.name});
  lines.push_back(
      {"kind", 12.0, 18.0,
       fmt::format("{}{}{}", item.kind, item.parameters.empty() ? "" : " ", item.parameters)});
  const std::string unit = unit_text(item);
  lines.push_back({"output", 12.0, 17.0,
                   fmt::format("{}{}{} · {}", rate_text(item), unit.empty() ? "" : " · ", unit,
                               channel_text(item))});
  if (const std::string text = dynamics(item); !text.empty())
    lines.push_back({"small", 11.0, 16.0, text});
  return lines;
}

// The same for most, so that they can stand level.
double height_of(const GraphItem& item) {
  return std::max(box_height, port_gap * static_cast<double>(item.inputs.size() + 1));
}

double marks_width(const GraphItem& item) {
  return (item.recorded.empty() ? 0.0 : 16.0) + (item.published.empty() ? 0.0 : 16.0);
}

std::string joined(const std::vector<std::string>& texts, const char* between = ", ") {
  return fmt::format("{}", fmt::join(texts, between));
}

// All there is to say, for the tooltip, as XML.
std::string details(const GraphItem& item) {
  std::vector<std::string> lines;
  lines.push_back(item.line == 0 ? item.name : fmt::format("{}, line {}", item.name, item.line));
  lines.push_back(item.parameters.empty() ? item.kind : item.kind + ": " + item.parameters);
  std::vector<std::string> channels;
  for (const GraphItem::Channel& channel : item.channels) {
    if (channels.size() == 20) {
      channels.push_back(fmt::format("… {} in all", item.channels.size()));
      break;
    }
    channels.push_back(fmt::format("{} ({})", channel.name, channel.unit));
  }
  lines.push_back(fmt::format("{}: {}", rate_text(item), joined(channels)));
  if (item.is_node) {
    std::vector<std::string> inputs;
    for (const GraphItem::Input& input : item.inputs) inputs.push_back(input.text);
    lines.push_back("from " + joined(inputs));
    lines.push_back(fmt::format("delay {:.6g} samples of {}{}", item.delay.samples, item.delay_of,
                                item.delay.seconds ? " = " + seconds(*item.delay.seconds) : ""));
    lines.push_back(
        item.memory.samples == 0.0
            ? "memory for ever"
            : fmt::format("memory {} samples{}", item.memory.samples,
                          item.memory.seconds ? " = " + seconds(*item.memory.seconds) : ""));
    if (!item.gap_policy.empty()) lines.push_back("at a gap: " + item.gap_policy);
    if (item.fill_gaps > 0)
      lines.push_back(fmt::format("fills gaps of up to {} samples", item.fill_gaps));
  }
  if (!item.recorded.empty()) lines.push_back("recorded: " + joined(item.recorded));
  if (!item.published.empty()) lines.push_back("published as " + item.published);
  if (!item.used) lines.emplace_back("neither used nor kept");
  // A line break is no text.
  for (std::string& line : lines) line = escaped(line);
  return joined(lines, "\n");
}

class Drawing {
 public:
  explicit Drawing(const GraphFacts& facts) : facts_(facts) {
    for (const GraphItem& item : facts.items) {
      for (const Line& line : lines_of(item)) {
        const double marks = line.style == std::string_view("name") ? marks_width(item) : 0.0;
        box_width_ = std::max(box_width_, width_of(line.text, line.size) + 2.0 * padding + marks);
      }
    }
    box_width_ = std::min(box_width_, widest_box);
    std::vector<LayoutBox> boxes;
    for (const GraphItem& item : facts.items) {
      boxes.push_back({height_of(item), 0.0, {}});
      for (const GraphItem::Input& input : item.inputs) {
        boxes.back().feeders.push_back(input.item);
        if (!input.pick.empty())
          boxes.back().entry = std::max(boxes.back().entry,
                                        std::min(width_of(input.pick, 11.0), widest_label) + 12.0);
      }
    }
    layout_ = lay_out(
        boxes, {.box_width = box_width_, .column_gap = 64.0, .box_gap = 22.0, .line_gap = 14.0});
    width_ = std::max(layout_.width, 560.0) + 2.0 * margin;
  }

  std::string svg() {
    heading();
    for (std::size_t i = 0; i < facts_.items.size(); ++i) tree(i);
    for (std::size_t i = 0; i < facts_.items.size(); ++i) ends(i);
    for (std::size_t i = 0; i < facts_.items.size(); ++i) box(i);
    y_ = top_ + layout_.height + 40.0;
    legend();
    return document();
  }

 private:
  void text(const char* style, double x, double y, const std::string& what) {
    body_ += fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", style, x, y,
                         escaped(what));
  }

  void heading() {
    text("title", margin, margin + 12.0, shortened(facts_.title, 19.8, width_ - 2.0 * margin));
    std::string facts = count_text(facts_);
    if (facts_.alone) facts += "; rate, unit and channels of the streams are assumed";
    text("facts", margin, margin + 32.0, facts);
    top_ = margin + 56.0;
  }

  // All lines from an item: first what sets them off from those below them, then themselves.
  void tree(std::size_t item) {
    if (layout_.lines[item].empty()) return;
    std::string way;
    for (const LayoutPiece& piece : layout_.lines[item]) {
      const double x = margin + piece.from.x;
      const double y = top_ + piece.from.y;
      const double to_x = margin + piece.to.x;
      const double to_y = top_ + piece.to.y;
      const double middle = (x + to_x) / 2.0;
      way += fmt::format("M{:.1f} {:.1f}", x, y);
      if (std::abs(y - to_y) < 0.05)
        way += fmt::format("H{:.1f}", to_x);
      else
        way +=
            fmt::format("C{0:.1f} {1:.1f} {0:.1f} {2:.1f} {3:.1f} {2:.1f}", middle, y, to_y, to_x);
    }
    body_ += fmt::format("<path class=\"edge\" d=\"{0}\"/>\n", way);
    body_ += fmt::format("<path class=\"wire\" d=\"{}\"><title>{}</title></path>\n", way,
                         escaped(facts_.items[item].name));
  }

  // Where lines come in: an arrow, and what is picked.
  void ends(std::size_t index) {
    const GraphItem& item = facts_.items[index];
    for (std::size_t k = 0; k < item.inputs.size(); ++k) {
      const LayoutPoint& port = layout_.ports[index][k];
      const double x = margin + port.x;
      const double y = top_ + port.y;
      body_ += fmt::format("<path class=\"arrow\" d=\"M{:.1f} {:.1f}l-8 -4v8z\"/>\n", x, y);
      if (!item.inputs[k].pick.empty())
        body_ += fmt::format(
            "<text class=\"pick\" x=\"{:.1f}\" y=\"{:.1f}\"><title>{}</title>{}</text>\n", x - 10.0,
            y - 4.0, escaped(item.inputs[k].text),
            escaped(shortened(item.inputs[k].pick, 11.0, widest_label)));
    }
  }

  void box(std::size_t index) {
    const GraphItem& item = facts_.items[index];
    const double x = margin + layout_.corners[index].x;
    const double y = top_ + layout_.corners[index].y;
    const double height = height_of(item);
    body_ += fmt::format("<g class=\"{}{}\"><title>{}</title>\n", item.is_node ? "node" : "stream",
                         item.used ? "" : " unused", details(item));
    body_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{}\"/>\n", x, y,
        box_width_, height, item.is_node ? 4 : 18);
    const std::vector<Line> lines = lines_of(item);
    double needed = 10.0;
    for (const Line& line : lines) needed += line.below;
    double baseline = y + (height - needed) / 2.0;
    double mark = x + box_width_ - padding - 5.0;
    if (!item.recorded.empty()) {
      recorded_mark(mark, baseline + lines.front().below - 5.0);
      mark -= 16.0;
    }
    if (!item.published.empty()) published_mark(mark, baseline + lines.front().below - 5.0);
    for (const Line& line : lines) {
      baseline += line.below;
      const double marks = line.style == std::string_view("name") ? marks_width(item) : 0.0;
      text(line.style, x + padding, baseline,
           shortened(line.text, line.size, box_width_ - 2.0 * padding - marks));
    }
    body_ += "</g>\n";
  }

  void recorded_mark(double x, double y) {
    body_ +=
        fmt::format("<circle class=\"recorded\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\"/>\n", x, y);
  }
  void published_mark(double x, double y) {
    body_ +=
        fmt::format("<circle class=\"published\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.2\"/>\n", x, y);
  }

  // What occurs, and no more.
  void legend() {
    const auto any = [&](const auto& holds) { return std::ranges::any_of(facts_.items, holds); };
    double x = margin;
    const auto entry = [&](const std::string& what, double symbol, const auto& draw) {
      const double before = symbol > 0.0 ? symbol + 8.0 : 0.0;
      const double needed = before + width_of(what, 12.0);
      if (x > margin && x + needed > width_ - margin) {
        x = margin;
        y_ += 22.0;
      }
      draw();
      text("legend", x + before, y_ + 4.0, what);
      x += needed + 26.0;
    };
    const auto shape = [&](const char* style, int radius) {
      body_ += fmt::format(
          "<g class=\"{}\"><rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"24\" height=\"14\" "
          "rx=\"{}\"/></g>\n",
          style, x, y_ - 7.0, radius);
    };
    entry("stream", 24.0, [&] { shape("stream", 7); });
    if (any([](const GraphItem& item) { return item.is_node; }))
      entry("node", 24.0, [&] { shape("node", 3); });
    if (any([](const GraphItem& item) { return !item.recorded.empty(); }))
      entry("recorded", 10.0, [&] { recorded_mark(x + 5.0, y_); });
    if (any([](const GraphItem& item) { return !item.published.empty(); }))
      entry("published", 10.0, [&] { published_mark(x + 5.0, y_); });
    if (any([](const GraphItem& item) { return !item.used; }))
      entry("neither used nor kept", 24.0, [&] { shape("node unused", 3); });
    const auto none = [] {};
    if (any([](const GraphItem& item) { return item.delay.samples != 0.0; }))
      entry("delay: since the stream, at low frequency", 0.0, none);
    if (any([](const GraphItem& item) { return item.is_node && item.memory.samples != 1.0; }))
      entry("memory: so long a doubtful input marks the output", 0.0, none);
    y_ += 24.0;
  }

  // For those who cannot see it.
  std::string description() const {
    std::string result = count_text(facts_) + ".";
    for (const GraphItem& item : facts_.items) {
      result += fmt::format(" {}: {}, {}", item.name, item.kind, rate_text(item));
      std::vector<std::string> inputs;
      for (const GraphItem::Input& input : item.inputs) inputs.push_back(input.text);
      if (!inputs.empty()) result += ", from " + joined(inputs);
      if (!item.recorded.empty()) result += ", recorded";
      if (!item.published.empty()) result += ", published";
      result += ".";
    }
    return result;
  }

  std::string document() const {
    constexpr std::string_view style =
        "svg { background: #fff; font-family: system-ui, \"DejaVu Sans\", Arial, sans-serif; }\n"
        "text { fill: #1b1f24; }\n"
        ".title { font-size: 18px; font-weight: 600; } .facts { font-size: 13px; }\n"
        ".name { font-size: 14px; font-weight: 600; } .kind, .output, .legend { font-size: 12px; "
        "}\n"
        ".small, .pick { font-size: 11px; } .facts, .small, .legend { fill: #57606a; }\n"
        ".pick { text-anchor: end; fill: #0b5a94; stroke: #fff; stroke-width: 4px; paint-order: "
        "stroke; }\n"
        ".node rect { fill: #f6f8fa; stroke: #6e7781; }\n"
        ".stream rect { fill: #e3f1fb; stroke: #0072b2; stroke-width: 1.6; }\n"
        ".unused rect { stroke-dasharray: 5 4; }\n"
        ".wire { fill: none; stroke: #6e7781; stroke-width: 1.4; }\n"
        ".wire:hover { stroke: #d55e00; stroke-width: 3; }\n"
        ".edge { fill: none; stroke: #fff; stroke-width: 5; }\n"
        ".arrow { fill: #6e7781; } .recorded { fill: #cf222e; }\n"
        ".published { fill: none; stroke: #0072b2; stroke-width: 2.2; }\n"
        "@media screen and (prefers-color-scheme: dark) {\n"
        "svg { background: #0f1317; } text { fill: #e6edf3; }\n"
        ".facts, .small, .legend { fill: #9aa7b4; } .pick { fill: #7cc4f2; stroke: #0f1317; }\n"
        ".node rect { fill: #1a2027; stroke: #76828f; } .stream rect { fill: #10293b; stroke: "
        "#4fb0e8; }\n"
        ".wire { stroke: #8794a1; } .edge { stroke: #0f1317; } .arrow { fill: #8794a1; }\n"
        ".recorded { fill: #ff6b6b; } .published { stroke: #4fb0e8; } }\n";
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" height=\"{1:.0f}\" role=\"img\" aria-labelledby=\"title desc\">\n"
        "<title id=\"title\">{2}</title>\n<desc id=\"desc\">{3}</desc>\n<style>\n{4}</style>\n{5}"
        "</svg>\n",
        width_, y_, escaped(facts_.title), escaped(description()), style, body_);
  }

  const GraphFacts& facts_;
  double box_width_ = least_box;
  Layout layout_;
  double width_ = 0.0;
  double top_ = 0.0;
  double y_ = 0.0;
  std::string body_;
};

}  // namespace

std::string graph_svg(const GraphFacts& facts) { return Drawing(facts).svg(); }

}  // namespace spillway::apps
