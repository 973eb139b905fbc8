#include "median_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

template <class T>
inline constexpr T infinity = static_cast<T>(__builtin_inf());

// Of two values in order, rounded once. The sum of two finite values may overflow; halving
// them first is exact then.
template <class T, class V>
SPILLWAY_INLINE void mean_of_two(V& mean, const V& a, const V& b) {
  const T half = T(0.5);
  const V sum = a + b;
  const V of_sum = sum * half;
  const V of_halves = a * half + b * half;
  mean = (sum - sum) == (V{}) ? of_sum : of_halves;
}

// N * V windows side by side in sorted[i * N * V + lane], in order: `old` gives way to `x`.
// Without branches: t is the window without `old`, one place shorter, and the new one has
// max(t[i - 1], min(t[i], x)) at i.
template <class T, std::size_t N, std::size_t V>
SPILLWAY_INLINE void replace(T* sorted, std::size_t window, const Vector<T, N> (&old)[V],
                             const Vector<T, N> (&x)[V]) {
  using Lanes = Vector<T, N>;
  Lanes before[V];
  Lanes here[V];
  for (std::size_t v = 0; v < V; ++v) {
    before[v] = Lanes{} - infinity<T>;
    load<T, N>(here[v], sorted + v * N);
  }
  T* row = sorted;
  for (std::size_t i = 1; i < window; ++i, row += N * V) {
    for (std::size_t v = 0; v < V; ++v) {
      Lanes next;
      load<T, N>(next, row + (V + v) * N);
      const Lanes t = here[v] < old[v] ? here[v] : next;
      const Lanes least = t < x[v] ? t : x[v];
      store<T, N>(row + v * N, before[v] > least ? before[v] : least);
      before[v] = t;
      here[v] = next;
    }
  }
  for (std::size_t v = 0; v < V; ++v)
    store<T, N>(row + v * N, before[v] > x[v] ? before[v] : x[v]);
}

// The median of N of the lanes in rows of `step`, of the first n rows.
template <class T, std::size_t N>
SPILLWAY_INLINE void median_of(Vector<T, N>& y, const T* sorted, std::size_t step, std::size_t n) {
  load<T, N>(y, sorted + n / 2 * step);
  if (n % 2 == 1) return;
  Vector<T, N> lower;
  load<T, N>(lower, sorted + (n / 2 - 1) * step);
  mean_of_two<T>(y, lower, y);
}

// Whether N lanes have a whole window without a NaN, and none to come in these frames.
template <class T, std::size_t N>
static bool are_all_valid(const MedianRun<T>& run, std::size_t lane, std::size_t first,
                          std::size_t frames) {
  for (std::size_t l = 0; l < N; ++l)
    if (run.valid[lane + l] != static_cast<T>(run.window)) return false;
  const Vector<T, N> one = Vector<T, N>{} + T(1);
  Vector<T, N> missing{};
  for (std::size_t f = first; f < first + frames; ++f) {
    Vector<T, N> x;
    load<T, N>(x, run.in + f * run.lanes + lane);
    missing = x == x ? missing : one;
  }
  T each[N];
  store<T, N>(each, missing);
  for (std::size_t l = 0; l < N; ++l)
    if (each[l] != T(0)) return false;
  return true;
}

// Frames of N * V lanes; `slot` goes with them.
template <class T, std::size_t N, std::size_t V, bool all_valid>
static void run_frames(const MedianRun<T>& run, std::size_t lane, std::size_t first,
                       std::size_t frames, std::size_t& slot) {
  using Lanes = Vector<T, N>;
  const Lanes none = Lanes{} + infinity<T>;
  T* const sorted = run.sorted + lane * run.window;
  T* const valid = run.valid + lane;
  for (std::size_t f = first; f < first + frames; ++f) {
    const T* const in = run.in + f * run.lanes + lane;
    T* const out = run.out + f * run.lanes + lane;
    T* const place = run.ring + slot * run.lanes + lane;
    if (++slot == run.window) slot = 0;
    Lanes x[V];
    Lanes old[V];
    for (std::size_t v = 0; v < V; ++v) {
      load<T, N>(x[v], in + v * N);
      x[v] = x[v] + T(0);  // -0 becomes +0
      load<T, N>(old[v], place + v * N);
      store<T, N>(place + v * N, x[v]);
      if constexpr (!all_valid) {
        Lanes n;
        load<T, N>(n, valid + v * N);
        n = x[v] == x[v] ? n + T(1) : n;
        n = old[v] == old[v] ? n - T(1) : n;
        store<T, N>(valid + v * N, n);
        x[v] = x[v] == x[v] ? x[v] : none;
        old[v] = old[v] == old[v] ? old[v] : none;
      }
    }
    replace<T, N, V>(sorted, run.window, old, x);
    if constexpr (all_valid) {
      for (std::size_t v = 0; v < V; ++v) {
        Lanes y;
        median_of<T, N>(y, sorted + v * N, N * V, run.window);
        store<T, N>(out + v * N, y);
      }
    } else {
      for (std::size_t l = 0; l < N * V; ++l) {
        const std::size_t n = static_cast<std::size_t>(valid[l]);
        out[l] = static_cast<T>(__builtin_nan(""));
        if (n > 0) median_of<T, 1>(out[l], sorted + l, N * V, n);
      }
    }
  }
}

template <class T, std::size_t N, std::size_t V>
static void run_group(const MedianRun<T>& run, std::size_t lane) {
  std::size_t slot = run.slot;
  for (std::size_t first = 0; first < run.frames;) {
    const std::size_t left = run.frames - first;
    const std::size_t some = left < 64 ? left : 64;  // a NaN slows no more than these
    bool all_valid = true;
    for (std::size_t v = 0; v < V; ++v)
      all_valid = all_valid && are_all_valid<T, N>(run, lane + v * N, first, some);
    if (all_valid)
      run_frames<T, N, V, true>(run, lane, first, some, slot);
    else
      run_frames<T, N, V, false>(run, lane, first, some, slot);
    first += some;
  }
}

inline constexpr std::size_t most_frames = 1024;

// Values `step` apart.
template <class T, std::size_t N>
SPILLWAY_INLINE void load_apart(Vector<T, N>& to, const T* from, std::size_t step) {
  T each[N];
  for (std::size_t s = 0; s < N; ++s) each[s] = from[s * step];
  load<T, N>(to, each);
}

// One lane, all valid: cut into N stretches of as many frames, side by side. The windows
// before each of them are sorted first.
template <class T, std::size_t N>
static void run_stretches(const MedianRun<T>& run, std::size_t lane, std::size_t first,
                          std::size_t frames, std::size_t& slot) {
  using Lanes = Vector<T, N>;
  const std::size_t n = run.window;
  const std::size_t length = frames / N;
  T values[median_most_window + most_frames];  // the window before, then the inputs
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t from = slot + i < n ? slot + i : slot + i - n;
    values[i] = run.ring[from * run.lanes + lane];
  }
  for (std::size_t f = 0; f < frames; ++f)
    values[n + f] = run.in[(first + f) * run.lanes + lane] + T(0);

  T sorted[median_most_window * N];
  const Lanes none[1] = {Lanes{} + infinity<T>};
  Lanes x[1];
  for (std::size_t i = 0; i < n; ++i) {
    store<T, N>(sorted + i * N, none[0]);
    load_apart<T, N>(x[0], values + i, length);
    replace<T, N, 1>(sorted, i + 1, none, x);
  }
  for (std::size_t i = 0; i < length; ++i) {
    Lanes old[1];
    load_apart<T, N>(old[0], values + i, length);
    load_apart<T, N>(x[0], values + n + i, length);
    replace<T, N, 1>(sorted, n, old, x);
    Lanes y;
    median_of<T, N>(y, sorted, N, n);
    T each[N];
    store<T, N>(each, y);
    for (std::size_t s = 0; s < N; ++s) run.out[(first + s * length + i) * run.lanes + lane] = each[s];
  }

  for (std::size_t i = 0; i < n; ++i) {
    run.sorted[lane * n + i] = sorted[i * N + N - 1];
    run.ring[(slot + frames + i) % n * run.lanes + lane] = values[frames + i];
  }
  slot = (slot + frames) % n;
}

template <class T>
static void run_lane(const MedianRun<T>& run, std::size_t lane) {
  constexpr std::size_t N = lanes_of<T>;
  std::size_t slot = run.slot;
  for (std::size_t first = 0; first < run.frames;) {
    const std::size_t left = run.frames - first;
    const std::size_t some = left < most_frames ? left : most_frames;
    if (some >= 2 * run.window && some >= 4 * N &&
        are_all_valid<T, 1>(run, lane, first, some)) {
      run_stretches<T, N>(run, lane, first, some / N * N, slot);
      first += some / N * N;
      continue;
    }
    const std::size_t few = some < 64 ? some : 64;
    if (are_all_valid<T, 1>(run, lane, first, few))
      run_frames<T, 1, 1, true>(run, lane, first, few, slot);
    else
      run_frames<T, 1, 1, false>(run, lane, first, few, slot);
    first += few;
  }
}

// A lane belongs to the same group in every call: their windows lie side by side.
template <class T>
static void run_median(const MedianRun<T>& run) {
  constexpr std::size_t N = lanes_of<T>;
  std::size_t lane = 0;
  for (; lane + 2 * N <= run.lanes; lane += 2 * N) run_group<T, N, 2>(run, lane);
  for (; lane + N <= run.lanes; lane += N) run_group<T, N, 1>(run, lane);
  for (; lane < run.lanes; ++lane) run_lane<T>(run, lane);
}

extern const MedianKernels median_kernels;
const MedianKernels median_kernels{run_median<double>, run_median<float>};

}  // namespace spillway::simd::SPILLWAY_ISA
