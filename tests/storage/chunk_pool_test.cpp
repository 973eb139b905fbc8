#include "chunk_pool.hpp"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>

#include "chunk_codec.hpp"
#include "spillway/storage/journal.hpp"
#include "support.hpp"
#include "support/catch.hpp"

// Sanitizers have an allocator of their own, which can't be replaced.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define OWN_ALLOCATOR 0
#elif defined(__has_feature)
#define OWN_ALLOCATOR !(__has_feature(thread_sanitizer) || __has_feature(address_sanitizer))
#else
#define OWN_ALLOCATOR 1
#endif

#if OWN_ALLOCATOR
namespace {
// More at once than this can't be had.
std::atomic<std::size_t> most_bytes{std::numeric_limits<std::size_t>::max()};
}  // namespace

void* operator new(std::size_t bytes) {
  void* const memory = bytes > most_bytes ? nullptr : std::malloc(bytes);
  if (!memory) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

namespace spillway {

namespace {

// The bytes of job `number`, the same whenever asked: constant, compressible or noise.
void fill(std::vector<std::byte>& raw, std::uint64_t number) {
  std::mt19937_64 random(number);
  for (std::size_t i = 0; i < raw.size(); ++i)
    raw[i] = static_cast<std::byte>(number % 3 == 0 ? number : number % 3 == 1 ? i / 16 : random());
}

void check(ChunkCodec& codec, const ChunkJob& job, std::uint64_t number) {
  std::vector<std::byte> wanted(job.raw.size());
  fill(wanted, number);
  REQUIRE(job.first_row == number);
  REQUIRE(job.stream == static_cast<std::uint32_t>(number % 5));
  REQUIRE(job.raw == wanted);
  const auto& stored = job.mask == not_filtered ? job.raw : job.stored;
  REQUIRE(job.crc32c == crc32c(stored));
  std::vector<std::byte> decoded(wanted.size());
  REQUIRE(codec.decode(stored, job.mask, job.element_bytes, decoded));
  REQUIRE(decoded == wanted);
  if (number % 3 != 2 && wanted.size() > 1000) REQUIRE(job.mask == filtered);
}

}  // namespace

TEST_CASE("ChunkPool: gives every chunk back, compressed, in the order it came") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const int count = std::getenv("SPILLWAY_TEST_FULL") ? 50'000 : 1500;
  for (const std::size_t threads : {0U, 1U, 2U, 5U}) {
    CAPTURE(threads);
    ChunkPool pool(1, threads);
    ChunkCodec codec(1);
    std::uint64_t put = 0;
    std::uint64_t taken = 0;
    ChunkJob job;
    std::size_t most = 0;
    while (taken < static_cast<std::uint64_t>(count)) {
      if (put < static_cast<std::uint64_t>(count) && !pool.full() && random() % 3 != 0) {
        ChunkJob next;
        next.stream = static_cast<std::uint32_t>(put % 5);
        next.first_row = put;
        next.element_bytes = std::size_t{1} << random() % 4;
        next.rows = 1 + random() % 4000;
        next.raw = pool.buffer(next.rows * next.element_bytes);
        REQUIRE(next.raw.size() == next.rows * next.element_bytes);
        fill(next.raw, put);
        pool.put(std::move(next));
        ++put;
        most = std::max(most, static_cast<std::size_t>(put - taken));
        REQUIRE_FALSE(pool.empty());
      } else if (pool.take(job, pool.full() || random() % 2 == 0)) {
        check(codec, job, taken);
        ++taken;
        pool.recycle(std::move(job));
        job = {};
        REQUIRE_FALSE(pool.full());
      }
    }
    CHECK(pool.empty());
    CHECK_FALSE(pool.take(job, true));
    CHECK(most <= 2 * threads + 2);
    CHECK(most >= 2);
    if (threads > 0) CHECK(pool.cpu_seconds() > 0.0);
    if (threads == 0) CHECK(pool.cpu_seconds() == 0.0);
  }
}

TEST_CASE("ChunkPool: takes no more than it has room for") {
  ChunkPool pool(1, 1);
  int put = 0;
  while (!pool.full()) {
    ChunkJob job;
    job.raw = pool.buffer(100);
    job.rows = 100;
    pool.put(std::move(job));
    ++put;
  }
  CHECK(put == 4);
  CHECK_THROWS_AS(pool.put(ChunkJob{}), Error);
  ChunkJob job;
  for (int i = 0; i < put; ++i) CHECK(pool.take(job, true));
  CHECK(pool.empty());
}

#if OWN_ALLOCATOR
TEST_CASE("ChunkPool: a chunk that a worker has no memory for is told, and not lost") {
  for (const std::size_t threads : {0U, 2U}) {
    CAPTURE(threads);
    ChunkPool pool(1, threads);
    ChunkCodec codec(1);
    ChunkJob first;
    first.raw = pool.buffer(1'000'000);
    first.rows = 500'000;
    first.element_bytes = 2;
    first.stored.reserve(first.raw.size());
    fill(first.raw, 0);
    ChunkJob second;
    second.raw = pool.buffer(100);
    second.rows = 100;
    second.stream = 1;
    second.first_row = 1;
    second.stored.reserve(second.raw.size());
    fill(second.raw, 1);
    most_bytes = 900'000;
    pool.put(std::move(first));
    pool.put(std::move(second));
    ChunkJob job;
    CHECK_THROWS_AS(pool.take(job, true), std::bad_alloc);
    most_bytes = std::numeric_limits<std::size_t>::max();
    CHECK(job.rows == 500'000);
    ChunkJob next;
    REQUIRE(pool.take(next, true));
    check(codec, next, 1);
    pool.put(std::move(job));
    REQUIRE(pool.take(job, true));
    check(codec, job, 0);
    CHECK(pool.empty());
  }
}
#endif

TEST_CASE("ChunkPool: buffers go round") {
  ChunkPool pool(1, 2);
  std::vector<const std::byte*> seen;
  std::size_t fresh = 0;
  ChunkJob job;
  for (int i = 0; i < 200; ++i) {
    ChunkJob next;
    next.raw = pool.buffer(i % 2 == 0 ? 40'000 : 800);
    next.rows = next.raw.size();
    if (std::find(seen.begin(), seen.end(), next.raw.data()) == seen.end()) {
      seen.push_back(next.raw.data());
      ++fresh;
    }
    pool.put(std::move(next));
    while (pool.take(job, pool.full())) {
      pool.recycle(std::move(job));
      job = {};
    }
  }
  // Raw and stored ones of all that are on their way, of two sizes.
  CHECK(fresh <= 24);
}

TEST_CASE("ChunkPool: may end with chunks on their way") {
  for (int i = 0; i < 50; ++i) {
    ChunkPool pool(6, 3);
    while (!pool.full()) {
      ChunkJob job;
      job.raw = pool.buffer(100'000);
      fill(job.raw, 1);
      job.rows = job.raw.size();
      pool.put(std::move(job));
    }
  }
}

}  // namespace spillway
