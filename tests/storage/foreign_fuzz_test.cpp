// Files of others with bytes changed, cut and repeated: an Error or a recording, never anything
// else.
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "foreign_support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Json = nlohmann::json;

std::string changed(std::string bytes, const std::vector<std::string>& words,
                    std::mt19937_64& random) {
  if (bytes.empty()) return bytes;
  const auto at = [&] { return bytes.empty() ? 0 : random() % bytes.size(); };
  // Most of what can be wrong stands at the front.
  const auto near_front = [&] { return std::min<std::size_t>(at(), random() % 200); };
  do {
    const std::size_t where = random() % 2 == 0 ? near_front() : at();
    switch (random() % 7) {
      case 0: bytes[where] = static_cast<char>(random()); break;
      case 1: bytes[where] = static_cast<char>(bytes[where] ^ (1 << random() % 8)); break;
      case 2: bytes.resize(where); break;
      case 3: bytes.insert(where, bytes.substr(at(), random() % 64)); break;
      case 4: bytes.erase(where, random() % 64); break;
      case 5:
        bytes.replace(where, std::min<std::size_t>(4, bytes.size() - where), "\xFF\xFF\xFF\xFF");
        break;
      default: {
        const std::string& word = words[random() % words.size()];
        bytes.replace(where, std::min(random() % 2 == 0 ? word.size() : 1, bytes.size() - where),
                      word);
      }
    }
  } while (random() % 3 == 0 && !bytes.empty());
  return bytes;
}

// Reads everything there is, in the way everybody does.
void read_all(const std::string& path, const OpenOptions& options, std::uint64_t& opened,
              std::uint64_t& refused) {
  try {
    const Recording r = Recording::open(path, options);
    ++opened;
    for (std::size_t s = 0; s < r.streams().size(); ++s) {
      const RecordedStream& stream = r.streams()[s];
      std::uint64_t rows = 0;
      for (const Segment& segment : stream.segments) rows += segment.count;
      REQUIRE(rows == stream.rows);
      const std::uint64_t count = std::min<std::uint64_t>(stream.rows, 3000);
      const std::size_t channels = std::min<std::size_t>(stream.info.channels.size(), 5);
      for (const std::uint64_t row : {std::uint64_t{0}, stream.rows - count})
        for (std::size_t c = 0; c < channels; ++c) {
          std::vector<double> values(count);
          r.read_calibrated(s, c, row, values);
          std::vector<Quality> quality(count);
          r.read_quality(s, c, row, quality);
          std::vector<Time> times(count);
          r.read_times(s, row, times);
        }
    }
  } catch (const Error& error) {
    ++refused;
    const std::string message = error.what();
    REQUIRE(contains(message, path.substr(0, path.rfind('/'))));
    REQUIRE_FALSE(contains(message, "\n"));
  }
}

void fuzz(const std::string& name, const std::vector<std::string>& seeds,
          const std::vector<std::string>& words, const TemporaryDirectory& directory) {
  const std::uint64_t seed = given_seed().value_or(new_seed());
  CAPTURE(name, seed);
  std::mt19937_64 random(seed);
  const std::string path = directory / name;
  std::uint64_t opened = 0, refused = 0;
  for (std::uint64_t n = 0; n < soak(1500); ++n) {
    OpenOptions options;
    if (random() % 4 != 0) options.foreign.rate = Rate(1000, 1);
    if (n % 16 == 0 && name == "table.csv") options.foreign.separator = static_cast<char>(random());
    const std::string bytes = changed(seeds[random() % seeds.size()], words, random);
    write_text(path, bytes);
    read_all(path, options, opened, refused);
  }
  // Both ways were gone.
  CHECK(opened > 0);
  CHECK(refused > 0);
}

}  // namespace

TEST_CASE("a .npy file with wrong bytes is refused or read") {
  const TemporaryDirectory directory;
  std::string data(6000, '\0');
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 37);
  fuzz("x.npy",
       {npy_bytes(1, npy_header("<f8", false, "375, 2"), data),
        npy_bytes(2, npy_header(">i2", true, "1500, 2"), data),
        npy_bytes(3, npy_header("|u1", false, "6000,"), data)},
       {"1152921504606846976", "0", "9", "(", ")", "{", "'", "<f4", ">u8", "True", ", 3"},
       directory);
}

TEST_CASE("a WAVE file with wrong bytes is refused or read") {
  const TemporaryDirectory directory;
  const std::string samples(6000, 'x');
  const auto wav = [&](std::uint16_t tag, std::uint16_t channels, std::uint16_t bits) {
    return wav_bytes(riff_chunk("fmt ", wav_format(tag, channels, 8000, bits)) +
                     riff_chunk("LIST", "INFO") + riff_chunk("data", samples));
  };
  const std::string sizes = bytes_of(std::uint64_t{100}) + bytes_of(std::uint64_t{6000}) +
                            bytes_of(std::uint64_t{2}) + bytes_of(std::uint32_t{0});
  fuzz("x.wav",
       {wav(1, 2, 24), wav(1, 1, 8), wav(3, 3, 64),
        "RF64\xFF\xFF\xFF\xFFWAVE" + riff_chunk("ds64", sizes) +
            riff_chunk("fmt ", wav_format(1, 1, 8000, 16)) + "data\xFF\xFF\xFF\xFF" + samples},
       {"data", "fmt ", "ds64", std::string(4, '\0'), "\xFF\xFF\xFF\xFF", "\x01", "RIFF"},
       directory);
}

TEST_CASE("a table with wrong bytes is refused or read") {
  const TemporaryDirectory directory;
  std::string plain = "time,x [mV],y\n", decimal = "time_ms;x\n", dates = "date\tx\n",
              bare = "1.5,2\n";
  for (int i = 0; i < 300; ++i) {
    plain += std::to_string(i) + ".25," + std::to_string(i * 7 % 13) + ",\n";
    decimal += std::to_string(i) + ",5;1e-" + std::to_string(i % 10) + "\r\n";
    dates += "2020-01-01T00:0" + std::to_string(i / 60) + ":" + std::to_string(10 + i % 50) +
             "Z\t\"1.5\"\n";
    bare += std::to_string(i) + ",3\n";
  }
  fuzz("table.csv", {plain, decimal, dates, bare},
       {",", ";", "\t", "\n", "\"", "1e999", "99999999999999999999999", "nan", "-", "e-5", "#",
        "2020-13-01", "9999-01-01T00:00:00Z", "0.0000000000000000000000000001"},
       directory);
}

TEST_CASE("a sidecar with wrong bytes, and one whose files are others, is refused or read") {
  const TemporaryDirectory directory;
  std::string samples, times, blocks;
  for (std::int16_t i = 0; i < 800; ++i) samples += bytes_of(i);
  for (std::int64_t i = 0; i < 400; ++i) times += bytes_of(i * i % 1000);
  for (const std::int64_t n : {0, 100, 0, 9, 100, 300, 10, 40}) blocks += bytes_of(n);
  Json json;
  json["start"] = {{"utc", "2018-06-21T18:21:56"}};
  const Json kinds = {
      {{"kind", "uniform"}, {"rate_hz", 249.89}, {"t0_s", 1.5}},
      {{"kind", "timestamps"}, {"file", "t"}, {"dtype", "int64"}, {"tick_s", 1e-6}, {"epoch", "e"}},
      {{"kind", "blocks"},
       {"file", "b"},
       {"dtype", "int64"},
       {"tick_s", 0.1},
       {"blocks", 2},
       {"nominal_rate_hz", 100.0}}};
  for (const Json& time : kinds)
    json["streams"].push_back(
        {{"name", time["kind"]},
         {"file", "s"},
         {"offset_bytes", 0},
         {"dtype", "int16"},
         {"byte_order", "little"},
         {"layout", "interleaved"},
         {"frames", 400},
         {"channel_count", 2},
         {"time", time},
         {"channels",
          {{{"name", "a"},
            {"unit", "V"},
            {"repeat", 2},
            {"calibration", {{"kind", "table"}, {"x", {1, 2}}, {"y", {3, 4}}}},
            {"adc", {{"min", 0}, {"max", 100}}}}}}});
  json["segments"] = {
      {{"first_frame", 10},
       {"channels",
        {{"a[0]", {{"calibration", {{"kind", "linear"}, {"scale", 2}, {"offset", 0}}}}}}}}};
  const auto good = [&] {
    write_text(directory / "s", samples);
    write_text(directory / "t", times);
    write_text(directory / "b", blocks);
  };
  good();
  fuzz("recording.json", {json.dump(), json.dump(1)},
       {"-1", "1e300", "1e-300", "null", "[]", "{}", "\"", "1152921504606846976", "int8", "float64",
        "uniform", "0", "9", "[[[[[[[[", "\"chain\""},
       directory);
  // The files beside it.
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  write_text(directory / "recording.json", json.dump());
  std::uint64_t opened = 0, refused = 0;
  for (std::uint64_t n = 0; n < soak(300); ++n) {
    good();
    const bool is_times = random() % 2 == 0;
    write_text(directory / (is_times ? "t" : "b"),
               changed(is_times ? times : blocks, {std::string(8, '\x7F'), "\x01"}, random));
    read_all(directory / "recording.json", {}, opened, refused);
  }
  CHECK(opened > 0);
  CHECK(refused > 0);
}
