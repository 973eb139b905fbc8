#include "sliding_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

// Squares of what is smaller would be subnormal, and slow.
template <class V>
SPILLWAY_INLINE void drop_tiny(V& x) {
  const V modulus = x < -x ? -x : x;
  x = modulus < 1e-150 ? V{} : x;
}

// An aggregate of some samples, of N lanes: `f` are its fields. set() makes it that of one
// sample, NaN being none; append() adds newer samples; adding none, or to none, changes
// nothing. result(), if is_root its square, is NaN of no sample.

// The extreme; NaN of none.
template <std::size_t N>
struct Least {
  static constexpr std::size_t fields = 1;
  using Lanes = Vector<double, N>;
  Lanes f[1];
  [[gnu::always_inline]] void set(const Lanes& x) { f[0] = x + 0.0; }  // -0 becomes +0
  [[gnu::always_inline]] void append(const Least& b) {
    const Lanes valid = b.f[0] == b.f[0] ? b.f[0] : f[0];
    f[0] = f[0] < b.f[0] ? f[0] : valid;
  }
  static constexpr bool is_root = false;
  [[gnu::always_inline]] void result(Lanes& y, double) const { y = f[0]; }
};

template <std::size_t N>
struct Greatest {
  static constexpr std::size_t fields = 1;
  using Lanes = Vector<double, N>;
  Lanes f[1];
  [[gnu::always_inline]] void set(const Lanes& x) { f[0] = x + 0.0; }
  [[gnu::always_inline]] void append(const Greatest& b) {
    const Lanes valid = b.f[0] == b.f[0] ? b.f[0] : f[0];
    f[0] = f[0] > b.f[0] ? f[0] : valid;
  }
  static constexpr bool is_root = false;
  [[gnu::always_inline]] void result(Lanes& y, double) const { y = f[0]; }
};

// How many, and the sum of their squares.
template <std::size_t N>
struct Squares {
  static constexpr std::size_t fields = 2;
  using Lanes = Vector<double, N>;
  Lanes f[2];
  [[gnu::always_inline]] void set(const Lanes& x) {
    const Lanes zero{};
    Lanes valid = x == x ? x : zero;
    drop_tiny(valid);
    f[0] = x == x ? zero + 1.0 : zero;
    f[1] = valid * valid;
  }
  [[gnu::always_inline]] void append(const Squares& b) {
    f[0] = f[0] + b.f[0];
    f[1] = f[1] + b.f[1];
  }
  static constexpr bool is_root = true;
  [[gnu::always_inline]] void result(Lanes& y, double) const { y = f[1] / f[0]; }  // 0 / 0: NaN
};

// How many, their mean, and the sum of the squares of their differences from it: Chan, Golub
// and LeVeque.
template <std::size_t N>
struct Spread {
  static constexpr std::size_t fields = 3;
  using Lanes = Vector<double, N>;
  Lanes f[3];
  [[gnu::always_inline]] void set(const Lanes& x) {
    const Lanes zero{};
    f[0] = x == x ? zero + 1.0 : zero;
    f[1] = x == x ? x : zero;
    drop_tiny(f[1]);
    f[2] = f[1] - f[1];  // NaN for infinity, else 0
  }
  [[gnu::always_inline]] void append(const Spread& b) {
    const Lanes zero{};
    const Lanes n = f[0] + b.f[0];
    const Lanes part = b.f[0] / (n == zero ? zero + 1.0 : n);
    Lanes apart = b.f[1] - f[1];
    drop_tiny(apart);
    // In this order the product is 0 where one has no sample, however large the mean.
    f[2] = (f[2] + b.f[2]) + apart * (apart * (f[0] * part));
    f[1] = f[1] + apart * part;
    f[0] = n;
  }
  static constexpr bool is_root = true;
  [[gnu::always_inline]] void result(Lanes& y, double ddof) const {
    const Lanes zero{};
    const Lanes n = f[0] - ddof;
    y = f[2] / (n > zero ? n : zero + __builtin_nan(""));
  }
};

template <template <std::size_t> class Aggregate, std::size_t N>
SPILLWAY_INLINE void load_fields(Aggregate<N>& to, const double* from, std::size_t lanes) {
  for (std::size_t k = 0; k < Aggregate<N>::fields; ++k) load<double, N>(to.f[k], from + k * lanes);
}
template <template <std::size_t> class Aggregate, std::size_t N>
SPILLWAY_INLINE void store_fields(double* to, const Aggregate<N>& from, std::size_t lanes) {
  for (std::size_t k = 0; k < Aggregate<N>::fields; ++k)
    store<double, N>(to + k * lanes, from.f[k]);
}

// N lanes from `lane` on.
template <template <std::size_t> class Aggregate, std::size_t N>
static void run_lanes(const SlidingRun& run, std::size_t lane) {
  using A = Aggregate<N>;
  const std::size_t lanes = run.lanes;
  const std::size_t row = A::fields * lanes;
  A beginning;
  A whole;
  load_fields<Aggregate, N>(beginning, run.beginning + lane, lanes);
  load_fields<Aggregate, N>(whole, run.whole + lane, lanes);
  for (std::size_t i = 0; i < run.frames; ++i) {
    const std::size_t position = run.position + i;
    Vector<double, N> x;
    load<double, N>(x, run.in + i * lanes + lane);
    A own;
    own.set(x);
    beginning.append(own);

    A value = beginning;
    if (run.chunks > 0) {
      value = whole;
      value.append(beginning);
    }
    // Of an odd window the first position has all of chunk k - 2, of an even one all but one.
    const std::size_t end = position + (run.is_odd ? 0 : 1);
    if (run.chunks > 1 && end < run.chunk) {
      A older;
      load_fields<Aggregate, N>(older, run.current + end * row + lane, lanes);
      older.append(value);
      value = older;
    }
    store_fields<Aggregate, N>(run.current + position * row + lane, own, lanes);

    Vector<double, N> y;
    value.result(y, run.ddof);
    double* const out = run.out + i * lanes + lane;
    store<double, N>(out, y);
    if constexpr (A::is_root)
      for (std::size_t l = 0; l < N; ++l) out[l] = __builtin_sqrt(out[l]);

    // The end of the previous chunk one place longer than that of the frame before.
    if (run.chunks > 0 && position > 0) {
      double* const sample = run.previous + (run.chunk - 1 - position) * row + lane;
      A longer;
      A shorter;
      load_fields<Aggregate, N>(longer, sample, lanes);
      load_fields<Aggregate, N>(shorter, sample + row, lanes);
      longer.append(shorter);
      store_fields<Aggregate, N>(sample, longer, lanes);
    }
  }
  store_fields<Aggregate, N>(run.beginning + lane, beginning, lanes);
}

template <template <std::size_t> class Aggregate, std::size_t N>
static void run_from(const SlidingRun& run, std::size_t lane) {
  for (; lane + N <= run.lanes; lane += N) run_lanes<Aggregate, N>(run, lane);
  if constexpr (N > 1) run_from<Aggregate, N / 2>(run, lane);
}
template <template <std::size_t> class Aggregate>
static void run_all(const SlidingRun& run) {
  run_from<Aggregate, lanes_of<double>>(run, 0);
}

template <template <std::size_t> class Aggregate>
static void clear(double* aggregates, std::size_t lanes) {
  Aggregate<1> none;
  none.set(__builtin_nan(""));
  for (std::size_t l = 0; l < lanes; ++l) store_fields<Aggregate, 1>(aggregates + l, none, lanes);
}

extern const SlidingKernels sliding_kernels;
const SlidingKernels sliding_kernels{
    {1, run_all<Least>, clear<Least>},
    {1, run_all<Greatest>, clear<Greatest>},
    {2, run_all<Squares>, clear<Squares>},
    {3, run_all<Spread>, clear<Spread>},
};

}  // namespace spillway::simd::SPILLWAY_ISA
