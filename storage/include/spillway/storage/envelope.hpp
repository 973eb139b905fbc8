// Lowest and highest values of a channel at several resolutions: what fits a screen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "spillway/channels/quality.hpp"
#include "spillway/storage/ranges.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway {

enum class EnvelopeOf : std::uint8_t { calibrated, raw };

// What a run of rows comes down to. Bad samples that are missing, and NaN, are not among low,
// high, mean and count.
struct EnvelopeBin {
  double low = std::numeric_limits<double>::quiet_NaN();  // NaN if there is no value
  double high = std::numeric_limits<double>::quiet_NaN();
  double mean = std::numeric_limits<double>::quiet_NaN();
  std::uint64_t count = 0;
  Quality quality;  // of all rows: the worst verdict and all reasons
};

// Bins of equally many rows; those of the last one of a segment may be fewer. A bin never covers
// rows of two segments: each segment begins a bin, so that gaps stay visible.
struct EnvelopeLevel {
  std::uint64_t rows_per_bin = 1;
  std::vector<EnvelopeBin> bins;
  std::vector<std::uint64_t> first_rows;  // of each bin
  std::vector<std::size_t> segments;      // the bin that each segment begins
};

// Rows whose values or qualities can't be read, as when bytes are not what was written.
using UnreadableRows = std::vector<RowRange>;

// Rows [row, row + values.size()) of a channel, with their quality; of raw values those that are
// missing are NaN. What can't be read, to a few hundred rows, is NaN and Bad, missing, and added to
// `unreadable`, in which ranges that follow each other become one.
void read_what_can_be(const Recording& recording, std::size_t stream, std::size_t channel,
                      std::uint64_t row, EnvelopeOf what, std::span<double> values,
                      std::span<Quality> quality, UnreadableRows& unreadable);

// `rows` of a channel in about `bins` bins, at least one for each segment. Reads each row once.
// O(rows); allocates O(bins + segments). Throws Error as Recording; with `unreadable` what can't be
// read is as with read_what_can_be().
[[nodiscard]] EnvelopeLevel envelope(const Recording& recording, std::size_t stream,
                                     std::size_t channel, const RowRange& rows, std::size_t bins,
                                     EnvelopeOf what = EnvelopeOf::calibrated,
                                     UnreadableRows* unreadable = nullptr);

// The finest, and each from the one before, of `factor` of its bins; until `fewest` bins, or one a
// segment, are left. O(bins of the finest). Throws Error if factor < 2.
[[nodiscard]] std::vector<EnvelopeLevel> coarser(EnvelopeLevel finest, std::size_t factor,
                                                 std::size_t fewest);

}  // namespace spillway
