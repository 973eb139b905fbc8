#include "spillway/filters/combine.hpp"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <exception>
#include <utility>

#include "frame_by_frame.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

const Arithmetic& checked(const Arithmetic& p, std::size_t lanes) {
  if (p.operation > Operation::mean)
    throw Error(fmt::format("arithmetic: operation {} is unknown; allowed are 0 to {}",
                            static_cast<int>(p.operation), static_cast<int>(Operation::mean)));
  if (lanes < 2) throw Error(fmt::format("arithmetic: {} lanes; at least 2 are needed", lanes));
  return p;
}

// One output for each frame: the lanes from left to right, then `last`.
template <class Combine, class Last>
std::size_t fold(ConstFrames in, Frames out, std::size_t lanes, Combine combine, Last last) {
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    const double* const x = in.values.data() + f * lanes;
    const Quality* const q = in.quality.data() + f * lanes;
    double y = x[0];
    Quality merged = q[0];
    for (std::size_t l = 1; l < lanes; ++l) {
      y = combine(y, x[l]);
      merged = merge(merged, q[l]);
    }
    y = last(y);
    out.values[f] = y == y ? y : nan_value;
    out.quality[f] = quality_of_result(y, merged);
  }
  return frames;
}

Mix checked(Mix p, std::size_t lanes) {
  if (lanes == 0) throw Error("mix: 0 lanes; at least 1 is needed");
  if (p.matrix.empty()) throw Error("mix: the matrix has no row; one for each output is needed");
  for (std::size_t i = 0; i < p.matrix.size(); ++i) {
    const std::vector<double>& row = p.matrix[i];
    if (row.size() != lanes)
      throw Error(
          fmt::format("mix: row {} of the matrix has {} coefficients; {} are needed, one "
                      "for each input",
                      i, row.size(), lanes));
    for (std::size_t j = 0; j < lanes; ++j)
      if (!std::isfinite(row[j]))
        throw Error(
            fmt::format("mix: coefficient {} of row {} is {}; it must be finite", j, i, row[j]));
  }
  if (!p.offset.empty() && p.offset.size() != p.matrix.size())
    throw Error(fmt::format("mix: {} offsets for {} rows; one a row or none is needed",
                            p.offset.size(), p.matrix.size()));
  for (std::size_t i = 0; i < p.offset.size(); ++i)
    if (!std::isfinite(p.offset[i]))
      throw Error(fmt::format("mix: offset {} is {}; it must be finite", i, p.offset[i]));
  if (!p.names.empty() && p.names.size() != p.matrix.size())
    throw Error(fmt::format("mix: {} names for {} rows; one a row or none is needed",
                            p.names.size(), p.matrix.size()));
  return p;
}

Function checked(Function p, std::size_t lanes) {
  if (!p.call) throw Error(fmt::format("function '{}': there is nothing to call", p.name));
  if (lanes == 0) throw Error(fmt::format("function '{}': 0 lanes; at least 1 is needed", p.name));
  return p;
}

}  // namespace

ArithmeticFilter::ArithmeticFilter(const Arithmetic& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)), lanes_(lanes) {}

std::size_t ArithmeticFilter::process(ConstFrames in, Frames out) noexcept {
  const auto run = [&](auto combine) {
    return fold(in, out, lanes_, combine, [](double y) { return y; });
  };
  switch (parameters_.operation) {
    case Operation::add: return run([](double a, double b) { return a + b; });
    case Operation::subtract: return run([](double a, double b) { return a - b; });
    case Operation::multiply: return run([](double a, double b) { return a * b; });
    case Operation::divide: return run([](double a, double b) { return a / b; });
    case Operation::minimum: return run([](double a, double b) { return b < a || b != b ? b : a; });
    case Operation::maximum: return run([](double a, double b) { return b > a || b != b ? b : a; });
    case Operation::mean: break;
  }
  const auto n = static_cast<double>(lanes_);
  return fold(
      in, out, lanes_, [](double a, double b) { return a + b; }, [n](double y) { return y / n; });
}

void ArithmeticFilter::save_state(StateWriter& writer) const { put_lanes(writer, lanes_); }
void ArithmeticFilter::load_state(StateReader& reader) { get_lanes(reader, lanes_, "arithmetic"); }

MixFilter::MixFilter(Mix parameters, std::size_t lanes)
    : parameters_(checked(std::move(parameters), lanes)),
      lanes_(lanes),
      columns_(lanes * outputs()),
      offset_(outputs()),
      sum_(outputs()),
      merged_(outputs()) {
  for (std::size_t i = 0; i < outputs(); ++i) {
    for (std::size_t j = 0; j < lanes; ++j) columns_[j * outputs() + i] = parameters_.matrix[i][j];
    // Not -0: a sum that begins with anything else never becomes it, so adding the product of a
    // coefficient that is 0 changes no bit.
    if (!parameters_.offset.empty()) offset_[i] = parameters_.offset[i] + 0.0;
  }
}

std::size_t MixFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  const std::size_t outputs = this->outputs();
  for (std::size_t f = 0; f < frames; ++f) {
    const Quality* const q = in.quality.data() + f * lanes_;
    const bool good = std::all_of(q, q + lanes_, [](Quality one) { return one.is_good(); });
    add(in.values.data() + f * lanes_);
    for (std::size_t i = 0; i < outputs; ++i)
      merged_[i] = quality_of_result(sum_[i], good ? Quality::good() : merged(q, i));
    // All of the input was read: it may be overwritten.
    for (std::size_t i = 0; i < outputs; ++i) {
      out.values[f * outputs + i] = sum_[i] == sum_[i] ? sum_[i] : nan_value;
      out.quality[f * outputs + i] = merged_[i];
    }
  }
  return frames;
}

// Column by column: each output's sum runs over the inputs in their order, however many outputs
// go into one SIMD register. Eigen's own product adds up in another order for each width of these,
// and its sparse product in one that depends on Eigen's version.
void MixFilter::add(const double* x) noexcept {
  using Column = Eigen::Map<const Eigen::ArrayXd>;
  const auto rows = static_cast<Eigen::Index>(sum_.size());
  Eigen::Map<Eigen::ArrayXd> sum(sum_.data(), rows);
  sum = Column(offset_.data(), rows);
  for (std::size_t j = 0; j < lanes_; ++j) {
    const Column column(columns_.data() + j * sum_.size(), rows);
    if (std::isfinite(x[j]))
      sum += column * x[j];
    else
      sum = (column != 0.0).select(sum + column * x[j], sum);
  }
}

Quality MixFilter::merged(const Quality* q, std::size_t output) const noexcept {
  Quality all;
  for (std::size_t j = 0; j < lanes_; ++j)
    if (columns_[j * sum_.size() + output] != 0.0) all = merge(all, q[j]);
  return all;
}

void MixFilter::save_state(StateWriter& writer) const { put_lanes(writer, lanes_); }
void MixFilter::load_state(StateReader& reader) { get_lanes(reader, lanes_, "mix"); }

FunctionFilter::FunctionFilter(Function parameters, std::size_t lanes)
    : parameters_(checked(std::move(parameters), lanes)),
      lanes_(lanes),
      outputs_(parameters_.outputs.empty() ? lanes : parameters_.outputs.size()) {}

std::size_t FunctionFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  if (!failed_) {
    try {
      parameters_.call(in, out);
    } catch (const std::exception& error) {
      fail(error.what());
    } catch (...) {
      fail("an exception that is no std::exception");
    }
  }
  for (std::size_t i = 0; i < frames * outputs_; ++i) {
    double& y = out.values[i];
    Quality& q = out.quality[i];
    if (failed_) q = Quality::good();  // what stood there belongs to nothing
    if (failed_ || y != y) y = nan_value;
    q = quality_of_result(y, q);
  }
  return frames;
}

void FunctionFilter::fail(const char* what) noexcept {
  failed_ = true;
  const std::size_t length = std::min(std::strlen(what), message_.size() - 1);
  message_.fill('\0');
  std::copy_n(what, length, message_.begin());
}

void FunctionFilter::reset() noexcept {
  failed_ = false;
  message_.fill('\0');
}

void FunctionFilter::save_state(StateWriter& writer) const {
  put_lanes(writer, lanes_);
  writer.put(message_);
  writer.put(static_cast<std::uint8_t>(failed_ ? 1 : 0));
}

void FunctionFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes_, "function");
  std::array<char, 256> message{};
  std::uint8_t failed = 0;
  reader.get(message);
  reader.get(failed);
  message_ = message;
  message_.back() = '\0';
  failed_ = failed != 0;
}

}  // namespace spillway
