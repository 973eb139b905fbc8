#include "spillway/storage/first_calibration.hpp"

#include <string>
#include <utility>

namespace spillway {

void begin_with(StreamInfo& info, const CalibrationSet& first) {
  if (first.size() != info.channels.size()) return;
  for (std::size_t c = 0; c < first.size(); ++c) {
    ChannelInfo& channel = info.channels[c];
    const std::string raw = channel.raw_unit();
    ChannelInfo begun = channel;
    begun.calibration = first[c];
    if (begun.calibration.unit_in.empty() && raw != "count") begun.calibration.unit_in = raw;
    if (begun.raw_unit() == raw) channel = std::move(begun);
  }
}

}  // namespace spillway
