#include "spillway/storage/envelope.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <type_traits>

#include "spillway/channels/error.hpp"
#include "stream_at.hpp"

namespace spillway {

namespace {

// So many rows are read at once: enough to make a call cheap, little enough for the cache.
constexpr std::uint64_t block_rows = std::uint64_t{1} << 15;

constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();

void read_values(const Recording& recording, std::size_t stream, std::size_t channel,
                 std::uint64_t row, EnvelopeOf what, std::span<const Quality> quality,
                 std::span<double> out) {
  if (what == EnvelopeOf::calibrated) {
    recording.read_calibrated(stream, channel, row, out);
    return;
  }
  const SampleType type = recording.streams()[stream].info.channels[channel].type;
  visit_sample_type(type, [&]<class T>(std::type_identity<T>) {
    std::vector<T> raw(out.size());
    recording.read_raw<T>(stream, channel, row, raw);
    for (std::size_t i = 0; i < out.size(); ++i) {
      const bool missing = quality[i].verdict() == Verdict::bad && quality[i].has(Quality::missing);
      out[i] = missing ? nan_value : static_cast<double>(raw[i]);
    }
  });
}

// One bin that grows.
struct Growing {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  double sum = 0.0;
  std::uint64_t count = 0;
  std::uint8_t verdict = 0;
  std::uint8_t reasons = 0;

  void add(std::span<const double> values, std::span<const Quality> quality) {
    // Several at once: a sum waits for the one before.
    constexpr std::size_t lanes = 4;
    double lows[lanes] = {low, low, low, low};
    double highs[lanes] = {high, high, high, high};
    double sums[lanes] = {};
    std::uint64_t counts[lanes] = {};
    std::size_t i = 0;
    const auto take = [&](std::size_t lane, double v) {
      // Comparisons with NaN are false.
      lows[lane] = v < lows[lane] ? v : lows[lane];
      highs[lane] = v > highs[lane] ? v : highs[lane];
      const bool is_value = v == v;
      sums[lane] += is_value ? v : 0.0;
      counts[lane] += is_value ? 1 : 0;
    };
    for (; i + lanes <= values.size(); i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) take(lane, values[i + lane]);
    for (; i < values.size(); ++i) take(0, values[i]);
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      low = std::min(low, lows[lane]);
      high = std::max(high, highs[lane]);
      sum += sums[lane];
      count += counts[lane];
    }
    for (const Quality q : quality) {
      verdict = std::max<std::uint8_t>(verdict, static_cast<std::uint8_t>(q.verdict()));
      reasons = static_cast<std::uint8_t>(reasons | q.reasons());
    }
  }

  [[nodiscard]] EnvelopeBin bin() const {
    EnvelopeBin result;
    result.quality = Quality(static_cast<Verdict>(verdict), reasons);
    if (count == 0) return result;
    result.low = low;
    result.high = high;
    result.mean = sum / static_cast<double>(count);
    result.count = count;
    return result;
  }
};

EnvelopeBin merged(std::span<const EnvelopeBin> bins) {
  EnvelopeBin result;
  double sum = 0.0;
  for (const EnvelopeBin& bin : bins) {
    result.quality = merge(result.quality, bin.quality);
    if (bin.count == 0) continue;
    result.low = result.count == 0 ? bin.low : std::min(result.low, bin.low);
    result.high = result.count == 0 ? bin.high : std::max(result.high, bin.high);
    sum += bin.mean * static_cast<double>(bin.count);
    result.count += bin.count;
  }
  if (result.count > 0) result.mean = sum / static_cast<double>(result.count);
  return result;
}

}  // namespace

void read_what_can_be(const Recording& recording, std::size_t stream, std::size_t channel,
                      std::uint64_t row, EnvelopeOf what, std::span<double> values,
                      std::span<Quality> quality, UnreadableRows& unreadable) {
  constexpr std::size_t least = 256;
  try {
    recording.read_quality(stream, channel, row, quality);
    read_values(recording, stream, channel, row, what, quality, values);
  } catch (const Error&) {
    if (const std::size_t half = values.size() / 2; half >= least) {
      read_what_can_be(recording, stream, channel, row, what, values.first(half),
                       quality.first(half), unreadable);
      read_what_can_be(recording, stream, channel, row + half, what, values.subspan(half),
                       quality.subspan(half), unreadable);
      return;
    }
    std::ranges::fill(values, nan_value);
    std::ranges::fill(quality, Quality(Verdict::bad, Quality::missing));
    if (unreadable.empty() || unreadable.back().end != row) unreadable.push_back({row, row});
    unreadable.back().end = row + values.size();
  }
}

EnvelopeLevel envelope(const Recording& recording, std::size_t stream, std::size_t channel,
                       const RowRange& rows, std::size_t bins, EnvelopeOf what,
                       UnreadableRows* unreadable) {
  static_cast<void>(channel_at(recording, stream, channel));
  const RecordedStream& from = stream_at(recording, stream);
  if (rows.begin > rows.end || rows.end > from.rows) throw Error("envelope: no such rows");
  EnvelopeLevel level;
  const std::uint64_t wanted = std::max<std::uint64_t>(bins, 1);
  level.rows_per_bin =
      std::max<std::uint64_t>(rows.count() / wanted + (rows.count() % wanted != 0), 1);

  std::vector<double> values(std::min(block_rows, rows.count()));
  std::vector<Quality> quality(values.size());
  Growing bin;
  std::uint64_t bin_end = rows.begin;
  std::uint64_t segment_end = rows.begin;
  for (std::uint64_t row = rows.begin; row < rows.end;) {
    const std::uint64_t block_end = std::min(rows.end, row + block_rows);
    const auto count = static_cast<std::size_t>(block_end - row);
    const std::span<double> v = std::span(values).first(count);
    const std::span<Quality> q = std::span(quality).first(count);
    if (unreadable) {
      read_what_can_be(recording, stream, channel, row, what, v, q, *unreadable);
    } else {
      recording.read_quality(stream, channel, row, q);
      read_values(recording, stream, channel, row, what, q, v);
    }
    const std::uint64_t block_begin = row;
    while (row < block_end) {
      if (row == segment_end) {
        const Segment& segment = from.segment(row);
        segment_end = std::min(segment.row + segment.count, rows.end);
        level.segments.push_back(level.bins.size());
        bin_end = row;
      }
      if (row == bin_end) {
        bin_end = row + std::min(level.rows_per_bin, segment_end - row);
        level.first_rows.push_back(row);
        bin = {};
      }
      const std::uint64_t end = std::min(bin_end, block_end);
      const std::size_t at = row - block_begin;
      bin.add(std::span(values).subspan(at, end - row), std::span(quality).subspan(at, end - row));
      row = end;
      if (row == bin_end) level.bins.push_back(bin.bin());
    }
  }
  return level;
}

std::vector<EnvelopeLevel> coarser(EnvelopeLevel finest, std::size_t factor, std::size_t fewest) {
  if (factor < 2) throw Error("coarser envelopes: the factor must be 2 at least");
  std::vector<EnvelopeLevel> levels;
  levels.push_back(std::move(finest));
  while (levels.back().bins.size() > std::max(fewest, levels.back().segments.size())) {
    const EnvelopeLevel& fine = levels.back();
    EnvelopeLevel coarse;
    coarse.rows_per_bin = fine.rows_per_bin * factor;
    for (std::size_t s = 0; s < fine.segments.size(); ++s) {
      const std::size_t end =
          s + 1 < fine.segments.size() ? fine.segments[s + 1] : fine.bins.size();
      coarse.segments.push_back(coarse.bins.size());
      for (std::size_t i = fine.segments[s]; i < end; i += factor) {
        coarse.first_rows.push_back(fine.first_rows[i]);
        coarse.bins.push_back(merged(std::span(fine.bins).subspan(i, std::min(factor, end - i))));
      }
    }
    levels.push_back(std::move(coarse));
  }
  return levels;
}

}  // namespace spillway
