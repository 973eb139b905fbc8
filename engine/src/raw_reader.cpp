#include "raw_reader.hpp"

#include <algorithm>

namespace spillway {

RawReader::RawReader(const Recording& recording, const ReplayPlan::Input& input)
    : reader_(recording, input.stream, input.range), changes_(input.calibrations) {
  for (const ChannelInfo& channel : input.info.channels) none_.push_back(channel.calibration);
}

Chunk RawReader::read(Block& block) {
  Chunk chunk = reader_.read(block);
  const auto change =
      std::ranges::upper_bound(changes_, chunk.first.value, {}, &CalibrationChange::from_sample);
  chunk.calibrations = {static_cast<std::uint32_t>(change - changes_.begin())};
  if (change == changes_.end() || change->from_sample >= chunk.first.value + chunk.count.value)
    return chunk;
  chunk.count.value = change->from_sample - chunk.first.value;
  chunk.stop = Stop::calibration;
  reader_.seek(chunk.first + chunk.count);
  return chunk;
}

}  // namespace spillway
