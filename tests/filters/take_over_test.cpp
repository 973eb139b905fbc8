// Filters whose parameters are changed in the middle of a stream: filter.hpp, take_over.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <concepts>
#include <numbers>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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
#include "spillway/filters/spectrum.hpp"
#include "support.hpp"
#include "support/catch.hpp"
#include "timed.hpp"

namespace spillway {
namespace {

using test::nan;
using test::new_seed;
using test::Random;
using test::Signal;
using test::unsettled;

// --- running one filter and then another ---

// One that changes the rate makes other numbers of frames: only what it made is kept.
template <class Filter>
Signal run(Filter& filter, const Signal& in, std::uint64_t first) {
  if constexpr (requires { filter.most_frames(in.frames()); }) {
    const std::size_t room = filter.most_frames(in.frames()) * in.lanes;
    Signal out{std::vector<double>(room), std::vector<Quality>(room), in.lanes};
    const Made made = filter.process({in.values, in.quality, in.lanes, first},
                                     {out.values, out.quality, in.lanes});
    return out.part(0, made.count);
  } else {
    return test::run(filter, in);
  }
}
template <class Filter>
Signal run_in_blocks(Filter& filter, const Signal& in, std::uint64_t first, Random& random) {
  Signal out{{}, {}, in.lanes};
  for (std::size_t f = 0; f < in.frames();) {
    const std::size_t n = std::min<std::size_t>(1 + random.below(70), in.frames() - f);
    out.append(run(filter, in.part(f, f + n), first + f));
    f += n;
  }
  return out;
}

// `before` over the frames of `in` up to `at`, `after` over those from there on, and what came.
struct Change {
  Signal until;
  Signal from;
};
template <class Filter>
Change change(Filter before, Filter after, const Signal& in, std::size_t at) {
  Change made;
  made.until = run(before, in.part(0, at), 0);
  after.take_over(before);
  made.from = run(after, in.part(at, in.frames()), at);
  return made;
}

// With a gap somewhere before the change.
template <class Filter>
Change change_behind_gap(Filter before, Filter after, const Signal& in, std::size_t gap,
                         std::size_t at) {
  Change made;
  made.until = run(before, in.part(0, gap), 0);
  before.gap();
  made.until.append(run(before, in.part(gap, at), gap));
  after.take_over(before);
  made.from = run(after, in.part(at, in.frames()), at);
  return made;
}

// What holds for all, with `before(lanes)` and `after(lanes)` to make the filters: neither cuts nor
// other lanes nor state that is saved and loaded on the way change a bit of what comes.
template <class Before, class After>
void check_laws(const Before& before, const After& after, const Signal& in, std::size_t at,
                Random& random) {
  const std::size_t gap = at - random.below(std::min<std::size_t>(at, 25) + 1);
  CAPTURE(gap);
  const Change made = change_behind_gap(before(in.lanes), after(in.lanes), in, gap, at);
  const Signal rest = in.part(at, in.frames());

  auto cut = before(in.lanes);
  Signal until = run_in_blocks(cut, in.part(0, gap), 0, random);
  cut.gap();
  until.append(run_in_blocks(cut, in.part(gap, at), gap, random));
  CHECK(until == made.until);
  StateWriter state;
  cut.save_state(state);
  auto cut_after = after(in.lanes);
  cut_after.take_over(cut);
  const std::size_t middle = random.below(rest.frames() + 1);
  Signal pieces = run_in_blocks(cut_after, rest.part(0, middle), at, random);

  // Saved behind the change, loaded into one that was just made.
  StateWriter writer;
  cut_after.save_state(writer);
  auto loaded = after(in.lanes);
  StateReader reader(writer.bytes());
  loaded.load_state(reader);
  CHECK(reader.at_end());
  Signal reloaded = pieces;
  pieces.append(run(cut_after, rest.part(middle, rest.frames()), at + middle));
  CHECK(pieces == made.from);
  reloaded.append(run(loaded, rest.part(middle, rest.frames()), at + middle));
  CHECK(reloaded == made.from);

  // Saved and loaded right before it.
  auto again = before(in.lanes);
  StateReader state_reader(state.bytes());
  again.load_state(state_reader);
  auto next = after(in.lanes);
  next.take_over(again);
  CHECK(run(next, rest, at) == made.from);

  for (std::size_t l = 0; l < in.lanes; ++l)
    CHECK(change_behind_gap(before(1), after(1), in.lane(l), gap, at).from == made.from.lane(l));
}

// A filter over all of it, and what came from frame `at` on.
template <class Filter>
Signal always(Filter filter, const Signal& in, std::size_t gap, std::size_t at) {
  (void)run(filter, in.part(0, gap), 0);
  filter.gap();
  (void)run(filter, in.part(gap, at), gap);
  return run(filter, in.part(at, in.frames()), at);
}
template <class Filter>
Signal always(Filter filter, const Signal& in, std::size_t at) {
  (void)run(filter, in.part(0, at), 0);
  return run(filter, in.part(at, in.frames()), at);
}

Signal merged(Signal s, Quality quality, std::size_t frames) {
  for (std::size_t i = 0; i < std::min(frames * s.lanes, s.quality.size()); ++i)
    s.quality[i] = merge(s.quality[i], quality);
  return s;
}

template <class Signalled>
Signal sampled(std::size_t frames, Signalled f) {
  std::vector<double> values;
  for (std::size_t k = 0; k < frames; ++k) values.push_back(f(static_cast<double>(k)));
  return test::signal(std::move(values));
}
Signal sine(std::size_t frames, double period, double offset = 0.0) {
  return sampled(frames,
                 [=](double k) { return offset + std::sin(2.0 * std::numbers::pi * k / period); });
}
Signal constant(std::size_t frames, double level) {
  return sampled(frames, [=](double) { return level; });
}

double largest_step(const std::vector<double>& values, std::size_t from = 1) {
  double largest = 0.0;
  for (std::size_t k = from; k < values.size(); ++k)
    largest = std::max(largest, std::abs(values[k] - values[k - 1]));
  return largest;
}
double largest_modulus(const std::vector<double>& values, std::size_t from = 0) {
  double largest = 0.0;
  for (std::size_t k = from; k < values.size(); ++k)
    largest = std::max(largest, std::abs(values[k]));
  return largest;
}
double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0.0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (std::isnan(a[k]) && std::isnan(b[k])) continue;
    const double off = std::abs(a[k] - b[k]);
    largest = off <= largest ? largest : off;  // a NaN stays
  }
  return largest;
}

template <class Filter>
concept TakesOver = requires(Filter& a, Filter& b) {
  { a.take_over(b) }
  noexcept->std::same_as<void>;
};

TEST_CASE("All filters with a past that other parameters can use take it over") {
  STATIC_REQUIRE(TakesOver<SosFilter>);
  STATIC_REQUIRE(TakesOver<ExponentialAverageFilter>);
  STATIC_REQUIRE(TakesOver<FirFilter>);
  STATIC_REQUIRE(TakesOver<SavitzkyGolayFilter>);
  STATIC_REQUIRE(TakesOver<MovingAverageFilter>);
  STATIC_REQUIRE(TakesOver<SlidingMedianFilter>);
  STATIC_REQUIRE(TakesOver<SlidingMinFilter>);
  STATIC_REQUIRE(TakesOver<SlidingMaxFilter>);
  STATIC_REQUIRE(TakesOver<SlidingRmsFilter>);
  STATIC_REQUIRE(TakesOver<SlidingStdFilter>);
  STATIC_REQUIRE(TakesOver<DecimateFilter>);
  STATIC_REQUIRE(TakesOver<ResampleFilter>);
  STATIC_REQUIRE(TakesOver<DerivativeFilter>);
  STATIC_REQUIRE(TakesOver<IntegralFilter>);
  STATIC_REQUIRE(TakesOver<DetectStuckFilter>);
  STATIC_REQUIRE(TakesOver<DetectJumpFilter>);
}

// --- recursive filters ---

constexpr Hertz rate{1000.0};

SosFilter low(int order, double cutoff, std::size_t lanes = 1, const SosOptions& options = {}) {
  return {design(lowpass(Butterworth{order}, Hertz{cutoff}), rate), options, lanes};
}
SosFilter high(int order, double cutoff, std::size_t lanes = 1, const SosOptions& options = {}) {
  return {design(highpass(Butterworth{order}, Hertz{cutoff}), rate), options, lanes};
}
Form any_form(Random& random) { return random.below(2) == 0 ? Form::df2t : Form::block; }

// The cascade in direct form I, in long double, whose coefficients change before frame `at`.
std::vector<double> direct_form_1(const Sos& before, const Sos& after, const Signal& in,
                                  std::size_t at) {
  using Two = std::array<long double, 2>;
  std::vector<Two> past(before.sections.size() + 1);
  std::vector<double> out;
  for (std::size_t k = 0; k < in.frames(); ++k) {
    const Sos& sos = k < at ? before : after;
    long double x = in.values[k];
    for (std::size_t s = 0; s < sos.sections.size(); ++s) {
      const Sos::Section& c = sos.sections[s];
      const long double y = c.b0 * x + c.b1 * past[s][0] + c.b2 * past[s][1] -
                            c.a1 * past[s + 1][0] - c.a2 * past[s + 1][1];
      past[s] = {x, past[s][0]};
      x = y;
    }
    past.back() = {x, past.back()[0]};
    out.push_back(static_cast<double>(x));
  }
  return out;
}

TEST_CASE("Recursive filters near to those before go on with the past of direct form I") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 60; ++turn) {
    const int order = 1 + static_cast<int>(random.below(8));
    const double cutoff = 20.0 * std::exp2(2.0 * random.uniform());  // 5 to 80
    const double other = cutoff * std::exp2(random.uniform());
    CAPTURE(turn, order, cutoff, other);
    const SosOptions before{.form = any_form(random)};
    const SosOptions after{.form = any_form(random)};
    const std::size_t at = 1 + random.below(900);
    Signal in = random.noise(1500, 1, 0);
    for (double& x : in.values) x += 3.0;
    for (const bool is_low : {true, false}) {
      CAPTURE(is_low, at);
      SosFilter a = is_low ? low(order, cutoff, 1, before) : high(order, cutoff, 1, before);
      SosFilter b = is_low ? low(order, other, 1, after) : high(order, other, 1, after);
      const std::vector<double> expected = direct_form_1(a.sos(), b.sos(), in, at);
      Change made = change(a, b, in, at);
      made.until.append(made.from);
      // Low cut-offs of high order keep some 1e-16 / (cutoff / rate)^2 of a value.
      CHECK(largest_difference(made.until.values, expected) < 1e-8);
    }
  }
}

TEST_CASE("Recursive filters: sections of first order, and with poles at 0, have a past too") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  const Signal in = random.noise(200, 1, 0);
  const auto check_exact = [&](const Sos::Section& before, const Sos::Section& after) {
    const Sos a{{before, {0.5, 0.2, 0.1, -0.6, 0.3}}};
    const Sos b{{after, {0.5, 0.25, 0.1, -0.5, 0.3}}};
    for (const std::size_t at : {1U, 2U, 3U, 50U}) {
      CAPTURE(at);
      Change made = change(SosFilter(a, {}, 1), SosFilter(b, {}, 1), in, at);
      made.until.append(made.from);
      CHECK(largest_difference(made.until.values, direct_form_1(a, b, in, at)) < 1e-10);
    }
  };
  check_exact({0.4, 0.4, 0.0, -0.2, 0.0}, {0.5, 0.5, 0.0, -0.25, 0.0});
  check_exact({0.5, 0.3, 0.0, -0.2, 0.0}, {0.5, 0.4, 0.1, -0.25, 0.1});
  check_exact({0.3, 0.4, 0.2, -0.2, 1e-3}, {0.4, 0.4, 0.1, -0.25, -0.1});
  check_exact({0.3, 0.4, 0.2, 0.0, 0.2}, {0.3, 0.4, 0.2, 0.1, 0.3});
  check_exact({0.3, 0.1, 0.0, -0.9, 0.0}, {0.3, 0.12, 0.0, -0.95, 0.0});

  // Of these the state does not tell all. They begin from rest at the last output: nothing but what
  // one step can do.
  for (const Sos::Section& before :
       {Sos::Section{0.3, 0.4, 0.3, 0.0, 0.0}, Sos::Section{0.3, 0.4, 0.3, -0.2, 1e-9},
        Sos::Section{0.3, 0.4, 0.3, 1e-7, 1e-12}}) {
    const Sos a{{before}};
    const Sos b{{{0.2, 0.4, 0.2, -0.3, 0.1}}};
    const Change made = change(SosFilter(a, {}, 1), SosFilter(b, {}, 1), in, 100);
    const double level = in.values[99];
    const double output = made.until.values[99];
    const double first = made.from.values[0];
    // y = b0 x + (b1 + b2) level - (a1 + a2) output
    CHECK(first == Approx(0.2 * in.values[100] + 0.6 * level + 0.2 * output).margin(1e-12));
    CHECK(largest_modulus(made.from.values) < 10.0);
  }
}

TEST_CASE(
    "Recursive filters: a change of nothing but options or form goes on as if there was none") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 20; ++turn) {
    CAPTURE(turn);
    const Form form = any_form(random);
    const std::size_t at = 200 + random.below(300);
    Signal in = random.noise(900, 3, 50);
    for (std::size_t i = at * 3; i < in.values.size(); ++i)
      if (std::isnan(in.values[i])) in.values[i] = 0.5;
    const SosFilter before = low(5, 60, 3, {.form = form});
    const Signal expected = always(before, in, at);
    // What they do is not asked for from here on.
    for (const SosOptions& options :
         {SosOptions{.nan = NanPolicy::reset, .form = form},
          SosOptions{.initial = Initial::steady, .gap = GapPolicy::hold, .form = form}})
      CHECK(change(before, low(5, 60, 3, options), in, at).from == expected);

    const Form other = form == Form::df2t ? Form::block : Form::df2t;
    const Signal turned = change(before, low(5, 60, 3, {.form = other}), in, at).from;
    CHECK(largest_difference(turned.values, expected.values) < 1e-12);
    CHECK(turned.quality == expected.quality);
  }
}

TEST_CASE("Recursive filters: on a constant the output stays where it is, whatever the change") {
  const Signal in = constant(9000, -7.25);
  struct Case {
    SosFilter before;
    SosFilter after;
    double level;
  };
  for (const Form form : {Form::df2t, Form::block}) {
    const SosOptions o{.form = form};
    const std::vector<Case> cases{
        {low(4, 40, 1, o), low(4, 55, 1, o), -7.25}, {low(4, 100, 1, o), low(4, 2, 1, o), -7.25},
        {low(4, 2, 1, o), low(4, 100, 1, o), -7.25}, {low(4, 40, 1, o), low(2, 40, 1, o), -7.25},
        {low(1, 40, 1, o), low(8, 40, 1, o), -7.25}, {low(8, 40, 1, o), low(1, 40, 1, o), -7.25},
        {high(4, 10, 1, o), high(4, 20, 1, o), 0.0}, {high(4, 100, 1, o), high(3, 5, 1, o), 0.0},
        {low(4, 40), low(4, 55, 1, o), -7.25},       {low(1, 40), low(8, 10, 1, o), -7.25},
        {low(4, 40, 1, o), low(4, 55), -7.25}};
    for (std::size_t i = 0; i < cases.size(); ++i) {
      CAPTURE(i);
      for (const std::size_t at : {5000U, 5003U}) {
        const Change made = change(cases[i].before, cases[i].after, in, at);
        for (const double y : made.from.values) REQUIRE(std::abs(y - cases[i].level) < 1e-9);
      }
    }
  }
}

TEST_CASE("Recursive filters: no step behind a change is larger than those of both filters alone") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  struct Pair {
    SosFilter before;
    SosFilter after;
    double most_steps;  // times the largest of either filter
    double most_size;   // times the largest value of either filter
  };
  for (int turn = 0; turn < 6; ++turn) {
    const SosOptions o{.form = any_form(random)};
    const SosOptions p{.form = any_form(random)};
    const std::vector<Pair> pairs{
        {low(4, 40, 1, o), low(4, 55, 1, p), 1.5, 1.2},
        {low(4, 55, 1, o), low(4, 40, 1, p), 1.5, 1.2},
        {low(4, 40, 1, o), low(2, 40, 1, p), 2.0, 1.2},
        {low(2, 40, 1, o), low(4, 40, 1, p), 2.0, 1.2},
        {low(1, 40, 1, o), low(8, 40, 1, p), 2.0, 1.5},
        {low(8, 40, 1, o), low(1, 40, 1, p), 5.0, 1.2},  // that of order 8 is a cycle late
        // Far away, what was in motion must not swing up.
        {low(4, 100, 1, o), low(4, 1, 1, p), 1.0, 1.2},
        {low(8, 100, 1, o), low(8, 2, 1, p), 1.0, 1.5},
        {high(4, 100, 1, o), high(4, 1, 1, p), 2.0, 2.0},
        {high(4, 10, 1, o), high(4, 20, 1, p), 2.0, 1.5}};
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      const Signal in = sine(9000, 40.0 + static_cast<double>(random.below(40)), 2.0);
      const std::size_t at = 5000 + random.below(200);
      CAPTURE(turn, i, at);
      const Signal alone = always(pairs[i].before, in, 4000);
      const Signal after = always(pairs[i].after, in, 4000);
      const Change made = change(pairs[i].before, pairs[i].after, in, at);
      std::vector<double> all(made.until.values.end() - 1000, made.until.values.end());
      all.insert(all.end(), made.from.values.begin(), made.from.values.end());
      CHECK(largest_step(all) <=
            pairs[i].most_steps * std::max(largest_step(alone.values), largest_step(after.values)));
      CHECK(largest_modulus(all) <= pairs[i].most_size * std::max(largest_modulus(alone.values),
                                                                  largest_modulus(after.values)));
      // In the end it is the new filter.
      const std::size_t n = 500;
      for (std::size_t k = 1; k <= n; ++k)
        REQUIRE(std::abs(all[all.size() - k] - after.values[after.values.size() - k]) < 1e-3);
    }
  }
}

TEST_CASE("Recursive filters: sections that are scaled in another way do not swing up") {
  // All gain in the first section, as other designs have it.
  const auto in_first = [](Sos sos) {
    for (std::size_t s = 1; s < sos.sections.size(); ++s) {
      const double b0 = sos.sections[s].b0;
      sos.sections[s].b0 /= b0;
      sos.sections[s].b1 /= b0;
      sos.sections[s].b2 /= b0;
      sos.sections[0].b0 *= b0;
      sos.sections[0].b1 *= b0;
      sos.sections[0].b2 *= b0;
    }
    return sos;
  };
  const Signal in = sine(12000, 20.0, 2.0);
  for (const auto& [from, to] : {std::pair{100.0, 1.0}, {1.0, 100.0}, {100.0, 20.0}}) {
    CAPTURE(from, to);
    const SosFilter before(in_first(low(4, from).sos()), {}, 1);
    const SosFilter after(in_first(low(4, to).sos()), {}, 1);
    const Change made = change(before, after, in, 6005);
    CHECK(largest_modulus(made.from.values) < 3.5);
    CHECK(std::abs(made.from.values[0] - made.until.values[6004]) <=
          largest_step(always(low(4, 100), in, 2000).values));
    const Change scaled = change(low(4, from), after, in, 6005);
    CHECK(largest_modulus(scaled.from.values) < 3.5);
  }
}

TEST_CASE("Recursive filters: outputs behind a change are suspect, transient until settled") {
  for (const double cutoff : {20.0, 90.0}) {
    const SosFilter before = low(4, 50, 2);
    const SosFilter after = low(4, cutoff, 2);
    Signal in = Random(1).noise(4000, 2, 0);
    const std::size_t at = 2000;
    const Change made = change(before, after, in, at);
    for (std::size_t f = 0; f < made.from.frames(); ++f)
      for (std::size_t l = 0; l < 2; ++l)
        REQUIRE(made.from.quality[2 * f + l] ==
                (f < after.settling() ? unsettled : Quality::good()));

    // A cause from before, in one lane: as long as the filter that takes longer to settle says.
    const std::size_t age = 30;
    const Quality doubtful(Verdict::suspect, Quality::implausible);
    in.quality[(at - age) * 2 + 1] = doubtful;
    const Signal from = change(before, after, in, at).from;
    const std::uint64_t last = std::max(before.settling(), after.settling()) - (age - 1);
    REQUIRE(before.settling() > age);
    for (std::size_t f = 0; f < from.frames(); ++f) {
      const Quality flagged = f < after.settling() ? unsettled : Quality::good();
      REQUIRE(from.quality[2 * f] == flagged);
      REQUIRE(from.quality[2 * f + 1] ==
              (f < last ? merge(flagged, merge(doubtful, unsettled)) : flagged));
    }
  }
}

TEST_CASE("Recursive filters: NaN, infinity and huge values before a change do not stay") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  constexpr double huge = std::numeric_limits<double>::max();
  for (int turn = 0; turn < 200; ++turn) {
    const NanPolicy policy = random.below(2) == 0 ? NanPolicy::hold : NanPolicy::reset;
    const Initial initial = random.below(2) == 0 ? Initial::zero : Initial::steady;
    const SosOptions o{.initial = initial, .nan = policy, .form = any_form(random)};
    const SosOptions p{.nan = policy, .form = any_form(random)};
    const int order = 1 + static_cast<int>(random.below(6));
    const int other = random.below(2) == 0 ? order : 1 + static_cast<int>(random.below(6));
    const double cutoff = 40.0 * std::exp2(2.5 * random.uniform());
    const SosFilter before = low(order, 60, 2, o);
    const SosFilter after = low(other, cutoff, 2, p);
    CAPTURE(turn, order, other, cutoff);
    const std::size_t at = 1 + random.below(150);
    Signal in = random.noise(90000, 2, 0);  // 300 decades take their time
    for (std::size_t i = 0; i < 2 * at; ++i) {
      const std::array<double, 5> odd{nan, test::infinity, huge, -huge, 1e-310};
      if (random.below(3) == 0) in.values[i] = odd[random.below(5)];
    }
    const Signal out = change(before, after, in, at).from;
    // A huge state may overflow once more, and is zero then.
    std::size_t unflagged = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < out.values.size(); ++i) {
      if (std::isfinite(out.values[i])) continue;
      if (out.quality[i].verdict() != Verdict::bad) ++unflagged;
      last = i;
    }
    REQUIRE(unflagged == 0);
    REQUIRE(last < 4000);
    REQUIRE(largest_modulus(out.values, out.values.size() - 500) < 2.0);
  }
}

TEST_CASE("Recursive filters: a lane without a valid input yet starts as new") {
  Signal in = constant(600, 4.0);
  for (std::size_t k = 0; k < 120; ++k) in.values[k] = nan;
  const SosOptions steady{.initial = Initial::steady};
  const Change made = change(low(4, 40, 1, steady), low(4, 70, 1, steady), in, 100);
  for (std::size_t k = 20; k < 500; ++k) REQUIRE(made.from.values[k] == Approx(4.0).epsilon(1e-12));
  // One that starts from zero.
  const Change zero = change(low(4, 40, 1, steady), low(4, 70), in, 100);
  CHECK(std::abs(zero.from.values[20]) < 0.1);
}

TEST_CASE("Recursive filters: right behind the first input the past is what they assume of it") {
  for (const std::size_t at : {1U, 2U}) {
    CAPTURE(at);
    for (const double cutoff : {60.0, 5.0}) {
      const SosOptions steady{.initial = Initial::steady};
      for (const double y :
           change(low(3, 50, 1, steady), low(3, cutoff), constant(200, 4.0), at).from.values)
        REQUIRE(std::abs(y - 4.0) < 1e-12);

      // A lane that has just been made zero.
      const SosOptions reset{.nan = NanPolicy::reset};
      Signal in = Random(9).noise(200, 1, 0);
      in.values[at - 1] = nan;
      const SosFilter after = low(3, cutoff, 1, reset);
      SosFilter fresh = after;
      CHECK(test::same_bits(change(low(3, 50, 1, reset), after, in, at).from.values,
                            run(fresh, in.part(at, 200), at).values));
    }
  }
}

TEST_CASE("Recursive filters: what can't be the past of any output counts as none") {
  // Of a constant input of this size the steady output is too large.
  Signal in = constant(50, 0.5);
  in.values[20] = std::numeric_limits<double>::max();
  const SosFilter before(Sos{{{1e-6, 0.0, 0.0, -0.5, 0.0}}}, {}, 1);
  const SosFilter after(Sos{{{1e-3, 0.0, 0.0, -0.9999, 0.0}}}, {}, 1);
  SosFilter fresh = after;
  const Change made = change(before, after, in, 21);
  REQUIRE(std::isfinite(made.until.values[20]));
  CHECK(test::same_bits(made.from.values, run(fresh, in.part(21, 50), 21).values));
}

TEST_CASE("Recursive filters keep the laws over a change") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 30; ++turn) {
    const Signal in = random.noise(700, 3, 60);
    const std::size_t at = random.below(500);
    const Initial initial = random.below(2) == 0 ? Initial::zero : Initial::steady;
    const SosOptions o{.initial = initial,
                       .nan = random.below(2) == 0 ? NanPolicy::hold : NanPolicy::reset,
                       .form = any_form(random)};
    const SosOptions p{.initial = initial, .form = any_form(random)};
    const int order = 1 + static_cast<int>(random.below(6));
    const int other = random.below(2) == 0 ? order : 1 + static_cast<int>(random.below(6));
    const double cutoff = random.below(4) == 0 ? 60.0 : 60.0 * std::exp2(3.0 * random.uniform());
    CAPTURE(turn, at, order, other, cutoff);
    check_laws([&](std::size_t lanes) { return low(order, 60, lanes, o); },
               [&](std::size_t lanes) { return low(other, cutoff, lanes, p); }, in, at, random);
  }
}

TEST_CASE("Exponential averages go on from the average") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 30; ++turn) {
    const double alpha = 0.5 + 0.45 * random.uniform();
    const double other = 0.5 + 0.45 * random.uniform();
    const std::size_t at = 1 + random.below(300);
    CAPTURE(turn, alpha, other, at);
    const Signal in = random.noise(500, 1, 0);
    const ExponentialAverageFilter before({.alpha = alpha}, std::nullopt, 1);
    const ExponentialAverageFilter after({.alpha = other}, std::nullopt, 1);
    const Change made = change(before, after, in, at);
    double y = made.until.values.back();
    for (std::size_t k = 0; k < made.from.frames(); ++k) {
      y = y + other * (in.values[at + k] - y);
      REQUIRE(made.from.values[k] == y);
      REQUIRE(made.from.quality[k] == (k < after.settling() ? unsettled : Quality::good()));
    }
    // Nothing but the policy.
    const ExponentialAverageFilter same({.alpha = alpha, .gap = GapPolicy::hold}, std::nullopt, 1);
    CHECK(change(before, same, in, at).from == always(before, in, at));

    const auto of = [](double a) {
      return [a](std::size_t lanes) {
        return ExponentialAverageFilter({.alpha = a, .nan = NanPolicy::reset}, std::nullopt, lanes);
      };
    };
    check_laws(of(alpha), of(other), random.noise(400, 3, 60), random.below(300), random);
  }
}

TEST_CASE("Exponential averages keep a cause from before as long as the longer one") {
  Signal in = constant(3000, 1.0);
  const Quality doubtful(Verdict::suspect, Quality::implausible);
  in.quality[990] = doubtful;
  for (const double other : {0.01, 0.5}) {
    const ExponentialAverageFilter before({.alpha = 0.05}, std::nullopt, 1);
    const ExponentialAverageFilter after({.alpha = other}, std::nullopt, 1);
    const Signal from = change(before, after, in, 1000).from;
    const std::uint64_t last = std::max(before.settling(), after.settling()) - 9;
    for (std::size_t k = 0; k < from.frames(); ++k)
      REQUIRE(from.quality[k].has(Quality::implausible) == (k < last));
  }
}

TEST_CASE("Exponential averages of irregular streams go on, between alpha and time constant too") {
  using namespace std::chrono_literals;
  const std::vector<Time> times = test::even_times(400, 1ms);
  Signal in = constant(400, 5.0);
  in.values[0] = 0.0;
  in.quality[190] = Quality(Verdict::suspect, Quality::implausible);
  const ExponentialAverage by_time{.time_constant = 10ms};
  const ExponentialAverage slower{.time_constant = 20ms};
  const ExponentialAverage by_count{.alpha = 0.1};
  for (const auto& [first, second] :
       {std::pair{by_time, slower}, {by_time, by_count}, {by_count, by_time}}) {
    ExponentialAverageFilter before(first, std::nullopt, 1);
    ExponentialAverageFilter after(second, std::nullopt, 1);
    std::vector<double> y(400);
    std::vector<Quality> q(400);
    const auto part = [&](ExponentialAverageFilter& filter, std::size_t from, std::size_t to) {
      filter.process(
          {std::span(in.values).subspan(from, to - from),
           std::span(in.quality).subspan(from, to - from), 1, from,
           std::span(times).subspan(from, to - from)},
          {std::span(y).subspan(from, to - from), std::span(q).subspan(from, to - from), 1});
    };
    part(before, 0, 200);
    after.take_over(before);
    part(after, 200, 400);
    const bool has_step = second.alpha > 0.0 || first.alpha == 0.0;
    double alpha = second.alpha;
    if (alpha == 0.0)
      alpha = has_step ? -std::expm1(second.time_constant == 20ms ? -0.05 : -0.1) : 0.0;
    CHECK(y[200] == Approx(y[199] + alpha * (5.0 - y[199])).epsilon(1e-14));
    CHECK(q[200].has(Quality::transient));
    CHECK(q[200].has(Quality::implausible));
    const std::size_t settled = second.alpha > 0.0 ? 66 : second.time_constant == 20ms ? 139 : 70;
    CHECK(q[200 + settled - 1].has(Quality::transient));
    CHECK(q[200 + settled + 1].is_good());
  }
}

// --- windows ---

// Over random windows: with inputs that are there the same as a filter that always had the new
// parameters; where some are missing as one that started there, flagged. `make(window, lanes)` with
// the gap policy `policy`; values are compared by `close`.
template <class Make, class Close>
void check_windows(const Make& make, GapPolicy policy, Random& random, const Close& close,
                   std::uint64_t odd) {
  for (int turn = 0; turn < 60; ++turn) {
    const std::size_t m = 1 + random.below(40);
    const std::size_t n = 1 + random.below(random.below(4) == 0 ? 40 : m + 3);
    const std::size_t lanes = 1 + random.below(3);
    const std::size_t gap = random.below(150);
    const std::size_t at = gap + random.below(random.below(3) == 0 ? 50 : 150);
    CAPTURE(turn, m, n, lanes, gap, at);
    const Signal in = random.noise(400, lanes, odd);
    const auto after = make(n, lanes);
    const Signal from = change_behind_gap(make(m, lanes), after, in, gap, at).from;
    const Signal expected = always(after, in, gap, at);
    const std::size_t come = policy == GapPolicy::reset ? at - gap : at;
    if (n <= m || come < m) {
      REQUIRE(from.quality == expected.quality);
      REQUIRE(close(from.values, expected.values));
      continue;
    }
    // The m - 1 inputs before are known, those before them are not.
    const std::size_t known = at - (m - 1);
    auto short_of = after;
    if (gap > known) (void)run(short_of, in.part(known, gap), known);
    if (gap >= known) short_of.gap();
    (void)run(short_of, in.part(std::max(gap, known), at), std::max(gap, known));
    const Signal short_from = merged(run(short_of, in.part(at, in.frames()), at), unsettled, n - m);
    REQUIRE(from.quality == short_from.quality);
    REQUIRE(close(from.values, short_from.values));
    const Signal tail = from.part(n - m, from.frames());
    const Signal expected_tail = expected.part(n - m, expected.frames());
    REQUIRE(tail.quality == expected_tail.quality);
    REQUIRE(close(tail.values, expected_tail.values));
  }
}

const auto to_the_bit = [](const std::vector<double>& a, const std::vector<double>& b) {
  return test::same_bits(a, b);
};
auto within(double error) {
  return [error](const std::vector<double>& a, const std::vector<double>& b) {
    return largest_difference(a, b) <= error;
  };
}

TEST_CASE(
    "Sliding statistics go on as if they always had the new window, if the samples are there") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (const GapPolicy gap : {GapPolicy::reset, GapPolicy::hold})
    for (const WarmUp warm_up : {WarmUp::grow, WarmUp::nan})
      for (const NanPolicy policy : {NanPolicy::propagate, NanPolicy::ignore}) {
        CAPTURE(static_cast<int>(gap), static_cast<int>(warm_up), static_cast<int>(policy));
        const auto of = [&]<class Statistic>(Statistic p) {
          p.warm_up = warm_up;
          p.nan = policy;
          p.gap = gap;
          return [p](std::uint64_t window, std::size_t lanes) {
            Statistic q = p;
            q.window = window;
            if constexpr (std::same_as<Statistic, MovingAverage>)
              return MovingAverageFilter(q, lanes);
            else
              return SlidingFilter<Statistic>(q, lanes);
          };
        };
        for (const std::uint64_t odd : {0U, 30U}) {
          check_windows(of(SlidingMedian{}), gap, random, to_the_bit, odd);
          check_windows(of(SlidingMin{}), gap, random, to_the_bit, odd);
          check_windows(of(SlidingMax{}), gap, random, to_the_bit, odd);
          check_windows(of(SlidingRms{}), gap, random, within(1e-14), odd);
          check_windows(of(SlidingStd{}), gap, random, within(1e-13), odd);
          check_windows(of(SlidingStd{.ddof = 1}), gap, random, within(1e-13), odd);
          check_windows(of(MovingAverage{}), gap, random, within(1e-14), odd);
        }
      }
}

TEST_CASE("Sliding statistics with the same window go on to the bit") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (const std::uint64_t window : {1U, 2U, 7U, 64U, 200U}) {
    const Signal in = random.noise(900, 2, 90);
    const std::size_t at = 300 + random.below(200);
    CAPTURE(window, at);
    const auto check = [&]<class Statistic>(Statistic p) {
      p.window = window;
      const SlidingFilter<Statistic> before(p, 2);
      p.warm_up = WarmUp::nan;
      p.gap = GapPolicy::hold;
      const SlidingFilter<Statistic> after(p, 2);
      CHECK(change(before, after, in, at).from == always(after, in, at));
    };
    check(SlidingMedian{});
    check(SlidingMin{});
    check(SlidingMax{});
    check(SlidingRms{});
    check(SlidingStd{});
    CHECK(change(MovingAverageFilter({.window = window}, 2),
                 MovingAverageFilter({.window = window, .gap = GapPolicy::hold}, 2), in, at)
              .from == always(MovingAverageFilter({.window = window}, 2), in, at));
    // Another divisor of the same sums.
    CHECK(change(SlidingStdFilter({.window = window}, 2),
                 SlidingStdFilter({.window = window, .ddof = 1}, 2), in, at)
              .from == always(SlidingStdFilter({.window = window, .ddof = 1}, 2), in, at));
  }
}

TEST_CASE("Sliding statistics: infinities and large windows go on too") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 40; ++turn) {
    const std::uint64_t m = 150 + random.below(100);
    const std::uint64_t n = 1 + random.below(m);
    const std::size_t at = 600 + random.below(300);
    CAPTURE(turn, m, n, at);
    Signal in = random.noise(1500, 1, 0);
    in.values[at - 1 - random.below(m)] = test::infinity;
    if (turn % 2 == 0) in.values[at - 1 - random.below(m)] = -test::infinity;
    if (turn % 3 == 0) in.values[at - 1 - random.below(m)] = nan;
    const auto check = [&]<class Filter>(Filter before, Filter after, double error) {
      const Signal made = change(before, after, in, at).from;
      const Signal expected = always(after, in, at);
      CHECK(made.quality == expected.quality);
      for (std::size_t k = 0; k < made.frames(); ++k) {
        const double a = made.values[k];
        const double b = expected.values[k];
        REQUIRE(((std::isnan(a) && std::isnan(b)) || a == b || std::abs(a - b) <= error));
      }
    };
    check(SlidingMedianFilter({.window = m}, 1), SlidingMedianFilter({.window = n}, 1), 0.0);
    check(SlidingMinFilter({.window = m}, 1), SlidingMinFilter({.window = n}, 1), 0.0);
    check(SlidingMaxFilter({.window = m}, 1), SlidingMaxFilter({.window = n}, 1), 0.0);
    check(SlidingRmsFilter({.window = m}, 1), SlidingRmsFilter({.window = n}, 1), 1e-14);
    check(SlidingStdFilter({.window = m}, 1), SlidingStdFilter({.window = n}, 1), 1e-12);
    check(MovingAverageFilter({.window = m}, 1), MovingAverageFilter({.window = n}, 1), 1e-14);
  }
}

TEST_CASE("Sliding rms, deviation and mean: what was large before leaves no error behind") {
  // A pulse, then little values beside an offset.
  Random random(7);
  Signal in = random.noise(3000, 1, 0);
  for (double& x : in.values) x = 1000.0 + 1e-3 * x;
  for (std::size_t k = 500; k < 510; ++k) in.values[k] = 1e9;
  for (const std::size_t at : {560U, 600U, 731U}) {
    const std::uint64_t m = 250;
    const std::uint64_t n = 40;
    const auto error = [&]<class Filter>(Filter before, Filter after) {
      return largest_difference(change(before, after, in, at).from.values,
                                always(after, in, at).values);
    };
    CHECK(error(MovingAverageFilter({.window = m}, 1), MovingAverageFilter({.window = n}, 1)) <
          1e-11);
    CHECK(error(SlidingRmsFilter({.window = m}, 1), SlidingRmsFilter({.window = n}, 1)) < 1e-11);
    CHECK(error(SlidingStdFilter({.window = m}, 1), SlidingStdFilter({.window = n}, 1)) <
          1e-16 * 250 * 1000 * 10);
  }
}

TEST_CASE("Sliding statistics: another policy for NaN starts anew, as behind a gap") {
  const Signal in = Random(3).noise(300, 1, 40);
  const auto check = [&]<class Filter>(Filter before, Filter after) {
    Filter fresh = after;
    fresh.gap();
    CHECK(change(before, after, in, 100).from == run(fresh, in.part(100, 300), 100));
  };
  check(MovingAverageFilter({.window = 9}, 1),
        MovingAverageFilter({.window = 9, .nan = NanPolicy::ignore}, 1));
  check(SlidingMinFilter({.window = 9, .nan = NanPolicy::ignore}, 1),
        SlidingMinFilter({.window = 5}, 1));
  check(SlidingMedianFilter({.window = 9, .nan = NanPolicy::ignore}, 1),
        SlidingMedianFilter({.window = 5}, 1));
}

TEST_CASE("Means of a constant and of a sine have no jump") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 40; ++turn) {
    const std::uint64_t m = 1 + random.below(200);
    const std::uint64_t n = 1 + random.below(200);
    const std::size_t at = 300 + random.below(200);
    CAPTURE(turn, m, n, at);
    const MovingAverageFilter before({.window = m}, 1);
    const MovingAverageFilter after({.window = n}, 1);
    for (const double y : change(before, after, constant(800, 0.1), at).from.values)
      REQUIRE(std::abs(y - 0.1) < 1e-15);
    // A mean of n and one of m are at most half of |n - m| samples apart: by the slope.
    const Signal in = sine(800, 600.0, 3.0);
    const Change made = change(before, after, in, at);
    const double slope = 2.0 * std::numbers::pi / 600.0;
    const double apart = std::abs(static_cast<double>(m) - static_cast<double>(n)) / 2.0 + 1.0;
    CHECK(std::abs(made.from.values[0] - made.until.values.back()) <= slope * apart);
  }
}

TEST_CASE("Sliding statistics keep the laws over a change") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 20; ++turn) {
    const Signal in = random.noise(300, 3, 40);
    const std::size_t at = random.below(200);
    const std::uint64_t m = 1 + random.below(turn % 2 == 0 ? 20 : 160);
    const std::uint64_t n = 1 + random.below(turn % 2 == 0 ? 20 : 160);
    const NanPolicy policy = random.below(2) == 0 ? NanPolicy::propagate : NanPolicy::ignore;
    CAPTURE(turn, at, m, n);
    const auto check = [&]<class Statistic>(Statistic p) {
      p.nan = policy;
      const auto of = [p](std::uint64_t window) {
        return [p, window](std::size_t lanes) {
          Statistic q = p;
          q.window = window;
          if constexpr (std::same_as<Statistic, MovingAverage>)
            return MovingAverageFilter(q, lanes);
          else
            return SlidingFilter<Statistic>(q, lanes);
        };
      };
      check_laws(of(m), of(n), in, at, random);
    };
    check(MovingAverage{});
    check(SlidingMedian{});
    check(SlidingMin{});
    check(SlidingMax{});
    check(SlidingRms{});
    check(SlidingStd{});
  }
}

TEST_CASE("Sliding statistics: a longer window lacks what was lost in a gap, even one just full") {
  const Signal in = constant(200, 1.0);
  const auto check = [&]<class Filter>(const Filter& before, const Filter& after, std::size_t m,
                                       std::size_t n) {
    for (std::size_t known = 0; known < m; ++known) {
      CAPTURE(m, n, known);
      Filter filter = before;
      (void)run(filter, in.part(0, 50), 0);
      filter.gap();
      (void)run(filter, in.part(50, 50 + known), 50);
      StateWriter writer;
      filter.save_state(writer);
      Filter loaded = before;
      StateReader reader(writer.bytes());
      loaded.load_state(reader);
      Filter next = after;
      next.take_over(loaded);
      const Signal from = run(next, in.part(50 + known, 200), 50 + known);
      for (std::size_t k = 0; k < from.frames(); ++k)
        REQUIRE(from.quality[k] == (k + known < n - 1 ? unsettled : Quality::good()));
    }
    // At the start of a stream nothing is lost.
    CHECK(change(before, after, in, m - 1).from == always(after, in, m - 1));
  };
  for (const auto& [m, n] : {std::pair{1U, 4U}, {5U, 9U}, {8U, 9U}}) {
    check(MovingAverageFilter({.window = m}, 1), MovingAverageFilter({.window = n}, 1), m, n);
    check(SlidingMaxFilter({.window = m}, 1), SlidingMaxFilter({.window = n}, 1), m, n);
    check(SlidingMedianFilter({.window = m}, 1), SlidingMedianFilter({.window = n}, 1), m, n);
  }
}

TEST_CASE("Sliding statistics: two changes in a row flag what the first one lacked") {
  const Signal in = constant(200, 1.0);
  MovingAverageFilter a({.window = 5}, 1);
  MovingAverageFilter b({.window = 20}, 1);
  MovingAverageFilter c({.window = 30}, 1);
  (void)run(a, in.part(0, 50), 0);
  b.take_over(a);
  (void)run(b, in.part(50, 53), 50);
  c.take_over(b);
  const Signal from = run(c, in.part(53, 200), 53);
  // Known are 4 + 3 samples before.
  for (std::size_t k = 0; k < from.frames(); ++k)
    REQUIRE(from.quality[k] == (k < 29 - 7 ? unsettled : Quality::good()));
}

// --- FIR filters ---

std::vector<double> any_taps(Random& random, std::size_t count) {
  std::vector<double> taps;
  for (std::size_t i = 0; i < count; ++i) taps.push_back(random.uniform());
  return taps;
}

// In front of a filter that has missing inputs: frames from `from` on, and before them as many as
// it needs of the first of these.
Signal held_before(const Signal& in, std::size_t from, std::size_t frames) {
  Signal padded{{}, {}, in.lanes};
  for (std::size_t f = 0; f < frames; ++f) padded.append(in.part(from, from + 1));
  padded.append(in.part(from, in.frames()));
  return padded;
}

TEST_CASE("FIR filters go on as if they always had the new taps, if the inputs are there") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 200; ++turn) {
    const std::size_t m = 1 + random.below(60);
    const std::size_t n = 1 + random.below(random.below(2) == 0 ? 60 : m);
    const std::size_t lanes = 1 + random.below(3);
    const std::size_t gap = random.below(400);
    const std::size_t at = gap + random.below(random.below(3) == 0 ? 60 : 400);
    const GapPolicy policy = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
    CAPTURE(turn, m, n, lanes, gap, at);
    const Signal in = random.noise(1000, lanes, 50);
    const FirFilter before({any_taps(random, m), policy}, lanes);
    const FirFilter after({any_taps(random, n), policy}, lanes);
    const Signal from = change_behind_gap(before, after, in, gap, at).from;
    const Signal expected = always(after, in, gap, at);
    if (n <= m) {
      CHECK(from == expected);
      continue;
    }
    const Signal tail = expected.part(n - m, expected.frames());
    CHECK(from.part(n - m, from.frames()) == tail);
    for (std::size_t i = 0; i < (n - m) * lanes; ++i)
      REQUIRE(merge(from.quality[i], unsettled) == from.quality[i]);
    if (m == 1 || at - gap < m) continue;
    // The oldest of those known stands for those that are missing.
    FirFilter held = after;
    const std::size_t known = at - (m - 1);
    const Signal padded = held_before(in, known, n + 1);
    (void)run(held, padded.part(0, n + m), 0);
    const Signal expected_from =
        merged(run(held, padded.part(n + m, padded.frames()), 0), unsettled, n - m);
    CHECK(from == expected_from);
  }
}

TEST_CASE("FIR filters: a constant goes on without a jump, with more taps too") {
  for (const auto& [m, n] : {std::pair{21U, 101U}, {101U, 21U}, {64U, 65U}}) {
    const FirFilter before({design(FirLowPass{.taps = m, .cutoff = Hertz{50}}, rate)}, 1);
    const FirFilter after({design(FirLowPass{.taps = n, .cutoff = Hertz{20}}, rate)}, 1);
    for (const double y : change(before, after, constant(900, 12.5), 500).from.values)
      REQUIRE(std::abs(y - 12.5) < 1e-13);
  }
}

TEST_CASE(
    "FIR filters by FFT: with as many taps the block on its way out is that of those before") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  const std::size_t taps = longest_direct_fir + 1 + random.below(600);
  const FirFilter before({any_taps(random, taps)}, 2);
  const FirFilter after({any_taps(random, taps)}, 2);
  const std::size_t block = after.block();
  REQUIRE(block > 0);
  const std::size_t at = 3 * block + random.below(block);
  const std::size_t rest = block - at % block;
  CAPTURE(taps, at);
  const Signal in = random.noise(8 * block, 2, 4000);
  const Signal from = change(before, after, in, at).from;
  const Signal old = merged(always(before, in, at), unsettled, rest);
  const Signal now = always(after, in, at);
  CHECK(from.part(0, rest) == old.part(0, rest));
  CHECK(from.part(rest, from.frames()) == now.part(rest, now.frames()));

  // Otherwise anew.
  const FirFilter direct({any_taps(random, 30)}, 2);
  const FirFilter longer({any_taps(random, taps + 1)}, 2);
  for (const auto& [a, b] : {std::pair{before, direct}, {direct, before}, {before, longer}}) {
    FirFilter fresh = b;
    fresh.gap();
    CHECK(change(a, b, in, at).from == run(fresh, in.part(at, in.frames()), at));
  }
}

TEST_CASE("Savitzky-Golay filters go on as if they always had the new parameters") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 100; ++turn) {
    const std::size_t m = 5 + 2 * random.below(20);
    const std::size_t n = 5 + 2 * random.below(20);
    const std::size_t gap = random.below(200);
    const std::size_t at = gap + random.below(200);
    const GapPolicy policy = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
    CAPTURE(turn, m, n, gap, at);
    const Signal in = random.noise(600, 2, 50);
    const SavitzkyGolayFilter before({.window = m, .order = 2, .gap = policy}, rate, 2);
    const SavitzkyGolayFilter after(
        {.window = n, .order = 3, .derivative = 1, .align = Alignment::centred, .gap = policy},
        rate, 2);
    const Signal from = change_behind_gap(before, after, in, gap, at).from;
    const Signal expected = always(after, in, gap, at);
    if (n <= m) {
      CHECK(from == expected);
      continue;
    }
    CHECK(from.part(n - m, from.frames()) == expected.part(n - m, expected.frames()));
    for (std::size_t i = 0; i < (n - m) * 2; ++i) {
      REQUIRE(std::isnan(from.values[i]));
      REQUIRE(merge(from.quality[i], unsettled) == from.quality[i]);
    }
  }
}

TEST_CASE("Decimation and resampling go on as if they always had the new taps") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  const auto check = [&](const auto& before, const auto& after, std::size_t longest_before,
                         std::size_t longest, std::size_t gap, std::size_t at, const Signal& in) {
    const Signal from = change_behind_gap(before, after, in, gap, at).from;
    const Signal expected = always(after, in, gap, at);
    if (longest <= longest_before) {
      CHECK(from == expected);
      return;
    }
    const std::size_t lacking = longest - longest_before;
    const std::size_t short_of =
        static_cast<std::size_t>(after.outputs_before(at + lacking) - after.outputs_before(at));
    CHECK(from.part(short_of, from.frames()) == expected.part(short_of, expected.frames()));
  };
  for (int turn = 0; turn < 150; ++turn) {
    const std::size_t gap = random.below(400);
    const std::size_t at = gap + random.below(400);
    const GapPolicy policy = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
    const Signal in = random.noise(1200, 2, 60);
    const std::uint64_t factor = 1 + random.below(6);
    const std::size_t m = 1 + random.below(60);
    const std::size_t n = 1 + random.below(random.below(2) == 0 ? 60 : m);
    CAPTURE(turn, factor, m, n, gap, at);
    check(DecimateFilter({.factor = factor, .coefficients = any_taps(random, m), .gap = policy}, 2),
          DecimateFilter({.factor = factor, .coefficients = any_taps(random, n), .gap = policy}, 2),
          m, n, gap, at, in);
    const std::uint64_t up = 1 + random.below(5);
    const std::uint64_t down = 1 + random.below(5);
    const Resample p{.up = up, .down = down, .coefficients = any_taps(random, m), .gap = policy};
    const Resample q{.up = up, .down = down, .coefficients = any_taps(random, n), .gap = policy};
    const std::uint64_t reduced = up / std::gcd(up, down);
    CAPTURE(up, down);
    check(ResampleFilter(p, 2), ResampleFilter(q, 2), (m + reduced - 1) / reduced,
          (n + reduced - 1) / reduced, gap, at, in);
  }
}

TEST_CASE("Decimation and resampling: missing inputs are flagged, in exactly those outputs") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 100; ++turn) {
    const std::uint64_t up = 1 + random.below(4);
    const std::uint64_t down = 1 + random.below(4);
    const std::uint64_t u = up / std::gcd(up, down);
    const std::uint64_t d = down / std::gcd(up, down);
    const std::size_t m = 1 + random.below(40);
    const std::size_t n = m + random.below(40);
    const std::size_t at = 200 + random.below(100);
    CAPTURE(turn, up, down, m, n, at);
    const Signal in = constant(600, 2.0);
    const ResampleFilter before(
        {.up = up, .down = down, .coefficients = std::vector<double>(m, 1.0)}, 1);
    const ResampleFilter after(
        {.up = up, .down = down, .coefficients = std::vector<double>(n, 1.0)}, 1);
    const Signal from = change(before, after, in, at).from;
    const Signal expected = always(after, in, at);
    if (m > u) CHECK(test::same_bits(from.values, expected.values));  // the oldest stands for them
    const std::uint64_t first = after.outputs_before(at);
    const std::uint64_t oldest = at - ((m + u - 1) / u - 1);  // that is known
    for (std::size_t k = 0; k < from.frames(); ++k) {
      // Taps i of output j are of the inputs (j d - i) / u, where that is a whole number.
      const std::uint64_t position = (first + k) * d;
      const std::uint64_t last_tap = (n - 1 - position % u) / u * u + position % u;
      const bool has_tap = position % u < n;
      const bool lacks = has_tap && (position - last_tap) / u < oldest;
      REQUIRE(from.quality[k] == (lacks ? unsettled : Quality::good()));
    }
  }
}

TEST_CASE("FIR filters and rate changes keep the laws over a change") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 20; ++turn) {
    const Signal in = random.noise(900, 3, 60);
    const std::size_t at = random.below(700);
    const std::vector<double> before = any_taps(random, 1 + random.below(80));
    const std::vector<double> after = any_taps(random, 1 + random.below(80));
    CAPTURE(turn, at, before.size(), after.size());
    check_laws([&](std::size_t lanes) { return FirFilter({before}, lanes); },
               [&](std::size_t lanes) { return FirFilter({after}, lanes); }, in, at, random);
    const auto savitzky_golay = [](std::size_t window) {
      return
          [=](std::size_t lanes) { return SavitzkyGolayFilter({.window = window}, rate, lanes); };
    };
    check_laws(savitzky_golay(5 + 2 * random.below(9)), savitzky_golay(5 + 2 * random.below(9)), in,
               at, random);
    const auto decimate = [](const std::vector<double>& taps) {
      return [&](std::size_t lanes) {
        return DecimateFilter({.factor = 3, .coefficients = taps}, lanes);
      };
    };
    check_laws(decimate(before), decimate(after), in, at, random);
    const auto resample = [](const std::vector<double>& taps) {
      return [&](std::size_t lanes) {
        return ResampleFilter({.up = 3, .down = 2, .coefficients = taps}, lanes);
      };
    };
    check_laws(resample(before), resample(after), in, at, random);
  }
  const std::vector<double> before = any_taps(random, longest_direct_fir + 5);
  const std::vector<double> after = any_taps(random, longest_direct_fir + 5);
  const Signal in = random.noise(9000, 2, 500);
  check_laws([&](std::size_t lanes) { return FirFilter({before}, lanes); },
             [&](std::size_t lanes) { return FirFilter({after}, lanes); }, in,
             4000 + random.below(2000), random);
}

// --- derivative, integral, detectors ---

TEST_CASE("Derivatives go on as if they always had the new scheme") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 100; ++turn) {
    const Signal in = random.noise(100, 2, 20);
    const std::size_t gap = random.below(50);
    const std::size_t at = gap + random.below(6);
    const GapPolicy policy = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
    CAPTURE(turn, gap, at);
    for (const auto& [a, b] : {std::pair{Difference::backward, Difference::central},
                               {Difference::central, Difference::backward}}) {
      const DerivativeFilter before({.scheme = a, .gap = policy}, Rate(1000, 1), 2);
      const DerivativeFilter after({.scheme = b, .gap = policy}, Rate(1000, 1), 2);
      CHECK(change_behind_gap(before, after, in, gap, at).from == always(after, in, gap, at));
      const auto of = [](Difference scheme) {
        return [=](std::size_t lanes) {
          return DerivativeFilter({.scheme = scheme}, Rate(1000, 1), lanes);
        };
      };
      check_laws(of(a), of(b), in, at, random);
    }
  }
}

TEST_CASE("Integrals go on, and take a new initial value where they start anew") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 50; ++turn) {
    const Signal in = random.noise(300, 2, 60);
    const std::size_t at = random.below(200);
    CAPTURE(turn, at);
    const IntegralFilter before({.initial = 2.0}, Rate(10, 1), 2);
    const IntegralFilter after({.initial = 2.0, .gap = GapPolicy::reset}, Rate(10, 1), 2);
    CHECK(change(before, after, in, at).from == always(before, in, at));
    const auto of = [](double initial) {
      return [=](std::size_t lanes) {
        return IntegralFilter({.initial = initial, .nan = NanPolicy::reset}, Rate(10, 1), lanes);
      };
    };
    check_laws(of(1.0), of(5.0), in, at, random);
  }
  Signal in = constant(20, 1.0);
  in.values[10] = nan;
  const NanPolicy policy = NanPolicy::reset;
  const Signal from = change(IntegralFilter({.initial = 1.0, .nan = policy}, Rate(1, 1), 1),
                             IntegralFilter({.initial = 50.0, .nan = policy}, Rate(1, 1), 1), in, 5)
                          .from;
  CHECK(from.values[0] == 6.0);
  CHECK(from.values[4] == 10.0);
  CHECK(from.values[6] == 50.0);
  CHECK(from.values[7] == 51.0);
  // Before the first sample there is nothing to go on.
  CHECK(change(IntegralFilter({.initial = 1.0}, Rate(1, 1), 1),
               IntegralFilter({.initial = 50.0}, Rate(1, 1), 1), in, 0)
            .from.values[0] == 50.0);
}

TEST_CASE("Detectors go on as if they always had the new limits") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  Random random(seed);
  for (int turn = 0; turn < 50; ++turn) {
    Signal in = random.noise(300, 2, 60);
    for (double& x : in.values) x = std::round(x);
    const std::size_t at = random.below(200);
    CAPTURE(turn, at);
    const auto stuck = [](std::uint64_t samples) {
      return [=](std::size_t lanes) { return DetectStuckFilter({.samples = samples}, lanes); };
    };
    CHECK(change(stuck(3)(2), stuck(5)(2), in, at).from == always(stuck(5)(2), in, at));
    CHECK(change(stuck(5)(2), stuck(2)(2), in, at).from == always(stuck(2)(2), in, at));
    check_laws(stuck(3), stuck(4), in, at, random);
    const auto jump = [](double limit) {
      return [=](std::size_t lanes) { return DetectJumpFilter({.limit = limit}, lanes); };
    };
    CHECK(change(jump(0.5)(2), jump(1.5)(2), in, at).from == always(jump(1.5)(2), in, at));
    check_laws(jump(1.5), jump(0.5), in, at, random);
  }
}

// --- what takes nothing over ---

TEST_CASE("Filters that take nothing over flag what they lack behind a gap, when just made") {
  const Signal in = Random(5).noise(600, 1, 0);
  EnvelopeFilter envelope({.taps = 31, .gap = GapPolicy::hold}, 1);
  envelope.gap();
  const Signal out = run(envelope, in, 1000);
  for (std::size_t k = 0; k < out.frames(); ++k)
    REQUIRE(out.quality[k] == (k < 30 ? unsettled : Quality::good()));

  // Segments from sample 1003 on are cut; the first average of whole ones is good.
  const Welch p{.segment = 32, .overlap = 16, .average = 4};
  WelchFilter welch(p, rate);
  welch.gap();
  std::vector<double> values(welch.most_frames(600) * welch.bins());
  std::vector<Quality> quality(values.size());
  const Made made =
      welch.process({in.values, in.quality, 1, 1003}, {values, quality, welch.bins()});
  REQUIRE(made.count > 2);
  CHECK(quality[0].has(Quality::transient));
  CHECK(quality[welch.bins()].is_good());
}

}  // namespace
}  // namespace spillway
