// Makes fewer samples of a recording on its way to another sink.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "spillway/storage/sink.hpp"

namespace spillway::apps {

// What becomes of a bin of samples.
enum class BinBy : std::uint8_t {
  minmax,  // two: the lowest and the highest value, in the order in which they occur
  mean,    // one
};

struct BinOptions {
  BinBy by = BinBy::minmax;
  // Samples in a bin, of each stream; 0: the stream passes as it is.
  std::vector<std::uint64_t> samples_per_bin;
  // JSON: what was asked for; the provenance of the result.
  std::string provenance;
};

// Bin k of a stream are the samples k n to k n + n - 1, by number, wherever the stream begins. Its
// results are numbered r k to r k + r - 1, of r results a bin, and are float64 in engineering
// units, each channel by itself:
//   - values that are not there (bad and missing, NaN) don't count; a bin of nothing else is NaN,
//     bad, missing. The quality is the merge of all in the bin, in which those count as suspect,
//     missing, and so does a bin that has not all of its samples: there is a value, but one of
//     fewer samples;
//   - of bins without a sample there is no result, but a gap;
//   - a regular stream stays one, at r / n times the rate: means stand in the middle of their bin,
//     low and high where its halves begin. In an irregular stream the mean stands midway between
//     the first and the last sample of its bin, low and high at their own times, or, where there
//     are several channels, at those of the first and the last.
// A bin in which the clock was set goes by the clock of its first sample. Stamps of the source, the
// log and the filters' state are left out.
//
// Memory: a few thousand results a stream. One thread at a time; throws as the sink does, and
// begin() Error if the rate that comes out can't be written as a fraction.
class BinnedSink : public Sink {
 public:
  BinnedSink(Sink& to, BinOptions options);
  ~BinnedSink() override;

  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t stream, const Gap& gap) override;
  void append(std::size_t stream, std::span<const Anchor> anchors) override;
  void append_event(const RecordedEvent& event) override { to_->append_event(event); }
  void flush() override;
  // Of the last bins what there is; closes the sink.
  void close(const Ending& ending) override;
  // Of the results.
  [[nodiscard]] SampleNumber end(std::size_t stream) const override { return to_->end(stream); }
  void abandon() noexcept override { to_->abandon(); }
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override {
    return to_->bytes_written();
  }
  [[nodiscard]] std::string name() const override { return to_->name(); }

 private:
  class Bins;
  Sink* to_;
  BinOptions options_;
  std::vector<std::unique_ptr<Bins>> streams_;  // none for one that passes
};

}  // namespace spillway::apps
