#include "reference_fir.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "spillway/filters/fir.hpp"
#include "spillway/filters/resample.hpp"
#include "spillway/filters/savitzky_golay.hpp"
#include "support.hpp"

namespace spillway::test {
namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

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

// A copy of `filter` for each way of cutting: all at once, and blocks of 1, 7 and 64.
template <class Filter>
void in_blocks(const Filter& filter, const Signal& in, const std::vector<double>& wanted,
               double tolerance, const std::string& what) {
  Filter at_once = filter;
  const Signal whole = run_in_blocks(at_once, in, [&] { return in.frames(); });
  compare(whole.values, wanted, tolerance, what);
  for (const std::size_t size : {1U, 7U, 64U}) {
    Filter cut = filter;
    if (!(run_in_blocks(cut, in, [&] { return size; }) == whole))
      fail(fmt::format("{}: blocks of {} give other bits than all at once", what, size));
  }
}

WindowFunction window_of(const Json& json) {
  if (json.is_array() && json.at(0) == "kaiser") return {WindowKind::kaiser, json.at(1)};
  if (json == "hamming") return {WindowKind::hamming};
  if (json == "hann") return {WindowKind::hann};
  if (json == "blackman") return {WindowKind::blackman};
  fail(fmt::format("window {} is not known to this test", json.dump()));
}

std::vector<double> own_taps(const Json& p) {
  const Hertz rate{p.at("rate_hz")};
  const std::size_t taps = p.at("taps");
  const WindowFunction window = window_of(p.at("window"));
  const Json& cutoff = p.at("cutoff_hz");
  const auto at = [&](std::size_t i) { return Hertz{cutoff.at(i)}; };
  if (p.at("type") == "lowpass")
    return design(FirLowPass{taps, {cutoff.get<double>()}, window}, rate);
  if (p.at("type") == "highpass")
    return design(FirHighPass{taps, {cutoff.get<double>()}, window}, rate);
  if (p.at("type") == "bandpass") return design(FirBandPass{taps, at(0), at(1), window}, rate);
  if (p.at("type") == "bandstop") return design(FirBandStop{taps, at(0), at(1), window}, rate);
  fail(fmt::format("type {} is not known to this test", p.at("type").dump()));
}

// A filter that changes the rate, in blocks of `size`.
template <class Filter>
Signal change_rate(Filter filter, const Signal& in, std::size_t size) {
  Signal out;
  for (std::size_t f = 0; f < in.frames(); f += size) {
    const Signal piece = in.part(f, std::min(f + size, in.frames()));
    const std::size_t room = filter.most_frames(piece.frames());
    Signal made{std::vector<double>(room), std::vector<Quality>(room)};
    const Made result =
        filter.process({piece.values, piece.quality, 1, f}, {made.values, made.quality, 1});
    if (result.first != out.frames()) fail(fmt::format("output number {}", result.first));
    out.append(made.part(0, result.count));
  }
  return out;
}

template <class Filter>
void rate_in_blocks(const Filter& filter, const Signal& in, const std::vector<double>& wanted,
                    double tolerance, const std::string& what) {
  const Signal whole = change_rate(filter, in, in.frames());
  compare(whole.values, wanted, tolerance, what);
  for (const std::size_t size : {1U, 7U, 64U})
    if (!(change_rate(filter, in, size) == whole))
      fail(fmt::format("{}: blocks of {} give other bits than all at once", what, size));
}

}  // namespace

void run_fir(const Reference& reference, const ReferenceCase& c) {
  if (c.params.at("initial") != "zero") fail(fmt::format("{}: initial is not zero", c.id));
  const Signal in = signal(reference.input(c).values);
  const std::vector<double> wanted = reference.expected(c).values;
  const std::vector<double> stored = reference.coefficients(c, "taps").values;
  const std::vector<double> own = own_taps(c.params);
  const double delay = c.params.at("group_delay_samples");
  for (const auto& taps : {stored, own})
    if (FirFilter({taps}, 1).delay() != delay) fail(fmt::format("{}: another delay", c.id));
  in_blocks(FirFilter({stored}, 1), in, wanted, c.tolerance, c.id);
  in_blocks(FirFilter({own}, 1), in, wanted, c.own_design_tolerance.value(),
            c.id + " with own design");
  compare(own, stored, 1e-14, c.id + ": taps");
}

void run_decimate_fir(const Reference& reference, const ReferenceCase& c) {
  const Signal in = signal(reference.input(c).values);
  const std::vector<double> wanted = reference.expected(c).values;
  const std::vector<double> taps = reference.coefficients(c, "taps").values;
  Decimate p{.factor = c.params.at("factor"), .phase = c.params.at("phase")};
  p.coefficients = taps;
  rate_in_blocks(DecimateFilter(p, 1), in, wanted, c.tolerance, c.id);
  // The defaults are the reference's.
  p.coefficients.clear();
  rate_in_blocks(DecimateFilter(p, 1), in, wanted, c.own_design_tolerance.value(),
                 c.id + " with own design");
  p.taps = c.params.at("taps");
  p.cutoff = c.params.at("cutoff");
  p.window = window_of(c.params.at("window"));
  compare(design(p), taps, 1e-14, c.id + ": taps");
}

void run_resample_polyphase(const Reference& reference, const ReferenceCase& c) {
  const Signal in = signal(reference.input(c).values);
  const std::vector<double> wanted = reference.expected(c).values;
  const std::vector<double> taps = reference.coefficients(c, "taps").values;
  Resample stored{.up = c.params.at("up"), .down = c.params.at("down")};
  Resample own = stored;
  stored.coefficients = taps;
  compare(design(own), taps, 1e-14 * static_cast<double>(own.up), c.id + ": taps");
  if (c.params.at("align") == "zero delay") {
    compare(resample(in.values, stored), wanted, c.tolerance, c.id);
    compare(resample(in.values, own), wanted, c.own_design_tolerance.value(),
            c.id + " with own design");
    return;
  }
  if (c.params.at("align") != "causal") fail(fmt::format("{}: neither way of aligning", c.id));
  if (ResampleFilter(own, 1).delay() != c.params.at("delay_input_samples"))
    fail(fmt::format("{}: another delay", c.id));
  rate_in_blocks(ResampleFilter(stored, 1), in, wanted, c.tolerance, c.id);
  rate_in_blocks(ResampleFilter(own, 1), in, wanted, c.own_design_tolerance.value(),
                 c.id + " with own design");
}

void run_savitzky_golay(const Reference& reference, const ReferenceCase& c) {
  const Signal in = signal(reference.input(c).values);
  const std::vector<double> wanted = reference.expected(c).values;
  const std::vector<double> taps = reference.coefficients(c, "conv").values;
  const bool causal = c.params.at("align") == "causal";
  SavitzkyGolay p{.window = c.params.at("window"),
                  .order = c.params.at("order"),
                  .derivative = c.params.at("derivative"),
                  .align = causal ? Alignment::causal : Alignment::centred};
  const Hertz rate{1.0 / c.params.at("delta_s").get<double>()};
  double size = 0.0;
  for (const double tap : taps) size = std::max(size, std::abs(tap));
  compare(design(p, rate), taps, 1e-12 * size, c.id + ": taps");

  // Behind the beginning, which has a start of its own.
  const auto n = static_cast<std::ptrdiff_t>(p.window - 1);
  FirFilter fir({taps}, 1);
  std::vector<double> settled = run_in_blocks(fir, in, [&] { return in.frames(); }).values;
  const std::ptrdiff_t late = causal ? 0 : n / 2;
  compare({settled.begin() + n, settled.end()}, {wanted.begin() + n - late, wanted.end() - late},
          c.tolerance, c.id);
  if (causal) {
    in_blocks(SavitzkyGolayFilter(p, rate, 1), in, wanted, c.tolerance, c.id + " with own design");
    return;
  }
  compare(savitzky_golay_centred(in.values, p, rate), wanted, c.tolerance,
          c.id + " with own design");
  std::vector<double> shifted(wanted.begin() + n / 2, wanted.end() - n / 2);
  shifted.insert(shifted.begin(), p.window - 1, nan);
  in_blocks(SavitzkyGolayFilter(p, rate, 1), in, shifted, c.tolerance, c.id + " sample by sample");
}

}  // namespace spillway::test
