// WAVE files as recordings.
#include <fmt/format.h>

#include <cmath>
#include <random>

#include "foreign_support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

constexpr std::uint16_t pcm = 1, ieee_float = 3;

// `bits` of a value as a sample of PCM.
std::string pcm_bytes(std::int64_t value, int bits) {
  if (bits == 8) value += 128;
  return bytes_of(value).substr(0, static_cast<std::size_t>(bits) / 8);
}

std::string extensible(std::uint16_t tag, std::uint16_t channels, std::uint16_t container,
                       std::uint16_t valid) {
  return wav_format(0xFFFE, channels, 48'000, container) + bytes_of(std::uint16_t{22}) +
         bytes_of(valid) + bytes_of(std::uint32_t{3}) + bytes_of(tag) +
         std::string("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xAA\x00\x38\x9B\x71", 14);
}

std::string values_text(const Recording& r) {
  std::vector<double> values(r.streams().at(0).rows);
  r.read_calibrated(0, 0, 0, values);
  std::string text;
  for (const double v : values) text += std::to_string(v).substr(0, v < 0 ? 5 : 4) + " ";
  return text;
}

}  // namespace

TEST_CASE("PCM of a WAVE file is native, and calibrated to full scale") {
  const TemporaryDirectory directory;
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const int bits : {8, 16, 24, 32})
    for (const bool is_extensible : {false, true}) {
      CAPTURE(bits, is_extensible);
      const std::int64_t full = std::int64_t{1} << (bits - 1);
      const std::size_t rows = 5'001;
      std::vector<std::int64_t> values{-full, full - 1, 0, -1};
      while (values.size() < 3 * rows)
        values.push_back(
            static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(2 * full)) - full);
      std::string data;
      for (const std::int64_t v : values) data += pcm_bytes(v, bits);
      const auto b = static_cast<std::uint16_t>(bits);
      const std::string format =
          is_extensible ? extensible(pcm, 3, b, b) : wav_format(pcm, 3, 48'000, b);
      write_text(directory / "a.wav",
                 wav_bytes(riff_chunk("fmt ", format) + riff_chunk("data", data)));
      const Recording r = Recording::open(directory / "a.wav");
      CHECK(r.remarks().empty());
      const RecordedStream& s = r.streams().at(0);
      CHECK(s.info.rate == Rate(48'000, 1));
      REQUIRE(s.rows == rows);
      REQUIRE(s.info.channels.size() == 3);
      const SampleType type = s.info.channels[0].type;
      CHECK(type == (bits == 8    ? SampleType::uint8
                     : bits == 16 ? SampleType::int16
                                  : SampleType::int32));
      std::size_t wrong = 0;
      for (std::size_t c = 0; c < 3; ++c) {
        CHECK(s.info.channels[c].unit == "1");
        std::vector<double> calibrated(rows);
        r.read_calibrated(0, c, 0, calibrated);
        visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
          const auto raw = raw_values<T>(r, c);
          for (std::size_t i = 0; i < rows; ++i) {
            const std::int64_t v = values[3 * i + c];
            wrong += static_cast<std::int64_t>(raw[i]) != v + (bits == 8 ? 128 : 0);
            wrong += calibrated[i] != static_cast<double>(v) / static_cast<double>(full);
          }
        });
      }
      CHECK(wrong == 0);
    }
}

TEST_CASE("floats of a WAVE file are what they are") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  write_text(path, wav_bytes(riff_chunk("fmt ", wav_format(ieee_float, 2, 96'000, 32)) +
                             riff_chunk("data", bytes_of(0.5F) + bytes_of(-2.0F) + bytes_of(NAN) +
                                                    bytes_of(1.0F))));
  const Recording r = Recording::open(path);
  CHECK(raw_values<float>(r, 1) == std::vector<float>{-2.0F, 1.0F});
  CHECK(r.streams()[0].info.channels[0].calibration.is_identity());
  CHECK(qualities(r, 0)[1] == Quality(Verdict::bad, Quality::missing));
  write_text(path, wav_bytes(riff_chunk("fmt ", extensible(ieee_float, 1, 64, 64)) +
                             riff_chunk("data", bytes_of(0.1) + bytes_of(1e-300))));
  CHECK(raw_values<double>(Recording::open(path), 0) == std::vector<double>{0.1, 1e-300});
}

TEST_CASE("chunks beside the samples of a WAVE file are skipped, with their padding") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  write_text(
      path,
      wav_bytes(riff_chunk("LIST", "INFOx") + riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 8)) +
                riff_chunk("fact", bytes_of(std::uint32_t{3})) + riff_chunk("odd ", "abc") +
                riff_chunk("data", "\x40\x80\xC0") + riff_chunk("LIST", "INFO")));
  const Recording r = Recording::open(path);
  CHECK(r.remarks().empty());
  CHECK(values_text(r) == "-0.50 0.00 0.50 ");
  OpenOptions options = at_rate(Rate(8'000, 1));
  options.foreign.names = {"microphone"};
  CHECK(Recording::open(path, options).streams()[0].info.channels[0].name == "microphone");
  CHECK(contains(message_of([&] { (void)Recording::open(path, at_rate(Rate(1, 1))); }),
                 "its header says 8000 Hz, 1 Hz are given"));
}

TEST_CASE("sizes of RF64 and BW64 are those of their first chunk") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  for (const char* name : {"RF64", "BW64"}) {
    const std::uint32_t unknown = 0xFFFFFFFF;
    const std::string sizes = bytes_of(std::uint64_t{88}) + bytes_of(std::uint64_t{4}) +
                              bytes_of(std::uint64_t{2}) + bytes_of(std::uint32_t{0});
    write_text(path, name + bytes_of(unknown) + "WAVE" + riff_chunk("ds64", sizes) +
                         riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 16)) + "data" +
                         bytes_of(unknown) + bytes_of(std::int16_t{0x4000}) +
                         bytes_of(std::int16_t{-0x4000}) + riff_chunk("LIST", "INFO"));
    const Recording r = Recording::open(path);
    CHECK(r.remarks().empty());
    CHECK(values_text(r) == "0.50 -0.50 ");
  }
}

TEST_CASE("a WAVE file that was cut gives what is there, and says so") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  const std::string format = riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 16));
  const std::string samples = bytes_of(std::int16_t{0x4000}) + bytes_of(std::int16_t{0});
  const auto open = [&](std::uint32_t riff_size, std::uint32_t data_size, const std::string& data) {
    write_text(
        path, "RIFF" + bytes_of(riff_size) + "WAVE" + format + "data" + bytes_of(data_size) + data);
    return Recording::open(path);
  };
  const auto whole = static_cast<std::uint32_t>(4 + format.size() + 8 + samples.size());
  CHECK(open(whole, 4, samples).remarks().empty());
  for (const auto& [riff_size, data_size] :
       {std::pair{0xFFFFFFFFU, 0xFFFFFFFFU}, {0U, 0U}, {0x7FFFFFFFU, 0x7FFFFFF0U}, {whole, 6U}}) {
    CAPTURE(riff_size, data_size);
    const Recording r = open(riff_size, data_size, samples);
    CHECK(values_text(r) == "0.50 0.00 ");
    REQUIRE(r.remarks().size() == 1);
    CHECK(contains(r.remarks()[0], path));
  }
  // Half a sample at the end.
  const Recording torn = open(0, 0, samples + "x");
  CHECK(torn.streams()[0].rows == 2);
  REQUIRE(torn.remarks().size() == 2);
  CHECK(contains(torn.remarks()[1], "1 bytes are left out"));
  // No samples are no samples, if the whole file says so.
  const auto empty = static_cast<std::uint32_t>(4 + format.size() + 8);
  CHECK(open(empty, 0, "").streams()[0].rows == 0);
  CHECK(open(empty, 0, "").remarks().empty());
}

TEST_CASE("a WAVE file whose header tells of no samples has none, or those that are there") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  const std::string format = riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 16));
  const std::string behind = riff_chunk("LIST", "INFOx") + riff_chunk("id3 ", "abcd");
  const auto open = [&](std::uint32_t riff_size, const std::string& rest) {
    const std::string head = "WAVE" + format + "data" + bytes_of(std::uint32_t{0});
    if (riff_size == 0) riff_size = static_cast<std::uint32_t>(head.size() + rest.size());
    write_text(path, "RIFF" + bytes_of(riff_size) + head + rest);
    return Recording::open(path);
  };
  for (const std::uint32_t riff_size : {0U, 36U, 0xFFFFFFFFU}) {  // 0: the right one
    CAPTURE(riff_size);
    for (const std::string& samples : {std::string(400, '\0'), std::string(400, 'x'),
                                       std::string("ab"), behind + std::string(20, '\1')}) {
      const Recording r = open(riff_size, samples);
      CHECK(r.streams()[0].rows == samples.size() / 2);
      REQUIRE(r.remarks().size() == 1);
      CHECK(contains(r.remarks()[0],
                     fmt::format("what is there was taken, {} bytes", samples.size())));
    }
    for (const std::string& chunks : {std::string(), behind}) {
      const Recording r = open(riff_size, chunks);
      CHECK(r.streams()[0].rows == 0);
      CHECK(r.remarks().size() == (riff_size == 36 && !chunks.empty() ? 1 : 0));
    }
  }
}

TEST_CASE("what is behind the samples of a WAVE file, and may be samples, is told") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  const std::string front = riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 8)) +
                            riff_chunk("data", "\x40\x80\xC0") + riff_chunk("LIST", "INFOx");
  const auto remarks = [&](const std::string& rest) {
    write_text(path, wav_bytes(front + rest));
    const Recording r = Recording::open(path);
    CHECK(values_text(r) == "-0.50 0.00 0.50 ");
    return r.remarks();
  };
  CHECK(remarks("").empty());
  const std::string second = riff_chunk("data", "0123456789");
  REQUIRE(remarks(second).size() == 1);
  CHECK(remarks(second)[0] == path + ": a second chunk 'data' of 10 bytes at byte " +
                                  std::to_string(12 + front.size() + 8) + " is left out");
  CHECK(remarks(second + second).size() == 1);
  const std::string more(1000, '\x7F');
  REQUIRE(remarks(more).size() == 1);
  CHECK(contains(remarks(more)[0], ": 1000 bytes from byte " + std::to_string(12 + front.size())));
  CHECK(remarks(second + more).size() == 2);
}

TEST_CASE("a WAVE file of something else is refused, with what is allowed") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  const auto refused = [&](const std::string& chunks) {
    const std::string message = refusal(path, wav_bytes(chunks));
    CHECK((message.empty() || contains(message, path)));
    CHECK_FALSE(contains(message, "\n"));
    return message;
  };
  const std::string data = riff_chunk("data", std::string(24, '\0'));
  const auto of_format = [&](const std::string& format) {
    return refused(riff_chunk("fmt ", format) + data);
  };
  CHECK(of_format(wav_format(pcm, 2, 8'000, 16)).empty());
  CHECK(of_format(wav_format(pcm, 2, 8'000, 12)).empty());  // in 16
  for (const auto& [tag, bits] : {std::pair{6, 8},
                                  {7, 8},
                                  {2, 4},
                                  {85, 0},
                                  {pcm, 64},
                                  {pcm, 0},
                                  {ieee_float, 16},
                                  {ieee_float, 24}})
    CHECK(contains(of_format(wav_format(static_cast<std::uint16_t>(tag), 1, 8'000,
                                        static_cast<std::uint16_t>(bits))),
                   "allowed are PCM of 8, 16, 24 and 32 bits"));
  CHECK(contains(of_format(wav_format(pcm, 0, 8'000, 16)), "must be positive"));
  CHECK(contains(of_format(wav_format(pcm, 1, 0, 16)), "must be positive"));
  CHECK(contains(of_format("short"), "too short"));
  CHECK(contains(of_format(wav_format(0xFFFE, 1, 8'000, 16)), "too short"));
  CHECK(contains(refused(data), "before their format"));
  CHECK(contains(refused(riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 16))), "no chunk 'data'"));
}

TEST_CASE("a WAVE file with two formats is refused unless they are the same") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  const std::string format = riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 16));
  const std::string data = riff_chunk("data", std::string(24, '\0'));
  CHECK(refusal(path, wav_bytes(format + format + data + format)).empty());
  CHECK(Recording::open(path).remarks().empty());
  for (const std::string& other : {wav_format(pcm, 2, 8'000, 16), wav_format(pcm, 1, 8'001, 16),
                                   wav_format(pcm, 1, 8'000, 24)}) {
    const std::string second = riff_chunk("fmt ", other);
    CHECK(refusal(path, wav_bytes(format + second + data)) ==
          path + ": its chunk 'fmt ' at byte 44 says something else than the first one");
    CHECK(contains(refusal(path, wav_bytes(format + data + second)),
                   "its chunk 'fmt ' at byte 76 says something else"));
  }
}

TEST_CASE("a size of a WAVE file that is not the file's is told") {
  const TemporaryDirectory directory;
  const std::string path = directory / "a.wav";
  const std::string chunks =
      riff_chunk("fmt ", wav_format(pcm, 1, 8'000, 16)) + riff_chunk("data", std::string(24, '\0'));
  const auto remarks = [&](std::uint64_t size) {
    write_text(path, "RIFF" + bytes_of(static_cast<std::uint32_t>(size)) + "WAVE" + chunks);
    return Recording::open(path).remarks();
  };
  const std::uint64_t right = 4 + chunks.size();
  for (const std::uint64_t size : {right, right - 1, right + 1, std::uint64_t{0xFFFFFFFF}})
    CHECK(remarks(size).empty());
  for (const std::uint64_t size : {right - 24, right + 1000, std::uint64_t{36}})
    CHECK(remarks(size) ==
          std::vector<std::string>{
              path + fmt::format(": its header tells of {} bytes in all, the file has {}; the 24 "
                                 "bytes of samples are all there",
                                 size + 8, right + 8)});
}
