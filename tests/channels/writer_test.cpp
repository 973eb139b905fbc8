#include "spillway/channels/writer.hpp"

#include <array>
#include <cstring>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::contains;
using test::make_info;
using test::message_of;
using test::payload;
using test::quality_of;

#define EVERY_TYPE                                                                    \
  std::int8_t, std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t, \
      std::uint32_t, std::uint64_t, float, double

namespace {

// Everything that one reader finds, sample by sample.
struct Found {
  SampleNumber number;
  std::vector<std::uint64_t> bits;  // of every channel
  std::vector<Quality> quality;
  Time time{};
  CalibrationSetId calibrations;
};
std::vector<Found> read_all(const Stream& stream, std::size_t frames = 50) {
  StreamReader reader(stream);
  Block block(stream.info(), frames);
  std::vector<Found> all;
  while (reader.accounting().pending.value > 0) {
    const Chunk chunk = reader.read(block);
    for (std::size_t i = 0; i < chunk.count.value; ++i) {
      Found found{{chunk.first.value + i}, {}, {}, {}, chunk.calibrations};
      for (std::size_t c = 0; c < block.channel_count(); ++c) {
        const std::size_t size = sample_size(block.type(c));
        std::uint64_t bits = 0;
        std::memcpy(&bits, block.bytes(c) + i * size, size);
        found.bits.push_back(bits);
        found.quality.push_back(block.quality(c)[i]);
      }
      if (block.has_times()) found.time = block.times()[i];
      all.push_back(std::move(found));
    }
  }
  return all;
}

template <class T>
std::uint64_t bits_of(T value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

}  // namespace

TEMPLATE_TEST_CASE("values come back bit for bit, pushed singly, in frames or by claim", "",
                   EVERY_TYPE) {
  using T = TestType;
  Stream stream(make_info({sample_type_of<T>()}, 2000));
  Writer<T> writer(stream);
  test::Random random(11);
  std::uint64_t n = 0;
  std::vector<Quality> expected;
  while (n < 1900) {
    const std::uint64_t count = test::below(random, 20);
    const Quality common =
        Quality::from_byte(static_cast<std::uint8_t>(test::below(random, 2) * random()));
    std::vector<T> values;
    std::vector<Quality> each;
    for (std::uint64_t i = 0; i < count; ++i) {
      values.push_back(payload<T>(n + i, 0));
      each.push_back(quality_of(n + i, 0));
    }
    switch (test::below(random, 5)) {
      case 0:
        for (const T value : values) writer.push(value, common);
        expected.insert(expected.end(), count, common);
        break;
      case 1:
        writer.push(values, common);
        expected.insert(expected.end(), count, common);
        break;
      case 2:
        writer.push(values);
        expected.insert(expected.end(), count, Quality::good());
        break;
      case 3: {
        const std::span<T> room = writer.claim(count);
        REQUIRE(room.size() == count);
        std::copy(values.begin(), values.end(), room.begin());
        writer.publish(room.size(), common);
        expected.insert(expected.end(), count, common);
        break;
      }
      default:
        writer.push(values, std::span<const Quality>(each));
        expected.insert(expected.end(), each.begin(), each.end());
    }
    n += count;
    REQUIRE(writer.next() == SampleNumber{n});
  }
  const auto found = read_all(stream);
  REQUIRE(found.size() == n);
  for (std::uint64_t i = 0; i < n; ++i) {
    REQUIRE(found[i].number == SampleNumber{i});
    REQUIRE(found[i].bits[0] == bits_of(payload<T>(i, 0)));
    REQUIRE(found[i].quality[0] == expected[i]);
  }
}

TEMPLATE_TEST_CASE("interleaved frames land in their channels", "", std::int8_t, std::int16_t,
                   float, double) {
  using T = TestType;
  constexpr std::size_t channels = 3;
  Stream stream(make_info(std::vector<SampleType>(channels, sample_type_of<T>()), 1000));
  Writer<T> writer(stream);
  // Longer than the largest block, so that the push is split.
  constexpr std::uint64_t frames = 777;
  std::vector<T> values;
  std::vector<Quality> quality;
  for (std::uint64_t n = 0; n < frames; ++n)
    for (std::size_t c = 0; c < channels; ++c) {
      values.push_back(payload<T>(n, c));
      quality.push_back(quality_of(n, c));
    }
  writer.push(values, std::span<const Quality>(quality));
  const auto found = read_all(stream);
  REQUIRE(found.size() == frames);
  for (std::uint64_t n = 0; n < frames; ++n)
    for (std::size_t c = 0; c < channels; ++c) {
      REQUIRE(found[n].bits[c] == bits_of(payload<T>(n, c)));
      REQUIRE(found[n].quality[c] == quality_of(n, c));
    }
}

TEST_CASE("planar lanes of mixed types land in their channels, with quality only where given") {
  Stream stream(make_info(
      {SampleType::int8, SampleType::float64, SampleType::uint16, SampleType::float32}, 1000));
  StreamWriter writer(stream);
  constexpr std::uint64_t count = 500;  // several blocks
  std::vector<std::int8_t> a;
  std::vector<double> b;
  std::vector<std::uint16_t> c;
  std::vector<float> d;
  std::vector<Quality> of_b;
  for (std::uint64_t n = 0; n < count; ++n) {
    a.push_back(payload<std::int8_t>(n, 0));
    b.push_back(payload<double>(n, 1));
    c.push_back(payload<std::uint16_t>(n, 2));
    d.push_back(payload<float>(n, 3));
    of_b.push_back(quality_of(n, 1));
  }
  const std::array<const void*, 4> lanes{a.data(), b.data(), c.data(), d.data()};
  const std::array<const Quality*, 4> quality{nullptr, of_b.data(), nullptr, nullptr};
  writer.push_lanes(lanes, {count}, quality);
  writer.push_lanes(lanes, {3});
  const auto found = read_all(stream);
  REQUIRE(found.size() == count + 3);
  for (std::uint64_t i = 0; i < found.size(); ++i) {
    const std::uint64_t n = i % count;
    REQUIRE(found[i].bits[0] == bits_of(a[n]));
    REQUIRE(found[i].bits[1] == bits_of(b[n]));
    REQUIRE(found[i].bits[2] == bits_of(c[n]));
    REQUIRE(found[i].bits[3] == bits_of(d[n]));
    REQUIRE(found[i].quality[0].is_good());
    REQUIRE(found[i].quality[1] == (i < count ? of_b[n] : Quality::good()));
    REQUIRE(found[i].quality[2].is_good());
  }
}

TEST_CASE("a claim is bounded by the largest block and private until published") {
  Stream stream(make_info({SampleType::int16, SampleType::int16}, 1000));
  Writer<std::int16_t> writer(stream);
  CHECK(writer.claim(10).size() == 20);
  CHECK(writer.claim(64).size() == 128);
  CHECK(writer.claim(1'000'000).size() == 128);
  StreamReader reader(stream);
  for (std::int16_t& v : writer.claim(64)) v = 7;
  CHECK(reader.pending() == SampleCount{0});
  // A driver that got less than it asked for publishes less.
  writer.publish(6);
  CHECK(reader.pending() == SampleCount{3});
}

TEST_CASE("a gap advances the number of the next sample and nothing else") {
  Stream stream(make_info({SampleType::int16}, 1000));
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  writer.gap({0});
  CHECK(writer.next() == SampleNumber{0});
  CHECK(reader.accounting().produced == SampleCount{0});
  writer.gap({5});
  CHECK(writer.next() == SampleNumber{5});
  CHECK(reader.pending() == SampleCount{0});
  CHECK(reader.accounting().produced == SampleCount{5});
  writer.push(std::int16_t{1});
  writer.gap({1});
  writer.gap({2}, GapCause::upstream);
  CHECK(writer.next() == SampleNumber{9});
  CHECK(reader.accounting() == Accounting{{9}, {0}, {0}, {0}, {9}});
}

TEST_CASE("a stream has one writer, for good") {
  Stream stream(make_info({SampleType::int16}, 100));
  {
    Writer<std::int16_t> writer(stream);
    CHECK(contains(message_of([&] { Writer<std::int16_t> second(stream); }), "'stream'"));
    Writer<std::int16_t> moved(std::move(writer));
    moved.push(std::int16_t{3});
    CHECK(moved.next() == SampleNumber{1});
  }
  CHECK(contains(message_of([&] { StreamWriter second(stream); }), "writer"));
  CHECK(read_all(stream).size() == 1);
}

TEST_CASE("a writer of another type is refused, and leaves the stream free for the right one") {
  Stream stream(make_info({SampleType::int16, SampleType::float32}, 100));
  const std::string message = message_of([&] { Writer<std::int16_t> writer(stream); });
  CHECK(contains(message, "channel 'ch1' of stream 'stream'"));
  CHECK(contains(message, "float32"));
  CHECK(contains(message, "int16"));
  CHECK(message_of([&] { StreamWriter writer(stream); }).empty());
}

TEST_CASE("a calibration set applies from exactly the next sample on") {
  Stream stream(make_info({SampleType::int16, SampleType::int16}, 1000));
  Writer<std::int16_t> writer(stream);
  test::Random random(12);
  std::vector<CalibrationSet> expected;
  CalibrationSet current(2);
  for (int i = 0; i < 40; ++i) {
    const std::size_t channel = test::below(random, 2);
    const Calibration next = Linear{static_cast<double>(test::below(random, 4)), 0.5};
    writer.calibrate(channel, next);
    current[channel] = next;
    const std::uint64_t frames = test::below(random, 9);
    const std::vector<std::int16_t> values(frames * 2, 1);
    writer.push(values);
    expected.insert(expected.end(), frames, current);
  }
  const auto found = read_all(stream);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    REQUIRE(stream.calibrations(found[i].calibrations) == expected[i]);
  const std::string message = message_of([&] { writer.calibrate(2, Linear{}); });
  CHECK(contains(message, "'stream'"));
  CHECK(contains(message, "no channel 2"));
  CHECK_THROWS_AS(writer.calibrate(0, Polynomial{}), Error);
}

TEST_CASE("irregular: a time that does not increase flags exactly that sample") {
  Stream stream(make_info({SampleType::int16, SampleType::int16}, 1000, std::nullopt));
  Writer<std::int16_t> writer(stream);
  const Quality late(Verdict::suspect, Quality::time_uncertain);
  const Quality own(Verdict::interpolated, Quality::missing);
  const std::vector<std::int64_t> ns{-5, -3, 10, 10, 11, 4, 5, 5, 5, 6};
  std::vector<Time> times;
  for (const std::int64_t t : ns) times.emplace_back(t);
  std::vector<std::int16_t> values(2 * times.size());
  std::vector<Quality> quality(2 * times.size(), own);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int16_t>(i);
  writer.push(values, times, std::span<const Quality>(quality));
  writer.push(values, times);
  const auto found = read_all(stream);
  REQUIRE(found.size() == 2 * ns.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    const std::size_t k = i % ns.size();
    const bool is_late = (i > 0) && ns[k] <= ns[(k + ns.size() - 1) % ns.size()];
    const Quality pushed = i < ns.size() ? own : Quality::good();
    INFO("sample " << i);
    CHECK(found[i].time.count() == ns[k]);
    for (std::size_t c = 0; c < 2; ++c) {
      CHECK(found[i].quality[c] == (is_late ? merge(pushed, late) : pushed));
      CHECK(found[i].bits[c] == 2 * k + c);
    }
  }
}

TEST_CASE("irregular: a frame without its time has that of the frame before, and says so") {
  Stream stream(make_info({SampleType::int16}, 1000, std::nullopt));
  Writer<std::int16_t> writer(stream);
  const std::array<std::int16_t, 3> values{1, 2, 3};
  const std::array<Time, 3> times{Time(100), Time(200), Time(300)};
  writer.push(values, times);
  writer.push(std::int16_t{4});
  writer.push(values, Quality(Verdict::bad, Quality::missing));
  const std::array<Time, 3> later{Time(301), Time(302), Time(303)};
  writer.push(values, later);
  const auto found = read_all(stream);
  REQUIRE(found.size() == 10);
  const Quality late(Verdict::suspect, Quality::time_uncertain);
  for (std::size_t i = 3; i < 7; ++i) CHECK(found[i].time == Time(300));
  CHECK(found[2].quality[0].is_good());
  CHECK(found[3].quality[0] == late);
  CHECK(found[5].quality[0] == merge(late, Quality(Verdict::bad, Quality::missing)));
  CHECK(found[7].quality[0].is_good());
  CHECK(found[7].time == Time(301));
  CHECK(found[3].bits[0] == 4);
}

TEST_CASE("irregular: planar lanes take their times too") {
  Stream stream(make_info({SampleType::int8, SampleType::float64}, 1000, std::nullopt));
  StreamWriter writer(stream);
  std::vector<std::int8_t> a(200, 1);
  std::vector<double> b(200, 2.0);
  std::vector<Time> times;
  for (std::int64_t i = 0; i < 200; ++i) times.emplace_back(i * i + 1);
  const std::array<const void*, 2> lanes{a.data(), b.data()};
  writer.push_lanes(lanes, {200}, {}, times);
  const auto found = read_all(stream);
  REQUIRE(found.size() == 200);
  for (std::size_t i = 0; i < 200; ++i) {
    REQUIRE(found[i].time == times[i]);
    REQUIRE(found[i].quality[0].is_good());
    REQUIRE(found[i].quality[1].is_good());
  }
}

TEST_CASE("the samples pushed are counted without the gaps") {
  Stream stream(make_info({SampleType::int16}, 100));
  Writer<std::int16_t> writer(stream);
  writer.gap({5});
  for (int i = 0; i < 300; ++i) writer.push(std::int16_t{1});
  writer.gap({5});
  CHECK(writer.pushed() == 300);
  CHECK(writer.next() == SampleNumber{310});
}

TEST_CASE("a batch becomes readable at its size, by a flush, and before anything else happens") {
  Stream stream(make_info({SampleType::int16}, 1000));
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  const auto readable = [&] { return reader.pending().value; };
  writer.batch(SampleCount{16});
  for (std::int16_t i = 0; i < 15; ++i) writer.push(i);
  CHECK(readable() == 0);
  CHECK(writer.pushed() == 15);
  CHECK(writer.next() == SampleNumber{15});
  SECTION("at its size") {
    writer.push(15);
    CHECK(readable() == 16);
  }
  SECTION("by a flush, and then again at a multiple of its size") {
    writer.flush();
    CHECK(readable() == 15);
    writer.push(15);
    CHECK(readable() == 16);
  }
  SECTION("before a gap, which stands where it was declared") {
    writer.gap(SampleCount{3});
    CHECK(readable() == 15);
    writer.push(15);
    writer.flush();
    const auto found = read_all(stream);
    REQUIRE(found.size() == 16);
    CHECK(found[14].number == SampleNumber{14});
    CHECK(found[15].number == SampleNumber{18});
  }
  SECTION("before a stamp") {
    writer.stamp({Time(7'000'000'000)});
    CHECK(readable() == 15);
  }
  SECTION("with a block") {
    const std::vector<std::int16_t> block{15, 16};
    writer.push(block);
    CHECK(readable() == 17);
  }
  SECTION("with the end of the batch") {
    writer.batch(SampleCount{1});
    CHECK(readable() == 15);
    writer.push(15);
    CHECK(readable() == 16);
  }
  SECTION("with the end of the writer, wherever it was moved to") {
    {
      Writer<std::int16_t> moved(std::move(writer));
      moved.push(15);
      moved.push(16);
      CHECK(readable() == 16);
    }
    CHECK(readable() == 17);
  }
}

TEST_CASE("a batch of an impossible size is refused") {
  Stream stream(make_info({SampleType::int16}, 1000));
  Writer<std::int16_t> writer(stream);
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{128}})
    CHECK(contains(message_of([&] { writer.batch(SampleCount{size}); }),
                   "allowed are powers of two up to 64"));
}
