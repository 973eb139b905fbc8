#include "spillway/storage/stream_log.hpp"

namespace spillway {

void StreamLog::add_gap(Gap gap) {
  counts_.lost += gap.lost;
  counts_.missing += gap.missing;
  counts_.produced += gap.count;
  // One loss may come in pieces, as many as reads found it.
  if (!gaps_.empty()) {
    Gap& last = gaps_.back();
    if (last.cause == gap.cause && last.first_sample + last.count == gap.first_sample) {
      last.count += gap.count;
      last.lost += gap.lost;
      last.missing += gap.missing;
      return;
    }
  }
  gaps_.push_back(gap);
}

void StreamLog::add(const Gap& gap) {
  if (gap.count == 0) return;
  begin_at(gap.first_sample);
  add_gap(gap);
  step_due_ = true;
}

void StreamLog::begin_at(std::uint64_t sample) {
  if (!begun_) begin_ = sample;
  begun_ = true;
}

void StreamLog::add(const Chunk& chunk, const CalibrationSet& set) {
  const std::uint64_t from = chunk.from.value;
  begin_at(from);
  const std::uint64_t lost = chunk.lost.value;
  const std::uint64_t missing = chunk.missing.value;
  if (chunk.mixed) {
    if (lost + missing > 0) add_gap({from, lost + missing, lost, missing, Absence::mixed});
  } else {
    if (lost > 0) add_gap({from, lost, lost, 0, Absence::lost});
    if (missing > 0) {
      const bool upstream = chunk.cause == GapCause::upstream;
      // What the graph lost was produced by the source: it counts as lost.
      add_gap({from + lost, missing, upstream ? missing : 0, upstream ? 0 : missing,
               upstream ? Absence::lost_upstream : Absence::missing});
    }
  }
  step_due_ |= chunk.new_segment;
  if (chunk.count.value == 0) return;

  const std::uint64_t first = chunk.first.value;
  const bool continues = has_segment_ && first == segment_.first_sample + segment_.count &&
                         chunk.clock_sample.value == segment_.clock_sample &&
                         chunk.clock_time.count() == segment_.clock_ns && !step_due_;
  step_due_ = false;
  if (!continues) {
    if (has_segment_) finished_.push_back(segment_);
    segment_ = {first,
                counts_.recorded,
                0,
                chunk.time.count(),
                chunk.clock_sample.value,
                chunk.clock_time.count()};
    has_segment_ = true;
  }
  segment_.count += chunk.count.value;
  counts_.recorded += chunk.count.value;
  counts_.produced += chunk.count.value;

  if (!has_calibrations_ || chunk.calibrations != calibrations_id_) {
    if (!has_calibrations_ || set != calibrations_) changes_.push_back({first, set});
    calibrations_ = set;
    calibrations_id_ = chunk.calibrations;
    has_calibrations_ = true;
  }
}

}  // namespace spillway
