// Streams of different clocks and rates, brought to common times.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/interpolate.hpp"

namespace spillway {

// With a rate, output k is at time k / rate of the first input's origin, all inputs brought
// there. Without one, the outputs are the samples of the first input, with their numbers, gaps
// and clock, and the other inputs brought to their times.
struct Align {
  std::optional<Rate> rate = {};
  Interpolation method = Interpolation::linear;
  std::chrono::nanoseconds max_gap{0};  // linear: between samples farther apart NaN; 0: no limit
  std::chrono::nanoseconds max_age{0};  // last: NaN where the last value is older; 0: no limit
  // How far, in the time of the data, the others may be ahead of a late input before outputs are
  // made without it.
  std::chrono::nanoseconds max_wait{1'000'000'000};
  friend bool operator==(const Align&, const Align&) = default;
};

// When outputs are made without an input that is late.
enum class Waiting : std::uint8_t {
  bounded,  // live: as soon as another input is max_wait ahead
  logged,   // offline: for the outputs told by replay_wait()
  over,     // at once: no more samples will come
};

// The lanes of the outputs are those of all inputs side by side. Values and qualities at and
// between samples are those of InterpolateFilter; so is what counts as a sample: one whose time
// is not later than all before it of its input is left out, and gaps show in the times and
// nowhere else. Before the first sample of an input its lanes are NaN, Bad, missing.
//
// With a rate: the first output is the first point, not before time 0, at which the first input
// has begun; the numbers before it are missing. If more than longest_pause() points lie before
// the next sample of any input, they are missing as well.
// Without one: output k is frame k of the first input, its own lanes as they came (a NaN is Bad,
// missing). Where its time is not later than all before, the frame has no place among the
// others: their lanes are NaN, and Bad, missing, time uncertain.
//
// Waiting. The output for time t is made once every input has a sample at or after t, for both
// methods alike, so that nothing that comes later could change it. If an input has none:
//   bounded: the output is made without it, its lanes NaN, Bad, missing, as soon as another
//            input has a sample later than t + max_wait. A stream whose samples are farther
//            apart than max_wait is late most of the time.
//   logged:  the output is made without it if replay_wait() told so (then even if it has
//            samples), and else waits.
//   over:    the output is made without it; with a rate as long as another input reaches as far.
// In all, outputs are also made without an input that is late where the buffer of another has
// no room for one push more. What came too late still counts for later outputs. ended() tells
// what was made without an input: given that, outputs are a pure function of the frames, their
// times and their numbers, whatever the order and the cut of the pushes.
//
// push(), make() and reset() are wait-free, allocate nothing and make no system call.
// One thread at a time.
class AlignFilter {
 public:
  struct Input {
    std::size_t lanes = 1;
    std::optional<Rate> rate = {};   // none: irregular, every frame has its time
    Time offset{0};                  // added to its times puts them on the first input's origin
    std::size_t most_frames = 1024;  // that one push brings
  };
  // A run of outputs with consecutive numbers and one clock, and the gap before it. Without
  // frames it may still tell a gap, as where what is behind that has to wait; `first` is then
  // the number behind the gap.
  struct Output {
    SampleCount lost;     // before `first`; without a rate, as told to push(), else 0
    SampleCount missing;  // before `first`, after `lost`
    std::uint64_t first = 0;
    std::size_t count = 0;
    // The clock, see Chunk: that of the first input; with a rate, point 0 at time 0.
    std::uint64_t clock_sample = 0;
    Time clock_time{};
    [[nodiscard]] bool is_nothing() const noexcept {
      return count == 0 && lost.value == 0 && missing.value == 0;
    }
  };
  // Outputs [from, from + count) were made without an input; with a rate, those that a pause
  // left out count among them.
  struct Ended {
    std::size_t input = 0;
    SampleNumber from;
    SampleCount count;
    friend bool operator==(const Ended&, const Ended&) = default;
  };

  // Throws Error unless there are two inputs, or one and a rate; the rate is at most 1e9 Hz;
  // max_gap, for linear only, and max_age, for last only, are not negative and hold at most
  // 2^26 points; max_wait is not negative; every input has lanes and frames, and
  // kept_frames() of at most 2^26; the first one's offset is 0; and, where all inputs are
  // regular, the fastest has no more than longest_pause() points a period.
  AlignFilter(const Align& parameters, std::vector<Input> inputs);

  // How many frames of input `input` there is room for: two pushes; of a regular one what comes
  // within max_wait and, up to 2^20, during the longest push of a regular input; of an irregular
  // one 65536. 2^64 - 1 if that many.
  [[nodiscard]] static std::uint64_t kept_frames(const Align& parameters,
                                                 std::span<const Input> inputs,
                                                 std::size_t input) noexcept;

  // Frames of one input, consecutive and of one clock: number frames.first and on, at
  // frames.times or by the clock and the rate. `lost` and `missing`, in this order, came before
  // the first; they may come without frames. Needs at most most_frames, and that make() has
  // been called since the last push of this input until it made nothing; then there is room,
  // save where the outputs that the frames are kept for do not come, because the first input
  // does not. Where there is none, the oldest are dropped, and outputs that need them made
  // without this input; of frames that are outputs, the new ones count as lost.
  // O(frames * lanes).
  void push(std::size_t input, const ConstFrames& frames, SampleCount lost,
            SampleCount missing) noexcept;

  // Makes what can be made, as much as there is room for in `out` (at least 1 frame) and, where
  // the outputs are irregular, in `times`, which gets theirs. To be called until it makes
  // nothing: a run ends at a gap, at a change of the clock, and where one entry of ended() for
  // an input would not do. O(frames made * (lanes + inputs) + frames passed).
  Output make(Frames out, std::span<Time> times) noexcept;
  // Of the last make(): at most one an input, in the order of the inputs.
  [[nodiscard]] std::span<const Ended> ended() const noexcept;

  void set_waiting(Waiting waiting) noexcept { waiting_ = waiting; }  // bounded by default
  // As ended() told it, in ascending order for each input. Throws Error if it is not. Allocates.
  void replay_wait(std::size_t input, SampleNumber from, SampleCount count);

  // Whether input `input` is one that the last make(), which made nothing, lacked.
  [[nodiscard]] bool waits_for(std::size_t input) const noexcept { return inputs_[input].lacks; }

  // The time of the output that the last make() could not decide yet, if there was one.
  [[nodiscard]] std::optional<Time> waits_at() const noexcept { return waits_at_; }

  // Frames that wait are still there if `before` has the same inputs and rate; else outputs begin
  // at number `next` at the earliest. May leave `before` without its memory.
  void take_over(AlignFilter& before, std::uint64_t next) noexcept;

  // As if nothing had come yet. The way of waiting and the waits told are no state: they stay,
  // and load_state does not bring them.
  void reset() noexcept;
  void save_state(StateWriter& writer) const;  // with all frames kept
  void load_state(StateReader& reader);        // unchanged if it throws

  [[nodiscard]] const Align& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }
  [[nodiscard]] bool irregular() const noexcept {  // whether outputs have times of their own
    return !parameters_.rate && !inputs_.front().is.rate;
  }
  [[nodiscard]] std::uint64_t longest_pause() const noexcept { return longest_pause_; }

 private:
  // What a frame of the first input carries besides, where it makes an output.
  struct Identity {
    std::uint64_t number = 0;
    SampleCount lost;  // before it
    SampleCount missing;
    std::uint64_t clock_sample = 0;
    Time clock_time{};
    bool in_order = true;  // later than all before
  };
  // An input and its frames that may still be needed, oldest first, in a ring.
  struct Kept {
    Input is;
    std::size_t lane = 0;  // its first one among those of the output
    std::size_t capacity = 0;
    std::size_t begin = 0;
    std::size_t count = 0;
    std::vector<Time> times;
    std::vector<double> values;
    std::vector<Quality> quality;
    bool begun = false;
    Time latest{0};
    bool dropped = false;  // of what is before the oldest, for lack of room

    // Of the output being made, and of this make().
    bool without = false;
    bool lacks = false;  // it must wait for this input
    Ended ended;

    std::vector<Ended> replay;
    std::size_t replay_at = 0;

    [[nodiscard]] std::size_t slot(std::size_t i) const noexcept {
      return begin + i < capacity ? begin + i : begin + i - capacity;
    }
    [[nodiscard]] Time time(std::size_t i) const noexcept { return times[slot(i)]; }
    [[nodiscard]] bool has_room() const noexcept { return capacity - count >= is.most_frames; }
    void pop() noexcept;
    void push(Time time, const double* x, const Quality* q) noexcept;
    void forget_before(Time time) noexcept;
    [[nodiscard]] bool is_told(std::uint64_t number) noexcept;
  };
  // What is to be made next.
  struct Point {
    std::uint64_t number = 0;
    Time time{0};
    bool in_order = true;
  };

  [[nodiscard]] bool makes_outputs(std::size_t input) const noexcept {
    return input == 0 && !parameters_.rate;
  }
  [[nodiscard]] std::optional<Point> next_point() noexcept;
  [[nodiscard]] bool is_decided(const Point& point) noexcept;
  [[nodiscard]] bool goes_on(const Output& made, const Point& point) const noexcept;
  [[nodiscard]] std::uint64_t behind_pause(const Point& point) const noexcept;
  void tell_ended(std::uint64_t number, std::uint64_t count) noexcept;
  void put(const Point& point, double* y, Quality* q) const noexcept;
  void check_times(std::size_t input) const;

  Align parameters_;
  std::size_t lanes_ = 0;
  std::uint64_t longest_pause_ = 0;
  Waiting waiting_ = Waiting::bounded;
  std::vector<Kept> inputs_;
  std::vector<Ended> ended_;  // ended_count_ of them
  std::size_t ended_count_ = 0;
  std::optional<Time> waits_at_;

  bool started_ = false;    // with a rate: the grid has
  std::uint64_t next_ = 0;  // number behind what was told
  // Without a rate: of the first input's frames, as its ring has them; the gap behind the last.
  std::vector<Identity> identities_;
  Identity behind_;
};

}  // namespace spillway
