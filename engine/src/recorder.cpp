#include "recorder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace spillway {

namespace {

constexpr std::size_t block_frames = 4096;
constexpr auto shortest_nap = std::chrono::microseconds(200);
constexpr auto longest_nap = std::chrono::milliseconds(10);

std::string describe_gap(const Gap& gap) {
  const char* why = "missing at the source";
  if (gap.cause == Absence::lost_upstream) why = "lost before the graph read them";
  if (gap.cause == Absence::lost) why = "overwritten before the recorder read them";
  if (gap.cause == Absence::mixed) why = "lost and missing, mixed";
  return fmt::format("{} samples from {} on: {}", gap.count, gap.first_sample, why);
}

}  // namespace

Recorder::PerStream::PerStream(const Input& input)
    : reader(*input.stream),
      block(input.stream->info(),
            std::min<std::size_t>(block_frames, input.stream->capacity().value)),
      progress(input.progress),
      waits(input.waits) {}

Recorder::Recorder(std::unique_ptr<Sink> sink, std::chrono::nanoseconds flush,
                   const RecordingInfo& info, const std::vector<Input>& inputs, Publish publish)
    : sink_(std::move(sink)),
      flush_interval_(flush),
      publish_(std::move(publish)),
      anchors_(1024),
      last_flush_(std::chrono::steady_clock::now()) {
  for (const Input& input : inputs) streams_.push_back(std::make_unique<PerStream>(input));
  try {
    sink_->begin(info);
  } catch (...) {
    sink_->abandon();
    throw;
  }
  publish_({EventKind::recording_created, sink_->name(), 0, 0, ""});
}

Recorder::~Recorder() {
  if (thread_.joinable()) finish();
}

void Recorder::start() {
  thread_ = std::thread([this] { run(); });
}

void Recorder::tell(std::size_t index) {
  PerStream& s = *streams_[index];
  const std::string& name = s.reader.info().name;
  for (const Gap& gap : s.log.take_gaps()) {
    const bool lost = gap.lost > 0;
    publish_({lost ? EventKind::samples_lost : EventKind::samples_missing, name, gap.first_sample,
              gap.count, describe_gap(gap)});
  }
  (void)s.log.take_finished_segments();
  const RecordedCounts& counts = s.log.counts();
  for (const CalibrationChange& change : s.log.take_calibrations())
    if (change.from_sample > 0 && counts.recorded > 0)
      publish_({EventKind::calibration_changed, name, change.from_sample, 0, ""});
  s.recorded.store(counts.recorded, std::memory_order_relaxed);
  s.lost.store(counts.lost, std::memory_order_relaxed);
  s.missing.store(counts.missing, std::memory_order_relaxed);
  const std::uint64_t lag = s.reader.pending().value;
  s.lag.store(lag, std::memory_order_relaxed);
  bytes_.store(sink_->bytes_written(), std::memory_order_relaxed);
}

bool Recorder::read_stream(std::size_t index) {
  PerStream& s = *streams_[index];
  const std::uint64_t lag = s.reader.pending().value;
  // Once a crossing, while there is still time to do something about it.
  const bool behind = !s.waits && lag * 2 > s.reader.capacity().value;
  if (behind && !s.behind)
    publish_(
        {EventKind::falling_behind, s.reader.info().name, s.reader.next().value, lag,
         fmt::format("{} samples behind, of {} the ring holds", lag, s.reader.capacity().value)});
  s.behind = behind;

  const Chunk chunk = s.reader.read(s.block);
  const std::size_t anchors = s.reader.read_anchors(anchors_);
  if (anchors > 0) sink_->append(index, std::span(anchors_).first(anchors));
  if (chunk.count.value + chunk.lost.value + chunk.missing.value == 0) return anchors > 0;
  const CalibrationSet& set = s.reader.calibrations(chunk.calibrations);
  sink_->append(index, chunk, s.block, set);
  s.log.add(chunk, set);
  s.progress->reached(chunk.row + chunk.count.value);
  tell(index);
  unflushed_ = true;
  return true;
}

bool Recorder::step() {
  bool worked = false;
  for (std::size_t i = 0; i < streams_.size(); ++i) worked |= read_stream(i);
  const auto now = std::chrono::steady_clock::now();
  if (now - last_flush_ >= flush_interval_) {
    last_flush_ = now;
    if (std::exchange(unflushed_, false)) {
      sink_->flush();
      publish_({EventKind::recording_saved, sink_->name(), 0, 0, ""});
    }
  }
  return worked;
}

void Recorder::fail(const std::string& reason) noexcept {
  if (!ending_.complete) return;
  ending_ = {false, reason};
  for (auto& s : streams_) s->progress->left();
  failed_.store(true, std::memory_order_release);
  publish_({EventKind::recording_failed, sink_->name(), 0, 0, reason});
}

void Recorder::run() noexcept {
  try {
    auto nap = std::chrono::nanoseconds(shortest_nap);
    for (;;) {
      const bool finishing = finish_.load(std::memory_order_acquire);
      if (step()) {
        nap = shortest_nap;
        continue;
      }
      if (finishing) break;  // nothing came after the sources and the graph had ended
      std::this_thread::sleep_for(nap);
      nap = std::min(nap * 2, std::chrono::nanoseconds(longest_nap));
    }
  } catch (const std::exception& e) {
    fail(e.what());
  }
  if (ending_.complete && !cut_short_.empty()) ending_ = {false, cut_short_};
  try {
    sink_->close(ending_);
    publish_({EventKind::recording_sealed, sink_->name(), 0, 0, ""});
  } catch (const std::exception& e) {
    if (ending_.complete)
      fail(e.what());
    else
      ending_.reason += fmt::format("; and it could not be sealed: {}", e.what());
  }
}

RecordingReport Recorder::finish(const std::string& reason) noexcept {
  if (!finish_.load(std::memory_order_relaxed)) cut_short_ = reason;
  finish_.store(true, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
  RecordingReport report{sink_->name(), ending_, sink_->bytes_written(), {}};
  for (const auto& s : streams_) report.streams.push_back({s->reader.info().name, s->log.counts()});
  return report;
}

RecordingStatus Recorder::status() const {
  RecordingStatus status{sink_->name(), bytes_.load(std::memory_order_relaxed), {}};
  for (const auto& s : streams_)
    status.streams.push_back({s->reader.info().name, s->recorded.load(), s->lost.load(),
                              s->missing.load(), s->lag.load()});
  return status;
}

}  // namespace spillway
