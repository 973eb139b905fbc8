// Thermocouples by the ITS-90 reference functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "spillway/filters/filter.hpp"

namespace spillway {

enum class ThermocoupleType : std::uint8_t { B, E, J, K, N, R, S, T };

// Lane 0: voltage in mV; lane 1, if there is one: the temperature of the cold junction in
// degC, else that is `cold_junction_celsius`. Output: degC.
struct Thermocouple {
  ThermocoupleType type = ThermocoupleType::K;
  double cold_junction_celsius = 0.0;
  friend bool operator==(const Thermocouple&, const Thermocouple&) = default;
};

// The reference functions of NIST Monograph 175, with the cold junction at 0 degC. Outside of its
// range, and for NaN, each function is NaN. Computed without the mathematics library: the same
// bits everywhere. Allocate nothing.
//
//   type  E(T) from, to, degC    exact inverse    NIST's inverse, mV
//    B        0     1820           50 degC on        0.291   13.820
//    E     -270     1000           all              -8.825   76.373
//    J     -210     1200           all              -8.095   69.553
//    K     -270     1372           all              -5.891   54.886
//    N     -270     1300           all              -3.990   47.513
//    R      -50     1768.1         all              -0.226   21.103
//    S      -50     1768.1         all              -0.235   18.693
//    T     -270      400           all              -5.603   20.872
//
// Of type B the voltage falls up to 21 degC and is 0 again at 42 degC, so that below it belongs to
// two temperatures.

// E(T) in mV; where two pieces meet, by the upper one. By Horner's rule: rounding leaves 1e-12 mV,
// of types E and T below -150 degC up to 5e-11.
[[nodiscard]] double thermocouple_emf_mv(ThermocoupleType type, double celsius) noexcept;

// T with E(T) = mv, within 1e-9 degC, of types E and T below -150 degC within 1e-7: from NIST's
// inverse, or the middle of the piece, by Newton's steps and halvings where these lead astray;
// mostly 3, at most 60.
[[nodiscard]] double thermocouple_celsius(ThermocoupleType type, double mv) noexcept;

// NIST's inverse polynomials as published, which differ from the inverse by up to 0.06 degC, and
// by as much from each other where they meet. Where two overlap (R, S) the lower one counts.
[[nodiscard]] double thermocouple_celsius_nist(ThermocoupleType type, double mv) noexcept;

// T = thermocouple_celsius(E + E(T cold junction)).
//
// The output's quality merges those of the lanes. A voltage or a cold junction outside of the
// type's range gives NaN and Bad, missing, calibration; NaN among the inputs NaN and Bad, missing.
// No state, no delay, nothing to do at a gap.
class ThermocoupleFilter {
 public:
  // Throws Error unless lanes is 1 or 2, the type one of those above and cold_junction_celsius in
  // its range.
  ThermocoupleFilter(const Thermocouple& parameters, std::size_t lanes);

  // Wait-free. One lane out; `out` may be `in` if there is one lane in.
  std::size_t process(ConstFrames in, Frames out) noexcept;
  void reset() noexcept {}
  void gap() noexcept {}
  [[nodiscard]] double delay() const noexcept { return 0.0; }
  void save_state(StateWriter& writer) const;
  void load_state(StateReader& reader);  // throws Error, and changes nothing, if it's another's

  [[nodiscard]] const Thermocouple& parameters() const noexcept { return parameters_; }
  [[nodiscard]] std::size_t lanes() const noexcept { return lanes_; }

 private:
  Thermocouple parameters_;
  std::size_t lanes_ = 1;
  double cold_mv_ = 0.0;  // E(cold_junction_celsius)
};

}  // namespace spillway
