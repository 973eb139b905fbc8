#include "spillway/filters/sos_bank.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <type_traits>

#include "simd/pick.hpp"
#include "simd/sos_kernels.hpp"
#include "spillway/channels/error.hpp"
#include "spillway/filters/sos.hpp"

SPILLWAY_SIMD_TABLE(SosKernels, sos_kernels, pick_sos_kernels)
SPILLWAY_SIMD_TABLE(SosBlockKernels, sos_block_kernels, pick_sos_block_kernels)

namespace spillway {

namespace {

static_assert(simd::sos_most_frames == 64);  // as the header says of subnormal numbers

// Far above the subnormal numbers: in 64 frames a state that decays may not reach them.
template <class T>
constexpr T smallest_state = std::is_same_v<T, double> ? static_cast<T>(1e-290) : T(1e-30);

// Lanes that do not fill a register are computed in the narrowest power of two that holds
// them: for those beside them the state has room as well.
template <class T>
constexpr std::size_t stride_of(std::size_t lanes) noexcept {
  constexpr std::size_t widest = 64 / sizeof(T);
  return lanes / widest * widest + (lanes % widest == 0 ? 0 : std::bit_ceil(lanes % widest));
}

double dc_gain(const Sos::Section& s) { return ((s.b0 + s.b1) + s.b2) / ((1.0 + s.a1) + s.a2); }

using simd::SosBlock;

// Two sections, the second one may be none: {}, whose output is its input.
struct Pair {
  std::array<Sos::Section, 2> sections;
  std::array<double, SosBlock::states> z{};

  double next(double x) {
    for (std::size_t s = 0; s < 2; ++s) {
      const Sos::Section& c = sections[s];
      double* const state = z.data() + 2 * s;
      const double y = c.b0 * x + state[0];
      state[0] = (c.b1 * x - c.a1 * y) + state[1];
      state[1] = c.b2 * x - c.a2 * y;
      x = y;
    }
    return x;
  }
};

// What the inner loop needs of two sections: what one input, or one value of the state, leaves
// behind in a block, as the recursion itself makes it.
template <class T>
void append_block_coefficients(const Pair& pair, std::vector<T>& to) {
  const std::size_t begin = to.size();
  to.resize(begin + SosBlock::coefficients);
  T* const c = to.data() + begin;
  constexpr std::size_t length = simd::sos_block;
  constexpr std::size_t states = SosBlock::states;
  Pair one = pair;
  for (std::size_t i = 0; i < length; ++i) {
    c[SosBlock::h + i] = static_cast<T>(one.next(i == 0 ? 1.0 : 0.0));
    for (std::size_t k = 0; k < states; ++k)
      c[SosBlock::z_from_x + (length - 1 - i) * states + k] = static_cast<T>(one.z[k]);
  }
  for (std::size_t j = 0; j < states; ++j) {
    one = pair;
    one.z[j] = 1.0;
    for (std::size_t i = 0; i < length; ++i)
      c[SosBlock::y_from_z + j * length + i] = static_cast<T>(one.next(0.0));
    for (std::size_t k = 0; k < states; ++k)
      c[SosBlock::z_from_z + j * states + k] = static_cast<T>(one.z[k]);
  }
}

}  // namespace

template <class T>
SosBank<T>::SosBank(const Sos& sos, Form form, std::size_t lanes)
    : form_(form), lanes_(lanes), stride_(stride_of<T>(lanes)) {
  check(sos);
  if (lanes == 0) throw Error("second-order sections: 0 lanes; at least 1 is needed");
  double input = 1.0;
  for (const Sos::Section& s : sos.sections) {
    for (const double c : {s.b0, s.b1, s.b2, s.a1, s.a2})
      (form == Form::df2t ? coefficients_ : recursion_).push_back(static_cast<T>(c));
    const double output = dc_gain(s) * input;
    steady_.push_back({static_cast<T>(input), static_cast<T>(output - s.b0 * input),
                       static_cast<T>(s.b2 * input - s.a2 * output)});
    input = output;
  }
  const std::size_t sections = sos.sections.size();
  if (form == Form::block)
    for (std::size_t i = 0; i < sections; i += 2)
      append_block_coefficients<T>(
          {{sos.sections[i], i + 1 < sections ? sos.sections[i + 1] : Sos::Section{}}},
          coefficients_);
  state_.values.resize(form == Form::block ? lanes * block_states() : 2 * sections * stride_);
  const simd::SosKernels& df2t = simd::pick_sos_kernels();
  const simd::SosBlockKernels& block = simd::pick_sos_block_kernels();
  if constexpr (std::is_same_v<T, double>)
    run_ = form == Form::block ? block.run_double : df2t.df2t_double;
  else
    run_ = form == Form::block ? block.run_float : df2t.df2t_float;
}

template <class T>
void SosBank<T>::process(const T* in, T* out, std::size_t frames) noexcept {
  while (frames > 0) {
    const std::size_t done = state_.frames % simd::sos_most_frames;
    const std::size_t n = std::min(frames, simd::sos_most_frames - done);
    run_({.coefficients = coefficients_.data(),
          .sections = steady_.size(),
          .state = state_.values.data(),
          .stride = stride_,
          .in = in,
          .out = out,
          .lanes = lanes_,
          .frames = n,
          .done = done});
    state_.frames += n;
    if (state_.frames % simd::sos_most_frames == 0) flush_subnormal();
    in += n * lanes_;
    out += n * lanes_;
    frames -= n;
  }
}

template <class T>
void SosBank<T>::flush_subnormal() noexcept {
  for (T& z : state_.values) z = std::abs(z) < smallest_state<T> ? T(0) : z;
}

template <class T>
void SosBank<T>::reset() noexcept {
  state_.frames = 0;
  std::ranges::fill(state_.values, T(0));
}

template <class T>
std::size_t SosBank<T>::block_states() const noexcept {
  return (steady_.size() + 1) / 2 * SosBlock::state;
}

template <class T>
void SosBank<T>::zero(std::size_t lane) noexcept {
  if (form_ == Form::block)
    std::fill_n(state_.values.data() + lane * block_states(), block_states(), T(0));
  else
    for (std::size_t i = lane; i < state_.values.size(); i += stride_) state_.values[i] = T(0);
}

template <class T>
void SosBank<T>::prime(std::size_t lane, T level) noexcept {
  T* z = state_.values.data() + (form_ == Form::block ? lane * block_states() : lane);
  for (std::size_t s = 0; s < steady_.size(); ++s) {
    const T z1 = steady_[s].z1 * level;
    const T z2 = steady_[s].z2 * level;
    if (form_ == Form::df2t) {
      z[0] = z1;
      z[stride_] = z2;
      z += 2 * stride_;
    } else if (s % 2 == 0) {
      z[SosBlock::z] = z1;
      z[SosBlock::z + 1] = z2;
      std::fill_n(z + SosBlock::x, simd::sos_block, steady_[s].input * level);
    } else {
      z[SosBlock::z + 2] = z1;
      z[SosBlock::z + 3] = z2;
      z += SosBlock::state;
    }
  }
}

template <class T>
typename SosBank<T>::Memory SosBank<T>::memory(std::size_t lane,
                                               std::size_t section) const noexcept {
  if (form_ == Form::df2t) {
    const T* const z = state_.values.data() + 2 * section * stride_ + lane;
    return {z[0], z[stride_]};
  }
  // That before the block, and the block as far as it goes.
  const T* const pair =
      state_.values.data() + lane * block_states() + section / 2 * SosBlock::state;
  std::array<Memory, 2> z{
      {{pair[SosBlock::z], pair[SosBlock::z + 1]}, {pair[SosBlock::z + 2], pair[SosBlock::z + 3]}}};
  const std::size_t last = section % 2;
  const T* const c = recursion_.data() + 5 * (section - last);
  for (std::size_t i = 0; i < state_.frames % simd::sos_block; ++i) {
    T x = pair[SosBlock::x + i];
    for (std::size_t s = 0; s <= last; ++s) {
      const T* const of = c + 5 * s;
      const T y = of[0] * x + z[s].z1;
      z[s].z1 = (of[1] * x - of[3] * y) + z[s].z2;
      z[s].z2 = of[2] * x - of[4] * y;
      x = y;
    }
  }
  return z[last];
}

template <class T>
void SosBank<T>::set_memory(std::size_t lane, std::size_t section, const Memory& memory) noexcept {
  T* z = state_.values.data();
  std::size_t apart = 1;
  if (form_ == Form::df2t) {
    z += 2 * section * stride_ + lane;
    apart = stride_;
  } else {
    z += lane * block_states() + section / 2 * SosBlock::state + SosBlock::z + 2 * (section % 2);
  }
  z[0] = memory.z1;
  z[apart] = memory.z2;
}

template class SosBank<float>;
template class SosBank<double>;

}  // namespace spillway
