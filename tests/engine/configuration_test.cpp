#include "spillway/engine/configuration.hpp"

#include <cstdlib>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

const std::string good = R"(title: a run
duration: 2 min
memory_budget: 64 MiB
sources:
  - type: generator
    name: g
    rate: 1 kHz
    speed: max
    duration: 100 ms
    channels:
      - {name: x, unit: V, shape: chirp, frequency: 1 Hz, end_frequency: 2 Hz, sweep: 5 s, amplitude: 2, noise: 0.1, limit: 3}
    faults:
      - {kind: nan, channel: x, first: 3, count: 2, every: 50}
  - {type: timing, period: 2 ms, duration: 10 ms}
graph:
  - {id: m, type: moving_average, input: g, window: 5}
record:
  - {path: a.h5, flush: 250 ms}
  - {path: "{stream}.csv", streams: [g, m]}
)";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const auto at = text.find(what);
  REQUIRE(at != std::string::npos);
  return text.replace(at, what.size(), with);
}

std::string error_of(const std::string& text, const TemporaryDirectory& directory) {
  return message_of([&] {
    const Configuration configuration = parse_configuration(text, "c.yaml");
    Engine engine(engine_options(configuration));
    (void)set_up(engine, configuration, directory.path(), Existing::refuse);
  });
}

}  // namespace

TEST_CASE("a configuration says what it says") {
  const Configuration c = parse_configuration(good, "c.yaml");
  CHECK(c.title == "a run");
  CHECK(c.duration == Time(2min));
  CHECK(c.memory_budget == 64_MiB);
  REQUIRE(c.sources.size() == 2);
  const auto& g = std::get<SignalGenerator>(c.sources[0]);
  CHECK(g.rate == 1_kHz);
  CHECK_FALSE(g.real_time);
  CHECK(g.channels.at(0).shape == Shape::chirp);
  CHECK(g.channels.at(0).sweep == Time(5s));
  CHECK(g.faults.at(0).kind == Fault::Kind::nan);
  CHECK(g.faults.at(0).every == 50);
  CHECK(std::get<TimingJitter>(c.sources[1]).period == 2ms);
  REQUIRE(c.recordings.size() == 2);
  CHECK(c.recordings[0].options.flush == 250ms);
  CHECK(c.recordings[1].streams == std::vector<std::string>{"g", "m"});
}

TEST_CASE("a configuration says how durable, compressed and numbered its recordings are") {
  const Configuration c = parse_configuration(
      replaced(good, "flush: 250 ms",
               "durability: process, compression: 3, threads: 4, compatible: yes, master: true, "
               "split: {size: 64 MiB, duration: 1 h}, keep: {size: 1 TiB, duration: 30 d}"),
      "c.yaml");
  const RecordOptions& options = c.recordings.at(0).options;
  CHECK(options.durability == Durability::process);
  CHECK(options.compression == 3);
  CHECK(options.compression_threads == 4);
  CHECK(options.compatible);
  CHECK(options.master);
  CHECK(options.split.bytes == 64_MiB);
  CHECK(options.split.duration == 1h);
  CHECK(options.keep.bytes == 1024_GiB);
  CHECK(options.keep.duration == 720h);
  CHECK(c.recordings.at(1).options.durability == Durability::full);
  const Configuration l =
      parse_configuration(replaced(good, "\"{stream}.csv\"", "all.csv, form: long"), "c.yaml");
  CHECK(l.recordings.at(1).options.form == CsvOptions::Form::long_form);
}

TEST_CASE("a configuration runs, and is kept in the recording") {
  TemporaryDirectory directory;
  const Configuration configuration = parse_configuration(good, "c.yaml");
  Engine engine(engine_options(configuration));
  CHECK(set_up(engine, configuration, directory.path(), Existing::refuse).empty());
  engine.start();
  REQUIRE(wait_until_finished(engine, 30.0));
  CHECK(engine.stop().errors.empty());
  CHECK(Recording::open(directory / "a.h5").configuration() == good);
  for (const char* name : {"g.csv", "m.csv", "g.csv-metadata.json", "m.csv-metadata.json"})
    CHECK(exists(directory / name));
}

TEST_CASE("what is wrong in a configuration is named with file, line and column, in one line") {
  TemporaryDirectory directory;
  struct Case {
    std::string what, with;
    std::vector<std::string> parts;
  };
  const std::vector<Case> cases{
      {"title: a run",
       "titel: a run",
       {"c.yaml:1:1", "unknown key 'titel'", "did you mean 'title'"}},
      {"title: a run", "title: a run\ntitle: again", {"c.yaml:2:1", "'title' stands twice"}},
      {"duration: 2 min", "duration: 2", {"c.yaml:2:11", "units s, ms"}},
      {"duration: 2 min", "duration: 2 parsec", {"c.yaml:2:11", "'2 parsec'"}},
      {"duration: 2 min", "duration: 0 s", {"c.yaml:2:"}},
      {"64 MiB", "64 MB", {"MiB, GiB"}},
      {"64 MiB", "100 KiB", {"memory budget"}},
      {"type: generator", "type: generatr", {"c.yaml:5:11", "did you mean 'generator'"}},
      {"    rate: 1 kHz\n", "", {"lacks the key 'rate'"}},
      {"rate: 1 kHz", "rate: 1 kV", {"c.yaml:7:11", "units Hz"}},
      {"speed: max", "speed: fast", {"'fast'", "real, max"}},
      {"shape: chirp", "shape: chrip", {"did you mean 'chirp'"}},
      {"amplitude: 2", "amplitude: two", {"'two' is not a number"}},
      {"amplitude: 2", "amplitude: 1e999", {"not a number"}},
      {"channel: x, first", "channel: y, first", {"no channel 'y'"}},
      {"first: 3", "first: -3", {"'-3'", "whole number"}},
      {"input: g,", "input: h,", {"unknown input 'h'", "node 'm'"}},
      {"window: 5", "window: 5.5", {"'5.5'"}},
      {"streams: [g, m]", "streams: [g, n]", {"no stream or node 'n'"}},
      {"\"{stream}.csv\"", "b.csv", {"holds one stream"}},
      {"path: a.h5", "path: a.xyz", {".h5"}},
      {"path: a.h5", "path: none/a.h5", {"none"}},
      {"flush: 250 ms", "flush: 0 s", {"at least 1 ms"}},
      {"  - {path: a.h5, flush: 250 ms}",
       "  - {path: a.h5}\n  - {path: a.h5}",
       {"another recording of this run", "a.h5"}},
      {"flush: 250 ms", "durability: ful", {"c.yaml", "'durability'", "full", "process", "none"}},
      {"flush: 250 ms", "compression: 13", {"'13'", "0 to 12"}},
      {"flush: 250 ms", "threads: 2", {"'threads'", "needs a compression"}},
      {"flush: 250 ms", "form: long", {"'form'", "CSV"}},
      {"flush: 250 ms", "master: true", {"'master'", "needs a split"}},
      {"flush: 250 ms", "split: {}", {"'split'", "a size, a duration"}},
      {"flush: 250 ms", "split: {size: 1 GB}", {"'1 GB'", "GiB"}},
      {"flush: 250 ms", "split: {duration: 1 ms}", {"at least 1 s"}},
      {"flush: 250 ms", "split: {sise: 1 GiB}", {"did you mean 'size'"}},
      {"flush: 250 ms", "keep: {size: 1 GiB}", {"'keep'", "needs a split"}},
      {"flush: 250 ms",
       "split: {size: 2 GiB}, keep: {size: 1 GiB}",
       {"'keep'", "less than that of one file"}},
      {"flush: 250 ms",
       "split: {duration: 2 h}, keep: {duration: 1 h}",
       {"'keep'", "less than that of one file"}},
      {"\"{stream}.csv\"", "\"{stream}.csv\", compression: 1", {"'compression'", "HDF5"}},
      {"\"{stream}.csv\"", "\"{stream}.csv\", compatible: true", {"'compatible'", "HDF5"}},
      {"\"{stream}.csv\"", "\"{stream}.csv\", form: broad", {"'form'", "wide", "long"}},
      {"sources:", "sources: []\nxources:", {"c.yaml"}},
      {"{type: timing",
       "{type: recording, path: \"${SPILLWAY_NO_SUCH_VARIABLE}/x.json\"}\n  - {type: timing",
       {"SPILLWAY_NO_SUCH_VARIABLE", "not set"}},
      {"{type: timing",
       "{type: recording, path: no/such.json}\n  - {type: timing",
       {"such.json", "No such file"}},
  };
  for (const Case& c : cases) {
    const std::string message = error_of(replaced(good, c.what, c.with), directory);
    CAPTURE(c.with, message);
    for (const std::string& part : c.parts) CHECK(contains(message, part));
    CHECK_FALSE(message.empty());
    CHECK(message.find('\n') == std::string::npos);
    CHECK(std::filesystem::is_empty(directory.path()));
  }
  // What is published is checked like the rest; who publishes need not record.
  const std::string publishing = replaced(good, "record:", "publish: [g]\nrecord:");
  const auto publish_error = [&](const std::string& list) {
    return error_of(replaced(publishing, "[g]", list), directory);
  };
  CHECK(contains(publish_error("[h]"), "c.yaml:17:11: no stream or node 'h'"));
  CHECK(contains(publish_error("[g, g]"), "'g' is published already"));
  CHECK(contains(publish_error("[g, {stream: m, name: g}]"),
                 "something else is published as 'g' already"));
  CHECK(contains(publish_error("[{stream: g, name: a/b}]"), "c.yaml:17:11"));
  CHECK(contains(publish_error("[{stream: g}]"), "lacks the key 'name'"));
  CHECK(contains(publish_error("[{stream: g, name: h, as: i}]"), "unknown key 'as'"));
  CHECK(contains(error_of(good.substr(0, good.find("record:")), directory), "'record'"));
  CHECK(std::filesystem::is_empty(directory.path()));
  CHECK(contains(error_of("just text", directory), "mapping"));
  CHECK(contains(error_of("", directory), "mapping"));
  CHECK(contains(error_of("a: [1", directory), "c.yaml:"));
  CHECK(contains(message_of([&] { (void)read_configuration(directory.path()); }), "directory"));
  // What has no end is not read.
  CHECK(message_of([] { (void)read_configuration("/dev/zero"); }) ==
        "/dev/zero: is a device, not a configuration file");
  write_text(directory / "binary", std::string("\x93NUMPY\1\0", 8));
  CHECK(message_of([&] { (void)read_configuration(directory / "binary"); }) ==
        directory / "binary" + ": is not text, and so not a configuration file");
  std::filesystem::remove(directory / "binary");
  CHECK(contains(message_of([&] { (void)read_configuration(directory / "none.yaml"); }),
                 "No such file"));
}
