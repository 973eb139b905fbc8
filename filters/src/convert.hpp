// From the samples of a stream, channel by channel, to frames of doubles. Private.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "simd/convert_kernels.hpp"
#include "spillway/channels/block.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/filters/filter.hpp"

namespace spillway {

// Brings an input stream onto the edges of a graph. A sample that is NaN, or bad and missing,
// becomes NaN and bad, missing; then the channel's calibration applies, see Calibration::apply.
// The bits depend on nothing else: not on how the frames are cut into calls, nor on other
// channels, nor on the instruction set.
class InputConverter {
 public:
  // `wants_raw`: convert() gives the values from before the calibration, too. Allocates.
  InputConverter(const StreamInfo& info, bool wants_raw);

  // Frames [begin, begin + count) of `block`, which is of the stream, to the front of `calibrated`
  // and, if wanted, of `raw`; both have the lanes of the stream. `set` has a calibration for each
  // channel. Allocates nothing, locks nothing, no system call. O(count * channels).
  void convert(const Block& block, std::size_t begin, std::size_t count,
               std::span<const Calibration> set, Frames calibrated, Frames raw) noexcept;

 private:
  // Some lanes, each of them contiguous: where they are made before they are put side by side.
  struct Tile {
    std::vector<double> values;
    std::vector<Quality> quality;
  };
  struct Place {
    double* values;
    Quality* quality;
  };
  // Whether all qualities are good.
  struct Good {
    bool calibrated = true;
    bool raw = true;
  };
  Good convert_lane(const Block& block, std::size_t lane, std::size_t begin, std::size_t count,
                    const Calibration& calibration, Place calibrated, Place raw) const noexcept;
  void lay_out(const Tile& tile, bool good, std::size_t first_lane, std::size_t lanes,
               std::size_t first_frame, std::size_t frames, Frames to) const noexcept;

  const simd::ConvertKernels* kernels_;
  bool wants_raw_;
  Tile calibrated_;  // none for a stream of one channel, which is contiguous as it is
  Tile raw_;
};

// The lanes `lanes` of `from`, in this order (empty: all), become lanes `first_lane` and on of
// `to`, frame by frame. Other lanes of `to` stay.
void pick_lanes(const ConstFrames& from, std::span<const std::size_t> lanes, std::size_t first_lane,
                Frames to) noexcept;

}  // namespace spillway
