// The graph between rings: reads streams, writes derived streams. Private.
#pragma once

#include <atomic>
#include <boost/lockfree/policies.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "graph_version.hpp"
#include "progress.hpp"
#include "spillway/channels/duration_histogram.hpp"
#include "spillway/channels/reader.hpp"

namespace spillway {

// A place in a stream. Of a gap in front of the next sample a part may be before it.
struct StreamCut {
  std::uint64_t position = 0;  // samples before it
  SampleNumber number;         // the first one behind it
};

// Asks for a cut: where the graph stands between two blocks, and the state of its nodes there. All
// memory is reserved by who asks.
struct GraphCutRequest {
  std::vector<std::uint64_t>
      not_before;  // positions in the inputs that the graph must have reached
  // Filled in by the thread that runs the graph, and then `taken`:
  std::vector<StreamCut> inputs;
  std::vector<bool> is_read;       // of each input, whether a node depends on it
  std::vector<StreamCut> outputs;  // of each of GraphVersion::outputs, and more
  std::vector<std::byte> state;
  std::size_t state_size = 0;
  bool fits = false;  // else there was no room for state or outputs, and nothing else is told
  std::atomic<bool> taken{false};
};

// What the data path tells of GraphLog's entries; who takes it knows the names.
struct GraphRunnerEntry {
  enum class Kind : std::uint8_t {
    loss,
    wait_ended,
    node_failed,
    changed,
    cut,  // what came before it was before the cut
  };
  Kind kind = Kind::loss;
  GapCause cause = GapCause::source;  // loss: of `missing`
  bool mixed = false;                 // loss
  const GraphVersion* version = nullptr;
  std::size_t node = 0;   // wait_ended, node_failed
  std::size_t input = 0;  // loss: of the graph; wait_ended: of the node
  SampleNumber from = {};
  SampleCount count = {};  // loss: lost
  SampleCount missing = {};
};

// One thread steps; one other, at a time, sends and takes.
class GraphRunner {
 public:
  // A stream the graph may read. `waits`: fed by a source that waits for room, so the
  // graph leaves samples where they are rather than overwrite derived ones.
  struct Input {
    const Stream* stream = nullptr;
    Progress* progress = nullptr;
    bool waits = false;
  };
  // The largest block that is read of a stream. Large ones cost less a sample, until the
  // doubles they become no longer fit into the fast caches.
  [[nodiscard]] static std::size_t block_frames(const StreamInfo& info);

  // `inputs` as the graphs count them. `first` and all that are sent must outlive the runner, or
  // be retired. A graph without nodes reads nothing and holds no source back.
  GraphRunner(const std::vector<Input>& inputs, GraphVersion& first);

  // --- the thread that runs the graph; noexcept, allocates nothing, locks nothing, no system
  // call ---

  // One block of every input, and the changes that are due; true if there was anything.
  bool step() noexcept;
  // Whether everything pushed so far was read and used.
  [[nodiscard]] bool drained() const noexcept;
  // Once it is drained and nothing more will come: makes what still waits to be aligned. False if
  // derived streams have no room for it now; to be called again then.
  bool end_waits() noexcept;

  // --- another thread ---

  // How many versions that are not retired there may be.
  static constexpr std::size_t most_versions = 16;
  // Lets `next`, whose graph follows that of the one sent before, take its place.
  void send(GraphVersion& next) noexcept;
  // A version that is not used any more; null if there is none.
  [[nodiscard]] GraphVersion* take_retired() noexcept;
  // The entries of a version come before it is retired.
  bool take(GraphRunnerEntry& entry) noexcept { return log_.pop(entry); }
  [[nodiscard]] bool has_entries() const noexcept { return log_.read_available() > 0; }

  // Asks for a cut at the next place where it can be made, and where there is room for the entry
  // that tells of it; one at a time.
  void ask(GraphCutRequest& request) noexcept { asked_.store(&request, std::memory_order_release); }
  // Until it returns, the request may be answered; it is not looked at from then on. Waits while
  // the runner looks at it or answers.
  void withdraw(const GraphCutRequest& request) noexcept;

  // --- any thread ---

  // Entries there was no room for.
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    return dropped_.load(std::memory_order_relaxed);
  }
  // From the read of a block until all that was made of it was written.
  [[nodiscard]] DurationHistogram::Snapshot latency() const noexcept { return latency_.snapshot(); }

 private:
  struct In {
    StreamReader reader;
    Block block;
    Progress* progress;
    bool waits;
  };
  template <class T, std::size_t size>
  using Queue = boost::lockfree::spsc_queue<T, boost::lockfree::capacity<size>>;

  [[nodiscard]] bool is_read(std::size_t input) const noexcept;
  [[nodiscard]] bool has_room(std::size_t input) const noexcept;
  bool skip(In& in) noexcept;
  void join_in() noexcept;
  void make_due_changes() noexcept;
  [[nodiscard]] bool is_due() const noexcept;
  void take_over() noexcept;
  bool go_on() noexcept;
  void tell_loss() noexcept;
  void use_outputs() noexcept;
  void write(std::size_t node) noexcept;
  void log(const GraphRunnerEntry& entry) noexcept;
  void answer() noexcept;

  std::vector<In> inputs_;
  GraphVersion* version_;
  GraphVersion* next_ = nullptr;  // sent, not due yet
  bool reading_;                  // there are nodes, or were

  // The chunk under way, of input *current_. `resting_`: a part of it, up to frame `end_`, was
  // given to the graph, which may have more to make of it; else frame `end_` is next.
  std::optional<std::size_t> current_;
  Chunk chunk_;
  std::size_t end_ = 0;
  bool resting_ = false;
  std::chrono::steady_clock::time_point since_;

  DurationHistogram latency_;
  std::atomic<std::uint64_t> dropped_{0};
  std::atomic<GraphCutRequest*> asked_{nullptr};
  Queue<GraphVersion*, most_versions> sent_;
  Queue<GraphVersion*, most_versions> retired_;
  Queue<GraphRunnerEntry, 1024> log_;
};

}  // namespace spillway
