#include "spillway/filters/compensate.hpp"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "frame_by_frame.hpp"
#include "spillway/channels/error.hpp"

namespace spillway {

namespace {

Compensate checked(Compensate p) {
  if (p.coefficients.empty())
    throw Error("compensation: no coefficients; a row for each power of the value is needed");
  for (std::size_t i = 0; i < p.coefficients.size(); ++i) {
    const std::vector<double>& row = p.coefficients[i];
    if (row.empty())
      throw Error(
          fmt::format("compensation: row {} is empty; at least one coefficient is needed", i));
    for (std::size_t j = 0; j < row.size(); ++j)
      if (!std::isfinite(row[j]))
        throw Error(fmt::format("compensation: coefficient {} of row {} is {}; it must be finite",
                                j, i, row[j]));
  }
  return p;
}

double horner(const std::vector<double>& c, double t) noexcept {
  double sum = c.back();
  for (std::size_t j = c.size() - 1; j-- > 0;) sum = sum * t + c[j];
  return sum;
}

}  // namespace

CompensateFilter::CompensateFilter(Compensate parameters)
    : parameters_(checked(std::move(parameters))) {}

std::size_t CompensateFilter::process(ConstFrames in, Frames out) noexcept {
  const std::vector<std::vector<double>>& rows = parameters_.coefficients;
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    const double x = in.values[2 * f];
    const double t = in.values[2 * f + 1];
    double y = horner(rows.back(), t);
    for (std::size_t i = rows.size() - 1; i-- > 0;) y = y * x + horner(rows[i], t);
    // Without a power of x or t in the sum, their NaN would become a number.
    if (x != x || t != t || y != y) y = nan_value;
    out.values[f] = y;
    out.quality[f] = quality_of_result(y, merge(in.quality[2 * f], in.quality[2 * f + 1]));
  }
  return frames;
}

void CompensateFilter::save_state(StateWriter& writer) const { put_lanes(writer, lanes()); }
void CompensateFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes(), "compensation");
}

}  // namespace spillway
