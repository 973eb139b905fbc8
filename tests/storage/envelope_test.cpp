#include "spillway/storage/envelope.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>

#include "random_recording.hpp"
#include "simulated_disk.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }
// Sums of large and small values depend on their order.
bool about(double a, double b, const EnvelopeBin& bin) {
  const double size = std::max(std::abs(bin.low), std::abs(bin.high));
  return same(a, b) || std::abs(a - b) <= 1e-9 * size || !std::isfinite(a) || !std::isfinite(b);
}

// Row by row.
EnvelopeBin plainly(const Recording& recording, std::size_t stream, std::size_t channel,
                    std::uint64_t begin, std::uint64_t end) {
  EnvelopeBin bin;
  double sum = 0.0;
  for (std::uint64_t row = begin; row < end; ++row) {
    double value = 0.0;
    Quality quality;
    recording.read_calibrated(stream, channel, row, {&value, 1});
    recording.read_quality(stream, channel, row, {&quality, 1});
    bin.quality = merge(bin.quality, quality);
    if (std::isnan(value)) continue;
    bin.low = bin.count == 0 ? value : std::min(bin.low, value);
    bin.high = bin.count == 0 ? value : std::max(bin.high, value);
    sum += value;
    ++bin.count;
  }
  if (bin.count > 0) bin.mean = sum / static_cast<double>(bin.count);
  return bin;
}

// Empty, or what is wrong with a level of `rows`.
std::string faults(const Recording& recording, std::size_t stream, std::size_t channel,
                   const RowRange& rows, const EnvelopeLevel& level) {
  const RecordedStream& s = recording.streams()[stream];
  if (level.bins.size() != level.first_rows.size()) return "as many first rows as bins";
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < level.bins.size(); ++i) {
    const std::uint64_t begin = level.first_rows[i];
    const std::uint64_t end = i + 1 < level.bins.size() ? level.first_rows[i + 1] : rows.end;
    if (i == 0 && begin != rows.begin) return "begins with the first row";
    const Segment& segment = s.segment(begin);
    if (begin == std::max(segment.row, rows.begin)) begins.push_back(i);
    const std::uint64_t segment_end = std::min(segment.row + segment.count, rows.end);
    if (end > segment_end || end <= begin) return "a bin lies in one segment";
    if (end - begin != level.rows_per_bin && end != segment_end) return "only last bins are short";
    const EnvelopeBin truth = plainly(recording, stream, channel, begin, end);
    const EnvelopeBin& bin = level.bins[i];
    if (!same(bin.low, truth.low) || !same(bin.high, truth.high)) return "low and high";
    if (bin.count != truth.count || bin.quality != truth.quality) return "count and quality";
    if (!about(bin.mean, truth.mean, truth)) return "mean";
  }
  if (begins != level.segments) return "each segment begins a bin, and is named";
  return rows.count() > 0 && level.bins.empty() ? "no bins" : "";
}

}  // namespace

TEST_CASE("an envelope is what each of its samples says, at every resolution") {
  for (std::uint64_t n = 0; n < soak(12); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    const SinkChoice choice =
        SinkChoice::random(SinkChoice::Format::hdf5, Durability::process, seed);
    const std::string path = std::string(SimulatedDisk::directory) + "/run.h5";
    RandomRecording made(seed, RandomRecording::short_one, false);
    SimulatedDisk disk;
    const std::unique_ptr<Sink> sink = choice.make(path, disk);
    made.run(sink.get(), [](const Extent&) {});
    sink->close({});
    const Recording recording = Recording::open(path, disk);
    std::mt19937_64 random(seed);
    for (std::size_t s = 0; s < recording.streams().size(); ++s) {
      const std::uint64_t all = recording.streams()[s].rows;
      const std::uint64_t begin = random() % 3 == 0 ? 0 : random() % (all + 1);
      const RowRange rows{begin, random() % 3 == 0 ? all : begin + random() % (all - begin + 1)};
      const std::size_t channel = random() % recording.streams()[s].info.channels.size();
      const std::size_t bins = random() % 2 == 0 ? random() % 20 : random() % 2000;
      CAPTURE(s, channel, rows.begin, rows.end, bins);
      const EnvelopeLevel finest = envelope(recording, s, channel, rows, bins);
      CHECK(faults(recording, s, channel, rows, finest) == "");
      CHECK(finest.bins.size() <= std::max<std::size_t>(bins, 1) + finest.segments.size());
      const std::size_t factor = 2 + random() % 7;
      const std::size_t fewest = random() % 6;
      const std::vector<EnvelopeLevel> levels = coarser(finest, factor, fewest);
      REQUIRE_FALSE(levels.empty());
      CHECK(levels[0].bins.size() == finest.bins.size());
      for (std::size_t k = 1; k < levels.size(); ++k) {
        CHECK(levels[k].rows_per_bin == levels[k - 1].rows_per_bin * factor);
        CHECK(faults(recording, s, channel, rows, levels[k]) == "");
      }
      CHECK(levels.back().bins.size() <= std::max(fewest, finest.segments.size()));
      if (levels.size() > 1) CHECK(levels[levels.size() - 2].bins.size() > fewest);
    }
  }
}

TEST_CASE("an envelope leaves out what is missing, and tells the worst that there is") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  StreamInfo info = make_info({SampleType::float32}, 1 << 14);
  info.channels[0].calibration = Linear{0.5, 7.5};
  Stream stream(info);
  Writer<float> writer(stream);
  StreamReader reader(stream);
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    const Quality missing(Verdict::bad, Quality::missing);
    const Quality clipped(Verdict::bad, Quality::out_of_range);
    const Quality late(Verdict::suspect, Quality::transient);
    writer.push(-13.0F);
    writer.push(100.0F, missing);
    writer.push(-9.0F, late);
    writer.push(std::numeric_limits<float>::quiet_NaN());
    writer.gap({5});
    writer.push(-1.0F, clipped);
    writer.push(-19.0F);
    writer.gap({1});
    writer.push(50.0F, missing);
    writer.push(std::numeric_limits<float>::infinity());
    drain(reader, sink);
    sink.close({});
  }
  const Recording recording = Recording::open(path);
  const EnvelopeLevel level = envelope(recording, 0, 0, {0, 8}, 1);
  REQUIRE(level.bins.size() == 3);
  CHECK(level.segments == std::vector<std::size_t>{0, 1, 2});
  CHECK(level.first_rows == std::vector<std::uint64_t>{0, 4, 6});
  CHECK(level.bins[0].low == 1.0);
  CHECK(level.bins[0].high == 3.0);
  CHECK(level.bins[0].mean == 2.0);
  CHECK(level.bins[0].count == 2);
  CHECK(level.bins[0].quality == Quality(Verdict::bad, Quality::missing | Quality::transient));
  CHECK(level.bins[1].low == -2.0);
  CHECK(level.bins[1].high == 7.0);
  CHECK(level.bins[1].quality == Quality(Verdict::bad, Quality::out_of_range));
  CHECK(level.bins[2].low == std::numeric_limits<double>::infinity());
  const EnvelopeLevel single = envelope(recording, 0, 0, {6, 7}, 10);
  REQUIRE(single.bins.size() == 1);
  CHECK(same(single.bins[0].low, nan_value));
  CHECK(single.bins[0].count == 0);
  CHECK(single.bins[0].quality.has(Quality::missing));
  CHECK(envelope(recording, 0, 0, {8, 8}, 10).bins.empty());
  const EnvelopeLevel raw = envelope(recording, 0, 0, {0, 8}, 1, EnvelopeOf::raw);
  CHECK(raw.bins[0].high == -9.0);
  CHECK(raw.bins[0].low == -13.0);
  CHECK(raw.bins[0].count == 2);
  CHECK_THROWS_AS(envelope(recording, 0, 0, {0, 9}, 10), Error);
  CHECK_THROWS_AS(envelope(recording, 0, 1, {0, 1}, 10), Error);
  CHECK_THROWS_AS(coarser(level, 1, 1), Error);
}

TEST_CASE("an envelope of many samples is the same wherever blocks end") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  constexpr std::uint64_t count = 200'000;
  Stream stream(make_info({SampleType::int16}, count));
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  std::vector<std::int16_t> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = static_cast<std::int16_t>((i * 7919) % 20011 - 10005);
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    writer.push(values);
    drain(reader, sink);
    sink.close({});
  }
  const Recording recording = Recording::open(path);
  REQUIRE(recording.streams()[0].rows == count);
  for (const std::size_t bins : {std::size_t{1}, std::size_t{7}, std::size_t{1000},
                                 std::size_t{65536}, std::size_t{200'000}}) {
    const EnvelopeLevel level = envelope(recording, 0, 0, {0, count}, bins);
    for (std::size_t i = 0; i < level.bins.size(); ++i) {
      const std::size_t begin = level.first_rows[i];
      const std::size_t end = std::min<std::size_t>(begin + level.rows_per_bin, count);
      const auto [low, high] = std::minmax_element(values.begin() + static_cast<long>(begin),
                                                   values.begin() + static_cast<long>(end));
      if (level.bins[i].low == *low && level.bins[i].high == *high &&
          level.bins[i].count == end - begin)
        continue;
      CAPTURE(bins, i);
      FAIL("a bin is wrong");
    }
    CHECK(level.first_rows.back() + level.rows_per_bin >= count);
  }
}
