#include "spillway/storage/recording.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <limits>
#include <variant>

#include "random_recording.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/journal.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {
using Format = SinkChoice::Format;
}

TEST_CASE(
    "recording: growing, unfinished and sealed, it says what was recorded, and by what it is "
    "checked") {
  for (std::uint64_t n = 0; n < soak(6); ++n)
    for (const Format format : {Format::hdf5, Format::csv, Format::csv_long}) {
      const std::uint64_t seed = new_seed();
      CAPTURE(seed, static_cast<int>(format));
      const SinkChoice choice = SinkChoice::random(format, Durability::process, seed);
      const std::string path = std::string(SimulatedDisk::directory) + "/run" + choice.suffix();
      RandomRecording recording(seed, RandomRecording::short_one, format == Format::csv);
      SimulatedDisk disk;
      std::unique_ptr<Sink> sink = choice.make(path, disk);
      recording.run(sink.get(), [](const Extent&) {});
      sink->flush();
      const Expectation expected{recording.appended(), true, format != Format::hdf5, {}};
      {
        SimulatedDisk died(disk.state().after_process_end());
        const Recording r = Recording::open(path + ".part", died);
        CHECK(r.guard() == Recording::Guard::journal);
        CHECK(r.status() == "recording");
        CHECK(r.end_time().empty());
        CHECK(differences(r, recording.truth(), expected) == "");
      }
      CHECK(contains(message_of([&] { (void)Recording::open(path, disk); }), "spillway recover"));
      sink->close({});
      const Recording r = Recording::open(path, disk);
      CHECK(r.guard() == Recording::Guard::seal);
      CHECK(r.status() == "complete");
      CHECK_FALSE(r.end_time().empty());
      CHECK(differences(r, recording.truth(), expected) == "");
    }
}

TEST_CASE("recording: damaged rows throw an error that names them, others are read") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  Stream stream(make_info({SampleType::int32}, 1 << 14));
  Writer<std::int32_t> writer(stream);
  StreamReader reader(stream);
  const bool seal = GENERATE(true, false);
  std::string journal;
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    for (int i = 0; i < 5000; ++i) writer.push(i);
    drain(reader, sink);
    sink.flush();
    journal = contents(JournalWriter::name_for(path));
    if (seal) sink.close({});
  }
  std::vector<JournalChunk> chunks;
  {
    write_text(directory / "copy.journal", journal);
    JournalReader records(directory / "copy.journal", system_file_calls());
    while (const auto record = records.next())
      if (const auto* chunk = std::get_if<JournalChunk>(&*record); chunk && chunk->column == 0)
        chunks.push_back(*chunk);
  }
  REQUIRE(chunks.size() == 2);
  const std::string file = seal ? path : path + ".part";
  std::string bytes = contents(file);
  bytes[chunks[1].address] ^= 1;
  write_text(file, bytes);

  const Recording r = Recording::open(file);
  std::vector<std::int32_t> values(chunks[1].first_row);
  r.read_raw<std::int32_t>(0, 0, 0, values);
  CHECK(values.back() == static_cast<std::int32_t>(chunks[1].first_row) - 1);
  std::vector<std::int32_t> one(1);
  const std::uint64_t behind = chunks[1].first_row + chunks[1].rows;
  r.read_raw<std::int32_t>(0, 0, behind, one);
  CHECK(one[0] == static_cast<std::int32_t>(behind));
  for (const std::uint64_t row : {chunks[1].first_row, behind - 1}) {
    const std::string message = message_of([&] { r.read_raw<std::int32_t>(0, 0, row, one); });
    CHECK(contains(message, "stream/ch0"));
    CHECK(contains(message, fmt::format("rows {} to {}", chunks[1].first_row, behind - 1)));
    CHECK(contains(message, fmt::format("bytes {} to", chunks[1].address)));
  }
}

TEST_CASE("recording: HDF5 does not get to see a sealed file whose metadata is damaged") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  Stream stream(make_info({SampleType::int32}));
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    sink.close({});
  }
  std::string bytes = contents(path);
  bytes[600] ^= 1;
  write_text(path, bytes);
  CHECK(contains(message_of([&] { (void)Recording::open(path); }), "is damaged in bytes 0 to"));
}

TEST_CASE("recording: books that claim more rows than the file can hold are refused") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  if (std::system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") != 0) {  // NOLINT
    WARN("no h5py at /usr/bin/python3: not tested");
    return;
  }
  Stream stream(make_info({SampleType::int32}));
  {
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    sink.close({});
  }
  write_text(directory / "claim.py", R"(
import h5py
for name, of_stream in (("none", False), ("segments", True), ("gaps", True), ("anchors", True),
                        ("calibration", True), ("calibration_bytes", True), ("log", False)):
    for rows in 2**36, 2**62:
        with h5py.File("run.h5", "r") as old, \
             h5py.File(f"{name}{rows}.h5", "w", track_order=True) as new:
            old.copy("entry", new)
            books = new["entry/spillway"]
            if of_stream: books = books["stream"]
            if name == "none": continue
            row = books[name].dtype
            del books[name]
            books.create_dataset(name, (rows,), row, maxshape=(None,), chunks=(1024,))
)");
  REQUIRE(std::system(fmt::format("cd {} && /usr/bin/python3 claim.py", directory.path())  // NOLINT
                          .c_str()) == 0);
  for (const std::uint64_t rows : {std::uint64_t{1} << 36, std::uint64_t{1} << 62}) {
    const auto open = [&](const std::string& name) {
      const std::string file = directory / fmt::format("{}{}.h5", name, rows);
      const std::string message = message_of([&] { (void)Recording::open(file); });
      CHECK((message.empty() || contains(message, file)));
      return message;
    };
    CHECK(open("none").empty());
    for (const char* name :
         {"segments", "gaps", "anchors", "calibration", "calibration_bytes", "log"})
      CHECK(contains(open(name),
                     fmt::format("dataset {} claims {} rows, but has 0 bytes", name, rows)));
  }
}

TEST_CASE("recording: a channel's limits come back, an infinite one as no limit on its side") {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const Format format = GENERATE(Format::hdf5, Format::csv, Format::csv_long);
  const Durability durability = GENERATE(Durability::none, Durability::process);
  CAPTURE(static_cast<int>(format), to_string(durability));
  TemporaryDirectory directory;
  const SinkChoice choice = SinkChoice::random(format, durability, 1);
  const std::string path = directory / ("run" + std::string(choice.suffix()));
  const std::vector<std::optional<Range>> ranges{std::nullopt, Range{-1.5, 0x1.91p-300},
                                                 Range{-infinity, 7}, Range{0, infinity},
                                                 Range{-infinity, infinity}};
  StreamInfo info =
      make_info(std::vector<SampleType>(ranges.size(), SampleType::float64), 64, Rate(10, 1));
  for (std::size_t c = 0; c < ranges.size(); ++c) info.channels[c].range = ranges[c];
  const auto has_ranges = [&](const std::string& file) {
    const Recording recording = Recording::open(file);
    for (std::size_t c = 0; c < ranges.size(); ++c)
      CHECK(recording.streams()[0].info.channels[c].range == ranges[c]);
  };
  Stream stream(info);
  StreamWriter writer(stream);
  const double value = 1.0;
  const std::vector<const void*> lanes(ranges.size(), &value);
  writer.push_lanes(lanes, SampleCount{1});
  StreamReader reader(stream);
  std::unique_ptr<Sink> sink = choice.make(path, system_file_calls());
  sink->begin(recording_of({info}));
  drain(reader, *sink);
  sink->flush();
  if (durability == Durability::process) {
    sink.reset();  // its recorder ends
    has_ranges(path + ".part");
  } else {
    sink->close({});
    has_ranges(path);
  }
}

TEST_CASE("recording: what is none is refused in words") {
  TemporaryDirectory directory;
  write_text(directory / "a", "no");
  write_text(directory / "empty", "");
  CHECK(contains(message_of([&] { (void)Recording::open(directory / "a"); }), "neither"));
  CHECK(contains(message_of([&] { (void)Recording::open(directory / "empty"); }), "neither"));
  CHECK(contains(message_of([&] { (void)Recording::open(directory.path()); }), "directory"));
  CHECK(contains(message_of([&] { (void)Recording::open(directory / "b"); }), "No such"));
}
