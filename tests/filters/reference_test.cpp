// Runs every case of the reference vectors whose filter exists.
#include "support/reference.hpp"

#include <fmt/format.h>

#include <cmath>
#include <complex>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>

#include "spillway/channels/calibration.hpp"
#include "spillway/filters/butterworth.hpp"
#include "spillway/filters/moving_average.hpp"
#include "spillway/filters/sos.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::Array;
using test::data_folder;
using test::read_json;
using test::read_npy;
using test::Reference;
using test::ReferenceCase;
using test::run_in_blocks;
using test::Signal;
using test::signal;
using Json = nlohmann::json;

constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

// A word of `params`, which must be one of those known here: a new one must not
// pass for the default.
template <class T>
T choice(const Json& params, const char* key, T otherwise, const std::map<std::string, T>& known) {
  if (!params.contains(key)) return otherwise;
  const std::string word = params.at(key);
  const auto found = known.find(word);
  if (found == known.end()) fail(fmt::format("'{}' is '{}', not known to this test", key, word));
  return found->second;
}

void compare(const std::vector<double>& actual, const std::vector<double>& wanted, double tolerance,
             const std::string& what) {
  if (actual.size() != wanted.size())
    fail(fmt::format("{}: {} values, expected {}", what, actual.size(), wanted.size()));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const bool same = std::isnan(wanted[i]) ? std::isnan(actual[i])
                                            : std::abs(actual[i] - wanted[i]) <= tolerance;
    if (!same)
      fail(fmt::format("{}: index {}: actual {}, expected {}, tolerance {}", what, i, actual[i],
                       wanted[i], tolerance));
  }
}

// `run_blocks(n)` in blocks of 1, 7, 64 and all at once: the same bits, and those expected.
void in_blocks(const std::function<Signal(std::size_t)>& run_blocks,
               const std::vector<double>& wanted, double tolerance, const std::string& what) {
  const Signal whole = run_blocks(everything);
  compare(whole.values, wanted, tolerance, what);
  for (const std::size_t size : {1U, 7U, 64U})
    if (!(run_blocks(size) == whole))
      fail(fmt::format("{}: blocks of {} give other bits than all at once", what, size));
}

void run_moving_average(const Reference& reference, const ReferenceCase& c) {
  MovingAverage p;
  p.window = c.params.at("window");
  p.warm_up = choice<WarmUp>(c.params, "warmup", WarmUp::grow,
                             {{"grow", WarmUp::grow}, {"nan", WarmUp::nan}});
  p.nan = choice<NanPolicy>(c.params, "nan", NanPolicy::propagate,
                            {{"propagate", NanPolicy::propagate}, {"ignore", NanPolicy::ignore}});
  const Signal in = signal(reference.input(c).values);
  in_blocks(
      [&](std::size_t size) {
        MovingAverageFilter filter(p, 1);
        return run_in_blocks(filter, in, [&] { return size; });
      },
      reference.expected(c).values, c.tolerance, c.id);
}

Sos stored_sos(const Reference& reference, const ReferenceCase& c) {
  const Array rows = reference.coefficients(c, "sos");
  Sos sos;
  for (std::size_t i = 0; i < rows.values.size(); i += 6) {
    const double* const r = rows.values.data() + i;
    if (r[3] != 1.0) fail(fmt::format("{}: a0 is {}", c.id, r[3]));
    sos.sections.push_back({r[0], r[1], r[2], r[4], r[5]});
  }
  return sos;
}

bool is_lowpass(const ReferenceCase& c) { return c.params.at("type") == "lowpass"; }

Sos own_design(const ReferenceCase& c) {
  return design(lowpass({c.params.at("order")}, {c.params.at("cutoff_hz")}),
                {c.params.at("rate_hz")});
}

std::size_t own_designs = 0;

void run_butter(const Reference& reference, const ReferenceCase& c) {
  SosOptions options;
  options.initial = choice<Initial>(c.params, "initial", Initial::zero,
                                    {{"zero", Initial::zero}, {"steady", Initial::steady}});
  options.nan = choice<NanPolicy>(c.params, "nan", NanPolicy::hold,
                                  {{"hold", NanPolicy::hold}, {"reset", NanPolicy::reset}});
  const Signal in = signal(reference.input(c).values);
  const std::vector<double> wanted = reference.expected(c).values;
  const auto with = [&](const Sos& sos, double tolerance, const std::string& what) {
    in_blocks(
        [&](std::size_t size) {
          SosFilter filter(sos, options, 1);
          return run_in_blocks(filter, in, [&] { return size; });
        },
        wanted, tolerance, what);
  };
  with(stored_sos(reference, c), c.tolerance, c.id);
  if (is_lowpass(c) && c.own_design_tolerance) {
    ++own_designs;
    with(own_design(c), *c.own_design_tolerance, c.id + " with own design");
  }
}

Signal calibrate(const Calibration& calibration, const Signal& in, std::size_t size) {
  Signal out = in;
  for (std::size_t first = 0; first < out.values.size();) {
    const std::size_t n = std::min(size, out.values.size() - first);
    calibration.apply(std::span(out.values).subspan(first, n));
    first += n;
  }
  return out;
}

void run_calibrate_linear(const Reference& reference, const ReferenceCase& c) {
  const Calibration calibration = Linear{c.params.at("scale"), c.params.at("offset")};
  Signal in = signal(reference.input(c).values);
  const Json& missing = c.params.at("missing_raw_value");
  if (!missing.is_null())
    for (double& v : in.values)
      if (v == missing.get<double>()) v = test::nan;
  in_blocks([&](std::size_t size) { return calibrate(calibration, in, size); },
            reference.expected(c).values, c.tolerance, c.id);
}

void run_polynomial(const Reference& reference, const ReferenceCase& c) {
  const Calibration calibration = Polynomial{c.params.at("coefficients_ascending")};
  const Signal in = signal(reference.input(c).values);
  in_blocks([&](std::size_t size) { return calibrate(calibration, in, size); },
            reference.expected(c).values, c.tolerance, c.id);
}

// The recording's own raw values and calibrations, which change at segment borders.
void run_calibrate_segments(const Reference& reference, const ReferenceCase& c) {
  const std::filesystem::path folder = data_folder() / c.params.at("recording").get<std::string>();
  const Json recording = read_json(folder / "recording.json");
  const Json* stream = nullptr;
  for (const Json& s : recording.at("streams"))
    if (s.at("name") == c.params.at("stream")) stream = &s;
  if (stream == nullptr || stream->at("dtype") != "int8" || stream->at("layout") != "interleaved")
    fail(fmt::format("{}: no such stream of interleaved int8", c.id));

  const std::size_t lanes = stream->at("channel_count");
  const std::size_t first = c.params.at("first_frame");
  const std::size_t frames = c.params.at("frames");
  const Json& channels = stream->at("channels");
  for (std::size_t l = 0; l < lanes; ++l)
    if (channels.at(l).at("name") != c.params.at("columns").at(l))
      fail(fmt::format("{}: the columns are not the channels", c.id));

  std::vector<char> raw(frames * lanes);
  std::ifstream file(folder / stream->at("file").get<std::string>(), std::ios::binary);
  const std::size_t offset = stream->at("offset_bytes").get<std::size_t>() + first * lanes;
  file.seekg(static_cast<std::streamoff>(offset));
  if (!file.read(raw.data(), static_cast<std::streamsize>(raw.size())))
    fail(fmt::format("{}: the recording is too short", c.id));

  const auto calibrated = [&](std::size_t size) {
    Signal out{std::vector<double>(frames * lanes), std::vector<Quality>(frames * lanes), lanes};
    std::vector<double> lane;
    for (std::size_t begin = 0; begin < frames;) {
      const std::size_t end = begin + std::min(size, frames - begin);
      for (std::size_t l = 0; l < lanes; ++l) {
        const int missing = channels.at(l).at("missing_raw_value");
        for (std::size_t f = begin; f < end; ++f) out.values[f * lanes + l] = test::nan;
        for (const Json& segment : recording.at("segments")) {
          const std::size_t from = segment.at("first_frame");
          const std::size_t to = from + segment.at("frames").get<std::size_t>();
          const std::size_t lo = std::max(from, first + begin);
          const std::size_t hi = std::min(to, first + end);
          const auto own = segment.at("channels").find(channels.at(l).at("name"));
          if (lo >= hi || own == segment.at("channels").end()) continue;
          const Json& linear = own->at("calibration");
          if (linear.at("kind") != "linear") fail(fmt::format("{}: not linear", c.id));
          lane.clear();
          for (std::size_t f = lo - first; f < hi - first; ++f) {
            const int count = static_cast<signed char>(raw[f * lanes + l]);
            lane.push_back(count == missing ? test::nan : count);
          }
          Calibration(Linear{linear.at("scale"), linear.at("offset")}).apply(lane);
          for (std::size_t f = lo; f < hi; ++f) out.values[(f - first) * lanes + l] = lane[f - lo];
        }
      }
      begin = end;
    }
    return out;
  };
  in_blocks(calibrated, reference.expected(c).values, c.tolerance, c.id);
}

void run_frequency_response(const Reference& reference, const ReferenceCase& c) {
  const Array rows = reference.expected(c);
  const Sos sos = own_design(c);
  std::vector<double> actual;
  for (std::size_t i = 0; i < rows.values.size(); i += 3) {
    const Hertz at{rows.values[i]};
    const std::complex<double> h = frequency_response(sos, at, {c.params.at("rate_hz")});
    actual.insert(actual.end(), {at.value, h.real(), h.imag()});
  }
  compare(actual, rows.values, c.tolerance, c.id);
}

struct Kind {
  void (*run)(const Reference&, const ReferenceCase&);
  bool (*supported)(const ReferenceCase&);
  std::size_t at_least;  // how many of them the vectors have had from the start
};

bool all_cases(const ReferenceCase&) { return true; }
bool butterworth_lowpass(const ReferenceCase& c) {
  return c.params.at("of").get<std::string>().starts_with("butter_") && is_lowpass(c);
}

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> table{
      {"moving_average", {run_moving_average, all_cases, 26}},
      {"butter", {run_butter, all_cases, 48}},
      {"calibrate_linear", {run_calibrate_linear, all_cases, 4}},
      {"polynomial", {run_polynomial, all_cases, 3}},
      {"calibrate_segments", {run_calibrate_segments, all_cases, 3}},
      {"frequency_response", {run_frequency_response, butterworth_lowpass, 12}},
  };
  return table;
}

TEST_CASE("reference vectors") {
  const std::filesystem::path folder = Reference::default_folder();
  if (!std::filesystem::exists(folder / "index.json")) {
    WARN("no reference vectors in " << folder << ": nothing compared; set SPILLWAY_REFERENCE_DIR");
    return;
  }
  const bool has_data = std::filesystem::exists(data_folder());
  if (!has_data) WARN("no recordings in " << data_folder() << "; set SPILLWAY_DATA_DIR");

  const Reference reference(folder);
  std::map<std::string, std::size_t> ran;
  std::map<std::string, std::size_t> unsupported;
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
  own_designs = 0;
  for (const ReferenceCase& c : reference.cases()) {
    const auto kind = kinds().find(c.filter);
    if (kind == kinds().end() || !kind->second.supported(c)) {
      ++unsupported[c.filter];
      continue;
    }
    ++ran[c.filter];
    if (c.filter == "calibrate_segments" && !has_data) {
      ++skipped;
      continue;
    }
    try {
      kind->second.run(reference, c);
      ++passed;
      fmt::print("passed  {}\n", c.id);
    } catch (const std::exception& e) {
      ++failed;
      const std::string text = e.what();
      fmt::print("FAILED  {}: {}\n", c.id, text);
      FAIL_CHECK(c.id << ": " << text);
    }
  }
  std::size_t not_yet = 0;
  for (const auto& [filter, count] : unsupported) {
    fmt::print("not yet supported  {} {}\n", filter, count);
    not_yet += count;
  }
  if (skipped > 0) fmt::print("not run, the recording is absent: {}\n", skipped);
  fmt::print("reference: {} passed, {} failed, {} not yet supported of {}\n", passed, failed,
             not_yet, reference.cases().size());

  CHECK(passed + failed + skipped + not_yet == reference.cases().size());
  for (const auto& [filter, kind] : kinds()) {
    CAPTURE(filter);
    CHECK(ran[filter] >= kind.at_least);
    if (filter != "frequency_response") CHECK(unsupported[filter] == 0);
  }
  CHECK(own_designs >= 16);
}

TEST_CASE("reference vectors: what is no float64 .npy is refused") {
  const auto path = std::filesystem::temp_directory_path() / "spillway_reference_test.npy";
  std::ofstream(path, std::ios::binary) << "\x93NUMPY\x02";
  CHECK_THROWS_AS(read_npy(path), std::runtime_error);
  std::filesystem::remove(path);
  CHECK_THROWS_AS(read_npy(path), std::runtime_error);
}

}  // namespace
}  // namespace spillway
