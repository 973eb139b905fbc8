#include "spillway/storage/hdf5_sink.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <random>

#include "spillway/storage/recording.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr std::array all_types{SampleType::int8,   SampleType::int16,  SampleType::int32,
                               SampleType::int64,  SampleType::uint8,  SampleType::uint16,
                               SampleType::uint32, SampleType::uint64, SampleType::float32,
                               SampleType::float64};

// A value that its number gives away, extremes included.
template <class T>
T value_of(std::uint64_t n) {
  if (n % 97 == 0) return std::numeric_limits<T>::max();
  if (n % 89 == 0) return std::numeric_limits<T>::lowest();
  return static_cast<T>(static_cast<std::int64_t>(n % 200) - (std::is_signed_v<T> ? 100 : 0));
}

Quality quality_of(std::uint64_t n) {
  return n % 13 == 0 ? Quality(Verdict::suspect, Quality::implausible) : Quality::good();
}

void record(const Stream& stream, StreamReader& reader, Sink& sink) {
  sink.begin(recording_of({stream.info()}, "test"));
  drain(reader, sink);
  sink.close({});
}

}  // namespace

TEST_CASE("every sample type comes back bit for bit, whatever the chunks") {
  const SampleType type = GENERATE(from_range(all_types));
  visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
    TemporaryDirectory directory;
    Stream stream(make_info({type, type}, 1 << 14));
    Writer<T> writer(stream);
    StreamReader reader(stream);
    Hdf5Sink sink(directory / "a.h5", Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    Block block(stream.info(), 700);
    std::uint64_t n = 0;
    // Blocks and flushes at odd places, over several chunks of the file.
    for (std::uint64_t size = 1; n < 7000; size = size * 3 % 1021) {
      for (std::uint64_t i = 0; i < size; ++i, ++n) {
        const std::array<T, 2> frame{value_of<T>(n), value_of<T>(n + 5)};
        const std::array<Quality, 2> quality{quality_of(n), quality_of(n + 1)};
        writer.push(frame, quality);
      }
      for (;;) {
        const Chunk chunk = reader.read(block);
        if (chunk.count.value == 0) break;
        sink.append(0, chunk, block, reader.calibrations(chunk.calibrations));
      }
      if (size % 2 == 1) sink.flush();
    }
    sink.close({});

    const Recording recording = Recording::open(directory / "a.h5");
    REQUIRE(recording.streams().size() == 1);
    const RecordedStream& s = recording.streams()[0];
    CHECK(recording.status() == "complete");
    REQUIRE(s.rows == n);
    CHECK(s.counts == RecordedCounts{n, n, 0, 0});
    REQUIRE(s.info.channels.size() == 2);
    CHECK(s.info.channels[1].type == type);
    for (std::size_t c = 0; c < 2; ++c) {
      std::vector<T> values(n);
      std::vector<Quality> quality(n);
      recording.read_raw<T>(0, c, 0, values);
      recording.read_quality(0, c, 0, quality);
      std::uint64_t wrong = 0;
      for (std::uint64_t i = 0; i < n; ++i)
        wrong += values[i] != value_of<T>(i + 5 * c) || quality[i] != quality_of(i + c);
      CHECK(wrong == 0);
    }
    std::vector<Time> times(n);
    recording.read_times(0, 0, times);
    CHECK(times.back() == std::chrono::milliseconds(n - 1));
  });
}

TEST_CASE("calibrations of every kind come back from the file as they were") {
  TemporaryDirectory directory;
  StreamInfo info = make_info({SampleType::int16, SampleType::int16}, 64, Rate(360, 1));
  Calibration chain(Linear{0.1, -3.0});
  chain.steps.emplace_back(Polynomial{{0.0, 1.0, 1.0 / 3.0}});
  chain.steps.emplace_back(Table{{-0.1, 1.0 / 3.0, 7.0}, {5.0, -0.0, 0.2}, Outside::extrapolate});
  chain.unit_out = info.channels[0].unit;
  info.channels[0].calibration = chain;
  const Calibration table = Table{{0.0, 10.0}, {1.0, 2.0}, Outside::nan};
  Stream stream(info);
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  Hdf5Sink sink(directory / "a.h5", Existing::refuse);
  sink.begin(recording_of({info}));
  const auto push = [&](std::int16_t a, std::int16_t b) {
    const std::array<std::int16_t, 2> frame{a, b};
    writer.push(std::span<const std::int16_t>(frame));
  };
  push(5, 6);
  writer.calibrate(1, table);
  push(5, 5);
  push(5, 11);
  drain(reader, sink);
  sink.close({});

  const Recording recording = Recording::open(directory / "a.h5");
  const RecordedStream& s = recording.streams().at(0);
  CHECK(s.info.channels[0].calibration == chain);
  REQUIRE(s.calibrations.size() == 2);
  CHECK(s.calibrations[0].calibrations == CalibrationSet{chain, {}});
  CHECK(s.calibrations[1].calibrations == CalibrationSet{chain, table});
  std::vector<double> values(3);
  recording.read_calibrated(0, 1, 0, values);
  CHECK(values[0] == 6.0);
  CHECK(values[1] == 1.5);
  CHECK(std::isnan(values[2]));
}

TEST_CASE("gaps, losses, clocks and calibrations come back as the reader saw them") {
  TemporaryDirectory directory;
  StreamInfo info = make_info({SampleType::int16}, 64, Rate(360, 1));
  info.largest_block = SampleCount{8};  // so that the ring is small
  info.channels[0].calibration = Linear{0.5, 1.0};
  info.origin = {Origin::Kind::utc, "2018-06-21T18:21:56"};
  info.channels[0].description = "a channel";
  info.channels[0].range = {-100.0, 100.0};
  Stream stream(info);
  Writer<std::int16_t> writer(stream);
  StreamReader reader(stream);
  Hdf5Sink sink(directory / "a.h5", Existing::refuse);
  sink.begin(recording_of({info}));
  const auto push = [&](int count) {
    for (int i = 0; i < count; ++i)
      writer.push(static_cast<std::int16_t>(writer.next().value % 1000));
  };
  writer.stamp({std::chrono::seconds(3), 77});
  push(40);
  drain(reader, sink);
  writer.gap({5});  // numbers 40 to 44
  push(10);
  writer.calibrate(0, Linear{2.0, 0.0});  // from 55
  push(10);
  drain(reader, sink);
  push(1000);  // far more than the ring holds
  drain(reader, sink);
  writer.stamp({std::chrono::seconds(60), 99});
  push(3);
  drain(reader, sink);
  sink.close({});

  const Recording recording = Recording::open(directory / "a.h5");
  const RecordedStream& s = recording.streams().at(0);
  CHECK(s.counts.produced == writer.next().value);
  CHECK(s.counts.recorded + s.counts.lost + s.counts.missing == s.counts.produced);
  CHECK(s.counts.missing == 5);
  CHECK(s.counts.lost > 0);
  CHECK(s.rows == s.counts.recorded);
  REQUIRE(s.gaps.size() == 2);
  CHECK(s.gaps[0] == Gap{40, 5, 0, 5, Absence::missing});
  CHECK(s.gaps[1].cause == Absence::lost);
  CHECK(s.gaps[1].first_sample == 65);
  CHECK(s.gaps[1].count == s.counts.lost);
  // Segments and gaps together name every number once.
  std::uint64_t next = 0;
  std::size_t g = 0;
  for (const Segment& segment : s.segments) {
    while (g < s.gaps.size() && s.gaps[g].first_sample == next) next += s.gaps[g++].count;
    CHECK(segment.first_sample == next);
    next += segment.count;
  }
  CHECK(next == s.counts.produced);
  CHECK(g == s.gaps.size());
  REQUIRE(s.anchors.size() == 2);
  CHECK(s.anchors[0].ticks == 77);
  CHECK(s.anchors[1].time == std::chrono::seconds(60));
  REQUIRE(s.calibrations.size() == 2);
  CHECK(s.calibrations[0].from_sample == 0);
  CHECK(s.calibrations[1].from_sample == 55);
  CHECK(s.info.origin == info.origin);
  CHECK(s.info.rate == info.rate);
  CHECK(s.info.channels[0].description == "a channel");
  CHECK(s.info.channels[0].range == info.channels[0].range);

  std::vector<std::int16_t> raw(s.rows);
  std::vector<double> calibrated(s.rows);
  std::vector<Time> times(s.rows);
  recording.read_raw<std::int16_t>(0, 0, 0, raw);
  recording.read_calibrated(0, 0, 0, calibrated);
  recording.read_times(0, 0, times);
  std::uint64_t wrong = 0;
  for (std::uint64_t row = 0; row < s.rows; ++row) {
    const std::uint64_t n = s.number(row).value;
    const double x = static_cast<double>(n % 1000);
    wrong += raw[row] != static_cast<std::int16_t>(n % 1000);
    wrong += calibrated[row] != (n < 55 ? 0.5 * x + 1.0 : 2.0 * x);
    const Time expected =
        n < writer.next().value - 3
            ? std::chrono::seconds(3) + info.rate->duration(n)
            : std::chrono::seconds(60) + info.rate->duration(n - (writer.next().value - 3));
    wrong += times[row] != expected;
  }
  CHECK(wrong == 0);
}

TEST_CASE("irregular streams keep their exact times") {
  TemporaryDirectory directory;
  StreamInfo info = make_info({SampleType::float32}, 1 << 12, std::nullopt);
  Stream stream(info);
  Writer<float> writer(stream);
  StreamReader reader(stream);
  std::mt19937_64 random(7);
  std::vector<Time> times;
  std::int64_t t = 1'386'018'900'000'000'000;
  for (int i = 0; i < 3000; ++i) {
    t += 1 + static_cast<std::int64_t>(random() % 1'000'000'007);
    if (i == 1000) t -= 3'300'000'000'000;
    times.emplace_back(t);
    const float value = static_cast<float>(i);
    writer.push(std::span(&value, 1), std::span(&times.back(), 1));
  }
  Hdf5Sink sink(directory / "a.h5", Existing::refuse);
  record(stream, reader, sink);
  const Recording recording = Recording::open(directory / "a.h5");
  std::vector<Time> back(times.size());
  REQUIRE(recording.streams()[0].rows == times.size());
  recording.read_times(0, 0, back);
  CHECK(back == times);
  CHECK(recording.streams()[0].segments.size() == 2);
  std::vector<Quality> quality(times.size());
  recording.read_quality(0, 0, 0, quality);
  CHECK(std::ranges::count_if(quality, [](Quality q) { return q.has(Quality::time_uncertain); }) ==
        1);
  CHECK(quality[1000].has(Quality::time_uncertain));
}

TEST_CASE("a growing file can be read, and never shows a row that was not flushed whole") {
  TemporaryDirectory directory;
  Stream stream(make_info({SampleType::float64}, 1 << 14));
  Writer<double> writer(stream);
  StreamReader reader(stream);
  Hdf5Sink sink(directory / "a.h5", Existing::refuse);
  sink.begin(recording_of({stream.info()}));
  std::uint64_t n = 0;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 1500; ++i) writer.push(static_cast<double>(n++));
    drain(reader, sink);
    sink.flush();
    // Another process, as a user would: the library of this one knows the file already.
    const pid_t child = ::fork();
    if (child == 0) {
      bool right = false;
      try {
        const Recording growing = Recording::open(directory / "a.h5.part");
        const std::uint64_t rows = growing.streams()[0].rows;
        std::vector<double> values(rows);
        growing.read_raw<double>(0, 0, 0, values);
        right = growing.status() == "recording" && rows == n;
        for (std::uint64_t i = 0; i < rows; ++i)
          right = right && values[i] == static_cast<double>(i);
      } catch (const std::exception& e) {
        fmt::print(stderr, "{}\n", e.what());
      }
      ::_exit(right ? 0 : 1);
    }
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  CHECK_FALSE(exists(directory / "a.h5"));
  sink.close({});
  CHECK(exists(directory / "a.h5"));
  CHECK_FALSE(exists(directory / "a.h5.part"));
}

TEST_CASE("what was flushed survives the sudden death of the process") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const pid_t child = ::fork();
  if (child == 0) {
    Stream stream(make_info({SampleType::int32}, 1 << 14));
    Writer<std::int32_t> writer(stream);
    StreamReader reader(stream);
    Hdf5Sink sink(path, Existing::refuse);
    sink.begin(recording_of({stream.info()}));
    for (int i = 0; i < 5000; ++i) writer.push(i);
    drain(reader, sink);
    sink.flush();
    for (int i = 5000; i < 6000; ++i) writer.push(i);
    drain(reader, sink);
    ::raise(SIGKILL);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  CHECK_FALSE(exists(path));
  const Recording left = Recording::open(path + ".part");
  CHECK(left.status() == "recording");
  REQUIRE(left.streams()[0].rows >= 5000);
  std::vector<std::int32_t> values(5000);
  left.read_raw<std::int32_t>(0, 0, 0, values);
  for (std::int32_t i = 0; i < 5000; ++i) REQUIRE(values[static_cast<std::size_t>(i)] == i);
  // Its only copy: nobody records over it.
  CHECK(contains(message_of([&] { Hdf5Sink(path, Existing::replace); }), "unfinished"));
}

TEST_CASE("a write that fails is told, and nothing gets the final name") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{300'000, 300'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    Stream stream(make_info({SampleType::float64}, 1 << 17));
    Writer<double> writer(stream);
    StreamReader reader(stream);
    bool told = false;
    try {
      Hdf5Sink sink(path, Existing::refuse);
      sink.begin(recording_of({stream.info()}));
      for (int i = 0; i < 100'000; ++i) writer.push(i);
      try {
        drain(reader, sink);
        sink.flush();
      } catch (const Error& e) {
        told = std::string(e.what()).size() > 10;
        try {
          sink.close({false, e.what()});
        } catch (const Error&) {
        }
      }
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
      ::_exit(3);
    }
    ::_exit(told ? 0 : 2);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(status == 0);
  if (exists(path)) {
    // Sealed all the same: then it is whole as far as it says.
    CHECK(Recording::open(path).status() != "complete");
  }
}

TEST_CASE("replacing keeps the old recording until the new one is whole") {
  TemporaryDirectory directory;
  const std::string path = directory / "a.h5";
  const auto make = [&](double value, Existing existing, bool finish) {
    Stream stream(make_info({SampleType::float64}));
    Writer<double> writer(stream);
    StreamReader reader(stream);
    writer.push(value);
    Hdf5Sink sink(path, existing);
    if (finish) record(stream, reader, sink);
  };
  const auto value = [&] {
    std::array<double, 1> v{};
    Recording::open(path).read_raw<double>(0, 0, 0, v);
    return v[0];
  };
  make(1.0, Existing::refuse, true);
  CHECK(contains(message_of([&] { make(2.0, Existing::refuse, true); }), "exists already"));
  CHECK(value() == 1.0);
  make(2.0, Existing::replace, false);
  CHECK(value() == 1.0);
  make(3.0, Existing::replace, true);
  CHECK(value() == 3.0);
}

TEST_CASE("empty streams, many channels and odd names are recorded") {
  TemporaryDirectory directory;
  std::vector<StreamInfo> infos;
  infos.push_back(make_info(std::vector<SampleType>(300, SampleType::int16)));
  infos.back().name = "many \"channels\" äöü; a=b";
  infos.push_back(make_info({SampleType::float64}));
  infos.back().name = "fast";
  infos.back().rate = Rate(2_MHz);
  infos.push_back(make_info({SampleType::float64}, 64, std::nullopt));
  infos.back().name = "empty, irregular";
  Hdf5Sink sink(directory / "a.h5", Existing::refuse);
  sink.begin(recording_of(infos));
  sink.flush();
  sink.close({false, "for the test"});
  const Recording recording = Recording::open(directory / "a.h5");
  CHECK(recording.status() == "incomplete: for the test");
  REQUIRE(recording.streams().size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(recording.streams()[i].info.name == infos[i].name);
    CHECK(recording.streams()[i].info.channels.size() == infos[i].channels.size());
    CHECK(recording.streams()[i].rows == 0);
    CHECK(recording.streams()[i].info.rate == infos[i].rate);
  }
}

TEST_CASE("what is no recording is told so") {
  TemporaryDirectory directory;
  CHECK(
      contains(message_of([&] { (void)Recording::open(directory / "none.h5"); }), "No such file"));
  CHECK(contains(message_of([&] { (void)Recording::open(directory.path()); }), "directory"));
  write_text(directory / "text.h5", "not HDF5 at all");
  CHECK(contains(message_of([&] { (void)Recording::open(directory / "text.h5"); }),
                 "is neither a recording nor a table"));
}
