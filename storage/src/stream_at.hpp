// The streams and channels of a recording by index, as callers ask for them. Private.
#pragma once

#include <cstddef>

#include "spillway/storage/recording.hpp"

namespace spillway {

// Throw Error that names the recording and how many there are.
[[nodiscard]] const RecordedStream& stream_at(const Recording& recording, std::size_t stream);
[[nodiscard]] const ChannelInfo& channel_at(const Recording& recording, std::size_t stream,
                                            std::size_t channel);

}  // namespace spillway
