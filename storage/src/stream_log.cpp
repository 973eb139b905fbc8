#include "spillway/storage/stream_log.hpp"

#include <fmt/format.h>

#include "spillway/channels/error.hpp"

namespace spillway {

void StreamLog::check_begin(std::uint64_t sample, const std::string& where,
                            const std::string& stream) const {
  if (!begun_ || sample == end().value) return;
  throw Error(fmt::format(
      "{}: stream '{}' goes on at sample {}, not at {}; samples that are not there are to be told "
      "as lost or missing",
      where, stream, end().value, sample));
}

void StreamLog::check(const Chunk& chunk, const std::string& where,
                      const std::string& stream) const {
  check_begin(chunk.from.value, where, stream);
  const std::uint64_t absent = chunk.first.value - chunk.from.value;
  if (absent != chunk.lost.value + chunk.missing.value)
    throw Error(fmt::format(
        "{}: stream '{}': a chunk from sample {} to its first one, {}, tells of {} lost and {} "
        "missing ones",
        where, stream, chunk.from.value, chunk.first.value, chunk.lost.value, chunk.missing.value));
}

void StreamLog::check(const Gap& gap, const std::string& where, const std::string& stream) const {
  if (gap.count == 0) return;
  check_begin(gap.first_sample, where, stream);
  if (gap.count != gap.lost + gap.missing)
    throw Error(fmt::format("{}: stream '{}': a gap of {} samples at {} has {} lost and {} missing",
                            where, stream, gap.count, gap.first_sample, gap.lost, gap.missing));
}

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
