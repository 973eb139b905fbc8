#include "spillway/storage/numbered_sink.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <random>

#include "faulty_files.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_master.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/verify.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

// One stream, its writer and its reader.
struct Feed {
  explicit Feed(const StreamInfo& info) : stream(info), writer(stream), reader(stream) {}
  Stream stream;
  Writer<double> writer;
  StreamReader reader;
  void push(int count) {
    for (int i = 0; i < count; ++i) writer.push(static_cast<double>(writer.next().value));
    writer.flush();
  }
  void drain_to(Sink& sink, std::size_t index) {
    Block block(stream.info(), 64);
    for (Stop stop = Stop::full; stop != Stop::drained;) {
      const Chunk chunk = reader.read(block);
      sink.append(index, chunk, block, reader.calibrations(chunk.calibrations));
      stop = chunk.stop;
    }
  }
};

NumberedSink::Make hdf5(Existing existing = Existing::refuse) {
  return [existing](const std::string& path) { return std::make_unique<Hdf5Sink>(path, existing); };
}

std::string file(const TemporaryDirectory& directory, int number) {
  return directory / fmt::format("run-{:04}.h5", number);
}

constexpr Split each_flush{.duration = 1ns};

// As a recorder without a graph does.
void flush(NumberedSink& sink, const RecordingInfo& info,
           const std::vector<std::string>& log = {}) {
  sink.flush();
  if (sink.is_due()) CHECK(sink.go_on(info, log));
}

}  // namespace

TEST_CASE("NumberedSink: every file is a recording, and numbers, calibration and stamps go on") {
  const TemporaryDirectory directory;
  StreamInfo info = make_info({SampleType::float64});
  info.channels[0].calibration = Linear{2.0, 1.0};
  Feed feed(info);
  std::vector<FileNote> notes;
  NumberedSink sink({.path = directory / "run.h5",
                     .split = each_flush,
                     .tell = [&](const FileNote& note) { notes.push_back(note); }},
                    hdf5());
  CHECK(sink.name() == file(directory, 1));
  RecordingInfo recording = recording_of({info}, "a run");
  recording.provenance = R"({"nodes":[]})";
  sink.begin(recording);
  sink.append_log(R"({"part":0,"begin":{"streams":["stream"],"nodes":[]}})");
  feed.push(100);
  feed.writer.stamp({Time(100'000'000), 7});
  drain(feed.reader, sink);
  sink.append_log(R"({"part":0,"loss":{"input":"stream","from":3}})");
  sink.append_log(R"({"part":0,"changed":{"at":[50],"nodes":[]}})");
  const std::vector<std::string> log{R"({"part":0,"begin":{"streams":["stream"],"nodes":[]}})"};
  recording.state = std::string("the\0state", 9);
  sink.flush();
  CHECK(sink.is_due());
  CHECK_FALSE(exists(file(directory, 1)));
  REQUIRE(sink.go_on(recording, log));
  CHECK(exists(file(directory, 1)));
  CHECK_FALSE(sink.is_due());
  // Nothing has come for it.
  CHECK_FALSE(exists(file(directory, 2) + ".part"));
  sink.append_event({1, "between", "", 0, 0, "two files"});
  sink.append_log(R"({"part":0,"loss":{"input":"stream","from":100}})");
  flush(sink, recording);
  feed.writer.gap({5});
  feed.writer.calibrate(0, Linear{3.0, 0.0});
  feed.push(50);
  drain(feed.reader, sink);
  recording.state = "another";
  flush(sink, recording, log);
  feed.push(10);
  drain(feed.reader, sink);
  sink.close({});
  CHECK(sink.end(0).value == 165);

  std::uint64_t next = 0;
  std::string run;
  for (int number = 1; number <= 3; ++number) {
    const Recording part = Recording::open(file(directory, number));
    CAPTURE(number);
    CHECK(part.status() == "complete");
    CHECK(part.title() == "a run");
    const RecordedStream& stream = part.streams().at(0);
    CHECK(stream.info.channels[0].unit == "V");
    std::uint64_t begin = stream.segments.at(0).first_sample;
    if (!stream.gaps.empty()) begin = std::min(begin, stream.gaps[0].first_sample);
    CHECK(begin == next);
    next += stream.counts.produced;
    std::vector<double> raw(stream.rows);
    part.read_raw<double>(0, 0, 0, raw);
    for (std::uint64_t row = 0; row < stream.rows; ++row)
      REQUIRE(raw[row] == static_cast<double>(stream.number(row).value));
    // What is in force stands in each.
    std::vector<double> calibrated(stream.rows);
    part.read_calibrated(0, 0, 0, calibrated);
    CHECK(calibrated[0] == (number == 1 ? 2.0 * raw[0] + 1.0 : 3.0 * raw[0]));
    REQUIRE(stream.anchors.size() == 1);
    CHECK(stream.anchors[0].ticks == 7);
    const std::string& provenance = part.provenance();
    CHECK(contains(provenance, fmt::format("\"part\":{}", number)));
    CHECK(contains(provenance, "\"first\":\"run-0001.h5\""));
    CHECK(contains(provenance, "\"nodes\""));
    const std::string id = provenance.substr(provenance.find("\"run\""), 42);
    if (number > 1) CHECK(id == run);
    run = id;
    const std::vector<std::string> lines = part.log();
    REQUIRE(lines.size() == (number == 1 ? 3 : number == 2 ? 2 : 1));
    CHECK(lines[0] == log[0]);
    if (number == 2) CHECK(contains(lines[1], "\"from\":100"));
    CHECK(part.state() == (number == 1   ? std::string()
                           : number == 2 ? std::string("the\0state", 9)
                                         : std::string("another")));
    CHECK(part.events().size() == (number == 2 ? 1 : 0));
  }
  CHECK(next == 165);
  REQUIRE(notes.size() == 4);
  CHECK(notes[0].kind == FileNote::Kind::sealed);
  CHECK(notes[0].path == file(directory, 1));
  CHECK(notes[1].kind == FileNote::Kind::begun);
  CHECK(notes[1].path == file(directory, 2));
}

TEST_CASE("NumberedSink: splits by bytes at a flush, and only then") {
  const TemporaryDirectory directory;
  Feed feed(make_info({SampleType::float64}));
  NumberedSink sink({.path = directory / "run.h5", .split = {.bytes = 1}},
                    [](const std::string&) { return std::make_unique<MemorySink>(); });
  const RecordingInfo info = recording_of({feed.stream.info()});
  sink.begin(info);
  flush(sink, info);
  CHECK(sink.name() == file(directory, 1));
  feed.push(1000);
  drain(feed.reader, sink);
  sink.append_gap(0, {1000, 2, 2, 0, Absence::not_written});
  CHECK(sink.name() == file(directory, 1));
  flush(sink, info);
  sink.append_gap(0, {1002, 3, 3, 0, Absence::not_written});
  CHECK(sink.name() == file(directory, 2));
  sink.close({});
  CHECK(sink.end(0).value == 1005);
}

TEST_CASE("NumberedSink: streams come and go from file to file, and a master shows all of them") {
  const TemporaryDirectory directory;
  StreamInfo info = make_info({SampleType::float64});
  Feed feed(info);
  info.name = "other";
  Feed other(info);
  Hdf5Master master(directory / "run.h5", Existing::refuse);
  NumberedSink sink({.path = directory / "run.h5",
                     .split = {.duration = 24h},
                     .make_master = [&](const auto& files) { master.update(files); }},
                    hdf5());
  const RecordingInfo one = recording_of({feed.stream.info()});
  const RecordingInfo both = recording_of({other.stream.info(), feed.stream.info()});
  sink.begin(one);
  feed.push(10);
  drain(feed.reader, sink);
  REQUIRE(sink.go_on(both, {}));
  other.writer.gap({3});
  other.push(20);
  other.drain_to(sink, 0);
  feed.push(5);
  feed.drain_to(sink, 1);
  REQUIRE(sink.go_on(one, {}));
  CHECK(sink.end(0).value == 15);
  feed.push(1);
  drain(feed.reader, sink);
  REQUIRE(sink.go_on(both, {}));
  CHECK(sink.end(0).value == 23);
  other.push(1);
  other.drain_to(sink, 0);
  sink.close({});
  CHECK(sink.end(0).value == 24);
  CHECK(sink.end(1).value == 16);
  const Recording whole = Recording::open(directory / "run.h5");
  REQUIRE(whole.streams().size() == 2);
  for (const RecordedStream& stream : whole.streams()) {
    const bool is_other = stream.info.name == "other";
    CHECK(stream.counts ==
          (is_other ? RecordedCounts{24, 21, 0, 3} : RecordedCounts{16, 16, 0, 0}));
    std::vector<double> values(stream.rows);
    whole.read_raw<double>(whole.find(stream.info.name), 0, 0, values);
    for (std::uint64_t row = 0; row < stream.rows; ++row)
      REQUIRE(values[row] == static_cast<double>(stream.number(row).value));
  }
}

namespace {

// Three files of 100, 200 and 300 rows of an irregular stream, and their master.
void make_three(const TemporaryDirectory& directory) {
  StreamInfo info = make_info({SampleType::float64});
  info.rate.reset();
  Stream stream(info);
  StreamWriter writer(stream);
  StreamReader reader(stream);
  Hdf5Master master(directory / "run.h5", Existing::refuse);
  NumberedSink sink({.path = directory / "run.h5",
                     .split = each_flush,
                     .make_master = [&](const auto& files) { master.update(files); }},
                    hdf5());
  const RecordingInfo recording = recording_of({info});
  sink.begin(recording);
  for (const int count : {100, 200, 300}) {
    for (int i = 0; i < count; ++i) {
      const double x = 1000.0 + static_cast<double>(writer.next().value);
      const std::array<const void*, 1> lanes{&x};
      const Time time(static_cast<std::int64_t>(1'000'000 * (writer.next().value + 1)));
      writer.push_lanes(lanes, {1}, {}, {&time, 1});
    }
    drain(reader, sink);
    flush(sink, recording);
  }
  sink.close({});
}

std::string where_of(const VerifyFinding& finding) { return finding.where; }

}  // namespace

TEST_CASE("Hdf5Master: what is damaged in a file is not read through it") {
  const TemporaryDirectory directory;
  make_three(directory);
  const std::string master = directory / "run.h5";
  const VerifyReport whole = verify(master);
  CHECK(whole.findings.empty());
  REQUIRE(whole.remarks.size() == 1);
  CHECK(contains(whole.remarks[0], "is the master of 3 numbered files"));
  CHECK_FALSE(contains(whole.remarks[0], "not closed properly"));
  CHECK(Recording::open(master).other_files() ==
        std::vector{file(directory, 1), file(directory, 2), file(directory, 3)});
  std::vector<double> x(600);
  Recording::open(master).read_raw<double>(0, 0, 0, x);
  for (std::size_t row = 0; row < x.size(); ++row)
    REQUIRE(x[row] == 1000.0 + static_cast<double>(row));

  std::string bytes = contents(file(directory, 2));
  const double damaged = 1150.0;
  std::string pattern(sizeof damaged, '\0');
  std::memcpy(pattern.data(), &damaged, sizeof damaged);
  const std::size_t at = bytes.find(pattern);
  REQUIRE(at != std::string::npos);
  bytes[at] ^= 4;
  write_text(file(directory, 2), bytes);
  {
    const Recording recording = Recording::open(master);
    const std::string message = message_of([&] { recording.read_raw<double>(0, 0, 0, x); });
    CHECK(contains(message, file(directory, 2)));
    CHECK(contains(message, "wrong checksum"));
    // The others can be read.
    recording.read_raw<double>(0, 0, 0, std::span(x).first(100));
    recording.read_raw<double>(0, 0, 300, std::span(x).first(300));
    CHECK(x[299] == 1599.0);
  }
  const VerifyReport report = verify(master);
  const VerifyReport alone = verify(file(directory, 2));
  REQUIRE(alone.findings.size() == 1);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == VerifyFinding::Kind::checksum);
  CHECK(report.findings[0].where == "run-0002.h5: " + alone.findings[0].where);

  // Between the chunks: HDF5 does not get to see it.
  bytes[at] ^= 4;
  bytes[bytes.find("standard_name")] ^= 1;
  write_text(file(directory, 2), bytes);
  const Recording recording = Recording::open(master);
  for (int times = 0; times < 2; ++times)
    CHECK(
        contains(message_of([&] { recording.read_raw<double>(0, 0, 100, std::span(x).first(1)); }),
                 file(directory, 2) + ": is damaged in bytes"));
  CHECK_FALSE(verify(master).findings.empty());
}

TEST_CASE("Hdf5Master: another file in the place of one of its own is told") {
  const TemporaryDirectory directory;
  make_three(directory);
  std::vector<double> x(1);
  const auto read = [&] {
    return message_of(
        [&] { Recording::open(directory / "run.h5").read_raw<double>(0, 0, 100, x); });
  };
  std::filesystem::copy_file(file(directory, 1), file(directory, 2),
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(contains(read(), "run-0002.h5: is not the file that"));
  CHECK(verify(directory / "run.h5").findings.size() >= 1);
  std::filesystem::copy_file(directory / "run.h5", file(directory, 2),
                             std::filesystem::copy_options::overwrite_existing);
  CHECK(contains(read(), "is a master itself"));
  const VerifyReport report = verify(directory / "run.h5");
  REQUIRE_FALSE(report.findings.empty());
  CHECK(contains(report.findings[0].what, "is a master itself"));
}

TEST_CASE("Hdf5Master: a file that is not there is named, and nothing that follows from it") {
  const TemporaryDirectory directory;
  make_three(directory);
  std::filesystem::remove(file(directory, 2));
  const VerifyReport report = verify(directory / "run.h5");
  std::vector<std::string> where;
  std::ranges::transform(report.findings, std::back_inserter(where), where_of);
  CHECK(where == std::vector<std::string>{"run-0002.h5"});
  CHECK(report.findings.at(0).what == "is not there");
  CHECK(Recording::open(directory / "run.h5").remarks() ==
        std::vector<std::string>{"run-0002.h5: is not there, its rows are Bad, missing"});
  std::filesystem::remove(file(directory, 3));
  const Recording recording = Recording::open(directory / "run.h5");
  CHECK(recording.remarks() ==
        std::vector<std::string>{
            "run-0002.h5, run-0003.h5: are not there, their rows are Bad, missing"});
  std::vector<double> x(600);
  std::vector<Quality> q(600);
  recording.read_raw<double>(0, 0, 0, x);
  recording.read_quality(0, 0, 0, q);
  CHECK(x[99] == 1099.0);
  CHECK(q[99].byte() == 0);
  CHECK(std::isnan(x[100]));
  CHECK(q[599].byte() == 0xFF);
}

TEST_CASE("NumberedSink: numbers that are taken are left out, and replaced only if asked for") {
  const TemporaryDirectory directory;
  const Existing existing = GENERATE(Existing::refuse, Existing::replace);
  write_text(file(directory, 2), "old");
  write_text(file(directory, 3) + ".part", "somebody's only copy");
  Feed feed(make_info({SampleType::float64}));
  NumberedSink sink({.path = directory / "run.h5", .existing = existing, .split = each_flush},
                    hdf5(existing));
  sink.begin(recording_of({feed.stream.info()}));
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) {
    feed.push(1);
    drain(feed.reader, sink);
    names.push_back(sink.name());
    flush(sink, recording_of({feed.stream.info()}));
  }
  sink.close({});
  const bool replaced = existing == Existing::replace;
  CHECK(names == std::vector<std::string>{file(directory, 1), file(directory, replaced ? 2 : 4),
                                          file(directory, replaced ? 4 : 5)});
  CHECK((contents(file(directory, 2)) == "old") != replaced);
  CHECK(contents(file(directory, 3) + ".part") == "somebody's only copy");
}

TEST_CASE("NumberedSink: deletes the oldest sealed files of its own run, and nothing else") {
  const TemporaryDirectory directory;
  // Of an earlier run, and of somebody else.
  write_text(file(directory, 3), "an earlier run");
  write_text(directory / "run-0099.h5", "somebody's");
  write_text(directory / "run.h5", "somebody's");
  Feed feed(make_info({SampleType::float64}));
  FaultyFiles calls;
  calls.add({.call = FileCall::unlink, .suffix = "run-0002.h5", .error = EPERM});
  std::vector<std::string> deleted, kept;
  const auto tell = [&](const FileNote& note) {
    if (note.kind == FileNote::Kind::deleted) deleted.push_back(note.path);
    if (note.kind == FileNote::Kind::not_deleted) {
      kept.push_back(note.path);
      CHECK(contains(note.text, "not permitted"));
    }
  };
  std::uint64_t size = 0;
  {
    NumberedSink one({.path = directory / "size.h5", .split = each_flush}, hdf5());
    Feed other(feed.stream.info());
    one.begin(recording_of({feed.stream.info()}));
    other.push(10);
    drain(other.reader, one);
    flush(one, recording_of({feed.stream.info()}));
    size = std::filesystem::file_size(directory / "size-0001.h5");
  }
  NumberedSink sink({.path = directory / "run.h5",
                     .split = each_flush,
                     .keep = {.bytes = 2 * size + size / 2},
                     .tell = tell},
                    hdf5(), calls);
  sink.begin(recording_of({feed.stream.info()}));
  for (int i = 0; i < 6; ++i) {
    feed.push(10);
    drain(feed.reader, sink);
    flush(sink, recording_of({feed.stream.info()}));
  }
  sink.close({});
  // 1, 2, 4, 5, 6, 7 were made.
  CHECK(deleted ==
        std::vector<std::string>{file(directory, 1), file(directory, 4), file(directory, 5)});
  CHECK(kept == std::vector<std::string>{file(directory, 2)});
  CHECK(exists(file(directory, 6)));
  CHECK(exists(file(directory, 7)));
  CHECK(contents(file(directory, 3)) == "an earlier run");
  CHECK(exists(directory / "run-0099.h5"));
  CHECK(exists(directory / "run.h5"));
}

TEST_CASE("NumberedSink: files that are too old go, but the newest") {
  const TemporaryDirectory directory;
  Feed feed(make_info({SampleType::float64}));
  NumberedSink sink({.path = directory / "run.h5", .split = each_flush, .keep = {.duration = 1ns}},
                    hdf5());
  sink.begin(recording_of({feed.stream.info()}));
  for (int i = 0; i < 4; ++i) {
    feed.push(10);
    drain(feed.reader, sink);
    flush(sink, recording_of({feed.stream.info()}));
    for (int number = 1; number <= i + 1; ++number)
      CHECK(exists(file(directory, number)) == (number == i + 1));
  }
  sink.close({});
}

TEST_CASE("NumberedSink: goes on in the next file when there is room, and not before") {
  const TemporaryDirectory directory;
  Feed feed(make_info({SampleType::float64}));
  FaultyFiles calls;
  constexpr std::int64_t mib = 1 << 20;
  const auto free = [&](std::int64_t bytes) {
    calls.clear();
    calls.add({.call = FileCall::free_bytes, .value = bytes});
  };
  free(5 * mib);
  NumberedSink sink({.path = directory / "run.h5"}, hdf5(), calls);
  CHECK(sink.name() == directory / "run.h5");
  sink.begin(recording_of({feed.stream.info()}));
  feed.push(10);
  drain(feed.reader, sink);
  sink.flush();
  sink.close({false, "the disk is full"});
  CHECK(sink.end(0).value == 10);
  CHECK(sink.resume() == Resumed::not_yet);
  free(63 * mib);
  CHECK(sink.resume() == Resumed::not_yet);
  free(64 * mib);
  CHECK(sink.resume() == Resumed::yes);
  CHECK(sink.name() == file(directory, 2));
  CHECK(sink.free_bytes() == 64 * mib);
  // Full again before anything was flushed: that file is worth nothing.
  feed.push(10);
  drain(feed.reader, sink);
  CHECK_THROWS_AS(sink.close({false, "full again"}), DiskFull);
  CHECK_FALSE(exists(file(directory, 2)));
  CHECK_FALSE(exists(file(directory, 2) + ".part"));
  CHECK(sink.end(0).value == 10);
  const Recording recording = Recording::open(directory / "run.h5");
  CHECK(contains(recording.status(), "incomplete: the disk is full"));
  CHECK(recording.streams().at(0).counts.recorded == 10);
}

TEST_CASE("Hdf5Master: shows all files as one, and a file that is gone reads as Bad") {
  const TemporaryDirectory directory;
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const bool fast = GENERATE(false, true);
  StreamInfo info = make_info({SampleType::float64, SampleType::int16}, 1 << 16,
                              fast ? Rate(100'000, 1) : Rate(1000, 1));
  Stream stream(info);
  StreamWriter writer(stream);
  StreamReader reader(stream);
  const auto push = [&](std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto x = static_cast<double>(writer.next().value);
      const auto y = static_cast<std::int16_t>(writer.next().value);
      const std::array<const void*, 2> lanes{&x, &y};
      writer.push_lanes(lanes, {1});
    }
  };
  const auto master = std::make_shared<Hdf5Master>(directory / "run.h5", Existing::refuse);
  CHECK_FALSE(exists(directory / "run.h5"));
  CHECK_FALSE(exists(directory / "run.h5.part"));
  std::vector<std::uint64_t> rows;
  {
    NumberedSink sink({.path = directory / "run.h5",
                       .split = each_flush,
                       .make_master = [&](const auto& files) { master->update(files); }},
                      hdf5());
    sink.begin(recording_of({info}));
    for (int part = 0; part < 4; ++part) {
      const std::uint64_t count = 1 + random() % 3000;
      push(count);
      drain(reader, sink);
      sink.append_event({part, "part", "", 0, 0, ""});
      sink.append_log(fmt::format(R"({{"part":0,"begin":{}}})", part));
      flush(sink, recording_of({info}));
      rows.push_back(count);
      if (part == 1) writer.gap({7});
      const Recording whole = Recording::open(directory / "run.h5");
      CHECK(whole.status() == "complete");
      const RecordedStream& s = whole.streams().at(0);
      std::uint64_t total = 0;
      for (const std::uint64_t n : rows) total += n;
      REQUIRE(s.rows == total);
      CHECK(s.counts.recorded == total);
      CHECK(s.counts.missing == (part > 1 ? 7 : 0));
      CHECK(s.segments.size() == (part > 1 ? 2 : 1));
      CHECK(s.calibrations.size() == 1);
      CHECK(whole.log() == std::vector<std::string>{R"({"part":0,"begin":0})"});
      CHECK(whole.events().size() == static_cast<std::size_t>(part) + 1);
      std::vector<double> x(total);
      std::vector<std::int16_t> y(total);
      whole.read_raw<double>(0, 0, 0, x);
      whole.read_raw<std::int16_t>(0, 1, 0, y);
      for (std::uint64_t row = 0; row < total; ++row) {
        REQUIRE(x[row] == static_cast<double>(s.number(row).value));
        REQUIRE(y[row] == static_cast<std::int16_t>(s.number(row).value));
      }
    }
    sink.close({});
  }
  // Not there any more: it is told, and not taken for zeros.
  std::filesystem::remove(file(directory, 2));
  const Recording whole = Recording::open(directory / "run.h5");
  const std::uint64_t total = whole.streams().at(0).rows;
  std::vector<double> x(total);
  std::vector<Quality> q(total);
  whole.read_raw<double>(0, 0, 0, x);
  whole.read_quality(0, 0, 0, q);
  for (std::uint64_t row = 0; row < total; ++row) {
    const bool gone = row >= rows[0] && row < rows[0] + rows[1];
    REQUIRE(std::isnan(x[row]) == gone);
    REQUIRE(q[row].byte() == (gone ? 0xFF : 0));
  }
  // Nobody's file is taken for a master.
  write_text(directory / "other.h5", "somebody's");
  CHECK(contains(message_of([&] { Hdf5Master(directory / "other.h5", Existing::refuse); }),
                 "exists already"));
}
