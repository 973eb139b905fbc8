// Several channels of the same samples, frame by frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "spillway/filters/filter.hpp"

namespace spillway {

enum class Operation : std::uint8_t { add, subtract, multiply, divide, minimum, maximum, mean };

// All lanes to one, from left to right: ((a - b) - c).
struct Arithmetic {
  Operation operation = Operation::add;
  std::string unit = {};  // of the result; empty: that of the first
  friend bool operator==(const Arithmetic&, const Arithmetic&) = default;
};

// y = matrix x + offset, for every frame.
struct Mix {
  std::vector<std::vector<double>> matrix;  // a row for each output lane
  std::vector<double> offset = {};          // one a row; empty: zeros
  std::vector<std::string> names = {};      // of the outputs; empty: "0", "1", ...
  std::string unit = {};                    // empty: that of the first input
  friend bool operator==(const Mix&, const Mix&) = default;
};

// A function of yours, called with the values and qualities of each block: frames are
// in.lanes wide, and as many frames must be written, out.lanes wide, values and qualities. With as
// many lanes out as in, `out` may be the memory of `in`. It keeps the promises of process():
// noexcept, no allocation, no dependence on the cut into blocks; whether it does cannot be
// checked. State is the function's own and is not saved.
struct Function {
  std::string name;  // for messages and provenance
  std::function<void(ConstFrames, Frames)> call;
  std::vector<std::string> outputs = {};  // names of the lanes; empty: those of the input
  std::string unit = {};                  // empty: those of the input
};

// Common to the three filters: output k depends on input k alone; no delay, and nothing to do at
// a gap. Of the values computed, a NaN is Bad, missing, and an infinite one Suspect, out of
// range, besides the qualities of the inputs. `out` may be `in` if it has as many lanes.
// load_state throws Error, and changes nothing, if the state is of another number of lanes.

// The arithmetic is that of IEEE 754: x / 0 is infinite with the sign of both, 0 / 0 is NaN, and
// so is every result with a NaN among its inputs, the minimum and the maximum too. Of equal
// values the first is the minimum and the maximum. The mean is the sum divided by the number of
// lanes. The output's quality merges those of all lanes. No state. O(frames * lanes).
class ArithmeticFilter {
 public:
  // Throws Error if the operation is none of those, or there are fewer than 2 lanes.
  ArithmeticFilter(const Arithmetic& parameters, std::size_t lanes);

  // Wait-free. One lane out.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const Arithmetic& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  Arithmetic parameters_;
  std::size_t lanes_ = 1;
};

// y[i] = ((offset[i] + m[i][0] x[0]) + m[i][1] x[1]) + ..., rounded at each step. An input whose
// coefficient is 0 has no part in the output: neither its NaN nor its quality. The output's
// quality merges those of the inputs that have. No state. O(frames * lanes * outputs).
class MixFilter {
 public:
  // Throws Error if the matrix is empty, a row has not `lanes` coefficients, one of them or of
  // the offsets is not finite, or there are other than no or one offset or name a row.
  MixFilter(Mix parameters, std::size_t lanes);

  // Wait-free. As many lanes out as the matrix has rows.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const Mix& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }
  [[nodiscard]] std::size_t outputs() const noexcept { return parameters_.matrix.size(); }

 private:
  void add(const double* x) noexcept;
  [[nodiscard]] Quality merged(const Quality* q, std::size_t output) const noexcept;

  Mix parameters_;
  std::size_t lanes_ = 1;
  std::vector<double> columns_;  // [input * outputs + output]
  std::vector<double> offset_;   // one an output
  std::vector<double> sum_;      // scratch, one an output
  std::vector<Quality> merged_;  // scratch, one an output
};

// Should the function throw, the whole block and all that follow come out as NaN; reset() and
// load_state() of a state from before end that. A function that keeps state learns of neither,
// nor of gaps.
class FunctionFilter {
 public:
  // Throws Error if there is no function to call, or lanes is 0.
  FunctionFilter(Function parameters, std::size_t lanes);

  // As wait-free as the function. Throwing allocates.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept;
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }  // that of the function: unknown
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);

  [[nodiscard]] const Function& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }
  [[nodiscard]] std::size_t outputs() const noexcept { return outputs_; }
  // Whether the function has thrown, and the beginning of what it said. In the thread that calls
  // process().
  [[nodiscard]] bool failed() const noexcept { return failed_; }
  [[nodiscard]] std::string_view message() const noexcept { return message_.data(); }

  // As if the function had thrown, saying `what`.
  void fail(const char* what) noexcept;

 private:
  Function parameters_;
  std::size_t lanes_ = 1;
  std::size_t outputs_ = 1;
  bool failed_ = false;
  std::array<char, 256> message_{};  // ends with 0
};

}  // namespace spillway
