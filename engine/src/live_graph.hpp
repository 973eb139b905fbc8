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
#include "streams.hpp"

namespace spillway {

// How much of the log a recording has.
struct GraphLogPosition {
  struct Part {
    bool begun = false;
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
  [[nodiscard]] const std::string& provenance() const noexcept { return provenance_; }

  void start();
  // As Engine::step. One thread; not with threads, and not beside finish().
  bool step() noexcept;
  // Once the sources are quiet: reads what is left, and ends the threads.
  void finish() noexcept;

  // As those of Engine.
  std::uint64_t change(const std::vector<NodeChange>& changes);
  std::uint64_t change_graph(const GraphSpec& spec, const std::optional<ChangeAt>& at);
  [[nodiscard]] std::vector<GraphPartLog> log();
  // What has come to the log since the last call with this position, a line of JSON each, see
  // graph_log_json.hpp; and all lines from the beginning with a new one.
  [[nodiscard]] std::vector<std::string> log_lines(GraphLogPosition& position);
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
    GraphPartLog log;           // under log_mutex_
    std::uint64_t omitted = 0;  // entries the log had no room for; under log_mutex_
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
  void drain(Part& part);
  void tell(Part& part, const GraphRunnerEntry& entry);
  void keep(Part& part, GraphLogEntry entry);
  [[nodiscard]] std::string place(const GraphVersion& version) const;

  Streams& streams_;
  const Publish publish_;
  const bool has_threads_;
  std::vector<EngineStream*> inputs_;
  std::vector<StreamInfo> infos_;
  std::size_t block_frames_ = 1;
  std::string provenance_;
  std::vector<std::unique_ptr<Part>> parts_;
  std::atomic<bool> running_{false};

  // Whoever changes or asks. Never taken by the threads that run the graph.
  std::mutex control_mutex_;
  GraphSpec spec_;
  std::uint64_t changes_ = 0;
  bool started_ = false;
  bool finished_ = false;

  // The log, and who takes from the runners' queues. The threads that run the graph try it, and
  // come again later.
  std::mutex log_mutex_;
  std::vector<UnderWay> under_way_;
};

}  // namespace spillway
