// Detectors: values pass unchanged, what is found stands in their quality.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "spillway/filters/filter.hpp"

namespace spillway {

// Below `low` or above `high`: suspect, out of range.
struct DetectRange {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  friend bool operator==(const DetectRange&, const DetectRange&) = default;
};
// At `low` or below, at `high` or above: suspect, out of range.
struct DetectSaturation {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  friend bool operator==(const DetectSaturation&, const DetectSaturation&) = default;
};
// From the `samples`-th equal value on: suspect, implausible.
struct DetectStuck {
  std::uint64_t samples = 10;  // from 2
  friend bool operator==(const DetectStuck&, const DetectStuck&) = default;
};
// |x[k] - x[k-1]| above `limit`: suspect, implausible.
struct DetectJump {
  double limit = 0.0;
  friend bool operator==(const DetectJump&, const DetectJump&) = default;
};
// Of an irregular stream. A frame more than `max_step` after the one before: suspect, transient, as
// samples may be missing before it. A frame whose time is not later than all before: suspect, time
// uncertain.
struct DetectTime {
  std::chrono::nanoseconds max_step{0};  // 0: not looked for
  friend bool operator==(const DetectTime&, const DetectTime&) = default;
};

// All detectors: limits are in the unit of the values. Values pass bit for bit. What is found is
// merged with the input's quality, on the sample where it is found and no other; a NaN is Bad,
// missing besides. The input's quality plays no part in what is found. Lanes are apart from each
// other. Wait-free, O(frames * lanes), no delay; `out` may be `in`.
//
// Constructors throw Error if a parameter is not as allowed, or lanes is 0. load_state throws
// Error, and changes nothing, if the state is of another number of lanes.

// A NaN is out of range as well. No state.
class DetectRangeFilter {
 public:
  // low <= high; infinite where there is no end.
  DetectRangeFilter(const DetectRange& parameters, std::size_t lanes);

  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const DetectRange& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  DetectRange parameters_;
  std::size_t lanes_ = 1;
};

// A NaN is missing, not saturated. No state.
class DetectSaturationFilter {
 public:
  // low < high; infinite where there is no end.
  DetectSaturationFilter(const DetectSaturation& parameters, std::size_t lanes);

  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const DetectSaturation& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  DetectSaturation parameters_;
  std::size_t lanes_ = 1;
};

// Causal: found on a value that equals the `samples` - 1 before it; the first ones of the run
// have gone by then. A NaN equals nothing: it and a gap end the run.
class DetectStuckFilter {
 public:
  // samples >= 2
  DetectStuckFilter(const DetectStuck& parameters, std::size_t lanes);

  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept { reset(); }
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  // Counts on: as if it had always been there.
  void take_over(DetectStuckFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const DetectStuck& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  DetectStuck parameters_;
  std::size_t lanes_ = 1;
  std::vector<double> last_;        // one a lane
  std::vector<std::uint64_t> run_;  // values equal to it, itself included; 0: there is no last
};

// Found on the sample behind the jump. Next to a NaN, behind a gap and at the start there is no
// sample before, and no jump.
class DetectJumpFilter {
 public:
  // limit > 0, finite
  DetectJumpFilter(const DetectJump& parameters, std::size_t lanes);

  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept { reset(); }
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  // Knows the last sample: as if it had always been there.
  void take_over(DetectJumpFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const DetectJump& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  DetectJump parameters_;
  std::size_t lanes_ = 1;
  std::vector<double> last_;  // one a lane; NaN: there is none
};

// Marks all lanes of a frame. The one before is the previous frame of the stream, over a gap in the
// numbers too; the first frame has none. Every frame has its time in ConstFrames::times.
//
// Times are compared with all before, and not only with the one before, as a clock that was set
// back repeats times until it has caught up; so `interpolate` leaves out the same frames.
class DetectTimeFilter {
 public:
  // max_step >= 0
  DetectTimeFilter(const DetectTime& parameters, std::size_t lanes);

  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const DetectTime& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  [[nodiscard]] Quality found_at(Time time) noexcept;

  DetectTime parameters_;
  std::size_t lanes_ = 1;
  bool started_ = false;  // a frame has come
  Time last_{0};          // of the frame before
  Time latest_{0};        // of all before
};

}  // namespace spillway
