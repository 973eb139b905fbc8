#include "replay_plan.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "calibration_json.hpp"
#include "recorded_graph.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/graph.hpp"
#include "spillway/filters/graph_snapshot.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/first_calibration.hpp"

namespace spillway {

namespace {

using Json = nlohmann::ordered_json;
using Names = std::set<std::string>;

// The stream or node that an input of a node names: "x" of "raw(x/c)".
std::string source_of(std::string_view input) {
  if (input.starts_with("raw(") && input.ends_with(")")) input = input.substr(4, input.size() - 5);
  return std::string(input.substr(0, input.find('/')));
}

std::string quoted(const auto& names) {
  std::string text;
  for (const std::string& name : names)
    text += fmt::format("{}'{}'", text.empty() ? "" : ", ", name);
  return text.empty() ? "none" : text;
}

// All graphs of a log, in their order.
std::vector<const GraphSpec*> graphs_of(const GraphSpec& first, const GraphLog& log) {
  std::vector<const GraphSpec*> specs{&first};
  for (const GraphLogEntry& entry : log.entries)
    if (const auto* change = std::get_if<GraphChanged>(&entry)) specs.push_back(&change->spec);
  return specs;
}

Names nodes_of(const RecordedGraph& graph) {
  Names nodes;
  for (const auto& [number, part] : graph.parts)
    for (const GraphSpec* spec : graphs_of(part.spec, part.log))
      for (const NodeSpec& node : spec->nodes) nodes.insert(node.id);
  return nodes;
}

// The nodes that `wanted` depend on in any of the graphs, themselves included, and the streams.
// What a node was fed by before a change, it still remembers.
Names closure(const std::vector<const GraphSpec*>& specs, Names wanted) {
  for (bool grew = true; grew;) {
    grew = false;
    for (const GraphSpec* spec : specs)
      for (const NodeSpec& node : spec->nodes) {
        if (!wanted.contains(node.id)) continue;
        for (const std::string& input : node.inputs) grew |= wanted.insert(source_of(input)).second;
      }
  }
  return wanted;
}

GraphSpec reduced(const GraphSpec& spec, const Names& to) {
  GraphSpec part;
  for (const NodeSpec& node : spec.nodes)
    if (to.contains(node.id)) part.nodes.push_back(node);
  return part;
}

std::uint64_t end_of(const RecordedStream& stream) {
  std::uint64_t end = 0;
  if (!stream.segments.empty())
    end = stream.segments.back().first_sample + stream.segments.back().count;
  if (!stream.gaps.empty())
    end = std::max(end, stream.gaps.back().first_sample + stream.gaps.back().count);
  return end;
}
std::uint64_t begin_of(const RecordedStream& stream) {
  std::uint64_t begin = UINT64_MAX;
  if (!stream.segments.empty()) begin = stream.segments.front().first_sample;
  if (!stream.gaps.empty()) begin = std::min(begin, stream.gaps.front().first_sample);
  return begin == UINT64_MAX ? 0 : begin;
}

SampleRange numbers_of(const Recording& from, std::size_t stream, const TimeRange& times) {
  const RecordedStream& s = from.streams()[stream];
  if (times == TimeRange{}) return {};
  const RowRange part = rows(from, stream, times);
  if (part.count() == 0) return {{end_of(s)}, {end_of(s)}};
  SampleRange range;
  if (times.begin != Time::min()) range.begin = s.number(part.begin);
  if (times.end != Time::max()) range.end = {s.number(part.end - 1).value + 1};
  return range;
}

class Planner {
 public:
  Planner(const Recording& recording, const ReplayOptions& options, std::size_t most_parts)
      : recording_(recording),
        options_(options),
        most_parts_(most_parts),
        live_(!options.graph.has_value()),
        graph_(recorded_graph(recording, options.functions)) {
    plan_.as_live = live_ && options.mode == ReplayOptions::Mode::as_live;
  }

  ReplayPlan plan() {
    check_options();
    find_streams();
    if (!live_) use_own_graph();
    choose_outputs();
    if (live_ && !recording_.state().empty())
      snapshot_ = graph_snapshot_from_bytes(recording_.state());
    for (const auto& [number, part] : graph_.parts) plan_parts(number, part);
    for (const std::string& name : wanted_raw_) plan_raw(name);
    order_outputs();
    describe();
    return std::move(plan_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(fmt::format("{}: {}", recording_.path(), what));
  }

  void check_options() const {
    if (plan_.as_live && !options_.calibrations.empty())
      refuse("other calibrations make another result: not as_live; ask for complete");
    if (plan_.as_live && options_.times != TimeRange{})
      refuse("a part of the recording can't be replayed as_live; ask for complete");
    if (options_.speed && !(*options_.speed > 0.0)) refuse("the speed must be positive");
    if (options_.times.begin > options_.times.end)
      refuse("the range of times ends before it begins");
  }

  void find_streams() {
    recorded_nodes_ = nodes_of(graph_);
    for (std::size_t i = 0; i < recording_.streams().size(); ++i) {
      const std::string& name = recording_.streams()[i].info.name;
      if (!recorded_nodes_.contains(name)) raw_.emplace(name, i);
    }
    if (live_ && recorded_nodes_.empty())
      refuse(
          "it tells of no graph that ran while it was made; only one of your own, by --graph, can "
          "run over it");
    for (const CalibrationRecord& record : options_.calibrations)
      if (recorded_nodes_.contains(record.stream))
        refuse(
            fmt::format("a calibration is for '{}', which a node of the graph made; calibrations "
                        "are of raw streams",
                        record.stream));
  }

  // Instead of the recorded one.
  void use_own_graph() {
    graph_ = {};
    GraphPartLog& part = graph_.parts[0];
    part.spec = *options_.graph;
    for (const auto& [name, stream] : raw_) part.streams.push_back(name);
    for (const NodeSpec& node : options_.graph->nodes)
      if (raw_.contains(node.id))
        refuse(fmt::format("node '{}' of the graph has the name of a recorded stream", node.id));
    // What is wrong with it is told in view of all streams.
    std::vector<StreamInfo> infos;
    for (const auto& [name, stream] : raw_) infos.push_back(recording_.streams()[stream].info);
    (void)Graph(*options_.graph, std::move(infos), 1);
  }

  // In their order.
  [[nodiscard]] std::vector<std::string> nodes() const {
    std::vector<std::string> ids;
    for (const auto& [number, part] : graph_.parts)
      for (const GraphSpec* spec : graphs_of(part.spec, part.log))
        for (const NodeSpec& node : spec->nodes)
          if (std::ranges::find(ids, node.id) == ids.end()) ids.push_back(node.id);
    return ids;
  }

  // Nodes that depend on the code of functions that are not given.
  [[nodiscard]] Names without_code() const {
    Names missing;
    for (const auto& [number, part] : graph_.parts) {
      const auto specs = graphs_of(part.spec, part.log);
      Names own;
      for (const GraphSpec* spec : specs)
        for (const NodeSpec& node : spec->nodes)
          if (const auto* function = std::get_if<Function>(&node.kind))
            if (std::ranges::find(graph_.unknown_functions, function->name) !=
                graph_.unknown_functions.end())
              own.insert(node.id);
      if (own.empty()) continue;
      for (const GraphSpec* spec : specs)
        for (const NodeSpec& node : spec->nodes)
          if (std::ranges::any_of(closure(specs, {node.id}),
                                  [&](const std::string& id) { return own.contains(id); }))
            missing.insert(node.id);
    }
    return missing;
  }

  void choose_outputs() {
    const std::vector<std::string> ids = nodes();
    const auto is_node = [&](const std::string& name) {
      return std::ranges::find(ids, name) != ids.end();
    };
    const Names no_code = without_code();
    const std::string why =
        fmt::format("needs the code of {}, which is not in a recording: give it",
                    quoted(graph_.unknown_functions));
    for (const std::string& name : options_.outputs) {
      if (std::ranges::count(options_.outputs, name) > 1)
        refuse(fmt::format("output '{}' is asked for twice", name));
      if (is_node(name)) {
        if (no_code.contains(name)) refuse(fmt::format("node '{}' {}", name, why));
        wanted_.push_back(name);
      } else if (raw_.contains(name)) {
        wanted_raw_.push_back(name);
      } else {
        std::vector<std::string> raw;
        for (const auto& [stream, index] : raw_) raw.push_back(stream);
        refuse(fmt::format("no output '{}'; there are the nodes {} and the raw streams {}", name,
                           quoted(ids), quoted(raw)));
      }
    }
    if (!options_.outputs.empty()) return;
    const auto is_recorded = [&](const std::string& id) {
      return std::ranges::any_of(recording_.streams(),
                                 [&](const RecordedStream& s) { return s.info.name == id; });
    };
    const bool recorded_only = live_ && std::ranges::any_of(ids, is_recorded);
    for (const std::string& id : ids) {
      if (recorded_only && !is_recorded(id)) continue;
      if (no_code.contains(id))
        plan_.differences.push_back(fmt::format("'{}' is not there: it {}", id, why));
      else
        wanted_.push_back(id);
    }
    if (wanted_.empty()) refuse("no node is left whose output could be made");
  }

  [[nodiscard]] ReplayPlan::Input input(const std::string& name) const {
    ReplayPlan::Input in;
    in.stream = raw_.at(name);
    const RecordedStream& from = recording_.streams()[in.stream];
    in.info = from.info;
    in.range = numbers_of(recording_, in.stream, options_.times);
    in.begin = {std::max(in.range.begin.value, begin_of(from))};
    in.calibrations = from.calibrations;
    calibrate(in);
    return in;
  }

  // Other calibrations, one after the other over those that are there.
  void calibrate(ReplayPlan::Input& in) const {
    put_in_force(options_.calibrations, in.info, in.calibrations, recording_.path());
  }

  void plan_raw(const std::string& name) {
    ReplayPlan::Output output;
    output.raw = input(name);
    output.info = output.raw->info;
    for (const CalibrationChange& change : output.raw->calibrations)
      if (change.from_sample <= output.raw->begin.value)
        begin_with(output.info, change.calibrations);
    plan_.outputs.push_back(std::move(output));
  }

  // What of a part of the live graph is wanted, divided.
  void plan_parts(std::size_t number, const GraphPartLog& from) {
    const auto specs = graphs_of(from.spec, from.log);
    Names wanted;
    for (const GraphSpec* spec : specs)
      for (const NodeSpec& node : spec->nodes)
        if (std::ranges::find(wanted_, node.id) != wanted_.end()) wanted.insert(node.id);
    if (wanted.empty()) return;
    if (plan_.as_live && from.log.dropped > 0)
      for (const std::string& id : wanted)
        plan_.differences.push_back(
            fmt::format("'{}' may differ from sample 0 on: the log of the graph lacks {} entries, "
                        "as there was no room for them",
                        id, from.log.dropped));
    const GraphPartSnapshot* const state = snapshot_.find(number);
    ReplayPlan::Part whole = make_part(from, wanted, state);
    describe_part(whole, wanted);
    if (state) return add_part(std::move(whole), wanted, state);
    for (const Names& names : divided(specs, wanted))
      add_part(make_part(from, names, nullptr), names, nullptr);
  }

  // Wanted nodes that depend on each other, or on what the others depend on, together.
  [[nodiscard]] std::vector<Names> divided(const std::vector<const GraphSpec*>& specs,
                                           const Names& wanted) const {
    struct Group {
      Names wanted;
      Names nodes;
    };
    Names ids;
    for (const GraphSpec* spec : specs)
      for (const NodeSpec& node : spec->nodes) ids.insert(node.id);
    std::vector<Group> groups;
    for (const std::string& id : wanted) {
      Group group{{id}, {}};
      for (const std::string& name : closure(specs, {id}))
        if (ids.contains(name)) group.nodes.insert(name);
      std::erase_if(groups, [&](Group& other) {
        if (std::ranges::none_of(other.nodes,
                                 [&](const auto& name) { return group.nodes.contains(name); }))
          return false;
        group.wanted.merge(other.wanted);
        group.nodes.merge(other.nodes);
        return true;
      });
      groups.push_back(std::move(group));
    }
    // The largest first, each to where there is least.
    std::ranges::stable_sort(groups, std::greater(), [](const Group& g) { return g.nodes.size(); });
    std::vector<Group> parts(std::min(std::max<std::size_t>(most_parts_, 1), groups.size()));
    for (Group& group : groups) {
      Group& to =
          *std::ranges::min_element(parts, {}, [](const Group& g) { return g.nodes.size(); });
      to.wanted.merge(group.wanted);
      to.nodes.merge(group.nodes);
    }
    std::vector<Names> names;
    for (Group& part : parts) names.push_back(std::move(part.wanted));
    return names;
  }

  // `state`: of all nodes of the part, which then are all needed.
  ReplayPlan::Part make_part(const GraphPartLog& from, const Names& wanted,
                             const GraphPartSnapshot* state) {
    const auto specs = graphs_of(from.spec, from.log);
    Names needed = closure(specs, wanted);
    if (state) {
      for (const GraphSpec* spec : specs)
        for (const NodeSpec& node : spec->nodes) needed.insert(node.id);
      needed = closure(specs, needed);
    }
    ReplayPlan::Part part;
    std::vector<std::size_t> kept;  // of from.streams
    Names lacking;
    for (std::size_t i = 0; i < from.streams.size(); ++i) {
      const std::string& name = from.streams[i];
      if (!needed.contains(name)) continue;
      if (!raw_.contains(name)) {
        lacking.insert(name);
        continue;
      }
      kept.push_back(i);
      part.inputs.push_back(input(name));
    }
    if (!lacking.empty())
      refuse(fmt::format("the raw streams {} are not in it, which {} are made from",
                         quoted(lacking), quoted(wanted)));
    part.spec = reduced(from.spec, needed);
    if (live_) take_log(from, kept, needed, part);
    part.end_waits = !plan_.as_live;
    if (state) take_state(*state, part);
    return part;
  }

  void add_part(ReplayPlan::Part part, const Names& wanted, const GraphPartSnapshot* state) {
    if (live_ && !state) look_at_beginning(part, wanted);
    add_outputs(part, plan_.parts.size(), wanted, state);
    plan_.parts.push_back(std::move(part));
  }

  static void take_state(const GraphPartSnapshot& state, ReplayPlan::Part& part) {
    part.state = state.state;
    for (ReplayPlan::Input& in : part.inputs)
      for (const GraphPartSnapshot::Place& place : state.inputs)
        if (place.stream == in.info.name) {
          in.range.begin = std::max(in.range.begin, place.next);
          in.begin = std::max(in.begin, place.next);
        }
  }

  // A recording that begins in mid-run needs the state of the graph there.
  void look_at_beginning(const ReplayPlan::Part& part, const Names& wanted) {
    for (const ReplayPlan::Input& in : part.inputs) {
      // From the beginning, or nothing of it in the part of the time that is asked for.
      if (in.begin.value == 0 || in.begin.value >= end_of(recording_.streams()[in.stream]))
        continue;
      const std::string what = fmt::format(
          "'{}' begins at sample {}, and the state of the graph there is not in the "
          "recording",
          in.info.name, in.begin.value);
      if (!plan_.as_live) {
        plan_.remarks.push_back(what);
        continue;
      }
      for (const std::string& id : wanted)
        plan_.differences.push_back(fmt::format("'{}' may differ from sample 0 on: {}", id, what));
    }
  }

  // What of the log concerns this part, in this mode, as far as the recording goes.
  void take_log(const GraphPartLog& from, const std::vector<std::size_t>& kept, const Names& needed,
                ReplayPlan::Part& part) {
    for (const GraphLogEntry& entry : from.log.entries) {
      if (const auto* change = std::get_if<GraphChanged>(&entry)) {
        GraphChanged made{{}, reduced(change->spec, needed)};
        if (change->at.size() != from.streams.size())
          refuse(fmt::format("the log of the graph has a change with {} cuts; there are {} inputs",
                             change->at.size(), from.streams.size()));
        for (const std::size_t i : kept) made.at.push_back(change->at[i]);
        const GraphSpec before = *graphs_of(part.spec, part.log).back();
        if (!reaches(before, made.at, part)) return;
        part.log.entries.emplace_back(std::move(made));
        continue;
      }
      if (!plan_.as_live) continue;
      const auto concerns = [&](const std::string& name) { return needed.contains(name); };
      const bool kept_entry = std::visit(
          [&]<class T>(const T& what) {
            if constexpr (std::is_same_v<T, ReaderLoss>)
              return concerns(what.input);
            else if constexpr (std::is_same_v<T, GraphChanged>)
              return true;
            else
              return concerns(what.node);
          },
          entry);
      if (kept_entry) part.log.entries.push_back(entry);
    }
  }

  // Whether the streams that the graph reads go as far as the cut; else the replay ends there.
  bool reaches(const GraphSpec& spec, const GraphCut& cut, ReplayPlan::Part& part) {
    Names nodes;
    for (const NodeSpec& node : spec.nodes) nodes.insert(node.id);
    const Names read = closure({&spec}, nodes);
    std::string text;
    for (std::size_t i = 0; i < part.inputs.size(); ++i) {
      ReplayPlan::Input& in = part.inputs[i];
      if (!read.contains(in.info.name)) continue;
      const std::uint64_t end =
          std::min(in.range.end.value, end_of(recording_.streams()[in.stream]));
      if (cut[i].value > end)
        text += fmt::format("{}'{}' ends at {}, and the graph was changed at {} of it",
                            text.empty() ? "" : ", ", in.info.name, end, cut[i].value);
    }
    if (text.empty()) return true;
    for (std::size_t i = 0; i < part.inputs.size(); ++i)
      part.inputs[i].range.end = std::min(part.inputs[i].range.end, cut[i]);
    const std::string remark = fmt::format("{}: the outputs end there", text);
    if (std::ranges::find(plan_.remarks, remark) == plan_.remarks.end())
      plan_.remarks.push_back(remark);
    return false;
  }

  void add_outputs(const ReplayPlan::Part& part, std::size_t index, const Names& wanted,
                   const GraphPartSnapshot* state) {
    const auto specs = graphs_of(part.spec, part.log);
    std::vector<StreamInfo> infos;
    for (const ReplayPlan::Input& in : part.inputs) infos.push_back(in.info);
    Names found;
    for (const GraphSpec* spec : specs) {
      const bool any = std::ranges::any_of(spec->nodes, [&](const NodeSpec& node) {
        return wanted.contains(node.id) && !found.contains(node.id);
      });
      if (!any) continue;
      const Graph graph(*spec, infos, 1);
      for (std::size_t n = 0; n < spec->nodes.size(); ++n) {
        const std::string& id = spec->nodes[n].id;
        if (!wanted.contains(id) || !found.insert(id).second) continue;
        ReplayPlan::Output output;
        output.info = graph.output_info(n);
        output.part = index;
        for (const ChannelInfo& channel : output.info.channels)
          output.calibrations.push_back(channel.calibration);
        const Names sources = closure(specs, {id});
        bool from_zero = true;
        for (std::size_t i = 0; i < part.inputs.size(); ++i) {
          if (!sources.contains(infos[i].name)) continue;
          output.inputs.push_back(i);
          if (part.inputs[i].begin.value > 0) from_zero = false;
        }
        if (from_zero) output.begin = SampleNumber{0};
        if (state)
          for (const GraphPartSnapshot::Place& place : state->outputs)
            if (place.stream == id) output.begin = place.next;
        plan_.outputs.push_back(std::move(output));
      }
    }
    for (const std::string& id : wanted)
      if (!found.contains(id))
        plan_.remarks.push_back(
            fmt::format("'{}' is not there: the recording ends before the graph had it", id));
  }

  // As asked for, or first the streams of the recording in their order.
  void order_outputs() {
    std::vector<std::string> order = options_.outputs;
    if (order.empty())
      for (const RecordedStream& s : recording_.streams()) order.push_back(s.info.name);
    std::ranges::stable_sort(plan_.outputs, {}, [&](const ReplayPlan::Output& output) {
      return std::ranges::find(order, output.info.name) - order.begin();
    });
    if (plan_.outputs.empty()) refuse("nothing is left that could be made");
  }

  void describe() {
    Json replay;
    replay["mode"] = live_ ? (plan_.as_live ? "as live" : "complete") : "own graph";
    Json of{{"path", recording_.path()},
            {"title", recording_.title()},
            {"start_time", recording_.start_time()},
            {"status", recording_.status()}};
    for (const auto& [name, index] : raw_) {
      const RecordedCounts& counts = recording_.streams()[index].counts;
      of["streams"][name] = {{"produced", counts.produced}, {"recorded", counts.recorded}};
    }
    replay["of"] = std::move(of);
    if (options_.times.begin != Time::min()) replay["from_ns"] = options_.times.begin.count();
    if (options_.times.end != Time::max()) replay["to_ns"] = options_.times.end.count();
    for (const CalibrationRecord& record : options_.calibrations) {
      Json json{
          {"stream", record.stream}, {"channel", record.channel}, {"from", record.from_sample}};
      if (record.to_sample) json["to"] = *record.to_sample;
      if (!record.unit.empty()) json["unit"] = record.unit;
      json["calibration"] = to_json(record.calibration);
      replay["calibrations"].push_back(std::move(json));
    }
    replay["software"] = "Spillway " SPILLWAY_VERSION;
    plan_.provenance = Json{{"replay", std::move(replay)}, {"nodes", nodes_}}.dump();
  }

  // Its first graph, with the coefficients as they come out here.
  void describe_part(const ReplayPlan::Part& part, const Names& wanted) {
    std::vector<StreamInfo> infos;
    for (const ReplayPlan::Input& in : part.inputs) infos.push_back(in.info);
    const Json nodes = Json::parse(provenance_json(Graph(part.spec, std::move(infos), 1)))["nodes"];
    if (plan_.as_live) compare_coefficients(part, nodes, wanted);
    for (const Json& node : nodes) nodes_.push_back(node);
    const auto changes = graphs_of(part.spec, part.log).size() - 1;
    if (changes > 0)
      plan_.remarks.push_back(fmt::format("the graph was changed {} times", changes));
  }

  // Filters are designed with functions of the C library, whose last bit may be another one than
  // where the recording was made.
  void compare_coefficients(const ReplayPlan::Part& part, const Json& nodes, const Names& wanted) {
    const Json recorded = Json::parse(recording_.provenance(), nullptr, false);
    if (!recorded.is_object() || !recorded.contains("nodes")) return;
    const std::vector<const GraphSpec*> specs = graphs_of(part.spec, part.log);
    const auto without = [](Json node) {
      node.erase("sections");
      node.erase("coefficients");
      node.erase("delay_samples");
      return node;
    };
    for (const Json& then : recorded["nodes"])
      for (const Json& now : nodes) {
        if (then.value("id", "") != now.value("id", "") || then == now ||
            without(then) != without(now))
          continue;
        const std::string id = now.value("id", "");
        for (const std::string& output : wanted)
          if (closure(specs, {output}).contains(id))
            plan_.differences.push_back(
                fmt::format("'{}' may differ from sample 0 on: the coefficients of '{}' come out "
                            "otherwise with this C library",
                            output, id));
      }
  }

  const Recording& recording_;
  const ReplayOptions& options_;
  const std::size_t most_parts_;
  const bool live_;
  RecordedGraph graph_;
  GraphSnapshot snapshot_;
  Json nodes_ = Json::array();  // for the provenance
  ReplayPlan plan_;
  std::map<std::string, std::size_t> raw_;  // streams of the recording that no recorded node made
  Names recorded_nodes_;
  std::vector<std::string> wanted_;  // nodes
  std::vector<std::string> wanted_raw_;
};

}  // namespace

std::size_t row_bytes(const StreamInfo& info) noexcept {
  std::size_t bytes = info.rate ? 0 : sizeof(Time);
  for (const ChannelInfo& channel : info.channels) bytes += sample_size(channel.type) + 1;
  return bytes;
}

ReplayPlan plan_replay(const Recording& recording, const ReplayOptions& options,
                       std::size_t most_parts) {
  return Planner(recording, options, most_parts).plan();
}

ReplayedStreams replayed_streams(const Recording& recording, const ReplayOptions& options) {
  const ReplayPlan plan = plan_replay(recording, options, 1);
  ReplayedStreams streams;
  for (const ReplayPlan::Part& part : plan.parts)
    for (const ReplayPlan::Input& in : part.inputs) streams.inputs.insert(in.stream);
  for (const ReplayPlan::Output& output : plan.outputs)
    if (output.raw) streams.copied.insert(output.raw->stream);
  return streams;
}

std::set<std::string> recorded_nodes(const Recording& recording) {
  return nodes_of(recorded_graph(recording, {}));
}

}  // namespace spillway
