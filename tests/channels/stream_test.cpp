#include "spillway/channels/stream.hpp"

#include <array>
#include <atomic>
#include <thread>
#include <type_traits>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::contains;
using test::make_info;
using test::message_of;

static_assert(!std::is_copy_constructible_v<Stream> && !std::is_copy_assignable_v<Stream>);
static_assert(!std::is_move_constructible_v<Stream>);
static_assert(!std::is_copy_constructible_v<Writer<int>> &&
              !std::is_copy_assignable_v<Writer<int>>);
static_assert(!std::is_copy_constructible_v<StreamWriter>);
static_assert(std::is_nothrow_move_constructible_v<Writer<int>>);

namespace {
CalibrationSet set_of(double a, double b) { return {Linear{a, 0.0}, Linear{b, 1.0}}; }
}  // namespace

TEST_CASE("a stream refuses what check() refuses, and a calibration to another unit") {
  StreamInfo info = make_info({SampleType::int8}, 100);
  info.channels[0].name = "time";
  CHECK_THROWS_AS(Stream(info), Error);
  CHECK_THROWS_AS(Stream::memory_bytes(info), Error);
  info.channels[0].name = "c";
  info.channels[0].calibration = Linear{};
  info.channels[0].calibration.unit_out = "mm";
  const std::string message = message_of([&] { Stream stream(info); });
  CHECK(contains(message, "channel 'c' of stream 'stream'"));
  CHECK(contains(message, "'mm'"));
  CHECK(contains(message, "'V'"));
}

TEST_CASE("a stream has the capacity asked for and says what memory it takes") {
  StreamInfo info = make_info({SampleType::int8, SampleType::float64}, 1000);
  Stream stream(info);
  CHECK(stream.capacity() == SampleCount{1000});
  CHECK(stream.channel_count() == 2);
  // Values and a byte of quality for every sample, and not more than twice the
  // capacity with its block and stride, plus the marks.
  const std::uint64_t bytes = Stream::memory_bytes(info);
  CHECK(bytes >= 1000 * (1 + 8 + 2));
  CHECK(bytes <= 2 * (1000 + 64 + 1024) * (1 + 8 + 2) + 2 * 128 * 64 + 4096);
  StreamInfo irregular = info;
  irregular.rate.reset();
  CHECK(Stream::memory_bytes(irregular) >= bytes + 1000 * 8);
  StreamInfo in_time = info;
  in_time.capacity = Time(std::chrono::seconds(1));
  CHECK(Stream::memory_bytes(in_time) == bytes);
}

TEST_CASE("set 0 of the calibrations is the one of the channels") {
  StreamInfo info = make_info({SampleType::int8, SampleType::int8}, 100);
  info.channels[1].calibration = Linear{3.0, 1.0};
  Stream stream(info);
  CHECK(stream.calibrations({0}) == CalibrationSet{Calibration{}, Linear{3.0, 1.0}});
  CHECK(stream.add_calibrations({Calibration{}, Linear{3.0, 1.0}}) == CalibrationSetId{0});
}

TEST_CASE("equal sets have one id, different ones differ, and references stay valid") {
  Stream stream(make_info({SampleType::int8, SampleType::int8}, 100));
  std::vector<CalibrationSetId> ids;
  std::vector<const CalibrationSet*> found;
  for (int i = 0; i < 300; ++i) {
    ids.push_back(stream.add_calibrations(set_of(i, 1.0)));
    found.push_back(&stream.calibrations(ids.back()));
  }
  for (int i = 0; i < 300; ++i) {
    const auto at = static_cast<std::size_t>(i);
    CHECK(stream.add_calibrations(set_of(i, 1.0)) == ids[at]);
    CHECK(ids[at].value == at + 1);
    CHECK(&stream.calibrations(ids[at]) == found[at]);
    CHECK(*found[at] == set_of(i, 1.0));
  }
}

TEST_CASE("a set that does not fit the channels is refused and leaves nothing behind") {
  Stream stream(make_info({SampleType::int8, SampleType::int8}, 100));
  const std::string too_few = message_of([&] { stream.add_calibrations({Linear{}}); });
  CHECK(contains(too_few, "'stream'"));
  CHECK(contains(too_few, "1 calibrations for 2 channels"));
  const std::string no_coefficient = message_of([&] {
    stream.add_calibrations({Linear{}, Polynomial{}});
  });
  CHECK(contains(no_coefficient, "channel 'ch1'"));
  Calibration other_unit = Linear{};
  other_unit.unit_out = "A";
  CHECK(contains(message_of([&] { stream.add_calibrations({Linear{}, other_unit}); }), "'A'"));
  Calibration same_unit = Linear{};
  same_unit.unit_out = "V";
  CHECK(stream.add_calibrations({Linear{}, same_unit}) == CalibrationSetId{1});
}

TEST_CASE("calibrations are looked up while others add to them") {
  Stream stream(make_info({SampleType::int8, SampleType::int8}, 100));
  constexpr std::uint32_t sets = 400;
  std::atomic<std::uint32_t> newest{0};
  std::vector<std::thread> lookers;
  std::array<std::uint64_t, 2> wrong{};
  std::array<std::uint64_t, 2> looked{};
  for (std::size_t t = 0; t < wrong.size(); ++t)
    lookers.emplace_back([&, t] {
      test::Random random(t);
      for (;;) {
        const std::uint32_t last = newest.load(std::memory_order_acquire);
        if (last > 0) {
          const auto id = static_cast<std::uint32_t>(1 + test::below(random, last));
          if (stream.calibrations({id}) != set_of(id, 2.0)) ++wrong[t];
          ++looked[t];
        }
        if (last == sets) return;
      }
    });
  for (std::uint32_t i = 1; i <= sets; ++i) {
    const CalibrationSetId id = stream.add_calibrations(set_of(i, 2.0));
    newest.store(id.value, std::memory_order_release);
  }
  for (std::thread& looker : lookers) looker.join();
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    CHECK(wrong[t] == 0);
    CHECK(looked[t] > 0);
  }
}
