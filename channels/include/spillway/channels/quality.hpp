// What is known about one sample's trustworthiness, in one byte.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace spillway {

enum class Verdict : std::uint8_t { good = 0, interpolated = 1, suspect = 2, bad = 3 };

// Bits 0 and 1 are the verdict, bits 2 to 7 the reasons. 0 is Good; 0xFF, the
// fill value of files, reads as Bad with every reason, so that what was never
// written can't be taken for data.
class Quality {
 public:
  enum Reason : std::uint8_t {
    none = 0x00,
    out_of_range = 0x04,    // beyond the range, or at a limit of the converter
    missing = 0x08,         // the source delivered no value; whatever stands there is filled
    transient = 0x10,       // after a gap or a start: a filter has not settled
    implausible = 0x20,     // stuck or jumped
    calibration = 0x40,     // expired, or outside the table
    time_uncertain = 0x80,  // the time of the sample is not to be trusted
  };
  static constexpr std::uint8_t reason_mask = 0xFC;

  constexpr Quality() noexcept = default;
  constexpr explicit Quality(Verdict verdict, std::uint8_t reasons = none) noexcept
      : byte_(static_cast<std::uint8_t>(static_cast<std::uint8_t>(verdict) |
                                        (reasons & reason_mask))) {}
  static constexpr Quality from_byte(std::uint8_t byte) noexcept {
    Quality q;
    q.byte_ = byte;
    return q;
  }
  static constexpr Quality good() noexcept { return {}; }
  static constexpr Quality never_written() noexcept { return from_byte(0xFF); }

  [[nodiscard]] constexpr std::uint8_t byte() const noexcept { return byte_; }
  [[nodiscard]] constexpr Verdict verdict() const noexcept {
    return static_cast<Verdict>(byte_ & 0x03);
  }
  [[nodiscard]] constexpr std::uint8_t reasons() const noexcept { return byte_ & reason_mask; }
  [[nodiscard]] constexpr bool has(Reason reason) const noexcept { return (byte_ & reason) != 0; }
  [[nodiscard]] constexpr bool is_good() const noexcept { return byte_ == 0; }

  friend constexpr bool operator==(Quality, Quality) = default;

 private:
  std::uint8_t byte_ = 0;
};
static_assert(sizeof(Quality) == 1);

// The worse verdict and the union of the reasons: associative, commutative,
// idempotent, Good is neutral.
constexpr Quality merge(Quality a, Quality b) noexcept {
  return Quality(std::max(a.verdict(), b.verdict()),
                 static_cast<std::uint8_t>(a.reasons() | b.reasons()));
}

// "good", or the verdict and the reasons: "bad: missing, transient".
[[nodiscard]] std::string to_string(Quality quality);

}  // namespace spillway
