#include "spillway/storage/recovery.hpp"

#include <fmt/format.h>
#include <fstream>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <random>
#include <variant>

#include "random_recording.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/journal.hpp"
#include "spillway/storage/verify.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Outcome = RecoveryReport::Outcome;
using Format = SinkChoice::Format;

// A recording whose recorder died, on a disk.
struct Crashed {
  SinkChoice choice;
  std::string path;
  Truth truth;
  Extent acknowledged;
  DiskState disk;
  [[nodiscard]] std::string part() const { return path + ".part"; }
  [[nodiscard]] std::string journal() const { return JournalWriter::name_for(path); }
  [[nodiscard]] std::string output() const {
    return path.substr(0, path.size() - std::string(choice.suffix()).size()) + ".recovered" +
           choice.suffix();
  }
  [[nodiscard]] bool csv() const { return choice.format != Format::hdf5; }
};

Crashed crashed(std::uint64_t seed, const SinkChoice& choice,
                RandomRecording::Size size = RandomRecording::short_one) {
  Crashed made;
  made.choice = choice;
  made.path = std::string(SimulatedDisk::directory) + "/run" + choice.suffix();
  RandomRecording recording(seed, size, choice.format == Format::csv);
  SimulatedDisk disk;
  {
    const std::unique_ptr<Sink> sink = choice.make(made.path, disk);
    recording.run(sink.get(), [&](const Extent& extent) { made.acknowledged = extent; });
    sink->flush();
    made.acknowledged = recording.appended();
  }
  made.truth = recording.truth();
  made.disk = disk.state().after_process_end();
  return made;
}

Crashed crashed_of(Format format, std::uint64_t seed) {
  return crashed(seed, SinkChoice::random(format, Durability::full, seed));
}

// Empty, or what is wrong with the result.
std::string judge(const Crashed& from, SimulatedDisk& disk, const RecoveryReport& report) {
  const Recording result = Recording::open(report.output, disk);
  if (!result.status().starts_with("recovered: by its journal")) return "status " + result.status();
  if (result.guard() != Recording::Guard::seal) return "not sealed";
  if (!result.end_time().empty()) return "an end time that nobody knows";
  for (const VerifyFinding& f : verify(report.output, disk).findings)
    return fmt::format("{}: {}: {}", to_string(f.kind), f.where, f.what);
  return differences(result, from.truth, {from.acknowledged, false, from.csv(), report.damages});
}

void flip(SimulatedDisk& disk, const std::string& path, std::uint64_t at) {
  const int fd = disk.open(path.c_str(), 2 /* O_RDWR */, 0);
  REQUIRE(fd >= 0);
  std::byte byte{};
  REQUIRE(disk.pread(fd, &byte, 1, static_cast<off_t>(at)) == 1);
  byte ^= std::byte{0x40};
  REQUIRE(disk.pwrite(fd, &byte, 1, static_cast<off_t>(at)) == 1);
  disk.close(fd);
}

void cut(SimulatedDisk& disk, const std::string& path, std::uint64_t size) {
  const int fd = disk.open(path.c_str(), 2, 0);
  REQUIRE(fd >= 0);
  REQUIRE(disk.ftruncate(fd, static_cast<off_t>(size)) == 0);
  disk.close(fd);
}

std::vector<JournalChunk> chunks_of(const std::string& journal, FileCalls& calls) {
  std::vector<JournalChunk> chunks;
  JournalReader reader(journal, calls);
  while (const auto record = reader.next())
    if (const auto* chunk = std::get_if<JournalChunk>(&*record)) chunks.push_back(*chunk);
  return chunks;
}

std::map<std::string, std::string> all_files(const DiskState& disk) {
  std::map<std::string, std::string> files;
  for (const std::string& path : disk.paths()) files[path] = disk.contents(path);
  return files;
}

constexpr std::array formats{Format::hdf5, Format::csv, Format::csv_long};

// A stream of two channels that died: rows are numbered, chunks of 2048 rows and some more.
struct Plain {
  TemporaryDirectory directory;
  std::string path = directory / "run.h5";
  static constexpr std::uint64_t rows = 5000;
  std::string growing;  // its part file as kill -9 leaves it; on the disk HDF5 has closed it

  explicit Plain(std::optional<Rate> rate = Rate(1000, 1), int compression = 0,
                 std::uint64_t flush_every = 700) {
    Stream stream(make_info({SampleType::int32, SampleType::float64}, 1 << 14, rate));
    StreamWriter writer(stream);
    StreamReader reader(stream);
    Hdf5Options options;
    options.compression = compression;
    options.compression_threads = 0;
    Hdf5Sink sink(path, Existing::refuse, options);
    sink.begin(recording_of({stream.info()}, "plain"));
    for (std::uint64_t n = 0; n < rows;) {
      const std::uint64_t count = std::min(flush_every, rows - n);
      std::vector<std::int32_t> a;
      std::vector<double> b;
      std::vector<Time> times;
      for (std::uint64_t i = n; i < n + count; ++i) {
        a.push_back(static_cast<std::int32_t>(i));
        b.push_back(static_cast<double>(i) / 4.0);
        times.push_back(time_of(i));
      }
      const std::array<const void*, 2> lanes{a.data(), b.data()};
      writer.push_lanes(lanes, {count}, {},
                        rate ? std::span<const Time>() : std::span<const Time>(times));
      drain(reader, sink);
      sink.flush();
      n += count;
    }
    growing = contents(path + ".part");
  }
  static Time time_of(std::uint64_t i) { return std::chrono::milliseconds(i); }
};

}  // namespace

TEST_CASE(
    "recovery: what was acknowledged comes back, to the bit, and a second time nothing is "
    "changed") {
  for (std::uint64_t n = 0; n < soak(8); ++n)
    for (const Format format : formats) {
      const std::uint64_t seed = new_seed();
      CAPTURE(seed, static_cast<int>(format));
      const Crashed from = crashed_of(format, seed);
      SimulatedDisk disk(from.disk);
      const RecoveryReport report = recover(from.part(), {}, disk);
      CHECK(report.by == "journal");
      if (report.outcome == Outcome::nothing) continue;
      REQUIRE(report.outcome == Outcome::complete);
      CHECK(report.output == from.output());
      CHECK_FALSE(report.was_there);
      CHECK(judge(from, disk, report) == "");
      const auto files = all_files(disk.state());
      CHECK(files.at(from.part()) == from.disk.contents(from.part()));
      CHECK(files.at(from.journal()) == from.disk.contents(from.journal()));

      for (const std::string& name : {from.part(), from.journal(), from.path}) {
        const RecoveryReport again = recover(name, {}, disk);
        CHECK(again.was_there);
        CHECK(again.outcome == Outcome::complete);
        CHECK(all_files(disk.state()) == files);
      }
    }
}

TEST_CASE("recovery: killed at any operation, it can be made again") {
  std::uint64_t states = 0;
  std::uint64_t taken_over = 0;
  for (std::uint64_t n = 0; n < soak(1); ++n)
    for (const Format format : formats) {
      const std::uint64_t seed = new_seed();
      CAPTURE(seed, static_cast<int>(format));
      const Crashed from = crashed_of(format, seed);
      std::vector<DiskState> cuts;
      {
        SimulatedDisk disk(from.disk);
        disk.watch([&](std::uint64_t, const DiskOperation&, const DiskState& state) {
          cuts.push_back(state.after_process_end());
          return true;
        });
        if (recover(from.part(), {}, disk).outcome == Outcome::nothing) continue;
      }
      for (const DiskState& left : cuts) {
        SimulatedDisk disk(left);
        taken_over += left.has(from.output() + ".part");
        const RecoveryReport report = recover(from.part(), {}, disk);
        REQUIRE(report.outcome == Outcome::complete);
        REQUIRE(judge(from, disk, report) == "");
        const DiskState last = disk.state();
        REQUIRE(last.contents(from.part()) == from.disk.contents(from.part()));
        for (const std::string& path : last.paths()) {
          CAPTURE(path);
          REQUIRE_FALSE(path.ends_with(".recovering"));
          REQUIRE((path == from.part() || !path.ends_with(".part") || from.csv()));
        }
        ++states;
      }
    }
  CHECK(states > 20);
  CHECK(taken_over > 10);
}

TEST_CASE("recovery: from a journal that ends anywhere, nothing wrong comes") {
  std::uint64_t recovered = 0;
  for (std::uint64_t n = 0; n < soak(3); ++n)
    for (const Format format : formats) {
      const std::uint64_t seed = new_seed();
      std::mt19937_64 random(seed);
      const Crashed from = crashed_of(format, seed);
      const std::uint64_t size = from.disk.contents(from.journal()).size();
      for (int tries = 0; tries < 5; ++tries) {
        const std::uint64_t at = random() % size;
        const bool flipped = random() % 2 == 0;
        CAPTURE(seed, static_cast<int>(format), at, flipped);
        SimulatedDisk disk(from.disk);
        if (flipped)
          flip(disk, from.journal(), at);
        else
          cut(disk, from.journal(), at);
        RecoveryReport report;
        try {
          report = recover(from.part(), {}, disk);
        } catch (const Error& error) {
          // Not even its beginning is right. CSV can't be read without, HDF5 only as far as its
          // books had been written.
          CHECK((from.csv() || at < 4096));
          CHECK(contains(error.what(), from.part()));
          continue;
        }
        if (report.outcome == Outcome::nothing || report.output.empty()) continue;
        // One that is cut between two frames is a journal as right as any.
        if (report.by == "journal" && flipped) CHECK_FALSE(report.tail.empty());
        ++recovered;
        const Recording result = Recording::open(report.output, disk);
        CHECK(differences(result, from.truth, {{}, false, from.csv(), report.damages}) == "");
      }
    }
  CHECK(recovered > 5);
}

TEST_CASE("recovery: rows of damaged chunks are Bad, missing, and named, all others are right") {
  const int compression = GENERATE(0, 3);
  const Plain from(Rate(1000, 1), compression);
  FileCalls& calls = system_file_calls();
  const std::string journal = JournalWriter::name_for(from.path);
  const std::string original = contents(from.path + ".part");
  for (const JournalChunk& chunk : chunks_of(journal, calls)) {
    CAPTURE(compression, chunk.column, chunk.first_row);
    std::string damaged = original;
    damaged[chunk.address + chunk.length / 2] ^= 1;
    write_text(from.path + ".part", damaged);
    RecoveryOptions options;
    options.output = from.directory / fmt::format("{}-{}.h5", chunk.column, chunk.first_row);
    const RecoveryReport report = recover(from.path, options);
    REQUIRE(report.outcome == Outcome::lost);
    REQUIRE(report.damages.size() == 1);
    const RecoveryDamage& damage = report.damages[0];
    CHECK(damage.channel == std::array{"ch0", "ch0_quality", "ch1", "ch1_quality"}[chunk.column]);
    // The front of a chunk is in the journal too, as long as it is not written anew.
    CHECK(damage.first_row >= chunk.first_row);
    CHECK(damage.first_row + damage.count == chunk.first_row + chunk.rows);
    CHECK(contains(damage.why, fmt::format("bytes {} to", chunk.address)));

    const Recording result = Recording::open(options.output);
    CHECK(contains(result.status(), "; 1 range of rows is damaged, see"));
    std::vector<std::int32_t> a(Plain::rows);
    std::vector<double> b(Plain::rows);
    std::vector<Quality> quality(Plain::rows);
    result.read_raw<std::int32_t>(0, 0, 0, a);
    result.read_raw<double>(0, 1, 0, b);
    std::uint64_t wrong = 0;
    for (std::size_t c = 0; c < 2; ++c) {
      result.read_quality(0, c, 0, quality);
      for (std::uint64_t i = 0; i < Plain::rows; ++i) {
        const bool hit =
            chunk.column / 2 == c && i >= damage.first_row && i < damage.first_row + damage.count;
        const bool values_hit = hit && chunk.column % 2 == 0;
        wrong += hit ? !(quality[i].verdict() == Verdict::bad && quality[i].has(Quality::missing))
                     : !quality[i].is_good();
        if (c == 0)
          wrong += a[i] != (values_hit ? 0 : static_cast<std::int32_t>(i));
        else
          wrong += values_hit ? !std::isnan(b[i]) : b[i] != static_cast<double>(i) / 4.0;
      }
    }
    CHECK(wrong == 0);
    // What was told once is told again.
    const RecoveryReport again = recover(from.path, options);
    CHECK(again.was_there);
    CHECK(again.outcome == Outcome::lost);
    REQUIRE(again.damages.size() == 1);
    CHECK(again.damages[0].count == damage.count);
  }
}

TEST_CASE(
    "recovery: where exact times are damaged they are a line, and say that they are uncertain") {
  const Plain from(std::nullopt);
  const auto chunks = chunks_of(JournalWriter::name_for(from.path), system_file_calls());
  const auto chunk = std::ranges::find_if(
      chunks, [](const JournalChunk& c) { return c.column == 4 && c.first_row > 0; });
  REQUIRE(chunk != chunks.end());
  std::string damaged = contents(from.path + ".part");
  damaged[chunk->address] ^= 1;
  write_text(from.path + ".part", damaged);
  const RecoveryReport report = recover(from.path);
  REQUIRE(report.damages.size() == 1);
  CHECK(report.damages[0].channel == "time_ns");
  const Recording result = Recording::open(report.output);
  std::vector<Time> times(Plain::rows);
  std::vector<Quality> quality(Plain::rows);
  result.read_times(0, 0, times);
  result.read_quality(0, 0, 0, quality);
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < Plain::rows; ++i) {
    const bool hit = i >= report.damages[0].first_row &&
                     i < report.damages[0].first_row + report.damages[0].count;
    // The true ones were a line.
    wrong += std::abs((times[i] - Plain::time_of(i)).count()) > (hit ? 1 : 0);
    wrong += quality[i] != (hit ? Quality(Verdict::suspect, Quality::time_uncertain) : Quality());
  }
  CHECK(wrong == 0);
  CHECK(verify(report.output).findings.empty());
}

TEST_CASE("recovery: a file that is gone leaves what its journal holds") {
  const Plain from;
  std::filesystem::remove(from.path + ".part");
  const RecoveryReport report = recover(from.path + ".journal");
  CHECK(report.outcome == Outcome::lost);
  REQUIRE_FALSE(report.damages.empty());
  const Recording result = Recording::open(report.output);
  const RecordedStream& s = result.streams().at(0);
  CHECK(s.rows == Plain::rows);
  std::array<std::int32_t, 1> last{};
  result.read_raw<std::int32_t>(0, 0, s.rows - 1, last);
  CHECK(last[0] == static_cast<std::int32_t>(s.rows - 1));
}

TEST_CASE("recovery: without a journal, by HDF5, and says so") {
  const Plain from;
  std::filesystem::remove(from.path + ".journal");
  const std::string before = contents(from.path + ".part");
  const RecoveryReport report = recover(from.path + ".part");
  CHECK(report.outcome == Outcome::unknown);
  CHECK(report.by == "HDF5");
  REQUIRE_FALSE(report.remarks.empty());
  CHECK(contains(report.remarks[0], "power cut"));
  CHECK(contents(from.path + ".part") == before);
  const Recording result = Recording::open(report.output);
  CHECK(contains(result.status(), "recovered: by HDF5"));
  CHECK(result.streams().at(0).rows == Plain::rows);
  CHECK(recover(from.path + ".part").was_there);
}

TEST_CASE("recovery: without a journal, of a file that was cut, no zeros come as samples") {
  const int compression = GENERATE(0, 3);
  const Plain from(Rate(1000, 1), compression);
  std::filesystem::remove(from.path + ".journal");
  const std::string& whole = from.growing;
  std::uint64_t refused = 0;
  std::uint64_t damaged = 0;
  std::uint64_t right = 0;
  for (std::uint64_t size = 1000; size < whole.size(); size += whole.size() / 60) {
    CAPTURE(compression, size);
    write_text(from.path + ".part", whole.substr(0, size));
    const RecoveryOptions options{.output = from.directory / fmt::format("{}.h5", size)};
    RecoveryReport report;
    try {
      report = recover(from.path, options);
    } catch (const Error& error) {
      CHECK_FALSE(contains(error.what(), "\n"));
      CHECK_FALSE(exists(options.output));
      ++refused;
      continue;
    }
    REQUIRE(report.outcome == Outcome::lost);
    damaged += !report.damages.empty();
    const Recording result = Recording::open(options.output);
    REQUIRE(verify(options.output).findings.empty());
    const std::uint64_t rows = result.streams().at(0).rows;
    CHECK(rows <= Plain::rows);
    std::vector<std::int32_t> a(rows);
    std::vector<double> b(rows);
    std::vector<Quality> qa(rows);
    std::vector<Quality> qb(rows);
    result.read_raw<std::int32_t>(0, 0, 0, a);
    result.read_raw<double>(0, 1, 0, b);
    result.read_quality(0, 0, 0, qa);
    result.read_quality(0, 1, 0, qb);
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < rows; ++i) {
      wrong += qa[i].is_good() && a[i] != static_cast<std::int32_t>(i);
      wrong += qb[i].is_good() && b[i] != static_cast<double>(i) / 4.0;
      right += qb[i].is_good();
    }
    CHECK(wrong == 0);
  }
  CHECK(refused > 0);
  CAPTURE(refused, damaged, right);
  CHECK(damaged > 0);
  CHECK(right > 0);
}

TEST_CASE("recovery: by HDF5, damaged tables are refused as readers refuse them") {
  const Plain from;
  std::filesystem::remove(from.path + ".journal");
  std::string bytes = from.growing;
  // The one segment: its samples are counted, its table is zeros.
  std::array<std::uint64_t, 3> segment{0, 0, Plain::rows};
  const std::string_view searched(reinterpret_cast<const char*>(segment.data()), sizeof segment);
  const std::size_t at = bytes.find(searched);
  REQUIRE(at != std::string::npos);
  bytes.replace(at, sizeof segment, std::string(sizeof segment, '\0'));
  write_text(from.path + ".part", bytes);
  const std::string refusal = message_of([&] { (void)recover(from.path); });
  CHECK(contains(refusal, "segment table"));
  CHECK_FALSE(exists(from.directory / "run.recovered.h5"));
}

TEST_CASE("recovery: a journal that can't be read leaves nothing to be called complete") {
  const Plain from;
  const std::string journal = contents(from.path + ".journal");
  for (const std::string& left : {std::string(), journal.substr(0, 20), [&] {
                                    std::string damaged = journal;
                                    damaged.replace(120, 4, "XXXX");
                                    return damaged;
                                  }()}) {
    CAPTURE(left.size());
    write_text(from.path + ".journal", left);
    const RecoveryReport report = recover(from.path);
    CHECK(report.outcome == Outcome::unknown);
    CHECK(report.by == "HDF5");
    CHECK(contains(report.remarks.at(0), "of no use"));
    CHECK(contains(report.remarks.at(1), "no journal that can be read"));
    CHECK(recover(from.path).outcome == Outcome::unknown);
  }
}

TEST_CASE("recovery: a journal of another recording is refused, and nothing is written") {
  const Format format = GENERATE(Format::hdf5, Format::csv, Format::csv_long);
  const auto record = [&](const std::string& path, const std::string& start, double first) {
    Stream stream(make_info({SampleType::float64}));
    Writer<double> writer(stream);
    StreamReader reader(stream);
    std::unique_ptr<Sink> sink;
    if (format == Format::hdf5) {
      sink = std::make_unique<Hdf5Sink>(path, Existing::refuse);
    } else {
      CsvOptions options;
      if (format == Format::csv_long) options.form = CsvOptions::Form::long_form;
      sink = std::make_unique<CsvSink>(path, Existing::refuse, options);
    }
    RecordingInfo info = recording_of({stream.info()}, "one of two");
    info.start_time = start;
    sink->begin(info);
    for (int i = 0; i < 10; ++i) writer.push(first + i);
    drain(reader, *sink);
    sink->flush();
  };
  TemporaryDirectory directory;
  const std::string suffix = format == Format::hdf5 ? ".h5" : ".csv";
  const std::string one = directory / ("one" + suffix);
  const std::string two = directory / ("two" + suffix);
  record(one, "2026-11-22T15:15:43.141Z", 0.0);
  record(two, "2026-11-22T15:15:44.878Z", 100.0);
  const std::string own = contents(one + ".journal");
  write_text(one + ".journal", contents(two + ".journal"));
  const std::string refusal = message_of([&] { (void)recover(one); });
  CHECK(contains(refusal, "another recording"));
  CHECK_FALSE(contains(refusal, "\n"));
  CHECK(contains(message_of([&] { (void)Recording::open(one + ".part"); }), "another recording"));
  CHECK_FALSE(exists(directory / ("one.recovered" + suffix)));
  CHECK(recover(two).outcome == Outcome::complete);
  write_text(one + ".journal", own);
  CHECK(recover(one).outcome == Outcome::complete);
  if (format == Format::hdf5) return;
  // What stands beside a CSV is not needed.
  write_text(one + "-metadata.json.part", contents(two + "-metadata.json.part"));
  CHECK(recover(one).was_there);
}

TEST_CASE("recovery: CSV without a journal that can be read is kept, and refused in one line") {
  const Format format = GENERATE(Format::csv, Format::csv_long);
  for (std::uint64_t seed = 1;; ++seed) {
    const Crashed from = crashed(seed, SinkChoice::random(format, Durability::full, seed));
    const std::string journal = from.disk.contents(from.journal());
    if (from.disk.contents(from.part()).empty() || journal.size() < 200) continue;
    for (const bool gone : {false, true}) {
      SimulatedDisk disk(from.disk);
      if (gone)
        REQUIRE(disk.unlink(from.journal().c_str()) == 0);
      else
        flip(disk, from.journal(), 120);
      const std::string refusal = message_of([&] { (void)recover(from.part(), {}, disk); });
      CAPTURE(gone, refusal);
      CHECK(contains(refusal, "keep it"));
      CHECK_FALSE(contains(refusal, "removed"));
      CHECK_FALSE(contains(refusal, "\n"));
    }
    break;
  }
}

TEST_CASE("recovery: refuses what is not its business, in one line") {
  const Plain from;
  CHECK(contains(message_of([&] { (void)recover(from.directory / "none.h5"); }), "no such"));
  CHECK(contains(message_of([&] { (void)recover(from.directory.path()); }), "is a directory"));
  const std::string other = from.directory / "other.h5";
  write_text(other, "something else");
  CHECK(contains(message_of([&] { (void)recover(from.path, {.output = other}); }), "exists"));
  CHECK(contents(other) == "something else");
  // Somebody's unfinished recording under the output's name.
  write_text(other + ".part", "only copy");
  std::filesystem::remove(other);
  CHECK(contains(message_of([&] { (void)recover(from.path, {.output = other}); }), "unfinished"));
  CHECK(contents(other + ".part") == "only copy");

  Stream stream(make_info({SampleType::int16}));
  Hdf5Sink living(from.directory / "living.h5", Existing::refuse);
  living.begin(recording_of({stream.info()}));
  CHECK(contains(message_of([&] { (void)recover(from.directory / "living.h5.part"); }), "lives"));
}

TEST_CASE("recovery: the result of another recovery is not taken for its own") {
  const Plain from;
  const Plain other;
  const RecoveryOptions options{.output = from.directory / "one.h5"};
  CHECK_FALSE(recover(from.path, options).was_there);
  CHECK(recover(from.path, options).was_there);
  CHECK(contains(message_of([&] { (void)recover(other.path, options); }), "was not made from"));
}

TEST_CASE("recovery: a gap that went on over a flush is one") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  Stream stream(make_info({SampleType::int16}));
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    sink.append_gap(0, {5, 10, 10, 0, Absence::lost});
    sink.flush();
    sink.append_gap(0, {15, 7, 7, 0, Absence::lost});
    sink.flush();
    sink.append_gap(0, {22, 1, 0, 1, Absence::missing});
    sink.flush();
  }
  const RecoveryReport report = recover(path);
  CHECK(report.outcome == Outcome::complete);
  const Recording result = Recording::open(report.output);
  const RecordedStream& s = result.streams().at(0);
  CHECK(s.gaps ==
        std::vector{Gap{5, 17, 17, 0, Absence::lost}, Gap{22, 1, 0, 1, Absence::missing}});
  CHECK(s.counts == RecordedCounts{18, 0, 17, 1});
  CHECK(report.streams.at(0).end == 23);
}

TEST_CASE(
    "recovery: of rows that are in a chunk and in the journal the chunk's count, unless it is "
    "damaged") {
  const bool damaged = GENERATE(false, true);
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  JournalBegin begin{"hdf5", "run.h5.part", "run.h5", Durability::process, {}, {64}};
  begin.info = recording_of({make_info({SampleType::uint8})});
  begin.info.start_time = "2026-05-04T10:44:18.529Z";
  constexpr std::uint64_t address = 10;
  constexpr std::uint64_t rows = 100;
  std::string part(address + 64, 'c');
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(part)).subspan(address));
  if (damaged) part[address + 5] = 'x';
  write_text(path + ".part", part);
  {
    JournalWriter journal(JournalWriter::name_for(path), begin, system_file_calls());
    const std::vector<std::byte> values(rows, std::byte{'j'});
    const std::vector<std::byte> quality(rows);
    for (const auto& [first, end] : {std::pair{0U, 40U}, std::pair{40U, 100U}}) {
      const std::array<std::span<const std::byte>, 2> columns{
          std::span(values).first(end - first), std::span(quality).first(end - first)};
      journal.add_rows(0, first, end - first, columns);
    }
    journal.add(JournalChunk{0, 0, 0, 64, 0, address, 64, crc, false});
    JournalBooks books;
    books.counts = {rows + 5, rows, 5, 0};
    books.open = Segment{0, 0, rows, 0, 0, 0};
    books.gaps = {{rows, 5, 5, 0, Absence::lost}};
    journal.add(books);
    journal.commit();
    // It was longer.
    books.counts = {rows + 9, rows, 9, 0};
    books.gaps = {{rows, 9, 9, 0, Absence::lost}};
    books.replaces_last_gap = true;
    journal.add(books);
    journal.commit();
  }
  const RecoveryReport report = recover(path);
  CHECK(report.outcome == Outcome::complete);
  std::vector<std::uint8_t> values(rows);
  const Recording result = Recording::open(report.output);
  CHECK(result.streams().at(0).gaps == std::vector{Gap{rows, 9, 9, 0, Absence::lost}});
  result.read_raw<std::uint8_t>(0, 0, 0, values);
  for (std::uint64_t i = 0; i < rows; ++i) {
    CAPTURE(damaged, i);
    REQUIRE(values[i] == (i < 64 && !damaged ? 'c' : 'j'));
  }
}

TEST_CASE("recovery: a sealed recording is complete, whether or not its journal was left") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  Stream stream(make_info({SampleType::int16}));
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  std::string journal;
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}, "sealed"));
    writer.push(std::int16_t{5});
    drain(reader, sink);
    sink.flush();
    journal = contents(JournalWriter::name_for(path));
    sink.close({});
  }
  for (const bool left : {false, true}) {
    if (left) write_text(JournalWriter::name_for(path), journal);
    const RecoveryReport report = recover(path);
    CHECK(report.outcome == Outcome::complete);
    CHECK(report.output == path);
    CHECK(report.was_there);
    CHECK_FALSE(exists(directory / "run.recovered.h5"));
    CHECK(report.remarks.size() == (left ? 2 : 1));
  }
  // A damaged one is mended by what is in the journal, as far as that goes.
  std::string bytes = contents(path);
  bytes[bytes.find("NXroot") + 1] ^= 1;
  write_text(path, bytes);
  const RecoveryReport report = recover(path);
  CHECK(report.outcome == Outcome::complete);
  CHECK(report.output == directory / "run.recovered.h5");
  std::array<std::int16_t, 1> value{};
  Recording::open(report.output).read_raw<std::int16_t>(0, 0, 0, value);
  CHECK(value[0] == 5);
}

TEST_CASE("recovery: a recording in which nothing was acknowledged leaves no file, and says why") {
  TemporaryDirectory directory;
  Stream stream(make_info({SampleType::int16}));
  {
    Hdf5Sink sink(directory / "run.h5", Existing::refuse);
    sink.begin(recording_of({stream.info()}));
  }
  const RecoveryReport report = recover(directory / "run.h5.part");
  CHECK(report.outcome == Outcome::nothing);
  CHECK(report.output.empty());
  REQUIRE_FALSE(report.remarks.empty());
  CHECK(contains(report.remarks.back(), "no samples"));
  CHECK_FALSE(exists(directory / "run.recovered.h5"));
}

TEST_CASE("recovery: a recorder that ended before it wrote anything is no dead end") {
  TemporaryDirectory directory;
  const std::string part = directory / "run.h5.part";
  std::ofstream{part};
  const std::vector<std::string> found = unfinished_recordings(directory.path());
  CHECK(found == std::vector<std::string>{part});
  const RecoveryReport report = recover(part);
  CHECK(report.outcome == RecoveryReport::Outcome::nothing);
  CHECK(report.output.empty());
  CHECK(contains(report.remarks.back(), part + " may be removed"));
  CHECK(exists(part));
  // Nobody knows what was in this one.
  std::ofstream(part) << "torn";
  CHECK(contains(message_of([&] { (void)recover(part); }), "keep it"));
}

TEST_CASE("recovery: what is unfinished in a directory is found, and nothing else") {
  Plain from;
  const TemporaryDirectory& d = from.directory;
  write_text(d / "film.mp4.part", "half a download");
  write_text(d / "run.recovered.h5.part", "half a recovery");
  write_text(d / "run.recovered.h5.recovering", "");
  write_text(d / "x.csv-metadata.json.part", "{}");
  CHECK(unfinished_recordings(d.path()) == std::vector{from.path + ".part"});
  std::filesystem::remove(from.path + ".part");
  CHECK(unfinished_recordings(d.path() + "/") == std::vector{d.path() + "/run.h5.journal"});
}
