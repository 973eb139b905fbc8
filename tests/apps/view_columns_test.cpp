#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "range.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "storage/support.hpp"
#include "support/catch.hpp"
#include "view.hpp"

using namespace spillway;
using namespace spillway::apps;
using namespace spillway::test;

namespace {

// A recording of one channel with gaps, missing and bad samples, at regular or irregular times.
void record(const std::string& path, std::mt19937_64& random, bool regular, std::uint64_t count) {
  StreamInfo info = make_info({SampleType::float64}, 1 << 16,
                              regular ? std::optional<Rate>(Rate(1000, 3)) : std::nullopt);
  Stream stream(info);
  Writer<double> writer(stream);
  StreamReader reader(stream);
  Hdf5Sink sink(path, Existing::replace);
  sink.begin(recording_of({info}));
  Time time{static_cast<std::int64_t>(random() % 1'000'000'000)};
  double value = 0.0;
  for (std::uint64_t i = 0; i < count; ++i) {
    value += std::uniform_real_distribution(-1.0, 1.0)(random);
    Quality quality;
    if (random() % 50 == 0) quality = Quality(Verdict::bad, Quality::missing);
    if (random() % 50 == 0) quality = Quality(Verdict::suspect, Quality::implausible);
    if (random() % 200 == 0) writer.gap({1 + random() % 300});
    time += Time(static_cast<std::int64_t>(random() % 10'000'000));
    const std::vector<double> frame{value};
    if (regular)
      writer.push(frame, quality);
    else
      writer.push(frame, std::vector<Time>{time}, quality);
    if (i % 1000 == 999) drain(reader, sink);
  }
  drain(reader, sink);
  sink.close({});
}

}  // namespace

TEST_CASE("each column of a plot has the extremes and the quality of every sample in it") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  for (std::uint64_t n = 0; n < soak(10); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    record(path, random, random() % 2 == 0, 1 + random() % 5000);
    const Recording recording = Recording::open(path);
    ViewArguments arguments;
    const std::uint64_t rows = recording.streams()[0].rows;
    if (random() % 2 == 0) arguments.range = "#" + std::to_string(random() % rows) + ":";
    CAPTURE(arguments.range);
    const View view = choose(recording, arguments);
    REQUIRE(view.streams.size() == 1);
    const ShownStream& shown = view.streams[0];
    if (shown.rows.count() == 0) continue;
    const std::size_t count = 1 + random() % 300;
    const ViewChannel data = columns_of(view, shown, 0, shown.begin, shown.end, count);
    REQUIRE(data.columns.size() == count);

    std::vector<double> values(shown.rows.count());
    std::vector<Quality> quality(values.size());
    std::vector<Time> times(values.size());
    recording.read_calibrated(0, 0, shown.rows.begin, values);
    recording.read_quality(0, 0, shown.rows.begin, quality);
    recording.read_times(0, shown.rows.begin, times);
    std::vector<std::size_t> column(values.size());
    Quality worst;
    double low = INFINITY;
    double high = -INFINITY;
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK(times[i] >= shown.begin);
      CHECK(times[i] < shown.end);
      const double place = static_cast<double>((times[i] - shown.begin).count()) /
                           static_cast<double>((shown.end - shown.begin).count()) *
                           static_cast<double>(count);
      column[i] = std::min(static_cast<std::size_t>(place), count - 1);
      const ViewColumn& c = data.columns[column[i]];
      worst = merge(worst, quality[i]);
      REQUIRE(c.any);
      REQUIRE(merge(c.quality, quality[i]) == c.quality);
      if (std::isnan(values[i])) continue;
      REQUIRE(c.low <= values[i]);
      REQUIRE(c.high >= values[i]);
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
    }
    CHECK(data.quality == worst);
    if (low <= high) {
      CHECK(data.low == low);
      CHECK(data.high == high);
    }
    // And no column says what no sample near it does.
    for (std::size_t c = 0; c < count; ++c) {
      if (std::isnan(data.columns[c].low)) continue;
      bool has_low = false;
      bool has_high = false;
      for (std::size_t i = 0; i < values.size(); ++i) {
        if (column[i] + 1 < c || column[i] > c + 1) continue;
        has_low = has_low || values[i] == data.columns[c].low;
        has_high = has_high || values[i] == data.columns[c].high;
      }
      CAPTURE(c);
      CHECK((has_low && has_high));
    }
    // Gaps lie between what is there, or at its ends.
    for (const ShownGap& gap : shown.gaps) {
      CHECK(gap.begin >= shown.begin);
      CHECK(gap.end <= shown.end);
      CHECK(gap.begin <= gap.end);
      for (const Time time : times)
        if (recording.streams()[0].info.rate) CHECK((time < gap.begin || time >= gap.end));
      const ColumnRange range = columns_of(gap, shown.begin, shown.end, count);
      CHECK(range.first <= range.last);
      CHECK(range.last < count);
    }
  }
}

TEST_CASE("a range is rows and times of a stream") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  StreamInfo info = make_info({SampleType::int16}, 1 << 12, Rate(100, 1));
  info.origin = {Origin::Kind::utc, "2026-05-04T10:00:00"};
  Stream stream(info);
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({info}));
    for (int i = 0; i < 100; ++i) writer.push(static_cast<std::int16_t>(i));
    writer.gap({50});
    for (int i = 0; i < 100; ++i) writer.push(static_cast<std::int16_t>(i));
    drain(reader, sink);
    sink.close({});
  }
  const Recording recording = Recording::open(path);
  const auto rows_of = [&](const std::string& text) {
    return apps::rows(recording, 0, range_argument(text));
  };
  CHECK(rows_of(":") == RowRange{0, 200});
  CHECK(rows_of("0.1:0.2") == RowRange{10, 20});
  CHECK(rows_of("#90:#160") == RowRange{90, 110});
  CHECK(rows_of("#110:#120").count() == 0);
  CHECK(rows_of("2026-05-04T10:00:01.5Z:") == RowRange{100, 200});
  CHECK(rows_of(":2026-05-04T10:00:00.05") == RowRange{0, 5});
  CHECK(apps::times(recording, 0, range_argument("#90:#160")) ==
        TimeRange{std::chrono::milliseconds(900), std::chrono::milliseconds(1600)});
  CHECK(apps::times(recording, 0, range_argument("#120:")).begin ==
        std::chrono::milliseconds(1500));
  CHECK(apps::times(recording, 0, range_argument("#250:")).begin == Time::max());
}
