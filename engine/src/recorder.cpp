#include "recorder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "spillway/storage/first_calibration.hpp"

namespace spillway {

namespace {

constexpr std::size_t block_frames = 4096;
constexpr auto shortest_nap = std::chrono::microseconds(200);
constexpr auto longest_nap = std::chrono::milliseconds(10);
constexpr std::size_t event_capacity = 4096;
// So long, at most, raw streams are not read while the graph is asked where it stands; and after
// that so many times as long it is not asked again.
constexpr auto patience = std::chrono::milliseconds(200);
constexpr int rest_of_patience = 20;
// Then a file that is due ends without the graph's state.
constexpr int most_in_vain = 8;
constexpr auto look_for_room_every = std::chrono::milliseconds(200);
constexpr auto look_for_room_at_least_every = std::chrono::milliseconds(60'000);

std::string describe_gap(const Gap& gap) {
  const char* why = "missing at the source";
  if (gap.cause == Absence::lost_upstream) why = "lost before the graph read them";
  if (gap.cause == Absence::lost) why = "overwritten before the recorder read them";
  if (gap.cause == Absence::mixed) why = "lost and missing, mixed";
  if (gap.cause == Absence::not_written) why = "read, but could not be written";
  if (gap.cause == Absence::damaged) why = "recorded, and damaged since";
  return fmt::format("{} samples from {} on: {}", gap.count, gap.first_sample, why);
}

// 12,345
std::string with_commas(std::uint64_t number) {
  std::string text = fmt::format("{}", number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

std::string for_people(std::chrono::seconds time) {
  if (time >= std::chrono::hours(1))
    return time == std::chrono::hours(1) ? "1 hour"
                                         : fmt::format("{:.1f} hours", double(time.count()) / 3600);
  if (time >= std::chrono::minutes(1))
    return time == std::chrono::minutes(1) ? "1 minute"
                                           : fmt::format("{} minutes", time.count() / 60);
  return fmt::format("{} seconds", time.count());
}

}  // namespace

Recorder::PerStream::PerStream(const Input& input)
    : reader(*input.stream),
      head(*input.stream),
      block(input.stream->info(),
            std::min<std::size_t>(block_frames, input.stream->capacity().value)),
      stream(input.stream),
      progress(input.progress),
      waits(input.waits),
      begin(reader.next().value) {
  next = begin;
  position = reader.position();
  acknowledged = begin;
}

std::uint64_t Recorder::PerStream::pushed() const noexcept {
  return head.position() + head.pending().value;
}

std::uint64_t Recorder::PerStream::lag() const noexcept {
  const std::uint64_t read = position.load(std::memory_order_relaxed);
  const std::uint64_t all = pushed();
  return all - std::min(read, all);
}

bool Recorder::PerStream::is_there() const noexcept {
  return reader.position() > until.position ||
         (reader.position() == until.position && reader.next() >= until.number);
}

std::uint64_t Recorder::PerStream::end() const noexcept {
  return log.counts().produced > 0 ? log.end().value : begin;
}

RecordedCounts Recorder::PerStream::counts() const noexcept {
  RecordedCounts counts = log.counts();
  const std::uint64_t less = std::min(not_written + named, counts.recorded);
  counts.recorded -= less;
  counts.lost += less;
  return counts;
}

Recorder::Recorder(std::unique_ptr<Sink> sink, std::chrono::nanoseconds flush, RecordingInfo info,
                   const std::vector<Input>& inputs, Which which, LiveGraph& graph, Publish publish)
    : sink_(std::move(sink)),
      flush_interval_(flush),
      publish_(std::move(publish)),
      info_(std::move(info)),
      graph_(graph),
      which_(which),
      log_position_(graph.log_begin()),
      anchors_(1024),
      last_flush_(std::chrono::steady_clock::now()),
      events_(event_capacity) {
  const std::vector<EngineStream*>& raw = graph_.inputs();
  for (const Input& input : inputs) {
    streams_.push_back(std::make_unique<PerStream>(input));
    for (std::size_t i = 0; i < raw.size(); ++i)
      if (raw[i]->stream.get() == input.stream) streams_.back()->graph_input = i;
  }
  try {
    sink_->begin(info_);
  } catch (...) {
    sink_->abandon();
    throw;
  }
  note_name();
  publish_({EventKind::recording_created, sink_->name(), 0, 0, ""});
}

Recorder::~Recorder() {
  if (thread_.joinable()) finish();
}

void Recorder::start() {
  thread_ = std::thread([this] { run(); });
}

void Recorder::join(const Input& input) {
  const std::scoped_lock lock(mutex_);
  if (can_go_on_)
    joining_.push_back(std::make_unique<PerStream>(input));
  else
    input.progress->left();
}

void Recorder::tell(const Event& event) {
  // That a file was flushed would be news in each flush of it.
  if (event.kind != EventKind::recording_saved) events_.offer(event);
}

// --- reading ---

// Copies what is asked for by others.
void Recorder::count(PerStream& s) {
  const RecordedCounts counts = s.counts();
  s.recorded.store(counts.recorded, std::memory_order_relaxed);
  s.lost.store(counts.lost, std::memory_order_relaxed);
  s.missing.store(counts.missing, std::memory_order_relaxed);
  s.next.store(s.end(), std::memory_order_relaxed);
  s.position.store(s.reader.position(), std::memory_order_relaxed);
}

// Reads, and takes into the books; tells what is not there.
Chunk Recorder::read_chunk(PerStream& s) {
  Chunk chunk = s.reader.read(s.block, s.until.position);
  chunk.new_segment |= s.step_due;
  s.step_due = false;
  if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0) {
    // The mark of a step came before its sample.
    s.step_due = chunk.new_segment;
    return chunk;
  }
  s.log.add(chunk, s.reader.calibrations(chunk.calibrations));
  if (chunk.count.value > 0) s.calibrations = chunk.calibrations;
  const std::string& name = s.reader.info().name;
  for (const Gap& gap : s.log.take_gaps()) {
    s.unacknowledged.add(gap);
    const bool lost = gap.lost > 0;
    publish_({lost ? EventKind::samples_lost : EventKind::samples_missing, name, gap.first_sample,
              gap.count, describe_gap(gap)});
  }
  s.unacknowledged.add_samples(chunk.first.value, chunk.count.value);
  (void)s.log.take_finished_segments();
  for (const CalibrationChange& change : s.log.take_calibrations())
    if (change.from_sample > 0 && s.log.counts().recorded > chunk.count.value)
      publish_({EventKind::calibration_changed, name, change.from_sample, 0, ""});
  count(s);
  return chunk;
}

bool Recorder::read_stream(std::size_t index) {
  PerStream& s = *streams_[index];
  warn_if_behind(s);
  if (s.is_there()) return false;
  const Chunk chunk = read_chunk(s);
  // Before the sink may throw: a source that waits for this reader would wait for ever.
  if (chunk.count.value > 0) s.progress->reached(chunk.row + chunk.count.value);
  const std::size_t anchors = s.reader.read_anchors(anchors_);
  const bool any = chunk.count.value + chunk.lost.value + chunk.missing.value > 0;
  if (any || anchors > 0) unflushed_ = true;
  if (anchors > 0) sink_->append(index, std::span(anchors_).first(anchors));
  if (any) {
    sink_->append(index, chunk, s.block, s.reader.calibrations(chunk.calibrations));
    bytes_.store(sink_->bytes_written(), std::memory_order_relaxed);
  }
  return any || anchors > 0;
}

// Once a crossing, while there is still time to do something about it.
void Recorder::warn_if_behind(PerStream& s) {
  if (s.waits) return;
  const std::uint64_t lag = s.lag();
  const std::uint64_t capacity = s.head.capacity().value;
  if (lag * 2 <= capacity) {
    s.behind.store(false, std::memory_order_relaxed);
    return;
  }
  if (s.behind.exchange(true, std::memory_order_relaxed)) return;
  publish_({EventKind::falling_behind, s.head.info().name, s.next.load(std::memory_order_relaxed),
            lag, fmt::format("{} samples behind, of {} the ring holds", lag, capacity)});
}

void Recorder::watch() {
  if (failed()) return;
  const std::scoped_lock lock(mutex_);
  for (auto& s : streams_) warn_if_behind(*s);
}

bool Recorder::take_events() {
  bool any = false;
  const auto append = [&](RecordedEvent event) {
    any = true;
    unflushed_ = true;
    if (recent_events_.size() < event_capacity) recent_events_.push_back(event);
    sink_->append_event(event);
  };
  while (const auto event = events_.take())
    append({event->time_ns, to_string(event->kind), event->subject, event->first, event->count,
            event->text});
  if (const std::uint64_t dropped = events_.dropped(); dropped > events_dropped_) {
    const std::uint64_t more = dropped - std::exchange(events_dropped_, dropped);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    append({std::chrono::nanoseconds(now).count(), "events dropped", sink_->name(), 0, more,
            fmt::format("{} events came faster than they could be recorded", more)});
  }
  return any;
}

void Recorder::take_log() { keep_lines(graph_.log_lines(log_position_)); }

void Recorder::keep_lines(std::vector<std::string> lines) {
  if (lines.empty()) return;
  unflushed_ = true;
  const std::size_t known = recent_lines_.size();
  std::ranges::move(lines, std::back_inserter(recent_lines_));
  for (std::size_t i = known; i < recent_lines_.size(); ++i) sink_->append_log(recent_lines_[i]);
}

bool Recorder::step() {
  const bool held = cutting_ != Cutting::no;
  bool worked = false;
  for (std::size_t i = 0; i < streams_.size(); ++i) worked |= read_stream(i);
  worked |= take_events();
  const auto now = std::chrono::steady_clock::now();
  if (now - last_flush_ >= flush_interval_) {
    last_flush_ = now;
    if (cutting_ == Cutting::no) take_log();
    if (unflushed_) flush();
    forecast(now);
    due_ = due_ || sink_->is_due();
  }
  // At the end what is due is done anyway.
  const bool is_due = due_ && !finish_.load(std::memory_order_relaxed);
  if (cutting_ == Cutting::no && (is_due || outputs_changed())) ask_for_place(now);
  if (cutting_ == Cutting::asked) look_for_place(now);
  if (cutting_ == Cutting::known) worked |= go_on();
  // What was held back may be there.
  return worked || (held && cutting_ == Cutting::no);
}

// --- on to the next file ---

bool Recorder::outputs_changed() const noexcept {
  return which_ == Which::all && graph_.outputs_changed() != outputs_known_;
}

// A raw stream is about to be lost.
bool Recorder::must_read() const noexcept {
  return std::ranges::any_of(streams_, [](const auto& s) {
    const std::uint64_t capacity = s->head.capacity().value;
    return s->graph_input && !s->waits && s->lag() > capacity - capacity / 4;
  });
}

// Raw streams stay where they are until the graph has come as far, so that there is a place that
// is behind all that is recorded.
void Recorder::ask_for_place(std::chrono::steady_clock::time_point now) {
  if (!can_go_on_ || now < ask_after_ || must_read()) return;
  outputs_asked_ = graph_.outputs_changed();
  std::vector<std::uint64_t> not_before(graph_.inputs().size());
  for (const auto& s : streams_)
    if (s->graph_input) not_before[*s->graph_input] = s->reader.position();
  ticket_ = graph_.ask(not_before);
  if (ticket_ == 0) return;
  for (const auto& s : streams_)
    if (s->graph_input) s->until = {s->reader.position(), {}};
  cutting_ = Cutting::asked;
  asked_at_ = now;
}

void Recorder::look_for_place(std::chrono::steady_clock::time_point now) {
  // What is there before an answer is before the place.
  for (const auto& s : streams_)
    if (!s->graph_input) s->until = {s->pushed(), {}};
  const LiveGraph::Asked asked = graph_.look(ticket_, place_);
  if (asked == LiveGraph::Asked::there) {
    in_vain_ = 0;
    return take_place();
  }
  // Other parts may be on their way yet.
  for (const auto& s : streams_)
    for (const GraphPlace::Output& output : place_.outputs)
      if (output.stream == s->stream) s->until = output.cut;
  if (asked == LiveGraph::Asked::pending && now - asked_at_ < patience && !must_read()) return;
  stop_cutting();
  ask_after_ = now + rest_of_patience * (now - asked_at_);
  ++in_vain_;
  const bool waited_for = [&] {
    const std::scoped_lock lock(mutex_);
    return std::ranges::any_of(joining_, &PerStream::waits);
  }();
  // The graph may be waiting for room in a stream that only the next file has.
  if (waited_for || in_vain_ >= most_in_vain) go_on_here();
}

// Where all streams stand, without the state of the graph.
void Recorder::go_on_here() {
  outputs_asked_ = graph_.outputs_changed();
  place_ = graph_.here();
  take_place();
}

void Recorder::take_place() {
  cutting_ = Cutting::known;
  for (const auto& s : streams_) {
    s->until = {s->reader.position(), {}};
    if (place_.inputs.empty()) continue;
    if (s->graph_input) {
      s->until = place_.inputs[*s->graph_input];
      continue;
    }
    const auto output = std::ranges::find(place_.outputs, s->stream, &GraphPlace::Output::stream);
    if (output != place_.outputs.end()) s->until = output->cut;
  }
}

void Recorder::stop_cutting() noexcept {
  if (std::exchange(cutting_, Cutting::no) == Cutting::asked) graph_.withdraw(ticket_);
  for (const auto& s : streams_) s->until = {StreamReader::nowhere, {}};
}

bool Recorder::is_to_be_recorded(const PerStream& s) const noexcept {
  if (which_ == Which::chosen || s.graph_input) return true;
  const auto output = std::ranges::find(place_.outputs, s.stream, &GraphPlace::Output::stream);
  return output != place_.outputs.end() && output->in_force;
}

bool Recorder::lacks_state() const noexcept {
  for (std::size_t p = 0; p < place_.log.parts.size(); ++p)
    if (!place_.log.parts[p].begin->nodes.empty() && !place_.snapshot.find(p)) return true;
  return false;
}

// Of a file that begins there, but for its streams.
RecordingInfo Recorder::info_of_place() const {
  RecordingInfo info = info_;
  info.provenance = place_.provenance;
  info.state = place_.snapshot.parts.empty() && !lacks_state() ? "" : to_bytes(place_.snapshot);
  return info;
}

bool Recorder::give_place(const RecordingInfo& info) {
  GraphLogPosition position = place_.log;
  if (!sink_->go_on(info, graph_.log_lines(position, &place_.log))) return false;
  log_position_ = std::move(position);
  info_ = info;
  return true;
}

// Once everything before the place is recorded. True if there is another file now.
bool Recorder::go_on() {
  if (!std::ranges::all_of(streams_, [](const auto& s) { return s->is_there(); })) return false;
  {
    const std::scoped_lock lock(mutex_);
    std::ranges::move(joining_, std::back_inserter(others_));
    joining_.clear();
  }
  const auto is_next = [&](const auto& s) { return is_to_be_recorded(*s); };
  if (!due_ && std::ranges::all_of(streams_, is_next) && std::ranges::none_of(others_, is_next)) {
    outputs_known_ = outputs_asked_;
    stop_cutting();
    return false;
  }
  keep_lines(graph_.log_lines(log_position_, &place_.log));
  (void)take_events();
  RecordingInfo info = info_of_place();
  info.streams.clear();
  for (const auto* from : {&streams_, &others_})
    for (const auto& s : *from)
      if (is_next(s)) {
        info.streams.push_back(s->reader.info());
        begin_with(info.streams.back(), s->reader.calibrations(s->calibrations));
      }
  note_name();
  const std::string before = sink_->name();
  if (!give_place(info)) {
    stop_cutting();
    refuse_to_go_on();
    return false;
  }
  unflushed_ = false;
  fruitless_ = false;
  acknowledge();
  publish_({EventKind::recording_saved, before, 0, 0, acknowledged_text()});
  stop_cutting();
  {
    const std::scoped_lock lock(mutex_);
    std::vector<std::unique_ptr<PerStream>> next, others;
    for (auto* from : {&streams_, &others_})
      for (auto& s : *from) (is_next(s) ? next : others).push_back(std::move(s));
    streams_ = std::move(next);
    others_ = std::move(others);
  }
  outputs_known_ = outputs_asked_;
  due_ = lacks_state() && in_vain_ < most_in_vain;
  if (!due_) in_vain_ = 0;
  return true;
}

// The sink has this one file, or there is no recording any more.
void Recorder::refuse_to_go_on() noexcept {
  const std::scoped_lock lock(mutex_);
  can_go_on_ = false;
  for (auto* from : {&joining_, &others_})
    for (const auto& s : *from) s->progress->left();
}

// --- what is safe ---

void Recorder::flush() {
  sink_->flush();
  unflushed_ = false;
  fruitless_ = false;
  acknowledge();
  note_name();
  publish_({EventKind::recording_saved, sink_->name(), 0, 0, acknowledged_text()});
}

void Recorder::acknowledge() {
  for (auto& s : streams_) {
    s->unacknowledged.clear();
    s->acknowledged.store(s->end(), std::memory_order_relaxed);
  }
  recent_events_.clear();
  recent_lines_.clear();
}

// "pump up to sample 12,345, load up to sample 99"
std::string Recorder::acknowledged_text() const {
  constexpr std::size_t most = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(streams_.size(), most); ++i) {
    const PerStream& s = *streams_[i];
    const std::uint64_t end = s.acknowledged.load(std::memory_order_relaxed);
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", s.reader.info().name,
                        end == 0 ? "nothing yet" : "up to sample " + with_commas(end - 1));
  }
  if (streams_.size() > most) text += fmt::format(", and {} more streams", streams_.size() - most);
  return text;
}

void Recorder::note_name() {
  const std::scoped_lock lock(mutex_);
  if (files_.empty() || files_.back() != sink_->name()) files_.push_back(sink_->name());
}

void Recorder::forecast(std::chrono::steady_clock::time_point now) {
  if (now - last_look_ < std::chrono::seconds(1)) return;
  last_look_ = now;
  const std::optional<std::uint64_t> free = sink_->free_bytes();
  if (!free) return full_in_s_.store(-1, std::memory_order_relaxed);
  const auto crossed = forecast_.look(now, *free, sink_->bytes_written());
  full_in_s_.store(forecast_.left() ? forecast_.left()->count() : -1, std::memory_order_relaxed);
  if (crossed)
    publish_({EventKind::disk_filling, sink_->name(), 0, 0,
              fmt::format("less than {} left: {} MiB are free, full in about {}",
                          for_people(*crossed), *free >> 20, for_people(*forecast_.left()))});
}

// --- when the sink can't go on ---

void Recorder::close_early(const std::string& reason) noexcept {
  if (std::exchange(closed_, true)) return;
  try {
    sink_->close({false, reason});
    publish_({EventKind::recording_sealed, sink_->name(), 0, 0, "incomplete: " + reason});
  } catch (const std::exception& e) {
    publish_({EventKind::recording_failed, sink_->name(), 0, 0,
              fmt::format("it could not be sealed: {}", e.what())});
    if (!ending_.complete)
      ending_.reason += fmt::format("; and it could not be sealed: {}", e.what());
  }
}

// What the closed sink says nothing of.
void Recorder::settle() {
  for (std::size_t i = 0; i < streams_.size(); ++i) {
    PerStream& s = *streams_[i];
    const std::uint64_t end = std::max(sink_->end(i).value, s.acknowledged.load());
    s.not_written += s.unacknowledged.end_at(end);
    s.named = sink_->not_written(i);
    s.acknowledged.store(std::min(end, s.end()), std::memory_order_relaxed);
    count(s);
    for (const Gap& gap : s.unacknowledged.gaps())
      if (gap.cause == Absence::not_written)
        publish_({EventKind::samples_lost, s.reader.info().name, gap.first_sample, gap.count,
                  describe_gap(gap)});
  }
}

bool Recorder::wait_for_room(const std::string& reason) {
  publish_({EventKind::disk_full, sink_->name(), 0, 0, reason});
  stop_cutting();
  close_early(reason);
  settle();
  take_up_here();
  waiting_for_room_ = true;
  // What was free the last time did not do for one flush: no reason to try again at once.
  look_for_room_after_ = fruitless_
                             ? std::min(look_for_room_after_ * 2, look_for_room_at_least_every)
                             : look_for_room_every;
  Resumed resumed = fruitless_ ? Resumed::not_yet : sink_->resume();
  while (resumed == Resumed::not_yet && !hurried_) {
    {
      std::unique_lock lock(mutex_);
      (void)hurry_signal_.wait_for(lock, look_for_room_after_, [&] { return hurried_.load(); });
    }
    if (!hurried_ || !fruitless_) resumed = sink_->resume();
  }
  waiting_for_room_ = false;
  if (resumed != Resumed::yes) {
    fail(reason);
    return false;
  }
  closed_ = false;
  fruitless_ = true;
  note_name();
  publish_({EventKind::recording_resumed, sink_->name(), 0, 0, "there is room on the disk again"});
  return true;
}

// The file to come begins without the graph's state, which moves on while there is no room.
void Recorder::take_up_here() {
  place_ = graph_.here();
  std::ranges::move(graph_.log_lines(log_position_, &place_.log),
                    std::back_inserter(recent_lines_));
  RecordingInfo info = info_of_place();
  due_ = give_place(info) && lacks_state();
}

// Tells a resumed sink what the one before did not take.
void Recorder::repeat() {
  for (std::size_t i = 0; i < streams_.size(); ++i)
    for (const Gap& gap : streams_[i]->unacknowledged.gaps()) sink_->append_gap(i, gap);
  for (const std::string& line : recent_lines_) sink_->append_log(line);
  for (const RecordedEvent& event : recent_events_) sink_->append_event(event);
  unflushed_ = true;
}

void Recorder::fail(const std::string& reason) noexcept {
  if (!ending_.complete) return;
  ending_ = {false, reason};
  stop_cutting();
  refuse_to_go_on();
  for (auto& s : streams_) s->progress->left();
  failed_.store(true, std::memory_order_release);
  publish_({EventKind::recording_failed, sink_->name(), 0, 0, reason});
}

// Counts what comes after a failure, so that the report tells all that is not there.
void Recorder::read_in_vain() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    for (auto* from : {&joining_, &others_})
      std::ranges::move(std::exchange(*from, {}), std::back_inserter(streams_));
  }
  for (;;) {
    const bool finishing = finish_.load(std::memory_order_acquire);
    bool any = false;
    for (auto& s : streams_) {
      const Chunk chunk = s->reader.read(s->block);
      if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0) continue;
      any = true;
      s->log.add(chunk, s->reader.calibrations(chunk.calibrations));
      (void)s->log.take_gaps();
      (void)s->log.take_finished_segments();
      (void)s->log.take_calibrations();
      s->not_written += chunk.count.value;
      count(*s);
    }
    if (any) continue;
    if (finishing) return;
    std::this_thread::sleep_for(longest_nap);
  }
}

// --- the thread ---

// Until it is to finish and nothing more has come; then seals.
void Recorder::record() {
  auto nap = std::chrono::nanoseconds(shortest_nap);
  for (;;) {
    const bool finishing = finish_.load(std::memory_order_acquire);
    if (step()) {
      nap = shortest_nap;
      continue;
    }
    if (cutting_ != Cutting::no) {
      nap = shortest_nap;
    } else if (finishing) {
      // Nothing came after the sources and the graph had ended.
      if (!can_go_on_ || !outputs_changed()) break;
      ask_after_ = {};
      ask_for_place(std::chrono::steady_clock::now());
      if (cutting_ == Cutting::no) go_on_here();
      continue;
    }
    std::this_thread::sleep_for(nap);
    nap = std::min(nap * 2, std::chrono::nanoseconds(longest_nap));
  }
  take_log();
  (void)take_events();
  closed_ = true;
  const Ending ending{cut_short_.empty(), cut_short_};
  sink_->close(ending);
  note_name();
  ending_ = ending;
  acknowledge();
  publish_({EventKind::recording_sealed, sink_->name(), 0, 0, ""});
}

void Recorder::run() noexcept {
  bool resumed = false;
  for (;;) {
    try {
      try {
        if (resumed)
          repeat();
        else
          take_log();
        return record();
      } catch (const DiskFull& e) {
        resumed = wait_for_room(e.what());
      }
      if (resumed) continue;
    } catch (const std::exception& e) {
      fail(e.what());
      close_early(e.what());
      settle();
    }
    return read_in_vain();
  }
}

void Recorder::hurry() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    hurried_ = true;
  }
  hurry_signal_.notify_all();
}

RecordingReport Recorder::finish(const std::string& reason) noexcept {
  hurry();
  if (!finish_.load(std::memory_order_relaxed)) cut_short_ = reason;
  finish_.store(true, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
  RecordingReport report{files_.front(), files_, ending_, sink_->bytes_written(), {}};
  for (const auto* from : {&streams_, &others_})
    for (const auto& s : *from)
      if (from == &streams_ || s->counts().produced > 0)
        report.streams.push_back({s->reader.info().name, s->counts(), {s->acknowledged.load()}});
  return report;
}

RecordingStatus Recorder::status() const {
  const std::scoped_lock lock(mutex_);
  RecordingStatus status;
  status.path = files_.back();
  status.bytes = bytes_.load(std::memory_order_relaxed);
  status.waiting_for_room = waiting_for_room_;
  if (const std::int64_t left = full_in_s_; left >= 0) status.full_in = std::chrono::seconds(left);
  for (const auto& s : streams_) {
    const std::uint64_t acknowledged = s->acknowledged;
    const std::uint64_t next = std::max<std::uint64_t>(s->next, acknowledged);
    const std::uint64_t lag = s->lag();
    status.streams.push_back({s->reader.info().name,
                              s->recorded,
                              s->lost,
                              s->missing,
                              lag,
                              {acknowledged},
                              next - acknowledged + lag});
  }
  return status;
}

}  // namespace spillway
