#include "spillway/filters/sliding.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "simd/isa.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::ignored;
using test::infinity;
using test::nan;
using test::Random;
using test::run;
using test::Signal;
using test::signal;
using test::unsettled;

// The definitions, of the valid values of a window; never empty.
long double statistic(const SlidingMedian&, std::vector<long double> v) {
  std::ranges::sort(v);
  return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}
long double statistic(const SlidingMin&, const std::vector<long double>& v) {
  return *std::ranges::min_element(v);
}
long double statistic(const SlidingMax&, const std::vector<long double>& v) {
  return *std::ranges::max_element(v);
}
long double statistic(const SlidingRms&, const std::vector<long double>& v) {
  long double sum = 0;
  for (long double x : v) sum += x * x;
  return std::sqrt(sum / static_cast<long double>(v.size()));
}
long double statistic(const SlidingStd& p, const std::vector<long double>& v) {
  if (v.size() <= static_cast<std::size_t>(p.ddof)) return nan;
  long double sum = 0;
  for (long double x : v) sum += x;
  const long double mean = sum / static_cast<long double>(v.size());
  long double squares = 0;
  for (long double x : v) squares += (x - mean) * (x - mean);
  return std::sqrt(squares / static_cast<long double>(v.size() - static_cast<std::size_t>(p.ddof)));
}

// One lane, sample by sample; gaps at the frames in `gaps`.
template <class Statistic>
Signal by_definition(const Statistic& p, const Signal& in,
                     const std::vector<std::size_t>& gaps = {}) {
  Signal out = in;
  const std::size_t n = p.window;
  for (std::size_t k = 0; k < in.frames(); ++k) {
    std::size_t start = 0;  // of what the filter knows
    bool spans_gap = false;
    for (std::size_t gap : gaps) {
      if (gap > k) break;
      if (p.gap == GapPolicy::reset) start = gap;
      spans_gap = k - gap + 1 < n;
    }
    const std::size_t from = k + 1 >= start + n ? k + 1 - n : start;
    std::vector<long double> valid;
    bool has_nan = false;
    Quality quality;
    for (std::size_t i = from; i <= k; ++i) {
      if (std::isnan(in.values[i]))
        has_nan = true;
      else
        valid.push_back(in.values[i]);
      const bool is_ignored = std::isnan(in.values[i]) && p.nan == NanPolicy::ignore;
      quality = merge(quality, is_ignored ? ignored(in.quality[i]) : in.quality[i]);
    }
    double y = nan;
    if (!valid.empty() && !(has_nan && p.nan == NanPolicy::propagate))
      y = static_cast<double>(statistic(p, valid));
    if (p.warm_up == WarmUp::nan && k + 1 - from < n) {
      y = nan;
      quality = merge(quality, unsettled);
    } else if (std::isnan(y)) {
      quality = merge(quality, test::bad_missing);
    }
    if (spans_gap) quality = merge(quality, unsettled);
    out.values[k] = y;
    out.quality[k] = quality;
  }
  return out;
}

void check_close(const Signal& actual, const Signal& expected, double tolerance) {
  for (std::size_t k = 0; k < expected.values.size(); ++k) {
    const double a = actual.values[k];
    const double e = expected.values[k];
    if (a == e || std::abs(a - e) <= tolerance || (std::isnan(a) && std::isnan(e))) continue;
    FAIL_CHECK("index " << k << ": actual " << a << ", expected " << e);
    break;
  }
  CHECK(actual.quality == expected.quality);
}

// Selections are exact.
template <class Statistic>
constexpr double rounding = 1e-14;
template <>
constexpr double rounding<SlidingMedian> = 0.0;
template <>
constexpr double rounding<SlidingMin> = 0.0;
template <>
constexpr double rounding<SlidingMax> = 0.0;

template <class Statistic>
Statistic any(Random& random) {
  Statistic p;
  p.window = 1 + random.below(random.below(2) == 0 ? 8 : 150);
  p.warm_up = random.below(2) == 0 ? WarmUp::grow : WarmUp::nan;
  p.nan = random.below(2) == 0 ? NanPolicy::propagate : NanPolicy::ignore;
  p.gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
  if constexpr (requires { p.ddof; }) p.ddof = static_cast<int>(random.below(2));
  return p;
}

// Noise with NaN alone and in bursts, equal values, and in places infinity.
Signal rough(Random& random, std::size_t frames, std::size_t lanes, bool with_infinity) {
  Signal s = random.noise(frames, lanes, random.below(2) == 0 ? 0 : 25);
  const auto at = [&] { return random.below(frames) * lanes + random.below(lanes); };
  for (std::uint64_t bursts = random.below(4); bursts > 0; --bursts) {
    const double value = random.below(2) == 0 ? nan : 0.25;
    std::size_t i = at();
    for (std::uint64_t n = random.below(200); n > 0 && i < s.values.size(); --n, i += lanes) {
      s.values[i] = value;
      if (std::isnan(value)) s.quality[i] = test::bad_missing;
    }
  }
  if (with_infinity)
    for (int n = 0; n < 3; ++n) s.values[at()] = random.below(2) == 0 ? infinity : -infinity;
  return s;
}

using Statistics = std::tuple<SlidingMedian, SlidingMin, SlidingMax, SlidingRms, SlidingStd>;

TEMPLATE_LIST_TEST_CASE("a sliding statistic is its definition, values and quality, over gaps too",
                        "", Statistics) {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  constexpr bool selects = rounding<TestType> == 0.0;
  for (int round = 0; round < 300; ++round) {
    const auto p = any<TestType>(random);
    INFO("seed " << seed << ", round " << round << ", window " << p.window);
    const Signal in = rough(random, 1 + random.below(500), 1, selects && random.below(3) == 0);
    std::vector<std::size_t> gaps;
    for (std::size_t at = random.below(200); at < in.frames(); at += 1 + random.below(200))
      gaps.push_back(at);

    SlidingFilter<TestType> filter(p, 1);
    Signal out{{}, {}, 1};
    std::size_t done = 0;
    for (std::size_t gap : gaps) {
      out.append(run(filter, in.part(done, gap)));
      filter.gap();
      done = gap;
    }
    out.append(run(filter, in.part(done, in.frames())));
    check_close(out, by_definition(p, in, gaps), rounding<TestType>);
  }
}

TEMPLATE_LIST_TEST_CASE("a NaN that a sliding statistic ignores leaves it suspect, missing", "",
                        Statistics) {
  const Quality suspect_missing(Verdict::suspect, Quality::missing);
  TestType p;
  p.window = 2;
  p.nan = NanPolicy::ignore;
  SlidingFilter<TestType> filter(p, 1);
  Signal in = signal({1.0, nan, nan, 3.0, 5.0});
  in.quality[2] = Quality::good();  // whatever it claims
  const Signal out = run(filter, in);
  CHECK(out.quality ==
        std::vector<Quality>{{}, suspect_missing, test::bad_missing, suspect_missing, {}});
  CHECK(std::isnan(out.values[2]));
  CHECK(std::isfinite(out.values[1]));
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic keeps the laws: blocks, saved state, lanes, reset", "",
                        Statistics) {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 15; ++round) {
    for (std::size_t lanes : {1U, 3U, 8U, 16U, 17U}) {
      INFO("seed " << seed << ", round " << round << ", lanes " << lanes);
      const auto p = any<TestType>(random);
      test::check_laws(SlidingFilter<TestType>(p, lanes),
                       rough(random, 1 + random.below(300), lanes, random.below(2) == 0), random,
                       std::vector<SlidingFilter<TestType>>(lanes, SlidingFilter<TestType>(p, 1)));
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic has the same bits with every instruction set", "",
                        Statistics) {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  const simd::Isa best = simd::current_isa();
  for (int round = 0; round < 30; ++round) {
    INFO("seed " << seed << ", round " << round);
    const auto p = any<TestType>(random);
    const std::size_t lanes = 1 + random.below(20);
    const Signal in = rough(random, 1 + random.below(400), lanes, random.below(2) == 0);
    std::vector<Signal> outs;
    for (const simd::Isa isa : simd::all_isas) {
      if (!simd::is_supported(isa)) continue;
      simd::choose_isa(isa);
      SlidingFilter<TestType> filter(p, lanes);
      outs.push_back(run(filter, in));
      CHECK(outs.back() == outs.front());
    }
    simd::choose_isa(best);
  }
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic forgets NaN, infinity and overflow as they leave", "",
                        Statistics) {
  for (double odd : {nan, infinity, -infinity, 1e300}) {
    for (std::uint64_t window : {1U, 2U, 7U, 8U, 70U}) {
      INFO(odd << ", window " << window);
      std::vector<double> values(400, 1.0);
      values[200] = odd;
      SlidingFilter<TestType> filter({.window = window}, 1);
      SlidingFilter<TestType> untouched({.window = window}, 1);
      const Signal out = run(filter, signal(values));
      const Signal calm = run(untouched, signal(std::vector<double>(400, 1.0)));
      for (std::size_t k = 0; k < values.size(); ++k) {
        if (k >= 200 && k < 200 + window) continue;
        CHECK(out.values[k] == calm.values[k]);
        CHECK(out.quality[k].is_good());
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic that is NaN is not called good", "", Statistics) {
  Signal in = signal({1.0, nan, 1.0, 1.0});
  in.quality[1] = Quality::good();  // it claims to be
  const std::vector<Quality> expected{{}, test::bad_missing, test::bad_missing, {}};
  for (std::size_t block : {1U, 4U}) {
    SlidingFilter<TestType> filter({.window = 2}, 1);
    CHECK(test::run_in_blocks(filter, in, [&] { return block; }).quality == expected);
  }
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic flags exactly the outputs that span a gap", "",
                        Statistics) {
  for (GapPolicy policy : {GapPolicy::reset, GapPolicy::hold}) {
    SlidingFilter<TestType> filter({.window = 4, .gap = policy}, 1);
    CHECK(run(filter, signal({4, 4, 4, 4, 4})).quality == std::vector<Quality>(5));
    filter.gap();
    const std::vector<Quality> marked{unsettled, unsettled, unsettled, {}, {}};
    CHECK(run(filter, signal({8, 8, 8, 8, 8})).quality == marked);
    filter.reset();
    CHECK(run(filter, signal({1, 1})).quality == std::vector<Quality>(2));
  }
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic is a value", "", Statistics) {
  const Signal in = Random(3).noise(200, 2, 0);
  SlidingFilter<TestType> filter({.window = 9}, 2);
  (void)run(filter, in.part(0, 100));
  SlidingFilter<TestType> copy({.window = 70}, 1);
  copy = filter;
  SlidingFilter<TestType> moved = SlidingFilter<TestType>(filter);
  const Signal rest = run(filter, in.part(100, 200));
  CHECK(run(copy, in.part(100, 200)) == rest);
  CHECK(run(moved, in.part(100, 200)) == rest);
  CHECK(copy.lanes() == 2);
  CHECK(copy.parameters() == filter.parameters());
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic says its delay", "", Statistics) {
  CHECK(SlidingFilter<TestType>({.window = 1}, 1).delay() == 0.0);
  CHECK(SlidingFilter<TestType>({.window = 32}, 1).delay() == 15.5);
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic refuses what it can't do", "", Statistics) {
  using Catch::Matchers::Contains;
  const auto message = [](const TestType& p, std::size_t lanes) {
    return test::message_of([&] { SlidingFilter<TestType>(p, lanes); });
  };
  CHECK_THAT(message({.window = 0}, 1), Contains("window of 0") && Contains("1 to 268435456"));
  CHECK_THAT(message({.window = (std::uint64_t{1} << 28) + 1}, 1), Contains("268435457"));
  CHECK_THAT(message({.window = 2, .nan = NanPolicy::hold}, 1), Contains("propagate or ignore"));
  CHECK_THAT(message({.window = 2, .nan = NanPolicy::reset}, 1), Contains("propagate or ignore"));
  CHECK_THAT(message({.window = 2}, 0), Contains("lane"));
}

TEMPLATE_LIST_TEST_CASE("a sliding statistic refuses the state of another one, or a damaged one",
                        "", Statistics) {
  SlidingFilter<TestType> other({.window = 6}, 2);
  (void)run(other, Random(1).noise(10, 2, 0));
  StateWriter writer;
  other.save_state(writer);
  SlidingFilter<TestType> filter({.window = 4}, 3);
  StateReader reader(writer.bytes());
  CHECK_THAT(test::message_of([&] { filter.load_state(reader); }),
             Catch::Matchers::Contains("window of 6 samples and 2 lanes"));
  // Every byte lost from the end, and every length and position out of its range: refused, and
  // nothing has changed.
  const Signal in = Random(2).noise(20, 2, 0);
  SlidingFilter<TestType> twin = other;
  const Signal expected = run(twin, in);
  for (std::size_t size = 0; size < writer.bytes().size(); ++size) {
    StateReader cut(std::span(writer.bytes()).first(size));
    CHECK_THROWS_AS(other.load_state(cut), Error);
  }
  CHECK(run(other, in) == expected);
}

TEST_CASE("sliding std refuses a ddof that is not 0 or 1") {
  for (int ddof : {-1, 2})
    CHECK_THAT(test::message_of([&] { SlidingStdFilter({.ddof = ddof}, 1); }),
               Catch::Matchers::Contains("ddof is " + std::to_string(ddof)));
}

TEST_CASE("sliding std of one sample is 0, or NaN and Bad where it would be divided by 0") {
  SlidingStdFilter population({.window = 3}, 1);
  CHECK(run(population, signal({5.0})) == signal({0.0}));
  SlidingStdFilter sample({.window = 3, .ddof = 1}, 1);
  CHECK(run(sample, signal({5.0})) == signal({nan}));
}

TEST_CASE("sliding std is NaN while an infinity is in the window, rms infinite") {
  for (std::uint64_t window : {1U, 2U, 3U, 8U, 9U}) {
    for (std::size_t at = 0; at < 40; ++at) {
      INFO("window " << window << ", at " << at);
      std::vector<double> values(60, 1.0);
      values[at] = at % 2 == 0 ? infinity : -infinity;
      SlidingStdFilter deviation({.window = window}, 1);
      SlidingRmsFilter rms({.window = window}, 1);
      std::vector<double> deviations(60, 0.0);
      std::vector<double> roots(60, 1.0);
      for (std::size_t k = at; k < at + window; ++k) {
        deviations[k] = nan;
        roots[k] = infinity;
      }
      CHECK(run(deviation, signal(values)) == signal(deviations));
      CHECK(run(rms, signal(values)) == signal(roots));
    }
  }
}

TEST_CASE("sliding std keeps its precision beside an offset, with NaN and for long windows") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  INFO("seed " << seed);
  for (std::uint64_t window : {50U, 5000U}) {
    Signal in = random.noise(12000, 1, 40);
    for (double& v : in.values) v = 1e6 + 1e-3 * v;
    const SlidingStd p{.window = window, .ddof = 1, .nan = NanPolicy::ignore};
    SlidingStdFilter filter(p, 1);
    const Signal out = run(filter, in);
    // The definition at some of the places: all of them would take too long.
    for (std::size_t k = window; k < in.frames(); k += 997) {
      std::vector<long double> valid;
      for (std::size_t i = k + 1 - window; i <= k; ++i)
        if (!std::isnan(in.values[i])) valid.push_back(in.values[i]);
      CHECK(std::abs(out.values[k] - static_cast<double>(statistic(p, valid))) < 1e-9);
    }
  }
}

TEST_CASE("sliding rms and std do not drift: after 1e9 a small signal is exact again") {
  std::vector<double> values(30000);
  for (std::size_t k = 0; k < values.size(); ++k)
    values[k] = k < 15000 ? (k % 2 == 0 ? 1e9 / 3.0 : -1e9) : (k % 2 == 0 ? 0.125 : -0.125);
  SlidingRmsFilter rms({.window = 100}, 1);
  SlidingStdFilter std_({.window = 100}, 1);
  const Signal a = run(rms, signal(values));
  const Signal b = run(std_, signal(values));
  for (std::size_t k = 15099; k < values.size(); ++k) {
    REQUIRE(a.values[k] == 0.125);
    REQUIRE(std::abs(b.values[k] - 0.125) < 1e-15);
  }
}

TEST_CASE("sliding rms and std take values below 1e-150 for zero, large means for what they are") {
  SlidingRmsFilter rms({.window = 2}, 1);
  CHECK(run(rms, signal({1e-160, 1e-160, 1e-149})).values[1] == 0.0);
  SlidingStdFilter std_({.window = 4, .nan = NanPolicy::ignore}, 1);
  const Signal out = run(std_, signal({1e200, nan, 1e200, nan, nan, 1e200, 1e200}));
  CHECK(out.values == std::vector<double>(7, 0.0));
}

TEST_CASE("sliding min, max and median take -0.0 for +0.0") {
  const auto bits = [](double x) { return std::bit_cast<std::uint64_t>(x); };
  for (std::uint64_t window : {1U, 2U, 5U, 80U}) {
    for (const std::vector<double>& values :
         {std::vector<double>{0.0, -0.0, 0.0, -0.0}, std::vector<double>{-0.0, 0.0, -0.0, -0.0}}) {
      SlidingMinFilter least({.window = window}, 1);
      SlidingMaxFilter greatest({.window = window}, 1);
      SlidingMedianFilter median({.window = window}, 1);
      for (double y : run(least, signal(values)).values) CHECK(bits(y) == bits(0.0));
      for (double y : run(greatest, signal(values)).values) CHECK(bits(y) == bits(0.0));
      for (double y : run(median, signal(values)).values) CHECK(bits(y) == bits(0.0));
    }
  }
}

TEST_CASE("a centred median refuses an even window and keeps NaN to where it is") {
  CHECK_THROWS_AS(median_centred({}, 4), Error);
  CHECK_THROWS_AS(median_centred({}, 0), Error);
  CHECK_THROWS_AS(median_centred({}, (std::uint64_t{1} << 28) + 1), Error);
  CHECK(median_centred({}, 3).empty());
  CHECK(median_centred(std::vector<double>{3.0, 1.0, 2.0}, 1) ==
        std::vector<double>{3.0, 1.0, 2.0});
  CHECK(median_centred(std::vector<double>{3.0, 1.0, 2.0}, 3) ==
        std::vector<double>{1.0, 2.0, 1.0});
  const auto out = median_centred(std::vector<double>{1.0, 1.0, nan, 1.0, 1.0, 1.0}, 3);
  CHECK(test::same_bits(out, {1.0, nan, nan, nan, 1.0, 1.0}));
}

}  // namespace
}  // namespace spillway
