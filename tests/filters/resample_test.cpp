#include "spillway/filters/resample.hpp"

#include <cmath>
#include <complex>
#include <numbers>
#include <numeric>
#include <vector>

#include "simd/isa.hpp"
#include "spillway/filters/fir.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::nan;
using test::Random;
using test::Signal;
using test::signal;
using test::unsettled;

__extension__ typedef __int128 Wide;

// What a filter made, and the number of its first output.
struct Output {
  Signal signal;
  std::uint64_t first = 0;
};

template <class Filter>
Output run(Filter& filter, const Signal& in, std::uint64_t first) {
  const std::size_t room = filter.most_frames(in.frames());
  Output out{
      {std::vector<double>(room * in.lanes), std::vector<Quality>(room * in.lanes), in.lanes}, 0};
  const Made made = filter.process({in.values, in.quality, in.lanes, first},
                                   {out.signal.values, out.signal.quality, in.lanes});
  REQUIRE(made.count <= room);
  REQUIRE(made.first == filter.outputs_before(first));
  REQUIRE(made.first + made.count == filter.outputs_before(first + in.frames()));
  out.signal = out.signal.part(0, made.count);
  out.first = made.first;
  return out;
}

template <class Filter, class Block>
Signal run_in_blocks(Filter& filter, const Signal& in, std::uint64_t first, Block block) {
  Signal out{{}, {}, in.lanes};
  for (std::size_t f = 0; f < in.frames();) {
    const std::size_t n = std::min<std::size_t>(block(), in.frames() - f);
    out.append(run(filter, in.part(f, f + n), first + f).signal);
    f += n;
  }
  return out;
}

// Output k of the definition in long double: inputs are numbered, those of `in` from `first`
// on, without those lost at the gaps. Frames are what the filter counts.
struct Piece {
  std::uint64_t first;  // number of its first frame
  Signal in;
};
struct Definition {
  std::vector<double> taps;
  std::uint64_t up, down, offset;
  GapPolicy gap;

  // All outputs of the last piece; behind those before it.
  [[nodiscard]] Signal operator()(const std::vector<Piece>& pieces) const {
    const Piece& last = pieces.back();
    std::vector<const Piece*> known{&last};
    if (gap == GapPolicy::hold)
      for (std::size_t i = pieces.size() - 1; i-- > 0;) known.push_back(&pieces[i]);
    // Frame j of the last piece, or one before it, for negative j.
    const auto at = [&](std::int64_t j) -> std::pair<double, Quality> {
      for (const Piece* piece : known) {
        if (j >= 0)
          return {piece->in.values[static_cast<std::size_t>(j)],
                  piece->in.quality[static_cast<std::size_t>(j)]};
        if (piece == known.back()) break;
        j += static_cast<std::int64_t>((*std::next(std::ranges::find(known, piece)))->in.frames());
      }
      return {0.0, Quality::good()};
    };
    Signal out{{}, {}, 1};
    const std::uint64_t end = last.first + last.in.frames();
    // The first k with k down + offset >= first up.
    const Wide begin = Wide{last.first} * up;
    Wide k = begin > Wide{offset} ? (begin - offset + down - 1) / down : 0;
    for (; k * down + offset < Wide{end} * up; ++k) {
      const Wide u = k * down + offset;
      long double sum = 0.0L;
      bool valid = true;
      Quality quality;
      for (std::size_t i = static_cast<std::size_t>(u % up); i < taps.size(); i += up) {
        const auto j = static_cast<std::int64_t>((u - i) / up - last.first);
        if (j < 0) quality = merge(quality, unsettled);
        const auto [x, q] = at(j);
        quality = merge(quality, q);
        if (std::isfinite(x)) {
          sum += static_cast<long double>(taps[i]) * static_cast<long double>(x);
        } else {
          valid = false;
          quality = merge(quality, test::bad_missing);
        }
      }
      out.values.push_back(valid ? static_cast<double>(sum) : nan);
      out.quality.push_back(quality);
    }
    return out;
  }
};

void check_close(const Signal& actual, const Signal& expected, double tolerance) {
  REQUIRE(actual.values.size() == expected.values.size());
  for (std::size_t k = 0; k < expected.values.size(); ++k) {
    const double a = actual.values[k];
    const double e = expected.values[k];
    if (std::abs(a - e) <= tolerance || (std::isnan(a) && std::isnan(e))) continue;
    FAIL_CHECK("index " << k << ": actual " << a << ", expected " << e);
    break;
  }
  CHECK(actual.quality == expected.quality);
}

std::vector<double> random_taps(Random& random, std::size_t count) {
  std::vector<double> taps(count);
  for (double& tap : taps) tap = random.uniform();
  return taps;
}

GapPolicy any_policy(Random& random) {
  return random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold;
}

// Numbers near the start, and far away.
std::uint64_t any_number(Random& random) {
  const std::uint64_t kind = random.below(3);
  return kind == 0   ? 0
         : kind == 1 ? random.below(100)
                     : (std::uint64_t{1} << 62) + random.below(99);
}

template <class Filter>
void check_definition(Filter& filter, const Definition& definition, Random& random) {
  std::vector<Piece> pieces;
  std::uint64_t number = any_number(random);
  for (int piece = 0; piece < 3; ++piece) {
    Signal in = random.noise(random.below(700), 1, random.below(2) == 0 ? 0 : 40);
    if (in.frames() > 0 && random.below(2) == 0)
      in.values[random.below(in.frames())] = test::infinity;
    pieces.push_back({number, in});
    if (piece > 0) filter.gap();
    check_close(run(filter, in, number).signal, definition(pieces), 1e-13);
    // An empty piece behind a gap still separates.
    number += in.frames() + random.below(50);
  }
}

TEST_CASE("decimation is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 300; ++round) {
    Decimate p;
    p.factor = 1 + random.below(random.below(2) == 0 ? 4 : 40);
    p.phase = random.below(p.factor);
    p.coefficients = random_taps(random, 1 + random.below(random.below(2) == 0 ? 5 : 90));
    p.gap = any_policy(random);
    INFO("seed " << seed << ", round " << round << ", factor " << p.factor << ", phase " << p.phase
                 << ", taps " << p.coefficients.size());
    DecimateFilter filter(p, 1);
    check_definition(filter, {p.coefficients, 1, p.factor, p.phase, p.gap}, random);
  }
}

TEST_CASE("resampling is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 300; ++round) {
    Resample p;
    p.up = 1 + random.below(20);
    p.down = 1 + random.below(20);
    p.coefficients = random_taps(random, 1 + random.below(random.below(2) == 0 ? 25 : 300));
    p.gap = any_policy(random);
    INFO("seed " << seed << ", round " << round << ", " << p.up << " / " << p.down << ", taps "
                 << p.coefficients.size());
    ResampleFilter filter(p, 1);
    const std::uint64_t divisor = std::gcd(p.up, p.down);
    check_definition(filter, {p.coefficients, p.up / divisor, p.down / divisor, 0, p.gap}, random);
  }
}

template <class Filter, class Parameters>
void check_rate_laws(const Parameters& p, Random& random) {
  for (const std::size_t lanes : {1U, 3U, 8U, 16U, 17U}) {
    INFO("lanes " << lanes);
    const Signal in = random.noise(random.below(900), lanes, 200);
    const std::uint64_t first = any_number(random);
    const Filter fresh(p, lanes);
    Filter whole = fresh;
    const Signal expected = run(whole, in, first).signal;

    Filter cut = fresh;
    CHECK(run_in_blocks(cut, in, first, [&] { return 1 + random.below(70); }) == expected);

    const std::size_t middle = random.below(in.frames() + 1);
    Filter before = fresh;
    Signal pieces = run(before, in.part(0, middle), first).signal;
    StateWriter writer;
    before.save_state(writer);
    Filter after = fresh;
    (void)run(after, in, 17);
    StateReader reader(writer.bytes());
    after.load_state(reader);
    CHECK(reader.at_end());
    pieces.append(run(after, in.part(middle, in.frames()), first + middle).signal);
    CHECK(pieces == expected);

    for (std::size_t l = 0; l < lanes; ++l) {
      Filter one(p, 1);
      CHECK(run(one, in.lane(l), first).signal == expected.lane(l));
    }
    whole.reset();
    CHECK(run(whole, in, first).signal == expected);

    Filter broken = fresh;
    StateReader cut_short(std::span(writer.bytes()).first(writer.bytes().size() - 1));
    CHECK_THROWS_AS(broken.load_state(cut_short), Error);
    CHECK(run(broken, in, first).signal == expected);

    const simd::Isa best = simd::current_isa();
    for (const simd::Isa isa : simd::all_isas) {
      if (!simd::is_supported(isa)) continue;
      simd::choose_isa(isa);
      Filter other(p, lanes);
      CHECK(run(other, in, first).signal == expected);
    }
    simd::choose_isa(best);
  }
}

TEST_CASE("filters that change the rate keep the laws: blocks, state, lanes, reset, CPU") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  INFO("seed " << seed);
  check_rate_laws<DecimateFilter>(Decimate{.factor = 5, .phase = 3}, random);
  check_rate_laws<DecimateFilter>(Decimate{.factor = 64, .phase = 1, .taps = 1}, random);
  check_rate_laws<ResampleFilter>(Resample{.up = 3, .down = 2}, random);
  check_rate_laws<ResampleFilter>(Resample{.up = 2, .down = 7}, random);
  check_rate_laws<ResampleFilter>(Resample{.up = 160, .down = 147}, random);
  check_rate_laws<ResampleFilter>(Resample{.up = 9, .down = 4, .coefficients = {1, 2, 3}}, random);
}

TEST_CASE("a decimator computes what the FIR filter does, at the numbers of its phase") {
  Random random(3);
  const Signal in = random.noise(500, 2, 0);
  const std::vector<double> taps = random_taps(random, 33);
  FirFilter fir({taps}, 2);
  const Signal full = test::run(fir, in);
  for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{5}, std::uint64_t{1} << 62})
    for (std::uint64_t phase = 0; phase < 7; ++phase) {
      DecimateFilter filter({.factor = 7, .phase = phase, .coefficients = taps}, 2);
      const Output out = run(filter, in, first);
      for (std::size_t k = 0; k < out.signal.frames(); ++k) {
        const std::uint64_t number = (out.first + k) * 7 + phase;
        REQUIRE(number >= first);
        const std::size_t f = number - first;
        for (std::size_t l = 0; l < 2; ++l) {
          REQUIRE(out.signal.values[2 * k + l] == full.values[2 * f + l]);
          REQUIRE(out.signal.quality[2 * k + l] == full.quality[2 * f + l]);
        }
      }
    }
}

TEST_CASE("output numbers follow the input's over a gap, wherever the stream began") {
  DecimateFilter filter({.factor = 4, .phase = 1, .taps = 1}, 1);
  // Values are the input's numbers; 9 to 19 are lost.
  Output out = run(filter, signal({2, 3, 4, 5, 6, 7, 8}), 2);
  CHECK(out.first == 1);
  CHECK(out.signal.values == std::vector<double>{5});
  filter.gap();
  out = run(filter, signal({20, 21, 22, 23, 24, 25}), 20);
  CHECK(out.first == 5);
  CHECK(out.signal.values == std::vector<double>{21, 25});
  CHECK(out.signal.quality == std::vector<Quality>(2));
}

TEST_CASE("an unknown number of inputs never makes more frames than announced, and as many") {
  for (const auto& [up, down] : {std::pair<std::uint64_t, std::uint64_t>{3, 2},
                                 {2, 3},
                                 {1, 7},
                                 {7, 1},
                                 {160, 147},
                                 {147, 160}}) {
    const ResampleFilter filter({.up = up, .down = down}, 1);
    for (std::size_t frames = 0; frames < 50; ++frames) {
      std::uint64_t most = 0;
      for (std::uint64_t first = 0; first < down; ++first)
        most = std::max(most, filter.outputs_before(first + frames) - filter.outputs_before(first));
      CHECK(most == filter.most_frames(frames));
    }
  }
}

TEST_CASE("sample numbers of 62 bits are counted exactly") {
  const std::uint64_t far = std::uint64_t{1} << 62;
  const DecimateFilter decimate({.factor = 1000, .phase = 904, .taps = 1}, 1);
  // 2^62 = 4611686018427387904.
  CHECK(decimate.outputs_before(far) == 4611686018427387);
  CHECK(decimate.outputs_before(far + 1) == 4611686018427388);
  const ResampleFilter resample({.up = 3, .down = 2}, 1);
  CHECK(resample.outputs_before(far) == far / 2 * 3);
  CHECK(resample.outputs_before(far + 1) == far / 2 * 3 + 2);
  const ResampleFilter odd({.up = 160, .down = 147}, 1);
  CHECK(odd.outputs_before(147 * (far / 147)) == 160 * (far / 147));
}

TEST_CASE("rate changes forget NaN when it leaves the window, and say overflow") {
  DecimateFilter filter({.factor = 2, .coefficients = {1, 1, 1}}, 1);
  (void)run(filter, signal({1, 1}), 0);
  const Signal out = run(filter, signal({1, nan, 1, 1, 1, 1}), 2).signal;
  CHECK(test::same_bits(out.values, {3, nan, 3}));
  CHECK(out.quality == std::vector<Quality>{{}, test::bad_missing, {}});
  const Signal over = run(filter, signal({1e308, 1e308, 1e308, 1, 1, 1}), 8).signal;
  const Quality too_large(Verdict::bad, Quality::out_of_range);
  CHECK(over.quality == std::vector<Quality>{{}, too_large, {}});
  CHECK(test::same_bits(over.values, {1e308 + 2, nan, 1e308 + 2}));
  const Signal lost = run(filter, signal({1, 1e308, 1e308, nan}), 13).signal;
  CHECK(lost.quality == std::vector<Quality>{{}, test::bad_missing});
}

TEST_CASE("a decimator keeps what is below its cut-off and stops what would alias") {
  const auto level = [](double share) {
    DecimateFilter filter({.factor = 4}, 1);
    Signal in = signal(std::vector<double>(4000));
    for (std::size_t k = 0; k < 4000; ++k)
      in.values[k] = std::sin(std::numbers::pi * share * static_cast<double>(k));
    const Signal out = run(filter, in, 0).signal;
    double square = 0.0;
    for (std::size_t k = 100; k < out.frames(); ++k) square += out.values[k] * out.values[k];
    return std::sqrt(2.0 * square / static_cast<double>(out.frames() - 100));
  };
  CHECK(level(0.05) == Approx(1.0).margin(0.01));
  CHECK(level(0.15) == Approx(1.0).margin(0.02));
  CHECK(level(0.45) < 0.005);
  CHECK(level(0.95) < 0.005);
}

TEST_CASE("a resampled sine is the sine at the new times") {
  for (const auto& [up, down] :
       {std::pair<std::uint64_t, std::uint64_t>{3, 2}, {5, 7}, {160, 147}}) {
    const ResampleFilter design_of({.up = up, .down = down}, 1);
    ResampleFilter filter = design_of;
    Signal in = signal(std::vector<double>(3000));
    const double w = 0.3;  // radians a sample
    for (std::size_t j = 0; j < 3000; ++j) in.values[j] = std::sin(w * static_cast<double>(j));
    const Output out = run(filter, in, 0);
    const std::vector<double> offline = resample(in.values, {.up = up, .down = down});
    CHECK(offline.size() == (3000 * up + down - 1) / down);
    double worst = 0.0;
    for (std::size_t k = 200; k + 200 < out.signal.frames(); ++k) {
      const double time = static_cast<double>(k * down) / static_cast<double>(up);
      worst =
          std::max(worst, std::abs(out.signal.values[k] - std::sin(w * (time - filter.delay()))));
      worst = std::max(worst, std::abs(offline[k] - std::sin(w * time)));
    }
    INFO(up << " / " << down);
    CHECK(worst < 0.002);
  }
}

TEST_CASE("equal rates pass through, and common divisors make no difference") {
  Random random(4);
  const Signal in = random.noise(300, 1, 20);
  ResampleFilter same({.up = 6, .down = 6}, 1);
  CHECK(same.delay() == 0.0);
  CHECK(run(same, in, 0).signal == in);
  ResampleFilter a({.up = 3, .down = 2}, 1);
  ResampleFilter b({.up = 12, .down = 8}, 1);
  CHECK(run(a, in, 5).signal == run(b, in, 5).signal);
  DecimateFilter one({.factor = 1}, 1);
  CHECK(run(one, in, 0).signal == in);
  CHECK(resample(std::vector<double>{1, 2, 3}, {}) == std::vector<double>{1, 2, 3});
  CHECK(resample({}, {.up = 3, .down = 2}).empty());
}

TEST_CASE("rate changes say their delay in samples of the input") {
  CHECK(DecimateFilter({.factor = 5}, 1).delay() == 50.0);
  CHECK(DecimateFilter({.factor = 5, .taps = 32}, 1).delay() == 15.5);
  CHECK(ResampleFilter({.up = 3, .down = 2}, 1).delay() == 10.0);
  CHECK(ResampleFilter({.up = 2, .down = 5}, 1).delay() == 25.0);
}

TEST_CASE("rate changes refuse what they can't do") {
  using Catch::Matchers::Contains;
  const auto decimate = [](const Decimate& p, std::size_t lanes = 1) {
    return test::message_of([&] { DecimateFilter(p, lanes); });
  };
  CHECK_THAT(decimate({.factor = 0}), Contains("factor of 0"));
  CHECK_THAT(decimate({.factor = max_rate_factor + 1}), Contains("1048577"));
  CHECK_THAT(decimate({.factor = 60000}), Contains("1200001 taps"));
  CHECK_THAT(decimate({.factor = 3, .phase = 3}), Contains("phase of 3"));
  for (const double cutoff : {-0.1, 1.0, nan, test::infinity})
    CHECK_THAT(decimate({.cutoff = cutoff}), Contains("cut-off"));
  CHECK_THAT(decimate({.factor = 1, .taps = 5}), Contains("cut-off of 1"));
  CHECK_THAT(decimate({.window = {WindowKind::kaiser, nan}}), Contains("beta"));
  CHECK_THAT(decimate({.coefficients = {1.0, nan}}), Contains("coefficient 1 is nan"));
  CHECK_THAT(decimate({.taps = 3, .coefficients = {1.0}}), Contains("3 taps beside 1"));
  CHECK_THAT(decimate({.cutoff = 0.2, .coefficients = {1.0}}), Contains("beside coefficients"));
  CHECK_THAT(decimate({.coefficients = std::vector<double>(max_fir_taps + 1)}),
             Contains("1048577"));
  CHECK_THAT(decimate({}, 0), Contains("lane"));

  const auto change = [](const Resample& p, std::size_t lanes = 1) {
    return test::message_of([&] { ResampleFilter(p, lanes); });
  };
  CHECK_THAT(change({.up = 0}), Contains("up of 0"));
  CHECK_THAT(change({.down = 0}), Contains("down of 0"));
  CHECK_THAT(change({.up = max_rate_factor + 1}), Contains("up of 1048577"));
  CHECK_THAT(change({.down = max_rate_factor + 1}), Contains("down of 1048577"));
  CHECK(change({.up = 3 * max_rate_factor, .down = 2 * max_rate_factor}).empty());
  CHECK_THAT(change({.up = 2, .window = {WindowKind::hann, 1.0}}), Contains("has none"));
  CHECK_THAT(change({.up = 2, .coefficients = {test::infinity}}), Contains("coefficient 0"));
  CHECK_THAT(change({.up = 2, .taps = 3, .coefficients = {1.0}}), Contains("3 taps beside 1"));
  CHECK_THAT(change({.up = 2}, 0), Contains("lane"));
  CHECK_THAT(test::message_of([] { (void)resample({}, {.up = 2, .taps = 4}); }),
             Contains("odd number"));
}

TEST_CASE("a rate change refuses the state of another one") {
  StateWriter writer;
  ResampleFilter({.up = 3, .down = 2}, 2).save_state(writer);
  ResampleFilter filter({.up = 2, .down = 3}, 2);
  StateReader reader(writer.bytes());
  CHECK_THAT(test::message_of([&] { filter.load_state(reader); }),
             Catch::Matchers::Contains("3 / 2 and 2 lanes; needed is one of 2 / 3"));
}

}  // namespace
}  // namespace spillway
