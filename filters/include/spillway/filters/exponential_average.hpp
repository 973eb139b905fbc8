// y[k] = y[k-1] + alpha (x[k] - y[k-1])
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "spillway/channels/rate.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/quality_span.hpp"
#include "spillway/filters/sos.hpp"

namespace spillway {

// One of alpha and time_constant is given, the other is 0. With a time constant tau,
// alpha[k] = 1 - exp(-(t[k] - t[k-1]) / tau), of irregular streams too.
struct ExponentialAverage {
  double alpha = 0.0;                         // above 0, up to 1
  std::chrono::nanoseconds time_constant{0};  // above 0
  Initial initial = Initial::steady;          // steady: y[-1] = x[0]
  NanPolicy nan = NanPolicy::hold;            // hold or reset
  GapPolicy gap = GapPolicy::reset;
  friend bool operator==(const ExponentialAverage&, const ExponentialAverage&) = default;
};

// A low-pass of first order with one multiplication a value.
//
// With a time constant, irregular streams take alpha from each step of time: what was seen t
// ago weighs exp(-t / tau), however many samples came since. The first sample has no step;
// Initial::zero is then the average at its time, so it comes out as 0. A step that is not
// forward in time counts as none: alpha 0. Regular streams compute alpha once, and give the
// same bits as irregular ones whose times are as even.
//
// An input that is NaN or infinite is not valid. NanPolicy::hold replaces it by the lane's
// last valid input (0 before the first), NanPolicy::reset makes the output NaN and the average
// zero; either way the output is Bad, missing. Should x[k] - y[k-1] overflow, the output is
// NaN and Bad, out of range, and the average zero: a lane never stays NaN.
//
// Quality: output k has the quality of input k. A cause in the past adds Suspect, transient
// and the cause's own reasons, until it weighs a thousandth: for settling() samples or, where
// alpha follows the time, nanoseconds
//   - behind an input that is Suspect, Bad or not valid, in its lane (behind an Interpolated
//     one: what it is);
//   - behind a gap, whatever the policy;
//   - from the start of the stream or a reset, unless Initial::steady.
//
// GapPolicy::hold continues behind a gap; an irregular stream knows how long it was.
// Averages below 1e-290 count as zero: decaying into subnormal numbers would be slow.
class ExponentialAverageFilter {
 public:
  // `rate`: of a regular stream. Without one every frame has its time in ConstFrames::times.
  // Throws Error unless one of alpha and time_constant is given and in its range, the NaN
  // policy is hold or reset, and lanes is above 0.
  ExponentialAverageFilter(const ExponentialAverage& parameters, const std::optional<Rate>& rate,
                           std::size_t lanes);

  // Wait-free, O(frames * lanes), and an exponential function for each step of time that is
  // not as the one before. One frame out for each in; `out` may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours.
  void gap() noexcept;
  // (1 - alpha) / alpha; 0 where alpha follows the time: the delay is the time constant then.
  [[nodiscard]] double delay() const noexcept;
  // The average goes on from that of `before`, and is flagged as behind a gap unless alpha or the
  // time constant is the same. What `before` still carried for causes in the past lasts as long
  // as it would have, or as this filter takes to settle, whichever is longer. A lane that waits
  // for its first valid input starts as new. Where alpha follows the time but did not before, the
  // next sample has no step, and such causes last as long as this filter takes. O(lanes).
  void take_over(ExponentialAverageFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const ExponentialAverage& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }
  // That of every sample; 0 where it follows the time.
  [[nodiscard]] double alpha() const noexcept { return alpha_; }
  // The smallest n with (1 - alpha)^n <= 1e-3, or tau ln 1000 in nanoseconds.
  [[nodiscard]] std::uint64_t settling() const noexcept { return settling_; }

 private:
  [[nodiscard]] double step_to(const Time* time) noexcept;
  [[nodiscard]] bool is_calm(const double* x, const Quality* q) const noexcept;
  void calm_frame(double alpha, const double* x, double* y, Quality* q) noexcept;
  void frame(double alpha, const double* x, const Quality* q_in, double* y,
             Quality* q_out) noexcept;
  void drop_overflow(std::size_t lane, double& y, Quality& q) noexcept;
  void remember(std::size_t lane, Quality input) noexcept;

  ExponentialAverage parameters_;
  std::size_t lanes_ = 1;
  double alpha_ = 0.0;
  std::uint64_t settling_ = 0;

  // Counts samples, or nanoseconds where alpha follows the time.
  QualitySpan carried_;
  std::uint64_t unprimed_ = 0;  // lanes that wait for their first valid input
  bool started_ = false;        // a frame has come
  bool after_gap_ = false;      // the next frame is the first behind a gap
  Time last_time_{0};           // of the last frame
  std::vector<double> average_;
  std::vector<double> held_;  // last valid input of each lane
  std::vector<std::uint8_t> primed_;

  double step_ = 0.0;  // the last step over the time constant, and alpha for it
  double step_alpha_ = 0.0;
};

}  // namespace spillway
