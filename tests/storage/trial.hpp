// A recording on a simulated disk, what was acknowledged when, and the judgement of what is left.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "random_recording.hpp"
#include "simulated_disk.hpp"
#include "spillway/storage/recovery.hpp"

namespace spillway::test {

// What came of it, counted: a test that never met the hard cases proves nothing.
struct Tally {
  std::uint64_t cuts = 0;
  std::uint64_t between_syncs = 0;          // data synced, the commit of the journal not yet
  std::uint64_t before_directory_sync = 0;  // a name changed, its directory not synced
  std::uint64_t while_closing = 0;
  std::uint64_t sealed = 0;     // found under the final name, whole
  std::uint64_t recovered = 0;  // by recover()
  std::uint64_t more = 0;       // with more than was acknowledged
  std::uint64_t nothing = 0;    // rightly: nothing was acknowledged
  std::uint64_t damaged = 0;    // with losses, named
  std::uint64_t refused = 0;    // by an Error, rightly
  std::uint64_t opened = 0;     // the unfinished file read directly
  CutCounts disk;
};
std::string to_string(const Tally& tally);

class Trial {
 public:
  struct Cut {
    std::uint64_t operation = 0;  // in front of it
    DiskState state;
    bool between_syncs = false;
    bool before_directory_sync = false;
    bool closing = false;
  };

  Trial(std::uint64_t seed, const SinkChoice& choice, RandomRecording::Size size);

  // To the end; keeps the state of the disk in front of this share of all operations, of those of
  // close() all, and the state at last.
  void record(double share);
  // Until the world stops in front of this operation; the recorder goes on as long as it believes
  // in it. False: it was done before.
  bool record_until(std::uint64_t operation);
  // As a recorder does that closes when the sink throws; `disk` is below `calls`.
  struct Ended {
    bool begun = false;               // something was appended
    std::string thrown;               // by begin, append or flush; empty: nothing
    bool disk_full = false;           // that was DiskFull
    std::string thrown_by_close;      // empty: nothing
    std::vector<std::uint64_t> ends;  // what Sink::end said of the streams
  };
  Ended record_on(FileCalls& calls, const SimulatedDisk& disk);
  // Nowhere: for a recording that is made elsewhere. An "operation" is a flush that returned then,
  // the last one close().
  void imagine();

  [[nodiscard]] const std::vector<Cut>& cuts() const { return cuts_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const Truth& truth() const { return recording_.truth(); }
  // At the moment of this operation.
  [[nodiscard]] Extent acknowledged(std::uint64_t operation) const;

  enum class Fault {
    power,    // what is synced is there
    process,  // all that was written is there
  };
  // Empty, or what is wrong about these files, left by a fault in front of `operation`.
  std::string judge(const DiskState& left, std::uint64_t operation, Fault fault,
                    Tally& tally) const;
  // The same after a recorder that was told of errors.
  std::string judge_ended(const DiskState& left, const Ended& ended, Tally& tally) const;
  // The whole way: cut, judge. With the numbers to repeat it.
  std::string cut_and_judge(const Cut& cut, std::uint64_t tear, Tally& tally) const;

 private:
  struct Flushed {
    std::uint64_t operations;
    Extent extent;
  };
  std::string judge_sealed(SimulatedDisk& disk, const Extent& least,
                           std::optional<bool> should_be_complete, Tally& tally) const;
  std::string judge_unfinished(SimulatedDisk& disk, const Extent& acknowledged, bool promised,
                               Tally& tally) const;
  void put_old_file(SimulatedDisk& disk) const;

  std::uint64_t seed_;
  SinkChoice choice_;
  RandomRecording recording_;
  std::string path_;
  std::string old_;  // what stood under the final name before; empty: nothing
  std::vector<Cut> cuts_;
  std::vector<Flushed> flushed_;
  std::optional<std::uint64_t> closed_;  // operations when close() returned
};

}  // namespace spillway::test
