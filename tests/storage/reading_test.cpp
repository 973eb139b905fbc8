// Reading by several threads, and without copies.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "random_recording.hpp"
#include "spillway/storage/copy.hpp"
#include "spillway/storage/memory_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/recording_reader.hpp"
#include "spillway/storage/verify.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

namespace {

using Format = SinkChoice::Format;

// Everything of a stream, read at once by one thread.
struct Whole {
  std::vector<std::vector<std::byte>> values;
  std::vector<std::vector<Quality>> quality;
  std::vector<std::vector<double>> calibrated;
  std::vector<Time> times;

  Whole(const Recording& from, std::size_t s) {
    const RecordedStream& stream = from.streams()[s];
    for (std::size_t c = 0; c < stream.info.channels.size(); ++c) {
      visit_sample_type(stream.info.channels[c].type, [&]<class T>(std::type_identity<T>) {
        std::vector<T> read(stream.rows);
        from.read_raw<T>(s, c, 0, read);
        const auto bytes = std::as_bytes(std::span(read));
        values.emplace_back(bytes.begin(), bytes.end());
      });
      from.read_quality(s, c, 0, quality.emplace_back(stream.rows));
      from.read_calibrated(s, c, 0, calibrated.emplace_back(stream.rows));
    }
    from.read_times(s, 0, times = std::vector<Time>(stream.rows));
  }
};

// Reads parts in many ways; how many were not as they are in the whole.
std::uint64_t wrong_parts(const Recording& from, const std::vector<Whole>& all, std::uint64_t seed,
                          int parts) {
  std::mt19937_64 random(seed);
  std::uint64_t wrong = 0;
  for (int i = 0; i < parts; ++i) {
    const std::size_t s = random() % all.size();
    const RecordedStream& stream = from.streams()[s];
    if (stream.rows == 0) continue;
    const std::size_t c = random() % stream.info.channels.size();
    const std::uint64_t row = random() % stream.rows;
    const std::size_t count = 1 + random() % std::min<std::uint64_t>(stream.rows - row, 3000);
    const auto at = static_cast<std::ptrdiff_t>(row);
    bool same = true;
    switch (random() % 5) {
      case 0:
        visit_sample_type(stream.info.channels[c].type, [&]<class T>(std::type_identity<T>) {
          std::vector<T> read(count);
          from.read_raw<T>(s, c, row, read);
          same = std::memcmp(read.data(), all[s].values[c].data() + row * sizeof(T),
                             count * sizeof(T)) == 0;
          const std::span<const T> seen = from.view_raw<T>(s, c, row);
          if (!seen.empty())
            same &= std::memcmp(seen.data(), all[s].values[c].data() + row * sizeof(T),
                                seen.size_bytes()) == 0;
        });
        break;
      case 1: {
        std::vector<Quality> read(count);
        from.read_quality(s, c, row, read);
        same = std::equal(read.begin(), read.end(), all[s].quality[c].begin() + at);
        break;
      }
      case 2: {
        std::vector<Time> read(count);
        from.read_times(s, row, read);
        same = std::equal(read.begin(), read.end(), all[s].times.begin() + at);
        break;
      }
      case 3: {
        std::vector<double> read(count);
        from.read_calibrated(s, c, row, read);
        same = std::memcmp(read.data(), all[s].calibrated[c].data() + row,
                           count * sizeof(double)) == 0;
        break;
      }
      default: {
        RecordingReader reader(from, s, {stream.number(row)});
        Block block(stream.info, count);
        const Chunk chunk = reader.read(block);
        const std::size_t bytes = sample_size(block.type(c));
        same = chunk.row == row && chunk.count.value > 0 &&
               std::memcmp(block.bytes(c), all[s].values[c].data() + row * bytes,
                           chunk.count.value * bytes) == 0;
      }
    }
    wrong += same ? 0 : 1;
  }
  return wrong;
}

std::uint64_t wrong_in_threads(const Recording& from, std::uint64_t seed) {
  std::vector<Whole> all;
  for (std::size_t s = 0; s < from.streams().size(); ++s) all.emplace_back(from, s);
  std::atomic<std::uint64_t> wrong = 0;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      try {
        wrong += wrong_parts(from, all, seed + t, static_cast<int>(soak(60)));
      } catch (const std::exception&) {
        wrong += 1'000'000;
      }
    });
  for (std::thread& thread : threads) thread.join();
  return wrong;
}

// 20,000 rows and more of several streams, with gaps.
constexpr RandomRecording::Size large{150, 900};

}  // namespace

TEST_CASE("several threads read one recording as one does") {
  for (std::uint64_t n = 0; n < soak(4, 5); ++n) {
    const std::uint64_t seed = new_seed();
    CAPTURE(seed);
    TemporaryDirectory directory;
    {
      RandomRecording made(seed, large, false);
      auto memory = std::make_shared<MemorySink>();
      made.run(memory.get(), [](const Extent&) {});
      CHECK(wrong_in_threads(Recording::of(memory), seed) == 0);
    }
    for (const Format format : {Format::hdf5, Format::csv, Format::csv_long}) {
      CAPTURE(static_cast<int>(format));
      const SinkChoice choice = SinkChoice::random(format, Durability::process, seed);
      const std::string path = directory / ("a" + std::to_string(static_cast<int>(format)));
      RandomRecording made(seed, large, format == Format::csv);
      auto sink = choice.make(path, system_file_calls());
      made.run(sink.get(), [](const Extent&) {});
      sink->flush();
      if (format == Format::hdf5 && !choice.compatible) {
        // Along with its recorder, through the library.
        const Recording growing = Recording::open(path + ".part");
        CHECK(growing.guard() == Recording::Guard::none);
        CHECK(wrong_in_threads(growing, seed) == 0);
      }
      if (n % 2 == 0) {
        sink.reset();
        const Recording left = Recording::open(path + ".part");
        CHECK(left.guard() == Recording::Guard::journal);
        CHECK(wrong_in_threads(left, seed) == 0);
        continue;
      }
      sink->close({});
      CHECK(wrong_in_threads(Recording::open(path), seed) == 0);
    }
  }
}

TEST_CASE("rows that lie in memory or in a sealed file as they are need no copy") {
  const std::uint64_t seed = new_seed();
  CAPTURE(seed);
  const int compression = GENERATE(0, 1);
  TemporaryDirectory directory;
  // Its chunks have pages of their own.
  const StreamInfo info = make_info({SampleType::float64, SampleType::int16, SampleType::uint8},
                                    1 << 16, Rate(100'000, 1));
  auto memory = std::make_shared<MemorySink>();
  memory->begin(recording_of({info}));
  Block block(info, 100'000);
  std::mt19937_64 random(seed);
  for (std::size_t c = 0; c < 3; ++c)
    for (std::size_t i = 0; i < 100'000 * sample_size(block.type(c)); ++i)
      block.bytes(c)[i] = static_cast<std::byte>(compression > 0 ? i % 8 : random());
  Chunk chunk;
  chunk.count = {100'000};
  memory->append(0, chunk, block, CalibrationSet(3));
  memory->close({});
  const Recording from = Recording::of(memory);
  CHECK(from.view_raw<double>(0, 0, 0).data() == memory->values<double>(0, 0).data());
  CHECK(from.view_raw<std::int16_t>(0, 1, 77).size() == 100'000 - 77);
  CHECK(from.view_raw<std::int16_t>(0, 1, 100'000).empty());
  CHECK(contains(message_of([&] { (void)from.view_raw<float>(0, 0, 0); }), "holds float64"));

  const std::string path = directory / "a.h5";
  {
    Hdf5Sink sink(path, Existing::refuse,
                  {.durability = Durability::none, .compression = compression});
    REQUIRE(copy(from, sink));
    sink.close({});
  }
  {
    const Recording file = Recording::open(path);
    std::uint64_t seen = 0;
    for (std::size_t c = 0; c < 3; ++c)
      visit_sample_type(info.channels[c].type, [&]<class T>(std::type_identity<T>) {
        for (std::uint64_t row = 0; row < 100'000;) {
          const std::span<const T> view = file.view_raw<T>(0, c, row);
          if (view.empty()) {
            ++row;
            continue;
          }
          CHECK(std::memcmp(view.data(), memory->bytes(0, c).data() + row * sizeof(T),
                            view.size_bytes()) == 0);
          CHECK(reinterpret_cast<std::uintptr_t>(view.data()) % alignof(T) == 0);
          seen += view.size();
          row += view.size();
        }
        CHECK(file.view_raw<T>(0, c, 100'000).empty());
      });
    CHECK(seen == (compression == 0 ? 300'000 : 0));
  }
  if (compression > 0) return;
  // A changed byte is told, whatever was looked at before.
  std::string bytes = contents(path);
  const std::string first(reinterpret_cast<const char*>(memory->bytes(0, 0).data()), 64);
  const std::size_t at = bytes.find(first);
  REQUIRE(at != std::string::npos);
  bytes[at + 5000] ^= 4;
  write_text(path, bytes);
  const Recording damaged = Recording::open(path);
  for (int i = 0; i < 2; ++i)
    CHECK(contains(message_of([&] { (void)damaged.view_raw<double>(0, 0, 0); }), "wrong checksum"));
}

TEST_CASE("the lines of Python in docs/reading.md read what was recorded") {
  if (std::system("/usr/bin/python3 -c 'import h5py' >/dev/null 2>&1") != 0) {  // NOLINT
    WARN("no h5py at /usr/bin/python3: not tested");
    return;
  }
  const std::string page = contents(SPILLWAY_READING_MD);
  const std::string opening = "```python\n";
  const std::size_t begin = page.find(opening) + opening.size();
  TemporaryDirectory directory;
  write_text(directory / "read.py", page.substr(begin, page.find("```", begin) - begin));
  StreamInfo info = make_info({SampleType::int16}, 1 << 16, Rate(1000, 1));
  info.name = "pump";
  info.channels[0].name = "pressure";
  info.channels[0].unit = "bar";
  Hdf5Sink sink(directory / "run.h5", Existing::refuse);
  sink.begin(recording_of({info}));
  Block block(info, 100);
  for (std::size_t i = 0; i < 100; ++i) block.values<std::int16_t>(0)[i] = i < 50 ? 3 : 90;
  for (std::size_t i = 50; i < 100; ++i) block.quality(0)[i] = Quality(Verdict::bad);
  Chunk chunk;
  chunk.count = {100};
  sink.append(0, chunk, block, CalibrationSet(1));
  sink.close({});
  const std::string command =
      fmt::format("cd {} && /usr/bin/python3 read.py > out 2>&1", directory.path());
  CHECK(std::system(command.c_str()) == 0);  // NOLINT
  CHECK(contents(directory / "out") == "100 bar 3.0 0.099\n");
}
