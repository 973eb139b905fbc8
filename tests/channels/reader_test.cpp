#include "spillway/channels/reader.hpp"

#include <array>
#include <chrono>
#include <thread>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace std::chrono_literals;
using test::contains;
using test::make_info;
using test::message_of;
using test::payload;

namespace {

// A stream of one int32 channel whose values are their sample numbers.
struct Numbered {
  explicit Numbered(std::uint64_t capacity = 1000, std::optional<Rate> rate = Rate(1000, 1),
                    std::uint64_t marks = 64, bool follow = true)
      : stream([&] {
          StreamInfo info = make_info({SampleType::int32}, capacity, rate);
          info.mark_capacity = SampleCount{marks};
          info.follow_stamps = follow;
          return info;
        }()),
        writer(stream) {}

  void push(std::uint64_t count) {
    for (; count > 0; --count) writer.push(static_cast<std::int32_t>(writer.next().value));
  }
  void push_at(std::initializer_list<std::int64_t> times) {
    for (const std::int64_t t : times) {
      const auto value = static_cast<std::int32_t>(writer.next().value);
      const Time time(t);
      writer.push(std::span(&value, 1), std::span(&time, 1));
    }
  }
  Reader<std::int32_t> reader(std::size_t frames = 4096) const {
    return Reader<std::int32_t>(stream, frames);
  }

  Stream stream;
  Writer<std::int32_t> writer;
};

using Samples = Reader<std::int32_t>::Samples;

void check_values(const Samples& samples) {
  CHECK(samples.from + samples.lost + samples.missing == samples.first);
  CHECK(samples.values.size() == samples.count.value);
  CHECK(samples.quality.size() == samples.count.value);
  for (std::size_t i = 0; i < samples.values.size(); ++i)
    REQUIRE(samples.values[i] == static_cast<std::int32_t>(samples.first.value + i));
}

}  // namespace

TEST_CASE("an empty stream reads as drained, with or without a writer") {
  Stream stream(make_info({SampleType::int32}, 100));
  Reader<std::int32_t> reader(stream);
  for (int i = 0; i < 2; ++i) {
    const auto samples = reader.read();
    CHECK(samples.count == SampleCount{0});
    CHECK(samples.stop == Stop::drained);
    CHECK_FALSE(samples.new_segment);
    CHECK(reader.accounting() == Accounting{});
  }
  Writer<std::int32_t> writer(stream);
  CHECK(reader.read().stop == Stop::drained);
  writer.push(7);
  const auto samples = reader.read();
  REQUIRE(samples.count == SampleCount{1});
  CHECK(samples.values[0] == 7);
  CHECK_FALSE(samples.new_segment);
}

TEST_CASE("a read gives what fits, from the cursor on, and says why it stopped") {
  Numbered s;
  auto reader = s.reader(10);
  s.push(25);
  for (const std::uint64_t first : {0U, 10U, 20U}) {
    const auto samples = reader.read();
    check_values(samples);
    CHECK(samples.first == SampleNumber{first});
    CHECK(samples.row == first);
    CHECK(samples.time == Time(first * 1'000'000));
    CHECK(samples.count.value == (first == 20 ? 5 : 10));
    CHECK(samples.stop == (first == 20 ? Stop::drained : Stop::full));
  }
  CHECK(reader.next() == SampleNumber{25});
  CHECK(reader.accounting() == Accounting{{25}, {25}, {0}, {0}, {0}});
}

TEST_CASE("a gap ends a read, and the next one tells its size and cause") {
  Numbered s;
  auto reader = s.reader();
  s.push(10);
  s.writer.gap({5}, GapCause::upstream);
  s.push(10);
  auto samples = reader.read();
  check_values(samples);
  CHECK(samples.count == SampleCount{10});
  CHECK(samples.stop == Stop::gap);
  CHECK(samples.missing == SampleCount{0});
  samples = reader.read();
  check_values(samples);
  CHECK(samples.from == SampleNumber{10});
  CHECK(samples.missing == SampleCount{5});
  CHECK(samples.cause == GapCause::upstream);
  CHECK(samples.new_segment);
  CHECK(samples.first == SampleNumber{15});
  CHECK(samples.row == 10);
  CHECK(samples.time == 15ms);
  CHECK(samples.count == SampleCount{10});
  CHECK(reader.accounting() == Accounting{{25}, {20}, {0}, {5}, {0}});
}

TEST_CASE("gaps at one position add up where they have one cause, and stay apart where not") {
  Numbered s;
  auto reader = s.reader();
  s.push(3);
  s.writer.gap({1});
  s.writer.gap({2});
  s.writer.gap({4}, GapCause::upstream);
  s.writer.gap({8}, GapCause::upstream);
  s.writer.gap({16});
  s.push(3);
  CHECK(reader.read().stop == Stop::gap);
  auto samples = reader.read();
  CHECK(samples.missing == SampleCount{3});
  CHECK(samples.cause == GapCause::source);
  CHECK(samples.count == SampleCount{0});
  CHECK(samples.stop == Stop::gap);
  samples = reader.read();
  CHECK(samples.missing == SampleCount{12});
  CHECK(samples.cause == GapCause::upstream);
  CHECK(samples.stop == Stop::gap);
  samples = reader.read();
  check_values(samples);
  CHECK(samples.missing == SampleCount{16});
  CHECK(samples.cause == GapCause::source);
  CHECK(samples.count == SampleCount{3});
  CHECK(reader.accounting() == Accounting{{37}, {6}, {0}, {31}, {0}});
}

TEST_CASE("a gap at the start and a gap at the end are told as soon as they are known") {
  Numbered s;
  auto reader = s.reader();
  s.writer.gap({7});
  CHECK(reader.accounting() == Accounting{{7}, {0}, {0}, {0}, {7}});
  auto samples = reader.read();
  CHECK(samples.missing == SampleCount{7});
  CHECK(samples.count == SampleCount{0});
  CHECK(samples.first == SampleNumber{7});
  s.push(2);
  s.writer.gap({3});
  samples = reader.read();
  check_values(samples);
  CHECK(samples.count == SampleCount{2});
  CHECK(samples.stop == Stop::gap);
  samples = reader.read();
  CHECK(samples.missing == SampleCount{3});
  CHECK(samples.count == SampleCount{0});
  CHECK(samples.stop == Stop::drained);
  CHECK(reader.accounting() == Accounting{{12}, {2}, {0}, {10}, {0}});
  s.push(1);
  samples = reader.read();
  check_values(samples);
  CHECK(samples.first == SampleNumber{12});
}

TEST_CASE("the last `capacity` samples are always readable, whatever the blocks") {
  for (const std::uint64_t capacity : {1U, 2U, 7U, 64U, 100U, 511U, 512U, 1000U, 8192U}) {
    for (const std::uint64_t largest : {1U, 3U, 64U, 1000U}) {
      StreamInfo info = make_info({SampleType::int8}, capacity);
      info.largest_block = SampleCount{largest};
      Stream stream(info);
      Writer<std::int8_t> writer(stream);
      Block block(info, capacity);
      test::Random random(capacity * 1000 + largest);
      INFO("capacity " << capacity << ", largest block " << largest);
      for (int round = 0; round < 60; ++round) {
        // Now and then far beyond the largest block.
        const std::uint64_t count = 1 + test::below(random, round % 4 == 0 ? 3 * largest : largest);
        std::vector<std::int8_t> values;
        for (std::uint64_t i = 0; i < count; ++i)
          values.push_back(payload<std::int8_t>(writer.next().value + i, 0));
        writer.push(values);
        const std::uint64_t head = writer.next().value;
        StreamReader reader(stream);
        REQUIRE(reader.next().value <= head - std::min(head, capacity));
        reader.seek_latest({capacity});
        REQUIRE(reader.next().value == head - std::min(head, capacity));
        const Chunk chunk = reader.read(block);
        REQUIRE(chunk.lost == SampleCount{0});
        REQUIRE(chunk.count.value == std::min(head, capacity));
        for (std::uint64_t i = 0; i < chunk.count.value; ++i)
          REQUIRE(block.values<std::int8_t>(0)[i] ==
                  payload<std::int8_t>(chunk.first.value + i, 0));
      }
    }
  }
}

TEST_CASE("a reader that comes late loses exactly what was overwritten, before the gap behind it") {
  Numbered s(100);
  auto reader = s.reader();
  s.push(50);
  s.writer.gap({10});
  s.push(5000);
  auto samples = reader.read();
  CHECK(samples.from == SampleNumber{0});
  CHECK(samples.lost == SampleCount{50});
  CHECK(samples.missing == SampleCount{10});
  CHECK(samples.count == SampleCount{0});
  CHECK(samples.stop == Stop::overwritten);
  CHECK_FALSE(samples.mixed);
  samples = reader.read();
  check_values(samples);
  CHECK(samples.from == SampleNumber{60});
  CHECK(samples.lost.value > 0);
  CHECK(samples.new_segment);
  CHECK(samples.count.value >= 100);
  CHECK(samples.lost + samples.count == SampleCount{5000});
  CHECK(samples.first + samples.count == SampleNumber{5060});
  CHECK(reader.accounting() ==
        Accounting{{5060}, samples.count, SampleCount{5050 - samples.count.value}, {10}, {0}});
}

TEST_CASE("more marks than are kept: losses and gaps stay exact, and `mixed` tells") {
  Numbered s(1000, Rate(1000, 1), 2);
  auto reader = s.reader();
  for (int i = 0; i < 40; ++i) {
    s.push(1);
    s.writer.gap({3});
  }
  s.push(1);
  std::uint64_t lost = 0;
  std::uint64_t missing = 0;
  std::uint64_t delivered = 0;
  bool mixed = false;
  for (int i = 0; i < 100 && reader.accounting().pending.value > 0; ++i) {
    const auto samples = reader.read();
    check_values(samples);
    lost += samples.lost.value;
    missing += samples.missing.value;
    delivered += samples.count.value;
    mixed = mixed || samples.mixed;
    if (samples.mixed) CHECK(samples.new_segment);
  }
  CHECK(mixed);
  CHECK(lost > 0);
  CHECK(delivered > 0);
  CHECK(lost + delivered == 41);
  CHECK(missing == 120);
  CHECK(reader.accounting() == Accounting{{161}, {delivered}, {lost}, {120}, {0}});
}

TEST_CASE("as many marks as asked for stay readable to a reader that was overrun") {
  for (const std::uint64_t marks : {2U, 3U, 7U, 15U, 31U, 63U, 64U, 255U}) {
    Numbered s(100'000, Rate(1000, 1), marks);
    auto reader = s.reader();
    for (std::uint64_t i = 0; i < 10 * marks; ++i) {
      s.push(1);
      s.writer.gap({1});
    }
    s.push(1);
    std::uint64_t delivered = 0;
    for (std::uint64_t i = 0; i < 30 * marks && reader.accounting().pending.value > 0; ++i)
      delivered += reader.read().count.value;
    INFO("mark capacity " << marks);
    CHECK(delivered >= marks);
    CHECK(reader.accounting().pending == SampleCount{0});
  }
}

TEST_CASE("the first stamp sets the clock, to the nanosecond, wherever it comes") {
  const auto clocks_of = [](std::uint64_t pushed, std::uint64_t missing, Time stamp, bool follow) {
    Numbered s(1000, Rate(1000, 1), 64, follow);
    auto reader = s.reader();
    s.push(pushed);
    s.writer.gap({missing});
    s.writer.stamp({stamp});
    s.push(5);
    Samples samples = reader.read();
    while (samples.first.value + samples.count.value < s.writer.next().value)
      samples = reader.read();
    check_values(samples);
    CHECK(samples.clock_sample == SampleNumber{pushed + missing});
    CHECK(samples.clock_time == stamp);
    CHECK(samples.time == stamp);
    CHECK(samples.new_segment);
  };
  for (const bool follow : {true, false}) {
    clocks_of(0, 0, Time(123'456'789'012'345'678), follow);
    clocks_of(0, 0, Time(-7), follow);
    clocks_of(0, 4, Time(1s), follow);
    clocks_of(9, 0, Time(9ms) + Time(13), follow);
    clocks_of(9, 2, Time(3s), follow);
  }
}

TEST_CASE("a deviation beyond half a period makes a time step, a smaller one does not") {
  for (const std::int64_t deviation :
       {0L, 499'999L, -500'000L, 500'000L, 500'001L, -500'001L, 1'000'000'000L, -7'000'000L}) {
    for (const bool follow : {true, false}) {
      Numbered s(1000, Rate(1000, 1), 64, follow);
      auto reader = s.reader();
      s.writer.stamp({Time(1s)});
      s.push(10);
      const Time stamp = Time(1s) + 10ms + Time(deviation);
      s.writer.stamp({stamp, 77});
      s.push(10);
      const auto before = reader.read();
      check_values(before);
      CHECK(before.time == 1s);
      const bool steps = follow && std::abs(deviation) > 500'000;
      INFO("deviation " << deviation << ", follow " << follow);
      CHECK(before.count.value == (steps ? 10 : 20));
      if (steps) {
        CHECK(before.stop == Stop::time_step);
        const auto after = reader.read();
        check_values(after);
        CHECK(after.new_segment);
        CHECK(after.time == stamp);
        CHECK(after.clock_sample == SampleNumber{10});
        CHECK(after.missing == SampleCount{0});
      }
      // Whatever the clock does, the stamp is kept as it was given.
      std::array<Anchor, 4> anchors;
      REQUIRE(reader.read_anchors(anchors) == 2);
      CHECK(anchors[0].sample == SampleNumber{0});
      CHECK(anchors[1].sample == SampleNumber{10});
      CHECK(anchors[1].time == stamp);
      CHECK(anchors[1].ticks == 77);
    }
  }
}

TEST_CASE("gaps and calibration changes leave the clock alone, so rounding never adds up") {
  Numbered s(100'000, Rate(Hertz{62.4725}), 1000);
  auto reader = s.reader(7);
  s.writer.stamp({Time(5)});
  test::Random random(13);
  for (int i = 0; i < 300; ++i) {
    s.push(1 + test::below(random, 20));
    s.writer.gap({test::below(random, 3) * test::below(random, 1000)});
    if (i % 7 == 0) s.writer.calibrate(0, Linear{static_cast<double>(i), 0.0});
  }
  s.push(1);
  while (reader.accounting().pending.value > 0) {
    const auto samples = reader.read();
    check_values(samples);
    REQUIRE(samples.lost == SampleCount{0});
    REQUIRE(samples.clock_sample == SampleNumber{0});
    REQUIRE(samples.time == Time(5) + Rate(24989, 400).duration(samples.first.value));
  }
}

TEST_CASE("stamps that were overwritten before they were read are counted") {
  Numbered s;
  auto reader = s.reader();
  constexpr std::uint64_t stamps = 1000;
  for (std::uint64_t i = 0; i < stamps; ++i) {
    s.push(1);
    s.writer.stamp({Time(static_cast<std::int64_t>(i) * 1'000'000), i * i});
  }
  std::array<Anchor, 5> anchors;
  std::uint64_t read = 0;
  while (const std::size_t n = reader.read_anchors(anchors)) {
    for (std::size_t i = 0; i < n; ++i, ++read) {
      const std::uint64_t index = reader.anchors_lost() + read;
      REQUIRE(anchors[i].sample == SampleNumber{index + 1});
      REQUIRE(anchors[i].ticks == index * index);
      REQUIRE(anchors[i].time == Time(index * 1'000'000));
    }
  }
  CHECK(read >= 64);
  CHECK(reader.anchors_lost() > 0);
  CHECK(read + reader.anchors_lost() == stamps);
}

TEST_CASE("irregular: a time that does not increase ends a read and begins a segment") {
  Numbered s(1000, std::nullopt);
  auto reader = s.reader();
  s.push_at({10, 20, 30, 25, 26, 26});
  const std::vector<std::vector<std::int64_t>> expected{{10, 20, 30}, {25, 26}, {26}};
  for (std::size_t k = 0; k < expected.size(); ++k) {
    const auto samples = reader.read();
    check_values(samples);
    REQUIRE(samples.times.size() == expected[k].size());
    for (std::size_t i = 0; i < expected[k].size(); ++i)
      CHECK(samples.times[i].count() == expected[k][i]);
    CHECK(samples.time == samples.times[0]);
    CHECK(samples.new_segment == (k > 0));
    CHECK(samples.stop == (k == 2 ? Stop::drained : Stop::time_step));
    CHECK(samples.quality[0].is_good() == (k == 0));
    for (std::size_t i = 1; i < samples.quality.size(); ++i) CHECK(samples.quality[i].is_good());
  }
}

TEST_CASE("a calibration change ends a read, on the exact sample") {
  Numbered s;
  auto reader = s.reader();
  s.push(4);
  s.writer.calibrate(0, Linear{2.0, 0.0});
  s.push(4);
  s.writer.calibrate(0, Linear{2.0, 0.0});  // no change
  s.push(4);
  auto samples = reader.read();
  check_values(samples);
  CHECK(samples.count == SampleCount{4});
  CHECK(samples.stop == Stop::calibration);
  CHECK(samples.calibrations == CalibrationSetId{0});
  samples = reader.read();
  check_values(samples);
  CHECK(samples.count == SampleCount{8});
  CHECK_FALSE(samples.new_segment);
  CHECK(reader.calibrations(samples.calibrations) == CalibrationSet{Linear{2.0, 0.0}});
}

TEST_CASE("seeking by number finds the sample, or the first one after it") {
  Numbered s(100);
  s.push(20);
  s.writer.gap({10});
  s.push(20);
  s.writer.gap({5});
  s.push(20);
  s.writer.gap({2});
  auto reader = s.reader();
  const auto seek = [&](std::uint64_t n) {
    const SampleNumber next = reader.seek(SampleNumber{n});
    CHECK(next == reader.next());
    return next.value;
  };
  for (std::uint64_t n = 0; n < 90; ++n) {
    const std::uint64_t expected = n >= 20 && n < 30   ? 30
                                   : n >= 50 && n < 55 ? 55
                                   : n >= 75           ? 77
                                                       : n;
    REQUIRE(seek(n) == expected);
    CHECK(reader.accounting().produced.value == 77 - expected);
    const auto samples = reader.read();
    check_values(samples);
    CHECK(samples.from == SampleNumber{expected});
    CHECK(samples.missing == SampleCount{0});
    CHECK(samples.lost == SampleCount{0});
  }
  CHECK(seek(~std::uint64_t{0}) == 77);
  s.push(1000);
  const std::uint64_t oldest = seek(0);
  CHECK(oldest > 77);
  CHECK(oldest <= 977);
  CHECK(seek(oldest - 1) == oldest);
  CHECK(reader.read().lost == SampleCount{0});
  reader.seek_oldest();
  CHECK(reader.next() == SampleNumber{oldest});
  reader.seek_latest({10});
  CHECK(reader.next() == SampleNumber{1067});
  reader.seek_latest();
  CHECK(reader.next() == SampleNumber{1077});
  CHECK(reader.accounting() == Accounting{});
  reader.seek_latest({1'000'000});
  CHECK(reader.next() == SampleNumber{oldest});
}

TEST_CASE("seeking by time finds the first sample that is not earlier") {
  // 360 Hz: the periods are no whole nanoseconds.
  for (const Rate& rate : {Rate(1000, 1), Rate(360, 1), Rate(24989, 100), Rate(4'000'000'000, 1)}) {
    Numbered s(1000, rate);
    const Time start(1'000'000'007);
    s.writer.stamp({start});
    s.push(50);
    s.writer.gap({30});
    s.push(50);
    auto reader = s.reader();
    const auto time_of = [&](std::uint64_t n) { return start + rate.duration(n); };
    for (std::uint64_t n = 0; n < 130; ++n)
      for (const std::int64_t off : {-1, 0, 1}) {
        const Time wanted = time_of(n) + Time(off);
        std::uint64_t expected = 0;
        while (expected < 130 && (time_of(expected) < wanted || (expected >= 50 && expected < 80)))
          ++expected;
        INFO(rate.samples() << "/" << rate.seconds() << " Hz, sample " << n << " " << off << " ns");
        REQUIRE(reader.seek(wanted).value == expected);
      }
    CHECK(reader.seek(Time::min()) == SampleNumber{0});
    CHECK(reader.seek(Time::max()) == SampleNumber{130});
    CHECK(reader.seek(Time(0)) == SampleNumber{0});
    CHECK(reader.seek(std::chrono::hours(24 * 365 * 100)) == SampleNumber{130});
  }
}

TEST_CASE("seeking by time never lands on an earlier sample, even after the clock was set back") {
  Numbered s(100);
  s.writer.stamp({Time(0)});
  s.push(1000);
  s.writer.stamp({Time(0)});
  s.push(600);
  auto reader = s.reader();
  // The samples of the first segment that had these times are overwritten.
  CHECK(reader.seek(Time(950ms)) == SampleNumber{1600});
  CHECK(reader.seek(Time(550ms)) == SampleNumber{1550});
  const auto samples = reader.read();
  check_values(samples);
  CHECK(samples.time == 550ms);
}

TEST_CASE("irregular: seeking by time goes by the times of the samples") {
  Numbered s(100, std::nullopt);
  s.push_at({10, 20, 40, 80, 30, 90});
  auto reader = s.reader();
  for (const auto& [time, number] :
       {std::pair<int, std::uint64_t>{0, 0}, {10, 0}, {11, 1}, {40, 2}, {41, 3}, {81, 5}, {91, 6}})
    CHECK(reader.seek(Time(time)) == SampleNumber{number});
}

TEST_CASE("a reader of one type is refused where there are several channels or another type") {
  Stream two(make_info({SampleType::int16, SampleType::int16}, 100));
  Stream other(make_info({SampleType::int32}, 100));
  for (const Stream* stream : {&two, &other}) {
    const std::string message = message_of([&] { Reader<std::int16_t> reader(*stream); });
    CHECK(contains(message, "'stream'"));
    CHECK(contains(message, "int16"));
  }
}

TEST_CASE("waiting returns when enough is there or the time is over") {
  Numbered s;
  auto reader = s.reader();
  s.push(5);
  CHECK(reader.wait({5}, Spin{}, 0ns));
  CHECK(reader.wait({5}, Yield{}, 0ns));
  CHECK(reader.wait({0}, Sleep{}, 0ns));
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(reader.wait({6}, Sleep{1ms}, 5ms));
  CHECK_FALSE(reader.wait({6}, Spin{}, 1ms));
  CHECK_FALSE(reader.wait({6}, Yield{}, 1ms));
  CHECK(std::chrono::steady_clock::now() - begin >= 7ms);
  std::thread later([&] {
    std::this_thread::sleep_for(2ms);
    s.push(1);
  });
  const bool came = reader.wait({6}, Sleep{100us}, 60s);
  later.join();
  CHECK(came);
}

TEST_CASE("a clock that is set applies from the next sample on, and counts from its own") {
  Numbered s;
  auto reader = s.reader();
  s.writer.set_clock({0}, 1s);
  s.push(10);
  s.writer.set_clock({0}, 1s);  // no change
  s.push(10);
  s.writer.set_clock({15}, 5s);
  // Counts as the first stamp, so that a small deviation is none.
  s.writer.stamp({Time(5s) + 5ms + 100us});
  s.push(10);
  auto samples = reader.read();
  check_values(samples);
  CHECK(samples.count == SampleCount{20});
  CHECK(samples.time == 1s);
  CHECK(samples.new_segment);
  CHECK(samples.stop == Stop::time_step);
  samples = reader.read();
  check_values(samples);
  CHECK(samples.new_segment);
  CHECK(samples.clock_sample == SampleNumber{15});
  CHECK(samples.time == 5s + 5ms);
  CHECK(reader.seek(Time(5s) + 6ms) == SampleNumber{21});
}
