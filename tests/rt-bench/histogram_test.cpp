#include "histogram.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "spillway/channels/error.hpp"
#include "support/catch.hpp"

using spillway::Error;
using spillway::bench::Histogram;

namespace {

// The smallest value that at least `share` of all do not exceed.
double sorted_quantile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  const double rank = std::ceil(share * static_cast<double>(values.size()));
  return values[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
}

}  // namespace

TEST_CASE("quantiles lie in the bucket of the sorted value they stand for") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    const auto size = std::uniform_int_distribution<std::size_t>(1, 2000)(random);
    const double spread = std::uniform_real_distribution<double>(0.0, 8.0)(random);
    std::lognormal_distribution<double> distribution(3.0, spread);
    Histogram histogram;
    std::vector<double> values(size);
    for (double& v : values) {
      v = std::min(distribution(random), 1e12);
      histogram.record(v);
    }
    REQUIRE(histogram.count() == size);
    REQUIRE(histogram.min() == *std::ranges::min_element(values));
    REQUIRE(histogram.max() == *std::ranges::max_element(values));
    for (const double share : {0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const Histogram::Bucket bucket = Histogram::bucket_of(sorted_quantile(values, share));
      const double quantile = histogram.quantile(share);
      CAPTURE(size, spread, share, quantile, bucket.low, bucket.high);
      REQUIRE(quantile >= bucket.low);
      REQUIRE(quantile < bucket.high);
    }
  }
}

TEST_CASE("buckets follow each other, and from 10 ps on are at most a sixty-fourth wide") {
  for (double ns = 0.01; ns < 1e12; ns *= 1.001) {
    const Histogram::Bucket bucket = Histogram::bucket_of(ns);
    REQUIRE(bucket.low <= ns);
    REQUIRE(ns < bucket.high);
    REQUIRE(bucket.high - bucket.low <= bucket.low / 64);
    REQUIRE(Histogram::bucket_of(bucket.high).low == bucket.high);
  }
}

TEST_CASE("what a clock can do wrong is counted too") {
  Histogram histogram;
  CHECK(histogram.quantile(0.5) == 0.0);
  for (const double ns : {-5.0, 0.0, std::nan(""), 1e300}) histogram.record(ns);
  CHECK(histogram.count() == 4);
  CHECK(histogram.min() == 0.0);
  CHECK(histogram.max() == 1e300);
}

TEST_CASE("two histograms added are the histogram of both") {
  Histogram a;
  Histogram b;
  Histogram both;
  for (int i = 1; i < 1000; ++i) {
    (i % 3 == 0 ? a : b).record(i * 0.37);
    both.record(i * 0.37);
  }
  a.add(b);
  a.add(Histogram());
  CHECK(a.count() == both.count());
  CHECK(a.min() == both.min());
  CHECK(a.max() == both.max());
  for (const double share : {0.01, 0.5, 0.99}) CHECK(a.quantile(share) == both.quantile(share));
}

TEST_CASE("a histogram is made from its buckets again, and from nothing else") {
  Histogram histogram;
  for (const double ns : {0.001, 18.5, 18.5, 19.0, 1e7}) histogram.record(ns);
  const auto buckets = histogram.buckets();
  REQUIRE(buckets.size() == 4);
  const Histogram again = Histogram::from(buckets, histogram.min(), histogram.max());
  CHECK(again.count() == 5);
  for (const double share : {0.0, 0.5, 1.0})
    CHECK(again.quantile(share) == histogram.quantile(share));

  CHECK_NOTHROW(Histogram::from({}, 0.0, 0.0));
  CHECK_THROWS_AS(Histogram::from(buckets, 5.0, histogram.max()), Error);
  CHECK_THROWS_AS(Histogram::from({buckets[1], buckets[0]}, 0.001, 18.5), Error);
  CHECK_THROWS_AS(Histogram::from({{18.501, 0.0, 3}}, 18.501, 18.501), Error);
  CHECK_THROWS_AS(Histogram::from({{std::nan(""), 0.0, 3}}, 1.0, 1.0), Error);
}
