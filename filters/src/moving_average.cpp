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
    double* const y = out.values.data() + f * lanes_;
    bank_.process(in.values.data() + f * lanes_, y, n);
    put_qualities(in.quality.subspan(f * lanes_, n * lanes_), {y, n * lanes_},
                  out.quality.data() + f * lanes_);
  }
  return frames;
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
  warming_ = parameters_.warm_up == WarmUp::nan ? parameters_.window - 1 : 0;
  carried_.note_all(unsettled, warming_);
}

void MovingAverageFilter::gap() noexcept {
  if (parameters_.gap == GapPolicy::reset) reset();
  carried_.note_all(unsettled, parameters_.window - 1);
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
  loaded.carried_.load_state(reader);
  *this = std::move(loaded);
}

}  // namespace spillway
