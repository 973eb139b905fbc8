// A filter with a finite impulse response as fir.hpp describes it, values and qualities. Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

#include "overlap_save.hpp"
#include "spillway/filters/filter.hpp"
#include "spillway/filters/fir_bank.hpp"
#include "spillway/filters/quality_span.hpp"

namespace spillway {

// What comes out while the window reaches beyond the start, or a gap it does not span.
enum class FirWarmUp : std::uint8_t { zero, nan };

class FirCore {
 public:
  FirCore(const std::vector<double>& taps, std::size_t lanes, std::size_t longest_direct,
          GapPolicy gap, FirWarmUp warm_up);

  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept;
  void take_over(FirCore& before) noexcept;
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] std::size_t block() const noexcept { return block_; }
  [[nodiscard]] double delay() const noexcept { return delay_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  using Arithmetic = std::variant<FirBank<double>, OverlapSave>;
  static Arithmetic arithmetic_for(const std::vector<double>& taps, std::size_t lanes,
                                   std::size_t longest_direct);

  [[nodiscard]] bool is_calm() const noexcept;
  void convolve(const double* in, double* out, std::size_t frames) noexcept;
  void calm_frames(ConstFrames in, Frames out) noexcept;
  void frames(ConstFrames in, Frames out) noexcept;
  void mark(const double* x, const Quality* q_in, double* y, Quality* q_out,
            std::uint8_t* invalid) noexcept;

  std::size_t lanes_;
  std::size_t window_;
  GapPolicy gap_;
  FirWarmUp warm_up_;
  Arithmetic arithmetic_;
  std::size_t block_;
  double delay_;

  QualitySpan carried_;        // what outputs carry
  QualitySpan invalid_;        // not Good: outputs with a NaN or infinity in their window
  std::uint64_t warming_ = 0;  // outputs still to be NaN
  std::vector<std::uint8_t> is_invalid_;  // scratch: of a run of frames

  // What is known of the last block_ inputs, in a circle; empty for block_ = 0.
  std::vector<Quality> waiting_;
  std::vector<std::uint8_t> waiting_invalid_;
  std::size_t oldest_ = 0;      // frame of waiting_
  std::uint64_t troubled_ = 0;  // frames until all that waits is Good and valid
};

}  // namespace spillway
