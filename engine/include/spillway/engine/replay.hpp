// Runs a graph over a recording, as fast as the disk gives it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "spillway/filters/graph_spec.hpp"
#include "spillway/storage/calibration_sidecar.hpp"
#include "spillway/storage/copy.hpp"
#include "spillway/storage/recording.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway {

// Where an interrupted replay goes on.
struct ReplayResume {
  // What it had written, such as "out.h5.part" by its journal. Must outlive the replay.
  const Recording* output = nullptr;
  std::string checkpoint;  // the last one it gave
};

struct ReplayOptions {
  enum class Mode : std::uint8_t {
    // As the live graph ran: from the recorded state, with the recorded calibrations (the recording
    // is to be opened without appended ones), and all that the log tells happening where it
    // happened. Output equals the live output bit for bit wherever the raw samples are there;
    // where not, ReplayReport::differences says so.
    as_live,
    // As if the graph's reader had lost nothing and nothing had been waited for in vain; changes of
    // the graph happen where they did.
    complete,
  };
  Mode mode = Mode::as_live;
  // Instead of the recorded graph: over the raw streams, from their beginning; `mode` means
  // nothing then. Its inputs are streams of the recording that no recorded node made.
  std::optional<GraphSpec> graph = {};
  Functions functions = {};  // those that a recorded graph names
  // Instead of the recorded ones, in the order of CalibrationRecord; not as_live.
  std::vector<CalibrationRecord> calibrations = {};
  // Of the raw streams: nothing before `begin` is read, so filters begin there as behind a gap.
  // Not as_live, unless it is all.
  TimeRange times = {};
  // Nodes whose output is wanted, and raw streams to be copied beside; empty: as_live and
  // complete those derived streams that the recording has, else all nodes.
  std::vector<std::string> outputs = {};
  std::size_t threads = 0;  // 0: one for each core
  // How many times faster than the data's own clock; none: as fast as possible.
  std::optional<double> speed = {};

  // If any: called about so often from the caller's thread, behind a flush of the sink, with the
  // bytes that `resume` takes; what it throws ends the replay.
  std::function<void(const std::string& checkpoint)> checkpoint = {};
  std::chrono::nanoseconds checkpoint_every = std::chrono::seconds(5);
  // Goes on where a replay of the same recording with the same options was interrupted: its output
  // is copied up to the checkpoint, and what follows is what it would have been. Functions must not
  // keep a state of their own then.
  std::optional<ReplayResume> resume = {};
};

// Names of the nodes of the graph that ran while the recording was made: their streams are derived,
// in engineering units. Throws Error naming the recording and the line if a line of its log is
// none.
[[nodiscard]] std::set<std::string> recorded_nodes(const Recording& recording);

// What a replay with these options reads: streams of the recording, by their index.
struct ReplayedStreams {
  std::set<std::size_t> inputs;  // of the nodes that it takes to make the outputs
  std::set<std::size_t> copied;  // beside
};
// Throws Error as replay() does, for options that contradict each other or the recording.
[[nodiscard]] ReplayedStreams replayed_streams(const Recording& recording,
                                               const ReplayOptions& options);

struct ReplayProgress {
  std::uint64_t samples_done = 0;  // frames times channels of the raw streams, read
  std::uint64_t samples = 0;
  Time time{};  // of the data
};

struct ReplayReport {
  bool finished = true;  // false: go_on said no
  struct PerStream {
    std::string name;
    RecordedCounts counts;
  };
  std::vector<PerStream> streams;
  // As live: why output can't be what the live graph gave, one line each, with the samples: raw
  // samples that the graph saw and the recording lacks, an unknown part of the log, no state at the
  // beginning, a function that isn't known, coefficients that another C library rounds otherwise.
  // Each output that may differ has a line "'low' may differ from sample 1000 on...". Empty: none
  // does. The same lines are events of the output.
  std::vector<std::string> differences;
  std::vector<std::string> remarks;
};

// Writes the outputs to the sink, with begin() but without close(): that is the caller's, who
// knows how it ended. The provenance it gives to the sink tells the input (path, time, counts),
// graph with coefficients, calibrations, options and version. Values, times, quality, numbers and
// segments of the output do not depend on threads, speed or the cut into blocks. Of adjacent gaps
// the samples that are lost and those that are missing may be shared out otherwise than live, or
// with other threads.
// `go_on`, if any, is called about ten times a second from this thread; false ends early.
// Memory is bounded, whatever the length. Blocks; throws Error as Recording, Sink and Graph do, and
// for options that contradict each other or the recording, before the sink's begin().
ReplayReport replay(const Recording& recording, Sink& sink, const ReplayOptions& options = {},
                    const std::function<bool(const ReplayProgress&)>& go_on = {});

}  // namespace spillway
