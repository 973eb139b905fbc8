// How each kind of node is made ready to run. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "spillway/channels/stream_info.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "spillway/filters/response.hpp"

namespace spillway {

// What a node gets: lanes side by side, of one rate unless it aligns them.
struct Feed {
  std::string name;  // for messages
  std::vector<ChannelInfo> channels;
  std::optional<Rate> rate;  // none: irregular
  std::size_t most_frames = 0;
  std::vector<std::string> from = {};            // the stream or node of each channel
  std::vector<AlignFilter::Input> aligned = {};  // of `align` alone
  std::size_t block_frames = 0;                  // what a node that makes a grid may make at once
};

// Where the samples of a changed rate lie on the numbers of the input: output m at input
// (m * step + offset) / divisor. It is made as soon as the input behind that is there.
struct NumberMap {
  std::uint64_t step = 1;
  std::uint64_t offset = 0;
  std::uint64_t divisor = 1;
  // How many outputs lie before input `number`. O(1).
  [[nodiscard]] std::uint64_t outputs_before(std::uint64_t number) const noexcept;
  friend bool operator==(const NumberMap&, const NumberMap&) = default;
};

// A filter, whatever it is. One call a block.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual Made process(ConstFrames in, Frames out) noexcept = 0;
  // How many frames from the front of `in` fit into one call.
  [[nodiscard]] virtual std::size_t fitting(const ConstFrames& in) const noexcept = 0;
  virtual void reset() noexcept = 0;
  virtual void gap() noexcept = 0;
  // In the middle of a stream: goes on where `before`, made for the same lanes and rate, stands;
  // if it is of another type or keeps nothing that helps, as behind a gap.
  virtual void take_over(Runner& before) noexcept = 0;
  // Of a user's function: it threw, and what it said; empty if not. fail: as if it had.
  [[nodiscard]] virtual std::string_view failure() const noexcept = 0;
  virtual void fail() noexcept = 0;
  [[nodiscard]] virtual double delay() const noexcept = 0;  // in samples of the input
  virtual void save_state(StateWriter& writer) const = 0;
  virtual void load_state(StateReader& reader) = 0;
};

// A node made ready.
struct Prepared {
  // One of the two.
  std::unique_ptr<Runner> runner;
  std::unique_ptr<AlignFilter> align;
  std::vector<ChannelInfo> channels;   // of the output
  std::size_t most_frames = 0;         // of the output of one block
  std::optional<NumberMap> numbers;    // of a changed rate
  std::optional<Rate> grid;            // output k at time k / grid, whatever the input's numbers
  std::uint64_t memory = 1;            // see Graph::memory_samples
  std::optional<LinearSystem> system;  // if it is linear
};

// What a filter of this kind keeps of its input, in bytes, roughly and from above; to be asked
// before it is made.
[[nodiscard]] double memory_bytes(const NodeKind& kind, const Feed& feed) noexcept;

// Throws Error, without the node's name, for what does not fit.
[[nodiscard]] Prepared prepare(const NodeKind& kind, const Feed& feed);

}  // namespace spillway
