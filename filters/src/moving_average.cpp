#include "spillway/filters/moving_average.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

// How many frames go through the bank at once.
constexpr std::size_t run_of(std::size_t lanes) { return std::max<std::size_t>(64, 256 / lanes); }
constexpr Quality unsettled(Verdict::suspect, Quality::transient);
constexpr Quality bad_missing(Verdict::bad, Quality::missing);

}  // namespace

MovingAverageFilter::MovingAverageFilter(const MovingAverage& parameters, std::size_t lanes)
    : parameters_(parameters), lanes_(lanes), bank_(parameters, lanes), carried_(lanes) {
  reset();
}

std::size_t MovingAverageFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0, n = 0; f < frames; f += n) {
    n = std::min(frames - f, run_of(lanes_));
    const std::span<const double> x = in.values.subspan(f * lanes_, n * lanes_);
    std::span<const Quality> q_in = in.quality.subspan(f * lanes_, n * lanes_);
    double* const y = out.values.data() + f * lanes_;
    Quality* const q_out = out.quality.data() + f * lanes_;
    // `y` may be `x`: what has to be known of it is asked before.
    if (parameters_.nan == NanPolicy::ignore && !all_finite(x)) {
      ignore_nan(x, q_in, q_out);
      q_in = {q_out, x.size()};
    }
    bank_.process(x.data(), y, n);
    put_qualities(q_in, {y, x.size()}, q_out);
  }
  return frames;
}

void MovingAverageFilter::ignore_nan(std::span<const double> x, std::span<const Quality> in,
                                     Quality* out) noexcept {
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = x[i] != x[i] ? quality_of_ignored(in[i]) : in[i];
}

void MovingAverageFilter::put_qualities(std::span<const Quality> in, std::span<const double> y,
                                        Quality* out) noexcept {
  if (carried_.is_calm() && warming_ == 0 && all_good(in) && all_finite(y)) {
    std::fill_n(out, in.size(), Quality::good());
    carried_.advance(in.size() / lanes_);
    return;
  }
  for (std::size_t row = 0; row < in.size(); row += lanes_) {
    for (std::size_t l = 0; l < lanes_; ++l) {
      carried_.note(l, in[row + l], parameters_.window);
      out[row + l] = carried_.at(l);
      if (warming_ == 0 && y[row + l] != y[row + l])
        out[row + l] = merge(out[row + l], bad_missing);
    }
    carried_.advance(1);
    if (warming_ > 0) --warming_;
  }
}

void MovingAverageFilter::reset() noexcept {
  bank_.reset();
  carried_.reset();
  is_cut_ = false;
  warming_ = parameters_.warm_up == WarmUp::nan ? parameters_.window - 1 : 0;
  carried_.note_all(unsettled, warming_);
}

void MovingAverageFilter::gap() noexcept {
  if (parameters_.gap == GapPolicy::reset) reset();
  if (bank_.state().frames == 0) is_cut_ = true;
  carried_.note_all(unsettled, parameters_.window - 1);
}

void MovingAverageFilter::take_over(MovingAverageFilter& before) noexcept {
  if (parameters_.nan != before.parameters_.nan) return gap();
  const std::uint64_t come = before.bank_.state().frames;
  const std::uint64_t past = parameters_.window - 1;
  const std::uint64_t there = std::min({come, past, before.parameters_.window - 1});
  is_cut_ = before.is_cut_ || come > there;
  bank_.take_over(before.bank_, there);
  carried_.take_over(before.carried_, static_cast<std::int64_t>(parameters_.window) -
                                          static_cast<std::int64_t>(before.parameters_.window));
  warming_ = parameters_.warm_up == WarmUp::nan ? past - there : 0;
  carried_.note_all(unsettled, is_cut_ ? past - there : warming_);
}

double MovingAverageFilter::delay() const noexcept {
  return static_cast<double>(parameters_.window - 1) / 2.0;
}

void MovingAverageFilter::save_state(StateWriter& writer) const {
  writer.put(parameters_.window);
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(bank_.state().frames);
  writer.put(bank_.state().values);
  writer.put(warming_);
  writer.put(static_cast<std::uint8_t>(is_cut_));
  carried_.save_state(writer);
}

void MovingAverageFilter::load_state(StateReader& reader) {
  std::uint64_t window = 0;
  std::uint64_t lanes = 0;
  reader.get(window);
  reader.get(lanes);
  if (window != parameters_.window || lanes != lanes_)
    throw Error(
        fmt::format("moving average: the state is of a window of {} samples and {} lanes; "
                    "needed is one of {} and {}",
                    window, lanes, parameters_.window, lanes_));
  MovingAverageFilter loaded = *this;
  reader.get(loaded.bank_.state().frames);
  reader.get(loaded.bank_.state().values);
  reader.get(loaded.warming_);
  std::uint8_t is_cut = 0;
  reader.get(is_cut);
  loaded.is_cut_ = is_cut != 0;
  loaded.carried_.load_state(reader);
  *this = std::move(loaded);
}

}  // namespace spillway
