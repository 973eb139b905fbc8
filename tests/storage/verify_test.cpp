#include "spillway/storage/verify.hpp"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <random>

#include "random_recording.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/journal.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Format = SinkChoice::Format;
using Kind = VerifyFinding::Kind;

std::string words(const VerifyReport& report) {
  std::string text;
  for (const VerifyFinding& f : report.findings)
    text += fmt::format("{}: {}: {}\n", to_string(f.kind), f.where, f.what);
  return text;
}

std::string path_of(const SinkChoice& choice) {
  return std::string(SimulatedDisk::directory) + "/run" + choice.suffix();
}

// Sealed, or as it is when its recorder dies.
void record(RandomRecording& recording, const SinkChoice& choice, SimulatedDisk& disk, bool seal) {
  const std::unique_ptr<Sink> sink = choice.make(path_of(choice), disk);
  recording.run(sink.get(), [](const Extent&) {});
  if (seal)
    sink->close({});
  else
    sink->flush();
}

// Whether a finding names a range that has this byte.
bool names(const VerifyReport& report, std::uint64_t at) {
  for (const VerifyFinding& f : report.findings)
    for (const std::string& text : {f.where, f.what})
      for (std::size_t found = text.find("bytes "); found != std::string::npos;
           found = text.find("bytes ", found + 1)) {
        unsigned long long first = 0;
        unsigned long long last = 0;
        if (std::sscanf(text.c_str() + found, "bytes %llu to %llu", &first, &last) == 2 &&
            first <= at && at <= last)
          return true;
      }
  return false;
}

// All of it, for comparing: throws Error where something can't be read.
std::string everything(const std::string& path) {
  const Recording r = Recording::open(path);
  std::string all = r.title() + r.start_time() + r.end_time() + r.status() + r.configuration() +
                    r.provenance() + r.state();
  for (const RecordedEvent& e : r.events()) all += e.kind + e.subject + e.text;
  for (const std::string& line : r.log()) all += line;
  for (std::size_t i = 0; i < r.streams().size(); ++i) {
    const RecordedStream& s = r.streams()[i];
    all += fmt::format("{} {} {} {}", s.rows, s.segments.size(), s.gaps.size(), s.anchors.size());
    for (std::size_t c = 0; c < s.info.channels.size(); ++c)
      visit_sample_type(s.info.channels[c].type, [&]<class T>(std::type_identity<T>) {
        std::vector<T> values(s.rows);
        std::vector<Quality> quality(s.rows);
        r.read_raw<T>(i, c, 0, values);
        r.read_quality(i, c, 0, quality);
        all.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
        all.append(reinterpret_cast<const char*>(quality.data()), quality.size());
      });
    std::vector<Time> times(s.rows);
    r.read_times(i, 0, times);
    all.append(reinterpret_cast<const char*>(times.data()), times.size() * sizeof(Time));
  }
  return all;
}

}  // namespace

TEST_CASE("verify: recordings of every kind hold, sealed or not") {
  for (std::uint64_t n = 0; n < soak(10); ++n)
    for (const Format format : {Format::hdf5, Format::csv, Format::csv_long})
      for (const bool seal : {true, false}) {
        const std::uint64_t seed = new_seed();
        CAPTURE(seed, static_cast<int>(format), seal);
        const SinkChoice choice = SinkChoice::random(format, Durability::full, seed);
        RandomRecording recording(seed, RandomRecording::short_one, format == Format::csv);
        SimulatedDisk disk;
        record(recording, choice, disk, seal);
        const VerifyReport report = verify(path_of(choice) + (seal ? "" : ".part"), disk);
        CHECK(words(report) == "");
        CHECK(report.sealed == seal);
        CHECK(report.format == (format == Format::hdf5 ? "HDF5" : "CSV"));
        CHECK(report.status == (seal ? "complete" : "recording"));
        CHECK(report.remarks.empty() == seal);
        REQUIRE(report.streams.size() == recording.truth().streams.size());
        for (std::size_t s = 0; s < report.streams.size(); ++s) {
          const Truth::PerStream& truth = recording.truth().streams[s];
          CHECK(report.streams[s].counts.recorded == truth.numbers.size());
          CHECK(report.streams[s].counts.produced == truth.end - truth.begin);
          CHECK(report.streams[s].end == truth.end);
        }
      }
}

TEST_CASE("verify: a changed byte of a sealed file is found where it is, and read by nobody") {
  const Format format = GENERATE(Format::hdf5, Format::csv);
  TemporaryDirectory directory;
  const std::uint64_t seed = new_seed();
  CAPTURE(seed, static_cast<int>(format));
  std::mt19937_64 random(seed);
  const SinkChoice choice = SinkChoice::random(format, Durability::none, seed);
  RandomRecording recording(seed, RandomRecording::short_one, true);
  const std::string path = directory / ("run" + std::string(choice.suffix()));
  {
    const std::unique_ptr<Sink> sink = choice.make(path, system_file_calls());
    recording.run(sink.get(), [](const Extent&) {});
    sink->close({});
  }
  const std::string original = contents(path);
  const std::string said = everything(path);
  REQUIRE(words(verify(path)) == "");
  // All bytes of the front and of the end, and some in between.
  for (std::uint64_t n = 0; n < soak(150); ++n) {
    const std::uint64_t at = n < 32                          ? n
                             : n < 80 && n < original.size() ? original.size() - 1 - (n - 32)
                                                             : random() % original.size();
    CAPTURE(at);
    std::string changed = original;
    changed[at] = static_cast<char>(changed[at] ^ (1 << random() % 8));
    write_text(path, changed);
    // HDF5 may crash on such a file, if it ever gets to see it.
    const pid_t child = ::fork();
    if (child == 0) {
      bool right = false;
      try {
        right = everything(path) == said;
      } catch (const Error&) {
        right = true;
      }
      ::_exit(right ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    const VerifyReport report = verify(path);
    CHECK(report.sealed);
    CHECK_FALSE(report.findings.empty());
    if (!names(report, at)) FAIL_CHECK(words(report));
  }
}

TEST_CASE("verify: of an unfinished recording what its journal guards is held against it") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  Stream stream(make_info({SampleType::int16}, 1 << 14));
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    for (int i = 0; i < 5000; ++i) writer.push(static_cast<std::int16_t>(i));
    drain(reader, sink);
    sink.flush();
    // Its recorder lives.
    const VerifyReport growing = verify(path + ".part");
    CHECK(words(growing) == "");
    CHECK(growing.remarks.size() >= 1);
  }
  CHECK(words(verify(path + ".part")) == "");
  std::uint64_t address = 0;
  {
    JournalReader journal(path + ".journal", system_file_calls());
    while (const auto record = journal.next())
      if (const auto* chunk = std::get_if<JournalChunk>(&*record); chunk && chunk->column == 0)
        address = chunk->address + 7;
  }
  REQUIRE(address > 0);
  std::string changed = contents(path + ".part");
  changed[address] ^= 1;
  write_text(path + ".part", changed);
  const VerifyReport report = verify(path + ".part");
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].kind == Kind::checksum);
  CHECK(contains(report.findings[0].where, "channel 'stream/ch0', rows "));
  CHECK(names(report, address));
}

TEST_CASE("verify: a finding names its place once, and what stands beside a CSV in plain words") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  const std::string beside = directory / "run.csv-metadata.json";
  Stream stream(make_info({SampleType::int16}));
  Writer<std::int16_t> writer(stream);
  for (int i = 0; i < 100; ++i) writer.push(static_cast<std::int16_t>(i));
  StreamReader reader(stream);
  {
    CsvSink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    drain(reader, sink);
    sink.close({});
  }
  const std::string original = contents(beside);
  const auto finding = [&](const std::string& text, bool sealed) {
    write_text(beside, text);
    const VerifyReport report = verify(path);
    CHECK(report.sealed == sealed);
    REQUIRE(report.findings.size() == 1);
    CHECK(report.findings[0].where == beside);
    CHECK_FALSE(contains(report.findings[0].what, beside));
    CHECK_FALSE(contains(report.findings[0].what, "json.exception"));
    return report.findings[0].what;
  };
  CHECK(message_of([&] { (void)verify(beside); }) ==
        beside + ": is the description of the recording " + path +
            ", which is verified together with it: give that");
  std::string changed = original;
  changed[changed.find("\"rows\"") + 8] ^= 1;
  CHECK(contains(finding(changed, true), "its checksum is wrong"));
  CHECK(contains(finding("{}", false), "\"spillway\" is missing"));
  CHECK(contains(finding("{\n \"spillway\": }", false), "line 2, column 14: unexpected '}'"));
  CHECK(contains(finding("", false), "line 1, column 1: unexpected end of input"));
  // What others put beside a table of theirs.
  write_text(path, "a,b\n1,2\n");
  write_text(beside, "{}");
  CHECK(contains(message_of([&] { (void)verify(path); }), "is not a recording"));
}

TEST_CASE("verify: what is no recording can't be verified") {
  TemporaryDirectory directory;
  write_text(directory / "a.txt", "no recording");
  CHECK(contains(message_of([&] { (void)verify(directory / "a.txt"); }), "a.txt"));
  for (const char* bytes : {"RIFF1234WAVEfmt ", "\x93NUMPY\1", "{}", "time,x\n0,1\n"}) {
    write_text(directory / "a", bytes);
    CHECK(message_of([&] { (void)verify(directory / "a"); }) ==
          directory / "a" +
              ": is no HDF5 or CSV recording: a file of others has no checksums, "
              "there is nothing to verify");
  }
  CHECK(contains(message_of([&] { (void)verify(directory / "none.h5"); }), "none.h5"));
  CHECK(contains(message_of([&] { (void)verify(directory.path()); }), "directory"));
}
