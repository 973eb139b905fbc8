#include "convert.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <optional>
#include <variant>

#include "simd/pick.hpp"
#include "spillway/filters/quality_span.hpp"

SPILLWAY_SIMD_TABLE(ConvertKernels, convert_kernels, pick_convert_kernels)

namespace spillway {

namespace {

// A tile stays in the first cache, beside what is written; its rows are whole lines of it.
constexpr std::size_t tile_frames = 64;
constexpr std::size_t tile_lanes = 16;

static_assert(std::size(simd::ConvertKernels{}.linear) ==
              static_cast<std::size_t>(SampleType::float64) + 1);

// Leaves -0.0 as it is, too.
constexpr Linear identity{.slope = 1.0, .offset = -0.0};

// A calibration that is nothing but y = slope * x + offset.
std::optional<Linear> as_linear(const Calibration& calibration) noexcept {
  if (calibration.is_identity()) return identity;
  const Linear* const step = std::get_if<Linear>(&calibration.steps.front());
  if (step == nullptr || calibration.steps.size() > 1) return std::nullopt;
  return *step;
}

constexpr Quality missing(Verdict::bad, Quality::missing);

bool is_missing(Quality quality) noexcept {
  return (quality.byte() & missing.byte()) == missing.byte();
}

bool any_missing(std::span<const Quality> qualities) noexcept {
  bool any = false;
  for (const Quality quality : qualities) any |= is_missing(quality);
  return any;
}

// What is missing is NaN, and what is NaN is missing.
void mark_missing(double* values, Quality* quality, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (std::isnan(values[i])) quality[i] = merge(quality[i], missing);
    if (is_missing(quality[i])) values[i] = std::numeric_limits<double>::quiet_NaN();
  }
}

}  // namespace

InputConverter::InputConverter(const StreamInfo& info, bool wants_raw)
    : kernels_(&simd::pick_convert_kernels()), wants_raw_(wants_raw) {
  if (info.channels.size() == 1) return;
  const std::size_t size = tile_frames * std::min(tile_lanes, info.channels.size());
  calibrated_.values.resize(size);
  calibrated_.quality.resize(size);
  if (!wants_raw) return;
  raw_.values.resize(size);
  raw_.quality.resize(size);
}

InputConverter::Good InputConverter::convert_lane(const Block& block, std::size_t lane,
                                                  std::size_t begin, std::size_t count,
                                                  const Calibration& calibration, Place calibrated,
                                                  Place raw) const noexcept {
  const SampleType type = block.type(lane);
  const std::byte* const from = block.bytes(lane) + begin * sample_size(type);
  const auto linear = kernels_->linear[static_cast<std::size_t>(type)];
  const std::span<const Quality> quality = block.quality(lane).subspan(begin, count);
  const auto make = [&](const Linear& step, double* to) {
    return linear(from, count, step.slope, step.offset, to);
  };
  Good good;
  good.calibrated = good.raw = all_good(quality);
  const bool complete = good.raw || !any_missing(quality);
  std::copy_n(quality.data(), count, calibrated.quality);
  const std::optional<Linear> simple = as_linear(calibration);
  // If nothing comes out as NaN, nothing was.
  if (complete && simple && make(*simple, calibrated.values)) {
    if (!wants_raw_) return good;
    make(identity, raw.values);
    std::copy_n(quality.data(), count, raw.quality);
    return good;
  }
  const bool valid = make(identity, calibrated.values);
  if (!valid || !complete) mark_missing(calibrated.values, calibrated.quality, count);
  if (wants_raw_) {
    std::copy_n(calibrated.values, count, raw.values);
    std::copy_n(calibrated.quality, count, raw.quality);
    good.raw = all_good({raw.quality, count});
  }
  calibration.apply({calibrated.values, count}, {calibrated.quality, count});
  good.calibrated = all_good({calibrated.quality, count});
  return good;
}

void InputConverter::lay_out(const Tile& tile, bool good, std::size_t first_lane, std::size_t lanes,
                             std::size_t first_frame, std::size_t frames,
                             Frames to) const noexcept {
  const std::size_t at = first_frame * to.lanes + first_lane;
  kernels_->transpose(tile.values.data(), tile_frames, lanes, frames, to.values.data() + at,
                      to.lanes);
  Quality* const quality = to.quality.data() + at;
  if (good && lanes == to.lanes) {
    std::fill_n(quality, frames * lanes, Quality::good());
  } else if (good) {
    for (std::size_t f = 0; f < frames; ++f)
      std::fill_n(quality + f * to.lanes, lanes, Quality::good());
  } else {
    for (std::size_t f = 0; f < frames; ++f)
      for (std::size_t l = 0; l < lanes; ++l)
        quality[f * to.lanes + l] = tile.quality[l * tile_frames + f];
  }
}

void InputConverter::convert(const Block& block, std::size_t begin, std::size_t count,
                             std::span<const Calibration> set, Frames calibrated,
                             Frames raw) noexcept {
  const std::size_t lanes = block.channel_count();
  for (std::size_t f = 0; f < count; f += tile_frames) {
    const std::size_t frames = std::min(tile_frames, count - f);
    if (lanes == 1) {
      const Place at{calibrated.values.data() + f, calibrated.quality.data() + f};
      const Place raw_at =
          wants_raw_ ? Place{raw.values.data() + f, raw.quality.data() + f} : Place{};
      convert_lane(block, 0, begin + f, frames, set[0], at, raw_at);
      continue;
    }
    for (std::size_t l = 0; l < lanes; l += tile_lanes) {
      const std::size_t some = std::min(tile_lanes, lanes - l);
      Good good;
      for (std::size_t i = 0; i < some; ++i) {
        const auto at = [&](Tile& tile) {
          return Place{tile.values.data() + i * tile_frames, tile.quality.data() + i * tile_frames};
        };
        const Good one = convert_lane(block, l + i, begin + f, frames, set[l + i], at(calibrated_),
                                      wants_raw_ ? at(raw_) : Place{});
        good.calibrated &= one.calibrated;
        good.raw &= one.raw;
      }
      lay_out(calibrated_, good.calibrated, l, some, f, frames, calibrated);
      if (wants_raw_) lay_out(raw_, good.raw, l, some, f, frames, raw);
    }
  }
}

void pick_lanes(const ConstFrames& from, std::span<const std::size_t> lanes, std::size_t first_lane,
                Frames to) noexcept {
  const std::size_t count = from.count();
  if (count == 0) return;
  const std::size_t width = to.lanes;
  double* const values = to.values.data() + first_lane;
  Quality* const quality = to.quality.data() + first_lane;
  const auto pick_one = [&](std::size_t lane, std::size_t at) {
    for (std::size_t f = 0; f < count; ++f) {
      values[f * width + at] = from.values[f * from.lanes + lane];
      quality[f * width + at] = from.quality[f * from.lanes + lane];
    }
  };
  if (lanes.size() == 1) {
    pick_one(lanes[0], 0);
  } else if (!lanes.empty()) {
    for (std::size_t f = 0; f < count; ++f)
      for (std::size_t l = 0; l < lanes.size(); ++l) {
        values[f * width + l] = from.values[f * from.lanes + lanes[l]];
        quality[f * width + l] = from.quality[f * from.lanes + lanes[l]];
      }
  } else if (from.lanes == width) {
    std::copy_n(from.values.data(), from.values.size(), values);
    std::copy_n(from.quality.data(), from.quality.size(), quality);
  } else if (from.lanes < 8) {
    // Too few for the call that copies them.
    for (std::size_t l = 0; l < from.lanes; ++l) pick_one(l, l);
  } else {
    for (std::size_t f = 0; f < count; ++f) {
      std::copy_n(from.values.data() + f * from.lanes, from.lanes, values + f * width);
      std::copy_n(from.quality.data() + f * from.lanes, from.lanes, quality + f * width);
    }
  }
}

}  // namespace spillway
