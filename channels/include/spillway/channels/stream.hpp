// A stream: the memory that one writer fills and any number of readers copy from.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "spillway/channels/lane.hpp"
#include "spillway/channels/mark.hpp"
#include "spillway/channels/ring.hpp"
#include "spillway/channels/stream_info.hpp"

namespace spillway {

class SharedSegment;

// The calibration of every channel of a stream, in channel order.
using CalibrationSet = std::vector<Calibration>;

// Names one of the calibration sets of a stream.
struct CalibrationSetId {
  std::uint32_t value = 0;
  friend bool operator==(CalibrationSetId, CalibrationSetId) = default;
};

// Owns the ring of a stream: indices, marks, and for every channel a lane of
// values and a lane of quality; an irregular stream has a lane of times too.
// Attach one writer (writer.hpp) and readers (reader.hpp); both must not
// outlive it. All memory is allocated, and touched, by the constructor.
class Stream {
 public:
  // Throws Error if check(info) does, or if it is to be published and can't be;
  // std::bad_alloc if memory runs out.
  explicit Stream(StreamInfo info);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] const StreamInfo& info() const noexcept { return info_; }
  [[nodiscard]] std::size_t channel_count() const noexcept { return info_.channels.size(); }

  // What stays readable at least, as asked for. The physical ring is larger by
  // the announced stride and the largest block, rounded up to a power of two.
  [[nodiscard]] SampleCount capacity() const noexcept { return capacity_; }

  // Bytes the ring of `info` takes. Throws like check(info).
  [[nodiscard]] static std::uint64_t memory_bytes(const StreamInfo& info);

  // Adds a set of calibrations, to be put in force by Writer::calibrate. The
  // same set added twice has one id. Any thread; locks and allocates.
  // Throws Error unless there is one calibration for each channel, with finite
  // coefficients and the channel's unit (or an empty unit) as unit out, and if a
  // published stream has no room for more.
  CalibrationSetId add_calibrations(CalibrationSet set);

  // Any thread, wait-free; in an attached stream the first use of a new set locks and
  // allocates. The reference stays valid as long as the stream. Set 0 is the one of the
  // ChannelInfos. An id that does not exist has calibrations that give NaN: wrong values
  // are worse than none.
  [[nodiscard]] const CalibrationSet& calibrations(CalibrationSetId id) const noexcept;

 private:
  friend class StreamWriter;
  friend class StreamReader;
  friend class AttachedStream;

  // Throws Error if what the segment says of itself is not a stream that fits.
  explicit Stream(std::unique_ptr<SharedSegment> attached);

  struct Shared {
    RingIndices ring;
    MarkIndices marks;
    MarkIndices anchors;
  };
  // Where everything lies in the words behind Shared.
  struct Layout {
    std::uint64_t slots = 0;  // of the ring: a power of two
    std::uint64_t stride = 0;
    std::uint64_t mark_slots = 0;
    std::uint64_t marks_at = 0;
    std::uint64_t anchors_at = 0;
    std::vector<std::uint64_t> values_at;   // one a channel
    std::vector<std::uint64_t> quality_at;  // one a channel
    std::uint64_t times_at = 0;             // irregular streams
    std::uint64_t words = 0;

    [[nodiscard]] std::uint64_t bytes() const noexcept {
      return sizeof(Shared) + words * sizeof(AtomicWord);
    }
  };
  static Layout lay_out(const StreamInfo& info);
  // Lets shared_ and words_ point into `memory`.
  void place_ring(std::byte* memory) noexcept;
  void store_calibrations(CalibrationSet set) const;
  // Takes over what the publisher added meanwhile.
  [[nodiscard]] const CalibrationSet& late_calibrations(CalibrationSetId id) const noexcept;
  struct AlignedDelete {
    void operator()(std::byte* memory) const noexcept;
  };

  StreamInfo info_;
  SampleCount capacity_;
  Layout layout_;
  // One of the two owns the ring.
  std::unique_ptr<std::byte[], AlignedDelete> memory_;
  std::unique_ptr<SharedSegment> segment_;
  Shared* shared_ = nullptr;
  AtomicWord* words_ = nullptr;
  std::atomic<bool> has_writer_{false};

  // Append-only, in chunks that double, so that readers need no lock.
  static constexpr std::size_t calibration_chunks = 24;
  mutable std::mutex calibrations_mutex_;
  mutable std::array<std::atomic<const CalibrationSet*>, calibration_chunks> calibration_sets_{};
  mutable std::vector<std::unique_ptr<CalibrationSet[]>> calibration_storage_;
  mutable std::atomic<std::uint32_t> calibration_count_{0};
  CalibrationSet unknown_calibrations_;
};

}  // namespace spillway
