#include "spillway/storage/csv_sink.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <type_traits>

#include "calibration_json.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "support.hpp"
#include "support/catch.hpp"

namespace spillway {
namespace {

using Json = nlohmann::ordered_json;
using test::contains;
using test::contents;
using test::drain;
using test::exists;
using test::make_info;
using test::message_of;
using test::recording_of;
using test::TemporaryDirectory;
using test::write_text;

using Rows = std::vector<std::vector<std::string>>;

// RFC 4180, strictly: every row ends in CRLF, quotes only around whole fields, all
// rows equally long.
Rows parse(const std::string& text) {
  const auto demand = [](bool holds, const char* what) {
    if (!holds) throw Error(what);
  };
  Rows table;
  std::size_t i = 0;
  while (i < text.size()) {
    std::vector<std::string>& row = table.emplace_back();
    for (;;) {
      std::string& field = row.emplace_back();
      if (i < text.size() && text[i] == '"') {
        for (++i;;) {
          demand(i < text.size(), "a quote without an end");
          if (text[i] != '"') {
            field += text[i++];
          } else if (i + 1 < text.size() && text[i + 1] == '"') {
            field += '"';
            i += 2;
          } else {
            ++i;
            break;
          }
        }
      } else {
        while (i < text.size() && std::string_view(",\"\r\n").find(text[i]) == std::string::npos)
          field += text[i++];
      }
      demand(i < text.size(), "the last row has no end");
      if (text[i] != ',') break;
      ++i;
    }
    demand(text.compare(i, 2, "\r\n") == 0, "a row does not end in CRLF");
    i += 2;
    demand(row.size() == table[0].size(), "a row of another length");
  }
  return table;
}

template <class T>
T number(const std::string& text) {
  if constexpr (std::is_floating_point_v<T>) {
    if (text == "NaN") return std::numeric_limits<T>::quiet_NaN();
    if (text == "INF") return std::numeric_limits<T>::infinity();
    if (text == "-INF") return -std::numeric_limits<T>::infinity();
  }
  T value{};
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc{} || result.ptr != text.data() + text.size() || text.empty())
    throw Error("not a number: '" + text + "'");
  return value;
}

template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>)
    if (std::isnan(a)) return std::isnan(b);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

template <class T>
std::vector<T> values_to_try() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values{T{0}, T{1}, Limits::lowest(), Limits::max(), Limits::min()};
  if constexpr (std::is_floating_point_v<T>) {
    for (const T value : {Limits::denorm_min(), Limits::epsilon(), T(0.1), T(1) / T(3), T(1e5),
                          T(123456789), T(16777217), Limits::infinity()}) {
      values.push_back(value);
      values.push_back(-value);
    }
    values.push_back(-T{0});
    values.push_back(Limits::quiet_NaN());
  } else {
    values.push_back(static_cast<T>(-1));
    values.push_back(static_cast<T>(Limits::max() - 1));
  }
  std::mt19937_64 random(7);
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  while (values.size() < 5000) {
    if constexpr (std::is_floating_point_v<T>)
      values.push_back(std::bit_cast<T>(static_cast<Bits>(random())));
    else
      values.push_back(static_cast<T>(random()));
  }
  return values;
}

std::string metadata_path(const std::string& path) { return path + "-metadata.json"; }

Json metadata_of(const std::string& path) { return Json::parse(contents(metadata_path(path))); }

// The recorded file must hold what `memory` was given at the same time, bit for bit.
void check_equal(const std::string& path, const MemorySink& memory) {
  const StreamInfo& info = memory.info().streams[0];
  const Rows table = parse(contents(path));
  REQUIRE(table.size() == memory.counts(0).recorded + 1);
  REQUIRE(table[0].size() == 2 + 2 * info.channels.size());
  CHECK(table[0][0] == "sample");
  CHECK(table[0][1] == "time_ns");
  const std::vector<SampleNumber> numbers = memory.sample_numbers(0);
  const std::vector<Time> times = memory.times(0);
  bool rows_equal = true;
  for (std::size_t r = 0; r < numbers.size(); ++r)
    rows_equal = rows_equal && number<std::uint64_t>(table[r + 1][0]) == numbers[r].value &&
                 number<std::int64_t>(table[r + 1][1]) == times[r].count();
  CHECK(rows_equal);
  for (std::size_t c = 0; c < info.channels.size(); ++c) {
    CHECK(table[0][2 + 2 * c] == info.channels[c].name);
    CHECK(table[0][3 + 2 * c] == info.channels[c].name + "_quality");
    visit_sample_type(info.channels[c].type, [&]<class T>(std::type_identity<T>) {
      const std::span<const T> values = memory.values<T>(0, c);
      bool values_equal = true;
      for (std::size_t r = 0; r < values.size(); ++r)
        values_equal =
            values_equal && same(number<T>(table[r + 1][2 + 2 * c]), values[r]) &&
            number<std::uint8_t>(table[r + 1][3 + 2 * c]) == memory.quality(0, c)[r].byte();
      INFO(info.channels[c].name);
      CHECK(values_equal);
    });
  }
}

// Feeds what one reader finds to two sinks.
class Both : public Sink {
 public:
  Both(Sink& a, Sink& b) : a_(a), b_(b) {}
  void begin(const RecordingInfo& info) override {
    a_.begin(info);
    b_.begin(info);
  }
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& set) override {
    a_.append(stream, chunk, block, set);
    b_.append(stream, chunk, block, set);
  }
  void append(std::size_t stream, std::span<const Anchor> anchors) override {
    a_.append(stream, anchors);
    b_.append(stream, anchors);
  }
  void append_gap(std::size_t stream, const Gap& gap) override {
    a_.append_gap(stream, gap);
    b_.append_gap(stream, gap);
  }
  [[nodiscard]] SampleNumber end(std::size_t stream) const override { return a_.end(stream); }
  void flush() override {
    a_.flush();
    b_.flush();
  }
  void close(const Ending& ending) override {
    a_.close(ending);
    b_.close(ending);
  }
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override { return 0; }
  [[nodiscard]] std::string name() const override { return "both"; }

 private:
  Sink& a_;
  Sink& b_;
};

bool has_pandas() {
  static const bool has =
      std::system("/usr/bin/python3 -c 'import pandas' >/dev/null 2>&1") == 0;  // NOLINT
  return has;
}

}  // namespace

TEST_CASE("CsvSink: the text, to the letter") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  StreamInfo info = make_info({SampleType::int16, SampleType::float64}, 4096, Rate(3, 1));
  info.channels[0].name = "strain";
  info.channels[1].name = "load";
  Stream stream(info);
  StreamWriter writer(stream);
  StreamReader reader(stream);
  CHECK_FALSE(exists(path + ".part"));
  CsvSink sink(path, Existing::refuse);
  CHECK(exists(path + ".part"));  // claimed, so that two can't share it
  sink.begin(recording_of({info}));
  CHECK(exists(metadata_path(path) + ".part"));
  CHECK(sink.name() == path);

  const std::array<std::int16_t, 3> strain{-32768, 0, 7};
  const std::array<double, 3> load{0.1, std::numeric_limits<double>::quiet_NaN(), -1e300};
  const std::array<Quality, 3> quality{Quality{}, Quality(Verdict::bad, Quality::missing),
                                       Quality::never_written()};
  const std::array<const void*, 2> lanes{strain.data(), load.data()};
  const std::array<const Quality*, 2> qualities{quality.data(), quality.data()};
  writer.stamp({Time(-5), 0});
  writer.push_lanes(lanes, {2}, qualities);
  writer.gap({2});
  writer.push_lanes(lanes, {3});
  drain(reader, sink);
  sink.close({});
  CHECK(contents(path) ==
        "sample,time_ns,strain,strain_quality,load,load_quality\r\n"
        "0,-5,-32768,0,0.1,0\r\n"
        "1,333333328,0,11,NaN,11\r\n"
        "4,1333333328,-32768,0,0.1,0\r\n"
        "5,1666666662,0,0,NaN,0\r\n"
        "6,1999999995,7,0,-1e+300,0\r\n");
  CHECK(sink.bytes_written() == contents(path).size());
  CHECK_FALSE(exists(path + ".part"));
  CHECK_FALSE(exists(metadata_path(path) + ".part"));
}

TEMPLATE_TEST_CASE("CsvSink: every value of every type comes back bit for bit", "", std::int8_t,
                   std::int16_t, std::int32_t, std::int64_t, std::uint8_t, std::uint16_t,
                   std::uint32_t, std::uint64_t, float, double) {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  Stream stream(make_info({sample_type_of<TestType>()}));
  Writer<TestType> writer(stream);
  StreamReader reader(stream);
  CsvSink csv(path, Existing::refuse);
  MemorySink memory;
  Both sink(csv, memory);
  sink.begin(recording_of({stream.info()}));
  std::uint8_t quality = 0;
  for (const TestType value : values_to_try<TestType>())
    writer.push(value, Quality::from_byte(quality++));
  drain(reader, sink);
  sink.close({});
  CHECK(memory.counts(0).recorded == 5000);
  check_equal(path, memory);
}

TEST_CASE("CsvSink: a random history, with gaps, steps and calibrations") {
  const TemporaryDirectory directory;
  // Periods in whole nanoseconds and others take different ways.
  for (const Rate rate : {Rate(1000, 1), Rate(44100, 1), Rate(24989, 100), Rate(1, 86400)}) {
    const std::string path = directory / ("run" + std::to_string(rate.samples()) + ".csv");
    StreamInfo info =
        make_info({SampleType::int32, SampleType::int32, SampleType::int32}, 2000, rate);
    info.largest_block = {64};
    Stream stream(info);
    Writer<std::int32_t> writer(stream);
    StreamReader reader(stream);
    CsvSink csv(path, Existing::refuse);
    MemorySink memory;
    Both sink(csv, memory);
    sink.begin(recording_of({info}, "random"));
    std::mt19937_64 random(static_cast<std::uint64_t>(rate.samples()));
    for (int step = 0; step < 3000; ++step) {
      switch (random() % 20) {
        case 0:
          writer.gap({random() % 1000}, random() % 2 ? GapCause::source : GapCause::upstream);
          break;
        case 1: writer.stamp({Time(static_cast<std::int64_t>(random() >> 20)), random()}); break;
        case 2:
          writer.calibrate(random() % 3, Linear{.slope = static_cast<double>(random() % 5)});
          break;
        case 3: drain(reader, sink, 1 + random() % 500); break;
        case 4:
          if (random() % 5 == 0) sink.flush();
          break;
        default: {
          std::vector<std::int32_t> frames(3 * (random() % 100));
          for (auto& value : frames) value = static_cast<std::int32_t>(random());
          writer.push(frames,
                      random() % 4 ? Quality{} : Quality(Verdict::suspect, Quality::transient));
        }
      }
    }
    drain(reader, sink);
    sink.close({});
    check_equal(path, memory);

    const Json own = metadata_of(path)["spillway"];
    const RecordedCounts counts = memory.counts(0);
    CHECK(counts.lost > 0);
    CHECK(own["rows"] == counts.recorded);
    CHECK(own["bytes"] == contents(path).size());
    CHECK(own["counts"] == Json{{"produced", counts.produced},
                                {"recorded", counts.recorded},
                                {"lost", counts.lost},
                                {"missing", counts.missing}});
    CHECK(counts.recorded + counts.lost + counts.missing == counts.produced);
    const std::vector<Segment> segments = memory.segments(0);
    REQUIRE(own["segments"].size() == segments.size());
    for (std::size_t i = 0; i < segments.size(); ++i) {
      REQUIRE(own["segments"][i]["first_sample"] == segments[i].first_sample);
      REQUIRE(own["segments"][i]["row"] == segments[i].row);
      REQUIRE(own["segments"][i]["count"] == segments[i].count);
      REQUIRE(own["segments"][i]["t0_ns"] == segments[i].t0_ns);
      REQUIRE(own["segments"][i]["clock_sample"] == segments[i].clock_sample);
      REQUIRE(own["segments"][i]["clock_ns"] == segments[i].clock_ns);
    }
    const std::vector<Gap> gaps = memory.gaps(0);
    REQUIRE(own["gaps"].size() == gaps.size());
    for (std::size_t i = 0; i < gaps.size(); ++i) {
      REQUIRE(own["gaps"][i]["first_sample"] == gaps[i].first_sample);
      REQUIRE(own["gaps"][i]["count"] == gaps[i].count);
      REQUIRE(own["gaps"][i]["lost"] == gaps[i].lost);
      REQUIRE(own["gaps"][i]["missing"] == gaps[i].missing);
    }
    const std::vector<CalibrationChange> changes = memory.calibrations(0);
    REQUIRE(own["calibrations"].size() == changes.size());
    for (std::size_t i = 0; i < changes.size(); ++i) {
      REQUIRE(own["calibrations"][i]["from_sample"] == changes[i].from_sample);
      REQUIRE(calibration_from_json(own["calibrations"][i]["calibrations"][2]) ==
              changes[i].calibrations[2]);
    }
    REQUIRE(own["anchors"].size() == memory.anchors(0).size());
    REQUIRE(own["anchors"].back()["ticks"] == memory.anchors(0).back().ticks);
    REQUIRE(own["anchors"].back()["time_ns"] == memory.anchors(0).back().time.count());
  }
}

TEST_CASE("CsvSink: an irregular stream has its own times") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  Stream stream(make_info({SampleType::float32}, 4096, std::nullopt));
  Writer<float> writer(stream);
  StreamReader reader(stream);
  CsvSink csv(path, Existing::refuse);
  MemorySink memory;
  Both sink(csv, memory);
  sink.begin(recording_of({stream.info()}));
  const std::array<float, 4> values{1, 2, 3, 4};
  const std::array<Time, 4> times{Time(-9'000'000'000'000'000'000), Time(-1), Time(0),
                                  Time(9'000'000'000'000'000'000)};
  writer.push(values, times);
  writer.push(values, times);  // time goes back: a new segment, flagged
  drain(reader, sink);
  sink.close({});
  check_equal(path, memory);
  CHECK(parse(contents(path))[1][1] == "-9000000000000000000");
  CHECK_FALSE(metadata_of(path)["spillway"]["stream"].contains("rate"));
}

TEST_CASE("CsvSink: odd channel names") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  StreamInfo info = make_info(std::vector(7, SampleType::uint8));
  const std::array<const char*, 7> names{"a,b",    "say \"hi\"", "Δp", " blank ",
                                         "_under", "=1+1",       "\""};
  for (std::size_t c = 0; c < names.size(); ++c) info.channels[c].name = names[c];
  info.channels[2].name = "Δp µm °C";
  Stream stream(info);
  Writer<std::uint8_t> writer(stream);
  StreamReader reader(stream);
  CsvSink csv(path, Existing::refuse);
  MemorySink memory;
  Both sink(csv, memory);
  sink.begin(recording_of({info}));
  writer.push(std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6, 7});
  drain(reader, sink);
  sink.close({});
  check_equal(path, memory);
  const std::string text = contents(path);
  CHECK(contains(text, R"(,"a,b","a,b_quality","say ""hi""","say ""hi""_quality",Δp µm °C,)"));
  const Json columns = metadata_of(path)["tableSchema"]["columns"];
  CHECK(columns[2]["name"] == "a%2Cb");
  CHECK(columns[2]["titles"] == "a,b");
  CHECK(columns[10]["name"] == "%5Funder");
}

TEST_CASE("CsvSink: the metadata") {
  const TemporaryDirectory directory;
  const std::string path = directory / "my run.csv";
  StreamInfo info = make_info({SampleType::int16, SampleType::float32}, 4096, Rate(24989, 100));
  info.origin = {Origin::Kind::utc, "2026-05-04T10:44:18"};
  info.channels[0].description = "strain of the \"left\" beam";
  info.channels[0].unit = "N";
  info.channels[0].range = Range{-32768, 32767};
  info.channels[0].calibration = Linear{.slope = 0.1, .offset = -3};
  info.channels[0].calibration.steps.emplace_back(
      Table{{-0.1, 1.0 / 3.0, 7.0}, {5.0, -0.0, 0.2}, Outside::nan});
  info.channels[0].calibration.unit_in = "V";
  info.channels[0].calibration.certificate = "C-1";
  RecordingInfo recording = recording_of({info}, "Beam test");
  recording.start_time = "2026-05-04T10:44:18.529Z";
  recording.configuration = "rate: 249.89 # Hz\n";
  recording.provenance = "{\"nodes\":[]}";
  CsvSink sink(path, Existing::refuse);
  sink.begin(recording);
  sink.close({.complete = true, .reason = ""});

  const Json json = metadata_of(path);
  CHECK(json["@context"] == "http://www.w3.org/ns/csvw");
  CHECK(json["url"] == "my%20run.csv");
  CHECK(json["dc:title"] == "Beam test");
  CHECK(json["dialect"]["lineTerminators"] == Json::array({"\r\n"}));
  const Json columns = json["tableSchema"]["columns"];
  REQUIRE(columns.size() == 6);
  const std::array<const char*, 6> titles{"sample",      "time_ns", "ch0",
                                          "ch0_quality", "ch1",     "ch1_quality"};
  const std::array<const char*, 6> types{"unsignedLong", "long",  "short",
                                         "unsignedByte", "float", "unsignedByte"};
  for (std::size_t c = 0; c < columns.size(); ++c) {
    CHECK(columns[c]["titles"] == titles[c]);
    CHECK(columns[c]["datatype"] == types[c]);
  }
  CHECK(columns[2]["dc:description"] == "strain of the \"left\" beam");
  const Json own = json["spillway"];
  CHECK(own["format_version"] == 2);
  CHECK(own["title"] == "Beam test");
  CHECK(own["start_time"] == recording.start_time);
  CHECK(own["configuration"] == recording.configuration);
  CHECK(own["provenance"] == recording.provenance);
  CHECK(own["stream"]["rate"] == Json{{"samples", 24989}, {"seconds", 100}});
  CHECK(own["stream"]["origin"]["kind"] == "utc");
  CHECK(own["stream"]["origin"]["text"] == "2026-05-04T10:44:18");
  const Json channel = own["stream"]["channels"][0];
  CHECK(channel["unit"] == "N");
  CHECK(channel["raw_unit"] == "V");
  CHECK(channel["type"] == "int16");
  CHECK(channel["range"] == Json::array({-32768.0, 32767.0}));
  CHECK(calibration_from_json(channel["calibration"]) == info.channels[0].calibration);
  CHECK(own["quality"]["flag_masks"].size() == own["quality"]["flag_values"].size());
  CHECK(own["quality"]["flag_masks"] == Json::array({3, 3, 3, 3, 4, 8, 16, 32, 64, 128}));
  CHECK(own["quality"]["flag_values"] == Json::array({0, 1, 2, 3, 4, 8, 16, 32, 64, 128}));
  CHECK(own["ending"] == Json{{"complete", true}, {"reason", ""}});
  CHECK(own["rows"] == 0);
  CHECK(parse(contents(path)).size() == 1);
}

TEST_CASE("CsvSink: the ending is recorded") {
  const TemporaryDirectory directory;
  CsvSink sink(directory / "run.csv", Existing::refuse);
  sink.begin(recording_of({make_info({SampleType::int8})}));
  sink.close({.complete = false, .reason = "source \"a\" vanished"});
  sink.close({});  // again: nothing
  CHECK(metadata_of(directory / "run.csv")["spillway"]["ending"] ==
        Json{{"complete", false}, {"reason", "source \"a\" vanished"}});
}

TEST_CASE("CsvSink: one stream only, good names, UTF-8, and nothing is left behind") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  StreamInfo info = make_info({SampleType::int8});
  const auto refusal = [&](const RecordingInfo& recording) {
    CsvSink sink(path, Existing::refuse);
    const std::string message = message_of([&] { sink.begin(recording); });
    sink.close({.complete = false, .reason = message});
    return message;
  };
  CHECK(contains(refusal(recording_of({info, info})), "{stream}"));
  CHECK(contains(refusal(recording_of({info, info})), path));
  CHECK(contains(refusal(recording_of({})), "exactly one stream"));
  StreamInfo bad = info;
  bad.channels[0].name = "sample";
  CHECK(contains(refusal(recording_of({bad})), "reserved"));
  bad.channels[0].name = "\xB5m";
  CHECK(contains(refusal(recording_of({bad})), "UTF-8"));
  CHECK(contains(refusal(recording_of({info}, "\xFF")), "UTF-8"));
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("CsvSink: existing files are refused, the metadata too") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  const RecordingInfo recording = recording_of({make_info({SampleType::int8})});
  write_text(metadata_path(path), "old");
  {
    CHECK(contains(message_of([&] { CsvSink(path, Existing::refuse); }), "run.csv-metadata.json"));
    CHECK_FALSE(exists(path + ".part"));
  }
  write_text(path, "old");
  {
    CHECK(contains(message_of([&] { CsvSink(path, Existing::refuse); }), "run.csv: exists"));
  }
  CsvSink sink(path, Existing::replace);
  sink.begin(recording);
  CHECK(contents(path) == "old");
  sink.close({});
  CHECK(contents(path) == "sample,time_ns,ch0,ch0_quality\r\n");
  CHECK(metadata_of(path)["spillway"]["rows"] == 0);
}

TEST_CASE("CsvSink: what was flushed is there, with its metadata, without a close") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  Stream stream(make_info({SampleType::int8}));
  Writer<std::int8_t> writer(stream);
  StreamReader reader(stream);
  {
    CsvSink unused(directory / "unused.csv", Existing::refuse);
    unused.begin(recording_of({stream.info()}));
  }
  CHECK(std::filesystem::is_empty(directory.path()));
  {
    CsvSink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    writer.push(1);
    drain(reader, sink);
    CHECK(sink.bytes_written() == 0);
    sink.flush();
    CHECK(parse(contents(path + ".part")).size() == 2);
    CHECK(sink.bytes_written() == contents(path + ".part").size());
    writer.calibrate(0, Linear{.slope = 5.0});
    writer.push(2);
    drain(reader, sink);
    sink.flush();
    writer.push(3);
    drain(reader, sink);
  }
  CHECK_FALSE(exists(path));
  CHECK(parse(contents(path + ".part")).size() == 3);
  const Json own = Json::parse(contents(metadata_path(path) + ".part"))["spillway"];
  CHECK(own["ending"]["complete"] == false);
  CHECK(own["calibrations"].size() == 2);
}

TEST_CASE("CsvSink: a metadata name that was taken meanwhile keeps the CSV from its final name") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  CsvSink sink(path, Existing::refuse);
  sink.begin(recording_of({make_info({SampleType::int8})}));
  write_text(metadata_path(path), "of another");
  CHECK_THROWS_AS(sink.close({}), Error);
  CHECK_FALSE(exists(path));
  CHECK(exists(path + ".part"));
  CHECK(contents(metadata_path(path)) == "of another");
}

TEST_CASE("CsvSink: a write that fails, and what close saves then") {
  // 0: append fails, when the buffer is full; 1: flush fails; 2: close itself fails;
  // 3: close, and the metadata does not fit either
  const int where = GENERATE(0, 1, 2, 3);
  // 0 has more than the buffer holds, so that a whole buffer was written before.
  const ::rlim_t limit = where == 0 ? 700'001 : where == 3 ? 1501 : 20'001;
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  const std::string report = directory / "report";
  const ::pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // Here no test macro may be used, nor an end that runs what the parent registered.
    std::signal(SIGXFSZ, SIG_IGN);
    StreamInfo info = make_info({SampleType::int32}, 1 << 17);
    info.largest_block = {64};
    Stream stream(info);
    Writer<std::int32_t> writer(stream);
    StreamReader reader(stream);
    CsvSink sink(path, Existing::refuse);
    sink.begin(recording_of({info}));
    const std::int32_t count = where == 0 ? 100'000 : 2000;
    for (std::int32_t i = 0; i < count; ++i) {
      if (i == 10) writer.gap({5});
      writer.push(i);
    }
    std::string text;
    if (where >= 2) {
      drain(reader, sink);
      const ::rlimit small{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &small);
    } else {
      const ::rlimit small{limit, limit};
      ::setrlimit(RLIMIT_FSIZE, &small);
      text = message_of([&] {
        drain(reader, sink);
        if (where == 1) sink.flush();
      });
    }
    text += "|" + message_of([&] { sink.close({}); });
    write_text(report, text);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
  const std::string said = contents(report);
  INFO(said);
  if (where == 3) {
    CHECK(contains(said, "run.csv-metadata.json.part: can't be written: File too large"));
    CHECK_FALSE(exists(path));
    CHECK_FALSE(exists(metadata_path(path)));
    CHECK(parse(contents(path + ".part")).size() > 10);
    return;
  }
  CHECK(contains(said, path + ".part: can't be written: File too large"));
  // Said once: by whoever came upon it.
  CHECK((said.front() == '|') == (where == 2));
  CHECK((said.back() == '|') == (where != 2));
  const Rows table = parse(contents(path));  // whole rows only
  CHECK(contents(path).size() <= limit);
  CHECK(contents(path).size() + 40 > limit);
  for (std::size_t r = 1; r < table.size(); ++r) {
    const std::uint64_t i = number<std::uint64_t>(table[r][2]);
    REQUIRE(i == r - 1);
    REQUIRE(number<std::uint64_t>(table[r][0]) == (i < 10 ? i : i + 5));
  }
  const Json own = metadata_of(path)["spillway"];
  CHECK(own["rows"] == table.size() - 1);
  CHECK(own["bytes"] == contents(path).size());
  CHECK(own["ending"]["complete"] == false);
  CHECK(contains(own["ending"]["reason"].get<std::string>(), "File too large"));
  const std::uint64_t recorded = own["counts"]["recorded"];
  const std::uint64_t lost = own["counts"]["lost"];
  CHECK(recorded == table.size() - 1);
  CHECK(lost > 0);
  CHECK(own["counts"]["missing"] == 5);
  CHECK(own["counts"]["produced"] == recorded + lost + 5);
  CHECK(own["gaps"].back()["cause"] == "not_written");
  CHECK(own["gaps"].back()["count"] == lost);
  CHECK(own["gaps"].back()["first_sample"] == recorded + 5);
  CHECK(own["segments"].size() == 2);
  CHECK(own["segments"].back()["count"] == recorded - 10);
}

TEST_CASE("CsvSink: pandas reads the same bits") {
  if (!has_pandas()) {
    WARN("no pandas at /usr/bin/python3: not tested");
    return;
  }
  const TemporaryDirectory directory;
  const std::string path = directory / "run.csv";
  const std::vector<SampleType> types{SampleType::int8, SampleType::int64, SampleType::uint64,
                                      SampleType::float32, SampleType::float64};
  Stream stream(make_info(types));
  StreamWriter writer(stream);
  StreamReader reader(stream);
  CsvSink csv(path, Existing::refuse);
  MemorySink memory;
  Both sink(csv, memory);
  sink.begin(recording_of({stream.info()}));
  const auto a = values_to_try<std::int8_t>();
  const auto b = values_to_try<std::int64_t>();
  const auto c = values_to_try<std::uint64_t>();
  const auto d = values_to_try<float>();
  const auto e = values_to_try<double>();
  const std::array<const void*, 5> lanes{a.data(), b.data(), c.data(), d.data(), e.data()};
  writer.push_lanes(lanes, {2000});
  writer.gap({3});
  writer.push_lanes(lanes, {5000});
  drain(reader, sink);
  sink.close({});
  check_equal(path, memory);
  for (std::size_t channel = 0; channel < types.size(); ++channel) {
    const auto bytes = memory.bytes(0, channel);
    write_text(directory / ("ch" + std::to_string(channel)),
               std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  write_text(directory / "read.py", R"(
import json, sys
import numpy, pandas
directory = sys.argv[1]
path = directory + '/run.csv'
own = json.load(open(path + '-metadata.json', encoding='utf-8'))['spillway']
types = {c['name']: c['type'] for c in own['stream']['channels']}
dtype = {'sample': 'uint64', 'time_ns': 'int64', **types, **{c + '_quality': 'uint8' for c in types}}
table = pandas.read_csv(path, dtype=dtype, float_precision='round_trip')
assert len(table) == own['rows'] == 7000
assert (numpy.diff(table['sample'].to_numpy()) == 1).sum() == 6998
assert (table['time_ns'] == table['sample'].astype('int64') * 1000000).all()
for name, type in types.items():
    got = table[name].to_numpy()
    want = numpy.fromfile(directory + '/' + name, dtype=type)
    assert got.dtype == want.dtype
    if want.dtype.kind == 'f':
        assert (numpy.isnan(got) == numpy.isnan(want)).all()
        got, want = got[~numpy.isnan(got)], want[~numpy.isnan(want)]
    assert got.tobytes() == want.tobytes(), name
# Without being told the types: every value is still equal.
plain = pandas.read_csv(path, float_precision='round_trip')
for name, type in types.items():
    want = numpy.fromfile(directory + '/' + name, dtype=type)
    numpy.testing.assert_array_equal(plain[name].to_numpy().astype(type), want)
)");
  const std::string command =
      "/usr/bin/python3 '" + (directory / "read.py") + "' '" + directory.path() + "'";
  CHECK(std::system(command.c_str()) == 0);  // NOLINT
}

}  // namespace spillway
