#include "spillway/storage/copy.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>
#include <random>

#include "faulty_files.hpp"
#include "random_recording.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/npy_sink.hpp"
#include "spillway/storage/verify.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

void copy_whole(const Recording& from, Sink& to) {
  REQUIRE(copy(from, to));
  to.close(ending_of(from));
}

// What differences() does not look at.
void check_same_around(const Recording& a, const Recording& b) {
  CHECK(a.state() == b.state());
  CHECK(a.end_time() == b.end_time());
  CHECK(a.status() == b.status());
  CHECK(a.events() == b.events());
  CHECK(a.log() == b.log());
  REQUIRE(a.streams().size() == b.streams().size());
  for (std::size_t s = 0; s < a.streams().size(); ++s) {
    CHECK(a.streams()[s].segments == b.streams()[s].segments);
    CHECK(a.streams()[s].gaps == b.streams()[s].gaps);
    CHECK(a.streams()[s].counts == b.streams()[s].counts);
    CHECK(a.streams()[s].anchors.size() == b.streams()[s].anchors.size());
  }
}

}  // namespace

TEST_CASE("a recording copied from memory to HDF5, to CSV and to memory again is the same") {
  for (std::uint64_t n = 0; n < soak(15); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    TemporaryDirectory directory;
    RandomRecording made(seed, RandomRecording::long_one, false);
    auto memory = std::make_shared<MemorySink>();
    made.run(memory.get(), [](const Extent&) {});
    memory->close({n % 2 == 0, n % 2 == 0 ? "" : "a full disk", false, "2026-05-04T11:00:00.000Z"});
    Expectation all{made.appended(), true, false, {}};

    const Recording first = Recording::of(memory);
    REQUIRE(differences(first, made.truth(), all) == "");
    copy_whole(first, *SinkChoice::random(SinkChoice::Format::hdf5, Durability::none, seed)
                           .make(directory / "a.h5", system_file_calls()));
    const Recording second = Recording::open(directory / "a.h5");
    CHECK(differences(second, made.truth(), all) == "");
    check_same_around(first, second);
    CHECK(verify(directory / "a.h5").findings.empty());

    copy_whole(second, *SinkChoice::random(SinkChoice::Format::csv_long, Durability::none, seed)
                            .make(directory / "a.csv", system_file_calls()));
    all.csv = true;
    const Recording third = Recording::open(directory / "a.csv");
    CHECK(differences(third, made.truth(), all) == "");
    check_same_around(first, third);

    auto again = std::make_shared<MemorySink>();
    copy_whole(third, *again);
    const Recording fourth = Recording::of(again);
    CHECK(differences(fourth, made.truth(), all) == "");
    check_same_around(first, fourth);
  }
}

TEST_CASE("samples of every type, and the state of the nodes, survive a copy") {
  TemporaryDirectory directory;
  const StreamInfo info =
      make_info({SampleType::int8, SampleType::uint8, SampleType::int16, SampleType::uint16,
                 SampleType::int32, SampleType::uint32, SampleType::int64, SampleType::uint64,
                 SampleType::float32, SampleType::float64});
  RecordingInfo about = recording_of({info}, "all types");
  about.state = std::string("any\0bytes\xff", 10);
  auto memory = std::make_shared<MemorySink>();
  memory->begin(about);
  Block block(info, 100);
  for (std::size_t c = 0; c < info.channels.size(); ++c)
    for (std::size_t i = 0; i < 100 * sample_size(block.type(c)); ++i)
      // Floats that are no NaN.
      block.bytes(c)[i] = std::byte{static_cast<unsigned char>((i * 37 + c) % 120)};
  Chunk chunk;
  chunk.count = {100};
  memory->append(0, chunk, block, CalibrationSet(10));
  memory->close({});
  const Recording from = Recording::of(memory);
  copy_whole(from, *SinkChoice{}.make(directory / "a.h5", system_file_calls()));
  const Recording file = Recording::open(directory / "a.h5");
  SinkChoice csv;
  csv.format = SinkChoice::Format::csv;
  copy_whole(file, *csv.make(directory / "a.csv", system_file_calls()));
  const Recording text = Recording::open(directory / "a.csv");
  auto again = std::make_shared<MemorySink>();
  copy_whole(text, *again);
  check_same_around(from, file);
  check_same_around(from, text);
  CHECK(text.state() == about.state);
  for (std::size_t c = 0; c < info.channels.size(); ++c) {
    const auto a = memory->bytes(0, c), b = again->bytes(0, c);
    CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
  }
}

TEST_CASE("a part of a recording has the rows in the range, as they are, and the gaps between") {
  std::uint64_t parts = 0;
  for (std::uint64_t n = 0; n < soak(20); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    RandomRecording made(seed, RandomRecording::long_one, false);
    auto memory = std::make_shared<MemorySink>();
    made.run(memory.get(), [](const Extent&) {});
    const Recording from = Recording::of(memory);
    const std::size_t which = random() % from.streams().size();
    const RecordedStream& stream = from.streams()[which];
    if (stream.rows == 0) continue;
    const auto some_time = [&] {
      Time t;
      from.read_times(which, random() % stream.rows, {&t, 1});
      return t + Time(static_cast<std::int64_t>(random() % 3) - 1);
    };
    for (int i = 0; i < 10; ++i) {
      Selection selection{{stream.info.name}, {some_time(), some_time()}};
      const RowRange wanted = rows(from, which, selection.times);
      auto part = std::make_shared<MemorySink>();
      REQUIRE(copy(from, *part, selection));
      const Recording to = Recording::of(part);
      REQUIRE(to.streams().size() == 1);
      const RecordedStream& have = to.streams()[0];
      REQUIRE(have.rows == wanted.count());
      CHECK(to.state().empty());
      CHECK(to.events().empty());
      CHECK(have.counts.recorded + have.counts.lost + have.counts.missing == have.counts.produced);
      if (have.rows == 0) {
        CHECK(have.counts.produced == 0);
        CHECK(have.anchors.empty());
        continue;
      }
      ++parts;
      for (std::uint64_t row = 0; row < have.rows; ++row)
        REQUIRE(have.number(row) == stream.number(wanted.begin + row));
      std::vector<Time> a(have.rows), b(have.rows);
      to.read_times(0, 0, a);
      from.read_times(which, wanted.begin, b);
      CHECK(a == b);
      for (std::size_t c = 0; c < stream.info.channels.size(); ++c) {
        const std::size_t bytes = sample_size(stream.info.channels[c].type);
        const auto all = memory->bytes(which, c).subspan(wanted.begin * bytes);
        const auto some = part->bytes(0, c);
        CHECK(std::equal(some.begin(), some.end(), all.begin()));
        std::vector<double> x(have.rows), y(have.rows);
        to.read_calibrated(0, c, 0, x);
        from.read_calibrated(which, c, wanted.begin, y);
        CHECK(std::equal(x.begin(), x.end(), y.begin(), [](double p, double q) {
          return p == q || (std::isnan(p) && std::isnan(q));
        }));
      }
      // Gaps between two rows, and at an end that is not cut.
      const std::uint64_t first = wanted.begin == 0 ? 0 : stream.number(wanted.begin).value;
      const std::uint64_t end =
          wanted.end == stream.rows ? UINT64_MAX : stream.number(wanted.end - 1).value + 1;
      std::vector<Gap> gaps;
      for (const Gap& gap : stream.gaps)
        if (gap.first_sample >= first && gap.first_sample < end) gaps.push_back(gap);
      CHECK(have.gaps == gaps);
      std::vector<std::uint64_t> anchors, wanted_anchors;
      for (const Anchor& anchor : have.anchors) anchors.push_back(anchor.ticks);
      for (const Anchor& anchor : stream.anchors)
        if (anchor.sample.value >= first && anchor.sample.value < end)
          wanted_anchors.push_back(anchor.ticks);
      CHECK(anchors == wanted_anchors);
    }
  }
  CHECK(parts > 20);
}

TEST_CASE("a copy tells how far it is, and ends early if asked") {
  RandomRecording made(11, RandomRecording::long_one, false);
  auto memory = std::make_shared<MemorySink>();
  made.run(memory.get(), [](const Extent&) {});
  const Recording from = Recording::of(memory);
  double last = 0.0;
  bool rising = true;
  MemorySink all;
  CHECK(copy(from, all, {}, [&](double done) {
    rising &= done >= last && done <= 1.0;
    last = done;
    return true;
  }));
  CHECK(rising);
  CHECK(last == 1.0);
  MemorySink some;
  CHECK_FALSE(copy(from, some, {}, [](double) { return false; }));
  CHECK(some.bytes_written() < all.bytes_written());
}

TEST_CASE("streams to copy are named once, and are there") {
  RandomRecording made(5, RandomRecording::short_one, true);
  auto memory = std::make_shared<MemorySink>();
  made.run(memory.get(), [](const Extent&) {});
  const Recording from = Recording::of(memory);
  CHECK(contains(message_of([&] { (void)info_of(from, {{"no"}, {}}); }), "it has 'stream 0'"));
  CHECK(contains(message_of([&] {
                   (void)info_of(from, {{"stream 0", "stream 0"}, {}});
                 }),
                 "twice"));
  CHECK(info_of(from, {{"stream 0"}, {}}).streams.size() == 1);
}

TEST_CASE("when a recording began and ended is known of a copy as far as of the original") {
  RecordingInfo info = recording_of({make_info({SampleType::int8})});
  info.start_time = unknown_time;
  Ending ending;
  ending.end_time = unknown_time;
  auto memory = std::make_shared<MemorySink>();
  memory->begin(info);
  memory->close(ending);
  const Recording unknown = Recording::of(memory);
  CHECK(unknown.start_time().empty());
  CHECK(unknown.end_time().empty());
  info.start_time = "2026-05-04T10:00:00.000Z";
  ending.end_time = "2026-05-04T11:00:00.000Z";
  memory = std::make_shared<MemorySink>();
  memory->begin(info);
  memory->close(ending);
  const Recording known = Recording::of(memory);
  memory = std::make_shared<MemorySink>();
  memory->begin(info);
  const Recording unfinished = Recording::of(memory);
  for (const Recording* from : {&unknown, &known, &unfinished})
    for (const SinkChoice::Format format : {SinkChoice::Format::hdf5, SinkChoice::Format::csv}) {
      TemporaryDirectory directory;
      const std::string path = directory / (format == SinkChoice::Format::csv ? "a.csv" : "a.h5");
      copy_whole(*from, *SinkChoice::random(format, Durability::process, new_seed())
                             .make(path, system_file_calls()));
      const Recording copied = Recording::open(path);
      CHECK(copied.start_time() == from->start_time());
      CHECK(copied.end_time() == from->end_time());
      CHECK(verify(path).findings.empty());
      MemorySink again;
      copy_whole(copied, again);
      CHECK(again.info().start_time == from->start_time());
      // A part, as an array.
      const auto array = make_npy_sink({.path = directory / "a.npy"});
      copy_whole(copied, *array);
      CHECK(Recording::open(directory / "a.npy").start_time() == from->start_time());
      CHECK(Recording::open(directory / "a.npy").end_time() == from->end_time());
    }
  // Who says nothing began now.
  MemorySink now;
  now.begin(recording_of({make_info({SampleType::int8})}));
  CHECK_FALSE(now.info().start_time.empty());
}

TEST_CASE("a copy of what is not finished is not complete") {
  auto memory = std::make_shared<MemorySink>();
  memory->begin(recording_of({make_info({SampleType::int8})}));
  CHECK_FALSE(ending_of(Recording::of(memory)).complete);
  Ending ending;
  ending.recovered = true;
  ending.reason = "to the end";
  memory->close(ending);
  const Ending copied = ending_of(Recording::of(memory));
  CHECK(copied.recovered);
  CHECK(copied.reason == "to the end");
  CHECK(copied.end_time.empty());
}

TEST_CASE("a selection of samples or channels of a stream that is not there is refused") {
  auto memory = std::make_shared<MemorySink>();
  memory->begin(recording_of({make_info({SampleType::int16})}));
  memory->close({});
  const Recording from = Recording::of(memory);
  MemorySink to;
  CHECK(contains(message_of([&] { copy(from, to, {.channels = {{"none", {"ch0"}}}}); }), "'none'"));
  CHECK(contains(message_of([&] { copy(from, to, {.samples = {{"none", {}}}}); }), "'none'"));
}

TEST_CASE("a sink refuses numbers that jump without a word, and says so when it is sealed") {
  const bool by_gap = GENERATE(false, true);
  TemporaryDirectory directory;
  const StreamInfo info = make_info({SampleType::int16});
  const auto check = [&](Sink& sink, const auto& reopened) {
    Stream stream(info);
    Writer<std::int16_t> writer(stream);
    StreamReader reader(stream);
    sink.begin(recording_of({info}));
    writer.push(1);
    drain(reader, sink);
    writer.gap({3});
    drain(reader, sink);
    Chunk jump;
    jump.from = jump.first = {9};
    jump.count = {1};
    const Block block(info, 1);
    const std::string refusal = message_of([&] {
      if (by_gap)
        sink.append_gap(0, {9, 1, 1, 0, Absence::lost});
      else
        sink.append(0, jump, block, CalibrationSet(1));
    });
    CHECK(contains(refusal, "goes on at sample 4, not at 9"));
    sink.close({});
    const Recording recording = reopened();
    CHECK(recording.status() == "incomplete: " + refusal);
    CHECK(recording.streams()[0].counts == RecordedCounts{4, 1, 0, 3});
    CHECK(recording.streams()[0].gaps == std::vector<Gap>{{1, 3, 0, 3, Absence::missing}});
  };
  auto memory = std::make_shared<MemorySink>();
  check(*memory, [&] { return Recording::of(memory); });
  for (const auto format : {SinkChoice::Format::hdf5, SinkChoice::Format::csv_long}) {
    const std::string path = directory / (format == SinkChoice::Format::hdf5 ? "a.h5" : "a.csv");
    const auto sink =
        SinkChoice::random(format, Durability::none, 1).make(path, system_file_calls());
    check(*sink, [&] { return Recording::open(path); });
  }
  const auto npy = make_npy_sink({.path = directory / "a.npy"});
  check(*npy, [&] { return Recording::open(directory / "a.npy"); });
}

TEST_CASE("a sink that could not write once is sealed as incomplete, whatever it is told") {
  TemporaryDirectory directory;
  const StreamInfo info = make_info({SampleType::int16});
  for (const auto format : {SinkChoice::Format::hdf5, SinkChoice::Format::csv}) {
    for (const char* told : {"", "stopped"}) {
      const std::string path = directory / (format == SinkChoice::Format::hdf5 ? "b.h5" : "b.csv");
      CAPTURE(path, told);
      FaultyFiles files;
      Stream stream(info);
      Writer<std::int16_t> writer(stream);
      StreamReader reader(stream);
      const auto sink = SinkChoice{.format = format}.make(path, files, Existing::replace);
      sink->begin(recording_of({info}));
      for (std::int16_t i = 0; i < 100; ++i) writer.push(i);
      drain(reader, *sink);
      sink->flush();
      writer.push(100);
      drain(reader, *sink);
      files.add({.call = FileCall::pwrite, .suffix = ".part", .count = 1, .error = ENOSPC});
      const std::string failure = message_of([&] { sink->flush(); });
      REQUIRE(contains(failure, "No space left"));
      REQUIRE(files.struck() == 1);
      sink->close({.complete = *told == '\0', .reason = told});
      const Recording recording = Recording::open(path);
      CHECK(recording.status() == "incomplete: " + (*told == '\0' ? failure : told));
    }
  }
}
