// Filters that go on where others stand neither allocate nor lock, neither fault nor enter the
// kernel.
#include <algorithm>
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
#include "spillway/filters/detect.hpp"
#include "spillway/filters/exponential_average.hpp"
#include "spillway/filters/fir.hpp"
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
constexpr std::size_t changes = 20;

// Filters just made, one after the other, and a signal with all that they may meet.
template <class Filter>
struct Bench {
  Bench(const Filter& a, const Filter& b) {
    for (std::size_t i = 0; i < changes; ++i) filters.push_back(i % 2 == 0 ? a : b);
    for (std::size_t i = 0; i < frames * lanes; ++i) {
      in.push_back(i % 97 == 0    ? std::numeric_limits<double>::quiet_NaN()
                   : i % 101 == 0 ? std::numeric_limits<double>::infinity()
                   : i % 103 == 0 ? std::numeric_limits<double>::max()
                                  : static_cast<double>(payload<std::int16_t>(i, 0)));
      quality.push_back(quality_of(i, 0));
    }
    std::size_t room = frames;
    if constexpr (requires { a.most_frames(frames); })
      room = std::max(a.most_frames(frames), b.most_frames(frames));
    out.resize(room * lanes);
    quality_out.resize(room * lanes);
  }
  void run() noexcept {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < filters.size(); ++i) {
      if (i > 0) filters[i].take_over(filters[i - 1]);
      (void)filters[i].process({in, quality, lanes, number}, {out, quality_out, lanes});
      number += frames;
      if (i % 7 == 3) filters[i].gap();
      ++made;
    }
  }
  std::vector<Filter> filters;
  std::vector<double> in, out;
  std::vector<Quality> quality, quality_out;
  std::size_t made = 0;
};

template <class Filter>
void check(const std::string& name, const Filter& a, const Filter& b) {
  check_clean(name, [&] {
    const auto bench = std::make_shared<Bench<Filter>>(a, b);
    Path path;
    path.run = [bench] { bench->run(); };
    path.reached = [bench] { return bench->made == changes; };
    return path;
  });
}

SosFilter low(int order, double cutoff, Form form) {
  return {design(lowpass(Butterworth{order}, Hertz{cutoff}), Hertz{1000}), {.form = form}, lanes};
}
template <class Statistic>
SlidingFilter<Statistic> sliding(std::uint64_t window) {
  Statistic p;
  p.window = window;
  return {p, lanes};
}

}  // namespace

TEST_CASE("recursive filters take over in real time") {
  for (const Form form : {Form::df2t, Form::block}) {
    check("near", low(4, 40, Form::df2t), low(4, 60, form));
    check("far", low(4, 40, form), low(4, 1, form));
    check("of other orders", low(1, 40, Form::df2t), low(8, 40, form));
    check("of another form", low(5, 40, Form::df2t), low(5, 40, form));
  }
  check("exponential average", ExponentialAverageFilter({.alpha = 0.1}, std::nullopt, lanes),
        ExponentialAverageFilter({.alpha = 0.3}, std::nullopt, lanes));
}

TEST_CASE("windows take over in real time") {
  const auto fir = [](std::size_t taps) {
    return FirFilter({std::vector<double>(taps, 0.25)}, lanes);
  };
  check("FIR", fir(20), fir(64));
  check("FIR by FFT", fir(longest_direct_fir + 1), fir(longest_direct_fir + 1));
  check("FIR, direct and by FFT", fir(20), fir(longest_direct_fir + 1));
  check("Savitzky-Golay", SavitzkyGolayFilter({.window = 21}, Hertz{100}, lanes),
        SavitzkyGolayFilter({.window = 11}, Hertz{100}, lanes));
  check("decimation", DecimateFilter({.factor = 5, .taps = 21}, lanes),
        DecimateFilter({.factor = 5, .taps = 41}, lanes));
  check("resampling", ResampleFilter({.up = 3, .down = 2, .taps = 21}, lanes),
        ResampleFilter({.up = 3, .down = 2, .taps = 41}, lanes));
  for (const NanPolicy nan : {NanPolicy::propagate, NanPolicy::ignore})
    check("moving average", MovingAverageFilter({.window = 30, .nan = nan}, lanes),
          MovingAverageFilter({.window = 201, .nan = nan}, lanes));
  check("median", sliding<SlidingMedian>(9), sliding<SlidingMedian>(200));
  check("minimum", sliding<SlidingMin>(9), sliding<SlidingMin>(200));
  check("maximum", sliding<SlidingMax>(9), sliding<SlidingMax>(200));
  check("rms", sliding<SlidingRms>(9), sliding<SlidingRms>(200));
  check("standard deviation", sliding<SlidingStd>(9), sliding<SlidingStd>(200));
}

TEST_CASE("derivative, integral and detectors take over in real time") {
  const Rate rate(1000, 1);
  check("derivative", DerivativeFilter({.scheme = Difference::backward}, rate, lanes),
        DerivativeFilter({.scheme = Difference::central}, rate, lanes));
  check("integral", IntegralFilter({}, rate, lanes), IntegralFilter({.initial = 1.0}, rate, lanes));
  check("stuck", DetectStuckFilter({.samples = 3}, lanes),
        DetectStuckFilter({.samples = 5}, lanes));
  check("jump", DetectJumpFilter({.limit = 3}, lanes), DetectJumpFilter({.limit = 5}, lanes));
}
