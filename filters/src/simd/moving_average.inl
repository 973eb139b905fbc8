#include "moving_average_kernels.hpp"
#include "vector.hpp"

namespace spillway::simd::SPILLWAY_ISA {

// N lanes from `lane` on.
template <class T, std::size_t N>
static void slide(const MovingAverageRun<T>& run, std::size_t lane) {
  using Lanes = Vector<T, N>;
  const std::size_t half = run.half;
  const std::size_t lanes = run.lanes;
  const Lanes neutral = -Lanes{};
  const Lanes nan = static_cast<T>(__builtin_nan("")) - Lanes{};
  Lanes prefix;
  Lanes middle;
  load<T, N>(prefix, run.prefix + lane);
  load<T, N>(middle, run.middle + lane);

  const std::uint64_t partitions = run.done / half;
  std::size_t position = static_cast<std::size_t>(run.done % half);
  std::size_t before = partitions < 2 ? static_cast<std::size_t>(partitions) : 2;
  T* current = run.rows + lane;
  T* previous = current + (half + 1) * lanes;
  T* const nothing = previous + half * lanes;
  if (partitions % 2 == 1) {
    T* const other = current;
    current = previous;
    previous = other;
  }
  const T* in = run.in + lane;
  T* out = run.out + lane;
  const T* divisor = run.divisors;

  for (std::size_t left = run.frames; left > 0;) {
    const std::size_t frames = left < half - position ? left : half - position;
    T* kept = current + position * lanes;
    // Read before it is overwritten: the row of the frame that leaves the window next.
    const T* suffix = before == 2 ? kept + (1 - run.odd) * lanes : nothing;
    const std::size_t suffix_step = before == 2 ? lanes : 0;
    T* fold = before >= 1 ? previous + (half - 1 - position) * lanes : nothing;
    const std::size_t fold_step = before >= 1 ? lanes : 0;
    Lanes folded;
    load<T, N>(folded, fold + lanes);
    for (std::size_t f = 0; f < frames; ++f) {
      Lanes x;
      Lanes end;
      Lanes row;
      load<T, N>(x, in);
      load<T, N>(end, suffix);
      store<T, N>(kept, x);
      load<T, N>(row, fold);
      folded = row + folded;
      store<T, N>(fold, folded);
      prefix = prefix + x;
      const Lanes mean = ((end + middle) + prefix) / *divisor;
      store<T, N>(out, mean == mean ? mean : nan);  // one NaN for all
      in += lanes;
      out += lanes;
      kept += lanes;
      suffix += suffix_step;
      fold -= fold_step;
      divisor += run.divisor_step;
    }
    left -= frames;
    position += frames;
    if (position == half) {
      position = 0;
      if (before < 2) ++before;
      middle = prefix;
      prefix = neutral;
      T* const other = current;
      current = previous;
      previous = other;
    }
  }
  store<T, N>(run.prefix + lane, prefix);
  store<T, N>(run.middle + lane, middle);
}

// The lanes from `lane` on that fill no N.
template <class T, std::size_t N>
static void slide_rest(const MovingAverageRun<T>& run, std::size_t lane) {
  if (lane + N <= run.lanes) {
    slide<T, N>(run, lane);
    lane += N;
  }
  if constexpr (N > 1) slide_rest<T, N / 2>(run, lane);
}

template <class T>
static void moving_average(const MovingAverageRun<T>& run) {
  constexpr std::size_t n = lanes_of<T>;
  std::size_t lane = 0;
  for (; lane + n <= run.lanes; lane += n) slide<T, n>(run, lane);
  if constexpr (n > 1) slide_rest<T, n / 2>(run, lane);
}

extern const MovingAverageKernels moving_average_kernels;
const MovingAverageKernels moving_average_kernels{moving_average<double>, moving_average<float>};

}  // namespace spillway::simd::SPILLWAY_ISA
