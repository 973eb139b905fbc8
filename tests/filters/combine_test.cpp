#include "spillway/filters/combine.hpp"

#include <cmath>
#include <memory>
#include <stdexcept>
#include <vector>

#include "lanes_support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::bad_missing;
using test::check_laws_to;
using test::infinity;
using test::message_of;
using test::nan;
using test::Random;
using test::run_to;
using test::Signal;
using test::signal;

constexpr Quality out_of_range{Verdict::suspect, Quality::out_of_range};
const Quality good = Quality::good();

Quality with_result(double y, Quality q) {
  if (std::isnan(y)) return merge(q, bad_missing);
  return std::isinf(y) ? merge(q, out_of_range) : q;
}

double apply(Operation operation, double a, double b) {
  switch (operation) {
    case Operation::add:
    case Operation::mean: return a + b;
    case Operation::subtract: return a - b;
    case Operation::multiply: return a * b;
    case Operation::divide: return a / b;
    case Operation::minimum: return std::isnan(a) || std::isnan(b) ? nan : std::min(a, b);
    case Operation::maximum: return std::isnan(a) || std::isnan(b) ? nan : std::max(a, b);
  }
  return nan;
}

// Zeros of both signs and infinities among the noise.
Signal odd_noise(Random& random, std::size_t frames, std::size_t lanes) {
  Signal s = random.noise(frames, lanes, 20);
  for (double& v : s.values) switch (random.below(24)) {
      case 0: v = 0.0; break;
      case 1: v = -0.0; break;
      case 2: v = infinity; break;
      case 3: v = -infinity; break;
      default: break;
    }
  return s;
}

constexpr Operation operations[] = {Operation::add,    Operation::subtract, Operation::multiply,
                                    Operation::divide, Operation::minimum,  Operation::maximum,
                                    Operation::mean};

TEST_CASE("arithmetic goes over the lanes from left to right and merges their qualities") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (const Operation operation : operations) {
    for (const std::size_t lanes : {2U, 3U, 8U, 16U, 17U}) {
      CAPTURE(static_cast<int>(operation), lanes);
      const Signal in = odd_noise(random, 300, lanes);
      const ArithmeticFilter filter({operation}, lanes);
      Signal expected{{}, {}, 1};
      for (std::size_t f = 0; f < in.frames(); ++f) {
        double y = in.values[f * lanes];
        Quality q = in.quality[f * lanes];
        for (std::size_t l = 1; l < lanes; ++l) {
          y = apply(operation, y, in.values[f * lanes + l]);
          q = merge(q, in.quality[f * lanes + l]);
        }
        if (operation == Operation::mean) y /= static_cast<double>(lanes);
        expected.values.push_back(y);
        expected.quality.push_back(with_result(y, q));
      }
      ArithmeticFilter copy = filter;
      CHECK(run_to(copy, in, 1) == expected);
      check_laws_to(filter, in, 1, random);
    }
  }
}

TEST_CASE("a division by zero is infinite and suspect, of zero by zero NaN and bad") {
  ArithmeticFilter divide({Operation::divide}, 2);
  const Signal out = run_to(divide, signal({1.0, 0.0, 1.0, -0.0, -2.0, 0.0, 0.0, 0.0}, 2), 1);
  CHECK(test::same_bits(out.values, {infinity, -infinity, -infinity, nan}));
  CHECK(out.quality == std::vector<Quality>{out_of_range, out_of_range, out_of_range, bad_missing});
}

TEST_CASE("arithmetic needs something to combine") {
  CHECK(message_of([] { ArithmeticFilter({Operation::add}, 1); }) ==
        "arithmetic: 1 lanes; at least 2 are needed");
  CHECK(message_of([] { ArithmeticFilter({static_cast<Operation>(7)}, 2); }) ==
        "arithmetic: operation 7 is unknown; allowed are 0 to 6");
}

TEST_CASE("a mix is offset plus products in the order of the inputs, zeros left out") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (const std::size_t lanes : {1U, 3U, 8U, 16U, 17U}) {
    for (const std::size_t outputs : {1U, 2U, 3U, 8U, 17U}) {
      CAPTURE(lanes, outputs);
      Mix mix;
      for (std::size_t i = 0; i < outputs; ++i) {
        mix.matrix.emplace_back();
        for (std::size_t j = 0; j < lanes; ++j)
          mix.matrix.back().push_back(random.below(3) == 0 ? (random.below(2) == 0 ? 0.0 : -0.0)
                                                           : random.uniform());
        if (lanes != 3) mix.offset.push_back(random.below(4) == 0 ? -0.0 : random.uniform());
      }
      const Signal in = odd_noise(random, 200, lanes);
      Signal expected{{}, {}, outputs};
      for (std::size_t f = 0; f < in.frames(); ++f)
        for (std::size_t i = 0; i < outputs; ++i) {
          double y = mix.offset.empty() ? 0.0 : mix.offset[i] + 0.0;
          Quality q;
          for (std::size_t j = 0; j < lanes; ++j) {
            if (mix.matrix[i][j] == 0.0) continue;
            y += mix.matrix[i][j] * in.values[f * lanes + j];
            q = merge(q, in.quality[f * lanes + j]);
          }
          expected.values.push_back(y);
          expected.quality.push_back(with_result(y, q));
        }
      const MixFilter filter(mix, lanes);
      MixFilter copy = filter;
      CHECK(run_to(copy, in, outputs) == expected);
      check_laws_to(filter, in, outputs, random);

      // An output does not depend on how many others there are.
      const std::size_t one = random.below(outputs);
      Mix alone;
      alone.matrix = {mix.matrix[one]};
      if (!mix.offset.empty()) alone.offset = {mix.offset[one]};
      MixFilter single(alone, lanes);
      CHECK(run_to(single, in, 1) == expected.lane(one));
    }
  }
}

TEST_CASE("a dead channel leaves the outputs alone that do not use it") {
  MixFilter mix({.matrix = {{1.0, 0.0}, {1.0, 1.0}}}, 2);
  const Signal out = run_to(mix, signal({2.0, nan, 3.0, infinity}, 2), 2);
  CHECK(test::same_bits(out.values, {2.0, nan, 3.0, infinity}));
  CHECK(out.quality == std::vector<Quality>{good, bad_missing, good, out_of_range});
}

TEST_CASE("a mix refuses what does not fit its inputs") {
  CHECK(message_of([] { MixFilter({}, 2); }) ==
        "mix: the matrix has no row; one for each output is needed");
  CHECK(message_of([] {
          MixFilter({.matrix = {{1.0, 2.0}, {1.0}}}, 2);
        }) == "mix: row 1 of the matrix has 1 coefficients; 2 are needed, one for each input");
  CHECK(message_of([] {
          MixFilter({.matrix = {{1.0, nan}}}, 2);
        }) == "mix: coefficient 1 of row 0 is nan; it must be finite");
  CHECK(message_of([] {
          MixFilter({.matrix = {{1.0}}, .offset = {1.0, 2.0}}, 1);
        }) == "mix: 2 offsets for 1 rows; one a row or none is needed");
  CHECK(message_of([] { MixFilter({.matrix = {{1.0}}, .offset = {infinity}}, 1); }) ==
        "mix: offset 0 is inf; it must be finite");
  CHECK(message_of([] {
          MixFilter({.matrix = {{1.0}}, .names = {"a", "b"}}, 1);
        }) == "mix: 2 names for 1 rows; one a row or none is needed");
  CHECK_THROWS_AS(MixFilter({.matrix = {{}}}, 0), Error);

  StateWriter writer;
  MixFilter({.matrix = {{1.0, 1.0}}}, 2).save_state(writer);
  StateReader reader(writer.bytes());
  MixFilter other({.matrix = {{1.0}}}, 1);
  CHECK(message_of([&] { other.load_state(reader); }) ==
        "mix: the state is of 2 lanes; needed is one of 1");
}

Function differences() {
  return {.name = "differences",
          .call =
              [](ConstFrames in, Frames out) {
                for (std::size_t f = 0; f < in.count(); ++f)
                  for (std::size_t l = 0; l + 1 < in.lanes; ++l) {
                    const std::size_t i = f * in.lanes + l;
                    out.values[f * out.lanes + l] = in.values[i + 1] - in.values[i];
                    out.quality[f * out.lanes + l] = merge(in.quality[i], in.quality[i + 1]);
                  }
              },
          .outputs = {"b - a", "c - b"}};
}

TEST_CASE("a function makes the lanes it says, laws hold if it keeps them") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  const FunctionFilter filter(differences(), 3);
  CHECK(filter.outputs() == 2);
  check_laws_to(filter, odd_noise(random, 300, 3), 2, random);

  const Function negative{.name = "negative", .call = [](ConstFrames in, Frames out) {
                            for (std::size_t i = 0; i < in.values.size(); ++i) {
                              out.values[i] = -in.values[i];
                              out.quality[i] = in.quality[i];
                            }
                          }};
  for (const std::size_t lanes : {1U, 3U, 17U})
    test::check_laws(FunctionFilter(negative, lanes), odd_noise(random, 300, lanes), random,
                     std::vector<FunctionFilter>(lanes, FunctionFilter(negative, 1)));
}

TEST_CASE("a NaN of a function is bad whatever it says of it") {
  FunctionFilter filter({.name = "root",
                         .call =
                             [](ConstFrames in, Frames out) {
                               for (std::size_t i = 0; i < in.values.size(); ++i) {
                                 out.values[i] = std::sqrt(in.values[i]);
                                 out.quality[i] = Quality::good();
                               }
                             }},
                        1);
  CHECK(run_to(filter, signal({4.0, -1.0, infinity}), 1).quality ==
        std::vector<Quality>{good, bad_missing, out_of_range});
}

TEST_CASE("a function that throws gives NaN until reset, and says why") {
  auto calls = std::make_shared<int>(0);
  const std::string why = "no more of this " + std::string(400, '.');
  const FunctionFilter fresh({.name = "thrower",
                              .call =
                                  [calls, why](ConstFrames in, Frames out) {
                                    if (++*calls == 2) throw std::runtime_error(why);
                                    std::ranges::copy(in.values, out.values.begin());
                                    std::ranges::copy(in.quality, out.quality.begin());
                                  }},
                             1);
  FunctionFilter filter = fresh;
  const Signal in = signal({1.0, 2.0});
  CHECK(run_to(filter, in, 1) == in);
  CHECK_FALSE(filter.failed());
  CHECK(filter.message().empty());
  StateWriter fine;
  filter.save_state(fine);

  const Signal dead = signal({nan, nan});
  CHECK(run_to(filter, in, 1) == dead);
  CHECK(filter.failed());
  CHECK(filter.message() == why.substr(0, 255));
  CHECK(run_to(filter, in, 1) == dead);
  filter.gap();
  CHECK(run_to(filter, in, 1) == dead);
  CHECK(*calls == 2);

  StateWriter writer;
  filter.save_state(writer);
  FunctionFilter other = fresh;
  StateReader reader(writer.bytes());
  other.load_state(reader);
  CHECK(run_to(other, in, 1) == dead);
  CHECK(other.message() == filter.message());

  StateReader back(fine.bytes());
  other.load_state(back);
  CHECK(run_to(other, in, 1) == in);

  filter.reset();
  CHECK_FALSE(filter.failed());
  CHECK(filter.message().empty());
  CHECK(run_to(filter, in, 1) == in);
}

TEST_CASE("anything thrown by a function is caught") {
  FunctionFilter filter({.name = "odd", .call = [](ConstFrames, Frames) { throw 1; }}, 1);
  CHECK(run_to(filter, signal({1.0}), 1) == signal({nan}));
  CHECK(filter.message() == "an exception that is no std::exception");
}

TEST_CASE("a function must be there") {
  CHECK(message_of([] { FunctionFilter({.name = "f", .call = {}}, 1); }) ==
        "function 'f': there is nothing to call");
  CHECK(message_of([] { FunctionFilter({.name = "f", .call = [](ConstFrames, Frames) {}}, 0); }) ==
        "function 'f': 0 lanes; at least 1 is needed");
}

}  // namespace
}  // namespace spillway
