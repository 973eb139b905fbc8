#include "stream_at.hpp"

#include <fmt/format.h>

#include "spillway/channels/error.hpp"

namespace spillway {

const RecordedStream& stream_at(const Recording& recording, std::size_t stream) {
  const auto& all = recording.streams();
  if (stream < all.size()) return all[stream];
  throw Error(fmt::format("{}: no stream {}; it has {}, counted from 0", recording.path(), stream,
                          all.size()));
}

const ChannelInfo& channel_at(const Recording& recording, std::size_t stream, std::size_t channel) {
  const StreamInfo& of = stream_at(recording, stream).info;
  if (channel < of.channels.size()) return of.channels[channel];
  throw Error(fmt::format("{}: stream '{}' has no channel {}; it has {}, counted from 0",
                          recording.path(), of.name, channel, of.channels.size()));
}

}  // namespace spillway
