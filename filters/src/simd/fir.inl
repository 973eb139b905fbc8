#include "fir_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

// Side by side, so that the additions of one output, each waiting for the one before, overlap
// with those of others, and a tap is loaded once for all of them.
static constexpr std::size_t at_once = 8;

// `Registers` * N neighbouring outputs.
template <class T, std::size_t N, std::size_t Registers>
SPILLWAY_INLINE void convolve_at(const T* x, std::size_t lanes, const T* taps,
                                 std::size_t tap_count, T* y) {
  Vector<T, N> sum[Registers];
  for (std::size_t r = 0; r < Registers; ++r) {
    load<T, N>(sum[r], x + r * N);
    sum[r] = sum[r] * taps[0];
  }
  for (std::size_t i = 1; i < tap_count; ++i) {
    x -= lanes;
    const T tap = taps[i];
    for (std::size_t r = 0; r < Registers; ++r) {
      Vector<T, N> value;
      load<T, N>(value, x + r * N);
      sum[r] = sum[r] + value * tap;
    }
  }
  for (std::size_t r = 0; r < Registers; ++r) store<T, N>(y + r * N, sum[r]);
}

template <class T>
static void convolve(const T* x, std::size_t lanes, const T* taps, std::size_t tap_count, T* y,
                     std::size_t count) {
  constexpr std::size_t n = lanes_of<T>;
  std::size_t e = 0;
  for (; e + at_once * n <= count; e += at_once * n)
    convolve_at<T, n, at_once>(x + e, lanes, taps, tap_count, y + e);
  for (; e + n <= count; e += n) convolve_at<T, n, 1>(x + e, lanes, taps, tap_count, y + e);
  for (; e < count; ++e) convolve_at<T, 1, 1>(x + e, lanes, taps, tap_count, y + e);
}

template <class T>
static void copy_flushed(const T* from, T least, T* to, std::size_t count) {
  for (std::size_t e = 0; e < count; ++e) {
    const T value = from[e];
    to[e] = value < least && value > -least ? T(0) : value;
  }
}

// Of one output: its taps, and the newest input of its first lane.
template <class T>
struct Branch {
  const T* taps;
  const T* x;
};

// N lanes of `Outputs` outputs, from `lane` on.
template <class T, std::size_t N, std::size_t Outputs>
SPILLWAY_INLINE void branches_at(const Branch<T>* branches, std::size_t length, std::size_t lanes,
                                 std::size_t lane, T* y) {
  Vector<T, N> sum[Outputs];
  for (std::size_t o = 0; o < Outputs; ++o) {
    load<T, N>(sum[o], branches[o].x + lane);
    sum[o] = sum[o] * branches[o].taps[0];
  }
  for (std::size_t t = 1; t < length; ++t)
    for (std::size_t o = 0; o < Outputs; ++o) {
      Vector<T, N> value;
      load<T, N>(value, branches[o].x - t * lanes + lane);
      sum[o] = sum[o] + value * branches[o].taps[t];
    }
  for (std::size_t o = 0; o < Outputs; ++o) store<T, N>(y + o * lanes + lane, sum[o]);
}

// All lanes from `lane` on, N side by side while there are as many, the rest in narrower vectors.
template <class T, std::size_t N, std::size_t Outputs>
SPILLWAY_INLINE void branches_of(const Branch<T>* branches, std::size_t length, std::size_t lanes,
                                 std::size_t lane, T* y) {
  for (; lane + N <= lanes; lane += N) branches_at<T, N, Outputs>(branches, length, lanes, lane, y);
  if constexpr (N > 1) branches_of<T, N / 2, Outputs>(branches, length, lanes, lane, y);
}

template <class T>
static void polyphase(const typename FirKernels<T>::Polyphase& filter, const T* x,
                      std::size_t frame, std::size_t branch, T* y, std::size_t frames) {
  constexpr std::size_t outputs = at_once / 2;
  const std::size_t lanes = filter.lanes;
  Branch<T> next[outputs];
  for (std::size_t k = 0; k < frames;) {
    const std::size_t some = frames - k < outputs ? 1 : outputs;
    for (std::size_t o = 0; o < some; ++o) {
      next[o] = {filter.taps + branch * filter.length, x + frame * lanes};
      frame += filter.frame_step;
      branch += filter.branch_step;
      if (branch >= filter.branches) {
        branch -= filter.branches;
        ++frame;
      }
    }
    if (some == outputs)
      branches_of<T, lanes_of<T>, outputs>(next, filter.length, lanes, 0, y);
    else
      branches_of<T, lanes_of<T>, 1>(next, filter.length, lanes, 0, y);
    y += some * lanes;
    k += some;
  }
}

extern const FirTable fir_table;
const FirTable fir_table{{convolve<double>, copy_flushed<double>, polyphase<double>},
                         {convolve<float>, copy_flushed<float>, polyphase<float>}};

}  // namespace spillway::simd::SPILLWAY_ISA
