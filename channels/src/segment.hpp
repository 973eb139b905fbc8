// A file in shared memory that one process fills and others map read-only. Private.
//
// The file is made without a name, locked, filled, and only then named: what can be
// found is complete. The lock is held as long as the process lives that made it, and
// tells others that it does; whoever finds a name whose lock is free may replace it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "spillway/channels/atomics.hpp"

namespace spillway {

// What the file begins with. Written once, before the file has a name; what changes
// later is in atomic words behind it.
struct SegmentHeader {
  static constexpr std::uint32_t current_version = 1;
  static constexpr std::uint32_t native_order = 0x0102'0304;

  char magic[8];  // "SPILLWAY"
  std::uint32_t version;
  std::uint32_t byte_order;
  std::uint64_t file_bytes;
  std::uint64_t description_at;  // JSON text
  std::uint64_t description_bytes;
  std::uint64_t calibrations_at;  // a log of calibration sets, see SharedSegment::append
  std::uint64_t calibrations_bytes;
  std::uint64_t ring_at;  // as Stream lays it out
  std::uint64_t ring_bytes;
  std::uint64_t slots;
  std::uint64_t stride;
  std::uint64_t mark_slots;
  std::int64_t process;     // that writes
  std::int64_t started_ns;  // since 1970, UTC
};

class SharedSegment {
 public:
  struct Sizes {
    std::uint64_t ring_bytes = 0;
    std::uint64_t slots = 0;
    std::uint64_t stride = 0;
    std::uint64_t mark_slots = 0;
  };

  // A segment without a name, locked, with room for the ring. Throws Error if there is not
  // enough shared memory.
  static std::unique_ptr<SharedSegment> create(const std::string& name,
                                               const std::string& description, const Sizes& sizes);
  // Gives it its name. Throws Error if a living process publishes under it, or another user.
  void publish();

  // Maps what is published under `name`, read-only. Throws Error if there is none, it is not
  // permitted, of another version, or its sizes contradict each other or the file.
  static std::unique_ptr<SharedSegment> attach(const std::string& name);

  // All names in shared memory that may be segments, sorted; none that check_name refuses.
  static std::vector<std::string> names();

  // The creator says that it is finished, gives up the name and the lock.
  ~SharedSegment();
  SharedSegment(const SharedSegment&) = delete;
  SharedSegment& operator=(const SharedSegment&) = delete;

  [[nodiscard]] const SegmentHeader& header() const noexcept { return header_; }
  [[nodiscard]] std::byte* ring() const noexcept { return data_ + header_.ring_at; }
  [[nodiscard]] std::string description() const;

  // The creator's: adds an entry to the log; false if it has no room left.
  [[nodiscard]] bool append(const std::string& text);
  // Entry `index` of the log; empty if there is none, or if it is damaged.
  [[nodiscard]] std::string entry(std::size_t index) const;

  // System calls: whether the creator lives, and whether the name still stands for this file.
  [[nodiscard]] bool is_locked() const noexcept;
  [[nodiscard]] bool is_current() const noexcept;
  [[nodiscard]] bool is_finished() const noexcept;

 private:
  SharedSegment(std::string name, int file) noexcept : name_(std::move(name)), file_(file) {}
  void map(bool writable);
  struct Changing;
  [[nodiscard]] Changing& changing() const noexcept;

  std::string name_;
  int file_;
  bool is_creator_ = false;
  // The creator's own count: the one in the file may be damaged.
  std::uint64_t calibrations_used_ = 0;
  SegmentHeader header_{};  // a copy: what stands in the file may change under a reader's feet
  std::byte* data_ = nullptr;
};

}  // namespace spillway
