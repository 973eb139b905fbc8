#include "spillway/storage/stream_log.hpp"

#include <random>

#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::make_info;

const CalibrationSet none(1);

Chunk chunk_at(std::uint64_t from, std::uint64_t count) {
  Chunk chunk;
  chunk.from = chunk.first = {from};
  chunk.count = {count};
  chunk.time = Time(static_cast<std::int64_t>(from) * 1'000'000);
  return chunk;
}

// What came before the samples of `chunk`.
Chunk after(Chunk chunk, std::uint64_t lost, std::uint64_t missing,
            GapCause cause = GapCause::source) {
  chunk.lost = {lost};
  chunk.missing = {missing};
  chunk.cause = cause;
  chunk.new_segment = true;
  chunk.first = {chunk.from.value + lost + missing};
  return chunk;
}

bool balanced(const RecordedCounts& counts) {
  return counts.recorded + counts.lost + counts.missing == counts.produced;
}

// A stream that is read into a log.
struct Logged {
  explicit Logged(StreamInfo info, std::size_t frames = 16)
      : stream(std::move(info)), writer(stream), reader(stream), block(reader.info(), frames) {}
  void push(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) writer.push(1.0);
  }
  void read() {
    for (;;) {
      const Chunk chunk = reader.read(block);
      log.add(chunk, reader.calibrations(chunk.calibrations));
      if (chunk.stop == Stop::drained) break;
    }
  }
  Stream stream;
  Writer<double> writer;
  StreamReader reader;
  Block block;
  StreamLog log;
};

}  // namespace

TEST_CASE("StreamLog: a log without chunks is empty") {
  StreamLog log;
  CHECK(log.counts() == RecordedCounts{});
  CHECK_FALSE(log.has_segment());
  CHECK(log.take_finished_segments().empty());
  CHECK(log.take_gaps().empty());
  CHECK(log.take_calibrations().empty());
}

TEST_CASE("StreamLog: contiguous chunks are one segment") {
  Logged s(make_info({SampleType::float64}));
  s.push(100);
  s.read();
  CHECK(s.log.counts() == RecordedCounts{100, 100, 0, 0});
  CHECK(s.log.open_segment() == Segment{0, 0, 100, 0, 0, 0});
  CHECK(s.log.take_finished_segments().empty());
  CHECK(s.log.take_gaps().empty());
}

TEST_CASE("StreamLog: a declared gap is missing and begins a segment") {
  Logged s(make_info({SampleType::float64}));
  s.push(10);
  s.writer.gap({5});
  s.push(20);
  s.read();
  CHECK(s.log.counts() == RecordedCounts{35, 30, 0, 5});
  CHECK(s.log.take_gaps() == std::vector<Gap>{{10, 5, 0, 5, Absence::missing}});
  CHECK(s.log.take_finished_segments() == std::vector<Segment>{{0, 0, 10, 0, 0, 0}});
  CHECK(s.log.open_segment() == Segment{15, 10, 20, 15'000'000, 0, 0});
  CHECK(s.log.take_gaps().empty());  // each is given once
}

TEST_CASE("StreamLog: what the graph lost is lost, and says where") {
  Logged s(make_info({SampleType::float64}));
  s.push(10);
  s.writer.gap({7}, GapCause::upstream);
  s.push(1);
  s.read();
  CHECK(s.log.counts() == RecordedCounts{18, 11, 7, 0});
  CHECK(s.log.take_gaps() == std::vector<Gap>{{10, 7, 7, 0, Absence::lost_upstream}});
}

TEST_CASE("StreamLog: what was overwritten is lost") {
  StreamInfo info = make_info({SampleType::float64}, 64);
  info.largest_block = {16};
  Logged s(info);
  s.push(1000);
  s.read();
  const RecordedCounts counts = s.log.counts();
  CHECK(counts.lost > 0);
  CHECK(counts.recorded >= 64);
  CHECK(counts.produced == 1000);
  CHECK(balanced(counts));
  CHECK(s.log.take_gaps() == std::vector<Gap>{{0, counts.lost, counts.lost, 0, Absence::lost}});
  CHECK(s.log.open_segment().first_sample == counts.lost);
  CHECK(s.log.open_segment().row == 0);
}

TEST_CASE("StreamLog: one loss that was found in pieces is one gap") {
  StreamLog log;
  log.add(chunk_at(0, 10), none);
  log.add(after(chunk_at(10, 0), 3, 0), none);
  log.add(after(chunk_at(13, 0), 4, 0), none);
  log.add(after(chunk_at(17, 5), 1, 0), none);
  CHECK(log.take_gaps() == std::vector<Gap>{{10, 8, 8, 0, Absence::lost}});
  CHECK(log.open_segment().first_sample == 18);
  CHECK(log.open_segment().row == 10);
  CHECK(log.counts() == RecordedCounts{23, 15, 8, 0});
}

TEST_CASE("StreamLog: lost and then missing are two gaps") {
  StreamLog log;
  log.add(after(chunk_at(0, 2), 3, 4), none);
  CHECK(log.take_gaps() ==
        std::vector<Gap>{{0, 3, 3, 0, Absence::lost}, {3, 4, 0, 4, Absence::missing}});
  CHECK(log.open_segment().first_sample == 7);
  CHECK(log.counts() == RecordedCounts{9, 2, 3, 4});
}

TEST_CASE("StreamLog: gaps of unlike causes are not merged, nor gaps apart") {
  StreamLog log;
  log.add(after(chunk_at(0, 0), 0, 3), none);
  log.add(after(chunk_at(3, 1), 0, 4, GapCause::upstream), none);
  log.add(after(chunk_at(8, 1), 0, 2, GapCause::upstream), none);
  CHECK(log.take_gaps() == std::vector<Gap>{{0, 3, 0, 3, Absence::missing},
                                            {3, 4, 4, 0, Absence::lost_upstream},
                                            {8, 2, 2, 0, Absence::lost_upstream}});
}

TEST_CASE("StreamLog: a mixed range keeps its exact counts") {
  StreamLog log;
  Chunk chunk = after(chunk_at(5, 2), 3, 4);
  chunk.mixed = true;
  log.add(chunk_at(0, 5), none);
  log.add(chunk, none);
  CHECK(log.take_gaps() == std::vector<Gap>{{5, 7, 3, 4, Absence::mixed}});
  CHECK(log.counts() == RecordedCounts{14, 7, 3, 4});
}

TEST_CASE("StreamLog: more gaps than the stream keeps marks for") {
  StreamInfo info = make_info({SampleType::float64});
  info.mark_capacity = {8};
  Logged s(info);
  for (int i = 0; i < 100; ++i) {
    s.push(3);
    s.writer.gap({2});
  }
  s.push(1);
  s.read();
  CHECK(s.log.counts().produced == 501);
  CHECK(s.log.counts().lost > 0);
  CHECK(balanced(s.log.counts()));
  CHECK(s.log.take_gaps().at(0).cause == Absence::mixed);
}

TEST_CASE("StreamLog: a time step begins a segment without a gap") {
  Logged s(make_info({SampleType::float64}));
  s.writer.stamp({Time(500), 1});
  s.push(10);
  s.writer.stamp({Time(1'000'000'000), 2});
  s.push(5);
  s.read();
  CHECK(s.log.take_gaps().empty());
  CHECK(s.log.take_finished_segments() == std::vector<Segment>{{0, 0, 10, 500, 0, 500}});
  CHECK(s.log.open_segment() == Segment{10, 10, 5, 1'000'000'000, 10, 1'000'000'000});
  CHECK(s.log.counts() == RecordedCounts{15, 15, 0, 0});
}

TEST_CASE("StreamLog: a calibration is listed where it changes, and only there") {
  Logged s(make_info({SampleType::float64}));
  const Calibration twice{Linear{.slope = 2.0}};
  s.push(20);
  s.writer.calibrate(0, twice);
  s.push(20);
  s.writer.gap({1});
  s.push(20);
  s.writer.calibrate(0, Calibration{});
  s.push(1);
  s.read();
  const std::vector<CalibrationChange> changes = s.log.take_calibrations();
  REQUIRE(changes.size() == 3);
  CHECK(changes[0].from_sample == 0);
  CHECK(changes[0].calibrations == CalibrationSet{Calibration{}});
  CHECK(changes[1].from_sample == 20);
  CHECK(changes[1].calibrations == CalibrationSet{twice});
  CHECK(changes[2].from_sample == 61);
  CHECK(changes[2].calibrations == CalibrationSet{Calibration{}});
}

TEST_CASE("StreamLog: the same calibrations under another id are no change") {
  StreamLog log;
  Chunk chunk = chunk_at(0, 1);
  log.add(chunk, none);
  chunk = chunk_at(1, 1);
  chunk.calibrations = {3};
  log.add(chunk, none);
  CHECK(log.take_calibrations().size() == 1);
}

TEST_CASE("StreamLog: recorded + lost + missing == produced, over random histories") {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    StreamInfo info = make_info({SampleType::float64}, 64);
    info.largest_block = {16};
    info.mark_capacity = {4 + seed % 60};
    Logged s(info, 1 + seed % 40);
    std::uint64_t pushed = 0;
    std::uint64_t declared = 0;
    std::uint64_t upstream = 0;
    for (int i = 0; i < 100; ++i) {
      switch (random() % 5) {
        case 0:
        case 1: {
          const std::uint64_t count = random() % 100;
          s.push(count);
          pushed += count;
          break;
        }
        case 2: {
          const std::uint64_t count = random() % 5;
          s.writer.gap({count});
          declared += count;
          break;
        }
        case 3:
          if (seed % 2 == 0) {
            s.writer.gap({2}, GapCause::upstream);
            upstream += 2;
          }
          break;
        default: s.read();
      }
    }
    s.push(1);
    s.read();
    const RecordedCounts counts = s.log.counts();
    INFO("seed " << seed);
    REQUIRE(counts.produced == pushed + 1 + declared + upstream);
    REQUIRE(balanced(counts));
    REQUIRE(counts.recorded == s.reader.accounting().delivered.value);
    // Where nothing lies mixed, what the source declared is what is missing.
    if (seed % 2 == 1) REQUIRE(counts.missing == declared);

    // Segments and gaps tile the sample numbers, and segments tile the rows.
    std::vector<Segment> segments = s.log.take_finished_segments();
    segments.push_back(s.log.open_segment());
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    std::uint64_t row = 0;
    for (const Segment& segment : segments) {
      REQUIRE(segment.row == row);
      row += segment.count;
      ranges.emplace_back(segment.first_sample, segment.count);
    }
    std::uint64_t lost = 0;
    std::uint64_t missing = 0;
    for (const Gap& gap : s.log.take_gaps()) {
      REQUIRE(gap.count == gap.lost + gap.missing);
      lost += gap.lost;
      missing += gap.missing;
      ranges.emplace_back(gap.first_sample, gap.count);
    }
    std::sort(ranges.begin(), ranges.end());
    std::uint64_t next = 0;
    for (const auto& [first, count] : ranges) {
      REQUIRE(first == next);
      next += count;
    }
    REQUIRE(next == counts.produced);
    REQUIRE(row == counts.recorded);
    REQUIRE(lost == counts.lost);
    REQUIRE(missing == counts.missing);
  }
}

TEST_CASE("a step told by a chunk without samples begins a segment with the next one") {
  StreamLog log;
  Chunk chunk;
  chunk.count = {10};
  log.add(chunk, {});
  Chunk step;
  step.from = step.first = {10};
  step.new_segment = true;
  log.add(step, {});
  Chunk after;
  after.from = after.first = {10};
  after.count = {5};
  log.add(after, {});
  CHECK(log.open_segment().first_sample == 10);
  CHECK(log.take_finished_segments().size() == 1);
}

}  // namespace spillway
