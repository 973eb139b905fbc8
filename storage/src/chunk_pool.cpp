#include "chunk_pool.hpp"

#include <concurrentqueue/blockingconcurrentqueue.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <boost/lockfree/spsc_queue.hpp>
#include <exception>
#include <semaphore>
#include <span>
#include <thread>
#include <utility>

#include "chunk_codec.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/journal.hpp"

namespace spillway {

namespace {

// One on its way. Between put and take it belongs to the worker that it was handed to.
struct Slot {
  ChunkJob job;
  std::size_t worker = 0;
  bool done = false;
  std::exception_ptr failure;
};

void compress(ChunkCodec& codec, Slot& slot) noexcept {
  try {
    ChunkJob& job = slot.job;
    const auto encoded = codec.encode(job.raw, job.element_bytes);
    job.mask = encoded.empty() ? not_filtered : filtered;
    job.stored.assign(encoded.begin(), encoded.end());
    job.crc32c = crc32c(job.mask == filtered ? job.stored : job.raw);
  } catch (...) {
    slot.failure = std::current_exception();
  }
}

std::uint64_t thread_cpu_ns() noexcept {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

struct ChunkPool::Impl {
  struct Worker {
    Worker(int level, std::size_t room) : codec(level), todo(room) {}
    ChunkCodec codec;
    boost::lockfree::spsc_queue<std::size_t> todo;  // slots
    std::counting_semaphore<> wake{0};              // once for each of `todo`, and to stop
    std::atomic<bool> stopping = false;
    std::atomic<std::uint64_t> cpu_ns = 0;
    std::size_t held = 0;  // slots given to it and not seen back: the owner's
    std::thread thread;
  };

  Impl(int level, std::size_t threads)
      : slots(2 * threads + 2), codec(level), finished(2 * slots.size(), threads, 0) {
    for (std::size_t i = 0; i < threads; ++i)
      workers.push_back(std::make_unique<Worker>(level, slots.size()));
  }
  ~Impl() {
    for (const auto& worker : workers) {
      worker->stopping.store(true, std::memory_order_relaxed);
      worker->wake.release();
    }
    for (const auto& worker : workers)
      if (worker->thread.joinable()) worker->thread.join();
  }

  void run(Worker& worker) {
    const moodycamel::ProducerToken token(finished);
    for (;;) {
      worker.wake.acquire();
      std::size_t slot = 0;
      if (worker.stopping.load(std::memory_order_relaxed) || !worker.todo.pop(slot)) return;
      compress(worker.codec, slots[slot]);
      worker.cpu_ns.store(thread_cpu_ns(), std::memory_order_relaxed);
      // It has room for all slots from the start; were it not so, a slot comes free in time.
      while (!finished.enqueue(token, slot)) std::this_thread::yield();
    }
  }

  // With room for so many bytes: the smallest that has it.
  std::vector<std::byte> take_spare(std::size_t bytes) {
    std::vector<std::byte> found;
    auto best = spare.end();
    for (auto it = spare.begin(); it != spare.end(); ++it)
      if (it->capacity() >= bytes && (best == spare.end() || it->capacity() < best->capacity()))
        best = it;
    if (best != spare.end()) {
      found = std::move(*best);
      if (best != spare.end() - 1) *best = std::move(spare.back());
      spare.pop_back();
    }
    found.reserve(bytes);
    return found;
  }

  void mark_done(std::size_t slot) {
    slots[slot].done = true;
    --workers[slots[slot].worker]->held;
  }

  std::vector<Slot> slots;
  std::size_t first = 0;  // the slot of the next take
  std::size_t count = 0;
  ChunkCodec codec;  // without workers
  std::vector<std::vector<std::byte>> spare;
  moodycamel::BlockingConcurrentQueue<std::size_t> finished;
  std::vector<std::unique_ptr<Worker>> workers;
};

ChunkPool::ChunkPool(int level, std::size_t threads)
    : impl_(std::make_unique<Impl>(level, threads)) {
  for (const auto& worker : impl_->workers)
    worker->thread = std::thread([impl = impl_.get(), &worker = *worker] { impl->run(worker); });
}
ChunkPool::~ChunkPool() = default;

std::vector<std::byte> ChunkPool::buffer(std::size_t bytes) {
  std::vector<std::byte> buffer = impl_->take_spare(bytes);
  buffer.resize(bytes);
  return buffer;
}

void ChunkPool::recycle(ChunkJob&& job) {
  auto& spare = impl_->spare;
  for (std::vector<std::byte>* buffer : {&job.raw, &job.stored}) {
    if (buffer->capacity() == 0) continue;
    // As many as can be in use at once; the large ones serve for everything.
    if (spare.size() < 2 * impl_->slots.size()) {
      spare.push_back(std::move(*buffer));
      continue;
    }
    const auto least =
        std::min_element(spare.begin(), spare.end(),
                         [](const auto& a, const auto& b) { return a.capacity() < b.capacity(); });
    if (least->capacity() < buffer->capacity()) *least = std::move(*buffer);
  }
}

bool ChunkPool::full() const noexcept { return impl_->count == impl_->slots.size(); }
bool ChunkPool::empty() const noexcept { return impl_->count == 0; }

void ChunkPool::put(ChunkJob&& job) {
  if (full()) throw Error("chunk pool: full, take before the next put");
  if (job.stored.capacity() < job.raw.size()) job.stored = impl_->take_spare(job.raw.size());
  const std::size_t index = (impl_->first + impl_->count) % impl_->slots.size();
  Slot& slot = impl_->slots[index];
  slot.job = std::move(job);
  slot.failure = nullptr;
  slot.done = impl_->workers.empty();
  ++impl_->count;
  if (impl_->workers.empty()) {
    compress(impl_->codec, slot);
    return;
  }
  const auto worker =
      std::min_element(impl_->workers.begin(), impl_->workers.end(),
                       [](const auto& a, const auto& b) { return a->held < b->held; });
  slot.worker = static_cast<std::size_t>(worker - impl_->workers.begin());
  ++(*worker)->held;
  (*worker)->todo.push(index);  // has room for all slots
  (*worker)->wake.release();
}

bool ChunkPool::take(ChunkJob& job, bool wait) {
  if (empty()) return false;
  Slot& next = impl_->slots[impl_->first];
  std::size_t slot = 0;
  while (impl_->finished.try_dequeue(slot)) impl_->mark_done(slot);
  while (!next.done) {
    if (!wait) return false;
    impl_->finished.wait_dequeue(slot);
    impl_->mark_done(slot);
  }
  job = std::move(next.job);
  impl_->first = (impl_->first + 1) % impl_->slots.size();
  --impl_->count;
  if (next.failure) std::rethrow_exception(std::exchange(next.failure, nullptr));
  return true;
}

double ChunkPool::cpu_seconds() const {
  std::uint64_t sum = 0;
  for (const auto& worker : impl_->workers) sum += worker->cpu_ns.load(std::memory_order_relaxed);
  return static_cast<double>(sum) * 1e-9;
}

}  // namespace spillway
