#include "spillway/channels/stream.hpp"

#include <fmt/format.h>

#include <bit>
#include <new>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::uint64_t words_per_line = cache_line / sizeof(std::uint64_t);

// How far ahead the writer announces: far enough that the intent line seldom
// moves, near enough that a small ring does not lose much of itself.
std::uint64_t stride_for(std::uint64_t capacity) {
  return capacity >= 8192 ? 1024 : capacity >= 512 ? 64 : 8;
}

// Chunk c holds 2^c sets, starting with id 2^c - 1.
constexpr std::size_t chunk_of(std::uint32_t id) {
  return static_cast<std::size_t>(std::bit_width(id + 1)) - 1;
}
constexpr std::uint32_t first_of(std::size_t chunk) { return (1U << chunk) - 1; }

}  // namespace

void Stream::AlignedDelete::operator()(AtomicWord* words) const noexcept {
  ::operator delete[](words, std::align_val_t{cache_line});
}

Stream::Layout Stream::lay_out(const StreamInfo& info) {
  check(info);
  const std::uint64_t capacity = capacity_in_samples(info).value;
  Layout layout;
  layout.stride = stride_for(capacity);
  layout.slots = std::bit_ceil(capacity + layout.stride + info.largest_block.value);
  // A reader that was overrun leaves out an eighth, see StreamReader::peek.
  layout.mark_slots = std::bit_ceil((info.mark_capacity.value + 1) * 8 / 7 + 1);
  const auto place = [&](std::uint64_t words) {
    const std::uint64_t at = layout.words;
    layout.words += (words + words_per_line - 1) / words_per_line * words_per_line;
    return at;
  };
  layout.marks_at = place(layout.mark_slots * mark_words);
  layout.anchors_at = place(layout.mark_slots * mark_words);
  for (const ChannelInfo& channel : info.channels) {
    layout.values_at.push_back(place(layout.slots * sample_size(channel.type) / 8));
    layout.quality_at.push_back(place(layout.slots / 8));
  }
  if (!info.rate) layout.times_at = place(layout.slots);
  return layout;
}

std::uint64_t Stream::memory_bytes(const StreamInfo& info) {
  return lay_out(info).words * sizeof(AtomicWord) + sizeof(Shared);
}

Stream::Stream(StreamInfo info)
    : info_(std::move(info)),
      layout_(lay_out(info_)),
      shared_(std::make_unique<Shared>()),
      words_(static_cast<AtomicWord*>(
          ::operator new[](layout_.words * sizeof(AtomicWord), std::align_val_t{cache_line}))) {
  capacity_ = capacity_in_samples(info_);
  for (std::uint64_t i = 0; i < layout_.words; ++i) new (&words_[i]) AtomicWord(0);
  CalibrationSet initial;
  for (const ChannelInfo& channel : info_.channels) initial.push_back(channel.calibration);
  add_calibrations(std::move(initial));
}

CalibrationSetId Stream::add_calibrations(CalibrationSet set) {
  if (set.size() != channel_count())
    throw Error(fmt::format("stream '{}': {} calibrations for {} channels", info_.name, set.size(),
                            channel_count()));
  for (std::size_t i = 0; i < set.size(); ++i) {
    const ChannelInfo& channel = info_.channels[i];
    const std::string where = fmt::format("channel '{}' of stream '{}'", channel.name, info_.name);
    check(set[i], where);
    if (!set[i].unit_out.empty() && set[i].unit_out != channel.unit)
      throw Error(fmt::format("{}: calibration gives '{}', but the channel's unit is '{}'", where,
                              set[i].unit_out, channel.unit));
  }
  const std::scoped_lock lock(calibrations_mutex_);
  for (std::uint32_t id = 0; id < calibration_count_; ++id)
    if (calibrations({id}) == set) return {id};
  const std::size_t chunk = chunk_of(calibration_count_);
  if (chunk >= calibration_chunks)
    throw Error(fmt::format("stream '{}': more than {} different calibration sets", info_.name,
                            calibration_count_));
  if (chunk == calibration_storage_.size())
    calibration_storage_.push_back(std::make_unique<CalibrationSet[]>(std::size_t{1} << chunk));
  CalibrationSet* sets = calibration_storage_[chunk].get();
  sets[calibration_count_ - first_of(chunk)] = std::move(set);
  calibration_sets_[chunk].store(sets, std::memory_order_release);
  return {calibration_count_++};
}

const CalibrationSet& Stream::calibrations(CalibrationSetId id) const noexcept {
  const std::size_t chunk = chunk_of(id.value);
  return calibration_sets_[chunk].load(std::memory_order_acquire)[id.value - first_of(chunk)];
}

}  // namespace spillway
