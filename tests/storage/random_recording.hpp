// Recordings made up from a seed, what is true of them, and whether a file says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "spillway/channels/reader.hpp"
#include "spillway/channels/stream.hpp"
#include "spillway/channels/writer.hpp"
#include "spillway/storage/csv_sink.hpp"
#include "spillway/storage/hdf5_sink.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/recovery.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway::test {

// Where a recording goes.
struct SinkChoice {
  enum class Format : std::uint8_t { hdf5, csv, csv_long };
  Format format = Format::hdf5;
  Durability durability = Durability::full;
  int compression = 0;
  std::size_t threads = 0;
  bool compatible = false;

  // Any, of this format.
  static SinkChoice random(Format format, Durability durability, std::uint64_t seed);
  [[nodiscard]] std::unique_ptr<Sink> make(const std::string& path, FileCalls& calls,
                                           Existing existing = Existing::refuse) const;
  // What a path ends with.
  [[nodiscard]] const char* suffix() const;
};
std::string to_string(const SinkChoice& choice);

// How much of a recording was appended, or acknowledged, or is in a file.
struct Extent {
  struct PerStream {
    std::uint64_t rows = 0;
    std::uint64_t end = 0;  // the first sample there is no word on; 0: no word at all
    std::uint64_t anchors = 0;
  };
  bool begun = false;  // there was a first flush
  std::vector<PerStream> streams;
  std::uint64_t events = 0;
  std::uint64_t log = 0;
  // Recorded ones, or a word on others.
  [[nodiscard]] bool any_samples() const;
};

// Everything that was appended, kept plainly, and without the code that is tested.
struct Truth {
  struct PerStream {
    StreamInfo info;
    bool begun = false;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::vector<std::uint64_t> numbers;  // of each row
    std::vector<std::int64_t> times;
    std::vector<std::vector<std::byte>> values;  // of each channel
    std::vector<std::vector<Quality>> quality;
    std::vector<Gap> absent;  // in order, as they came
    std::vector<CalibrationChange> calibrations;
    std::vector<Anchor> anchors;
  };
  RecordingInfo info;
  std::vector<PerStream> streams;
  std::vector<RecordedEvent> events;
  std::vector<std::string> log;
};

// What is to hold of a recording.
struct Expectation {
  Extent acknowledged;  // is there at least
  bool all = false;     // so is everything that was ever appended
  bool csv = false;     // NaN is NaN; anything else is bit for bit in any case
  // Rows of a column that are named as damaged: they are Bad, missing, or their time is uncertain.
  std::vector<RecoveryDamage> damages;
};

// Empty, or what is wrong: in the words of a test that fails.
std::string differences(const Recording& recording, const Truth& truth,
                        const Expectation& expected);

class RandomRecording {
 public:
  struct Size {
    int actions = 30;
    std::uint64_t largest_push = 300;  // frames
  };
  static constexpr Size short_one{12, 150};
  static constexpr Size long_one{120, 900};

  // `one_stream`: for formats that hold only one.
  RandomRecording(std::uint64_t seed, Size size, bool one_stream);

  [[nodiscard]] const RecordingInfo& info() const { return truth_.info; }
  [[nodiscard]] const Truth& truth() const { return truth_; }
  [[nodiscard]] Extent appended() const;

  ~RandomRecording();

  // begin(), appends and flushes, all but close(). Calls `flushed` after each flush() that
  // returned. What the sink throws comes through. Without a sink: truth alone.
  void run(Sink* sink, const std::function<void(const Extent&)>& flushed);

 private:
  struct Source;
  void feed(std::size_t stream, Sink* sink);
  void push(Source& source, std::uint64_t count);
  void note(std::size_t stream, const Chunk& chunk, const Block& block,
            const CalibrationSet& calibrations);
  void note(std::size_t stream, const Gap& gap);
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }

  std::mt19937_64 random_;
  Size size_;
  std::vector<std::unique_ptr<Source>> sources_;
  Truth truth_;
};

}  // namespace spillway::test
