#include "spillway/filters/align.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "interpolation_point.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

constexpr std::string_view what = "align";
constexpr std::uint64_t most_kept = std::uint64_t{1} << 26;
constexpr std::uint64_t most_in_a_push = std::uint64_t{1} << 20;  // of another input
constexpr std::uint64_t irregular_kept = 65536;
constexpr Quality no_place{Verdict::bad, Quality::missing | Quality::time_uncertain};

InterpolationRule rule_of(const Align& p) noexcept {
  return {p.method, p.method == Interpolation::linear ? p.max_gap : p.max_age};
}

// The first grid point at or after `time`.
std::uint64_t first_point(const Rate& grid, Time time) noexcept {
  const std::uint64_t end = points_until(grid, time);
  return end > 0 && grid.duration(end - 1) == time ? end - 1 : end;
}

void check_period(const Rate& grid, std::span<const AlignFilter::Input> inputs,
                  std::uint64_t longest_pause) {
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  double fastest = 0.0;
  for (const AlignFilter::Input& input : inputs) {
    if (!input.rate) return;
    const std::uint64_t points = grid.samples_within(input.rate->duration(1));
    if (points < least) fastest = input.rate->hertz().value;
    least = std::min(least, points);
  }
  if (least > longest_pause - 2)
    throw Error(fmt::format("{}: from {} Hz to {} Hz; at most {} points a sample are allowed", what,
                            fastest, grid.hertz().value, longest_pause - 2));
}

void check_inputs(const Align& p, std::span<const AlignFilter::Input> inputs) {
  if (inputs.size() < (p.rate ? 1U : 2U))
    throw Error(
        fmt::format("{}: {} inputs; needed are two, or one and a rate", what, inputs.size()));
  if (inputs.front().offset.count() != 0)
    throw Error(
        fmt::format("{}: an offset of {} ns of the first input; all others are brought to "
                    "its origin, so it must be 0",
                    what, inputs.front().offset.count()));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].lanes == 0)
      throw Error(fmt::format("{}: input {} has 0 lanes; at least 1 is needed", what, i));
    if (inputs[i].most_frames == 0)
      throw Error(
          fmt::format("{}: input {} comes in blocks of 0 frames; at least 1 is needed", what, i));
    const std::uint64_t kept = AlignFilter::kept_frames(p, inputs, i);
    if (kept > most_kept)
      throw Error(
          fmt::format("{}: {} frames of input {} must be kept for a max_wait of {} ns and "
                      "blocks of {}; at most {} are allowed",
                      what, kept, i, p.max_wait.count(), inputs[i].most_frames, most_kept));
  }
}

}  // namespace

// --- the frames of an input ---

void AlignFilter::Kept::pop() noexcept {
  begin = slot(1);
  --count;
}

void AlignFilter::Kept::push(Time time, const double* x, const Quality* q) noexcept {
  const std::size_t at = slot(count);
  times[at] = time;
  std::copy_n(x, is.lanes, values.data() + at * is.lanes);
  std::copy_n(q, is.lanes, quality.data() + at * is.lanes);
  ++count;
}

// Keeps the last one at or before `time`, and what is later.
void AlignFilter::Kept::forget_before(Time time) noexcept {
  while (count > 1 && this->time(1) <= time) pop();
}

// Whether output `number` is to be made without this input; asked in ascending order.
bool AlignFilter::Kept::is_told(std::uint64_t number) noexcept {
  while (replay_at < replay.size() &&
         replay[replay_at].from.value + replay[replay_at].count.value <= number)
    ++replay_at;
  return replay_at < replay.size() && replay[replay_at].from.value <= number;
}

// --- making it ---

std::uint64_t AlignFilter::kept_frames(const Align& parameters, std::span<const Input> inputs,
                                       std::size_t input) noexcept {
  constexpr std::uint64_t too_many = std::numeric_limits<std::uint64_t>::max();
  const Input& of = inputs[input];
  if (of.most_frames > most_kept) return too_many;
  const std::uint64_t pushes = 2 * static_cast<std::uint64_t>(of.most_frames) + 2;
  if (!of.rate) return pushes + irregular_kept;
  const std::uint64_t in_wait = of.rate->samples_within(parameters.max_wait);
  if (in_wait > too_many / 2) return too_many;
  Time longest{0};
  for (const Input& other : inputs)
    if (other.rate) longest = std::max(longest, other.rate->duration(other.most_frames));
  return pushes + in_wait + std::min(of.rate->samples_within(longest), most_in_a_push);
}

AlignFilter::AlignFilter(const Align& parameters, std::vector<Input> inputs)
    : parameters_(parameters) {
  const InterpolationRule rule =
      checked_rule(what, parameters.method, parameters.max_gap, parameters.max_age);
  check_limit(what, "max_wait", parameters.max_wait);
  check_inputs(parameters, inputs);
  if (parameters.rate) {
    check_grid(what, *parameters.rate);
    longest_pause_ = checked_pause(what, *parameters.rate, rule);
    check_period(*parameters.rate, inputs, longest_pause_);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Kept kept;
    kept.is = inputs[i];
    kept.lane = lanes_;
    kept.capacity = kept_frames(parameters, inputs, i);
    kept.times.resize(kept.capacity);
    kept.values.resize(kept.capacity * kept.is.lanes);
    kept.quality.resize(kept.capacity * kept.is.lanes);
    lanes_ += kept.is.lanes;
    inputs_.push_back(std::move(kept));
  }
  if (makes_outputs(0)) identities_.resize(inputs_.front().capacity);
  ended_.resize(inputs_.size());
}

// --- frames come ---

void AlignFilter::push(std::size_t input, const ConstFrames& frames, SampleCount lost,
                       SampleCount missing) noexcept {
  Kept& kept = inputs_[input];
  const bool makes_output = makes_outputs(input);
  if (makes_output) {
    behind_.lost += lost;
    behind_.missing += missing;
  }
  for (std::size_t f = 0; f < frames.count(); ++f) {
    const Time time = saturating_add(sample_time(frames, kept.is.rate, f), kept.is.offset);
    const bool in_order = !kept.begun || time > kept.latest;
    if (!in_order && !makes_output) continue;
    if (kept.count == kept.capacity) {
      if (makes_output) {
        behind_.lost += SampleCount{1};
        continue;
      }
      kept.pop();
      kept.dropped = true;
    }
    if (makes_output) {
      behind_.number = frames.first + f;
      behind_.clock_sample = frames.clock_sample;
      behind_.clock_time = frames.clock_time;
      behind_.in_order = in_order;
      identities_[kept.slot(kept.count)] = std::exchange(behind_, {});
    }
    kept.push(time, frames.values.data() + f * kept.is.lanes,
              frames.quality.data() + f * kept.is.lanes);
    if (in_order) {
      kept.begun = true;
      kept.latest = time;
    }
  }
  if (makes_output) {
    behind_.number = frames.first + frames.count();
    behind_.clock_sample = frames.clock_sample;
    behind_.clock_time = frames.clock_time;
  }
}

// --- outputs are made ---

std::optional<AlignFilter::Point> AlignFilter::next_point() noexcept {
  const Kept& first = inputs_.front();
  for (Kept& kept : inputs_) kept.lacks = &kept == &first;
  Point point;
  if (makes_outputs(0)) {
    if (first.count == 0) return std::nullopt;
    const Identity& identity = identities_[first.begin];
    point = {identity.number, first.time(0), identity.in_order};
  } else {
    if (!first.begun) return std::nullopt;
    if (!started_) next_ = std::max(next_, first_point(*parameters_.rate, first.time(0)));
    started_ = true;
    point = {next_, parameters_.rate->duration(next_), true};
    if (point.time == Time::max()) return std::nullopt;  // no time is told behind that
  }
  for (std::size_t i = makes_outputs(0) ? 1 : 0; i < inputs_.size(); ++i)
    inputs_[i].forget_before(point.time);
  return point;
}

// Whether the point can be made now, and without which inputs.
bool AlignFilter::is_decided(const Point& point) noexcept {
  bool give_up = false;
  const Time deadline = saturating_add(point.time, parameters_.max_wait);
  for (const Kept& kept : inputs_) {
    if (waiting_ == Waiting::bounded && kept.begun && kept.latest > deadline) give_up = true;
    if (waiting_ == Waiting::over &&
        (makes_outputs(0) || (kept.begun && kept.latest >= point.time)))
      give_up = true;
    if (!kept.has_room()) give_up = true;
  }
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    Kept& kept = inputs_[i];
    kept.without = false;
    kept.lacks = false;
    if (makes_outputs(i) || !point.in_order) continue;
    if (waiting_ == Waiting::logged && kept.is_told(point.number))
      kept.without = true;
    else if (!kept.begun || kept.latest < point.time)
      give_up ? kept.without = true : kept.lacks = true;
    else
      kept.without = kept.dropped && point.time < kept.time(0);
  }
  return std::ranges::none_of(inputs_, &Kept::lacks);
}

// Whether the point may stand in one run with what is made already.
bool AlignFilter::goes_on(const Output& made, const Point& point) const noexcept {
  for (const Kept& kept : inputs_)
    if (kept.without && kept.ended.count.value > 0 &&
        kept.ended.from.value + kept.ended.count.value != point.number)
      return false;
  if (made.count == 0) return true;
  if (point.number != made.first + made.count) return false;
  if (!makes_outputs(0)) return true;
  const Identity& identity = identities_[inputs_.front().begin];
  return identity.clock_sample == made.clock_sample && identity.clock_time == made.clock_time;
}

// The point to go on with: this one, or the first one behind a pause that is too long.
std::uint64_t AlignFilter::behind_pause(const Point& point) const noexcept {
  const Rate& grid = *parameters_.rate;
  Time next = Time::max();
  bool is_any = false;
  for (const Kept& kept : inputs_) {
    if (kept.without) continue;
    next = std::min(next, kept.time(kept.time(0) < point.time ? 1 : 0));
    is_any = true;
  }
  if (!is_any || grid.duration(point.number + longest_pause_) >= next) return point.number;
  return first_point(grid, next);
}

void AlignFilter::tell_ended(std::uint64_t number, std::uint64_t count) noexcept {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (!inputs_[i].without) continue;
    Ended& ended = inputs_[i].ended;
    if (ended.count.value == 0) ended = {i, {number}, {0}};
    ended.count.value += count;
  }
}

void AlignFilter::put(const Point& point, double* y, Quality* q) const noexcept {
  const InterpolationRule rule = rule_of(parameters_);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Kept& kept = inputs_[i];
    const std::size_t lanes = kept.is.lanes;
    double* const y_here = y + kept.lane;
    Quality* const q_here = q + kept.lane;
    const auto sample = [&](std::size_t n) {
      const std::size_t at = kept.slot(n) * lanes;
      return Neighbour{kept.time(n), kept.values.data() + at, kept.quality.data() + at};
    };
    if (!makes_outputs(i) && !point.in_order)
      put_missing(lanes, y_here, q_here, no_place);
    else if (kept.without || kept.time(0) > point.time)
      put_missing(lanes, y_here, q_here);
    else if (kept.time(0) == point.time)
      put_sample(sample(0).values, sample(0).quality, lanes, y_here, q_here);
    else
      put_between(rule, sample(0), sample(1), point.time, lanes, y_here, q_here);
  }
}

AlignFilter::Output AlignFilter::make(Frames out, std::span<Time> times) noexcept {
  Output made;
  const bool is_grid = parameters_.rate.has_value();
  Kept& first = inputs_.front();
  const std::uint64_t from = next_;
  std::size_t room = out.values.size() / lanes_;
  if (irregular()) room = std::min(room, times.size());
  for (Kept& kept : inputs_) kept.ended = {};
  if (!is_grid) {
    // A gap is told even where what is behind it still waits.
    Identity& next = first.count > 0 ? identities_[first.begin] : behind_;
    made.lost = std::exchange(next.lost, {});
    made.missing = std::exchange(next.missing, {});
  }
  waits_at_.reset();
  while (made.count < room) {
    const std::optional<Point> point = next_point();
    if (!point) break;
    if (!is_decided(*point)) {
      waits_at_ = point->time;
      break;
    }
    if (!goes_on(made, *point)) break;
    if (is_grid) {
      if (const std::uint64_t behind = behind_pause(*point); behind != point->number) {
        if (made.count > 0) break;
        tell_ended(point->number, behind - point->number);
        next_ = behind;
        continue;
      }
    }
    if (made.count == 0) {
      made.first = point->number;
      if (!is_grid) {
        made.clock_sample = identities_[first.begin].clock_sample;
        made.clock_time = identities_[first.begin].clock_time;
      }
    }
    put(*point, out.values.data() + made.count * lanes_, out.quality.data() + made.count * lanes_);
    if (irregular()) times[made.count] = point->time;
    tell_ended(point->number, 1);
    ++made.count;
    if (is_grid)
      ++next_;
    else
      first.pop();
  }
  if (is_grid) {
    if (made.count == 0) made.first = next_;
    made.missing = {made.first - from};
  } else if (made.count == 0) {
    const Identity& next = first.count > 0 ? identities_[first.begin] : behind_;
    made.first = next.number;
    made.clock_sample = next.clock_sample;
    made.clock_time = next.clock_time;
  }
  ended_count_ = 0;
  for (const Kept& kept : inputs_)
    if (kept.ended.count.value > 0) ended_[ended_count_++] = kept.ended;
  return made;
}

std::span<const AlignFilter::Ended> AlignFilter::ended() const noexcept {
  return std::span(ended_).first(ended_count_);
}

void AlignFilter::replay_wait(std::size_t input, SampleNumber from, SampleCount count) {
  if (input >= inputs_.size())
    throw Error(fmt::format("{}: a wait of input {}; there are {}", what, input, inputs_.size()));
  if (count.value == 0) return;
  std::vector<Ended>& told = inputs_[input].replay;
  if (!told.empty()) {
    const SampleNumber end = told.back().from + told.back().count;
    if (from < end)
      throw Error(
          fmt::format("{}: a wait of input {} from output {}; it must not be before {}, "
                      "where the one before ends",
                      what, input, from.value, end.value));
  }
  told.push_back({input, from, count});
}

// --- state ---

void AlignFilter::take_over(AlignFilter& before, std::uint64_t next) noexcept {
  next_ = next;
  const auto alike = [](const Kept& a, const Kept& b) {
    return a.is.lanes == b.is.lanes && a.is.rate == b.is.rate && a.is.offset == b.is.offset;
  };
  if (parameters_.rate != before.parameters_.rate ||
      !std::ranges::equal(inputs_, before.inputs_, alike))
    return;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    Kept& kept = inputs_[i];
    Kept& was = before.inputs_[i];
    kept.begun = was.begun;
    kept.latest = was.latest;
    kept.dropped = was.dropped;
    if (was.capacity >= kept.capacity) {
      // All of them may be needed, whatever this one would have room for.
      std::swap(kept.capacity, was.capacity);
      std::swap(kept.times, was.times);
      std::swap(kept.values, was.values);
      std::swap(kept.quality, was.quality);
      kept.begin = was.begin;
      kept.count = was.count;
      if (makes_outputs(i)) std::swap(identities_, before.identities_);
      continue;
    }
    for (std::size_t n = 0; n < was.count; ++n) {
      const std::size_t at = was.slot(n) * was.is.lanes;
      if (makes_outputs(i)) identities_[kept.slot(kept.count)] = before.identities_[was.slot(n)];
      kept.push(was.time(n), was.values.data() + at, was.quality.data() + at);
    }
  }
  started_ = before.started_;
  next_ = before.next_;
  behind_ = before.behind_;
}

void AlignFilter::reset() noexcept {
  for (Kept& kept : inputs_) {
    kept.begin = kept.count = 0;
    kept.begun = kept.dropped = false;
    kept.latest = Time(0);
    kept.replay_at = 0;
  }
  ended_count_ = 0;
  started_ = false;
  next_ = 0;
  behind_ = {};
}

namespace {

template <class T>
void put_ring(StateWriter& writer, const std::vector<T>& ring, std::size_t begin,
              std::size_t count) {
  writer.put(static_cast<std::uint64_t>(count));
  for (std::size_t i = 0; i < count; ++i) writer.put(ring[(begin + i) % ring.size()]);
}
// To the front of it.
template <class T>
void get_ring(StateReader& reader, std::vector<T>& ring, std::size_t count) {
  std::vector<T> in_order(count);
  reader.get(in_order);
  std::ranges::copy(in_order, ring.begin());
}

}  // namespace

void AlignFilter::save_state(StateWriter& writer) const {
  const auto put_identity = [&](const Identity& identity) {
    writer.put(identity.number);
    writer.put(identity.lost.value);
    writer.put(identity.missing.value);
    writer.put(identity.clock_sample);
    writer.put(identity.clock_time.count());
    writer.put(static_cast<std::uint8_t>(identity.in_order));
  };
  writer.put(static_cast<std::uint64_t>(inputs_.size()));
  writer.put(static_cast<std::uint8_t>(started_));
  writer.put(next_);
  put_identity(behind_);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const Kept& kept = inputs_[i];
    writer.put(static_cast<std::uint64_t>(kept.is.lanes));
    writer.put(static_cast<std::uint64_t>(kept.count));
    writer.put(static_cast<std::uint8_t>(kept.begun));
    writer.put(static_cast<std::uint8_t>(kept.dropped));
    writer.put(kept.latest.count());
    put_ring(writer, kept.times, kept.begin, kept.count);
    put_ring(writer, kept.values, kept.begin * kept.is.lanes, kept.count * kept.is.lanes);
    put_ring(writer, kept.quality, kept.begin * kept.is.lanes, kept.count * kept.is.lanes);
    if (!makes_outputs(i)) continue;
    for (std::size_t n = 0; n < kept.count; ++n) put_identity(identities_[kept.slot(n)]);
  }
}

// Outputs would be made without end up to a latest time that no frame has.
void AlignFilter::check_times(std::size_t input) const {
  const Kept& kept = inputs_[input];
  std::optional<Time> last;
  bool ascending = true;
  for (std::size_t n = 0; n < kept.count; ++n) {
    if (makes_outputs(input) && !identities_[kept.slot(n)].in_order) continue;
    ascending &= !last || kept.time(n) > *last;
    last = kept.time(n);
  }
  const bool is_latest = makes_outputs(input)
                             ? !last || (kept.begun && *last <= kept.latest)
                             : kept.begun == last.has_value() && (!last || *last == kept.latest);
  if (!ascending || !is_latest)
    throw Error(fmt::format("{}: the state is damaged: the times of input {} are out of order",
                            what, input));
}

void AlignFilter::load_state(StateReader& reader) {
  const auto get_bool = [&] {
    std::uint8_t byte = 0;
    reader.get(byte);
    return byte != 0;
  };
  const auto get_identity = [&](Identity& identity) {
    reader.get(identity.number);
    reader.get(identity.lost.value);
    reader.get(identity.missing.value);
    reader.get(identity.clock_sample);
    Time::rep time = 0;
    reader.get(time);
    identity.clock_time = Time(time);
    identity.in_order = get_bool();
  };
  std::uint64_t inputs = 0;
  reader.get(inputs);
  if (inputs != inputs_.size())
    throw Error(fmt::format("{}: the state is of {} inputs; needed is one of {}", what, inputs,
                            inputs_.size()));
  AlignFilter loaded = *this;
  loaded.reset();
  loaded.started_ = get_bool();
  reader.get(loaded.next_);
  get_identity(loaded.behind_);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    Kept& kept = loaded.inputs_[i];
    std::uint64_t lanes = 0;
    std::uint64_t count = 0;
    reader.get(lanes);
    reader.get(count);
    if (lanes != kept.is.lanes || count > reader.left() / (sizeof(Time) + lanes * sizeof(double)))
      throw Error(
          fmt::format("{}: the state of input {} has {} lanes and {} frames; needed are "
                      "{} lanes and as many frames as it has bytes for",
                      what, i, lanes, count, kept.is.lanes));
    if (count > kept.capacity) {
      // From one with more room, see take_over(). As much as a new one has is for what comes.
      kept.capacity += count;
      kept.times.resize(kept.capacity);
      kept.values.resize(kept.capacity * lanes);
      kept.quality.resize(kept.capacity * lanes);
      if (makes_outputs(i)) loaded.identities_.resize(kept.capacity);
    }
    kept.count = count;
    kept.begun = get_bool();
    kept.dropped = get_bool();
    Time::rep latest = 0;
    reader.get(latest);
    kept.latest = Time(latest);
    get_ring(reader, kept.times, kept.count);
    get_ring(reader, kept.values, kept.count * kept.is.lanes);
    get_ring(reader, kept.quality, kept.count * kept.is.lanes);
    if (makes_outputs(i))
      for (std::size_t n = 0; n < kept.count; ++n) get_identity(loaded.identities_[n]);
    loaded.check_times(i);
  }
  *this = std::move(loaded);
}

}  // namespace spillway
