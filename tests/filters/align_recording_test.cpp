// Three streams of one recording at common times, against numpy and scipy.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "spillway/filters/align.hpp"
#include "support.hpp"
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

struct Stream {
  Rate rate;
  Signal signal;  // calibrated
};

Stream read_stream(const std::filesystem::path& folder, const Json& about) {
  const std::string name = about.at("file");
  std::ifstream file(folder / name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const std::size_t lanes = about.at("channel_count");
  Stream s{Rate(Hertz{about.at("time").at("rate_hz").get<double>()}), {{}, {}, lanes}};
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

// What comes of the streams in their real order, a quarter of a second at a time.
Combined combine(const std::vector<Stream>& streams, const Align& parameters) {
  std::vector<AlignFilter::Input> inputs;
  for (const Stream& s : streams)
    inputs.push_back({.lanes = s.signal.lanes, .rate = s.rate, .most_frames = 64});
  AlignFilter filter(parameters, inputs);
  const std::size_t lanes = filter.lanes();
  const Rate rate = parameters.rate ? *parameters.rate : streams.front().rate;
  Combined result{{}, {{}, {}, lanes}};
  Signal out{std::vector<double>(100 * lanes), std::vector<Quality>(100 * lanes), lanes};
  std::vector<std::size_t> at(streams.size(), 0);
  for (Time until = 250ms; until < 240s; until += 250ms) {
    for (std::size_t i = 0; i < streams.size(); ++i) {
      const Stream& s = streams[i];
      const std::size_t end =
          std::min<std::size_t>(s.signal.frames(), s.rate.samples_within(until));
      const Signal part = s.signal.part(at[i], end);
      filter.push(i, {part.values, part.quality, part.lanes, at[i]}, {}, {});
      at[i] = end;
      for (;;) {
        const AlignFilter::Output made = filter.make({out.values, out.quality, lanes}, {});
        REQUIRE(filter.ended().empty());
        if (made.is_nothing()) break;
        REQUIRE(made.first == result.times.size());
        REQUIRE(made.clock_sample == 0);
        REQUIRE(made.clock_time == 0ns);
        for (std::size_t k = 0; k < made.count; ++k)
          result.times.push_back(rate.duration(made.first + k));
        result.signal.append(out.part(0, made.count));
      }
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
double tolerance(const Stream& s, std::size_t lane) {
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

  std::vector<Stream> streams;
  const Json recording = test::read_json(folder / "recording.json");
  for (const Json& about : recording.at("streams")) streams.push_back(read_stream(folder, about));
  REQUIRE(streams.size() == 3);
  std::vector<double> tolerances;  // of each lane of the output
  for (const Stream& s : streams)
    for (std::size_t l = 0; l < s.signal.lanes; ++l) tolerances.push_back(tolerance(s, l));

  for (const bool is_grid : {false, true}) {
    for (const Interpolation method : {Interpolation::linear, Interpolation::last}) {
      const std::string name = fmt::format("{}_{}", is_grid ? "at_250" : "at_ecg",
                                           method == Interpolation::linear ? "linear" : "last");
      INFO(name);
      Align p{.method = method};
      if (is_grid) p.rate = Rate(250, 1);
      const Combined actual = combine(streams, p);

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
