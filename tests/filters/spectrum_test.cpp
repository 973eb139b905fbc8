#include "spillway/filters/spectrum.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "support.hpp"
#include "support/catch.hpp"
#include "timed.hpp"

namespace spillway {
namespace {

using namespace literals;
using test::bad_missing;
using test::infinity;
using test::nan;
using test::Random;
using test::run;
using test::Signal;
using test::signal;
using test::unsettled;

constexpr Quality bad_range(Verdict::bad, Quality::out_of_range);

Welch any_welch(Random& random) {
  const WindowKind kinds[] = {WindowKind::rectangular, WindowKind::hann, WindowKind::hamming,
                              WindowKind::blackman_harris};
  Welch p;
  p.segment = 2 + random.below(random.below(2) == 0 ? 10 : 70);
  p.overlap = random.below(p.segment);
  p.average = 1 + random.below(5);
  p.window = {kinds[random.below(4)]};
  p.detrend = random.below(2) == 0 ? Detrend::none : Detrend::constant;
  p.scaling = random.below(2) == 0 ? Scaling::density : Scaling::power;
  return p;
}

// By definition, with a discrete Fourier transform in long double.
std::vector<double> power_by_definition(const Welch& p, const std::vector<double>& x,
                                        long double rate) {
  const std::size_t n = p.segment;
  const std::vector<double> w = window(p.window, n, true);
  long double sum = 0.0L, squares = 0.0L;
  for (const double v : w) {
    sum += v;
    squares += static_cast<long double>(v) * v;
  }
  std::vector<long double> power(n / 2 + 1);
  long double segments = 0.0L;
  for (std::size_t at = 0; at + n <= x.size(); at += n - p.overlap) {
    long double mean = 0.0L;
    if (p.detrend == Detrend::constant)
      for (std::size_t i = 0; i < n; ++i) mean += x[at + i] / static_cast<long double>(n);
    for (std::size_t k = 0; k < power.size(); ++k) {
      long double re = 0.0L, im = 0.0L;
      for (std::size_t i = 0; i < n; ++i) {
        const long double angle = 2.0L * std::numbers::pi_v<long double> *
                                  static_cast<long double>(k * i % n) / static_cast<long double>(n);
        re += (x[at + i] - mean) * w[i] * std::cos(angle);
        im -= (x[at + i] - mean) * w[i] * std::sin(angle);
      }
      power[k] += re * re + im * im;
    }
    segments += 1.0L;
  }
  std::vector<double> result;
  for (std::size_t k = 0; k < power.size(); ++k) {
    const bool both = k > 0 && 2 * k != n;
    const long double scale = p.scaling == Scaling::density ? rate * squares : sum * sum;
    result.push_back(static_cast<double>(power[k] / segments / scale * (both ? 2.0L : 1.0L)));
  }
  return result;
}

TEST_CASE("welch is its definition, for any length of segment") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 100; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Welch p = any_welch(random);
    INFO("segment " << p.segment << ", overlap " << p.overlap);
    const std::vector<double> x = random.noise(p.segment + random.below(200), 1, 0).values;
    const Spectrum spectrum = welch(x, p, 50_Hz);
    const std::vector<double> expected = power_by_definition(p, x, 50.0L);
    REQUIRE(spectrum.power.size() == expected.size());
    REQUIRE(spectrum.frequencies.size() == expected.size());
    const double peak = *std::ranges::max_element(expected);
    for (std::size_t k = 0; k < expected.size(); ++k) {
      REQUIRE(std::abs(spectrum.power[k] - expected[k]) <= 1e-13 * peak);
      REQUIRE(spectrum.frequencies[k] ==
              Approx(50.0 * static_cast<double>(k) / static_cast<double>(p.segment)));
    }
  }
}

TEST_CASE("welch: the density sums up to the mean square, the power of a tone to its own") {
  Random random(2);
  const std::vector<double> x = random.noise(4096, 1, 0).values;
  const Welch p{
      .segment = 256, .overlap = 0, .window = {WindowKind::rectangular}, .detrend = Detrend::none};
  double density = 0.0;
  for (const double v : welch(x, p, 1000_Hz).power) density += v * 1000.0 / 256.0;
  double mean_square = 0.0;
  for (const double v : x) mean_square += v * v / 4096.0;
  CHECK(density == Approx(mean_square).epsilon(1e-12));

  std::vector<double> tone;
  for (int k = 0; k < 4096; ++k)
    tone.push_back(3.0 * std::sin(2.0 * std::numbers::pi * k * 20.0 / 256.0) + 100.0);
  const Spectrum spectrum = welch(tone, {.scaling = Scaling::power}, 256_Hz);
  CHECK(spectrum.frequencies[20] == 20.0);
  CHECK(spectrum.power[20] == Approx(4.5).epsilon(1e-12));
  CHECK(spectrum.power[0] < 1e-20);
}

TEST_CASE("welch leaves out the segments with NaN") {
  Random random(4);
  std::vector<double> x = random.noise(64 * 4, 1, 0).values;
  const Welch p{.segment = 64, .overlap = 0};
  std::vector<double> without = x;
  without.erase(without.begin() + 64, without.begin() + 128);
  x[70] = nan;
  CHECK(welch(x, p, 1_Hz).power == welch(without, p, 1_Hz).power);
  for (const double v : welch(std::vector<double>(100, infinity), p, 1_Hz).power)
    CHECK(std::isnan(v));
}

// What a filter makes: frames with their numbers.
struct Spectra {
  std::vector<std::uint64_t> numbers;
  Signal frames;
  friend bool operator==(const Spectra&, const Spectra&) = default;
};

// Sample `first` and those after it, in calls of the sizes block() gives.
template <class Block>
void run_more(WelchFilter& filter, const Signal& in, std::uint64_t first, Block block,
              Spectra& spectra) {
  for (std::size_t f = 0; f < in.frames();) {
    const std::size_t n = std::min<std::size_t>(block(), in.frames() - f);
    const std::size_t room = filter.most_frames(n);
    Signal out{std::vector<double>(room * filter.bins()),
               std::vector<Quality>(room * filter.bins()), filter.bins()};
    const Made made = filter.process(
        {std::span(in.values).subspan(f, n), std::span(in.quality).subspan(f, n), 1, first + f},
        {out.values, out.quality, out.lanes});
    REQUIRE(made.count <= room);
    spectra.frames.lanes = filter.bins();
    for (std::size_t k = 0; k < made.count; ++k) spectra.numbers.push_back(made.first + k);
    spectra.frames.append(out.part(0, made.count));
    f += n;
  }
}

// Runs of samples, each with the number of its first one; between them are gaps.
using Runs = std::vector<std::pair<std::uint64_t, Signal>>;

Runs any_runs(Random& random) {
  Runs runs;
  std::uint64_t number = random.below(2) == 0 ? 0 : random.below(500);
  for (std::uint64_t n = 1 + random.below(4); n > 0; --n) {
    runs.emplace_back(number,
                      random.noise(1 + random.below(300), 1, random.below(2) == 0 ? 0 : 100));
    number += runs.back().second.frames() + 1 + random.below(100);
  }
  return runs;
}

template <class Block>
Spectra run_all(WelchFilter& filter, const Runs& runs, Block block) {
  Spectra spectra;
  for (const auto& [first, in] : runs) {
    filter.gap();
    run_more(filter, in, first, block, spectra);
  }
  return spectra;
}

// By definition: every average is looked up in all samples.
Spectra spectra_by_definition(const Welch& p, const Runs& runs) {
  Spectra spectra;
  const std::uint64_t hop = p.segment - p.overlap;
  const std::uint64_t end = runs.back().first + runs.back().second.frames();
  const auto run_of = [&](std::uint64_t number) -> const std::pair<std::uint64_t, Signal>* {
    for (const auto& run : runs)
      if (number >= run.first && number < run.first + run.second.frames()) return &run;
    return nullptr;
  };
  for (std::uint64_t m = 0;; ++m) {
    const std::uint64_t last = ((m + 1) * p.average - 1) * hop + p.segment - 1;
    if (last >= end) break;
    if (run_of(last) == nullptr) continue;
    std::vector<double> used;  // segments, one behind the other
    Quality q;
    for (std::uint64_t s = m * p.average; s < (m + 1) * p.average; ++s) {
      const auto* const run = run_of(s * hop);
      if (run == nullptr || run != run_of(s * hop + p.segment - 1)) {
        q = merge(q, unsettled);
        continue;
      }
      const Signal part = run->second.part(s * hop - run->first, s * hop - run->first + p.segment);
      Quality own;
      for (const Quality sample : part.quality) own = merge(own, sample);
      if (std::ranges::all_of(part.values, [](double v) { return std::isfinite(v); })) {
        used.insert(used.end(), part.values.begin(), part.values.end());
        q = merge(q, own);
      } else {
        q = merge(q, Quality(Verdict::suspect,
                             static_cast<std::uint8_t>(own.reasons() | Quality::missing)));
      }
    }
    std::vector<double> power(p.segment / 2 + 1, nan);
    if (used.empty()) {
      q = merge(q, bad_missing);
    } else {
      Welch apart = p;
      apart.overlap = 0;
      power = welch(used, apart, 50_Hz).power;
    }
    spectra.numbers.push_back(m);
    spectra.frames.lanes = power.size();
    spectra.frames.append({power, std::vector<Quality>(power.size(), q), power.size()});
  }
  return spectra;
}

TEST_CASE("a stream of spectra is that of its segments, by sample numbers, over gaps and NaN") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  std::size_t made = 0;
  for (int round = 0; round < 300; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Welch p = any_welch(random);
    INFO("segment " << p.segment << ", overlap " << p.overlap << ", average " << p.average);
    const Runs runs = any_runs(random);
    WelchFilter filter(p, 50_Hz);
    const Spectra actual = run_all(filter, runs, [] { return 1000; });
    const Spectra expected = spectra_by_definition(p, runs);
    CHECK(actual.numbers == expected.numbers);
    CHECK(actual.frames.values.size() == expected.frames.values.size());
    CHECK(test::same_bits(actual.frames.values, expected.frames.values));
    CHECK(actual.frames.quality == expected.frames.quality);
    made += actual.numbers.size();
  }
  CHECK(made > 300);
}

TEST_CASE("a stream of spectra does not depend on cuts, and its state can be saved") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Welch p = any_welch(random);
    const Runs runs = any_runs(random);
    const WelchFilter filter(p, 50_Hz);
    WelchFilter whole = filter;
    const Spectra expected = run_all(whole, runs, [] { return 1000; });
    WelchFilter cut = filter;
    CHECK(run_all(cut, runs, [&] { return 1 + random.below(40); }) == expected);

    // Saved somewhere in the last run.
    const auto& [first, in] = runs.back();
    const std::size_t middle = random.below(in.frames() + 1);
    WelchFilter before = filter;
    Spectra pieces = run_all(before, {runs.begin(), runs.end() - 1}, [] { return 1000; });
    before.gap();
    run_more(
        before, in.part(0, middle), first, [] { return 1000; }, pieces);
    StateWriter writer;
    before.save_state(writer);
    StateReader reader(writer.bytes());
    WelchFilter after = whole;
    after.load_state(reader);
    CHECK(reader.at_end());
    run_more(
        after, in.part(middle, in.frames()), first + middle, [] { return 1000; }, pieces);
    pieces.frames.lanes = expected.frames.lanes;
    CHECK(pieces == expected);

    StateReader cut_short(std::span(writer.bytes()).first(writer.bytes().size() - 1));
    WelchFilter broken = filter;
    CHECK_THROWS_AS(broken.load_state(cut_short), Error);
    CHECK(run_all(broken, runs, [] { return 1000; }) == expected);
    whole.reset();
    CHECK(run_all(whole, runs, [] { return 1000; }) == expected);
  }
}

TEST_CASE("a stream of spectra: numbers that jump are a gap without being told") {
  Random random(6);
  const Signal a = random.noise(100, 1, 0), b = random.noise(100, 1, 0);
  const Welch p{.segment = 16, .overlap = 8, .average = 4};
  Spectra told, untold;
  WelchFilter first(p, 50_Hz), second(p, 50_Hz);
  const auto all = [] { return 1000; };
  run_more(first, a, 0, all, told);
  first.gap();
  run_more(first, b, 111, all, told);
  run_more(second, a, 0, all, untold);
  run_more(second, b, 111, all, untold);
  CHECK(told == untold);
}

TEST_CASE("a stream of spectra: a call without frames is no gap, whatever its number") {
  Random random(7);
  const Signal in = random.noise(100, 1, 0);
  const Welch p{.segment = 16, .overlap = 8, .average = 2};
  const auto all = [] { return 1000; };
  Spectra whole, parts;
  WelchFilter first(p, 50_Hz), second(p, 50_Hz);
  run_more(first, in, 0, all, whole);
  run_more(second, in.part(0, 41), 0, all, parts);
  (void)second.process({{}, {}, 1, 43}, {});
  run_more(second, in.part(41, 100), 41, all, parts);
  CHECK(whole == parts);
}

TEST_CASE("a stream of spectra: an overflow is Bad, out of range") {
  const Welch p{.segment = 4, .overlap = 0, .average = 1, .window = {WindowKind::rectangular}};
  WelchFilter filter(p, 1_Hz);
  Spectra spectra;
  run_more(
      filter, signal({1e200, -1e200, 2e200, 0, 1, 2, 3, 4}), 0, [] { return 8; }, spectra);
  CHECK(std::isnan(spectra.frames.values[1]));
  CHECK(spectra.frames.quality[1] == bad_range);
  for (std::size_t i = 3; i < 6; ++i) CHECK(std::isfinite(spectra.frames.values[i]));
}

TEST_CASE("a stream of spectra: its numbers") {
  const WelchFilter filter({.segment = 100, .overlap = 40, .average = 5}, 1000_Hz);
  CHECK(filter.bins() == 51);
  CHECK(filter.stride() == 300);
  CHECK(filter.delay() == (4 * 60 + 99) / 2.0);  // 340 samples
  CHECK(filter.most_frames(0) == 1);
  CHECK(filter.most_frames(299) == 1);
  CHECK(filter.most_frames(300) == 2);
  const std::vector<double> f = frequencies(filter.parameters(), 1000_Hz);
  CHECK(f.size() == 51);
  CHECK(f.back() == 500.0);
}

TEST_CASE("spectra refuse what makes no sense") {
  using Catch::Matchers::Contains;
  const auto message = [](const Welch& p, Hertz rate = 1_Hz) {
    return test::message_of([&] { WelchFilter(p, rate); });
  };
  CHECK(message({}).empty());
  CHECK(message({.segment = 2, .overlap = 0}).empty());
  for (const std::size_t segment : {0U, 1U, (1U << 24) + 1})
    CHECK_THAT(message({.segment = segment, .overlap = 0}), Contains("a segment of"));
  CHECK_THAT(message({.segment = 8, .overlap = 8}), Contains("an overlap of 8"));
  CHECK_THAT(message({.average = 0}), Contains("an average of 0"));
  CHECK_THAT(message({.window = {WindowKind::hann, 1.0}}), Contains("window"));
  CHECK_THAT(message({}, {1e-320}), Contains("no finite scale"));
  for (const double rate : {0.0, -1.0, nan, infinity})
    CHECK_THAT(message({}, {rate}), Contains("a rate of"));
  CHECK_THAT(test::message_of([] { (void)welch(std::vector<double>(255), {}, 1_Hz); }),
             Contains("255 values"));
  CHECK_THAT(test::message_of([] { (void)frequencies({.segment = 1}, 1_Hz); }),
             Contains("a segment of 1"));

  StateWriter writer;
  WelchFilter({.segment = 64, .overlap = 32}, 1_Hz).save_state(writer);
  StateReader reader(writer.bytes());
  WelchFilter other({.segment = 64, .overlap = 16}, 1_Hz);
  CHECK_THAT(test::message_of([&] { other.load_state(reader); }), Contains("64 samples every 32"));
}

TEST_CASE("the envelope of a whole signal is that of its analytic signal") {
  // An amplitude that is slow beside the tone, whole periods in all; odd and even lengths.
  for (const std::size_t n : {1000U, 1001U, 997U, 16U}) {
    std::vector<double> x, amplitude;
    for (std::size_t k = 0; k < n; ++k) {
      const double t = 2.0 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
      amplitude.push_back(2.0 + std::cos(t));
      x.push_back(amplitude.back() * std::cos(5.0 * t + 0.3));
    }
    const std::vector<double> envelope = hilbert_envelope(x);
    REQUIRE(envelope.size() == n);
    for (std::size_t k = 0; k < n; ++k) REQUIRE(std::abs(envelope[k] - amplitude[k]) < 1e-12);
  }
  const std::vector<double> fastest{1, -1, 1, -1, 1, -1};  // half the rate has no other half
  for (const double v : hilbert_envelope(fastest)) CHECK(v == Approx(1.0));
  CHECK(hilbert_envelope({}).empty());
  CHECK(hilbert_envelope(std::vector<double>{-3.0}) == std::vector<double>{3.0});
  for (const double v : hilbert_envelope(std::vector<double>{1, 2, nan})) CHECK(std::isnan(v));
}

Envelope any_envelope(Random& random) {
  return {.taps = 3 + 2 * random.below(random.below(2) == 0 ? 10 : 100),
          .gap = random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold};
}

TEST_CASE("the envelope of a stream is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 60; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Envelope p = any_envelope(random);
    const std::size_t n = 10 + random.below(700);
    const Signal in = random.noise(n, 1, random.below(2) == 0 ? 0 : 150);
    const std::size_t gap = random.below(n);
    EnvelopeFilter filter(p, 1);
    Signal out = run(filter, in.part(0, gap));
    filter.gap();
    out.append(run(filter, in.part(gap, n)));
    const std::vector<double> w = window({WindowKind::hamming}, p.taps, false);
    const std::size_t h = p.taps / 2;
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t start = k >= gap && p.gap == GapPolicy::reset ? gap : 0;
      const auto x = [&](std::size_t back) -> long double {
        return k >= start + back ? in.values[k - back] : 0.0;
      };
      long double transformed = 0.0L;
      bool valid = true;
      Quality q;
      for (std::size_t i = 0; i < p.taps; ++i) {
        const long double distance = static_cast<long double>(i) - static_cast<long double>(h);
        if (i % 2 != h % 2)
          transformed += x(i) * w[i] * 2.0L / (std::numbers::pi_v<long double> * distance);
        if (std::isnan(x(i))) valid = false;
        if (k >= start + i) q = merge(q, in.quality[k - i]);
      }
      if (k < p.taps - 1 || (k >= gap && k - gap < p.taps - 1)) q = merge(q, unsettled);
      const long double expected = std::sqrt(x(h) * x(h) + transformed * transformed);
      REQUIRE(std::isnan(out.values[k]) == !valid);
      if (valid) REQUIRE(std::abs(out.values[k] - expected) < 1e-13L);
      REQUIRE(out.quality[k] == (valid ? q : merge(q, bad_missing)));
    }
  }
}

TEST_CASE("the envelope of a stream keeps the laws: blocks, saved state, lanes, reset") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  const std::size_t lane_counts[] = {1, 3, 8, 16, 17};
  for (int round = 0; round < 30; ++round) {
    INFO("seed " << seed << ", round " << round);
    const Envelope p = any_envelope(random);
    const std::size_t lanes = lane_counts[round % 5];
    Signal in = random.noise(1 + random.below(400), lanes, 200);
    if (round % 2 == 0) in.values[random.below(in.values.size())] = infinity;
    if (round % 2 == 1) in.values[random.below(in.values.size())] = 1e300;
    test::check_laws(EnvelopeFilter(p, lanes), in, random,
                     std::vector<EnvelopeFilter>(lanes, EnvelopeFilter(p, 1)));
    test::check_state_at_gap(EnvelopeFilter(p, lanes), in, random.below(in.frames()));
  }
}

TEST_CASE("the envelope of a tone is its amplitude, within 1 % in the pass band stated") {
  for (const std::size_t taps : {15U, 31U, 65U, 127U, 511U, 1023U}) {
    const double edge = 2.0 / static_cast<double>(taps);
    for (int step = 0; step <= 40; ++step) {
      const double frequency = edge + (0.5 - 2.0 * edge) * step / 40.0;
      std::vector<double> x;
      for (std::size_t k = 0; k < taps + 200; ++k)
        x.push_back(7.0 * std::sin(2.0 * std::numbers::pi * frequency * static_cast<double>(k)));
      EnvelopeFilter filter({.taps = taps}, 1);
      const Signal out = run(filter, signal(x));
      INFO("taps " << taps << ", frequency " << frequency);
      for (std::size_t k = taps; k < x.size(); ++k)
        REQUIRE(std::abs(out.values[k] - 7.0) < 0.01 * 7.0);
    }
  }
}

TEST_CASE("the envelope of a stream: an overflow is Bad, out of range") {
  EnvelopeFilter filter({.taps = 3}, 1);
  const Signal out = run(filter, signal({1, 1e160, 1, 1, 1, 1}));
  CHECK(std::isnan(out.values[2]));
  CHECK(out.quality[2].verdict() == Verdict::bad);
  CHECK(out.quality[2].has(Quality::out_of_range));
  CHECK(out.values[5] == 1.0);
  CHECK(out.quality[5].is_good());
  CHECK(filter.delay() == 1.0);
}

TEST_CASE("the envelope of a stream refuses what makes no sense") {
  using Catch::Matchers::Contains;
  for (const std::size_t taps : {0U, 1U, 2U, 64U, 1025U})
    CHECK_THAT(test::message_of([&] { EnvelopeFilter({.taps = taps}, 1); }),
               Contains("odd numbers from 3 to 1023"));
  CHECK_THAT(test::message_of([] { EnvelopeFilter({}, 0); }), Contains("lane"));
  StateWriter writer;
  EnvelopeFilter({.taps = 5}, 1).save_state(writer);
  StateReader reader(writer.bytes());
  EnvelopeFilter other({.taps = 7}, 1);
  CHECK_THROWS_AS(other.load_state(reader), Error);
}

}  // namespace
}  // namespace spillway
