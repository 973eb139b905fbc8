// What a replay is to do: which graph over which streams, and what of the log of a live run.
// Private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spillway/engine/replay.hpp"
#include "spillway/filters/graph_log.hpp"
#include "spillway/filters/graph_spec.hpp"
#include "spillway/storage/ranges.hpp"

namespace spillway {

struct ReplayPlan {
  // A raw stream of the recording, as far as it is read.
  struct Input {
    std::size_t stream = 0;  // of the recording
    StreamInfo info;         // with the units of other calibrations
    SampleRange range;
    SampleNumber begin;                           // the first number there is a word on
    std::vector<CalibrationChange> calibrations;  // in force
  };
  // A part of the graph that nothing else depends on, and the part of its log.
  struct Part {
    GraphSpec spec;
    std::vector<Input> inputs;
    GraphLog log;
    std::vector<std::byte> state;  // where it begins; empty: as made new
    bool end_waits = false;        // at the end; else the log has what was made there
    // That it runs in at once: the largest block of a live graph, or more.
    std::size_t graph_frames = 1024;
  };
  struct Output {
    StreamInfo info;
    std::size_t part = 0;             // that makes it; not of raw streams
    std::vector<std::size_t> inputs;  // of the part, that it depends on in any graph of the log
    std::optional<Input> raw;         // a raw stream that is copied
    // The first number; none: that of the first sample that is made.
    std::optional<SampleNumber> begin;
    CalibrationSet calibrations;   // of nodes
    std::size_t block_frames = 0;  // that it is written in
    std::size_t blocks = 0;        // of these, in use by turns
  };
  std::vector<Part> parts;
  std::vector<Output> outputs;
  bool as_live = false;
  std::string provenance;
  std::vector<std::string> differences;
  std::vector<std::string> remarks;
};

// Of a block, with its quality and times.
[[nodiscard]] std::size_t row_bytes(const StreamInfo& info) noexcept;

// `most_parts`: what the parts that the live graph ran in are divided into, at most, where their
// nodes do not depend on each other. Throws Error where options contradict each other or the
// recording.
[[nodiscard]] ReplayPlan plan_replay(const Recording& recording, const ReplayOptions& options,
                                     std::size_t most_parts);

}  // namespace spillway
