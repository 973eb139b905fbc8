#include "spillway/channels/realtime_check.hpp"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace spillway;
using namespace std::chrono_literals;

namespace {

// The program's own pages come in and stay, for all tests in it: a kernel that is short of memory
// takes back what is not used for a while, and the fault would be held against a loop. Memory
// that is allocated from here on is not locked, so that first touches of it are found.
[[maybe_unused]] const bool pages_are_locked = ::mlockall(MCL_CURRENT) == 0;

// Keeps the compiler from leaving out what has no effect.
template <class T>
void keep(T* pointer) {
  asm volatile("" : : "r"(pointer) : "memory");
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}

// Page faults aside: what is found may bring some.
std::string found(const std::function<void()>& loop) {
  RealtimeFindings findings = watch_realtime(loop);
  CHECK_FALSE(findings.clean());
  findings.minor_faults = findings.major_faults = 0;
  return describe(findings);
}

long raw_getpid() {
#ifdef __x86_64__
  long result = SYS_getpid;
  asm volatile("syscall" : "+a"(result) : : "rcx", "r11", "memory");
  return result;
#else
  register long number asm("x8") = SYS_getpid;
  register long result asm("x0") = 0;
  asm volatile("svc 0" : "+r"(result) : "r"(number) : "memory");
  return result;
#endif
}

}  // namespace

namespace spillway::test {
// With external linkage, so that it is known by name.
__attribute__((noinline)) void allocate_on_behalf_of_the_test() {
  auto* volatile memory = new char[40];
  delete[] memory;
}
}  // namespace spillway::test

TEST_CASE("a loop that does none of it is clean") {
  std::array<int, 100> numbers{};
  const RealtimeFindings findings = watch_realtime([&] {
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i);
    keep(numbers.data());
  });
  CHECK(describe(findings) == "clean");
  CHECK(findings.clean());
}

TEST_CASE("every way to allocate is found and named") {
  struct alignas(256) Aligned {
    char bytes[256];
  };
  void* memory = nullptr;
  const auto release = [&] { std::free(std::exchange(memory, nullptr)); };

  CHECK(found([&] { memory = std::malloc(64); }) == "1 allocation (malloc of 64 bytes)");
  CHECK(found([&] { memory = std::realloc(memory, 6400); }) ==
        "1 allocation (realloc of 6400 bytes)");
  CHECK(found(release) == "1 deallocation (free)");
  CHECK(found([&] { memory = std::calloc(3, 50); }) == "1 allocation (calloc of 150 bytes)");
  release();
  CHECK(found([&] { memory = std::aligned_alloc(64, 128); }) ==
        "1 allocation (aligned_alloc of 128 bytes)");
  CHECK(reinterpret_cast<std::uintptr_t>(memory) % 64 == 0);
  release();
  CHECK(found([&] { (void)!posix_memalign(&memory, 4096, 100); }) ==
        "1 allocation (posix_memalign of 100 bytes)");
  CHECK(reinterpret_cast<std::uintptr_t>(memory) % 4096 == 0);
  release();

  int* volatile number = nullptr;
  CHECK(found([&] { number = new int(1); }) == "1 allocation (malloc of 4 bytes)");
  CHECK(found([&] { delete number; }) == "1 deallocation (free)");
  CHECK(found([&] { number = new (std::nothrow) int[20]; }) == "1 allocation (malloc of 80 bytes)");
  CHECK(found([&] { delete[] number; }) == "1 deallocation (free)");
  Aligned* volatile aligned = nullptr;
  CHECK(found([&] { aligned = new Aligned; }) == "1 allocation (aligned_alloc of 256 bytes)");
  CHECK(found([&] { delete aligned; }) == "1 deallocation (free)");

  // In a shared library, and in the C library itself.
  const std::string text(100, 'x');
  std::string copy;
  CHECK(found([&] { copy = text; }) == "1 allocation (malloc of 101 bytes)");
  CHECK(copy == text);
  CHECK(found([&] { memory = ::strdup("1234"); }) == "1 allocation (malloc of 5 bytes)");
  release();
  CHECK(watch_realtime([] { std::free(nullptr); }).clean());
}

TEST_CASE("a failed allocation fails as ever") {
  void* memory = nullptr;
  keep(&memory);
  CHECK(posix_memalign(&memory, 3, 100) == EINVAL);
  CHECK(memory == nullptr);
}

TEST_CASE("locks, waiting and waking are found and named, also when nobody is in the way") {
  std::mutex mutex;
  CHECK(found([&] { const std::scoped_lock lock(mutex); }) == "1 lock (pthread_mutex_lock)");
  CHECK(found([&] {
          if (mutex.try_lock()) mutex.unlock();
        }) == "1 lock (pthread_mutex_trylock)");
  std::shared_mutex shared;
  CHECK(found([&] { const std::shared_lock lock(shared); }) == "1 lock (pthread_rwlock_rdlock)");
  CHECK(found([&] { const std::unique_lock lock(shared); }) == "1 lock (pthread_rwlock_wrlock)");
  std::condition_variable condition;
  CHECK(found([&] { condition.notify_one(); }) == "1 lock (pthread_cond_signal)");
  CHECK(found([&] { condition.notify_all(); }) == "1 lock (pthread_cond_broadcast)");
  sem_t semaphore;
  REQUIRE(sem_init(&semaphore, 0, 0) == 0);
  CHECK(found([&] { sem_post(&semaphore); }) == "1 lock (sem_post)");
  CHECK(found([&] { sem_wait(&semaphore); }) == "1 lock (sem_wait)");
  pthread_spinlock_t spin;
  REQUIRE(pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE) == 0);
  CHECK(found([&] {
          pthread_spin_lock(&spin);
          pthread_spin_unlock(&spin);
        }) == "1 lock (pthread_spin_lock)");
  const RealtimeFindings wait = watch_realtime([&] {
    std::unique_lock lock(mutex);
    condition.wait_for(lock, 1ms);
  });
  CHECK(wait.locks.count == 2);
  CHECK(wait.system_calls.count > 0);
  CHECK(starts_with(wait.system_calls.first, "futex"));
}

TEST_CASE("replaced locks and condition variables work") {
  std::mutex mutex;
  std::condition_variable changed;
  int turn = 0;
  int turns = 0;
  const auto take_turns = [&](int mine) {
    for (int i = 0; i < 100; ++i) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return turn == mine; });
      ++turns;
      turn = 1 - mine;
      changed.notify_all();
    }
  };
  std::thread other([&] { take_turns(1); });
  take_turns(0);
  other.join();
  CHECK(turns == 200);
}

TEST_CASE("memory met anew faults, page by page") {
  constexpr std::size_t pages = 64;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const memory =
      mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  // One fault a page, whatever the machine makes of neighbours otherwise.
  madvise(memory, pages * page, MADV_NOHUGEPAGE);
  volatile char* const bytes = static_cast<char*>(memory);
  const auto touch = [&] {
    for (std::size_t i = 0; i < pages; ++i) bytes[i * page] = 1;
  };
  const RealtimeFindings first = watch_realtime([] {}, touch);
  CHECK_FALSE(first.clean());
  CHECK(first.minor_faults >= pages);
  CHECK(describe(first) == std::to_string(first.minor_faults) + " page faults");
  CHECK(watch_realtime([] {}, touch).clean());
  munmap(memory, pages * page);
}

TEST_CASE("system calls are found and named, and made all the same") {
  std::array<int, 2> ends{};
  REQUIRE(pipe(ends.data()) == 0);
  CHECK(found([&] { (void)!write(ends[1], "abc", 3); }) ==
        "1 system call (write (" + std::to_string(SYS_write) + "))");
  std::array<char, 8> got{};
  ssize_t size = 0;
  CHECK(starts_with(found([&] { size = read(ends[0], got.data(), got.size()); }),
                    "1 system call (read ("));
  CHECK(std::string(got.data(), static_cast<std::size_t>(size)) == "abc");
  close(ends[0]);
  close(ends[1]);

  const timespec little{0, 1000};
  CHECK(starts_with(found([&] { syscall(SYS_nanosleep, &little, nullptr); }),
                    "1 system call (nanosleep ("));
  CHECK(starts_with(found([] { std::this_thread::sleep_for(1us); }),
                    "1 system call (clock_nanosleep ("));
  CHECK(starts_with(found([] { std::this_thread::yield(); }), "1 system call (sched_yield ("));
  int word = 0;
  CHECK(starts_with(found([&] { syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0); }),
                    "1 system call (futex ("));
  // Waiting on an atomic looks like no lock at all.
  std::atomic<int> number{1};
  CHECK(starts_with(found([&] { syscall(SYS_futex, &number, FUTEX_WAIT, 2, nullptr, nullptr, 0); }),
                    "1 system call (futex ("));
  CHECK(starts_with(found([] {
                      void* const memory =
                          mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                      munmap(memory, 4096);
                    }),
                    "2 system calls (first: mmap ("));
  // One that the table of names lacks.
  CHECK(found([] { syscall(SYS_umask, 022); }) ==
        "1 system call (number " + std::to_string(SYS_umask) + ")");
  // The watch reads the same one, but only its own is overlooked.
  rusage usage{};
  CHECK(
      starts_with(found([&] { getrusage(RUSAGE_THREAD, &usage); }), "1 system call (getrusage ("));
}

TEST_CASE("a system call in assembly is found as well") {
  long process = 0;
  CHECK(starts_with(found([&] { process = raw_getpid(); }), "1 system call (getpid ("));
  CHECK(process == getpid());
}

TEST_CASE("the function that allocates is named") {
  const RealtimeFindings findings = watch_realtime([] { test::allocate_on_behalf_of_the_test(); });
  const std::vector<std::string>& where = findings.allocations.where;
  REQUIRE(where.size() >= 2);
  CHECK(std::find(where.begin(), where.end(), "spillway::test::allocate_on_behalf_of_the_test()") !=
        where.end());
  // Nothing of the watch itself.
  for (const std::string& function : where)
    CHECK(function.find("realtime_check::") == std::string::npos);
  const RealtimeFindings called = watch_realtime([] { (void)getpid(); });
  REQUIRE(called.system_calls.where.size() == 1);
  CHECK(called.system_calls.where[0].find("getpid") != std::string::npos);
}

TEST_CASE("only the loop is watched, on its thread and for its time") {
  std::atomic<bool> running{true};
  std::thread other([&] {
    std::mutex mutex;
    while (running) {
      const std::scoped_lock lock(mutex);
      test::allocate_on_behalf_of_the_test();
      (void)getpid();
    }
  });
  std::thread::id prepared;
  std::thread::id looped;
  const RealtimeFindings findings = watch_realtime(
      [&] {
        test::allocate_on_behalf_of_the_test();
        std::this_thread::sleep_for(1us);
        prepared = std::this_thread::get_id();
      },
      [&] {
        looped = std::this_thread::get_id();
        for (int i = 0; i < 1'000'000; ++i) keep(&i);
      });
  running = false;
  other.join();
  CHECK(describe(findings) == "clean");
  CHECK(prepared == looped);
  CHECK(looped != std::this_thread::get_id());
}

TEST_CASE("several threads watch at a time") {
  std::array<std::string, 4> results;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < results.size(); ++i)
      threads.emplace_back([&results, i] {
        const RealtimeFindings findings = watch_realtime([i] {
          for (std::size_t n = 0; n <= i; ++n) (void)getpid();
        });
        results[i] = std::to_string(findings.system_calls.count) + findings.not_watched;
      });
  }
  CHECK(results == std::array<std::string, 4>{"1", "2", "3", "4"});
}

TEST_CASE("what is thrown comes out") {
  CHECK_THROWS_WITH((void)watch_realtime([] { throw std::runtime_error("loop"); }), "loop");
  CHECK_THROWS_WITH(
      (void)watch_realtime([] { throw std::runtime_error("prepare"); }, [] { std::abort(); }),
      "prepare");
}

TEST_CASE("where the kernel does not hand system calls over, nothing is clean") {
  // The kernel takes one listener a thread; the watch within the watch gets none.
  RealtimeFindings inner;
  const RealtimeFindings outer = watch_realtime([&] { inner = watch_realtime([] {}); });
  CHECK(outer.system_calls.count > 0);
  CHECK_FALSE(inner.clean());
  CHECK(inner.system_calls.count == 0);
  CHECK(starts_with(describe(inner), "not watched: system calls (seccomp: "));
}

TEST_CASE("findings are described in one line") {
  RealtimeFindings findings;
  CHECK(describe(findings) == "clean");
  findings.waits = 2;
  findings.preemptions = 3;
  CHECK(findings.clean());
  findings.allocations = {2, "malloc of 64 bytes", {}};
  findings.locks = {1, "pthread_mutex_lock", {}};
  findings.minor_faults = 3;
  findings.major_faults = 1;
  CHECK(describe(findings) ==
        "2 allocations (first: malloc of 64 bytes), 1 lock (pthread_mutex_lock), 3 page faults, "
        "1 page fault from disk");
  findings.not_watched = "system calls";
  CHECK(describe(findings).ends_with("1 page fault from disk; not watched: system calls"));
}
