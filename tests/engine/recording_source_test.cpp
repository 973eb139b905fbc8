// What is played is what the recording has.
#include "spillway/engine/recording_source.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <random>

#include "../storage/random_recording.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;
using namespace std::chrono_literals;

namespace {

using Json = nlohmann::json;

template <class T>
std::string as_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Ranges of numbers that are not there, whatever the cause.
std::vector<std::pair<std::uint64_t, std::uint64_t>> absent(const std::vector<Gap>& gaps) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const Gap& gap : gaps) {
    if (!ranges.empty() && ranges.back().second == gap.first_sample)
      ranges.back().second += gap.count;
    else
      ranges.emplace_back(gap.first_sample, gap.first_sample + gap.count);
  }
  return ranges;
}

bool same(const Anchor& a, const Anchor& b) {
  return a.sample == b.sample && a.time == b.time && a.ticks == b.ticks;
}

// Empty, or what is played other than it stands in the recording.
std::string difference(const Recording& recording, std::size_t index, const MemorySink& played,
                       std::size_t at) {
  const RecordedStream& s = recording.streams()[index];
  const std::string where = s.info.name + ": ";
  if (played.counts(at).recorded != s.rows) return where + "rows";
  // What a graph came too late for stays lost; everything else that is absent was never there.
  std::uint64_t lost_upstream = 0;
  for (const Gap& gap : s.gaps)
    if (gap.cause == Absence::lost_upstream) lost_upstream += gap.count;
  if (played.counts(at).lost != lost_upstream) return where + "lost";
  std::vector<Time> times(s.rows);
  recording.read_times(index, 0, times);
  for (std::size_t c = 0; c < s.info.channels.size(); ++c) {
    const bool equal =
        visit_sample_type(s.info.channels[c].type, [&]<class T>(std::type_identity<T>) {
          std::vector<T> values(s.rows);
          recording.read_raw<T>(index, c, 0, values);
          const std::span<const std::byte> bytes = played.bytes(at, c);
          return bytes.size() == values.size() * sizeof(T) &&
                 (values.empty() || std::memcmp(bytes.data(), values.data(), bytes.size()) == 0);
        });
    if (!equal) return where + "values";
    std::vector<Quality> quality(s.rows);
    recording.read_quality(index, c, 0, quality);
    // Where the one that went back in time was lost, the next one is the first that tells.
    if (!s.info.rate)
      for (std::size_t i = 1; i < times.size(); ++i)
        if (times[i] <= times[i - 1])
          quality[i] = merge(quality[i], Quality(Verdict::suspect, Quality::time_uncertain));
    if (!std::ranges::equal(quality, played.quality(at, c))) return where + "quality";
  }
  if (times != played.times(at)) return where + "times";
  if (played.segments(at) != s.segments) return where + "segments";
  if (!std::ranges::equal(played.anchors(at), s.anchors, same)) return where + "anchors";
  const std::vector<CalibrationChange> changes = played.calibrations(at);
  if (!std::ranges::equal(changes, s.calibrations, [](const auto& a, const auto& b) {
        return a.from_sample == b.from_sample && a.calibrations == b.calibrations;
      }))
    return where + "calibrations";
  // What a recording lacks in front of its first sample is missing when it is played.
  std::vector<Gap> gaps = s.gaps;
  const std::uint64_t begin = std::min(s.segments.empty() ? UINT64_MAX : s.segments[0].first_sample,
                                       gaps.empty() ? UINT64_MAX : gaps[0].first_sample);
  if (begin > 0 && begin < UINT64_MAX)
    gaps.insert(gaps.begin(), Gap{0, begin, 0, begin, Absence::missing});
  if (absent(played.gaps(at)) != absent(gaps)) return where + "gaps";
  return {};
}

std::string difference(const std::string& path) {
  const Recording recording = Recording::open(path);
  Engine engine(EngineOptions{.memory_budget = std::uint64_t{4} << 30});
  add_source(engine, RecordingSource{path, {}, false});
  const auto sink = std::make_shared<MemorySink>();
  const MemorySink& played = *sink;
  engine.record(std::make_unique<PassingSink>(sink), 10ms);
  engine.start();
  if (!wait_until_finished(engine, 60.0)) return "it does not end";
  const Report report = engine.stop();
  if (!report.errors.empty()) return report.errors[0];
  for (std::size_t s = 0; s < recording.streams().size(); ++s)
    for (std::size_t at = 0; at < played.info().streams.size(); ++at)
      if (played.info().streams[at].name == recording.streams()[s].info.name)
        if (const std::string found = difference(recording, s, played, at); !found.empty())
          return found;
  return played.info().streams.size() == recording.streams().size() ? "" : "streams";
}

// A sidecar with one stream of two channels for each kind of time, with everything that can change
// in the middle.
Json random_sidecar(const TemporaryDirectory& directory, std::mt19937_64& random) {
  const std::uint64_t frames = random() % 6000;
  std::vector<std::int16_t> samples;
  for (std::uint64_t i = 0; i < 2 * frames; ++i)
    samples.push_back(static_cast<std::int16_t>(random() % 300));
  write_text(directory / "data.i16", as_bytes(samples));

  std::vector<std::int64_t> ticks;
  for (std::uint64_t i = 0; i < frames; ++i)
    ticks.push_back((ticks.empty() ? 0 : ticks.back()) + static_cast<std::int64_t>(random() % 50) -
                    (random() % 100 == 0 ? 500 : 0));
  write_text(directory / "times.i64", as_bytes(ticks));

  std::vector<std::int64_t> blocks;
  for (std::uint64_t first = 0, tick = 0; first < frames;) {
    const std::uint64_t count = std::min(1 + random() % 400, frames - first);
    for (const std::uint64_t n : {first, count, tick, tick + count * 9})
      blocks.push_back(static_cast<std::int64_t>(n));
    first += count;
    tick += count * 10 + (random() % 2 == 0 ? 0 : random() % 12);
  }
  write_text(directory / "blocks.i64", as_bytes(blocks));

  const auto channel = [](const char* name) {
    return Json{{"name", name},
                {"unit", "mV"},
                {"calibration", {{"kind", "linear"}, {"scale", 0.5}, {"offset", 1.0}}},
                {"adc", {{"min", 3}, {"max", 290}}},
                {"missing_raw_value", 7}};
  };
  Json json;
  json["start"] = {{"utc", "2018-06-21T18:21:56"}};
  const Json kinds = {{{"kind", "uniform"}, {"rate_hz", 249.89}, {"t0_s", -1.5}},
                      {{"kind", "timestamps"},
                       {"file", "times.i64"},
                       {"dtype", "int64"},
                       {"tick_s", 3.0517578125e-05},
                       {"epoch", "boot"}},
                      {{"kind", "blocks"},
                       {"file", "blocks.i64"},
                       {"dtype", "int64"},
                       {"tick_s", 1e-3},
                       {"blocks", blocks.size() / 4},
                       {"nominal_rate_hz", 100.0}}};
  for (const Json& time : kinds)
    json["streams"].push_back({{"name", time["kind"]},
                               {"file", "data.i16"},
                               {"offset_bytes", 0},
                               {"dtype", "int16"},
                               {"byte_order", "little"},
                               {"layout", "interleaved"},
                               {"frames", frames},
                               {"channel_count", 2},
                               {"time", time},
                               {"channels", {channel("a"), channel("b")}}});
  std::uint64_t first = random() % 2 == 0 ? 0 : random() % 100;
  for (std::uint64_t n = random() % 6; n > 0 && first < std::max<std::uint64_t>(frames, 1);
       --n, first += random() % 1500)
    json["segments"].push_back({{"first_frame", first},
                                {"channels",
                                 {{random() % 2 == 0 ? "a" : "b",
                                   {{"calibration",
                                     {{"kind", "linear"},
                                      {"scale", static_cast<double>(random() % 3)},
                                      {"offset", 0.0}}}}}}}});
  return json;
}

}  // namespace

TEST_CASE("what a sidecar describes is recorded as it is read") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::uint64_t steps = 0, late = 0, changes = 0;
  const auto reached = [&] { return steps > 0 && late > 0 && changes > 0; };
  for (std::uint64_t n = 0; n < soak(8) || (!reached() && n < 1000); ++n) {
    const TemporaryDirectory directory;
    const std::string path = directory / "recording.json";
    write_text(path, random_sidecar(directory, random).dump());
    REQUIRE(difference(path) == "");
    const Recording recording = Recording::open(path);
    late += recording.streams()[1].segments.size() > 1;
    steps += recording.streams()[2].segments.size() > 1;
    changes += recording.streams()[0].calibrations.size() > 1;
  }
  CHECK(late > 0);
  CHECK(steps > 0);
  CHECK(changes > 0);
}

TEST_CASE("what was recorded is recorded again as it was, with its gaps and stamps") {
  for (std::uint64_t n = 0; n < soak(12); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    const TemporaryDirectory directory;
    const auto format = n % 2 == 0 ? SinkChoice::Format::hdf5 : SinkChoice::Format::csv;
    const SinkChoice choice = SinkChoice::random(format, Durability::none, seed);
    const std::string path = directory / (std::string("run") + choice.suffix());
    RandomRecording made(seed, RandomRecording::short_one, n % 2 != 0);
    const std::unique_ptr<Sink> sink = choice.make(path, system_file_calls());
    made.run(sink.get(), [](const Extent&) {});
    sink->close({});
    REQUIRE(difference(path) == "");
  }
}

TEST_CASE("a gap after every sample is played as it is") {
  const TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  {
    // More gaps than a stream keeps marks of, usually.
    StreamInfo info = make_info({SampleType::int32}, 1 << 16);
    info.mark_capacity = {1 << 16};
    Stream stream(info);
    Writer<std::int32_t> writer(stream);
    StreamReader reader(stream);
    const std::unique_ptr<Sink> sink = SinkChoice{}.make(path, system_file_calls());
    sink->begin(recording_of({info}));
    for (int i = 0; i < 20'000; ++i) {
      writer.push(i);
      writer.gap({2});
    }
    drain(reader, *sink);
    sink->close({});
  }
  CHECK(difference(path) == "");
}

TEST_CASE("a .npy file is played at the rate that is given") {
  const TemporaryDirectory directory;
  std::string header = "{'descr': '<i2', 'fortran_order': False, 'shape': (5, 2), }\n";
  std::string file("\x93NUMPY\1\0", 8);
  file += static_cast<char>(header.size());
  file += '\0';
  std::vector<std::int16_t> values(10);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int16_t>(i);
  write_text(directory / "x.npy", file + header + as_bytes(values));
  write_text(
      directory / "run.yaml",
      "sources:\n  - {type: recording, path: x.npy, rate: 250 Hz}\nrecord:\n  - {path: x.h5}\n");
  const Configuration configuration = read_configuration(directory / "run.yaml");
  Engine engine;
  for (const auto& source : configuration.sources)
    add_source(engine, std::get<RecordingSource>(source));
  CHECK(engine.stream("x").info().rate == Rate(250, 1));
  Engine other;
  CHECK(contains(message_of([&] {
                   add_source(other, RecordingSource{directory / "x.npy", {}, false});
                 }),
                 "sample rate"));
}
