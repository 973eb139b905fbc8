#include "spillway/filters/sos_bank.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <type_traits>
#include <vector>

#include "simd/isa.hpp"
#include "spillway/filters/sos.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::Random;

// Calls f() with every instruction set there is here.
template <class F>
void with_every_isa(F&& f) {
  const simd::Isa usual = simd::current_isa();
  for (const simd::Isa isa : simd::all_isas) {
    if (!simd::is_supported(isa)) continue;
    INFO(simd::to_string(isa));
    simd::choose_isa(isa);
    f();
  }
  simd::choose_isa(usual);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  using Bits = std::conditional_t<std::is_same_v<T, double>, std::uint64_t, std::uint32_t>;
  return std::ranges::equal(
      a, b, [](T x, T y) { return std::bit_cast<Bits>(x) == std::bit_cast<Bits>(y); });
}

template <class T>
std::vector<T> noise(Random& random, std::size_t count) {
  std::vector<T> values(count);
  // Zeros of both signs, whose bits are easily lost: some, or nothing else.
  const std::uint64_t often = random.below(4) == 0 ? 2 : 30;
  for (T& v : values) {
    const std::uint64_t dice = random.below(often);
    v = dice == 0 ? T(0) : dice == 1 ? T(-0.0) : static_cast<T>(random.uniform());
  }
  return values;
}

// Stable; half of them with the same b0 and b2 in every section.
Sos any_sos(Random& random, std::size_t sections) {
  Sos sos;
  const bool same = random.below(2) == 0;
  for (std::size_t s = 0; s < sections; ++s) {
    const double r = 0.5 * (random.uniform() + 1.0) * 0.99;
    const bool zero = random.below(4) == 0;
    const double b0 = zero ? 0.0 : random.uniform();
    const double b2 = zero ? -0.0 : same ? b0 : random.uniform();
    sos.sections.push_back({b0, random.uniform(), b2, -2.0 * r * random.uniform(), r * r});
  }
  return sos;
}

// Every 64 frames.
template <class T>
void flush(T& z) {
  if (std::abs(z) < (std::is_same_v<T, double> ? T(1e-290) : T(1e-30))) z = T(0);
}

template <class T>
struct Section {
  T b0, b1, b2, a1, a2;
  T z1 = 0, z2 = 0;
  explicit Section(const Sos::Section& s)
      : b0(static_cast<T>(s.b0)),
        b1(static_cast<T>(s.b1)),
        b2(static_cast<T>(s.b2)),
        a1(static_cast<T>(s.a1)),
        a2(static_cast<T>(s.a2)) {}
  T next(T x) {
    const T y = b0 * x + z1;
    z1 = (b1 * x - a1 * y) + z2;
    z2 = b2 * x - a2 * y;
    return y;
  }
};

template <class T>
std::vector<T> df2t_by_definition(const Sos& sos, std::vector<T> x) {
  for (const Sos::Section& s : sos.sections) {
    Section<T> section(s);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = section.next(x[i]);
      if (i % 64 != 63) continue;
      flush(section.z1);
      flush(section.z2);
    }
  }
  return x;
}

// The formula of the header, sample by sample.
template <class T>
std::vector<T> block_by_definition(const Sos& sos, std::vector<T> x) {
  constexpr std::size_t b = 8;
  for (std::size_t s = 0; s < sos.sections.size(); s += 2) {
    const auto second = s + 1 < sos.sections.size() ? sos.sections[s + 1] : Sos::Section{};
    using Two = std::array<Section<double>, 2>;
    const Two two{Section<double>(sos.sections[s]), Section<double>(second)};
    const auto state = [](Two& t) {
      return std::array<double*, 4>{&t[0].z1, &t[0].z2, &t[1].z1, &t[1].z2};
    };
    T h[b], k[b][4], a[4][4], c[4][b];
    Two one = two;
    for (std::size_t i = 0; i < b; ++i) {
      h[i] = static_cast<T>(one[1].next(one[0].next(i == 0 ? 1.0 : 0.0)));
      for (std::size_t j = 0; j < 4; ++j) k[b - 1 - i][j] = static_cast<T>(*state(one)[j]);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      one = two;
      *state(one)[j] = 1.0;
      for (std::size_t i = 0; i < b; ++i) c[j][i] = static_cast<T>(one[1].next(one[0].next(0.0)));
      for (std::size_t i = 0; i < 4; ++i) a[j][i] = static_cast<T>(*state(one)[i]);
    }

    T z[4] = {};
    for (std::size_t begin = 0; begin < x.size(); begin += b) {
      std::array<T, b> in{};
      for (std::size_t i = 0; i < b && begin + i < x.size(); ++i) in[i] = x[begin + i];
      for (std::size_t i = 0; i < b && begin + i < x.size(); ++i) {
        T sum = 0;
        for (std::size_t j = 0; j <= i; ++j) sum += h[i - j] * in[j];
        x[begin + i] =
            sum + ((c[0][i] * z[0] + c[1][i] * z[1]) + (c[2][i] * z[2] + c[3][i] * z[3]));
      }
      T next[4];
      for (std::size_t i = 0; i < 4; ++i) {
        T sum = 0;
        for (std::size_t j = 0; j < b; ++j) sum += k[j][i] * in[j];
        next[i] = sum + ((a[0][i] * z[0] + a[1][i] * z[1]) + (a[2][i] * z[2] + a[3][i] * z[3]));
      }
      std::copy_n(next, 4, z);
      if (begin % 64 == 56) std::for_each_n(z, 4, flush<T>);
    }
  }
  return x;
}

template <class T>
void check_definition(Form form, Random& random) {
  for (const std::size_t lanes :
       std::vector<std::size_t>{1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 40}) {
    const Sos sos = any_sos(random, 1 + random.below(7));
    const std::size_t frames = 1 + random.below(300);
    INFO(lanes << " lanes, " << sos.sections.size() << " sections, " << frames << " frames");
    const std::vector<T> in = noise<T>(random, frames * lanes);
    std::vector<T> expected(in.size());
    for (std::size_t l = 0; l < lanes; ++l) {
      std::vector<T> lane;
      for (std::size_t f = 0; f < frames; ++f) lane.push_back(in[f * lanes + l]);
      lane = form == Form::df2t ? df2t_by_definition(sos, lane) : block_by_definition(sos, lane);
      for (std::size_t f = 0; f < frames; ++f) expected[f * lanes + l] = lane[f];
    }
    with_every_isa([&] {
      SosBank<T> bank(sos, form, lanes);
      std::vector<T> out(in.size() + 1, T(7));
      bank.process(in.data(), out.data(), frames);
      REQUIRE(out.back() == T(7));
      out.pop_back();
      REQUIRE(same_bits(out, expected));
      // In place, in pieces, one of which another bank takes over.
      bank.reset();
      std::vector<T> pieces = in;
      for (std::size_t f = 0; f < frames;) {
        const std::size_t n = std::min<std::size_t>(1 + random.below(90), frames - f);
        SosBank<T> next(sos, form, lanes);
        next.state() = bank.state();
        next.process(pieces.data() + f * lanes, pieces.data() + f * lanes, n);
        bank = next;
        f += n;
      }
      REQUIRE(same_bits(pieces, expected));
    });
  }
}

TEST_CASE("a bank of sections is its formula, bit for bit, in every lane") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (int round = 0; round < 4; ++round)
    for (const Form form : {Form::df2t, Form::block}) {
      INFO((form == Form::df2t ? "df2t" : "block"));
      check_definition<double>(form, random);
      check_definition<float>(form, random);
    }
}

TEST_CASE("both forms differ by rounding alone") {
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    const Sos sos = any_sos(random, 1 + random.below(6));
    std::vector<double> in = noise<double>(random, 500);
    std::vector<double> a(in.size());
    std::vector<double> b(in.size());
    SosBank<double>(sos, Form::df2t, 1).process(in.data(), a.data(), in.size());
    SosBank<double>(sos, Form::block, 1).process(in.data(), b.data(), in.size());
    double peak = 1.0;
    for (const double v : a) peak = std::max(peak, std::abs(v));
    for (std::size_t i = 0; i < in.size(); ++i) REQUIRE(std::abs(a[i] - b[i]) < 1e-11 * peak);
  }
}

TEST_CASE("a lane that is zero or primed in the middle goes on as one with that past") {
  const Sos sos{{{0.2, 0.4, 0.2, -0.5, 0.3}, {0.5, 0.1, 0.2, -0.7, 0.4}, {1, -0.5, 0, 0.2, 0.1}}};
  Random random(9);
  for (const Form form : {Form::df2t, Form::block})
    for (const std::size_t at : std::vector<std::size_t>{1, 5, 8, 64, 83}) {
      SosBank<double> bank(sos, form, 3);
      const std::vector<double> past = noise<double>(random, 3 * at);
      std::vector<double> out(past.size());
      bank.process(past.data(), out.data(), at);
      bank.zero(0);
      bank.prime(2, 4.0);
      SosBank<double> expected(sos, form, 3);
      std::vector<double> calm(3000 + 3 * at % 24, 0.0);
      for (std::size_t i = 2; i < calm.size(); i += 3) calm[i] = 4.0;
      out.resize(calm.size());
      expected.process(calm.data(), out.data(), calm.size() / 3);
      const std::vector<double> next = noise<double>(random, 3 * 40);
      std::vector<double> a(next.size());
      std::vector<double> b(next.size());
      bank.process(next.data(), a.data(), 40);
      expected.process(next.data(), b.data(), 40);
      for (std::size_t i = 0; i < next.size(); ++i)
        if (i % 3 != 1) REQUIRE(std::abs(a[i] - b[i]) < 1e-13);
    }
}

template <class T>
void check_decay(Form form, const Sos& sos) {
  // A second of signal and nine of silence, at 1 kHz; then neither state nor output is subnormal,
  // but for what 64 frames may bring.
  std::vector<T> values(3 * 10000);
  Random random(1);
  for (std::size_t i = 0; i < 3000; ++i) values[i] = static_cast<T>(random.uniform());
  SosBank<T> bank(sos, form, 3);
  std::size_t subnormal = 0;
  for (std::size_t f = 0; f < 10000; f += 64) {
    const std::size_t n = std::min<std::size_t>(64, 10000 - f);
    T* const at = values.data() + 3 * f;
    bank.process(at, at, n);
    for (std::size_t i = 0; i < 3 * n; ++i) subnormal += std::fpclassify(at[i]) == FP_SUBNORMAL;
    for (const T z : bank.state().values) subnormal += std::fpclassify(z) == FP_SUBNORMAL;
  }
  CHECK(subnormal == 0);
  for (const T z : bank.state().values) CHECK(z == T(0));
  CHECK(values.back() == T(0));
}

TEST_CASE("a signal that decays does not get stuck in subnormal numbers") {
  const Sos slow{{{0.01, 0.02, 0.01, -1.6, 0.68}, {1.0, 2.0, 1.0, -1.7, 0.75}}};
  with_every_isa([&] {
    for (const Form form : {Form::df2t, Form::block}) {
      check_decay<double>(form, slow);
      check_decay<float>(form, slow);
    }
  });
}

TEST_CASE("a bank of sections refuses what it can't do") {
  CHECK_THROWS_AS(SosBank<float>({}, Form::df2t, 1), Error);
  CHECK_THROWS_AS(SosBank<float>({{{1, 0, 0, -2.1, 1}}}, Form::block, 1), Error);
  CHECK_THROWS_AS(SosBank<double>({{{1, 0, 0, 0, 0}}}, Form::df2t, 0), Error);
}

}  // namespace
}  // namespace spillway
