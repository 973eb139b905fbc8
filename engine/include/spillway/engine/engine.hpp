// The engine: streams, graph, recordings, and the threads between them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/engine/event.hpp"
#include "spillway/engine/graph_status.hpp"
#include "spillway/engine/source.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/durability.hpp"
#include "spillway/storage/numbered_sink.hpp"
#include "spillway/storage/output_file.hpp"
#include "spillway/storage/sink.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

class Graph;

// Something with samples: a stream or a node of the graph, by name; what
// graph().add and record() take.
struct Signal {
  std::string name;
};

// The channel of a stream of one channel of type T.
template <Sample T>
class Channel : public Signal {
 public:
  explicit Channel(Stream& stream) : Signal{stream.info().name}, stream_(&stream) {}
  // The one writer. Throws Error the second time.
  [[nodiscard]] Writer<T> writer() const { return Writer<T>(*stream_); }
  [[nodiscard]] Reader<T> reader() const { return Reader<T>(*stream_); }

 private:
  Stream* stream_;
};

// A stream of one channel in short; see ChannelInfo and StreamInfo.
struct ChannelOptions {
  std::string name;
  std::string description = {};
  std::string unit = "1";
  std::optional<Hertz> rate = {};
  Capacity capacity = SampleCount{65536};
  std::optional<Range> range = {};
  Calibration calibration = {};
  Origin origin = {};
};

// Adds nodes to the engine's graph, before it starts.
class GraphBuilder {
 public:
  // The result is a stream too: readable and recordable. Without an id it is named
  // after its input and kind, e.g. "strain0_lowpass".
  Signal add(NodeKind kind, const Signal& input, std::string id = {});
  // Of several inputs, whose lanes then stand side by side.
  Signal add(NodeKind kind, const std::vector<Signal>& inputs, std::string id = {});
  // All nodes of `spec`, e.g. from graph_from_yaml.
  void add(GraphSpec spec);

 private:
  friend class Engine;
  GraphSpec spec_;
};

// Where and how to record. What makes no sense together is an Error of record().
struct RecordOptions {
  std::string path;  // ".h5", ".hdf5", ".nxs": HDF5; ".csv": CSV
  // After so long at most, what came is acknowledged.
  std::chrono::nanoseconds flush = std::chrono::seconds(1);
  Existing existing = Existing::refuse;
  Durability durability = Durability::full;
  int compression = 0;                             // HDF5: 0 to 12, see Hdf5Options
  std::size_t compression_threads = 1;             // HDF5: 0 to 64
  bool compatible = false;                         // HDF5: sealed files that HDF5 1.8 reads
  CsvOptions::Form form = CsvOptions::Form::wide;  // CSV
  // Not empty: numbered files, see NumberedSink. Each can be read alone.
  Split split = {};
  bool master = false;  // HDF5: besides, a file `path` that shows all of them as one
  Keep keep = {};       // needs a split
};

// A stream or node to be published in shared memory, see shared_stream.hpp.
struct Publication {
  std::string stream;
  std::string name;  // the machine's; empty: as the stream
};

struct EngineOptions {
  std::string title = {};
  std::uint64_t memory_budget = std::uint64_t{1} << 30;  // bytes, for all rings and filters
  std::string configuration = {};                        // stored in recordings as given
  // Threads that run the graph, 0 to 64: parts of it that do not depend on each other run side by
  // side. 0: the caller runs it with step().
  std::size_t graph_threads = 1;
  std::vector<Publication> publish = {};
};

// How one recording went.
struct RecordingReport {
  std::string path;                // of the first file
  std::vector<std::string> files;  // all of them, in order; some may be deleted by now
  Ending ending;                   // of the last
  std::uint64_t bytes = 0;
  struct PerStream {
    std::string name;
    // Over all files. What was read, but could not be written, counts as lost.
    RecordedCounts counts;
    SampleNumber acknowledged;  // see RecordingStatus
  };
  std::vector<PerStream> streams;
};

struct Report {
  std::vector<RecordingReport> recordings;
  std::vector<std::string> errors;  // one line each; empty if all went well
};

// How far a running recorder is, for a status line.
struct RecordingStatus {
  std::string path;
  std::uint64_t bytes = 0;
  bool waiting_for_room = false;                     // the disk is full
  std::optional<std::chrono::seconds> full_in = {};  // of the disk, at this rate; none: unknown
  struct PerStream {
    std::string name;
    std::uint64_t recorded = 0;
    std::uint64_t lost = 0;
    std::uint64_t missing = 0;
    std::uint64_t lag = 0;  // pushed, not recorded yet
    // The first sample that is not acknowledged: each before it is in the recording or named as
    // not there, and survives what the durability of the recording says.
    SampleNumber acknowledged;
    std::uint64_t unacknowledged = 0;  // samples from there on, of those there are by now
  };
  std::vector<PerStream> streams;
};

// Build (may throw) -> start -> run -> stop. Set-up, start and stop belong to one
// thread, allocate and may block; the data path is that of Writer and StreamReader.
//
// Acquisition never waits for the graph, and the graph never for a recording: each
// reads with a cursor of its own, each recording on a thread of its own.
class Engine {
 public:
  explicit Engine(EngineOptions options = {});
  // Stops if it runs, as stop() does, but tells nobody.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // --- build; every function throws Error for what is wrong, and once started ---

  // The memory of all rings is checked against the budget here.
  Stream& add_stream(StreamInfo info);
  template <Sample T>
  Channel<T> add_channel(ChannelOptions options) {
    return Channel<T>(add_single(std::move(options), sample_type_of<T>()));
  }
  [[nodiscard]] GraphBuilder& graph() noexcept;
  // Claims the path at once, which no other recording of this engine may have. The recording keeps
  // the events of the engine and the log of the graph too. No signals: all streams and nodes; when
  // a change of the running graph brings or takes nodes, the recording goes on in its next numbered
  // file, or, with a sink that has none, as it is. A next file begins with the state of the graph,
  // see docs/durability.md.
  void record(RecordOptions options, std::vector<Signal> signals = {});
  void record(std::unique_ptr<Sink> sink, std::chrono::nanoseconds flush,
              std::vector<Signal> signals = {});
  void add_source(SourceOptions options, Source source);
  // A queue of events; lives as long as the engine.
  Subscription& subscribe(std::size_t capacity = 1024);

  // --- run ---

  // Prepares the graph, opens the recordings, starts the threads. Throws Error, and
  // then nothing runs and no file is left.
  void start();
  // Runs the graph on the caller's thread over what has come, up to one block a
  // stream, and makes the changes that are due; true if there was anything. Only with
  // graph_threads = 0, one thread at a time, not beside stop(). noexcept, allocates nothing,
  // locks nothing, no system call.
  bool step() noexcept;
  // True once all sources have ended, or anything failed. Without sources: only if failed.
  [[nodiscard]] bool finished() const noexcept;
  [[nodiscard]] bool failed() const noexcept;
  // Ends sources, drains the graph and the recorders, flushes, seals. Writers that
  // belong to the caller must be quiet by now. Throws nothing: what went wrong is in the report.
  Report stop() noexcept;

  // Any stream or node by name, nodes from start() on, those that a change brought from its
  // return on. They live as long as the engine. Throws Error that lists what there is.
  [[nodiscard]] Stream& stream(const std::string& name) const;
  // All streams, then all nodes, as they are now.
  [[nodiscard]] std::vector<std::string> names() const;
  // The graph as it is now, or as the last change made it, ready for blocks of one frame: to be
  // looked at. Throws Error if it is wrong, see Graph.
  [[nodiscard]] Graph prepared_graph() const;
  [[nodiscard]] std::vector<RecordingStatus> status() const;

  // --- change the graph while it runs; any thread but those that run the graph, between start()
  // and stop(); these lock, allocate and may take as long as start() ---
  //
  // All is prepared here, and checked: what throws Error changed nothing. Then the threads that
  // run the graph put it in the place of the old, in the order of the calls, between two samples
  // of each stream; nothing is lost or repeated in any derived stream. Each returns the number
  // of the change, from 1 on; the event graph_changed tells when it is made. At most 15 may be
  // still to be made; then Error.
  //
  // Both graphs count in the memory budget until the old one is destroyed, by the next call of
  // any function here.

  // Other parameters or kinds for nodes, all at once: no sample of a stream sees one without the
  // other, if their nodes depend on each other or graph_threads is at most 1. What a node takes
  // over of its past: see Graph::follow.
  std::uint64_t change(const std::vector<NodeChange>& changes);

  // Another graph. Nodes of an id that is there already keep their stream and their state as far
  // as Graph::follow says; Error if they would give another stream (rate, channels, units) or
  // more samples at once than that has room for, also if the id was there earlier. A node that is
  // gone gives no more samples to its stream. A new node begins in mid-stream; its samples are not
  // part of recordings that run already.
  //
  // With `at`, exactly in front of that sample of that stream, or of the next one there is; at
  // once if the graph is behind it already. Changes called for later wait for it. What the end
  // of the stream is in front of is never made.
  //
  // With several threads nodes stay where they are: Error if nodes of two threads would depend
  // on each other.
  std::uint64_t change_graph(const GraphSpec& spec, const std::optional<ChangeAt>& at = {});

  // --- what the graph tells of itself; any thread but those that run it, also after stop();
  // locks and allocates ---

  // Everything since start() that an offline run has to know of, one of each part: parts are
  // graph_threads, or one. With graph_threads = 0 the graph keeps 1024 entries, counts what is
  // dropped, and tells no events of them until this, change(), change_graph() or stop() is
  // called. A part's log has 2^20 entries at most.
  [[nodiscard]] std::vector<GraphPartLog> graph_log();
  [[nodiscard]] std::vector<GraphPartStatus> graph_status();

 private:
  Stream& add_single(ChannelOptions options, SampleType type);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spillway
