// The compound types of the tables in a file: one place for writer and reader. Private.
#pragma once

#include <array>
#include <cstdint>

#include "h5.hpp"
#include "spillway/storage/sink.hpp"

namespace spillway::h5 {

// One row a channel and change; the JSON text lies in a table of bytes beside it.
struct CalibrationRow {
  std::uint64_t from_sample;
  std::uint32_t channel;
  std::uint64_t offset;
  std::uint32_t length;
};

struct AnchorRow {
  std::uint64_t sample;
  std::int64_t time_ns;
  std::uint64_t ticks;
};

// Texts are UTF-8, padded with NUL.
struct EventRow {
  std::int64_t time_ns;
  std::array<char, 24> kind;
  std::array<char, 64> subject;
  std::uint64_t first;
  std::uint64_t count;
  std::array<char, 256> text;
};
// Texts that are too long are cut, between two characters.
EventRow event_row(const RecordedEvent& event);
RecordedEvent event_of(const EventRow& row);

Id segment_type();
Id gap_type();
Id anchor_type();
Id calibration_type();
Id counts_type();
Id event_type();

struct Member {
  const char* name;
  std::size_t offset;
  hid_t type;
};
Id compound(std::size_t size, std::initializer_list<Member> members);

}  // namespace spillway::h5
