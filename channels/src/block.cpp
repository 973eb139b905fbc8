#include "spillway/channels/block.hpp"

namespace spillway {

Block::Block(const StreamInfo& info, std::size_t frames) : frames_(frames) {
  for (const ChannelInfo& channel : info.channels)
    lanes_.push_back({channel.type,
                      std::make_unique<std::byte[]>(frames * sample_size(channel.type)),
                      std::vector<Quality>(frames)});
  if (!info.rate) times_.resize(frames);
}

}  // namespace spillway
