#include "chunk_codec.hpp"

#include <fmt/format.h>
#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Compressor = std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)>;
using Decompressor =
    std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)>;

constexpr std::uint32_t not_shuffled = 1;
constexpr std::uint32_t not_deflated = 2;

// First the first bytes of all elements, then the second ones, ...: as HDF5's filter does, bytes
// of no whole element at the end. Compilers make vector instructions of these loops.
template <std::size_t size>
void shuffle(const std::byte* from, std::size_t count, std::byte* to) {
  for (std::size_t j = 0; j < size; ++j)
    for (std::size_t i = 0; i < count; ++i) to[j * count + i] = from[i * size + j];
}
template <std::size_t size>
void unshuffle(const std::byte* from, std::size_t count, std::byte* to) {
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < size; ++j) to[i * size + j] = from[j * count + i];
}

void shuffle(std::span<const std::byte> from, std::size_t size, std::byte* to) {
  const std::size_t count = from.size() / size;
  switch (size) {
    case 2: shuffle<2>(from.data(), count, to); break;
    case 4: shuffle<4>(from.data(), count, to); break;
    case 8: shuffle<8>(from.data(), count, to); break;
    default:
      for (std::size_t j = 0; j < size; ++j)
        for (std::size_t i = 0; i < count; ++i) to[j * count + i] = from[i * size + j];
  }
  std::copy(from.begin() + static_cast<std::ptrdiff_t>(count * size), from.end(),
            to + count * size);
}

void unshuffle(std::span<const std::byte> from, std::size_t size, std::byte* to) {
  const std::size_t count = from.size() / size;
  switch (size) {
    case 2: unshuffle<2>(from.data(), count, to); break;
    case 4: unshuffle<4>(from.data(), count, to); break;
    case 8: unshuffle<8>(from.data(), count, to); break;
    default:
      for (std::size_t i = 0; i < count; ++i)
        for (std::size_t j = 0; j < size; ++j) to[i * size + j] = from[j * count + i];
  }
  std::copy(from.begin() + static_cast<std::ptrdiff_t>(count * size), from.end(),
            to + count * size);
}

bool is_constant(std::span<const std::byte> chunk, std::size_t element_bytes) {
  return chunk.size() > element_bytes &&
         std::memcmp(chunk.data(), chunk.data() + element_bytes, chunk.size() - element_bytes) == 0;
}

// What chunks of one value became, or are: quality, above all.
struct Constant {
  std::size_t chunk_bytes = 0;
  std::size_t element_bytes = 0;
  std::array<std::byte, 8> value{};
  std::vector<std::byte> encoded;
};

// Those met last.
class Constants {
 public:
  template <class F>
  [[nodiscard]] const Constant* find(F&& is_it) const {
    const auto found = std::ranges::find_if(kept_, is_it);
    return found == kept_.end() ? nullptr : &*found;
  }
  const Constant& keep(Constant&& made) {
    if (kept_.size() < most) return kept_.emplace_back(std::move(made));
    Constant& replaced = kept_[oldest_];
    oldest_ = (oldest_ + 1) % most;
    return replaced = std::move(made);
  }

 private:
  static constexpr std::size_t most = 16;
  std::vector<Constant> kept_;
  std::size_t oldest_ = 0;
};

// Deflate makes a chunk of one value about 1000 times smaller: what is longer is none, or so
// long that it may take its time.
constexpr std::size_t most_constant_bytes = 1024;

}  // namespace

struct ChunkCodec::Impl {
  explicit Impl(int level)
      : compressor(libdeflate_alloc_compressor(level), &libdeflate_free_compressor),
        decompressor(libdeflate_alloc_decompressor(), &libdeflate_free_decompressor) {
    if (!compressor || !decompressor) throw std::bad_alloc();
  }

  std::span<const std::byte> compress(std::span<const std::byte> chunk, std::size_t element_bytes) {
    if (element_bytes > 1) {
      shuffled.resize(std::max(shuffled.size(), chunk.size()));
      shuffle(chunk, element_bytes, shuffled.data());
      chunk = std::span(shuffled).first(chunk.size());
    }
    // No room for as much as there was.
    deflated.resize(std::max(deflated.size(), chunk.size()));
    const std::size_t bytes = libdeflate_zlib_compress(compressor.get(), chunk.data(), chunk.size(),
                                                       deflated.data(), chunk.size() - 1);
    return std::span(deflated).first(bytes);
  }

  Compressor compressor;
  Decompressor decompressor;
  std::vector<std::byte> shuffled;
  std::vector<std::byte> deflated;
  Constants constants;
  Constants decoded;  // of elements of one byte
};

ChunkCodec::ChunkCodec(int level) {
  if (level < 1 || level > 12)
    throw Error(fmt::format("compression of level {}: allowed are 1 to 12", level));
  impl_ = std::make_unique<Impl>(level);
}
ChunkCodec::~ChunkCodec() = default;
ChunkCodec::ChunkCodec(ChunkCodec&&) noexcept = default;
ChunkCodec& ChunkCodec::operator=(ChunkCodec&&) noexcept = default;

std::span<const std::byte> ChunkCodec::encode(std::span<const std::byte> chunk,
                                              std::size_t element_bytes) {
  if (chunk.empty()) return {};
  Constant wanted{chunk.size(), element_bytes, {}, {}};
  if (element_bytes > wanted.value.size() || !is_constant(chunk, element_bytes))
    return impl_->compress(chunk, element_bytes);
  std::copy_n(chunk.begin(), element_bytes, wanted.value.begin());
  const Constant* const known = impl_->constants.find([&](const Constant& c) {
    return c.chunk_bytes == wanted.chunk_bytes && c.element_bytes == wanted.element_bytes &&
           c.value == wanted.value;
  });
  if (known) return known->encoded;
  const auto encoded = impl_->compress(chunk, element_bytes);
  wanted.encoded.assign(encoded.begin(), encoded.end());
  return impl_->constants.keep(std::move(wanted)).encoded;
}

bool ChunkCodec::decode(std::span<const std::byte> stored, std::uint32_t mask,
                        std::size_t element_bytes, std::span<std::byte> chunk) {
  if (mask > not_filtered || element_bytes == 0) return false;
  const bool is_shuffled = (mask & not_shuffled) == 0 && element_bytes > 1;
  // Inflating runs of one byte is slow; what is known need not be inflated again.
  const bool may_be_constant =
      (mask & not_deflated) == 0 && element_bytes == 1 && stored.size() <= most_constant_bytes;
  const std::span<const std::byte> encoded = stored;
  if (may_be_constant) {
    const Constant* const known = impl_->decoded.find([&](const Constant& c) {
      return c.chunk_bytes == chunk.size() && std::ranges::equal(c.encoded, encoded);
    });
    if (known) {
      std::ranges::fill(chunk, known->value[0]);
      return true;
    }
  }
  if ((mask & not_deflated) == 0) {
    std::span<std::byte> to = chunk;
    if (is_shuffled) {
      impl_->shuffled.resize(std::max(impl_->shuffled.size(), chunk.size()));
      to = std::span(impl_->shuffled).first(chunk.size());
    }
    std::size_t used = 0;
    // Succeeds only if it fills `to`.
    if (libdeflate_zlib_decompress_ex(impl_->decompressor.get(), stored.data(), stored.size(),
                                      to.data(), to.size(), &used, nullptr) != LIBDEFLATE_SUCCESS ||
        used != stored.size())
      return false;
    stored = to;
  }
  if (stored.size() != chunk.size()) return false;
  if (is_shuffled)
    unshuffle(stored, element_bytes, chunk.data());
  else if (stored.data() != chunk.data())
    std::copy(stored.begin(), stored.end(), chunk.begin());
  if (may_be_constant && is_constant(chunk, 1))
    impl_->decoded.keep({chunk.size(), 1, {chunk[0]}, {encoded.begin(), encoded.end()}});
  return true;
}

}  // namespace spillway
