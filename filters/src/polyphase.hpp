// A filter between two rates, values and qualities. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "simd/fir_kernels.hpp"
#include "spillway/filters/cache_aligned.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/quality_span.hpp"

namespace spillway {

// y[k] = sum taps[i] z[k down + offset - i], with z[j up] = x[j] and 0 in between. So output k
// is made with input floor((k down + offset) / up), by the branch of taps b, b + up, b + 2 up ...
// with b = (k down + offset) mod up. Semantics as in resample.hpp.
class Polyphase {
 public:
  struct Ratio {
    std::uint64_t up = 1;
    std::uint64_t down = 1;
    std::uint64_t offset = 0;
    friend bool operator==(const Ratio&, const Ratio&) = default;
  };
  // The parameters have been checked, but for `lanes`.
  Polyphase(const std::vector<double>& taps, const Ratio& ratio, GapPolicy gap, std::size_t lanes);

  Made process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept;
  void take_over(Polyphase& before) noexcept;  // of any ratio
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // unchanged if it throws

  // Number of outputs made by the inputs below `input_number`.
  [[nodiscard]] std::uint64_t outputs_before(std::uint64_t input_number) const noexcept;
  [[nodiscard]] std::size_t most_frames(std::size_t frames) const noexcept;
  [[nodiscard]] double delay() const noexcept { return delay_; }  // in inputs
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  // The next output's input, counted from the first one of the call, and its branch.
  struct Next {
    std::uint64_t frame = 0;
    std::size_t branch = 0;
  };
  // What outputs carry whose window has `length` inputs.
  struct Marks {
    QualitySpan carried;
    QualitySpan invalid;  // not Good: a NaN or infinity is in the window
    std::uint64_t length = 0;
  };

  void make_room() noexcept;
  void run(ConstFrames in, Next next, Frames out) noexcept;
  [[nodiscard]] Next after(Next next, std::uint64_t outputs) const noexcept;
  void mark(ConstFrames in, Next next, Frames out) noexcept;
  void note_edge() noexcept;

  std::size_t lanes_;
  Ratio ratio_;
  GapPolicy gap_;
  double delay_;
  std::size_t length_;             // taps of the longest branch
  std::size_t full_branches_;      // those below have length_ taps, the others one less
  std::vector<double> taps_;       // branch by branch, length_ each
  std::size_t filled_ = 0;         // frames of history_ that are in use
  AlignedVector<double> history_;  // always length_ - 1 frames and then some
  Marks marks_[2];                 // of full and of other branches
  const simd::FirKernels<double>* kernels_;
};

}  // namespace spillway
