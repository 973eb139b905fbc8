// The samples of a node as a recorder would have read them from its stream. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "spillway/channels/block.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/filters/graph.hpp"

namespace spillway {

// Does what GraphRunner, the writer of a derived ring and its reader do together, without a ring:
// the same gaps with their causes, the same clock, times that do not go forward flagged the
// same. One thread at a time.
class DerivedStream {
 public:
  // Chunks in the order of sample numbers, their samples in the block, which is `give`'s until it
  // returns and may be exchanged for another of its shape.
  using Give = std::function<void(const Chunk& chunk, Block& block)>;

  // `begin`: the number it begins with; none: that of the first sample that comes, and no gap
  // before that is told.
  DerivedStream(const StreamInfo& info, std::size_t block_frames, std::optional<SampleNumber> begin,
                Give give);

  // What a run of the graph made of the node.
  void add(const NodeOutput& made);
  // Gives what is not given yet.
  void flush();

  // The number behind all that was added.
  [[nodiscard]] SampleNumber next() const noexcept { return {next_}; }

  // Where it stands behind flush(); another one of the same stream goes on from there.
  struct State {
    bool begun = false;
    SampleNumber next;
    std::uint64_t rows = 0;
    SampleNumber clock_sample;
    Time clock_time{};
    std::optional<Time> last_time = {};
  };
  [[nodiscard]] State state() const noexcept;
  void set_state(const State& state) noexcept;

 private:
  void gap(std::uint64_t count, GapCause cause);
  void set_clock(SampleNumber sample, Time time);
  void push(const double* values, const Quality* quality, const Time* times, std::size_t count);
  void push_irregular(const double* values, const Quality* quality, const Time* times,
                      std::size_t count);
  void begin_chunk() noexcept;

  StreamInfo info_;
  Block block_;
  Give give_;
  bool begun_;
  std::uint64_t next_ = 0;
  std::uint64_t rows_ = 0;  // given, or in the chunk
  SampleNumber clock_sample_{};
  Time clock_time_{};
  std::optional<Time> last_time_;  // irregular streams: of the last sample
  Chunk chunk_;                    // under way
};

}  // namespace spillway
