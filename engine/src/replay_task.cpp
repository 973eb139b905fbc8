#include "replay_task.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

using Json = nlohmann::json;

constexpr std::size_t most_lacking = 1000;

std::string packed(const Json& json) {
  const std::vector<std::uint8_t> bytes = Json::to_cbor(json);
  return {bytes.begin(), bytes.end()};
}
Json unpacked(const std::string& state) {
  Json json = Json::from_cbor(state, true, false);
  if (!json.is_object()) throw Error("the checkpoint of a replay is damaged");
  return json;
}

// Calls f; what it does not find, or not of the kind it needs, is an Error.
template <class F>
void reading_state(F&& f) {
  try {
    f();
  } catch (const Json::exception&) {
    throw Error("the checkpoint of a replay is damaged, or of another version");
  }
}

GraphReplay begin_replay(const ReplayPlan::Part& part, std::vector<StreamInfo> infos) {
  return GraphReplay(part.spec, std::move(infos), part.log, part.state, part.graph_frames);
}

}  // namespace

void ReplayTask::count(const Chunk& chunk, const StreamInfo& info) {
  samples_done_.fetch_add(chunk.count.value * info.channels.size(), std::memory_order_relaxed);
  if (chunk.count.value > 0) time_ = chunk.time;
}

// --- copies ---

CopyTask::CopyTask(const Recording& recording, const ReplayPlan& plan, std::size_t output,
                   ReplayOutlet& outlet)
    : from_(recording.streams()[plan.outputs[output].raw->stream]),
      info_(plan.outputs[output].info),
      reader_(recording, *plan.outputs[output].raw),
      block_(info_, plan.outputs[output].block_frames),
      output_(output),
      outlet_(outlet) {}

void give_chunk(const RecordedStream& from, Chunk chunk, Block& block,
                const CalibrationSet& calibrations, SampleNumber next, std::size_t& anchor,
                std::size_t output, ReplayOutlet& outlet) {
  const std::uint64_t begin = chunk.from.value, end = chunk.first.value;
  if (begin < end) {
    // A chunk could not say all of it.
    const auto after = std::ranges::upper_bound(from.gaps, begin, {}, &Gap::first_sample);
    Gap gap = *(after - 1);
    // A part of it is of the same kind; of one in which both lie mixed the chunk tells.
    if (gap.first_sample != begin || gap.count != end - begin) {
      const std::uint64_t count = end - begin;
      const std::uint64_t lost = gap.missing == 0 ? count : gap.lost == 0 ? 0 : chunk.lost.value;
      gap = {begin, count, lost, count - lost, gap.cause};
    }
    outlet.put_gap(output, gap);
  }
  chunk.from = chunk.first;
  chunk.lost = chunk.missing = {};
  if (chunk.count.value > 0) outlet.put(output, chunk, block, calibrations);
  const auto& anchors = from.anchors;
  while (anchor < anchors.size() && anchors[anchor].sample < chunk.from) ++anchor;
  const std::size_t first = anchor;
  while (anchor < anchors.size() && anchors[anchor].sample < next) ++anchor;
  if (anchor > first) outlet.put_anchors(output, std::span(anchors).subspan(first, anchor - first));
}

bool CopyTask::step() {
  const Chunk chunk = reader_.read(block_);
  if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0) return false;
  count(chunk, info_);
  give_chunk(from_, chunk, block_, reader_.calibrations(chunk.calibrations), reader_.next(),
             anchor_, output_, outlet_);
  return true;
}

std::string CopyTask::save() {
  return packed({{"next", reader_.next().value}, {"done", samples_done()}});
}

void CopyTask::load(const std::string& state) {
  reading_state([&] {
    const Json json = unpacked(state);
    reader_.seek({json.at("next").get<std::uint64_t>()});
    samples_done_ = json.at("done").get<std::uint64_t>();
  });
}

// --- graphs ---

GraphTask::GraphTask(const Recording& recording, const ReplayPlan& plan, std::size_t part,
                     ReadAhead::Thread reading, ReplayOutlet& outlet)
    : plan_(plan),
      part_(plan.parts[part]),
      replay_(begin_replay(part_, infos())),
      reading_(recording, part_.inputs, reading),
      source_{.next = [this](std::size_t i, Block& block) { return read(i, block); },
              .calibrations = [this](std::size_t i, CalibrationSetId id) -> const CalibrationSet& {
                return reading_.calibrations(i, id);
              }},
      sink_([this](const Graph& graph) { take(graph); }) {
  for (std::size_t o = 0; o < plan.outputs.size(); ++o) {
    const ReplayPlan::Output& output = plan.outputs[o];
    if (output.raw || output.part != part) continue;
    outputs_.emplace(output.info.name,
                     Made{o,
                          DerivedStream(output.info, output.block_frames, output.begin,
                                        [&outlet, &plan, o](const Chunk& chunk, Block& block) {
                                          outlet.put(o, chunk, block, plan.outputs[o].calibrations);
                                        }),
                          {}});
  }
  if (!plan.as_live) return;
  find_losses();
  // What lies between the state and the first sample that is there.
  for (std::size_t i = 0; i < part_.inputs.size(); ++i) {
    const std::uint64_t next = replay_.graph().next(i).value;
    if (!part_.state.empty() && next < part_.inputs[i].begin.value)
      note_lacking(i, next, part_.inputs[i].begin.value);
  }
}

std::vector<StreamInfo> GraphTask::infos() const {
  std::vector<StreamInfo> infos;
  for (const ReplayPlan::Input& in : part_.inputs) infos.push_back(in.info);
  return infos;
}

bool GraphTask::step() {
  if (ended_) return false;
  if (replay_.step(source_, sink_)) return true;
  if (part_.end_waits) replay_.end_waits(sink_);
  for (auto& [name, made] : outputs_) made.stream.flush();
  ended_ = true;
  return false;
}

// What the live graph itself did not have, of each input.
void GraphTask::find_losses() {
  losses_.resize(part_.inputs.size());
  for (const GraphLogEntry& entry : part_.log.entries)
    if (const auto* loss = std::get_if<ReaderLoss>(&entry))
      for (std::size_t i = 0; i < part_.inputs.size(); ++i)
        if (part_.inputs[i].info.name == loss->input)
          losses_[i].push_back({loss->from.value, (loss->from + loss->lost + loss->missing).value});
}

Chunk GraphTask::read(std::size_t i, Block& block) {
  const Chunk chunk = reading_.next(i, block);
  if (plan_.as_live && chunk.lost.value > 0) {
    const std::uint64_t end = chunk.mixed ? chunk.first.value : (chunk.from + chunk.lost).value;
    note_lacking(i, chunk.from.value, end);
  }
  count(chunk, part_.inputs[i].info);
  return chunk;
}

// Of samples [begin, end) of an input, those that the live graph had.
void GraphTask::note_lacking(std::size_t i, std::uint64_t begin, std::uint64_t end) {
  for (const Loss& loss : losses_[i]) {
    if (loss.end <= begin || loss.begin >= end) continue;
    if (loss.begin > begin) note_had(i, begin, loss.begin);
    begin = std::max(begin, loss.end);
  }
  if (begin < end) note_had(i, begin, end);
}

void GraphTask::note_had(std::size_t i, std::uint64_t begin, std::uint64_t end) {
  const std::string& name = part_.inputs[i].info.name;
  const auto last = std::find_if(lacking_.rbegin(), lacking_.rend(),
                                 [&](const Lacking& l) { return l.stream == name; });
  // What was told before a checkpoint may come again.
  if (last != lacking_.rend()) begin = std::max(begin, std::min(end, last->first + last->count));
  if (begin == end) return;
  if (last != lacking_.rend() && last->first + last->count == begin)
    last->count += end - begin;
  else if (lacking_.size() < most_lacking)
    lacking_.push_back({name, begin, end - begin});
  else
    ++lacking_besides_;
  for (auto& [id, made] : outputs_) {
    const auto& inputs = plan_.outputs[made.output].inputs;
    if (made.differs_from || std::ranges::find(inputs, i) == inputs.end()) continue;
    made.differs_from = made.stream.next().value;
  }
}

void GraphTask::take(const Graph& graph) {
  for (const std::size_t node : graph.ran()) {
    const auto found = outputs_.find(graph.spec().nodes[node].id);
    if (found != outputs_.end()) found->second.stream.add(graph.output(node));
  }
}

std::map<std::size_t, std::uint64_t> GraphTask::differs_from() const {
  std::map<std::size_t, std::uint64_t> all;
  for (const auto& [name, made] : outputs_)
    if (made.differs_from) all.emplace(made.output, *made.differs_from);
  return all;
}

std::string GraphTask::save() {
  Json json;
  json["ended"] = ended_;
  json["done"] = samples_done();
  json["changes"] = changes_before_ + replay_.changes();
  const std::vector<std::byte> state = replay_.graph().save_state();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(state.data());
  json["state"] = Json::binary({bytes, bytes + state.size()});
  for (auto& [name, made] : outputs_) {
    made.stream.flush();
    Json& to = json["outputs"][name];
    const DerivedStream::State at = made.stream.state();
    to["begun"] = at.begun;
    to["next"] = at.next.value;
    to["rows"] = at.rows;
    to["clock_sample"] = at.clock_sample.value;
    to["clock_ns"] = at.clock_time.count();
    if (at.last_time) to["last_ns"] = at.last_time->count();
    if (made.differs_from) to["differs_from"] = *made.differs_from;
  }
  json["lacking"] = Json::array();
  for (const Lacking& lacking : lacking_)
    json["lacking"].push_back({lacking.stream, lacking.first, lacking.count});
  json["lacking_besides"] = lacking_besides_;
  return packed(json);
}

void GraphTask::load(const std::string& state) {
  reading_state([&] {
    const Json json = unpacked(state);
    ended_ = json.at("ended").get<bool>();
    samples_done_ = json.at("done").get<std::uint64_t>();
    changes_before_ = json.at("changes").get<std::size_t>();
    const auto& binary = json.at("state").get_binary();
    const auto bytes = std::as_bytes(std::span(binary.data(), binary.size()));
    // The graph that was in force, and what comes behind.
    GraphSpec spec = part_.spec;
    GraphLog rest;
    std::size_t changes = 0;
    std::vector<GraphLogEntry> losses;
    for (const GraphLogEntry& entry : part_.log.entries) {
      if (const auto* change = std::get_if<GraphChanged>(&entry);
          change && ++changes <= changes_before_) {
        spec = change->spec;
        rest.entries.clear();
      } else if (std::holds_alternative<ReaderLoss>(entry)) {
        losses.push_back(entry);
      } else {
        rest.entries.push_back(entry);
      }
    }
    Graph graph(spec, infos(), part_.graph_frames);
    graph.load_state(bytes);
    for (std::size_t i = 0; i < part_.inputs.size(); ++i) {
      reading_.seek(i, graph.next(i));
      for (const GraphLogEntry& entry : losses) {
        const auto& loss = std::get<ReaderLoss>(entry);
        if (loss.input == part_.inputs[i].info.name && loss.from >= graph.next(i))
          rest.entries.push_back(entry);
      }
    }
    replay_ = GraphReplay(std::move(spec), infos(), rest, bytes, part_.graph_frames);
    for (auto& [name, made] : outputs_) {
      const Json& from = json.at("outputs").at(name);
      DerivedStream::State at;
      at.begun = from.at("begun").get<bool>();
      at.next = {from.at("next").get<std::uint64_t>()};
      at.rows = from.at("rows").get<std::uint64_t>();
      at.clock_sample = {from.at("clock_sample").get<std::uint64_t>()};
      at.clock_time = Time(from.at("clock_ns").get<std::int64_t>());
      if (from.contains("last_ns")) at.last_time = Time(from["last_ns"].get<std::int64_t>());
      made.stream.set_state(at);
      made.differs_from.reset();
      if (from.contains("differs_from"))
        made.differs_from = from["differs_from"].get<std::uint64_t>();
    }
    lacking_.clear();
    for (const Json& one : json.at("lacking"))
      lacking_.push_back({one.at(0).get<std::string>(), one.at(1).get<std::uint64_t>(),
                          one.at(2).get<std::uint64_t>()});
    lacking_besides_ = json.at("lacking_besides").get<std::uint64_t>();
  });
}

}  // namespace spillway
