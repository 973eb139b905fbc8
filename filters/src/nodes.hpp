// How each kind of node is made ready to run. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "spillway/channels/stream_info.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "spillway/filters/response.hpp"

namespace spillway {

// What a node gets: lanes side by side, of one rate.
struct Feed {
  std::string name;  // for messages
  std::vector<ChannelInfo> channels;
  std::optional<Rate> rate;  // none: irregular
  std::size_t most_frames = 0;
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
  [[nodiscard]] virtual double delay() const noexcept = 0;  // in samples of the input
  virtual void save_state(StateWriter& writer) const = 0;
  virtual void load_state(StateReader& reader) = 0;
};

// A node made ready.
struct Prepared {
  std::unique_ptr<Runner> runner;
  std::vector<ChannelInfo> channels;   // of the output
  std::size_t most_frames = 0;         // of the output of one block
  std::optional<NumberMap> numbers;    // of a changed rate
  std::optional<Rate> grid;            // output k at time k / grid, whatever the input's numbers
  std::optional<LinearSystem> system;  // if it is linear
};

// What a filter of this kind keeps of its input, in bytes, roughly and from above; to be asked
// before it is made.
[[nodiscard]] double memory_bytes(const NodeKind& kind, const Feed& feed) noexcept;

// Throws Error, without the node's name, for what does not fit.
[[nodiscard]] Prepared prepare(const NodeKind& kind, const Feed& feed);

}  // namespace spillway
