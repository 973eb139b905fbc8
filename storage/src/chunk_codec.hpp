// One chunk through HDF5's standard filters shuffle and deflate, without HDF5. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace spillway {

// HDF5's mask of a chunk: which filters of the pipeline were not applied.
constexpr std::uint32_t filtered = 0;
constexpr std::uint32_t not_filtered = 3;  // neither shuffle (bit 0) nor deflate (bit 1)

// Encodes and decodes; one thread at a time each. Allocates its own working memory, which stays.
class ChunkCodec {
 public:
  // `level`: 1 to 12, of libdeflate.
  explicit ChunkCodec(int level);
  ~ChunkCodec();
  ChunkCodec(ChunkCodec&&) noexcept;
  ChunkCodec& operator=(ChunkCodec&&) noexcept;

  // Shuffles elements of `element_bytes` and deflates (zlib stream, as HDF5 stores it). Empty: it
  // would not get smaller, store it as it is with mask not_filtered. Valid until the next call.
  // A chunk of one value over and over costs next to nothing.
  [[nodiscard]] std::span<const std::byte> encode(std::span<const std::byte> chunk,
                                                  std::size_t element_bytes);

  // The inverse, into exactly `chunk`; `mask` as stored. False: these are not the bytes of such a
  // chunk.
  [[nodiscard]] bool decode(std::span<const std::byte> stored, std::uint32_t mask,
                            std::size_t element_bytes, std::span<std::byte> chunk);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
