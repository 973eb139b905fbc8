// Compares what a replay gives with what the recording has.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spillway/storage/recording.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway::apps {

// Writes nothing. Samples meet by their numbers; compared are values and times to the bit, all NaN
// being equal (CSV keeps no more of them), and qualities. What the recorder lost, or came too late
// for, and what is behind the end of the recorded stream, is no difference. One thread at a time;
// throws as the recording does, and begin() Error if a stream is not in it.
class ComparingSink : public Sink {
 public:
  // The recording must outlive it.
  explicit ComparingSink(const Recording& recording) : recording_(recording) {}

  struct Difference {
    std::uint64_t sample = 0;
    std::string what;  // "x is 1 in the recording and 2 now"
  };
  struct PerStream {
    std::string name;
    std::uint64_t equal = 0;  // samples: all channels of a number
    std::uint64_t different = 0;
    std::uint64_t only_recorded = 0;  // after close()
    std::uint64_t only_now = 0;       // where the recorder could have had them
    std::uint64_t not_recorded = 0;   // where it could not, no difference
    std::optional<Difference> first = {};
    [[nodiscard]] bool equals() const noexcept {
      return different == 0 && only_recorded == 0 && only_now == 0;
    }
  };
  [[nodiscard]] const std::vector<PerStream>& streams() const noexcept { return results_; }

  void begin(const RecordingInfo& info) override;
  void append(std::size_t stream, const Chunk& chunk, const Block& block,
              const CalibrationSet& calibrations) override;
  void append_gap(std::size_t, const Gap&) override {}
  void append(std::size_t, std::span<const Anchor>) override {}
  void flush() override {}
  void close(const Ending& ending) override;
  [[nodiscard]] SampleNumber end(std::size_t stream) const override { return streams_[stream].end; }
  [[nodiscard]] std::uint64_t bytes_written() const noexcept override { return 0; }
  [[nodiscard]] std::string name() const override { return "comparison"; }

 private:
  struct Compared {
    std::size_t index;  // in the recording
    StreamInfo now;
    Block recorded;
    std::uint64_t rows_met = 0;
    SampleNumber end{0};
  };
  // Rows [row, row + count) against frames [at, at + count) of the block.
  void compare(std::size_t stream, const Chunk& chunk, const Block& block, std::size_t at,
               std::uint64_t row, std::size_t count);
  // Numbers [begin, end) that are not in the recording.
  void tell_absent(std::size_t stream, std::uint64_t begin, std::uint64_t end);

  const Recording& recording_;
  std::vector<Compared> streams_;
  std::vector<PerStream> results_;
};

}  // namespace spillway::apps
