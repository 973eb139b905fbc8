#include "spillway/filters/spectrum.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <unsupported/Eigen/FFT>
#include <utility>

#include "periodogram.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/quality_span.hpp"

namespace spillway {

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr Quality bad_missing(Verdict::bad, Quality::missing);
constexpr Quality bad_range(Verdict::bad, Quality::out_of_range);

constexpr std::size_t most_envelope_taps = longest_direct_fir - 1;
constexpr std::size_t envelope_run = 64;  // frames worked on at once

Fir hilbert_transformer(const Envelope& p) {
  if (p.taps % 2 == 0 || p.taps < 3 || p.taps > most_envelope_taps)
    throw Error(fmt::format("envelope: {} taps; allowed are odd numbers from 3 to {}", p.taps,
                            most_envelope_taps));
  Fir fir{window({WindowKind::hamming}, p.taps, false), p.gap};
  const auto middle = static_cast<double>(p.taps / 2);
  for (std::size_t i = 0; i < p.taps; ++i) {
    const double n = static_cast<double>(i) - middle;
    fir.taps[i] *= std::fmod(n, 2.0) == 0.0 ? 0.0 : 2.0 / (std::numbers::pi * n);
  }
  return fir;
}

}  // namespace

Spectrum welch(std::span<const double> values, const Welch& parameters, Hertz rate) {
  Periodogram periodogram(parameters, rate);
  const std::size_t length = parameters.segment;
  if (values.size() < length)
    throw Error(fmt::format("spectrum: {} values; a segment of {} needs at least as many",
                            values.size(), length));
  Spectrum spectrum{frequencies(parameters, rate), std::vector<double>(length / 2 + 1)};
  std::size_t used = 0;
  for (std::size_t at = 0; at + length <= values.size(); at += length - parameters.overlap) {
    const std::span<const double> segment = values.subspan(at, length);
    if (!all_finite(segment)) continue;
    std::ranges::copy(segment, periodogram.segment().begin());
    periodogram.add_to(spectrum.power);
    ++used;
  }
  if (used == 0)
    std::ranges::fill(spectrum.power, nan_value);
  else
    periodogram.scale(spectrum.power, static_cast<double>(used));
  return spectrum;
}

WelchFilter::WelchFilter(const Welch& parameters, Hertz rate)
    : parameters_(parameters), periodogram_(std::make_unique<Periodogram>(parameters, rate)) {
  hop_ = parameters.segment - parameters.overlap;
  values_.resize(parameters.segment);
  quality_.resize(parameters.segment);
  power_.resize(bins());
}
WelchFilter::WelchFilter(const WelchFilter& other)
    : parameters_(other.parameters_),
      hop_(other.hop_),
      next_(other.next_),
      run_(other.run_),
      valid_(other.valid_),
      values_(other.values_),
      quality_(other.quality_),
      average_(other.average_),
      used_(other.used_),
      left_(other.left_),
      merged_(other.merged_),
      power_(other.power_),
      periodogram_(std::make_unique<Periodogram>(*other.periodogram_)) {}
WelchFilter::WelchFilter(WelchFilter&&) noexcept = default;
WelchFilter& WelchFilter::operator=(const WelchFilter& other) { return *this = WelchFilter(other); }
WelchFilter& WelchFilter::operator=(WelchFilter&&) noexcept = default;
WelchFilter::~WelchFilter() = default;

std::uint64_t WelchFilter::stride() const noexcept { return hop_ * parameters_.average; }

std::size_t WelchFilter::most_frames(std::size_t frames) const noexcept {
  return static_cast<std::size_t>(frames / stride()) + 1;
}

Made WelchFilter::process(ConstFrames in, Frames out) noexcept {
  if (in.count() == 0) return {};
  if (in.first != next_) gap();
  next_ = in.first;
  const std::uint64_t length = parameters_.segment;
  Made made;
  for (std::size_t f = 0; f < in.count();) {
    // The next segment to end, and how many samples that takes.
    const std::uint64_t segment = next_ < length ? 0 : (next_ - length) / hop_ + 1;
    const std::uint64_t missing = segment * hop_ + length - next_;
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(missing, in.count() - f));
    take(in.values.data() + f, in.quality.data() + f, n);
    f += n;
    if (n < missing) break;

    const std::uint64_t average = segment / parameters_.average;
    add_segment(average);
    if (segment % parameters_.average != parameters_.average - 1) continue;
    if (made.count == 0) made.first = average;
    put_average(out.values.data() + made.count * bins(), out.quality.data() + made.count * bins());
    start_average(average + 1);
    ++made.count;
  }
  return made;
}

// Of one run without a segment's end in it, but for the last one.
void WelchFilter::take(const double* x, const Quality* q, std::size_t frames) noexcept {
  for (std::size_t f = 0; f < frames; ++f) {
    const auto at = static_cast<std::size_t>(next_ % parameters_.segment);
    values_[at] = x[f];
    quality_[at] = q[f];
    valid_ = std::isfinite(x[f]) ? valid_ + 1 : 0;
    ++next_;
  }
  run_ = std::min<std::uint64_t>(run_ + frames, parameters_.segment);
  valid_ = std::min<std::uint64_t>(valid_, parameters_.segment);
}

void WelchFilter::start_average(std::uint64_t average) noexcept {
  average_ = average;
  used_ = 0;
  left_ = 0;
  merged_ = Quality::good();
  std::ranges::fill(power_, 0.0);
}

// The last samples are a segment of this average.
void WelchFilter::add_segment(std::uint64_t average) noexcept {
  if (average != average_) start_average(average);
  if (run_ < parameters_.segment) return;
  Quality quality;
  if (!all_good(quality_))
    for (const Quality q : quality_) quality = merge(quality, q);
  if (valid_ < parameters_.segment) {
    ++left_;
    merged_ = merge(
        merged_,
        Quality(Verdict::suspect, static_cast<std::uint8_t>(quality.reasons() | Quality::missing)));
    return;
  }
  ++used_;
  merged_ = merge(merged_, quality);
  const auto oldest = values_.begin() + static_cast<std::ptrdiff_t>(next_ % parameters_.segment);
  std::rotate_copy(values_.begin(), oldest, values_.end(), periodogram_->segment().begin());
  periodogram_->add_to(power_);
}

void WelchFilter::put_average(double* y, Quality* q) noexcept {
  Quality quality = merged_;
  if (used_ + left_ < parameters_.average)
    quality = merge(quality, Quality(Verdict::suspect, Quality::transient));
  if (used_ == 0) {
    std::fill_n(y, bins(), nan_value);
    std::fill_n(q, bins(), merge(quality, bad_missing));
    return;
  }
  periodogram_->scale(power_, static_cast<double>(used_));
  for (std::size_t i = 0; i < bins(); ++i) {
    const bool finite = std::isfinite(power_[i]);
    y[i] = finite ? power_[i] : nan_value;
    q[i] = finite ? quality : merge(quality, bad_range);
  }
}

void WelchFilter::reset() noexcept {
  next_ = 0;
  start_average(0);
  gap();
}

void WelchFilter::gap() noexcept {
  run_ = 0;
  valid_ = 0;
}

double WelchFilter::delay() const noexcept {
  return (static_cast<double>(parameters_.average - 1) * static_cast<double>(hop_) +
          static_cast<double>(parameters_.segment - 1)) /
         2.0;
}

void WelchFilter::save_state(StateWriter& writer) const {
  writer.put(static_cast<std::uint64_t>(parameters_.segment));
  writer.put(hop_);
  writer.put(static_cast<std::uint64_t>(parameters_.average));
  writer.put(next_);
  writer.put(run_);
  writer.put(valid_);
  writer.put(values_);
  writer.put(quality_);
  writer.put(average_);
  writer.put(used_);
  writer.put(left_);
  writer.put(merged_);
  writer.put(power_);
}

void WelchFilter::load_state(StateReader& reader) {
  std::uint64_t segment = 0;
  std::uint64_t hop = 0;
  std::uint64_t average = 0;
  reader.get(segment);
  reader.get(hop);
  reader.get(average);
  if (segment != parameters_.segment || hop != hop_ || average != parameters_.average)
    throw Error(
        fmt::format("spectrum: the state is of segments of {} samples every {}, {} in an "
                    "average; needed is one of {} every {}, {}",
                    segment, hop, average, parameters_.segment, hop_, parameters_.average));
  WelchFilter loaded = *this;
  reader.get(loaded.next_);
  reader.get(loaded.run_);
  reader.get(loaded.valid_);
  reader.get(loaded.values_);
  reader.get(loaded.quality_);
  reader.get(loaded.average_);
  reader.get(loaded.used_);
  reader.get(loaded.left_);
  reader.get(loaded.merged_);
  reader.get(loaded.power_);
  *this = std::move(loaded);
}

std::vector<double> hilbert_envelope(std::span<const double> values) {
  const std::size_t n = values.size();
  if (!all_finite(values)) return std::vector<double>(n, nan_value);
  if (n == 0) return {};
  if (n == 1) return {std::abs(values[0])};  // no transform of 1 in kissfft
  std::vector<std::complex<double>> signal(values.begin(), values.end());
  std::vector<std::complex<double>> spectrum(n);
  Eigen::FFT<double> fft;
  fft.fwd(spectrum.data(), signal.data(), static_cast<Eigen::Index>(n));
  // The analytic signal has no negative frequencies.
  for (std::size_t i = 1; i < n; ++i) {
    if (2 * i < n)
      spectrum[i] *= 2.0;
    else if (2 * i > n)
      spectrum[i] = 0.0;
  }
  fft.inv(signal.data(), spectrum.data(), static_cast<Eigen::Index>(n));
  std::vector<double> envelope(n);
  for (std::size_t i = 0; i < n; ++i) envelope[i] = std::abs(signal[i]);
  return envelope;
}

EnvelopeFilter::EnvelopeFilter(const Envelope& parameters, std::size_t lanes)
    : parameters_(parameters),
      lanes_(lanes),
      transformer_(hilbert_transformer(parameters), lanes),
      late_(parameters.taps / 2 * lanes),
      delayed_(envelope_run * lanes) {}

std::size_t EnvelopeFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t begin = 0; begin < frames; begin += envelope_run) {
    const std::size_t n = std::min(envelope_run, frames - begin);
    const std::size_t first = begin * lanes_;
    for (std::size_t f = 0; f < n; ++f) {
      double* const oldest = late_.data() + oldest_ * lanes_;
      std::copy_n(oldest, lanes_, delayed_.data() + f * lanes_);
      std::copy_n(in.values.data() + first + f * lanes_, lanes_, oldest);
      if (++oldest_ == parameters_.taps / 2) oldest_ = 0;
    }
    const std::size_t count = n * lanes_;
    const Frames run{out.values.subspan(first, count), out.quality.subspan(first, count), lanes_};
    transformer_.process({in.values.subspan(first, count), in.quality.subspan(first, count), lanes_,
                          in.first + begin},
                         run);
    for (std::size_t i = 0; i < count; ++i) {
      const double h = run.values[i];
      const double envelope = std::sqrt(delayed_[i] * delayed_[i] + h * h);
      if (std::isinf(envelope)) run.quality[i] = merge(run.quality[i], bad_range);
      run.values[i] = std::isfinite(envelope) ? envelope : nan_value;
    }
  }
  return frames;
}

void EnvelopeFilter::reset() noexcept {
  transformer_.reset();
  std::ranges::fill(late_, 0.0);
  oldest_ = 0;
}

void EnvelopeFilter::gap() noexcept {
  if (parameters_.gap == GapPolicy::reset) std::ranges::fill(late_, 0.0);
  transformer_.gap();
}

double EnvelopeFilter::delay() const noexcept { return static_cast<double>(parameters_.taps / 2); }

void EnvelopeFilter::save_state(StateWriter& writer) const {
  transformer_.save_state(writer);
  writer.put(static_cast<std::uint64_t>(oldest_));
  writer.put(late_);
}

void EnvelopeFilter::load_state(StateReader& reader) {
  EnvelopeFilter loaded = *this;
  std::uint64_t oldest = 0;
  loaded.transformer_.load_state(reader);
  reader.get(oldest);
  reader.get(loaded.late_);
  if (oldest >= parameters_.taps / 2)
    throw Error("envelope: the state is damaged: a position outside the window");
  loaded.oldest_ = static_cast<std::size_t>(oldest);
  *this = std::move(loaded);
}

}  // namespace spillway
