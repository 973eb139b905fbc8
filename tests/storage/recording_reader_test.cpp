#include "spillway/storage/recording_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>

#include "random_recording.hpp"
#include "spillway/storage/aligned.hpp"
#include "spillway/storage/envelope.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/ranges.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

std::uint64_t told(const Chunk& chunk) {
  return chunk.count.value + chunk.lost.value + chunk.missing.value;
}

std::shared_ptr<MemorySink> in_memory(RandomRecording& made) {
  auto memory = std::make_shared<MemorySink>();
  made.run(memory.get(), [](const Extent&) {});
  memory->close({});
  return memory;
}

// One integer channel whose value is the sample number, written by hand.
class Numbered {
 public:
  explicit Numbered(std::optional<Rate> rate = Rate(10, 1)) {
    info_ = make_info({SampleType::int64}, 1 << 16, rate);
    sink_->begin(recording_of({info_}));
  }
  Numbered& samples(std::uint64_t first, std::uint64_t count, bool step = false,
                    const CalibrationSet& set = {{}}, std::uint32_t id = 1) {
    Block block(info_, count);
    for (std::uint64_t i = 0; i < count; ++i)
      block.values<std::int64_t>(0)[i] = static_cast<std::int64_t>(first + i);
    Chunk chunk;
    chunk.from = chunk.first = {first};
    chunk.count = {count};
    chunk.new_segment = step;
    if (step) clock_ += Time(7);
    chunk.clock_time = clock_;
    chunk.time = clock_ + info_.rate->duration(first);
    chunk.calibrations = {id};
    sink_->append(0, chunk, block, set);
    return *this;
  }
  Numbered& gap(const Gap& gap) {
    sink_->append_gap(0, gap);
    return *this;
  }
  [[nodiscard]] Recording recording() const { return Recording::of(sink_); }

 private:
  StreamInfo info_;
  Time clock_{1000};
  std::shared_ptr<MemorySink> sink_ = std::make_shared<MemorySink>();
};

}  // namespace

TEST_CASE("a recording read in blocks of any size, and appended again, is the same recording") {
  std::uint64_t mixed = 0, upstream = 0, steps = 0;
  for (std::uint64_t n = 0; n < soak(40); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    RandomRecording made(seed, RandomRecording::long_one, false);
    const Recording from = Recording::of(in_memory(made));
    Expectation all{made.appended(), true, false, {}};
    REQUIRE(differences(from, made.truth(), all) == "");

    auto memory = std::make_shared<MemorySink>();
    memory->begin(made.info());
    for (std::size_t s = 0; s < from.streams().size(); ++s) {
      RecordingReader reader(from, s);
      SampleNumber next = reader.next();
      for (;;) {
        Block block(reader.info(), 1 + random() % 300);
        const Chunk chunk = reader.read(block);
        REQUIRE(chunk.from == next);
        REQUIRE(chunk.first.value == chunk.from.value + chunk.lost.value + chunk.missing.value);
        next = chunk.first + chunk.count;
        REQUIRE(reader.next() == next);
        if (told(chunk) == 0) {
          REQUIRE(chunk.stop == Stop::drained);
          break;
        }
        if (chunk.stop == Stop::full) REQUIRE(chunk.count.value == block.frames());
        mixed += chunk.mixed ? 1 : 0;
        upstream += chunk.cause == GapCause::upstream ? 1 : 0;
        steps += chunk.stop == Stop::time_step ? 1 : 0;
        memory->append(s, chunk, block, reader.calibrations(chunk.calibrations));
      }
      memory->append(s, from.streams()[s].anchors);
    }
    for (const RecordedEvent& event : from.events()) memory->append_event(event);
    for (const std::string& line : from.log()) memory->append_log(line);
    memory->close({});
    // A chunk has no word for why something is lost.
    Truth truth = made.truth();
    for (Truth::PerStream& stream : truth.streams)
      for (Gap& gap : stream.absent)
        if (gap.cause == Absence::not_written) gap.cause = Absence::lost;
    CHECK(differences(Recording::of(memory), truth, all) == "");
  }
  CHECK(mixed > 0);
  CHECK(upstream > 0);
  CHECK(steps > 0);
}

TEST_CASE("parts of a recording tell each sample as the whole does") {
  for (std::uint64_t n = 0; n < soak(20); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    RandomRecording made(seed, RandomRecording::long_one, true);
    const Recording from = Recording::of(in_memory(made));
    const Truth::PerStream& truth = made.truth().streams[0];
    const RecordedStream& stream = from.streams()[0];
    if (truth.end == truth.begin) continue;
    RecordingReader reader(from, 0);
    Block block(stream.info, 64);
    for (int part = 0; part < 50; ++part) {
      SampleRange range{{random() % (truth.end + 50)}, {random() % (truth.end + 50)}};
      if (part == 0) range = {};
      if (part % 7 == 1) range.end = {range.begin.value + random() % 5};
      const std::uint64_t begin = std::clamp(range.begin.value, truth.begin, truth.end);
      const std::uint64_t end = std::clamp(range.end.value, begin, truth.end);
      RecordingReader some(from, 0, range);
      CHECK(some.next().value == begin);
      std::uint64_t at = begin;
      RecordedCounts counts;
      for (Chunk chunk; told(chunk = some.read(block)) > 0;) {
        REQUIRE(chunk.from.value == at);
        counts.lost += chunk.lost.value;
        counts.missing += chunk.missing.value;
        counts.recorded += chunk.count.value;
        // What is absent is in one gap of the truth, of this cause.
        for (; at < chunk.first.value; ++at) {
          const auto gap = std::find_if(
              truth.absent.begin(), truth.absent.end(),
              [&](const Gap& g) { return at >= g.first_sample && at - g.first_sample < g.count; });
          REQUIRE(gap != truth.absent.end());
          if (gap->cause == Absence::mixed) {
            REQUIRE(chunk.mixed);
          } else {
            REQUIRE_FALSE(chunk.mixed);
            const bool missing =
                gap->cause == Absence::missing || gap->cause == Absence::lost_upstream;
            REQUIRE((chunk.missing.value > 0) == missing);
            REQUIRE((chunk.lost.value > 0) == !missing);
            REQUIRE((chunk.cause == GapCause::upstream) == (gap->cause == Absence::lost_upstream));
          }
        }
        for (std::uint64_t i = 0; i < chunk.count.value; ++i, ++at) {
          const auto row = static_cast<std::uint64_t>(
              std::lower_bound(truth.numbers.begin(), truth.numbers.end(), at) -
              truth.numbers.begin());
          REQUIRE(truth.numbers.at(row) == at);
          REQUIRE(chunk.row + i == row);
          const Time time =
              block.has_times()
                  ? block.times()[i]
                  : chunk.clock_time + truth.info.rate->duration(at - chunk.clock_sample.value);
          REQUIRE(time.count() == truth.times[row]);
          if (i == 0) REQUIRE(chunk.time == time);
          for (std::size_t c = 0; c < truth.values.size(); ++c) {
            const std::size_t bytes = sample_size(truth.info.channels[c].type);
            REQUIRE(std::equal(block.bytes(c) + i * bytes, block.bytes(c) + (i + 1) * bytes,
                               truth.values[c].data() + row * bytes));
            REQUIRE(block.quality(c)[i] == truth.quality[c][row]);
          }
        }
      }
      REQUIRE(at == end);
      // Its books, and those of what is left, are those of the whole.
      for (const SampleRange& rest : {SampleRange{{0}, {begin}}, SampleRange{{end}, {truth.end}}}) {
        if (rest.begin.value == 0 && begin == truth.begin) continue;
        RecordingReader others(from, 0, rest);
        for (Chunk chunk; told(chunk = others.read(block)) > 0;) {
          counts.lost += chunk.lost.value;
          counts.missing += chunk.missing.value;
          counts.recorded += chunk.count.value;
        }
      }
      counts.produced = counts.lost + counts.missing + counts.recorded;
      // An upstream gap counts as lost in the books, as missing in a chunk.
      RecordedCounts wanted = stream.counts;
      for (const Gap& gap : stream.gaps)
        if (gap.cause == Absence::lost_upstream) {
          wanted.lost -= gap.count;
          wanted.missing += gap.count;
        }
      CHECK(counts == wanted);

      reader.seek({begin});
      CHECK(reader.next().value == begin);
      CHECK(reader.read(block).from.value == begin);
    }
  }
}

TEST_CASE("a reader tells gaps of all causes, one by one, also at the ends") {
  const Recording from = Numbered()
                             .gap({100, 10, 0, 10, Absence::missing})
                             .gap({110, 10, 10, 0, Absence::lost_upstream})
                             .gap({120, 10, 10, 0, Absence::lost})
                             .samples(130, 20)
                             .gap({150, 10, 4, 6, Absence::mixed})
                             .gap({160, 10, 10, 0, Absence::not_written})
                             .samples(170, 5)
                             .gap({175, 10, 10, 0, Absence::damaged})
                             .gap({185, 5, 3, 2, Absence::not_written})
                             .recording();
  Block block(from.streams()[0].info, 100);
  struct Told {
    std::uint64_t from, lost, missing, count;
    GapCause cause;
    bool mixed;
    Stop stop;
    bool operator==(const Told&) const = default;
  };
  const auto all = [&](const SampleRange& range) {
    std::vector<Told> list;
    RecordingReader reader(from, 0, range);
    for (;;) {
      const Chunk c = reader.read(block);
      if (told(c) == 0) {
        CHECK(c.stop == Stop::drained);
        return list;
      }
      if (c.first.value > c.from.value) CHECK(c.new_segment);
      if (c.count.value > 0)
        CHECK(block.values<std::int64_t>(0)[0] == static_cast<std::int64_t>(c.first.value));
      list.push_back(
          {c.from.value, c.lost.value, c.missing.value, c.count.value, c.cause, c.mixed, c.stop});
    }
  };
  const GapCause source = GapCause::source, upstream = GapCause::upstream;
  CHECK(all({}) == std::vector<Told>{{100, 0, 10, 0, source, false, Stop::gap},
                                     {110, 0, 10, 0, upstream, false, Stop::gap},
                                     {120, 10, 0, 20, source, false, Stop::gap},
                                     {150, 4, 6, 0, source, true, Stop::gap},
                                     {160, 10, 0, 5, source, false, Stop::gap},
                                     {175, 10, 0, 0, source, false, Stop::gap},
                                     {185, 3, 2, 0, source, true, Stop::drained}});
  CHECK(all({{105}, {115}}) == std::vector<Told>{{105, 0, 5, 0, source, false, Stop::gap},
                                                 {110, 0, 5, 0, upstream, false, Stop::drained}});
  // Of a mixed one the lost samples count first.
  CHECK(all({{145}, {153}}) == std::vector<Told>{{145, 0, 0, 5, source, false, Stop::gap},
                                                 {150, 3, 0, 0, source, true, Stop::drained}});
  CHECK(all({{153}, {160}}) == std::vector<Told>{{153, 1, 6, 0, source, true, Stop::drained}});
  CHECK(all({{155}, {157}}) == std::vector<Told>{{155, 0, 2, 0, source, true, Stop::drained}});
  CHECK(all({{131}, {140}}) == std::vector<Told>{{131, 0, 0, 9, source, false, Stop::drained}});
  CHECK(all({{300}, {400}}).empty());
  CHECK(all({{0}, {50}}).empty());
  CHECK(all({{140}, {130}}).empty());
}

TEST_CASE("a chunk of a recording never straddles a step or a calibration, and says why it ends") {
  const CalibrationSet first{Linear{2.0, 0.0}}, second{Linear{3.0, 0.0}};
  const Recording from = Numbered()
                             .samples(5, 10, false, first, 1)
                             .samples(15, 10, true, first, 1)
                             .samples(25, 10, false, second, 2)
                             .recording();
  RecordingReader reader(from, 0);
  Block block(from.streams()[0].info, 8);
  const auto next = [&] { return reader.read(block); };
  Chunk c = next();
  CHECK(c.first.value == 5);
  CHECK(c.count.value == 8);
  CHECK(c.stop == Stop::full);
  CHECK(c.new_segment);
  c = next();
  CHECK(c.count.value == 2);
  CHECK(c.stop == Stop::time_step);
  CHECK_FALSE(c.new_segment);
  c = next();
  CHECK(c.new_segment);
  CHECK(c.clock_time == Time(1007));
  CHECK(c.time == Time(1007) + std::chrono::milliseconds(1500));
  c = next();
  CHECK(c.count.value == 2);
  CHECK(c.stop == Stop::calibration);
  CHECK(reader.calibrations(c.calibrations) == first);
  c = next();
  CHECK(c.first.value == 25);
  CHECK_FALSE(c.new_segment);
  CHECK(reader.calibrations(c.calibrations) == second);
  c = next();
  CHECK(c.count.value == 2);
  CHECK(c.stop == Stop::drained);
  CHECK(told(next()) == 0);
}

TEST_CASE("a stream of nothing, and one of gaps alone, are read to their end") {
  {
    const Recording from = Numbered().recording();
    RecordingReader reader(from, 0);
    Block block(from.streams()[0].info, 8);
    CHECK(told(reader.read(block)) == 0);
    reader.seek({7});
    CHECK(reader.next().value == 0);
    CHECK(told(RecordingReader(from, 0, {{3}, {9}}).read(block)) == 0);
  }
  const Recording from = Numbered().gap({1'000, 8, 8, 0, Absence::lost}).recording();
  RecordingReader reader(from, 0);
  Block block(from.streams()[0].info, 8);
  const Chunk chunk = reader.read(block);
  CHECK(chunk.from.value == 1'000);
  CHECK(chunk.lost.value == 8);
  CHECK(reader.calibrations(chunk.calibrations).size() == 1);
  CHECK(told(reader.read(block)) == 0);
}

TEST_CASE("a reader stands where it was after rows that can't be read") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  {
    CsvSink sink(path, Existing::refuse);
    StreamInfo info = make_info({SampleType::int32});
    Stream stream(info);
    Writer<std::int32_t> writer(stream);
    StreamReader reader(stream);
    sink.begin(recording_of({info}));
    for (int i = 0; i < 100; ++i) writer.push(i);
    writer.gap({5});
    for (int i = 0; i < 100; ++i) writer.push(i);
    drain(reader, sink);
    sink.close({});
  }
  std::string text = contents(path);
  text[text.find("\r\n50,") + 12] ^= 1;
  write_text(path, text);
  const Recording from = Recording::open(path);
  RecordingReader reader(from, 0, {{102}});
  Block block(from.streams()[0].info, 8);
  CHECK_FALSE(message_of([&] { (void)reader.read(block); }).empty());
  CHECK(reader.next().value == 102);
}

TEST_CASE("indices that are not there, and no room, are refused in words") {
  const StreamInfo info = make_info({SampleType::int16});
  Stream stream(info);
  Writer<std::int16_t> writer(stream);
  StreamReader live(stream);
  auto memory = std::make_shared<MemorySink>();
  memory->begin(recording_of({info}));
  for (std::int16_t i = 0; i < 10; ++i) writer.push(i);
  drain(live, *memory);
  memory->close({});
  const Recording from = Recording::of(memory);
  std::vector<double> out(5);
  std::vector<Quality> quality(2);
  Block small(info, 4), none(info, 0);
  RecordingReader reader(from, 0);
  CHECK(contains(message_of([&] { from.read_calibrated(0, 5, 0, out); }), "no channel 5"));
  CHECK(contains(message_of([&] { from.read_calibrated(9, 0, 0, out); }), "no stream 9"));
  CHECK(contains(message_of([&] { from.read_calibrated(0, 0, 0, out, quality); }), "quality"));
  CHECK(contains(message_of([&] { from.read(0, 0, 5, small); }), "block of 4"));
  CHECK(contains(message_of([&] { RecordingReader(from, 0, {}, {7}); }), "no channel 7"));
  CHECK(contains(message_of([&] { RecordingReader(from, 9); }), "no stream 9"));
  CHECK(contains(message_of([&] { (void)reader.read(none); }), "without room"));
  CHECK(contains(message_of([&] { (void)rows(from, 9, TimeRange{}); }), "no stream 9"));
  CHECK(contains(message_of([&] { (void)row_at(from, 9, Time(0)); }), "no stream 9"));
  CHECK(contains(message_of([&] { (void)values_at(from, 9, Time(0)); }), "no stream 9"));
  CHECK(contains(message_of([&] { (void)envelope(from, 9, 0, {0, 1}, 1); }), "no stream 9"));
  CHECK(contains(message_of([&] { (void)envelope(from, 0, 7, {0, 1}, 1); }), "no channel 7"));
  CHECK_FALSE(message_of([] { (void)Recording::of(nullptr); }).empty());
}
