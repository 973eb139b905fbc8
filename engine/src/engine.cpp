#include "spillway/engine/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "graph_runner.hpp"
#include "progress.hpp"
#include "recorder.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_sink.hpp"

namespace spillway {

namespace {

// Derived rings keep as much as what they are derived from, in time; of blocks of
// `most_frames`, a few in any case.
StreamInfo ring_for(const StreamInfo& output, const StreamInfo& source, std::size_t most_frames) {
  StreamInfo info = output;
  double capacity = static_cast<double>(capacity_in_samples(source).value);
  if (output.rate && source.rate)
    capacity *= output.rate->hertz().value / source.rate->hertz().value;
  info.capacity =
      SampleCount{std::max<std::uint64_t>(static_cast<std::uint64_t>(std::ceil(capacity)),
                                          std::max<std::uint64_t>(4 * most_frames, 64))};
  info.largest_block.value =
      std::min<std::uint64_t>(source.largest_block.value, std::max<std::size_t>(most_frames, 1));
  info.mark_capacity = source.mark_capacity;
  info.follow_stamps = false;
  info.publish_as.clear();
  return info;
}

constexpr auto longest_graph_nap = std::chrono::milliseconds(2);
constexpr auto shortest_graph_nap = std::chrono::microseconds(100);

std::unique_ptr<Sink> sink_for(const RecordOptions& options) {
  const auto ends = [&](std::string_view suffix) { return options.path.ends_with(suffix); };
  if (ends(".h5") || ends(".hdf5") || ends(".nxs"))
    return std::make_unique<Hdf5Sink>(options.path, options.existing);
  if (ends(".csv")) return std::make_unique<CsvSink>(options.path, options.existing);
  throw Error(fmt::format("{}: unknown kind of recording; a path ends in .h5, .hdf5, .nxs or .csv",
                          options.path));
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
  struct Owned {
    std::unique_ptr<Stream> stream;
    Readers readers;
    bool waits = false;
  };
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

  EngineOptions options;
  std::vector<std::unique_ptr<Owned>> streams;  // raw ones first, then derived ones
  std::uint64_t memory = 0;
  GraphBuilder graph;
  std::vector<Wanted> wanted;
  std::vector<Task> sources;
  std::vector<std::unique_ptr<Subscription>> subscriptions;

  bool started = false;  // and stays so: an engine runs once
  bool stopped = false;
  bool start_tried = false;
  std::unique_ptr<GraphRunner> runner;
  std::thread graph_thread;
  std::vector<std::unique_ptr<Recorder>> recorders;
  std::atomic<bool> running{false};  // sources
  std::atomic<bool> graph_running{false};
  std::atomic<std::size_t> sources_left{0};
  std::atomic<bool> source_failed{false};
  std::mutex mutex;  // errors, and the stop signal sources sleep on
  std::condition_variable stop_signal;
  std::vector<std::string> errors;

  void publish(const Event& event) {
    for (const auto& s : subscriptions) s->offer(event);
  }
  void must_be_building(const char* what) const {
    if (started) throw Error(fmt::format("engine: {} is for before start()", what));
  }
  [[nodiscard]] Owned* find(const std::string& name) const noexcept {
    for (const auto& s : streams)
      if (s->stream->info().name == name) return s.get();
    return nullptr;
  }
  [[nodiscard]] Owned& get(const std::string& name) const {
    if (Owned* found = find(name)) return *found;
    std::string known;
    for (const auto& s : streams)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", s->stream->info().name);
    throw Error(fmt::format("no stream or node '{}'; there are: {}", name, known));
  }
  Owned& add(StreamInfo info) {
    for (const Publication& publication : options.publish)
      if (publication.stream == info.name) {
        if (!info.publish_as.empty())
          throw Error(fmt::format("stream '{}' is to be published twice, as '{}' and '{}'",
                                  info.name, info.publish_as, publication.name));
        info.publish_as = publication.name.empty() ? info.name : publication.name;
      }
    check(info);
    if (find(info.name)) throw Error(fmt::format("stream '{}' exists already", info.name));
    const std::uint64_t bytes = Stream::memory_bytes(info);
    if (memory + bytes > options.memory_budget)
      throw Error(
          fmt::format("stream '{}' needs {:.1f} MiB for its ring; {:.1f} MiB of the memory budget "
                      "of {:.1f} MiB are taken",
                      info.name, static_cast<double>(bytes) / 1048576.0,
                      static_cast<double>(memory) / 1048576.0,
                      static_cast<double>(options.memory_budget) / 1048576.0));
    memory += bytes;
    auto owned = std::make_unique<Owned>();
    owned->stream = std::make_unique<Stream>(std::move(info));
    return *streams.emplace_back(std::move(owned));
  }

  void prepare_graph(std::string& provenance);
  void run_graph() noexcept;
  void run_source(Task& task) noexcept;
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
    const Owned& owned = engine_.get(writer.info().name);
    const std::uint64_t capacity = owned.stream->capacity().value;
    while (running()) {
      if (owned.readers.has_room(writer.pushed(), count.value, capacity)) return true;
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

void Engine::Impl::run_graph() noexcept {
  auto nap = std::chrono::nanoseconds(shortest_graph_nap);
  while (graph_running.load(std::memory_order_acquire)) {
    if (runner->step()) {
      nap = shortest_graph_nap;
      continue;
    }
    std::this_thread::sleep_for(nap);
    nap = std::min(nap * 2, std::chrono::nanoseconds(longest_graph_nap));
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

void Engine::Impl::prepare_graph(std::string& provenance) {
  if (graph.spec_.nodes.empty()) return;
  std::vector<StreamInfo> infos;
  std::size_t block = 1024;
  for (const auto& s : streams) {
    infos.push_back(s->stream->info());
    block = std::min<std::size_t>(block, s->stream->capacity().value);
  }
  Graph ready(graph.spec_, infos, block, options.memory_budget - memory);
  provenance = provenance_json(ready);
  const std::size_t raw = streams.size();
  std::vector<GraphRunner::Input> inputs;
  for (std::size_t i = 0; i < raw; ++i)
    inputs.push_back({streams[i]->stream.get(), nullptr, streams[i]->waits});
  std::vector<GraphRunner::Output> outputs;
  for (std::size_t n = 0; n < ready.spec().nodes.size(); ++n) {
    const Owned& source = *streams[ready.source_of(n)];
    Owned& made = add(ring_for(ready.output_info(n), source.stream->info(), ready.most_frames(n)));
    made.waits = source.waits;
    outputs.push_back({made.stream.get(), &made.readers});
  }
  for (std::size_t i = 0; i < raw; ++i) inputs[i].progress = &streams[i]->readers.add();
  runner = std::make_unique<GraphRunner>(std::move(ready), inputs, outputs);
}

Engine::Engine(EngineOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
}

Engine::~Engine() {
  if (impl_->started) (void)impl_->stop("the program ended the engine without stopping it");
}

Stream& Engine::add_stream(StreamInfo info) {
  impl_->must_be_building("add_stream");
  return *impl_->add(std::move(info)).stream;
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
  for (const auto& s : impl_->streams) infos.push_back(s->stream->info());
  return Graph(impl_->graph.spec_, std::move(infos), 1,
               impl_->options.memory_budget - impl_->memory);
}

std::vector<std::string> Engine::names() const {
  std::vector<std::string> names;
  for (const auto& s : impl_->streams) names.push_back(s->stream->info().name);
  if (!impl_->started)
    for (const NodeSpec& node : impl_->graph.spec_.nodes) names.push_back(node.id);
  return names;
}

void Engine::record(RecordOptions options, std::vector<Signal> signals) {
  impl_->must_be_building("record");
  record(sink_for(options), options.flush, std::move(signals));
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
  for (const std::string& name : options.streams) impl_->get(name).waits |= options.waits_for_room;
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
  self.prepare_graph(info.provenance);
  for (const Publication& publication : self.options.publish) (void)self.get(publication.stream);
  // Everything that may be wrong is found before the first recording is opened.
  std::vector<std::vector<Recorder::Input>> inputs;
  for (const Impl::Wanted& wanted : self.wanted) {
    std::vector<Impl::Owned*> chosen;
    for (const Signal& signal : wanted.signals) {
      Impl::Owned* owned = &self.get(signal.name);
      if (std::ranges::find(chosen, owned) == chosen.end()) chosen.push_back(owned);
    }
    if (wanted.signals.empty())
      for (const auto& s : self.streams) chosen.push_back(s.get());
    if (chosen.empty())
      throw Error(fmt::format("{}: there is no stream to record", wanted.sink->name()));
    auto& streams = inputs.emplace_back();
    for (Impl::Owned* owned : chosen)
      streams.push_back({owned->stream.get(), &owned->readers.add(), owned->waits});
  }
  try {
    for (std::size_t i = 0; i < self.wanted.size(); ++i) {
      info.streams.clear();
      for (const Recorder::Input& input : inputs[i]) info.streams.push_back(input.stream->info());
      self.recorders.push_back(
          std::make_unique<Recorder>(std::move(self.wanted[i].sink), self.wanted[i].flush, info,
                                     inputs[i], [&self](const Event& e) { self.publish(e); }));
    }
  } catch (...) {
    for (auto& recorder : self.recorders) recorder->abandon();
    self.recorders.clear();
    throw;
  }
  self.started = true;
  self.running = true;
  self.publish({EventKind::started, self.options.title, 0, 0, ""});
  for (auto& recorder : self.recorders) recorder->start();
  if (self.runner && self.options.graph_thread) {
    self.graph_running = true;
    self.graph_thread = std::thread([&self] { self.run_graph(); });
  }
  self.sources_left = self.sources.size();
  for (Impl::Task& task : self.sources)
    task.thread = std::thread([&self, &task] { self.run_source(task); });
}

bool Engine::step() noexcept {
  if (!impl_->runner || impl_->graph_thread.joinable()) return false;
  return impl_->runner->step();
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
  if (self.runner) {
    self.graph_running = false;
    if (self.graph_thread.joinable()) self.graph_thread.join();
    // What is left waits for room in derived rings; their recorders make it as we go.
    while (!self.runner->drained()) {
      if (!self.runner->step()) std::this_thread::sleep_for(shortest_graph_nap);
    }
  }
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
  for (std::string& e : self.errors) report.errors.push_back(std::move(e));
  self.errors.clear();
  self.recorders.clear();
  self.runner.reset();
  self.publish({EventKind::stopped, self.options.title, 0, 0, ""});
  return report;
}

Stream& Engine::stream(const std::string& name) const { return *impl_->get(name).stream; }

std::vector<RecordingStatus> Engine::status() const {
  std::vector<RecordingStatus> all;
  for (const auto& recorder : impl_->recorders) all.push_back(recorder->status());
  return all;
}

}  // namespace spillway
