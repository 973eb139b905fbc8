// What is known about a stream and its channels before the first sample.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "spillway/channels/calibration.hpp"
#include "spillway/channels/rate.hpp"
#include "spillway/channels/sample_type.hpp"
#include "spillway/channels/units.hpp"

namespace spillway {

// Limits of the raw values, inclusive; an infinite one is no limit.
struct Range {
  double low = 0.0;
  double high = 0.0;
  friend bool operator==(const Range&, const Range&) = default;
};

// A channel: one named quantity of a stream.
struct ChannelInfo {
  std::string name;         // unique in its stream; any text without '/' and control characters
  std::string description;  // one line for people
  std::string unit;         // of the calibrated values, UDUNITS spelling; "1" for a pure number
  SampleType type = SampleType::float64;
  std::optional<Range> range;  // what the converter can deliver, raw
  Calibration calibration;     // the one in force at sample 0

  // The unit of the raw values: the channel's own where there is no calibration.
  [[nodiscard]] std::string raw_unit() const {
    if (calibration.is_identity()) return unit;
    return calibration.unit_in.empty() ? "count" : calibration.unit_in;
  }
};

// What time 0 of a stream is.
struct Origin {
  enum class Kind { unknown, utc, local };
  Kind kind = Kind::unknown;
  std::string text;  // ISO 8601 without zone ("2018-06-21T18:21:56"), or words for `unknown`

  friend bool operator==(const Origin&, const Origin&) = default;
};

// The time from one origin to another: 0 if they are the same, whatever they are; none if they
// can't be compared. Two of one kind can, UTC or local, that both tell their time.
[[nodiscard]] std::optional<Time> time_between(const Origin& from, const Origin& to);

// How much history a stream keeps readable at least.
using Capacity = std::variant<SampleCount, Time>;

// A stream: channels sampled by one clock. Loss, gaps and time belong to it.
struct StreamInfo {
  std::string name;
  std::optional<Rate> rate;  // none: irregular, every sample carries its time
  Origin origin;
  Capacity capacity = SampleCount{65536};
  // The largest block a writer announces at once; longer pushes are split into such.
  SampleCount largest_block = SampleCount{1024};
  // How many gaps, steps and calibration changes within the capacity stay readable.
  SampleCount mark_capacity = SampleCount{1024};
  // Stamps of a regular stream that deviate by more than half a period begin a new segment.
  bool follow_stamps = true;
  // Not empty: the ring lies in shared memory under this name, which is the machine's; see
  // shared_stream.hpp.
  std::string publish_as;
  std::vector<ChannelInfo> channels;
};

// Throws Error if a name is empty, repeated, reserved or not storable, a
// capacity is 0 or beyond 2^40 samples, or a capacity in time has no rate.
void check(const StreamInfo& info);

// The capacity in samples; needs check(info).
[[nodiscard]] SampleCount capacity_in_samples(const StreamInfo& info);

// Throws Error if a recording has other uses for this name of a stream or a node.
void check_not_reserved(const std::string& what, const std::string& name);

// Whether `name` can name a stream, a channel or a node in every format: not empty,
// at most 200 bytes, no '/', no control character, not "." or "..".
[[nodiscard]] bool is_name(const std::string& name);

// Throws Error unless is_name(name).
void check_name(const std::string& what, const std::string& name);

}  // namespace spillway
