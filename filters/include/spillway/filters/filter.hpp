// The contract of every filter, and the shape of the data it works on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "spillway/channels/quality.hpp"
#include "spillway/channels/units.hpp"

namespace spillway {

// A run of consecutive frames of L lanes (the channels of one stream) side by
// side: value of lane l in frame f at [f * lanes + l]. Frame-major, so that the
// lanes of a frame can be filtered with one SIMD instruction.
// `quality` has the shape of `values`. A value that is missing is NaN and Bad.
struct ConstFrames {
  std::span<const double> values;
  std::span<const Quality> quality;
  std::size_t lanes = 1;
  std::uint64_t first = 0;           // the sample number of the first frame
  std::span<const Time> times = {};  // of irregular streams, one a frame; else empty
  // The clock of regular ones: sample `clock_sample` is at `clock_time`, see Chunk.
  std::uint64_t clock_sample = 0;
  Time clock_time{};
  [[nodiscard]] std::size_t count() const noexcept { return values.size() / lanes; }
};
struct Frames {
  std::span<double> values;
  std::span<Quality> quality;
  std::size_t lanes = 1;
};

// What a filter that changes the rate made of a run of frames.
struct Made {
  std::size_t count = 0;
  std::uint64_t first = 0;  // the number of the first one, counted at the rate of the output
};

// A filter of a bank of L lanes: one set of coefficients, one state a lane. A
// value: copyable, comparable in behaviour, made ready by its constructor
// (which may throw and allocate).
//
//   std::size_t process(ConstFrames in, Frames out) noexcept;
//       Consumes all of `in`, writes the frames produced to the front of `out`,
//       returns how many: one for each of `in`, with the same number. `in` and `out` may be
//       the same memory if they have as many lanes. The bits of the output do not depend on
//       how the input is cut into calls.
//   Made process(ConstFrames in, Frames out) noexcept;
//       That of a filter that changes the rate. `out` has room for most_frames(n), n those of
//       `in`, and is other memory. Which input numbers make an output, and its number,
//       depend on the numbers alone and not on where the stream began.
//   void reset() noexcept;            as if no sample had come yet
//   void gap() noexcept;              the samples before and after are no neighbours
//   double delay() const noexcept;    group delay at low frequency, in samples
//   void take_over(F& before) noexcept;
//       Optional. The filter's parameters were changed in the middle of a stream: this one, just
//       made and with as many lanes, goes on where `before`, of the same type and not needed any
//       more, stands. What it can't take over it flags, as behind a gap.
//   void save_state(StateWriter&) const;   allocates nothing but what the writer does
//   void load_state(StateReader&);         throws Error if the bytes do not fit
//
// process and reset allocate nothing, lock nothing and make no system call.
// One thread at a time.

// Bytes of a filter's state, native byte order, in the order the filter writes them.
class StateWriter {
 public:
  // Keeps them in a vector that grows.
  StateWriter() noexcept = default;
  // Writes them to `room`, and allocates nothing. Those that do not fit are left out, but counted.
  explicit StateWriter(std::span<std::byte> room) noexcept : room_(room), grows_(false) {}

  template <class T>
  void put(const T& value) {
    put_bytes(&value, sizeof value);
  }
  template <class T>
  void put(const std::vector<T>& values) {
    put_values(values.data(), values.size());
  }
  // As a vector of them is put.
  template <class T>
  void put_values(const T* values, std::size_t count) {
    put(static_cast<std::uint64_t>(count));
    put_bytes(values, count * sizeof(T));
  }
  // What is put between the two is preceded by its length. They do not nest.
  void begin_sized();
  void end_sized() noexcept;

  // Bytes put, whether there was room or not.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // Of a writer that grows.
  [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

 private:
  void put_bytes(const void* data, std::size_t size);
  std::span<std::byte> room_;
  bool grows_ = true;
  std::size_t size_ = 0;
  std::size_t sized_from_ = 0;
  std::vector<std::byte> bytes_;
};

// Reads what StateWriter wrote. Throws Error where bytes are missing, or where a
// vector's length is not that of the vector it is read into: state belongs to
// one configuration.
class StateReader {
 public:
  explicit StateReader(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}
  template <class T>
  void get(T& value) {
    get_bytes(&value, sizeof value);
  }
  template <class T>
  void get(std::vector<T>& values) {
    std::uint64_t size = 0;
    get(size);
    check_length(size, values.size());
    get_bytes(values.data(), values.size() * sizeof(T));
  }
  // The next `size` bytes as they are.
  [[nodiscard]] std::span<const std::byte> take(std::uint64_t size);
  [[nodiscard]] std::size_t left() const noexcept { return bytes_.size(); }
  [[nodiscard]] bool at_end() const noexcept { return bytes_.empty(); }

 private:
  void get_bytes(void* data, std::size_t size);
  static void check_length(std::uint64_t stored, std::size_t expected);
  std::span<const std::byte> bytes_;
};

// What a filter does with a NaN in its input.
enum class NanPolicy : std::uint8_t {
  propagate,  // windows: NaN out while a NaN is in the window
  ignore,     // windows: use the valid values; NaN if there is none
  hold,       // recursive filters: replaced by the last valid value (0 before the first)
  reset,      // recursive filters: NaN out, state zero afterwards
};

// What a filter does at a gap in the sample numbers.
enum class GapPolicy : std::uint8_t {
  reset,  // starts anew behind the gap
  hold,   // goes on as if the samples around the gap were neighbours
};

}  // namespace spillway
