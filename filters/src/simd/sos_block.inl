#include "sos_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

// A block in registers of up to half of it: the first outputs depend on fewer samples.
template <class T>
inline constexpr std::size_t part = lanes_of<T> < sos_block / 2 ? lanes_of<T> : sos_block / 2;
template <class T>
using Part = Vector<T, part<T>>;
template <class T>
inline constexpr std::size_t parts = sos_block / part<T>;
template <class T>
inline constexpr std::size_t state_parts = SosBlock::states / part<T>;

// What the inputs of a block leave in its outputs, and in the state behind it.
template <class T>
struct Forced {
  Part<T> y[parts<T>];
  Part<T> z[state_parts<T>];
};

// Adds what the inputs from the J-th on of each of K blocks leave. All blocks in turn: what one
// waits for, another one does.
template <class T, std::size_t K, std::size_t J = 0>
SPILLWAY_INLINE void add_inputs(Forced<T> (&forced)[K], const T* c, const T* x) {
  if constexpr (J < sos_block) {
    constexpr std::size_t n = part<T>;
    Part<T> column;
    for (std::size_t p = J / n; p < parts<T>; ++p) {
      load<T, n>(column, c + SosBlock::h + p * n - J);
      for (std::size_t k = 0; k < K; ++k)
        forced[k].y[p] = forced[k].y[p] + column * x[k * sos_block + J];
    }
    for (std::size_t p = 0; p < state_parts<T>; ++p) {
      load<T, n>(column, c + SosBlock::z_from_x + J * SosBlock::states + p * n);
      for (std::size_t k = 0; k < K; ++k)
        forced[k].z[p] = forced[k].z[p] + column * x[k * sos_block + J];
    }
    add_inputs<T, K, J + 1>(forced, c, x);
  }
}

template <class T>
struct State {
  Part<T> z[state_parts<T>];
};
template <class T, std::size_t I>
SPILLWAY_INLINE void spread(Part<T>& to, const State<T>& state) {
  constexpr std::size_t n = part<T>;
  constexpr int i = static_cast<int>(I % n);
  const Part<T>& from = state.z[I / n];
  if constexpr (n == 2)
    to = __builtin_shufflevector(from, from, i, i);
  else
    to = __builtin_shufflevector(from, from, i, i, i, i);
}

// What the state leaves in something that has the columns `c`, `length` apart.
template <class T, std::size_t length>
SPILLWAY_INLINE void free_response(Part<T>& to, const T* c, const Part<T> (&z)[SosBlock::states]) {
  constexpr std::size_t n = part<T>;
  Part<T> c0, c1, c2, c3;
  load<T, n>(c0, c);
  load<T, n>(c1, c + length);
  load<T, n>(c2, c + 2 * length);
  load<T, n>(c3, c + 3 * length);
  to = (c0 * z[0] + c1 * z[1]) + (c2 * z[2] + c3 * z[3]);
}

// K blocks; `out` may be `in`. `state` is that before them and then behind those of them that are whole.
template <class T, std::size_t K>
SPILLWAY_INLINE void run_some(const T* c, State<T>& state, const T* in, T* out,
                              std::size_t whole) {
  constexpr std::size_t n = part<T>;
  Forced<T> forced[K] = {};  // +0: a sum that begins with it is not -0, and adding 0 leaves it
  add_inputs<T, K>(forced, c, in);
  for (std::size_t k = 0; k < K; ++k) {
    Part<T> z[SosBlock::states];
    spread<T, 0>(z[0], state);
    spread<T, 1>(z[1], state);
    spread<T, 2>(z[2], state);
    spread<T, 3>(z[3], state);
    Part<T> free;
    if (k < whole)
      for (std::size_t p = 0; p < state_parts<T>; ++p) {
        free_response<T, SosBlock::states>(free, c + SosBlock::z_from_z + p * n, z);
        state.z[p] = forced[k].z[p] + free;
      }
    for (std::size_t p = 0; p < parts<T>; ++p) {
      free_response<T, sos_block>(free, c + SosBlock::y_from_z + p * n, z);
      store<T, n>(out + k * sos_block + p * n, forced[k].y[p] + free);
    }
  }
}

// Blocks of one lane through two sections; `out` may be `in`. The last one need not be whole.
template <class T>
static void run_pair(const T* c, T* state, const T* in, T* out, std::size_t blocks,
                     std::size_t whole) {
  State<T> z;
  for (std::size_t p = 0; p < state_parts<T>; ++p)
    load<T, part<T>>(z.z[p], state + SosBlock::z + p * part<T>);
  constexpr std::size_t some = parts<T> > 2 ? 1 : 2;  // as many as registers hold
  std::size_t k = 0;
  for (; k + some <= blocks; k += some)
    run_some<T, some>(c, z, in + k * sos_block, out + k * sos_block, whole - k);
  for (; k < blocks; ++k)
    run_some<T, 1>(c, z, in + k * sos_block, out + k * sos_block, whole - k);
  for (std::size_t p = 0; p < state_parts<T>; ++p)
    store<T, part<T>>(state + SosBlock::z + p * part<T>, z.z[p]);
}

// The same in place, for samples that are no whole blocks. The `offset` first ones are the past
// of the first block, those from `end` on the future of the last one.
template <class T>
static void run_cut_pair(const T* c, T* state, T* x, std::size_t offset, std::size_t end) {
  const std::size_t whole = end / sos_block;
  const std::size_t blocks = (end + sos_block - 1) / sos_block;
  for (std::size_t i = 0; i < offset; ++i) x[i] = state[SosBlock::x + i];
  for (std::size_t i = whole * sos_block; i < end; ++i)
    state[SosBlock::x + i - whole * sos_block] = x[i];
  for (std::size_t i = end; i < blocks * sos_block; ++i) x[i] = T(0);
  run_pair(c, state, x, x, blocks, whole);
}

template <class T>
static void run_blocks(const SosRun<T>& run) {
  const std::size_t offset = run.done % sos_block;
  const std::size_t end = offset + run.frames;
  T* state = run.state;
  if (run.lanes == 1 && offset == 0 && end % sos_block == 0) {
    const T* in = run.in;
    const T* c = run.coefficients;
    for (std::size_t s = 0; s < run.sections; s += 2) {
      run_pair(c, state, in, run.out, end / sos_block, end / sos_block);
      in = run.out;
      c += SosBlock::coefficients;
      state += SosBlock::state;
    }
    return;
  }
  for (std::size_t l = 0; l < run.lanes; ++l) {
    T x[sos_most_frames + sos_block];
    for (std::size_t f = 0; f < run.frames; ++f) x[offset + f] = run.in[f * run.lanes + l];
    const T* c = run.coefficients;
    for (std::size_t s = 0; s < run.sections; s += 2) {
      run_cut_pair(c, state, x, offset, end);
      c += SosBlock::coefficients;
      state += SosBlock::state;
    }
    for (std::size_t f = 0; f < run.frames; ++f) run.out[f * run.lanes + l] = x[offset + f];
  }
}

extern const SosBlockKernels sos_block_kernels;
const SosBlockKernels sos_block_kernels{run_blocks<double>, run_blocks<float>};

}  // namespace spillway::simd::SPILLWAY_ISA
