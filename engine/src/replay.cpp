#include "spillway/engine/replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "replay_lane.hpp"
#include "replay_plan.hpp"
#include "replay_task.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/storage/recording_reader.hpp"
#include "spillway/storage/stream_log.hpp"

namespace spillway {

namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using GoOn = std::function<bool(const ReplayProgress&)>;

constexpr const char* checkpoint_format = "Spillway replay checkpoint 1";
constexpr std::size_t copied_frames = 4096;

// What one block of each output may take together where blocks are copied, and how many each has.
constexpr std::size_t most_output_bytes = std::size_t{12} << 20;
constexpr std::size_t blocks = 4;
// The same where they are written from where they are.
constexpr std::size_t most_whole_bytes = std::size_t{40} << 20;
constexpr std::size_t whole_blocks = 2;

// How many frames come in a tenth of a second at `speed`; without a rate, few.
std::size_t frames_at(double speed, const StreamInfo& info) {
  if (!info.rate) return 16;
  constexpr double most = 1 << 20;
  return static_cast<std::size_t>(std::clamp(info.rate->hertz().value * speed / 10, 1.0, most));
}

// In blocks as its sink likes them best, if they are not too large, or else in such as stay in the
// cache from one thread to the other; at a speed of its own, so small that samples come in time.
ReplayPlan in_blocks(ReplayPlan plan, const Sink& sink, std::optional<double> speed) {
  std::size_t row = 0, whole = 0;
  for (const ReplayPlan::Output& output : plan.outputs) {
    row += row_bytes(output.info);
    whole += row_bytes(output.info) * sink.best_frames(output.info);
  }
  for (ReplayPlan::Output& output : plan.outputs) {
    const std::size_t share = std::max<std::size_t>(most_output_bytes / row, 1);
    const std::size_t fitting = (std::size_t{2} << 20) / row_bytes(output.info);
    const std::size_t best = whole <= most_whole_bytes ? sink.best_frames(output.info) : 0;
    output.block_frames =
        best > 0 ? best : std::clamp<std::size_t>(std::min(share, fitting), 16, 16384);
    output.blocks = best > 0 ? whole_blocks : blocks;
    if (speed) output.block_frames = std::min(output.block_frames, frames_at(*speed, output.info));
  }
  if (speed)
    for (ReplayPlan::Part& part : plan.parts)
      for (const ReplayPlan::Input& in : part.inputs)
        part.graph_frames = std::min(part.graph_frames, frames_at(*speed, in.info));
  return plan;
}

// Into the sink, and into the books of the report. The thread of the caller.
class SinkWriter : public ReplayOutlet {
 public:
  SinkWriter(Sink& sink, const ReplayPlan& plan) : sink_(sink), logs_(plan.outputs.size()) {}

  void put(std::size_t output, const Chunk& chunk, Block& block,
           const CalibrationSet& calibrations) override {
    logs_[output].add(chunk, calibrations);
    forget(output);
    sink_.append(output, chunk, block, calibrations);
  }
  void put_gap(std::size_t output, const Gap& gap) override {
    logs_[output].add(gap);
    forget(output);
    sink_.append_gap(output, gap);
  }
  void put_anchors(std::size_t output, std::span<const Anchor> anchors) override {
    sink_.append(output, anchors);
  }
  [[nodiscard]] const StreamLog& log(std::size_t output) const { return logs_[output]; }

 private:
  // Nobody asks for these tables, and they would grow.
  void forget(std::size_t output) {
    (void)logs_[output].take_gaps();
    (void)logs_[output].take_finished_segments();
    (void)logs_[output].take_calibrations();
  }

  Sink& sink_;
  std::vector<StreamLog> logs_;
};

// Holds the data back to a speed of its own clock.
class Pace {
 public:
  explicit Pace(std::optional<double> speed) : speed_(speed) {}
  // How long what is of this time has to wait.
  [[nodiscard]] std::chrono::nanoseconds wait_for(Time time) {
    if (!speed_ || time == Time::min()) return std::chrono::nanoseconds(0);
    if (!begin_) begin_ = {time, Clock::now()};
    const std::chrono::duration<double, std::nano> since = time - begin_->first;
    const auto due = begin_->second +
                     std::chrono::nanoseconds(static_cast<std::int64_t>(since.count() / *speed_));
    return std::max(due - Clock::now(), Clock::duration(0));
  }

 private:
  std::optional<double> speed_;
  std::optional<std::pair<Time, Clock::time_point>> begin_;
};

std::uint64_t samples_in(const Recording& recording, const ReplayPlan::Input& in) {
  const RecordedStream& stream = recording.streams()[in.stream];
  return rows(stream, in.range).count() * stream.info.channels.size();
}

std::size_t threads_of(const ReplayOptions& options) {
  constexpr std::size_t most_threads = 64;
  const std::size_t cores = std::max(1U, std::thread::hardware_concurrency());
  return std::min(options.threads > 0 ? options.threads : cores, most_threads);
}

[[noreturn]] void refuse_checkpoint(const Sink& sink, const std::string& why) {
  throw Error(fmt::format("{}: the checkpoint of a replay {}", sink.name(), why));
}

Json checkpoint_of(const ReplayOptions& options, const Sink& sink) {
  if (!options.resume) return {};
  Json json = Json::from_cbor(options.resume->checkpoint, true, false);
  if (!json.is_object() || !json.contains("format") || json["format"] != checkpoint_format ||
      !json.contains("most_parts") || !json["most_parts"].is_number_unsigned())
    refuse_checkpoint(sink, "is damaged, or of another version");
  return json;
}

// What must be the same; the input may have been moved.
Json identity(const std::string& provenance) {
  Json json = Json::parse(provenance);
  json["replay"]["of"].erase("path");
  return json;
}

// What several parts lack is told once.
std::vector<Lacking> united(std::vector<Lacking> all) {
  std::ranges::sort(all);
  std::vector<Lacking> one;
  for (const Lacking& next : all) {
    const std::uint64_t end = next.first + next.count;
    if (one.empty() || one.back().stream != next.stream ||
        one.back().first + one.back().count < next.first)
      one.push_back(next);
    else
      one.back().count = std::max(one.back().first + one.back().count, end) - one.back().first;
  }
  return one;
}

class Replay {
 public:
  Replay(const Recording& recording, Sink& sink, const ReplayOptions& options, const GoOn& go_on)
      : recording_(recording),
        options_(options),
        go_on_(go_on),
        threads_(threads_of(options)),
        checkpoint_(checkpoint_of(options, sink)),
        most_parts_(options.resume ? checkpoint_.value("most_parts", std::size_t{1}) : threads_),
        plan_(in_blocks(plan_replay(recording, options, most_parts_), sink, options.speed)),
        sink_(sink),
        writer_(sink, plan_),
        pace_(options.speed) {
    const std::size_t count =
        plan_.parts.size() + static_cast<std::size_t>(std::ranges::count_if(
                                 plan_.outputs, [](const auto& o) { return o.raw.has_value(); }));
    if (threads_ > 1)
      for (std::size_t i = 0; i < std::min(count, threads_); ++i)
        lanes_.push_back(std::make_unique<ReplayLane>(plan_));
    const auto reading = lanes_.empty() ? ReadAhead::Thread::callers : ReadAhead::Thread::own;
    for (std::size_t p = 0; p < plan_.parts.size(); ++p) {
      auto task = std::make_unique<GraphTask>(recording, plan_, p, reading, outlet());
      graphs_.push_back(task.get());
      std::vector<std::size_t> made;
      for (std::size_t o = 0; o < plan_.outputs.size(); ++o)
        if (!plan_.outputs[o].raw && plan_.outputs[o].part == p) made.push_back(o);
      add(std::move(task), std::move(made));
      for (const ReplayPlan::Input& in : plan_.parts[p].inputs)
        samples_ += samples_in(recording, in);
    }
    for (std::size_t o = 0; o < plan_.outputs.size(); ++o)
      if (plan_.outputs[o].raw) {
        add(std::make_unique<CopyTask>(recording, plan_, o, outlet()), {o});
        samples_ += samples_in(recording, *plan_.outputs[o].raw);
      }
    ends_.resize(plan_.outputs.size());
    states_.resize(tasks_.size());
    fresh_.resize(tasks_.size());
    if (options_.resume) load();
  }

  ReplayReport run() {
    RecordingInfo info;
    info.title = recording_.title();
    info.start_time = recording_.start_time().empty() ? unknown_time : recording_.start_time();
    info.configuration = recording_.configuration();
    info.provenance = plan_.provenance;
    for (const ReplayPlan::Output& output : plan_.outputs) info.streams.push_back(output.info);
    sink_.begin(info);
    ReplayReport report;
    report.finished = (!options_.resume || copy_output()) && (lanes_.empty() ? work() : write());
    // Their tasks rest from here on.
    lanes_.clear();
    report.differences = plan_.differences;
    report.remarks = plan_.remarks;
    for (std::size_t o = 0; o < plan_.outputs.size(); ++o)
      report.streams.push_back({plan_.outputs[o].info.name, writer_.log(o).counts()});
    if (plan_.as_live) tell_differences(report);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    for (const std::string& text : report.differences)
      sink_.append_event(
          {std::chrono::nanoseconds(now).count(), "replayed differently", "", 0, 0, text});
    return report;
  }

 private:
  // Of the task that is added next.
  ReplayOutlet& outlet() {
    if (lanes_.empty()) return writer_;
    return *lanes_[tasks_.size() % lanes_.size()];
  }
  void add(std::unique_ptr<ReplayTask> task, std::vector<std::size_t> outputs) {
    outputs_of_.push_back(std::move(outputs));
    if (!lanes_.empty()) lanes_[tasks_.size() % lanes_.size()]->add(*task, tasks_.size());
    tasks_.push_back(std::move(task));
  }

  // --- on one thread ---

  // The task that is farthest behind in time goes first.
  bool work() {
    std::vector<ReplayTask*> left;
    for (const auto& task : tasks_) left.push_back(task.get());
    while (!left.empty()) {
      const auto first = std::ranges::min_element(left, {}, &ReplayTask::time);
      if (!keep_pace((*first)->time())) return false;
      if (!(*first)->step()) left.erase(first);
      if (is_time_for_checkpoint()) {
        for (std::size_t t = 0; t < tasks_.size(); ++t) take_state(t, tasks_[t]->save());
        give_checkpoint();
      }
    }
    return true;
  }

  // --- on several ---

  // Writes what the lanes make, in the order of time.
  bool write() {
    for (const auto& lane : lanes_) lane->start();
    std::vector<ReplayLane*> left;
    for (const auto& lane : lanes_) left.push_back(lane.get());
    while (!left.empty()) {
      if (!wait_for_all(left)) return false;
      if (left.empty()) break;
      ReplayLane& first =
          **std::ranges::min_element(left, {}, [](const ReplayLane* lane) { return lane->time(); });
      if (!keep_pace(first.time())) return false;
      use(first, first.take());
    }
    return true;
  }

  // Until each has something, or has ended.
  bool wait_for_all(std::vector<ReplayLane*>& lanes) {
    for (std::size_t i = 0; i < lanes.size();) {
      const auto next = lanes[i]->wait(tell_every);
      if (next == ReplayLane::Next::ended)
        lanes.erase(lanes.begin() + static_cast<std::ptrdiff_t>(i));
      else if (next == ReplayLane::Next::ready)
        ++i;
      else if (!tell())
        return false;
    }
    return true;
  }

  void use(ReplayLane& lane, ReplayLane::Item item) {
    std::visit(
        [&]<class T>(T& what) {
          if constexpr (std::is_same_v<T, ReplayLane::Samples>) {
            writer_.put(what.output, what.chunk, what.block, *what.calibrations);
            lane.give_back(what.output, std::move(what.block));
          } else if constexpr (std::is_same_v<T, ReplayLane::Missing>) {
            writer_.put_gap(what.output, what.gap);
          } else if constexpr (std::is_same_v<T, ReplayLane::Stamps>) {
            writer_.put_anchors(what.output, what.anchors);
          } else {
            take_state(what.task, std::move(what.bytes));
            fresh_[what.task] = true;
          }
        },
        item.what);
    if (!options_.checkpoint) return;
    if (std::ranges::all_of(fresh_, [](bool is) { return is; })) {
      give_checkpoint();
      fresh_.assign(fresh_.size(), false);
      asked_ = false;
    } else if (!asked_ && is_time_for_checkpoint()) {
      for (const auto& other : lanes_) other->ask_for_states();
      asked_ = true;
    }
  }

  // --- meanwhile ---

  bool keep_pace(Time time) {
    written_ = std::max(written_, time);
    for (;;) {
      if (Clock::now() - told_ >= tell_every && !tell()) return false;
      const auto left = pace_.wait_for(time);
      if (left == std::chrono::nanoseconds(0)) return true;
      std::this_thread::sleep_for(std::min<std::chrono::nanoseconds>(left, tell_every));
    }
  }

  bool tell() {
    told_ = Clock::now();
    if (!go_on_) return true;
    ReplayProgress progress;
    progress.samples = samples_;
    for (const auto& task : tasks_) progress.samples_done += task->samples_done();
    progress.samples_done = std::min(progress.samples_done, samples_);
    progress.time = written_;
    return go_on_(progress);
  }

  // --- going on later ---

  // What a task told of itself, when all it had made was written.
  void take_state(std::size_t task, std::string bytes) {
    states_[task] = std::move(bytes);
    for (const std::size_t output : outputs_of_[task]) ends_[output] = writer_.log(output).end();
  }

  [[nodiscard]] bool is_time_for_checkpoint() const {
    return options_.checkpoint && Clock::now() - last_checkpoint_ >= options_.checkpoint_every;
  }

  void give_checkpoint() {
    sink_.flush();
    Json json{{"format", checkpoint_format},
              {"most_parts", most_parts_},
              {"identity", identity(plan_.provenance)},
              {"outputs", Json::array()},
              {"tasks", Json::array()}};
    for (std::size_t o = 0; o < plan_.outputs.size(); ++o)
      json["outputs"].push_back({plan_.outputs[o].info.name, ends_[o].value});
    for (const std::string& state : states_)
      json["tasks"].push_back(Json::binary({state.begin(), state.end()}));
    const std::vector<std::uint8_t> bytes = Json::to_cbor(json);
    options_.checkpoint({bytes.begin(), bytes.end()});
    last_checkpoint_ = Clock::now();
  }

  void load() {
    if (!options_.resume->output) throw Error("a replay can't go on without what it had written");
    try {
      if (checkpoint_.at("identity") != identity(plan_.provenance))
        refuse_checkpoint(sink_, "is of another recording, graph or other options");
      const Json& outputs = checkpoint_.at("outputs");
      const Json& tasks = checkpoint_.at("tasks");
      if (outputs.size() != ends_.size() || tasks.size() != tasks_.size())
        refuse_checkpoint(sink_, "is of other outputs");
      for (std::size_t o = 0; o < ends_.size(); ++o) {
        if (outputs[o].at(0).get<std::string>() != plan_.outputs[o].info.name)
          refuse_checkpoint(sink_, "is of other outputs");
        ends_[o] = {outputs[o].at(1).get<std::uint64_t>()};
      }
      for (std::size_t t = 0; t < tasks_.size(); ++t) {
        const auto& bytes = tasks[t].get_binary();
        states_[t] = {bytes.begin(), bytes.end()};
        load(t);
      }
    } catch (const Json::exception&) {
      refuse_checkpoint(sink_, "is damaged");
    }
  }

  // A task knows no name.
  void load(std::size_t task) {
    try {
      tasks_[task]->load(states_[task]);
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", sink_.name(), error.what()));
    }
  }

  // What was written before, up to the checkpoint.
  bool copy_output() {
    const Recording& from = *options_.resume->output;
    struct Copied {
      const RecordedStream& stream;
      RecordingReader reader;
      Block block;
      std::size_t anchor = 0;
    };
    std::vector<Copied> all;
    for (std::size_t o = 0; o < ends_.size(); ++o) {
      const std::size_t index = from.find(plan_.outputs[o].info.name);
      const RecordedStream& stream = from.streams()[index];
      all.push_back({stream, RecordingReader(from, index, {.end = ends_[o]}),
                     Block(stream.info, copied_frames)});
    }
    std::vector<std::size_t> left;
    for (std::size_t o = 0; o < all.size(); ++o) left.push_back(o);
    while (!left.empty()) {
      if (!keep_pace(Time::min())) return false;
      std::erase_if(left, [&](std::size_t o) {
        Copied& copied = all[o];
        Chunk chunk = copied.reader.read(copied.block);
        if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0) return true;
        const CalibrationSet& calibrations = copied.reader.calibrations(chunk.calibrations);
        // Not to be taken for those of the input, which are counted by themselves.
        chunk.calibrations.value |= 1U << 31;
        give_chunk(copied.stream, chunk, copied.block, calibrations, copied.reader.next(),
                   copied.anchor, o, writer_);
        return false;
      });
    }
    for (std::size_t o = 0; o < ends_.size(); ++o)
      if (writer_.log(o).end() != ends_[o])
        throw Error(fmt::format("{}: '{}' ends at {}, before the checkpoint at {}", from.path(),
                                plan_.outputs[o].info.name, writer_.log(o).end().value,
                                ends_[o].value));
    return true;
  }

  // --- at the end ---

  void tell_differences(ReplayReport& report) const {
    std::vector<Lacking> lacking;
    std::uint64_t besides = 0;
    std::vector<std::string> outputs(plan_.outputs.size());
    for (const GraphTask* graph : graphs_) {
      lacking.insert(lacking.end(), graph->lacking().begin(), graph->lacking().end());
      besides = std::max(besides, graph->lacking_besides());
      for (const auto& [output, from] : graph->differs_from())
        outputs[output] = fmt::format("'{}' may differ from sample {} on: for want of those",
                                      plan_.outputs[output].info.name, from);
    }
    for (const Lacking& one : united(std::move(lacking)))
      report.differences.push_back(fmt::format(
          "'{}': {} samples from {} on are not in the recording, and the graph had them",
          one.stream, one.count, one.first));
    if (besides > 0) report.differences.push_back(fmt::format("... and so {} times more", besides));
    for (const std::string& line : outputs)
      if (!line.empty()) report.differences.push_back(line);
    if (report.finished) tell_early_ends(report);
  }

  void tell_early_ends(ReplayReport& report) const {
    for (std::size_t o = 0; o < plan_.outputs.size(); ++o) {
      const std::string& name = plan_.outputs[o].info.name;
      for (const RecordedStream& stream : recording_.streams()) {
        if (stream.info.name != name || plan_.outputs[o].raw || stream.segments.empty()) continue;
        const Segment& last = stream.segments.back();
        const std::uint64_t end = last.first_sample + last.count;
        const std::uint64_t made = writer_.log(o).end().value;
        if (made < end)
          report.differences.push_back(
              fmt::format("'{}' may differ from sample {} on: the raw samples end there, and the "
                          "recording has it up to {}",
                          name, made, end - 1));
      }
    }
  }

  static constexpr auto tell_every = std::chrono::milliseconds(100);

  const Recording& recording_;
  const ReplayOptions& options_;
  const GoOn& go_on_;
  const std::size_t threads_;
  const Json checkpoint_;
  const std::size_t most_parts_;
  const ReplayPlan plan_;
  Sink& sink_;
  SinkWriter writer_;
  Pace pace_;
  Time written_ = Time::min();
  Clock::time_point told_ = Clock::now();
  Clock::time_point last_checkpoint_ = Clock::now();
  std::vector<SampleNumber> ends_;   // of the outputs, at the states
  std::vector<std::string> states_;  // of the tasks
  std::vector<bool> fresh_;          // those since they were asked for
  bool asked_ = false;
  std::vector<std::vector<std::size_t>> outputs_of_;  // each task
  std::vector<std::unique_ptr<ReplayTask>> tasks_;
  std::vector<const GraphTask*> graphs_;
  std::vector<std::unique_ptr<ReplayLane>> lanes_;
  std::uint64_t samples_ = 0;
};

}  // namespace

ReplayReport replay(const Recording& recording, Sink& sink, const ReplayOptions& options,
                    const std::function<bool(const ReplayProgress&)>& go_on) {
  return Replay(recording, sink, options, go_on).run();
}

}  // namespace spillway
