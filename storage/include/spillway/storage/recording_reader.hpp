// Reads a stream of a recording as StreamReader reads one of an engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "spillway/channels/block.hpp"
#include "spillway/channels/reader.hpp"
#include "spillway/storage/ranges.hpp"
#include "spillway/storage/recording.hpp"

namespace spillway {

// A cursor over the samples of one stream of a recording, in the order of their numbers. Used by
// one thread at a time; several over one recording may be used by several. May block, allocate and
// throw Error, as Recording does.
class RecordingReader {
 public:
  // From `range.begin` on, or from where the stream begins, to `range.end`, or to where it
  // ends. Of `channels`, in this order, or of all if there are none: nothing else is read. The
  // recording must outlive it, and not be refreshed while it reads.
  RecordingReader(const Recording& recording, std::size_t stream, const SampleRange& range = {},
                  const std::vector<std::size_t>& channels = {});

  // Of those channels alone, with the calibrations at the begin of the range.
  [[nodiscard]] const StreamInfo& info() const noexcept { return info_; }

  // Copies up to block.frames() samples of every channel; the block is made for info(). As
  // StreamReader::read: what is not there before the first sample, one gap a chunk, then samples of
  // one segment and one set of calibrations. What the recorder lost, could not write, or what is
  // damaged, is `lost`; what the stream never had is `missing`, also if the graph lost it upstream.
  // Of a gap whose lost and missing samples lie mixed, a part tells the lost ones first. `row`
  // counts the rows of the recording. A chunk that tells of nothing is the end. After a throw the
  // cursor is where it was.
  Chunk read(Block& block);

  // The calibrations that a chunk names: those in force, see Recording.
  [[nodiscard]] const CalibrationSet& calibrations(CalibrationSetId id) const noexcept;

  // The number of the next sample this reader would tell of.
  [[nodiscard]] SampleNumber next() const noexcept { return {next_}; }
  // To `number`, within the range.
  void seek(SampleNumber number) noexcept;

 private:
  void read_rows(std::uint64_t row, std::size_t count, Block& block) const;

  const Recording* recording_;
  const RecordedStream* stream_;
  StreamInfo info_;
  std::vector<std::size_t> channels_;        // none: all
  std::vector<CalibrationSet> of_channels_;  // of some channels, by id - 1
  std::size_t index_;
  CalibrationSet initial_;  // before the first change
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t next_ = 0;
};

}  // namespace spillway
