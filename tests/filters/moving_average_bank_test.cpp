#include "spillway/filters/moving_average_bank.hpp"

#include <cmath>
#include <vector>

#include "simd/isa.hpp"
#include "spillway/filters/moving_average.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::Random;

// The formula of the header, over the window that ends at k: the end of one partition added up
// backwards, the whole next one and the beginning of the one behind it forwards.
template <class T>
T by_definition(const std::vector<T>& x, std::size_t window, std::size_t k) {
  const std::size_t half = window / 2;
  const std::size_t here = k / half * half;
  const std::size_t from = k + 1 >= window ? k + 1 - window : 0;
  const auto forwards = [&](std::size_t begin, std::size_t end) {
    T sum = T(-0.0);
    for (std::size_t i = begin; i < end; ++i) sum += x[i];
    return sum;
  };
  T end = T(-0.0);
  const std::size_t middle = here >= half ? here - half : here;
  for (std::size_t i = middle; i-- > from;) end = x[i] + end;
  return ((end + forwards(middle, here)) + forwards(here, k + 1)) /
         static_cast<T>(std::min(k + 1, window));
}

template <class T>
void check_definition(Random& random) {
  const simd::Isa usual = simd::current_isa();
  for (const std::size_t lanes : std::vector<std::size_t>{1, 2, 3, 5, 8, 11, 16, 17, 31, 40}) {
    const std::size_t window = 2 + random.below(random.below(2) == 0 ? 6 : 150);
    const std::size_t frames = 1 + random.below(500);
    INFO(lanes << " lanes, window " << window << ", " << frames << " frames");
    std::vector<T> in(frames * lanes);
    for (T& v : in) v = static_cast<T>(random.uniform());
    for (const simd::Isa isa : simd::all_isas) {
      if (!simd::is_supported(isa)) continue;
      simd::choose_isa(isa);
      MovingAverageBank<T> bank({.window = window}, lanes);
      std::vector<T> out = in;
      for (std::size_t f = 0; f < frames;) {
        const std::size_t n = std::min<std::size_t>(1 + random.below(90), frames - f);
        bank.process(out.data() + f * lanes, out.data() + f * lanes, n);
        f += n;
      }
      for (std::size_t l = 0; l < lanes; ++l) {
        std::vector<T> lane;
        for (std::size_t f = 0; f < frames; ++f) lane.push_back(in[f * lanes + l]);
        for (std::size_t f = 0; f < frames; ++f)
          REQUIRE(out[f * lanes + l] == by_definition(lane, window, f));
      }
    }
  }
  simd::choose_isa(usual);
}

TEST_CASE("a bank of moving averages is its formula, bit for bit, in every lane") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (int round = 0; round < 5; ++round) {
    check_definition<double>(random);
    check_definition<float>(random);
  }
}

TEST_CASE("a bank of moving averages starts anew after a reset, whatever it has seen") {
  for (const NanPolicy policy : {NanPolicy::propagate, NanPolicy::ignore}) {
    MovingAverageBank<double> bank({.window = 6, .nan = policy}, 1);
    std::vector<double> odd(17, test::infinity);
    odd[3] = test::nan;
    bank.process(odd.data(), odd.data(), odd.size());
    bank.reset();
    std::vector<double> ones(40, 1.0);
    bank.process(ones.data(), ones.data(), ones.size());
    CHECK(ones == std::vector<double>(40, 1.0));
  }
}

TEST_CASE("a bank of moving averages refuses what it can't do") {
  using Bank = MovingAverageBank<float>;
  CHECK_THROWS_AS(Bank({.window = 0}, 1), Error);
  CHECK_THROWS_AS(Bank({.window = (1 << 24) + 1}, 1), Error);
  CHECK_THROWS_AS(Bank({.window = 2, .nan = NanPolicy::hold}, 1), Error);
  CHECK_THROWS_AS(Bank({.window = 2}, 0), Error);
}

}  // namespace
}  // namespace spillway
