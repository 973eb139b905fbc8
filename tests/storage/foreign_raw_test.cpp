// Raw files with a sidecar, as recordings. What is played of them: tests/engine.
#include <sys/stat.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "foreign_support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

using Json = nlohmann::json;

// A stream of two int16 channels, `frames` long, behind a header of 16 bytes.
Json sidecar(const TemporaryDirectory& directory, std::int16_t frames) {
  std::string data(16, 'h');
  for (std::int16_t i = 0; i < frames; ++i)
    data += bytes_of(i) + bytes_of(static_cast<std::int16_t>(-i));
  write_text(directory / "data.i16", data);
  const auto channel = [](const char* name) {
    return Json{{"name", name},
                {"unit", "mV"},
                {"calibration", {{"kind", "linear"}, {"scale", 0.5}, {"offset", 1.0}}},
                {"adc", {{"min", -100}, {"max", 100}}},
                {"missing_raw_value", 50}};
  };
  return {
      {"start", {{"utc", "2018-06-21T18:21:56Z"}}},
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

}  // namespace

TEST_CASE("a sidecar is a recording: values, calibration, quality, times and origin") {
  const TemporaryDirectory directory;
  const std::string path = directory / "anything.at.all";
  write_text(path, sidecar(directory, 3000).dump(2));
  const Recording r = Recording::open(path);
  CHECK(r.status() == "complete");
  CHECK(r.guard() == Recording::Guard::none);
  CHECK(r.start_time() == "2018-06-21T18:21:56Z");
  const RecordedStream& s = r.streams().at(0);
  CHECK(s.rows == 3000);
  CHECK(s.counts == RecordedCounts{3000, 3000, 0, 0});
  CHECK(s.info.rate == Rate(24989, 100));
  CHECK(s.info.origin == Origin{Origin::Kind::utc, "2018-06-21T18:21:56"});
  CHECK(times_of(r)[2999] == 1500ms + s.info.rate->duration(2999));
  std::vector<double> mv(3000);
  r.read_calibrated(0, 1, 0, mv);
  const auto raw = raw_values<std::int16_t>(r, 1);
  const auto quality = qualities(r, 0);
  std::uint64_t wrong = 0;
  for (int i = 0; i < 3000; ++i) {
    const auto at = static_cast<std::size_t>(i);
    wrong += raw[at] != -i || mv[at] != 0.5 * -i + 1.0;
    wrong += quality[at] != (i == 50    ? Quality(Verdict::bad, Quality::missing)
                             : i >= 100 ? Quality(Verdict::suspect, Quality::out_of_range)
                                        : Quality::good());
  }
  CHECK(wrong == 0);
  CHECK_THROWS_AS(Recording::open(path, at_rate(Rate(1, 1))), NotLeftOpen);
  CHECK(contains(message_of([&] { (void)Recording::open(path, at_rate(Rate(1, 1))); }),
                 "a sidecar says itself how its files are to be read; a rate can't be given"));
}

TEST_CASE("several threads read one recording of others at once") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  Json json = sidecar(directory, 30'000);
  Json second = json["streams"][0];
  second["name"] = "again";
  json["streams"].push_back(second);
  write_text(path, json.dump());
  const Recording r = Recording::open(path);
  std::vector<std::thread> threads;
  std::vector<std::uint64_t> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      std::vector<std::int16_t> values(700);
      for (std::uint64_t n = 0; n < 400; ++n) {
        const std::uint64_t row = (n * 7919 + t * 1237) % 29'000;
        r.read_raw<std::int16_t>(t % 2, 0, row, values);
        for (std::size_t i = 0; i < values.size(); ++i)
          wrong[t] += values[i] != static_cast<std::int16_t>(row + i);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<std::uint64_t>(4, 0));
}

TEST_CASE("a sidecar's numbers that no recording can have are refused") {
  const TemporaryDirectory directory;
  const Json good = sidecar(directory, 100);
  const auto refused = [&](auto change) {
    Json json = good;
    change(json);
    const std::string message = refusal(directory / "recording.json", json.dump());
    CHECK((message.empty() || contains(message, directory / "recording.json")));
    CHECK_FALSE(contains(message, "\n"));
    return message;
  };
  CHECK(refused([](Json&) {}).empty());
  const auto stream = [](Json& j) -> Json& { return j["streams"][0]; };
  CHECK(contains(refused([&](Json& j) { stream(j)["time"]["t0_s"] = 1e12; }), "146 years"));
  CHECK(contains(refused([&](Json& j) { stream(j)["time"]["rate_hz"] = 1e-9, j["start"] = {}; }),
                 "292 years"));
  CHECK(contains(refused([&](Json& j) { stream(j)["channels"][0]["repeat"] = 5'000'000; }),
                 "million"));
  CHECK(
      contains(refused([&](Json& j) { stream(j)["channels"] = Json::array(); }), "channel_count"));
  CHECK(contains(refused([&](Json& j) { j["streams"].push_back(stream(j)); }), "stands twice"));
  CHECK(contains(refused([&](Json& j) {
                   Json chain = {{"kind", "linear"}, {"scale", 2.0}, {"offset", 0.0}};
                   for (int i = 0; i < 50; ++i) chain = {{"kind", "chain"}, {"steps", {chain}}};
                   stream(j)["channels"][0]["calibration"] = chain;
                 }),
                 "within each other"));
  CHECK(contains(refused([&](Json& j) {
                   j["segments"] = {{{"first_frame", 10}, {"channels", Json::object()}},
                                    {{"first_frame", 9}, {"channels", Json::object()}}};
                 }),
                 "'first_frame' is 9 behind one of 10"));
  write_text(directory / "t.i64", bytes_of(INT64_MAX) + std::string(99 * 8, '\0'));
  CHECK(contains(
      refused([&](Json& j) {
        stream(j)["time"] = {
            {"kind", "timestamps"}, {"file", "t.i64"}, {"dtype", "int64"}, {"tick_s", 1.0}};
      }),
      "146 years"));
}

TEST_CASE("what a sidecar names as a file, and is none, is refused at once") {
  const TemporaryDirectory directory;
  const Json good = sidecar(directory, 10);
  REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
  std::filesystem::create_directory(directory / "folder");
  for (const std::string name : {"pipe", "folder"})
    for (const bool of_times : {false, true}) {
      CAPTURE(name, of_times);
      Json json = good;
      Json& stream = json["streams"][0];
      if (of_times)
        stream["time"] = {
            {"kind", "timestamps"}, {"file", name}, {"dtype", "int64"}, {"tick_s", 1e-3}};
      else
        stream["file"] = name;
      CHECK(refusal(directory / "recording.json", json.dump()) ==
            directory / "recording.json" + ": stream 's': '" + (of_times ? "time.file" : "file") +
                "' is '" + name + "', which is no regular file");
    }
  Json json = good;
  json["streams"][0]["file"] = std::string(50, 'x') + "\n";
  CHECK(contains(refusal(directory / "recording.json", json.dump()), "can't be the name"));
  json["streams"][0]["file"] = "nowhere";
  CHECK(contains(refusal(directory / "recording.json", json.dump()), "can't be opened"));
}

TEST_CASE("a sidecar's start is a time without a zone, or the sidecar is refused") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  Json json = sidecar(directory, 10);
  const auto refused = [&](const Json& start) {
    json["start"] = start;
    return refusal(path, json.dump());
  };
  const auto origin = [&](const Json& start) {
    json["start"] = start;
    write_text(path, json.dump());
    return Recording::open(path).streams().at(0).info.origin;
  };
  for (const char* text :
       {"garbage", "", "Z", "9999-99-99T99:99:99", "2018-02-29T00:00:00", "2018-06-21T24:00:00",
        "2018-06-21T18:60:00", "2018-06-21T18:21:60", "2018-06-21 18:21:56", "2018-06-21",
        "2018-06-21T18:21:56.", "2018-06-21T18:21:56.5x", "2018-06-21T18:21:56+02:00"}) {
    CAPTURE(text);
    for (const char* kind : {"utc", "local"}) {
      const std::string message = refused({{kind, text}});
      CHECK(contains(message, path + ": start: '" + kind + "' is "));
      CHECK(contains(message, "2018-06-21T18:21:56"));
    }
  }
  CHECK(contains(refused({{"utc", 5}}), "start: 'utc' is 5;"));
  CHECK(contains(refused({{"utc", "2018-06-21T18:21:56"}, {"local", "noon"}}), "'local' is"));
  CHECK(contains(refused({{"local", "2018-06-21T18:21:56Z"}}), "'local' is"));
  for (const Json& start : {Json(5), Json("2018-06-21T18:21:56"), Json::array()})
    CHECK(contains(refused(start), "start: is " + start.dump() + "; an object"));
  const std::string time = "2704-02-29T10:44:18.529";
  CHECK(origin({{"utc", nullptr}, {"local", time}}) == Origin{Origin::Kind::local, time});
  CHECK(origin({{"utc", time + "Z"}, {"local", time}}) == Origin{Origin::Kind::utc, time});
  CHECK(origin({{"utc", nullptr}, {"note", "not given"}}) == Origin{});
  CHECK(origin(nullptr) == Origin{});
}

TEST_CASE("a sidecar without streams is refused") {
  const TemporaryDirectory directory;
  for (const char* streams : {"[]", "{}", "null", "5"})
    CHECK(contains(
        refusal(directory / "recording.json", std::string("{\"streams\": ") + streams + "}"),
        std::string("streams: is ") + streams + "; a list of at least one stream"));
}

TEST_CASE("times of which too many do not rise are refused") {
  if (std::getenv("SPILLWAY_TEST_FULL") == nullptr) return;  // takes a gigabyte of memory
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  Json json = sidecar(directory, 10);
  Json& stream = json["streams"][0];
  stream["time"] = {{"kind", "timestamps"}, {"file", "t"}, {"dtype", "int64"}, {"tick_s", 1.0}};
  const auto refused = [&](std::uint64_t frames) {
    write_text(directory / "t", "");
    std::filesystem::resize_file(directory / "t", frames * 8);
    std::filesystem::resize_file(directory / "data.i16", 16 + frames * 4);
    stream["frames"] = frames;
    return refusal(path, json.dump());
  };
  CHECK(refused(10'000'000).empty());
  CHECK(contains(refused(10'000'001), path + ": stream 's': row 10000000 is one of more than"));
  const std::string table = directory / "t.csv";
  std::string text = "time,x\n";
  for (int i = 0; i < 10'000'001; ++i) text += "0,1\n";
  CHECK(contains(refusal(table, text), table + ": line 10000002: row 10000000 is one of"));
}

TEST_CASE("a change of calibration names a channel that is there") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  Json json = sidecar(directory, 10);
  Json second = json["streams"][0];
  second["name"] = "t";
  second["channels"][0]["name"] = "left";
  second["channels"][1]["name"] = "right";
  json["streams"].push_back(second);
  const Json change = {{"calibration", {{"kind", "linear"}, {"scale", 3.0}, {"offset", 0.0}}}};
  json["segments"] = {{{"first_frame", 0}, {"channels", {{"up", change}}}},
                      {{"first_frame", 5}, {"channels", {{"right", change}}}}};
  CHECK(refusal(path, json.dump()).empty());
  json["segments"][1]["channels"]["zz"] = change;
  CHECK(refusal(path, json.dump()) ==
        path + ": segments: channel 'zz' is in no stream; there are 'down', 'left', 'right', 'up'");
  json["segments"][1]["channels"].erase("zz");
  json["segments"][1]["first_frame"] = 9;
  CHECK(refusal(path, json.dump()).empty());
  json["segments"][1]["first_frame"] = 10;
  CHECK(refusal(path, json.dump()) ==
        path + ": segments: 'first_frame' is 10, but channel 'right' has 10 frames");
  json["segments"][1]["channels"] = 7;
  CHECK(contains(refusal(path, json.dump()), "segments: 'channels' is 7"));
}

TEST_CASE("a missing value of 64 bits is missing where it is equal, not where it is near") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  Json json = sidecar(directory, 10);
  Json& stream = json["streams"][0];
  stream["offset_bytes"] = 0;
  stream["channel_count"] = 1;
  stream["frames"] = 4;
  const auto missing = [&](const char* type, const std::string& bytes, const char* value) {
    write_text(directory / "data.i16", bytes);
    stream["dtype"] = type;
    stream["channels"] = {{{"name", "c"}, {"unit", "V"}}};
    stream["channels"][0]["missing_raw_value"] = Json::parse(value);
    write_text(path, json.dump());
    std::string text;
    for (const Quality q : qualities(Recording::open(path), 0))
      text += q == Quality(Verdict::bad, Quality::missing) ? 'm' : '.';
    return text;
  };
  const std::string near = bytes_of(INT64_MAX - 500) + bytes_of(INT64_MAX) + bytes_of(INT64_MIN) +
                           bytes_of(INT64_MIN + 1);
  CHECK(missing("int64", near, "9223372036854775807") == ".m..");
  CHECK(missing("int64", near, "-9223372036854775808") == "..m.");
  CHECK(missing("int64", near, "-9223372036854775808.0") == "..m.");
  CHECK(missing("uint64", near, "9223372036854775808") == "..m.");
  CHECK(missing("uint64", near, "9.223372036854775808e18") == "..m.");
  const std::string small = bytes_of(std::int64_t{5}) + bytes_of(std::int64_t{-5}) +
                            bytes_of(std::int64_t{0}) + bytes_of(std::int64_t{6});
  CHECK(missing("int64", small, "5.0") == "m...");
  const std::string floats =
      bytes_of(5.0) + bytes_of(-9999.5) + bytes_of(std::nan("")) + bytes_of(0.0);
  CHECK(missing("float64", floats, "5") == "m.m.");
  CHECK(missing("float64", floats, "-9999.5") == ".mm.");
  stream["channels"][0]["missing_raw_value"] = true;
  CHECK(contains(refusal(path, json.dump()), "'missing_raw_value' is true; a number is needed"));
}

TEST_CASE("what a sidecar leaves out of its files is told") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  Json json = sidecar(directory, 10);
  const auto remarks = [&] {
    write_text(path, json.dump());
    return Recording::open(path).remarks();
  };
  CHECK(remarks().empty());
  json["streams"][0]["frames"] = 9;
  CHECK(remarks() == std::vector<std::string>{path + ": 4 bytes of " + (directory / "data.i16") +
                                              " behind what is described are left out"});
  // Of another stream that shares the file they are not left out.
  Json second = json["streams"][0];
  second["name"] = "t";
  second["file"] = "./data.i16";
  second["offset_bytes"] = 16 + 9 * 4;
  second["frames"] = 1;
  json["streams"].push_back(second);
  CHECK(remarks().empty());
  std::string ticks;
  for (std::int64_t i = 0; i < 10; ++i) ticks += bytes_of(i);
  write_text(directory / "t.i64", ticks);
  json["streams"][0]["time"] = {
      {"kind", "timestamps"}, {"file", "t.i64"}, {"dtype", "int64"}, {"tick_s", 1.0}};
  REQUIRE(remarks().size() == 1);
  CHECK(contains(remarks()[0], ": 8 bytes of " + (directory / "t.i64")));
}

TEST_CASE("what contradicts itself in a sidecar is refused") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  const Json good = sidecar(directory, 10);
  const auto refused = [&](auto change) {
    Json json = good;
    change(json["streams"][0]);
    return refusal(path, json.dump());
  };
  CHECK(refused([](Json& s) { s["layout"] = "single"; }) ==
        path + ": stream 's': layout 'single' is that of one channel, but 2 are described");
  CHECK(refused([](Json& s) { s["channels"][1]["repeat"] = 0; }) ==
        path + ": stream 's', channel 'down': 'repeat' is 0; a channel stands for one at least");
  const auto missing = [&](const char* type, const char* value) {
    return refused([&](Json& s) {
      s["dtype"] = type;
      s["frames"] = 1;
      s["channels"][0]["missing_raw_value"] = Json::parse(value);
    });
  };
  for (const char* value : {"1.5", "70000", "-32769", "1e300"})
    CHECK(contains(missing("int16", value), std::string("channel 'up': 'missing_raw_value' is ") +
                                                Json::parse(value).dump() +
                                                ", which no int16 can be"));
  CHECK(contains(missing("uint8", "-1"), "which no uint8 can be"));
  CHECK(contains(missing("int64", "9223372036854775808"), "which no int64 can be"));
  CHECK(contains(missing("uint64", "-1"), "which no uint64 can be"));
  CHECK(contains(missing("float32", "1e300"), "which no float32 can be"));
  CHECK(contains(missing("float32", "-9999.9"), "the nearest one is -9999.900390625"));
  CHECK_FALSE(contains(missing("float32", "-9999.5"), "missing_raw_value"));
}

TEST_CASE("a sidecar with a key twice is refused, and may begin with a byte order mark") {
  const TemporaryDirectory directory;
  const std::string path = directory / "recording.json";
  const std::string good = sidecar(directory, 10).dump();
  CHECK(refusal(path, "\xEF\xBB\xBF" + good).empty());
  CHECK(refusal(path, "\xEF\xBB\xBF \r\n" + good).empty());
  const auto with_more = [&](const std::string& before, const std::string& more) {
    std::string text = good;
    text.insert(text.find(before), more);
    return refusal(path, text);
  };
  CHECK(with_more("\"frames\"", "\"frames\": 5, ") == path + ": the key 'frames' stands twice");
  CHECK(with_more("\"scale\"", "\"scale\": 5, ") == path + ": the key 'scale' stands twice");
  CHECK(with_more("\"start\"", "\"streams\": [], ") == path + ": the key 'streams' stands twice");
  CHECK(with_more("\"start\"", "\"x\": {\"name\": 1, \"y\": {\"name\": 2}}, ").empty());
}
