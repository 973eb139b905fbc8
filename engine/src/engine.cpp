#include "spillway/engine/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <thread>

#include "live_graph.hpp"
#include "progress.hpp"
#include "record_check.hpp"
#include "recorder.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_master.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "streams.hpp"

namespace spillway {

void check(const RecordOptions& options) {
  const auto refuse_if = [&](bool wrong, const char* what) {
    if (wrong) throw Error(fmt::format("{}: {}", options.path, what));
  };
  const auto ends = [&](std::string_view suffix) { return options.path.ends_with(suffix); };
  if (!ends(".h5") && !ends(".hdf5") && !ends(".nxs") && !ends(".csv"))
    throw Error(fmt::format(
        "{}: unknown kind of recording; a path ends in .h5, .hdf5, .nxs or .csv", options.path));
  const RecordOptions none{options.path};
  const bool is_csv = ends(".csv");
  refuse_if(options.flush <= std::chrono::nanoseconds(0), "the flush interval must be positive");
  refuse_if(options.compression < 0 || options.compression > 12, "compression is from 0 to 12");
  refuse_if(options.compression_threads > 64, "compression takes at most 64 threads");
  refuse_if(is_csv && options.compression > 0, "compression is for HDF5; a CSV is plain text");
  refuse_if(is_csv && options.compatible, "compatible is for HDF5");
  refuse_if(is_csv && options.master, "a master file is for HDF5");
  refuse_if(!is_csv && options.form != none.form, "the form, wide or long, is that of a CSV");
  refuse_if(options.split.duration < std::chrono::nanoseconds(0) ||
                options.keep.duration < std::chrono::nanoseconds(0),
            "a duration must not be negative");
  refuse_if(options.master && !options.split.any(),
            "a master file shows several files as one; it needs a split");
  refuse_if(options.keep.any() && !options.split.any(),
            "only whole files can be deleted; to keep only so much needs a split");
  refuse_if(options.keep.bytes > 0 && options.keep.bytes < options.split.bytes,
            "less is to be kept than one file has");
  refuse_if(options.keep.duration > std::chrono::nanoseconds(0) &&
                options.keep.duration < options.split.duration,
            "less is to be kept than one file lasts");
}

namespace {

using TellFile = std::function<void(const FileNote&)>;

std::unique_ptr<Sink> sink_for(const RecordOptions& options, TellFile tell) {
  check(options);
  NumberedSink::Make make;
  if (options.path.ends_with(".csv"))
    make = [options](const std::string& path) {
      return std::make_unique<CsvSink>(path, options.existing,
                                       CsvOptions{options.form, options.durability});
    };
  else
    make = [options](const std::string& path) {
      return std::make_unique<Hdf5Sink>(
          path, options.existing,
          Hdf5Options{options.durability, options.compression, options.compression_threads,
                      options.compatible});
    };
  std::function<void(const std::vector<std::string>&)> make_master;
  if (options.master)
    make_master = [master = std::make_shared<Hdf5Master>(options.path, options.existing)](
                      const std::vector<std::string>& files) { master->update(files); };
  return std::make_unique<NumberedSink>(NumberedOptions{.path = options.path,
                                                        .existing = options.existing,
                                                        .split = options.split,
                                                        .keep = options.keep,
                                                        .make_master = std::move(make_master),
                                                        .tell = std::move(tell)},
                                        std::move(make));
}

}  // namespace

Signal GraphBuilder::add(NodeKind kind, const Signal& input, std::string id) {
  return add(std::move(kind), std::vector{input}, std::move(id));
}

Signal GraphBuilder::add(NodeKind kind, const std::vector<Signal>& inputs, std::string id) {
  if (id.empty()) {
    const std::string first = inputs.empty() ? "node" : inputs.front().name;
    const std::string base =
        fmt::format("{}_{}", first.substr(0, first.find('/')), kind_name(kind));
    id = base;
    const auto taken = [&] {
      return std::ranges::any_of(spec_.nodes, [&](const NodeSpec& n) { return n.id == id; });
    };
    for (int n = 2; taken(); ++n) id = fmt::format("{}_{}", base, n);
  }
  std::vector<std::string> names;
  for (const Signal& input : inputs) names.push_back(input.name);
  spec_.nodes.push_back({id, std::move(names), std::move(kind), {}});
  return {id};
}

void GraphBuilder::add(GraphSpec spec) {
  for (NodeSpec& node : spec.nodes) spec_.nodes.push_back(std::move(node));
}

struct Engine::Impl {
  struct Wanted {
    std::unique_ptr<Sink> sink;
    std::chrono::nanoseconds flush;
    std::vector<Signal> signals;
  };
  struct Task {
    SourceOptions options;
    Source source;
    std::thread thread;
  };
  class Context;

  explicit Impl(EngineOptions chosen)
      : options(std::move(chosen)), streams(options.memory_budget, options.publish) {}

  EngineOptions options;
  Streams streams;  // raw ones first, then derived ones
  GraphBuilder graph;
  std::vector<Wanted> wanted;
  std::vector<std::filesystem::path> paths;  // of those of them that are files
  std::vector<Task> sources;
  std::vector<std::unique_ptr<Subscription>> subscriptions;

  bool started = false;  // and stays so: an engine runs once
  bool stopped = false;
  bool start_tried = false;
  std::unique_ptr<LiveGraph> live;
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::atomic<bool> running{false};  // sources
  std::atomic<std::size_t> sources_left{0};
  std::atomic<bool> source_failed{false};
  std::mutex mutex;  // errors, and the stop signal sources sleep on
  std::condition_variable stop_signal;
  std::condition_variable watcher_signal;
  std::vector<std::string> errors;
  std::thread watcher;
  bool watching = true;  // under mutex

  void publish(Event event) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    event.time_ns = std::chrono::nanoseconds(now).count();
    for (const auto& s : subscriptions) s->offer(event);
    for (const auto& r : recorders) r->tell(event);
  }
  void publish(const FileNote& note) {
    const auto kind = [&] {
      switch (note.kind) {
        case FileNote::Kind::begun: return EventKind::recording_created;
        case FileNote::Kind::sealed: return EventKind::recording_sealed;
        case FileNote::Kind::no_master: return EventKind::master_failed;
        default: return EventKind::recording_deleted;
      }
    }();
    publish({kind, note.path, 0, 0, note.text});
  }
  void must_be_building(const char* what) const {
    if (started) throw Error(fmt::format("engine: {} is for before start()", what));
  }
  [[nodiscard]] LiveGraph& running_graph() const {
    if (!live) throw Error("engine: before start() the graph is changed by graph()");
    return *live;
  }
  void run_source(Task& task) noexcept;
  void watch();
  void stop_sources() noexcept;
  // A `reason`: why the recordings are not complete.
  Report stop(const std::string& reason) noexcept;
};

class Engine::Impl::Context : public SourceContext {
 public:
  explicit Context(Impl& engine) : engine_(engine) {}
  [[nodiscard]] bool running() const noexcept override {
    return engine_.running.load(std::memory_order_acquire);
  }
  bool wait_for_room(const StreamWriter& writer, SampleCount count) override {
    const EngineStream& waited = engine_.streams.get(writer.info().name);
    const std::uint64_t capacity = waited.stream->capacity().value;
    while (running()) {
      if (waited.readers.has_room(writer.pushed(), count.value, capacity)) return true;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return false;
  }
  bool sleep_until(std::chrono::steady_clock::time_point time) override {
    std::unique_lock lock(engine_.mutex);
    return !engine_.stop_signal.wait_until(lock, time, [&] { return !running(); });
  }

 private:
  Impl& engine_;
};

void Engine::Impl::run_source(Task& task) noexcept {
  Context context(*this);
  const auto failed = [&](const std::string& what) {
    const std::scoped_lock lock(mutex);
    errors.push_back(fmt::format("source '{}': {}", task.options.name, what));
    source_failed.store(true, std::memory_order_release);
    publish({EventKind::source_failed, task.options.name, 0, 0, what});
  };
  try {
    task.source(context);
    publish({EventKind::source_finished, task.options.name, 0, 0, ""});
  } catch (const std::exception& e) {
    failed(e.what());
  } catch (...) {
    failed("threw something that is no std::exception");
  }
  sources_left.fetch_sub(1, std::memory_order_acq_rel);
}

// A recorder that its sink holds up can't say that it falls behind.
void Engine::Impl::watch() {
  constexpr auto interval = std::chrono::milliseconds(10);
  std::unique_lock lock(mutex);
  while (!watcher_signal.wait_for(lock, interval, [&] { return !watching; })) {
    lock.unlock();
    for (auto& recorder : recorders) recorder->watch();
    lock.lock();
  }
}

void Engine::Impl::stop_sources() noexcept {
  {
    const std::scoped_lock lock(mutex);
    running.store(false, std::memory_order_release);
  }
  stop_signal.notify_all();
  for (Task& task : sources)
    if (task.thread.joinable()) task.thread.join();
}

Engine::Engine(EngineOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  constexpr std::size_t most_threads = 64;
  if (impl_->options.graph_threads > most_threads)
    throw Error(fmt::format("graph_threads {}: allowed are 0 to {}", impl_->options.graph_threads,
                            most_threads));
}

Engine::~Engine() {
  if (impl_->started) (void)impl_->stop("the program ended the engine without stopping it");
}

Stream& Engine::add_stream(StreamInfo info) {
  impl_->must_be_building("add_stream");
  return *impl_->streams.adopt(impl_->streams.make(std::move(info), 0)).stream;
}

Stream& Engine::add_single(ChannelOptions options, SampleType type) {
  StreamInfo info;
  info.name = options.name;
  if (options.rate) info.rate = Rate(*options.rate);
  info.origin = std::move(options.origin);
  info.capacity = options.capacity;
  info.channels = {{std::move(options.name), std::move(options.description),
                    std::move(options.unit), type, options.range, std::move(options.calibration)}};
  return add_stream(std::move(info));
}

GraphBuilder& Engine::graph() noexcept { return impl_->graph; }

Graph Engine::prepared_graph() const {
  std::vector<StreamInfo> infos;
  for (const EngineStream* s : impl_->live ? impl_->live->inputs() : impl_->streams.all())
    infos.push_back(s->stream->info());
  return Graph(impl_->live ? impl_->live->spec() : impl_->graph.spec_, std::move(infos), 1,
               impl_->streams.memory_left());
}

std::vector<std::string> Engine::names() const {
  std::vector<std::string> names;
  for (const EngineStream* s : impl_->streams.all()) names.push_back(s->stream->info().name);
  if (!impl_->live)
    for (const NodeSpec& node : impl_->graph.spec_.nodes) names.push_back(node.id);
  return names;
}

void Engine::record(RecordOptions options, std::vector<Signal> signals) {
  impl_->must_be_building("record");
  // Numbered files have names of their own, which the second recorder finds taken; a master has
  // the path itself.
  const auto path = std::filesystem::absolute(options.path).lexically_normal();
  const bool has_path = !options.split.any() || options.master;
  if (has_path && std::ranges::find(impl_->paths, path) != impl_->paths.end())
    throw Error(
        fmt::format("{}: another recording of this run has that path already; each needs "
                    "one of its own",
                    options.path));
  record(sink_for(options, [this](const FileNote& note) { impl_->publish(note); }), options.flush,
         std::move(signals));
  if (has_path) impl_->paths.push_back(path);
}

void Engine::record(std::unique_ptr<Sink> sink, std::chrono::nanoseconds flush,
                    std::vector<Signal> signals) {
  impl_->must_be_building("record");
  if (flush <= std::chrono::nanoseconds(0))
    throw Error(fmt::format("{}: the flush interval must be positive", sink->name()));
  impl_->wanted.push_back({std::move(sink), flush, std::move(signals)});
}

void Engine::add_source(SourceOptions options, Source source) {
  impl_->must_be_building("add_source");
  for (const std::string& name : options.streams)
    impl_->streams.get(name).waits |= options.waits_for_room;
  impl_->sources.push_back({std::move(options), std::move(source), {}});
}

Subscription& Engine::subscribe(std::size_t capacity) {
  impl_->must_be_building("subscribe");
  return *impl_->subscriptions.emplace_back(std::make_unique<Subscription>(capacity));
}

void Engine::start() {
  Impl& self = *impl_;
  self.must_be_building("start");
  if (self.start_tried) throw Error("engine: start() failed before; build a new engine");
  self.start_tried = true;
  RecordingInfo info;
  info.title = self.options.title;
  info.configuration = self.options.configuration;
  self.live =
      std::make_unique<LiveGraph>(self.graph.spec_, self.streams, self.options.graph_threads,
                                  [&self](Event e) { self.publish(std::move(e)); });
  info.provenance = self.live->provenance();
  for (const Publication& publication : self.options.publish)
    (void)self.streams.get(publication.stream);
  // Everything that may be wrong is found before the first recording is opened.
  std::vector<std::vector<Recorder::Input>> inputs;
  for (const Impl::Wanted& wanted : self.wanted) {
    std::vector<EngineStream*> chosen;
    for (const Signal& signal : wanted.signals) {
      EngineStream* stream = &self.streams.get(signal.name);
      if (std::ranges::find(chosen, stream) == chosen.end()) chosen.push_back(stream);
    }
    if (wanted.signals.empty()) chosen = self.streams.all();
    if (chosen.empty())
      throw Error(fmt::format("{}: there is no stream to record", wanted.sink->name()));
    auto& streams = inputs.emplace_back();
    for (EngineStream* stream : chosen)
      streams.push_back({stream->stream.get(), &stream->readers.add(), stream->waits});
  }
  try {
    for (std::size_t i = 0; i < self.wanted.size(); ++i) {
      info.streams.clear();
      for (const Recorder::Input& input : inputs[i]) info.streams.push_back(input.stream->info());
      self.recorders.push_back(std::make_unique<Recorder>(
          std::move(self.wanted[i].sink), self.wanted[i].flush, info, inputs[i],
          self.wanted[i].signals.empty() ? Recorder::Which::all : Recorder::Which::chosen,
          *self.live, [&self](Event e) { self.publish(std::move(e)); }));
    }
  } catch (...) {
    for (auto& recorder : self.recorders) recorder->abandon();
    self.recorders.clear();
    throw;
  }
  self.live->set_on_stream([&self](EngineStream& stream) {
    for (auto& recorder : self.recorders)
      if (recorder->which() == Recorder::Which::all)
        recorder->join({stream.stream.get(), &stream.readers.add(), stream.waits});
  });
  self.started = true;
  self.running = true;
  self.publish({EventKind::started, self.options.title, 0, 0, ""});
  for (auto& recorder : self.recorders) recorder->start();
  if (!self.recorders.empty()) self.watcher = std::thread([&self] { self.watch(); });
  self.live->start();
  self.sources_left = self.sources.size();
  for (Impl::Task& task : self.sources)
    task.thread = std::thread([&self, &task] { self.run_source(task); });
}

bool Engine::step() noexcept { return impl_->started && !impl_->stopped && impl_->live->step(); }

std::uint64_t Engine::change(const std::vector<NodeChange>& changes) {
  return impl_->running_graph().change(changes);
}

std::uint64_t Engine::change_graph(const GraphSpec& spec, const std::optional<ChangeAt>& at) {
  return impl_->running_graph().change_graph(spec, at);
}

std::vector<GraphPartLog> Engine::graph_log() {
  return impl_->live ? impl_->live->log() : std::vector<GraphPartLog>();
}

std::vector<GraphPartStatus> Engine::graph_status() {
  return impl_->live ? impl_->live->status() : std::vector<GraphPartStatus>();
}

bool Engine::finished() const noexcept {
  return failed() ||
         (!impl_->sources.empty() && impl_->sources_left.load(std::memory_order_acquire) == 0);
}

bool Engine::failed() const noexcept {
  return impl_->source_failed.load(std::memory_order_acquire) ||
         std::ranges::any_of(impl_->recorders, [](const auto& r) { return r->failed(); });
}

Report Engine::stop() noexcept { return impl_->stop({}); }

Report Engine::Impl::stop(const std::string& reason) noexcept {
  Impl& self = *this;
  Report report;
  if (!self.started || self.stopped) return report;
  self.stopped = true;
  self.stop_sources();
  for (auto& recorder : self.recorders) recorder->hurry();
  self.live->finish();
  for (auto& recorder : self.recorders) {
    report.recordings.push_back(recorder->finish(reason));
    const RecordingReport& r = report.recordings.back();
    if (!r.ending.complete) {
      // The path is often part of the reason already.
      report.errors.push_back(r.ending.reason.starts_with(r.path)
                                  ? r.ending.reason
                                  : fmt::format("{}: {}", r.path, r.ending.reason));
    }
  }
  {
    const std::scoped_lock lock(self.mutex);
    self.watching = false;
  }
  self.watcher_signal.notify_all();
  if (self.watcher.joinable()) self.watcher.join();
  for (std::string& e : self.errors) report.errors.push_back(std::move(e));
  self.errors.clear();
  self.recorders.clear();
  self.publish({EventKind::stopped, self.options.title, 0, 0, ""});
  return report;
}

Stream& Engine::stream(const std::string& name) const { return *impl_->streams.get(name).stream; }

std::vector<RecordingStatus> Engine::status() const {
  std::vector<RecordingStatus> all;
  for (const auto& recorder : impl_->recorders) all.push_back(recorder->status());
  return all;
}

}  // namespace spillway
