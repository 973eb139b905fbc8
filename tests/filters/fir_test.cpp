#include "spillway/filters/fir.hpp"

#include <cmath>
#include <complex>
#include <numbers>
#include <vector>

#include "simd/isa.hpp"
#include "spillway/filters/fir_bank.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using namespace literals;
using test::nan;
using test::Random;
using test::run;
using test::Signal;
using test::signal;
using test::unsettled;

std::vector<double> random_taps(Random& random, std::size_t count) {
  std::vector<double> taps(count);
  for (double& tap : taps) tap = random.uniform();
  return taps;
}

// The definition, output by output, in long double; gaps at the frames in `gaps`. `block` is
// how much later each output comes.
Signal by_definition(const Fir& fir, std::size_t block, const Signal& in,
                     const std::vector<std::size_t>& gaps = {}) {
  Signal out = in;
  const std::size_t n = fir.taps.size();
  for (std::size_t k = 0; k < in.frames(); ++k) {
    std::size_t start = 0;  // of what the filter knows
    std::size_t settles_from = 0;
    for (const std::size_t gap : gaps) {
      if (gap > k) break;
      settles_from = gap;
      if (fir.gap == GapPolicy::reset) start = gap;
    }
    long double sum = 0.0L;
    bool valid = true;
    Quality quality = k - settles_from < block + n - 1 ? unsettled : Quality::good();
    for (std::size_t i = 0; i < n && start + block + i <= k; ++i) {
      const std::size_t at = k - block - i;
      quality = merge(quality, in.quality[at]);
      if (std::isfinite(in.values[at])) {
        sum += static_cast<long double>(fir.taps[i]) * static_cast<long double>(in.values[at]);
      } else {
        valid = false;
        quality = merge(quality, test::bad_missing);
      }
    }
    out.values[k] = valid ? static_cast<double>(sum) : nan;
    out.quality[k] = quality;
  }
  return out;
}

void check_close(const Signal& actual, const Signal& expected, double tolerance) {
  for (std::size_t k = 0; k < expected.values.size(); ++k) {
    const double a = actual.values[k];
    const double e = expected.values[k];
    if (std::abs(a - e) <= tolerance || (std::isnan(a) && std::isnan(e))) continue;
    FAIL_CHECK("index " << k << ": actual " << a << ", expected " << e);
    break;
  }
  CHECK(actual.quality == expected.quality);
}

Signal run_with_gaps(FirFilter& filter, const Signal& in, const std::vector<std::size_t>& gaps) {
  Signal out{{}, {}, 1};
  std::size_t done = 0;
  for (const std::size_t gap : gaps) {
    out.append(run(filter, in.part(done, gap)));
    filter.gap();
    done = gap;
  }
  out.append(run(filter, in.part(done, in.frames())));
  return out;
}

// |H| at a share of half the rate.
double gain(const std::vector<double>& taps, double share) {
  std::complex<double> sum = 0.0;
  for (std::size_t i = 0; i < taps.size(); ++i)
    sum += std::polar(taps[i], -std::numbers::pi * share * static_cast<double>(i));
  return std::abs(sum);
}

TEST_CASE("a FIR filter is its definition, values and quality, over gaps too") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 200; ++round) {
    const Fir fir{random_taps(random, 1 + random.below(random.below(2) == 0 ? 5 : 90)),
                  random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold};
    INFO("seed " << seed << ", round " << round << ", taps " << fir.taps.size());
    Signal in = random.noise(1 + random.below(900), 1, random.below(2) == 0 ? 0 : 40);
    if (random.below(2) == 0) in.values[random.below(in.frames())] = test::infinity;
    std::vector<std::size_t> gaps;
    for (std::size_t at = random.below(400); at < in.frames(); at += 1 + random.below(400))
      gaps.push_back(at);
    FirFilter filter(fir, 1);
    CHECK(filter.block() == 0);
    check_close(run_with_gaps(filter, in, gaps), by_definition(fir, 0, in, gaps), 1e-13);
  }
}

TEST_CASE("a long FIR filter is its definition, a block later") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (int round = 0; round < 12; ++round) {
    const std::size_t taps = longest_direct_fir + 1 + random.below(round < 10 ? 300 : 3000);
    const Fir fir{random_taps(random, taps),
                  random.below(2) == 0 ? GapPolicy::reset : GapPolicy::hold};
    INFO("seed " << seed << ", round " << round << ", taps " << taps);
    FirFilter filter(fir, 1);
    const std::size_t block = filter.block();
    CHECK(block > 0);
    Signal in = random.noise(3 * (block + taps), 1, random.below(2) == 0 ? 0 : 3000);
    in.values[random.below(in.frames())] = -test::infinity;
    std::vector<std::size_t> gaps;
    if (random.below(2) == 0) gaps.push_back(random.below(in.frames()));
    check_close(run_with_gaps(filter, in, gaps), by_definition(fir, block, in, gaps), 1e-11);
  }
}

TEST_CASE("FIR filters keep the laws: blocks, saved state, lanes, reset") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  for (const std::size_t lanes : {1U, 3U, 8U, 16U, 17U})
    for (const std::size_t taps : {std::size_t{1}, std::size_t{2}, std::size_t{33},
                                   longest_direct_fir, longest_direct_fir + 1}) {
      INFO("seed " << seed << ", lanes " << lanes << ", taps " << taps);
      const Fir fir{random_taps(random, taps), GapPolicy::reset};
      test::check_laws(FirFilter(fir, lanes),
                       random.noise(random.below(6 * taps + 300), lanes, 900), random,
                       std::vector<FirFilter>(lanes, FirFilter(fir, 1)));
    }
}

TEST_CASE("a FIR filter has the same bits with every instruction set") {
  const simd::Isa best = simd::current_isa();
  Random random(7);
  for (const std::size_t lanes : {1U, 3U, 16U, 17U})
    for (const std::size_t taps : {1U, 5U, 64U}) {
      const std::vector<double> h = random_taps(random, taps);
      const Signal in = random.noise(700, lanes, 0);
      std::vector<Signal> outs;
      std::vector<std::vector<float>> floats;
      for (const simd::Isa isa : simd::all_isas) {
        if (!simd::is_supported(isa)) continue;
        simd::choose_isa(isa);
        FirFilter filter({h}, lanes);
        outs.push_back(run(filter, in));
        FirBank<float> bank(std::vector<float>(h.begin(), h.end()), lanes);
        std::vector<float> values(in.values.begin(), in.values.end());
        bank.process(values.data(), values.data(), in.frames());
        floats.push_back(values);
        CHECK(outs.back() == outs.front());
        CHECK(floats.back() == floats.front());
      }
      simd::choose_isa(best);
      // And those of the plain sum, in the order of the taps.
      for (std::size_t i = 0; i < in.values.size(); ++i) {
        double sum = h[0] * in.values[i];
        float sum_float = static_cast<float>(h[0]) * static_cast<float>(in.values[i]);
        for (std::size_t t = 1; t < taps; ++t) {
          const double x = i >= t * lanes ? in.values[i - t * lanes] : 0.0;
          sum += h[t] * x;
          sum_float += static_cast<float>(h[t]) * static_cast<float>(x);
        }
        REQUIRE(outs[0].values[i] == sum);
        REQUIRE(floats[0][i] == sum_float);
      }
    }
}

TEST_CASE("a FIR filter forgets NaN and infinity the moment they leave the window") {
  for (const double odd : {nan, test::infinity, -test::infinity}) {
    for (const std::size_t taps : {std::size_t{8}, longest_direct_fir + 40}) {
      INFO(odd << ", taps " << taps);
      FirFilter filter({std::vector<double>(taps, 0.5)}, 2);
      const std::size_t first = filter.block() + 700;
      std::vector<double> values(2 * (first + 2 * taps), 1.0);
      values[2 * 700 + 1] = odd;
      Signal in = signal(values, 2);
      in.quality[2 * 700 + 1] = Quality::good();  // though it lies
      const Signal out = run(filter, in);
      for (std::size_t k = filter.block() + taps; k < out.frames(); ++k) {
        const bool inside = k >= first && k < first + taps;
        REQUIRE(std::isnan(out.values[2 * k + 1]) == inside);
        REQUIRE(out.quality[2 * k + 1] == (inside ? test::bad_missing : Quality::good()));
        REQUIRE(std::abs(out.values[2 * k] - static_cast<double>(taps) / 2.0) < 1e-9);
        REQUIRE(out.quality[2 * k].is_good());
      }
    }
  }
}

TEST_CASE(
    "a FIR filter by FFT marks exactly what a single odd input is in, called frame by frame") {
  const std::size_t taps = longest_direct_fir + 1;
  for (const bool is_nan : {true, false}) {
    FirFilter filter({std::vector<double>(taps, 1.0)}, 1);
    const std::size_t block = filter.block();
    const std::size_t first = 2 * block + taps + 5;
    Signal in = signal(std::vector<double>(first + 3 * (block + taps), 1.0));
    const Quality odd =
        is_nan ? test::bad_missing : Quality(Verdict::suspect, Quality::implausible);
    in.quality[first] = odd;
    if (is_nan) in.values[first] = nan;
    const Signal out = test::run_in_blocks(filter, in, [] { return 1; });
    for (std::size_t k = block + taps; k < out.frames(); ++k) {
      const bool inside = k >= first + block && k < first + block + taps;
      REQUIRE(out.quality[k] == (inside ? odd : Quality::good()));
      REQUIRE(std::isnan(out.values[k]) == (inside && is_nan));
    }
  }
}

TEST_CASE("a FIR filter that overflows says so and recovers") {
  FirFilter filter({{1.0, 1.0, 1.0}}, 1);
  (void)run(filter, signal({1, 1}));
  const Signal out = run(filter, signal({1e308, 1e308, 1, 1, 1}));
  const Quality over(Verdict::bad, Quality::out_of_range);
  CHECK(out.quality == std::vector<Quality>{{}, over, over, {}, {}});
  CHECK(test::same_bits(out.values, {1e308 + 2, nan, nan, 1e308 + 2, 3.0}));

  // Also beside an input that is not Good, which takes another way.
  filter.reset();
  const Signal again = run(filter, signal({1e308, 1e308, 1, 1, 1}));
  CHECK(again.quality == std::vector<Quality>{unsettled, merge(over, unsettled), over, {}, {}});

  // But not of an output that is NaN anyhow.
  (void)run(filter, signal({1, 1, 1}));
  const Signal lost = run(filter, signal({1e308, 1e308, nan, 1, 1, 1}));
  CHECK(lost.quality == std::vector<Quality>{
                            {}, over, test::bad_missing, test::bad_missing, test::bad_missing, {}});

  FirFilter blocks({std::vector<double>(longest_direct_fir + 1, 1.0)}, 1);
  Signal in = signal(std::vector<double>(8 * blocks.block(), 1.0));
  in.values[100] = in.values[101] = 1e308;
  const Signal late = run(blocks, in);
  CHECK(late.quality[blocks.block() + 101].has(Quality::out_of_range));
  CHECK(late.quality.back().is_good());
  CHECK(std::abs(late.values.back() - static_cast<double>(longest_direct_fir + 1)) < 1e-9);
}

TEST_CASE("a FIR filter marks exactly the outputs that span a gap") {
  for (const GapPolicy policy : {GapPolicy::reset, GapPolicy::hold}) {
    FirFilter filter({{1.0, 2.0, 4.0}, policy}, 1);
    CHECK(run(filter, signal({1, 1, 1, 1})).quality ==
          std::vector<Quality>{unsettled, unsettled, {}, {}});
    filter.gap();
    const Signal out = run(filter, signal({10, 10, 10, 10}));
    CHECK(out.quality == std::vector<Quality>{unsettled, unsettled, {}, {}});
    CHECK(out.values == (policy == GapPolicy::reset ? std::vector<double>{10, 30, 70, 70}
                                                    : std::vector<double>{16, 34, 70, 70}));
  }
}

TEST_CASE("subnormal input counts as zero and costs no more") {
  FirBank<double> bank({1.0, 1.0}, 1);
  double values[] = {1e-300, 1e-260, -1e-300, 5e-324, 0.0};
  bank.process(values, values, 5);
  CHECK(std::vector<double>(values, values + 5) == std::vector<double>{0, 1e-260, 1e-260, 0, 0});
  FirBank<float> single({1.0F}, 1);
  float small[] = {1e-31F, 1e-29F};
  single.process(small, small, 2);
  CHECK(small[0] == 0.0F);
  CHECK(small[1] == 1e-29F);
}

TEST_CASE("FIR filters say their delay") {
  const auto delay = [](std::vector<double> taps) {
    return FirFilter({std::move(taps)}, 1).delay();
  };
  CHECK(delay({3.0}) == 0.0);
  CHECK(delay({1.0, 2.0, 2.0, 1.0}) == 1.5);
  CHECK(delay({1.0, 0.0, -1.0}) == 1.0);
  CHECK(delay({0.0, 0.0, 1.0}) == Approx(2.0));
  CHECK(delay({3.0, 1.0}) == Approx(0.25));
  CHECK(delay({0.0, 1.0, -1.0}) == Approx(1.5));                // z^-1 (1 - z^-1)
  CHECK(delay({1.5, -2.0, 0.5}) == Approx(0.0).margin(1e-12));  // a derivative without delay
  const FirFilter longer({std::vector<double>(1001, 1.0)}, 1);
  CHECK(longer.delay() == 500.0 + static_cast<double>(longer.block()));
}

TEST_CASE("designs have a gain of 1 where they promise it, and next to none where they stop") {
  const Hertz rate{1000.0};
  const auto low = design(FirLowPass{.taps = 101, .cutoff = 100_Hz}, rate);
  CHECK(std::abs(gain(low, 0.0) - 1.0) < 1e-15);
  CHECK(gain(low, 0.5) < 0.003);
  const auto high = design(FirHighPass{.taps = 101, .cutoff = 100_Hz}, rate);
  CHECK(std::abs(gain(high, 1.0) - 1.0) < 1e-14);
  CHECK(gain(high, 0.0) < 0.003);
  const auto band = design(FirBandPass{.taps = 101, .low = 100_Hz, .high = 200_Hz}, rate);
  CHECK(std::abs(gain(band, 0.3) - 1.0) < 1e-14);
  CHECK(gain(band, 0.0) < 0.003);
  CHECK(gain(band, 0.8) < 0.003);
  const auto stop = design(FirBandStop{.taps = 101, .low = 100_Hz, .high = 200_Hz}, rate);
  CHECK(std::abs(gain(stop, 0.0) - 1.0) < 1e-15);
  CHECK(gain(stop, 0.3) < 0.003);
  for (const auto& taps : {low, high, band, stop})
    for (std::size_t i = 0; i < taps.size(); ++i) CHECK(taps[i] == taps[taps.size() - 1 - i]);
  CHECK(design(FirLowPass{.taps = 1, .cutoff = 100_Hz}, rate) == std::vector<double>{1.0});
}

TEST_CASE("a rectangular design is the ideal response, cut off") {
  const auto taps = design(
      FirLowPass{.taps = 21, .cutoff = 125_Hz, .window = {WindowKind::rectangular}}, 1000_Hz);
  for (int m = 1; m <= 10; ++m) {
    const double expected = std::sin(std::numbers::pi * 0.25 * m) / (std::numbers::pi * 0.25 * m);
    CHECK(std::abs(taps[static_cast<std::size_t>(10 + m)] / taps[10] - expected) < 1e-15);
  }
}

TEST_CASE("FIR designs refuse what they can't do") {
  using Catch::Matchers::Contains;
  const auto message = [](const auto& p, Hertz rate = {1000.0}) {
    return test::message_of([&] { (void)design(p, rate); });
  };
  const Hertz ok = 100_Hz;
  CHECK_THAT(message(FirLowPass{.taps = 0, .cutoff = ok}), Contains("0 taps"));
  CHECK_THAT(message(FirLowPass{.taps = max_fir_taps + 1, .cutoff = ok}), Contains("1048577"));
  for (const double f : {0.0, -1.0, 500.0, 600.0, nan, test::infinity}) {
    CHECK_THAT(message(FirLowPass{.cutoff = {f}}), Contains("low-pass") && Contains("cut-off"));
    CHECK_THAT(message(FirHighPass{.cutoff = {f}}), Contains("high-pass") && Contains("500 Hz"));
    CHECK_THAT(message(FirBandPass{.low = {f}, .high = ok}), Contains("band-pass"));
    CHECK_THAT(message(FirBandPass{.low = ok, .high = {f}}), Contains("band-pass"));
    CHECK_THAT(message(FirBandStop{.low = {f}, .high = ok}), Contains("band-stop"));
    CHECK_THAT(message(FirBandStop{.low = ok, .high = {f}}), Contains("band-stop"));
  }
  for (const double rate : {0.0, -1.0, nan, test::infinity})
    CHECK_THAT(message(FirLowPass{.cutoff = ok}, {rate}), Contains("rate"));
  CHECK_THAT(message(FirHighPass{.taps = 100, .cutoff = ok}), Contains("odd"));
  CHECK_THAT(message(FirBandStop{.taps = 100, .low = ok, .high = 200_Hz}), Contains("odd"));
  CHECK_THAT(message(FirBandPass{.low = 200_Hz, .high = ok}), Contains("below the second"));
  CHECK_THAT(message(FirBandStop{.low = ok, .high = ok}), Contains("below the second"));
  CHECK_THAT(message(FirLowPass{.cutoff = ok, .window = {WindowKind::kaiser, nan}}),
             Contains("beta"));
  CHECK_THAT(message(FirLowPass{.taps = 2, .cutoff = ok, .window = {WindowKind::hann}}),
             Contains("gain would be 0"));
}

TEST_CASE("a FIR filter refuses what it can't do") {
  using Catch::Matchers::Contains;
  const auto message = [](std::vector<double> taps, std::size_t lanes) {
    return test::message_of([&] { FirFilter({std::move(taps)}, lanes); });
  };
  CHECK_THAT(message({}, 1), Contains("0 taps"));
  CHECK_THAT(message(std::vector<double>(max_fir_taps + 1), 1), Contains("1048577 taps"));
  CHECK_THAT(message({1.0, nan}, 1), Contains("tap 1 is nan"));
  CHECK_THAT(message({test::infinity}, 1), Contains("tap 0 is inf"));
  CHECK_THAT(message({1.0}, 0), Contains("lane"));
}

TEST_CASE("a FIR filter refuses the state of another one and stays as it was") {
  StateWriter writer;
  FirFilter({{1.0, 2.0}}, 2).save_state(writer);
  FirFilter filter({{1.0, 2.0, 3.0}}, 2);
  StateReader reader(writer.bytes());
  CHECK_THAT(test::message_of([&] { filter.load_state(reader); }),
             Catch::Matchers::Contains("2 taps and 2 lanes"));
  FirFilter longer({std::vector<double>(longest_direct_fir + 1, 1.0)}, 2);
  StateReader again(writer.bytes());
  CHECK_THROWS_AS(longer.load_state(again), Error);
}

}  // namespace
}  // namespace spillway
