// Reading CSV recordings back, by storage/recording.hpp and what it stands on.
#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <regex>
#include <type_traits>

#include "faulty_files.hpp"
#include "file.hpp"
#include "random_recording.hpp"
#include "recording_backend.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "support.hpp"
#include "support/catch.hpp"
#include "xxh3.hpp"

namespace spillway {
namespace {

using test::contains;
using test::contents;
using test::drain;
using test::exists;
using test::make_info;
using test::message_of;
using test::new_seed;
using test::RandomRecording;
using test::recording_of;
using test::SinkChoice;
using test::soak;
using test::TemporaryDirectory;
using test::write_text;
using Form = CsvOptions::Form;

std::string metadata_path(const std::string& path) { return path + "-metadata.json"; }

// All that a recording says, as one text to compare.
std::string everything(const Recording& r) {
  std::string all = fmt::format("{}|{}|{}|{}|{}|{}|{}|", r.title(), r.start_time(), r.end_time(),
                                r.status(), r.configuration(), r.provenance(), r.state());
  for (const RecordedEvent& e : r.events())
    all +=
        fmt::format("{} {} {} {} {} {}|", e.time_ns, e.kind, e.subject, e.first, e.count, e.text);
  for (const std::string& line : r.log()) all += line + "|";
  for (std::size_t s = 0; s < r.streams().size(); ++s) {
    const RecordedStream& stream = r.streams()[s];
    const StreamInfo& info = stream.info;
    all += fmt::format("{} {} {} {} {}|", info.name, info.rate ? info.rate->samples() : 0,
                       info.rate ? info.rate->seconds() : 0, static_cast<int>(info.origin.kind),
                       info.origin.text);
    all += fmt::format("{} {} {} {} {}|", stream.rows, stream.counts.produced,
                       stream.counts.recorded, stream.counts.lost, stream.counts.missing);
    for (const Segment& g : stream.segments)
      all += fmt::format("{} {} {} {} {} {}|", g.first_sample, g.row, g.count, g.t0_ns,
                         g.clock_sample, g.clock_ns);
    for (const Gap& g : stream.gaps)
      all += fmt::format("{} {} {} {} {}|", g.first_sample, g.count, g.lost, g.missing,
                         static_cast<int>(g.cause));
    for (const CalibrationChange& c : stream.calibrations) {
      all += fmt::format("{}|", c.from_sample);
      for (const Calibration& calibration : c.calibrations) all += describe(calibration) + "|";
    }
    for (const Anchor& a : stream.anchors)
      all += fmt::format("{} {} {}|", a.sample.value, a.time.count(), a.ticks);
    std::vector<Time> times(stream.rows);
    if (stream.rows > 0) r.read_times(s, 0, times);
    for (const Time t : times) all += fmt::format("{} ", t.count());
    for (std::size_t c = 0; c < info.channels.size(); ++c) {
      const ChannelInfo& channel = info.channels[c];
      all += fmt::format("|{} {} {} {}|", channel.name, channel.description, channel.unit,
                         static_cast<int>(channel.type));
      visit_sample_type(channel.type, [&]<class T>(std::type_identity<T>) {
        std::vector<T> values(stream.rows);
        r.read_raw<T>(s, c, 0, values);
        all.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
      });
      std::vector<Quality> quality(stream.rows);
      r.read_quality(s, c, 0, quality);
      all.append(reinterpret_cast<const char*>(quality.data()), quality.size());
    }
  }
  return all;
}

struct Files {
  std::string csv;
  std::string metadata;
};
Files files_of(const std::string& path) { return {contents(path), contents(metadata_path(path))}; }

// The two files on a disk in memory.
struct InMemory {
  explicit InMemory(const Files& files) {
    put(path, files.csv);
    put(metadata_path(path), files.metadata);
  }
  void put(const std::string& to, const std::string& text) {
    File(disk, to, File::Mode::create).write_at(0, std::as_bytes(std::span(text)));
  }
  Recording open() { return Recording::open(path, disk); }

  const std::string path = std::string(test::SimulatedDisk::directory) + "/run.csv";
  test::SimulatedDisk disk;
};

void record(const std::string& path, Form form, std::uint64_t seed, RandomRecording::Size size) {
  RandomRecording random(seed, size, form == Form::wide);
  CsvSink sink(path, Existing::replace, {form, Durability::process});
  random.run(&sink, [](const test::Extent&) {});
  sink.close({});
}

// What a checksum of the metadata is worth if somebody knows how to make it.
std::string with_own_checksum(std::string metadata) {
  const std::string key = "\"metadata_xxh3_128\": \"";
  const std::size_t at = metadata.rfind(key);
  if (at == std::string::npos || metadata.size() < at + key.size() + 32) return metadata;
  metadata.replace(at + key.size(), 32, 32, '0');
  metadata.replace(at + key.size(), 32, xxh3_128(std::as_bytes(std::span(metadata))));
  return metadata;
}

// As the first version wrote it: without checksums.
std::string as_version_1(const std::string& metadata) {
  const std::string text =
      std::regex_replace(metadata, std::regex("\"format_version\": 2"), "\"format_version\": 1");
  return std::regex_replace(text, std::regex("\"metadata_xxh3_128\": \"[0-9a-f]+\""),
                            "\"nothing\": 0");
}

void damage(std::string& text, std::mt19937_64& random) {
  if (text.empty()) return;
  const std::size_t at = random() % text.size();
  const std::size_t length = 1 + random() % std::min<std::size_t>(text.size() - at, 40);
  switch (random() % 6) {
    case 0: text[at] = static_cast<char>(text[at] ^ (1 << random() % 8)); break;
    case 1: text[at] = "0123456789,-.eE\r\n\"N{}[]:"[random() % 24]; break;
    case 2: text.erase(at, length); break;
    case 3: text.insert(at, text.substr(at, length)); break;
    case 4: text.insert(random() % text.size(), text.substr(at, length)); break;
    default: text.resize(at);
  }
}

template <class T>
std::vector<T> extremes(std::mt19937_64& random) {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values{T{0}, T{1}, Limits::lowest(), Limits::max(), Limits::min()};
  if constexpr (std::is_floating_point_v<T>)
    values.insert(values.end(),
                  {-T{0}, Limits::denorm_min(), -Limits::denorm_min(), Limits::infinity(),
                   -Limits::infinity(), Limits::quiet_NaN(), T(0.1), T(100000), Limits::epsilon()});
  while (values.size() < 200) {
    if constexpr (std::is_floating_point_v<T>)
      values.push_back(std::bit_cast<T>(
          static_cast<std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>(random())));
    else
      values.push_back(static_cast<T>(random()));
  }
  return values;
}

}  // namespace

TEST_CASE("CSV recordings: random ones read back as they were, in both forms") {
  const TemporaryDirectory directory;
  std::uint64_t streams = 0;
  for (std::uint64_t i = 0; i < soak(40); ++i) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    const bool wide = i % 2 == 0;
    const auto durability = static_cast<Durability>(i % 3);
    const std::string path = directory / fmt::format("{}.csv", i);
    RandomRecording random(seed, i % 10 == 0 ? RandomRecording::long_one : RandomRecording::Size{},
                           wide);
    CsvSink sink(path, Existing::refuse, {wide ? Form::wide : Form::long_form, durability});
    random.run(&sink, [](const test::Extent&) {});
    sink.close({});
    for (std::size_t s = 0; s < random.truth().streams.size(); ++s)
      CHECK(sink.end(s).value == random.truth().streams[s].end);
    const Recording recording = Recording::open(path);
    CHECK(test::differences(recording, random.truth(), {random.appended(), true, true, {}}) == "");
    CHECK(recording.guard() == Recording::Guard::seal);
    CHECK(recording.status() == "complete");
    CHECK_FALSE(recording.end_time().empty());
    CHECK_FALSE(exists(path + ".journal"));
    CHECK(check_csv(path, system_file_calls(),
                    [](const std::string& where, const std::string&) { FAIL(where); }));
    streams += random.truth().streams.size();
  }
  CHECK(streams > soak(40));
}

TEST_CASE("CSV recordings: after each flush what was acknowledged is read by the journal") {
  const TemporaryDirectory directory;
  std::uint64_t looked = 0;
  for (std::uint64_t i = 0; i < soak(12); ++i) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    const bool wide = i % 2 == 0;
    const std::string path = directory / fmt::format("{}.csv", i);
    RandomRecording random(seed, {}, wide);
    CsvSink sink(path, Existing::refuse,
                 {wide ? Form::wide : Form::long_form, Durability::process});
    random.run(&sink, [&](const test::Extent& acknowledged) {
      // Its recorder lives: nothing that was committed changes any more.
      const Recording recording = Recording::open(path + ".part");
      CHECK(test::differences(recording, random.truth(), {acknowledged, false, true, {}}) == "");
      CHECK(recording.guard() == Recording::Guard::journal);
      CHECK(recording.status() == "recording");
      ++looked;
    });
  }
  CHECK(looked > 20);
}

TEST_CASE("CSV recordings: extremes of every type, odd names, in both forms, bit for bit") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Form form = GENERATE(Form::wide, Form::long_form);
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  std::vector<StreamInfo> infos;
  const std::vector<SampleType> types{SampleType::int8,   SampleType::int16,  SampleType::int32,
                                      SampleType::int64,  SampleType::uint8,  SampleType::uint16,
                                      SampleType::uint32, SampleType::uint64, SampleType::float32,
                                      SampleType::float64};
  const std::array<const char*, 10> names{"a,b",  "say \"hi\"", "Δp µm °C", " blank ", "_under",
                                          "=1+1", "\"",         "NaN",      "value",   ","};
  for (const std::optional<Rate> rate :
       {std::optional<Rate>(Rate(44100, 1)), std::optional<Rate>()}) {
    StreamInfo info = make_info(types, 4096, rate);
    info.name = rate ? "s,1" : "s \"2\"";
    for (std::size_t c = 0; c < names.size(); ++c) info.channels[c].name = names[c];
    infos.push_back(std::move(info));
    if (form == Form::wide) break;
  }
  RecordingInfo info = recording_of(infos, "title, \"quoted\"\n");
  info.state = std::string("\0\xFF\x80 state", 9);
  CsvSink csv(path, Existing::refuse, {form, Durability::full});
  MemorySink memory;
  csv.begin(info);
  memory.begin(info);
  csv.append_log("{\"log\":\"Δ\"}");
  csv.append_event({-5, "kind", "subject, \"", UINT64_MAX, 7, "text"});
  for (std::size_t s = 0; s < infos.size(); ++s) {
    Stream stream(infos[s]);
    StreamWriter writer(stream);
    StreamReader reader(stream);
    Block block(infos[s], 70);
    std::vector<std::vector<std::byte>> lanes;
    for (const SampleType type : types)
      visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
        const std::vector<T> values = extremes<T>(random);
        const auto bytes = std::as_bytes(std::span(values));
        lanes.emplace_back(bytes.begin(), bytes.end());
      });
    std::vector<const void*> pointers;
    for (const auto& lane : lanes) pointers.push_back(lane.data());
    std::vector<Quality> quality;
    for (unsigned q = 0; q < 200; ++q)
      quality.push_back(Quality::from_byte(static_cast<std::uint8_t>(q + 56)));
    const std::vector<const Quality*> qualities(types.size(), quality.data());
    std::vector<Time> times;
    if (!infos[s].rate)
      for (int i = 0; i < 200; ++i) times.emplace_back(static_cast<std::int64_t>(random()));
    writer.push_lanes(pointers, {200}, qualities, times);
    for (;;) {
      const Chunk chunk = reader.read(block);
      csv.append(s, chunk, block, reader.calibrations(chunk.calibrations));
      memory.append(s, chunk, block, reader.calibrations(chunk.calibrations));
      if (chunk.stop == Stop::drained) break;
    }
  }
  csv.close({});

  const Recording recording = Recording::open(path);
  CHECK(recording.title() == info.title);
  CHECK(recording.state() == info.state);
  CHECK(recording.log() == std::vector<std::string>{"{\"log\":\"Δ\"}"});
  CHECK(recording.events() ==
        std::vector<RecordedEvent>{{-5, "kind", "subject, \"", UINT64_MAX, 7, "text"}});
  for (std::size_t s = 0; s < infos.size(); ++s) {
    const RecordedStream& stream = recording.streams().at(s);
    REQUIRE(stream.rows == 200);
    CHECK(stream.info.name == infos[s].name);
    std::vector<Time> times(200);
    recording.read_times(s, 0, times);
    CHECK(times == memory.times(s));
    for (std::size_t c = 0; c < types.size(); ++c) {
      CHECK(stream.info.channels[c].name == names[c]);
      std::vector<Quality> quality(200);
      recording.read_quality(s, c, 0, quality);
      const auto want_quality = memory.quality(s, c);
      CHECK(std::equal(quality.begin(), quality.end(), want_quality.begin()));
      visit_sample_type(types[c], [&]<class T>(std::type_identity<T>) {
        std::vector<T> values(200);
        recording.read_raw<T>(s, c, 0, values);
        const auto want = memory.values<T>(s, c);
        for (std::size_t i = 0; i < 200; ++i) {
          if constexpr (std::is_floating_point_v<T>)
            if (std::isnan(want[i]) && std::isnan(values[i])) continue;
          REQUIRE(std::memcmp(&values[i], &want[i], sizeof(T)) == 0);
        }
      });
    }
  }
}

TEST_CASE("CSV recordings: any byte that is changed is found and named") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  const Form form = GENERATE(Form::wide, Form::long_form);
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  record(path, form, seed, {8, 20});
  const Files good = files_of(path);
  REQUIRE(good.csv.size() > 60);
  std::mt19937_64 random(seed);
  const std::string all = everything(Recording::open(path));
  for (const bool in_metadata : {false, true}) {
    const std::string& text = in_metadata ? good.metadata : good.csv;
    const std::size_t step = std::max<std::size_t>(1, text.size() / soak(1200));
    for (std::size_t at = random() % step; at < text.size(); at += step) {
      CAPTURE(in_metadata, at);
      Files bad = good;
      char& byte = (in_metadata ? bad.metadata : bad.csv)[at];
      byte = static_cast<char>(byte ^ (1 << random() % 8));
      InMemory disk(bad);
      std::string found;
      REQUIRE(check_csv(disk.path, disk.disk,
                        [&](const std::string& where, const std::string&) { found += where; }));
      REQUIRE(contains(found, in_metadata ? "metadata.json" : "bytes 0 to "));
      if (in_metadata)
        REQUIRE(contains(message_of([&] { disk.open(); }), "metadata.json: "));
      else if (disk.open().streams()[0].rows > 0)
        REQUIRE(contains(message_of([&] { everything(disk.open()); }), "checksum"));
    }
  }
  CHECK(contains(message_of([&] {
                   InMemory({good.csv + "\n", good.metadata}).open();
                 }),
                 "behind the end"));
  CHECK(everything(InMemory(good).open()) == all);
}

TEST_CASE("CSV recordings: damaged files are refused, or say what was recorded") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  const Form form = GENERATE(Form::wide, Form::long_form);
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  record(path, form, seed, {10, 30});
  const Files good = files_of(path);
  const std::string all = everything(Recording::open(path));
  std::uint64_t refused = 0;
  for (std::uint64_t i = 0; i < soak(600); ++i) {
    Files bad = good;
    const bool in_metadata = random() % 2 == 0;
    for (std::uint64_t n = 1 + random() % 3; n > 0; --n)
      damage(in_metadata ? bad.metadata : bad.csv, random);
    InMemory disk(bad);
    std::string says = all;
    const std::string error = message_of([&] { says = everything(disk.open()); });
    REQUIRE(says == all);
    if (error.empty()) continue;
    CHECK(contains(error, "run.csv"));
    ++refused;
  }
  CHECK(refused > soak(500));
  // With a checksum that fits the metadata are believed; they can be absurd, and nothing breaks.
  for (std::uint64_t i = 0; i < soak(800); ++i) {
    Files bad = good;
    if (i % 2 == 0) bad.metadata = as_version_1(bad.metadata);
    for (std::uint64_t n = 1 + random() % 2; n > 0; --n)
      damage(random() % 4 == 0 ? bad.csv : bad.metadata, random);
    bad.metadata = with_own_checksum(bad.metadata);
    InMemory disk(bad);
    static_cast<void>(message_of([&] { everything(disk.open()); }));
  }
}

TEST_CASE("CSV recordings: without checksums the lines are held against the metadata") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  StreamInfo info = make_info({SampleType::int16, SampleType::float32}, 4096, Rate(1000, 1));
  Stream stream(info);
  StreamWriter writer(stream);
  StreamReader reader(stream);
  const std::array<std::int16_t, 4> a{1, 2, 3, 4};
  const std::array<float, 4> b{0.5F, 100000.0F, -0.25F, 3.0F};
  {
    CsvSink sink(path, Existing::refuse);
    sink.begin(recording_of({info}));
    writer.push_lanes(std::array<const void*, 2>{a.data(), b.data()}, {2});
    writer.gap({3});
    writer.push_lanes(std::array<const void*, 2>{a.data(), b.data()}, {4});
    drain(reader, sink);
    sink.close({});
  }
  const std::string all = everything(Recording::open(path));
  const std::string good = contents(path);
  const std::string metadata = as_version_1(contents(metadata_path(path)));
  REQUIRE(good ==
          "sample,time_ns,ch0,ch0_quality,ch1,ch1_quality\r\n"
          "0,0,1,0,0.5,0\r\n1,1000000,2,0,1e+05,0\r\n"
          "5,5000000,1,0,0.5,0\r\n6,6000000,2,0,1e+05,0\r\n7,7000000,3,0,-0.25,0\r\n"
          "8,8000000,4,0,3,0\r\n");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return message_of([&] {
      everything(InMemory({text.replace(at, from.size(), to), metadata}).open());
    });
  };
  CHECK(with("-0.25", "-0.25").empty());
  InMemory unguarded({good, metadata});
  CHECK(unguarded.open().guard() == Recording::Guard::none);
  CHECK(everything(unguarded.open()).size() < all.size());  // it has no end time
  CHECK_FALSE(check_csv(unguarded.path, unguarded.disk, [](const auto&, const auto&) { FAIL(); }));
  InMemory with_lf({std::regex_replace(good, std::regex("\r\n"), "\n"), metadata});
  CHECK(everything(with_lf.open()) == everything(unguarded.open()));

  CHECK(contains(with("2,0,1e+05", "x,0,1e+05"), "run.csv: line 3, column 11: 'x' is no int16"));
  CHECK(contains(with("2,0,1e+05", "40000,0,1e+05"), "line 3, column 11: '40000' is no int16"));
  CHECK(contains(with("1e+05", "100000"), "line 3, column 15: '100000' is no float32"));
  CHECK(contains(with("0.5,0\r\n6", "0.5,256\r\n6"), "line 4, column 19: '256' is no quality"));
  CHECK(contains(with("5,5000000", "4,5000000"), "line 4, column 2: sample 4, where 5 is next"));
  CHECK(contains(with("5,5000000", "5,5000001"), "line 4, column 10: the time is 5000001"));
  CHECK(contains(with("-0.25,0", "-0.25,0,0"), "line 6, column 22: the line does not end"));
  CHECK(contains(with("-0.25,0", "-0.25"), "line 6, column 20: a comma is wrong"));
  CHECK(contains(with("ch1_quality", "ch2_quality"), "line 1, column 38: the header is wrong"));
  CHECK(contains(with("3,0\r\n", "3,0"), "the last line has no end"));
  CHECK(contains(with("8,8000000,4,0,3,0\r\n", ""), "has 5 rows, and 6 by its metadata"));
}

TEST_CASE("CSV recordings: what is not damaged is read, what is damaged is named") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  const Form form = GENERATE(Form::wide, Form::long_form);
  StreamInfo info = make_info({SampleType::int32}, 1 << 18);
  Stream stream(info);
  Writer<std::int32_t> writer(stream);
  StreamReader reader(stream);
  constexpr std::int32_t rows = 150'000;
  {
    CsvSink sink(path, Existing::refuse, {form, Durability::process});
    sink.begin(recording_of({info}));
    for (std::int32_t i = 0; i < rows; ++i) writer.push(i);
    drain(reader, sink);
    sink.close({});
  }
  std::string text = contents(path);
  REQUIRE(text.size() > 3 << 20);
  text[2'000'000] ^= 1;
  write_text(path, text);
  std::string where;
  CHECK(check_csv(path, system_file_calls(),
                  [&](const std::string& place, const std::string&) { where += place; }));
  std::smatch found;
  REQUIRE(std::regex_match(where, found,
                           std::regex("bytes (\\d+) to (\\d+), lines (\\d+) to (\\d+), "
                                      "rows (\\d+) to (\\d+) of stream '.*'")));
  CHECK(std::stoull(found[1]) <= 2'000'000);
  CHECK(std::stoull(found[2]) >= 2'000'000);
  const std::uint64_t first = std::stoull(found[5]);
  const std::uint64_t last = std::stoull(found[6]);
  CHECK(last - first < 100'000);
  CHECK(std::stoull(found[3]) == first + 2);
  CHECK(std::stoull(found[4]) == last + 2);
  const Recording recording = Recording::open(path);
  std::vector<std::int32_t> values(rows);
  recording.read_raw<std::int32_t>(0, 0, 0, std::span(values).first(first));
  recording.read_raw<std::int32_t>(0, 0, last + 1, std::span(values).subspan(last + 1));
  for (std::size_t i = 0; i < values.size(); ++i)
    if (i < first || i > last) REQUIRE(values[i] == static_cast<std::int32_t>(i));
  const std::string error =
      message_of([&] { recording.read_raw<std::int32_t>(0, 0, last, std::span(values).first(1)); });
  CHECK(contains(error, path + ": " + where));
  CHECK(contains(error, "checksum"));

  // A file that was cut has what is in front.
  write_text(path, contents(path).substr(0, first * 10));
  const Recording cut = Recording::open(path);
  CHECK(contains(
      message_of([&] { cut.read_raw<std::int32_t>(0, 0, rows - 1, std::span(values).first(1)); }),
      "the file ends at byte"));
}

TEST_CASE("CSV recordings: unfinished and damaged, the journal knows what is right") {
  const TemporaryDirectory directory;
  std::uint64_t damaged_rows = 0;
  std::uint64_t good_rows = 0;
  for (std::uint64_t i = 0; i < soak(60); ++i) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const bool wide = i % 2 == 0;
    const std::string path = directory / fmt::format("{}.csv", i);
    RandomRecording recorded(seed, {}, wide);
    test::Extent acknowledged;
    {
      CsvSink sink(path, Existing::refuse,
                   {wide ? Form::wide : Form::long_form, Durability::process});
      recorded.run(&sink, [&](const test::Extent& extent) { acknowledged = extent; });
    }
    const std::string part = path + ".part";
    if (!exists(part)) continue;
    const std::string text = contents(part);
    std::string bad = text + "1,2,torn";
    bool shorter = false;
    for (std::uint64_t n = random() % 4; n > 0; --n) {
      if (random() % 4 == 0 && !shorter) {
        shorter = true;
        bad.resize(random() % text.size());
      } else if (!bad.empty()) {
        bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
      }
    }
    if (random() % 20 == 0)
      std::filesystem::remove(part);
    else
      write_text(part, bad);
    const auto backend = open_by_journal(path + ".journal", part, system_file_calls());
    const bool intact = exists(part) && bad == text + "1,2,torn";
    const bool has_tail = exists(part) && bad.size() > text.size();
    CHECK(contains(backend->journal->unacknowledged, "were not acknowledged") == has_tail);
    for (std::size_t s = 0; s < backend->streams.size(); ++s) {
      const test::Truth::PerStream& truth = recorded.truth().streams[s];
      const std::uint64_t rows = backend->streams[s].rows;
      REQUIRE(rows == acknowledged.streams[s].rows);
      for (std::uint64_t row = 0; row < rows; ++row) {
        std::uint8_t quality = 0;
        try {
          backend->read(s, 1, row, 1, std::as_writable_bytes(std::span(&quality, 1)));
          ++good_rows;
        } catch (const DamagedRows& error) {
          REQUIRE(error.first_row == row);
          REQUIRE_FALSE(intact);
          ++damaged_rows;
          continue;
        }
        REQUIRE(quality == truth.quality[0][row].byte());
        const std::size_t bytes = sample_size(truth.info.channels[0].type);
        std::array<std::byte, 8> value{};
        backend->read(s, 0, row, 1, std::span(value).first(bytes));
        const bool same =
            std::memcmp(value.data(), truth.values[0].data() + row * bytes, bytes) == 0;
        double number = 0;
        if (bytes == 8) std::memcpy(&number, value.data(), 8);
        float narrow = 0;
        if (bytes == 4) std::memcpy(&narrow, value.data(), 4);
        REQUIRE((same || std::isnan(number) || std::isnan(narrow)));
      }
    }
  }
  CHECK(good_rows > 1000);
  CHECK(damaged_rows > 1000);
}

TEST_CASE("CSV recordings: checksums are those of other programs") {
  // Of nothing, as the authors of XXH3 give it, in one and in pieces.
  CHECK(xxh3_128({}) == "99aa06d3014798d86001c324468d497f");
  const std::string text(100'000, 'x');
  Xxh3 pieces;
  for (std::size_t i = 0; i < text.size(); i += 1000)
    pieces.add(std::as_bytes(std::span(text)).subspan(i, 1000));
  CHECK(pieces.digits() == xxh3_128(std::as_bytes(std::span(text))));
}

TEST_CASE("CSV recordings: what is none is refused with words that help") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  write_text(path, "sample,time_ns,x,x_quality\r\n");
  CHECK(contains(message_of([&] { open_csv(path, system_file_calls()); }),
                 "there is no " + metadata_path(path)));
  write_text(metadata_path(path), "{\"@context\": 1}");
  CHECK(contains(message_of([&] { open_csv(path, system_file_calls()); }),
                 "\"spillway\" is missing"));
  write_text(metadata_path(path), "{\"spillway\": [");
  CHECK(contains(message_of([&] { open_csv(path, system_file_calls()); }), "line 1"));
  write_text(path + ".part", "sample,time_ns,x,x_quality\r\n");
  CHECK(contains(message_of([&] { open_csv(path + ".part", system_file_calls()); }),
                 "there is no journal"));
}

}  // namespace spillway
