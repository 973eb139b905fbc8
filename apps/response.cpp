#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <filesystem>
#include <fstream>
#include <numbers>
#include <vector>

#include "commands.hpp"
#include "graph_file.hpp"
#include "output.hpp"
#include "run.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/response.hpp"
#include "spillway/storage/output_file.hpp"
#include "text.hpp"

namespace spillway::apps {

namespace {

constexpr double decades = 4.0;
constexpr std::size_t points = 2000;
constexpr double lowest_db = -120.0;

struct Curves {
  std::vector<double> frequency_hz;
  std::vector<double> magnitude_db;
  std::vector<double> phase_degrees;  // unwrapped
  std::vector<double> delay_samples;
};

// From four decades below half the rate, evenly by the logarithm, and the very frequencies where
// a recursive filter is 0, which would be missed in between.
std::vector<double> frequencies_of(const LinearSystem& system, Hertz rate) {
  std::vector<double> at;
  // The last one a little below half the rate, where the phase may not be defined.
  for (std::size_t i = 0; i < points; ++i)
    at.push_back(rate.value / 2.0 * 0.9999 *
                 std::pow(10.0, decades * (static_cast<double>(i) / (points - 1) - 1.0)));
  if (const auto* sos = std::get_if<Sos>(&system))
    for (const Sos::Section& s : sos->sections) {
      const double cosine = -s.b1 / (2.0 * s.b0);
      if (std::abs(s.b2 / s.b0 - 1.0) > 1e-9 || !(std::abs(cosine) < 1.0)) continue;
      const double f = std::acos(cosine) / (2.0 * std::numbers::pi) * rate.value;
      if (f > at.front() && f < at.back()) at.push_back(f);
    }
  std::ranges::sort(at);
  return at;
}

Curves curves_of(const LinearSystem& system, Hertz rate) {
  Curves curves;
  double turns = 0.0;
  double before = 0.0;
  curves.frequency_hz = frequencies_of(system, rate);
  for (std::size_t i = 0; i < curves.frequency_hz.size(); ++i) {
    const double f = curves.frequency_hz[i];
    const std::complex<double> h = frequency_response(system, {f}, rate);
    double phase = std::arg(h) / std::numbers::pi * 180.0;
    if (i > 0 && phase + turns - before > 180.0) turns -= 360.0;
    if (i > 0 && phase + turns - before < -180.0) turns += 360.0;
    phase += turns;
    before = phase;
    curves.magnitude_db.push_back(std::max(20.0 * std::log10(std::abs(h)), lowest_db));
    curves.phase_degrees.push_back(phase);
    curves.delay_samples.push_back(group_delay(system, {f}, rate));
  }
  return curves;
}

// Steps of 1, 2 or 5 times a power of ten, of which about four fit into the range.
double step_of(double range) {
  const double rough = range / 4.0;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (factor * power >= rough) return factor * power;
  return 10.0 * power;
}

// One drawing: panels below each other.
class Drawing {
 public:
  void heading(const std::string& title, const std::string& facts) {
    y_ += 34.0;
    text(left, y_, "title", "start", title);
    y_ += 19.0;
    text(left, y_, "facts", "start", facts);
    y_ += 8.0;
  }

  // `values` over logarithmic frequencies.
  void panel(const std::string& label, const std::vector<double>& frequency,
             const std::vector<double>& values, double least_range) {
    double low = INFINITY;
    double high = -INFINITY;
    for (const double v : values)
      if (std::isfinite(v)) {
        low = std::min(low, v);
        high = std::max(high, v);
      }
    if (!(low <= high)) return;
    if (high - low < least_range) {
      const double middle = (low + high) / 2.0;
      low = middle - least_range / 2.0;
      high = middle + least_range / 2.0;
    }
    const double step = step_of(high - low);
    low = std::floor(low / step) * step;
    // What is above a line by rounding alone does not need the next one.
    high = std::ceil(high / step - 1e-6) * step;
    const double top = y_ + 22.0;
    const double bottom = top + panel_height;
    const auto y_at = [&](double v) { return bottom - (v - low) / (high - low) * panel_height; };
    const double log_low = std::log10(frequency.front());
    const double log_high = std::log10(frequency.back());
    const auto x_at = [&](double f) {
      return left + (std::log10(f) - log_low) / (log_high - log_low) * panel_width;
    };
    for (double v = low; v <= high + step / 2.0; v += step) {
      line("grid", left, y_at(v), left + panel_width, y_at(v));
      text(left - 8.0, y_at(v) + 4.0, "tick", "end",
           fmt::format("{:g}", std::abs(v) < step / 1e6 ? 0.0 : v));
    }
    for (double power = std::floor(log_low); power <= log_high; power += 1.0)
      for (const double factor : {1.0, 2.0, 5.0}) {
        const double f = factor * std::pow(10.0, power);
        if (f < frequency.front() || f > frequency.back()) continue;
        line("grid", x_at(f), top, x_at(f), bottom);
        if (factor == 1.0) text(x_at(f), bottom + 16.0, "tick", "middle", hertz(f));
      }
    std::string commands;
    bool drawing = false;
    std::size_t drawn = 0;
    const auto x_of = [&](std::size_t k) { return x_at(frequency[k]); };
    const auto y_of = [&](std::size_t k) { return y_at(std::clamp(values[k], low, high)); };
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!std::isfinite(values[i])) {
        drawing = false;
        continue;
      }
      // A point that nobody would miss makes the file large: one on the line from the last that
      // was drawn to the next.
      if (drawing && i - drawn < 40 && i + 1 < values.size() && std::isfinite(values[i + 1])) {
        const double share = (x_of(i) - x_of(drawn)) / (x_of(i + 1) - x_of(drawn));
        if (std::abs(y_of(drawn) + share * (y_of(i + 1) - y_of(drawn)) - y_of(i)) < 0.03) continue;
      }
      commands += fmt::format("{}{:.1f} {:.1f}", drawing ? 'L' : 'M', x_of(i), y_of(i));
      drawing = true;
      drawn = i;
    }
    body_ += fmt::format("<path class=\"curve\" d=\"{}\"/>\n", commands);
    line("axis", left, bottom, left + panel_width, bottom);
    text(left, top - 6.0, "label", "start", label);
    y_ = bottom + 28.0;
  }

  [[nodiscard]] std::string svg() const {
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" "
        "height=\"{1:.0f}\" role=\"img\">\n"
        "<style>\n"
        "svg {{ background: #fff; font: 13px system-ui, sans-serif; }} text {{ fill: #1b1f24; }}\n"
        ".title {{ font-size: 17px; font-weight: 600; }} .facts, .tick {{ fill: #57606a; }}\n"
        ".tick {{ font-size: 12px; }} .grid {{ stroke: #e6eaef; }} .axis {{ stroke: #57606a; }}\n"
        ".curve {{ fill: none; stroke: #0072b2; stroke-width: 1.8; stroke-linejoin: round; }}\n"
        "@media (prefers-color-scheme: dark) {{ svg {{ background: #0f1317; }} text {{ fill: "
        "#e6edf3; }}\n"
        ".facts, .tick {{ fill: #9aa7b4; }} .grid {{ stroke: #252c34; }} .axis {{ stroke: #9aa7b4; "
        "}}\n"
        ".curve {{ stroke: #4fb0e8; }} }}\n"
        "</style>\n{2}</svg>\n",
        left + panel_width + 32.0, y_ + 12.0, body_);
  }

 private:
  static constexpr double left = 84.0;
  static constexpr double panel_width = 720.0;
  static constexpr double panel_height = 120.0;

  void text(double x, double y, const char* style, const char* anchor, const std::string& what) {
    body_ +=
        fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n",
                    style, x, y, anchor, escaped(what));
  }
  void line(const char* style, double x1, double y1, double x2, double y2) {
    body_ += fmt::format(
        "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", style, x1,
        y1, x2, y2);
  }

  std::string body_;
  double y_ = 0.0;
};

}  // namespace

int response(const ResponseArguments& arguments) {
  namespace fs = std::filesystem;
  const Graph graph = read_graph(arguments.path, arguments.rate_hz).graph;
  const fs::path path = arguments.output.empty()
                            ? fs::path(fs::path(arguments.path).stem().string() + "-response.svg")
                            : fs::path(arguments.output);
  Drawing drawing;
  std::size_t drawn = 0;
  for (std::size_t i = 0; i < graph.spec().nodes.size(); ++i) {
    const NodeSpec& node = graph.spec().nodes[i];
    const LinearSystem* const system = graph.system(i);
    if (!system) {
      if (graph.output_info(i).rate)
        tell(stderr, "'{}' is not drawn: {} has no frequency response\n", node.id,
             kind_name(node.kind));
      else
        tell(stderr, "'{}' is not drawn: its samples come at irregular times\n", node.id);
      continue;
    }
    const Hertz rate = graph.feed_rate(i)->hertz();
    const double delay = group_delay(*system, {0.0}, rate);
    const std::uint64_t settling = settling_samples(*system, 1e-3);
    drawing.heading(fmt::format("{} ({})", node.id, kind_name(node.kind)),
                    fmt::format("at {}; delay at 0 Hz {:.4g} samples = {}; settles to 1e-3 "
                                "in {} samples = {}",
                                hertz(rate.value), delay, seconds(delay / rate.value), settling,
                                seconds(static_cast<double>(settling) / rate.value)));
    const Curves curves = curves_of(*system, rate);
    drawing.panel("magnitude, dB", curves.frequency_hz, curves.magnitude_db, 6.0);
    drawing.panel("phase, degrees", curves.frequency_hz, curves.phase_degrees, 10.0);
    drawing.panel("group delay, samples", curves.frequency_hz, curves.delay_samples, 1.0);
    ++drawn;
  }
  if (drawn == 0) throw Error(fmt::format("{}: no linear filter, nothing to draw", arguments.path));
  refuse_same(path.string(), arguments.path);
  if (!arguments.output.empty()) require_ending(arguments.output, "--output", {".svg"});
  OutputFile file(path.string(), arguments.force ? Existing::replace : Existing::refuse);
  std::ofstream out(file.part(), std::ios::binary);
  out << drawing.svg();
  out.close();
  if (!out) {
    file.discard();
    throw Error(fmt::format("{}: can't be written", path.string()));
  }
  file.seal();
  tell(stdout, "{}: {} filter{}\n", path.string(), drawn, drawn == 1 ? "" : "s");
  return 0;
}

}  // namespace spillway::apps
