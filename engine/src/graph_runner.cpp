#include "graph_runner.hpp"

#include <algorithm>
#include <thread>
#include <utility>

namespace spillway {

std::size_t GraphRunner::block_frames(const StreamInfo& info) {
  constexpr std::size_t most_bytes = 128 << 10;
  const std::size_t fitting = most_bytes / (sizeof(double) * info.channels.size());
  return std::min<std::size_t>(std::clamp<std::size_t>(fitting, 64, 1024),
                               capacity_in_samples(info).value);
}

GraphRunner::GraphRunner(const std::vector<Input>& inputs, GraphVersion& first)
    : version_(&first), reading_(!first.graph.spec().nodes.empty()) {
  inputs_.reserve(inputs.size());
  for (const Input& in : inputs) {
    inputs_.push_back({StreamReader(*in.stream),
                       Block(in.stream->info(), block_frames(in.stream->info())), in.progress,
                       in.waits});
    if (!reading_) in.progress->left();
  }
  // Its memory is touched here, and not for the first time by a step.
  while (log_.push({})) continue;
  log_.reset();
}

void GraphRunner::send(GraphVersion& next) noexcept { (void)sent_.push(&next); }

GraphVersion* GraphRunner::take_retired() noexcept {
  GraphVersion* version = nullptr;
  return retired_.pop(version) ? version : nullptr;
}

void GraphRunner::log(const GraphRunnerEntry& entry) noexcept {
  if (!log_.push(entry)) dropped_.fetch_add(1, std::memory_order_relaxed);
}

void GraphRunner::withdraw(const GraphCutRequest& request) noexcept {
  while (!asked_.exchange(nullptr, std::memory_order_acq_rel)) {
    if (request.taken.load(std::memory_order_acquire)) return;
    std::this_thread::yield();
  }
}

// Between two blocks.
void GraphRunner::answer() noexcept {
  if (!asked_.load(std::memory_order_relaxed)) return;
  // Who withdraws a request may free it, so it is looked into by who has taken it only.
  GraphCutRequest* request = asked_.exchange(nullptr, std::memory_order_acq_rel);
  if (!request) return;
  bool reached = log_.write_available() > 0;
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    if (is_read(i)) reached &= inputs_[i].reader.position() >= request->not_before[i];
  if (!reached) {
    asked_.store(request, std::memory_order_release);
    return;
  }
  const Graph& graph = version_->graph;
  request->state_size = graph.save_state(request->state);
  request->fits = request->state_size <= request->state.size() &&
                  version_->outputs.size() <= request->outputs.size();
  if (request->fits) {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      request->inputs[i] = {inputs_[i].reader.position(), graph.next(i)};
      request->is_read[i] = !graph.nodes_of(i).empty();
    }
    for (std::size_t k = 0; k < version_->outputs.size(); ++k) {
      const Writer<double>& writer = *version_->outputs[k].writer;
      request->outputs[k] = {writer.pushed(), writer.next()};
    }
    log({.kind = GraphRunnerEntry::Kind::cut, .version = version_});
  }
  request->taken.store(true, std::memory_order_release);
}

// What no node needs is not read, unless it tells when a change is due.
bool GraphRunner::is_read(std::size_t input) const noexcept {
  return !version_->graph.nodes_of(input).empty() ||
         (next_ && next_->at && next_->at->input == input);
}

bool GraphRunner::has_room(std::size_t input) const noexcept {
  if (!inputs_[input].waits) return true;
  for (const std::size_t node : version_->graph.nodes_of(input)) {
    const GraphVersion::Output& out = version_->outputs[version_->output_of[node]];
    if (!out.readers->has_room(out.writer->pushed(), version_->graph.most_frames(node),
                               out.capacity))
      return false;
  }
  return true;
}

// True if a source may wait for it.
bool GraphRunner::skip(In& in) noexcept {
  if (in.reader.pending().value == 0) return false;
  in.reader.seek_latest();
  in.progress->reached(in.reader.position());
  return in.waits;
}

void GraphRunner::join_in() noexcept {
  for (In& in : inputs_) {
    in.reader.seek_latest();
    in.progress->reached(in.reader.position());
  }
  reading_ = true;
}

bool GraphRunner::is_due() const noexcept {
  if (!next_ || resting_) return false;
  if (!next_->at) return true;
  const std::size_t input = next_->at->input;
  const SampleNumber reached =
      current_ == input ? chunk_.first + SampleCount{end_} : inputs_[input].reader.next();
  return reached >= next_->at->number;
}

void GraphRunner::make_due_changes() noexcept {
  for (;;) {
    if (!next_ && sent_.pop(next_) && !reading_) join_in();
    if (!is_due()) return;
    take_over();
  }
}

void GraphRunner::take_over() noexcept {
  GraphVersion& before = *version_;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    // What nobody needed so far begins now, and not with the last step.
    if (!is_read(i) && current_ != i) (void)skip(inputs_[i]);
    // A gap in front of the chunk is still to come.
    next_->cut[i] = current_ != i ? inputs_[i].reader.next()
                    : end_ == 0   ? chunk_.from
                                  : chunk_.first + SampleCount{end_};
  }
  next_->graph.take_over(before.graph);
  for (std::size_t i = 0; i < inputs_.size(); ++i) next_->graph.begin_at(i, next_->cut[i]);
  for (std::size_t i = 0; i < before.outputs.size(); ++i)
    next_->outputs[i].writer = std::move(before.outputs[i].writer);
  version_ = std::exchange(next_, nullptr);
  log({.kind = GraphRunnerEntry::Kind::changed, .version = version_});
  // There is room: no more versions than this were sent.
  (void)retired_.push(&before);
}

void GraphRunner::tell_loss() noexcept {
  if (chunk_.lost.value == 0 || version_->graph.nodes_of(*current_).empty()) return;
  log({.kind = GraphRunnerEntry::Kind::loss,
       .cause = chunk_.cause,
       .mixed = chunk_.mixed,
       .version = version_,
       .input = *current_,
       .from = chunk_.from,
       .count = chunk_.lost,
       .missing = chunk_.missing});
}

void GraphRunner::write(std::size_t node) noexcept {
  const NodeOutput out = version_->graph.output(node);
  Writer<double>& writer = *version_->outputs[version_->output_of[node]].writer;
  // A node that comes back was away for some numbers; to itself it is new, and all before missing.
  // Or it begins with numbers that its stream has already.
  const std::uint64_t next = writer.next().value;
  const std::uint64_t again = next - std::min(next, out.first.value);
  if (again > 0 && again >= out.frames.count()) return;
  const auto skipped = static_cast<std::size_t>(again);
  const std::uint64_t gap = out.first.value + again - next;
  const std::uint64_t lost = std::min(out.lost.value, gap);
  const std::uint64_t missing = std::min(out.missing.value, gap - lost);
  writer.gap({gap - lost - missing});
  writer.gap({lost}, GapCause::upstream);
  writer.gap({missing});
  const std::span<const double> values = out.frames.values.subspan(skipped * out.frames.lanes);
  const std::span<const Quality> quality = out.frames.quality.subspan(skipped * out.frames.lanes);
  if (values.empty()) return;
  if (out.times.empty()) {
    writer.set_clock(out.clock_sample, out.clock_time);
    writer.push(values, quality);
  } else {
    writer.push(values, out.times.subspan(skipped), quality);
  }
}

void GraphRunner::use_outputs() noexcept {
  const Graph& graph = version_->graph;
  for (const std::size_t node : graph.ran()) write(node);
  for (const GraphNote& note : graph.notes()) {
    GraphRunnerEntry entry{.version = version_,
                           .node = note.node,
                           .input = note.input,
                           .from = note.number,
                           .count = note.count};
    if (note.kind == GraphNote::Kind::wait_ended) {
      entry.kind = GraphRunnerEntry::Kind::wait_ended;
    } else {
      entry.kind = GraphRunnerEntry::Kind::node_failed;
      GraphVersion::Failure& failure = version_->failures[note.node];
      const std::string_view text = graph.failure(note.node);
      failure.length = text.copy(failure.text.data(), failure.text.size());
    }
    log(entry);
  }
}

// Runs the graph over the rest of the chunk; false if derived streams have no room for it now.
bool GraphRunner::go_on() noexcept {
  In& in = inputs_[*current_];
  const std::size_t count = chunk_.count.value;
  for (;;) {
    if (resting_) {
      if (version_->graph.has_rest() && !has_room(*current_)) return false;
      if (version_->graph.process_rest()) {
        use_outputs();
        continue;
      }
      resting_ = false;
      if (end_ == count) break;
    }
    make_due_changes();
    if (!has_room(*current_)) return false;
    const std::size_t begin = end_;
    end_ = count;
    if (next_ && next_->at && next_->at->input == *current_ &&
        next_->at->number < chunk_.first + chunk_.count)
      end_ = (next_->at->number - chunk_.first).value;
    if (begin == 0) tell_loss();
    version_->graph.process(*current_, chunk_, in.block,
                            in.reader.calibrations(chunk_.calibrations), {begin, end_ - begin});
    use_outputs();
    resting_ = true;
  }
  // After the outputs: whoever waits for this reader may stop as soon as it has read all.
  in.progress->reached(chunk_.row + chunk_.count.value);
  latency_.add(std::chrono::steady_clock::now() - since_);
  current_.reset();
  return true;
}

bool GraphRunner::drained() const noexcept {
  if (current_) return false;
  for (std::size_t i = 0; reading_ && i < inputs_.size(); ++i)
    if (is_read(i) && inputs_[i].reader.accounting().pending.value > 0) return false;
  return true;
}

bool GraphRunner::end_waits() noexcept {
  Graph& graph = version_->graph;
  for (;;) {
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      if (!has_room(i)) return false;
    if (graph.process_rest())
      use_outputs();
    else if (!graph.end_waits())
      return true;
  }
}

bool GraphRunner::step() noexcept {
  const GraphVersion* before = version_;
  make_due_changes();
  bool worked = version_ != before;
  if (!reading_) return worked;
  if (current_) {
    // One block is all the graph can be in the middle of.
    if (!go_on()) return worked;
    worked = true;
  }
  answer();
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    In& in = inputs_[i];
    if (!is_read(i)) {
      worked |= skip(in);
      continue;
    }
    if (!has_room(i)) continue;
    chunk_ = in.reader.read(in.block);
    if (chunk_.count.value + chunk_.lost.value + chunk_.missing.value == 0) continue;
    worked = true;
    since_ = std::chrono::steady_clock::now();
    current_ = i;
    end_ = 0;
    if (!go_on()) break;
  }
  return worked;
}

}  // namespace spillway
