#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>

#include "../interrupt.hpp"
#include "spillway/channels/error.hpp"
#include "storage_contestant.hpp"

namespace spillway::bench {

namespace {

// One write(). Larger ones are not faster: from 2 MiB on, some take several times as long, where
// the kernel has to find pages of that size.
constexpr std::size_t block_bytes = storage_values * sizeof(float);
static_assert(block_bytes == 1 << 20);

[[noreturn]] void fail(const std::string& path) {
  throw Error(fmt::format("{}: {}", path, std::strerror(errno)));
}

// The file system may know no O_DIRECT.
bool can_be_opened(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
  if (fd >= 0) ::close(fd);
  ::unlink(path.c_str());
  return fd >= 0;
}

void write_raw(const std::string& path, int flags, const StorageSamples& samples,
               std::uint64_t blocks) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0666);
  if (fd < 0) fail(path);
  for (std::uint64_t b = 0; b < blocks; ++b) {
    const auto* from =
        reinterpret_cast<const char*>(samples.plain().data()) + b % samples.period() * block_bytes;
    for (std::size_t left = block_bytes; left > 0;) {
      const ssize_t n = ::write(fd, from, left);
      if (n < 0 && errno == EINTR && !interrupted()) continue;
      if (n <= 0) {
        const int error = errno;
        ::close(fd);
        check_interrupted();
        errno = error;
        fail(path);
      }
      from += n;
      left -= static_cast<std::size_t>(n);
    }
  }
  sync_and_close(fd, path);
}

// As it is written every day. max_digits10: everything reads back.
void write_stream(const std::string& path, bool quality, const StorageSamples& samples,
                  std::uint64_t blocks) {
  std::ofstream file(path);
  file.precision(std::numeric_limits<float>::max_digits10);
  file << "sample,time_ns";
  for (const ChannelInfo& channel : samples.info().channels) {
    file << ',' << channel.name;
    if (quality) file << ',' << channel.name << "_quality";
  }
  file << '\n';
  for (std::uint64_t b = 0; b < blocks; ++b) {
    check_interrupted();
    const Block& block = samples.block(b);
    std::array<const float*, storage_channels> values{};
    std::array<const Quality*, storage_channels> qualities{};
    for (std::size_t c = 0; c < storage_channels; ++c) {
      values[c] = block.values<float>(c).data();
      qualities[c] = block.quality(c).data();
    }
    for (std::size_t f = 0; f < storage_frames; ++f) {
      const std::uint64_t sample = b * storage_frames + f;
      file << sample << ',' << samples.info().rate->duration(sample).count();
      for (std::size_t c = 0; c < storage_channels; ++c) {
        file << ',' << values[c][f];
        if (quality) file << ',' << static_cast<int>(qualities[c][f].byte());
      }
      file << '\n';
    }
  }
  file.close();
  if (!file) fail(path);
  // A stream can't sync; the file can, by another descriptor.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  sync_and_close(fd, path);
}

}  // namespace

StorageContestants raw_files(const StorageSamples& samples) {
  const auto raw = [&samples](const char* name, int flags) {
    return StorageContestant{
        .name = name,
        .run = [&samples, flags](const std::string& directory,
                                 std::uint64_t blocks) -> std::optional<StorageTaken> {
          const std::string path = directory + "/raw";
          if (!can_be_opened(path, flags)) return {};
          return taken_by([&] { write_raw(path, flags, samples, blocks); });
        },
        .wrong = {}};
  };
  return {raw(raw_write, 0), raw("raw write, O_DIRECT", O_DIRECT)};
}

StorageContestants stream_csv(const StorageSamples& samples) {
  const auto stream = [&samples](const char* name, bool quality) {
    return StorageContestant{
        .name = name,
        .run =
            [&samples, quality](const std::string& directory, std::uint64_t blocks) {
              return taken_by(
                  [&] { write_stream(directory + "/run.csv", quality, samples, blocks); });
            },
        .wrong =
            [&samples](const std::string& directory, std::uint64_t blocks) {
              return wrong_in_csv(directory + "/run.csv", samples, blocks);
            },
        .share = 4};
  };
  return {stream(ofstream, true), stream("std::ofstream <<, values alone", false)};
}

}  // namespace spillway::bench
