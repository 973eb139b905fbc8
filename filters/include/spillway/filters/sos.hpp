// Second-order sections: the form in which every recursive filter runs.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "spillway/channels/units.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/quality_span.hpp"
#include "spillway/filters/sos_bank.hpp"

namespace spillway {

// A cascade of H(z) = (b0 + b1/z + b2/z^2) / (1 + a1/z + a2/z^2), in this order.
struct Sos {
  struct Section {
    double b0 = 1.0;
    double b1 = 0.0;
    double b2 = 0.0;
    double a1 = 0.0;
    double a2 = 0.0;
    friend bool operator==(const Section&, const Section&) = default;
  };
  std::vector<Section> sections;
  friend bool operator==(const Sos&, const Sos&) = default;
};

// Throws Error unless there is a section, every coefficient is finite and every
// pole is inside the unit circle.
void check(const Sos& sos);

// The functions below need a stable `sos`, as check() has it.

// H at a frequency. Keeps its relative precision near 0 Hz and near half the rate.
// Throws Error unless the rate is finite and positive and 0 <= at <= rate / 2.
[[nodiscard]] std::complex<double> frequency_response(const Sos& sos, Hertz at, Hertz rate);

// Group delay at 0 Hz, in samples; may be negative. A zero at 0 Hz counts with
// its limit of half a sample.
[[nodiscard]] double dc_group_delay(const Sos& sos);

// How many samples the past stays in the output: the smallest n, or little more, with
//     sum_{j >= n} |h[j]| <= level * sum_{j >= 0} |h[j]|,    h the impulse response:
// whatever happened to all inputs up to some sample, from n samples later on its part in
// the output is at most `level` of the most it can ever be.
//
// Counted in the response itself if that is over soon enough (2^20 samples). Otherwise
// bounded: replacing every coefficient and pole by its modulus bounds the generating
// function of |h|, and for any t >= 1 below 1 / (largest pole radius)
//     sum_{j >= n} |h[j]| <= t^-n prod_sections (|b0| + |b1| t + |b2| t^2)
//                                 / prod_poles (1 - |p| t)
// which is solved for n and minimised over a grid of t. For the sum of |h| stands the largest of
// |H| at 0 Hz, at half the rate and at the angles of the poles, and the sum over the first
// samples of h, one more than H has zeros: one of them is not 0. That holds for any cascade,
// coinciding poles included, and is one and a half (one pole) to about four times (a
// low-pass of order 12) the true length; more for a high-pass.
//
// At most max_settling_samples. Bounded time: 2^20 steps a section, some 50 ms; allocates.
// Throws Error unless 0 < level < 1.
[[nodiscard]] std::uint64_t settling_samples(const Sos& sos, double level);
inline constexpr std::uint64_t max_settling_samples = std::uint64_t{1} << 40;

// The state before the first sample.
enum class Initial : std::uint8_t {
  zero,    // all samples before were 0
  steady,  // all samples before were as the first valid one
};

struct SosOptions {
  Initial initial = Initial::zero;
  NanPolicy nan = NanPolicy::hold;  // hold or reset
  GapPolicy gap = GapPolicy::reset;
  double settling_level = 1e-3;  // see settling_samples; above 0, below 1
  Form form = Form::df2t;
  friend bool operator==(const SosOptions&, const SosOptions&) = default;
};

// A SosBank with qualities, gaps and NaN policy. The bits of a lane depend neither on the other
// lanes nor on their number.
//
// An input that is NaN or infinite is not valid. NanPolicy::hold replaces it by
// the lane's last valid input (0 before the first), NanPolicy::reset makes the
// output NaN and the lane's state zero; either way the output is Bad, missing.
// Should finite input overflow, the output is NaN and Bad, out of range, and the
// lane's state zero: a lane never stays NaN.
//
// Quality: output k has the quality of input k. A cause in the past adds
// Suspect, transient and the cause's own reasons, for settling_samples outputs
//   - behind an input that is Suspect, Bad or not valid, in its lane (behind an Interpolated
//     one: what it is);
//   - behind a gap, whatever the policy;
//   - from the start of the stream or a reset, unless Initial::steady.
//
// Runs of 64 frames or more go through the bank at once; those with a value that is not finite,
// frame by frame.
class SosFilter {
 public:
  // Throws Error if check(sos) does, if an option is out of its range, or lanes is 0.
  SosFilter(Sos sos, const SosOptions& options, std::size_t lanes);

  // Wait-free, O(frames * lanes * sections). One frame out for each in; `out`
  // may be `in`.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  // The samples before this call and those after it are no neighbours: the
  // sample numbers in between were lost.
  void gap() noexcept;
  [[nodiscard]] double delay() const noexcept { return delay_; }  // dc_group_delay
  // Goes on from the last inputs and outputs of `before`, any sections and form, so that the
  // output has no jump, and flags it as behind a gap; O(lanes * sections).
  //
  // With the same sections nothing is flagged: the past is the same, its bits too if the form is.
  // Otherwise, with sections near to those of `before` one by one, each one has the past it would
  // have in direct form I: the last two inputs and outputs of the section in its place,
  //     z1 = b1 x[k] + b2 x[k-1] - a1 y[k] - a2 y[k-1],   z2 = b2 x[k] - a2 y[k],
  // found by running its recursion backwards. Near means that
  //   - 1 + a1 + a2 and 1 - a1 + a2, squared distances of the poles from +1 and -1, are at least
  //     1/16 of what they were: from a section made slower by more, what was in motion would swing
  //     far beyond the signal, its speed being divided by its frequency;
  //   - the gains at 0 Hz and half the rate are 1/4 to 4 times what they were, or 0 in both: the
  //     sections are scaled alike.
  // With others all sections begin as if the last input had been there for ever, but the last one
  // as if so had been the last output: what comes is a response to a step, and no larger.
  //
  // What `before` still carried for causes in the past lasts as long as it would have, or as this
  // filter takes to settle, whichever is longer. A lane that waits for its first valid input
  // starts as new.
  void take_over(SosFilter& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  [[nodiscard]] const Sos& sos() const noexcept { return sos_; }
  [[nodiscard]] const SosOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }
  [[nodiscard]] std::uint64_t settling() const noexcept { return settling_; }

 private:
  bool run_bank(const double* x, double* y, std::size_t frames) noexcept;
  [[nodiscard]] bool go_on(const SosFilter& before, std::size_t lane) noexcept;
  void start_at(std::size_t lane, double input, double output) noexcept;
  void frame(const double* x, const Quality* q_in, double* y, Quality* q_out) noexcept;
  void put_qualities(std::span<const Quality> in, Quality* out) noexcept;
  [[nodiscard]] Quality quality_of(std::size_t lane, Quality input) noexcept;

  Sos sos_;
  SosOptions options_;
  std::size_t lanes_ = 1;
  std::uint64_t settling_ = 0;
  double delay_ = 0.0;

  SosBank<double> bank_;
  QualitySpan carried_;
  std::uint64_t unprimed_ = 0;  // lanes that wait for their first valid input
  std::vector<std::uint8_t> primed_;
  std::vector<double> held_;  // last valid input of each lane
  // What went through the sections at last, one a lane; 0 where their state was made zero.
  std::vector<double> last_input_;
  std::vector<double> input_before_;
  std::vector<double> last_output_;

  // Scratch: what to go back to if an output is not finite, and the lanes that are to be zero.
  SosBank<double>::State before_;
  std::vector<double> input_;
  std::vector<std::uint8_t> lost_;
};

}  // namespace spillway
