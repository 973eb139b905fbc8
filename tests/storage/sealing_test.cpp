// Recordings that are looked at while they grow and are sealed: opening them may fail in HDF5.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "faulty_files.hpp"
#include "random_recording.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/recording_reader.hpp"
#include "spillway/storage/verify.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace spillway::test;

using Format = SinkChoice::Format;

namespace {

// A recording that another process makes, step by step, as it is told to.
struct Steps {
  std::atomic<std::uint64_t> wanted;
  std::atomic<std::uint64_t> appended;     // rows, before the append
  std::atomic<std::uint64_t> flush_begun;  // rows, before the flush
  std::atomic<std::uint64_t> flushed;      // rows, after it
  std::atomic<std::uint64_t> done;         // steps
};

constexpr std::uint64_t all_steps = 60;

StreamInfo followed_info() {
  StreamInfo info = make_info({SampleType::int64, SampleType::float32}, 1 << 16, Rate(500, 1));
  info.channels[1].calibration = Linear{2.0, 1.0};
  return info;
}

// Row k holds k, from sample 100 on; what is missing is so by sevens. Empty, or what is wrong with
// what can be seen.
std::string wrong_in_followed(const Recording& seen, std::uint64_t from_row) {
  const RecordedStream& stream = seen.streams().at(0);
  std::uint64_t next = 100, lost = 0;
  RecordingReader reader(seen, 0);
  Block block(stream.info, 777);
  std::uint64_t row = 0;
  if (from_row > 0) {
    row = from_row - 1;
    reader.seek(stream.number(row));
    next = reader.next().value;
  }
  for (;;) {
    const Chunk chunk = reader.read(block);
    if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0) break;
    if (chunk.from.value != next)
      return fmt::format("from {} instead of {}", chunk.from.value, next);
    if (chunk.missing.value % 7 != 0) return fmt::format("{} missing", chunk.missing.value);
    lost += chunk.lost.value;
    for (std::uint64_t i = 0; i < chunk.count.value; ++i, ++row)
      if (block.values<std::int64_t>(0)[i] != static_cast<std::int64_t>(row) ||
          block.values<float>(1)[i] != static_cast<float>(row) || !block.quality(0)[i].is_good())
        return fmt::format("row {} is {}", row, block.values<std::int64_t>(0)[i]);
    next = chunk.first.value + chunk.count.value;
  }
  if (lost > 0) return fmt::format("{} lost", lost);
  if (row != stream.rows) return fmt::format("{} rows of {}", row, stream.rows);
  const RecordedCounts& counts = stream.counts;
  if (counts.recorded != stream.rows || counts.lost > 0 ||
      counts.produced != counts.recorded + counts.missing)
    return fmt::format("counts {} {} {}", counts.produced, counts.recorded, counts.missing);
  return {};
}

// Rows are numbered; each third step leaves out 7 samples behind it.
void record_steps(Sink& sink, Steps& steps, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const StreamInfo info = followed_info();
  sink.begin(recording_of({info}, "followed"));
  sink.flush();
  Block block(info, 1500);
  std::uint64_t row = 0, number = 100;
  for (std::uint64_t step = 0; step < all_steps; ++step) {
    steps.done = step;
    while (steps.wanted <= step) std::this_thread::yield();
    const std::uint64_t count = random() % 4 == 0 ? random() % 1500 : random() % 90;
    for (std::uint64_t i = 0; i < count; ++i) {
      block.values<std::int64_t>(0)[i] = static_cast<std::int64_t>(row + i);
      block.values<float>(1)[i] = static_cast<float>(row + i);
    }
    steps.appended += count;
    if (count > 0) {
      Chunk chunk;
      chunk.from = chunk.first = {number};
      chunk.count = {count};
      chunk.time = info.rate->duration(number);
      sink.append(0, chunk, block, {{}, info.channels[1].calibration});
      row += count;
      number += count;
    }
    if (step % 3 == 2) {
      sink.append_gap(0, {number, 7, 0, 7, Absence::missing});
      number += 7;
    }
    sink.append_event({static_cast<std::int64_t>(step), "step", "stream", step, 0, "a step"});
    if (random() % 3 != 0) {
      steps.flush_begun = row;
      sink.flush();
      steps.flushed = row;
    }
  }
  steps.flush_begun = row;
  sink.close({});
  steps.flushed = row;
  steps.done = all_steps;
}

// Follows it to its seal.
void follow(const std::string& path, Steps& steps, const std::function<bool()>& alive) {
  while (!exists(path + ".part")) std::this_thread::yield();
  std::optional<Recording> seen;
  // Until its first flush it is none.
  while (!seen && alive()) {
    try {
      seen.emplace(Recording::open(path + ".part"));
    } catch (const Error&) {
      std::this_thread::yield();
    }
  }
  REQUIRE(seen);
  std::uint64_t rows = 0, looks = 0, news = 0;
  while (seen->path() != path) {
    const std::uint64_t least = steps.flushed;
    const bool more = seen->refresh();
    news += more ? 1 : 0;
    const RecordedStream& stream = seen->streams().at(0);
    CAPTURE(looks, stream.rows, rows, least);
    REQUIRE(stream.rows >= least);
    REQUIRE(stream.rows <=
            (seen->guard() == Recording::Guard::journal ? steps.flush_begun : steps.appended));
    REQUIRE(stream.rows >= rows);
    REQUIRE((more || stream.rows == rows || looks == 0));
    REQUIRE(wrong_in_followed(*seen, looks % 4 == 0 ? 0 : rows) == "");
    rows = stream.rows;
    ++looks;
    // Each look finds the recorder at work at its next step, or between two.
    if (looks % 2 == 0 && steps.done == steps.wanted) ++steps.wanted;
    REQUIRE((alive() || steps.done == all_steps));
  }
  CHECK(seen->path() == path);
  CHECK(seen->guard() == Recording::Guard::seal);
  CHECK(seen->status() == "complete");
  CHECK(seen->streams()[0].rows == steps.appended);
  CHECK(seen->events().size() == all_steps);
  CHECK(wrong_in_followed(*seen, 0) == "");
  CHECK_FALSE(seen->refresh());
  CHECK(news > 20);
}

}  // namespace

TEST_CASE("a recording that another process makes is followed to its seal") {
  const Format format = GENERATE(Format::hdf5, Format::csv);
  const std::uint64_t seed = new_seed();
  CAPTURE(seed, static_cast<int>(format));
  TemporaryDirectory directory;
  const std::string path = directory / "run";
  void* const memory =
      ::mmap(nullptr, sizeof(Steps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  Steps& steps = *new (memory) Steps{};
  SinkChoice choice;
  choice.format = format;
  choice.durability = seed % 2 == 0 ? Durability::process : Durability::full;
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      record_steps(*choice.make(path, system_file_calls()), steps, seed);
    } catch (const std::exception& error) {
      static_cast<void>(std::fprintf(stderr, "the recorder: %s\n", error.what()));
      ::_exit(1);
    }
    ::_exit(0);
  }
  struct Reaper {
    pid_t child;
    bool alive = true;
    int status = 0;
    bool is_alive() {
      if (alive) alive = ::waitpid(child, &status, WNOHANG) == 0;
      return alive;
    }
    ~Reaper() {
      if (!alive) return;
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
    }
  } reaper{child};
  follow(path, steps, [&] { return reaper.is_alive(); });
  while (reaper.is_alive()) std::this_thread::yield();
  CHECK(reaper.status == 0);
  CHECK(verify(path).findings.empty());
  ::munmap(memory, sizeof(Steps));
}

TEST_CASE("a recording that another thread makes is followed to its seal, and stays whole") {
  const Format format = GENERATE(Format::hdf5, Format::csv);
  const std::uint64_t seed = new_seed();
  CAPTURE(seed, static_cast<int>(format));
  TemporaryDirectory directory;
  const std::string path = directory / "run";
  Steps steps{};
  SinkChoice choice;
  choice.format = format;
  choice.durability = Durability::process;
  std::atomic<bool> alive = true;
  std::string failed;
  {
    struct Recorder {
      Steps& steps;
      std::thread thread;
      ~Recorder() {
        steps.wanted = all_steps;
        thread.join();
      }
    } recorder{steps, std::thread([&] {
                 failed = message_of(
                     [&] { record_steps(*choice.make(path, system_file_calls()), steps, seed); });
                 alive = false;
               })};
    follow(path, steps, [&] { return alive.load(); });
  }
  CHECK(failed.empty());
  CHECK(verify(path).findings.empty());
}

TEST_CASE("whoever reads along, and locks the file, does not keep a recording from being sealed") {
  TemporaryDirectory directory;
  const std::string path = directory / "run.h5";
  const StreamInfo info = followed_info();
  Hdf5Sink sink(path, Existing::refuse);
  sink.begin(recording_of({info}));
  Block block(info, 100);
  Chunk chunk;
  chunk.count = {100};
  sink.append(0, chunk, block, CalibrationSet(2));
  sink.flush();
  Recording seen = Recording::open(path + ".part");
  CHECK(seen.streams()[0].rows == 100);
  chunk.from = chunk.first = {100};
  chunk.time = info.rate->duration(100);
  sink.append(0, chunk, block, CalibrationSet(2));
  const int fd = ::open((path + ".part").c_str(), O_RDONLY);
  REQUIRE(::flock(fd, LOCK_SH | LOCK_NB) == 0);
  CHECK(message_of([&] { sink.close({}); }).empty());
  CHECK(seen.streams()[0].rows == 100);
  CHECK(seen.refresh());
  CHECK(seen.path() == path);
  CHECK(seen.streams()[0].rows == 200);
  CHECK_FALSE(seen.refresh());
  ::close(fd);
  CHECK(verify(path).findings.empty());
}

namespace {

// Shared by a recorder that is being sealed and whoever looks at its recording meanwhile.
struct Sealing {
  std::atomic<bool> begun;
  std::atomic<std::uint64_t> allowed;  // file calls of the sealing
  std::atomic<std::uint64_t> made;     // and how many of them were made, or are waited with
};

// Waits before each file call until it is allowed.
class SealingFiles final : public FaultyFiles {
 public:
  explicit SealingFiles(Sealing& sealing) : sealing_(sealing) {}
  int open(const char* path, int flags, mode_t mode) noexcept override {
    wait();
    return FaultyFiles::open(path, flags, mode);
  }
  ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t at) noexcept override {
    wait();
    return FaultyFiles::pwrite(fd, from, bytes, at);
  }
  int ftruncate(int fd, off_t size) noexcept override {
    wait();
    return FaultyFiles::ftruncate(fd, size);
  }
  int rename(const char* from, const char* to, bool replace) noexcept override {
    wait();
    return FaultyFiles::rename(from, to, replace);
  }
  int unlink(const char* path) noexcept override {
    wait();
    return FaultyFiles::unlink(path);
  }

 private:
  void wait() noexcept {
    if (!sealing_.begun) return;
    ++sealing_.made;
    while (sealing_.made > sealing_.allowed) std::this_thread::yield();
  }
  Sealing& sealing_;
};

// Calls `then` before call number `at` that looks at a file.
class LookingFiles final : public FaultyFiles {
 public:
  std::uint64_t at = 0;
  std::uint64_t looks = 0;
  std::function<void()> then;
  int open(const char* path, int flags, mode_t mode) noexcept override {
    look();
    return FaultyFiles::open(path, flags, mode);
  }
  ssize_t pread(int fd, void* to, std::size_t bytes, off_t from) noexcept override {
    look();
    return FaultyFiles::pread(fd, to, bytes, from);
  }
  off_t size(int fd) noexcept override {
    look();
    return FaultyFiles::size(fd);
  }
  PathKind kind(const char* path) noexcept override {
    look();
    return FaultyFiles::kind(path);
  }

 private:
  void look() noexcept {
    if (looks++ == at && then) then();
  }
};

}  // namespace

TEST_CASE("a look at a recording sees it while it is sealed, whatever meets whatever") {
  const auto kind =
      GENERATE(values<std::pair<Format, Durability>>({{Format::hdf5, Durability::process},
                                                      {Format::hdf5, Durability::none},
                                                      {Format::csv, Durability::process}}));
  const Format format = kind.first;
  const Durability durability = kind.second;
  const std::uint64_t seed = new_seed();
  CAPTURE(seed, static_cast<int>(format), static_cast<int>(durability));
  std::mt19937_64 random(seed);
  SinkChoice choice;
  choice.format = format;
  choice.durability = durability;
  const StreamInfo info = followed_info();
  std::uint64_t most_calls = 40;
  int sealed_in_look = 0, seen_between = 0;
  // Waits are of a second.
  const int trials = durability == Durability::none ? 40 : 150;
  for (int trial = 0; trial < trials; ++trial) {
    TemporaryDirectory directory;
    const std::string path = directory / "run";
    void* const memory =
        ::mmap(nullptr, sizeof(Sealing), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    Sealing& sealing = *new (memory) Sealing{};
    std::array<int, 2> ready{};
    REQUIRE(::pipe(ready.data()) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      try {
        SealingFiles files(sealing);
        const auto sink = choice.make(path, files);
        sink->begin(recording_of({info}));
        Block block(info, 100);
        for (std::uint64_t i = 0; i < 200; ++i) {
          block.values<std::int64_t>(0)[i % 100] = static_cast<std::int64_t>(i);
          block.values<float>(1)[i % 100] = static_cast<float>(i);
          if (i % 100 != 99) continue;
          Chunk chunk;
          chunk.from = chunk.first = {i - 99 + 100};
          chunk.count = {100};
          chunk.time = info.rate->duration(i - 99 + 100);
          sink->append(0, chunk, block, CalibrationSet(2));
          if (i == 99) sink->flush();
        }
        if (::write(ready[1], "r", 1) != 1) ::_exit(2);
        while (!sealing.begun) std::this_thread::yield();
        sink->close({});
      } catch (const std::exception& error) {
        static_cast<void>(std::fprintf(stderr, "the recorder: %s\n", error.what()));
        ::_exit(1);
      }
      ::_exit(0);
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
    ::close(ready[1]);

    LookingFiles files;
    files.at = std::numeric_limits<std::uint64_t>::max();
    Recording seen = Recording::open(path + ".part", files);
    CHECK(seen.streams()[0].rows >= 100);
    bool ended = false;
    int status = 0;
    const auto seal = [&](std::uint64_t calls) {
      sealing.allowed = calls;
      sealing.begun = true;
      while (!ended && sealing.made <= calls) {
        ended = ::waitpid(child, &status, WNOHANG) == child;
        std::this_thread::yield();
      }
    };
    const std::uint64_t calls = trial % 3 == 0 ? 1'000'000 : random() % most_calls;
    files.looks = 0;
    files.at = random() % 40;
    files.then = [&] { seal(calls); };
    CAPTURE(trial, calls, files.at);
    // Closed to readers in mid-seal, it can be read by its journal; without one it is waited for,
    // here in vain.
    const auto look = [&] {
      const std::string refused = message_of([&] { (void)seen.refresh(); });
      if (durability == Durability::none && !ended && !refused.empty()) {
        CHECK(contains(refused, "closed to readers while its recorder seals it"));
      } else {
        REQUIRE(refused == "");
        CHECK(wrong_in_followed(seen, 0) == "");
      }
    };
    look();
    if (files.looks > files.at) {
      sealed_in_look += ended ? 1 : 0;
      seen_between += ended ? 0 : 1;
    } else {
      seal(calls);
    }
    if (ended) most_calls = std::max<std::uint64_t>(sealing.made, 1);
    files.at = std::numeric_limits<std::uint64_t>::max();
    look();
    if (!ended) seal(1'000'000);
    REQUIRE(message_of([&] { (void)seen.refresh(); }) == "");
    CHECK(seen.path() == path);
    CHECK(seen.guard() == Recording::Guard::seal);
    CHECK(seen.streams()[0].rows == 200);
    CHECK(wrong_in_followed(seen, 0) == "");
    CHECK(status == 0);
    ::munmap(memory, sizeof(Sealing));
  }
  CHECK(sealed_in_look > trials / 20);
  CHECK(seen_between > trials / 20);
}
