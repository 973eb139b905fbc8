// Filters and graphs neither allocate nor lock, neither fault nor enter the kernel.
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"
#include "path.hpp"
#include "spillway/filters/fir.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/filters/iir.hpp"
#include "spillway/filters/moving_average.hpp"
#include "spillway/filters/resample.hpp"
#include "spillway/filters/savitzky_golay.hpp"
#include "spillway/filters/sliding.hpp"
#include "spillway/filters/sos.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr std::size_t lanes = 3;
constexpr std::size_t frames = 500;

// A filter and a signal with all that it may meet: NaN, infinity, overflow, qualities.
template <class Filter>
struct Bench {
  explicit Bench(Filter ready) : filter(std::move(ready)) {
    for (std::size_t i = 0; i < frames * lanes; ++i) {
      in.push_back(i % 97 == 0    ? std::numeric_limits<double>::quiet_NaN()
                   : i % 101 == 0 ? std::numeric_limits<double>::infinity()
                   : i % 103 == 0 ? std::numeric_limits<double>::max()
                                  : static_cast<double>(payload<std::int16_t>(i, 0)));
      quality.push_back(quality_of(i, 0));
    }
    out = in;
    quality_out = quality;
  }
  Filter filter;
  std::vector<double> in, out;
  std::vector<Quality> quality, quality_out;
  std::size_t made = 0;
};

template <class Filter>
void check(const std::string& name, const Filter& filter) {
  check_clean(name, [&] {
    const auto bench = std::make_shared<Bench<Filter>>(filter);
    Path path;
    path.run = [bench] {
      Bench<Filter>& b = *bench;
      for (int turn = 0; turn < 20; ++turn) {
        b.made += b.filter.process({b.in, b.quality, lanes}, {b.out, b.quality_out, lanes});
        b.filter.gap();
        // In place.
        b.made += b.filter.process({b.out, b.quality_out, lanes}, {b.out, b.quality_out, lanes});
        (void)b.filter.delay();
        if (turn % 7 == 0) b.filter.reset();
      }
    };
    path.reached = [bench] { return bench->made == 40 * frames; };
    return path;
  });
}

// One that changes the rate: not in place, and with sample numbers.
template <class Filter>
void check_rate(const std::string& name, const Filter& filter) {
  check_clean(name, [&] {
    const auto bench = std::make_shared<Bench<Filter>>(filter);
    bench->out.resize(filter.most_frames(frames) * lanes);
    bench->quality_out.resize(bench->out.size());
    Path path;
    path.run = [bench] {
      Bench<Filter>& b = *bench;
      std::uint64_t number = 0;
      for (int turn = 0; turn < 40; ++turn) {
        b.made +=
            b.filter.process({b.in, b.quality, lanes, number}, {b.out, b.quality_out, lanes}).count;
        number += frames;
        if (turn % 3 == 0) {
          b.filter.gap();
          number += 17;
        }
        if (turn % 7 == 0) b.filter.reset();
        (void)b.filter.delay();
        (void)b.filter.outputs_before(number);
      }
    };
    path.reached = [bench] { return bench->made >= 40 * frames / 10 - 40; };
    return path;
  });
}

// A stream of three types, calibrated, through averages, a low-pass and calibrations.
struct Chain {
  explicit Chain(bool regular)
      : stream(info(regular)),
        writer(stream),
        reader(stream),
        block(stream.info(), 128),
        graph(spec(regular), {stream.info()}, 128) {
    bytes.resize(200);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      // As a double small enough for a polynomial, and something in the other types.
      const auto value = static_cast<double>(payload<std::int16_t>(i, 0));
      std::memcpy(&bytes[i], &value, sizeof value);
      quality.push_back(quality_of(i, 0));
      times.push_back({});
    }
    CalibrationSet set(3);
    for (Calibration& calibration : set) calibration = Linear{0.5, -1.0};
    other = stream.add_calibrations(set);
    lanes_of.fill(bytes.data());
    quality_of_lanes = {quality.data(), nullptr, quality.data()};
  }

  static StreamInfo info(bool regular) {
    StreamInfo made = make_info({SampleType::int16, SampleType::float32, SampleType::float64}, 1024,
                                regular ? std::optional(Rate(1000, 1)) : std::nullopt);
    made.channels[0].calibration = Linear{0.1, 3.0};
    made.channels[2].calibration = Polynomial{{1.0, 2.0, 1e-3}};
    return made;
  }
  static GraphSpec spec(bool regular) {
    GraphSpec made;
    made.nodes.push_back({"average", {"stream"}, MovingAverage{.window = 33}, {}});
    made.nodes.push_back(
        {"valid", {"average"}, MovingAverage{.window = 5, .nan = NanPolicy::ignore}, {}});
    made.nodes.push_back({"one", {"stream/ch2"}, Calibrate{Linear{3.0, 4.0}, "mV"}, {}});
    made.nodes.push_back({"counts", {"raw(stream/ch0)"}, Calibrate{}, {}});
    // Lanes that are gathered.
    made.nodes.push_back({"sum", {"average/ch1", "stream"}, Arithmetic{}, {}});
    if (regular) {
      made.nodes.push_back({"low", {"average"}, lowpass(Butterworth{5}, Hertz{40}), {}});
      made.nodes.push_back({"again", {"raw(stream)"}, lowpass(Butterworth{2}, Hertz{100}), {}});
      made.nodes.push_back({"twice", {"low"}, Resample{.up = 2, .down = 1}, {}});
      made.nodes.push_back({"same", {"twice"}, Decimate{.factor = 2}, {}});
    } else {
      made.nodes.push_back({"grid", {"sum"}, Interpolate{.rate = Rate(1'000'000'000, 7)}, {}});
    }
    return made;
  }

  void turn() noexcept {
    const std::size_t count = 1 + n++ % 200;
    if (stream.info().rate) {
      writer.push_lanes(lanes_of, {count}, quality_of_lanes);
    } else {
      for (std::size_t i = 0; i < count; ++i) times[i] = Time(clock += n % 9 == i ? -5 : 10);
      writer.push_lanes(lanes_of, {count}, quality_of_lanes, std::span(times).first(count));
    }
    if (n % 5 == 0) writer.gap({3});
    if (n % 11 == 0) writer.calibrate(n % 2 == 0 ? other : CalibrationSetId{});
    if (n % 13 == 0 && stream.info().rate)
      writer.set_clock(writer.next(), Time(static_cast<std::int64_t>(n)));
    for (;;) {
      const Chunk chunk = reader.read(block);
      graph.process(0, chunk, block, reader.calibrations(chunk.calibrations));
      do {
        for (std::size_t node = 0; node < graph.spec().nodes.size(); ++node)
          made += graph.output(node).frames.count();
      } while (graph.process_rest());
      if (chunk.stop == Stop::drained) break;
    }
    if (n % 50 == 0) graph.reset();
  }

  Stream stream;
  StreamWriter writer;
  StreamReader reader;
  Block block;
  Graph graph;
  std::vector<std::uint64_t> bytes;
  std::vector<Quality> quality;
  std::vector<Time> times;
  CalibrationSetId other;
  std::array<const void*, 3> lanes_of{};
  std::array<const Quality*, 3> quality_of_lanes{};
  std::int64_t clock = 0;
  std::uint64_t n = 0;
  std::uint64_t made = 0;
};

}  // namespace

TEST_CASE("filters are fit for real time") {
  for (const WarmUp warm_up : {WarmUp::grow, WarmUp::nan})
    for (const NanPolicy nan : {NanPolicy::propagate, NanPolicy::ignore})
      for (const GapPolicy gap : {GapPolicy::reset, GapPolicy::hold})
        for (const std::uint64_t window : {1U, 7U, 300U, 3000U})
          check("moving average of " + std::to_string(window),
                MovingAverageFilter({window, warm_up, nan, gap}, lanes));
  for (const Initial initial : {Initial::zero, Initial::steady})
    for (const NanPolicy nan : {NanPolicy::hold, NanPolicy::reset})
      for (const GapPolicy gap : {GapPolicy::reset, GapPolicy::hold})
        for (const int order : {1, 2, 5, 12})
          check("low-pass of order " + std::to_string(order),
                SosFilter(design(lowpass(Butterworth{order}, Hertz{40}), Hertz{1000}),
                          {.initial = initial, .nan = nan, .gap = gap}, lanes));
  check("low-pass in blocks", SosFilter(design(lowpass(Butterworth{5}, Hertz{40}), Hertz{1000}),
                                        {.form = Form::block}, lanes));
}

TEST_CASE("sliding statistics are fit for real time, whatever the window") {
  // 128: from here on a median is kept in heaps.
  for (const std::uint64_t window : {1U, 5U, 32U, 127U, 128U, 3000U})
    for (const NanPolicy nan : {NanPolicy::propagate, NanPolicy::ignore}) {
      const std::string of = " of " + std::to_string(window);
      check("median" + of, SlidingMedianFilter({.window = window, .nan = nan}, lanes));
      check("minimum" + of, SlidingMinFilter({.window = window, .nan = nan}, lanes));
      check("maximum" + of, SlidingMaxFilter({.window = window, .nan = nan}, lanes));
      check("rms" + of, SlidingRmsFilter({.window = window, .nan = nan}, lanes));
      check("standard deviation" + of, SlidingStdFilter({.window = window, .nan = nan}, lanes));
    }
}

TEST_CASE("filters with a finite impulse response are fit for real time, by FFT too") {
  for (const GapPolicy gap : {GapPolicy::reset, GapPolicy::hold}) {
    for (const std::size_t taps : {std::size_t{1}, std::size_t{64}, longest_direct_fir,
                                   longest_direct_fir + 1, 3 * longest_direct_fir})
      check("FIR of " + std::to_string(taps),
            FirFilter({std::vector<double>(taps, 0.25), gap}, lanes));
    check("Savitzky-Golay", SavitzkyGolayFilter({.window = 21, .gap = gap}, Hertz{100}, lanes));
    check_rate("decimation", DecimateFilter({.factor = 10, .gap = gap}, lanes));
    check_rate("resampling", ResampleFilter({.up = 3, .down = 7, .gap = gap}, lanes));
  }
}

TEST_CASE("a graph is fit for real time, from the push to the output of its nodes") {
  for (const bool regular : {true, false})
    check_clean(regular ? "regular" : "irregular", [&] {
      const auto chain = std::make_shared<Chain>(regular);
      Path path;
      path.run = [chain] {
        for (int i = 0; i < 400; ++i) chain->turn();
      };
      path.reached = [chain, nodes = chain->graph.spec().nodes.size()] {
        return chain->made >= chain->writer.pushed() * nodes && chain->writer.pushed() > 16 * 2048;
      };
      return path;
    });
}
