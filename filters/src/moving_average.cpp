#include "spillway/filters/moving_average.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t max_window = std::uint64_t{1} << 28;
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

const MovingAverage& checked(const MovingAverage& p, std::size_t lanes) {
  if (p.window == 0 || p.window > max_window)
    throw Error(fmt::format("moving average: a window of {} samples; allowed are 1 to {}", p.window,
                            max_window));
  if (p.nan != NanPolicy::propagate && p.nan != NanPolicy::ignore)
    throw Error("moving average: the NaN policy must be propagate or ignore");
  if (lanes == 0) throw Error("moving average: 0 lanes; at least 1 is needed");
  return p;
}

}  // namespace

MovingAverageFilter::MovingAverageFilter(const MovingAverage& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)),
      lanes_(lanes),
      prefix_sum_(lanes),
      prefix_quality_(lanes),
      sum_(parameters.window * lanes),
      quality_(parameters.window * lanes) {
  if (parameters.nan == NanPolicy::ignore) {
    prefix_valid_.resize(lanes);
    valid_.resize(parameters.window * lanes);
  }
}

std::size_t MovingAverageFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    const std::size_t row = f * lanes_;
    if (filled_ < parameters_.window) ++filled_;
    add_values(in.values.data() + row);
    add_quality(in.quality.data() + row);
    put_means(out.values.data() + row);
    put_quality(out.values.data() + row, out.quality.data() + row);
    if (after_gap_ > 0) --after_gap_;
    if (++position_ == parameters_.window) close_partition();
  }
  return frames;
}

void MovingAverageFilter::add_values(const double* x) noexcept {
  const std::size_t lanes = lanes_;
  double* const kept = sum_.data() + position_ * lanes_;
  double* const prefix = prefix_sum_.data();
  const bool first = position_ == 0;
  if (parameters_.nan == NanPolicy::propagate) {
    for (std::size_t l = 0; l < lanes; ++l) {
      kept[l] = x[l];
      prefix[l] = first ? x[l] : prefix[l] + x[l];
    }
    return;
  }
  std::uint32_t* const kept_valid = valid_.data() + position_ * lanes_;
  std::uint32_t* const prefix_valid = prefix_valid_.data();
  for (std::size_t l = 0; l < lanes; ++l) {
    const bool valid = x[l] == x[l];
    const double value = valid ? x[l] : 0.0;
    kept[l] = value;
    prefix[l] = first ? value : prefix[l] + value;
    kept_valid[l] = valid ? 1U : 0U;
    prefix_valid[l] = (first ? 0U : prefix_valid[l]) + kept_valid[l];
  }
}

void MovingAverageFilter::put_means(double* y) const noexcept {
  const std::size_t lanes = lanes_;
  if (parameters_.warm_up == WarmUp::nan && filled_ < parameters_.window) {
    std::fill_n(y, lanes_, nan_value);
    return;
  }
  // The rest of the window: the end of the previous partition, if there was one.
  const bool has_rest = filled_ > position_ + 1;
  const double* const prefix = prefix_sum_.data();
  const double* const rest = sum_.data() + (has_rest ? (position_ + 1) * lanes_ : 0);
  if (parameters_.nan == NanPolicy::propagate) {
    const auto n = static_cast<double>(filled_);
    for (std::size_t l = 0; l < lanes; ++l) {
      const double mean = (has_rest ? prefix[l] + rest[l] : prefix[l]) / n;
      y[l] = mean == mean ? mean : nan_value;
    }
    return;
  }
  const std::uint32_t* const prefix_valid = prefix_valid_.data();
  const std::uint32_t* const rest_valid = valid_.data() + (has_rest ? (position_ + 1) * lanes_ : 0);
  for (std::size_t l = 0; l < lanes; ++l) {
    const double sum = has_rest ? prefix[l] + rest[l] : prefix[l];
    const std::uint32_t n = prefix_valid[l] + (has_rest ? rest_valid[l] : 0U);
    const double mean = sum / static_cast<double>(n);
    y[l] = mean == mean ? mean : nan_value;
  }
}

void MovingAverageFilter::add_quality(const Quality* q) noexcept {
  const std::size_t lanes = lanes_;
  Quality* const kept = quality_.data() + position_ * lanes_;
  Quality* const prefix = prefix_quality_.data();
  const bool first = position_ == 0;
  for (std::size_t l = 0; l < lanes; ++l) {
    kept[l] = q[l];
    prefix[l] = first ? q[l] : merge(prefix[l], q[l]);
  }
}

void MovingAverageFilter::put_quality(const double* y, Quality* q) const noexcept {
  const std::size_t lanes = lanes_;
  const bool has_rest = filled_ > position_ + 1;
  const Quality* const prefix = prefix_quality_.data();
  const Quality* const rest = quality_.data() + (has_rest ? (position_ + 1) * lanes_ : 0);
  const bool warming = parameters_.warm_up == WarmUp::nan && filled_ < parameters_.window;
  const Quality extra =
      warming || after_gap_ > 0 ? Quality(Verdict::suspect, Quality::transient) : Quality::good();
  const Quality if_nan = warming ? Quality::good() : Quality(Verdict::bad, Quality::missing);
  for (std::size_t l = 0; l < lanes; ++l) {
    const Quality window = has_rest ? merge(prefix[l], rest[l]) : prefix[l];
    const Quality marked = merge(window, extra);
    q[l] = y[l] == y[l] ? marked : merge(marked, if_nan);
  }
}

void MovingAverageFilter::close_partition() noexcept {
  for (std::size_t i = (parameters_.window - 1) * lanes_; i-- > 0;) {
    sum_[i] += sum_[i + lanes_];
    quality_[i] = merge(quality_[i], quality_[i + lanes_]);
  }
  if (parameters_.nan == NanPolicy::ignore)
    for (std::size_t i = (parameters_.window - 1) * lanes_; i-- > 0;)
      valid_[i] += valid_[i + lanes_];
  position_ = 0;
}

void MovingAverageFilter::reset() noexcept {
  position_ = 0;
  filled_ = 0;
  after_gap_ = 0;
}

void MovingAverageFilter::gap() noexcept {
  if (parameters_.gap == GapPolicy::reset) reset();
  after_gap_ = parameters_.window - 1;
}

double MovingAverageFilter::delay() const noexcept {
  return static_cast<double>(parameters_.window - 1) / 2.0;
}

void MovingAverageFilter::save_state(StateWriter& writer) const {
  writer.put(parameters_.window);
  writer.put(static_cast<std::uint64_t>(lanes_));
  writer.put(static_cast<std::uint64_t>(position_));
  writer.put(filled_);
  writer.put(after_gap_);
  writer.put(prefix_sum_);
  writer.put(prefix_quality_);
  writer.put(prefix_valid_);
  writer.put(sum_);
  writer.put(quality_);
  writer.put(valid_);
}

void MovingAverageFilter::load_state(StateReader& reader) {
  std::uint64_t window = 0;
  std::uint64_t lanes = 0;
  std::uint64_t position = 0;
  reader.get(window);
  reader.get(lanes);
  if (window != parameters_.window || lanes != lanes_)
    throw Error(
        fmt::format("moving average: the state is of a window of {} samples and {} lanes; "
                    "needed is one of {} and {}",
                    window, lanes, parameters_.window, lanes_));
  MovingAverageFilter loaded = *this;
  reader.get(position);
  reader.get(loaded.filled_);
  reader.get(loaded.after_gap_);
  reader.get(loaded.prefix_sum_);
  reader.get(loaded.prefix_quality_);
  reader.get(loaded.prefix_valid_);
  reader.get(loaded.sum_);
  reader.get(loaded.quality_);
  reader.get(loaded.valid_);
  if (position >= window || loaded.filled_ > window || loaded.filled_ < position ||
      loaded.after_gap_ >= window)
    throw Error("moving average: the state is damaged: its positions are outside the window");
  loaded.position_ = static_cast<std::size_t>(position);
  *this = std::move(loaded);
}

}  // namespace spillway
