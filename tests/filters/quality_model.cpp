#include "quality_model.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "spillway/filters/fir.hpp"
#include "spillway/filters/window_function.hpp"

namespace spillway::test {

namespace {

constexpr double average_level = 1e-3;  // of an exponential_average

double sum_of_moduli(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double v : values) sum += std::abs(v);
  return sum;
}

template <class Kind, class... Kinds>
constexpr bool is_one_of = (std::is_same_v<Kind, Kinds> || ...);

}  // namespace

std::optional<std::size_t> Track::find(std::uint64_t number) const {
  const auto found = std::ranges::lower_bound(numbers, number);
  if (found == numbers.end() || *found != number) return std::nullopt;
  return static_cast<std::size_t>(found - numbers.begin());
}

std::vector<std::size_t> Track::runs() const {
  std::vector<std::size_t> first(frames());
  for (std::size_t f = 1; f < frames(); ++f) first[f] = behind_gap[f] != 0 ? f : first[f - 1];
  return first;
}

NodeModel::NodeModel(const Graph& graph, std::size_t node, std::size_t lanes_in,
                     const Rate& feed_rate)
    : feed_rate_(feed_rate) {
  describe(graph.spec().nodes[node].kind, graph.system(node), lanes_in,
           graph.output_info(node).channels.size());
}

void NodeModel::take_sections(const Sos& sos, const SosOptions& options) {
  const std::uint64_t settling = settling_samples(sos, options.settling_level);
  // The output itself and `settling` more.
  length_ = 1 + settling;
  gap_ = options.gap;
  marks_gap_ = true;
  marks_start_ = options.initial == Initial::zero;
  level_ = options.settling_level;
  gains_ = {sum_of_moduli(impulse_response(sos, 4000 + 20 * settling))};
}

void NodeModel::take_taps(const std::vector<double>& taps, GapPolicy gap) {
  length_ = taps.size();
  gap_ = gap;
  marks_gap_ = marks_start_ = true;
  gains_ = {sum_of_moduli(taps)};
}

void NodeModel::describe(const NodeKind& node_kind, const LinearSystem* system,
                         std::size_t lanes_in, std::size_t lanes_out) {
  for (std::size_t l = 0; l < lanes_out; ++l) used_.push_back({l});
  std::vector<std::size_t> all(lanes_in);
  std::iota(all.begin(), all.end(), std::size_t{0});
  gains_ = {std::nullopt};
  const auto lanes = static_cast<double>(lanes_in);

  std::visit(
      [&]<class Kind>(const Kind& kind) {
        if constexpr (is_one_of<Kind, MovingAverage, SlidingMedian, SlidingMin, SlidingMax,
                                SlidingRms, SlidingStd>) {
          length_ = kind.window;
          ignores_nan_ = kind.nan == NanPolicy::ignore;
          gap_ = kind.gap;
          marks_gap_ = true;
          marks_start_ = kind.warm_up == WarmUp::nan;
          // A mean, a middle or extreme value and an RMS move by no more than all their inputs; a
          // standard deviation of n by sqrt(n / (n - ddof)) of that.
          gains_ = {std::is_same_v<Kind, SlidingStd> ? std::numbers::sqrt2 : 1.0};
        } else if constexpr (std::is_same_v<Kind, ExponentialAverage>) {
          double alpha = kind.alpha;
          if (alpha == 0.0)
            alpha = -std::expm1(-1e9 / feed_rate_.hertz().value /
                                static_cast<double>(kind.time_constant.count()));
          length_ = 2;
          for (double rest = 1.0 - alpha; rest > average_level; rest *= 1.0 - alpha) ++length_;
          gap_ = kind.gap;
          marks_gap_ = true;
          marks_start_ = kind.initial == Initial::zero;
          level_ = average_level;
          gains_ = {1.0};
        } else if constexpr (requires { kind.options.settling_level; }) {
          take_sections(std::get<Sos>(*system), kind.options);
        } else if constexpr (is_one_of<Kind, Fir, FirLowPass, FirHighPass, FirBandPass,
                                       FirBandStop>) {
          const auto& taps = std::get<std::vector<double>>(*system);
          take_taps(taps, kind.gap);
          if (taps.size() > longest_direct_fir) late_ = FirFilter({taps, kind.gap}, 1).block();
        } else if constexpr (is_one_of<Kind, SavitzkyGolay, Derivative>) {
          take_taps(std::get<std::vector<double>>(*system), kind.gap);
        } else if constexpr (std::is_same_v<Kind, Envelope>) {
          const std::vector<double> window =
              spillway::window({WindowKind::hamming}, kind.taps, false);
          double sum = 0.0;
          for (std::size_t i = 0; i < kind.taps; ++i) {
            const double n = static_cast<double>(i) - static_cast<double>(kind.taps / 2);
            if (std::fmod(n, 2.0) != 0.0) sum += std::abs(2.0 / (std::numbers::pi * n) * window[i]);
          }
          take_taps(std::vector<double>(kind.taps), kind.gap);
          gains_ = {1.0 + sum};
        } else if constexpr (std::is_same_v<Kind, Integral>) {
          shape_ = Shape::integral;
          gap_ = kind.gap;
          restarts_at_nan_ = kind.nan == NanPolicy::reset;
          gains_ = {1.0 / feed_rate_.hertz().value};
        } else if constexpr (std::is_same_v<Kind, Decimate>) {
          take_taps(design(kind), kind.gap);
          step_ = kind.factor;
          offset_ = kind.phase;
        } else if constexpr (std::is_same_v<Kind, Resample>) {
          const std::vector<double> taps = design(kind);
          take_taps(taps, kind.gap);
          const std::uint64_t divisor = std::gcd(kind.up, kind.down);
          taps_ = taps.size();
          step_ = kind.down / divisor;
          divisor_ = kind.up / divisor;
        } else if constexpr (std::is_same_v<Kind, Interpolate>) {
          shape_ = Shape::times;
          interpolate_ = kind;
          gains_ = {1.0};
        } else if constexpr (std::is_same_v<Kind, Welch>) {
          shape_ = Shape::segments;
          const std::uint64_t hop = kind.segment - kind.overlap;
          length_ = (kind.average - 1) * hop + kind.segment;
          step_ = hop * kind.average;
          offset_ = length_ - 1;
          used_.assign(lanes_out, {0});
          // |X| moves by sum |w| times the inputs' changes, and as much again where their mean
          // is subtracted. Its root mean square over segments moves no more.
          const std::vector<double> w = spillway::window(kind.window, kind.segment, true);
          double squares = 0.0;
          for (const double v : w) squares += v * v;
          const double sum = sum_of_moduli(w);
          const double power = kind.scaling == Scaling::density
                                   ? 1.0 / (feed_rate_.hertz().value * squares)
                                   : 1.0 / (sum * sum);
          is_power_ = true;
          gains_ = {2.0 * sum * std::sqrt(2.0 * power)};
        } else if constexpr (is_one_of<Kind, DetectStuck, DetectJump>) {
          judges_values_ = is_detector_ = true;
          gap_ = GapPolicy::reset;
          if constexpr (std::is_same_v<Kind, DetectStuck>)
            length_ = kind.samples;
          else
            length_ = 2;
          gains_ = {1.0};
        } else if constexpr (is_one_of<Kind, DetectRange, DetectSaturation>) {
          judges_values_ = true;
          gains_ = {1.0};
        } else if constexpr (std::is_same_v<Kind, Function>) {
          judges_values_ = true;  // of what it made
          gains_ = {2.0};
        } else if constexpr (std::is_same_v<Kind, Mix>) {
          judges_values_ = true;
          gains_.clear();
          for (std::size_t row = 0; row < lanes_out; ++row) {
            gains_.push_back(sum_of_moduli(kind.matrix[row]));
            used_[row].clear();
            for (std::size_t l = 0; l < lanes_in; ++l)
              if (kind.matrix[row][l] != 0.0) used_[row].push_back(l);
          }
        } else if constexpr (std::is_same_v<Kind, Arithmetic>) {
          judges_values_ = true;
          used_ = {all};
          const bool sums =
              kind.operation == Operation::add || kind.operation == Operation::subtract;
          if (sums)
            gains_ = {lanes};
          else if (kind.operation != Operation::multiply && kind.operation != Operation::divide)
            gains_ = {1.0};
        } else if constexpr (is_one_of<Kind, Compensate, Thermocouple>) {
          judges_values_ = true;
          used_ = {all};
        } else if constexpr (std::is_same_v<Kind, Calibrate>) {
          judges_values_ = true;
        } else {
          throw std::logic_error("this kind of node has no model");
        }
      },
      node_kind);
}

std::vector<std::uint64_t> NodeModel::outputs(const Track& in) const {
  std::vector<std::uint64_t> made;
  if (in.frames() == 0) return made;
  if (shape_ == Shape::times) {
    // All points from the first sample's time to the last one's.
    const Time first = in.times.front();
    const Time last = in.times.back();
    std::uint64_t k = interpolate_->rate.samples_within(first);
    k = k > 1 ? k - 1 : 0;
    while (interpolate_->rate.duration(k) < first) ++k;
    for (; interpolate_->rate.duration(k) <= last; ++k) made.push_back(k);
    return made;
  }
  for (std::uint64_t m = 0;; ++m) {
    const std::uint64_t at = (m * step_ + offset_) / divisor_;
    if (at > in.numbers.back()) return made;
    if (in.find(at)) made.push_back(m);
  }
}

Window NodeModel::tail(const Track& in, const std::vector<std::size_t>& runs,
                       std::uint64_t number) const {
  const std::uint64_t at = number * step_ + offset_;
  const std::size_t newest = in.find(at / divisor_).value();
  std::uint64_t length = length_;
  if (taps_ > 0) {
    // Every divisor-th tap, from the branch's first one on.
    const std::uint64_t branch = at % divisor_;
    length = branch < taps_ ? (taps_ - branch + divisor_ - 1) / divisor_ : 0;
  }
  const std::size_t first = gap_ == GapPolicy::reset ? runs[newest] : 0;
  Window w;
  w.newest = newest;
  w.marked = length + late_ > 0 ? length + late_ - 1 : 0;
  w.end = std::max(newest + 1 > late_ ? newest + 1 - late_ : 0, first);
  w.begin = w.end > first + length ? w.end - length : first;
  if (length == 0) w.begin = w.end;
  const std::size_t run = runs[newest];
  w.reaches_gap = marks_gap_ && in.behind_gap[run] != 0 && newest - run < w.marked;
  const std::size_t start = gap_ == GapPolicy::reset ? run : 0;
  w.reaches_start = start == 0 && newest < w.marked;
  return w;
}

Window NodeModel::window(const Track& in, const std::vector<std::size_t>& runs,
                         std::uint64_t number, std::size_t lane) const {
  Window w = values_window(in, runs, number, lane);
  w.doubts = is_detector_ ? w.newest : w.begin;
  return w;
}

Window NodeModel::values_window(const Track& in, const std::vector<std::size_t>& runs,
                                std::uint64_t number, std::size_t lane) const {
  Window w;
  switch (shape_) {
    case Shape::tail: return tail(in, runs, number);
    case Shape::integral: {
      w.newest = in.find(number).value();
      w.end = w.newest + 1;
      w.begin = gap_ == GapPolicy::reset ? runs[w.newest] : 0;
      if (restarts_at_nan_)
        for (std::size_t f = w.newest; f > w.begin; --f)
          if (!std::isfinite(in.values[(f - 1) * in.lanes + lane])) {
            w.begin = f;
            break;
          }
      if (restarts_at_nan_ && !std::isfinite(in.values[w.newest * in.lanes + lane]))
        w.begin = w.newest;
      w.reaches_start = w.begin == 0;
      w.marked = w.end - w.begin;
      // Only a lane that had begun notices a gap.
      if (gap_ == GapPolicy::hold)
        for (std::size_t f = w.begin + 1; f < w.end && !w.reaches_gap; ++f)
          w.reaches_gap = in.behind_gap[f] != 0;
      return w;
    }
    case Shape::times: {
      const Time time = interpolate_->rate.duration(number);
      const auto next =
          static_cast<std::size_t>(std::ranges::lower_bound(in.times, time) - in.times.begin());
      const bool hit = in.times.at(next) == time;
      w.is_between = !hit;
      w.newest = next;
      w.begin = hit ? next : next - 1;
      w.end = hit || interpolate_->method == Interpolation::linear ? next + 1 : next;
      return w;
    }
    case Shape::segments: {
      const std::uint64_t last = number * step_ + offset_;
      w.newest = in.find(last).value();
      w.end = w.newest + 1;
      w.begin = static_cast<std::size_t>(std::ranges::lower_bound(in.numbers, last + 1 - length_) -
                                         in.numbers.begin());
      w.is_cut = w.end - w.begin < length_;
      w.reaches_start = w.is_cut && w.begin == 0;
      return w;
    }
  }
  return w;
}

// What one input leaves in an output.
Quality NodeModel::left_by(double x, Quality q, bool is_past) const {
  if (shape_ == Shape::segments)
    return Quality(std::min(q.verdict(), Verdict::suspect), q.reasons());
  if (ignores_nan_ && std::isnan(x))
    return Quality(Verdict::suspect, static_cast<std::uint8_t>(q.reasons() | Quality::missing));
  if (!remembers()) return q;
  if (!std::isfinite(x)) q = merge(q, bad_missing);
  if (!is_past || q.is_good()) return q;
  if (shape_ == Shape::integral)
    return Quality(std::min(q.verdict(), Verdict::suspect), q.reasons());
  if (q.verdict() == Verdict::interpolated) return q;
  return merge(unsettled, Quality(Verdict::suspect, q.reasons()));
}

Quality NodeModel::quality(const Track& in, const Window& w, std::size_t lane,
                           double output) const {
  // Beyond a limit of time an interpolated point has nothing of its neighbours; of segments that a
  // gap has cut nothing is used.
  if (shape_ == Shape::times && std::isnan(output)) return Quality(Verdict::bad);
  if (w.is_cut) return unsettled;
  Quality all;
  if (w.is_between) all = Quality(Verdict::interpolated);
  if (w.reaches_gap && shape_ == Shape::integral)
    all = Quality(Verdict::suspect, Quality::missing);
  else if (w.reaches_gap || (w.reaches_start && marks_start_))
    all = merge(all, unsettled);
  for (std::size_t f = w.doubts; f < w.end; ++f)
    for (const std::size_t l : used_[lane]) {
      const std::size_t at = f * in.lanes + l;
      all = merge(all, left_by(in.values[at], in.quality[at], f != w.newest));
    }
  return all;
}

std::optional<double> NodeModel::limit(std::size_t lane, double recent, double older, double output,
                                       std::size_t window_frames) const {
  const std::optional<double> gain = gains_[lane % gains_.size()];
  if (!gain) return recent == 0.0 ? std::optional(0.0) : std::nullopt;
  if (is_power_) {
    const double change = *gain * recent;
    return change * (2.0 * std::sqrt(std::max(output, 0.0)) + change);
  }
  if (shape_ == Shape::integral) return *gain * recent * static_cast<double>(window_frames);
  return *gain * recent + level_ * *gain * older;
}

double NodeModel::scale(std::size_t lane, double peak) const {
  const double size = gains_[lane % gains_.size()].value_or(1.0) * peak;
  return is_power_ ? size * size : size;
}

}  // namespace spillway::test
