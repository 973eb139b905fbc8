#include "reference_frame_by_frame.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>

#include "lanes_support.hpp"
#include "spillway/channels/calibration.hpp"
#include "spillway/filters/compensate.hpp"
#include "spillway/filters/detect.hpp"
#include "spillway/filters/thermocouple.hpp"
#include "timed.hpp"

namespace spillway::test {

namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

// In blocks of 1, 7, 64 and all at once: the same bits, and those expected.
template <class Filter>
Signal in_blocks(const Filter& filter, const Signal& in, std::size_t lanes, const std::string& id) {
  Filter at_once = filter;
  Signal whole = run_to(at_once, in, lanes);
  for (const std::size_t size : {1U, 7U, 64U}) {
    Filter cut = filter;
    if (!(run_in_blocks_to(cut, in, lanes, [&] { return size; }) == whole))
      fail(fmt::format("{}: blocks of {} give other bits than all at once", id, size));
  }
  return whole;
}

void compare(const std::vector<double>& actual, const std::vector<double>& wanted, double tolerance,
             const std::string& id) {
  if (actual.size() != wanted.size())
    fail(fmt::format("{}: {} values, expected {}", id, actual.size(), wanted.size()));
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (std::isnan(wanted[i]) ? !std::isnan(actual[i])
                              : !(std::abs(actual[i] - wanted[i]) <= tolerance))
      fail(fmt::format("{}: index {}: actual {}, expected {}, tolerance {}", id, i, actual[i],
                       wanted[i], tolerance));
}

template <class Filter>
std::vector<double> flags(const Filter& filter, Signal in, Quality::Reason reason,
                          const std::string& id) {
  // Only what the filter finds itself.
  in.quality.assign(in.quality.size(), Quality::good());
  std::vector<double> set;
  for (const Quality q : in_blocks(filter, in, 1, id).quality)
    set.push_back(q.has(reason) && q.verdict() >= Verdict::suspect ? 1.0 : 0.0);
  return set;
}

// What a source does with the raw value that stands for a missing one. The index names it in the
// case 'missing' of the same input.
Signal without_missing(const Reference& reference, const ReferenceCase& c) {
  Signal in = signal(reference.input(c).values);
  for (const ReferenceCase& other : reference.cases())
    if (other.input == c.input && other.filter == "quality_flag" &&
        other.params.at("flag") == "missing" && !other.params.at("raw").is_null())
      for (double& v : in.values)
        if (v == other.params.at("raw").get<double>()) v = nan;
  return in;
}

template <class T>
std::vector<T> read_raw(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) fail(fmt::format("{} can't be read", path.string()));
  std::vector<T> values(static_cast<std::size_t>(file.tellg()) / sizeof(T));
  file.seekg(0);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

struct RawStream {
  const Json& info;
  std::vector<double> raw;    // frame-major
  std::vector<double> times;  // in s, one a frame
};

template <class T>
RawStream read_stream(const std::filesystem::path& folder, const Json& recording,
                      const std::string& name, const std::string& dtype) {
  const auto& streams = recording.at("streams");
  const auto found =
      std::ranges::find_if(streams, [&](const Json& s) { return s["name"] == name; });
  if (found == streams.end() || found->at("dtype") != dtype || found->at("offset_bytes") != 0 ||
      found->at("time").at("kind") != "blocks")
    fail(fmt::format("no stream {} as this test expects it", name));
  RawStream s{*found, {}, {}};
  for (const T v : read_raw<T>(folder / s.info.at("file").get<std::string>()))
    s.raw.push_back(static_cast<double>(v));
  const Json& time = s.info.at("time");
  const long double tick = time.at("tick_s").get<double>();
  const auto blocks = read_raw<std::int64_t>(folder / time.at("file").get<std::string>());
  for (std::size_t b = 0; b + 4 <= blocks.size(); b += 4) {
    const std::int64_t frames = blocks[b + 1];
    const auto first = static_cast<long double>(blocks[b + 2]);
    const auto span = static_cast<long double>(blocks[b + 3] - blocks[b + 2]);
    for (std::int64_t k = 0; k < frames; ++k)
      s.times.push_back(static_cast<double>(
          (first + static_cast<long double>(k) * span /
                       static_cast<long double>(std::max<std::int64_t>(frames - 1, 1))) *
          tick));
  }
  return s;
}

std::size_t channel(const RawStream& s, const std::string& name) {
  const Json& channels = s.info.at("channels");
  for (std::size_t i = 0; i < channels.size(); ++i)
    if (channels[i].at("name") == name) return i;
  fail(fmt::format("no channel {}", name));
}

}  // namespace

void run_quality_flag(const Reference& reference, const ReferenceCase& c) {
  const std::string flag = c.params.at("flag");
  const Json& p = c.params;
  std::vector<double> set;
  if (flag == "out of range") {
    set = flags(DetectRangeFilter({p.at("low"), p.at("high")}, 1),
                signal(reference.input(c).values), Quality::out_of_range, c.id);
  } else if (flag == "saturated") {
    set = flags(DetectSaturationFilter({p.at("limits_raw").at(0), p.at("limits_raw").at(1)}, 1),
                without_missing(reference, c), Quality::out_of_range, c.id);
  } else if (flag == "missing") {
    set = flags(DetectSaturationFilter({-infinity, infinity}, 1), without_missing(reference, c),
                Quality::missing, c.id);
  } else if (flag == "stuck") {
    // These count equal raw values whatever they stand for, a missing one too.
    set = flags(DetectStuckFilter({p.at("samples")}, 1), signal(reference.input(c).values),
                Quality::implausible, c.id);
  } else if (flag == "jump") {
    set = flags(DetectJumpFilter({p.at("limit")}, 1), signal(reference.input(c).values),
                Quality::implausible, c.id);
  } else if (flag == "gap" || flag == "time not increasing") {
    std::vector<Time> times;
    for (const double s : reference.times(c).values) times.emplace_back(std::llround(s * 1e9));
    DetectTime detect;
    if (flag == "gap")
      detect.max_step =
          std::chrono::nanoseconds(std::llround(p.at("step_limit_s").get<double>() * 1e9));
    set = flags(Timed(DetectTimeFilter(detect, 1), times), signal(reference.input(c).values),
                flag == "gap" ? Quality::transient : Quality::time_uncertain, c.id);
  } else {
    fail(fmt::format("{}: flag '{}' is not known to this test", c.id, flag));
  }
  compare(set, reference.expected(c).values, c.tolerance, c.id);
}

namespace {

ThermocoupleType thermocouple_type(const ReferenceCase& c) {
  const std::string letter = c.params.at("type");
  const std::size_t index = std::string("BEJKNRST").find(letter);
  if (letter.size() != 1 || index == std::string::npos)
    fail(fmt::format("{}: type '{}' is not known to this test", c.id, letter));
  return static_cast<ThermocoupleType>(index);
}

// The file behind the name of an input that a case names in its parameters.
Array named_input(const Reference& reference, ReferenceCase c, const std::string& name) {
  c.input = name;
  return reference.input(c);
}

}  // namespace

void run_thermocouple_emf(const Reference& reference, const ReferenceCase& c) {
  std::vector<double> values = reference.input(c).values;
  for (double& v : values) v = thermocouple_emf_mv(thermocouple_type(c), v);
  compare(values, reference.expected(c).values, c.tolerance, c.id);
}

void run_thermocouple_temperature(const Reference& reference, const ReferenceCase& c) {
  const ThermocoupleType type = thermocouple_type(c);
  const std::string method = c.params.at("method");
  const bool exact = method == "reference function solved";
  if (!exact && method != "NIST inverse polynomials")
    fail(fmt::format("{}: method '{}' is not known to this test", c.id, method));
  const std::vector<double> mv = reference.input(c).values;
  const bool has_cold = c.params.contains("cold_junction_input");
  std::vector<double> cold(mv.size(), 0.0);
  if (has_cold) cold = named_input(reference, c, c.params.at("cold_junction_input")).values;
  const std::vector<double> wanted = reference.expected(c).values;

  // The filter solves the reference function, from which NIST's inverse is up to 0.06 degC away.
  const double solved_tolerance = exact ? 1e-6 : 0.06;
  std::vector<double> both;
  std::vector<double> nist;
  for (std::size_t i = 0; i < mv.size(); ++i) {
    both.insert(both.end(), {mv[i], cold[i]});
    const double cold_mv = has_cold ? thermocouple_emf_mv(type, cold[i]) : 0.0;
    nist.push_back(thermocouple_celsius_nist(type, mv[i] + cold_mv));
  }
  const Signal solved = in_blocks(ThermocoupleFilter({type, 0.0}, 2), signal(both, 2), 1, c.id);
  compare(solved.values, wanted, solved_tolerance, c.id + " with the filter");
  if (!exact) compare(nist, wanted, c.tolerance, c.id);
}

void run_table(const Reference& reference, const ReferenceCase& c) {
  if (c.params.at("method") != "linear") fail(fmt::format("{}: not linear", c.id));
  const std::string outside = c.params.at("outside");
  Table table{c.params.at("x"), c.params.at("y"), Outside::clamp};
  if (outside == "extend")
    table.outside = Outside::extrapolate;
  else if (outside == "nan")
    table.outside = Outside::nan;
  else if (outside != "clamp")
    fail(fmt::format("{}: outside '{}' is not known to this test", c.id, outside));
  check(table, c.id);
  const Calibration calibration(table);
  std::vector<double> values = reference.input(c).values;
  calibration.apply(values);
  compare(values, reference.expected(c).values, c.tolerance, c.id);
}

// The polynomial of the raw value, then a step that is linear in the value and in the
// temperature; the latter is the last one that is not later than the value.
void run_calibrate_compensated(const Reference& reference, const ReferenceCase& c) {
  const std::filesystem::path folder = data_folder() / c.params.at("recording").get<std::string>();
  const Json recording = read_json(folder / "recording.json");
  const RawStream main =
      read_stream<std::uint16_t>(folder, recording, c.params.at("stream"), "uint16");
  const RawStream env = read_stream<std::int32_t>(folder, recording, "env", "int32");
  const std::size_t first = c.params.at("first_frame");
  const std::size_t frames = c.params.at("frames");
  const std::size_t lanes = main.info.at("channel_count");

  std::vector<double> temperatures;
  {
    const std::size_t env_lanes = env.info.at("channel_count");
    const std::size_t lane = channel(env, "temperature");
    const Json& linear = env.info.at("channels").at(lane).at("calibration");
    if (linear.at("kind") != "linear") fail(fmt::format("{}: not linear", c.id));
    std::vector<double> known;
    for (std::size_t i = lane; i < env.raw.size(); i += env_lanes) known.push_back(env.raw[i]);
    Calibration(Linear{linear.at("scale"), linear.at("offset")}).apply(known);
    for (std::size_t f = first; f < first + frames; ++f) {
      const auto after = std::ranges::upper_bound(env.times, main.times.at(f));
      const auto n = static_cast<std::size_t>(after - env.times.begin());
      temperatures.push_back(known.at(n == 0 ? 0 : n - 1));
    }
  }

  const auto columns = c.params.at("columns").get<std::vector<std::string>>();
  std::vector<double> actual(frames * columns.size());
  for (std::size_t f = 0; f < frames; ++f) actual[f * columns.size()] = main.times[first + f];
  for (std::size_t column = 1; column < columns.size(); ++column) {
    const std::size_t lane = channel(main, columns[column]);
    const Json& steps = main.info.at("channels").at(lane).at("calibration").at("steps");
    const Json& b = steps.at(1);
    if (steps.size() != 2 || steps.at(0).at("kind") != "polynomial" ||
        b.at("kind") != "bivariate" || b.at("y_stream") != "env" ||
        b.at("y_channel") != "temperature")
      fail(fmt::format("{}: not the calibration this test expects", c.id));
    std::vector<double> x;
    for (std::size_t f = first; f < first + frames; ++f) x.push_back(main.raw[f * lanes + lane]);
    Calibration(Polynomial{steps.at(0).at("coefficients")}).apply(x);
    std::vector<double> both;
    for (std::size_t f = 0; f < frames; ++f) {
      both.push_back(x[f]);
      both.push_back(temperatures[f]);
    }
    const double xy = b.at("xy");
    const double x1 = b.at("x1");
    const double y1 = b.at("y1");
    const double y_ref = b.at("y_ref");
    const double constant = b.at("const");
    const CompensateFilter filter(Compensate{{{constant - y1 * y_ref, y1}, {x1 - xy * y_ref, xy}}});
    const Signal out = in_blocks(filter, signal(both, 2), 1, c.id);
    for (std::size_t f = 0; f < frames; ++f) actual[f * columns.size() + column] = out.values[f];
  }
  compare(actual, reference.expected(c).values, c.tolerance, c.id);
}

}  // namespace spillway::test
