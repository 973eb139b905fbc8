#include "sos_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

// S sections of N * V lanes, with their state in registers. The frames are `step` apart. Where b0
// and b2 are the same, as in low-, high- and band-stop filters, so are their products.
template <class T, std::size_t N, std::size_t V, std::size_t S, bool same_b0_b2>
SPILLWAY_INLINE void run_sections(const T* coefficients, T* state, std::size_t stride, const T* in,
                                  T* out, std::size_t step, std::size_t frames) {
  using Lanes = Vector<T, N>;
  Lanes z1[S][V];
  Lanes z2[S][V];
  for (std::size_t s = 0; s < S; ++s)
    for (std::size_t v = 0; v < V; ++v) {
      load<T, N>(z1[s][v], state + 2 * s * stride + v * N);
      load<T, N>(z2[s][v], state + (2 * s + 1) * stride + v * N);
    }
  // Copies that no store below can change.
  Lanes c[S][5];
  for (std::size_t s = 0; s < S; ++s)
    for (std::size_t k = 0; k < 5; ++k) c[s][k] = coefficients[5 * s + k] - Lanes{};
  for (std::size_t f = 0; f < frames; ++f) {
    Lanes x[V];
    for (std::size_t v = 0; v < V; ++v) load<T, N>(x[v], in + f * step + v * N);
    for (std::size_t s = 0; s < S; ++s) {
      for (std::size_t v = 0; v < V; ++v) {
        const Lanes b0_x = c[s][0] * x[v];
        const Lanes y = b0_x + z1[s][v];
        z1[s][v] = (c[s][1] * x[v] - c[s][3] * y) + z2[s][v];
        z2[s][v] = (same_b0_b2 ? b0_x : c[s][2] * x[v]) - c[s][4] * y;
        x[v] = y;
      }
    }
    for (std::size_t v = 0; v < V; ++v) store<T, N>(out + f * step + v * N, x[v]);
  }
  for (std::size_t s = 0; s < S; ++s)
    for (std::size_t v = 0; v < V; ++v) {
      store<T, N>(state + 2 * s * stride + v * N, z1[s][v]);
      store<T, N>(state + (2 * s + 1) * stride + v * N, z2[s][v]);
    }
}

template <class T, std::size_t N, std::size_t V, std::size_t S>
static void run_some(const SosRun<T>& run, const T* c, T* z, const T* in, T* out,
                     std::size_t step) {
  bool same_b0_b2 = true;
  for (std::size_t s = 0; s < S; ++s) {
    const T b0 = c[5 * s];
    const T b2 = c[5 * s + 2];
    if (b0 != b2 || b0 == T(0)) same_b0_b2 = false;  // 0 and -0 are not the same
  }
  if (same_b0_b2)
    run_sections<T, N, V, S, true>(c, z, run.stride, in, out, step, run.frames);
  else
    run_sections<T, N, V, S, false>(c, z, run.stride, in, out, step, run.frames);
}

// All sections of the N * V lanes from `lane` on.
template <class T, std::size_t N, std::size_t V>
static void run_lanes(const SosRun<T>& run, std::size_t lane, const T* in, T* out,
                      std::size_t step) {
  const T* c = run.coefficients;
  T* z = run.state + lane;
  for (std::size_t left = run.sections; left > 0; in = out) {
    const std::size_t some = left >= 4 ? 4 : left >= 2 ? 2 : 1;
    if (some == 4) run_some<T, N, V, 4>(run, c, z, in, out, step);
    if (some == 2) run_some<T, N, V, 2>(run, c, z, in, out, step);
    if (some == 1) run_some<T, N, V, 1>(run, c, z, in, out, step);
    c += 5 * some;
    z += 2 * some * run.stride;
    left -= some;
  }
}

// Copies `count` lanes of each frame, fewer than 2 * N.
template <class T, std::size_t N>
static void copy_lanes(const T* from, std::size_t from_step, T* to, std::size_t to_step,
                       std::size_t count, std::size_t frames) {
  if (count >= N) {
    for (std::size_t f = 0; f < frames; ++f) {
      Vector<T, N> some;
      load<T, N>(some, from + f * from_step);
      store<T, N>(to + f * to_step, some);
    }
    from += N;
    to += N;
    count -= N;
  }
  if constexpr (N > 1) copy_lanes<T, N / 2>(from, from_step, to, to_step, count, frames);
}

// `count` lanes from `lane` on, up to N, with the narrowest vectors that hold them.
template <class T, std::size_t N = lanes_of<T>>
static void run_rest(const SosRun<T>& run, std::size_t lane, std::size_t count) {
  if constexpr (N > 1) {
    if (count <= N / 2) return run_rest<T, N / 2>(run, lane, count);
  }
  const T* const in = run.in + lane;
  T* const out = run.out + lane;
  if (count == N) return run_lanes<T, N, 1>(run, lane, in, out, run.lanes);
  // Beside them are those of the next frame: out of their way.
  T rows[sos_most_frames * N] = {};
  copy_lanes<T, N>(in, run.lanes, rows, N, count, run.frames);
  run_lanes<T, N, 1>(run, lane, rows, rows, N);
  copy_lanes<T, N>(rows, N, out, run.lanes, count, run.frames);
}

template <class T>
static void df2t(const SosRun<T>& run) {
  constexpr std::size_t n = lanes_of<T>;
  std::size_t lane = 0;
  for (; lane + 2 * n <= run.lanes; lane += 2 * n)
    run_lanes<T, n, 2>(run, lane, run.in + lane, run.out + lane, run.lanes);
  for (; lane < run.lanes; lane += n)
    run_rest<T>(run, lane, run.lanes - lane < n ? run.lanes - lane : n);
}

extern const SosKernels sos_kernels;
const SosKernels sos_kernels{df2t<double>, df2t<float>};

}  // namespace spillway::simd::SPILLWAY_ISA
