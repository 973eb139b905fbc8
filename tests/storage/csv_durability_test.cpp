// What CsvSink promises where the disk is full, fails or loses its power.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "faulty_files.hpp"
#include "random_recording.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using test::contains;
using test::DiskOperation;
using test::drain;
using test::Extent;
using test::FaultyFiles;
using test::make_info;
using test::message_of;
using test::new_seed;
using test::RandomRecording;
using test::recording_of;
using test::SimulatedDisk;
using test::soak;
using test::TemporaryDirectory;
using Form = CsvOptions::Form;
using Kind = DiskOperation::Kind;

const std::string path = std::string(SimulatedDisk::directory) + "/run.csv";

// One stream of one channel, fed by hand.
struct Fed {
  explicit Fed(CsvOptions options, FileCalls& calls)
      : stream(make_info({SampleType::int32}, 1 << 17)),
        writer(stream),
        reader(stream),
        sink(path, Existing::refuse, options, calls) {
    sink.begin(recording_of({stream.info()}));
  }
  void push(int count) {
    for (int i = 0; i < count; ++i) writer.push(i);
    drain(reader, sink);
  }
  Stream stream;
  Writer<std::int32_t> writer;
  StreamReader reader;
  CsvSink sink;
};

std::vector<DiskOperation> operations_of(Durability durability) {
  SimulatedDisk disk;
  std::vector<DiskOperation> operations;
  disk.watch([&](std::uint64_t, const DiskOperation& operation, const test::DiskState&) {
    operations.push_back(operation);
    return true;
  });
  Fed fed({Form::wide, durability}, disk);
  for (int i = 0; i < 5; ++i) {
    fed.push(100);
    fed.sink.flush();
  }
  fed.sink.close({});
  return operations;
}

}  // namespace

TEST_CASE("CsvSink: the text is synced before the journal says that it counts") {
  std::vector<std::string> order;
  for (const DiskOperation& operation : operations_of(Durability::full)) {
    const bool journal = contains(operation.path, ".journal");
    const bool text = operation.path == path + ".part";
    if (operation.kind == Kind::write && text) order.emplace_back("text");
    if (operation.kind == Kind::sync && text) order.emplace_back("sync text");
    if (operation.kind == Kind::sync && journal) order.emplace_back("sync journal");
    if (operation.kind == Kind::rename && text) order.emplace_back("seal");
    if (operation.kind == Kind::rename && operation.to == path + "-metadata.json")
      order.emplace_back("seal metadata");
    if (operation.kind == Kind::unlink && journal) order.emplace_back("remove journal");
  }
  // What begins the journal, before anything is in the file.
  while (!order.empty() && order.front() == "sync journal") order.erase(order.begin());
  std::vector<std::string> wanted;
  for (int i = 0; i < 5; ++i) wanted.insert(wanted.end(), {"text", "sync text", "sync journal"});
  wanted.insert(wanted.end(), {"sync text", "sync journal", "seal metadata", "sync text", "seal"});
  wanted.resize(std::max(wanted.size(), order.size()), "remove journal");
  CHECK(order == wanted);
  CHECK(order.back() == "remove journal");
}

TEST_CASE("CsvSink: nothing is synced before it is sealed by process, no journal by none") {
  for (const Durability durability : {Durability::process, Durability::none}) {
    bool sealing = false;
    bool journal = false;
    for (const DiskOperation& operation : operations_of(durability)) {
      sealing |= operation.kind == Kind::write && contains(operation.path, "metadata") &&
                 contains(operation.path, ".new") && operation.at > 0;
      if (operation.kind == Kind::sync) sealing |= contains(operation.path, "metadata.json.part");
      if (operation.kind == Kind::sync && !sealing) CHECK(operation.path == "");
      journal |= contains(operation.path, ".journal");
    }
    CHECK(journal == (durability == Durability::process));
  }
}

TEST_CASE("CsvSink: the metadata of a growing file is replaced as a whole") {
  SimulatedDisk disk;
  const std::string part = path + "-metadata.json.part";
  std::uint64_t replaced = 0;
  disk.watch([&](std::uint64_t, const DiskOperation& operation, const test::DiskState& before) {
    if (operation.kind == Kind::write || operation.kind == Kind::truncate)
      CHECK(operation.path != part);
    if (operation.kind == Kind::rename && operation.to == part) {
      CHECK(before.contents(operation.path).ends_with("}\n"));
      ++replaced;
    }
    return true;
  });
  Fed fed({}, disk);
  for (int i = 0; i < 4; ++i) {
    fed.writer.calibrate(0, Linear{.slope = 1.0 + i});
    fed.push(10);
    fed.sink.flush();
  }
  fed.sink.close({});
  CHECK(replaced == 5);
}

TEST_CASE("CsvSink: a sync that failed is not tried again, and what was acknowledged is there") {
  for (const char* suffix : {".csv.part", ".journal"}) {
    CAPTURE(suffix);
    SimulatedDisk disk;
    FaultyFiles files(disk);
    {
      Fed fed({}, files);
      fed.push(100);
      fed.sink.flush();
      files.add({.call = test::FileCall::fdatasync, .suffix = suffix, .error = EIO});
      fed.push(100);
      CHECK(contains(message_of([&] { fed.sink.flush(); }), "can't be synced"));
      const std::string closing = message_of([&] { fed.sink.close({}); });
      CHECK(files.syncs_tried_again() == 0);
      if (suffix == std::string(".journal")) {
        // The text itself is all right: it needs no journal any more.
        CHECK(closing.empty());
        CHECK(fed.sink.end(0).value == 200);
        const Recording recording = Recording::open(path, disk);
        CHECK(recording.streams()[0].rows == 200);
        CHECK(contains(recording.status(), "incomplete: "));
        CHECK(disk.kind((path + ".journal").c_str()) == PathKind::nothing);
        continue;
      }
      CHECK(contains(closing, "can't be synced"));
      CHECK(fed.sink.end(0).value == 100);
    }
    const Recording recording = Recording::open(path + ".part", disk);
    CHECK(recording.guard() == Recording::Guard::journal);
    CHECK(recording.streams()[0].rows == 100);
    std::vector<std::int32_t> values(100);
    recording.read_raw<std::int32_t>(0, 0, 0, values);
    for (int i = 0; i < 100; ++i) REQUIRE(values[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE("CsvSink: a full disk is told as such, and the file sealed up to the last whole sample") {
  for (std::uint64_t i = 0; i < soak(60); ++i) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    const Form form = i % 2 == 0 ? Form::wide : Form::long_form;
    RandomRecording random(seed, RandomRecording::long_one, form == Form::wide);
    SimulatedDisk disk;
    FaultyFiles files(disk);
    // From some write of text on there is no room, and half of that write gets in.
    files.add({.call = test::FileCall::pwrite,
               .suffix = ".csv.part",
               .first = 2 * (seed % 5),
               .count = 1,
               .half = true});
    files.add({.call = test::FileCall::pwrite, .suffix = ".csv.part", .first = 0, .error = ENOSPC});
    CsvSink sink(path, Existing::refuse, {form, static_cast<Durability>(seed % 3)}, files);
    Extent acknowledged;
    bool full = false;
    try {
      random.run(&sink, [&](const Extent& extent) { acknowledged = extent; });
    } catch (const DiskFull& error) {
      full = true;
      CHECK(contains(error.what(), "No space left"));
    }
    const std::string closing = message_of([&] { sink.close({}); });
    if (disk.kind(path.c_str()) != PathKind::file) continue;  // not even the header got in
    const Recording recording = Recording::open(path, disk);
    CHECK(test::differences(recording, random.truth(), {acknowledged, false, true, {}}) == "");
    CHECK(contains(recording.status(), "No space left") == (full || !closing.empty()));
    for (std::size_t s = 0; s < recording.streams().size(); ++s) {
      const RecordedCounts& counts = recording.streams()[s].counts;
      CHECK(counts.recorded + counts.lost + counts.missing == counts.produced);
      const test::Truth::PerStream& truth = random.truth().streams[s];
      CHECK(truth.begin + counts.produced == sink.end(s).value);
    }
    CHECK(disk.kind((path + ".journal").c_str()) == PathKind::nothing);
  }
}

TEST_CASE("CsvSink: the long form, to the letter") {
  const TemporaryDirectory directory;
  const std::string file = directory / "run.csv";
  StreamInfo a = make_info({SampleType::int16, SampleType::float32}, 64, Rate(2, 1));
  a.name = "a";
  a.channels[1].name = "x,\"y\"";
  StreamInfo b = make_info({SampleType::uint8}, 64, std::nullopt);
  b.name = "b";
  {
    CsvSink sink(file, Existing::refuse, {Form::long_form, Durability::full});
    sink.begin(recording_of({a, b}));
    Stream stream_a(a);
    StreamWriter writer_a(stream_a);
    StreamReader reader_a(stream_a);
    const std::array<std::int16_t, 2> small{-7, 8};
    const std::array<float, 2> floats{0.1F, 1e-20F};
    writer_a.push_lanes(std::array<const void*, 2>{small.data(), floats.data()}, {1});
    writer_a.gap({1});
    writer_a.push_lanes(std::array<const void*, 2>{small.data() + 1, floats.data() + 1}, {1});
    drain(reader_a, sink);
    Stream stream_b(b);
    Writer<std::uint8_t> writer_b(stream_b);
    StreamReader reader_b(stream_b);
    const std::array<std::uint8_t, 1> nine{9};
    const std::array<Time, 1> time{Time(-3)};
    writer_b.push(nine, time, Quality(Verdict::bad, Quality::missing));
    Block block(b, 8);
    const Chunk chunk = reader_b.read(block);
    sink.append(1, chunk, block, reader_b.calibrations(chunk.calibrations));
    sink.close({});
  }
  CHECK(test::contents(file) ==
        "time_ns,channel,value,quality\r\n"
        "0,a/ch0,-7,0\r\n"
        "0,\"a/x,\"\"y\"\"\",0.1,0\r\n"
        "1000000000,a/ch0,8,0\r\n"
        "1000000000,\"a/x,\"\"y\"\"\",1e-20,0\r\n"
        "-3,b/ch0,9,11\r\n");
  const Recording recording = Recording::open(file);
  CHECK(recording.streams()[0].number(1).value == 2);
  CHECK(recording.streams()[1].rows == 1);

  CsvSink none(directory / "none.csv", Existing::refuse, {Form::long_form, Durability::full});
  CHECK(contains(message_of([&] { none.begin(recording_of({})); }), "at least one stream"));
  CHECK(contains(message_of([&] { none.begin(recording_of({a, a})); }), "two streams 'a'"));
  CHECK(csv_form_from("long") == Form::long_form);
  CHECK(csv_form_from("wide") == Form::wide);
  CHECK(contains(message_of([] { static_cast<void>(csv_form_from("tall")); }),
                 "allowed are wide, long"));
}

}  // namespace spillway
