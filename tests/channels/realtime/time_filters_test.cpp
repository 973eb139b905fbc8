// Filters that know of time, and spectra, neither allocate nor lock, neither fault nor enter the
// kernel.
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../support.hpp"
#include "path.hpp"
#include "spillway/filters/calculus.hpp"
#include "spillway/filters/exponential_average.hpp"
#include "spillway/filters/interpolate.hpp"
#include "spillway/filters/spectrum.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using namespace std::chrono_literals;

constexpr std::size_t frames = 500;

// A signal with all that it may meet: NaN, infinity, overflow, qualities; times that pause.
struct Input {
  explicit Input(std::size_t lane_count) : lanes(lane_count) {
    for (std::size_t i = 0; i < frames * lanes; ++i) {
      values.push_back(i % 397 == 0   ? std::numeric_limits<double>::quiet_NaN()
                       : i % 401 == 0 ? std::numeric_limits<double>::infinity()
                       : i % 403 == 0 ? std::numeric_limits<double>::max()
                                      : static_cast<double>(payload<std::int16_t>(i, 0)));
      quality.push_back(quality_of(i, 0));
    }
    for (std::size_t f = 0; f < frames; ++f) times.push_back(f * 1ms + (f / 100) * 1h);
  }
  [[nodiscard]] ConstFrames from(std::size_t f, std::uint64_t first) const {
    return {std::span(values).subspan(f * lanes), std::span(quality).subspan(f * lanes), lanes,
            first + f, std::span(times).subspan(f)};
  }
  std::size_t lanes;
  std::vector<double> values;
  std::vector<Quality> quality;
  std::vector<Time> times;
};

template <class Filter>
struct Bench {
  Bench(Filter ready, std::size_t lanes, std::size_t room_lanes, std::size_t room)
      : filter(std::move(ready)), in(lanes), out_lanes(room_lanes) {
    values.resize(room * room_lanes);
    quality.resize(room * room_lanes);
  }
  Filter filter;
  Input in;
  std::size_t out_lanes;
  std::vector<double> values;
  std::vector<Quality> quality;
  std::size_t made = 0;
};

// `work(bench, first)` takes the whole input, the first frame having the number `first`.
template <class Filter, class Work>
void check(const std::string& name, const Bench<Filter>& ready, Work work) {
  check_clean(name, [&] {
    const auto bench = std::make_shared<Bench<Filter>>(ready);
    Path path;
    path.run = [bench, work] {
      for (std::uint64_t turn = 0; turn < 20; ++turn) {
        work(*bench, turn * 2 * frames);
        bench->filter.gap();
        if (turn % 7 == 0) bench->filter.reset();
      }
    };
    path.reached = [bench] { return bench->made >= 20; };
    return path;
  });
}

template <class Filter>
void check_each(const std::string& name, const Filter& filter) {
  check(name, Bench<Filter>(filter, 3, 3, frames), [](Bench<Filter>& b, std::uint64_t first) {
    b.made += b.filter.process(b.in.from(0, first), {b.values, b.quality, 3});
  });
}

}  // namespace

TEST_CASE("filters that know of time are fit for real time") {
  const Rate kilohertz(1000, 1);
  for (const std::optional<Rate>& rate : {std::optional<Rate>(), std::optional(kilohertz)}) {
    for (const Initial initial : {Initial::zero, Initial::steady})
      for (const NanPolicy nan : {NanPolicy::hold, NanPolicy::reset})
        for (const GapPolicy gap : {GapPolicy::reset, GapPolicy::hold})
          check_each(
              "exponential average",
              ExponentialAverageFilter(
                  {.time_constant = 20ms, .initial = initial, .nan = nan, .gap = gap}, rate, 3));
    for (const GapPolicy gap : {GapPolicy::reset, GapPolicy::hold}) {
      for (const Difference scheme : {Difference::backward, Difference::central})
        check_each("derivative", DerivativeFilter({scheme, gap}, rate, 3));
      for (const NanPolicy nan : {NanPolicy::hold, NanPolicy::reset})
        check_each("integral", IntegralFilter({.nan = nan, .gap = gap}, rate, 3));
    }
    for (const Interpolation method : {Interpolation::linear, Interpolation::last}) {
      const InterpolateFilter filter({.rate = Rate(3000, 7), .method = method}, rate, 3);
      using B = Bench<InterpolateFilter>;
      check("interpolation", B(filter, 3, 3, filter.most_frames(frames)),
            [](B& b, std::uint64_t first) {
              for (std::size_t f = 0; f < frames;) {
                ConstFrames in = b.in.from(f, first);
                const std::size_t n = b.filter.fitting(in);
                in.values = in.values.first(n * 3);
                in.quality = in.quality.first(n * 3);
                in.times = in.times.first(n);
                b.made += b.filter.process(in, {b.values, b.quality, 3}).count;
                f += n;
              }
            });
    }
  }
}

TEST_CASE("spectra and envelopes are fit for real time") {
  for (const std::size_t segment : {16U, 30U, 77U, 97U}) {
    const WelchFilter filter({.segment = segment, .overlap = 11, .average = 3}, Hertz{1000});
    using B = Bench<WelchFilter>;
    check(
        "spectrum of " + std::to_string(segment),
        B(filter, 1, filter.bins(), filter.most_frames(frames)), [](B& b, std::uint64_t first) {
          b.made += b.filter.process(b.in.from(0, first), {b.values, b.quality, b.out_lanes}).count;
        });
  }
  for (const std::size_t taps : {3U, 65U, 511U})
    for (const GapPolicy gap : {GapPolicy::reset, GapPolicy::hold})
      check_each("envelope", EnvelopeFilter({taps, gap}, 3));
}
