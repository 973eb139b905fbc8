#include "spillway/filters/compensate.hpp"

#include <cmath>
#include <vector>

#include "lanes_support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::bad_missing;
using test::infinity;
using test::message_of;
using test::nan;
using test::Random;
using test::run_to;
using test::Signal;
using test::signal;

TEST_CASE("a compensation is the sum over powers of value and temperature") {
  const std::uint64_t seed = test::new_seed();
  INFO("seed " << seed);
  Random random(seed);
  for (int round = 0; round < 20; ++round) {
    Compensate p;
    for (std::size_t rows = 1 + random.below(4); rows-- > 0;) {
      p.coefficients.emplace_back();
      for (std::size_t n = 1 + random.below(4); n-- > 0;)
        p.coefficients.back().push_back(random.uniform());
    }
    const Signal in = random.noise(300, 2, 12);
    const CompensateFilter filter(p);
    CompensateFilter copy = filter;
    const Signal out = run_to(copy, in, 1);
    for (std::size_t f = 0; f < in.frames(); ++f) {
      const long double x = in.values[2 * f];
      const long double t = in.values[2 * f + 1];
      const Quality q = merge(in.quality[2 * f], in.quality[2 * f + 1]);
      if (std::isnan(x) || std::isnan(t)) {
        CHECK(std::isnan(out.values[f]));
        CHECK(out.quality[f] == merge(q, bad_missing));
        continue;
      }
      long double y = 0.0L;
      for (std::size_t i = 0; i < p.coefficients.size(); ++i)
        for (std::size_t j = 0; j < p.coefficients[i].size(); ++j)
          y += p.coefficients[i][j] * std::pow(x, static_cast<long double>(i)) *
               std::pow(t, static_cast<long double>(j));
      CHECK(std::abs(out.values[f] - static_cast<double>(y)) < 1e-14);
      CHECK(out.quality[f] == q);
    }
    test::check_laws_to(filter, in, 1, random);
  }
}

TEST_CASE("a temperature that is not known makes the value unknown") {
  CompensateFilter plain(Compensate{{{0.0}, {1.0}}});
  CHECK(run_to(plain, signal({5.0, nan, nan, 20.0, 5.0, 20.0}, 2), 1) == signal({nan, nan, 5.0}));
}

TEST_CASE("a compensation that overflows is suspect, one without a value is bad") {
  CompensateFilter square(Compensate{{{0.0}, {0.0}, {1.0}}});
  CHECK(run_to(square, signal({1e200, 0.0}, 2), 1).quality ==
        std::vector<Quality>{Quality(Verdict::suspect, Quality::out_of_range)});
  CompensateFilter product(Compensate{{{0.0}, {0.0, 1.0}}});
  CHECK(run_to(product, signal({infinity, 0.0}, 2), 1) == signal({nan}));
}

TEST_CASE("a compensation refuses coefficients that are missing or not finite") {
  CHECK(message_of([] { CompensateFilter(Compensate{}); }) ==
        "compensation: no coefficients; a row for each power of the value is needed");
  CHECK(message_of([] {
          CompensateFilter(Compensate{{{1.0}, {}}});
        }) == "compensation: row 1 is empty; at least one coefficient is needed");
  CHECK(message_of([] {
          CompensateFilter(Compensate{{{1.0, infinity}}});
        }) == "compensation: coefficient 1 of row 0 is inf; it must be finite");
}

}  // namespace
}  // namespace spillway
