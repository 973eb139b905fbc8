#include "spillway/filters/interpolate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"
#include "timed.hpp"

namespace spillway {
namespace {

using namespace std::chrono_literals;
using test::bad_missing;
using test::infinity;
using test::nan;
using test::Random;
using test::Signal;
using test::signal;

using Times = std::vector<Time>;
constexpr Quality interpolated(Verdict::interpolated);

// What a filter makes: points with their numbers.
struct Points {
  std::vector<std::uint64_t> numbers;
  Signal frames;
  void append(const Points& other) {
    numbers.insert(numbers.end(), other.numbers.begin(), other.numbers.end());
    frames.append(other.frames);
  }
  friend bool operator==(const Points&, const Points&) = default;
};

// In calls of the sizes block() gives, or fewer where no more fit.
template <class Block>
Points run_in_blocks(InterpolateFilter& filter, const Signal& in, const Times& times,
                     std::uint64_t first, Block block) {
  Points points{{}, {{}, {}, in.lanes}};
  for (std::size_t f = 0; f < in.frames();) {
    const auto piece = [&](std::size_t n) {
      return ConstFrames{std::span(in.values).subspan(f * in.lanes, n * in.lanes),
                         std::span(in.quality).subspan(f * in.lanes, n * in.lanes), in.lanes,
                         first + f,
                         times.empty() ? std::span<const Time>() : std::span(times).subspan(f, n)};
    };
    const std::size_t n = filter.fitting(piece(std::min<std::size_t>(block(), in.frames() - f)));
    REQUIRE(n > 0);
    const std::size_t room = filter.most_frames(n);
    Signal out{std::vector<double>(room * in.lanes), std::vector<Quality>(room * in.lanes),
               in.lanes};
    const Made made = filter.process(piece(n), {out.values, out.quality, in.lanes});
    REQUIRE(made.count <= room);
    for (std::size_t k = 0; k < made.count; ++k) points.numbers.push_back(made.first + k);
    points.frames.append(out.part(0, made.count));
    f += n;
  }
  return points;
}

Points run(InterpolateFilter& filter, const Signal& in, const Times& times = {},
           std::uint64_t first = 0) {
  return run_in_blocks(filter, in, times, first, [&] { return in.frames(); });
}

// One lane, by definition: every point from the first sample to the last is looked up.
Points by_definition(const Interpolate& p, const Signal& in, const Times& times,
                     std::uint64_t longest_pause) {
  Points points;
  for (std::uint64_t k = 0; p.rate.duration(k) <= times.back(); ++k) {
    const Time t = p.rate.duration(k);
    if (t < times.front()) continue;
    const auto at =
        static_cast<std::size_t>(std::ranges::upper_bound(times, t) - times.begin() - 1);
    double y = in.values[at];
    Quality q = in.quality[at];
    if (times[at] != t) {
      std::uint64_t between = 0;  // points of this pause
      for (std::uint64_t i = k; i-- > 0 && p.rate.duration(i) > times[at];) ++between;
      for (std::uint64_t i = k; p.rate.duration(i) < times[at + 1]; ++i) ++between;
      if (between > longest_pause) continue;
      q = merge(q, interpolated);
      if (p.method == Interpolation::last) {
        if (p.max_age > 0s && t - times[at] > p.max_age) y = nan, q = bad_missing;
      } else if (p.max_gap > 0s && times[at + 1] - times[at] > p.max_gap) {
        y = nan;
        q = bad_missing;
      } else {
        const auto part = static_cast<long double>((t - times[at]).count());
        const auto whole = static_cast<long double>((times[at + 1] - times[at]).count());
        y = static_cast<double>(in.values[at] +
                                (static_cast<long double>(in.values[at + 1]) - in.values[at]) *
                                    part / whole);
        q = merge(q, in.quality[at + 1]);
      }
    }
    points.numbers.push_back(k);
    points.frames.values.push_back(y);
    points.frames.quality.push_back(std::isnan(y) ? merge(q, bad_missing) : q);
  }
  return points;
}

void check_close(const Points& actual, const Points& expected) {
  CHECK(actual.numbers == expected.numbers);
  CHECK(actual.frames.quality == expected.frames.quality);
  REQUIRE(actual.frames.values.size() == expected.frames.values.size());
  for (std::size_t i = 0; i < expected.numbers.size(); ++i) {
    const double a = actual.frames.values[i];
    const double e = expected.frames.values[i];
    if (std::abs(a - e) <= 1e-14 || (std::isnan(a) && std::isnan(e))) continue;
    FAIL_CHECK("point " << expected.numbers[i] << ": actual " << a << ", expected " << e);
    break;
  }
}

Interpolate any_parameters(Random& random) {
  const Rate rates[] = {{1000, 1}, {100, 3}, {12500, 7}, {999983, 1000}, {1, 1}};
  Interpolate p{.rate = rates[random.below(5)]};
  const Time limit(random.below(2) == 0 ? 0 : 1 + random.below(15'000'000));
  if (random.below(2) == 0) {
    p.max_gap = limit;
  } else {
    p.method = Interpolation::last;
    p.max_age = limit;
  }
  return p;
}

TEST_CASE("interpolation is its definition, on irregular streams") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  std::size_t points = 0;
  for (int round = 0; round < 200; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Interpolate p = any_parameters(random);
    const std::size_t frames = 1 + random.below(300);
    const Signal in = random.noise(frames, 1, random.below(3) == 0 ? 0 : 20);
    Times times = test::uneven_times(random, frames);
    for (Time& t : times)
      if (random.below(4) == 0) t = t / 1'000'000 * 1'000'000;  // on the grid, now and then
    for (std::size_t k = 1; k < frames; ++k) times[k] = std::max(times[k], times[k - 1] + 1ns);
    InterpolateFilter filter(p, std::nullopt, 1);
    const Points actual = run(filter, in, times);
    points += actual.numbers.size();
    check_close(actual, by_definition(p, in, times, filter.longest_pause()));
  }
  CHECK(points > 1000);
}

TEST_CASE("interpolation is its definition, between regular rates, from any sample number") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  const Rate rates[] = {{1000, 1}, {250, 1}, {360, 1}, {997, 3}, {4000, 1}};
  for (int round = 0; round < 60; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Interpolate p = any_parameters(random);
    const Rate input = rates[random.below(5)];
    const std::size_t frames = 1 + random.below(300);
    const std::uint64_t first = random.below(3000);
    const Signal in = random.noise(frames, 1, 30);
    Times times;
    for (std::size_t f = 0; f < frames; ++f) times.push_back(input.duration(first + f));
    InterpolateFilter filter(p, input, 1);
    check_close(run(filter, in, {}, first), by_definition(p, in, times, filter.longest_pause()));
  }
}

TEST_CASE("interpolation does not depend on how the input is cut, nor on other lanes") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  const std::size_t lane_counts[] = {1, 3, 8, 16, 17};
  for (int round = 0; round < 40; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Interpolate p = any_parameters(random);
    const std::size_t lanes = lane_counts[round % 5];
    const Signal in = random.noise(1 + random.below(200), lanes, 40);
    const Times times = test::uneven_times(random, in.frames());
    const InterpolateFilter filter(p, std::nullopt, lanes);
    InterpolateFilter whole = filter;
    const Points expected = run(whole, in, times);

    InterpolateFilter cut = filter;
    CHECK(run_in_blocks(cut, in, times, 0, [&] { return 1 + random.below(9); }) == expected);

    const std::size_t middle = random.below(in.frames() + 1);
    const auto at = times.begin() + static_cast<std::ptrdiff_t>(middle);
    InterpolateFilter before = filter;
    Points pieces = run(before, in.part(0, middle), {times.begin(), at});
    StateWriter writer;
    before.save_state(writer);
    StateReader reader(writer.bytes());
    InterpolateFilter after = whole;
    after.load_state(reader);
    CHECK(reader.at_end());
    pieces.append(run(after, in.part(middle, in.frames()), {at, times.end()}));
    CHECK(pieces == expected);

    StateReader cut_short(std::span(writer.bytes()).first(writer.bytes().size() - 1));
    InterpolateFilter broken = filter;
    CHECK_THROWS_AS(broken.load_state(cut_short), Error);
    CHECK(run(broken, in, times) == expected);

    whole.reset();
    CHECK(run(whole, in, times) == expected);

    for (std::size_t l = 0; l < lanes; ++l) {
      InterpolateFilter one(p, std::nullopt, 1);
      const Points single = run(one, in.lane(l), times);
      CHECK(single.numbers == expected.numbers);
      CHECK(single.frames == expected.frames.lane(l));
    }
  }
}

TEST_CASE("a pause of more points than longest_pause() is left out, in bounded memory") {
  for (const Interpolation method : {Interpolation::linear, Interpolation::last}) {
    InterpolateFilter filter({.rate = Rate(1'000'000, 1), .method = method}, std::nullopt, 1);
    REQUIRE(filter.longest_pause() == 65536);
    REQUIRE(filter.most_frames(6) < 70000);
    // The pauses: a day, one point too many, as many as allowed.
    const Times times{0us, 3us, 86400s, 86400s + 65538us, 86400s + 131075us, 86400s + 131077us};
    const Signal in = signal({0, 3, 10, 20, 65557, 65559});
    const Points points = run(filter, in, times);
    std::vector<std::uint64_t> numbers{0, 1, 2, 3, 86'400'000'000, 86'400'065'538};
    for (std::uint64_t k = 1; k <= 65539; ++k) numbers.push_back(86'400'065'538 + k);
    CHECK(points.numbers == numbers);
    if (method == Interpolation::linear)
      for (std::size_t i = 5; i < numbers.size(); ++i)
        REQUIRE(points.frames.values[i] == Approx(15.0 + static_cast<double>(i)).epsilon(1e-13));

    InterpolateFilter cut({.rate = Rate(1'000'000, 1), .method = method}, std::nullopt, 1);
    CHECK(run_in_blocks(cut, in, times, 0, [] { return 1; }) == points);
    // The calls end where the numbers jump.
    InterpolateFilter fresh({.rate = Rate(1'000'000, 1), .method = method}, std::nullopt, 1);
    CHECK(fresh.fitting({in.values, in.quality, 1, 0, times}) == 2);
  }
}

TEST_CASE("interpolation: what does not fit into one call goes into the next") {
  // 60 pauses of 50000 points each.
  Times times;
  for (int k = 0; k <= 60; ++k) times.push_back(k * 50ms);
  Random random(3);
  const Signal in = random.noise(times.size(), 1, 0);
  InterpolateFilter filter({.rate = Rate(1'000'000, 1)}, std::nullopt, 1);
  CHECK(filter.fitting({in.values, in.quality, 1, 0, times}) == 2);
  const Points points = run(filter, in, times);
  CHECK(points.numbers.size() == 3'000'001);
  CHECK(points.numbers.back() == 3'000'000);

  // Called with more than fits, it stays within its room.
  InterpolateFilter misused({.rate = Rate(1'000'000, 1)}, std::nullopt, 1);
  Signal out = signal(std::vector<double>(1000));
  const Made made =
      misused.process({in.values, in.quality, 1, 0, times}, {out.values, out.quality, 1});
  CHECK(made.first == 0);
  CHECK(made.count == 1000);
}

TEST_CASE("a limit on gap or age makes room for its points") {
  const InterpolateFilter gap({.rate = Rate(1'000'000, 1), .max_gap = 1s}, std::nullopt, 1);
  CHECK(gap.longest_pause() == 1'000'001);
  const InterpolateFilter age(
      {.rate = Rate(1'000'000, 1), .method = Interpolation::last, .max_age = 10ms}, std::nullopt,
      1);
  CHECK(age.longest_pause() == 65536);
}

TEST_CASE("interpolation: a gap in the numbers of a regular stream is the time it takes") {
  const Interpolate p{.rate = Rate(10, 1), .max_gap = 1s};
  InterpolateFilter filter(p, Rate(5, 1), 1);
  Points points = run(filter, signal({0, 2, 4}), {}, 0);
  filter.gap();
  points.append(run(filter, signal({10}), {}, 5));  // 0.6 s behind
  filter.gap();
  points.append(run(filter, signal({30}), {}, 15));  // 2 s behind
  std::vector<double> expected;
  for (int k = 0; k <= 10; ++k) expected.push_back(k);
  expected.resize(30, nan);
  expected.push_back(30);
  REQUIRE(points.numbers.size() == 31);
  for (std::size_t k = 0; k < 31; ++k) {
    CHECK((points.frames.values[k] == Approx(expected[k]) || std::isnan(expected[k])));
    CHECK(std::isnan(points.frames.values[k]) == std::isnan(expected[k]));
    const Quality q = k % 2 == 0 && (k <= 4 || k == 10 || k == 30) ? Quality::good()
                      : k > 10                                     ? bad_missing
                                                                   : interpolated;
    CHECK(points.frames.quality[k] == q);
  }
}

TEST_CASE("interpolation of a regular stream goes by its clock") {
  // Steps of the clock, gaps, blocks of any size: each frame alone, with its time, is the same.
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  const Rate rates[] = {{1000, 1}, {250, 1}, {360, 1}, {997, 3}, {4000, 1}};
  for (int round = 0; round < 100; ++round) {
    CAPTURE(seed, round);
    const Interpolate p = any_parameters(random);
    const Rate rate = rates[random.below(5)];
    InterpolateFilter by_clock(p, rate, 2);
    InterpolateFilter by_time(p, std::nullopt, 2);
    Points actual{{}, {{}, {}, 2}};
    Points expected{{}, {{}, {}, 2}};
    std::uint64_t first = random.below(100);
    std::uint64_t clock_sample = random.below(200);  // behind the first ones, now and then
    Time clock_time(static_cast<std::int64_t>(random.below(1'000'000'000)) - 500'000'000);
    for (int block = 0; block < 20; ++block) {
      const Signal in = random.noise(random.below(60), 2, 30);
      Times times;
      for (std::uint64_t n = first; n < first + in.frames(); ++n)
        times.push_back(clock_time + (n < clock_sample ? -rate.duration(clock_sample - n)
                                                       : rate.duration(n - clock_sample)));
      const ConstFrames frames{in.values, in.quality, 2, first, {}, clock_sample, clock_time};
      // However far the clock was set, what comes with it goes into one call.
      REQUIRE(by_clock.fitting(frames) == in.frames());
      const std::size_t room = by_clock.most_frames(in.frames());
      Signal out{std::vector<double>(room * 2), std::vector<Quality>(room * 2), 2};
      const Made made = by_clock.process(frames, {out.values, out.quality, 2});
      for (std::size_t k = 0; k < made.count; ++k) actual.numbers.push_back(made.first + k);
      actual.frames.append(out.part(0, made.count));
      expected.append(run(by_time, in, times));

      first += in.frames();
      if (random.below(3) == 0) first += random.below(100);
      if (random.below(3) == 0) {  // to a time up to 0.1 s or 100 s away
        const std::int64_t most = random.below(4) == 0 ? 100'000'000'000 : 100'000'000;
        clock_time +=
            rate.duration(first) - rate.duration(clock_sample) +
            Time(static_cast<std::int64_t>(random.below(2 * static_cast<std::uint64_t>(most))) -
                 most);
        clock_sample = first;
      }
    }
    CHECK(actual == expected);
  }
}

TEST_CASE("interpolation: where the clock steps back, samples are left out until it is later") {
  InterpolateFilter filter({.rate = Rate(10, 1)}, Rate(10, 1), 1);
  Points points = run(filter, signal({0, 1, 2, 3}));
  const Signal back = signal({20, 30, 40, 50});
  Signal out = signal(std::vector<double>(filter.most_frames(4)));
  // Number 4 at 0.2 s: the samples at 0.2 and 0.3 s are not later than number 3.
  const Made made =
      filter.process({back.values, back.quality, 1, 4, {}, 4, 200ms}, {out.values, out.quality, 1});
  CHECK(made.first == 4);
  CHECK(out.part(0, made.count).values == std::vector<double>{40, 50});
}

TEST_CASE("interpolation between equal rates passes every sample, however its time is rounded") {
  Random random(9);
  const Signal in = random.noise(1000, 2, 30);
  for (const Rate rate : {Rate(3, 1), Rate(360, 1), Rate(44100, 1), Rate(999983, 1000)}) {
    InterpolateFilter filter({.rate = rate}, rate, 2);
    const Points points = run(filter, in);
    CHECK(points.frames == in);
    for (std::size_t k = 0; k < 1000; ++k) CHECK(points.numbers[k] == k);
  }
}

TEST_CASE("interpolation leaves out samples that are not later than all before") {
  const Times times{0s, 2s, 2s, 1s, 4s};
  for (const Interpolation method : {Interpolation::linear, Interpolation::last}) {
    InterpolateFilter filter({.method = method}, std::nullopt, 1);
    const Points points = run(filter, signal({0, 20, 99, 98, 40}), times);
    CHECK(points.numbers == std::vector<std::uint64_t>{0, 1, 2, 3, 4});
    if (method == Interpolation::linear)
      CHECK(points.frames.values == std::vector<double>{0, 10, 20, 30, 40});
    else
      CHECK(points.frames.values == std::vector<double>{0, 0, 20, 20, 40});
  }
}

TEST_CASE("interpolation: a NaN is Bad, missing, whatever the sample says") {
  InterpolateFilter filter({}, std::nullopt, 1);
  Signal in = signal({1, nan, 3});
  in.quality[1] = Quality(Verdict::interpolated, Quality::calibration);
  const Points points = run(filter, in, {0s, 2s, 4s});
  const Quality expected(Verdict::bad, Quality::missing | Quality::calibration);
  CHECK(points.frames.quality ==
        std::vector{Quality::good(), expected, expected, expected, Quality::good()});
}

TEST_CASE("interpolation: NaN, infinity and overflow pass, and are forgotten") {
  const Times times{0s, 2s, 4s, 6s, 8s, 10s, 12s, 14s};
  const Signal in = signal({1, nan, 1, infinity, -1.7e308, 1.7e308, 3, 3});
  InterpolateFilter linear({}, std::nullopt, 1);
  const Points a = run(linear, in, times);
  CHECK(test::same_bits(a.frames.values, {1, nan, nan, nan, 1, nan, infinity, nan, -1.7e308, nan,
                                          1.7e308, 0.85e308, 3, 3, 3}));
  CHECK(a.frames.quality[9] == Quality(Verdict::bad, Quality::out_of_range));
  for (const std::size_t k : {1U, 2U, 3U, 5U, 7U}) CHECK(a.frames.quality[k] == bad_missing);
  InterpolateFilter last({.method = Interpolation::last}, std::nullopt, 1);
  CHECK(test::same_bits(
      run(last, in, times).frames.values,
      {1, 1, nan, nan, 1, 1, infinity, infinity, -1.7e308, -1.7e308, 1.7e308, 1.7e308, 3, 3, 3}));
}

TEST_CASE("interpolation of a whole signal has the values of the stream") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 50; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Interpolate p = any_parameters(random);
    const Signal in = random.noise(1 + random.below(300), 1, 20);
    Times times = test::uneven_times(random, in.frames());
    if (in.frames() > 3) std::swap(times[1], times[2]);  // one is out of order
    InterpolateFilter filter(p, std::nullopt, 1);
    const Points points = run(filter, in, times);
    Times wanted;
    for (const std::uint64_t k : points.numbers) wanted.push_back(p.rate.duration(k));
    CHECK(test::same_bits(
        interpolate(in.values, times, wanted, p.method, std::max(p.max_gap, p.max_age)),
        points.frames.values));
  }
}

TEST_CASE("interpolation of a whole signal: the ends, and times in any order") {
  const Times times{1s, 3s, 5s};
  const std::vector<double> x{10, 30, 0};
  const Times at{6s, 0s, 2s, 5s, 1s};
  CHECK(test::same_bits(interpolate(x, times, at, Interpolation::linear), {nan, nan, 20, 0, 10}));
  CHECK(test::same_bits(interpolate(x, times, at, Interpolation::last), {0, nan, 10, 0, 10}));
  CHECK(test::same_bits(interpolate(x, times, at, Interpolation::last, 1s), {0, nan, 10, 0, 10}));
  CHECK(test::same_bits(interpolate(x, times, at, Interpolation::last, 999ms),
                        {nan, nan, nan, 0, 10}));
  CHECK(interpolate({}, {}, {}, Interpolation::linear).empty());
  CHECK(std::isnan(interpolate({}, {}, at, Interpolation::last)[0]));
}

TEST_CASE("interpolation refuses what makes no sense") {
  using Catch::Matchers::Contains;
  const auto message = [](const Interpolate& p, std::size_t lanes = 1,
                          const std::optional<Rate>& input = std::nullopt) {
    return test::message_of([&] { InterpolateFilter(p, input, lanes); });
  };
  CHECK(message({.rate = Rate(1'000'000'000, 1)}).empty());
  CHECK_THAT(message({.rate = Rate(1'000'000'001, 1)}), Contains("up to 1e9 Hz"));
  CHECK_THAT(message({.max_gap = -1ns}), Contains("must not be negative"));
  CHECK_THAT(message({.method = Interpolation::last, .max_age = -1ns}),
             Contains("must not be negative"));
  CHECK_THAT(message({.max_age = 1ns}), Contains("max_age is for 'last'"));
  CHECK_THAT(message({.method = Interpolation::last, .max_gap = 1ns}),
             Contains("max_gap is for 'linear'"));
  CHECK_THAT(message({.rate = Rate(1'000'000, 1), .max_gap = 3600s}), Contains("at most 67108864"));
  CHECK_THAT(message({.rate = Rate(1'000'000, 1)}, 1, Rate(1, 1)),
             Contains("at most 65534 points"));
  CHECK(message({.rate = Rate(1'000'000, 1), .max_gap = 2s}, 1, Rate(1, 1)).empty());
  CHECK_THAT(message({}, 0), Contains("lane"));

  const std::vector<double> x{1};
  CHECK_THAT(test::message_of([&] { (void)interpolate(x, {}, {}, Interpolation::last); }),
             Contains("0 times for 1 values"));
  CHECK_THAT(test::message_of([&] { (void)interpolate({}, {}, {}, Interpolation::last, -1s); }),
             Contains("must not be negative"));
  StateWriter writer;
  InterpolateFilter({}, std::nullopt, 2).save_state(writer);
  StateReader reader(writer.bytes());
  InterpolateFilter other({}, std::nullopt, 1);
  CHECK_THAT(test::message_of([&] { other.load_state(reader); }), Contains("2 lanes"));
}

}  // namespace
}  // namespace spillway
