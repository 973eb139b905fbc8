// What works frame by frame, with other lanes out than in, neither allocates nor locks, neither
// faults nor enters the kernel.
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "../support.hpp"
#include "path.hpp"
#include "spillway/channels/calibration.hpp"
#include "spillway/filters/combine.hpp"
#include "spillway/filters/compensate.hpp"
#include "spillway/filters/detect.hpp"
#include "spillway/filters/thermocouple.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr std::size_t frames = 500;

template <class Filter>
struct Bench {
  Bench(Filter ready, std::size_t in_lanes, std::size_t out_lanes)
      : filter(std::move(ready)),
        lanes_in(in_lanes),
        lanes_out(out_lanes),
        out(frames * out_lanes),
        quality_out(frames * out_lanes) {
    for (std::size_t i = 0; i < frames * lanes_in; ++i) {
      in.push_back(i % 97 == 0    ? std::numeric_limits<double>::quiet_NaN()
                   : i % 101 == 0 ? std::numeric_limits<double>::infinity()
                   : i % 103 == 0 ? std::numeric_limits<double>::max()
                                  : static_cast<double>(i % 60));
      quality.push_back(quality_of(i, 0));
    }
    for (std::size_t f = 0; f < frames; ++f)
      times.emplace_back(static_cast<std::int64_t>(f % 50 == 0 ? f * 9 : f * 10));
  }
  Filter filter;
  std::size_t lanes_in, lanes_out;
  std::vector<double> in, out;
  std::vector<Quality> quality, quality_out;
  std::vector<Time> times;
  std::size_t made = 0;
};

template <class Filter>
void check(const std::string& name, const Filter& filter, std::size_t in, std::size_t out) {
  check_clean(name, [&] {
    const auto bench = std::make_shared<Bench<Filter>>(filter, in, out);
    Path path;
    path.run = [bench] {
      Bench<Filter>& b = *bench;
      for (int turn = 0; turn < 20; ++turn) {
        b.made += b.filter.process({b.in, b.quality, b.lanes_in, 0, b.times},
                                   {b.out, b.quality_out, b.lanes_out});
        b.filter.gap();
        (void)b.filter.delay();
        if (turn % 7 == 0) b.filter.reset();
      }
    };
    path.reached = [bench] { return bench->made == 20 * frames; };
    return path;
  });
}

}  // namespace

TEST_CASE("detectors do not allocate, lock, enter the kernel or fault") {
  check("range", DetectRangeFilter({1.0, 50.0}, 3), 3, 3);
  check("saturation", DetectSaturationFilter({0.0, 50.0}, 3), 3, 3);
  check("stuck", DetectStuckFilter({2}, 3), 3, 3);
  check("jump", DetectJumpFilter({5.0}, 3), 3, 3);
  check("time", DetectTimeFilter({std::chrono::nanoseconds(5)}, 3), 3, 3);
}

TEST_CASE("what combines lanes does not allocate, lock, enter the kernel or fault") {
  for (const Operation operation : {Operation::divide, Operation::minimum, Operation::mean})
    check("arithmetic", ArithmeticFilter({operation}, 3), 3, 1);
  Mix mix;
  mix.matrix = {{1.0, 0.0, -1.0}, {0.5, 0.5, 0.5}, {0.0, 0.0, 2.0}, {1.0, 1.0, 1.0}};
  check("mix", MixFilter(mix, 3), 3, 4);
  Function function;
  function.call = [](ConstFrames in, Frames out) {
    for (std::size_t i = 0; i < in.values.size(); ++i) {
      out.values[i] = 2.0 * in.values[i];
      out.quality[i] = in.quality[i];
    }
  };
  check("function", FunctionFilter(function, 3), 3, 3);
  check("compensation", CompensateFilter(Compensate{{{1.0, 2.0}, {1.0, 0.01, 0.02}}}), 2, 1);
  for (const ThermocoupleType type : {ThermocoupleType::K, ThermocoupleType::T})
    check("thermocouple", ThermocoupleFilter({type, 0.0}, 2), 2, 1);
}

TEST_CASE("tables do not allocate, lock, enter the kernel or fault") {
  check_clean("table", [&] {
    struct Values {
      std::vector<double> values = std::vector<double>(300);
      std::vector<Quality> quality = std::vector<Quality>(300);
      Calibration calibration = Table{{0.0, 1.0, 5.0}, {5.0, 1.0, 0.0}, Outside::nan};
      bool marked = false;
    };
    const auto all = std::make_shared<Values>();
    Path path;
    path.run = [all] {
      for (std::size_t i = 0; i < all->values.size(); ++i)
        all->values[i] = static_cast<double>(i % 13) / 2.0;
      all->calibration.apply(all->values, all->quality);
      all->calibration.apply(all->values);
      all->marked = !all->quality[12].is_good();
    };
    path.reached = [all] { return all->marked; };
    return path;
  });
}
