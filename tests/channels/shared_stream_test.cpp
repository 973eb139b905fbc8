#include "spillway/channels/shared_stream.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <thread>

#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using test::contains;
using test::make_info;
using test::message_of;
using test::payload;

namespace {

// A name that no other test, and no other run, has.
std::string unique_name() {
  static int count = 0;
  return "test-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
}

std::filesystem::path file_of(const std::string& name) { return "/dev/shm/spillway." + name; }

StreamInfo shared_info(const std::string& name, std::uint64_t capacity = 1000,
                       std::vector<SampleType> types = {SampleType::int32}) {
  StreamInfo info = make_info(std::move(types), capacity);
  info.publish_as = name;
  return info;
}

bool is_listed(const std::string& name) {
  const auto names = published_streams();
  return std::ranges::find(names, name) != names.end();
}

// What tests leave behind when a process of theirs is killed.
struct Cleaned {
  std::string name = unique_name();
  ~Cleaned() {
    std::error_code ignored;
    std::filesystem::remove(file_of(name), ignored);
  }
};

// Runs `body` in a process of its own, which ends without destructors or exit handlers.
pid_t fork_and(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    int status = 99;
    try {
      status = body();
    } catch (...) {
    }
    ::_exit(status);
  }
  return child;
}
int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// Two processes that take turns: one byte through a pipe.
class Signal {
 public:
  Signal() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0); }
  ~Signal() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  void give() const {
    const char byte = 1;
    (void)!::write(ends_[1], &byte, 1);
  }
  void take() const {
    char byte = 0;
    (void)!::read(ends_[0], &byte, 1);
  }

 private:
  std::array<int, 2> ends_{};
};

}  // namespace

TEST_CASE("another process reads what is published, with numbers, quality, gaps and calibrations") {
  const Cleaned shared;
  Signal attached;
  Signal go;
  const pid_t child = fork_and([&] {
    StreamInfo info = shared_info(shared.name, 1000, {SampleType::int32, SampleType::float64});
    info.origin = {Origin::Kind::utc, "2026-05-04T10:44:18"};
    info.channels[0].description = "strain of the \"bridge\"";
    info.channels[0].range = Range{-10.0, 10.0};
    info.channels[1].range = Range{0.0, std::numeric_limits<double>::infinity()};
    info.channels[0].calibration = Linear{.slope = 0.5, .offset = -1.0};
    Stream stream(info);
    StreamWriter writer(stream);
    const std::array<std::int32_t, 4> a{1, 2, 3, 4};
    const std::array<double, 4> b{0.1, 0.2, 0.3, 0.4};
    const std::array<Quality, 4> quality{Quality(Verdict::suspect, Quality::implausible)};
    const std::array<const void*, 2> lanes{a.data(), b.data()};
    const std::array<const Quality*, 2> qualities{quality.data(), nullptr};
    writer.stamp({Time(5'000'000), 77});
    writer.push_lanes(lanes, SampleCount{4}, qualities);
    attached.give();
    go.take();
    writer.gap(SampleCount{3});
    writer.calibrate(0, Linear{.slope = 2.0, .offset = 0.0});
    writer.push_lanes(lanes, SampleCount{4});
    attached.give();
    go.take();
    ::_exit(0);  // without a destructor: as if it were killed
    return 0;
  });
  attached.take();
  const AttachedStream remote(shared.name);
  CHECK(remote.process() == child);
  CHECK(remote.publisher() == Publisher::alive);
  CHECK_FALSE(remote.is_replaced());
  const StreamInfo& info = remote.stream().info();
  CHECK(info.name == "stream");
  CHECK(info.rate == Rate(1000, 1));
  CHECK(info.origin.text == "2026-05-04T10:44:18");
  REQUIRE(info.channels.size() == 2);
  CHECK(info.channels[0].description == "strain of the \"bridge\"");
  CHECK(info.channels[0].range == Range{-10.0, 10.0});
  CHECK(info.channels[1].range == Range{0.0, std::numeric_limits<double>::infinity()});
  CHECK(info.channels[1].type == SampleType::float64);
  CHECK(remote.stream().capacity().value == 1000);

  StreamReader reader(remote.stream());
  Block block(info, 100);
  Chunk chunk = reader.read(block);
  CHECK(chunk.count.value == 4);
  CHECK(chunk.time == Time(5'000'000));
  CHECK(block.values<std::int32_t>(0)[3] == 4);
  CHECK(block.values<double>(1)[2] == 0.3);
  CHECK(block.quality(0)[0] == Quality(Verdict::suspect, Quality::implausible));
  CHECK(block.quality(0)[1].is_good());
  CHECK(reader.calibrations(chunk.calibrations)[0] == Linear{.slope = 0.5, .offset = -1.0});
  std::array<Anchor, 2> anchors{};
  REQUIRE(reader.read_anchors(anchors) == 1);
  CHECK(anchors[0].ticks == 77);

  go.give();
  attached.take();
  chunk = reader.read(block);
  CHECK(chunk.missing.value == 3);
  CHECK(chunk.first == SampleNumber{7});
  CHECK(chunk.count.value == 4);
  // Added after this process attached.
  CHECK(reader.calibrations(chunk.calibrations)[0] == Linear{.slope = 2.0, .offset = 0.0});
  CHECK(reader.accounting() == Accounting{{11}, {8}, {0}, {3}, {0}});

  go.give();
  CHECK(status_of(child) == 0);
  CHECK(remote.publisher() == Publisher::gone);
  // What it had published is still there, for those who attached and those who come now.
  reader.seek_oldest();
  CHECK(reader.read(block).count.value == 4);
  CHECK(AttachedStream(shared.name).publisher() == Publisher::gone);
}

TEST_CASE("a name is listed while its stream lives, and given up with it") {
  const Cleaned shared;
  CHECK_FALSE(is_listed(shared.name));
  auto stream = std::make_unique<Stream>(shared_info(shared.name));
  CHECK(is_listed(shared.name));
  const AttachedStream remote(shared.name);
  {
    Writer<std::int32_t> writer(*stream);
    writer.push(5);
  }
  CHECK(remote.publisher() == Publisher::alive);
  stream.reset();
  CHECK_FALSE(is_listed(shared.name));
  CHECK(remote.publisher() == Publisher::finished);
  CHECK(remote.is_replaced());
  Reader<std::int32_t> reader(remote.stream());
  const auto samples = reader.read();
  REQUIRE(samples.count.value == 1);
  CHECK(samples.values[0] == 5);
}

TEST_CASE("a forked child that ends in order does not end what its parent publishes") {
  const Cleaned shared;
  auto stream = std::make_unique<Stream>(shared_info(shared.name));
  const AttachedStream remote(shared.name);
  const pid_t child = fork_and([&] {
    stream.reset();
    return 0;
  });
  CHECK(status_of(child) == 0);
  CHECK(is_listed(shared.name));
  CHECK_FALSE(remote.is_replaced());
  stream.reset();
  CHECK_FALSE(is_listed(shared.name));
  CHECK(remote.publisher() == Publisher::finished);
}

TEST_CASE("files whose names no stream can have are not listed") {
  const std::string name = unique_name() + "\n\x1b[31m";
  std::ofstream(file_of(name)) << "x";
  std::ofstream(file_of("")) << "x";
  const bool listed = is_listed(name) || is_listed("");
  std::filesystem::remove(file_of(name));
  std::filesystem::remove(file_of(""));
  CHECK_FALSE(listed);
}

TEST_CASE("a name belongs to one living process, and that of a dead one is taken over") {
  const Cleaned shared;
  Signal published;
  Signal never;
  const pid_t child = fork_and([&] {
    Stream stream(shared_info(shared.name));
    Writer<std::int32_t> writer(stream);
    writer.push(1);
    published.give();
    never.take();
    return 0;
  });
  published.take();
  const AttachedStream old(shared.name);
  CHECK(contains(message_of([&] { Stream second(shared_info(shared.name)); }),
                 "process " + std::to_string(child) + " publishes under this name"));
  CHECK(old.publisher() == Publisher::alive);
  ::kill(child, SIGKILL);
  CHECK(status_of(child) == -SIGKILL);
  CHECK(old.publisher() == Publisher::gone);
  CHECK_FALSE(old.is_replaced());

  Stream stream(shared_info(shared.name));
  CHECK(old.is_replaced());
  CHECK(old.publisher() == Publisher::gone);
  Writer<std::int32_t> writer(stream);
  writer.push(2);
  const AttachedStream current(shared.name);
  CHECK(current.publisher() == Publisher::alive);
  CHECK(current.process() == ::getpid());
  Reader<std::int32_t> from_old(old.stream());
  Reader<std::int32_t> from_current(current.stream());
  CHECK(from_old.read().values[0] == 1);
  CHECK(from_current.read().values[0] == 2);
}

TEST_CASE("of processes that publish at once under one name, exactly one succeeds") {
  for (int round = 0; round < 20; ++round) {
    const Cleaned shared;
    // A stale one to be replaced, in every other round.
    if (round % 2 == 0)
      REQUIRE(status_of(fork_and([&] {
                const auto* stream = new Stream(shared_info(shared.name));
                return stream == nullptr;
              })) == 0);
    Signal start;
    Signal end;
    std::vector<pid_t> children;
    constexpr int rivals = 4;
    Signal done;
    for (int i = 0; i < rivals; ++i)
      children.push_back(fork_and([&] {
        start.take();
        bool won = false;
        std::unique_ptr<Stream> stream;
        try {
          stream = std::make_unique<Stream>(shared_info(shared.name));
          won = true;
        } catch (const Error&) {
        }
        done.give();
        end.take();
        return won ? 1 : 0;
      }));
    for (int i = 0; i < rivals; ++i) start.give();
    for (int i = 0; i < rivals; ++i) done.take();
    CHECK(AttachedStream(shared.name).publisher() == Publisher::alive);
    for (int i = 0; i < rivals; ++i) end.give();
    int won = 0;
    for (const pid_t child : children) won += status_of(child);
    CHECK(won == 1);
  }
}

TEST_CASE("a writer does not notice a remote reader that never reads, and its loss is exact") {
  const Cleaned shared;
  Stream stream(shared_info(shared.name, 100));
  Writer<std::int32_t> writer(stream);
  const AttachedStream remote(shared.name);
  StreamReader reader(remote.stream());
  Block block(remote.stream().info(), 64);
  for (std::int32_t i = 0; i < 100'000; ++i) writer.push(i);
  std::uint64_t delivered = 0;
  for (;;) {
    const Chunk chunk = reader.read(block);
    if (chunk.count.value == 0) break;
    for (std::uint64_t i = 0; i < chunk.count.value; ++i)
      REQUIRE(block.values<std::int32_t>(0)[i] == static_cast<std::int32_t>(chunk.first.value + i));
    delivered += chunk.count.value;
  }
  CHECK(delivered >= 100);
  CHECK(reader.accounting() == Accounting{{100'000}, {delivered}, {100'000 - delivered}, {0}, {0}});
}

TEST_CASE("readers can't write what they map") {
  const Cleaned shared;
  const Stream stream(shared_info(shared.name));
  std::ifstream maps("/proc/self/maps");
  const AttachedStream remote(shared.name);
  int writable = 0;
  int readable = 0;
  for (std::string line; std::getline(maps, line);)
    if (contains(line, "spillway." + shared.name) || contains(line, "/dev/shm/#"))
      ++(contains(line, "rw-s") ? writable : readable);
  CHECK(writable == 1);  // the publisher's own
  CHECK(readable == 1);
}

TEST_CASE("what can't be published is refused, and nothing is left behind") {
  // Others come and go there.
  const auto count = [] {
    const std::filesystem::directory_iterator files("/dev/shm");
    const std::string own = "test-" + std::to_string(::getpid()) + "-";
    return std::count_if(begin(files), end(files), [&](const auto& file) {
      return contains(file.path().filename().string(), own);
    });
  };
  for (const std::string& bad :
       {std::string("a/b"), std::string(201, 'x'), std::string("a\nb"), std::string("..")})
    CHECK(contains(message_of([&] { Stream stream(shared_info(bad)); }),
                   "a name has 1 to 200 bytes, no '/'"));
  CHECK(contains(message_of([&] { Stream s(shared_info(unique_name(), std::uint64_t{1} << 40)); }),
                 "bytes of shared memory; /dev/shm has"));
  StreamInfo many = shared_info(unique_name(), std::uint64_t{1} << 40);
  for (int i = 0; i < 2000; ++i) {
    many.channels.push_back(many.channels[0]);
    many.channels.back().name += std::to_string(i);
  }
  CHECK(contains(message_of([&] { Stream stream(many); }), "more memory than 2^50 bytes"));
  CHECK(count() == 0);
}

TEST_CASE("more calibrations than shared memory has room for are refused, none is lost") {
  const Cleaned shared;
  Stream stream(shared_info(shared.name));
  const AttachedStream remote(shared.name);
  std::uint32_t added = 0;
  std::string message;
  while (message.empty())
    message = message_of([&] {
      const CalibrationSetId id =
          stream.add_calibrations({Linear{.slope = 1.0 + added, .offset = 0.0}});
      CHECK(id.value == added + 1);
      ++added;
    });
  CHECK(contains(message, "no room for more than " + std::to_string(added + 1)));
  CHECK(added > 500);
  for (std::uint32_t id = 0; id <= added; ++id)
    REQUIRE(remote.stream().calibrations({id}) == stream.calibrations({id}));
}

TEST_CASE("a damaged count of the log of calibrations does not lead the publisher astray") {
  const Cleaned shared;
  Stream stream(shared_info(shared.name));
  const AttachedStream remote(shared.name);
  const std::uint64_t damaged = std::uint64_t{1} << 63;
  std::fstream file(file_of(shared.name), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(512).write(reinterpret_cast<const char*>(&damaged), sizeof damaged).flush();
  REQUIRE(file);
  const CalibrationSetId id = stream.add_calibrations({Linear{.slope = 2.0, .offset = 0.0}});
  CHECK(remote.stream().calibrations(id) == stream.calibrations(id));
}

TEST_CASE("an entry of the log of calibrations that is longer than the log is not read") {
  const Cleaned shared;
  Stream stream(shared_info(shared.name));
  const CalibrationSetId id = stream.add_calibrations({Linear{.slope = 2.0, .offset = 0.0}});
  const std::uint64_t used = std::uint64_t{1} << 63;
  const std::uint64_t length = std::uint64_t{1} << 30;
  std::fstream file(file_of(shared.name), std::ios::in | std::ios::out | std::ios::binary);
  std::uint64_t log_at = 0;  // as the header says
  file.seekg(40).read(reinterpret_cast<char*>(&log_at), sizeof log_at);
  REQUIRE((log_at > 0 && log_at % 4096 == 0));
  file.seekp(static_cast<std::streamoff>(log_at));
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  SECTION("with the count as it was") {}
  SECTION("with a damaged count") {
    file.seekp(512).write(reinterpret_cast<const char*>(&used), sizeof used);
  }
  file.flush();
  REQUIRE(file);
  const AttachedStream remote(shared.name);
  double value = 1.0;
  remote.stream().calibrations(id)[0].apply({&value, 1});
  CHECK(std::isnan(value));
}

TEST_CASE("a calibration that does not exist gives NaN, here and there") {
  const Cleaned shared;
  const Stream stream(shared_info(shared.name));
  const AttachedStream remote(shared.name);
  for (const Stream* s : {&stream, &remote.stream()})
    for (const std::uint32_t id : {1U, 77U, 0xFFFF'FFFEU, 0xFFFF'FFFFU}) {
      const CalibrationSet& set = s->calibrations({id});
      REQUIRE(set.size() == 1);
      std::array<double, 1> value{3.0};
      set[0].apply(value);
      CHECK(std::isnan(value[0]));
    }
}

TEST_CASE("what is no published stream is refused with the reason") {
  const Cleaned shared;
  const auto message = [&] { return message_of([&] { AttachedStream attached(shared.name); }); };
  CHECK(contains(message(), "no stream is published as '" + shared.name + "'"));
  CHECK(contains(message_of([] { AttachedStream attached("a/b"); }), "no '/'"));
  const auto file = file_of(shared.name);
  std::ofstream(file) << "";
  CHECK(contains(message(), "is not a published stream"));
  std::ofstream(file) << std::string(5000, 'x');
  CHECK(contains(message(), "is not a published stream"));
  std::filesystem::remove(file);
  REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  CHECK(contains(message(), "is not a published stream"));
  std::filesystem::remove(file);
  std::filesystem::create_symlink("/etc/passwd", file);
  CHECK(contains(message(), "can't be opened"));
  std::filesystem::remove(file);

  const auto contents = [&] {
    const Stream stream(shared_info(shared.name));
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }();
  const auto refused_with = [&](const std::string& bytes) {
    std::ofstream(file, std::ios::binary) << bytes;
    return message();
  };
  CHECK(refused_with(contents) == "");
  CHECK(contains(refused_with(contents.substr(0, contents.size() / 2)), "truncated or damaged"));
  CHECK(contains(refused_with(contents + "x"), "truncated or damaged"));
  // The right size, but nothing behind the middle: pages that may not be there to be read.
  std::ofstream(file, std::ios::binary) << contents.substr(0, contents.size() / 2);
  std::filesystem::resize_file(file, contents.size());
  CHECK(contains(message(), "has holes"));
  std::string other_version = contents;
  other_version[8] = 7;
  CHECK(contains(refused_with(other_version), "is of version 7; this program reads version 1"));
  std::string bad_json = contents;
  bad_json[1024] = '!';
  CHECK(contains(refused_with(bad_json), "its description is damaged"));
  std::string other_ring = contents;
  const auto at = other_ring.find("\"capacity\":1000");
  REQUIRE(at != std::string::npos);
  other_ring.replace(at, 15, "\"capacity\":9000");
  CHECK(contains(refused_with(other_ring), "is not that of its description"));
}

TEST_CASE("a file that may not be read says so") {
  const Cleaned shared;
  const Stream stream(shared_info(shared.name));
  REQUIRE(::chmod(file_of(shared.name).c_str(), 0) == 0);
  // Root may read everything: as somebody else then.
  const pid_t child = fork_and([&] {
    if (::getuid() == 0 && ::setuid(65534) != 0) return 2;
    const std::string here = message_of([&] { AttachedStream attached(shared.name); });
    const std::string publish = message_of([&] { Stream second(shared_info(shared.name)); });
    return contains(here, "can't be opened: Permission denied") &&
                   contains(publish, "exists: Permission denied")
               ? 0
               : 1;
  });
  CHECK(status_of(child) == 0);
}

namespace {

// Everything a reader can do with a stream, whatever stands in it.
void exercise(const Stream& stream, test::Random& random) {
  StreamReader reader(stream);
  Block block(stream.info(), 1 + test::below(random, 64));
  std::array<Anchor, 8> anchors{};
  for (int i = 0; i < 12; ++i) {
    const Chunk chunk = reader.read(block);
    REQUIRE(chunk.count.value <= block.frames());
    std::array<double, 2> values{1.0, 2.0};
    for (const Calibration& calibration : reader.calibrations(chunk.calibrations))
      calibration.apply(values);
    switch (test::below(random, 7)) {
      case 0: (void)reader.accounting(); break;
      case 1: (void)reader.read_anchors(anchors); break;
      case 2: reader.seek_latest(SampleCount{test::below(random, 100)}); break;
      case 3: reader.seek_oldest(); break;
      case 4: (void)reader.seek(SampleNumber{random() >> test::below(random, 64)}); break;
      case 5:
        (void)reader.seek(Time(static_cast<std::int64_t>(random() >> test::below(random, 64))));
        break;
      default: (void)reader.pending();
    }
  }
}

}  // namespace

TEST_CASE("damaged contents are refused or read, but nothing outside of the segment is touched") {
  const Cleaned shared;
  const auto file = file_of(shared.name);
  const bool full = std::getenv("SPILLWAY_TEST_FULL") != nullptr;
  test::Random random(31);
  int attached = 0;
  int refused = 0;
  for (const bool regular : {true, false}) {
    const auto contents = [&] {
      StreamInfo info = shared_info(shared.name, 60, {SampleType::int16, SampleType::float64});
      info.mark_capacity = SampleCount{8};
      if (!regular) info.rate.reset();
      Stream stream(info);
      StreamWriter writer(stream);
      const std::array<std::int16_t, 8> a{};
      const std::array<double, 8> b{};
      const std::array<const void*, 2> lanes{a.data(), b.data()};
      std::vector<Time> times;
      for (int i = 0; i < 40; ++i) {
        times.clear();
        for (int k = 0; k < 8; ++k) times.emplace_back(1000 * (8 * i + k));
        if (regular) times.clear();
        writer.push_lanes(lanes, SampleCount{8}, {}, times);
        if (i % 3 == 0) writer.gap(SampleCount{2});
        if (i % 5 == 0) writer.stamp({Time(i * 8'000'000)});
        if (i % 7 == 0) writer.calibrate(0, Linear{.slope = 1.0 + i, .offset = 0.0});
      }
      std::ifstream in(file, std::ios::binary);
      return std::string(std::istreambuf_iterator<char>(in), {});
    }();
    // Where what matters stands: the header, the indices, the marks; or anywhere.
    std::uint64_t ring_at = 0;
    std::memcpy(&ring_at, contents.data() + 56, sizeof ring_at);
    for (int round = 0; round < (full ? 20'000 : 1000); ++round) {
      std::string damaged = contents;
      const std::uint64_t hits = 1 + test::below(random, 6);
      for (std::uint64_t hit = 0; hit < hits; ++hit) {
        const std::uint64_t kind = test::below(random, 8);
        const std::uint64_t word = kind == 0   ? test::below(random, 16)
                                   : kind == 1 ? 64 + test::below(random, 2)
                                   : kind <= 3 ? ring_at / 8 + test::below(random, 128)
                                   : kind <= 5 ? ring_at / 8 + test::below(random, 512)
                                               : test::below(random, damaged.size() / 8);
        const std::array<std::uint64_t, 8> nasty{0,
                                                 1,
                                                 ~std::uint64_t{0},
                                                 std::uint64_t{1} << 63,
                                                 random(),
                                                 random() >> 40,
                                                 4096,
                                                 std::uint64_t{1} << 40};
        const std::uint64_t value = nasty[test::below(random, nasty.size())];
        std::memcpy(damaged.data() + 8 * word, &value, sizeof value);
      }
      if (test::below(random, 20) == 0) damaged.resize(test::below(random, damaged.size()));
      std::ofstream(file, std::ios::binary) << damaged;
      const std::string message = message_of([&] {
        const AttachedStream remote(shared.name);
        ++attached;
        exercise(remote.stream(), random);
      });
      refused += message.empty() ? 0 : 1;
      CHECK(message.find('\n') == std::string::npos);
    }
  }
  // Both happened, often: what only ever refuses shows nothing.
  CHECK(attached > 500);
  CHECK(refused > 50);
}

TEST_CASE("contents that change while they are read do not lead outside of the segment") {
  const Cleaned shared;
  const Stream stream(shared_info(shared.name, 60));
  const AttachedStream remote(shared.name);
  // Another process, so that its stores are no data race with the reads of this one.
  const pid_t child = fork_and([&]() -> int {
    const int fd = ::open(file_of(shared.name).c_str(), O_RDWR);
    struct stat status {};
    ::fstat(fd, &status);
    const auto size = static_cast<std::size_t>(status.st_size);
    auto* words = static_cast<std::uint64_t*>(
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    test::Random random(5);
    // From the calibrations on: the header and the description were copied when attaching.
    for (;;) {
      std::uint64_t* word = words + 512 + random() % (size / 8 - 512);
      *word = random() >> (random() % 64);
      words[64] = random() >> (random() % 64);
    }
  });
  test::Random random(6);
  for (int i = 0; i < 2000; ++i) exercise(remote.stream(), random);
  ::kill(child, SIGKILL);
  CHECK(status_of(child) == -SIGKILL);
}
