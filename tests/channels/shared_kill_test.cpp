// Processes that publish and read, killed at random: whoever remains does not notice,
// and whatever is read is right.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

#include "spillway/channels/shared_stream.hpp"
#include "support.hpp"
#include "support/catch.hpp"

using namespace spillway;
using namespace std::chrono_literals;

namespace {

// What the processes tell each other, in memory they share.
struct Board {
  std::atomic<std::uint64_t> pushed{0};     // by the writer that lives
  std::atomic<std::uint64_t> checked{0};    // samples found right, by all readers together
  std::atomic<std::uint64_t> wrong{0};      // things found wrong
  std::atomic<std::uint64_t> lost{0};       // in the ring, counted by readers
  std::atomic<std::uint64_t> restarts{0};   // seen by readers
  std::atomic<std::uint64_t> read_gone{0};  // samples read of a writer that was dead
};

Board& make_board() {
  void* memory =
      ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return *new (memory) Board;
}

StreamInfo info_for(const std::string& name) {
  StreamInfo info = test::make_info({SampleType::int16, SampleType::uint64}, 500);
  info.publish_as = name;
  return info;
}

// Single frames, blocks, gaps and marks without end.
[[noreturn]] void write_forever(const std::string& name, Board& board, std::uint64_t seed) {
  try {
    Stream stream(info_for(name));
    StreamWriter writer(stream);
    test::Random random(seed);
    std::array<std::int16_t, 64> a{};
    std::array<std::uint64_t, 64> b{};
    const std::array<const void*, 2> lanes{a.data(), b.data()};
    for (;;) {
      const std::uint64_t count = 1 + test::below(random, 64);
      for (std::uint64_t i = 0; i < count; ++i) {
        a[i] = test::payload<std::int16_t>(writer.next().value + i, 0);
        b[i] = test::payload<std::uint64_t>(writer.next().value + i, 1);
      }
      writer.push_lanes(lanes, SampleCount{count});
      if (test::below(random, 50) == 0) writer.gap(SampleCount{1 + test::below(random, 9)});
      board.pushed.store(writer.pushed(), std::memory_order_relaxed);
    }
  } catch (const Error&) {
    ::_exit(3);  // the name was taken by somebody alive
  }
}

void check(const Chunk& chunk, const Block& block, bool first, SampleNumber expected,
           Board& board) {
  bool good = chunk.from.value + chunk.lost.value + chunk.missing.value == chunk.first.value;
  good = good && (first || chunk.from == expected);
  for (std::uint64_t i = 0; i < chunk.count.value; ++i) {
    const std::uint64_t number = chunk.first.value + i;
    good = good && block.values<std::int16_t>(0)[i] == test::payload<std::int16_t>(number, 0);
    good = good && block.values<std::uint64_t>(1)[i] == test::payload<std::uint64_t>(number, 1);
  }
  if (!good) board.wrong.fetch_add(1);
  board.checked.fetch_add(chunk.count.value, std::memory_order_relaxed);
  board.lost.fetch_add(chunk.lost.value, std::memory_order_relaxed);
}

// Attaches, reads until the name stands for another, and attaches anew.
[[noreturn]] void read_forever(const std::string& name, Board& board) {
  for (;;) {
    try {
      const AttachedStream remote(name);
      StreamReader reader(remote.stream());
      Block block(remote.stream().info(), 100);
      bool first = true;
      SampleNumber expected;
      for (;;) {
        const bool gone = remote.publisher() == Publisher::gone;
        const bool over = remote.is_replaced();
        Chunk chunk;
        do {
          chunk = reader.read(block);
          check(chunk, std::as_const(block), first, expected, board);
          expected = reader.next();
          first = false;
          if (gone) board.read_gone.fetch_add(chunk.count.value, std::memory_order_relaxed);
        } while (gone && chunk.stop != Stop::drained);
        const Accounting books = reader.accounting();
        if (books.produced.value !=
            books.delivered.value + books.lost.value + books.missing.value + books.pending.value)
          board.wrong.fetch_add(1);
        if (over) break;
      }
      board.restarts.fetch_add(1);
    } catch (const Error&) {
      std::this_thread::sleep_for(100us);  // nothing published at this moment
    }
  }
}

template <class F>
pid_t start(F&& body) {
  const pid_t child = ::fork();
  if (child == 0) std::forward<F>(body)();
  return child;
}

void kill_and_wait(pid_t child) {
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
}

template <class Condition>
bool within_seconds(int seconds, Condition&& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(100us);
  }
  return true;
}

}  // namespace

TEST_CASE("readers and writers killed 200 times at random leave right samples and living others") {
  const std::string name = "kill-" + std::to_string(::getpid());
  Board& board = make_board();
  test::Random random(2026);
  const int kills = std::getenv("SPILLWAY_TEST_FULL") != nullptr ? 2000 : 200;
  std::uint64_t seed = 1;
  const auto new_writer = [&] { return start([&, s = seed++] { write_forever(name, board, s); }); };
  const auto new_reader = [&] { return start([&] { read_forever(name, board); }); };
  pid_t writer = new_writer();
  std::array<pid_t, 3> readers{new_reader(), new_reader(), new_reader()};
  int writers_killed = 0;
  int readers_killed = 0;
  int stuck = 0;
  for (int kill = 0; kill < kills; ++kill) {
    // At any instruction: after a time that has nothing to do with what they do.
    std::this_thread::sleep_for(std::chrono::microseconds(test::below(random, 6000)));
    if (test::below(random, 3) == 0) {
      kill_and_wait(writer);
      board.pushed.store(0);
      ++writers_killed;
      writer = new_writer();
      // The stale segment is replaced, whatever state it was left in.
      if (!within_seconds(20, [&] { return board.pushed.load() > 0; })) ++stuck;
    } else {
      pid_t& reader = readers[test::below(random, readers.size())];
      kill_and_wait(reader);
      ++readers_killed;
      const std::uint64_t before = board.pushed.load();
      // The writer goes on.
      if (!within_seconds(20, [&] { return board.pushed.load() > before; })) ++stuck;
      reader = new_reader();
    }
  }
  const std::uint64_t checked = board.checked.load();
  const bool readers_live = within_seconds(20, [&] { return board.checked.load() > checked; });
  for (const pid_t reader : readers) kill_and_wait(reader);
  kill_and_wait(writer);
  std::filesystem::remove("/dev/shm/spillway." + name);

  CAPTURE(writers_killed, readers_killed, board.checked.load(), board.lost.load(),
          board.restarts.load(), board.read_gone.load());
  CHECK(stuck == 0);
  CHECK(readers_live);
  CHECK(board.wrong.load() == 0);
  // It reached what it is about.
  CHECK(writers_killed > kills / 5);
  CHECK(readers_killed > kills / 2);
  CHECK(board.checked.load() > 100'000);
  CHECK(board.lost.load() > 0);
  CHECK(board.restarts.load() > 0);
  CHECK(board.read_gone.load() > 0);
}
