#include "spillway/filters/sliding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <limits>
#include <utility>

#include "chunked_window.hpp"
#include "simd/pick.hpp"
#include "simd/sliding_kernels.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/median_bank.hpp"
#include "spillway/filters/quality_span.hpp"

SPILLWAY_SIMD_TABLE(SlidingKernels, sliding_kernels, pick_sliding_kernels)

namespace spillway {

namespace {

constexpr std::uint64_t max_window = std::uint64_t{1} << 28;
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr Quality unsettled{Verdict::suspect, Quality::transient};
constexpr Quality bad_missing{Verdict::bad, Quality::missing};

// See ChunkedWindow::Oldest. An extreme of all stands for the oldest.
double oldest_of_extremes(const double* longer, const double*, std::size_t) noexcept {
  return longer[0];
}
// Of how many there are and the sum of their squares. Before an infinity it is NaN, which counts
// as none: any window that has it has the infinity too.
double oldest_of_squares(const double* longer, const double* shorter, std::size_t lanes) noexcept {
  if (!(longer[0] > shorter[0])) return nan_value;
  return std::sqrt(longer[lanes] - shorter[lanes]);
}
// Of how many there are, their mean, and the sum of the squares of their differences from it,
// which an infinity has made NaN.
double oldest_of_spreads(const double* longer, const double* shorter, std::size_t lanes) noexcept {
  if (!(longer[0] > shorter[0])) return nan_value;
  if (!std::isfinite(longer[2 * lanes])) return infinity;
  return shorter[lanes] + longer[0] * (longer[lanes] - shorter[lanes]);
}

MedianBank<double> window_of(const SlidingMedian& p, std::size_t lanes) {
  return {p.window, lanes};
}
ChunkedWindow window_of(const SlidingMin& p, std::size_t lanes) {
  return {simd::pick_sliding_kernels().least, oldest_of_extremes, 0.0, p.window, lanes};
}
ChunkedWindow window_of(const SlidingMax& p, std::size_t lanes) {
  return {simd::pick_sliding_kernels().greatest, oldest_of_extremes, 0.0, p.window, lanes};
}
ChunkedWindow window_of(const SlidingRms& p, std::size_t lanes) {
  return {simd::pick_sliding_kernels().rms, oldest_of_squares, 0.0, p.window, lanes};
}
ChunkedWindow window_of(const SlidingStd& p, std::size_t lanes) {
  return {simd::pick_sliding_kernels().deviation, oldest_of_spreads, static_cast<double>(p.ddof),
          p.window, lanes};
}

constexpr const char* name_of(const SlidingMedian&) { return "sliding median"; }
constexpr const char* name_of(const SlidingMin&) { return "sliding min"; }
constexpr const char* name_of(const SlidingMax&) { return "sliding max"; }
constexpr const char* name_of(const SlidingRms&) { return "sliding rms"; }
constexpr const char* name_of(const SlidingStd&) { return "sliding std"; }

template <class Statistic>
const Statistic& checked(const Statistic& p, std::size_t lanes) {
  if (p.window == 0 || p.window > max_window)
    throw Error(fmt::format("{}: a window of {} samples; allowed are 1 to {}", name_of(p), p.window,
                            max_window));
  if (p.nan != NanPolicy::propagate && p.nan != NanPolicy::ignore)
    throw Error(fmt::format("{}: the NaN policy must be propagate or ignore", name_of(p)));
  if constexpr (std::same_as<Statistic, SlidingStd>)
    if (p.ddof != 0 && p.ddof != 1)
      throw Error(fmt::format("{}: ddof is {}; allowed are 0 and 1", name_of(p), p.ddof));
  if (lanes == 0) throw Error(fmt::format("{}: 0 lanes; at least 1 is needed", name_of(p)));
  return p;
}

}  // namespace

// The window knows the valid values and gives their statistic. What a NaN, the warm-up and a
// gap make of it is the same for all of them and done here.
template <class Statistic>
struct SlidingFilter<Statistic>::State {
  State(const Statistic& parameters, std::size_t lanes_)
      : p(parameters),
        lanes(lanes_),
        window(window_of(parameters, lanes_)),
        carried(lanes_),
        nan_until(lanes_),
        nan_outputs(lanes_) {
    begin();
  }

  Statistic p;
  std::size_t lanes;
  decltype(window_of(std::declval<Statistic>(), 1)) window;
  QualitySpan carried;
  std::uint64_t now = 0;                   // frames since the start or reset
  std::uint64_t last_nan = 0;              // the greatest of nan_until
  bool is_cut = false;                     // before those some were lost
  std::vector<std::uint64_t> nan_until;    // per lane: outputs before this frame are NaN
  std::vector<std::uint64_t> nan_outputs;  // scratch, per lane: bit f is frame f of a piece

  void process(ConstFrames in, Frames out) noexcept {
    const std::size_t frames = in.count();
    for (std::size_t f = 0; f < frames;) {
      // As much at once as is plain; where it is not, as little as nan_outputs holds.
      const std::size_t end = f + std::min<std::size_t>(frames - f, 1024);
      const bool all_plain = is_plain(in, f, end - f);
      for (std::size_t n = 0; f < end; f += n) {
        n = all_plain ? end - f : std::min<std::size_t>(end - f, 64);
        const bool plain = all_plain || is_plain(in, f, n);
        piece(part(in.values, f, n), part(in.quality, f, n), part(out.values, f, n),
              part(out.quality, f, n), plain);
      }
    }
  }
  template <class T>
  [[nodiscard]] std::span<T> part(std::span<T> all, std::size_t f, std::size_t n) const noexcept {
    return all.subspan(f * lanes, n * lanes);
  }
  // Nothing odd in these frames, nor left from those before.
  [[nodiscard]] bool is_plain(ConstFrames in, std::size_t f, std::size_t n) const noexcept {
    return carried.is_calm() && now >= last_nan && all_good(part(in.quality, f, n)) &&
           all_finite(part(in.values, f, n));
  }

  void piece(std::span<const double> x, std::span<const Quality> q_in, std::span<double> y,
             std::span<Quality> q_out, bool plain) noexcept {
    const std::size_t frames = x.size() / lanes;
    if (plain) {
      std::ranges::fill(q_out, Quality::good());
      carried.advance(frames);
    } else {
      carry(x, q_in, q_out);
    }
    window.process(x.data(), y.data(), frames);
    if (!plain) put_nan(y, frames);
    if (!all_finite(y)) mark_nan(y, q_out);
    now += frames;
  }

  // What the outputs carry, and which of them a NaN in the window makes NaN.
  void carry(std::span<const double> x, std::span<const Quality> q_in,
             std::span<Quality> q_out) noexcept {
    std::ranges::fill(nan_outputs, 0);
    const bool propagates = p.nan == NanPolicy::propagate;
    for (std::size_t f = 0, i = 0; i < x.size(); ++f) {
      for (std::size_t l = 0; l < lanes; ++l, ++i) {
        const bool is_nan = x[i] != x[i];
        carried.note(l, is_nan && !propagates ? quality_of_ignored(q_in[i]) : q_in[i], p.window);
        if (is_nan && propagates) last_nan = nan_until[l] = now + f + p.window;
        q_out[i] = carried.at(l);
        if (now + f < nan_until[l]) nan_outputs[l] |= std::uint64_t{1} << f;
      }
      carried.advance(1);
    }
  }
  void put_nan(std::span<double> y, std::size_t frames) const noexcept {
    for (std::size_t l = 0; l < lanes; ++l)
      for (std::uint64_t bits = nan_outputs[l]; bits != 0; bits &= bits - 1)
        y[static_cast<std::size_t>(std::countr_zero(bits)) * lanes + l] = nan_value;
    const std::uint64_t warming = now < warm_at() ? warm_at() - now : 0;
    std::fill_n(y.data(), std::min<std::uint64_t>(warming, frames) * lanes, nan_value);
  }
  void mark_nan(std::span<double> y, std::span<Quality> q_out) const noexcept {
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (y[i] == y[i]) continue;
      y[i] = nan_value;  // of one sign, however it came about
      if (now + i / lanes >= warm_at()) q_out[i] = merge(q_out[i], bad_missing);
    }
  }

  // The first frame whose output need not be NaN for want of samples.
  [[nodiscard]] std::uint64_t warm_at() const noexcept {
    return p.warm_up == WarmUp::nan ? p.window - 1 : 0;
  }
  void begin() noexcept { carried.note_all(unsettled, warm_at()); }
  void reset() noexcept {
    window.reset();
    carried.reset();
    now = 0;
    is_cut = false;
    last_nan = 0;
    std::ranges::fill(nan_until, 0);
    begin();
  }
  void gap() noexcept {
    if (p.gap == GapPolicy::reset) reset();
    if (now == 0) is_cut = true;
    carried.note_all(unsettled, p.window - 1);
  }
  void take_over(State& before) noexcept {
    if (p.nan != before.p.nan) return gap();
    const auto longer =
        static_cast<std::int64_t>(p.window) - static_cast<std::int64_t>(before.p.window);
    const std::uint64_t there = std::min({before.now, p.window - 1, before.p.window - 1});
    window.take_over(before.window, there);
    carried.take_over(before.carried, longer);
    is_cut = before.is_cut || before.now > there;
    if (is_cut || p.warm_up == WarmUp::nan) carried.note_all(unsettled, p.window - 1 - there);
    now = there;
    last_nan = 0;
    for (std::size_t l = 0; l < lanes; ++l) {
      const std::int64_t left =
          static_cast<std::int64_t>(before.nan_until[l]) - static_cast<std::int64_t>(before.now);
      const bool is_nan = left > 0 && left + longer > 0;
      nan_until[l] = is_nan ? now + static_cast<std::uint64_t>(left + longer) : 0;
      last_nan = std::max(last_nan, nan_until[l]);
    }
  }
};

template <class Statistic>
SlidingFilter<Statistic>::SlidingFilter(const Statistic& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)),
      lanes_(lanes),
      state_(std::make_unique<State>(parameters, lanes)) {}

template <class Statistic>
SlidingFilter<Statistic>::SlidingFilter(const SlidingFilter& other)
    : parameters_(other.parameters_),
      lanes_(other.lanes_),
      state_(std::make_unique<State>(*other.state_)) {}
template <class Statistic>
SlidingFilter<Statistic>& SlidingFilter<Statistic>::operator=(const SlidingFilter& other) {
  return *this = SlidingFilter(other);
}
template <class Statistic>
SlidingFilter<Statistic>::SlidingFilter(SlidingFilter&&) noexcept = default;
template <class Statistic>
SlidingFilter<Statistic>& SlidingFilter<Statistic>::operator=(SlidingFilter&&) noexcept = default;
template <class Statistic>
SlidingFilter<Statistic>::~SlidingFilter() = default;

template <class Statistic>
std::size_t SlidingFilter<Statistic>::process(ConstFrames in, Frames out) noexcept {
  state_->process(in, out);
  return in.count();
}

template <class Statistic>
void SlidingFilter<Statistic>::reset() noexcept {
  state_->reset();
}

template <class Statistic>
void SlidingFilter<Statistic>::gap() noexcept {
  state_->gap();
}

template <class Statistic>
void SlidingFilter<Statistic>::take_over(SlidingFilter& before) noexcept {
  state_->take_over(*before.state_);
}

template <class Statistic>
double SlidingFilter<Statistic>::delay() const noexcept {
  return static_cast<double>(parameters_.window - 1) / 2.0;
}

template <class Statistic>
void SlidingFilter<Statistic>::save_state(StateWriter& writer) const {
  writer.put(parameters_.window);
  writer.put(static_cast<std::uint64_t>(lanes_));
  state_->window.save_state(writer);
  state_->carried.save_state(writer);
  writer.put(state_->now);
  writer.put(static_cast<std::uint8_t>(state_->is_cut));
  writer.put(state_->last_nan);
  writer.put(state_->nan_until);
}

template <class Statistic>
void SlidingFilter<Statistic>::load_state(StateReader& reader) {
  std::uint64_t window = 0;
  std::uint64_t lanes = 0;
  reader.get(window);
  reader.get(lanes);
  if (window != parameters_.window || lanes != lanes_)
    throw Error(
        fmt::format("{}: the state is of a window of {} samples and {} lanes; "
                    "needed is one of {} and {}",
                    name_of(parameters_), window, lanes, parameters_.window, lanes_));
  auto loaded = std::make_unique<State>(*state_);
  loaded->window.load_state(reader);
  loaded->carried.load_state(reader);
  reader.get(loaded->now);
  std::uint8_t is_cut = 0;
  reader.get(is_cut);
  loaded->is_cut = is_cut != 0;
  reader.get(loaded->last_nan);
  reader.get(loaded->nan_until);
  state_ = std::move(loaded);
}

template class SlidingFilter<SlidingMedian>;
template class SlidingFilter<SlidingMin>;
template class SlidingFilter<SlidingMax>;
template class SlidingFilter<SlidingRms>;
template class SlidingFilter<SlidingStd>;

std::vector<double> median_centred(std::span<const double> values, std::uint64_t window) {
  if (window % 2 == 0 || window > max_window)
    throw Error(fmt::format("median: a centred window of {} samples; allowed are odd numbers to {}",
                            window, max_window - 1));
  const auto half = static_cast<std::size_t>(window / 2);
  std::vector<double> padded(values.size() + 2 * half);
  std::ranges::copy(values, padded.begin() + static_cast<std::ptrdiff_t>(half));
  std::vector<Quality> quality(padded.size());
  SlidingMedianFilter filter({.window = window}, 1);
  filter.process({padded, quality}, {padded, quality});
  padded.erase(padded.begin(), padded.begin() + static_cast<std::ptrdiff_t>(2 * half));
  return padded;
}

}  // namespace spillway
