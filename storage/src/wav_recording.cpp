// Reads WAVE files as recordings: RIFF, and RF64 and BW64, whose sizes have 64 bits.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "columns.hpp"
#include "file.hpp"
#include "foreign.hpp"
#include "row_backend.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::uint32_t unknown_size = 0xFFFFFFFF;
constexpr int most_chunks = 10'000;  // before the samples, or behind them
constexpr unsigned tag_pcm = 1, tag_float = 3, tag_extensible = 0xFFFE;
// What follows the tag in the subformat of WAVE_FORMAT_EXTENSIBLE.
constexpr std::string_view subformat_end("\x00\x00\x00\x00\x10\x00\x80\x00\x00\xAA\x00\x38\x9B\x71",
                                         14);

template <class T>
T little(const std::byte* at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value |= static_cast<T>(static_cast<T>(std::to_integer<std::uint8_t>(at[i])) << (8 * i));
  return value;
}

struct Chunk {
  std::array<char, 4> id{};
  std::uint32_t size = 0;
  std::uint64_t at = 0;  // of its content
  [[nodiscard]] std::string_view name() const { return {id.data(), id.size()}; }
};

class WavRecording final : public RowBackend {
 public:
  WavRecording(const std::string& from, const Foreign& how, FileCalls& calls);

 private:
  void make(std::size_t stream, std::uint64_t row, std::uint64_t count, Columns& to) const override;
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{}: {}", path, what));
  }
  [[nodiscard]] std::optional<Chunk> chunk_at(std::uint64_t at) const;
  [[nodiscard]] std::uint64_t end_of_chunks(std::uint64_t at,
                                            std::vector<Chunk>* chunks = nullptr) const;
  void read_chunks();
  void read_sizes(const Chunk& ds64);
  void read_format(const Chunk& chunk);
  void check_format(const Chunk& chunk);
  void check_whole_size();
  void read_data(const Chunk& chunk);
  void check_behind(std::uint64_t at);
  [[nodiscard]] std::vector<ChannelInfo> channels(const Foreign& how) const;

  File file_;
  std::uint64_t size_;
  std::uint64_t riff_size_ = 0;
  std::optional<std::uint64_t> long_data_size_;  // of RF64
  unsigned tag_ = 0;                             // 0: no format yet
  std::size_t channel_count_ = 0;
  std::uint32_t rate_ = 0;
  std::size_t sample_bytes_ = 0;  // in the file
  std::uint64_t data_at_ = 0;     // 0: not found yet
  std::uint64_t data_bytes_ = 0;
};

std::optional<Chunk> WavRecording::chunk_at(std::uint64_t at) const {
  std::array<std::byte, 8> head{};
  if (at > size_ || size_ - at < head.size()) return std::nullopt;
  file_.read_at(at, head);
  Chunk chunk;
  std::memcpy(chunk.id.data(), head.data(), chunk.id.size());
  chunk.size = little<std::uint32_t>(head.data() + 4);
  chunk.at = at + head.size();
  return chunk;
}

// Of those that follow each other from `at` on and are whole: the end of the file, if nothing else
// is behind.
std::uint64_t WavRecording::end_of_chunks(std::uint64_t at, std::vector<Chunk>* chunks) const {
  const auto is_letter = [](char c) { return c >= 0x20 && c < 0x7F; };
  for (int n = 0; n < most_chunks && at < size_; ++n) {
    const std::optional<Chunk> chunk = chunk_at(at);
    if (!chunk || !std::ranges::all_of(chunk->id, is_letter) || chunk->size > size_ - chunk->at)
      break;
    if (chunks) chunks->push_back(*chunk);
    at = std::min(size_, chunk->at + chunk->size + chunk->size % 2);
  }
  return at;
}

void WavRecording::read_sizes(const Chunk& ds64) {
  std::array<std::byte, 16> sizes{};
  if (ds64.size < sizes.size()) fail("its chunk 'ds64' is too short");
  file_.read_at(ds64.at, sizes);
  riff_size_ = little<std::uint64_t>(sizes.data());
  long_data_size_ = little<std::uint64_t>(sizes.data() + 8);
}

void WavRecording::read_format(const Chunk& chunk) {
  std::array<std::byte, 40> f{};
  if (chunk.size < 16) fail("its chunk 'fmt ' is too short");
  file_.read_at(chunk.at, std::span(f).first(std::min<std::size_t>(chunk.size, f.size())));
  unsigned tag = little<std::uint16_t>(f.data());
  if (tag == tag_extensible) {
    if (chunk.size < f.size()) fail("its chunk 'fmt ' is too short");
    tag = little<std::uint16_t>(f.data() + 24);
    if (std::memcmp(f.data() + 26, subformat_end.data(), subformat_end.size()) != 0) tag = 0;
  }
  channel_count_ = little<std::uint16_t>(f.data() + 2);
  rate_ = little<std::uint32_t>(f.data() + 4);
  const std::size_t frame_bytes = little<std::uint16_t>(f.data() + 12);
  const std::size_t bits = little<std::uint16_t>(f.data() + 14);
  if (channel_count_ == 0 || rate_ == 0)
    fail(fmt::format("{} channels at {} Hz; both must be positive", channel_count_, rate_));
  sample_bytes_ = frame_bytes / channel_count_;
  // Fewer bits than fit lie in the upper ones.
  const bool fits =
      frame_bytes == sample_bytes_ * channel_count_ && bits > 0 && (bits + 7) / 8 == sample_bytes_;
  const bool known = tag == tag_pcm     ? sample_bytes_ <= 4
                     : tag == tag_float ? bits == 32 || bits == 64
                                        : false;
  if (!fits || !known)
    fail(
        fmt::format("samples of format {}, {} bits, {} bytes for {} channels; allowed are PCM of "
                    "8, 16, 24 and 32 bits and floats of 32 and 64",
                    little<std::uint16_t>(f.data()), bits, frame_bytes, channel_count_));
  tag_ = tag;
}

// Of another chunk 'fmt ': nobody knows which one is right.
void WavRecording::check_format(const Chunk& chunk) {
  const auto format = [&] { return std::tuple(tag_, channel_count_, rate_, sample_bytes_); };
  const auto first = format();
  read_format(chunk);
  if (format() != first)
    fail(fmt::format("its chunk 'fmt ' at byte {} says something else than the first one",
                     chunk.at));
}

// Where nothing else told of a file that was cut or has more than its header says.
void WavRecording::check_whole_size() {
  constexpr std::uint64_t front = 8;  // does not count
  const bool is_told = riff_size_ > 0 && (long_data_size_ ? riff_size_ <= INT64_MAX
                                                          : riff_size_ < unknown_size - front);
  if (!is_told || !remarks.empty()) return;
  const std::uint64_t told = riff_size_ + front;
  // The byte behind a chunk of an odd size is counted by some only.
  if (told <= size_ + 1 && size_ <= told + 1) return;
  remarks.push_back(
      fmt::format("{}: its header tells of {} bytes in all, the file has {}; the {} bytes of "
                  "samples are all there",
                  path, told, size_, data_bytes_));
}

// Sizes in the header are written when a recording ends: one that was cut has none, or those of
// somewhen before.
void WavRecording::read_data(const Chunk& chunk) {
  data_at_ = chunk.at;
  const std::uint64_t there = size_ - chunk.at;
  const std::uint64_t told =
      chunk.size == unknown_size && long_data_size_ ? *long_data_size_ : chunk.size;
  data_bytes_ = std::min(told, there);
  // Of a recording without samples nothing is behind, or other chunks.
  if (told == unknown_size || (told == 0 && end_of_chunks(chunk.at) < size_)) {
    data_bytes_ = there;
    remarks.push_back(
        fmt::format("{}: its header does not tell how many samples there are: "
                    "what is there was taken, {} bytes",
                    path, there));
  } else if (told > there) {
    remarks.push_back(
        fmt::format("{}: its header tells of {} bytes of samples; {} are there, "
                    "which were taken: it was cut",
                    path, told, there));
  } else {
    check_behind(chunk.at + told + told % 2);
  }
  const std::size_t frame_bytes = sample_bytes_ * channel_count_;
  if (const std::uint64_t rest = data_bytes_ % frame_bytes; rest > 0)
    remarks.push_back(
        fmt::format("{}: the last sample is not whole, its {} bytes are left out", path, rest));
}

// Tells of what may be samples as well.
void WavRecording::check_behind(std::uint64_t at) {
  std::vector<Chunk> chunks;
  const std::uint64_t end = end_of_chunks(at, &chunks);
  for (const Chunk& chunk : chunks)
    if (chunk.name() == "fmt ") check_format(chunk);
  if (const auto data = std::ranges::find(chunks, "data", &Chunk::name); data != chunks.end())
    remarks.push_back(fmt::format("{}: a second chunk 'data' of {} bytes at byte {} is left out",
                                  path, data->size, data->at));
  if (end < size_)
    remarks.push_back(
        fmt::format("{}: {} bytes from byte {} on, behind its samples, are no whole chunk and are "
                    "left out: it was cut, or has more samples than its header tells of",
                    path, size_ - end, end));
}

void WavRecording::read_chunks() {
  std::array<std::byte, 12> head{};
  file_.read_at(0, head);
  riff_size_ = little<std::uint32_t>(head.data() + 4);
  std::uint64_t at = head.size();
  for (int n = 0; n < most_chunks; ++n) {
    const std::optional<Chunk> chunk = chunk_at(at);
    if (!chunk) break;
    if (chunk->name() == "ds64" && !long_data_size_) read_sizes(*chunk);
    if (chunk->name() == "fmt ") tag_ == 0 ? read_format(*chunk) : check_format(*chunk);
    if (chunk->name() == "data") {
      if (tag_ == 0) fail("its samples come before their format");
      read_data(*chunk);
      return check_whole_size();
    }
    // Chunks of an odd size are followed by a byte that does not count.
    at = chunk->at + chunk->size + chunk->size % 2;
  }
  fail("has no samples where they should be: no chunk 'data'");
}

std::vector<ChannelInfo> WavRecording::channels(const Foreign& how) const {
  const bool is_float = tag_ == tag_float;
  const SampleType type = is_float ? sample_bytes_ == 4 ? SampleType::float32 : SampleType::float64
                          : sample_bytes_ == 1 ? SampleType::uint8
                          : sample_bytes_ == 2 ? SampleType::int16
                                               : SampleType::int32;
  std::vector<ChannelInfo> channels = plain_channels(path, how, channel_count_, type);
  if (is_float) return channels;
  const double full_scale = static_cast<double>(std::int64_t{1} << (8 * sample_bytes_ - 1));
  for (ChannelInfo& channel : channels) {
    // A single byte has no sign: its zero is 128.
    const double zero = sample_bytes_ == 1 ? full_scale : 0.0;
    channel.range = {zero - full_scale, zero + full_scale - 1.0};
    channel.calibration = Linear{1.0 / full_scale, sample_bytes_ == 1 ? -1.0 : 0.0};
  }
  return channels;
}

WavRecording::WavRecording(const std::string& from, const Foreign& how, FileCalls& calls)
    : file_(calls, from, File::Mode::read), size_(file_.size()) {
  using enum NotLeftOpen::Given;
  require_left_open(from, how, {rate, names, unit}, "is a WAVE file, no table");
  path = from;
  status = "complete";
  read_chunks();
  RecordedStream stream;
  stream.info.name = stream_name_of(path);
  stream.info.rate = Rate(rate_, 1);
  if (how.rate && how.rate != stream.info.rate)
    fail(fmt::format("its header says {} Hz, {} Hz are given; leave the rate out", rate_,
                     how.rate->hertz().value));
  stream.info.channels = channels(how);
  stream.rows = data_bytes_ / (sample_bytes_ * channel_count_);
  add_stream(std::move(stream));
}

void WavRecording::make(std::size_t stream, std::uint64_t row, std::uint64_t count,
                        Columns& to) const {
  const SampleType type = streams[stream].info.channels[0].type;
  const std::size_t frame_bytes = sample_bytes_ * channel_count_;
  std::vector<std::byte> rows(count * frame_bytes);
  file_.read_at(data_at_ + row * frame_bytes, rows);
  for (std::size_t c = 0; c < channel_count_; ++c) {
    std::byte* out = to[value_column(c)].data();
    const std::byte* in = rows.data() + c * sample_bytes_;
    for (std::uint64_t i = 0; i < count; ++i, in += frame_bytes) {
      if (sample_bytes_ == 3) {
        const std::uint32_t bits =
            little<std::uint16_t>(in) | std::uint32_t{std::to_integer<std::uint8_t>(in[2])} << 16;
        const auto value = static_cast<std::int32_t>(bits << 8) >> 8;
        std::memcpy(out, &value, sizeof value);
        out += sizeof value;
      } else {
        std::memcpy(out, in, sample_bytes_);
        out += sample_bytes_;
      }
    }
    flag_nan(type, to[value_column(c)], to[quality_column(c)]);
  }
}

}  // namespace

bool is_wav(std::string_view front) {
  return (front.starts_with("RIFF") || front.starts_with("RF64") || front.starts_with("BW64")) &&
         front.substr(4).size() >= 8 && front.substr(8, 4) == "WAVE";
}

std::unique_ptr<RecordingBackend> open_wav(const std::string& path, const Foreign& how,
                                           FileCalls& calls) {
  return std::make_unique<WavRecording>(path, how, calls);
}

}  // namespace spillway
