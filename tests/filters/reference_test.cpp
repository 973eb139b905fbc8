// Runs every case of the reference vectors.
#include "support/reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <fstream>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>

#include "reference_chain.hpp"
#include "reference_fir.hpp"
#include "reference_frame_by_frame.hpp"
#include "reference_time.hpp"
#include "spillway/channels/calibration.hpp"
#include "spillway/filters/iir.hpp"
#include "spillway/filters/moving_average.hpp"
#include "spillway/filters/sliding.hpp"
#include "spillway/filters/sos.hpp"
#include "spillway/filters/zero_phase.hpp"
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

template <class Statistic>
void run_sliding_with(Statistic p, const Reference& reference, const ReferenceCase& c) {
  p.window = c.params.at("window");
  p.warm_up = choice<WarmUp>(c.params, "warmup", WarmUp::grow,
                             {{"grow", WarmUp::grow}, {"nan", WarmUp::nan}});
  p.nan = choice<NanPolicy>(c.params, "nan", NanPolicy::propagate,
                            {{"propagate", NanPolicy::propagate}, {"ignore", NanPolicy::ignore}});
  const Signal in = signal(reference.input(c).values);
  in_blocks(
      [&](std::size_t size) {
        SlidingFilter<Statistic> filter(p, 1);
        return run_in_blocks(filter, in, [&] { return size; });
      },
      reference.expected(c).values, c.tolerance, c.id);
}
template <class Statistic>
void run_sliding(const Reference& reference, const ReferenceCase& c) {
  run_sliding_with(Statistic{}, reference, c);
}
void run_sliding_std(const Reference& reference, const ReferenceCase& c) {
  run_sliding_with(SlidingStd{.ddof = c.params.at("ddof")}, reference, c);
}
void run_median(const Reference& reference, const ReferenceCase& c) {
  if (choice<bool>(c.params, "align", false, {{"causal", false}, {"centred", true}}))
    compare(median_centred(reference.input(c).values, c.params.at("window")),
            reference.expected(c).values, c.tolerance, c.id);
  else
    run_sliding_with(SlidingMedian{}, reference, c);
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

IirFamily family_of(const std::string& filter, const Json& p) {
  const int order = p.at("order");
  if (filter == "butter") return Butterworth{order};
  if (filter == "cheby1") return Chebyshev1{order, p.at("rp")};
  if (filter == "cheby2") return Chebyshev2{order, p.at("rs")};
  if (filter == "ellip") return Elliptic{order, p.at("rp"), p.at("rs")};
  if (filter != "bessel") fail(fmt::format("filter '{}' is not known to this test", filter));
  return Bessel{order, choice<BesselNorm>(p, "norm", BesselNorm::phase,
                                          {{"phase", BesselNorm::phase},
                                           {"mag", BesselNorm::magnitude},
                                           {"delay", BesselNorm::delay}})};
}

Sos own_design(const std::string& filter, const Json& p) {
  const Hertz rate{p.at("rate_hz")};
  if (filter == "notch") return design(notch({p.at("f0_hz")}, p.at("q")), rate);
  if (filter == "peak") return design(peak({p.at("f0_hz")}, p.at("q")), rate);
  const IirFamily family = family_of(filter, p);
  const Json& edge = p.at("cutoff_hz");
  const std::string type = p.at("type");
  if (type == "lowpass") return design(lowpass(family, {edge}), rate);
  if (type == "highpass") return design(highpass(family, {edge}), rate);
  if (type == "bandpass") return design(bandpass(family, {edge.at(0)}, {edge.at(1)}), rate);
  if (type == "bandstop") return design(bandstop(family, {edge.at(0)}, {edge.at(1)}), rate);
  fail(fmt::format("type '{}' is not known to this test", type));
}

std::size_t own_designs = 0;

void run_sections(const Reference& reference, const ReferenceCase& c) {
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
  if (c.own_design_tolerance) {
    ++own_designs;
    with(own_design(c.filter, c.params), *c.own_design_tolerance, c.id + " with own design");
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
  const std::string of = c.params.at("of");
  const auto with = [&](const Sos& sos, double tolerance, const std::string& what) {
    std::vector<double> actual;
    for (std::size_t i = 0; i < rows.values.size(); i += 3) {
      const Hertz at{rows.values[i]};
      const std::complex<double> h = frequency_response(sos, at, {c.params.at("rate_hz")});
      actual.insert(actual.end(), {at.value, h.real(), h.imag()});
    }
    compare(actual, rows.values, tolerance, what);
  };
  const auto designed = std::ranges::find(reference.cases(), of, &ReferenceCase::id);
  if (designed == reference.cases().end()) fail(c.id + ": no case " + of);
  // Near 1e-4 of the rate the vectors themselves have lost digits: their exp(i w) is a double.
  with(stored_sos(reference, *designed), 1e-9, c.id);
  with(own_design(of.substr(0, of.find('_')), c.params), c.tolerance, c.id + " with own design");
}

void run_zero_phase(const Reference& reference, const ReferenceCase& c) {
  const Sos sos = stored_sos(reference, c);
  if (c.params.at("pad_samples") != zero_phase_padding(sos)) fail(c.id + ": other padding");
  compare(zero_phase(sos, reference.input(c).values), reference.expected(c).values, c.tolerance,
          c.id);
}

struct Kind {
  void (*run)(const Reference&, const ReferenceCase&);
  std::size_t at_least;  // how many of them the vectors have had from the start
};

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> table{
      {"moving_average", {run_moving_average, 26}},
      {"butter", {run_sections, 48}},
      {"cheby1", {run_sections, 4}},
      {"cheby2", {run_sections, 2}},
      {"ellip", {run_sections, 3}},
      {"bessel", {run_sections, 4}},
      {"notch", {run_sections, 3}},
      {"peak", {run_sections, 2}},
      {"median", {run_median, 14}},
      {"sliding_min", {run_sliding<SlidingMin>, 8}},
      {"sliding_max", {run_sliding<SlidingMax>, 8}},
      {"sliding_rms", {run_sliding<SlidingRms>, 8}},
      {"sliding_std", {run_sliding_std, 16}},
      {"calibrate_linear", {run_calibrate_linear, 4}},
      {"polynomial", {run_polynomial, 3}},
      {"calibrate_segments", {run_calibrate_segments, 3}},
      {"zero_phase_iir", {run_zero_phase, 2}},
      {"frequency_response", {run_frequency_response, 49}},
      {"exponential_average", {test::run_exponential_average, 7}},
      {"derivative", {test::run_derivative, 6}},
      {"integral", {test::run_integral, 3}},
      {"interpolate", {test::run_interpolate, 8}},
      {"welch", {test::run_welch, 6}},
      {"hilbert_envelope", {test::run_hilbert_envelope, 2}},
      {"fir", {test::run_fir, 8}},
      {"savitzky_golay", {test::run_savitzky_golay, 8}},
      {"decimate_fir", {test::run_decimate_fir, 12}},
      {"resample_polyphase", {test::run_resample_polyphase, 8}},
      {"chain", {test::run_chain, 9}},
      {"quality_flag", {test::run_quality_flag, 19}},
      {"table", {test::run_table, 6}},
      {"thermocouple_emf", {test::run_thermocouple_emf, 1}},
      {"thermocouple_temperature", {test::run_thermocouple_temperature, 3}},
      {"calibrate_compensated", {test::run_calibrate_compensated, 1}},
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
  std::size_t unsupported = 0;
  std::size_t passed = 0;
  std::size_t failed = 0;
  std::size_t skipped = 0;
  own_designs = 0;
  for (const ReferenceCase& c : reference.cases()) {
    const auto kind = kinds().find(c.filter);
    if (kind == kinds().end()) {
      ++unsupported;
      FAIL_CHECK(c.id << ": no filter '" << c.filter << "' is known to this test");
      continue;
    }
    ++ran[c.filter];
    if ((c.filter == "calibrate_segments" || c.filter == "calibrate_compensated") && !has_data) {
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
  if (skipped > 0) fmt::print("not run, the recording is absent: {}\n", skipped);
  fmt::print("reference: {} passed, {} failed, {} not supported of {}\n", passed, failed,
             unsupported, reference.cases().size());

  CHECK(unsupported == 0);
  CHECK(passed + failed + skipped == reference.cases().size());
  for (const auto& [filter, kind] : kinds()) {
    CAPTURE(filter);
    CHECK(ran[filter] >= kind.at_least);
  }
  CHECK(own_designs >= 62);
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
