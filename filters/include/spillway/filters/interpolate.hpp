// Values at the times of a regular grid, from a stream whose samples come at other times.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "spillway/filters/filter.hpp"

namespace spillway {

enum class Interpolation : std::uint8_t { linear, last };

struct Interpolate {
  Rate rate{1, 1};  // output k is the value at time k / rate
  Interpolation method = Interpolation::linear;
  std::chrono::nanoseconds max_gap{0};  // linear: between samples farther apart NaN; 0: no limit
  std::chrono::nanoseconds max_age{0};  // last: NaN where the last value is older; 0: no limit
  friend bool operator==(const Interpolate&, const Interpolate&) = default;
};

// Grid point k is at Rate::duration(k), k / rate to the nearest nanosecond, from time 0 of the
// stream. A point is made as soon as a sample at its time or later is there, so that it depends
// on the data and not on when or how they came; points before the first sample are not made.
//
// At the time of a sample a point has its value and quality. Between samples
//   linear:  x0 + (x1 - x0) (t - t0) / (t1 - t0), and the merge of both qualities and
//            Interpolated. NaN strictly between samples more than max_gap apart, from a
//            neighbour that is NaN or infinite, and where x1 - x0 overflows.
//   last:    the value and quality of the sample before, merged with Interpolated. NaN where
//            that is more than max_age old. A NaN is a value like any other: what was before
//            it is not looked for.
// NaN is Bad, missing; one by overflow Bad, out of range.
//
// Sample n of a regular stream is at clock_time + (n - clock_sample) periods, by the clock that
// comes with its frames (ConstFrames); without one, at n periods. So stamps and steps of the
// clock count, and what was lost in a gap of the sample numbers shows in the distance of the
// times around it and nowhere else. Samples whose time is not later than all before, as where a
// clock steps back, are left out until one is.
//
// Points between two samples are many where a sensor pauses. If they are more than
// longest_pause(), none of them is made: the numbers jump to the first point at or after
// the next sample. longest_pause() is 65536, or as many as fit into max_gap or max_age if those
// are more, so that no interpolated value is ever left out by it, unless there is no limit.
class InterpolateFilter {
 public:
  // `input`: the rate of a regular stream. Without one every frame has its time in
  // ConstFrames::times.
  // Throws Error unless the grid's rate is at most 1e9 Hz; max_gap, for linear only, and
  // max_age, for last only, are not negative and hold at most 2^26 points; a period of the
  // input holds no more than longest_pause(); and lanes is above 0.
  InterpolateFilter(const Interpolate& parameters, const std::optional<Rate>& input,
                    std::size_t lanes);

  // The most that `frames` frames make in one call.
  [[nodiscard]] std::size_t most_frames(std::size_t frames) const noexcept;
  // How many frames from the front of `in` may go into one call: all, or those before a
  // jump in the numbers of their points, or as many as make no more than most_frames() of
  // them. At least 1 if there is one. On a regular stream always all: frames of one call have
  // consecutive numbers and one clock, so that only the first can be far from what came before.
  [[nodiscard]] std::size_t fitting(const ConstFrames& in) const noexcept;
  // Wait-free, O((frames in + frames out) * lanes). Needs in.count() == fitting(in), and
  // room for most_frames(in.count()); points beyond are not made.
  Made process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept {}
  // The sample before goes on being it.
  void take_over(InterpolateFilter& before) noexcept;
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Interpolate& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }
  [[nodiscard]] std::uint64_t longest_pause() const noexcept { return longest_pause_; }

 private:
  // What a sample makes: the points [begin, end), at the sample's time the last one if `hit`.
  struct Points {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    bool hit = false;
  };
  // The sample before.
  struct Before {
    bool exists = false;
    Time time{0};
    std::uint64_t next = 0;  // the first point after it
    Time next_time{0};
  };
  [[nodiscard]] Points points_to(const Before& before, Time time) const noexcept;
  void pass(Before& before, Time time, const Points& points) const noexcept;

  Interpolate parameters_;
  std::optional<Rate> input_;
  std::size_t lanes_ = 1;
  std::uint64_t longest_pause_ = 0;
  std::uint64_t most_each_ = 1;  // points a sample makes, the first of a call aside
  Before before_;
  std::vector<double> value_;  // of the sample before, one a lane
  std::vector<Quality> quality_;
};

// Values at any times, by the same definitions, of a whole signal. `limit` is max_gap or
// max_age. NaN before the first sample and, linear, after the last one; `last` goes on behind
// it. Samples whose time is not later than all before are left out. O(n + m log n).
// Throws Error unless there are as many times as values and the limit is not negative.
[[nodiscard]] std::vector<double> interpolate(
    std::span<const double> values, std::span<const Time> times, std::span<const Time> new_times,
    Interpolation method, std::chrono::nanoseconds limit = std::chrono::nanoseconds(0));

}  // namespace spillway
