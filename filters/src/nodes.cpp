#include "nodes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <type_traits>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

class CalibrateFilter {
 public:
  explicit CalibrateFilter(std::optional<Calibration> calibration)
      : calibration_(std::move(calibration)) {}
  std::size_t process(ConstFrames in, Frames out) noexcept {
    std::copy_n(in.values.data(), in.values.size(), out.values.data());
    std::copy_n(in.quality.data(), in.quality.size(), out.quality.data());
    if (calibration_)
      calibration_->apply(out.values.first(in.values.size()), out.quality.first(in.values.size()));
    return in.count();
  }
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter&) const {}
  void load_state(StateReader&) {}

 private:
  std::optional<Calibration> calibration_;
};

template <class Filter>
class RunnerOf final : public Runner {
 public:
  explicit RunnerOf(Filter filter) : filter_(std::move(filter)) {}
  Made process(ConstFrames in, Frames out) noexcept override {
    if constexpr (std::is_same_v<decltype(filter_.process(in, out)), Made>)
      return filter_.process(in, out);
    else
      return {filter_.process(in, out), in.first};
  }
  [[nodiscard]] std::size_t fitting(const ConstFrames& in) const noexcept override {
    if constexpr (requires { filter_.fitting(in); })
      return filter_.fitting(in);
    else
      return in.count();
  }
  void reset() noexcept override { filter_.reset(); }
  void gap() noexcept override { filter_.gap(); }
  void take_over(Runner& before) noexcept override {
    if constexpr (requires(Filter & f) { f.take_over(f); }) {
      if (auto* same = dynamic_cast<RunnerOf*>(&before)) return filter_.take_over(same->filter_);
    }
    filter_.gap();
  }
  [[nodiscard]] std::string_view failure() const noexcept override {
    if constexpr (requires { filter_.message(); })
      return filter_.failed() ? filter_.message() : std::string_view();
    else
      return {};
  }
  void fail() noexcept override {
    if constexpr (requires { filter_.fail(""); })
      filter_.fail("it threw in the run that is replayed");
  }
  [[nodiscard]] double delay() const noexcept override { return filter_.delay(); }
  void save_state(StateWriter& writer) const override { filter_.save_state(writer); }
  void load_state(StateReader& reader) override { filter_.load_state(reader); }

 private:
  Filter filter_;
};

// A node with the lanes and the rate of its input.
template <class Filter>
Prepared like(const Feed& feed, Filter filter) {
  Prepared made;
  if constexpr (requires { filter.settling(); })
    made.memory = filter.settling() + 1;
  else if constexpr (requires { filter.parameters().window + 0U; })
    made.memory = filter.parameters().window;
  made.runner = std::make_unique<RunnerOf<Filter>>(std::move(filter));
  made.channels = feed.channels;
  made.most_frames = feed.most_frames;
  return made;
}

// A node of one lane.
template <class Filter>
Prepared single(const Feed& feed, Filter filter, const std::string& unit) {
  Prepared made = like(feed, std::move(filter));
  made.channels.resize(1);
  if (!unit.empty()) made.channels[0].unit = unit;
  return made;
}

// In the spelling of UDUNITS.
std::string times(const std::string& unit, const char* factor) {
  return unit == "1" ? factor : fmt::format("{} {}", unit, factor);
}
std::string squared(const std::string& unit) {
  if (unit == "1") return unit;
  return unit.find_first_of(" /.^") == std::string::npos ? unit + "2" : fmt::format("({})2", unit);
}

Hertz rate_of(const Feed& feed, const char* what) {
  if (!feed.rate)
    throw Error(fmt::format(
        "stream '{}' is irregular; {} needs a fixed rate; interpolate gives one", feed.name, what));
  return feed.rate->hertz();
}

void need_lanes(const Feed& feed, std::size_t least, std::size_t most, const char* what) {
  if (feed.channels.size() >= least && feed.channels.size() <= most) return;
  throw Error(fmt::format("{} channels come in; needed: {}", feed.channels.size(), what));
}

Prepared make(const Calibrate& kind, const Feed& feed) {
  if (kind.calibration) check(*kind.calibration, "calibrate");
  Prepared made = like(feed, CalibrateFilter(kind.calibration));
  for (ChannelInfo& channel : made.channels) {
    if (!kind.unit.empty())
      channel.unit = kind.unit;
    else if (kind.calibration && !kind.calibration->unit_out.empty())
      channel.unit = kind.calibration->unit_out;
  }
  return made;
}

Prepared make(const MovingAverage& kind, const Feed& feed) {
  Prepared made = like(feed, MovingAverageFilter(kind, feed.channels.size()));
  // A longer one has too many taps to be worth keeping.
  if (kind.window <= (std::uint64_t{1} << 16))
    made.system = std::vector<double>(kind.window, 1.0 / static_cast<double>(kind.window));
  return made;
}

Prepared make(const ExponentialAverage& kind, const Feed& feed) {
  ExponentialAverageFilter filter(kind, feed.rate, feed.channels.size());
  const double alpha = filter.alpha();
  Prepared made = like(feed, std::move(filter));
  // Irregular ones have no transfer function, nor have those so slow that alpha - 1 is -1.
  if (alpha - 1.0 > -1.0) made.system = Sos{{{alpha, 0.0, 0.0, alpha - 1.0, 0.0}}};
  return made;
}

Prepared with_sections(const Sos& sos, const SosOptions& options, const Feed& feed) {
  Prepared made = like(feed, SosFilter(sos, options, feed.channels.size()));
  made.system = sos;
  return made;
}
Prepared make(const Sections& kind, const Feed& feed) {
  return with_sections(kind.sos, kind.options, feed);
}
template <class Kind>
Prepared designed_sections(const Kind& kind, const Feed& feed) {
  return with_sections(design(kind, rate_of(feed, "a recursive filter")), kind.options, feed);
}
Prepared make(const LowPass& kind, const Feed& feed) { return designed_sections(kind, feed); }
Prepared make(const HighPass& kind, const Feed& feed) { return designed_sections(kind, feed); }
Prepared make(const BandPass& kind, const Feed& feed) { return designed_sections(kind, feed); }
Prepared make(const BandStop& kind, const Feed& feed) { return designed_sections(kind, feed); }
Prepared make(const Notch& kind, const Feed& feed) { return designed_sections(kind, feed); }
Prepared make(const Peak& kind, const Feed& feed) { return designed_sections(kind, feed); }

Prepared make(const Fir& kind, const Feed& feed) {
  Prepared made = like(feed, FirFilter(kind, feed.channels.size()));
  made.system = kind.taps;
  made.memory = kind.taps.size();
  return made;
}
template <class Kind>
Prepared designed_fir(const Kind& kind, const Feed& feed) {
  return make(Fir{design(kind, rate_of(feed, "a FIR filter")), kind.gap}, feed);
}
Prepared make(const FirLowPass& kind, const Feed& feed) { return designed_fir(kind, feed); }
Prepared make(const FirHighPass& kind, const Feed& feed) { return designed_fir(kind, feed); }
Prepared make(const FirBandPass& kind, const Feed& feed) { return designed_fir(kind, feed); }
Prepared make(const FirBandStop& kind, const Feed& feed) { return designed_fir(kind, feed); }

Prepared make(const SavitzkyGolay& kind, const Feed& feed) {
  const Hertz rate = rate_of(feed, "a Savitzky-Golay filter");
  Prepared made = like(feed, SavitzkyGolayFilter(kind, rate, feed.channels.size()));
  made.system = design(kind, rate);
  for (ChannelInfo& channel : made.channels)
    if (kind.derivative > 0)
      channel.unit = times(channel.unit, fmt::format("s-{}", kind.derivative).c_str());
  return made;
}

Prepared make(const SlidingMedian& kind, const Feed& feed) {
  return like(feed, SlidingMedianFilter(kind, feed.channels.size()));
}
Prepared make(const SlidingMin& kind, const Feed& feed) {
  return like(feed, SlidingMinFilter(kind, feed.channels.size()));
}
Prepared make(const SlidingMax& kind, const Feed& feed) {
  return like(feed, SlidingMaxFilter(kind, feed.channels.size()));
}
Prepared make(const SlidingRms& kind, const Feed& feed) {
  return like(feed, SlidingRmsFilter(kind, feed.channels.size()));
}
Prepared make(const SlidingStd& kind, const Feed& feed) {
  return like(feed, SlidingStdFilter(kind, feed.channels.size()));
}

Prepared make(const Derivative& kind, const Feed& feed) {
  Prepared made = like(feed, DerivativeFilter(kind, feed.rate, feed.channels.size()));
  for (ChannelInfo& channel : made.channels) channel.unit = times(channel.unit, "s-1");
  made.memory = kind.scheme == Difference::backward ? 2 : 3;
  if (feed.rate) {
    const double rate = feed.rate->hertz().value;
    made.system = kind.scheme == Difference::backward ? std::vector{rate, -rate}
                                                      : std::vector{rate / 2.0, 0.0, -rate / 2.0};
  }
  return made;
}
Prepared make(const Integral& kind, const Feed& feed) {
  Prepared made = like(feed, IntegralFilter(kind, feed.rate, feed.channels.size()));
  for (ChannelInfo& channel : made.channels) channel.unit = times(channel.unit, "s");
  made.memory = 0;
  return made;
}

Prepared make(const Decimate& kind, const Feed& feed) {
  (void)rate_of(feed, "decimation");
  DecimateFilter filter(kind, feed.channels.size());
  const std::size_t most = filter.most_frames(feed.most_frames);
  Prepared made = like(feed, std::move(filter));
  made.most_frames = most;
  made.numbers = NumberMap{kind.factor, kind.phase, 1};
  made.system = design(kind);
  made.memory = std::get<std::vector<double>>(*made.system).size();
  return made;
}
Prepared make(const Resample& kind, const Feed& feed) {
  (void)rate_of(feed, "resampling");
  ResampleFilter filter(kind, feed.channels.size());
  const std::size_t most = filter.most_frames(feed.most_frames);
  Prepared made = like(feed, std::move(filter));
  made.most_frames = most;
  const std::uint64_t divisor = std::gcd(kind.up, kind.down);
  made.numbers = NumberMap{kind.down / divisor, 0, kind.up / divisor};
  made.memory = (design(kind).size() + kind.up - 1) / kind.up;
  return made;
}
Prepared make(const Interpolate& kind, const Feed& feed) {
  InterpolateFilter filter(kind, feed.rate, feed.channels.size());
  const std::size_t most = filter.most_frames(feed.most_frames);
  Prepared made = like(feed, std::move(filter));
  made.most_frames = most;
  made.grid = kind.rate;
  made.memory = 2;
  return made;
}
Prepared make(const Align& kind, const Feed& feed) {
  std::size_t channel = 0;
  for (const AlignFilter::Input& in : feed.aligned) {
    // Outputs would be made without it nearly always.
    if (in.rate && in.rate->duration(1) > kind.max_wait)
      throw Error(
          fmt::format("max_wait is {} s, but '{}' has a sample every {} s only; two of these "
                      "periods are a good choice",
                      std::chrono::duration<double>(kind.max_wait).count(), feed.from[channel],
                      std::chrono::duration<double>(in.rate->duration(1)).count()));
    channel += in.lanes;
  }
  Prepared made;
  made.align = std::make_unique<AlignFilter>(kind, feed.aligned);
  made.channels = feed.channels;
  made.most_frames = feed.block_frames;
  made.grid = kind.rate;
  made.memory = 2;
  return made;
}

Prepared make(const Welch& kind, const Feed& feed) {
  need_lanes(feed, 1, 1, "one");
  const Hertz rate = rate_of(feed, "a spectrum");
  WelchFilter filter(kind, rate);
  const std::size_t most = filter.most_frames(feed.most_frames);
  const std::uint64_t stride = filter.stride();
  Prepared made = like(feed, std::move(filter));
  made.most_frames = most;
  // Output m is made with the last sample of its last segment.
  const std::uint64_t hop = kind.segment - kind.overlap;
  made.numbers = NumberMap{stride, (kind.average - 1) * hop + kind.segment - 1, 1};
  made.memory = (kind.average - 1) * hop + kind.segment;
  const ChannelInfo& of = feed.channels.front();
  made.channels.clear();
  for (const double frequency : frequencies(kind, rate)) {
    ChannelInfo bin = of;
    bin.name = fmt::format("{} at {} Hz", of.name, frequency);
    bin.unit = squared(of.unit);
    if (kind.scaling == Scaling::density) bin.unit = times(bin.unit, "Hz-1");
    made.channels.push_back(std::move(bin));
  }
  return made;
}
Prepared make(const Envelope& kind, const Feed& feed) {
  Prepared made = like(feed, EnvelopeFilter(kind, feed.channels.size()));
  made.memory = kind.taps;
  return made;
}

Prepared make(const Arithmetic& kind, const Feed& feed) {
  return single(feed, ArithmeticFilter(kind, feed.channels.size()), kind.unit);
}
// The lanes of the output, by the names that are given or else by numbers.
void name_lanes(Prepared& made, const Feed& feed, std::size_t lanes,
                const std::vector<std::string>& names, const std::string& unit) {
  made.channels.assign(lanes, feed.channels.front());
  for (std::size_t i = 0; i < lanes; ++i) {
    made.channels[i].name = i < names.size() ? names[i] : std::to_string(i);
    if (!unit.empty()) made.channels[i].unit = unit;
  }
}
Prepared make(const Mix& kind, const Feed& feed) {
  Prepared made = like(feed, MixFilter(kind, feed.channels.size()));
  if (!kind.names.empty() && kind.names.size() != kind.matrix.size())
    throw Error(fmt::format("{} names for {} rows of the matrix; there must be one for each",
                            kind.names.size(), kind.matrix.size()));
  name_lanes(made, feed, kind.matrix.size(), kind.names, kind.unit);
  return made;
}
Prepared make(const Function& kind, const Feed& feed) {
  Prepared made = like(feed, FunctionFilter(kind, feed.channels.size()));
  if (!kind.outputs.empty())
    name_lanes(made, feed, kind.outputs.size(), kind.outputs, kind.unit);
  else if (!kind.unit.empty())
    for (ChannelInfo& channel : made.channels) channel.unit = kind.unit;
  return made;
}
Prepared make(const Compensate& kind, const Feed& feed) {
  need_lanes(feed, 2, 2, "two, the value and the quantity it depends on");
  return single(feed, CompensateFilter(kind), kind.unit);
}
Prepared make(const Thermocouple& kind, const Feed& feed) {
  need_lanes(feed, 1, 2, "one, the voltage, or two, that and the temperature of the cold junction");
  if (feed.channels[0].unit != "mV")
    throw Error(fmt::format("channel '{}' is in '{}'; a thermocouple's voltage must be in mV",
                            feed.channels[0].name, feed.channels[0].unit));
  if (feed.channels.size() == 2 && feed.channels[1].unit != "degC" && feed.channels[1].unit != "°C")
    throw Error(
        fmt::format("channel '{}' is in '{}'; the cold junction's temperature must be in degC",
                    feed.channels[1].name, feed.channels[1].unit));
  return single(feed, ThermocoupleFilter(kind, feed.channels.size()), "degC");
}

// One that finds nothing has lost its limits.
void need_a_limit(double low, double high) {
  if (std::isinf(low) && std::isinf(high)) throw Error("one of low and high must be given");
}
Prepared make(const DetectRange& kind, const Feed& feed) {
  need_a_limit(kind.low, kind.high);
  return like(feed, DetectRangeFilter(kind, feed.channels.size()));
}
Prepared make(const DetectSaturation& kind, const Feed& feed) {
  need_a_limit(kind.low, kind.high);
  return like(feed, DetectSaturationFilter(kind, feed.channels.size()));
}
Prepared make(const DetectStuck& kind, const Feed& feed) {
  Prepared made = like(feed, DetectStuckFilter(kind, feed.channels.size()));
  made.memory = kind.samples;
  return made;
}
Prepared make(const DetectJump& kind, const Feed& feed) {
  Prepared made = like(feed, DetectJumpFilter(kind, feed.channels.size()));
  made.memory = 2;
  return made;
}
Prepared make(const DetectTime& kind, const Feed& feed) {
  if (feed.rate)
    throw Error(
        fmt::format("'{}' is regular: its gaps are in its numbers, and its times follow from them; "
                    "needed is an irregular stream",
                    feed.name));
  return like(feed, DetectTimeFilter(kind, feed.channels.size()));
}

}  // namespace

double memory_bytes(const NodeKind& kind, const Feed& feed) noexcept {
  const auto lanes = static_cast<double>(feed.channels.size());
  const auto frames = static_cast<double>(feed.most_frames);
  constexpr double value = 8.0;
  return std::visit(
      [&]<class Kind>(const Kind& k) {
        if constexpr (std::is_same_v<Kind, Fir>) {
          return 8.0 * value * static_cast<double>(k.taps.size()) * lanes;
        } else if constexpr (std::is_same_v<Kind, Decimate>) {
          return 3.0 * value * static_cast<double>(std::max(k.taps, 20 * k.factor)) * lanes;
        } else if constexpr (std::is_same_v<Kind, Resample>) {
          const auto up = static_cast<double>(k.up);
          const auto down = static_cast<double>(std::max<std::uint64_t>(k.down, 1));
          const double taps = std::max(static_cast<double>(k.taps), 20.0 * std::max(up, down));
          return 3.0 * value * taps * lanes + (value + 1.0) * frames * (up / down) * lanes;
        } else if constexpr (std::is_same_v<Kind, Align>) {
          double bytes = 0.0;
          for (std::size_t i = 0; i < feed.aligned.size(); ++i)
            bytes += static_cast<double>(AlignFilter::kept_frames(k, feed.aligned, i)) *
                     ((value + 1.0) * static_cast<double>(feed.aligned[i].lanes) + 56.0);
          return bytes;
        } else if constexpr (std::is_same_v<Kind, Welch>) {
          return 10.0 * value * static_cast<double>(k.segment);
        } else if constexpr (requires { k.taps + 1; }) {
          return 8.0 * value * static_cast<double>(k.taps) * lanes;
        } else if constexpr (requires { k.window + 1; }) {
          return 4.0 * value * static_cast<double>(k.window) * lanes;
        } else {
          return value * lanes;
        }
      },
      kind);
}

Prepared prepare(const NodeKind& kind, const Feed& feed) {
  return std::visit([&](const auto& k) { return make(k, feed); }, kind);
}

std::uint64_t NumberMap::outputs_before(std::uint64_t number) const noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide reached = static_cast<Wide>(number) * divisor;
  if (reached <= offset) return 0;
  return static_cast<std::uint64_t>((reached - offset + step - 1) / step);
}

}  // namespace spillway
