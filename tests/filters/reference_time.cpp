#include "reference_time.hpp"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "spillway/filters/calculus.hpp"
#include "spillway/filters/exponential_average.hpp"
#include "spillway/filters/interpolate.hpp"
#include "spillway/filters/spectrum.hpp"
#include "support.hpp"
#include "timed.hpp"

namespace spillway::test {

namespace {

[[noreturn]] void fail(const std::string& message) { throw std::runtime_error(message); }

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

// In blocks of 1, 7, 64 and all at once: the same bits.
template <class Filter>
std::vector<double> in_blocks(const Filter& filter, const Signal& in, const std::string& id) {
  Filter at_once = filter;
  const Signal whole = run(at_once, in);
  for (const std::size_t size : {1U, 7U, 64U}) {
    Filter cut = filter;
    if (!(run_in_blocks(cut, in, [&] { return size; }) == whole))
      fail(fmt::format("{}: blocks of {} give other bits than all at once", id, size));
  }
  return whole.values;
}

std::vector<Time> nanoseconds(const std::vector<double>& seconds) {
  std::vector<Time> times;
  for (const double s : seconds) times.emplace_back(std::llround(s * 1e9));
  return times;
}

// With the times of the input, if the case is of an irregular one.
template <class Filter>
std::vector<double> run_timed(const Filter& filter, const Reference& reference,
                              const ReferenceCase& c, bool irregular) {
  const Signal in = signal(reference.input(c).values);
  if (!irregular) return in_blocks(filter, in, c.id);
  return in_blocks(Timed(filter, nanoseconds(reference.times(c).values)), in, c.id);
}

}  // namespace

void run_exponential_average(const Reference& reference, const ReferenceCase& c) {
  ExponentialAverage p;
  const bool irregular = c.params.contains("tau_s");
  if (irregular)
    p.time_constant =
        std::chrono::nanoseconds(std::llround(c.params.at("tau_s").get<double>() * 1e9));
  else
    p.alpha = c.params.at("alpha");
  const std::string initial = c.params.at("initial");
  if (initial != "zero" && initial != "first") fail(c.id + ": initial is not known to this test");
  p.initial = initial == "zero" ? Initial::zero : Initial::steady;
  compare(run_timed(ExponentialAverageFilter(p, std::nullopt, 1), reference, c, irregular),
          reference.expected(c).values, c.tolerance, c.id);
}

// Without a rate the case is of irregular times.
std::optional<Rate> rate_of(const ReferenceCase& c) {
  if (!c.params.contains("rate_hz")) return std::nullopt;
  return Rate(Hertz{c.params.at("rate_hz")});
}

void run_derivative(const Reference& reference, const ReferenceCase& c) {
  const std::optional<Rate> rate = rate_of(c);
  const std::vector<double> wanted = reference.expected(c).values;
  const bool central = c.params.at("scheme") == "central";
  if (!central && c.params.at("scheme") != "backward") fail(c.id + ": the scheme is not known");
  const Derivative p{.scheme = central ? Difference::central : Difference::backward};
  const std::vector<double> streamed =
      run_timed(DerivativeFilter(p, rate, 1), reference, c, !rate.has_value());
  if (!central) return compare(streamed, wanted, c.tolerance, c.id);

  // The stream is one sample late and has no edges.
  const std::vector<double> values = reference.input(c).values;
  compare(rate ? derivative_central(values, *rate)
               : derivative_central(values, nanoseconds(reference.times(c).values)),
          wanted, c.tolerance, c.id);
  compare({streamed.begin() + 2, streamed.end()}, {wanted.begin() + 1, wanted.end() - 1},
          c.tolerance, c.id + " as a stream");
}

void run_integral(const Reference& reference, const ReferenceCase& c) {
  const std::optional<Rate> rate = rate_of(c);
  if (c.params.at("scheme") != "trapezoid") fail(c.id + ": the scheme is not known");
  compare(run_timed(IntegralFilter({.initial = c.params.at("initial")}, rate, 1), reference, c,
                    !rate.has_value()),
          reference.expected(c).values, c.tolerance, c.id);
}

void run_interpolate(const Reference& reference, const ReferenceCase& c) {
  const bool linear = c.params.at("method") == "linear";
  if (!linear && c.params.at("method") != "last known value")
    fail(c.id + ": the method is not known");
  const char* const name = linear ? "max_gap_s" : "max_age_s";
  std::chrono::nanoseconds limit{0};
  if (c.params.contains(name)) limit = nanoseconds({c.params.at(name)})[0];
  compare(interpolate(reference.input(c).values, nanoseconds(reference.times(c).values),
                      nanoseconds(reference.coefficients(c, "new_times").values),
                      linear ? Interpolation::linear : Interpolation::last, limit),
          reference.expected(c).values, c.tolerance, c.id);
}

// Offline, and as a stream with one output for all segments.
void run_welch(const Reference& reference, const ReferenceCase& c) {
  const std::map<std::string, WindowKind> windows{{"hann", WindowKind::hann},
                                                  {"hamming", WindowKind::hamming},
                                                  {"blackman", WindowKind::blackman},
                                                  {"boxcar", WindowKind::rectangular}};
  const std::string detrend = c.params.at("detrend");
  const std::string scaling = c.params.at("scaling");
  if ((detrend != "constant" && detrend != "none") ||
      (scaling != "density" && scaling != "spectrum") || c.params.at("window_form") != "periodic")
    fail(c.id + ": the detrending, scaling or window form is not known");
  Welch p;
  p.segment = c.params.at("segment");
  p.overlap = c.params.at("overlap");
  p.average = c.params.at("segments_averaged");
  p.window = {windows.at(c.params.at("window"))};
  p.detrend = detrend == "none" ? Detrend::none : Detrend::constant;
  p.scaling = scaling == "density" ? Scaling::density : Scaling::power;
  const Hertz rate{c.params.at("rate_hz")};
  const Signal in = signal(reference.input(c).values);
  const Spectrum spectrum = welch(in.values, p, rate);

  std::vector<double> rows;
  for (std::size_t i = 0; i < spectrum.power.size(); ++i)
    rows.insert(rows.end(), {spectrum.frequencies[i], spectrum.power[i]});
  compare(rows, reference.expected(c).values, c.tolerance, c.id);

  WelchFilter filter(p, rate);
  const std::size_t room = filter.most_frames(in.frames()) * filter.bins();
  std::vector<double> streamed(room);
  std::vector<Quality> quality(room);
  const Made made = filter.process({in.values, in.quality}, {streamed, quality, filter.bins()});
  streamed.resize(filter.bins());
  if (made.count != 1 || !same_bits(streamed, spectrum.power))
    fail(c.id + ": the stream makes something else");
}

void run_hilbert_envelope(const Reference& reference, const ReferenceCase& c) {
  compare(hilbert_envelope(reference.input(c).values), reference.expected(c).values, c.tolerance,
          c.id);
}

}  // namespace spillway::test
