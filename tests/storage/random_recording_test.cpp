// That recordings made up from a seed come back, and that the judge of them is not blind.
#include "random_recording.hpp"

#include <fmt/format.h>

#include "spillway/storage/recording.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

TEST_CASE("random recordings come back from HDF5 as they were appended") {
  std::uint64_t rows = 0;
  std::uint64_t gaps = 0;
  for (std::uint64_t n = 0; n < 10; ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    TemporaryDirectory directory;
    const SinkChoice choice =
        SinkChoice::random(SinkChoice::Format::hdf5, Durability::process, seed);
    RandomRecording made(seed, RandomRecording::long_one, false);
    const auto sink = choice.make(directory / "a.h5", system_file_calls());
    made.run(sink.get(), [](const Extent&) {});
    sink->close({});
    Expectation all;
    all.acknowledged = made.appended();
    all.all = true;
    CHECK(differences(Recording::open(directory / "a.h5"), made.truth(), all) == "");
    for (const Truth::PerStream& s : made.truth().streams) {
      rows += s.numbers.size();
      gaps += s.absent.size();
    }
    // The same without a sink.
    RandomRecording again(seed, RandomRecording::long_one, false);
    again.run(nullptr, [](const Extent&) {});
    CHECK(differences(Recording::open(directory / "a.h5"), again.truth(), all) == "");
  }
  WARN(fmt::format("{} rows, {} gaps", rows, gaps));
  CHECK(gaps > 100);
}

TEST_CASE("the judge of recordings sees every kind of difference") {
  TemporaryDirectory directory;
  RandomRecording made(3, RandomRecording::long_one, false);
  Extent halfway;
  {
    Hdf5Sink sink(directory / "a.h5", Existing::refuse);
    made.run(&sink, [&](const Extent& extent) {
      if (!halfway.begun) halfway = extent;
    });
    sink.close({});
  }
  const Recording recording = Recording::open(directory / "a.h5");
  Expectation all;
  all.acknowledged = made.appended();
  all.all = true;
  Expectation some;
  some.acknowledged = halfway;
  REQUIRE(differences(recording, made.truth(), all).empty());
  REQUIRE(differences(recording, made.truth(), some).empty());
  const auto seen = [&](const std::function<void(Truth&)>& change) {
    Truth other = made.truth();
    change(other);
    return !differences(recording, other, some).empty();
  };
  const auto stream = [](Truth& truth) -> Truth::PerStream& {
    for (Truth::PerStream& s : truth.streams)
      if (!s.numbers.empty() && !s.absent.empty()) return s;
    throw Error("the seed makes no such recording");
  };
  CHECK_FALSE(seen([](Truth&) {}));
  CHECK(seen([&](Truth& t) { stream(t).values[0][40] ^= std::byte{1}; }));
  CHECK(seen([&](Truth& t) { stream(t).quality[0][5] = Quality(Verdict::bad); }));
  CHECK(seen([&](Truth& t) { ++stream(t).numbers[7]; }));
  CHECK(seen([&](Truth& t) { ++stream(t).times[7]; }));
  CHECK(seen([&](Truth& t) { ++stream(t).absent[0].count; }));
  CHECK(seen([&](Truth& t) { stream(t).absent[0].cause = Absence::damaged; }));
  CHECK(seen([&](Truth& t) { stream(t).absent.pop_back(); }));
  CHECK(seen([&](Truth& t) { stream(t).numbers.pop_back(); }));
  CHECK(seen([&](Truth& t) { stream(t).calibrations.pop_back(); }));
  CHECK(seen([&](Truth& t) { ++stream(t).calibrations[0].from_sample; }));
  CHECK(seen([&](Truth& t) { t.info.title += "x"; }));
  CHECK(seen([&](Truth& t) {
    for (Truth::PerStream& s : t.streams)
      for (Anchor& a : s.anchors) ++a.ticks;
  }));
  CHECK(seen([&](Truth& t) {
    for (RecordedEvent& e : t.events) ++e.count;
  }));
  Expectation more = all;
  for (Extent::PerStream& s : more.acknowledged.streams) ++s.rows;
  more.all = false;
  CHECK_FALSE(differences(recording, made.truth(), more).empty());
}
