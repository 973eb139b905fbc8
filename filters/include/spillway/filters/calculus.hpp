// Derivative and integral with respect to time, on regular and irregular streams.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "spillway/filters/filter.hpp"

namespace spillway {

enum class Difference : std::uint8_t {
  backward,  // (x[k] - x[k-1]) / dt
  central,   // second order on uneven steps too, one sample late
};

struct Derivative {
  Difference scheme = Difference::backward;
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const Derivative&, const Derivative&) = default;
};

// Trapezoids, summed from `initial` at the first sample.
struct Integral {
  double initial = 0.0;
  NanPolicy nan = NanPolicy::hold;  // hold or reset
  GapPolicy gap = GapPolicy::hold;
  friend bool operator==(const Integral&, const Integral&) = default;
};

// In units per second. Output k is
//   backward:  (x[k] - x[k-1]) / (t[k] - t[k-1])
//   central:   the derivative at sample k-1 of the parabola through the samples k-2 to k: the
//              mean of the slopes on both sides, each weighted with the step of the other.
// Quality: the merge of those of the two or three inputs. In addition
//   - the first output, of the central scheme the first two, are NaN and Suspect, transient;
//     behind a gap too with GapPolicy::reset. With GapPolicy::hold they span the gap and are
//     Suspect, transient; irregular streams know how long the gap was, on regular ones it
//     counts as one period.
//   - an output from a NaN or infinite input is NaN and Bad, missing; one that overflows is
//     NaN and Bad, out of range; one over a step that is not forward in time is NaN and Bad,
//     time uncertain.
class DerivativeFilter {
 public:
  // `rate`: of a regular stream. Without one every frame has its time in ConstFrames::times.
  // Throws Error if lanes is 0.
  DerivativeFilter(const Derivative& parameters, const std::optional<Rate>& rate,
                   std::size_t lanes);

  // Wait-free, O(frames * lanes). One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours.
  void gap() noexcept;
  [[nodiscard]] double delay() const noexcept;  // backward 0.5, central 1
  // Goes on as if it had always been there, whatever the scheme of `before`; O(lanes).
  void take_over(DerivativeFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Derivative& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  void put_values(double step, double* y) const noexcept;
  void put_quality(double step, double* y, Quality* q) const noexcept;

  Derivative parameters_;
  std::size_t lanes_ = 1;
  double period_ = 0.0;          // 0: irregular
  std::uint64_t needed_ = 1;     // samples before the current one
  std::uint64_t known_ = 0;      // how many there are, up to 2
  std::uint64_t after_gap_ = 0;  // outputs of the central scheme still to be marked
  Time last_time_{0};            // of the last sample
  double last_step_ = 0.0;       // from the one before it
  std::vector<double> x_[3];     // the current sample and the two before it, one a lane
  std::vector<Quality> q_[3];
};

// The central scheme over a whole signal, result k belonging to sample k; at both ends the
// slope of the outermost step, which is of first order. NaN where a NaN takes part. Throws
// Error if there are fewer than 2 values, not as many times as values, or a time that is not
// later than the one before.
[[nodiscard]] std::vector<double> derivative_central(std::span<const double> values,
                                                     const Rate& rate);
[[nodiscard]] std::vector<double> derivative_central(std::span<const double> values,
                                                     std::span<const Time> times);

// Output k is initial + sum_{i = 1..k} (t[i] - t[i-1]) (x[i-1] + x[i]) / 2, in units times
// seconds. What each addition rounds off is summed too (Knuth's TwoSum; "Sum2" of Ogita, Rump
// and Oishi, Accurate Sum and Dot Product, 2005), so that the error does not grow with the
// number of samples: it stays that of the areas, some 4e-16 of sum |x| (t[i] - t[i-1]).
//
// An input that is NaN or infinite is not valid. NanPolicy::hold counts it as the lane's last
// valid input (0 before the first); the output goes on and is Bad, missing. NanPolicy::reset
// makes the output NaN and Bad, missing, and the lane starts anew at the next valid sample.
// GapPolicy::hold continues behind a gap without the area under it, GapPolicy::reset starts
// anew. A step that is not forward in time has no area. Should the sum overflow, the output is
// NaN and Bad, out of range, and the lane starts anew.
//
// Quality: an integral never forgets. Output k has the quality of input k; all that were
// before it since the lane's start stay in it, what was Bad as Suspect, and after a gap with
// GapPolicy::hold it is Suspect, missing. A lane that starts anew depends on nothing before
// and is as good as its inputs.
class IntegralFilter {
 public:
  // `rate`: of a regular stream. Without one every frame has its time in ConstFrames::times.
  // Throws Error unless `initial` is finite, the NaN policy is hold or reset, and lanes is
  // above 0.
  IntegralFilter(const Integral& parameters, const std::optional<Rate>& rate, std::size_t lanes);

  // Wait-free, O(frames * lanes). One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours.
  void gap() noexcept;
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  // The sum goes on; `initial` is for a lane that has not begun yet or starts anew. O(lanes).
  void take_over(IntegralFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Integral& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  void start_lane(std::size_t lane) noexcept;

  Integral parameters_;
  std::size_t lanes_ = 1;
  double period_ = 0.0;                // 0: irregular
  bool joined_ = false;                // the last frame is the neighbour of the next one
  Time last_time_{0};                  // of the last sample
  std::vector<double> sum_;            // one a lane
  std::vector<double> rest_;           // what rounding kept out of it
  std::vector<double> held_;           // last valid input
  std::vector<std::uint8_t> running_;  // 0: the next valid sample is the first one
  std::vector<Quality> past_;          // of the samples in the sum
};

}  // namespace spillway
