#include "spillway/filters/median_bank.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "simd/isa.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::Random;

template <class T>
constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();
template <class T>
constexpr T infinite = std::numeric_limits<T>::infinity();

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return std::ranges::equal(a, b, [](T x, T y) {
    return (x == y && std::signbit(x) == std::signbit(y)) || (std::isnan(x) && std::isnan(y));
  });
}

template <class T>
std::vector<T> by_definition(const std::vector<T>& in, std::size_t lanes, std::size_t window) {
  std::vector<T> out(in.size());
  for (std::size_t i = 0; i < in.size(); ++i) {
    std::vector<T> valid;
    for (std::size_t age = 0; age < window && age * lanes <= i; ++age)
      if (!std::isnan(in[i - age * lanes])) valid.push_back(in[i - age * lanes] + T(0));
    std::ranges::sort(valid);
    const std::size_t n = valid.size();
    out[i] = n == 0 ? not_a_number<T>
             : n % 2 == 1
                 ? valid[n / 2]
                 // Halving is exact, so this rounds once; in long double it would round twice.
                 : (valid[n / 2 - 1] + valid[n / 2]) / T(2);
  }
  return out;
}

// Noise of some resolution, so that values may be equal; NaN, infinities, zeros of both signs.
template <class T>
std::vector<T> rough(Random& random, std::size_t frames, std::size_t lanes) {
  const T steps = random.below(2) == 0 ? T(4) : T(1e6);
  const std::uint64_t odd = random.below(3) == 0 ? 5 : 60;
  const bool only_numbers = random.below(3) == 0;
  std::vector<T> values(frames * lanes);
  for (T& v : values) {
    v = std::round(static_cast<T>(random.uniform()) * steps) / steps;
    if (only_numbers || random.below(odd) != 0) continue;
    constexpr T some[] = {not_a_number<T>, infinite<T>, -infinite<T>, T(0), -T(0)};
    v = some[random.below(10) < 6 ? 0 : random.below(5)];
  }
  return values;
}

using Types = std::tuple<float, double>;

// Runs `check` with each instruction set this CPU has.
template <class Check>
void with_each_isa(Check check) {
  const simd::Isa best = simd::current_isa();
  for (const simd::Isa isa : simd::all_isas) {
    if (!simd::is_supported(isa)) continue;
    simd::choose_isa(isa);
    INFO(simd::to_string(isa));
    check();
  }
  simd::choose_isa(best);
}

TEMPLATE_LIST_TEST_CASE("a median bank is its definition: every window, lanes, cuts, instructions",
                        "", Types) {
  using T = TestType;
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  const auto check = [&](std::size_t window, std::size_t lanes) {
    const std::size_t frames = 1 + random.below(4 * window + 200);
    const std::vector<T> in = rough<T>(random, frames, lanes);
    const std::vector<T> expected = by_definition(in, lanes, window);
    with_each_isa([&] {
      INFO("seed " << seed << ", window " << window << ", lanes " << lanes);
      MedianBank<T> bank(window, lanes);
      std::vector<T> out(in.size());
      bank.process(in.data(), out.data(), frames);
      CHECK(same(out, expected));

      bank.reset();
      std::vector<T> in_place = in;
      for (std::size_t f = 0; f < frames;) {
        const std::size_t n = std::min<std::size_t>(1 + random.below(3 * window + 40), frames - f);
        T* const part = in_place.data() + f * lanes;
        bank.process(part, part, n);
        f += n;
      }
      CHECK(same(in_place, expected));
    });
  };
  for (std::size_t window = 1; window <= 130; ++window) {
    check(window, 1);
    check(window, 1 + random.below(20));
  }
  for (std::size_t window : {1U, 4U, 5U, 31U})
    for (std::size_t lanes = 1; lanes <= 35; ++lanes) check(window, lanes);
  for (int round = 0; round < 10; ++round) check(1 + random.below(400), 1 + random.below(40));
}

TEST_CASE("a median bank is its definition in long calls of one lane") {
  const std::uint64_t seed = test::new_seed();
  Random random(seed);
  INFO("seed " << seed);
  for (std::size_t window : {5U, 32U, 127U}) {
    std::vector<double> in = random.noise(5000, 1, 0).values;
    for (std::size_t some = 0; some < 3; ++some) in[random.below(in.size())] = test::nan;
    const std::vector<double> expected = by_definition(in, 1, window);
    with_each_isa([&] {
      MedianBank<double> bank(window, 1);
      std::vector<double> out(in.size());
      bank.process(in.data(), out.data(), in.size());
      CHECK(same(out, expected));
    });
  }
}

TEMPLATE_LIST_TEST_CASE("a median bank's mean of two does not overflow", "", Types) {
  constexpr TestType most = std::numeric_limits<TestType>::max();
  for (std::uint64_t window : {2U, 8U, 80U}) {
    MedianBank<TestType> bank(window, 1);
    std::vector<TestType> values{most, most};
    bank.process(values.data(), values.data(), 2);
    CHECK(values[1] == most);
    values = {-infinite<TestType>, infinite<TestType>};
    bank.reset();
    bank.process(values.data(), values.data(), 2);
    CHECK(std::isnan(values[1]));
  }
}

TEMPLATE_LIST_TEST_CASE("a median bank goes on from a saved state", "", Types) {
  using T = TestType;
  Random random(7);
  for (std::size_t window : {1U, 4U, 5U, 31U, 63U, 64U, 200U}) {
    for (std::size_t lanes : {1U, 5U, 16U}) {
      INFO("window " << window << ", lanes " << lanes);
      const std::vector<T> in = rough<T>(random, 300, lanes);
      const std::vector<T> expected = by_definition(in, lanes, window);
      const std::size_t middle = random.below(300);
      MedianBank<T> before(window, lanes);
      std::vector<T> out(in.size());
      before.process(in.data(), out.data(), middle);
      StateWriter writer;
      before.save_state(writer);

      MedianBank<T> after(window, lanes);
      after.process(in.data(), out.data(), 300);
      StateReader cut(std::span(writer.bytes()).first(writer.bytes().size() - 1));
      MedianBank<T> copy = after;
      CHECK_THROWS_AS(after.load_state(cut), Error);
      std::vector<T> other(in.size());
      after.process(in.data(), out.data(), 300);
      copy.process(in.data(), other.data(), 300);
      CHECK(same(out, other));

      StateReader reader(writer.bytes());
      after.load_state(reader);
      CHECK(reader.at_end());
      after.process(in.data() + middle * lanes, out.data() + middle * lanes, 300 - middle);
      std::copy_n(expected.begin(), middle * lanes, out.begin());
      CHECK(same(out, expected));
    }
  }
}

TEST_CASE("a median bank refuses what it can't do") {
  using Catch::Matchers::Contains;
  const auto message = [](std::uint64_t window, std::size_t lanes) {
    return test::message_of([&] { MedianBank<double>(window, lanes); });
  };
  CHECK_THAT(message(0, 1), Contains("window of 0") && Contains("1 to 268435456"));
  CHECK_THAT(message((std::uint64_t{1} << 28) + 1, 1), Contains("268435457"));
  CHECK_THAT(message(5, 0), Contains("lane"));

  MedianBank<double> other(6, 2);
  StateWriter writer;
  other.save_state(writer);
  MedianBank<double> bank(4, 3);
  StateReader reader(writer.bytes());
  CHECK_THAT(test::message_of([&] { bank.load_state(reader); }),
             Contains("window of 6 samples and 2 lanes"));
}

}  // namespace
}  // namespace spillway
