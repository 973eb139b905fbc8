// Included once for each architecture, the namespace PLAIN_LOOPS.
#include "plain_loops.hpp"

namespace spillway::bench::PLAIN_LOOPS {

template <class T, std::size_t S>
static void sections_by_lane(const T* c, T* state, const T* in, T* out, std::size_t frames) {
  T b0[S], b1[S], b2[S], a1[S], a2[S], z1[S], z2[S];
  for (std::size_t s = 0; s < S; ++s) {
    b0[s] = c[5 * s];
    b1[s] = c[5 * s + 1];
    b2[s] = c[5 * s + 2];
    a1[s] = c[5 * s + 3];
    a2[s] = c[5 * s + 4];
    z1[s] = state[2 * s];
    z2[s] = state[2 * s + 1];
  }
  for (std::size_t f = 0; f < frames; ++f) {
    T x = in[f];
    for (std::size_t s = 0; s < S; ++s) {
      const T y = b0[s] * x + z1[s];
      z1[s] = b1[s] * x - a1[s] * y + z2[s];
      z2[s] = b2[s] * x - a2[s] * y;
      x = y;
    }
    out[f] = x;
  }
  for (std::size_t s = 0; s < S; ++s) {
    state[2 * s] = z1[s];
    state[2 * s + 1] = z2[s];
  }
}

template <class T>
static void sos_by_lane(const T* c, std::size_t sections, T* state, const T* in, T* out,
                        std::size_t frames) {
  // Those that are measured know their number of sections, the fastest a plain loop can be.
  if (sections == 2) return sections_by_lane<T, 2>(c, state, in, out, frames);
  if (sections == 4) return sections_by_lane<T, 4>(c, state, in, out, frames);
  for (std::size_t s = 0; s < sections; ++s, in = out)
    sections_by_lane<T, 1>(c + 5 * s, state + 2 * s, in, out, frames);
}

template <class T>
static void sos_by_frame(const T* c, std::size_t sections, T* state, const T* in, T* out,
                         std::size_t frames, std::size_t lanes) {
  for (std::size_t f = 0; f < frames; ++f) {
    const T* x = in + f * lanes;
    T* const y = out + f * lanes;
    for (std::size_t s = 0; s < sections; ++s, x = y) {
      const T b0 = c[5 * s], b1 = c[5 * s + 1], b2 = c[5 * s + 2];
      const T a1 = c[5 * s + 3], a2 = c[5 * s + 4];
      T* const z1 = state + 2 * s * lanes;
      T* const z2 = z1 + lanes;
      for (std::size_t l = 0; l < lanes; ++l) {
        const T v = x[l];
        const T sum = b0 * v + z1[l];
        z1[l] = b1 * v - a1 * sum + z2[l];
        z2[l] = b2 * v - a2 * sum;
        y[l] = sum;
      }
    }
  }
}

template <class T>
static void mean_by_lane(std::size_t window, T* sum, T* past, std::size_t& oldest, const T* in,
                         T* out, std::size_t frames) {
  const T scale = T(1) / static_cast<T>(window);
  std::size_t at = oldest;
  T total = *sum;
  for (std::size_t f = 0; f < frames; ++f) {
    total += in[f] - past[at];
    past[at] = in[f];
    if (++at == window) at = 0;
    out[f] = total * scale;
  }
  *sum = total;
  oldest = at;
}

template <class T>
static void mean_by_frame(std::size_t window, T* sum, T* past, std::size_t& oldest, const T* in,
                          T* out, std::size_t frames, std::size_t lanes) {
  const T scale = T(1) / static_cast<T>(window);
  for (std::size_t f = 0; f < frames; ++f) {
    T* const old = past + oldest * lanes;
    for (std::size_t l = 0; l < lanes; ++l) {
      const T x = in[f * lanes + l];
      sum[l] += x - old[l];
      old[l] = x;
      out[f * lanes + l] = sum[l] * scale;
    }
    if (++oldest == window) oldest = 0;
  }
}

template <class T>
static void median_by_lane(std::size_t window, T* sorted, T* past, std::size_t& oldest, const T* in,
                           T* out, std::size_t frames) {
  std::size_t at = oldest;
  for (std::size_t f = 0; f < frames; ++f) {
    const T leaving = past[at];
    const T x = in[f];
    past[at] = x;
    if (++at == window) at = 0;
    // From the place of the one that leaves, values move up or down to where x belongs.
    std::size_t place = 0;
    while (sorted[place] != leaving) ++place;
    for (; place + 1 < window && sorted[place + 1] < x; ++place) sorted[place] = sorted[place + 1];
    for (; place > 0 && sorted[place - 1] > x; --place) sorted[place] = sorted[place - 1];
    sorted[place] = x;
    out[f] = sorted[window / 2];
  }
  oldest = at;
}

template <class T>
static void fir_by_lane(const T* reversed_taps, std::size_t taps, const T* in, T* out,
                        std::size_t frames) {
  const T* first = in - (taps - 1);
  for (std::size_t f = 0; f < frames; ++f, ++first) {
    T sum = 0;
    for (std::size_t k = 0; k < taps; ++k) sum += reversed_taps[k] * first[k];
    out[f] = sum;
  }
}

const PlainLoops<float> loops_float{sos_by_lane<float>,    sos_by_frame<float>,
                                    mean_by_lane<float>,   mean_by_frame<float>,
                                    median_by_lane<float>, fir_by_lane<float>};
const PlainLoops<double> loops_double{sos_by_lane<double>,    sos_by_frame<double>,
                                      mean_by_lane<double>,   mean_by_frame<double>,
                                      median_by_lane<double>, fir_by_lane<double>};

}  // namespace spillway::bench::PLAIN_LOOPS
