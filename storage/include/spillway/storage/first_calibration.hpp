// The calibrations that a part of a stream begins with.
#pragma once

#include "spillway/channels/stream.hpp"
#include "spillway/channels/stream_info.hpp"

namespace spillway {

// Makes `first` the calibrations that `info` tells of, for a file that begins in the middle of a
// stream. The unit of the values as stored stays: a channel without calibration whose raw unit
// would become another keeps what it has. `first` has one for each channel, or none.
void begin_with(StreamInfo& info, const CalibrationSet& first);

}  // namespace spillway
