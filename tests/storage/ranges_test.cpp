#include "spillway/storage/ranges.hpp"

#include <algorithm>
#include <memory>
#include <random>

#include "random_recording.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

TEST_CASE("ranges by number and by time hold the rows that a look at every row finds") {
  std::uint64_t backwards = 0;
  for (std::uint64_t n = 0; n < soak(40); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    RandomRecording made(seed, RandomRecording::long_one, true);
    auto memory = std::make_shared<MemorySink>();
    made.run(memory.get(), [](const Extent&) {});
    const Recording from = Recording::of(memory);
    const RecordedStream& stream = from.streams()[0];
    const Truth::PerStream& truth = made.truth().streams[0];
    const std::vector<std::uint64_t>& numbers = truth.numbers;
    const std::vector<std::int64_t>& times = truth.times;
    backwards += std::is_sorted(times.begin(), times.end()) ? 0 : 1;
    // A number near one that is there, or a time.
    const auto near = [&](const auto& all) {
      using T = typename std::remove_reference_t<decltype(all)>::value_type;
      const T at = all.empty() ? T{50} : all[random() % all.size()];
      const auto off = static_cast<T>(random() % 3);
      if (random() % 3 == 0) return static_cast<T>(at + static_cast<T>(random() % 400));
      return static_cast<T>(at + off - (at > 0 ? 1 : 0));
    };
    for (int i = 0; i < 60; ++i) {
      const SampleRange by_number{{near(numbers)}, {near(numbers)}};
      CAPTURE(by_number.begin.value, by_number.end.value);
      const auto in = [&](std::uint64_t x) {
        return x >= by_number.begin.value && x < by_number.end.value;
      };
      const RowRange found = rows(stream, by_number);
      REQUIRE(found.begin <= found.end);
      REQUIRE(found.end <= numbers.size());
      CHECK(found.count() ==
            static_cast<std::uint64_t>(std::count_if(numbers.begin(), numbers.end(), in)));
      for (std::uint64_t row = found.begin; row < found.end; ++row) REQUIRE(in(numbers[row]));

      const TimeRange by_time{i % 5 == 0 ? Time::min() : Time(near(times)),
                              i % 5 == 1 ? Time::max() : Time(near(times))};
      CAPTURE(by_time.begin.count(), by_time.end.count());
      RowRange wanted;
      for (std::uint64_t row = 0; row < times.size(); ++row) {
        if (Time(times[row]) < by_time.begin || Time(times[row]) >= by_time.end) continue;
        if (wanted.end == 0) wanted.begin = row;
        wanted.end = row + 1;
      }
      CHECK(rows(from, 0, by_time) == wanted);

      const Time at(i == 0 ? std::int64_t{INT64_MAX} : i == 1 ? INT64_MIN : near(times));
      std::uint64_t last = times.size();
      for (std::uint64_t row = 0; row < times.size(); ++row)
        if (Time(times[row]) <= at) last = row;
      CAPTURE(at.count());
      CHECK(row_at(from, 0, at) == last);
    }
    CHECK(rows(stream, SampleRange{}) == RowRange{0, stream.rows});
    CHECK(rows(from, 0, TimeRange{}) == RowRange{0, stream.rows});
  }
  CHECK(backwards > 0);
}

TEST_CASE("pieces cover all rows, overlap as asked, and none is of rows before alone") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (std::uint64_t n = 0; n < soak(2'000); ++n) {
    RowRange all{random() % 100, 0};
    if (n % 10 == 0) all.begin = UINT64_MAX - 200;
    all.end = all.begin + random() % 200;
    const std::uint64_t length = 1 + random() % 50;
    const std::uint64_t overlap = random() % length;
    const auto cut = pieces(all, length, overlap);
    if (all.count() == 0) {
      CHECK(cut.empty());
      continue;
    }
    REQUIRE_FALSE(cut.empty());
    CHECK(cut.front().begin == all.begin);
    CHECK(cut.back().end == all.end);
    for (std::size_t i = 0; i < cut.size(); ++i) {
      CHECK(cut[i].count() <= length);
      if (i + 1 < cut.size()) CHECK(cut[i].count() == length);
      if (i == 0) continue;
      CHECK(cut[i].begin == cut[i - 1].begin + length - overlap);
      CHECK(cut[i].end > cut[i - 1].end);
    }
  }
  CHECK(pieces({0, UINT64_MAX}, UINT64_MAX).size() == 1);
  CHECK(contains(message_of([] { (void)pieces({0, 10}, 5, 5); }), "overlap"));
  CHECK(contains(message_of([] { (void)pieces({0, 10}, 0); }), "overlap"));
}
