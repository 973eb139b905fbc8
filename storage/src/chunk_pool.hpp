// Compresses chunks on worker threads and gives them back in the order they came. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace spillway {

// A chunk on its way to the file.
struct ChunkJob {
  std::uint32_t stream = 0;
  std::uint32_t column = 0;
  std::uint64_t first_row = 0;
  std::size_t rows = 0;
  std::size_t element_bytes = 1;
  std::vector<std::byte> raw;  // rows * element_bytes
  // Set by the pool: what to store, `raw` itself if `mask` is not_filtered.
  std::vector<std::byte> stored;
  std::uint32_t mask = 0;
  std::uint32_t crc32c = 0;  // of what is to be stored
};

// One thread puts and takes. Workers sleep while there is nothing; they stop with the pool.
// The number of chunks on their way is bounded; buffers go round and are not allocated again.
class ChunkPool {
 public:
  // `threads` 0: put() compresses by itself.
  ChunkPool(int level, std::size_t threads);
  ~ChunkPool();
  ChunkPool(const ChunkPool&) = delete;
  ChunkPool& operator=(const ChunkPool&) = delete;

  // A buffer of this size for a chunk, used before if there is one.
  [[nodiscard]] std::vector<std::byte> buffer(std::size_t bytes);
  // Gives a job back whose chunk is written.
  void recycle(ChunkJob&& job);

  [[nodiscard]] bool full() const noexcept;  // take() before the next put()
  [[nodiscard]] bool empty() const noexcept;
  void put(ChunkJob&& job);
  // The next one in the order of put(), if it is done; with `wait`, waits for it. False: none.
  // Throws what compressing it threw (std::bad_alloc); `job` is then as it was put.
  [[nodiscard]] bool take(ChunkJob& job, bool wait);

  // CPU time of the workers so far, in seconds.
  [[nodiscard]] double cpu_seconds() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
