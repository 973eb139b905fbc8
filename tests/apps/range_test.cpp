#include "range.hpp"

#include <memory>
#include <vector>

#include "spillway/channels/error.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace std::chrono_literals;
using apps::CalendarRange;
using apps::range_argument;

namespace {

template <class T>
T value_of(const std::string& text) {
  return std::get<T>(range_argument(text).value);
}

}  // namespace

TEST_CASE("a range is written in seconds, sample numbers or calendar times") {
  CHECK(value_of<TimeRange>("0.5:2") == TimeRange{500ms, 2s});
  CHECK(value_of<TimeRange>("-1e-3:+0.25") == TimeRange{-1ms, 250ms});
  CHECK(value_of<TimeRange>(":") == TimeRange{});
  CHECK(value_of<TimeRange>("3:") == TimeRange{3s, Time::max()});
  CHECK(value_of<TimeRange>(":3") == TimeRange{Time::min(), 3s});
  CHECK(value_of<TimeRange>("1700000000.123456789:").begin == Time(1'700'000'000'123'456'789));
  CHECK(value_of<SampleRange>("#1000:#2000") == SampleRange{{1000}, {2000}});
  CHECK(value_of<SampleRange>("#7:") == SampleRange{{7}});
  CHECK(value_of<SampleRange>(":#7") == SampleRange{{0}, {7}});
  CHECK(value_of<CalendarRange>("2026-05-04T10:44:18.5Z:2026-05-04T10:45Z") ==
        CalendarRange{"2026-05-04T10:44:18.5Z", "2026-05-04T10:45:00Z"});
  CHECK(value_of<CalendarRange>("2026-05-04T10:44:18:") ==
        CalendarRange{"2026-05-04T10:44:18", ""});
  CHECK(value_of<CalendarRange>(":2026-05-04") == CalendarRange{"", "2026-05-04T00:00:00"});
  CHECK(value_of<CalendarRange>("2026-05-04T10:44:2026-05-04T10:45") ==
        CalendarRange{"2026-05-04T10:44:00", "2026-05-04T10:45:00"});
}

TEST_CASE("calendar times of a range may have an offset to UTC") {
  CHECK(value_of<CalendarRange>("2026-01-01T00:00:00+02:00:2026-01-01T00:00:30.25-05:30") ==
        CalendarRange{"2025-12-31T22:00:00Z", "2026-01-01T05:30:30.250000000Z"});
  CHECK(value_of<CalendarRange>("2026-01-01T00:00+02:") ==
        CalendarRange{"2025-12-31T22:00:00Z", ""});
  CHECK(value_of<CalendarRange>("2026-01-01T00:00:00+02:00:") ==
        CalendarRange{"2025-12-31T22:00:00Z", ""});
  CHECK(value_of<CalendarRange>(":2026-01-01T00:00-0530") ==
        CalendarRange{"", "2026-01-01T05:30:00Z"});
  CHECK_THROWS_WITH(range_argument("2026-01-01T00:00:00+00:00:2026-01-01T01:00:00+02:00"),
                    Catch::Contains("not behind its begin"));
}

TEST_CASE("a calendar time that nanoseconds can't hold is refused as that") {
  CHECK_NOTHROW(range_argument("1824-01-01:2115-12-31T23:59:59Z"));
  for (const char* text : {"1600-01-01:", ":2116-12-31", "9999-01-01:",
                           "2300-01-01T00:00:00+02:00:", "2026-01-01:2500-01-01T00:00:00Z"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH(range_argument(text),
                      Catch::Contains("nanoseconds") && Catch::Contains("1824 to 2115"));
  }
}

TEST_CASE("what is no range is refused with what is allowed") {
  for (const char* text : {"",
                           "3",
                           "a:b",
                           "1:#2",
                           "#1:2",
                           "#-1:",
                           "#+1:",
                           "#:",
                           "nan:",
                           "inf:",
                           "1e12:",
                           "0x1:",
                           "1 :2",
                           "1:2:3",
                           "2026-05-04",
                           "2026-05-04T10:44:56s",
                           "2026-02-30:",
                           "2026-05-04T25:00:",
                           "2026-05-04T10:44:18.:",
                           "2026-05-04+02:00:",
                           "2026-05-04T10:44+24:00:",
                           "2026-05-04T10:44+02:60:",
                           "2026-05-04T10:44Z+02:00:",
                           "2300-02-30:",
                           "1:2026-05-04T10:44:18Z"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH(range_argument(text), Catch::Contains("BEGIN:END"));
  }
  for (const char* text : {"2:1", "1:1", "#5:#5", "2026-05-05:2026-05-04"}) {
    CAPTURE(text);
    CHECK_THROWS_WITH(range_argument(text), Catch::Contains("not behind its begin"));
  }
}
