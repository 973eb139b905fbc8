#include "spillway/storage/npy_sink.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <limits>
#include <random>

#include "faulty_files.hpp"
#include "foreign_support.hpp"
#include "random_recording.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/copy.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

const std::string disk_path = std::string(SimulatedDisk::directory) + "/run.npy";

// One stream whose channels are of one type.
std::unique_ptr<RandomRecording> random_recording(std::uint64_t seed, RandomRecording::Size size) {
  for (;; ++seed) {
    auto made = std::make_unique<RandomRecording>(seed, size, true);
    bool one_type = true;
    for (const ChannelInfo& c : made->info().streams[0].channels)
      one_type = one_type && c.type == made->info().streams[0].channels[0].type;
    if (one_type) return made;
  }
}

Ending record(RandomRecording& recording, const std::string& path, FileCalls& calls,
              Existing existing = Existing::refuse) {
  const auto sink = make_npy_sink({path, existing}, calls);
  recording.run(sink.get(), [](const Extent&) {});
  const Ending ending{.complete = false, .reason = "enough", .end_time = "2026-05-04T11:00:00Z"};
  sink->close(ending);
  return ending;
}

std::string files_in(const DiskState& state) {
  std::string names;
  for (const std::string& path : state.paths()) names += path.substr(path.rfind('/') + 1) + " ";
  return names;
}

RecordingInfo plain_info(const std::vector<SampleType>& types) {
  return recording_of({make_info(types)});
}

}  // namespace

TEST_CASE("a recording written as .npy files is read back as it was") {
  for (std::uint64_t n = 0; n < soak(40); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    const auto recording =
        random_recording(seed, n % 2 == 0 ? RandomRecording::short_one : RandomRecording::long_one);
    SimulatedDisk disk;
    record(*recording, disk_path, disk);
    const bool regular = recording->info().streams[0].rate.has_value();
    CHECK(files_in(disk.state()) == (regular ? "run.npy run.npy.json run.quality.npy "
                                             : "run.npy run.npy.json run.quality.npy "
                                               "run.time_ns.npy "));
    const Recording r = Recording::open(disk_path, disk);
    CHECK(r.guard() == Recording::Guard::seal);
    CHECK(r.status() == "incomplete: enough");
    CHECK(r.end_time() == "2026-05-04T11:00:00Z");
    CHECK(differences(r, recording->truth(), {recording->appended(), true, false, {}}) == "");
    // And again, by a copy.
    const std::string again = std::string(SimulatedDisk::directory) + "/again.npy";
    const auto sink = make_npy_sink({again}, disk);
    copy(r, *sink);
    sink->close({.complete = false, .reason = "enough", .end_time = "2026-05-04T11:00:00Z"});
    const DiskState state = disk.state();
    for (const char* ending : {".npy", ".quality.npy"})
      CHECK(state.contents(std::string(SimulatedDisk::directory) + "/run" + ending) ==
            state.contents(std::string(SimulatedDisk::directory) + "/again" + ending));
    CHECK(differences(Recording::open(again, disk), recording->truth(),
                      {recording->appended(), true, false, {}}) == "");
  }
}

TEST_CASE("several streams or types are no .npy file, and it is said what takes them") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.npy";
  const auto refused = [&](const RecordingInfo& info) {
    const std::string message = message_of([&] { make_npy_sink({path})->begin(info); });
    CHECK(std::filesystem::is_empty(directory.path()));
    return message;
  };
  RecordingInfo two = plain_info({SampleType::int16});
  two.streams.push_back(two.streams[0]);
  CHECK(contains(refused(two), "holds one stream, not 2; HDF5 takes several"));
  CHECK(contains(refused(plain_info({SampleType::int16, SampleType::float32})),
                 "'ch0' is int16, 'ch1' float32; HDF5 and CSV"));
  CHECK(refused(plain_info({SampleType::int16, SampleType::int16})).empty());
  CHECK(contains(message_of([&] {
                   const auto sink = make_npy_sink({directory / "run"});
                   sink->begin(plain_info({SampleType::int16}));
                 }),
                 "ends in .npy"));
  CHECK(contains(message_of([&] { (void)make_npy_sink({directory / "none/run.npy"}); }), "none"));
}

TEST_CASE("what stands at one of its names is kept, or replaced if that is asked for") {
  for (const char* name : {"run.npy", "run.quality.npy", "run.npy.json"}) {
    const TemporaryDirectory directory;
    write_text(directory / name, "mine");
    CHECK(contains(message_of([&] {
                     make_npy_sink({directory / "run.npy"})->begin(plain_info({SampleType::int8}));
                   }),
                   "exists already"));
    CHECK(contents(directory / name) == "mine");
  }
  const TemporaryDirectory directory;
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  const auto first = random_recording(seed, RandomRecording::short_one);
  const auto second = random_recording(seed + 1000, RandomRecording::short_one);
  record(*first, directory / "run.npy", system_file_calls());
  record(*second, directory / "run.npy", system_file_calls(), Existing::replace);
  CHECK(differences(Recording::open(directory / "run.npy"), second->truth(),
                    {second->appended(), true, false, {}}) == "");
}

TEST_CASE("any changed byte of a recording in .npy files is found when it is opened") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto recording = random_recording(seed, RandomRecording::short_one);
  const TemporaryDirectory directory;
  record(*recording, directory / "run.npy", system_file_calls());
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    const std::string path = entry.path().string();
    CAPTURE(path);
    const std::string bytes = contents(path);
    for (int n = 0; n < 60; ++n) {
      std::string other = bytes;
      switch (n % 3) {
        case 0: other[random() % other.size()] ^= static_cast<char>(1 << random() % 8); break;
        case 1: other.resize(random() % other.size()); break;
        default: other += 'x';
      }
      write_text(path, other);
      // A space behind the JSON text says nothing else; everything besides is told.
      if (path.ends_with(".json") && n % 3 == 2) continue;
      REQUIRE_FALSE(message_of([&] { (void)Recording::open(directory / "run.npy"); }).empty());
    }
    write_text(path, bytes);
  }
  CHECK(message_of([&] { (void)Recording::open(directory / "run.npy"); }).empty());
  // Without its books it is anybody's array.
  std::filesystem::remove(directory / "run.npy.json");
  CHECK(Recording::open(directory / "run.npy", at_rate(Rate(1, 1))).streams()[0].rows ==
        recording->truth().streams[0].numbers.size());
  // Somebody else's text is told, and left out.
  write_text(directory / "run.npy.json", "{}");
  CHECK(Recording::open(directory / "run.npy", at_rate(Rate(1, 1))).remarks().size() == 1);
}

TEST_CASE("a pipe in place of a file of a recording is told, and waits for nobody") {
  for (const char* name : {"run.npy", "run.quality.npy", "run.time_ns.npy", "run.npy.json",
                           "run.npy.calibrations.json"}) {
    CAPTURE(name);
    const TemporaryDirectory directory;
    const auto recording = random_recording(new_seed(), RandomRecording::short_one);
    record(*recording, directory / "run.npy", system_file_calls());
    const bool is_read =
        std::filesystem::remove(directory / name) || contains(name, "calibrations");
    REQUIRE(::mkfifo((directory / name).c_str(), 0600) == 0);
    // A regular stream has no file of times; without its books a recording is anybody's array.
    const std::string error =
        message_of([&] { (void)Recording::open(directory / "run.npy", at_rate(Rate(1, 1))); });
    if (is_read && name != std::string("run.npy.json")) CHECK_FALSE(error.empty());
    CHECK_FALSE(contains(error, "\n"));
  }
}

TEST_CASE("a recording that can't be written leaves nothing, whatever failed") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  const auto run = [&](FaultyFiles& calls) {
    return message_of([&] {
      const auto recording = random_recording(seed, RandomRecording::short_one);
      record(*recording, disk_path, calls);
    });
  };
  for (const FileCall call : {FileCall::open, FileCall::pwrite, FileCall::fdatasync,
                              FileCall::rename, FileCall::sync_directory, FileCall::close}) {
    SimulatedDisk whole;
    FaultyFiles counting(whole);
    REQUIRE(run(counting).empty());
    const std::uint64_t made = counting.made(call);
    REQUIRE(made > 0);
    for (std::uint64_t at = 0; at < made; ++at) {
      CAPTURE(to_string(call), at);
      SimulatedDisk disk;
      FaultyFiles calls(disk);
      calls.add({.call = call, .first = at, .count = 1, .error = ENOSPC});
      const std::string message = run(calls);
      CHECK(calls.struck() == 1);
      // Closing a file that is only read has nothing to tell; an empty one that can't even be
      // closed stays.
      if (call != FileCall::close) {
        CHECK_FALSE(message.empty());
        CHECK(files_in(disk.state()).empty());
      } else if (!message.empty()) {
        for (const std::string& path : disk.state().paths())
          CHECK(disk.state().contents(path).empty());
      }
    }
  }
}

TEST_CASE("a full disk is told as such to who writes .npy files, and closing saves nothing") {
  SimulatedDisk disk;
  disk.set_capacity(200'000);
  const StreamInfo info = make_info({SampleType::float64});
  Stream stream(info);
  Writer<double> writer(stream);
  StreamReader reader(stream);
  const auto sink = make_npy_sink({disk_path}, disk);
  sink->begin(recording_of({info}));
  bool full = false;
  for (int n = 0; n < 200 && !full; ++n) {
    for (int i = 0; i < 1000; ++i) writer.push(i);
    try {
      drain(reader, *sink);
    } catch (const DiskFull&) {
      full = true;
    }
  }
  CHECK(full);
  CHECK_FALSE(message_of([&] { sink->close({}); }).empty());
  CHECK(files_in(disk.state()).empty());
  CHECK(sink->end(0).value == 0);
}

TEST_CASE("a .npy recording that is abandoned or only destroyed leaves nothing") {
  const TemporaryDirectory directory;
  const auto begin = [&] {
    auto sink = make_npy_sink({directory / "run.npy"});
    sink->begin(plain_info({SampleType::int16}));
    return sink;
  };
  begin();
  CHECK(std::filesystem::is_empty(directory.path()));
  const auto sink = begin();
  sink->abandon();
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("power cuts: a .npy recording is there whole, or not at all") {
  std::uint64_t whole = 0, none = 0;
  for (std::uint64_t n = 0; n < soak(6); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const bool replace = n % 2 == 0;
    const auto before = random_recording(seed + 500, RandomRecording::short_one);
    const auto recording = random_recording(seed, RandomRecording::short_one);
    SimulatedDisk disk;
    if (replace) record(*before, disk_path, disk);
    std::vector<DiskState> cuts;
    disk.watch([&](std::uint64_t, const DiskOperation&, const DiskState& state) {
      cuts.push_back(state);
      return true;
    });
    record(*recording, disk_path, disk, replace ? Existing::replace : Existing::refuse);
    cuts.push_back(disk.state());
    for (std::size_t cut = 0; cut < cuts.size(); ++cut) {
      CutCounts counts;
      SimulatedDisk found(cuts[cut].after_power_cut(random(), true, counts));
      if (!found.state().has(disk_path + ".json")) {
        ++none;
        // Acknowledged by close().
        REQUIRE(cut + 1 < cuts.size());
        continue;
      }
      const Recording r = Recording::open(disk_path, found);
      const std::string is_new =
          differences(r, recording->truth(), {recording->appended(), true, false, {}});
      if (!is_new.empty()) {
        REQUIRE(replace);
        REQUIRE(cut + 1 < cuts.size());
        REQUIRE(differences(r, before->truth(), {before->appended(), true, false, {}}) == "");
      }
      ++whole;
    }
  }
  CHECK(whole > 0);
  CHECK(none > 0);
}

TEST_CASE("numpy loads each of the files alone") {
  if (!has_numpy()) return;
  const TemporaryDirectory directory;
  const StreamInfo info = make_info({SampleType::int16, SampleType::int16});
  Stream stream(info);
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  const auto sink = make_npy_sink({directory / "two.npy"});
  sink->begin(recording_of({info}));
  for (std::int16_t i = 0; i < 3000; ++i) {
    const std::vector<std::int16_t> frame{i, static_cast<std::int16_t>(-i)};
    const std::vector<Quality> quality{i % 10 == 0 ? Quality(Verdict::suspect) : Quality(), {}};
    writer.push(frame, quality);
  }
  drain(reader, *sink);
  sink->close({});
  StreamInfo one = make_info({SampleType::float64}, 1 << 16, std::nullopt);
  Stream irregular(one);
  Writer<double> values(irregular);
  StreamReader from(irregular);
  const auto single = make_npy_sink({directory / "one.npy"});
  single->begin(recording_of({one}));
  for (int i = 0; i < 100; ++i) {
    const double value = i * 0.5;
    const Time time(i * i + 1);
    values.push({&value, 1}, {&time, 1});
  }
  drain(from, *single);
  single->close({});
  CHECK(run_python(directory, R"(
import json
import numpy as np
two = np.load("two.npy", mmap_mode="r")
assert two.shape == (3000, 2) and two.dtype == np.int16 and two.flags.c_contiguous
np.testing.assert_array_equal(two[:, 0], np.arange(3000))
np.testing.assert_array_equal(two[:, 1], -np.arange(3000))
quality = np.load("two.quality.npy", mmap_mode="r")
assert quality.shape == (3000, 2) and quality.dtype == np.uint8
np.testing.assert_array_equal(quality[:, 0], np.where(np.arange(3000) % 10 == 0, 2, 0))
one = np.load("one.npy")
assert one.shape == (100,)
np.testing.assert_array_equal(one, np.arange(100) * 0.5)
np.testing.assert_array_equal(np.load("one.time_ns.npy"), np.arange(100) ** 2 + 1)
books = json.load(open("two.npy.json"))["spillway"]
assert books["rows"] == 3000 and books["stream"]["rate"] == {"samples": 1000, "seconds": 1}
)"));
}
