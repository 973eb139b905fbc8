// The shipped sources: generator, machine, recordings with a sidecar.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "spillway/engine/machine_source.hpp"
#include "spillway/engine/recording_source.hpp"
#include "spillway/engine/signal_generator.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

using Json = nlohmann::json;

SignalGenerator generator() {
  SignalGenerator g;
  g.name = "g";
  g.rate = 1_kHz;
  g.duration = 10s;
  g.real_time = false;
  GeneratedChannel sine;
  sine.name = "sine";
  sine.frequency = 5_Hz;
  sine.limit = 0.9;
  GeneratedChannel noise;
  noise.name = "noise";
  noise.shape = Shape::noise;
  GeneratedChannel square;
  square.name = "square";
  square.shape = Shape::square;
  square.frequency = 50_Hz;
  GeneratedChannel chirp;
  chirp.name = "chirp";
  chirp.shape = Shape::chirp;
  chirp.frequency = 1_Hz;
  chirp.end_frequency = 100_Hz;
  g.channels = {sine, noise, square, chirp};
  g.faults = {{Fault::Kind::lost, 0, 1000, 20, 5000},
              {Fault::Kind::nan, 1, 100, 5, 0},
              {Fault::Kind::stuck, 2, 200, 50, 0},
              {Fault::Kind::saturated, 3, 300, 10, 0}};
  return g;
}

// Records what a set-up engine produces, to a file.
Report record_to(Engine& engine, const std::string& path) {
  engine.record({path, 100ms, Existing::refuse});
  engine.start();
  REQUIRE(wait_until_finished(engine, 60.0));
  return engine.stop();
}

// A sidecar with one stream of two int16 channels, `frames` long, ramps in them.
Json write_recording(const TemporaryDirectory& directory, std::int16_t frames) {
  std::string data(16, 'h');  // a header to skip
  for (std::int16_t i = 0; i < frames; ++i)
    for (const std::int16_t v : {i, static_cast<std::int16_t>(-i)})
      data.append(reinterpret_cast<const char*>(&v), sizeof v);
  write_text(directory / "data.i16", data);
  const auto channel = [](const char* name) {
    return Json{{"name", name},
                {"unit", "mV"},
                {"calibration", {{"kind", "linear"}, {"scale", 0.5}, {"offset", 1.0}}},
                {"adc", {{"bits", 12}, {"min", -100}, {"max", 100}}},
                {"missing_raw_value", 50}};
  };
  return {
      {"start", {{"utc", "2018-06-21T18:21:56"}}},
      {"streams", Json::array({{{"name", "s"},
                                {"file", "data.i16"},
                                {"offset_bytes", 16},
                                {"dtype", "int16"},
                                {"byte_order", "little"},
                                {"layout", "interleaved"},
                                {"frames", frames},
                                {"channel_count", 2},
                                {"time", {{"kind", "uniform"}, {"rate_hz", 249.89}, {"t0_s", 1.5}}},
                                {"channels", {channel("up"), channel("down")}}}})}};
}

std::string error_of(const Json& json, const TemporaryDirectory& directory) {
  write_text(directory / "recording.json", json.dump());
  return message_of([&] {
    Engine engine;
    add_source(engine, RecordingSource{directory / "recording.json", {}, false});
  });
}

}  // namespace

TEST_CASE("the generator's faults are in the recording, to the sample") {
  TemporaryDirectory directory;
  Engine engine;
  add_source(engine, generator());
  CHECK(record_to(engine, directory / "a.h5").errors.empty());
  const Recording recording = Recording::open(directory / "a.h5");
  const RecordedStream& s = recording.streams().at(0);
  CHECK(accounts_for_everything(s));
  CHECK(s.counts == RecordedCounts{10'000, 9'960, 0, 40});
  REQUIRE(s.gaps.size() == 2);
  CHECK(s.gaps[0] == Gap{1000, 20, 0, 20, Absence::missing});
  CHECK(s.gaps[1] == Gap{6000, 20, 0, 20, Absence::missing});
  std::vector<std::vector<double>> values(4, std::vector<double>(s.rows));
  std::vector<std::vector<Quality>> quality(4, std::vector<Quality>(s.rows));
  for (std::size_t c = 0; c < 4; ++c) {
    recording.read_raw<double>(0, c, 0, values[c]);
    recording.read_quality(0, c, 0, quality[c]);
  }
  const Quality saturated(Verdict::suspect, Quality::out_of_range);
  std::uint64_t wrong = 0;
  for (std::uint64_t row = 0; row < s.rows; ++row) {
    const std::uint64_t n = s.number(row).value;
    const double sine = std::sin(2.0 * 3.141592653589793 * 5.0 * static_cast<double>(n) / 1000.0);
    const bool clipped = std::abs(sine) > 0.9;
    wrong += std::abs(values[0][row] - std::clamp(sine, -0.9, 0.9)) > 1e-9;
    wrong += std::abs(std::abs(sine) - 0.9) > 1e-9 &&
             quality[0][row] != (clipped ? saturated : Quality::good());
    const bool nan = n >= 100 && n < 105;
    wrong += std::isnan(values[1][row]) != nan;
    wrong += quality[1][row] != (nan ? Quality(Verdict::bad, Quality::missing) : Quality::good());
    if (n >= 200 && n < 250) wrong += values[2][row] != values[2][200];
    wrong += quality[3][row] != (n >= 300 && n < 310 ? saturated : Quality::good());
  }
  CHECK(wrong == 0);
  // Noise has the moments it should have.
  double sum = 0.0, squares = 0.0;
  for (const double v : values[1])
    if (!std::isnan(v)) sum += v, squares += v * v;
  CHECK(std::abs(sum / 10'000.0) < 0.05);
  CHECK(std::abs(squares / 10'000.0 - 1.0) < 0.1);
}

TEST_CASE("a generator repeats exactly, and refuses nonsense") {
  const auto values = [] {
    TemporaryDirectory directory;
    Engine engine;
    add_source(engine, generator());
    record_to(engine, directory / "a.h5");
    const Recording recording = Recording::open(directory / "a.h5");
    std::vector<double> v(recording.streams()[0].rows);
    recording.read_raw<double>(0, 1, 0, v);
    return v;
  };
  const auto once = values();
  const auto again = values();
  CHECK(std::memcmp(once.data(), again.data(), once.size() * sizeof(double)) == 0);
  const auto refused = [](auto change) {
    SignalGenerator g = generator();
    change(g);
    Engine engine;
    return message_of([&] { add_source(engine, g); });
  };
  CHECK(contains(refused([](auto& g) { g.channels[0].frequency = 500_Hz; }),
                 "its frequency of 500 Hz is not below half the rate"));
  CHECK(contains(refused([](auto& g) { g.faults[1].channel = 9; }), "channel 9"));
  CHECK(contains(refused([](auto& g) { g.faults[0].every = 10; }), "fault"));
  CHECK(contains(refused([](auto& g) { g.duration = Time(0); }), "duration"));
  CHECK(contains(refused([](auto& g) { g.channels[0].amplitude = NAN; }), "finite"));
  CHECK(contains(refused([](auto& g) { g.channels[3].end_frequency = 600_Hz; }), "half the rate"));
  CHECK(contains(refused([](auto& g) { g.channels.clear(), g.faults.clear(); }), "no channels"));
}

TEST_CASE("this machine's timing and load: every period is a sample or a missing one") {
  TemporaryDirectory directory;
  Engine engine;
  add_source(engine, TimingJitter{.name = "timing", .period = 1ms, .duration = 300ms});
  add_source(engine, MachineLoad{.name = "load", .period = 20ms, .duration = 300ms});
  const auto before = std::chrono::system_clock::now();
  CHECK(record_to(engine, directory / "a.h5").errors.empty());
  const auto after = std::chrono::system_clock::now();
  const Recording recording = Recording::open(directory / "a.h5");
  const RecordedStream& timing = recording.streams()[recording.find("timing")];
  const RecordedStream& load = recording.streams()[recording.find("load")];
  CHECK(accounts_for_everything(timing));
  CHECK(timing.counts.produced == 300);
  CHECK(load.counts.produced == 15);
  // To the precision of the wall clock, though the origin is a whole second.
  for (const RecordedStream* s : {&timing, &load}) {
    REQUIRE_FALSE(s->segments.empty());
    REQUIRE(s->anchors.size() == 1);
    CHECK(s->info.origin.text.size() == std::string("2018-06-21T18:21:56").size());
    const auto since_1970 =
        time_between({Origin::Kind::utc, "1970-01-01T00:00:00"}, s->info.origin);
    REQUIRE(since_1970);
    const Segment& first = s->segments[0];
    CHECK(first.clock_sample == 0);
    CHECK(s->anchors[0].time.count() == first.clock_ns);
    const Time time = *since_1970 + Time(first.clock_ns);
    CHECK(time > before.time_since_epoch());
    CHECK(time < after.time_since_epoch());
    // The run takes 300 ms, of which sample 0 is the first.
    CHECK(time < after.time_since_epoch() - 200ms);
  }
  REQUIRE(timing.rows > 0);
  std::vector<std::int32_t> ns(timing.rows);
  std::vector<double> us(timing.rows);
  recording.read_raw<std::int32_t>(recording.find("timing"), 0, 0, ns);
  recording.read_calibrated(recording.find("timing"), 0, 0, us);
  for (std::size_t i = 0; i < ns.size(); ++i) {
    REQUIRE(ns[i] >= 0);
    REQUIRE(us[i] == static_cast<double>(ns[i]) * 1e-3);
  }
  if (load.rows > 0) {
    std::vector<double> memory(load.rows);
    recording.read_raw<double>(recording.find("load"), 1, 0, memory);
    CHECK(memory[0] > 1.0);
  }
  Engine other;
  CHECK(contains(message_of([&] {
                   add_source(other, TimingJitter{.name = "t", .period = 1ns, .duration = {}});
                 }),
                 "10 us to 1 h"));
}

TEST_CASE("a recording is played with its values, times, calibration and flags") {
  TemporaryDirectory directory;
  write_text(directory / "recording.json", write_recording(directory, 3000).dump());
  Engine engine;
  CHECK(add_source(engine, RecordingSource{directory / "recording.json", {}, false}).empty());
  CHECK(record_to(engine, directory / "a.h5").errors.empty());
  const Recording recording = Recording::open(directory / "a.h5");
  const RecordedStream& s = recording.streams().at(0);
  CHECK(s.counts == RecordedCounts{3000, 3000, 0, 0});
  CHECK(s.info.rate == Rate(24989, 100));
  CHECK(s.info.origin == Origin{Origin::Kind::utc, "2018-06-21T18:21:56"});
  std::vector<std::int16_t> raw(3000);
  std::vector<double> mv(3000);
  std::vector<Quality> quality(3000);
  std::vector<Time> times(3000);
  recording.read_raw<std::int16_t>(0, 1, 0, raw);
  recording.read_calibrated(0, 1, 0, mv);
  recording.read_quality(0, 0, 0, quality);
  recording.read_times(0, 0, times);
  CHECK(times[0] == 1500ms);
  CHECK(times[2998] == 1500ms + s.info.rate->duration(2998));
  std::uint64_t wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto at = static_cast<std::size_t>(i);
    wrong += raw[at] != -i;
    wrong += mv[at] != 0.5 * -i + 1.0;
    const Quality expected = i == 50    ? Quality(Verdict::bad, Quality::missing)
                             : i >= 100 ? Quality(Verdict::suspect, Quality::out_of_range)
                                        : Quality::good();
    wrong += quality[at] != expected;
  }
  CHECK(wrong == 0);
}

TEST_CASE("a recording's tables are applied, and remembered") {
  TemporaryDirectory directory;
  Json json = write_recording(directory, 100);
  json["streams"][0]["channels"][1]["calibration"] = {
      {"kind", "chain"},
      {"steps",
       {{{"kind", "linear"}, {"scale", -1.0}, {"offset", 0.0}},
        {{"kind", "table"}, {"x", {0.0, 10.0, 50.0}}, {"y", {1.0, 0.0, 20.0}}, {"outside", "nan"}},
        {{"kind", "table"}, {"x", {0, 10}}, {"y", {0, 100}}}}}};
  write_text(directory / "recording.json", json.dump());
  Engine engine;
  CHECK(add_source(engine, RecordingSource{directory / "recording.json", {}, false}).empty());
  CHECK(record_to(engine, directory / "a.h5").errors.empty());
  const Recording recording = Recording::open(directory / "a.h5");
  Calibration expected(Linear{-1.0, 0.0});
  expected.steps.emplace_back(Table{{0.0, 10.0, 50.0}, {1.0, 0.0, 20.0}, Outside::nan});
  expected.steps.emplace_back(Table{{0.0, 10.0}, {0.0, 100.0}, Outside::clamp});
  CHECK(recording.streams()[0].info.channels[1].calibration == expected);
  std::vector<double> values(100);
  recording.read_calibrated(0, 1, 0, values);
  CHECK(values[5] == 5.0);
  CHECK(values[20] == 50.0);
  CHECK(values[50] == 100.0);
  CHECK(std::isnan(values[51]));
}

TEST_CASE("time stamps and blocks of a recording") {
  TemporaryDirectory directory;
  Json json = write_recording(directory, 1000);
  SECTION("time stamps") {
    std::vector<std::int64_t> ticks;
    for (std::int64_t i = 0; i < 1000; ++i) ticks.push_back(1'000'000 + i * 3 + i % 2);
    write_text(directory / "t.i64",
               std::string(reinterpret_cast<const char*>(ticks.data()), ticks.size() * 8));
    json["streams"][0]["time"] = {{"kind", "timestamps"},
                                  {"file", "t.i64"},
                                  {"dtype", "int64"},
                                  {"tick_s", 1e-6},
                                  {"epoch", "boot"}};
    write_text(directory / "recording.json", json.dump());
    Engine engine;
    add_source(engine, RecordingSource{directory / "recording.json", {"s"}, false});
    record_to(engine, directory / "a.h5");
    const Recording recording = Recording::open(directory / "a.h5");
    std::vector<Time> times(1000);
    recording.read_times(0, 0, times);
    for (std::size_t i = 0; i < 1000; ++i) REQUIRE(times[i].count() == ticks[i] * 1000);
    CHECK_FALSE(recording.streams()[0].info.rate);
  }
  SECTION("blocks") {
    // Frames 0 to 399 in time, the rest a second late: a step, and every stamp kept.
    const std::vector<std::int64_t> rows{0, 400, 0, 52'297, 400, 600, 85'211, 160'000};
    write_text(directory / "b.i64",
               std::string(reinterpret_cast<const char*>(rows.data()), rows.size() * 8));
    json["streams"][0]["time"] = {{"kind", "blocks"},           {"file", "b.i64"},
                                  {"dtype", "int64"},           {"blocks", 2},
                                  {"tick_s", 3.0517578125e-05}, {"epoch", "recorder start"},
                                  {"nominal_rate_hz", 250.0}};
    write_text(directory / "recording.json", json.dump());
    Engine engine;
    add_source(engine, RecordingSource{directory / "recording.json", {}, false});
    record_to(engine, directory / "a.h5");
    const Recording recording = Recording::open(directory / "a.h5");
    const RecordedStream& s = recording.streams().at(0);
    REQUIRE(s.anchors.size() == 2);
    CHECK(s.anchors[1].sample.value == 400);
    CHECK(s.anchors[1].ticks == 85'211);
    CHECK(s.anchors[1].time == Time(scaled(85'211, 1'000'000'000, 32'768)));
    REQUIRE(s.segments.size() == 2);
    CHECK(s.segments[1].first_sample == 400);
    CHECK(s.segments[1].t0_ns == s.anchors[1].time.count());
    CHECK(s.gaps.empty());
  }
}

TEST_CASE("a sidecar that is wrong is named with file, place and what is allowed") {
  TemporaryDirectory directory;
  const Json good = write_recording(directory, 100);
  CHECK(error_of(good, directory).empty());
  const auto broken = [&](auto change) {
    Json json = good;
    change(json);
    const std::string message = error_of(json, directory);
    CHECK(message.find('\n') == std::string::npos);
    return message;
  };
  CHECK(contains(broken([](Json& j) { j["streams"][0]["frames"] = 101; }), "promises 101 rows"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["frames"] = std::uint64_t{1} << 63; }),
                 "promises"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["frames"] = -1; }), "whole number"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["offset_bytes"] = 1e9; }), "whole number"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["file"] = "none.i16"; }), "none.i16"));
  CHECK(contains(broken([](Json& j) { j["streams"][0].erase("dtype"); }), "'dtype'"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["dtype"] = "int12"; }), "int12"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["byte_order"] = "big"; }), "little"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["layout"] = "planar"; }), "interleaved"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["channel_count"] = 3; }),
                 "channel_count is 3"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["time"]["kind"] = "guess"; }),
                 "uniform, timestamps, blocks"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["time"]["rate_hz"] = 0; }), "rate"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["channels"][0]["name"] = 7; }), "'name'"));
  CHECK(contains(broken([](Json& j) { j["streams"][0]["channels"][1]["name"] = "up"; }), "twice"));
  CHECK(contains(broken([](Json& j) { j.erase("streams"); }), "'streams'"));
  const auto with_table = [&](const Json& x, const char* outside) {
    return broken([&](Json& j) {
      j["streams"][0]["channels"][1]["calibration"] = {
          {"kind", "table"}, {"x", x}, {"y", {1, 2, 3}}, {"outside", outside}};
    });
  };
  CHECK(contains(with_table({1, 2, 2}, "nan"), "channel 'down': calibration table: x[2] = 2"));
  CHECK(contains(with_table({1, 2}, "nan"), "2 x and 3 y"));
  CHECK(contains(with_table({1, 2, 3}, "none"), "allowed are clamp, extrapolate, nan"));
  write_text(directory / "recording.json", "{ not json");
  CHECK(contains(message_of([&] {
                   Engine engine;
                   add_source(engine, RecordingSource{directory / "recording.json", {}, false});
                 }),
                 "not JSON"));
  write_text(directory / "recording.json", good.dump());
  CHECK(contains(message_of([&] {
                   Engine engine;
                   add_source(engine, RecordingSource{directory / "recording.json", {"t"}, false});
                 }),
                 "no stream 't'"));
}
