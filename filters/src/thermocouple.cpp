#include "spillway/filters/thermocouple.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <iterator>

#include "frame_by_frame.hpp"
#include "spillway/channels/error.hpp"
#include "thermocouple_coefficients.hpp"

namespace spillway {

namespace {

using its90::Piece;
using its90::Type;

constexpr std::size_t type_count = std::size(its90::types);
constexpr std::size_t most_pieces = 3;  // of a reference function

// e^x for -700 < x <= 0, within 2 units in the last place, with the same bits everywhere:
// x = n ln 2 + r, |r| <= ln 2 / 2, and e^r by its series up to r^13 / 13!.
constexpr double exponential(double x) noexcept {
  constexpr double log2_e = 0x1.71547652b82fep+0;
  constexpr double ln2_high = 0x1.62e42fee00000p-1;  // n times it is exact
  constexpr double ln2_low = 0x1.a39ef35793c76p-33;
  const int n = static_cast<int>(x * log2_e - 0.5);
  const double r = (x - n * ln2_high) - n * ln2_low;
  double sum = 1.0;
  for (int k = 13; k > 0; --k) sum = sum * r / k + 1.0;
  return sum * std::bit_cast<double>(static_cast<std::uint64_t>(1023 + n) << 52);
}

constexpr double polynomial(const Piece& piece, double v) noexcept {
  double sum = piece.c[piece.degree];
  for (int i = piece.degree; i-- > 0;) sum = sum * v + piece.c[i];
  return sum;
}

constexpr double derivative(const Piece& piece, double v) noexcept {
  double sum = piece.c[piece.degree] * piece.degree;
  for (int i = piece.degree; i-- > 1;) sum = sum * v + piece.c[i] * i;
  return sum;
}

constexpr double emf(const Piece& piece, double t) noexcept {
  double mv = polynomial(piece, t);
  if (piece.has_exponential) {
    const double d = t - its90::k_a2;
    mv += its90::k_a0 * exponential(its90::k_a1 * (d * d));
  }
  return mv;
}

constexpr double slope(const Piece& piece, double t) noexcept {
  double mv = derivative(piece, t);
  if (piece.has_exponential) {
    const double d = t - its90::k_a2;
    mv += its90::k_a0 * exponential(its90::k_a1 * (d * d)) * (2.0 * its90::k_a1 * d);
  }
  return mv;
}

// The voltages at which the pieces of the exact inverse begin, and the one at which it ends.
struct Limits {
  std::array<double, most_pieces> from{};
  double to = 0.0;
};
constexpr std::array<Limits, type_count> limits = [] {
  std::array<Limits, type_count> all;
  for (std::size_t i = 0; i < type_count; ++i) {
    const Type& type = its90::types[i];
    for (std::size_t p = 0; p < type.reference.size(); ++p)
      all[i].from[p] =
          emf(type.reference[p], p == 0 ? type.lowest_inverse : type.reference[p].from);
    all[i].to = emf(type.reference.back(), type.reference.back().to);
  }
  return all;
}();

const Thermocouple& checked(const Thermocouple& p, std::size_t lanes) {
  if (static_cast<std::size_t>(p.type) >= type_count)
    throw Error(fmt::format("thermocouple: type {} is unknown; allowed are 0 (B) to 7 (T)",
                            static_cast<int>(p.type)));
  if (lanes != 1 && lanes != 2)
    throw Error(
        fmt::format("thermocouple: {} lanes; needed are 1, the voltage, or 2, with the "
                    "temperature of the cold junction",
                    lanes));
  if (std::isnan(thermocouple_emf_mv(p.type, p.cold_junction_celsius))) {
    const Type& type = its90::types[static_cast<std::size_t>(p.type)];
    throw Error(fmt::format("thermocouple: a cold junction at {} degC; type {} has {} to {} degC",
                            p.cold_junction_celsius, type.name, type.reference.front().from,
                            type.reference.back().to));
  }
  return p;
}

}  // namespace

double thermocouple_emf_mv(ThermocoupleType type, double celsius) noexcept {
  const std::span<const Piece> pieces = its90::types[static_cast<std::size_t>(type)].reference;
  if (!(celsius >= pieces.front().from && celsius <= pieces.back().to)) return nan_value;
  std::size_t p = pieces.size() - 1;
  while (celsius < pieces[p].from) --p;
  return emf(pieces[p], celsius);
}

double thermocouple_celsius_nist(ThermocoupleType type, double mv) noexcept {
  for (const Piece& piece : its90::types[static_cast<std::size_t>(type)].inverse)
    if (mv >= piece.from && mv <= piece.to) return polynomial(piece, mv);
  return nan_value;
}

double thermocouple_celsius(ThermocoupleType type, double mv) noexcept {
  const Type& t = its90::types[static_cast<std::size_t>(type)];
  const Limits& limit = limits[static_cast<std::size_t>(type)];
  if (!(mv >= limit.from[0] && mv <= limit.to)) return nan_value;
  std::size_t p = t.reference.size() - 1;
  while (mv < limit.from[p]) --p;
  const Piece& piece = t.reference[p];

  // The root lies in [low, high]: Newton's step, or half the way where that leads out.
  double low = p == 0 ? t.lowest_inverse : piece.from;
  double high = piece.to;
  double at = thermocouple_celsius_nist(type, mv);
  if (!(at >= low && at <= high)) at = low + (high - low) / 2.0;
  constexpr double close_enough = 1e-10;  // degC
  for (int step = 0; step < 60; ++step) {
    const double off = emf(piece, at) - mv;
    if (off == 0.0) break;
    (off < 0.0 ? low : high) = at;
    double next = at - off / slope(piece, at);
    if (!(next >= low && next <= high)) next = low + (high - low) / 2.0;
    const double moved = std::abs(next - at);
    at = next;
    if (moved <= close_enough) break;
  }
  return at;
}

ThermocoupleFilter::ThermocoupleFilter(const Thermocouple& parameters, std::size_t lanes)
    : parameters_(checked(parameters, lanes)),
      lanes_(lanes),
      cold_mv_(thermocouple_emf_mv(parameters.type, parameters.cold_junction_celsius)) {}

std::size_t ThermocoupleFilter::process(ConstFrames in, Frames out) noexcept {
  const std::size_t frames = in.count();
  for (std::size_t f = 0; f < frames; ++f) {
    const std::size_t i = f * lanes_;
    Quality q = in.quality[i];
    bool known = !std::isnan(in.values[i]);
    double mv = in.values[i] + cold_mv_;
    if (lanes_ == 2) {
      const double cold = in.values[i + 1];
      q = merge(q, in.quality[i + 1]);
      known = known && !std::isnan(cold);
      mv = in.values[i] + thermocouple_emf_mv(parameters_.type, cold);
    }
    const double celsius = thermocouple_celsius(parameters_.type, mv);
    if (known && std::isnan(celsius)) q = merge(q, Quality(Verdict::bad, Quality::calibration));
    out.values[f] = celsius;
    out.quality[f] = quality_of_result(celsius, q);
  }
  return frames;
}

void ThermocoupleFilter::save_state(StateWriter& writer) const { put_lanes(writer, lanes_); }
void ThermocoupleFilter::load_state(StateReader& reader) {
  get_lanes(reader, lanes_, "thermocouple");
}

}  // namespace spillway
