// A block: a run of consecutive samples of a stream, copied out of its ring.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "spillway/channels/quality.hpp"
#include "spillway/channels/stream_info.hpp"

namespace spillway {

// Planar buffers for up to `frames` samples of every channel of a stream, their
// quality and, for irregular streams, their times. Allocates when made, never after.
class Block {
 public:
  Block(const StreamInfo& info, std::size_t frames);

  [[nodiscard]] std::size_t frames() const noexcept { return frames_; }  // room, not content
  [[nodiscard]] std::size_t channel_count() const noexcept { return lanes_.size(); }
  [[nodiscard]] bool has_times() const noexcept { return !times_.empty(); }
  [[nodiscard]] SampleType type(std::size_t channel) const noexcept { return lanes_[channel].type; }

  // T must be the channel's type.
  template <Sample T>
  [[nodiscard]] std::span<T> values(std::size_t channel) noexcept {
    assert(lanes_[channel].type == sample_type_of<T>());
    return {reinterpret_cast<T*>(lanes_[channel].values.get()), frames_};
  }
  template <Sample T>
  [[nodiscard]] std::span<const T> values(std::size_t channel) const noexcept {
    assert(lanes_[channel].type == sample_type_of<T>());
    return {reinterpret_cast<const T*>(lanes_[channel].values.get()), frames_};
  }
  [[nodiscard]] std::byte* bytes(std::size_t channel) noexcept {
    return lanes_[channel].values.get();
  }
  [[nodiscard]] const std::byte* bytes(std::size_t channel) const noexcept {
    return lanes_[channel].values.get();
  }
  [[nodiscard]] std::span<Quality> quality(std::size_t channel) noexcept {
    return lanes_[channel].quality;
  }
  [[nodiscard]] std::span<const Quality> quality(std::size_t channel) const noexcept {
    return lanes_[channel].quality;
  }
  [[nodiscard]] std::span<Time> times() noexcept { return times_; }
  [[nodiscard]] std::span<const Time> times() const noexcept { return times_; }

 private:
  struct Lane {
    SampleType type;
    std::unique_ptr<std::byte[]> values;  // as new[] returns it: aligned for every sample type
    std::vector<Quality> quality;
  };
  std::size_t frames_;
  std::vector<Lane> lanes_;
  std::vector<Time> times_;
};

}  // namespace spillway
