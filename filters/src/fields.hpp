// Every kind of node by its name, with its parameters by theirs: the one list that YAML, the
// provenance and the documentation's test go by. Private.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <variant>

#include "spillway/filters/graph_spec.hpp"

namespace spillway {

// As the alternatives of NodeKind are ordered.
inline constexpr std::array<std::string_view, std::variant_size_v<NodeKind>> kind_names{
    "calibrate",
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
    "savitzky_golay",
    "median",
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
    "detect_saturation",
    "detect_stuck",
    "detect_jump",
    "function",
    "detect_time",
    "align"};

// A word of YAML for each enumerator, in their order.
template <class E>
inline constexpr std::array<std::string_view, 0> words{};
template <>
inline constexpr std::array<std::string_view, 2> words<WarmUp>{"grow", "nan"};
template <>
inline constexpr std::array<std::string_view, 4> words<NanPolicy>{"propagate", "ignore", "hold",
                                                                  "reset"};
template <>
inline constexpr std::array<std::string_view, 2> words<GapPolicy>{"reset", "hold"};
template <>
inline constexpr std::array<std::string_view, 2> words<Initial>{"zero", "steady"};
template <>
inline constexpr std::array<std::string_view, 2> words<Form>{"df2t", "block"};
template <>
inline constexpr std::array<std::string_view, 3> words<BesselNorm>{"phase", "magnitude", "delay"};
template <>
inline constexpr std::array<std::string_view, 2> words<Alignment>{"causal", "centred"};
template <>
inline constexpr std::array<std::string_view, 2> words<Difference>{"backward", "central"};
template <>
inline constexpr std::array<std::string_view, 2> words<Interpolation>{"linear", "last"};
template <>
inline constexpr std::array<std::string_view, 2> words<Scaling>{"density", "power"};
template <>
inline constexpr std::array<std::string_view, 2> words<Detrend>{"none", "constant"};
template <>
inline constexpr std::array<std::string_view, 7> words<Operation>{
    "add", "subtract", "multiply", "divide", "minimum", "maximum", "mean"};
template <>
inline constexpr std::array<std::string_view, 8> words<ThermocoupleType>{"B", "E", "J", "K",
                                                                         "N", "R", "S", "T"};
template <>
inline constexpr std::array<std::string_view, 11> words<WindowKind>{
    "rectangular", "triangular", "hann",   "hamming",  "blackman", "blackman_harris",
    "nuttall",     "flat_top",   "kaiser", "gaussian", "tukey"};
template <>
inline constexpr std::array<std::string_view, 5> words<IirFamily>{
    "butterworth", "chebyshev1", "chebyshev2", "elliptic", "bessel"};

inline constexpr std::array window_nan{NanPolicy::propagate, NanPolicy::ignore};
inline constexpr std::array recursive_nan{NanPolicy::hold, NanPolicy::reset};

// fields(f, parameters) shows each parameter to `f`: its name, itself, and what else is needed
// to read it. With Need::required it has no default.
enum class Need { optional, required };
// The least and the greatest whole number that can be right, for a message with its place; the
// filter checks what depends on other parameters.
struct Whole {
  static constexpr std::int64_t most = std::int64_t{1} << 62;
  std::int64_t low = 0;
  std::int64_t high = most;
};

template <class F>
void fields(F& f, Calibrate& p) {
  f.calibration("calibration", p.calibration);
  f.text("unit", p.unit);
}
template <class F>
void fields(F& f, MovingAverage& p) {
  f.integer("window", p.window, Whole{1, 1 << 28}, Need::required);
  f.word("warm_up", p.warm_up);
  f.word("nan", p.nan, window_nan);
  f.word("gap", p.gap);
}
template <class F>
void fields(F& f, ExponentialAverage& p) {
  f.number("alpha", p.alpha);
  f.duration("time_constant", p.time_constant);
  f.word("initial", p.initial);
  f.word("nan", p.nan, recursive_nan);
  f.word("gap", p.gap);
}

template <class F>
void fields(F& f, SosOptions& p) {
  f.word("initial", p.initial);
  f.word("nan", p.nan, recursive_nan);
  f.word("gap", p.gap);
  f.word("form", p.form);
  f.number("settling_level", p.settling_level);
}
template <class F>
void fields(F& f, Butterworth& p) {
  f.integer("order", p.order, Whole{1, 12});
}
template <class F>
void fields(F& f, Chebyshev1& p) {
  f.integer("order", p.order, Whole{1, 12});
  f.number("ripple_db", p.ripple_db);
}
template <class F>
void fields(F& f, Chebyshev2& p) {
  f.integer("order", p.order, Whole{1, 12});
  f.number("attenuation_db", p.attenuation_db);
}
template <class F>
void fields(F& f, Elliptic& p) {
  f.integer("order", p.order, Whole{1, 12});
  f.number("ripple_db", p.ripple_db);
  f.number("attenuation_db", p.attenuation_db);
}
template <class F>
void fields(F& f, Bessel& p) {
  f.integer("order", p.order, Whole{1, 12});
  f.word("norm", p.norm);
}
template <class F, class P>
void edge_fields(F& f, P& p) {
  f.alternative("family", p.family);
  std::visit([&](auto& family) { fields(f, family); }, p.family);
  f.frequency("cutoff", p.cutoff, Need::required);
  fields(f, p.options);
}
template <class F, class P>
void band_fields(F& f, P& p) {
  f.alternative("family", p.family);
  std::visit([&](auto& family) { fields(f, family); }, p.family);
  f.frequency("low", p.low, Need::required);
  f.frequency("high", p.high, Need::required);
  fields(f, p.options);
}
template <class F>
void fields(F& f, LowPass& p) {
  edge_fields(f, p);
}
template <class F>
void fields(F& f, HighPass& p) {
  edge_fields(f, p);
}
template <class F>
void fields(F& f, BandPass& p) {
  band_fields(f, p);
}
template <class F>
void fields(F& f, BandStop& p) {
  band_fields(f, p);
}
template <class F>
void fields(F& f, Notch& p) {
  f.frequency("frequency", p.frequency, Need::required);
  f.number("quality", p.quality);
  fields(f, p.options);
}
template <class F>
void fields(F& f, Peak& p) {
  f.frequency("frequency", p.frequency, Need::required);
  f.number("quality", p.quality);
  fields(f, p.options);
}
template <class F>
void fields(F& f, Sections& p) {
  f.sections("sections", p.sos, Need::required);
  fields(f, p.options);
}

template <class F>
void fields(F& f, WindowFunction& p) {
  // The parameter of another kind of window is not this one's.
  const WindowKind before = p.kind;
  f.word("window", p.kind);
  if (p.kind != before) p.parameter = 0.0;
  f.number("window_parameter", p.parameter);
}
template <class F>
void fields(F& f, Fir& p) {
  f.numbers("taps", p.taps, Need::required);
  f.word("gap", p.gap);
}
template <class F, class P>
void fir_edge_fields(F& f, P& p) {
  f.integer("taps", p.taps);
  f.frequency("cutoff", p.cutoff, Need::required);
  fields(f, p.window);
  f.word("gap", p.gap);
}
template <class F, class P>
void fir_band_fields(F& f, P& p) {
  f.integer("taps", p.taps);
  f.frequency("low", p.low, Need::required);
  f.frequency("high", p.high, Need::required);
  fields(f, p.window);
  f.word("gap", p.gap);
}
template <class F>
void fields(F& f, FirLowPass& p) {
  fir_edge_fields(f, p);
}
template <class F>
void fields(F& f, FirHighPass& p) {
  fir_edge_fields(f, p);
}
template <class F>
void fields(F& f, FirBandPass& p) {
  fir_band_fields(f, p);
}
template <class F>
void fields(F& f, FirBandStop& p) {
  fir_band_fields(f, p);
}
template <class F>
void fields(F& f, SavitzkyGolay& p) {
  f.integer("window", p.window, Whole{1, 4096}, Need::required);
  f.integer("order", p.order, Whole{1, 12});
  f.integer("derivative", p.derivative);
  f.word("align", p.align);
  f.word("gap", p.gap);
}

template <class F, class P>
void sliding_fields(F& f, P& p) {
  f.integer("window", p.window, Whole{1, 1 << 28}, Need::required);
  f.word("warm_up", p.warm_up);
  f.word("nan", p.nan, window_nan);
  f.word("gap", p.gap);
}
template <class F>
void fields(F& f, SlidingMedian& p) {
  sliding_fields(f, p);
}
template <class F>
void fields(F& f, SlidingMin& p) {
  sliding_fields(f, p);
}
template <class F>
void fields(F& f, SlidingMax& p) {
  sliding_fields(f, p);
}
template <class F>
void fields(F& f, SlidingRms& p) {
  sliding_fields(f, p);
}
template <class F>
void fields(F& f, SlidingStd& p) {
  f.integer("ddof", p.ddof, Whole{0, 1});
  sliding_fields(f, p);
}

template <class F>
void fields(F& f, Derivative& p) {
  f.word("scheme", p.scheme);
  f.word("gap", p.gap);
}
template <class F>
void fields(F& f, Integral& p) {
  f.number("initial", p.initial);
  f.word("nan", p.nan, recursive_nan);
  f.word("gap", p.gap);
}

template <class F>
void fields(F& f, Decimate& p) {
  f.integer("factor", p.factor, Whole{1, Whole::most}, Need::required);
  f.integer("phase", p.phase);
  f.integer("taps", p.taps);
  f.number("cutoff", p.cutoff);
  fields(f, p.window);
  f.numbers("coefficients", p.coefficients);
  f.word("gap", p.gap);
}
template <class F>
void fields(F& f, Resample& p) {
  f.integer("up", p.up, Whole{1, Whole::most}, Need::required);
  f.integer("down", p.down, Whole{1, Whole::most}, Need::required);
  f.integer("taps", p.taps);
  fields(f, p.window);
  f.numbers("coefficients", p.coefficients);
  f.word("gap", p.gap);
}
template <class F>
void fields(F& f, Interpolate& p) {
  f.rate("rate", p.rate, Need::required);
  f.word("method", p.method);
  f.duration("max_gap", p.max_gap);
  f.duration("max_age", p.max_age);
}
template <class F>
void fields(F& f, Align& p) {
  f.optional_rate("rate", p.rate);
  f.word("method", p.method);
  f.duration("max_gap", p.max_gap);
  f.duration("max_age", p.max_age);
  f.duration("max_wait", p.max_wait);
}
template <class F>
void fields(F& f, Welch& p) {
  f.integer("segment", p.segment);
  f.integer("overlap", p.overlap);
  f.integer("average", p.average);
  fields(f, p.window);
  f.word("detrend", p.detrend);
  f.word("scaling", p.scaling);
}
template <class F>
void fields(F& f, Envelope& p) {
  f.integer("taps", p.taps);
  f.word("gap", p.gap);
}

template <class F>
void fields(F& f, Arithmetic& p) {
  f.word("operation", p.operation, Need::required);
  f.text("unit", p.unit);
}
template <class F>
void fields(F& f, Mix& p) {
  f.matrix("matrix", p.matrix, Need::required);
  f.numbers("offset", p.offset);
  f.texts("names", p.names);
  f.text("unit", p.unit);
}
template <class F>
void fields(F& f, Compensate& p) {
  f.matrix("coefficients", p.coefficients, Need::required);
  f.text("unit", p.unit);
}
template <class F>
void fields(F& f, Thermocouple& p) {
  f.word("thermocouple", p.type, Need::required);
  f.number("cold_junction_celsius", p.cold_junction_celsius);
}
template <class F>
void fields(F& f, DetectRange& p) {
  f.number("low", p.low);
  f.number("high", p.high);
}
template <class F>
void fields(F& f, DetectSaturation& p) {
  f.number("low", p.low);
  f.number("high", p.high);
}
template <class F>
void fields(F& f, DetectStuck& p) {
  f.integer("samples", p.samples, Whole{2, Whole::most});
}
template <class F>
void fields(F& f, DetectJump& p) {
  f.number("limit", p.limit, Need::required);
}
template <class F>
void fields(F& f, Function& p) {
  f.function("function", p, Need::required);
}
template <class F>
void fields(F& f, DetectTime& p) {
  f.duration("max_step", p.max_step);
}

}  // namespace spillway
