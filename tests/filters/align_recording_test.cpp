// Three streams of one recording at common times, against numpy and scipy.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "graph_support.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/channels/writer.hpp"
#include "support/catch.hpp"
#include "support/reference.hpp"

namespace spillway {
namespace {

using namespace std::chrono_literals;
using test::bad_missing;
using test::nan;
using test::Signal;
using Json = nlohmann::json;

constexpr Quality interpolated(Verdict::interpolated);

// A stream as the recording has it.
struct Recorded {
  Rate rate;
  Signal signal;  // calibrated
};

Recorded read_stream(const std::filesystem::path& folder, const Json& about) {
  const std::string name = about.at("file");
  std::ifstream file(folder / name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const std::size_t lanes = about.at("channel_count");
  Recorded s{Rate(Hertz{about.at("time").at("rate_hz").get<double>()}), {{}, {}, lanes}};
  for (std::size_t i = 0; i < bytes.size() / 2; ++i) {
    const Json& channel = about.at("channels").at(i % lanes);
    const auto low = static_cast<unsigned char>(bytes[2 * i]);
    const auto high = static_cast<unsigned char>(bytes[2 * i + 1]);
    const auto raw = static_cast<std::int16_t>(low | high << 8);
    const bool is_missing = raw == channel.at("missing_raw_value").get<int>();
    const Json& calibration = channel.at("calibration");
    s.signal.values.push_back(is_missing ? nan
                                         : raw * calibration.at("scale").get<double>() +
                                               calibration.at("offset").get<double>());
    s.signal.quality.push_back(is_missing ? bad_missing : Quality::good());
  }
  return s;
}

struct Combined {
  std::vector<Time> times;
  Signal signal;
};

// What a graph makes of the streams, that come in their real order, a quarter of a second at a
// time.
Combined combine(const std::vector<Recorded>& streams, const std::string& parameters) {
  std::vector<StreamInfo> infos;
  std::vector<std::unique_ptr<Stream>> rings;
  std::vector<Writer<double>> writers;
  std::vector<StreamReader> readers;
  std::vector<Block> blocks;
  for (const Recorded& s : streams) {
    infos.push_back(test::doubles(fmt::format("s{}", infos.size()), s.signal.lanes, s.rate));
    rings.push_back(std::make_unique<Stream>(infos.back()));
    writers.emplace_back(*rings.back());
    readers.emplace_back(*rings.back());
    blocks.emplace_back(infos.back(), 64);
  }
  Graph graph(graph_from_yaml(fmt::format("graph:\n  - {{id: joined, type: align, inputs: "
                                          "[s0, s1, s2], {}}}\n",
                                          parameters),
                              "icu.yaml"),
              infos, 64);
  test::Collected made;
  std::vector<std::size_t> at(streams.size(), 0);
  for (Time until = 250ms; until < 240s; until += 250ms) {
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const Recorded& s = streams[i];
      const std::size_t end =
          std::min<std::size_t>(s.signal.frames(), s.rate.samples_within(until));
      const Signal part = s.signal.part(at[i], end);
      writers[i].push(part.values, part.quality);
      at[i] = end;
      const Chunk chunk = readers[i].read(blocks[i]);
      graph.process(i, chunk, blocks[i], readers[i].calibrations(chunk.calibrations));
      REQUIRE(readers[i].pending().value == 0);
      do {
        REQUIRE(graph.notes().empty());
        if (!graph.ran().empty()) test::collect(graph, 0, made);
      } while (graph.process_rest());
    }
  }
  Combined result{{}, {{}, {}, graph.output_info(0).channels.size()}};
  for (const auto& [number, point] : made.points) {
    REQUIRE(number == result.times.size());
    result.times.push_back(point.time);
    for (std::size_t l = 0; l < result.signal.lanes; ++l) {
      result.signal.values.push_back(point.values[l]);
      result.signal.quality.push_back(Quality::from_byte(point.quality[l]));
    }
  }
  return result;
}

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "spillway-align-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Spillway's times are to the nearest nanosecond. Between two samples a value is off by no more
// than the steepest slope of its channel times what the three times are off, together 1.5 ns.
// Roundings of values of up to 100 are far below 1e-12. Samples as they came are the same bits.
double tolerance(const Recorded& s, std::size_t lane) {
  const Signal x = s.signal.lane(lane);
  double step = 0.0;
  for (std::size_t f = 1; f < x.frames(); ++f) {
    const double d = std::abs(x.values[f] - x.values[f - 1]);
    if (d > step) step = d;  // not where one is NaN
  }
  return 1.5e-9 * step * s.rate.hertz().value + 1e-12;
}

TEST_CASE("align: three streams of a real recording, as numpy and scipy combine them") {
  const std::filesystem::path folder = test::data_folder() / "icu_multirate_mixed";
  if (!std::filesystem::exists(folder / "recording.json")) {
    WARN("SKIPPED: no recording in " << folder << "; set SPILLWAY_DATA_DIR");
    return;
  }
  if (std::system("/usr/bin/python3 -c 'import scipy' >/dev/null 2>&1") != 0) {  // NOLINT
    WARN("SKIPPED: no scipy at /usr/bin/python3");
    return;
  }
  const Folder results;
  const std::string command =
      fmt::format("/usr/bin/python3 '{}/tests/filters/reference_align.py' '{}' '{}'",
                  SPILLWAY_SOURCE_DIR, folder.string(), results.path().string());
  REQUIRE(std::system(command.c_str()) == 0);  // NOLINT

  std::vector<Recorded> streams;
  const Json recording = test::read_json(folder / "recording.json");
  for (const Json& about : recording.at("streams")) streams.push_back(read_stream(folder, about));
  REQUIRE(streams.size() == 3);
  std::vector<double> tolerances;  // of each lane of the output
  for (const Recorded& s : streams)
    for (std::size_t l = 0; l < s.signal.lanes; ++l) tolerances.push_back(tolerance(s, l));

  for (const bool is_grid : {false, true}) {
    for (const Interpolation method : {Interpolation::linear, Interpolation::last}) {
      const std::string name = fmt::format("{}_{}", is_grid ? "at_250" : "at_ecg",
                                           method == Interpolation::linear ? "linear" : "last");
      INFO(name);
      const Combined actual = combine(
          streams, fmt::format("method: {}{}", method == Interpolation::linear ? "linear" : "last",
                               is_grid ? ", rate: 250 Hz" : ""));

      const auto expected = [&](const char* of) {
        return test::read_npy(results.path() / fmt::format("{}-{}.npy", name, of));
      };
      const test::Array times = expected("times");
      REQUIRE(times.values.size() > 57'000);
      REQUIRE(actual.times.size() == times.values.size());
      for (std::size_t k = 0; k < times.values.size(); ++k)
        REQUIRE(std::abs(static_cast<double>(actual.times[k].count()) - times.values[k] * 1e9) <
                0.501);
      const test::Array values = expected("values");
      const test::Array quality = expected("quality");
      REQUIRE(values.shape == std::vector<std::size_t>{actual.times.size(), tolerances.size()});
      std::size_t between = 0;
      for (std::size_t i = 0; i < values.values.size(); ++i) {
        const double y = actual.signal.values[i];
        const Quality q = actual.signal.quality[i];
        CAPTURE(i);
        if (q.byte() != quality.values[i]) FAIL("quality " << q << ", not " << quality.values[i]);
        const bool is_between = method == Interpolation::linear && q == interpolated;
        between += is_between ? 1 : 0;
        const double allowed = is_between ? tolerances[i % tolerances.size()] : 0.0;
        if (std::isnan(values.values[i]) ? !std::isnan(y)
                                         : !(std::abs(y - values.values[i]) <= allowed))
          FAIL(fmt::format("{}, not {} within {}", y, values.values[i], allowed));
      }
      if (method == Interpolation::linear) CHECK(between > 100'000);
    }
  }
}

}  // namespace
}  // namespace spillway
