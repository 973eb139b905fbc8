#include "spillway/storage/calibration_sidecar.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "faulty_files.hpp"
#include "foreign_support.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/copy.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/npy_sink.hpp"
#include "spillway/storage/numbered_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/recovery.hpp"
#include "spillway/storage/verify.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

// Samples 100 to 149, a gap of 10, samples 160 to 199; each is its number. From 120 on "ch0" was
// calibrated otherwise.
void record(const std::string& path, FileCalls& calls = system_file_calls()) {
  StreamInfo info = make_info({SampleType::int32, SampleType::float64});
  info.name = "pump";
  info.channels[0].calibration = Linear{2.0, 0.0};
  Hdf5Sink sink(path, Existing::refuse, {}, calls);
  sink.begin(recording_of({info, make_info({SampleType::int8})}));
  Block block(info, 50);
  const auto append = [&](std::uint64_t first, std::uint64_t count, const CalibrationSet& set,
                          std::uint32_t id) {
    for (std::uint64_t i = 0; i < count; ++i) {
      block.values<std::int32_t>(0)[i] = static_cast<std::int32_t>(first + i);
      block.values<double>(1)[i] = static_cast<double>(first + i);
    }
    Chunk chunk;
    chunk.from = chunk.first = {first};
    chunk.count = {count};
    chunk.time = info.rate->duration(first);
    chunk.calibrations = {id};
    sink.append(0, chunk, block, set);
  };
  append(100, 20, {Linear{2.0, 0.0}, {}}, 1);
  append(120, 30, {Linear{3.0, 0.0}, {}}, 2);
  sink.append_gap(0, {150, 10, 10, 0, Absence::lost});
  append(160, 40, {Linear{3.0, 0.0}, {}}, 2);
  sink.close({});
}

// What a calibrated channel is divided by its number: the slope, of each sample.
std::vector<double> slopes(const Recording& recording, std::size_t channel = 0) {
  const RecordedStream& stream = recording.streams()[0];
  std::vector<double> values(stream.rows);
  recording.read_calibrated(0, channel, 0, values);
  for (std::uint64_t row = 0; row < values.size(); ++row)
    values[row] /= static_cast<double>(stream.number(row).value);
  return values;
}

CalibrationRecord slope(double slope, std::uint64_t from, std::optional<std::uint64_t> to = {},
                        const std::string& channel = "ch0") {
  CalibrationRecord record{"pump", channel, from, to, Linear{slope, 0.0}};
  record.added = "2026-05-04T10:44:18.529Z";
  return record;
}

}  // namespace

TEST_CASE("calibrations that were appended count, and the recording stays as it is") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  record(path);
  const std::string before = contents(path);
  CHECK(calibration_sidecar_of(path) == path + ".calibrations.json");
  CHECK(calibration_sidecar_of(path + ".part") == path + ".calibrations.json");
  CHECK(appended_calibrations(path).empty());

  append_calibrations(path, {});
  CHECK_FALSE(exists(calibration_sidecar_of(path)));
  std::vector<CalibrationRecord> all{slope(4.0, 0), slope(5.0, 130, 170), slope(7.0, 165)};
  all[0].unit = all[2].unit = "kN";
  all[1].reason = "the sensor was bent";
  // A channel has one unit: that of some samples can't be another, whoever says so.
  CHECK(contains(message_of([&] { append_calibrations(path, {all[2]}); }),
                 "samples from 165 on of pump/ch0 is in 'kN', and the others are in 'V'"));
  CalibrationRecord by_itself = slope(7.0, 0, 150);
  by_itself.calibration.unit_out = "kN";
  CHECK(contains(message_of([&] { append_calibrations(path, {by_itself}); }), "one unit"));
  CHECK_FALSE(exists(calibration_sidecar_of(path)));
  append_calibrations(path, {all[0], all[1]});
  append_calibrations(path, {all[2]});
  CHECK(appended_calibrations(path) == all);
  CHECK(contents(path) == before);
  CHECK(verify(path).findings.empty());

  const Recording with = Recording::open(path);
  const auto got = slopes(with);
  for (std::uint64_t row = 0; row < got.size(); ++row) {
    const std::uint64_t number = with.streams()[0].number(row).value;
    const double wanted = number >= 165 ? 7.0 : number >= 130 ? 5.0 : 4.0;
    REQUIRE(got[row] == Approx(wanted));
  }
  CHECK(with.streams()[0].info.channels[0].unit == "kN");
  CHECK(with.streams()[0].info.channels[1].unit == "V");
  CHECK(slopes(with, 1) == std::vector<double>(90, 1.0));
  std::vector<std::int32_t> raw(90);
  with.read_raw<std::int32_t>(0, 0, 0, raw);
  CHECK(raw.back() == 199);

  const Recording without = Recording::open(path, OpenOptions{.appended_calibrations = false});
  CHECK(slopes(without)[89] == Approx(3.0));
  CHECK(without.streams()[0].info.channels[0].unit == "V");
  CHECK(without.streams()[0].calibrations.size() == 2);

  // A copy has them as its own.
  MemorySink copied;
  REQUIRE(copy(with, copied));
  CHECK(copied.info().streams[0].channels[0].unit == "kN");
}

TEST_CASE("records in force are as those of each sample one by one would be") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (std::uint64_t n = 0; n < soak(300); ++n) {
    StreamInfo info = make_info({SampleType::int32, SampleType::int32});
    info.name = "pump";
    std::vector<CalibrationChange> changes;
    std::uint64_t at = random() % 30;
    // Of each sample, each channel: its slope.
    std::vector<std::vector<double>> wanted(2, std::vector<double>(120, 0.0));
    const auto slope_of = [](const Calibration& c) {
      return c.steps.empty() ? 0.0 : std::get<Linear>(c.steps[0]).slope;
    };
    const std::uint64_t first = at;
    for (std::uint64_t k = random() % 4; k > 0; --k, at += 1 + random() % 30) {
      CalibrationSet set{Linear{static_cast<double>(random() % 9 + 1), 0.0},
                         Linear{static_cast<double>(random() % 9 + 1), 0.0}};
      for (std::size_t c = 0; c < 2; ++c)
        std::fill(wanted[c].begin() + static_cast<std::ptrdiff_t>(at), wanted[c].end(),
                  slope_of(set[c]));
      changes.push_back({at, std::move(set)});
    }
    std::vector<CalibrationRecord> records;
    for (std::uint64_t k = random() % 6; k > 0; --k) {
      const std::size_t c = random() % 2;
      const std::uint64_t from = random() % 110;
      const std::uint64_t to = from + 1 + random() % (119 - from);
      const bool open = random() % 4 == 0;
      const double s = 10.0 + static_cast<double>(random() % 90);
      records.push_back(
          slope(s, from, open ? std::nullopt : std::optional(to), "ch" + std::to_string(c)));
      for (std::uint64_t i = from; i < (open ? 120 : to); ++i) wanted[c][i] = s;
    }
    records.push_back(slope(1000.0, 0));
    records.back().stream = "another";
    const bool has_rows = !changes.empty();
    put_in_force(records, info, changes, "test");
    CHECK(std::is_sorted(changes.begin(), changes.end(), [](const auto& a, const auto& b) {
      return a.from_sample < b.from_sample;
    }));
    const std::uint64_t begin = has_rows ? first : 0;
    for (std::size_t c = 0; c < 2; ++c)
      if (wanted[c][begin] >= 10.0)
        CHECK(slope_of(info.channels[c].calibration) == wanted[c][begin]);
    if (!has_rows) {
      CHECK(changes.empty());
      continue;
    }
    for (std::uint64_t sample = first; sample < 120; ++sample) {
      auto after = std::find_if(changes.begin(), changes.end(),
                                [&](const auto& c) { return c.from_sample > sample; });
      REQUIRE(after != changes.begin());
      for (std::size_t c = 0; c < 2; ++c)
        REQUIRE(slope_of((after - 1)->calibrations[c]) == wanted[c][sample]);
    }
  }
}

TEST_CASE("the unit of raw values stays when calibrated ones get another") {
  StreamInfo info = make_info({SampleType::int32});
  info.name = "pump";
  info.channels[0].unit = "mV";
  std::vector<CalibrationChange> changes{{0, {{}}}};
  Calibration calibration = Linear{2.0, 0.0};
  calibration.unit_out = "N";
  put_in_force({{"pump", "ch0", 0, {}, calibration}}, info, changes, "test");
  CHECK(info.channels[0].unit == "N");
  CHECK(info.channels[0].raw_unit() == "mV");
  CHECK(changes[0].calibrations[0].unit_in == "mV");
}

TEST_CASE("what can't be appended is refused in words, and nothing is there then") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  record(path);
  const auto refused = [&](const CalibrationRecord& record) {
    return message_of([&] { append_calibrations(path, {slope(1.0, 0), record}); });
  };
  CalibrationRecord bad = slope(1.0, 5, 5);
  CHECK(contains(refused(bad), "calibration 2 of"));
  CHECK(contains(refused(bad), "not behind"));
  bad = slope(1.0, 0, {}, "ch7");
  CHECK(contains(refused(bad), "no channel 'ch7'; it has 'ch0', 'ch1'"));
  bad = slope(1.0, 0);
  bad.stream = "pumpe";
  CHECK(contains(refused(bad), "no stream 'pumpe'"));
  bad = slope(std::nan(""), 0);
  CHECK_FALSE(refused(bad).empty());
  bad = slope(1.0, 0);
  bad.reason = "two\nlines";
  CHECK(contains(refused(bad), "control characters"));
  bad.reason = "\xff";
  CHECK(contains(refused(bad), "UTF-8"));
  CHECK(contains(message_of([&] { append_calibrations(path, std::vector(1001, slope(1.0, 0))); }),
                 "allowed are 1000"));
  CHECK(contains(message_of([&] { append_calibrations(directory / "no.h5", {slope(1.0, 0)}); }),
                 "No such file"));
  CHECK_FALSE(exists(calibration_sidecar_of(path)));
  CHECK(slopes(Recording::open(path))[0] == Approx(2.0));
}

TEST_CASE("what is appended to none of the samples is refused, and to some is remarked") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  record(path);  // 100 to 199
  const auto refused = [&](std::uint64_t from, std::optional<std::uint64_t> to) {
    const std::string message =
        message_of([&] { append_calibrations(path, {slope(1.0, from, to)}); });
    CHECK(message.starts_with("calibration 1 of " + path));
    CHECK_FALSE(contains(message, "\n"));
    CHECK_FALSE(exists(calibration_sidecar_of(path)));
    return message;
  };
  CHECK(
      contains(refused(200, {}), "samples from 200 on, but stream 'pump' has samples 100 to 199"));
  CHECK(
      contains(refused(300, 400), "samples 300 to 399, but stream 'pump' has samples 100 to 199"));
  CHECK(contains(refused(0, 100), "samples 0 to 99, but"));
  // A gap, 150 to 159.
  CHECK(contains(refused(150, 160), "samples 150 to 159, and stream 'pump' has a gap there"));
  CHECK(contains(refused(155, 156), "samples 155 to 155, and stream 'pump' has a gap there"));
  CHECK(append_calibrations(path, {slope(1.0, 0), slope(1.0, 100), slope(1.0, 199),
                                   slope(1.0, 0, 200), slope(1.0, 150, 161)})
            .empty());
  const auto remarks = append_calibrations(
      path, {slope(1.0, 0), slope(1.0, 199, 201), slope(1.0, 99), slope(1.0, 100, 101)});
  REQUIRE(remarks.size() == 2);
  CHECK(contains(remarks[0], "calibration 2 of " + path + ": is of samples 199 to 200"));
  CHECK(contains(remarks[0], "has only samples 100 to 199"));
  CHECK(contains(remarks[1], "calibration 3 of"));
  CHECK(appended_calibrations(path).size() == 9);

  // Of an empty one, all; of one that grows, what is to come.
  CalibrationRecord empty = slope(1.0, 0, 1);
  empty.stream = "stream";
  CHECK(contains(message_of([&] { append_calibrations(path, {empty}); }), "has none"));
  empty.to_sample.reset();
  CHECK(append_calibrations(path, {empty}).empty());
  Hdf5Sink sink(directory / "grows.h5", Existing::refuse);
  StreamInfo info = make_info({SampleType::int32, SampleType::int32});
  info.name = "pump";
  sink.begin(recording_of({info}));
  sink.append_gap(0, {0, 50, 50, 0, Absence::lost});
  sink.flush();
  CHECK(append_calibrations(directory / "grows.h5.part", {slope(1.0, 1000, 2000)}).empty());
  sink.close({});
}

TEST_CASE("a recording tells that calibrations were appended, and from where") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  record(path);
  CHECK(Recording::open(path).remarks().empty());
  append_calibrations(path, {slope(1.0, 0)});
  CHECK(Recording::open(path).remarks() ==
        std::vector{"1 calibration appended, from " + calibration_sidecar_of(path)});
  append_calibrations(path, {slope(2.0, 0)});
  CHECK(Recording::open(path).remarks() ==
        std::vector{"2 calibrations appended, from " + calibration_sidecar_of(path)});
  CHECK(Recording::open(path, OpenOptions{.appended_calibrations = false}).remarks().empty());
}

TEST_CASE("a sidecar that is damaged is told with file, record and key, in one line") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  record(path);
  append_calibrations(path, {slope(1.5, 0), slope(2.5, 120, 130)});
  const std::string sidecar = calibration_sidecar_of(path);
  const std::string good = contents(sidecar);
  const auto told = [&](const std::string& what, const std::string& with) {
    std::string text = good;
    const std::size_t at = text.find(what);
    REQUIRE(at != std::string::npos);
    text.replace(at, what.size(), with);
    write_text(sidecar, text);
    const std::string message = message_of([&] { (void)appended_calibrations(path); });
    CHECK(message.starts_with(sidecar));
    CHECK_FALSE(contains(message, "\n"));
    CHECK(message_of([&] { (void)Recording::open(path); }) == message);
    CHECK(message_of([&] {
            (void)Recording::open(path, OpenOptions{.appended_calibrations = false});
          }).empty());
    return message;
  };
  CHECK(contains(told("1.5", "1.6"), "\"crc32c\""));
  CHECK(contains(told("\"to_sample\"", "\"to_samples\""), "record 2: unknown key \"to_samples\""));
  CHECK(contains(told("\"to_sample\": 130", "\"to_sample\": 120"), "record 2: \"to_sample\""));
  CHECK(contains(told("\"from_sample\": 0", "\"from_sample\": -1"), "record 1: \"from_sample\""));
  CHECK(contains(told("\"from_sample\": 0", "\"from_sample\": 0.5"), "whole number"));
  CHECK(contains(told("\"version\": 1", "\"version\": 2"), "\"version\""));
  CHECK(contains(told("spillway calibrations", "x"), "\"format\""));
  CHECK(contains(told("\"slope\": 1.5", "\"slope\": 1e999"), "1e999"));
  CHECK(contains(told("\"linear\"", "\"cubic\""), "record 1"));
  CHECK(contains(told("{", "["), "is not JSON: line "));
  CHECK(contains(told("\"pump\"", "7"), "record 1: \"stream\" is a number"));
  // Without a checksum a changed one is taken, as who writes it by hand has none; of a stream that
  // is not there it is not.
  const std::size_t at = good.find("  \"crc32c\"");
  std::string by_hand = good;
  by_hand.erase(at, good.find('\n', at) + 1 - at);
  write_text(sidecar, by_hand);
  CHECK(appended_calibrations(path).size() == 2);
  by_hand.replace(by_hand.find("\"pump\""), 6, "\"pumpe\"");
  write_text(sidecar, by_hand);
  CHECK(contains(message_of([&] { (void)Recording::open(path); }), "'pumpe'"));
}

namespace {

// With its sidecar.
void move_recording(const std::string& from, const std::string& to) {
  std::filesystem::rename(from, to);
  for (const char* beside : {"-metadata.json", ".calibrations.json"})
    if (exists(from + beside)) std::filesystem::rename(from + beside, to + beside);
}

StreamInfo pump(std::uint64_t channels = 2) {
  StreamInfo info = make_info(std::vector<SampleType>(channels, SampleType::int32));
  info.name = "pump";
  return info;
}

// 100 samples more, of values that rise from `begin`.
void append_samples(Sink& sink, std::uint64_t first, std::int32_t begin) {
  const StreamInfo info = pump();
  Block block(info, 100);
  for (std::size_t c = 0; c < 2; ++c)
    for (std::int32_t i = 0; i < 100; ++i)
      block.values<std::int32_t>(c)[static_cast<std::size_t>(i)] = begin + i;
  Chunk chunk;
  chunk.from = chunk.first = {first};
  chunk.count = {100};
  chunk.time = info.rate->duration(first);
  sink.append(0, chunk, block, {{}, {}});
}

std::unique_ptr<Sink> sink_of(const std::string& path, Existing existing = Existing::refuse) {
  if (path.ends_with(".csv"))
    return std::make_unique<CsvSink>(path, existing, CsvOptions{.durability = Durability::process});
  if (path.ends_with(".npy")) return make_npy_sink({.path = path, .existing = existing});
  return std::make_unique<Hdf5Sink>(path, existing, Hdf5Options{.durability = Durability::process});
}

void make_recording(const std::string& path, const RecordingInfo& info, std::int32_t begin = 1) {
  const auto sink = sink_of(path);
  sink->begin(info);
  append_samples(*sink, 0, begin);
  sink->close({});
}

double slope_in_force(const std::string& path, const OpenOptions& options = {}) {
  const Recording recording = Recording::open(path, options);
  return std::get<Linear>(recording.streams()[0].info.channels[0].calibration.steps.at(0)).slope;
}

std::string reason_to_refuse(const std::string& path, const OpenOptions& options = {}) {
  const std::string message = message_of([&] { (void)Recording::open(path, options); });
  if (message.empty()) return "";
  CHECK(message.starts_with(calibration_sidecar_of(path)));
  CHECK(contains(message, "does not belong to " + path));
  CHECK(contains(message, "move it away"));
  CHECK_FALSE(contains(message, "\n"));
  return message;
}

}  // namespace

TEST_CASE("calibrations that were appended are not those of another recording of the name") {
  RecordingInfo info = recording_of({pump()}, "adc");
  info.start_time = "2026-05-04T10:44:18.529Z";
  info.configuration = "title: adc";
  info.provenance = R"({"nodes": []})";
  for (const char* name : {"run.h5", "run.csv", "run.npy"}) {
    CAPTURE(name);
    TemporaryDirectory directory;
    const std::string path = directory / name;
    make_recording(path, info);
    append_calibrations(path, {slope(5.0, 0)});
    const auto again = [&](const RecordingInfo& other) {
      for (const auto& file : std::filesystem::directory_iterator(directory.path()))
        if (!contains(file.path().string(), ".calibrations.")) std::filesystem::remove(file.path());
      make_recording(path, other);
      return reason_to_refuse(path);
    };
    CHECK(again(info).empty());  // it is the same
    RecordingInfo other = info;
    other.start_time = "2026-05-04T10:44:18.530Z";
    CHECK(contains(again(other), "start \"2026-05-04T10:44:18.529Z\", this one"));
    // Which is nothing that can be added to, either, and can be read as it was recorded.
    CHECK(contains(message_of([&] { append_calibrations(path, {slope(1.0, 0)}); }),
                   "does not belong"));
    CHECK(reason_to_refuse(path, {.appended_calibrations = false}).empty());
    other = info;
    other.title = "another\n";
    CHECK(contains(again(other), "title \"adc\""));
    other = info;
    other.streams[0].name = "motor";
    CHECK(contains(again(other), "streams \"pump\", this one \"motor\""));
    other = info;
    other.configuration += " ";
    CHECK(contains(again(other), "another configuration"));
    std::filesystem::remove(calibration_sidecar_of(path));
    CHECK(again(other).empty());
  }
}

TEST_CASE(
    "calibrations that were appended stay those of a recording that ends, moves, is recovered") {
  RecordingInfo info = recording_of({pump()}, "r\xc3\xa9glage \xff");
  info.configuration = "title: x\n# caf\xc3\xa9\n";
  info.provenance = R"({"b": 1.50, "a": [1, 2]})";
  // Of one whose start is not known samples tell, of which there are ever more.
  for (const char* start : {unknown_time, "2026-05-04T10:44:18.529Z"})
    for (const std::string name : {"run.h5", "run.csv"})
      for (const bool dies : {false, true}) {
        CAPTURE(name, dies, start);
        TemporaryDirectory directory;
        const std::string path = directory / name;
        info.start_time = start;
        if (name == "run.csv") info.title = "title";
        auto sink = sink_of(path);
        sink->begin(info);
        for (std::uint64_t i = 0; i < 30; ++i) append_samples(*sink, i * 100, 1);
        sink->flush();
        const std::string part = path + ".part";
        append_calibrations(part, {slope(5.0, 0)});
        const auto in_force = [&](const std::string& of) {
          CAPTURE(of);
          const Recording recording = Recording::open(of);
          std::vector<double> values(100);
          recording.read_calibrated(0, 0, 0, values);
          CHECK(values[9] == 50.0);
          return recording.status();
        };
        CHECK(in_force(part) == "recording");
        for (std::uint64_t i = 30; i < 60; ++i) append_samples(*sink, i * 100, 7);
        sink->flush();
        CHECK(in_force(part) == "recording");
        std::string there = path;
        if (dies) {
          sink.reset();
          CHECK(in_force(part) == "recording");
          const RecoveryReport report = recover(part);
          there = report.output;
          REQUIRE_FALSE(report.remarks.empty());
          CHECK(contains(report.remarks.back(), "copy " + calibration_sidecar_of(path) + " to "));
          CHECK(there != path);
          std::filesystem::copy_file(calibration_sidecar_of(path), calibration_sidecar_of(there));
        } else {
          sink->close({});
        }
        CHECK(in_force(there) != "recording");
        const std::string moved = directory / ("moved-" + name);
        move_recording(there, moved);
        CHECK(in_force(moved) != "recording");
        append_calibrations(moved, {slope(5.0, 0)});
        CHECK(in_force(moved) != "recording");
      }
}

TEST_CASE("calibrations of files of others are bound by samples, and go with a renamed file") {
  constexpr std::size_t none = 1'000'000;
  const auto wav = [](std::size_t changed, std::size_t samples = 9000) {
    std::string data;
    for (std::size_t i = 0; i < samples; ++i)
      data += bytes_of(static_cast<std::int16_t>(i == changed ? 999 : 0));
    return wav_bytes(riff_chunk("fmt ", wav_format(1, 1, 1000, 16)) + riff_chunk("data", data));
  };
  // Whose start is known, and the same.
  const auto dates = [](std::size_t changed) {
    std::string text = "time,ch0\n";
    for (std::size_t i = 0; i < 10; ++i)
      text += "2026-05-04T10:00:0" + std::to_string(i) + "Z," + (i == changed ? "9" : "1") + "\n";
    return text;
  };
  const auto npy = [](std::size_t changed) {
    std::string data;
    for (std::size_t i = 0; i < 100; ++i) data += bytes_of(i == changed ? 9.0 : 1.0);
    return npy_bytes(1, npy_header("<f8", false, "50, 2"), data);
  };
  const auto table = [](std::size_t changed) {
    std::string text = "time,ch0\n";
    for (std::size_t i = 0; i < 100; ++i)
      text += std::to_string(i) + "," + (i == changed ? "9" : "1") + "\n";
    return text;
  };
  const auto raw = [](std::size_t) {
    return std::string(
        R"({"streams": [{"name": "x", "file": "data.raw", "dtype": "int16", "byte_order": "little",
        "layout": "interleaved", "offset_bytes": 0, "frames": 100, "channel_count": 1,
        "channels": [{"name": "ch0", "unit": "V", "calibration": null}],
        "time": {"kind": "uniform", "rate_hz": 10.0, "t0_s": 0.0}}]})");
  };
  const auto raw_data = [](const std::string& path, std::size_t changed) {
    std::string data;
    for (std::size_t i = 0; i < 100; ++i)
      data += bytes_of(static_cast<std::int16_t>(i == changed ? 9 : 1));
    write_text(path, data);
  };
  const std::map<std::string, std::function<std::string(std::size_t)>> kinds{
      {"x.wav", wav}, {"x.npy", npy}, {"x.csv", table}, {"x.json", raw}, {"x.txt", dates}};
  OpenOptions at_10_hz;
  at_10_hz.foreign.rate = Rate(10, 1);
  for (const auto& [name, bytes] : kinds) {
    CAPTURE(name);
    TemporaryDirectory directory;
    const OpenOptions options = name == "x.npy" ? at_10_hz : OpenOptions{};
    const std::string path = directory / name;
    raw_data(directory / "data.raw", none);
    write_text(path, bytes(none));
    CalibrationRecord record = slope(5.0, 0);
    record.stream = "x";
    append_calibrations(path, {record}, options.foreign);
    const auto slope_of = [&](const std::string& of) { return slope_in_force(of, options) == 5.0; };
    CHECK(slope_of(path));
    const std::string renamed = directory / ("y" + name.substr(1));
    move_recording(path, renamed);
    CHECK(slope_of(renamed));
    record.stream = name == "x.json" ? "x" : "y";
    record.channel = "ch0";
    append_calibrations(renamed, {record}, options.foreign);
    CHECK(slope_of(renamed));
    CHECK(appended_calibrations(renamed) == std::vector{record, record});

    // The last sample, and what is before.
    const std::size_t last = name == "x.wav" ? 8999 : name == "x.txt" ? 9 : 99;
    for (const std::size_t changed : {last, std::size_t{2}}) {
      raw_data(directory / "data.raw", changed);
      write_text(renamed, bytes(changed));
      CHECK(contains(reason_to_refuse(renamed, options), "has other samples"));
    }
  }
  // One that is shorter.
  TemporaryDirectory directory;
  const std::string path = directory / "x.wav";
  write_text(path, wav(none));
  CalibrationRecord record = slope(5.0, 0);
  record.stream = "x";
  append_calibrations(path, {record});
  write_text(path, wav(none, 8000));
  CHECK(contains(reason_to_refuse(path), "has 9000 samples, of this one 8000"));
}

TEST_CASE("a sidecar that is bound to nothing yet is in force, and bound by what is appended") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  RecordingInfo info = recording_of({pump()});
  info.start_time = "2026-05-04T10:44:18.529Z";
  make_recording(path, info);
  append_calibrations(path, {slope(5.0, 0)});
  std::string text = contents(calibration_sidecar_of(path));
  const std::size_t at = text.find(",\n  \"recording\"");
  REQUIRE(at != std::string::npos);
  write_text(calibration_sidecar_of(path), text.substr(0, at) + "\n}\n");
  info.start_time = "2027-05-04T10:44:18.529Z";
  std::filesystem::remove(path);
  make_recording(path, info);
  CHECK(slope_in_force(path) == 5.0);
  append_calibrations(path, {slope(6.0, 0)});
  CHECK(slope_in_force(path) == 6.0);
  info.start_time = "2026-05-04T10:44:18.529Z";
  std::filesystem::remove(path);
  make_recording(path, info);
  CHECK(contains(reason_to_refuse(path), "start"));
}

TEST_CASE("a recording whose calibrations were appended is not replaced before they are away") {
  TemporaryDirectory directory;
  for (const char* name : {"run.h5", "run.csv", "run.npy"}) {
    CAPTURE(name);
    const std::string path = directory / name;
    const RecordingInfo info = recording_of({pump()});
    make_recording(path, info);
    append_calibrations(path, {slope(5.0, 0)});
    const std::string before = contents(path);
    const std::string message = message_of([&] { (void)sink_of(path, Existing::replace); });
    CHECK(message.starts_with(calibration_sidecar_of(path)));
    CHECK(contains(message, "move it away"));
    CHECK_FALSE(contains(message, "\n"));
    CHECK_FALSE(exists(path + ".part"));
    CHECK(contents(path) == before);
    CHECK(slope_in_force(path) == 5.0);
    std::filesystem::remove(calibration_sidecar_of(path));
    const auto sink = sink_of(path, Existing::replace);
    sink->begin(info);
    append_samples(*sink, 0, 1);
    sink->close({});
  }
  // A recording on its way leaves out the number.
  make_recording(directory / "long-0002.h5", recording_of({pump()}));
  append_calibrations(directory / "long-0002.h5", {slope(5.0, 0)});
  NumberedSink numbered(
      {.path = directory / "long.h5", .existing = Existing::replace, .split = {.bytes = 1}},
      [](const std::string& path) { return std::make_unique<Hdf5Sink>(path, Existing::replace); });
  numbered.begin(recording_of({pump()}));
  append_samples(numbered, 0, 1);
  REQUIRE(numbered.go_on(recording_of({pump()}), {}));
  append_samples(numbered, 100, 1);
  numbered.close({});
  CHECK(exists(directory / "long-0001.h5"));
  CHECK(exists(directory / "long-0003.h5"));
  CHECK(Recording::open(directory / "long-0002.h5").streams()[0].rows == 100);
}

TEST_CASE("a sidecar of any bytes gives records or an error of one line") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  record(path);
  append_calibrations(path, {slope(1.5, 0), slope(2.5, 120, 130)});
  const std::string sidecar = calibration_sidecar_of(path);
  std::string good = contents(sidecar);
  const std::size_t at = good.find("  \"crc32c\"");
  good.erase(at, good.find('\n', at) + 1 - at);
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::vector<std::string> words{
      "null", "[]",   "{}", "-1",   "1e400", "18446744073709551616",
      "\"\"", "\xff", "0",  "true", "[[[[[", "\"linear\""};
  std::uint64_t refused = 0;
  for (std::uint64_t n = 0; n < soak(1500); ++n) {
    std::string text = good;
    for (std::uint64_t k = 1 + random() % 3; k > 0; --k) {
      const std::size_t where = random() % text.size();
      switch (random() % 4) {
        case 0: text[where] = static_cast<char>(random()); break;
        case 1: text.resize(where + 1); break;
        case 2: text.insert(where, words[random() % words.size()]); break;
        default: {
          // One value for another.
          const std::size_t colon = text.find(": ", where);
          if (colon == std::string::npos) break;
          const std::size_t end = text.find_first_of(",\n", colon);
          if (end == std::string::npos) break;
          text.replace(colon + 2, end - colon - 2, words[random() % words.size()]);
        }
      }
    }
    write_text(sidecar, text);
    CAPTURE(text);
    std::string message;
    try {
      const Recording r = Recording::open(path);
      (void)slopes(r);
    } catch (const Error& error) {
      message = error.what();
      ++refused;
      REQUIRE_FALSE(contains(message, "\n"));
      REQUIRE(message.starts_with(sidecar));
    }
  }
  CHECK(refused > soak(1500) / 3);
  write_text(sidecar, std::string(1'000'000, '['));
  CHECK(contains(message_of([&] { (void)Recording::open(path); }), "is not JSON: line "));
}

TEST_CASE("records appended by several processes and threads at once are all there") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  record(path);
  constexpr int writers = 3, each = 12;
  std::vector<pid_t> children;
  for (int w = 0; w < writers; ++w) {
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string failed = message_of([&] {
        for (int i = 0; i < each; ++i) append_calibrations(path, {slope(w * 100.0 + i + 1.0, 0)});
      });
      ::_exit(failed.empty() ? 0 : 1);
    }
    children.push_back(child);
  }
  std::vector<std::string> failed(2);
  std::vector<std::thread> threads;
  for (std::size_t w = 0; w < 2; ++w)
    threads.emplace_back([&, w] {
      failed[w] = message_of([&] {
        for (int i = 0; i < each; ++i)
          append_calibrations(path, {slope(static_cast<double>(w + writers) * 100.0 + i + 1.0, 0)});
      });
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == std::vector<std::string>(2));
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  std::vector<double> have;
  for (const CalibrationRecord& record : appended_calibrations(path))
    have.push_back(std::get<Linear>(record.calibration.steps[0]).slope);
  std::sort(have.begin(), have.end());
  std::vector<double> wanted;
  for (int w = 0; w < writers + 2; ++w)
    for (int i = 0; i < each; ++i) wanted.push_back(w * 100.0 + i + 1.0);
  CHECK(have == wanted);
}

TEST_CASE("after a power cut all records that were appended are there, and others whole or not") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  const std::string path = std::string(SimulatedDisk::directory) + "/run.h5";
  SimulatedDisk disk;
  record(path, disk);
  std::vector<DiskState> states;
  std::vector<std::size_t> acknowledged;
  std::size_t appended = 0;
  disk.watch([&](std::uint64_t, const DiskOperation&, const DiskState& state) {
    states.push_back(state);
    acknowledged.push_back(appended);
    return true;
  });
  for (int i = 0; i < 4; ++i) {
    append_calibrations(path, {slope(i + 1.0, 0)}, disk);
    ++appended;
  }
  states.push_back(disk.state());
  acknowledged.push_back(appended);
  CHECK(states.size() > 16);
  std::uint64_t cuts = 0;
  for (std::size_t s = 0; s < states.size(); ++s)
    for (std::uint64_t k = 0; k < soak(6); ++k) {
      CutCounts counts;
      SimulatedDisk after(states[s].after_power_cut(seed + k, k % 2 == 0, counts));
      const auto records = appended_calibrations(path, after);
      REQUIRE(records.size() >= acknowledged[s]);
      REQUIRE(records.size() <= acknowledged[s] + 1);
      for (std::size_t i = 0; i < records.size(); ++i)
        REQUIRE(records[i] == slope(static_cast<double>(i) + 1.0, 0));
      // What is left of one that did not end is in nobody's way.
      append_calibrations(path, {slope(50.0, 0)}, after);
      REQUIRE(appended_calibrations(path, after).size() == records.size() + 1);
      ++cuts;
    }
  CHECK(cuts > 90);
}

TEST_CASE("records that can't be written are told, and those before stay") {
  for (const FileCall call : {FileCall::open, FileCall::pwrite, FileCall::fdatasync,
                              FileCall::rename, FileCall::sync_directory, FileCall::flock}) {
    CAPTURE(to_string(call));
    TemporaryDirectory directory;
    const std::string path = directory / "run.h5";
    record(path);
    append_calibrations(path, {slope(1.0, 0)});
    FaultyFiles files;
    FaultRule rule;
    rule.call = call;
    rule.error = call == FileCall::pwrite ? ENOSPC : EIO;
    if (call == FileCall::open || call == FileCall::pwrite || call == FileCall::fdatasync)
      rule.suffix = ".calibrations.json.part";
    if (call == FileCall::flock) rule.suffix = ".lock";
    files.add(rule);
    CHECK(contains(message_of([&] { append_calibrations(path, {slope(2.0, 0)}, files); }),
                   "run.h5.calibrations"));
    CHECK(files.struck() > 0);
    const std::size_t there = appended_calibrations(path).size();
    CHECK((there == 1 || (there == 2 && call == FileCall::sync_directory)));
    append_calibrations(path, {slope(3.0, 0)});
    CHECK(appended_calibrations(path).size() == there + 1);
  }
}
