#include "spillway/channels/duration_histogram.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace spillway;
using std::chrono::nanoseconds;

TEST_CASE("a quantile of durations is at most a bucket above the true one") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  DurationHistogram histogram;
  std::vector<std::int64_t> all;
  for (int i = 0; i < 20'000; ++i) {
    all.push_back(static_cast<std::int64_t>(random() >> (25 + random() % 38)));
    histogram.add(nanoseconds(all.back()));
  }
  std::ranges::sort(all);
  const DurationHistogram::Snapshot now = histogram.snapshot();
  CHECK(now.count == all.size());
  CHECK(now.longest.count() == all.back());
  std::int64_t sum = 0;
  for (const std::int64_t ns : all) sum += ns;
  CHECK(now.sum.count() == sum);
  for (const double share : {0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    CAPTURE(share);
    const auto rank =
        static_cast<std::size_t>(std::max(1.0, std::ceil(share * static_cast<double>(all.size()))));
    const std::int64_t exact = all[rank - 1];
    const std::int64_t found = now.quantile(share).count();
    CHECK(found >= exact);
    CHECK(static_cast<double>(found) <= static_cast<double>(exact) * 1.125);
  }
}

TEST_CASE("durations beyond the last bucket, and negative ones, are counted") {
  DurationHistogram histogram;
  CHECK(histogram.snapshot().quantile(0.5) == nanoseconds(0));
  histogram.add(nanoseconds(-5));
  CHECK(histogram.snapshot().quantile(1.0) == nanoseconds(0));
  histogram.add(nanoseconds::max());
  CHECK(histogram.snapshot().count == 2);
  CHECK(histogram.snapshot().quantile(1.0) == nanoseconds::max());
  CHECK(histogram.snapshot().quantile(0.5) == nanoseconds(0));
}

TEST_CASE("a histogram can be looked at while it is filled") {
  DurationHistogram histogram;
  std::thread writer([&] {
    for (int i = 0; i < 100'000; ++i) histogram.add(nanoseconds(i));
  });
  std::uint64_t before = 0;
  bool grows = true;
  while (before < 100'000) {
    const std::uint64_t now = histogram.snapshot().count;
    grows = grows && now >= before;
    before = now;
  }
  writer.join();
  CHECK(grows);
}
