#include "spillway/channels/stream.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <exception>
#include <new>
#include <utility>

#include "calibration_json.hpp"
#include "json_error.hpp"
#include "segment.hpp"
#include "spillway/channels/error.hpp"
#include "stream_json.hpp"

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

// Far more than any machine has, and far less than overflows.
constexpr std::uint64_t most_words = std::uint64_t{1} << 47;

std::string to_text(const CalibrationSet& set) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Calibration& calibration : set) json.push_back(to_json(calibration));
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

CalibrationSet calibrations_from_text(const std::string& text) {
  CalibrationSet set;
  for (const auto& json : nlohmann::ordered_json::parse(text))
    set.push_back(calibration_from_json(json));
  return set;
}

// What a reader of another process has to know to find its way, and for whom it reads.
std::string describe(const StreamInfo& info) {
  nlohmann::ordered_json json;
  json["stream"] = to_json(info);
  json["capacity"] = capacity_in_samples(info).value;
  json["largest_block"] = info.largest_block.value;
  json["mark_capacity"] = info.mark_capacity.value;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

StreamInfo info_from(const SharedSegment& segment) {
  const auto json = nlohmann::ordered_json::parse(segment.description());
  StreamInfo info = stream_info_from_json(json.at("stream"));
  info.capacity = SampleCount{json.at("capacity").get<std::uint64_t>()};
  info.largest_block = {json.at("largest_block").get<std::uint64_t>()};
  info.mark_capacity = {json.at("mark_capacity").get<std::uint64_t>()};
  return info;
}

}  // namespace

void Stream::AlignedDelete::operator()(std::byte* memory) const noexcept {
  ::operator delete[](memory, std::align_val_t{apart});
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
    if (layout.words > most_words)
      throw Error(
          fmt::format("stream '{}': its capacity takes more memory than 2^50 bytes", info.name));
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

std::uint64_t Stream::memory_bytes(const StreamInfo& info) { return lay_out(info).bytes(); }

void Stream::place_ring(std::byte* memory) noexcept {
  static_assert(sizeof(Shared) % cache_line == 0);
  shared_ = reinterpret_cast<Shared*>(memory);
  words_ = reinterpret_cast<AtomicWord*>(memory + sizeof(Shared));
}

Stream::Stream(StreamInfo info) : info_(std::move(info)), layout_(lay_out(info_)) {
  capacity_ = capacity_in_samples(info_);
  if (info_.publish_as.empty()) {
    memory_.reset(new (std::align_val_t{apart}) std::byte[layout_.bytes()]);
    place_ring(memory_.get());
  } else {
    segment_ =
        SharedSegment::create(info_.publish_as, describe(info_),
                              {layout_.bytes(), layout_.slots, layout_.stride, layout_.mark_slots});
    place_ring(segment_->ring());
  }
  new (shared_) Shared;
  for (std::uint64_t i = 0; i < layout_.words; ++i) new (&words_[i]) AtomicWord(0);
  unknown_calibrations_.assign(channel_count(), Polynomial{{std::nan("")}});
  CalibrationSet initial;
  for (const ChannelInfo& channel : info_.channels) initial.push_back(channel.calibration);
  add_calibrations(std::move(initial));
  if (segment_) segment_->publish();
}

Stream::Stream(std::unique_ptr<SharedSegment> attached) : segment_(std::move(attached)) {
  const SegmentHeader& header = segment_->header();
  try {
    info_ = info_from(*segment_);
    layout_ = lay_out(info_);
  } catch (const std::exception& error) {
    throw Error(
        fmt::format("published stream: its description is damaged: {}", json_error_text(error)));
  }
  if (layout_.bytes() != header.ring_bytes || layout_.slots != header.slots ||
      layout_.stride != header.stride || layout_.mark_slots != header.mark_slots)
    throw Error(
        fmt::format("published stream '{}': its ring of {} bytes is not that of its "
                    "description, which takes {}: it is damaged",
                    info_.name, header.ring_bytes, layout_.bytes()));
  capacity_ = capacity_in_samples(info_);
  place_ring(segment_->ring());
  unknown_calibrations_.assign(channel_count(), Polynomial{{std::nan("")}});
}

Stream::~Stream() = default;

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
  const std::uint32_t count = calibration_count_.load(std::memory_order_relaxed);
  for (std::uint32_t id = 0; id < count; ++id)
    if (calibrations({id}) == set) return {id};
  if (chunk_of(count) >= calibration_chunks || (segment_ && !segment_->append(to_text(set))))
    throw Error(fmt::format("stream '{}': no room for more than {} different calibration sets",
                            info_.name, count));
  store_calibrations(std::move(set));
  return {count};
}

void Stream::store_calibrations(CalibrationSet set) const {
  const std::uint32_t id = calibration_count_.load(std::memory_order_relaxed);
  const std::size_t chunk = chunk_of(id);
  if (chunk == calibration_storage_.size())
    calibration_storage_.push_back(std::make_unique<CalibrationSet[]>(std::size_t{1} << chunk));
  CalibrationSet* const sets = calibration_storage_[chunk].get();
  sets[id - first_of(chunk)] = std::move(set);
  calibration_sets_[chunk].store(sets, std::memory_order_relaxed);
  // Orders the set before the count that covers it.
  calibration_count_.store(id + 1, std::memory_order_release);
}

const CalibrationSet& Stream::calibrations(CalibrationSetId id) const noexcept {
  if (id.value >= calibration_count_.load(std::memory_order_acquire)) return late_calibrations(id);
  const std::size_t chunk = chunk_of(id.value);
  return calibration_sets_[chunk].load(std::memory_order_relaxed)[id.value - first_of(chunk)];
}

const CalibrationSet& Stream::late_calibrations(CalibrationSetId id) const noexcept {
  if (memory_) return unknown_calibrations_;
  try {
    const std::scoped_lock lock(calibrations_mutex_);
    for (std::uint32_t next = calibration_count_.load(std::memory_order_relaxed);
         next <= id.value && chunk_of(next) < calibration_chunks; ++next) {
      const std::string text = segment_->entry(next);
      if (text.empty()) return unknown_calibrations_;
      CalibrationSet set = calibrations_from_text(text);
      if (set.size() != channel_count()) return unknown_calibrations_;
      store_calibrations(std::move(set));
    }
  } catch (const std::exception&) {
    return unknown_calibrations_;  // damaged, or no memory
  }
  return id.value < calibration_count_.load(std::memory_order_relaxed) ? calibrations(id)
                                                                       : unknown_calibrations_;
}

}  // namespace spillway
