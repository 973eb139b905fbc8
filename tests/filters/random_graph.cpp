#include "random_graph.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "spillway/filters/graph.hpp"

namespace spillway::test {

namespace {

constexpr double source_hertz = 1000.0;
constexpr double least_hertz = 100.0;
constexpr double most_hertz = 4000.0;

Functions functions() {
  Function twice;
  twice.name = "double";
  twice.call = [](ConstFrames in, Frames out) {
    for (std::size_t i = 0; i < in.values.size(); ++i) {
      out.values[i] = 2.0 * in.values[i];
      out.quality[i] = in.quality[i];
    }
  };
  return {{"double", twice}};
}

template <class T>
T one_of(Random& random, std::initializer_list<T> choices) {
  return choices.begin()[random.below(choices.size())];
}

// From low to high.
double between(Random& random, double low, double high) {
  return low + (high - low) * (random.uniform() + 1.0) / 2.0;
}
std::uint64_t whole(Random& random, std::uint64_t low, std::uint64_t high) {
  return low + random.below(high - low + 1);
}

// Few digits, so that they can be read.
std::string share_of(double hertz, double share) { return fmt::format("{:.1f} Hz", hertz * share); }
std::string numbers(Random& random, std::size_t count) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i)
    texts.push_back(random.below(5) == 0 ? "0" : fmt::format("{:.2f}", random.uniform()));
  return fmt::format("[{}]", fmt::join(texts, ", "));
}
std::string gap(Random& random) {
  return fmt::format(", gap: {}", one_of(random, {"reset", "hold"}));
}
std::string recursive(Random& random) {
  return fmt::format(", initial: {}, nan: {}{}", one_of(random, {"zero", "steady"}),
                     one_of(random, {"hold", "reset"}), gap(random));
}
std::string sections(Random& random) {
  return recursive(random) + fmt::format(", form: {}, settling_level: {}",
                                         one_of(random, {"df2t", "block"}),
                                         one_of(random, {"1e-3", "1e-2", "1e-5"}));
}
std::string family(Random& random) {
  const auto name =
      one_of(random, {"butterworth", "chebyshev1", "chebyshev2", "elliptic", "bessel"});
  return fmt::format(", family: {}, order: {}", name, whole(random, 1, 4));
}
std::string statistic(Random& random) {
  return fmt::format(
      ", window: {}, warm_up: {}, nan: {}{}", whole(random, 1, random.below(4) == 0 ? 60 : 10),
      one_of(random, {"grow", "nan"}), one_of(random, {"propagate", "ignore"}), gap(random));
}
std::string taps(Random& random) { return fmt::format(", taps: {}", 2 * whole(random, 1, 20) + 1); }
std::string band(Random& random, double hertz) {
  const double low = between(random, 0.05, 0.25);
  return fmt::format(", low: {}, high: {}", share_of(hertz, low),
                     share_of(hertz, low + between(random, 0.08, 0.2)));
}
std::string edge(Random& random, double hertz) {
  return fmt::format(", cutoff: {}", share_of(hertz, between(random, 0.04, 0.4)));
}
std::string periods(Random& random, double hertz, std::uint64_t most) {
  return fmt::format(
      "{} us",
      1 + random.below(static_cast<std::uint64_t>(1e6 / hertz * static_cast<double>(most))));
}

// What stands behind the type; `lanes` come in at `hertz`.
std::string parameters(Random& random, std::string_view kind, std::size_t lanes, double hertz) {
  if (kind == "calibrate")
    return one_of(random,
                  {", calibration: {slope: 2, offset: -1}", ", unit: V",
                   ", calibration: {polynomial: [0.1, 1, 0.5]}",
                   ", calibration: {table: {x: [-1, 0, 1], y: [0, 2, 5], outside: nan}}",
                   ", calibration: {table: {x: [-0.5, 0.5], y: [0, 5], outside: clamp}}",
                   ", calibration: {table: {x: [-0.5, 0.5], y: [0, 5], outside: extrapolate}}"});
  if (kind == "moving_average" || kind == "median" || kind == "sliding_min" ||
      kind == "sliding_max" || kind == "sliding_rms")
    return statistic(random);
  if (kind == "sliding_std") return statistic(random) + fmt::format(", ddof: {}", random.below(2));
  if (kind == "exponential_average")
    return (random.below(2) == 0 ? fmt::format(", alpha: {:.2f}", between(random, 0.05, 1.0))
                                 : ", time_constant: " + periods(random, hertz, 20)) +
           recursive(random);
  if (kind == "lowpass" || kind == "highpass")
    return family(random) + edge(random, hertz) + sections(random);
  if (kind == "bandpass" || kind == "bandstop")
    return family(random) + band(random, hertz) + sections(random);
  if (kind == "notch" || kind == "peak")
    return fmt::format(", frequency: {}, quality: {}", share_of(hertz, between(random, 0.05, 0.4)),
                       whole(random, 1, 5)) +
           sections(random);
  if (kind == "sections")
    return fmt::format(", sections: {}",
                       one_of(random, {"[[0.5, 0.5, 0, 1, -0.3, 0.1]]", "[[1, -2, 1, 1, 0, 0]]",
                                       "[[1, 0, 0, 1, 0, -0.8], [0.2, 0, 0, 1, -0.9, 0]]",
                                       "[[0, 0, 0, 1, 0, 0]]"})) +
           sections(random);
  if (kind == "fir")
    return fmt::format(", taps: {}", numbers(random, whole(random, 1, 12))) + gap(random);
  if (kind == "fir_lowpass" || kind == "fir_highpass")
    return taps(random) + edge(random, hertz) + gap(random);
  if (kind == "fir_bandpass" || kind == "fir_bandstop")
    return taps(random) + band(random, hertz) + gap(random);
  if (kind == "savitzky_golay") {
    const std::uint64_t window = 2 * whole(random, 0, 7) + 1;
    const std::uint64_t order = whole(random, 0, std::min<std::uint64_t>(window - 1, 4));
    return fmt::format(", window: {}, order: {}, derivative: {}, align: {}{}", window, order,
                       whole(random, 0, std::min<std::uint64_t>(order, 1)),
                       one_of(random, {"causal", "centred"}), gap(random));
  }
  if (kind == "derivative")
    return fmt::format(", scheme: {}{}", one_of(random, {"backward", "central"}), gap(random));
  if (kind == "integral")
    return fmt::format(", initial: 1, nan: {}{}", one_of(random, {"hold", "reset"}), gap(random));
  if (kind == "decimate") {
    const std::uint64_t factor = whole(random, 1, 5);
    return fmt::format(", factor: {}, phase: {}{}{}", factor, random.below(factor),
                       one_of(random, {"", ", taps: 1", ", taps: 6"}), gap(random));
  }
  if (kind == "resample")
    return fmt::format(", up: {}, down: {}{}{}", whole(random, 1, 5), whole(random, 1, 5),
                       one_of(random, {"", ", taps: 7", ", coefficients: [1, 0.5]"}), gap(random));
  if (kind == "interpolate") {
    const std::string text =
        fmt::format(", rate: {}", share_of(hertz, one_of(random, {0.37, 0.5, 0.8, 1.0, 1.3, 2.5})));
    if (random.below(2) == 0)
      return text + ", method: last" +
             (random.below(2) == 0 ? "" : ", max_age: " + periods(random, hertz, 12));
    return text + (random.below(2) == 0 ? "" : ", max_gap: " + periods(random, hertz, 12));
  }
  if (kind == "welch") {
    const std::uint64_t segment = whole(random, 2, 16);
    return fmt::format(", segment: {}, overlap: {}, average: {}, detrend: {}, scaling: {}", segment,
                       random.below(segment), whole(random, 1, 4),
                       one_of(random, {"none", "constant"}), one_of(random, {"density", "power"}));
  }
  if (kind == "envelope") return taps(random) + gap(random);
  if (kind == "arithmetic")
    return fmt::format(", operation: {}", one_of(random, {"add", "subtract", "multiply", "divide",
                                                          "minimum", "maximum", "mean"}));
  if (kind == "mix") {
    std::vector<std::string> rows(whole(random, 1, 3));
    for (std::string& row : rows) row = numbers(random, lanes);
    return fmt::format(", matrix: [{}]", fmt::join(rows, ", "));
  }
  if (kind == "compensate")
    return one_of(random, {", coefficients: [[0, 0.1], [1, 0.01]]", ", coefficients: [[1, 2, 3]]",
                           ", coefficients: [[0.5], [1], [0.2]]"});
  if (kind == "thermocouple") return ", thermocouple: K, cold_junction_celsius: 20";
  if (kind == "detect_range") return ", low: -0.8, high: 0.8";
  if (kind == "detect_saturation") return ", low: -0.9, high: 0.9";
  if (kind == "detect_stuck") return fmt::format(", samples: {}", whole(random, 2, 4));
  if (kind == "detect_jump") return ", limit: 1.2";
  if (kind == "function") return ", function: double";
  throw std::logic_error(fmt::format("no parameters for a {}", kind));
}

// The lanes and the rate of what nodes can be fed by.
struct Source {
  std::string name;
  std::vector<std::string> channels;
  double hertz = 0.0;
};

std::vector<Source> sources_of(const Graph& graph) {
  const auto source = [](const StreamInfo& info) {
    Source made{info.name, {}, info.rate->hertz().value};
    for (const ChannelInfo& channel : info.channels) made.channels.push_back(channel.name);
    return made;
  };
  std::vector<Source> all{source(any_graph_input())};
  for (std::size_t n = 0; n < graph.spec().nodes.size(); ++n)
    all.push_back(source(graph.output_info(n)));
  return all;
}

// An input of a node: all lanes of a source, or one.
struct Input {
  std::string text;
  std::size_t lanes = 1;
  double hertz = 0.0;
};

Input any_input(Random& random, const std::vector<Source>& sources, bool of_one_lane) {
  // The last ones more often: long chains.
  const std::size_t picked =
      random.below(2) == 0 ? sources.size() - 1 : random.below(sources.size());
  const Source& from = sources[picked];
  Input input{from.name, from.channels.size(), from.hertz};
  if (of_one_lane || random.below(4) == 0) {
    input.text += "/" + from.channels[random.below(from.channels.size())];
    input.lanes = 1;
  }
  if (picked == 0 && random.below(8) == 0) input.text = fmt::format("raw({})", input.text);
  return input;
}

std::string any_line(Random& random, std::size_t index, std::string_view kind,
                     const std::vector<Source>& sources) {
  const bool combines =
      kind == "arithmetic" || kind == "mix" || kind == "compensate" || kind == "function";
  const bool of_one_lane = kind == "welch" || kind == "thermocouple" || kind == "compensate";
  std::vector<Input> inputs{any_input(random, sources, of_one_lane)};
  if (kind == "compensate" || (combines && random.below(2) == 0))
    inputs.push_back(any_input(random, sources, of_one_lane));
  std::size_t lanes = 0;
  std::vector<std::string> texts;
  for (const Input& input : inputs) {
    lanes += input.lanes;
    texts.push_back(fmt::format("'{}'", input.text));
  }
  const std::string fill =
      random.below(6) == 0 ? fmt::format(", fill_gaps: {}", whole(random, 1, 30)) : "";
  return fmt::format("{{id: n{}, type: {}, inputs: [{}]{}{}}}", index, kind, fmt::join(texts, ", "),
                     fill, parameters(random, kind, lanes, inputs.front().hertz));
}

}  // namespace

const std::vector<std::string_view>& regular_kinds() {
  static const std::vector<std::string_view> kinds{"calibrate",
                                                   "moving_average",
                                                   "exponential_average",
                                                   "lowpass",
                                                   "highpass",
                                                   "bandpass",
                                                   "bandstop",
                                                   "notch",
                                                   "peak",
                                                   "sections",
                                                   "fir",
                                                   "fir_lowpass",
                                                   "fir_highpass",
                                                   "fir_bandpass",
                                                   "fir_bandstop",
                                                   "median",
                                                   "savitzky_golay",
                                                   "sliding_min",
                                                   "sliding_max",
                                                   "sliding_rms",
                                                   "sliding_std",
                                                   "derivative",
                                                   "integral",
                                                   "decimate",
                                                   "resample",
                                                   "interpolate",
                                                   "welch",
                                                   "envelope",
                                                   "arithmetic",
                                                   "mix",
                                                   "compensate",
                                                   "thermocouple",
                                                   "detect_range",
                                                   "detect_jump",
                                                   "detect_stuck",
                                                   "function",
                                                   "detect_saturation"};
  return kinds;
}

const StreamInfo& any_graph_input() {
  static const StreamInfo info = [] {
    StreamInfo s;
    s.name = "s";
    s.rate = Rate(Hertz{source_hertz});
    s.capacity = SampleCount{1 << 14};
    for (const char* name : {"c0", "c1", "c2"}) {
      ChannelInfo channel;
      channel.name = name;
      channel.unit = "mV";
      s.channels.push_back(std::move(channel));
    }
    return s;
  }();
  return info;
}

GraphSpec parse_nodes(const NodeLines& lines) {
  if (lines.empty()) return {};
  std::string yaml = "graph:\n";
  for (const std::string& line : lines) yaml += fmt::format("  - {}\n", line);
  return graph_from_yaml(yaml, "any graph", functions());
}

NodeLines any_graph(Random& random, std::size_t count, std::optional<std::string_view> kind) {
  NodeLines lines;
  while (lines.size() < count) {
    const std::vector<Source> sources =
        sources_of(Graph(parse_nodes(lines), {any_graph_input()}, 1));
    const bool is_last = lines.size() + 1 == count;
    const std::string_view next =
        is_last && kind ? *kind : regular_kinds()[random.below(regular_kinds().size())];
    lines.push_back(any_line(random, lines.size(), next, sources));
    // What does not fit together is tried again.
    bool fits = false;
    try {
      const Graph graph(parse_nodes(lines), {any_graph_input()}, 1);
      const double hertz = graph.output_info(lines.size() - 1).rate->hertz().value;
      fits = hertz >= least_hertz && hertz <= most_hertz;
    } catch (const Error&) {
    }
    if (!fits) lines.pop_back();
  }
  return lines;
}

}  // namespace spillway::test
