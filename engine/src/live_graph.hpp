// The graph of an engine while it runs: its parts, their threads, its changes, its log. Private.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "graph_runner.hpp"
#include "graph_version.hpp"
#include "spillway/engine/event.hpp"
#include "spillway/engine/graph_status.hpp"
#include "spillway/filters/graph_snapshot.hpp"
#include "streams.hpp"

namespace spillway {

// How much of the log a recording has.
struct GraphLogPosition {
  struct Part {
    // The graph in force where the log is taken up, until its line was given.
    std::shared_ptr<const GraphSpec> begin;
    std::size_t next = 0;       // entry
    std::uint64_t dropped = 0;  // told of
    // Entries that may still grow: their outputs told of.
    struct Wait {
      std::size_t entry;
      std::uint64_t count;
    };
    std::vector<Wait> waits;
  };
  std::vector<Part> parts;
};

// A place where a recording goes on in another file.
struct GraphPlace {
  struct Output {
    const Stream* stream;
    bool in_force = false;  // there is such a node
    StreamCut cut;
  };
  // Of LiveGraph::inputs(): from where on each part can be run again; empty: the place is where the
  // recording stands.
  std::vector<StreamCut> inputs;
  std::vector<Output> outputs;
  GraphSnapshot snapshot;
  GraphLogPosition log;    // of what comes behind it
  std::string provenance;  // of the graph in force
};

// Built before the engine runs, of all its streams. Unless said otherwise any thread, that may
// wait.
class LiveGraph {
 public:
  using Publish = std::function<void(Event)>;

  // Makes the derived streams. `threads`: 0 if step() is called. Throws Error if the graph is wrong
  // or the memory budget does not do.
  LiveGraph(const GraphSpec& spec, Streams& streams, std::size_t threads, Publish publish);
  LiveGraph(const LiveGraph&) = delete;
  LiveGraph& operator=(const LiveGraph&) = delete;
  ~LiveGraph();

  // The graph as recordings keep it; empty without nodes.
  [[nodiscard]] std::string provenance();
  // Called with each new stream of a running graph, before anything is written to it; by whoever
  // changes the graph. To be set before start().
  void set_on_stream(std::function<void(EngineStream&)> on_stream) {
    on_stream_ = std::move(on_stream);
  }

  void start();
  // As Engine::step. One thread; not with threads, and not beside finish().
  bool step() noexcept;
  // Once the sources are quiet: reads what is left, and ends the threads.
  void finish() noexcept;

  // As those of Engine.
  std::uint64_t change(const std::vector<NodeChange>& changes);
  std::uint64_t change_graph(const GraphSpec& spec, const std::optional<ChangeAt>& at);
  [[nodiscard]] std::vector<GraphPartLog> log();
  // The log from its beginning on.
  [[nodiscard]] GraphLogPosition log_begin();
  // What has come to the log since the last call with this position, up to `until` if given, a line
  // of JSON each, see graph_log_json.hpp.
  [[nodiscard]] std::vector<std::string> log_lines(GraphLogPosition& position,
                                                   const GraphLogPosition* until = nullptr);

  // --- for recordings that go on in another file ---

  // How many changes that all parts have made brought or took nodes.
  [[nodiscard]] std::uint64_t outputs_changed() const noexcept {
    return outputs_changed_.load(std::memory_order_acquire);
  }
  // As it is now, without the state of any part.
  [[nodiscard]] GraphPlace here();
  // Asks all parts for a place that is in none of inputs() before these positions. Returns a ticket
  // for look(), or 0: not now, as somebody else asks, or the graph has ended. Whoever has one must
  // go on to look until the place is there or never comes, or withdraw.
  [[nodiscard]] std::uint64_t ask(const std::vector<std::uint64_t>& not_before);
  enum class Asked : std::uint8_t { pending, there, never };
  // `place`: while it is pending, only the outputs of those parts that have been there already.
  [[nodiscard]] Asked look(std::uint64_t ticket, GraphPlace& place);
  void withdraw(std::uint64_t ticket) noexcept;

  [[nodiscard]] std::vector<GraphPartStatus> status();
  // As of the last change.
  [[nodiscard]] GraphSpec spec();
  // The streams that nodes may refer to.
  [[nodiscard]] const std::vector<EngineStream*>& inputs() const noexcept { return inputs_; }

 private:
  // The stream of a node that is there, or was.
  struct Derived {
    std::string id;
    EngineStream* stream;
  };
  struct Part {
    std::vector<std::unique_ptr<GraphVersion>> versions;  // those in use; the last is the newest
    std::vector<Derived> derived;
    std::unique_ptr<GraphRunner> runner;
    std::thread thread;
    // Under log_mutex_:
    bool runs = false;  // there are nodes, or were
    GraphPartLog log;
    std::uint64_t omitted = 0;  // entries the log had no room for
    // As of the last entry, and what holds for the last cut.
    std::shared_ptr<const GraphSpec> in_force;
    std::size_t grows_from = 0;  // entries before are not added to any more
    GraphLogPosition::Part cut;
    std::unique_ptr<GraphCutRequest> request;
    std::size_t state_bytes = 0;  // of the last cut

    std::optional<GraphPartStatus> last_status;
  };
  // A version about to be used, and the streams that come with it.
  struct Prepared {
    std::vector<std::unique_ptr<EngineStream>> streams;  // not adopted yet
    std::vector<Derived> derived;                        // all of the part
    std::unique_ptr<GraphVersion> version;               // has writers of the streams
  };
  // A change that not every part has made.
  struct UnderWay {
    std::uint64_t number = 0;
    std::size_t parts_left = 0;
    std::string text;
    bool outputs = false;  // brings or takes nodes
  };

  [[nodiscard]] std::vector<GraphSpec> split(const GraphSpec& spec);
  [[nodiscard]] Prepared prepare(GraphSpec spec, const Part& part, std::uint64_t& bytes) const;
  void adopt(Part& part, Prepared prepared);
  [[nodiscard]] std::uint64_t graph_bytes() const;
  void must_be_running() const;
  std::uint64_t make_change(const GraphSpec& spec, const std::vector<std::size_t>& parts,
                            std::vector<GraphSpec> split, std::optional<GraphVersion::At> at,
                            const std::string& what);
  void run(Part& part) noexcept;
  void start_thread(Part& part);
  void collect();
  void take_end();
  void drain(Part& part);
  void tell(Part& part, const GraphRunnerEntry& entry);
  void keep(Part& part, GraphLogEntry entry);
  // As it is now, for a log that is taken up here.
  [[nodiscard]] GraphLogPosition::Part position_in(Part& part);
  void reserve(Part& part, const std::vector<std::uint64_t>& not_before) const;
  std::uint64_t ask_parts(const std::vector<std::uint64_t>& not_before);
  void end_asking() noexcept;
  [[nodiscard]] GraphPlace place_asked_for();
  [[nodiscard]] static std::vector<GraphPlace::Output> outputs_of(const Part& part,
                                                                  const GraphSpec& in_force);
  [[nodiscard]] std::string place(const GraphVersion& version) const;

  Streams& streams_;
  const Publish publish_;
  const bool has_threads_;
  std::vector<EngineStream*> inputs_;
  std::vector<StreamInfo> infos_;
  std::size_t block_frames_ = 1;
  std::function<void(EngineStream&)> on_stream_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::atomic<bool> running_{false};

  // Whoever changes or asks. Never taken by the threads that run the graph.
  std::mutex control_mutex_;
  GraphSpec spec_;
  std::uint64_t changes_ = 0;
  bool started_ = false;
  bool finished_ = false;

  // The log, cuts, and who takes from the runners' queues; also what parts are made of, which is
  // changed under both. The threads that run the graph try it, and come again later.
  std::mutex log_mutex_;
  std::vector<UnderWay> under_way_;
  std::uint64_t asking_ = 0;  // the ticket of who asks
  std::uint64_t tickets_ = 0;
  // No place comes any more but this one, of a graph that had other outputs at first.
  bool ended_ = false;
  std::optional<GraphPlace> end_;
  std::uint64_t changes_made_ = 0;  // by any part
  std::atomic<std::uint64_t> outputs_changed_{0};

  std::mutex provenance_mutex_;
  std::string provenance_;
  std::uint64_t provenance_of_ = 0;  // changes_made_
};

}  // namespace spillway
