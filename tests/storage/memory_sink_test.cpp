#include "spillway/storage/memory_sink.hpp"

#include <array>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {

using test::contains;
using test::drain;
using test::make_info;
using test::message_of;
using test::recording_of;

TEST_CASE("MemorySink: values, quality, numbers and times of a regular stream") {
  Stream stream(make_info({SampleType::int16, SampleType::float64}, 4096, Rate(360, 1)));
  StreamWriter writer(stream);
  StreamReader reader(stream);
  MemorySink sink;
  sink.begin(recording_of({stream.info()}, "a run"));

  const std::array<std::int16_t, 4> a{1, -2, 3, -4};
  const std::array<double, 4> b{0.1, 0.2, 0.3, 0.4};
  const std::array<Quality, 4> q{Quality{}, Quality(Verdict::bad, Quality::missing), Quality{},
                                 Quality{}};
  const std::array<const void*, 2> lanes{a.data(), b.data()};
  const std::array<const Quality*, 2> quality{q.data(), q.data()};
  writer.stamp({Time(1000), 77});
  writer.push_lanes(lanes, {4}, quality);
  writer.gap({3});
  writer.push_lanes(lanes, {4});
  drain(reader, sink, 3);

  CHECK(sink.info().title == "a run");
  const auto shorts = sink.values<std::int16_t>(0, 0);
  CHECK(std::vector(shorts.begin(), shorts.end()) ==
        std::vector<std::int16_t>{1, -2, 3, -4, 1, -2, 3, -4});
  const auto doubles = sink.values<double>(0, 1);
  CHECK(std::vector(doubles.begin(), doubles.end()) ==
        std::vector<double>{0.1, 0.2, 0.3, 0.4, 0.1, 0.2, 0.3, 0.4});
  CHECK(sink.bytes(0, 0).size() == 16);
  REQUIRE(sink.quality(0, 1).size() == 8);
  CHECK(sink.quality(0, 1)[1] == q[1]);
  CHECK(sink.quality(0, 1)[5].is_good());
  CHECK(sink.sample_numbers(0) ==
        std::vector<SampleNumber>{{0}, {1}, {2}, {3}, {7}, {8}, {9}, {10}});
  const std::vector<Time> times = sink.times(0);
  REQUIRE(times.size() == 8);
  CHECK(times[0] == Time(1000));
  CHECK(times[1] == Time(1000 + 2'777'778));
  CHECK(times[4] == Time(1000 + 19'444'444));
  CHECK(sink.segments(0).size() == 2);
  CHECK(sink.gaps(0) == std::vector<Gap>{{4, 3, 0, 3, Absence::missing}});
  CHECK(sink.gaps(0).size() == 1);  // looking takes nothing away
  CHECK(sink.counts(0) == RecordedCounts{11, 8, 0, 3});
  REQUIRE(sink.anchors(0).size() == 1);
  CHECK(sink.anchors(0)[0].ticks == 77);
  REQUIRE(sink.calibrations(0).size() == 1);
  CHECK(sink.calibrations(0)[0].calibrations.size() == 2);
  CHECK(sink.bytes_written() == 8 * (2 + 8 + 2));
}

TEST_CASE("MemorySink: an irregular stream keeps its own times") {
  Stream stream(make_info({SampleType::float32}, 4096, std::nullopt));
  Writer<float> writer(stream);
  StreamReader reader(stream);
  MemorySink sink;
  sink.begin(recording_of({stream.info()}));
  const std::array<float, 3> values{1.5F, 2.5F, 3.5F};
  const std::array<Time, 3> times{Time(-5), Time(0), Time(123456789012345)};
  writer.push(values, times);
  drain(reader, sink);
  CHECK(sink.times(0) == std::vector<Time>(times.begin(), times.end()));
  CHECK(sink.values<float>(0, 0)[2] == 3.5F);
}

TEST_CASE("MemorySink: several streams are kept apart") {
  StreamInfo second = make_info({SampleType::uint8});
  second.name = "second";
  Stream stream_a(make_info({SampleType::uint8}));
  Stream stream_b(second);
  Writer<std::uint8_t> writer_a(stream_a);
  Writer<std::uint8_t> writer_b(stream_b);
  StreamReader reader_a(stream_a);
  StreamReader reader_b(stream_b);
  MemorySink sink;
  sink.begin(recording_of({stream_a.info(), stream_b.info()}));
  writer_a.push(1);
  writer_b.push(2);
  writer_b.push(3);
  Block block(second, 8);
  const Chunk b = reader_b.read(block);
  sink.append(1, b, block, reader_b.calibrations(b.calibrations));
  const Chunk a = reader_a.read(block);
  sink.append(0, a, block, reader_a.calibrations(a.calibrations));
  CHECK(sink.values<std::uint8_t>(0, 0).size() == 1);
  CHECK(sink.values<std::uint8_t>(1, 0).size() == 2);
  CHECK(sink.values<std::uint8_t>(1, 0)[1] == 3);
}

TEST_CASE("MemorySink: flushes are counted and the ending is kept") {
  MemorySink sink;
  sink.begin(recording_of({make_info({SampleType::int8})}));
  CHECK(sink.segments(0).empty());
  CHECK(sink.times(0).empty());
  CHECK_FALSE(sink.ending().has_value());
  sink.flush();
  sink.flush();
  sink.close({.complete = false, .reason = "the disk is full"});
  CHECK(sink.flushes() == 2);
  REQUIRE(sink.ending().has_value());
  CHECK_FALSE(sink.ending()->complete);
  CHECK(sink.ending()->reason == "the disk is full");
  CHECK(sink.name() == "memory");
}

TEST_CASE("MemorySink: wrong streams, channels and types are refused") {
  MemorySink sink;
  sink.begin(recording_of({make_info({SampleType::int8})}));
  CHECK(contains(message_of([&] { static_cast<void>(sink.counts(1)); }), "no stream 1"));
  CHECK(contains(message_of([&] { static_cast<void>(sink.quality(0, 1)); }), "no channel 1"));
  CHECK(contains(message_of([&] { static_cast<void>(sink.values<double>(0, 0)); }), "int8"));
}

}  // namespace spillway
